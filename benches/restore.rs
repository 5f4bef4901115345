//! A dump of trades and orders restored by this program and by `gunzip -c FILE | psql`, and verified against `gzip -t`, in the same run.
//! `PORTCULLIS_BENCH_ROWS` (default 450000) trades and as many orders; 4500000 make a dump of 1.2 GB.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::cast_precision_loss)]

mod cluster;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::Cluster;

const CREDENTIALS: &str = "version: 1
credentials:
  - id: jwt
    issuer: { kind: self_made }
    kept: [{ store: dotenv, path: .env, key: JWT_SECRET }]
    proof: { kind: store }
";

fn schema(rows: u64) -> String {
    let common = "'acc_' || (1 + i % 1000), 'SYM' || (i % 300), CASE i % 2 WHEN 0 THEN 'BUY' ELSE 'SELL' END, (i % 977) + 0.12345678, (i % 5003) + 0.5";
    let times =
        "'2025-01-01'::timestamp + i * interval '5 seconds', '2025-01-01'::timestamp + i * interval '5 seconds'";
    format!(
        "CREATE TABLE \"Order\" (id bigserial PRIMARY KEY, \"accountId\" text NOT NULL, symbol text NOT NULL, side text NOT NULL, quantity numeric(18,8) NOT NULL, price numeric(18,8) NOT NULL, status text NOT NULL, \"createdAt\" timestamp(3) NOT NULL, \"updatedAt\" timestamp(3) NOT NULL);
         CREATE TABLE \"Trade\" (id bigserial PRIMARY KEY, \"accountId\" text NOT NULL, symbol text NOT NULL, side text NOT NULL, quantity numeric(18,8) NOT NULL, price numeric(18,8) NOT NULL, value numeric(18,8) NOT NULL, \"apiKeyId\" text, status text NOT NULL, \"createdAt\" timestamp(3) NOT NULL, \"updatedAt\" timestamp(3) NOT NULL);
         INSERT INTO \"Order\" (\"accountId\", symbol, side, quantity, price, status, \"createdAt\", \"updatedAt\") SELECT {common}, 'filled', {times} FROM generate_series(1, {rows}) i;
         INSERT INTO \"Trade\" (\"accountId\", symbol, side, quantity, price, value, \"apiKeyId\", status, \"createdAt\", \"updatedAt\") SELECT {common}, (i % 977) * 2, 'key_' || (i % 1000), 'settled', {times} FROM generate_series(1, {rows}) i;
         CREATE INDEX ON \"Order\" (\"createdAt\"); CREATE INDEX ON \"Order\" (\"accountId\"); CREATE INDEX ON \"Trade\" (\"createdAt\"); CREATE INDEX ON \"Trade\" (\"accountId\", \"createdAt\")"
    )
}

fn shell(line: &str) -> Duration {
    let began = Instant::now();
    let status = Command::new("bash").args(["-o", "pipefail", "-c", line]).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{line}");
    began.elapsed()
}

/// Runs the program; how long it took, what it said, and its peak memory in MiB.
fn portcullis(root: &Path, url: &str, words: &[&str]) -> (Duration, String, u64) {
    let began = Instant::now();
    let out = root.join("out");
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(words)
        .current_dir(root)
        .env("DATABASE_URL", url)
        .env("PORTCULLIS_OPERATOR", "bench")
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let status = loop {
        let text = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) / 1024);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = fs::read_to_string(&out).unwrap();
    assert!(status.success(), "{words:?}: {said}");
    (began.elapsed(), said, peak)
}

fn main() {
    let rows: u64 = std::env::var("PORTCULLIS_BENCH_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(450_000);
    let cluster = Cluster::start("trust", "bench");
    let url = |name: &str| format!("postgres://postgres:bench@127.0.0.1:{}/{name}", cluster.port);
    let psql = |name: &str, sql: &str| {
        let done =
            Command::new("psql").args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &url(name), "-c", sql]).status();
        assert!(done.unwrap().success(), "{sql}");
    };
    psql("postgres", "CREATE DATABASE trading");
    psql("trading", &schema(rows));
    let root = tempfile::tempdir().unwrap();
    for (path, text) in portcullis::policy::shipped::SHIPPED {
        let text = match *path {
            "credentials.yml" => CREDENTIALS,
            "recovery.yml" => "version: 1\nrpo_minutes: 100000000\n",
            _ => text,
        };
        let path = root.path().join("policies").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir(root.path().join("backups")).unwrap();
    fs::write(root.path().join(".env"), "JWT_SECRET=x\n").unwrap();
    let file = root.path().join("backups/db_backup_20251124_010000.sql.gz");
    shell(&format!("pg_dump -d {} | gzip -6 > {}", url("trading"), file.display()));
    let text = format!("gunzip -c {} | wc -c", file.display());
    let bytes = String::from_utf8(Command::new("bash").args(["-c", &text]).output().unwrap().stdout).unwrap();
    println!("{rows} trades and orders, {} MB of text", bytes.trim().parse::<u64>().unwrap() / 1_000_000);

    let gzip = shell(&format!("gzip -t {}", file.display()));
    let (verified, _, peak) = portcullis(root.path(), &url("trading"), &["backup", "verify"]);
    let ratio = verified.as_secs_f64() / gzip.as_secs_f64();
    println!(
        "verify   {:.2} s, gzip -t {:.2} s: ratio {ratio:.2} (bar 0.5), peak {peak} MiB",
        verified.as_secs_f64(),
        gzip.as_secs_f64()
    );

    psql("postgres", "CREATE DATABASE by_psql");
    let theirs = shell(&format!("gunzip -c {} | psql -X -q -v ON_ERROR_STOP=1 -d {}", file.display(), url("by_psql")));
    portcullis(root.path(), &url("trading"), &["pause", "on", "--yes"]);
    // What lies between is not what is measured: the live database is gone.
    psql("postgres", "DROP DATABASE trading WITH (FORCE)");
    let file = "backups/db_backup_20251124_010000.sql.gz";
    let (whole, said, peak) = portcullis(root.path(), &url("trading"), &["--format", "json", "restore", file, "--yes"]);
    let step = |name: &str| -> f64 {
        let lines = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let spent: u64 = lines
            .filter(|line| line["type"] == "step" && line["id"].as_str().is_some_and(|id| id.ends_with(name)))
            .filter_map(|line| line["elapsed_ms"].as_u64())
            .sum();
        Duration::from_millis(spent).as_secs_f64()
    };
    let ours = step(".restore") + step(".validate");
    let ratio = ours / theirs.as_secs_f64();
    println!(
        "restore  {ours:.2} s with validation, gunzip | psql {:.2} s: ratio {ratio:.2} (bar 0.75), peak {peak} MiB (bar 256)",
        theirs.as_secs_f64()
    );
    println!(
        "whole    {:.1} s from the command to the end (RTO 900 s), verification of the backup before it included",
        whole.as_secs_f64()
    );
}
