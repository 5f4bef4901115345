//! Bad input and a bad world: each failure says what failed, why, and what to type next, with its exit code.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Ran, case_folder, copy, deployment, embedded, files, folder, run};

const LOCKDOWN: [&str; 4] = ["lockdown", "--reason", "x", "--yes"];

fn built(seed: u64) -> (tempfile::TempDir, PathBuf) {
    let folder = folder();
    let root = folder.path().join("d");
    deployment(&root, seed);
    (folder, root)
}

#[track_caller]
fn says(ran: &Ran, parts: &[&str]) {
    for part in parts {
        assert!(ran.stderr.contains(part), "`{part}` is not in: {}", ran.stderr);
    }
}

fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed);
    std::fs::write(path, changed).unwrap();
}

#[test]
fn a_policy_that_cannot_be_read_is_named_to_the_column_and_nothing_is_done() {
    let (_folder, root) = built(31);
    let pause = root.join("policies/pause.yml");
    let whole = std::fs::read_to_string(&pause).unwrap();
    let line = whole.lines().count() + 1;
    edit(&pause, |text| format!("{text}gaurd: {{}}\n"));
    let ran = embedded(&root, &LOCKDOWN).expect(2);
    says(&ran, &[&format!("pause.yml:{line}:1: "), "unknown key `gaurd`", "did you mean `guard`?", "hint:"]);
    std::fs::write(&pause, format!("{whole}more: [a, b\n")).unwrap();
    says(&embedded(&root, &LOCKDOWN).expect(2), &["pause.yml:", "hint:"]);
    std::fs::remove_file(&pause).unwrap();
    says(&embedded(&root, &LOCKDOWN).expect(2), &["pause.yml", "portcullis init"]);
    assert!(!root.join(".portcullis").exists(), "nothing was opened");
}

#[test]
fn a_wrong_name_is_answered_with_the_nearest() {
    let (_folder, root) = built(32);
    let ran = embedded(&root, &["lockdown", "--reason", "x", "--compromised", "trading-api-kex", "--yes"]).expect(2);
    says(&ran, &["no credential `trading-api-kex`", "did you mean `trading-api-key`?"]);
    assert!(!root.join(".portcullis/incidents").exists());
    let ran = run(&root, &["lokdown"]).expect(2);
    says(&ran, &["lokdown", "lockdown"]);
}

#[test]
fn a_missing_table_is_named_with_the_ones_that_are_there() {
    let (_folder, root) = built(33);
    edit(&root.join("policies/pause.yml"), |text| text.replace("table: Trade", "table: Trads"));
    let ran = embedded(&root, &["scan", "trades"]);
    assert!(matches!(ran.code, Some(1 | 2)), "{ran:?}");
    says(&ran, &["there is no table `Trads`", "Trade"]);
    // The guard can't be engaged; everything else is still done, and the exit code says that not all was.
    let ran = embedded(&root, &LOCKDOWN).expect(5);
    assert!(ran.stdout.contains("there is no table `Trads`"), "{}", ran.stdout);
    assert!(root.join("PAUSED").exists(), "the other switch was thrown");
}

#[test]
fn wrong_paths_are_named() {
    let (folder, root) = built(34);
    let nowhere = folder.path().join("nowhere");
    says(&embedded(folder.path(), &["doctor"]).expect(2), &["policies", "portcullis init"]);
    says(
        &run(folder.path(), &["--embedded", nowhere.to_str().unwrap(), "lockdown", "--reason", "x"]).expect(2),
        &["nowhere"],
    );
    let ran = embedded(&root, &["--format", "json", "scan", "logs", nowhere.to_str().unwrap()]).expect(5);
    let summary = ran.of_type("summary").remove(0);
    assert!(summary["unreadable"][0]["path"].as_str().unwrap().ends_with("nowhere"), "{summary}");
    says(&run(folder.path(), &["audit", "verify", nowhere.to_str().unwrap()]).expect(1), &["nowhere"]);
}

