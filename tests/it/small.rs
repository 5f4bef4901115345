//! A small embedded deployment - one switch, the guard, two keys: one compromised and kept in `.env`, one that overlaps and is
//! kept in Secrets Manager - and lockdowns on it within this process, cut off at any effect.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis::domain::CredentialId;
use portcullis::embedded::FaultPlan;
use portcullis::engine::lockdown::{Tally, carry_out, open, plan_lockdown, widen};
use portcullis::engine::{Deployment, Journal, Opening};
use portcullis::policy::Policies;
use portcullis::settings::Settings;
use portcullis::world;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::invariants::{self, Credential, Honoured, When};
use crate::support::{copy, deployment, folder, wait};

const CREDENTIALS: &str = "\
version: 1
services:
  - name: backend
    restart: [embedded-back-end, restart]
    healthy_within_s: 10
credentials:
  - id: trading-api-key
    issuer: { kind: api_key_table, table: ApiKey, key_id: key_trading, hash: sha256 }
    kept: [{ store: dotenv, path: .env, key: TRADING_API_KEY }]
    used_by: [backend]
    generate: { length: 40, prefix: tk_live_ }
  - id: feed-api-key
    issuer: { kind: api_key_table, table: ApiKey, key_id: key_feed, hash: sha256 }
    kept: [{ store: secrets_manager, secret: prod/feed }]
    generate: { length: 40 }
";
const FEED: &str = "fd_old_value_of_the_market_data_feed_0001";

/// The deployment, as it is before anything goes wrong.
pub struct Small {
    _folder: tempfile::TempDir,
    pub pristine: PathBuf,
    pub policies: Arc<Policies>,
    pub credentials: Vec<Credential>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every step went well.
    Well,
    /// Some did not.
    Steps(Vec<String>),
    /// It stopped.
    Stopped(String),
}

