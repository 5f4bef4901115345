use std::sync::Arc;

use async_trait::async_trait;
use secrecy::ExposeSecret;
use serde_json::json;

use super::{Effect, Seen, StepError};
use crate::domain::Digest;
use crate::engine::Run;
use crate::ledger::Event;
use crate::ports::{Fault, FaultKind};

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
            "stores" => Ok(vec![("stores".into(), self.stores().await)]),
            other => Err(Fault::new(FaultKind::Invalid, format!("there is no collector `{other}`"))),
        }
    }

    /// Which store holds which value, by fingerprint.
    async fn stores(&self) -> String {
        let deployment = &self.run.deployment;
        let prints = deployment.machine.fingerprints();
        let mut lines = Vec::new();
        for credential in &deployment.policies.credentials.credentials {
            for slot in &credential.kept {
                let store = deployment.store(slot);
                let value = match store.read(slot).await {
                    Ok(Some(value)) => json!(prints.fingerprint(value.expose_secret())),
                    Ok(None) => json!(null),
                    Err(fault) => json!({ "unreadable": fault.chain() }),
                };
                lines.push(
                    json!({"credential": credential.id, "store": store.describe(slot), "value": value}).to_string(),
                );
            }
        }
        lines.join("\n")
    }
}

#[async_trait]
impl Effect for Collect {
    async fn observe(&self) -> Result<Seen, Fault> {
        let state = self.run.journal.state();
        let prefix = format!("{}/", self.what);
        let there = state.evidence.iter().any(|name| name.starts_with(&prefix));
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
        Ok(format!("{} files, {bytes} bytes", files.len()))
    }
}
