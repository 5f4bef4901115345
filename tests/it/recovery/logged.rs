//! Trades that only a log knows are listed with their file and line, and never put back.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Scene, gz, trades};
use crate::peers::psql;
use crate::support::case_folder;

/// The line that the back end writes of a trade, as `trades` makes it.
fn line(id: u32) -> String {
    let minutes = id * 5;
    json!({
        "time": format!("2026-11-{:02}T{:02}:{:02}:00.000Z", 20 + minutes / 1440, minutes / 60 % 24, minutes % 60),
        "level": "info", "msg": "trade executed", "tradeId": id.to_string(), "accountId": format!("acc_{}", 1 + id % 5),
        "symbol": "VWCE", "side": if id.is_multiple_of(2) { "BUY" } else { "SELL" }, "quantity": (1 + id % 7).to_string(), "price": "100",
        "authorization": "Bearer not-to-be-repeated",
    })
    .to_string()
}

/// The newest list of that name in the case.
fn list(root: &Path, name: &str) -> String {
    let case = case_folder(root);
    let ledger = fs::read_to_string(case.join("ledger.jsonl")).unwrap();
    let entries: Vec<Value> = ledger.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = entries.iter().rev().find(|entry| entry["event"]["name"] == name);
    let digest = named.unwrap_or_else(|| panic!("{name} in {ledger}"))["event"]["file"]["sha256"].as_str().unwrap();
    fs::read_to_string(case.join("evidence").join(digest)).unwrap()
}

#[test]
fn trades_that_only_a_log_knows_are_listed_with_their_line_and_never_put_back() {
    let Some(scene) = Scene::new("logged") else { return };
    let root = scene.root.path();
    let backup = scene.write("db_backup_20261121_010000.sql.gz", &gz(scene.dump().as_bytes()));
    scene.postgres.sql(&trades(201, 206));
    scene.postgres.sql("UPDATE \"Trade\" SET \"apiKeyId\" = 'key_unknown' WHERE id = 204");
    fs::create_dir(root.join("logs")).unwrap();
    let old: Vec<String> = (1..=100).map(line).collect();
    fs::write(root.join("logs/app.log.1.gz"), gz(old.join("\n").as_bytes())).unwrap();
    let noise = r#"{"time":"2026-11-20T08:00:00Z","level":"info","msg":"GET /health","status":200}"#;
    let new: Vec<String> = std::iter::once(noise.to_owned()).chain((101..=206).map(line)).chain([line(900)]).collect();
    fs::write(root.join("logs/app.log"), new.join("\n") + "\n").unwrap();
    scene.open();
    scene.run(&["scan", "trades"]).expect(3);
    scene.postgres.sql(
        "ALTER TABLE \"Trade\" DISABLE TRIGGER aa_portcullis_guard; DELETE FROM \"Trade\" WHERE id IN (7, 203, 204); \
         ALTER TABLE \"Trade\" ENABLE ALWAYS TRIGGER aa_portcullis_guard",
    );
    let wrong = scene.run(&["restore", &backup, "--logs", "logs/ap.log", "--yes"]).expect(1);
    assert!(wrong.stderr.contains("logs/ap.log"), "{}", wrong.stderr);
    let ran = scene.run(&["--format", "json", "restore", &backup, "--logs", "logs", "--yes"]).expect(0);
    let seen = ran.of_type("reconciled").remove(0);
    let counts = ["legitimate", "unauthorized", "changed", "deleted", "logged", "logged_named"];
    assert_eq!(counts.map(|count| seen[count].as_u64().unwrap()), [4, 0, 0, 1, 3, 1], "{seen}");
    assert_eq!(seen["uncovered"], json!([]), "{seen}");
    // File and line of each; what the line holds besides is not repeated.
    let csv = list(root, "reconciliation/logged.csv");
    for (id, number) in [(203, 104), (204, 105), (900, 108)] {
        let start = format!("\"logs/app.log\",\"{number}\",\"2026-11-");
        let found = csv.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{start} in {csv}"));
        assert!(found.contains(&format!("\"{id}\",\"acc_")), "{found}");
    }
    let rows = list(root, "reconciliation/rows");
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let logged: Vec<_> = rows.iter().filter(|row| row["class"] == "logged").collect();
    assert_eq!(logged.len(), 3, "{rows:?}");
    assert_eq!(logged[0]["source"], json!({"path": "logs/app.log", "record": 103, "line": 104}));
    assert_eq!((&logged[0]["id"], &logged[0]["told"]["quantity"]), (&json!("203"), &json!("1")), "{}", logged[0]);
    assert_eq!(logged[1]["findings"].as_array().unwrap().len(), 1, "{}", logged[1]);
    assert!(!csv.contains("not-to-be") && !logged[0].to_string().contains("not-to-be"));
    scene.run(&["restore", "--replay", "--note", "checked with the desk", "--yes"]).expect(0);
    assert_eq!(scene.postgres.sql("SELECT count(*), max(id) FROM \"Trade\""), "204|206", "203 and 204 stay out");
    // Without a database the log is the only witness of what came after the backup.
    fs::write(root.join("policies/monitoring.yml"), "version: 1\nlogs: [logs]\n").unwrap();
    let (base, _) = scene.postgres.url.rsplit_once('/').unwrap();
    psql(&format!("{base}/postgres"), &format!("DROP DATABASE {} WITH (FORCE)", scene.postgres.name)).unwrap();
    let ran = scene.run(&["--format", "json", "recover", "database", "--from", &backup, "--yes"]);
    let seen = ran.of_type("reconciled").remove(0);
    assert_eq!(counts.map(|count| seen[count].as_u64().unwrap()), [0, 0, 0, 0, 7, 1], "{seen}");
    assert!(seen["uncovered"][0].as_str().unwrap().contains("can't be read"), "{seen}");
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(scene.postgres.sql("SELECT count(*) FROM \"Trade\""), "200");
}
