//! The enforced pause against a private PostgreSQL cluster on loopback: how long until it is acknowledged under eight writers, that
//! nothing gets in after the acknowledgement, and what the guard costs an insert in peacetime. Ends with 1 if something escaped.
//!
//! `cargo bench --bench pause`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use portcullis::adapters::login::Login;
use portcullis::adapters::postgres::PostgresGuard;
use portcullis::policy::pause::PausePolicy;
use portcullis::ports::Guard;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

mod cluster;

use cluster::Cluster;

const WRITERS: usize = 8;
/// Inserts a second of one writer: 3000 in all.
const RATE: u32 = 375;
const ROUNDS: usize = 20;
const LONG_ROUNDS: usize = 20;
const COST_ROUNDS: usize = 9;
const COST_INSERTS: u32 = 20_000;
/// Bars: acknowledgement in ms, without and with long transactions, and CPU per inserted row in µs.
const BARS: [f64; 3] = [50.0, 350.0, 6.0];

async fn sql(connection: &mut PgConnection, text: &str) {
    connection.execute(AssertSqlSafe(text.to_owned())).await.unwrap_or_else(|error| panic!("{text}: {error}"));
}

async fn rows(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM \"Trade\"").fetch_one(connection).await.unwrap()
}

/// Eight that insert at a steady rate until told to stop, whatever they are answered.
struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    fn start(cluster: &Cluster) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks = (0..WRITERS).map(|_| {
            let (stop, written, options) = (Arc::clone(&stop), Arc::clone(&written), cluster.options("app"));
            tokio::spawn(async move {
                let mut connection = options.connect().await.unwrap();
                let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
                while !stop.load(Ordering::Relaxed) {
                    tick.tick().await;
                    match sqlx::query("INSERT INTO \"Trade\" (symbol) VALUES ('BTC')").execute(&mut connection).await {
                        Ok(_) => drop(written.fetch_add(1, Ordering::Relaxed)),
                        // Refused: tries on. Ended: logs in again.
                        Err(sqlx::Error::Database(_)) if connection.ping().await.is_ok() => {}
                        Err(_) => match options.connect().await {
                            Ok(again) => connection = again,
                            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                        },
                    }
                }
            })
        });
        let tasks = tasks.collect();
        Self { stop, written, tasks }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// One that has inserted, one with an old snapshot.
async fn long_transactions(cluster: &Cluster) -> Vec<PgConnection> {
    let mut inserted = cluster.open("app").await;
    sql(&mut inserted, "BEGIN; INSERT INTO \"Trade\" (symbol) VALUES ('C')").await;
    let mut old = cluster.open("app").await;
    sql(&mut old, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM \"Trade\"").await;
    vec![inserted, old]
}

/// Acknowledgements in ms, and how many rows came after them.
async fn acknowledged(cluster: &Cluster, guard: &PostgresGuard, rounds: usize, long: bool) -> (Vec<f64>, i64) {
    let mut admin = cluster.open("postgres").await;
    let (mut took, mut escapes) = (Vec::new(), 0);
    for _ in 0..rounds {
        let writers = Writers::start(cluster);
        tokio::time::sleep(Duration::from_millis(400)).await;
        let held = if long { long_transactions(cluster).await } else { Vec::new() };
        let began = Instant::now();
        guard.engage().await.expect("the pause is acknowledged");
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        let at_once = rows(&mut admin).await;
        assert!(writers.written.load(Ordering::Relaxed) > 100, "the writers wrote before");
        tokio::time::sleep(Duration::from_millis(300)).await;
        for mut connection in held {
            let _ = connection.execute("INSERT INTO \"Trade\" (symbol) VALUES ('late')").await;
            let _ = connection.execute("COMMIT").await;
        }
        escapes += rows(&mut admin).await - at_once;
        writers.end().await;
        guard.release().await.expect("the pause is released");
        sql(&mut admin, "TRUNCATE \"Trade\"").await;
    }
    (took, escapes)
}

/// User and system time of a server process in µs.
fn cpu(pid: i32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let hertz = f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap());
    ticks * 1_000_000.0 / hertz
}

