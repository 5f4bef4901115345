use super::records::Occasion;
use super::text::DumpText;
use super::verify::{INDICATORS, unread};
use super::{remember, store, trade_scan, verify};
use crate::detect::backup::{Dialect, Survey};
use crate::detect::database::DatabasePolicy;
use crate::detect::indicators::Indicators;
use crate::detect::trades::policy::TradePolicy;
use crate::domain::{Backup, BackupCheck, BackupVerdict, Finding, Level, Timestamp};
use crate::engine::{Deployment, scan_database, scan_trades};
use crate::ports::{Fault, FaultKind};

/// Looks for the newest clean backup: started before the breach, whole, and clean in a scratch copy. Returns every backup
/// that was looked at, newest first, and the chosen one; places that could not be looked at stand before them.
pub async fn choose(
    deployment: &Deployment,
    first_malicious: Option<Timestamp>,
    indicators: &Indicators,
) -> Result<(Vec<BackupVerdict>, Option<Backup>), Fault> {
    let listed = store(deployment)?.list().await?;
    let mut verdicts: Vec<_> = listed.unread.iter().map(unread).collect();
    for backup in listed.backups {
        let before = before_breach(deployment, &backup, first_malicious);
        if !before.passed {
            verdicts.push(BackupVerdict { backup, checks: vec![before] });
            continue;
        }
        let (mut verdict, seen) = fetched(deployment, &backup, indicators).await?;
        verdict.checks.insert(0, before);
        let worst = seen.as_ref().and_then(|seen| seen.sightings.first()).map(|sighting| sighting.level);
        let refuses = worst.is_some_and(|worst| deployment.policies.recovery.indicators.refuses(worst));
        for check in verdict.checks.iter_mut().filter(|check| check.check == INDICATORS) {
            check.advisory = !refuses;
        }
        let text = if verdict.usable() { scan_text(deployment, &verdict.backup).await? } else { None };
        let scanned = text.as_ref().is_some_and(|(_, scanned)| *scanned);
        verdict.checks.extend(text.map(|(check, _)| check));
        // A server is started only for what its text speaks for.
        if verdict.usable() {
            verdict.checks.extend(scan_scratch(deployment, &verdict.backup, scanned).await?);
        }
        let usable = verdict.usable();
        if usable {
            remember(deployment, Occasion::Verified, &verdict, seen.as_ref(), None)?;
        }
        let backup = verdict.backup.clone();
        verdicts.push(verdict);
        if usable {
            return Ok((verdicts, Some(backup)));
        }
    }
    Ok((verdicts, None))
}

/// The newest backup that verifies, of those started before a moment if one is given; what it holds is not judged. Returns every backup
/// that was looked at, newest first, and the chosen one.
pub async fn newest(
    deployment: &Deployment,
    before: Option<Timestamp>,
    indicators: &Indicators,
) -> Result<(Vec<BackupVerdict>, Option<Backup>), Fault> {
    let listed = store(deployment)?.list().await?;
    let mut verdicts: Vec<_> = listed.unread.iter().map(unread).collect();
    for backup in listed.backups {
        if let Some(before) = before.filter(|before| backup.started.is_none_or(|started| started >= *before)) {
            let started = backup.started.map_or("its name does not say when".to_owned(), |time| time.to_string());
            let checks = vec![BackupCheck::of("before", Err(format!("started: {started}; wanted: before {before}")))];
            verdicts.push(BackupVerdict { backup, checks });
            continue;
        }
        let (verdict, seen) = fetched(deployment, &backup, indicators).await?;
        if verdict.usable() {
            remember(deployment, Occasion::Verified, &verdict, seen.as_ref(), None)?;
        }
        let (usable, backup) = (verdict.usable(), verdict.backup.clone());
        verdicts.push(verdict);
        if usable {
            return Ok((verdicts, Some(backup)));
        }
    }
    Ok((verdicts, None))
}

/// Verifies a backup on this machine: it is read again and again, and what is restored is what was judged.
pub async fn fetched(
    deployment: &Deployment,
    backup: &Backup,
    indicators: &Indicators,
) -> Result<(BackupVerdict, Option<Survey>), Fault> {
    match store(deployment)?.fetch(&backup.path).await {
        Ok(()) => verify(deployment, backup, indicators),
        Err(fault) => {
            let checks = vec![BackupCheck::of("readable", Err(fault.chain()))];
            Ok((BackupVerdict { backup: backup.clone(), checks }, None))
        }
    }
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
    BackupCheck::of("before-breach", result)
}

/// The trade policies over the rows in the dump's own text: a dirty backup costs no server and no disk. The check, and whether the text was
/// scanned at all; nothing where a scratch copy costs as little.
async fn scan_text(deployment: &Deployment, backup: &Backup) -> Result<Option<(BackupCheck, bool)>, Fault> {
    let store = store(deployment)?;
    if store.dialect() != Dialect::Postgres {
        return Ok(None);
    }
    let (policies, _) = TradePolicy::from_texts(&deployment.policies.texts);
    let scanned = match DumpText::open(store, &backup.path) {
        Ok(text) => scan_trades::run(&text, &policies, &trade_scan(deployment)).await,
        Err(fault) => Err(fault),
    };
    let whole = scanned.is_ok();
    let check = BackupCheck::of(
        "text",
        match scanned {
            Ok(seen) => match bad(&seen.findings) {
                Some(title) => Err(format!("in the trades of its text: {title}")),
                None => Ok(format!(
                    "{} rows of its text, {} findings, none at high or above",
                    seen.rows,
                    seen.findings.len()
                )),
            },
            Err(fault) if fault.kind == FaultKind::Invalid => {
                Ok(format!("not scanned, {}: its scratch copy is", fault.message))
            }
            Err(fault) => Err(fault.chain()),
        },
    );
    Ok(Some((check, whole)))
}

/// The first finding that speaks against a backup.
fn bad(findings: &[Finding]) -> Option<String> {
    findings.iter().find(|finding| finding.rule.level >= Level::High).map(|finding| finding.rule.title.clone())
}

/// Restores it where it can do no harm, and scans it there. `by_text` says whether its text was scanned: something must have been.
async fn scan_scratch(deployment: &Deployment, backup: &Backup, by_text: bool) -> Result<Vec<BackupCheck>, Fault> {
    let scratch = match store(deployment)?.scratch(&backup.path).await {
        Ok(scratch) => scratch,
        // Without a server on this machine its text is what there is, and that is said.
        Err(fault) if fault.kind == FaultKind::NotFound && by_text => {
            return Ok(vec![BackupCheck::advice(
                "scratch",
                Err(format!("judged by its text alone: {}", fault.message)),
            )]);
        }
        Err(fault) => return Ok(vec![BackupCheck::of("scratch", Err(fault.chain()))]),
    };
    let policy = DatabasePolicy::from_texts(&deployment.policies.texts)
        .map_err(|error| Fault::new(FaultKind::Invalid, error.to_string()))?;
    let objects = scan_database::run(scratch.as_ref(), &policy).await?;
    let (policies, _) = TradePolicy::from_texts(&deployment.policies.texts);
    let trades = scan_trades::run(scratch.as_ref(), &policies, &trade_scan(deployment)).await?;
    let clean = |what: &str, first: Option<String>, count: usize| match first {
        None => Ok(format!("{count} findings, none at high or above")),
        Some(title) => Err(format!("{what}: {title}")),
    };
    Ok(vec![
        BackupCheck::of("persistence", clean("in its catalog", bad(&objects.findings), objects.findings.len())),
        BackupCheck::of("unauthorized", clean("in its trades", bad(&trades.findings), trades.findings.len())),
    ])
}
