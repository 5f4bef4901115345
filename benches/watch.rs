//! `watch` under load: how long from a log line, and from a committed trade, to its alert, and how much memory it holds; and, with
//! `WATCH_HOURS=24`, a day at a hundred times its speed with rotations, kills and planted events, after which the ledger
//! must account for every minute. Ends with 1 if an event was missed, told twice, or not accounted for.
//!
//! `cargo bench --bench watch`; the day needs Debian's `faketime` and a quarter of an hour.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod cluster;
#[path = "watch/day.rs"]
mod day;
#[path = "watch/watched.rs"]
mod watched;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use cluster::Cluster;
use watched::{Watched, append, deployment, line, percentile, program};

/// Lines a second, and for how long.
const RATE: u32 = 5_000;
const SECONDS: u32 = 30;
/// Lines of one write.
const CHUNK: u32 = 50;
/// One line of so many is a probe.
const PROBE_EVERY: u32 = 500;
/// Bars: 99th percentile of a line and of a trade in ms, memory in MB.
const BARS: [f64; 3] = [1000.0, 1000.0, 128.0];

/// Latencies of alerts of lines, in ms, and the peak of memory in MB.
fn lines(wrong: &mut Vec<String>) -> (Vec<f64>, f64) {
    let (_folder, root) = deployment();
    let access = root.join("logs/access.log");
    let mut watching =
        Watched::start(&root, &[&root.join("logs").display().to_string(), "--min-level", "medium"], None);
    let mut file = append(&access);
    let began = Instant::now();
    let mut planted: BTreeMap<u64, Instant> = BTreeMap::new();
    for chunk in 0..RATE * SECONDS / CHUNK {
        let due = Duration::from_secs(1) * chunk * CHUNK / RATE;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let mut text = String::new();
        let mut probes = Vec::new();
        for number in chunk * CHUNK..(chunk + 1) * CHUNK {
            let probe = number % PROBE_EVERY == PROBE_EVERY - 1;
            text.push_str(&line(u64::from(number), probe, jiff::Timestamp::now()));
            if probe {
                probes.push(u64::from(number));
            }
        }
        file.write_all(text.as_bytes()).unwrap();
        let now = Instant::now();
        planted.extend(probes.into_iter().map(|number| (number, now)));
    }
    std::thread::sleep(Duration::from_secs(3));
    let memory = watching.peak_memory();
    let told = watching.stop();
    let mut latencies = Vec::new();
    for (number, at) in &planted {
        let mark = format!("order={number}'");
        match told.alerts.iter().filter(|alert| alert.text.contains(&mark)).collect::<Vec<_>>()[..] {
            [one] => latencies.push(one.at.saturating_duration_since(*at).as_secs_f64() * 1000.0),
            ref other => wrong.push(format!("the probe of order {number} was told {} times", other.len())),
        }
    }
    (latencies, memory)
}

async fn sql(connection: &mut PgConnection, text: &str) {
    connection.execute(AssertSqlSafe(text.to_owned())).await.unwrap_or_else(|error| panic!("{text}: {error}"));
}

/// Latencies of alerts of trades on PostgreSQL, in ms: among fifty a second, one a second that can not be.
async fn trades(wrong: &mut Vec<String>) -> Vec<f64> {
    let cluster = Cluster::start("trust", "unused");
    let mut connection = PgConnection::connect_with(&cluster.options("postgres")).await.unwrap();
    let table = "CREATE TABLE \"Trade\" (id bigserial PRIMARY KEY, symbol text NOT NULL, side text NOT NULL, quantity numeric(28,8) NOT NULL, price numeric(28,8) NOT NULL, \"createdAt\" timestamp(3) NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')); CREATE INDEX ON \"Trade\" (\"createdAt\")";
    sql(&mut connection, table).await;
    // A day before.
    sql(&mut connection, "INSERT INTO \"Trade\" (symbol, side, quantity, price, \"createdAt\") SELECT 'BTC', 'BUY', 1, 100, (now() AT TIME ZONE 'UTC') - interval '1 day' * i / 200000 FROM generate_series(1, 200000) i").await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgresql://postgres@127.0.0.1:{}/postgres", cluster.port);
    fs::write(folder.path().join(".env"), format!("DATABASE_URL={url}\n")).unwrap();
    for words in [vec!["init"], vec!["install"]] {
        let ended = program(folder.path(), None).args(&words).output().unwrap();
        assert!(ended.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    let watching = Watched::start(folder.path(), &["--min-level", "high"], None);
    let mut planted: BTreeMap<i64, Instant> = BTreeMap::new();
    let began = Instant::now();
    for number in 0..50 * SECONDS {
        let due = Duration::from_millis(20) * number;
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        let bad = number % 50 == 37;
        let insert = format!(
            "INSERT INTO \"Trade\" (symbol, side, quantity, price) VALUES ('BTC', 'BUY', {}, 100) RETURNING id",
            i32::from(!bad)
        );
        let id: i64 = sqlx::query_scalar(AssertSqlSafe(insert)).fetch_one(&mut connection).await.unwrap();
        if bad {
            planted.insert(id, Instant::now());
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let told = watching.stop();
    let mut latencies = Vec::new();
    for (id, at) in &planted {
        let of_it = |alert: &&watched::Alert| alert.rule == "impossible-number" && alert.row == Some(id.to_string());
        match told.alerts.iter().filter(of_it).collect::<Vec<_>>()[..] {
            [one] => latencies.push(one.at.saturating_duration_since(*at).as_secs_f64() * 1000.0),
            ref other => wrong.push(format!("trade {id} was told {} times", other.len())),
        }
    }
    latencies
}

fn main() -> ExitCode {
    // `cargo test --benches` only asks whether it can be built.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let mut wrong = Vec::new();
    if let Some(hours) = std::env::var("WATCH_HOURS").ok().and_then(|text| text.parse().ok()) {
        day::run(hours, &mut wrong);
    } else {
        let (mut of_lines, memory) = lines(&mut wrong);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut of_trades = runtime.block_on(trades(&mut wrong));
        println!("{:<58}{:>9.0}", format!("lines at {RATE}/s: probes told"), of_lines.len());
        println!(
            "{:<58}{:>9.0}{:>9.0}",
            "from line to alert (ms, median, most)",
            percentile(&mut of_lines, 50.0),
            percentile(&mut of_lines, 100.0)
        );
        println!("{:<58}{:>9.0}", "trades: impossible ones told", of_trades.len());
        println!(
            "{:<58}{:>9.0}{:>9.0}",
            "from commit to alert (ms, median, most)",
            percentile(&mut of_trades, 50.0),
            percentile(&mut of_trades, 100.0)
        );
        let names = ["line to alert (ms, 99 %)", "trade to alert (ms, 99 %)", "peak memory (MB)"];
        let figures = [percentile(&mut of_lines, 99.0), percentile(&mut of_trades, 99.0), memory];
        println!("{:<58}{:>9}{:>9}", "", "measured", "bar");
        for ((name, figure), bar) in names.iter().zip(figures).zip(BARS) {
            println!("{name:<58}{figure:>9.0}{bar:>9.0}{}", if figure <= bar { "" } else { "   over the bar" });
        }
    }
    for what in wrong.iter().take(20) {
        println!("WRONG: {what}");
    }
    println!("{:<58}{:>9}{:>9}", "missed, told twice, or not accounted for", wrong.len(), 0);
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
