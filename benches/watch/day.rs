//! Hours at a hundred times their speed: rotation, truncation, restarts, an intruder now and then, and one who is stopped.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::watched::{Alert, Pace, Watched, append, deployment, line, program};

/// How much faster the clock runs.
const SPEED: u32 = 100;
/// Minutes between two events that are planted, two rotations, two restarts.
const PLANTED: u32 = 17;
const ROTATED: u32 = 60;
const RESTARTED: u32 = 290;
/// Lines of a minute.
const LINES: u64 = 120;
/// A stretch that nobody watched for so long is named; shorter ones are a restart.
const BEAT: i64 = 60;

fn preload() -> String {
    let folders = fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("faketime"));
    let found = folders.map(|folder| folder.join("libfaketime.so.1")).find(|path| path.exists());
    found.expect("libfaketime is installed (Debian: faketime)").display().to_string()
}

/// What the ledger says of the time: watched stretches, and gaps in words.
fn accounted(case: &Path) -> (Vec<(Timestamp, Timestamp)>, Vec<String>) {
    let ledger = fs::read_to_string(case.join("ledger.jsonl")).unwrap();
    let (mut stretches, mut gaps) = (Vec::new(), Vec::new());
    for line in ledger.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let event = &entry["event"];
        if event["kind"] == "watch.covered" {
            let time = |name: &str| event[name].as_str().unwrap().parse::<Timestamp>().unwrap();
            stretches.push((time("from"), time("to")));
            gaps.extend(
                event["gaps"].as_array().into_iter().flatten().filter_map(|gap| gap.as_str().map(String::from)),
            );
        }
    }
    (stretches, gaps)
}

