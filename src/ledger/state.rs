use std::collections::BTreeMap;

use super::{Entry, Event, GateCheck};
use crate::domain::{
    Action, ChecklistItem, CredentialId, Delivery, Digest, Fingerprint, IncidentId, Level, Moment, Outcome, Phase,
    StepId, Timestamp,
};

/// Why the ledger can't be replayed: an illegal transition, which no run of this program writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq} ({kind}) is not allowed here: {reason}")]
pub struct ReplayError {
    /// Position of the entry.
    pub seq: u64,
    /// Its kind.
    pub kind: &'static str,
    /// Why.
    pub reason: String,
}

/// A step as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepState {
    /// Phase of the last intent.
    pub phase: Phase,
    /// What it acts on.
    pub target: String,
    /// What it does.
    pub action: Action,
    /// Tries so far.
    pub attempts: u32,
    /// Outcome of the last try; absent while it is in flight, or if the program died.
    pub outcome: Option<Outcome>,
    /// Some try, this one or an earlier one, ended well.
    pub succeeded: bool,
    /// Detail of the last outcome.
    pub detail: String,
    /// Entry of the last outcome (or intent, if in flight).
    pub seq: u64,
    /// Milliseconds that the last try took.
    pub elapsed_ms: u64,
}

/// A credential as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CredentialState {
    /// Rotations staged.
    pub generation: u32,
    /// Old value's fingerprint.
    pub old: Option<Fingerprint>,
    /// New value's fingerprint.
    pub new: Option<Fingerprint>,
    /// Idempotency token of the current rotation.
    pub token: String,
    /// New value proven accepted, in the current generation.
    pub new_accepted: bool,
    /// Old value proven refused, in the current generation.
    pub old_refused: bool,
    /// How strong that proof is.
    pub strength: String,
    /// The server's words.
    pub detail: String,
    /// Entry of the last proof.
    pub proof_seq: Option<u64>,
    /// Entry that staged the current rotation.
    pub staged_seq: Option<u64>,
}

/// The pause as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PauseState {
    /// The last proof said that a trade is refused, and nothing was released since.
    pub proven: bool,
    /// When it was first proven.
    pub since: Option<Timestamp>,
    /// Milliseconds of the first proof.
    pub pause_ms: Option<u64>,
    /// Words of the last proof.
    pub detail: String,
    /// Entries of all proofs, with their result: the history of the pause.
    pub history: Vec<(u64, bool)>,
    /// Entries that may have ended the pause after it was first proven, in words: a release, a restore, a trade that passed.
    pub interruptions: Vec<(u64, String)>,
}

/// An approval as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalState {
    /// Name in `resume.yml`.
    pub approver: String,
    /// OpenSSH fingerprint of the key.
    pub key: String,
    /// Digest of the record that was signed.
    pub record: Digest,
    /// Path of the signature below the case folder.
    pub path: String,
    /// Digest of the signature file.
    pub sha256: Digest,
    /// When it was recorded.
    pub at: Timestamp,
}

