//! `lockdown`, killed before and after every single effect, and run again: it ends as if nothing had happened.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portcullis::adapters::machine_key::MachineKeyFile;
use portcullis::adapters::vault::SealedFiles;
use portcullis::domain::Timestamp;
use portcullis::embedded::{Answer, BackEnd, EmbeddedDeployment, FAULTS_VARIABLE, Login, sign_token};
use portcullis::ports::Vault;
use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::invariants::{self, Credential, Honoured, When};
use crate::support::{Now, Ran, case_folder, copy, deployment, embedded, files, finish, folder, program, wait};

const KILLED: i32 = 9;
/// Runs at once: each waits more than it computes.
const THREADS: usize = 6;
/// The account of the trading key in the embedded deployment.
const ACCOUNT: &str = "acct_08";

const LOCKDOWN: [&str; 6] = ["lockdown", "--reason", "x", "--compromised", "trading-api-key", "--yes"];

fn lockdown(root: &Path, faults: &str) -> Ran {
    finish(program(root).env(FAULTS_VARIABLE, faults).arg("--embedded").arg(root).args(LOCKDOWN))
}

/// The values in `.env` whose names say that they are secrets. Read here on its own, not by the code that is tested.
fn secrets(root: &Path) -> [String; 3] {
    let text = std::fs::read_to_string(root.join(".env")).unwrap();
    ["TRADING_API_KEY", "JWT_SECRET", "WEBHOOK_SECRET"].map(|name| {
        let assignments: Vec<_> = text.lines().filter_map(|line| line.split_once(&format!("{name}="))).collect();
        let [(_, value)] = assignments.as_slice() else { panic!("{name} in {text}") };
        value.trim().trim_matches(['"', '\'']).to_owned()
    })
}

/// Every value that was ever sealed: old ones, and new ones that were put aside before they were used.
fn sealed(root: &Path) -> Vec<String> {
    let home = root.join(".portcullis");
    let key = MachineKeyFile::open(&home).unwrap().sealing_key();
    let vault = SealedFiles::new(&home, &key).unwrap();
    let names = vault.list("").unwrap();
    names.iter().map(|name| vault.open(name).unwrap().unwrap().expose_secret().to_owned()).collect()
}

async fn sqlite(root: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(root.join("trading.db")).connect().await.unwrap()
}

/// A trade straight into the table is refused by the guard, and nothing of it stays.
async fn guard_holds(root: &Path) {
    let mut connection = sqlite(root).await;
    let count = "SELECT count(*) FROM \"Trade\"";
    let before: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
    let error = sqlx::query(
        "INSERT INTO \"Trade\" (accountId, symbol, side, quantity, price, value, status, createdAt, updatedAt) \
         VALUES (?1, 'VWCE', 'BUY', '1', '116', '116', 'settled', 1, 1)",
    )
    .bind(ACCOUNT)
    .execute(&mut connection)
    .await
    .expect_err("the guard lets a trade in");
    assert!(error.to_string().contains("paused by portcullis"), "{error}");
    let after: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
    assert_eq!(before, after);
}

/// Exactly one row of the trading key is alive, and it is the new key's.
async fn one_live_key(root: &Path, new: &str) {
    let mut connection = sqlite(root).await;
    let sql = "SELECT keyHash FROM \"ApiKey\" WHERE id LIKE 'key_trading%' AND revokedAt IS NULL";
    let live: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
    let hash = ring::digest::digest(&ring::digest::SHA256, new.as_bytes());
    assert_eq!(live, [hex::encode(hash)], "live rows of the trading key");
}

/// The back end itself lets the new key and tokens in, and neither old ones.
async fn back_end_agrees(root: &Path, old: [&str; 2], new: [&str; 2]) {
    let back_end = BackEnd::new(root, Arc::new(Now));
    let expires = Timestamp::now() + Duration::from_mins(1);
    for ([key, jwt], honoured) in [(old, false), (new, true)] {
        let (key, jwt) = (SecretString::from(key), SecretString::from(jwt));
        let token = sign_token(&jwt, ACCOUNT, expires);
        for (what, login) in [("key", Login::ApiKey(&key)), ("token", Login::Token(&token))] {
            let answer = back_end.who_am_i(login).await.unwrap();
            let let_in = matches!(answer, Answer::Created { .. });
            assert_eq!(let_in, honoured, "{what}: {answer:?}");
        }
    }
}

