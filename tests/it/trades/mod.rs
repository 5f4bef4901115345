//! The trade scan on made-up companies: every planted intrusion is found, and nothing else.

mod outliers;
mod sql;
mod world;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use portcullis::adapters::login::Login;
use portcullis::adapters::postgres::PostgresDatabase;
use portcullis::adapters::sqlite::SqliteDatabase;
use portcullis::detect::trades::other::Kind;
use portcullis::detect::trades::policy::TradePolicy;
use portcullis::detect::trades::roles::Role;
use portcullis::domain::{Finding, Source, Timestamp};
use portcullis::engine::scan_trades::watermark::{Watermark, news};
use portcullis::engine::scan_trades::{Open, OtherRecord, TradeScan, TradeScanResult, run};
use portcullis::policy::shipped::SHIPPED;
use portcullis::ports::{Database, Fault, RawRow, RowSink, TableName, TableRead};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use world::{END, INTRUDER, OUTLIERS, World};

use crate::peers::Postgres;
use crate::support::{folder, wait};

fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

fn shipped() -> Vec<TradePolicy> {
    let texts = SHIPPED.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let (policies, errors) = TradePolicy::from_texts(&texts);
    assert_eq!(errors, []);
    policies
}

fn asked() -> TradeScan {
    let pauses = World::pauses().into_iter().map(|(from, to)| (moment(from), to.map(moment))).collect();
    TradeScan {
        table: "Trade".into(),
        pauses,
        traces: vec![(Role::Ip, INTRUDER.into(), moment(END - 5 * 3_600_000), moment(END - 4 * 3_600_000))],
        now: Some(moment(END + 3_600_000)),
        ..TradeScan::default()
    }
}

pub fn sqlite(path: &Path, script: &str) -> SqliteDatabase {
    wait(async {
        let mut connection =
            SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap();
        let script = format!("BEGIN; {script} COMMIT;");
        sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&mut connection).await.unwrap();
    });
    SqliteDatabase::new(path)
}

fn scan(database: &dyn Database, scan: &TradeScan) -> TradeScanResult {
    wait(run(database, &shipped(), scan)).unwrap()
}

/// The row that a finding is of.
fn row(finding: &Finding) -> String {
    match &finding.source {
        Source::Table { key, .. } => key["id"].as_str().unwrap().to_owned(),
        Source::File { .. } => panic!("a trade is in a table"),
    }
}

/// What was planted and not found, and what was found and not planted; outliers are counted apart.
fn judge(world: &World, result: &TradeScanResult) -> (String, String) {
    let (mut missed, mut wrong) = (String::new(), String::new());
    let found: BTreeSet<(String, String)> = result.findings.iter().map(|one| (one.rule.id.clone(), row(one))).collect();
    let mut outliers = (0, 0);
    for planted in &world.planted {
        for id in &planted.rows {
            if !found.contains(&(planted.policy.to_owned(), id.clone())) {
                let _ = writeln!(missed, "{} ({}): row {id}", planted.what, planted.policy);
            } else if OUTLIERS.contains(&planted.policy) {
                outliers.0 += 1;
            }
        }
    }
    for finding in &result.findings {
        if world.touched.contains(&row(finding)) {
            continue;
        }
        if OUTLIERS.contains(&finding.rule.id.as_str()) {
            outliers.1 += 1;
            println!("outlier {}: row {} {:?}", finding.rule.id, row(finding), finding.matched["why"]);
        } else {
            let _ = writeln!(wrong, "{}: row {} {:?}", finding.rule.id, row(finding), finding.matched["why"]);
        }
    }
    println!("outliers: {} found, {} of ordinary rows", outliers.0, outliers.1);
    let planted = world.planted.iter().filter(|planted| OUTLIERS.contains(&planted.policy)).count();
    assert!(outliers.0 == planted && outliers.1 <= 5, "{outliers:?} of {planted}");
    (missed, wrong)
}

#[track_caller]
fn assert_exact(world: &World, result: &TradeScanResult) {
    let (missed, wrong) = judge(world, result);
    assert!(missed.is_empty() && wrong.is_empty(), "missed:\n{missed}wrong:\n{wrong}uncovered: {:?}", result.uncovered);
}

