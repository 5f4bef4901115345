//! `watch` where others tell what is new: the systemd journal by a real `journalctl`, and PostgreSQL by `NOTIFY`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::peers::{Postgres, optional};
use crate::support::embedded;

/// A `watch` whose records come through a channel, so that a test can stop waiting.
struct Watching {
    child: Child,
    records: Receiver<Value>,
}

impl Watching {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("watching") {
            line.clear();
            assert_ne!(err.read_line(&mut line).unwrap(), 0, "it ended before it began");
        }
        std::thread::spawn(move || err.read_to_end(&mut Vec::new()));
        let out: BufReader<ChildStdout> = BufReader::new(child.stdout.take().unwrap());
        let (sender, records) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap_or(Value::Null));
            }
        });
        Self { child, records }
    }

    /// The next finding of that rule, if one comes within a minute.
    fn finding(&self, rule: &str) -> Value {
        loop {
            let record = self.records.recv_timeout(Duration::from_mins(1)).expect("a finding comes");
            if record["type"] == "finding" && record["rule"]["id"] == rule {
                return record;
            }
        }
    }

    /// Stops it; how many findings of that rule nobody had asked for yet, and what it did not watch.
    fn stop(mut self, rule: &str) -> (usize, Value) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap();
        let rest: Vec<Value> = self.records.iter().collect();
        let summary = rest.iter().rfind(|record| record["type"] == "summary").expect("a summary");
        (rest.iter().filter(|record| record["rule"]["id"] == rule).count(), summary["gaps"].clone())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It has ended by itself where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Journal files as systemd writes them, by Debian's programs, unpacked.
struct Journal {
    packages: PathBuf,
    folder: tempfile::TempDir,
    number: u64,
}

impl Journal {
    fn new() -> Option<Self> {
        let packages = PathBuf::from(optional("PORTCULLIS_TEST_JOURNAL")?);
        let journal = Self { packages, folder: tempfile::tempdir().unwrap(), number: 0 };
        fs::create_dir(journal.files()).unwrap();
        let script = format!(
            "#!/bin/sh\nLD_LIBRARY_PATH={} exec {} \"$@\"\n",
            journal.libraries(),
            journal.packages.join("bin/journalctl").display()
        );
        let program = journal.folder.path().join("journalctl");
        fs::write(&program, script).unwrap();
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        Some(journal)
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    fn libraries(&self) -> String {
        let libraries = self.packages.join("usr/lib/x86_64-linux-gnu");
        format!("{}:{}", libraries.join("systemd").display(), libraries.display())
    }

    /// `PATH` with this `journalctl` first.
    fn path(&self) -> String {
        format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap())
    }

