//! What must hold of a deployment whatever happened to it, read from its folder alone: files, SQLite, ring. Nothing of the
//! crate is used, so that a mistake in it can't hide itself here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

/// When it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// A run was cut off and is not finished yet.
    Between,
    /// A run ended well.
    Final,
}

/// Who honours a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Honoured {
    /// Rows of the key table whose id starts so.
    Rows(&'static str),
    /// The back end, that signs tokens with it.
    Tokens,
    /// Nobody who can be asked.
    Nobody,
}

/// A credential of the deployment.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Key in `.env`.
    pub env: Option<&'static str>,
    /// Secret in the embedded Secrets Manager.
    pub secret: Option<&'static str>,
    /// Who honours it.
    pub honoured: Honoured,
    /// Its value before the breach.
    pub old: String,
}

fn hash(value: &str) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, value.as_bytes()))
}

/// The value of a key in `.env`; there must be one assignment.
pub fn env(root: &Path, name: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(root.join(".env")).map_err(|error| format!(".env can't be read: {error}"))?;
    let found: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("export ").unwrap_or(line).strip_prefix(name)?.strip_prefix('='))
        .collect();
    match found.as_slice() {
        [value] => Ok(value.trim().trim_matches(['"', '\'']).to_owned()),
        _ => Err(format!(".env has {} assignments of {name}", found.len())),
    }
}

/// The current value of a secret, and whether another version can still be had by a label.
fn secret(root: &Path, name: &str) -> Result<(String, bool), String> {
    let bytes = std::fs::read(root.join("embedded/secrets-manager.json")).map_err(|error| error.to_string())?;
    let all: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let versions = all[name].as_object().ok_or_else(|| format!("there is no secret {name}"))?;
    let labels = |version: &Value| version["stages"].as_array().map_or(0, Vec::len);
    let is_current =
        |version: &&Value| version["stages"].as_array().is_some_and(|all| all.contains(&"AWSCURRENT".into()));
    let current: Vec<_> = versions.values().filter(is_current).collect();
    let [value] = current.as_slice() else { return Err(format!("{name} has {} current versions", current.len())) };
    let others = versions.values().filter(|version| !is_current(version)).any(|version| labels(version) > 0);
    Ok((value["value"].as_str().unwrap_or_default().to_owned(), others))
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Every sealed value that can be opened (RFC 5869, RFC 8439), and the names of those that can't.
fn sealed(root: &Path) -> (Vec<String>, Vec<String>) {
    let home = root.join(".portcullis");
    let (mut values, mut broken) = (Vec::new(), Vec::new());
    let Ok(pem) = std::fs::read_to_string(home.join("machine.key")) else { return (values, broken) };
    let der = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
    let seed = &der[der.len() - 32..];
    let mut key = [0; 32];
    let salt = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, b"portcullis machine key");
    let info: [&[u8]; 1] = [b"portcullis sealed values v1"];
    salt.extract(seed).expand(&info, ring::hkdf::HKDF_SHA256).unwrap().fill(&mut key).unwrap();
    let aead = ring::aead::LessSafeKey::new(ring::aead::UnboundKey::new(&ring::aead::CHACHA20_POLY1305, &key).unwrap());
    let folder = home.join("sealed");
    for path in files(&folder) {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        if path.extension().is_some_and(|end| end == "tmp") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let opened =
            bytes.strip_prefix(b"PCV1").and_then(|bytes| bytes.split_at_checked(12)).and_then(|(nonce, body)| {
                let nonce = ring::aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
                let mut body = body.to_vec();
                let value = aead.open_in_place(nonce, ring::aead::Aad::from(name.as_bytes()), &mut body).ok()?;
                String::from_utf8(value.to_vec()).ok()
            });
        match opened {
            Some(value) => values.push(value),
            None => broken.push(name),
        }
    }
    (values, broken)
}

/// The entries of every ledger, whole lines only.
pub fn ledger(root: &Path) -> Vec<Value> {
    let all = files(&root.join(".portcullis/incidents"));
    let ledgers = all.iter().filter(|path| path.ends_with("ledger.jsonl"));
    ledgers
        .flat_map(|path| {
            let bytes = std::fs::read(path).unwrap();
            let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            lines.into_iter().filter_map(|line| serde_json::from_slice(&line).ok())
        })
        .collect()
}

