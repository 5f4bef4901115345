//! The trade scan on a private PostgreSQL cluster: all shipped policies over N trades and N orders in one pass, against a serial
//! `count(*)` of the trades in the same run; a window of a week; N log lines against the rows; the most memory that each took.
//!
//! `PORTCULLIS_BENCH_ROWS=1000000 cargo bench --bench trades`; 10 million without it. With `PORTCULLIS_BENCH_QUERIES=1` a few of the
//! policies are also run as one SQL query each, as they would be without this program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures_util::TryStreamExt;
use portcullis::adapters::login::Login;
use portcullis::adapters::postgres::PostgresDatabase;
use portcullis::detect::trades::other::Kind;
use portcullis::detect::trades::policy::TradePolicy;
use portcullis::detect::trades::roles::Role;
use portcullis::domain::Timestamp;
use portcullis::engine::scan_trades::{OtherRecord, TradeScan, run};
use portcullis::policy::shipped::SHIPPED;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};

mod cluster;

use cluster::Cluster;

/// Other work on the machine makes single measurements lie; of each the best of so many is taken.
const ROUNDS: usize = 2;

async fn sql(connection: &mut PgConnection, text: String) {
    connection.execute(AssertSqlSafe(text.clone())).await.unwrap_or_else(|error| panic!("{text}: {error}"));
}

/// A year of business of 2000 accounts, and one intrusion of each of a few kinds.
async fn fill(connection: &mut PgConnection, other: &mut PgConnection, rows: u32) {
    let tables = "CREATE UNLOGGED TABLE \"Account\" (id text PRIMARY KEY, \"tradeLimit\" numeric, \"dailyLimit\" numeric, \"positionLimit\" numeric, \"createdAt\" timestamp(3) NOT NULL);
        CREATE UNLOGGED TABLE \"ApiKey\" (id text PRIMARY KEY, \"accountId\" text NOT NULL, \"scopes\" text, \"allowedIps\" text, \"createdAt\" timestamp(3) NOT NULL, \"expiresAt\" timestamp(3), \"revokedAt\" timestamp(3));
        CREATE UNLOGGED TABLE \"Order\" (id bigint NOT NULL, \"accountId\" text NOT NULL, symbol text NOT NULL, side text NOT NULL, quantity numeric(28,12) NOT NULL, status text NOT NULL, \"createdAt\" timestamp(3) NOT NULL);
        CREATE UNLOGGED TABLE \"Trade\" (id bigint NOT NULL, \"accountId\" text NOT NULL, \"apiKeyId\" text, \"orderId\" bigint, symbol text NOT NULL, side text NOT NULL, quantity numeric(28,12) NOT NULL, price numeric(28,12) NOT NULL, value numeric(38,12), status text NOT NULL, \"counterpartyId\" text, ip text, \"createdAt\" timestamp(3) NOT NULL, \"updatedAt\" timestamp(3) NOT NULL);
        INSERT INTO \"Account\" SELECT 'account_' || n, 10000000, 100000000000, 100000000000, '2025-01-01' FROM generate_series(0, 1999) n;
        INSERT INTO \"ApiKey\" SELECT 'key_' || n, 'account_' || n, 'read,trade', NULL, '2025-01-01', NULL, NULL FROM generate_series(0, 1999) n;";
    sql(connection, tables.into()).await;
    let step = 365.0 * 86_400.0 / f64::from(rows);
    // Multiplication by odd numbers modulo a prime scatters accounts and prices without a random source.
    let who = "(n * 7919 % 104729 % 2000)";
    let when = format!("(timestamp '2025-11-23' + n * {step} * interval '1 second')");
    let side = "(CASE WHEN n * 31 % 7 < 4 THEN 'BUY' ELSE 'SELL' END)";
    let quantity = "((n * 48271 % 9973 + 1)::numeric / 100)";
    let price = "((100 + n % 40) * (100 + n * 69621 % 97 / 50.0))::numeric(28,2)";
    let series = |from: u32, to: u32| format!("generate_series({}::bigint, {}::bigint) n", from + 1, to.min(rows));
    let orders = async {
        for from in (0..rows).step_by(1_000_000) {
            sql(other, format!("INSERT INTO \"Order\" SELECT n, 'account_' || {who}, 'SYM' || n % 40, {side}, {quantity}, 'FILLED', {when} - interval '2 seconds' FROM {}", series(from, from + 1_000_000))).await;
        }
        sql(other, "ALTER TABLE \"Order\" ADD PRIMARY KEY (id)".into()).await;
    };
    let trades = async {
        // Transactions of a back end are short: a hundred of them for a million rows tell enough of the order of writing.
        for from in (0..rows).step_by(10_000) {
            sql(connection, format!("INSERT INTO \"Trade\" SELECT n, 'account_' || {who}, 'key_' || {who}, n, 'SYM' || n % 40, {side}, {quantity}, {price}, {quantity} * {price}, 'FILLED', 'house', '192.0.2.' || {who} % 200, {when}, {when} + interval '1 second' FROM {}", series(from, from + 10_000))).await;
        }
        sql(connection, "ALTER TABLE \"Trade\" ADD PRIMARY KEY (id)".into()).await;
    };
    tokio::join!(orders, trades);
    let n = u64::from(rows);
    let planted = format!(
        "UPDATE \"Trade\" SET \"apiKeyId\" = 'key_ghost', \"updatedAt\" = '2026-11-22' WHERE id = {};
         UPDATE \"Trade\" SET price = price * 5, value = value * 5, \"updatedAt\" = '2026-11-22' WHERE id = {};
         UPDATE \"Trade\" SET \"orderId\" = {} WHERE id = {};
         DELETE FROM \"Trade\" WHERE id = {};",
        n / 2,
        n / 3,
        n * 10,
        n / 4,
        n / 5
    );
    sql(connection, planted).await;
    sql(connection, "CREATE INDEX ON \"Trade\" (\"createdAt\")".into()).await;
    sql(connection, "CREATE INDEX ON \"Order\" (\"createdAt\")".into()).await;
    sql(connection, "VACUUM (ANALYZE) \"Trade\"".into()).await;
    sql(connection, "VACUUM (ANALYZE) \"Order\"".into()).await;
    sql(connection, "CHECKPOINT".into()).await;
}

