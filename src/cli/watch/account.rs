//! What goes into the ledger: the beginning, the hours, the alerts. The case is locked for that moment only.

use std::sync::Arc;

use serde_json::Map;

use super::memory::Stretch;
use crate::domain::{Finding, IncidentId, Level, Moment, Timestamp, Words};
use crate::engine::notices::{GRACE, Notices};
use crate::engine::{Deployment, Journal, findings};
use crate::ledger::Event;

/// Why nothing could be written now: somebody else works on the case, or it can't be used.
pub type Refused = String;

fn journal(deployment: &Deployment, incident: &IncidentId) -> Result<Arc<Journal>, Refused> {
    let store = deployment.cases.open(incident, false).map_err(|fault| fault.chain())?;
    let opened = Journal::open(store, deployment.clock.clone(), deployment.machine.clone());
    opened.map(Arc::new).map_err(|error| crate::gate::with_cause(&error))
}

fn record(journal: &Journal, event: Event) -> Result<(), Refused> {
    journal.record(event).map(drop).map_err(|error| crate::gate::with_cause(&error))
}

fn sign(journal: &Journal) -> Result<(), Refused> {
    journal.checkpoint().map_err(|error| crate::gate::with_cause(&error))
}

/// The watch began.
pub fn started(
    deployment: &Deployment,
    incident: &IncidentId,
    until: Option<Timestamp>,
    auto_pause: Option<Level>,
    watched: Vec<String>,
    operator: &str,
) -> Result<(), Refused> {
    let journal = journal(deployment, incident)?;
    record(&journal, Event::WatchStarted { until, auto_pause, watched, operator: operator.to_owned() })?;
    sign(&journal)
}

/// A stretch of time was watched.
pub fn covered(deployment: &Deployment, incident: &IncidentId, stretch: &Stretch) -> Result<(), Refused> {
    let journal = journal(deployment, incident)?;
    let Stretch { from, to, events, trades, alerts, gaps } = stretch.clone();
    record(&journal, Event::WatchCovered { from, to, events, trades, alerts, gaps })?;
    sign(&journal)
}

/// Alerts: findings of the case by a scan named `watch`.
pub fn alerts(deployment: &Deployment, incident: &IncidentId, found: &[Finding]) -> Result<(), Refused> {
    let journal = journal(deployment, incident)?;
    let mut summary = Map::new();
    summary.insert("scan".into(), "watch".into());
    summary.insert("findings".into(), found.len().into());
    findings::record_scan(&journal, "watch", found, summary, true).map_err(|error| crate::gate::with_cause(&error))?;
    sign(&journal)
}

/// Tells the contacts of alerts; what became of it goes into the ledger if the case can be had.
pub async fn tell(deployment: &Deployment, incident: Option<&IncidentId>, found: &[Finding], operator: &str) {
    let journal = incident.and_then(|incident| journal(deployment, incident).ok());
    let notices = Notices::new(deployment, journal.as_ref(), operator);
    let worst = found.iter().map(|finding| finding.rule.level).max().unwrap_or(Level::Informational);
    let line = |finding: &Finding| format!("{} {}", finding.rule.level, finding.rule.title);
    let words = Words {
        headline: format!("{} alerts of the enhanced monitoring, the highest {worst}", found.len()),
        what: found.iter().map(line).collect(),
        next: "look at them: portcullis incident show; if trading must stop: portcullis pause on --reason TEXT".into(),
    };
    notices.tell(Moment::Alert, &words);
    notices.finish(GRACE).await;
    if let Some(journal) = journal
        && let Err(error) = sign(&journal)
    {
        tracing::warn!(%error, "the ledger could not be signed");
    }
}
