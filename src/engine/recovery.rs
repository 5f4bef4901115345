//! Recovery: which backup is clean, what would be lost, and the steps that put it back and validate it.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::scan_trades::{self, TradeScan};
use super::steps::{Effect, Seen, StepError};
use super::{Deployment, Journal, JournalError, Run, scan_database};
use crate::detect::backup::{Survey, survey};
use crate::detect::database::DatabasePolicy;
use crate::detect::trades::policy::TradePolicy;
use crate::detect::trades::roles::Role;
use crate::domain::{Action, Backup, BackupCheck, BackupVerdict, Digest, DigestContext, Level, Timestamp};
use crate::ledger::Event;
use crate::ports::{BackupStore, Database, Fault, FaultKind};

/// Longest reconciliation that is exported, in bytes.
const MAX_EXPORT: usize = 256 << 20;

fn store(deployment: &Deployment) -> Result<&Arc<dyn BackupStore>, Fault> {
    deployment
        .backups
        .as_ref()
        .ok_or_else(|| Fault::new(FaultKind::Invalid, "no database is configured, so its backups can't be judged"))
}

/// A check's result: what was seen, or why it does not pass.
fn check(name: &str, result: Result<String, String>) -> BackupCheck {
    let passed = result.is_ok();
    let reason = result.unwrap_or_else(|reason| reason);
    BackupCheck { check: name.to_owned(), passed, reason }
}

/// Reads a backup once, to its end: digest, completeness, statements.
fn read(store: &dyn BackupStore, backup: &mut Backup) -> Result<Survey, String> {
    let mut reader =
        Hashing { inner: store.open(&backup.path).map_err(|fault| fault.chain())?, digest: DigestContext::new() };
    let seen = survey(&mut reader, store.dialect()).map_err(|error| crate::gate::with_cause(&error))?;
    backup.sha256 = Some(reader.digest.finish());
    Ok(seen)
}

struct Hashing {
    inner: Box<dyn std::io::Read + Send>,
    digest: DigestContext,
}

impl std::io::Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digest.update(&buffer[..count]);
        Ok(count)
    }
}

/// Checks on the file alone: readable to its end, whole, nothing in it that a restore must not run, trades inside.
pub fn verify(deployment: &Deployment, backup: &Backup) -> Result<(BackupVerdict, Option<Survey>), Fault> {
    let mut backup = backup.clone();
    let seen = match read(store(deployment)?.as_ref(), &mut backup) {
        Ok(seen) => seen,
        Err(reason) => return Ok((BackupVerdict { backup, checks: vec![check("readable", Err(reason))] }, None)),
    };
    let table = deployment.policies.pause.guard.as_ref().map_or("Trade", |guard| guard.table.as_str());
    let trades = seen.tables.iter().find(|(name, _)| name.eq_ignore_ascii_case(table)).map(|(_, rows)| *rows);
    let checks = vec![
        check("readable", Ok(format!("{} bytes of text, {} statements", seen.bytes, seen.statements))),
        check("whole", seen.incomplete.clone().map_or(Ok("its end marker is there".into()), Err)),
        check(
            "statements",
            match seen.suspicions.first() {
                None => Ok("nothing that a restore must not run".into()),
                Some(first) => {
                    Err(format!("{} statements are not expected; line {}: {}", seen.suspicious, first.line, first.what))
                }
            },
        ),
        check(
            "trades",
            match trades {
                Some(0) => Err(format!("`{table}` is empty")),
                Some(rows) => Ok(format!("{rows} rows of `{table}`")),
                None => Err(format!("there is no `{table}` in it")),
            },
        ),
    ];
    Ok((BackupVerdict { backup, checks }, Some(seen)))
}

/// Looks for the newest clean backup: started before the breach, whole, and clean in a scratch copy. Returns every backup
/// that was looked at, newest first, and the chosen one.
pub async fn choose(
    deployment: &Deployment,
    first_malicious: Option<Timestamp>,
) -> Result<(Vec<BackupVerdict>, Option<Backup>), Fault> {
    let mut verdicts = Vec::new();
    for backup in store(deployment)?.list().await? {
        let before = before_breach(deployment, &backup, first_malicious);
        let late = before.passed;
        if !late {
            verdicts.push(BackupVerdict { backup, checks: vec![before] });
            continue;
        }
        let (mut verdict, _) = verify(deployment, &backup)?;
        verdict.checks.insert(0, before);
        if verdict.usable() {
            verdict.checks.extend(scan_scratch(deployment, &verdict.backup).await?);
        }
        let usable = verdict.usable();
        let backup = verdict.backup.clone();
        verdicts.push(verdict);
        if usable {
            return Ok((verdicts, Some(backup)));
        }
    }
    Ok((verdicts, None))
}

