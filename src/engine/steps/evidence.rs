use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Effect, Seen, StepError};
use crate::domain::{Digest, counted};
use crate::engine::Run;
use crate::ledger::Event;
use crate::policy::credentials::StorePolicy;
use crate::ports::{Fault, FaultKind};

/// Bound on one question to a store or an issuer.
const ASK: Duration = Duration::from_secs(10);
/// Questions in flight at once.
const AT_ONCE: usize = 16;
/// Bound on reading all files.
const SURVEY: Duration = Duration::from_secs(20);

/// Captures what is about to change. Values of secrets are never part of it: fingerprints are.
pub(super) struct Collect {
    pub run: Arc<Run>,
    pub what: String,
}

impl Collect {
    async fn files(&self) -> Result<Vec<(String, String)>, Fault> {
        let deployment = &self.run.deployment;
        match self.what.as_str() {
            "database" => match &deployment.database {
                Some(database) => database.evidence().await,
                None => Err(Fault::new(FaultKind::Invalid, "no database is configured (DATABASE_URL)")),
            },
            "guard" => match &deployment.guard {
                Some(guard) => {
                    let report = guard.inspect().await?;
                    Ok(vec![("guard".into(), json!(report).to_string())])
                }
                None => Err(Fault::new(FaultKind::Invalid, "no guard is configured")),
            },
            "credentials" => Ok(vec![("credentials".into(), self.credentials().await)]),
            "files" => Ok(vec![("files".into(), self.survey().await)]),
            "stores" => Ok(vec![("stores".into(), self.stores().await)]),
            other => Err(Fault::new(FaultKind::Invalid, format!("there is no collector `{other}`"))),
        }
    }

    /// Versions that the stores know, and what the issuers know of the last use; each bounded, all at once.
    async fn credentials(&self) -> String {
        let deployment = &self.run.deployment;
        let mut asked: Vec<Asked<'_>> = Vec::new();
        for credential in &deployment.policies.credentials.credentials {
            for slot in &credential.kept {
                let store = deployment.store(slot);
                asked.push(Box::pin(async move {
                    let seen = bounded(store.versions(slot)).await.map(|versions| json!(versions));
                    json!({"credential": credential.id, "store": store.describe(slot), "versions": or_why(seen)})
                }));
            }
            if let Some(issuer) = deployment.issuers.get(&credential.id) {
                asked.push(Box::pin(async move {
                    let seen = bounded(issuer.evidence(credential)).await.map(|seen| json!(seen));
                    json!({"credential": credential.id, "issuer": or_why(seen)})
                }));
            }
        }
        let lines: Vec<String> = stream::iter(asked).buffered(AT_ONCE).map(|line| line.to_string()).collect().await;
        lines.join("\n")
    }

    /// Digests of the `.env` files and of the logs that policy names, one after another within one bound.
    async fn survey(&self) -> String {
        let policies = &self.run.deployment.policies;
        let slots = policies.credentials.credentials.iter().flat_map(|credential| &credential.kept);
        let dotenv = slots.filter_map(|slot| match slot {
            StorePolicy::Dotenv { path, .. } | StorePolicy::File { path, .. } => Some(path.clone()),
            StorePolicy::SecretsManager { .. } => None,
        });
        let mut paths: Vec<String> = dotenv.collect();
        paths.sort();
        paths.dedup();
        paths.extend(policies.evidence.logs.iter().cloned());
        let (files, began) = (Arc::clone(&self.run.deployment.files), std::time::Instant::now());
        let read = move || {
            let line = |path: &String| match files.note(path, SURVEY.saturating_sub(began.elapsed())) {
                Ok(note) => json!(note).to_string(),
                Err(fault) => json!({"path": path, "unreadable": fault.chain()}).to_string(),
            };
            paths.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        let ended = tokio::task::spawn_blocking(read).await;
        ended.unwrap_or_else(|error| json!({"unreadable": error.to_string()}).to_string())
    }

    /// Which store holds which value, by fingerprint.
    async fn stores(&self) -> String {
        let deployment = &self.run.deployment;
        let prints = deployment.machine.fingerprints();
        let prints = &prints;
        let mut asked: Vec<Asked<'_>> = Vec::new();
        for credential in &deployment.policies.credentials.credentials {
            for slot in &credential.kept {
                let store = deployment.store(slot);
                asked.push(Box::pin(async move {
                    let value = match bounded(self.run.before(slot)).await {
                        Ok(Some(value)) => json!(prints.fingerprint(value.expose_secret())),
                        Ok(None) => json!(null),
                        Err(fault) => json!({ "unreadable": fault.chain() }),
                    };
                    json!({"credential": credential.id, "store": store.describe(slot), "value": value})
                }));
            }
        }
        let lines: Vec<String> = stream::iter(asked).buffered(AT_ONCE).map(|line| line.to_string()).collect().await;
        lines.join("\n")
    }
}

type Asked<'a> = Pin<Box<dyn Future<Output = Value> + Send + 'a>>;

/// What was seen, or why it could not be: a part that is missing does not cost the rest.
fn or_why(seen: Result<Value, Fault>) -> Value {
    seen.unwrap_or_else(|fault| json!({ "unreadable": fault.chain() }))
}

async fn bounded<T>(asking: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let late = || Fault::new(FaultKind::Unavailable, format!("no answer within {} s", ASK.as_secs()));
    tokio::time::timeout(ASK, asking).await.unwrap_or_else(|_| Err(late()))
}

#[async_trait]
impl Effect for Collect {
    async fn observe(&self) -> Result<Seen, Fault> {
        let prefix = format!("{}/", self.what);
        let there = self.run.journal.with_state(|state| state.evidence.iter().any(|name| name.starts_with(&prefix)));
        // What was there before the first effect can't be captured twice.
        Ok(if there { Seen::Satisfied("was captured".into()) } else { Seen::Needed })
    }

    async fn act(&self) -> Result<String, StepError> {
        let files = self.files().await?;
        let mut bytes = 0;
        for (name, text) in &files {
            bytes += text.len();
            let path = format!("evidence/{}", Digest::of(text.as_bytes()));
            let file = self.run.journal.write_file(&path, text.as_bytes())?;
            self.run.record(Event::EvidenceCollected { name: format!("{}/{name}", self.what), file }).await?;
        }
        let gaps =
            files.iter().flat_map(|(_, text)| text.lines()).filter(|line| line.contains("\"unreadable\":")).count();
        let gaps =
            if gaps == 0 { String::new() } else { format!("; {gaps} places could not be read, as is said there") };
        Ok(format!("{}, {bytes} bytes{gaps}", counted(files.len(), "file", "files")))
    }
}
