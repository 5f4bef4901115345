use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::*;
use crate::domain::CredentialId;

fn policy() -> CredentialPolicy {
    let text = "version: 1\ncredentials:\n  - id: key\n    issuer: { kind: api_key_table, key_id: k1 }\n    kept: [{ store: dotenv, key: KEY }]\n";
    let policy: crate::policy::credentials::CredentialsPolicy = crate::policy::parse("credentials.yml", text).unwrap();
    assert_eq!(policy.credentials[0].id, CredentialId::new("key").unwrap());
    policy.credentials.into_iter().next().unwrap()
}

async fn table(sql: &str) -> (tempfile::TempDir, ApiKeyTable) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let mut connection = SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    (folder, ApiKeyTable::new(KeyDatabase::Sqlite(path)))
}

#[tokio::test]
async fn a_key_is_replaced_and_killed_and_repeating_changes_nothing() {
    let old = SecretString::from("sk_old");
    let hash = Digest::of(b"sk_old");
    let (_folder, table) = table(&format!(
        "CREATE TABLE ApiKey (id TEXT PRIMARY KEY, accountId TEXT, keyHash TEXT UNIQUE, revokedAt DATETIME, createdAt DATETIME);
         INSERT INTO ApiKey VALUES ('k1', 'acc', '{hash}', NULL, 1), ('k2', 'acc', 'x', NULL, 1);"
    ))
    .await;
    let policy = policy();
    let new = SecretString::from("sk_new");
    assert_eq!(table.probe(&policy, &old).await.unwrap(), Probe::Accepted);
    assert!(matches!(table.probe(&policy, &new).await.unwrap(), Probe::Refused { .. }));
    for _ in 0..2 {
        table.issue(&policy, &new, Some(&old)).await.unwrap();
        table.revoke(&policy, Some(&old), Some(&new)).await.unwrap();
    }
    assert_eq!(table.probe(&policy, &new).await.unwrap(), Probe::Accepted);
    assert!(matches!(table.probe(&policy, &old).await.unwrap(), Probe::Refused { .. }));
    let mut session = table.session().await.unwrap();
    let rows = session
        .all("SELECT id, accountId, CAST(revokedAt IS NULL AS TEXT) FROM ApiKey ORDER BY id", &[])
        .await
        .unwrap();
    let alive: Vec<_> = rows.iter().map(|row| row[2].clone().unwrap()).collect();
    assert_eq!(alive, ["0", "1", "1"], "{rows:?}");
    assert_eq!(rows[1][1].as_deref(), Some("acc"));
}

#[tokio::test]
async fn evidence_says_when_and_never_what() {
    let (_folder, table) = table(
        "CREATE TABLE ApiKey (id TEXT, keyHash TEXT, revokedAt DATETIME, last_used_at TEXT, lastUsedIp TEXT, isActive INT);
         INSERT INTO ApiKey VALUES ('k1', 'hash-1', NULL, '2026-11-20 03:00:00', '203.0.113.9', 1), ('k1-0a', 'hash-2', 5, NULL, NULL, 0), ('k2', 'hash-3', NULL, 'x', NULL, 1);",
    )
    .await;
    let told = table.evidence(&policy()).await.unwrap().unwrap();
    let expected = serde_json::json!([
        {"id": "k1", "revokedAt": null, "last_used_at": "2026-11-20 03:00:00", "lastUsedIp": "203.0.113.9", "isActive": "1"},
        {"id": "k1-0a", "revokedAt": "5", "last_used_at": null, "lastUsedIp": null, "isActive": "0"},
    ]);
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_missing_row_or_column_is_said() {
    let (_folder, table) = table("CREATE TABLE ApiKey (id TEXT, keyHash TEXT, revokedAt DATETIME)").await;
    let value = SecretString::from("hunter2");
    let fault = table.issue(&policy(), &value, None).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
    assert!(fault.chain().contains("k1") && !fault.chain().contains("hunter2"));
    let (_folder, table) = self::table("CREATE TABLE ApiKey (id TEXT, keyHash TEXT)").await;
    let fault = table.issue(&policy(), &value, None).await.unwrap_err();
    assert!(fault.chain().contains("revocation"), "{}", fault.chain());
}

fn policy_with(hash: &str) -> CredentialPolicy {
    let mut policy = policy();
    let IssuerPolicy::ApiKeyTable { hash: scheme, .. } = &mut policy.issuer else { unreachable!() };
    *scheme = if hash == "bcrypt" { HashScheme::Bcrypt } else { HashScheme::Argon2 };
    policy
}

#[tokio::test]
async fn salted_hashes_are_found_made_and_killed() {
    let (old, new) = (SecretString::from("sk_old"), SecretString::from("sk_new"));
    for scheme in ["bcrypt", "argon2"] {
        let kind = if scheme == "bcrypt" { HashScheme::Bcrypt } else { HashScheme::Argon2 };
        let hash = hash::made(kind, &old).await.unwrap();
        let (_folder, table) = table(&format!(
            "CREATE TABLE ApiKey (id TEXT PRIMARY KEY, keyHash TEXT UNIQUE, isActive BOOLEAN);
             INSERT INTO ApiKey VALUES ('k1', '{hash}', 1), ('k2', 'no hash', 1);"
        ))
        .await;
        let policy = policy_with(scheme);
        assert_eq!(table.probe(&policy, &old).await.unwrap(), Probe::Accepted, "{scheme}");
        for _ in 0..2 {
            table.issue(&policy, &new, Some(&old)).await.unwrap();
            table.revoke(&policy, Some(&old), Some(&new)).await.unwrap();
        }
        assert_eq!(table.probe(&policy, &new).await.unwrap(), Probe::Accepted, "{scheme}");
        assert!(matches!(table.probe(&policy, &old).await.unwrap(), Probe::Refused { .. }), "{scheme}");
        let mut session = table.session().await.unwrap();
        let rows = session.all("SELECT keyHash, CAST(isActive AS TEXT) FROM ApiKey ORDER BY rowid", &[]).await.unwrap();
        assert_eq!(rows.len(), 3, "{scheme}: repeating adds no row");
        let made = rows[2][0].clone().unwrap();
        assert!(made.starts_with(if scheme == "bcrypt" { "$2b$12$" } else { "$argon2id$" }), "{made}");
    }
}

#[tokio::test]
async fn rows_of_earlier_rotations_die_though_their_values_are_unknown() {
    let (_folder, table) = table(
        "CREATE TABLE ApiKey (id TEXT PRIMARY KEY, keyHash TEXT UNIQUE, revokedAt DATETIME);
         INSERT INTO ApiKey VALUES ('k1', 'a', NULL), ('k1-0123abcd', 'b', NULL), ('k1-production', 'c', NULL), ('k10', 'd', NULL);",
    )
    .await;
    let new = SecretString::from("sk_new");
    table.issue(&policy(), &new, None).await.unwrap();
    table.revoke(&policy(), None, Some(&new)).await.unwrap();
    let mut session = table.session().await.unwrap();
    let rows = session.all("SELECT id FROM ApiKey WHERE revokedAt IS NULL ORDER BY id", &[]).await.unwrap();
    let alive: Vec<_> = rows.into_iter().map(|row| row[0].clone().unwrap()).collect();
    assert_eq!(alive.len(), 3, "{alive:?}");
    assert!(alive.contains(&"k10".to_owned()) && alive.contains(&"k1-production".to_owned()));
}