fn before_breach(deployment: &Deployment, backup: &Backup, first: Option<Timestamp>) -> BackupCheck {
    let minutes = i64::try_from(deployment.policies.recovery.margin_minutes).unwrap_or(i64::MAX / 60);
    let result = match (backup.started, first) {
        (None, _) => Err("its name does not say when it was started".to_owned()),
        (Some(_), None) => Ok("no malicious event has a time; judged by its content alone".to_owned()),
        (Some(started), Some(first)) => {
            let margin = first.as_second() - started.as_second();
            if margin >= minutes.saturating_mul(60) {
                Ok(format!("started {} min before the first malicious event", margin / 60))
            } else {
                Err(format!("started {started}, the first malicious event is at {first} (margin {minutes} min)"))
            }
        }
    };
    check("before-breach", result)
}

/// Restores it where it can do no harm, and scans it there.
async fn scan_scratch(deployment: &Deployment, backup: &Backup) -> Result<Vec<BackupCheck>, Fault> {
    let scratch = match store(deployment)?.scratch(&backup.path).await {
        Ok(scratch) => scratch,
        Err(fault) if fault.kind == FaultKind::Invalid => {
            return Ok(vec![check("scratch", Ok(format!("judged by its text: {}", fault.message)))]);
        }
        Err(fault) => return Ok(vec![check("scratch", Err(fault.chain()))]),
    };
    let policy = DatabasePolicy::from_texts(&deployment.policies.texts)
        .map_err(|error| Fault::new(FaultKind::Invalid, error.to_string()))?;
    let objects = scan_database::run(scratch.as_ref(), &policy).await?;
    let bad = |findings: &[crate::domain::Finding]| {
        findings
            .iter()
            .filter(|finding| finding.rule.level >= Level::High)
            .map(|finding| finding.rule.title.clone())
            .next()
    };
    let (policies, _) = TradePolicy::from_texts(&deployment.policies.texts);
    let trades = scan_trades::run(scratch.as_ref(), &policies, &trade_scan(deployment)).await?;
    let clean = |what: &str, first: Option<String>, count: usize| match first {
        None => Ok(format!("{count} findings, none at high or above")),
        Some(title) => Err(format!("{what}: {title}")),
    };
    Ok(vec![
        check("persistence", clean("in its catalog", bad(&objects.findings), objects.findings.len())),
        check("unauthorized", clean("in its trades", bad(&trades.findings), trades.findings.len())),
    ])
}

/// The trade table, as policy names it.
pub fn trade_scan(deployment: &Deployment) -> TradeScan {
    let guard = deployment.policies.pause.guard.as_ref();
    TradeScan {
        schema: guard.and_then(|guard| guard.schema.clone()),
        table: guard.map_or("Trade".to_owned(), |guard| guard.table.clone()),
        ..TradeScan::default()
    }
}

/// Writes into the case every trade that the live database has and the backup has not: nothing is dropped unlisted.
/// Returns how many there are.
pub async fn reconcile(deployment: &Deployment, journal: &Journal, backup: &Backup) -> Result<u64, JournalError> {
    let Some(live) = &deployment.database else { return Ok(0) };
    let scan = trade_scan(deployment);
    let (tables, mapping) = scan_trades::map(live.as_ref(), &scan).await?;
    let trades = &mapping.trades;
    let Some(id) = trades.index(Role::Id) else { return Ok(0) };
    let Some(table) = tables.iter().find(|table| table.name == trades.table) else { return Ok(0) };
    let kept = kept_ids(deployment, backup, &scan).await?;
    let time = trades.time().and_then(|role| trades.index(role));
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let mut lines = Vec::new();
    let mut count = 0;
    live.rows(&trades.table, &names, None, &mut |row| {
        let stays = match (&kept, row.get(id).and_then(Option::as_ref)) {
            (Some(kept), Some(id)) => kept.contains(id),
            // Without a scratch copy: what is older than the backup is taken to be in it.
            _ => time
                .and_then(|index| row.get(index)?.as_deref())
                .and_then(crate::detect::trades::value::moment)
                .is_some_and(|time| backup.started.is_some_and(|started| time < started)),
        };
        if !stays {
            count += 1;
            let fields: Map<String, Value> = names
                .iter()
                .zip(row)
                .map(|(name, cell)| (name.clone(), cell.map_or(Value::Null, Value::String)))
                .collect();
            if lines.len() < MAX_EXPORT {
                lines.extend_from_slice(Value::Object(fields).to_string().as_bytes());
                lines.push(b'\n');
            }
        }
        ControlFlow::Continue(())
    })
    .await?;
    let path = format!("evidence/{}", Digest::of(&lines));
    let file = journal.write_file(&path, &lines)?;
    journal.record(Event::EvidenceCollected { name: "reconciliation/trades-not-in-backup".into(), file })?;
    Ok(count)
}

