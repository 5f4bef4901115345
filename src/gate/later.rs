//! Checks of the gate on what came into the ledger after the record: nothing of it may change what was signed.

use super::decide::{Case, HINT_PREPARE, RECORD, Ruling, ensure};
use crate::domain::{Action, Digest, Phase};
use crate::ledger::{Entry, Event, IncidentState};

/// Folders below the case folder that hold what people sign of the record.
const SIGNED: [&str; 2] = ["approvals/", "refusals/"];

impl Case<'_> {
    pub(super) fn later_entries(&self) -> Ruling {
        let statement = self.statement()?;
        let covered = self.covered()?;
        let digest = self.input.record.as_deref().map(Digest::of);
        let executor = &statement.predicate.executor;
        let first = &self.recorded()?.event;
        let own = matches!(first, Event::AuditPrepared { file, operator, .. }
            if file.path == RECORD && Some(file.sha256) == digest && operator == executor);
        ensure(own, || format!("the entry after what the record covers is not the record's own; {HINT_PREPARE}"))?;
        let size = usize::try_from(statement.predicate.ledger.size).unwrap_or(usize::MAX);
        let mut count = 0;
        for entry in self.entries.iter().skip(size).skip(1) {
            count += 1;
            ensure(self.may_follow(entry, covered), || {
                format!("entry {} ({}) came after the record; {HINT_PREPARE}", entry.seq, entry.event.kind())
            })?;
        }
        Ok(format!("{count} entries since, none of which changes what was signed"))
    }

    /// Entries that change nothing of what was signed: approvals, evaluations, notices, reports, and the resume itself. Whoever
    /// holds the machine's key can write any of them, but not make one of them settle a step, or another file stand for one
    /// that was signed.
    fn may_follow(&self, entry: &Entry, covered: &IncidentState) -> bool {
        match &entry.event {
            Event::ApprovalRecorded { file, .. } => file.path.starts_with(SIGNED[0]),
            Event::RefusalRecorded { file, .. } => file.path.starts_with(SIGNED[1]),
            Event::TailQuarantined { file } | Event::ReportWritten { file, .. } => {
                !SIGNED.iter().any(|folder| file.path.starts_with(folder)) && !self.is_signed(&file.path, covered)
            }
            Event::GateEvaluated { .. }
            | Event::NoticeSent { .. }
            | Event::WatchStarted { .. }
            | Event::WatchCovered { .. }
            | Event::PauseProof { refused: true, .. } => true,
            Event::PlanMade { command, .. } => command == "resume",
            Event::StepIntent { step, phase, action, .. } => {
                let release = matches!(action, Action::ReleaseSwitch { .. } | Action::ProveResume);
                release && *phase == Phase::Resume && !covered.steps.contains_key(step)
            }
            // Its intent came after the record too, and was allowed.
            Event::StepOutcome { step, .. } => !covered.steps.contains_key(step),
            Event::PauseProof { refused: false, .. } => self.releasing().is_some(),
            _ => false,
        }
    }

    /// Whether the file is one that the record stands on: any that was bound before it, but a report.
    fn is_signed(&self, path: &str, covered: &IncidentState) -> bool {
        let report = |entry: &Entry| matches!(&entry.event, Event::ReportWritten { file, .. } if file.path == path);
        let before = usize::try_from(covered.entries).unwrap_or(usize::MAX);
        path == RECORD || covered.files.contains_key(path) && !self.entries.iter().take(before).any(report)
    }

    /// The entry at which the gate opened for this very record, if a switch was released since: the resume was cut short,
    /// and goes on.
    pub(super) fn releasing(&self) -> Option<u64> {
        let digest = self.input.record.as_deref().map(Digest::of)?;
        let opened = self.entries.iter().find_map(|entry| match &entry.event {
            Event::GateEvaluated { opened: true, record: Some(record), .. } if *record == digest => Some(entry.seq),
            _ => None,
        })?;
        let released = |entry: &Entry| {
            entry.seq > opened && matches!(&entry.event, Event::StepIntent { action: Action::ReleaseSwitch { .. }, .. })
        };
        self.entries.iter().any(released).then_some(opened)
    }
}

#[cfg(test)]
#[path = "later_tests.rs"]
mod tests;
