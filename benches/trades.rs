//! The trade scan on a private PostgreSQL cluster: all shipped policies over N trades and N orders in one pass, against a serial
//! `count(*)` of the trades in the same run; a window of a week; N log lines against the rows; the most memory that each took.
//!
//! `PORTCULLIS_BENCH_ROWS=1000000 cargo bench --bench trades`; 10 million without it. With `PORTCULLIS_BENCH_QUERIES=1` the policies that can be
//! written as SQL are also run as one query each, as they would be without this program.
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
use portcullis::detect::trades::sql::Dialect;
use portcullis::domain::Timestamp;
use portcullis::engine::scan_trades::{OtherRecord, TradeScan, run, statements};
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

/// Seconds of the processors that this process used.
fn own_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

struct Bench {
    cluster: Cluster,
    database: PostgresDatabase,
    policies: Vec<TradePolicy>,
}

impl Bench {
    /// Scans, and says what it took; gives the seconds, and those of the processors, the server's too.
    async fn scan(&self, what: &str, asked: &TradeScan) -> (f64, f64) {
        // Resets the peak that the kernel remembers.
        let reset = fs::write("/proc/self/clear_refs", "5").is_ok();
        let (cpu, server, began) = (own_cpu(), self.cluster.cpu(), Instant::now());
        let result = run(&self.database, &self.policies, asked).await.unwrap();
        let seconds = began.elapsed().as_secs_f64();
        let (cpu, server) = (own_cpu() - cpu, self.cluster.cpu() - server);
        let mut rules: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
        result.findings.iter().for_each(|one| *rules.entry(&one.rule.id).or_default() += 1);
        println!(
            "{what}: {seconds:.2} s ({cpu:.2} s of processor, the server {server:.2} s), {} rows, {} MB at the peak{}, findings {rules:?}",
            result.rows,
            status_mb("VmHWM"),
            if reset { "" } else { " of all so far" }
        );
        for gap in result.uncovered.iter().filter(|gap| !gap.optional) {
            println!("  not covered: {}: {}", gap.policy, gap.reason);
        }
        let left: Vec<_> = result.uncovered.iter().filter(|gap| gap.optional).map(|gap| gap.policy.as_str()).collect();
        println!("  not evaluated here: {}", left.join(", "));
        (seconds, cpu + server)
    }

    /// Seconds of a count, and those of the server's processor.
    async fn count(&self, connection: &mut PgConnection) -> (f64, f64) {
        let server = self.cluster.cpu();
        let began = Instant::now();
        sql(connection, "SELECT count(*) FROM \"Trade\"".into()).await;
        (began.elapsed().as_secs_f64(), self.cluster.cpu() - server)
    }
}

/// The least of several scans and of a count beside each: by the clock, and by the processors' time, which tells more where others work.
struct Least {
    scan: (f64, f64),
    count: (f64, f64),
}

async fn ratio(bench: &Bench, connection: &mut PgConnection, what: &str, asked: &TradeScan) -> Least {
    let less = |one: (f64, f64), two: (f64, f64)| (one.0.min(two.0), one.1.min(two.1));
    let mut least = Least { scan: (f64::MAX, f64::MAX), count: (f64::MAX, f64::MAX) };
    for _ in 0..ROUNDS {
        least.count = less(least.count, bench.count(connection).await);
        least.scan = less(least.scan, bench.scan(what, asked).await);
    }
    least
}

/// Seconds that the server alone takes to write the same columns of both tables to nowhere, over two connections: nothing that
/// reads them through COPY can be faster.
async fn floor(bench: &Bench, one: &mut PgConnection, two: &mut PgConnection) -> f64 {
    let mut seconds = 0.0;
    for (table, columns) in [("Trade", "*, xmin"), ("Order", "*")] {
        let pages = format!("SELECT pg_relation_size('\"{table}\"') / current_setting('block_size')::bigint / 2");
        let half: i64 = sqlx::query_scalar(AssertSqlSafe(pages)).fetch_one(&mut *one).await.unwrap();
        let copy = |sign: &str| {
            format!(
                "COPY (SELECT {columns} FROM \"{table}\" WHERE ctid {sign} '({half},0)') TO '/dev/null' (FORMAT binary)"
            )
        };
        let mut least = f64::MAX;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            tokio::join!(sql(one, copy("<")), sql(two, copy(">=")));
            least = least.min(began.elapsed().as_secs_f64());
        }
        seconds += least;
    }
    let (count, _) = bench.count(one).await;
    println!(
        "the server alone, both tables to /dev/null over two connections: {seconds:.2} s, {:.1} x count(*)",
        seconds / count
    );
    seconds
}

/// What the same policies cost as one query each.
async fn queries(bench: &Bench, connection: &mut PgConnection, asked: &TradeScan, scan: f64) {
    let written = statements(&bench.database, &bench.policies, asked, Dialect::Postgresql).await.unwrap().0;
    let mut all = 0.0;
    for one in &written {
        let began = Instant::now();
        sql(connection, format!("SELECT count(*) FROM ({}) AS found", one.sql)).await;
        let seconds = began.elapsed().as_secs_f64();
        all += seconds;
        println!("{} as a query: {seconds:.2} s", one.policy);
    }
    println!(
        "{} of the policies as one query each: {all:.1} s, {:.1} x the scan of all (bar 8)",
        written.len(),
        all / scan
    );
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
        let bench = Bench { cluster, database, policies };
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
        let week = ratio(&bench, &mut connection, "a week", &week).await;
        let whole = ratio(&bench, &mut connection, "everything", &asked).await;
        let bytes = fs::metadata(&lines).unwrap().len() / 1_000_000;
        println!("log: {} lines, {bytes} MB", rows - 2);
        let open = Arc::new(move || -> std::io::Result<Box<dyn std::io::Read + Send>> {
            Ok(Box::new(fs::File::open(&lines)?))
        });
        let records = vec![OtherRecord { kind: Kind::Logs, name: "app.log".into(), open }];
        let logged = ratio(&bench, &mut connection, "with log lines", &TradeScan { records, ..asked.clone() }).await;
        let alone = floor(&bench, &mut connection, &mut bench.cluster.open("postgres").await).await;
        if std::env::var_os("PORTCULLIS_BENCH_QUERIES").is_some() {
            queries(&bench, &mut connection, &asked, whole.scan.0).await;
        }
        let cores = f64::from(u32::try_from(std::thread::available_parallelism().map_or(1, usize::from)).unwrap());
        let (serial, serial_cpu) = whole.count;
        println!("serial count(*) {serial:.3} s, {serial_cpu:.2} s of processor; a week {:.2} s (bar 1)", week.scan.0);
        println!("everything: {:.1} x serial count(*) by the clock (bar 18)", whole.scan.0 / serial);
        println!("everything: {:.2} x what the server alone takes", whole.scan.0 / alone);
        println!(
            "everything: {:.1} x by the processors' time, shared by {cores} of them",
            whole.scan.1 / cores / serial_cpu
        );
        println!("with log lines: {:.2} x the scan without (bar 2)", logged.scan.0 / whole.scan.0);
        println!("memory: see each line (bar 256 MB)");
    });
}