/// No secret is in what the program wrote or said.
fn nothing_leaked(root: &Path, old: &[String; 3], runs: &[&Ran]) {
    let mut values: BTreeSet<String> = sealed(root).into_iter().collect();
    values.extend(secrets(root));
    values.extend(old.iter().cloned());
    assert!(values.len() >= 6, "three old values, three new ones");
    let mut places: Vec<(PathBuf, Vec<u8>)> = files(&root.join(".portcullis"))
        .into_iter()
        .map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            (path, bytes)
        })
        .collect();
    for ran in runs {
        places.push(("standard output".into(), ran.stdout.clone().into_bytes()));
        places.push(("standard error".into(), ran.stderr.clone().into_bytes()));
    }
    for (place, bytes) in places {
        for value in &values {
            assert!(memchr::memmem::find(&bytes, value.as_bytes()).is_none(), "a secret is in {}", place.display());
        }
    }
}

/// Everything that must be true after a lockdown, whatever came before.
fn contained(root: &Path, old: &[String; 3], runs: &[&Ran]) {
    let new = secrets(root);
    for (old, new) in old.iter().zip(&new) {
        assert_ne!(old, new, "a value was not replaced");
    }
    wait(async {
        guard_holds(root).await;
        one_live_key(root, &new[0]).await;
        back_end_agrees(root, [&old[0], &old[1]], [&new[0], &new[1]]).await;
    });
    nothing_leaked(root, old, runs);
    let said: Vec<&str> = runs.iter().flat_map(|ran| [ran.stdout.as_str(), ran.stderr.as_str()]).collect();
    let wrong = wait(invariants::violations(root, &credentials(old), &said, When::Final));
    assert_eq!(wrong, Vec::<String>::new());
    let case = case_folder(root).display().to_string();
    embedded(root, &["audit", "verify", &case]).expect(0);
}

fn credentials(old: &[String; 3]) -> [Credential; 3] {
    let kept = |env, secret, honoured, old: &String| Credential { env: Some(env), secret, honoured, old: old.clone() };
    [
        kept("TRADING_API_KEY", None, Honoured::Rows("key_trading"), &old[0]),
        kept("JWT_SECRET", None, Honoured::Tokens, &old[1]),
        kept("WEBHOOK_SECRET", Some("prod/webhook"), Honoured::Nobody, &old[2]),
    ]
}

/// One point: the deployment as it was, a run that is killed there, a run without faults.
fn point(pristine: &Path, old: &[String; 3], fault: &str) {
    let folder = folder();
    let root = folder.path().join("d");
    copy(pristine, &root).unwrap();
    let killed = lockdown(&root, fault);
    assert_eq!((killed.signal, killed.code), (Some(KILLED), None), "{fault}: {killed:?}");
    let again = embedded(&root, &LOCKDOWN).expect(0);
    contained(&root, old, &[&killed, &again]);
}

/// Runs every point, and says which failed: one wrong step often shows at several.
fn on_threads(points: &[String], run: impl Fn(&str) + Sync) -> Vec<String> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(point))).is_err() {
                        failed.lock().unwrap().push(point.clone());
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

#[test]
fn lockdown_killed_at_any_effect_ends_the_same() {
    let folder = folder();
    let pristine = folder.path().join("pristine");
    let victim: EmbeddedDeployment = deployment(&pristine, 21);
    let old = secrets(&pristine);
    assert_eq!(old[0], victim.trading_key.expose_secret());
    assert_eq!(old[1], victim.jwt_secret.expose_secret());

    let counted = folder.path().join("counted");
    copy(&pristine, &counted).unwrap();
    let number = folder.path().join("effects");
    let whole = lockdown(&counted, &format!("count={}", number.display())).expect(0);
    contained(&counted, &old, &[&whole]);
    let effects: u64 = std::fs::read_to_string(&number).unwrap().parse().unwrap();
    assert!(effects > 30, "{effects} effects");

    let points: Vec<String> =
        (1..=effects).flat_map(|n| [format!("kill-before={n}"), format!("kill-after={n}")]).collect();
    let began = Instant::now();
    let failed = on_threads(&points, |fault| point(&pristine, &old, fault));
    println!("{effects} effects, {} points, {:.1} s", points.len(), began.elapsed().as_secs_f64());
    assert_eq!(failed, Vec::<String>::new(), "why is said above");
}
