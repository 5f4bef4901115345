use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::records;
use super::replay::Replay;
use super::store;
use super::verify::read;
use crate::detect::indicators::Indicators;
use crate::domain::{Action, Backup};
use crate::engine::steps::{Effect, Seen, StepError};
use crate::engine::{Deployment, Run};
use crate::ledger::Event;
use crate::ports::{Database, Fault, FaultKind};

/// The effect of a recovery action.
pub(in crate::engine) fn build(run: Arc<Run>, action: &Action) -> Result<Box<dyn Effect>, Fault> {
    match action {
        Action::RestoreBackup { path } => Ok(Box::new(Restore { run, path: path.clone() })),
        Action::ValidateRestore { path } => Ok(Box::new(Validate { run, path: path.clone() })),
        Action::ReplayRows { list } => Ok(Box::new(Replay { run, list: *list })),
        _ => Err(Fault::new(FaultKind::Invalid, "this is no step of a recovery")),
    }
}

struct Restore {
    run: Arc<Run>,
    path: String,
}

#[async_trait]
impl Effect for Restore {
    async fn observe(&self) -> Result<Seen, Fault> {
        // A run that died after the swap left its mark in the database, and its step without an outcome.
        let (incident, flying, ended) = self.run.journal.with_state(|state| {
            let mine = state
                .steps
                .values()
                .filter(|step| matches!(&step.action, Action::RestoreBackup { path } if *path == self.path));
            let (flying, ended): (Vec<_>, Vec<_>) = mine.partition(|step| step.outcome.is_none());
            let newest = |steps: Vec<&crate::ledger::StepState>| steps.iter().map(|step| step.seq).max();
            (state.incident.clone(), flying.len(), newest(ended).unwrap_or(0))
        });
        if flying < 2 {
            return Ok(Seen::Needed);
        }
        let marker = store(&self.run.deployment)?.restored().await?;
        let left = marker.as_ref().and_then(|marker| {
            let (of, seq) = marker.split_once('#')?;
            (Some(of) == incident.as_ref().map(crate::domain::IncidentId::as_str)).then(|| seq.parse::<u64>().ok())?
        });
        match left {
            Some(seq) if seq > ended => Ok(Seen::Satisfied("put back by the run that was interrupted".into())),
            // The same backup put back again gives the same database.
            _ => Ok(Seen::Needed),
        }
    }

    async fn act(&self) -> Result<String, StepError> {
        let suffix = self.run.deployment.clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let marker = self.run.journal.with_state(|state| {
            format!("{}#{}", state.incident.as_ref().map_or("", crate::domain::IncidentId::as_str), state.entries)
        });
        Ok(store(&self.run.deployment)?.restore(&self.path, &marker, &suffix).await?)
    }

    async fn verify(&self) -> Result<(), Fault> {
        Ok(())
    }
}

struct Validate {
    run: Arc<Run>,
    path: String,
}

impl Validate {
    /// Rows of each table in the backup: as they were counted when it was chosen, if it is the file that was chosen, else read again.
    async fn tables(&self) -> Result<BTreeMap<String, u64>, Fault> {
        let deployment = &self.run.deployment;
        let entries = self.run.journal.entries();
        let entries = entries.map_err(|error| Fault::with(FaultKind::Corrupt, "the ledger can't be used", error))?;
        let chosen = entries.into_iter().rev().find_map(|entry| match entry.event {
            Event::BackupChosen { path: Some(path), sha256: Some(sha256), .. } if path == self.path => Some(sha256),
            _ => None,
        });
        let known = records::read(deployment)?.into_iter().rev();
        let known = known.filter(|record| record.passed && record.path == self.path && chosen.is_some());
        if let Some(record) = known.into_iter().find(|record| record.sha256 == chosen && !record.tables.is_empty()) {
            return Ok(record.tables);
        }
        let backups = Arc::clone(store(deployment)?);
        let mut backup = Backup { path: self.path.clone(), bytes: 0, started: None, sha256: None };
        let seen = tokio::task::spawn_blocking(move || read(backups.as_ref(), &mut backup, &Indicators::default()))
            .await
            .map_err(|error| Fault::with(FaultKind::OutcomeUnknown, "reading the backup died", error))?
            .map_err(|reason| Fault::new(FaultKind::Corrupt, reason))?;
        Ok(seen.tables)
    }
}

#[async_trait]
impl Effect for Validate {
    async fn observe(&self) -> Result<Seen, Fault> {
        Ok(Seen::Needed)
    }

    async fn act(&self) -> Result<String, StepError> {
        let deployment = &self.run.deployment;
        let tables = self.tables().await?;
        let live =
            deployment.database.as_ref().ok_or_else(|| Fault::new(FaultKind::Invalid, "no database is configured"))?;
        let (rows, mut different) = compare(live.as_ref(), &tables, &keys_table(deployment)).await?;
        let checks = live.checks(&deployment.policies.recovery).await?;
        let broken = checks.iter().filter(|check| !check.passed);
        different.extend(broken.map(|check| format!("{}: {}", check.check, check.reason)));
        if !different.is_empty() {
            let message = format!("the restored database is not as it should be: {}", different.join(", "));
            return Err(Fault::new(FaultKind::Corrupt, message).into());
        }
        let own = store(deployment)?.validate().await?;
        let own = own.map_or("no validation command is configured".to_owned(), |words| words);
        let held: Vec<_> = checks.iter().map(|check| check.reason.clone()).collect();
        Ok(format!("{} tables, {rows} rows as in the backup; {}; {own}", tables.len(), held.join("; ")))
    }

    async fn verify(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// Key tables have grown by the new keys since.
fn keys_table(deployment: &Deployment) -> Vec<String> {
    use crate::policy::credentials::IssuerPolicy;
    let credentials = deployment.policies.credentials.credentials.iter();
    credentials
        .filter_map(|credential| match &credential.issuer {
            IssuerPolicy::ApiKeyTable { table, .. } => Some(table.clone()),
            _ => None,
        })
        .collect()
}

pub(super) async fn compare(
    live: &dyn Database,
    expected: &BTreeMap<String, u64>,
    grown: &[String],
) -> Result<(u64, Vec<String>), Fault> {
    let mut different = Vec::new();
    let mut rows = 0;
    let tables = live.tables().await?;
    for (name, expected) in expected {
        let bare = name.rsplit('.').next().unwrap_or(name);
        let Some(table) = tables.iter().find(|table| table.name.name == bare) else {
            different.push(format!("{bare} is missing"));
            continue;
        };
        let count = live.count(&table.name).await?;
        rows += count;
        let fits = if grown.iter().any(|grown| grown == bare) { count >= *expected } else { count == *expected };
        if !fits {
            different.push(format!("{bare} has {count} of {expected}"));
        }
    }
    Ok((rows, different))
}