fn rotate(logs: &Path, number: u32) {
    let access = logs.join("access.log");
    if number.is_multiple_of(2) {
        fs::rename(&access, logs.join(format!("access.log.{number}"))).unwrap();
    } else {
        // Copied and emptied, as logrotate's copytruncate does, in a quiet moment.
        std::thread::sleep(Duration::from_millis(100));
        fs::copy(&access, logs.join(format!("access.log.{number}"))).unwrap();
        append(&access).set_len(0).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Runs so many hours; what went wrong is added.
pub fn run(hours: u32, wrong: &mut Vec<String>) {
    let (_folder, root) = deployment();
    let start = Timestamp::now();
    let pace = Pace { preload: preload(), faketime: format!("@{} x{SPEED}", start.strftime("%Y-%m-%d %H:%M:%S")) };
    let (began, first) = (Instant::now(), Timestamp::from_second(start.as_second()).unwrap());
    // The program's clock starts anew with each process: each is told where it is.
    let pace_now = || {
        let at = first + SignedDuration::try_from(began.elapsed() * SPEED).unwrap();
        Pace { preload: pace.preload.clone(), faketime: format!("@{} x{SPEED}", at.strftime("%Y-%m-%d %H:%M:%S")) }
    };
    let logs = root.join("logs");
    let folder = logs.display().to_string();
    let words = [folder.as_str(), "--min-level", "medium", "--auto-pause", "critical"];
    let mut watching = Watched::start(&root, &words, Some(&pace_now()));
    let (mut alerts, mut planted, mut number): (Vec<Alert>, BTreeMap<u64, u32>, u64) = (Vec::new(), BTreeMap::new(), 0);
    let (mut rotations, mut restarts) = (0, 0);
    for minute in 1..=hours * 60 {
        let due = Duration::from_mins(1) * minute / SPEED;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let time = first + SignedDuration::try_from(began.elapsed() * SPEED).unwrap();
        let mut text = String::new();
        for one in 0..LINES {
            number += 1;
            let probe = minute % PLANTED == 0 && one == LINES / 2;
            text.push_str(&line(number, probe, time));
            if probe {
                planted.insert(number, minute);
            }
        }
        append(&logs.join("access.log")).write_all(text.as_bytes()).unwrap();
        if minute % ROTATED == 0 {
            rotations += 1;
            rotate(&logs, rotations);
        }
        if minute % RESTARTED == 0 {
            restarts += 1;
            alerts.extend(if restarts % 2 == 0 { watching.stop().alerts } else { watching.kill().alerts });
            watching = Watched::start(&root, &words, Some(&pace_now()));
        }
    }
    // The intruder is back with a key that is dead.
    let dead = dead_value_line(&root);
    append(&logs.join("app.log")).write_all(dead.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_secs(4));
    let told = watching.stop();
    let summary = told.summary.unwrap_or_default();
    alerts.extend(told.alerts);
    let mut twice = BTreeMap::new();
    for alert in &alerts {
        *twice.entry(alert.text.split("\"id\":\"").nth(1).map(|rest| rest[..20].to_owned())).or_insert(0) += 1;
    }
    wrong.extend(
        twice.iter().filter(|(_, count)| **count > 1).map(|(id, count)| format!("{id:?} was told {count} times")),
    );
    for (number, minute) in &planted {
        let mark = format!("order={number}'");
        let count = alerts.iter().filter(|alert| alert.text.contains(&mark)).count();
        if count != 1 {
            wrong.push(format!("the probe of minute {minute} was told {count} times"));
        }
    }
    if summary["pauses"] != 1 {
        wrong.push(format!("the gate was dropped {} times", summary["pauses"]));
    }
    paused(&root, wrong);
    minutes(&root, first, wrong);
    println!("{:<58}{:>9}", "hours", hours);
    println!("{:<58}{:>9}", "lines", number);
    println!("{:<58}{:>9}", "rotations", rotations);
    println!("{:<58}{:>9}", "restarts, every other one a kill", restarts);
    println!("{:<58}{:>9}", "planted events, each told once", planted.len());
    println!("{:<58}{:>9}", "alerts in all", alerts.len());
}

/// A line with a value that was rotated: the log in which it leaked has it still.
fn dead_value_line(root: &Path) -> String {
    let ran = program(root, None)
        .arg("--embedded")
        .arg(root)
        .args(["--format", "json", "scan", "secrets"])
        .arg(root.join("logs"))
        .output()
        .unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    let finding = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|one| {
            one["type"] == "finding" && one["source"]["path"].as_str().is_some_and(|path| path.ends_with("app.log"))
        })
        .unwrap();
    let number = usize::try_from(finding["source"]["line"].as_u64().unwrap()).unwrap();
    let log = fs::read_to_string(root.join("logs/app.log")).unwrap();
    format!("{}\n", log.lines().nth(number - 1).unwrap())
}

/// The pause that the last alert made was proven by a refused trade.
fn paused(root: &Path, wrong: &mut Vec<String>) {
    let ran = program(root, None)
        .arg("--embedded")
        .arg(root)
        .args(["--format", "json", "incident", "list"])
        .output()
        .unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    let open = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|one| one["type"] == "incident" && one["status"] == "open");
    if !open.is_some_and(|one| one["paused"] == true) {
        wrong.push("no incident is open with a proven pause".into());
    }
}

/// Every minute of the watched case is in a stretch, or its gap has a name.
fn minutes(root: &Path, first: Timestamp, wrong: &mut Vec<String>) {
    let mut cases: Vec<_> =
        fs::read_dir(root.join(".portcullis/incidents")).unwrap().flatten().map(|entry| entry.path()).collect();
    cases.sort();
    let (mut stretches, gaps) =
        cases.iter().map(|case| accounted(case)).fold((Vec::new(), Vec::new()), |mut all, one| {
            all.0.extend(one.0);
            all.1.extend(one.1);
            all
        });
    stretches.sort();
    let (mut at, mut unnamed) = (first, 0);
    for (from, to) in &stretches {
        let missing = from.as_second() - at.as_second();
        if missing > BEAT {
            unnamed += 1;
            wrong.push(format!("{missing} s until {from} are not accounted for"));
        }
        at = at.max(*to);
    }
    println!(
        "{:<58}{:>9.1}",
        "hours in the ledger",
        f64::from(i32::try_from(at.as_second() - first.as_second()).unwrap_or(i32::MAX)) / 3600.0
    );
    println!(
        "{:<58}{:>9}",
        "stretches, gaps with a name, without",
        format!("{} {} {unnamed}", stretches.len(), gaps.len())
    );
    for gap in gaps.iter().take(10) {
        println!("    {gap}");
    }
}
