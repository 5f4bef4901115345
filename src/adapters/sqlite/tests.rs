use super::*;
use crate::domain::Canary;
use crate::policy::pause::{GuardPolicy, PausePolicy};
use crate::ports::Guard;

async fn database() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trading.db");
    std::fs::write(&path, b"").unwrap();
    let mut connection = open(&path, false).await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE \"Trade\" (id INTEGER PRIMARY KEY AUTOINCREMENT, symbol TEXT NOT NULL, price DECIMAL, raw BLOB);
         INSERT INTO \"Trade\" (symbol, price, raw) VALUES ('BTC', 10.5, x'00ff'), ('a\"b;--', NULL, NULL);
         CREATE TRIGGER spy AFTER INSERT ON \"Trade\" BEGIN SELECT 1; END;",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    (folder, path)
}

fn policy() -> GuardPolicy {
    let pause: PausePolicy = crate::policy::parse("pause.yml", "version: 1\nguard: { table: trade }\n").unwrap();
    pause.guard.unwrap()
}

async fn insert(path: &Path) -> Result<(), String> {
    let mut connection = open(path, false).await.unwrap();
    let inserted = sqlx::query("INSERT INTO \"Trade\" (symbol) VALUES ('ETH')").execute(&mut connection).await;
    inserted.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn rows_and_catalog_are_read_as_text() {
    let (_folder, path) = database().await;
    let database = SqliteDatabase::new(&path);
    let tables = database.tables().await.unwrap();
    assert_eq!(tables.len(), 1);
    let names: Vec<_> = tables[0].columns.iter().map(|column| column.name.clone()).collect();
    let mut rows = Vec::new();
    let count = database
        .rows(&tables[0].name, &names, Some("id"), &mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        })
        .await
        .unwrap();
    assert_eq!(count, 2);
    assert_eq!(rows[0], [Some("1".into()), Some("BTC".into()), Some("10.5".into()), Some("x'00FF'".into())]);
    assert_eq!(rows[1], [Some("2".into()), Some("a\"b;--".into()), None, None]);
    let objects = database.objects().await.unwrap();
    assert_eq!(objects.objects[0].name, "Trade.spy");
}

#[tokio::test]
async fn the_guard_refuses_while_the_flag_is_set_and_consumes_no_ids() {
    let (_folder, path) = database().await;
    let guard = SqliteGuard::new(&path, policy());
    assert!(!guard.inspect().await.unwrap().installed);
    assert!(matches!(guard.canary().await.unwrap(), Canary::Passed { .. }));
    guard.install().await.unwrap();
    insert(&path).await.unwrap();
    guard.engage().await.unwrap();
    assert!(guard.inspect().await.unwrap().paused);
    assert!(matches!(guard.canary().await.unwrap(), Canary::Refused { .. }));
    assert!(insert(&path).await.unwrap_err().contains("trading is paused"));
    guard.release().await.unwrap();
    assert!(matches!(guard.canary().await.unwrap(), Canary::Passed { .. }));
    insert(&path).await.unwrap();
    let mut connection = open(&path, true).await.unwrap();
    let highest: i64 = sqlx::query_scalar("SELECT max(id) FROM \"Trade\"").fetch_one(&mut connection).await.unwrap();
    assert_eq!(highest, 4);
}

#[tokio::test]
async fn engage_installs_and_repairs() {
    let (_folder, path) = database().await;
    let guard = SqliteGuard::new(&path, policy());
    guard.engage().await.unwrap();
    let mut connection = open(&path, false).await.unwrap();
    sqlx::raw_sql("DROP TRIGGER portcullis_guard_insert; CREATE TRIGGER portcullis_guard_insert BEFORE INSERT ON \"Trade\" BEGIN SELECT 1; END; DELETE FROM portcullis_guard")
        .execute(&mut connection)
        .await
        .unwrap();
    let report = guard.inspect().await.unwrap();
    assert!(!report.installed && report.detail.contains("altered"), "{report:?}");
    guard.engage().await.unwrap();
    assert!(guard.inspect().await.unwrap().installed);
    assert!(insert(&path).await.is_err());
}

#[tokio::test]
async fn a_missing_file_and_a_missing_table_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let missing = SqliteDatabase::new(folder.path().join("no.db"));
    assert_eq!(missing.ping().await.unwrap_err().kind, FaultKind::NotFound);
    let garbage = folder.path().join("garbage.db");
    std::fs::write(&garbage, vec![7; 4096]).unwrap();
    assert_eq!(SqliteDatabase::new(&garbage).ping().await.unwrap_err().kind, FaultKind::Corrupt);
    let empty = folder.path().join("empty.db");
    std::fs::write(&empty, b"").unwrap();
    let fault = SqliteGuard::new(&empty, policy()).engage().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
}

#[tokio::test]
async fn rows_are_restored_many_at_once_and_a_bad_one_is_named_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fresh.db");
    let dump = |bad: Option<u64>| {
        let mut text =
            String::from("BEGIN TRANSACTION;\nCREATE TABLE \"Trade\" (id INTEGER PRIMARY KEY, note TEXT);\n");
        for id in 0_u64..3_000 {
            let id = if bad == Some(id) { 0 } else { id };
            text.push_str(&format!("INSERT INTO \"Trade\" VALUES({id},'it''s; row {id} -- of many');\n"));
        }
        text.push_str("COMMIT;\n");
        Box::new(std::io::Cursor::new(text.into_bytes()))
    };
    restore::build(&path, dump(None)).await.unwrap();
    let mut connection = open(&path, false).await.unwrap();
    let sums: (i64, i64) =
        sqlx::query_as("SELECT count(*), sum(id) FROM \"Trade\" WHERE note = 'it''s; row ' || id || ' -- of many'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(sums, (3_000, 3_000 * 2_999 / 2));
    for bad in [1, 2_345, 2_999] {
        let other = folder.path().join(format!("{bad}.db"));
        let fault = restore::build(&other, dump(Some(bad))).await.unwrap_err();
        assert!(fault.message.contains(&format!("line {} of the dump", bad + 3)), "{}", fault.message);
    }
}
