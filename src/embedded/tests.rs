use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::adapters::issuers::{ApiKeyTable, KeyDatabase, SelfMade};
use crate::adapters::sqlite::{SqliteDatabase, SqliteGuard};
use crate::detect::logs::{Ruleset, ScanOptions, scan_reader};
use crate::detect::trades::policy::TradePolicy;
use crate::domain::{Finding, Probe, Timestamp};
use crate::engine::scan_trades::{TradeScan, TradeScanResult, run};
use crate::policy::Policies;
use crate::ports::{Clock, Fault, Guard, Issuer, Random, Service};

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

async fn deployment(root: &Path, seed: u64) -> EmbeddedDeployment {
    let people = vec![("ada".to_owned(), vec!["security".to_owned()], "ssh-ed25519 AAAA".to_owned())];
    EmbeddedDeployment::create(root, &Seeded::new(seed), Arc::new(Fixed), &people).await.unwrap()
}

fn policies(root: &Path) -> Policies {
    Policies::from_texts(crate::adapters::policy_files::read(&root.join("policies")).unwrap()).unwrap()
}

async fn scan(root: &Path) -> TradeScanResult {
    let (rules, broken) = TradePolicy::from_texts(&policies(root).texts);
    assert!(broken.is_empty());
    let told = TradeScan { table: "Trade".into(), ..TradeScan::default() };
    run(&SqliteDatabase::new(root.join("trading.db")), &rules, &told).await.unwrap()
}

fn scan_logs(root: &Path) -> Vec<Finding> {
    let texts = policies(root).texts;
    let files = texts.iter().filter(|(path, _)| path.starts_with("logs/"));
    let rules = Ruleset::from_texts(files.map(|(path, text)| (path.as_str(), text.as_str())));
    let mut found = Vec::new();
    for name in ["access.log", "app.log", "auth.log"] {
        let path = root.join("logs").join(name);
        let file = std::fs::File::open(&path).unwrap();
        let covered =
            scan_reader(&rules, path.to_str().unwrap(), file, &ScanOptions::default(), &mut |f| found.push(f));
        assert_eq!((covered.broken, covered.unreadable), (0, None), "{name}");
    }
    found
}

fn order() -> Order {
    Order { symbol: "AAPL".into(), side: "BUY", quantity: 1.into(), price: 190.into() }
}

const CLIENT: Origin<'_> = Origin { ip: "192.0.2.1", user_agent: "test" };

#[tokio::test]
async fn ordinary_business_has_no_findings_and_a_seed_repeats_it() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for folder in &folders {
        deployment(folder.path(), 7).await;
    }
    let found = scan(folders[0].path()).await;
    assert!(found.rows > 2_000, "{}", found.rows);
    assert_eq!(found.findings, [], "the hard cases are legitimate");
    // `while-paused` can't be evaluated without a pause; nothing else is uncovered.
    let gap = |gap: &crate::detect::trades::Uncovered| gap.policy == "while-paused" || gap.optional;
    assert!(found.uncovered.iter().all(gap), "{:?}", found.uncovered);
    for name in [".env", "logs/app.log", "logs/access.log", "policies/credentials.yml"] {
        let [one, two] = folders.each_ref().map(|folder| std::fs::read(folder.path().join(name)).unwrap());
        assert!(one == two, "{name} differs");
    }
    let error =
        EmbeddedDeployment::create(folders[0].path(), &Seeded::new(1), Arc::new(Fixed), &[]).await.err().unwrap();
    assert!(error.message.contains("not empty"));
}

#[tokio::test]
async fn the_intruders_trades_are_found_and_only_later_backups_are_poisoned() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let victim = deployment(root, 8).await;
    let breach = Intruder::new(&victim, Fixed.now()).attack().await.unwrap();
    let found = scan(root).await;
    for planted in breach.planted.iter().filter(|planted| planted.scan() == "trades") {
        assert!(found.findings.iter().any(|finding| planted.is_found_by(finding)), "{planted:?}");
    }
    // And nothing that was not planted.
    for finding in &found.findings {
        assert!(breach.planted.iter().any(|planted| planted.covers(finding)), "{finding:?}");
    }
    let logged = scan_logs(root);
    for planted in breach.planted.iter().filter(|planted| planted.scan() == "logs") {
        assert!(logged.iter().any(|finding| planted.is_found_by(finding)), "{planted:?}");
    }
    for finding in &logged {
        // A correlation names it as what its events have in common.
        let says = |fields| serde_json::to_string(fields).unwrap().contains("203.0.113.66");
        assert!(says(&finding.event) || says(&finding.matched), "{finding:?}");
        assert!(finding.time.is_some_and(|time| time >= breach.began), "{finding:?}");
    }
    let mut names: Vec<_> =
        std::fs::read_dir(root.join("backups")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 7);
    let mut poisoned = 0;
    for name in &names {
        let path = format!("backups/{}", name.to_str().unwrap());
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(std::fs::File::open(root.join(&path)).unwrap())
            .read_to_string(&mut text)
            .unwrap();
        assert!(text.ends_with("COMMIT;\n"));
        let bad = text.contains("CREATE TRIGGER") && text.contains("key_ghost");
        assert_eq!(bad, breach.poisoned.contains(&path), "{path}");
        poisoned += usize::from(bad);
        // What was dumped can be loaded again.
        let copy = tempfile::tempdir().unwrap();
        let mut connection = database::open(copy.path(), true).await.unwrap();
        database::execute(&mut connection, text).await.unwrap();
    }
    assert_eq!(poisoned, 2);
    let app = std::fs::read_to_string(root.join("logs/app.log")).unwrap();
    assert_eq!(app.matches(victim.trading_key.expose_secret()).count(), 1);
}

