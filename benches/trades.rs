//! The trade scan on a private PostgreSQL cluster: all shipped policies over N trades and N orders in one pass, against a serial
//! `count(*)` of the trades in the same run; a window of a week; the most memory that was held.
//!
//! `PORTCULLIS_BENCH_ROWS=1000000 cargo bench --bench trades`; 10 million without it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

use std::fs;
use std::time::{Duration, Instant};

use portcullis::adapters::login::Login;
use portcullis::adapters::postgres::PostgresDatabase;
use portcullis::detect::trades::policy::TradePolicy;
use portcullis::domain::Timestamp;
use portcullis::engine::scan_trades::{TradeScan, TradeScanResult, run};
use portcullis::policy::shipped::SHIPPED;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};

mod cluster;

use cluster::Cluster;

const ROUNDS: usize = 3;

async fn sql(connection: &mut PgConnection, text: String) {
    connection.execute(AssertSqlSafe(text.clone())).await.unwrap_or_else(|error| panic!("{text}: {error}"));
}

/// Three months of business of 2000 accounts, and one intrusion of each of a few kinds.
async fn fill(connection: &mut PgConnection, rows: u32) {
    let tables = "CREATE TABLE \"Account\" (id text PRIMARY KEY, \"tradeLimit\" numeric, \"dailyLimit\" numeric, \"createdAt\" timestamp(3) NOT NULL);
        CREATE TABLE \"ApiKey\" (id text PRIMARY KEY, \"accountId\" text NOT NULL, \"createdAt\" timestamp(3) NOT NULL, \"revokedAt\" timestamp(3));
        CREATE TABLE \"Order\" (id bigint PRIMARY KEY, \"accountId\" text NOT NULL, symbol text NOT NULL, side text NOT NULL, quantity numeric(28,12) NOT NULL, status text NOT NULL, \"createdAt\" timestamp(3) NOT NULL);
        CREATE TABLE \"Trade\" (id bigint PRIMARY KEY, \"accountId\" text NOT NULL, \"apiKeyId\" text, \"orderId\" bigint, symbol text NOT NULL, side text NOT NULL, quantity numeric(28,12) NOT NULL, price numeric(28,12) NOT NULL, value numeric(38,12), status text NOT NULL, \"createdAt\" timestamp(3) NOT NULL, \"updatedAt\" timestamp(3) NOT NULL);
        INSERT INTO \"Account\" SELECT 'account_' || n, 10000000, 1000000000, '2025-01-01' FROM generate_series(0, 1999) n;
        INSERT INTO \"ApiKey\" SELECT 'key_' || n, 'account_' || n, '2025-01-01', NULL FROM generate_series(0, 1999) n;";
    sql(connection, tables.into()).await;
    let step = 90.0 * 86_400.0 / f64::from(rows);
    // Multiplication by odd numbers modulo a prime scatters accounts and prices without a random source.
    let who = "(n * 7919 % 104729 % 2000)";
    let when = format!("(timestamp '2026-08-22' + n * {step} * interval '1 second')");
    let side = "(CASE WHEN n * 31 % 7 < 4 THEN 'BUY' ELSE 'SELL' END)";
    let quantity = "((n * 48271 % 9973 + 1)::numeric / 100)";
    let price = "((100 + n % 40) * (100 + n * 69621 % 97 / 50.0))::numeric(28,2)";
    for from in (0..rows).step_by(1_000_000) {
        let to = (from + 1_000_000).min(rows);
        let series = format!("generate_series({}, {to}) n", from + 1);
        sql(connection, format!(
            "INSERT INTO \"Order\" SELECT n, 'account_' || {who}, 'SYM' || n % 40, {side}, {quantity}, 'FILLED', {when} - interval '2 seconds' FROM {series};
             INSERT INTO \"Trade\" SELECT n, 'account_' || {who}, 'key_' || {who}, n, 'SYM' || n % 40, {side}, {quantity}, {price}, {quantity} * {price}, 'FILLED', {when}, {when} + interval '1 second' FROM {series};"
        )).await;
    }
    let n = u64::from(rows);
    let planted = format!(
        "UPDATE \"Trade\" SET \"apiKeyId\" = 'key_ghost' WHERE id = {};
         UPDATE \"Trade\" SET price = price * 5, value = value * 5 WHERE id = {};
         UPDATE \"Trade\" SET \"orderId\" = {} WHERE id = {};
         DELETE FROM \"Trade\" WHERE id = {};",
        n / 2,
        n / 3,
        n * 10,
        n / 4,
        n / 5
    );
    sql(connection, planted).await;
    sql(connection, "CREATE INDEX ON \"Trade\" (\"createdAt\"); CREATE INDEX ON \"Order\" (\"createdAt\");".into())
        .await;
    sql(connection, "VACUUM (ANALYZE) \"Trade\"".into()).await;
    sql(connection, "VACUUM (ANALYZE) \"Order\"".into()).await;
}

fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn best(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[0].as_secs_f64()
}

async fn count(connection: &mut PgConnection) -> f64 {
    sql(connection, "SET max_parallel_workers_per_gather = 0".into()).await;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        sql(connection, "SELECT count(*) FROM \"Trade\"".into()).await;
        times.push(began.elapsed());
    }
    best(times)
}

fn say(what: &str, seconds: f64, result: &TradeScanResult) {
    let mut rules: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    result.findings.iter().for_each(|one| *rules.entry(&one.rule.id).or_default() += 1);
    println!("{what}: {seconds:.2} s, {} rows, findings {rules:?}", result.rows);
}

fn main() {
    let rows = std::env::var("PORTCULLIS_BENCH_ROWS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let cluster = Cluster::start("trust", "unused");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = cluster.open("postgres").await;
        fill(&mut connection, rows).await;
        let serial = count(&mut connection).await;
        let texts = SHIPPED.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let (policies, _) = TradePolicy::from_texts(&texts);
        let database = PostgresDatabase::new(Login::new(cluster.options("postgres"), Box::new(Vec::new)));
        let asked = TradeScan {
            table: "Trade".into(),
            now: Some("2026-11-24T00:00:00Z".parse().unwrap()),
            ..TradeScan::default()
        };
        println!("{rows} trades and {rows} orders, {} policies; serial count(*) {serial:.3} s", policies.len());
        let since: Timestamp = "2026-11-13T00:00:00Z".parse().unwrap();
        let week = TradeScan { since: Some(since), window_only: true, ..asked.clone() };
        let began = Instant::now();
        let result = run(&database, &policies, &week).await.unwrap();
        say("a week", began.elapsed().as_secs_f64(), &result);
        let mut times = Vec::new();
        for _ in 0..2 {
            let began = Instant::now();
            let result = run(&database, &policies, &asked).await.unwrap();
            times.push(began.elapsed());
            say("everything", times[times.len() - 1].as_secs_f64(), &result);
            for gap in result.uncovered.iter().filter(|gap| !gap.optional) {
                println!("  not covered: {}: {}", gap.policy, gap.reason);
            }
        }
        let whole = best(times);
        println!("{:.1} x serial count(*) (bar 18); {} MB at the peak (bar 256)", whole / serial, peak_mb());
    });
}