#[test]
fn on_sqlite_every_intrusion_is_found_and_nothing_else() {
    for seed in [1, 2] {
        let folder = folder();
        let mut world = World::new(false, seed, 2_500);
        world.intrude();
        let database = sqlite(&folder.path().join("t.db"), &world.script());
        let result = scan(&database, &asked());
        assert_exact(&world, &result);
        assert_eq!(result.rows, u64::try_from(world.trades.len()).unwrap() - 3 + rows_forged(&world));
        assert!(result.complete(), "{:?}", result.uncovered);
        assert_ne!(result.at_risk_total, "0");
        // The same scan gives the same ids.
        let again = scan(&database, &asked());
        assert_eq!(again.findings, result.findings);
    }
}

/// Rows that the intruder wrote.
fn rows_forged(world: &World) -> u64 {
    let text = world.script();
    let last = text.rsplit("INSERT INTO \"Trade\" VALUES (").next().unwrap().split(',').next().unwrap();
    last.parse::<u64>().unwrap() - u64::try_from(world.trades.len()).unwrap()
}

#[test]
fn ordinary_business_has_no_findings() {
    let folder = folder();
    let world = World::new(false, 3, 2_500);
    let result = scan(&sqlite(&folder.path().join("t.db"), &world.script()), &asked());
    assert_exact(&world, &result);
    assert_eq!(result.at_risk_total, "0");
}

#[test]
fn a_window_gives_what_the_whole_gives_of_it() {
    let folder = folder();
    let mut world = World::new(false, 4, 2_500);
    world.intrude();
    let database = sqlite(&folder.path().join("t.db"), &world.script());
    let (since, until) = (moment(END - 5 * 3_600_000), moment(END));
    let whole = scan(&database, &asked());
    let window = scan(&database, &TradeScan { since: Some(since), until: Some(until), ..asked() });
    let inside = |result: &TradeScanResult| -> BTreeSet<String> {
        let sure = result.findings.iter().filter(|one| !OUTLIERS.contains(&one.rule.id.as_str()));
        sure.filter(|one| one.time.is_some_and(|time| time >= since && time < until))
            .map(|one| one.id.clone())
            .collect()
    };
    assert_eq!(inside(&window), inside(&whole));
    assert!(window.findings.iter().all(|one| one.time.is_none_or(|time| time >= since && time < until)));
    let only = scan(&database, &TradeScan { since: Some(since), window_only: true, ..asked() });
    assert!(
        only.uncovered.iter().any(|gap| gap.policy == "deleted-rows" && gap.reason.contains("window")),
        "{:?}",
        only.uncovered
    );
    assert!(!only.complete());
}

#[test]
fn on_postgresql_every_intrusion_is_found_and_nothing_else() {
    let Some(server) = Postgres::fresh("trades") else { return };
    let mut world = World::new(true, 5, 2_500);
    world.intrude();
    feed(&server, &world.script());
    let database = postgres(&server);
    let result = scan(&database, &asked());
    assert_exact(&world, &result);
    let window = TradeScan { since: Some(moment(END - 5 * 3_600_000)), window_only: true, ..asked() };
    let window = scan(&database, &window);
    assert!(window.findings.iter().any(|one| one.rule.id == "orphan"));
    assert!(!window.findings.iter().any(|one| one.rule.id == "orphan" && !world.touched.contains(&row(one))));
}

/// Feeds psql; each statement is a transaction of its own, as those of a back end are.
fn feed(server: &Postgres, script: &str) {
    let mut child = std::process::Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &server.url])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn postgres(server: &Postgres) -> PostgresDatabase {
    PostgresDatabase::new(Login::new(server.url.parse().unwrap(), Box::new(Vec::new)))
}