impl Small {
    pub fn new() -> Self {
        let folder = folder();
        let pristine = folder.path().join("pristine");
        let made = deployment(&pristine, 5);
        drop(made);
        for name in ["logs", "backups", "policies/logs", "policies/trades"] {
            std::fs::remove_dir_all(pristine.join(name)).unwrap();
            std::fs::create_dir(pristine.join(name)).unwrap();
        }
        std::fs::write(pristine.join("policies/credentials.yml"), CREDENTIALS).unwrap();
        let secrets = format!(r#"{{"prod/feed":{{"first":{{"value":"{FEED}","stages":["AWSCURRENT"]}}}}}}"#);
        std::fs::write(pristine.join("embedded/secrets-manager.json"), secrets).unwrap();
        let hash = hex::encode(ring::digest::digest(&ring::digest::SHA256, FEED.as_bytes()));
        let names = ["credentials", "pause", "recovery", "resume"].map(|name| format!("{name}.yml"));
        let texts =
            names.map(|name| (name.clone(), std::fs::read_to_string(pristine.join("policies").join(name)).unwrap()));
        let policies = Arc::new(Policies::from_texts(texts.into_iter().collect()).unwrap());
        wait(async {
            let database = SqliteConnectOptions::new().filename(pristine.join("trading.db"));
            let mut connection = database.connect().await.unwrap();
            let sql = format!(
                "DELETE FROM \"Trade\" WHERE id > 3; DELETE FROM \"ApiKey\" WHERE id <> 'key_trading'; \
                 INSERT INTO \"ApiKey\" SELECT 'key_feed', accountId, '{hash}', NULL, createdAt FROM \"ApiKey\"; VACUUM; \
                 PRAGMA journal_mode=WAL; PRAGMA wal_checkpoint(TRUNCATE)"
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            sqlx::Connection::close(connection).await.unwrap();
            let deployment = embedded(&pristine, &policies, "");
            deployment.guard.unwrap().install().await.unwrap();
            invariants::watch_the_flag(&pristine).await;
        });
        let trading = invariants::env(&pristine, "TRADING_API_KEY").unwrap();
        let credentials = vec![
            Credential {
                env: Some("TRADING_API_KEY"),
                secret: None,
                honoured: Honoured::Rows("key_trading"),
                old: trading,
            },
            Credential { env: None, secret: Some("prod/feed"), honoured: Honoured::Rows("key_feed"), old: FEED.into() },
        ];
        Self { _folder: folder, pristine, policies, credentials }
    }

    /// A copy of some state of it.
    pub fn copy_of(from: &Path) -> tempfile::TempDir {
        let folder = folder();
        copy(from, folder.path()).unwrap();
        folder
    }

    pub async fn lockdown(&self, root: &Path, faults: &str) -> End {
        lockdown(root, &self.policies, faults).await
    }

    pub async fn violations(&self, root: &Path, when: When) -> Vec<String> {
        invariants::violations(root, &self.credentials, &[], when).await
    }

    /// Runs to the end without faults: what is wrong then.
    pub async fn finish(&self, root: &Path) -> Vec<String> {
        let end = self.lockdown(root, "").await;
        let mut wrong = self.violations(root, When::Final).await;
        if end != End::Well {
            wrong.insert(0, format!("the last run did not end well: {end:?}"));
        }
        wrong.extend(self.unverifiable(root));
        wrong
    }

    /// Why the ledger, or a file that it names, does not verify.
    pub fn unverifiable(&self, root: &Path) -> Option<String> {
        unverifiable(root, &self.policies)
    }
}

fn unverifiable(root: &Path, policies: &Arc<Policies>) -> Option<String> {
    let deployment = embedded(root, policies, "");
    let Some(incident) = deployment.cases.list().unwrap().pop() else { return Some("there is no incident".into()) };
    let store = deployment.cases.peek(&incident).unwrap();
    match Journal::verify(&store) {
        Ok(verified) if verified.tail.is_some() => Some("a torn tail is left".into()),
        Ok(verified) if verified.signed < verified.tree.size() => Some("the newest entries are not signed".into()),
        Ok(verified) => {
            let files = verified.state.files.values().map(|file| (file.path.clone(), file.sha256));
            let policies = verified.state.policies.iter().map(|(path, digest)| (format!("policies/{path}"), *digest));
            files.chain(policies).find_map(|(path, digest)| {
                let bytes = store.read(&path).ok().flatten();
                let fits = bytes.is_some_and(|bytes| portcullis::domain::Digest::of(&bytes) == digest);
                (!fits).then(|| format!("{path} is not what the ledger names"))
            })
        }
        Err(error) => Some(format!("the ledger does not verify: {error}")),
    }
}

pub fn embedded(root: &Path, policies: &Arc<Policies>, faults: &str) -> Deployment {
    let settings = Settings { database_url: None, home: root.join(".portcullis"), ..Settings::from_env().unwrap() };
    let plan = FaultPlan::parse(faults).unwrap();
    world::embedded_with(root, &settings, Arc::clone(policies), Some(plan)).unwrap()
}

/// `lockdown` as the command does it.
pub async fn lockdown(root: &Path, policies: &Arc<Policies>, faults: &str) -> End {
    let deployment = embedded(root, policies, faults);
    match carried(&deployment).await {
        Ok(reports) if Tally::of(&reports).failed == 0 => End::Well,
        Ok(reports) => {
            let failed = reports.iter().filter(|report| !report.outcome.is_success());
            End::Steps(failed.map(|report| format!("{} {}: {}", report.id, report.outcome, report.detail)).collect())
        }
        Err(error) => {
            let mut words = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                words.push_str(&format!(": {error}"));
                cause = error.source();
            }
            End::Stopped(words)
        }
    }
}

async fn carried(
    deployment: &Deployment,
) -> Result<Vec<portcullis::domain::StepReport>, portcullis::engine::JournalError> {
    let compromised = vec![CredentialId::new("trading-api-key").unwrap()];
    let opening = Opening { reason: "x".into(), operator: "tester".into(), compromised };
    let journal = match deployment.cases.list()?.pop() {
        Some(incident) => Journal::open(
            deployment.cases.open(&incident, false)?,
            Arc::clone(&deployment.clock),
            Arc::clone(&deployment.machine),
        )?,
        None => open(deployment, opening.clone())?,
    };
    let journal = Arc::new(journal);
    widen(&journal, &opening)?;
    let plan = plan_lockdown(deployment, Some(&journal.state()), &[]);
    carry_out(deployment, &journal, "lockdown", "tester", &plan, &|_| {}).await
}
