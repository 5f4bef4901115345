//! The policies as SQL say what the scan says: on PostgreSQL, and on Spark over an export of the same tables.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use portcullis::detect::trades::sql::{Dialect, Statement};
use portcullis::engine::scan_trades::{TradeScan, TradeScanResult, statements};
use portcullis::ports::Database;
use sqlx::{AssertSqlSafe, ConnectOptions, Row as _};

use super::world::{END, World};
use super::{asked, feed, moment, postgres, row, scan, shipped};
use crate::peers::Postgres;
use crate::support::{folder, wait};

/// Policy and row of each finding.
type Found = BTreeSet<(String, String)>;

/// Whether nothing that can be written was left out.
fn written(database: &dyn Database, asked: &TradeScan, dialect: Dialect) -> Vec<Statement> {
    let (written, uncovered) = wait(statements(database, &shipped(), asked, dialect)).unwrap();
    let left: BTreeSet<&str> = uncovered.iter().map(|gap| gap.policy.as_str()).collect();
    let memory = [
        "back-dated",
        "edited-silently",
        "filled-otherwise",
        "key-from-another-address",
        "order-still-waits",
        "over-position-limit",
        "quantity-outlier",
        "round-trips",
        "value-outlier",
        "wash",
        "wash-within-a-minute",
        "worse-than-its-order",
        "written-late",
    ];
    // Neither is an order's end nor an exchange's name of a trade in this schema.
    let absent = ["after-its-order", "same-reference"];
    let records =
        ["fill-differs", "fill-without-row", "log-line-differs", "log-line-without-row", "no-fill", "no-log-line"];
    let leads = ["first-use", "new-address", "new-instrument", "off-hours"];
    let leads = if asked.since.is_none() { &leads[..] } else { &[] };
    let expected: BTreeSet<&str> = memory.iter().chain(&absent).chain(&records).chain(leads).copied().collect();
    assert_eq!(left, expected, "{uncovered:?}");
    written
}

fn expected(result: &TradeScanResult, written: &[Statement]) -> Found {
    let has = |policy: &str| written.iter().any(|one| one.policy == policy);
    result.findings.iter().map(|one| (one.rule.id.clone(), row(one))).filter(|(policy, _)| has(policy)).collect()
}

fn company(server: &Postgres, seed: u64) {
    let mut world = World::new(true, seed, 2_500);
    world.intrude();
    feed(server, &world.script());
}

fn on_postgresql(server: &Postgres, written: &[Statement]) -> Found {
    wait(async {
        let options: sqlx::postgres::PgConnectOptions = server.url.parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        let mut found = Found::new();
        for one in written {
            let rows = sqlx::query(AssertSqlSafe(one.sql.clone())).fetch_all(&mut connection).await;
            let rows = rows.unwrap_or_else(|error| panic!("{}: {error}\n{}", one.policy, one.sql));
            found.extend(rows.iter().map(|row| (row.get("policy"), row.get("id"))));
        }
        found
    })
}

#[test]
fn statements_say_on_postgresql_what_the_scan_says() {
    let Some(server) = Postgres::fresh("trades_sql") else { return };
    company(&server, 8);
    let database = postgres(&server);
    let since = Some(moment(END - 5 * 3_600_000));
    for asked in [asked(), TradeScan { since, ..asked() }] {
        let written = written(&database, &asked, Dialect::Postgresql);
        let expected = expected(&scan(&database, &asked), &written);
        assert!(expected.len() > 25, "{expected:?}");
        assert_eq!(on_postgresql(&server, &written), expected);
    }
}

fn export(server: &Postgres, folder: &Path) -> Vec<String> {
    let tables = ["Account", "ApiKey", "Order", "Session", "Trade"];
    let path = |table: &str| folder.join(format!("{table}.csv")).display().to_string();
    for table in tables {
        let copy = format!("\\copy \"{table}\" TO '{}' (FORMAT csv, HEADER)", path(table));
        assert!(Command::new("psql").args(["-X", "-q", "-d", &server.url, "-c", &copy]).status().unwrap().success());
    }
    tables.iter().map(|table| format!("{table}={}", path(table))).collect()
}

/// Spark starts a machine of its own and takes half a minute: only where `PORTCULLIS_TEST_SPARK` names a Python that has it.
#[test]
fn statements_say_on_spark_what_the_scan_says() {
    let Some(python) = std::env::var_os("PORTCULLIS_TEST_SPARK") else {
        println!("SKIPPED: PORTCULLIS_TEST_SPARK names no Python with pyspark; docs/SCALE.md says how it is run");
        return;
    };
    let Some(server) = Postgres::fresh("trades_spark") else { return };
    company(&server, 9);
    let database = postgres(&server);
    let written = written(&database, &asked(), Dialect::Spark);
    let folder = folder();
    let file = folder.path().join("statements.jsonl");
    let mut lines = String::new();
    for one in &written {
        let record = serde_json::json!({"type": "statement", "policy": one.policy, "sql": one.sql});
        let _ = writeln!(lines, "{record}");
    }
    std::fs::write(&file, lines).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/spark/trades.py");
    let output = Command::new(python)
        .arg(script)
        .arg(&file)
        .args(export(&server, folder.path()))
        .env("SPARK_LOCAL_IP", "127.0.0.1")
        .env(
            "PYSPARK_SUBMIT_ARGS",
            "--master local[2] --conf spark.sql.shuffle.partitions=4 --conf spark.ui.enabled=false pyspark-shell",
        )
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let word = |record: &serde_json::Value, key: &str| record[key].as_str().unwrap().to_owned();
    let found: Found = records
        .filter(|record| record["type"] == "finding")
        .map(|record| (word(&record, "policy"), word(&record, "id")))
        .collect();
    let expected = expected(&scan(&database, &asked()), &written);
    assert!(expected.len() > 25);
    assert_eq!(found, expected);
}
