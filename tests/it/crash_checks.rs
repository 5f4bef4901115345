//! The checks themselves are checked: each violation is named, and each safeguard that is left out is noticed.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::invariants::{When, ledger};
use crate::small::{End, Small};
use crate::support::{case_folder, embedded, wait};

async fn sql(root: &Path, text: &str) {
    let database = SqliteConnectOptions::new().filename(root.join("trading.db"));
    let mut connection = database.connect().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
}

fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed);
    std::fs::write(path, changed).unwrap();
}

type Change<'a> = Box<dyn Fn(&Path) + 'a>;

#[test]
fn every_violation_of_the_database_is_named() {
    let small = Small::new();
    wait(async {
        let good = Small::copy_of(&small.pristine);
        assert_eq!(small.lockdown(good.path(), "").await, End::Well);
        assert_eq!(small.violations(good.path(), When::Final).await, Vec::<String>::new());
        let statements = [
            (
                "UPDATE portcullis_guard SET paused = 0; UPDATE portcullis_guard SET paused = 1",
                "the pause was lifted 1",
            ),
            ("UPDATE portcullis_guard SET paused = 0", "the guard's flag is"),
            ("DROP TRIGGER portcullis_guard_insert", "a trade is let in"),
            (
                "UPDATE \"ApiKey\" SET revokedAt = NULL WHERE id = 'key_trading'",
                "key_trading: the old value is honoured",
            ),
            ("UPDATE \"ApiKey\" SET revokedAt = NULL WHERE id = 'key_trading'", "key_trading: 2 values are live"),
            ("UPDATE \"ApiKey\" SET revokedAt = NULL WHERE id = 'key_feed'", "key_feed: a live value is in no store"),
            ("UPDATE \"ApiKey\" SET revokedAt = 1", "0 values are live"),
            (
                "UPDATE \"ApiKey\" SET keyHash = 'x' WHERE revokedAt IS NULL AND id LIKE 'key_t%'",
                "recovered from nowhere",
            ),
        ];
        for (statement, expected) in statements {
            let bad = Small::copy_of(good.path());
            sql(bad.path(), statement).await;
            named(&small, bad.path(), When::Final, expected).await;
        }
    });
}