#[test]
fn without_a_database_url_it_says_what_to_set() {
    let (folder, root) = built(35);
    let live = folder.path().join("live");
    copy(&root.join("policies"), &live.join("policies")).unwrap();
    says(&run(&live, &["scan", "trades"]).expect(2), &["no database is configured", "set DATABASE_URL"]);
}

#[test]
fn a_second_run_at_the_same_time_is_turned_away() {
    let (_folder, root) = built(36);
    embedded(&root, &LOCKDOWN).expect(0);
    let case = case_folder(&root);
    let ledger = std::fs::read(case.join("ledger.jsonl")).unwrap();
    let lock = File::options().write(true).open(case.join("lock")).unwrap();
    lock.try_lock().unwrap();
    says(&embedded(&root, &LOCKDOWN).expect(1), &["another portcullis is working on this incident", "hint: wait"]);
    assert_eq!(std::fs::read(case.join("ledger.jsonl")).unwrap(), ledger);
    // Looking is allowed meanwhile.
    embedded(&root, &["incident", "show"]);
    drop(lock);
    embedded(&root, &LOCKDOWN).expect(0);
}

#[test]
fn a_torn_tail_is_put_aside_and_recorded() {
    let (_folder, root) = built(37);
    embedded(&root, &LOCKDOWN).expect(0);
    let case = case_folder(&root);
    let ledger = case.join("ledger.jsonl");
    let text = std::fs::read_to_string(&ledger).unwrap();
    let last = text.lines().last().unwrap();
    let torn = &last[..last.len() / 2];
    std::fs::write(&ledger, format!("{text}{torn}")).unwrap();
    let ran = embedded(&root, &["audit", "verify"]).expect(6);
    assert!(ran.stdout.contains(&format!("{} bytes follow the last whole entry", torn.len())), "{}", ran.stdout);
    embedded(&root, &["audit", "prepare"]).expect(0);
    let after = std::fs::read_to_string(&ledger).unwrap();
    let next = after.strip_prefix(text.as_str()).expect("what was whole stays as it was");
    assert!(next.lines().next().unwrap().contains("\"tail.quarantined\""), "{next}");
    let kept = files(&case.join("quarantine"));
    assert_eq!(kept.len(), 1);
    assert_eq!(std::fs::read_to_string(&kept[0]).unwrap(), torn);
    embedded(&root, &["audit", "verify"]).expect(0);
}

#[test]
fn a_damaged_middle_stops_everything_and_stays_as_it_is() {
    let (_folder, root) = built(38);
    embedded(&root, &LOCKDOWN).expect(0);
    let ledger = case_folder(&root).join("ledger.jsonl");
    let mut bytes = std::fs::read(&ledger).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&ledger, &bytes).unwrap();
    for words in [&["audit", "verify"][..], &["audit", "prepare"], &LOCKDOWN, &["resume", "--yes"]] {
        let ran = embedded(&root, words).expect(6);
        assert!(ran.stderr.contains("ledger") || ran.stdout.contains("ledger"), "{ran:?}");
    }
    assert_eq!(std::fs::read(&ledger).unwrap(), bytes);
}

/// A small file system in memory; gone at the end.
struct Small(tempfile::TempDir);

impl Small {
    /// `None` where this user may not mount.
    fn new(kibibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={kibibytes}k,mode=700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder))
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(self.0.path()).status().unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_said_and_a_run_with_room_ends_it() {
    let Some(small) = Small::new(64) else {
        println!("skipped: this user may not mount a small file system");
        return;
    };
    let (_folder, root) = built(39);
    let home = small.0.path().join("home").display().to_string();
    let words = [&["--home", &home][..], &LOCKDOWN].concat();
    let ran = embedded(&root, &words);
    assert!(matches!(ran.code, Some(1 | 5)), "{ran:?}");
    assert!(format!("{}{}", ran.stderr, ran.stdout).contains("the disk is full"), "{ran:?}");
    small.remount("size=16m");
    embedded(&root, &words).expect(0);
    embedded(&root, &["--home", &home, "audit", "verify"]).expect(0);
    small.remount("ro");
    let ran = embedded(&root, &words).expect(1);
    says(&ran, &["ead-only", "hint:"]);
}
