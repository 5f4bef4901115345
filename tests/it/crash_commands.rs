//! The commands that follow a lockdown, killed before and after every effect, and run again.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis::embedded::{FAULTS_VARIABLE, RehearsedApprover, Seeded};

use crate::invariants::{self, Credential, Honoured, When};
use crate::support::{Ran, case_folder, copy, deployment, embedded, finish, folder, program, wait};

const LOCKDOWN: [&str; 6] = ["lockdown", "--reason", "x", "--compromised", "trading-api-key", "--yes"];

fn faulty(root: &Path, faults: &str, words: &[&str]) -> Ran {
    finish(program(root).env(FAULTS_VARIABLE, faults).arg("--embedded").arg(root).args(words))
}

/// A deployment whose lockdown went well, and its credentials with their values of now.
fn contained() -> (tempfile::TempDir, Vec<Credential>) {
    let folder = folder();
    let root = folder.path().join("d");
    drop(deployment(&root, 23));
    embedded(&root, &LOCKDOWN).expect(0);
    let kept = |env, secret, honoured| {
        let old = invariants::env(&root, env).unwrap();
        Credential { env: Some(env), secret, honoured, old }
    };
    let credentials = vec![
        kept("TRADING_API_KEY", None, Honoured::Rows("key_trading")),
        kept("JWT_SECRET", None, Honoured::Tokens),
        kept("WEBHOOK_SECRET", Some("prod/webhook"), Honoured::Nobody),
    ];
    (folder, credentials)
}

/// Kills the command at every effect, runs it again, which must end with one of those codes, and checks.
fn everywhere(from: &Path, words: &[&str], ends: &[i32], check: impl Fn(&Path, &[&Ran]) -> Vec<String> + Sync) {
    let scratch = folder();
    let (counted, number) = (scratch.path().join("counted"), scratch.path().join("effects"));
    copy(from, &counted).unwrap();
    faulty(&counted, &format!("count={}", number.display()), words).expect(0);
    let effects: u64 = std::fs::read_to_string(&number).unwrap().parse().unwrap();
    let points: Vec<String> =
        (1..=effects).flat_map(|n| [format!("kill-before={n}"), format!("kill-after={n}")]).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let folder = folder();
                    let root = folder.path().join("d");
                    copy(from, &root).unwrap();
                    let killed = faulty(&root, point, words);
                    let again = embedded(&root, words);
                    let mut found = check(&root, &[&killed, &again]);
                    if killed.signal != Some(9) || !again.code.is_some_and(|code| ends.contains(&code)) {
                        found.push(format!("{killed:?}, then {again:?}"));
                    }
                    let case = case_folder(&root).display().to_string();
                    let verified = embedded(&root, &["audit", "verify", &case]);
                    if verified.code != Some(0) {
                        found.push(format!("{verified:?}"));
                    }
                    wrong.lock().unwrap().extend(found.into_iter().map(|why| format!("{point}: {why}")));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    println!("{}: {effects} effects, {} points", words.join(" "), points.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(12)].join("\n"));
}

fn said<'a>(runs: &[&'a Ran]) -> Vec<&'a str> {
    runs.iter().flat_map(|ran| [ran.stdout.as_str(), ran.stderr.as_str()]).collect()
}

#[test]
fn keys_rotate_killed_at_any_effect_ends_the_same() {
    let (folder, credentials) = contained();
    everywhere(&folder.path().join("d"), &["keys", "rotate", "--yes"], &[0], |root, runs| {
        wait(invariants::violations(root, &credentials, &said(runs), When::Final))
    });
}

#[test]
fn restore_killed_at_any_effect_ends_the_same() {
    let (folder, _) = contained();
    everywhere(&folder.path().join("d"), &["restore", "--clean", "--yes"], &[0], |root, runs| {
        // The pause and the secrets: keys that came back with the backup are killed by the next lockdown.
        wait(invariants::violations(root, &[], &said(runs), When::Final))
    });
}

#[test]
fn keys_revoke_killed_at_any_effect_ends_the_same() {
    let (folder, credentials) = contained();
    let from = folder.path().join("d");
    let doomed = invariants::env(&from, "TRADING_API_KEY").unwrap();
    assert_eq!(wait(invariants::rows_that_honour(&from, &doomed)), 1, "it lives before");
    everywhere(&from, &["keys", "revoke", "trading-api-key", "--yes"], &[0], |root, runs| {
        let mut wrong = wait(invariants::violations(root, &credentials, &said(runs), When::Between));
        if wait(invariants::rows_that_honour(root, &doomed)) != 0 {
            wrong.push("the value is still honoured".into());
        }
        wrong
    });
}

/// A deployment whose record is signed: only the resume is missing.
fn approved() -> tempfile::TempDir {
    let folder = folder();
    let root = folder.path().join("d");
    drop(deployment(&root, 23));
    let logs = root.join("logs").display().to_string();
    let run = |words: &[&str], codes: &[i32]| {
        let ran = embedded(&root, words);
        assert!(ran.code.is_some_and(|code| codes.contains(&code)), "{words:?}: {ran:?}");
    };
    run(&LOCKDOWN, &[0]);
    for words in [&["logs", &logs][..], &["trades"], &["secrets", &logs], &["database"]] {
        run(&[&["scan"], words].concat(), &[0, 3]);
    }
    run(&["restore", "--clean", "--yes"], &[0]);
    for words in ["trades", "database"] {
        run(&["scan", words], &[0, 3]);
    }
    let dispose = ["incident", "dispose", "--open", "--as", "confirmed", "--note", "x"];
    // Without an intruder there may be nothing to decide.
    run(&dispose, &[0, 2]);
    run(&["audit", "prepare"], &[0]);
    let record = std::fs::read(case_folder(&root).join("audit-record.json")).unwrap();
    // The same people as `deployment` made, in the same order.
    let random = Seeded::new(23);
    for name in ["ada", "bo", "cyd"] {
        let path = root.join(format!("{name}.sig"));
        std::fs::write(&path, RehearsedApprover::new(name, &random).unwrap().sign(&record)).unwrap();
        run(&["approve", "--approver", name, "--signature", &path.display().to_string()], &[0]);
    }
    folder
}

#[test]
fn resume_killed_at_any_effect_ends_the_same() {
    let folder = approved();
    // Where it was killed after its very last act, there is nothing left to do.
    everywhere(&folder.path().join("d"), &["resume", "--yes"], &[0, 2], |root, _| wait(invariants::after_resume(root)));
}
