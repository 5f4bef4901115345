//! Checks of the gate on what came into the ledger after the record: nothing of it may change what was signed.

use std::collections::BTreeMap;

use super::SignatureFile;
use super::decide::{Case, HINT_PREPARE, RECORD, Ruling, ensure, is_open};
use crate::domain::{Action, Digest, Phase};
use crate::ledger::{Entry, Event, IncidentState};
use crate::policy::pause::{GUARD, SwitchPolicy};

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
                let opened = self.openings().iter().any(|opened| *opened < entry.seq);
                release && opened && *phase == Phase::Resume && !covered.steps.contains_key(step)
            }
            // Its intent came after the record too, and was allowed.
            Event::StepOutcome { step, .. } => !covered.steps.contains_key(step),
            Event::PauseProof { refused: false, .. } => self.lifted(GUARD).is_some_and(|lifted| lifted.by < entry.seq),
            _ => false,
        }
    }

    /// Whether the file is one that the record stands on: any that was bound before it, but a report.
    fn is_signed(&self, path: &str, covered: &IncidentState) -> bool {
        let report = |entry: &Entry| matches!(&entry.event, Event::ReportWritten { file, .. } if file.path == path);
        let before = usize::try_from(covered.entries).unwrap_or(usize::MAX);
        path == RECORD || covered.files.contains_key(path) && !self.entries.iter().take(before).any(report)
    }

    /// Entries at which the gate opened for this very record, as a resume writes them: all checks passed, and the quorum was on
    /// record by then. Whoever holds the machine's key can write such an entry, but not the signatures before it.
    fn openings(&self) -> &[u64] {
        self.openings.get_or_init(|| {
            let digest = self.input.record.as_deref().map(Digest::of);
            let opened = self.entries.iter().filter(|entry| {
                matches!(&entry.event, Event::GateEvaluated { opened: true, record, checks, .. }
                    if record.is_some() && *record == digest && is_open(checks))
            });
            let mut opened = opened.map(|entry| entry.seq).peekable();
            if opened.peek().is_none() {
                return Vec::new();
            }
            let approved = self.approved_since();
            opened.filter(|opened| approved.is_some_and(|approved| approved < *opened)).collect()
        })
    }

    /// The entry by which enough of the signatures that count now were on record: enough for the policies of before too, if they
    /// were changed during the incident.
    fn approved_since(&self) -> Option<u64> {
        let mut first = BTreeMap::new();
        for entry in &self.entries {
            if let Event::ApprovalRecorded { file, .. } = &entry.event {
                first.entry((file.path.as_str(), file.sha256)).or_insert(entry.seq);
            }
        }
        let seq = |file: &SignatureFile| first.get(&(file.path.as_str(), Digest::of(&file.bytes))).copied();
        let mut recorded: Vec<(u64, &SignatureFile)> =
            self.input.approvals.iter().filter_map(|file| Some((seq(file)?, file))).collect();
        recorded.sort_by_key(|(seq, _)| *seq);
        let too_few = |count: &usize| {
            let files: Vec<SignatureFile> = recorded.iter().take(*count).map(|(_, file)| (*file).clone()).collect();
            !self.are_enough(&files)
        };
        // More signatures never make less of a quorum.
        let counts: Vec<usize> = (1..=recorded.len()).collect();
        recorded.get(counts.partition_point(too_few)).map(|(seq, _)| *seq)
    }

    /// The release of a switch that began after the gate opened for this very record: that resume was cut short, and goes on.
    pub(super) fn lifted(&self, name: &str) -> Option<Lifted> {
        let opened = *self.openings().first()?;
        let release = |entry: &&Entry| {
            entry.seq > opened
                && matches!(&entry.event, Event::StepIntent { action: Action::ReleaseSwitch { switch }, .. } if switch == name)
        };
        self.entries.iter().find(release).map(|entry| Lifted { opened, by: entry.seq })
    }

    /// Whether a resume of this very record was cut short.
    pub(super) fn goes_on(&self) -> bool {
        let switches = self.input.policies.pause.switches.iter().map(SwitchPolicy::name);
        switches.chain([GUARD]).any(|name| self.lifted(name).is_some())
    }
}

/// A switch that is being released.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifted {
    /// Entry at which the gate opened.
    pub(super) opened: u64,
    /// Entry of the release.
    by: u64,
}

#[cfg(test)]
#[path = "later_tests.rs"]
mod tests;