/// Everything that the ledger says of an incident: a pure fold over its entries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IncidentState {
    /// The incident.
    pub incident: Option<IncidentId>,
    /// Nonce of the first entry.
    pub nonce: String,
    /// Reason of the first entry.
    pub reason: String,
    /// Who opened it.
    pub operator: String,
    /// Everybody who acted: they may not approve, if policy says so.
    pub operators: Vec<String>,
    /// When it was opened.
    pub opened: Option<Timestamp>,
    /// Verifier key of the machine.
    pub machine_key: String,
    /// Digests of the policies in force.
    pub policies: BTreeMap<String, Digest>,
    /// Credentials named as compromised.
    pub compromised: Vec<CredentialId>,
    /// Steps by id.
    pub steps: BTreeMap<StepId, StepState>,
    /// Credentials.
    pub credentials: BTreeMap<CredentialId, CredentialState>,
    /// The pause.
    pub pause: PauseState,
    /// Last result of each scan: findings, highest level, complete, coverage, entry.
    pub scans: BTreeMap<String, ScanState>,
    /// Dispositions by finding id: verdict, note, operator.
    pub dispositions: BTreeMap<String, Disposition>,
    /// Earliest malicious event that scans have seen.
    pub first_malicious: Option<Timestamp>,
    /// Backup chosen last.
    pub backup: Option<String>,
    /// Attestations by item.
    pub attested: BTreeMap<String, String>,
    /// The post-recovery checklist, as it was when it was last gone through.
    pub checklist: Vec<ChecklistItem>,
    /// Digest, tree size and root of the current audit record.
    pub record: Option<(Digest, u64, Digest)>,
    /// Entry of the current audit record.
    pub record_seq: Option<u64>,
    /// Approvals of the current record, in order.
    pub approvals: Vec<ApprovalState>,
    /// Refusals of the current record, in order.
    pub refusals: Vec<ApprovalState>,
    /// Every refusal of the incident with its entry, those of earlier records too.
    pub refused: Vec<(u64, ApprovalState)>,
    /// The last evaluation of the gate.
    pub gate: Option<(bool, Vec<GateCheck>)>,
    /// Everybody for whom the gate opened.
    pub executors: Vec<String>,
    /// When trading was resumed, and until when enhanced monitoring is due.
    pub resumed: Option<(Timestamp, Timestamp)>,
    /// Latest binding of each file by path below the case folder.
    pub files: BTreeMap<String, super::FileBinding>,
    /// Names of the evidence that was collected.
    pub evidence: std::collections::BTreeSet<String>,
    /// What became of the last notice to each contact at each moment.
    pub notices: BTreeMap<(String, Moment), Delivery>,
    /// What was watched, and what was not.
    pub watched: super::Watched,
    /// Number of entries.
    pub entries: u64,
    /// Time of the newest entry.
    pub newest: Option<Timestamp>,
}

/// Last result of a scan.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanState {
    /// Findings.
    pub findings: u64,
    /// Highest level.
    pub highest: Option<Level>,
    /// Whether everything asked for was read.
    pub complete: bool,
    /// The summary.
    pub coverage: serde_json::Map<String, serde_json::Value>,
    /// Entry.
    pub seq: u64,
}

/// What a person decided of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disposition {
    /// `benign`, `confirmed` or `unknown`.
    pub verdict: String,
    /// Why.
    pub note: String,
    /// Who.
    pub operator: String,
}

impl IncidentState {
    /// Folds all entries.
    pub fn replay<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Self, ReplayError> {
        let mut state = Self::default();
        for entry in entries {
            state.apply(entry)?;
        }
        Ok(state)
    }