    /// Adds an entry, of now.
    fn add(&mut self, file: &str, unit: &str, message: &str) {
        self.number += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let entry = format!(
            "__REALTIME_TIMESTAMP={now}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=6c7c6013a8f84d1b8bb9c1a2a7a4b0d1\nMESSAGE\n",
            self.number * 1_000
        );
        let mut entry = entry.into_bytes();
        entry.extend_from_slice(&(message.len() as u64).to_le_bytes());
        entry.extend_from_slice(message.as_bytes());
        write!(entry, "\nSYSLOG_IDENTIFIER=sshd\n_SYSTEMD_UNIT={unit}\n\n").unwrap();
        let mut child = Command::new(self.packages.join("lib/systemd/systemd-journal-remote"))
            .arg(format!("--output={}", self.files().join(file).display()))
            .arg("-")
            .env("LD_LIBRARY_PATH", self.libraries())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&entry).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

fn write(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

const RULE: &str = "title: Planted\nid: planted\nstatus: stable\nlogsource:\n  product: linux\n  service: sshd\nlevel: high\ndetection:\n  planted:\n    message|contains: planted word\n    program: sshd\n  condition: planted\n";

fn watch(root: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.current_dir(root).env_clear().env("PATH", std::env::var_os("PATH").unwrap()).args(["--format", "json"]);
    command.args(words);
    command
}

#[test]
fn the_journal_is_followed_through_new_files_and_restarts() {
    let Some(mut journal) = Journal::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    embedded(root, &["init", "--yes"]).expect(0);
    let files = journal.files().display().to_string();
    write(
        root.join("policies/monitoring.yml"),
        &format!("version: 1\njournald: {{ units: [ssh.service], directory: '{files}' }}\n"),
    );
    write(root.join("rules/planted.yml"), RULE);
    let rules = root.join("rules").display().to_string();
    let start = |journal: &Journal| {
        let mut command = watch(root, &["watch", "--rules", &rules]);
        command.env("PATH", journal.path());
        Watching::start(command)
    };
    journal.add("a.journal", "ssh.service", "nothing\n\nof interest\n");
    let watching = start(&journal);
    journal.add("a.journal", "ssh.service", "planted word\n\nMESSAGE=one");
    let first = watching.finding("planted");
    assert_eq!(first["source"]["path"], "journald", "{first}");
    assert!(first["source"].get("line").is_none_or(Value::is_null), "an entry stands on no line: {first}");
    journal.add("a.journal", "cron.service", "planted word of another unit");
    // As a rotation leaves it.
    journal.add("b.journal", "ssh.service", "planted word two");
    let second = watching.finding("planted");
    assert_ne!(first["id"], second["id"]);
    assert_eq!(watching.stop("planted"), (0, Value::Array(Vec::new())));

    journal.add("b.journal", "ssh.service", "planted word, while nobody watches");
    let watching = start(&journal);
    let third = watching.finding("planted");
    let record = |finding: &Value| finding["source"]["record"].as_u64().unwrap();
    assert_eq!(record(&third), record(&second) + 1);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(watching.stop("planted"), (0, Value::Array(Vec::new())), "what was told is not told again");
}

#[test]
fn a_journal_that_can_not_be_read_is_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    embedded(root, &["init", "--yes"]).expect(0);
    write(root.join("policies/monitoring.yml"), "version: 1\njournald: { directory: /nowhere/at/all }\n");
    let watching = Watching::start(watch(root, &["watch"]));
    std::thread::sleep(Duration::from_secs(1));
    let (_, gaps) = watching.stop("planted");
    let gaps = gaps.as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap.as_str().unwrap().starts_with("journald: journalctl ")), "{gaps:?}");
}

/// What docs/POLICIES.md shows.
fn told_by() -> String {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/POLICIES.md")).unwrap();
    let from = text.find("CREATE FUNCTION tell_of_trades").expect("POLICIES.md shows how the database tells of trades");
    text[from..].split("```").next().unwrap().to_owned()
}

#[test]
fn the_database_tells_of_new_trades() {
    let Some(postgres) = Postgres::fresh("told") else { return };
    postgres.sql("CREATE TABLE \"Trade\" (id bigserial PRIMARY KEY, symbol text NOT NULL, side text NOT NULL, quantity numeric NOT NULL, price numeric NOT NULL, \"createdAt\" timestamp(3) NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'))");
    postgres.sql(&told_by());
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (path, text) in portcullis::policy::shipped::SHIPPED {
        write(root.join("policies").join(path), text);
    }
    // By itself it would look once in an hour.
    write(root.join("policies/monitoring.yml"), "version: 1\ntrades_every_ms: 3600000\ntrades_channel: trades\n");
    let start = || {
        let mut command = watch(root, &["watch", "--min-level", "high"]);
        command.env("DATABASE_URL", &postgres.url);
        Watching::start(command)
    };
    let watching = start();
    // Its own look at the beginning is over.
    std::thread::sleep(Duration::from_secs(3));
    let insert = "INSERT INTO \"Trade\" (symbol, side, quantity, price) VALUES ('BTC', 'BUY', 0, 100)";
    postgres.sql(insert);
    assert_eq!(watching.finding("impossible-number")["kind"], "trade");
    // The connection is lost: named, and made again.
    postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()");
    std::thread::sleep(Duration::from_secs(7));
    postgres.sql(insert);
    assert_eq!(watching.finding("impossible-number")["kind"], "trade");
    let (again, gaps) = watching.stop("impossible-number");
    assert_eq!(again, 0, "each is told once");
    assert!(gaps[0].as_str().unwrap().starts_with("notices of new trades: "), "{gaps}");
}
