//! The way up: the gate is asked, and only if every check passes are the switches released.

use std::sync::Arc;

use super::audit::AuditError;
use super::lockdown::{Progress, Tally, carry_out};
use super::{Deployment, Journal, gather};
use crate::domain::{Digest, StepReport, Timestamp};
use crate::gate::{is_open, may_resume};
use crate::ledger::{Event, GateCheck};
use crate::playbook;

/// How it ended.
#[derive(Debug)]
pub struct Resumed {
    /// Every check of the gate.
    pub checks: Vec<GateCheck>,
    /// Whether the gate opened.
    pub opened: bool,
    /// Steps of the release; empty if the gate stayed shut.
    pub reports: Vec<StepReport>,
    /// Until when enhanced monitoring is due; absent unless everything was released and proven.
    pub monitor_until: Option<Timestamp>,
}

/// Asks the gate on the bytes of this moment, under the case's lock, and acts on its answer.
pub async fn resume(
    deployment: &Deployment,
    journal: &Arc<Journal>,
    operator: &str,
    progress: Progress<'_>,
) -> Result<Resumed, AuditError> {
    let input = gather(journal, deployment, Some(operator)).await?;
    let checks = may_resume(&input);
    let opened = is_open(&checks);
    let record = input.record.as_deref().map(Digest::of);
    let evaluated = Event::GateEvaluated { opened, record, checks: checks.clone(), operator: operator.to_owned() };
    journal.record(evaluated)?;
    let Some(record) = record.filter(|_| opened) else {
        journal.checkpoint()?;
        return Ok(Resumed { checks, opened: false, reports: Vec::new(), monitor_until: None });
    };
    // Each asking of the gate has release steps of its own: an earlier, interrupted release is not mistaken for this one.
    let round = u32::try_from(journal.state().entries).unwrap_or(u32::MAX);
    let plan = playbook::resume(&deployment.policies.pause, round);
    let reports = carry_out(deployment, journal, "resume", operator, &plan, progress).await?;
    if Tally::of(&reports).failed > 0 {
        return Ok(Resumed { checks, opened, reports, monitor_until: None });
    }
    let hours = i64::try_from(deployment.policies.resume.monitoring_hours).unwrap_or(24);
    let now = deployment.clock.now();
    let monitor_until = now.checked_add(jiff::SignedDuration::from_hours(hours)).unwrap_or(now);
    journal.record(Event::IncidentResumed { record, operator: operator.to_owned(), monitor_until })?;
    journal.checkpoint()?;
    Ok(Resumed { checks, opened, reports, monitor_until: Some(monitor_until) })
}
