//! What still stands in a ledger: what was looked at or said before a restore is not about what was restored.

use std::collections::BTreeSet;

use super::decide::ensure;
use crate::domain::{Action, StepId, Timestamp, counted};
use crate::ledger::{Entry, Event, IncidentState};

/// A watch that wrote nothing for so long runs no more.
const WATCH_MINUTES: i64 = 15;

/// The last entry of the last restore, however it ended.
pub fn last_restore(entries: &[Entry]) -> Option<u64> {
    let restores: BTreeSet<&StepId> = entries
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::StepIntent { step, action: Action::RestoreBackup { .. }, .. } => Some(step),
            _ => None,
        })
        .collect();
    let about = |event: &Event| match event {
        Event::StepIntent { step, .. } | Event::StepOutcome { step, .. } => restores.contains(step),
        _ => false,
    };
    entries.iter().rev().find(|entry| about(&entry.event)).map(|entry| entry.seq)
}

/// Who attested an item after that entry: what was attested before it can't be about it.
pub fn attested_after<'a>(entries: &'a [Entry], item: &str, seq: u64) -> Option<&'a str> {
    entries.iter().filter(|entry| entry.seq > seq).find_map(|entry| match &entry.event {
        Event::ItemAttested { item: attested, operator, .. } if attested == item => Some(operator.as_str()),
        _ => None,
    })
}

/// Whether a scan counts: made, of what is there now, and complete or accepted by a person as it is. Words, or why not.
pub fn scan_stands(entries: &[Entry], state: &IncidentState, name: &str) -> Result<String, String> {
    let again = || format!("run: portcullis scan {name}");
    let scan = state.scans.get(name).ok_or_else(|| format!("it was not made; {}", again()))?;
    let accepted = attested_after(entries, &format!("scan.{name}"), scan.seq);
    ensure(scan.complete || accepted.is_some(), || {
        format!(
            "it did not cover all that was asked for (entry {}); {}, or attest what was not covered: portcullis checklist --attest scan.{name} --note TEXT",
            scan.seq,
            again()
        )
    })?;
    // Logs and files are not changed by a restore; what lies in the database is.
    if let Some(restored) = last_restore(entries).filter(|_| matches!(name, "trades" | "database")) {
        ensure(scan.seq > restored, || format!("a backup was put back since; {}", again()))?;
    }
    let how = match accepted.filter(|_| !scan.complete) {
        Some(person) => format!("not complete, accepted by {person}"),
        None => "complete".to_owned(),
    };
    Ok(format!("{how}, {}, entry {}", counted(scan.findings, "finding", "findings"), scan.seq))
}

/// Whether a watch runs: it writes an entry when it begins and every ten minutes. Words, or why not.
pub fn watch_runs(entries: &[Entry], now: Timestamp) -> Result<String, String> {
    let watch = |entry: &&Entry| matches!(entry.event, Event::WatchStarted { .. } | Event::WatchCovered { .. });
    let again = "start one that goes on after the resume: portcullis watch --for 24h";
    let last = entries.iter().rev().find(watch).ok_or_else(|| format!("no watch was started; {again}"))?;
    let minutes = (now.as_second() - last.time.as_second()) / 60;
    ensure(minutes < WATCH_MINUTES, || format!("the last word of a watch is {minutes} min old; {again}"))?;
    Ok(format!("a watch runs, its last word in entry {}", last.seq))
}