/// CPU of one insert: each a statement of its own from outside, which pays for its own transaction, network and the start of
/// every function; or all from a loop inside the server, where the row itself is what costs.
async fn insert_cost(cluster: &Cluster, table: &str, inside: bool) -> f64 {
    let mut connection = cluster.open("app").await;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
    let text = format!("INSERT INTO {table} (symbol) VALUES ('BTC')");
    let inserts = if inside { COST_INSERTS * 5 } else { COST_INSERTS };
    for _ in 0..500 {
        sqlx::query(AssertSqlSafe(text.clone())).execute(&mut connection).await.unwrap();
    }
    let before = cpu(pid);
    if inside {
        sql(&mut connection, &format!("DO $$ BEGIN FOR i IN 1..{inserts} LOOP {text}; END LOOP; END $$")).await;
    } else {
        for _ in 0..inserts {
            sqlx::query(AssertSqlSafe(text.clone())).execute(&mut connection).await.unwrap();
        }
    }
    (cpu(pid) - before) / f64::from(inserts)
}

/// CPU of one insert without and with the guard, each the median of some rounds.
async fn costs(cluster: &Cluster, admin: &mut PgConnection, inside: bool) -> [f64; 2] {
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..COST_ROUNDS {
        for (cost, table) in costs.iter_mut().zip(["plain", "\"Trade\""]) {
            cost.push(insert_cost(cluster, table, inside).await);
        }
        sql(admin, "TRUNCATE plain; TRUNCATE \"Trade\"").await;
    }
    costs.map(|mut cost| median(&mut cost))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn measure(cluster: &Cluster) -> ExitCode {
    let mut admin = cluster.open("postgres").await;
    sql(
        &mut admin,
        "CREATE ROLE app LOGIN; CREATE TABLE \"Trade\" (id bigserial PRIMARY KEY, symbol text NOT NULL, at timestamptz NOT NULL DEFAULT now()); \
         CREATE TABLE plain (LIKE \"Trade\" INCLUDING ALL); ALTER TABLE plain ALTER id SET DEFAULT nextval('\"Trade_id_seq\"'); \
         GRANT SELECT, INSERT, UPDATE, DELETE ON \"Trade\", plain TO app; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app",
    )
    .await;
    let policy: PausePolicy = portcullis::policy::parse("pause.yml", "version: 1\nguard: { table: Trade }\n").unwrap();
    let guard = PostgresGuard::new(
        cluster.options("app"),
        Login::new(cluster.options("postgres"), Box::new(Vec::new)),
        policy.guard.unwrap(),
        None,
    );
    guard.install().await.expect("the guard is installed");

    let [row, guarded_row] = costs(cluster, &mut admin, true).await;
    let [alone, guarded_alone] = costs(cluster, &mut admin, false).await;
    let (mut short, escapes) = acknowledged(cluster, &guard, ROUNDS, false).await;
    let (mut long, more) = acknowledged(cluster, &guard, LONG_ROUNDS, true).await;
    let escapes = escapes + more;

    let figures = [median(&mut short), median(&mut long), guarded_row - row];
    let names = [
        "acknowledged, 8 writers (ms, median of 20)",
        "acknowledged, long transactions (ms, median of 20)",
        "guard per inserted row (server CPU, µs, median of 9)",
    ];
    println!("{:<52}{:>9}{:>9}", "", "measured", "bar");
    for ((name, figure), bar) in names.iter().zip(figures).zip(BARS) {
        println!("{name:<52}{figure:>9.1}{bar:>9.1}{}", if figure <= bar { "" } else { "   over the bar" });
    }
    println!("{:<52}{:>9.1}", "slowest acknowledgement, 8 writers (ms)", short.last().unwrap());
    println!("{:<52}{:>9.1}", "slowest acknowledgement, long transactions (ms)", long.last().unwrap());
    println!("{:<52}{row:>9.1}", "an inserted row without the guard (server CPU, µs)");
    println!("{:<52}{:>9.1}", "guard per statement of its own (server CPU, µs)", guarded_alone - alone);
    println!("{:<52}{alone:>9.1}", "such a statement without the guard (server CPU, µs)");
    println!("{:<52}{escapes:>9}{:>9}", "rows after the acknowledgement", 0);
    if escapes == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn main() -> ExitCode {
    // `cargo test --benches` only asks whether it can be built.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let cluster = Cluster::start("trust", "unused");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(&cluster))
}