/// A log line for each trade but one, and another amount in one.
async fn log(connection: &mut PgConnection, rows: u32, path: &Path) {
    let text = format!(
        "COPY (SELECT '{{\"time\":\"' || to_char(\"createdAt\", 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') || '\",\"level\":\"info\",\"event\":\"trade.created\",\"tradeId\":' || id || ',\"account\":\"' || \"accountId\" || '\",\"symbol\":\"' || symbol || '\",\"side\":\"' || side \
         || '\",\"quantity\":' || CASE WHEN id = {} THEN 1 ELSE quantity END || ',\"price\":' || price || '}}' FROM \"Trade\" WHERE id <> {}) TO STDOUT",
        rows / 6,
        rows / 7
    );
    let mut file = BufWriter::with_capacity(1 << 20, fs::File::create(path).unwrap());
    let mut stream = connection.copy_out_raw(&text).await.unwrap();
    while let Some(bytes) = stream.try_next().await.unwrap() {
        file.write_all(&bytes).unwrap();
    }
    file.flush().unwrap();
}

fn status_mb(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

async fn count(connection: &mut PgConnection) -> f64 {
    let began = Instant::now();
    sql(connection, "SELECT count(*) FROM \"Trade\"".into()).await;
    began.elapsed().as_secs_f64()
}

/// Seconds of the processors that this process used.
fn own_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

struct Bench {
    database: PostgresDatabase,
    policies: Vec<TradePolicy>,
}

impl Bench {
    /// Scans, and says what it took; gives the seconds.
    async fn scan(&self, what: &str, asked: &TradeScan) -> f64 {
        // Resets the peak that the kernel remembers.
        let reset = fs::write("/proc/self/clear_refs", "5").is_ok();
        let (cpu, began) = (own_cpu(), Instant::now());
        let result = run(&self.database, &self.policies, asked).await.unwrap();
        let seconds = began.elapsed().as_secs_f64();
        let mut rules: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
        result.findings.iter().for_each(|one| *rules.entry(&one.rule.id).or_default() += 1);
        println!(
            "{what}: {seconds:.2} s ({:.2} s of processor), {} rows, {} MB at the peak{}, findings {rules:?}",
            own_cpu() - cpu,
            result.rows,
            status_mb("VmHWM"),
            if reset { "" } else { " of all so far" }
        );
        for gap in result.uncovered.iter().filter(|gap| !gap.optional) {
            println!("  not covered: {}: {}", gap.policy, gap.reason);
        }
        let left: Vec<_> = result.uncovered.iter().filter(|gap| gap.optional).map(|gap| gap.policy.as_str()).collect();
        println!("  not evaluated here: {}", left.join(", "));
        seconds
    }
}

/// The best of several scans, each with a count beside it, as a ratio.
async fn ratio(bench: &Bench, connection: &mut PgConnection, what: &str, asked: &TradeScan) -> (f64, f64) {
    let (mut counts, mut scans) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        counts = counts.min(count(connection).await).min(count(connection).await);
        scans = scans.min(bench.scan(what, asked).await);
    }
    (scans, counts)
}