#[test]
fn partitions_enumerations_and_views_are_read_like_tables() {
    let Some(server) = Postgres::fresh("partitions") else { return };
    feed(
        &server,
        r#"CREATE SCHEMA desk; CREATE TYPE desk."Way" AS ENUM ('BUY', 'SELL');
           CREATE TABLE desk.accounts (id uuid PRIMARY KEY, max_order_value numeric);
           CREATE TABLE desk.executions (id uuid NOT NULL, owner uuid REFERENCES desk.accounts, way desk."Way", ticker text, filled_qty numeric, px double precision, executed_time timestamptz NOT NULL) PARTITION BY RANGE (executed_time);
           CREATE TABLE desk.executions_1 PARTITION OF desk.executions FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
           CREATE TABLE desk.executions_2 PARTITION OF desk.executions FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
           INSERT INTO desk.accounts VALUES ('00000000-0000-4000-8000-000000000001', 100);
           INSERT INTO desk.executions SELECT gen_random_uuid(), '00000000-0000-4000-8000-000000000001', 'BUY', 'X', 1, 50 + n % 3, timestamptz '2026-06-30' + n * interval '1 hour' FROM generate_series(1, 60) n;
           INSERT INTO desk.executions VALUES ('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-000000000001', 'SELL', 'X', 2, 50.01, '2026-07-01 12:30+00');
           CREATE SCHEMA shown; CREATE VIEW shown.trades AS SELECT * FROM desk.executions;"#,
    );
    let database = postgres(&server);
    for (schema, table) in [("desk", "Trade"), ("desk", "executions"), ("shown", "trades")] {
        let mut asked = TradeScan { schema: Some(schema.into()), table: table.into(), ..asked() };
        asked.roles.accounts.table = Some("accounts".into());
        let result = scan(&database, &asked);
        let over: Vec<_> = result.findings.iter().filter(|one| one.rule.id == "over-limit").map(row).collect();
        assert_eq!(
            (result.rows, over),
            (61, vec!["00000000-0000-4000-8000-00000000000a".to_owned()]),
            "{:?}",
            result.mapping
        );
        assert_eq!(result.at_risk_total, "100.02");
    }
    let since = Some("2026-07-01T00:00:00Z".parse().unwrap());
    let asked = TradeScan { schema: Some("desk".into()), since, window_only: true, ..asked() };
    assert_eq!(scan(&database, &asked).rows, 61, "the day before fills the windows");
}

/// Trades that say their account, key, instrument and side only through their orders, with columns of the same names in both tables.
fn through_orders() -> String {
    let mut script = r#"CREATE TABLE "Account" (id varchar(40) PRIMARY KEY, "createdAt" timestamp NOT NULL);
        CREATE TABLE "ApiKey" (id varchar(40) PRIMARY KEY, "accountId" varchar(40) NOT NULL, "createdAt" timestamp NOT NULL);
        CREATE TABLE "Order" (id varchar(40) PRIMARY KEY, "accountId" varchar(40), "apiKeyId" varchar(40), symbol varchar(20), side varchar(4), quantity numeric, status varchar(20), "createdAt" timestamp NOT NULL);
        CREATE TABLE "Trade" (id bigint PRIMARY KEY, "orderId" varchar(40), quantity numeric NOT NULL, price numeric NOT NULL, "createdAt" timestamp NOT NULL);
        INSERT INTO "Account" VALUES ('acc_1', '2026-01-01 00:00:00'), ('acc_2', '2026-01-01 00:00:00');
        INSERT INTO "ApiKey" VALUES ('key_1', 'acc_1', '2026-01-01 00:00:00'), ('key_2', 'acc_2', '2026-01-01 00:00:00');"#
        .to_owned();
    for n in 1..=62 {
        let (account, time) = (n % 2 + 1, format!("2026-11-19 {:02}:{:02}:00", n / 6 + 6, n % 6 * 10));
        let key = match n {
            61 => "ghost".to_owned(),
            60 => format!("key_{}", 3 - account),
            _ => format!("key_{account}"),
        };
        // The last one's order is gone.
        if n != 62 {
            let _ = write!(
                script,
                "INSERT INTO \"Order\" VALUES ('o{n}', 'acc_{account}', '{key}', 'X', 'BUY', {n}, 'FILLED', '{time}');"
            );
        }
        let _ = write!(script, "INSERT INTO \"Trade\" VALUES ({n}, 'o{n}', {n}, 100, '{time}');");
    }
    script
}

