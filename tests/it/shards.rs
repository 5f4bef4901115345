//! A scan in shards, merged: the same, byte for byte, as one scan of everything.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use regex::Regex;

use crate::support::{Ran, finish, folder, program, run};

const RULES: &str = "\
title: Key of an intruder
id: needle
level: high
detection:
  k:
    - needle
  condition: k
---
title: Key of an intruder, often
id: often
level: critical
correlation:
  type: event_count
  rules:
    - needle
  group-by:
    - user
  timespan: 10m
  generate: true
  condition:
    gte: 3
---
title: Not to be run
id: skipped
detection:
  k:
    user|expand: '%admins%'
  condition: k
";

/// Files that are cut apart and files that are not, and two that can't be read in whole.
fn logs(root: &Path) {
    let logs = root.join("logs");
    fs::create_dir(&logs).unwrap();
    fs::write(root.join("rules.yml"), RULES).unwrap();
    let word = |n: usize| if n.is_multiple_of(4_000) { "needle" } else { "hay" };
    let (mut json, mut server, mut text) = (String::new(), String::new(), String::from("\u{feff}"));
    for n in 0..30_000 {
        let (minute, second) = (n / 60 % 60, n % 60);
        let user = n % 3;
        writeln!(
            json,
            "{{\"time\":\"2026-11-24T01:{minute:02}:{second:02}Z\",\"user\":\"u{user}\",\"n\":{n}.1e-7,\"key\":\"{}\"}}",
            word(n)
        )
        .unwrap();
        writeln!(
            server,
            "2026-11-24 02:{minute:02}:{second:02} UTC [7] u{user}@db LOG:  statement: select 1,\n\t'{}',\n\n\t2",
            word(n)
        )
        .unwrap();
        writeln!(text, "{n} some words that say nothing, {}", word(n)).unwrap();
        if n == 17_001 {
            json.push_str("{\"user\":\"u1\",\"key\":\"needle\",\"cut\":}\n\n");
            text.push_str(&"no line ends here ".repeat(300_000));
        }
    }
    let gz = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    fs::write(logs.join("a.json"), &json).unwrap();
    fs::write(logs.join("b.json.gz"), gz(&json)).unwrap();
    let cut = gz(&json[..200_000]);
    fs::write(logs.join("c.json.gz"), &cut[..cut.len() - 100]).unwrap();
    fs::write(logs.join("d-server.log"), &server).unwrap();
    fs::write(logs.join("e.csv"), format!("time,user,key\n{}", "2026-11-24T03:00:00Z,u1,\"needle\n\"\n".repeat(9)))
        .unwrap();
    fs::write(logs.join("f.txt"), &text).unwrap();
    fs::write(logs.join("g-empty.log"), "").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", logs.join("h-link.log")).unwrap();
}

fn scan(root: &Path, more: &[&str]) -> Ran {
    finish(program(root).args(["scan", "logs", "logs", "gone.log", "--rules", "rules.yml"]).args(more))
}

