//! Peacetime: making a backup that is known to be good, and restoring one for a test.

use super::records::{self, BackupRecord, Occasion};
use super::verify::{remember, verify};
use super::{compare, fetched, store};
use crate::detect::indicators::Indicators;
use crate::domain::{Backup, BackupCheck, BackupVerdict};
use crate::engine::Deployment;
use crate::ports::{Fault, FaultKind};

/// Takes a backup into a place of the policy (`None`: its first), reads it back to its end, and puts a signed manifest beside it.
pub async fn take(
    deployment: &Deployment,
    place: Option<&str>,
    indicators: &Indicators,
) -> Result<(BackupVerdict, BackupRecord), Fault> {
    let store = store(deployment)?;
    let (backup, position) = store.take(deployment.clock.now(), place).await?;
    let (verdict, survey) = verify(deployment, &backup, indicators)?;
    let mut record = BackupRecord {
        occasion: Occasion::Taken,
        time: deployment.clock.now(),
        path: verdict.backup.path.clone(),
        started: verdict.backup.started,
        bytes: verdict.backup.bytes,
        sha256: verdict.backup.sha256,
        tables: survey.map(|seen| seen.tables).unwrap_or_default(),
        position,
        took_ms: None,
        passed: verdict.usable(),
        checks: verdict.checks.clone(),
    };
    let mut manifest = records::seal(deployment.machine.as_ref(), &record)?;
    manifest.push(b'\n');
    store.write_manifest(&backup.path, &manifest)?;
    records::add(deployment, &record)?;
    record.checks.clear();
    Ok((verdict, record))
}

/// Restores a backup into a scratch copy, holds it against the dump's own text and against policy, and remembers how it went and how
/// long it took.
pub async fn test_restore(
    deployment: &Deployment,
    backup: &Backup,
    indicators: &Indicators,
) -> Result<(BackupVerdict, BackupRecord), Fault> {
    let began = deployment.clock.elapsed();
    let (mut verdict, survey) = fetched(deployment, backup, indicators).await?;
    let mut restored = false;
    if let Some(seen) = survey.as_ref().filter(|_| verdict.usable()) {
        match store(deployment)?.scratch(&verdict.backup.path).await {
            Err(fault) if fault.kind == FaultKind::NotFound => return Err(fault),
            Err(fault) => verdict.checks.push(BackupCheck::of("restored", Err(fault.chain()))),
            Ok(scratch) => {
                restored = true;
                let (rows, different) = compare(scratch.as_ref(), &seen.tables, &[]).await?;
                let result = if different.is_empty() {
                    Ok(format!("{} tables, {rows} rows, as its text says", seen.tables.len()))
                } else {
                    Err(different.join(", "))
                };
                verdict.checks.push(BackupCheck::of("restored", result));
                verdict.checks.extend(scratch.checks(&deployment.policies.recovery).await?);
            }
        }
    }
    let took = deployment.clock.elapsed().saturating_sub(began);
    let limit = deployment.policies.recovery.rto_minutes;
    if restored {
        let words = format!("{:.1} s (objective {limit} min)", took.as_secs_f64());
        let within = took.as_secs() <= limit.saturating_mul(60);
        verdict.checks.push(BackupCheck::of("within-rto", if within { Ok(words) } else { Err(words) }));
    }
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let record = remember(deployment, Occasion::Drilled, &verdict, survey.as_ref(), restored.then_some(took_ms))?;
    Ok((verdict, record))
}