async fn kept_ids(
    deployment: &Deployment,
    backup: &Backup,
    scan: &TradeScan,
) -> Result<Option<HashSet<String>>, Fault> {
    let scratch = match store(deployment)?.scratch(&backup.path).await {
        Ok(scratch) => scratch,
        Err(fault) if fault.kind == FaultKind::Invalid => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let (_, mapping) = scan_trades::map(scratch.as_ref(), scan).await?;
    let Some(id) = mapping.trades.column(Role::Id) else { return Ok(None) };
    let mut kept = HashSet::new();
    scratch
        .rows(&mapping.trades.table, &[id.to_owned()], None, &mut |row| {
            kept.extend(row.into_iter().flatten());
            ControlFlow::Continue(())
        })
        .await?;
    Ok(Some(kept))
}

/// The effect of a recovery action.
pub(super) fn build(run: Arc<Run>, action: &Action) -> Result<Box<dyn Effect>, Fault> {
    match action {
        Action::RestoreBackup { path } => Ok(Box::new(Restore { run, path: path.clone() })),
        Action::ValidateRestore { path } => Ok(Box::new(Validate { run, path: path.clone() })),
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
        // The same backup put back again gives the same database.
        Ok(Seen::Needed)
    }

    async fn act(&self) -> Result<String, StepError> {
        let suffix = self.run.deployment.clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        Ok(store(&self.run.deployment)?.restore(&self.path, &suffix).await?)
    }

    async fn verify(&self) -> Result<(), Fault> {
        Ok(())
    }
}

struct Validate {
    run: Arc<Run>,
    path: String,
}

#[async_trait]
impl Effect for Validate {
    async fn observe(&self) -> Result<Seen, Fault> {
        Ok(Seen::Needed)
    }

    async fn act(&self) -> Result<String, StepError> {
        let deployment = &self.run.deployment;
        let backups = Arc::clone(store(deployment)?);
        let mut backup = Backup { path: self.path.clone(), bytes: 0, started: None, sha256: None };
        let seen = tokio::task::spawn_blocking(move || read(backups.as_ref(), &mut backup))
            .await
            .map_err(|error| Fault::with(FaultKind::OutcomeUnknown, "reading the backup died", error))?
            .map_err(|reason| Fault::new(FaultKind::Corrupt, reason))?;
        let live =
            deployment.database.as_ref().ok_or_else(|| Fault::new(FaultKind::Invalid, "no database is configured"))?;
        let (rows, different) = compare(live.as_ref(), &seen.tables, &keys_table(deployment)).await?;
        if !different.is_empty() {
            return Err(Fault::new(
                FaultKind::Corrupt,
                format!("row counts differ from the backup: {}", different.join(", ")),
            )
            .into());
        }
        let own = store(deployment)?.validate().await?;
        let own = own.map_or("no validation command is configured".to_owned(), |words| words);
        Ok(format!("{} tables, {rows} rows as in the backup; {own}", seen.tables.len()))
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

async fn compare(
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
        let first: Vec<String> = table.columns.iter().take(1).map(|column| column.name.clone()).collect();
        let count = live.rows(&table.name, &first, None, &mut |_| ControlFlow::Continue(())).await?;
        rows += count;
        let fits = if grown.iter().any(|grown| grown == bare) { count >= *expected } else { count == *expected };
        if !fits {
            different.push(format!("{bare} has {count} of {expected}"));
        }
    }
    Ok((rows, different))
}