/// Whether the ledger says that a step of that beginning ended well.
fn said_done(entries: &[Value], step: &str) -> bool {
    entries.iter().any(|entry| {
        let text = entry.to_string();
        text.contains(&format!("\"step\":\"{step}"))
            && (text.contains("\"outcome\":\"done\"") || text.contains("\"outcome\":\"already\""))
    })
}

async fn open(root: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(root.join("trading.db")).create_if_missing(false).connect().await.unwrap()
}

/// Lets the database itself note every change of the guard's flag, from now on.
pub async fn watch_the_flag(root: &Path) {
    let mut connection = open(root).await;
    let sql = "CREATE TABLE flag_watch (n INTEGER PRIMARY KEY, was INTEGER, paused INTEGER);
               CREATE TRIGGER flag_watch_u AFTER UPDATE ON portcullis_guard BEGIN INSERT INTO flag_watch (was, paused) VALUES (OLD.paused, NEW.paused); END;
               CREATE TRIGGER flag_watch_d AFTER DELETE ON portcullis_guard BEGIN INSERT INTO flag_watch (was, paused) VALUES (OLD.paused, NULL); END;";
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn pause(root: &Path, connection: &mut SqliteConnection, when: When, wrong: &mut Vec<String>) {
    let paused: Option<i64> = sqlx::query_scalar("SELECT paused FROM portcullis_guard WHERE id = 1")
        .fetch_optional(&mut *connection)
        .await
        .unwrap_or(None);
    let lifted: i64 = sqlx::query_scalar("SELECT count(*) FROM flag_watch WHERE was IS NOT 0 AND paused IS NOT 1")
        .fetch_one(&mut *connection)
        .await
        .unwrap_or(0);
    let entries = ledger(root);
    if lifted > 0 {
        wrong.push(format!("the pause was lifted {lifted} times"));
    }
    if paused != Some(1) && (when == When::Final || said_done(&entries, "pause.guard\"")) {
        wrong.push(format!("the guard's flag is {paused:?}"));
    }
    if !root.join("PAUSED").exists() && (when == When::Final || said_done(&entries, "pause.flag\"")) {
        wrong.push("the flag file is gone".into());
    }
    if when == When::Final {
        let tried = sqlx::query(
            "INSERT INTO \"Trade\" (accountId, symbol, side, quantity, price, value, status, createdAt, updatedAt) \
             SELECT accountId, 'VWCE', 'BUY', '1', '116', '116', 'settled', 1, 1 FROM \"ApiKey\" LIMIT 1",
        );
        match tried.execute(&mut *connection).await {
            Ok(_) => wrong.push("a trade is let in".into()),
            Err(error) if error.to_string().contains("paused by portcullis") => {}
            Err(error) => wrong.push(format!("a trade is refused by something else: {error}")),
        }
    }
}

/// What the stores of a credential hold, and what is wrong with them.
fn stored(root: &Path, credential: &Credential, when: When, wrong: &mut Vec<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Some(name) = credential.env {
        match env(root, name) {
            Ok(value) => drop(found.insert(value)),
            Err(why) => wrong.push(why),
        }
    }
    if let Some(name) = credential.secret {
        match secret(root, name) {
            Ok((value, others)) => {
                found.insert(value);
                if others && when == When::Final {
                    wrong.push(format!("an older version of {name} can still be had"));
                }
            }
            Err(why) => wrong.push(why),
        }
    }
    found
}

async fn honoured(
    root: &Path,
    connection: &mut SqliteConnection,
    credential: &Credential,
    (stored, kept): (&BTreeSet<String>, &BTreeSet<String>),
    when: When,
    wrong: &mut Vec<String>,
) {
    let (name, live): (&str, Vec<String>) = match credential.honoured {
        Honoured::Rows(row) => {
            let sql = "SELECT keyHash FROM \"ApiKey\" WHERE substr(id, 1, length(?1)) = ?1 AND revokedAt IS NULL";
            (row, sqlx::query_scalar(sql).bind(row).fetch_all(connection).await.unwrap())
        }
        Honoured::Tokens => {
            let state: Value =
                serde_json::from_slice(&std::fs::read(root.join("embedded/back-end.json")).unwrap()).unwrap();
            ("tokens", vec![hash(state["jwt_secret"].as_str().unwrap_or_default())])
        }
        Honoured::Nobody => return,
    };
    let values: BTreeMap<String, &String> = stored.iter().chain(kept).map(|value| (hash(value), value)).collect();
    for one in &live {
        if !values.contains_key(one) {
            wrong.push(format!("{name}: a live value can be recovered from nowhere"));
        }
    }
    if when == When::Final {
        let current: BTreeSet<String> = stored.iter().map(|value| hash(value)).collect();
        if live.len() != 1 {
            wrong.push(format!("{name}: {} values are live", live.len()));
        }
        if live.iter().any(|one| !current.contains(one)) {
            wrong.push(format!("{name}: a live value is in no store (an orphan)"));
        }
        if live.contains(&hash(&credential.old)) {
            wrong.push(format!("{name}: the old value is honoured"));
        }
    }
}

/// Where a secret value stands that must stand nowhere.
fn leaks(root: &Path, values: &BTreeSet<String>, said: &[&str], wrong: &mut Vec<String>) {
    let finders: Vec<_> =
        values.iter().filter(|v| !v.is_empty()).map(|v| memchr::memmem::Finder::new(v.as_bytes())).collect();
    let mut look = |place: &str, bytes: &[u8]| {
        if finders.iter().any(|finder| finder.find(bytes).is_some()) {
            wrong.push(format!("a secret is in {place}"));
        }
    };
    for path in files(&root.join(".portcullis")) {
        look(&path.strip_prefix(root).unwrap().display().to_string(), &std::fs::read(&path).unwrap());
    }
    for text in said {
        look("what was said", text.as_bytes());
    }
}

/// Everything that is not as it must be; empty is good.
pub async fn violations(root: &Path, credentials: &[Credential], said: &[&str], when: When) -> Vec<String> {
    let mut wrong = Vec::new();
    let (kept, broken) = sealed(root);
    let kept: BTreeSet<String> = kept.into_iter().collect();
    if when == When::Final {
        wrong.extend(broken.iter().map(|name| format!("the sealed value {name} can't be opened")));
    }
    let mut connection = open(root).await;
    pause(root, &mut connection, when, &mut wrong).await;
    let mut values = kept.clone();
    for credential in credentials {
        let stored = stored(root, credential, when, &mut wrong);
        if when == When::Final && stored.contains(&credential.old) {
            wrong.push(format!("{:?}{:?}: a store holds the old value", credential.env, credential.secret));
        }
        if when == When::Final && stored.len() != 1 {
            wrong.push(format!("{:?}{:?}: the stores do not agree", credential.env, credential.secret));
        }
        values.extend(stored.iter().cloned());
        values.insert(credential.old.clone());
        honoured(root, &mut connection, credential, (&stored, &kept), when, &mut wrong).await;
    }
    connection.close().await.unwrap();
    leaks(root, &values, said, &mut wrong);
    wrong
}

/// Everything that is not as it must be once an incident was resumed: recorded once, every switch off, and a trade is let in.
pub async fn after_resume(root: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let resumed = ledger(root).iter().filter(|entry| entry.to_string().contains("\"incident.resumed\"")).count();
    if resumed != 1 {
        wrong.push(format!("the ledger says {resumed} times that the incident was resumed"));
    }
    if root.join("PAUSED").exists() {
        wrong.push("the flag file is still there".into());
    }
    let mut connection = open(root).await;
    let mut tried = connection.begin().await.unwrap();
    let sql = "INSERT INTO \"Trade\" (accountId, symbol, side, quantity, price, value, status, createdAt, updatedAt) \
               SELECT accountId, 'VWCE', 'BUY', '1', '116', '116', 'settled', 1, 1 FROM \"ApiKey\" LIMIT 1";
    if let Err(error) = sqlx::query(sql).execute(&mut *tried).await {
        wrong.push(format!("a trade is refused: {error}"));
    }
    tried.rollback().await.unwrap();
    connection.close().await.unwrap();
    wrong
}

/// How many rows of the key table honour a value.
pub async fn rows_that_honour(root: &Path, value: &str) -> i64 {
    let mut connection = open(root).await;
    let sql = "SELECT count(*) FROM \"ApiKey\" WHERE keyHash = ? AND revokedAt IS NULL";
    let count = sqlx::query_scalar(sql).bind(hash(value)).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    count
}