#[track_caller]
fn assert_read_through_orders(result: &TradeScanResult) {
    let of = |policy: &str| result.findings.iter().filter(|one| one.rule.id == policy).map(row).collect::<Vec<_>>();
    assert_eq!((result.rows, of("unknown-key"), of("orphan")), (62, vec!["61".into()], vec!["62".into()]));
    assert_eq!((of("key-of-another-account"), of("order-mismatch")), (vec!["60".to_owned()], vec![]));
    let covered = |policy: &str| result.uncovered.iter().all(|gap| gap.policy != policy);
    assert!(
        ["unknown-key", "orphan", "off-market", "burst", "wash"].into_iter().all(covered),
        "{:?}",
        result.uncovered
    );
}

#[test]
fn what_trades_say_only_through_their_orders_is_read_with_them() {
    let folder = folder();
    let script = through_orders();
    assert_read_through_orders(&scan(&sqlite(&folder.path().join("t.db"), &script), &asked()));
    let Some(server) = Postgres::fresh("through") else { return };
    feed(&server, &script);
    assert_read_through_orders(&scan(&postgres(&server), &asked()));
}

#[test]
fn a_hostile_table_changes_nothing_but_the_findings() {
    let Some(server) = Postgres::fresh("hostile") else { return };
    feed(
        &server,
        "CREATE TABLE \"Tra\"\"de\n--\" (\"id\" text PRIMARY KEY, \"select\" text, \"acc'ount\\\" text, symbol text, price double precision, quantity numeric, \"createdAt\" timestamptz);
         INSERT INTO \"Tra\"\"de\n--\" VALUES (E'a\\tb\\n\\\\N''\"<script>', E'\\x1b[31m', repeat('x', 3000000), 'X', 'NaN', 1, 'infinity'), ('b', NULL, NULL, 'X', '-Infinity', -1e65::numeric, '-infinity'), (repeat('i', 70000), '', '', '', 0, 'NaN', now());",
    );
    let asked = TradeScan { table: "Tra\"de\n--".into(), ..asked() };
    let result = scan(&postgres(&server), &asked);
    assert_eq!(result.rows, 3);
    let of = |policy: &str| result.findings.iter().filter(|one| one.rule.id == policy).count();
    assert_eq!((of("impossible-number"), of("impossible-time")), (3, 2), "{:?}", result.findings);
    assert!(result.findings.iter().all(|one| serde_json::to_string(one).unwrap().len() < 20_000));
}

/// The longest cell of each column.
struct Longest(std::sync::Arc<std::sync::Mutex<Vec<usize>>>);

