//! The guard on PostgreSQL: what was open before the pause can't trade after it, whatever its isolation; and what goes
//! wrong on the way to a database is said with a hint.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::peers::Postgres;

/// A psql session that is kept open.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Session {
    fn open(url: &str) -> Self {
        let mut child = Command::new("psql")
            .args(["-X", "-q", "-A", "-t", "-d", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// Runs SQL and waits until it is done.
    fn run(&mut self, sql: &str) {
        writeln!(self.input, "{sql};\n\\echo done").unwrap();
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 && !line.ends_with("done\n") {}
    }

    /// Sends SQL; whether it could still be done is for the table to say.
    fn send(mut self, sql: &str) {
        let _ = writeln!(self.input, "{sql};");
        drop(self.input);
        let _ = self.child.wait();
    }
}

/// Runs `portcullis` in `root`; exit code and everything it said.
fn portcullis(root: &Path, url: &str, words: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(words)
        .current_dir(root)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("DATABASE_URL", url)
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), text)
}

fn deployment() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in portcullis::policy::shipped::SHIPPED {
        let path = root.path().join("policies").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

const TABLE: &str = "CREATE TABLE \"Trade\" (id bigserial, symbol text NOT NULL, at timestamp NOT NULL DEFAULT now(), PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE trade_all PARTITION OF \"Trade\" DEFAULT;";

#[test]
fn nothing_that_was_open_before_the_pause_trades_after_it() {
    let Some(postgres) = Postgres::fresh("guard") else { return };
    postgres.sql(TABLE);
    let root = deployment();
    let (code, text) = portcullis(root.path(), &postgres.url, &["install"]);
    assert_eq!(code, 0, "{text}");
    let insert = "INSERT INTO \"Trade\" (symbol) VALUES";
    // One has inserted, one will insert, one holds an old snapshot under which the flag is not set.
    let (mut inserted, mut idle, mut old) =
        (Session::open(&postgres.url), Session::open(&postgres.url), Session::open(&postgres.url));
    inserted.run(&format!("BEGIN; {insert} ('C')"));
    idle.run("BEGIN; SELECT 1");
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM \"Trade\"");
    let (code, text) = portcullis(root.path(), &postgres.url, &["pause", "on", "--yes"]);
    assert_eq!(code, 0, "{text}");
    inserted.send("COMMIT");
    idle.send(&format!("{insert} ('RC'); COMMIT"));
    old.send(&format!("{insert} ('RR'); COMMIT"));
    assert_eq!(postgres.sql("SELECT count(*) FROM \"Trade\""), "0");
    // Neither around the parent, nor in bulk, nor with triggers meant for replication switched off.
    for sql in [
        "INSERT INTO trade_all (id, symbol) VALUES (7, 'direct')",
        "INSERT INTO \"Trade\" (symbol) SELECT 'bulk' FROM generate_series(1, 10)",
        "SET session_replication_role = replica; INSERT INTO \"Trade\" (symbol) VALUES ('replica')",
    ] {
        let refused = crate::peers::psql(&postgres.url, sql).unwrap_err();
        assert!(refused.contains("trading is paused by portcullis"), "{sql}: {refused}");
    }
    let (code, text) = portcullis(root.path(), &postgres.url, &["pause", "status"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("engaged") && text.contains("superuser"), "who could get past it is named: {text}");
}

#[test]
fn without_the_guard_the_pause_brings_it_past_those_that_hold_the_table() {
    let Some(postgres) = Postgres::fresh("late") else { return };
    postgres.sql(TABLE);
    let root = deployment();
    let mut holder = Session::open(&postgres.url);
    holder.run("BEGIN; INSERT INTO \"Trade\" (symbol) VALUES ('held')");
    let (code, text) = portcullis(root.path(), &postgres.url, &["pause", "on", "--yes"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("guard installed now"), "{text}");
    holder.send("COMMIT");
    assert_eq!(postgres.sql("SELECT count(*) FROM \"Trade\""), "0");
}

#[test]
fn what_goes_wrong_on_the_way_to_the_database_is_said() {
    let Some(postgres) = Postgres::fresh("wrong") else { return };
    let root = deployment();
    let (base, _) = postgres.url.rsplit_once('/').unwrap();
    let wrong_password = format!("postgres://postgres:hunter2-wrong@{}/{}", postgres.place, postgres.name);
    let cases = [
        (wrong_password.as_str(), 1, "password authentication failed"),
        ("postgres://postgres:hunter2-wrong@127.0.0.1:1/x", 1, "127.0.0.1:1/x"),
        (&format!("{base}/no_such_database"), 1, "does not exist"),
        (postgres.url.as_str(), 1, "no table `Trade`"),
        ("mysql://u:hunter2-wrong@h/x", 2, "neither postgres"),
    ];
    for (url, expected, words) in cases {
        let (code, text) = portcullis(root.path(), url, &["scan", "trades"]);
        assert_eq!(code, expected, "{text}");
        assert!(text.contains(words), "`{words}` in: {text}");
        assert!(!text.contains("hunter2-wrong"), "{text}");
    }
    // With the database down, everything else is still done, and the exit code says what is missing.
    fs::write(root.path().join(".env"), "JWT_SECRET=old-secret-of-tests\nDATABASE_URL=x\n").unwrap();
    let down = "postgres://postgres:hunter2-wrong@127.0.0.1:1/x";
    let (code, text) = portcullis(root.path(), down, &["lockdown", "--reason", "database down", "--yes"]);
    assert_eq!(code, 5, "{text}");
    assert!(root.path().join("PAUSED").exists(), "the file switch is engaged all the same: {text}");
    let env = fs::read_to_string(root.path().join(".env")).unwrap();
    assert!(!env.contains("old-secret-of-tests"), "the JWT secret is replaced all the same: {text}");
}