fn without_times(text: &str) -> String {
    Regex::new(r#"\d+ ms|"elapsed_ms":\d+"#).unwrap().replace_all(text, "TIME").into_owned()
}

/// Scans all shards, each in a program of its own.
fn shards(root: &Path, count: usize, out: &str) {
    for index in 1..=count {
        let ran = scan(root, &["--shard", &format!("{index}/{count}"), "--output", out]);
        // Some shards read the file that was cut off; all see the paths that are none.
        let ran = ran.expect(5);
        assert!(ran.stdout.contains(&format!("shard {index}/{count}: ")), "{}", ran.stdout);
    }
}

#[test]
fn merged_shards_are_the_scan_of_everything() {
    let temporary = folder();
    let root = temporary.path();
    logs(root);
    let (text, json) = (scan(root, &[]).expect(3), scan(root, &["--format", "json"]).expect(3));
    let found = |id: &str| json.of_type("finding").iter().filter(|finding| finding["rule"]["id"] == id).count();
    assert!(found("needle") > 8 * 4 + 9 && found("often") > 0, "{}", json.stdout);
    assert!(text.stdout.contains("not covered: logs/a.json: 1 records"), "{}", text.stdout);
    for count in [1, 2, 3, 5, 7] {
        let out = format!("out-{count}");
        shards(root, count, &out);
        let merge = |format| run(root, &["--format", format, "scan", "merge", &out, "--rules", "rules.yml"]).expect(3);
        assert_eq!(without_times(&merge("text").stdout), without_times(&text.stdout), "{count} shards");
        assert_eq!(without_times(&merge("json").stdout), without_times(&json.stdout), "{count} shards");
    }
}

#[test]
fn what_is_missing_spoilt_or_of_another_scan_is_named() {
    let temporary = folder();
    let root = temporary.path();
    logs(root);
    shards(root, 3, "out");
    let merge = |more: &[&str]| finish(program(root).args(["scan", "merge", "--rules", "rules.yml"]).args(more));
    let (one, two) = ("out/shard-1-of-3.jsonl", "out/shard-2-of-3.jsonl");
    let missing = merge(&[one, "out/shard-3-of-3.jsonl"]).expect(5);
    assert!(missing.stderr.contains("shards are missing: 2/3") && missing.stdout.is_empty(), "{}", missing.stderr);
    let partial = merge(&["--partial", one, "out/shard-3-of-3.jsonl"]).expect(3);
    assert!(partial.stdout.contains("unreadable: shard 2/3: it is missing"), "{}", partial.stdout);
    // A part of a file without what comes before it.
    assert!(partial.stdout.contains("are missing: from there, records are counted without them"), "{}", partial.stdout);
    let twice = merge(&["out", two]).expect(2);
    assert!(twice.stderr.contains("shard 2/3 is there twice"), "{}", twice.stderr);

    let whole = fs::read(root.join(two)).unwrap();
    fs::write(root.join(two), &whole[..whole.len() / 2]).unwrap();
    let spoilt = merge(&["out"]).expect(1);
    assert!(spoilt.stderr.contains(two) && spoilt.stderr.contains("ends before its last line"), "{}", spoilt.stderr);
    let partial = merge(&["out", "--partial"]).expect(3);
    assert!(partial.stdout.contains("shard 2/3: it is missing") && partial.stdout.contains(two), "{}", partial.stdout);

    let other = finish(program(root).args([
        "scan",
        "logs",
        "logs/a.json",
        "--rules",
        "rules.yml",
        "--shard",
        "2/3",
        "--output",
        "out",
    ]));
    other.expect(0);
    let refused = merge(&["out"]).expect(2);
    assert!(
        refused.stderr.contains("was made with other inputs than out/shard-1-of-3.jsonl: 1 files"),
        "{}",
        refused.stderr
    );
    fs::write(root.join("rules.yml"), RULES.replace("needle\n  condition", "nadel\n  condition")).unwrap();
    scan(root, &["--shard", "2/3", "--output", "out"]).expect(5);
    assert!(merge(&["out"]).expect(2).stderr.contains("other rules"));
    let rules = merge(&["--partial", one]).expect(2);
    assert!(rules.stderr.contains("other rules or indicators than these"), "{}", rules.stderr);
}

#[test]
fn an_engine_tells_the_shard_and_standard_output_takes_it() {
    let temporary = folder();
    let root = temporary.path();
    logs(root);
    let job = |index: &str, more: &[&str]| {
        let mut command: Command = program(root);
        command.args(["scan", "logs", "logs/a.json", "--rules", "rules.yml", "--shard", "auto"]).args(more);
        command.env("JOB_COMPLETION_INDEX", index).env("PORTCULLIS_SHARDS", "2");
        finish(&mut command)
    };
    for index in ["0", "1"] {
        let ran = job(index, &["--output", "-"]).expect(0);
        fs::write(root.join(format!("{index}.jsonl")), ran.stdout).unwrap();
    }
    let merged = run(root, &["scan", "merge", "1.jsonl", "0.jsonl", "--rules", "rules.yml"]).expect(3);
    let whole = run(root, &["scan", "logs", "logs/a.json", "--rules", "rules.yml"]).expect(3);
    assert_eq!(without_times(&merged.stdout), without_times(&whole.stdout));
    let unclear = scan(root, &["--shard", "auto"]).expect(2);
    assert!(unclear.stderr.contains("no job of an array"), "{}", unclear.stderr);
    let stdin = run(root, &["scan", "logs", "-", "--rules", "rules.yml", "--shard", "1/2"]).expect(2);
    assert!(stdin.stderr.contains("standard input"), "{}", stdin.stderr);
}