    /// Adds one entry; the state is unchanged if it is refused.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), ReplayError> {
        self.check(entry)?;
        self.fold(entry);
        self.entries += 1;
        self.newest = Some(entry.time);
        Ok(())
    }

    /// Whether an entry may follow; nothing is changed.
    pub fn check(&self, entry: &Entry) -> Result<(), ReplayError> {
        let refuse = |reason: String| ReplayError { seq: entry.seq, kind: entry.event.kind(), reason };
        if entry.seq != self.entries {
            return Err(refuse(format!("expected position {}", self.entries)));
        }
        if self.newest.is_some_and(|newest| entry.time < newest) {
            return Err(refuse("its time is before the entry before it".into()));
        }
        let first = matches!(entry.event, Event::IncidentOpened { .. });
        if first != (entry.seq == 0) {
            return Err(refuse("`incident.opened` is the first entry, and only the first".into()));
        }
        self.follows(entry).map_err(refuse)
    }

    fn fold(&mut self, entry: &Entry) {
        match &entry.event {
            Event::IncidentOpened { .. } | Event::IncidentWidened { .. } => self.fold_incident(entry),
            Event::PlanMade { operator, .. } => self.acted(operator),
            Event::StepIntent { .. } | Event::StepOutcome { .. } => self.fold_step(entry),
            Event::CredentialStaged { .. } | Event::CredentialCreated { .. } | Event::CredentialProof { .. } => {
                self.fold_credential(entry);
            }
            Event::PauseProof { refused, pause_ms, detail } => {
                if !*refused {
                    self.interrupted(entry.seq, "a trade passed");
                }
                self.pause.proven = *refused;
                self.pause.detail.clone_from(detail);
                self.pause.history.push((entry.seq, *refused));
                if *refused && self.pause.since.is_none() {
                    self.pause.since = Some(entry.time);
                    self.pause.pause_ms = Some(*pause_ms);
                }
            }
            Event::EvidenceCollected { name, file } => {
                self.evidence.insert(name.clone());
                self.bind(file);
            }
            Event::NoticeSent { contact, moment, outcome, .. } => {
                self.notices.insert((contact.clone(), *moment), *outcome);
            }
            Event::TailQuarantined { file } | Event::ReportWritten { file, .. } => self.bind(file),
            // Who only watches has not acted: they may approve.
            Event::WatchStarted { .. } => {}
            Event::WatchCovered { from, to, gaps, .. } => self.watched.add(*from, *to, gaps),
            Event::ScanCompleted { scan, findings, highest, first_malicious, complete, coverage, file } => {
                self.bind(file);
                if let Some(time) = first_malicious {
                    self.first_malicious = Some(self.first_malicious.map_or(*time, |old| old.min(*time)));
                }
                let state = ScanState {
                    findings: *findings,
                    highest: *highest,
                    complete: *complete,
                    coverage: coverage.clone(),
                    seq: entry.seq,
                };
                self.scans.insert(scan.clone(), state);
            }
            Event::FindingDisposed { findings, verdict, note, operator } => {
                for id in findings {
                    let disposition =
                        Disposition { verdict: verdict.clone(), note: note.clone(), operator: operator.clone() };
                    self.dispositions.insert(id.clone(), disposition);
                }
                self.acted(operator);
            }
            Event::BackupChosen { path, .. } => self.backup.clone_from(path),
            Event::ItemAttested { item, operator, .. } => {
                self.attested.insert(item.clone(), operator.clone());
                self.acted(operator);
            }
            // Who only looks has not acted: they may approve.
            Event::ChecklistReviewed { items, .. } => self.checklist.clone_from(items),
            Event::AuditPrepared { .. }
            | Event::ApprovalRecorded { .. }
            | Event::RefusalRecorded { .. }
            | Event::GateEvaluated { .. }
            | Event::IncidentResumed { .. } => self.fold_gate(entry),
        }
    }

    fn fold_incident(&mut self, entry: &Entry) {
        match &entry.event {
            Event::IncidentOpened { incident, reason, operator, compromised, nonce, machine_key, policies, .. } => {
                self.incident = Some(incident.clone());
                self.reason.clone_from(reason);
                self.operator.clone_from(operator);
                self.compromised.clone_from(compromised);
                self.nonce.clone_from(nonce);
                self.machine_key.clone_from(machine_key);
                self.policies.clone_from(policies);
                self.opened = Some(entry.time);
                self.acted(operator);
            }
            Event::IncidentWidened { compromised, operator, .. } => {
                for id in compromised {
                    if !self.compromised.contains(id) {
                        self.compromised.push(id.clone());
                    }
                }
                self.acted(operator);
            }
            _ => {}
        }
    }

    fn fold_step(&mut self, entry: &Entry) {
        match &entry.event {
            Event::StepIntent { step, phase, target, action, attempt } => {
                // Whatever follows a release must be proven anew.
                if matches!(action, Action::ReleaseSwitch { .. } | Action::RestoreBackup { .. }) {
                    let what = if matches!(action, Action::ReleaseSwitch { .. }) { "released" } else { "restored" };
                    self.interrupted(entry.seq, &format!("{what}: {target}"));
                    self.pause.proven = false;
                }
                let state = StepState {
                    phase: *phase,
                    target: target.clone(),
                    action: action.clone(),
                    attempts: *attempt,
                    outcome: None,
                    succeeded: self.steps.get(step).is_some_and(|before| before.succeeded),
                    detail: String::new(),
                    seq: entry.seq,
                    elapsed_ms: 0,
                };
                self.steps.insert(step.clone(), state);
            }
            Event::StepOutcome { step, outcome, elapsed_ms, detail, .. } => {
                let Some(state) = self.steps.get_mut(step) else { return };
                state.outcome = Some(*outcome);
                state.succeeded |= outcome.is_success();
                state.detail.clone_from(detail);
                state.elapsed_ms = *elapsed_ms;
                state.seq = entry.seq;
            }
            _ => {}
        }
    }

    fn fold_credential(&mut self, entry: &Entry) {
        match &entry.event {
            Event::CredentialStaged { credential, generation, old, new, token } => {
                let state = CredentialState {
                    generation: *generation,
                    old: old.clone(),
                    new: new.clone(),
                    token: token.clone(),
                    staged_seq: Some(entry.seq),
                    ..CredentialState::default()
                };
                self.credentials.insert(credential.clone(), state);
            }
            Event::CredentialCreated { credential, new, .. } => {
                self.credentials.entry(credential.clone()).or_default().new = Some(new.clone());
            }
            Event::CredentialProof { credential, new_accepted, old_refused, strength, detail, .. } => {
                let state = self.credentials.entry(credential.clone()).or_default();
                state.new_accepted = *new_accepted;
                state.old_refused = *old_refused;
                state.strength.clone_from(strength);
                state.detail.clone_from(detail);
                state.proof_seq = Some(entry.seq);
            }
            _ => {}
        }
    }

    fn fold_gate(&mut self, entry: &Entry) {
        match &entry.event {
            Event::AuditPrepared { file, tree_size, root, operator } => {
                self.bind(file);
                self.record = Some((file.sha256, *tree_size, *root));
                self.record_seq = Some(entry.seq);
                self.approvals.clear();
                self.refusals.clear();
                if let Some(operator) = operator {
                    self.acted(operator);
                }
            }
            Event::ApprovalRecorded { approver, key, record, file } => {
                self.bind(file);
                self.approvals.push(signed((approver, key), record, file, entry.time));
            }
            Event::RefusalRecorded { approver, key, record, file } => {
                self.bind(file);
                let refusal = signed((approver, key), record, file, entry.time);
                self.refused.push((entry.seq, refusal.clone()));
                self.refusals.push(refusal);
            }
            Event::GateEvaluated { opened, checks, operator, .. } => {
                self.gate = Some((*opened, checks.clone()));
                if *opened && !self.executors.contains(operator) {
                    self.executors.push(operator.clone());
                }
            }
            Event::IncidentResumed { monitor_until, .. } => {
                self.resumed = Some((entry.time, *monitor_until));
            }
            _ => {}
        }
    }

    fn interrupted(&mut self, seq: u64, what: &str) {
        if self.pause.since.is_some() {
            self.pause.interruptions.push((seq, what.to_owned()));
        }
    }

    fn acted(&mut self, operator: &str) {
        if !self.operators.iter().any(|known| known == operator) {
            self.operators.push(operator.to_owned());
        }
    }

    fn bind(&mut self, file: &super::FileBinding) {
        self.files.insert(file.path.clone(), file.clone());
    }
}

fn signed((approver, key): (&str, &str), record: &Digest, file: &super::FileBinding, at: Timestamp) -> ApprovalState {
    let (approver, key, path) = (approver.to_owned(), key.to_owned(), file.path.clone());
    ApprovalState { approver, key, record: *record, path, sha256: file.sha256, at }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
