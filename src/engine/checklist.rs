//! The post-recovery checklist: services, health, integrity, recent trades and logs, monitoring, documentation, runbooks. Each item is seen
//! by this program or attested by a person; what this program can see for itself is not left to a person's word.

use std::time::Duration;

use super::{Deployment, Journal, JournalError};
use crate::domain::{BackupCheck, ChecklistItem, Outcome};
use crate::gate::{attested_after, last_restore, scan_stands, watch_runs};
use crate::ledger::{Entry, Event, IncidentState};
use crate::ports::Database;

/// Items that only a person can attest, and those that a person can attest where this program saw nothing.
pub const BY_PERSON: [(&str, &str); 4] = [
    ("recent-trades", "recent trades and logs were looked at by a person"),
    ("monitoring", "enhanced monitoring is staffed for the next 24 hours"),
    ("documented", "the incident is documented"),
    ("runbooks", "runbooks are updated with what was learned"),
];
/// Bound on the answer of a service.
const HEALTH: Duration = Duration::from_secs(3);
/// Bound on the checks of the database.
const INTEGRITY: Duration = Duration::from_mins(5);

/// What a service without a health address is called, for a person to attest.
pub fn service_item(name: &str) -> String {
    format!("service.{name}")
}

/// Goes through every item.
pub async fn review(deployment: &Deployment, journal: &Journal) -> Result<Vec<ChecklistItem>, JournalError> {
    let (state, entries) = (journal.state(), journal.entries()?);
    let mut items = services(deployment, &state).await;
    if let Some(database) = &deployment.database {
        let ping = tokio::time::timeout(HEALTH * 3, database.ping()).await;
        let ping = match ping {
            Ok(ping) => ping.map_err(|fault| fault.chain()),
            Err(_) => Err(format!("no answer within {} s", HEALTH.as_secs() * 3)),
        };
        let answers = ping.is_ok();
        items.push(seen("database", ping));
        let checks = if answers {
            integrity(deployment, database.as_ref()).await
        } else {
            Err("the database does not answer".into())
        };
        items.push(seen("database integrity", checks));
    }
    for scan in &deployment.policies.resume.required_scans {
        items.push(seen(&format!("scan {scan}"), scan_stands(&entries, &state, scan)));
    }
    let watch = watch_runs(&entries, deployment.clock.now());
    for (name, words) in BY_PERSON {
        items.push(match name {
            // What was looked at before a restore is not what was restored.
            "recent-trades" => {
                let since = last_restore(&entries);
                let person = match since {
                    Some(restored) => attested_after(&entries, name, restored),
                    None => state.attested.get(name).map(String::as_str),
                };
                attested(name, words, person)
            }
            "monitoring" if watch.is_ok() => seen(name, watch.clone()),
            "documented" if report(&entries).is_some() => {
                seen(name, Ok(format!("{words}: {}", report(&entries).unwrap_or_default())))
            }
            _ => attested(name, words, state.attested.get(name).map(String::as_str)),
        });
    }
    for name in &deployment.policies.resume.required_attestations {
        if !items.iter().any(|item| item.item == *name) {
            items.push(attested(name, "asked for by resume.yml", state.attested.get(name).map(String::as_str)));
        }
    }
    for (id, step) in state.steps.iter().filter(|(_, step)| step.outcome == Some(Outcome::Manual)) {
        items.push(attested(id.as_str(), &step.target, state.attested.get(id.as_str()).map(String::as_str)));
    }
    Ok(items)
}

/// Writes what was seen into the ledger, from where it goes into the audit record. Once: the same again is not written again.
pub fn record(journal: &Journal, items: Vec<ChecklistItem>, operator: &str) -> Result<(), JournalError> {
    if journal.state().checklist == items {
        return Ok(());
    }
    journal.record(Event::ChecklistReviewed { items, operator: operator.to_owned() }).map(|_| ())
}

fn seen(item: &str, result: Result<String, String>) -> ChecklistItem {
    let done = result.is_ok();
    ChecklistItem { item: item.to_owned(), done, detail: result.unwrap_or_else(|words| words), attested_by: None }
}

fn attested(item: &str, words: &str, person: Option<&str>) -> ChecklistItem {
    let detail = match person {
        Some(person) => format!("{words} ({person})"),
        None => format!("{words}: portcullis checklist --attest {item} --note TEXT"),
    };
    ChecklistItem { item: item.to_owned(), done: person.is_some(), detail, attested_by: person.map(str::to_owned) }
}

/// Whether every service answers on its health address; one without an address is for a person.
async fn services(deployment: &Deployment, state: &IncidentState) -> Vec<ChecklistItem> {
    let known = &deployment.policies.credentials.services;
    let said = |item: &str| state.attested.get(item).map(String::as_str);
    if deployment.services.is_empty() {
        return vec![attested("services", "services run (credentials.yml names none)", said("services"))];
    }
    let asked = deployment.services.iter().map(|service| async move {
        let name = service.name();
        // What has an address, or no policy of its own (a rehearsal), is asked.
        if known.iter().any(|policy| policy.name == name && policy.health.is_none()) {
            let item = service_item(name);
            return attested(&item, "it runs (it has no health address)", said(&item));
        }
        let health = tokio::time::timeout(HEALTH, service.health()).await;
        let health = match health {
            Ok(health) => health.map_err(|fault| fault.chain()),
            Err(_) => Err(format!("no healthy answer within {} s", HEALTH.as_secs())),
        };
        seen(&format!("service {name}"), health)
    });
    futures_util::future::join_all(asked).await
}

/// Constraints, indexes, sequences, migrations and the policy's invariants of the live database.
async fn integrity(deployment: &Deployment, database: &dyn Database) -> Result<String, String> {
    let checks = tokio::time::timeout(INTEGRITY, database.checks(&deployment.policies.recovery)).await;
    let checks = checks
        .map_err(|_| format!("not checked to the end within {} min", INTEGRITY.as_secs() / 60))?
        .map_err(|fault| fault.chain())?;
    let words = |check: &BackupCheck| format!("{}: {}", check.check, check.reason);
    let broken: Vec<_> = checks.iter().filter(|check| !check.passed).map(words).collect();
    if broken.is_empty() {
        Ok(checks.into_iter().map(|check| check.reason).collect::<Vec<_>>().join("; "))
    } else {
        Err(broken.join("; "))
    }
}

/// The newest report for people, if it was written after the last restore.
fn report(entries: &[Entry]) -> Option<String> {
    let since = last_restore(entries).unwrap_or(0);
    entries.iter().rev().take_while(|entry| entry.seq > since).find_map(|entry| match &entry.event {
        Event::ReportWritten { form, file, .. } if matches!(form.as_str(), "html" | "markdown") => {
            Some(format!("{} in entry {}", file.path, entry.seq))
        }
        _ => None,
    })
}