impl RowSink for Longest {
    fn row(&mut self, row: RawRow<'_>) -> Result<(), Fault> {
        for (index, most) in self.0.lock().unwrap().iter_mut().enumerate() {
            *most = (*most).max(row.cell(index).map_or(0, |cell| cell.len()));
        }
        Ok(())
    }
    fn end(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

#[test]
fn of_texts_of_any_length_the_beginning_is_read() {
    let Some(server) = Postgres::fresh("long") else { return };
    feed(
        &server,
        "CREATE TABLE \"Trade\" (id bigint PRIMARY KEY, \"accountId\" text, symbol varchar, quantity numeric, price numeric, note text, \"createdAt\" timestamp(3) NOT NULL);
         INSERT INTO \"Trade\" SELECT n, 'acc', 'X', 1, 1, 'fine', timestamp '2026-11-19' + n * interval '1 minute' FROM generate_series(1, 50) n;
         INSERT INTO \"Trade\" VALUES (51, repeat('a', 64000000), repeat('ü', 64000000), 0, 1, repeat('n', 64000000), now());",
    );
    let database = postgres(&server);
    let longest = std::sync::Arc::new(std::sync::Mutex::new(vec![0; 3]));
    wait(async {
        let mut snapshot = database.snapshot().await.unwrap();
        let table = TableName { schema: "public".into(), name: "Trade".into() };
        let columns = ["id", "accountId", "symbol"].map(String::from).into();
        let read = TableRead { table, columns, ..TableRead::default() };
        let rows = snapshot.read(&read, vec![Box::new(Longest(std::sync::Arc::clone(&longest)))]).await.unwrap();
        assert_eq!(rows, 51);
    });
    assert_eq!(*longest.lock().unwrap(), [2, 65_536, 131_072]);
    let result = scan(&database, &asked());
    let found = result.findings.iter().find(|one| one.rule.id == "impossible-number").unwrap();
    assert_eq!(row(found), "51");
    assert!(found.event["note"].as_str().unwrap().ends_with("(cut, 64 KiB or more)"));
    assert!(serde_json::to_string(found).unwrap().len() < 20_000);
}

/// Files of other records.
fn record(kind: Kind, folder: &Path, name: &str, text: &str) -> OtherRecord {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    let open: Open = std::sync::Arc::new(move || Ok(Box::new(std::fs::File::open(&path)?)));
    OtherRecord { kind, name: name.into(), open }
}

#[test]
fn log_lines_and_fills_tell_what_the_table_hides() {
    let folder = folder();
    let world = World::new(false, 6, 400);
    let database = sqlite(&folder.path().join("t.db"), &world.script());
    let middle = world.trades.len() / 2;
    let of = |offset: usize| world.trades[middle + offset].id;
    let (unlogged, changed, deleted) = (of(0), of(5), of(9));
    let mut lines = String::from("{\"event\":\"http.request\",\"path\":\"/api/trades\"}\nnot json, but of a trade\n");
    let mut csv = String::from("exchangeTime;accountId;symbol;side;qty;price\n");
    for trade in &world.trades {
        let at = moment(trade.created);
        if trade.id != unlogged {
            let quantity = if trade.id == changed { "12345" } else { &trade.quantity };
            let _ = writeln!(
                lines,
                "{{\"time\":\"{at}\",\"event\":\"trade.created\",\"tradeId\":{},\"account\":\"{}\",\"symbol\":\"{}\",\"quantity\":\"{quantity}\",\"price\":{}}}",
                trade.id, trade.account, trade.symbol, trade.price
            );
        }
        if trade.executed == Some(trade.created) && trade.id != unlogged {
            let _ = writeln!(
                csv,
                "{};{};{};{};{};{}",
                world::time(trade.created).trim_matches('\''),
                trade.account,
                trade.symbol,
                trade.side,
                trade.quantity,
                trade.price
            );
        }
    }
    wait(async {
        let mut connection = SqliteConnectOptions::new().filename(folder.path().join("t.db")).connect().await.unwrap();
        let sql = format!("DELETE FROM \"Trade\" WHERE id = {deleted}");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    });
    let csv = csv.replacen("exchangeTime", "timestamp", 1);
    let records = vec![
        record(Kind::Logs, folder.path(), "app.log", &lines),
        record(Kind::Fills, folder.path(), "fills.csv", &csv),
    ];
    let result = scan(&database, &TradeScan { records, ..asked() });
    let of = |policy: &str| -> Vec<String> {
        let found = result.findings.iter().filter(|one| one.rule.id == policy);
        found
            .map(|one| match &one.source {
                Source::Table { key, .. } => key["id"].as_str().unwrap().to_owned(),
                Source::File { path, line, .. } => format!("{path}:{}", line.unwrap()),
            })
            .collect()
    };
    assert_eq!(of("no-log-line"), [unlogged.to_string()], "{:?}", result.uncovered);
    assert_eq!(of("log-line-differs"), [changed.to_string()]);
    assert_eq!(of("log-line-without-row").len(), 1);
    let extra = result.findings.iter().find(|one| one.rule.id == "log-line-without-row").unwrap();
    assert_eq!(extra.event["tradeId"], deleted.to_string().as_str());
    assert_eq!(of("fill-without-row").len(), 1);
    assert!(of("no-fill").contains(&unlogged.to_string()), "{:?}", of("no-fill"));
}

#[test]
fn scanning_again_gives_only_news() {
    let folder = folder();
    let mut world = World::new(false, 7, 400);
    world.intrude();
    let database = sqlite(&folder.path().join("t.db"), &world.script());
    let policies = shipped();
    let start = Watermark::from(moment(END - 6 * 3_600_000));
    let first = wait(news(&database, &policies, &asked(), &start)).unwrap();
    assert!(first.findings.len() > 20, "{}", first.findings.len());
    let state: Watermark = serde_json::from_str(&serde_json::to_string(&first.watermark).unwrap()).unwrap();
    assert_eq!(state, first.watermark);
    let second = wait(news(&database, &policies, &asked(), &state)).unwrap();
    assert_eq!(second.findings.iter().map(|one| &one.rule.id).collect::<Vec<_>>(), Vec::<&String>::new());
}