#[test]
fn every_violation_of_files_is_named() {
    let small = Small::new();
    wait(async {
        let good = Small::copy_of(&small.pristine);
        assert_eq!(small.lockdown(good.path(), "").await, End::Well);
        let old = small.credentials[0].old.clone();
        let new = crate::invariants::env(good.path(), "TRADING_API_KEY").unwrap();
        let case = case_folder(good.path()).strip_prefix(good.path()).unwrap().to_owned();
        let changes: [(Change<'_>, When, &str); 7] = [
            (Box::new(|root| std::fs::remove_file(root.join("PAUSED")).unwrap()), When::Final, "the flag file is gone"),
            (
                Box::new(|root| std::fs::remove_file(root.join("PAUSED")).unwrap()),
                When::Between,
                "the flag file is gone",
            ),
            (
                Box::new(|root| edit(&root.join(".env"), |text| text.replace(&new, &old))),
                When::Final,
                "a store holds the old value",
            ),
            (Box::new(|root| std::fs::write(root.join(".env"), "").unwrap()), When::Between, "0 assignments"),
            (
                Box::new(|root| {
                    edit(&root.join("embedded/secrets-manager.json"), |text| {
                        text.replacen("\"stages\": []", "\"stages\": [\"AWSPREVIOUS\"]", 1)
                    });
                }),
                When::Final,
                "can still be had",
            ),
            (
                Box::new(|root| std::fs::write(root.join(&case).join("note"), format!("x{new}y")).unwrap()),
                When::Between,
                "a secret is in",
            ),
            (
                Box::new(|root| std::fs::write(root.join(&case).join("note"), &old).unwrap()),
                When::Between,
                "a secret is in",
            ),
        ];
        for (change, when, expected) in changes {
            let bad = Small::copy_of(good.path());
            change(bad.path());
            named(&small, bad.path(), when, expected).await;
        }
        let said = format!("rotated to {new}");
        let wrong = crate::invariants::violations(good.path(), &small.credentials, &[&said], When::Final).await;
        assert_eq!(wrong, ["a secret is in what was said"]);
    });
}

async fn named(small: &Small, root: &Path, when: When, expected: &str) {
    let wrong = small.violations(root, when).await;
    assert!(wrong.iter().any(|why| why.contains(expected)), "{expected}: {wrong:?}");
}

/// Effects of a run that are none of the ledger's.
async fn effects(small: &Small, root: &Path, more: &str) -> usize {
    let log = root.join("effects.log");
    assert_eq!(small.lockdown(root, &format!("log={}{more}", log.display())).await, End::Well);
    std::fs::read_to_string(log).unwrap().lines().filter(|line| !line.contains(" ledger ")).count()
}

#[test]
fn a_second_run_does_nothing_again_and_each_look_that_is_left_out_shows() {
    let small = Small::new();
    wait(async {
        let good = Small::copy_of(&small.pristine);
        assert_eq!(small.lockdown(good.path(), "").await, End::Well);
        let with_looks = effects(&small, Small::copy_of(good.path()).path(), "").await;
        // The guard is engaged and the service restarted each time; the checkpoint is signed.
        assert!(with_looks <= 4, "{with_looks}");
        let rotation = ["stage", "issue", "store.0", "revoke"].map(|verb| format!("rotate.trading-api-key.1.{verb}"));
        let others = ["pause.flag", "evidence.stores", "rotate.feed-api-key.1.retire"].map(String::from);
        for step in rotation.into_iter().chain(others) {
            let copy = Small::copy_of(good.path());
            let without = effects(&small, copy.path(), &format!(",skip-look={step}")).await;
            assert!(without > with_looks, "{step} did nothing without its look");
        }
    });
}

/// Effects of the world that no open intent in the ledger announces, with a run halted after each.
async fn unannounced(small: &Small, more: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for number in 8..60 {
        let copy = Small::copy_of(&small.pristine);
        let log = copy.path().join("effects.log");
        small.lockdown(copy.path(), &format!("halt-after={number},log={}{more}", log.display())).await;
        let text = std::fs::read_to_string(log).unwrap();
        let Some(line) = text.lines().find(|line| line.starts_with(&format!("{number} "))) else { continue };
        let place = line.split(' ').nth(1).unwrap();
        let step = match place {
            "guard" => "pause.guard".to_owned(),
            "dotenv" => "rotate.trading-api-key.".to_owned(),
            "secretsmanager" => "rotate.feed-api-key.".to_owned(),
            "service:backend" => "restart.backend".to_owned(),
            "switch:flag" => "pause.flag".to_owned(),
            _ => match place.strip_prefix("issuer:") {
                Some(id) => format!("rotate.{id}."),
                None => continue,
            },
        };
        let entries: Vec<String> = ledger(copy.path()).iter().map(Value::to_string).collect();
        let count = |what: &str| {
            let fits = |entry: &&String| entry.contains(what) && entry.contains(&format!("\"step\":\"{step}"));
            entries.iter().filter(fits).count()
        };
        if count("\"step.intent\"") <= count("\"step.outcome\"") {
            missing.push(line.to_owned());
        }
    }
    missing
}

#[test]
fn every_effect_is_announced_in_the_ledger_and_an_intent_that_is_left_out_shows() {
    let small = Small::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        assert_eq!(unannounced(&small, "").await, Vec::<String>::new());
        assert!(unannounced(&small, ",skip-intent=all").await.len() > 3);
    });
}

#[test]
fn a_second_lockdown_beside_a_running_one_is_refused_and_changes_nothing() {
    let small = Arc::new(Small::new());
    let copy = Small::copy_of(&small.pristine);
    let root = copy.path();
    wait(async { small.lockdown(root, "halt-before=30").await });
    let policies = Arc::clone(&small.policies);
    let running = crate::small::embedded(root, &policies, "");
    let incident = running.cases.list().unwrap().pop().unwrap();
    let lock = running.cases.open(&incident, false).unwrap();
    let before = ledger(root);
    let words = ["lockdown", "--reason", "x", "--compromised", "trading-api-key", "--yes"];
    let refused = embedded(root, &words);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let pid = std::process::id();
    assert!(
        refused.stderr.contains(&format!("another portcullis is working on this incident (pid {pid})")),
        "{refused:?}"
    );
    assert_eq!(ledger(root), before);
    drop(lock);
    embedded(root, &words).expect(0);
    assert_eq!(wait(small.violations(root, When::Final)), Vec::<String>::new());
    assert_eq!(running.cases.list().unwrap(), [incident], "the open incident was continued");
}