#[tokio::test]
async fn the_back_end_honours_what_it_should_and_the_guard_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let victim = deployment(root, 9).await;
    let back_end = &victim.back_end;
    let try_key = async |key: &SecretString| back_end.place_trade(Login::ApiKey(key), &order(), CLIENT).await.unwrap();
    assert!(matches!(try_key(&victim.trading_key).await, Answer::Created { .. }));
    assert!(matches!(try_key(&"tk_live_wrong".into()).await, Answer::Refused { status: 401, .. }));
    let guard = SqliteGuard::new(root.join("trading.db"), policies(root).pause.guard.unwrap());
    guard.engage().await.unwrap();
    let Answer::Refused { status: 503, reason } = try_key(&victim.trading_key).await else { panic!("paused") };
    assert!(reason.contains("paused by portcullis"), "{reason}");
    guard.release().await.unwrap();
    std::fs::write(root.join("PAUSED"), "").unwrap();
    assert!(matches!(try_key(&victim.trading_key).await, Answer::Refused { status: 503, .. }));
    std::fs::remove_file(root.join("PAUSED")).unwrap();
    back_end.stop().await.unwrap();
    assert!(back_end.health().await.is_err());
    assert!(matches!(try_key(&victim.trading_key).await, Answer::Refused { status: 503, .. }));
}

#[tokio::test]
async fn tokens_live_and_die_with_the_secret_that_was_loaded_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let victim = deployment(root, 10).await;
    let policies = policies(root);
    let jwt = policies.credentials.credentials.iter().find(|c| c.id.as_str() == "jwt").unwrap();
    // Another process over the same folder.
    let back_end = Arc::new(BackEnd::new(root, Arc::new(Fixed)));
    let issuer = EmbeddedIssuer::new(back_end, Arc::new(Fixed), Arc::new(SelfMade::new(None)));
    let new = SecretString::from("a-new-secret-of-some-length");
    let probe = async |value: &SecretString| issuer.probe(jwt, value).await.unwrap();
    assert_eq!(probe(&victim.jwt_secret).await, Probe::Accepted);
    assert!(matches!(probe(&new).await, Probe::Refused { .. }));
    let env = std::fs::read_to_string(root.join(".env")).unwrap();
    std::fs::write(root.join(".env"), env.replace(victim.jwt_secret.expose_secret(), new.expose_secret())).unwrap();
    assert_eq!(probe(&victim.jwt_secret).await, Probe::Accepted, "the process still holds the old one");
    victim.back_end.restart().await.unwrap();
    assert_eq!(probe(&new).await, Probe::Accepted);
    assert!(matches!(probe(&victim.jwt_secret).await, Probe::Refused { .. }));
    let expired = sign_token(&new, "acct_08", Fixed.now());
    assert!(matches!(
        victim.back_end.who_am_i(Login::Token(&expired)).await.unwrap(),
        Answer::Refused { status: 401, .. }
    ));
}

#[tokio::test]
async fn a_rotated_key_is_honoured_and_the_old_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let victim = deployment(root, 11).await;
    let policies = policies(root);
    let key = &policies.credentials.credentials[0];
    let table = ApiKeyTable::new(KeyDatabase::Sqlite(root.join("trading.db")));
    let issuer = EmbeddedIssuer::new(Arc::clone(&victim.back_end), Arc::new(Fixed), Arc::new(table));
    let (old, new) = (&victim.trading_key, SecretString::from("tk_live_new"));
    for _ in 0..2 {
        issuer.issue(key, &new, Some(old)).await.unwrap();
        assert_eq!(issuer.probe(key, &new).await.unwrap(), Probe::Accepted);
    }
    assert_eq!(issuer.probe(key, old).await.unwrap(), Probe::Accepted, "both work while services change over");
    for _ in 0..2 {
        issuer.revoke(key, Some(old), Some(&new)).await.unwrap();
        assert!(matches!(issuer.probe(key, old).await.unwrap(), Probe::Refused { .. }));
        assert_eq!(issuer.probe(key, &new).await.unwrap(), Probe::Accepted);
    }
    // A second rotation.
    issuer.issue(key, &"tk_live_newer".into(), Some(&new)).await.unwrap();
    issuer.revoke(key, Some(&new), Some(&"tk_live_newer".into())).await.unwrap();
    assert!(matches!(issuer.probe(key, &new).await.unwrap(), Probe::Refused { .. }));
    assert_eq!(issuer.probe(key, &"tk_live_newer".into()).await.unwrap(), Probe::Accepted);
}

#[test]
fn seeds_decide() -> Result<(), Fault> {
    let mut buffers = [[0; 20]; 3];
    for (buffer, seed) in buffers.iter_mut().zip([1, 1, 2]) {
        Seeded::new(seed).fill(buffer)?;
    }
    assert_eq!(buffers[0], buffers[1]);
    assert_ne!(buffers[0], buffers[2]);
    assert_ne!(buffers[0][12..20], [0; 8]);
    Ok(())
}