/// What the same questions cost as queries.
async fn queries(connection: &mut PgConnection, serial: f64) {
    let asked = [
        ("orphan", "SELECT count(*) FROM \"Trade\" t LEFT JOIN \"Order\" o ON o.id = t.\"orderId\" WHERE o.id IS NULL"),
        (
            "unknown-key",
            "SELECT count(*) FROM \"Trade\" t LEFT JOIN \"ApiKey\" k ON k.id = t.\"apiKeyId\" WHERE k.id IS NULL",
        ),
        (
            "over-limit",
            "SELECT count(*) FROM \"Trade\" t JOIN \"Account\" a ON a.id = t.\"accountId\" WHERE t.value > a.\"tradeLimit\"",
        ),
        (
            "burst",
            "SELECT count(*) FROM (SELECT count(*) OVER (PARTITION BY \"apiKeyId\" ORDER BY \"createdAt\" RANGE BETWEEN interval '1 minute' PRECEDING AND CURRENT ROW) AS n FROM \"Trade\") w WHERE n > 30",
        ),
        (
            "over-daily-limit",
            "SELECT count(*) FROM (SELECT sum(value) AS s FROM \"Trade\" GROUP BY \"accountId\", date_trunc('day', \"createdAt\")) d WHERE s > 100000000000",
        ),
    ];
    for (what, text) in asked {
        let began = Instant::now();
        sql(connection, text.into()).await;
        let seconds = began.elapsed().as_secs_f64();
        println!("{what} as a query: {seconds:.2} s, {:.1} x serial count(*)", seconds / serial);
    }
}

fn main() {
    let rows = std::env::var("PORTCULLIS_BENCH_ROWS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let cluster = Cluster::start("trust", "unused");
    let folder = tempfile::Builder::new().prefix("portcullis-bench-log.").tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = cluster.open("postgres").await;
        let began = Instant::now();
        fill(&mut connection, &mut cluster.open("postgres").await, rows).await;
        let lines = folder.path().join("app.log");
        log(&mut connection, rows, &lines).await;
        println!("filled in {:.0} s", began.elapsed().as_secs_f64());
        sql(&mut connection, "SET max_parallel_workers_per_gather = 0".into()).await;
        let texts = SHIPPED.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let (policies, _) = TradePolicy::from_texts(&texts);
        let database = PostgresDatabase::new(Login::new(cluster.options("postgres"), Box::new(Vec::new)));
        println!("{rows} trades and {rows} orders, {} policies", policies.len());
        let bench = Bench { database, policies };
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let asked = TradeScan {
            table: "Trade".into(),
            now: Some(time("2026-11-24T00:00:00Z")),
            pauses: vec![(time("2026-11-23T12:00:00Z"), None)],
            traces: vec![(Role::Ip, "203.0.113.66".into(), time("2026-11-22T00:00:00Z"), time("2026-11-23T00:00:00Z"))],
            ..TradeScan::default()
        };
        let since = Some(time("2026-11-16T00:00:00Z"));
        let week = TradeScan { since, window_only: true, ..asked.clone() };
        let (week, _) = ratio(&bench, &mut connection, "a week", &week).await;
        let (whole, serial) = ratio(&bench, &mut connection, "everything", &asked).await;
        let bytes = fs::metadata(&lines).unwrap().len() / 1_000_000;
        println!("log: {} lines, {bytes} MB", rows - 2);
        let open = Arc::new(move || -> std::io::Result<Box<dyn std::io::Read + Send>> {
            Ok(Box::new(fs::File::open(&lines)?))
        });
        let records = vec![OtherRecord { kind: Kind::Logs, name: "app.log".into(), open }];
        let (logged, _) = ratio(&bench, &mut connection, "with log lines", &TradeScan { records, ..asked }).await;
        if std::env::var_os("PORTCULLIS_BENCH_QUERIES").is_some() {
            queries(&mut connection, serial).await;
        }
        println!("serial count(*) {serial:.3} s; a week {week:.2} s (bar 1)");
        println!("everything: {:.1} x serial count(*) (bar 18)", whole / serial);
        println!("with log lines: {:.2} x the scan without (bar 2)", logged / whole);
        println!("memory: see each line (bar 256 MB)");
    });
}
