use std::collections::BTreeMap;

use serde::Serialize;

use super::actors::Actors;
use super::scope::Scope;
use crate::domain::{Digest, Finding, Level, Timestamp};
use crate::ledger::{FileBinding, GateCheck};

/// All that a report tells. As JSON it is `report.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Version of the form: 1.
    pub version: u32,
    /// When it was made.
    pub made: Timestamp,
    /// Version of this program.
    pub program: String,
    /// The incident.
    pub incident: Subject,
    /// The whole in a few sentences.
    pub summary: Vec<String>,
    /// Against the objectives.
    pub objectives: Objectives,
    /// Entries and findings in order of time.
    pub timeline: Vec<Moment>,
    /// Who and what is concerned.
    pub scope: Scope,
    /// Who did it.
    pub actors: Actors,
    /// Each credential with its proof.
    pub credentials: Vec<CredentialLine>,
    /// Every step, in order of its last entry.
    pub steps: Vec<Step>,
    /// Steps that did not end well.
    pub exceptions: Vec<Exception>,
    /// Findings with what people decided of them, worst first.
    pub findings: Vec<FindingLine>,
    /// What was scanned, and what was not.
    pub scans: Vec<ScanLine>,
    /// What the case says was not covered, in words.
    pub uncovered: Vec<String>,
    /// Backup that was chosen last.
    pub backup: Option<String>,
    /// Every backup that was looked at, as the restore saw it.
    pub backups: Vec<serde_json::Value>,
    /// What people attest.
    pub attested: BTreeMap<String, String>,
    /// Signatures over the current record.
    pub approvals: Vec<Approval>,
    /// Digest of the audit record.
    pub record: Option<Digest>,
    /// The gate, as it last decided.
    pub gate: Option<Check>,
    /// Enhanced monitoring.
    pub monitoring: Monitoring,
    /// Notices, by contact and moment.
    pub notices: Vec<(String, String, String)>,
    /// Head of the ledger.
    pub ledger: Head,
    /// Files that the ledger names.
    pub files: Vec<FileBinding>,
}

/// The incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Its id.
    pub id: String,
    /// `open` or `resumed`.
    pub status: &'static str,
    /// Why it was opened.
    pub reason: String,
    /// Who opened it.
    pub operator: String,
    /// Everybody who acted.
    pub operators: Vec<String>,
    /// Credentials named as compromised.
    pub compromised: Vec<String>,
    /// When it was opened.
    pub opened: Timestamp,
    /// When trading was let in again.
    pub resumed: Option<Timestamp>,
}

/// Times against the objectives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Objectives {
    /// Recovery time objective, minutes.
    pub rto_minutes: u64,
    /// Recovery point objective, minutes.
    pub rpo_minutes: u64,
    /// Whether the last proof of the pause held.
    pub pause_proven: bool,
    /// Milliseconds from the start of the command to the acknowledged pause.
    pub pause_ms: Option<u64>,
    /// Words of the last proof.
    pub pause_detail: String,
    /// When the pause was proven and every old value that was touched was proven dead.
    pub contained: Option<Timestamp>,
    /// Milliseconds from the opening to that moment.
    pub contained_ms: Option<u64>,
    /// Milliseconds from the opening to the resume.
    pub resumed_ms: Option<u64>,
    /// Milestones since the opening, in milliseconds, in order.
    pub milestones: Vec<(String, u64)>,
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// When.
    pub time: Timestamp,
    /// Level of the finding, or kind of the entry.
    pub kind: String,
    /// Whether it is a finding.
    pub finding: bool,
    /// What.
    pub words: String,
}

/// A credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CredentialLine {
    /// Its id.
    pub id: String,
    /// Named as compromised.
    pub compromised: bool,
    /// Rotations.
    pub generation: u32,
    /// Fingerprint of the old value.
    pub old: Option<String>,
    /// Fingerprint of the new value.
    pub new: Option<String>,
    /// Old value proven refused.
    pub old_refused: bool,
    /// New value proven accepted.
    pub new_accepted: bool,
    /// `server`, `store`, `attested`; empty without a proof.
    pub strength: String,
    /// Entry of the proof.
    pub entry: Option<u64>,
    /// Words of the proof.
    pub detail: String,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its id.
    pub id: String,
    /// Its phase.
    pub phase: String,
    /// What it acts on.
    pub target: String,
    /// How it ended; `in flight` if it never did.
    pub outcome: String,
    /// Tries.
    pub attempts: u32,
    /// Milliseconds of the last try.
    pub elapsed_ms: u64,
    /// Last entry.
    pub entry: u64,
}

/// A step that did not end well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exception {
    /// The step.
    pub step: String,
    /// How it ended.
    pub outcome: String,
    /// What was seen.
    pub detail: String,
    /// Who attests that it was dealt with.
    pub attested: Option<String>,
}

/// A finding and its decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FindingLine {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// What people decided.
    pub decision: Option<Decision>,
}

/// What people decided of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// `benign`, `confirmed` or `unknown`.
    pub verdict: String,
    /// Why.
    pub note: String,
    /// Who.
    pub operator: String,
}

/// A scan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScanLine {
    /// Its name.
    pub name: String,
    /// Findings.
    pub findings: u64,
    /// The highest level.
    pub highest: Option<Level>,
    /// Whether everything that was asked for was read.
    pub complete: bool,
    /// What it covered.
    pub coverage: serde_json::Map<String, serde_json::Value>,
}

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// Who.
    pub approver: String,
    /// With which key.
    pub key: String,
    /// The file.
    pub path: String,
}

/// The gate's last decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Whether it opened.
    pub opened: bool,
    /// Every check.
    pub checks: Vec<GateCheck>,
}

/// Enhanced monitoring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Monitoring {
    /// Due until then; absent before the resume.
    pub due_until: Option<Timestamp>,
    /// Watched stretches.
    pub watched: Vec<(Timestamp, Timestamp)>,
    /// Stretches since the resume that nobody watched.
    pub unwatched: Vec<(Timestamp, Timestamp)>,
    /// What was not watched within the watched ones.
    pub gaps: Vec<String>,
}

/// Head of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Entries.
    pub entries: u64,
    /// RFC 6962 root over them.
    pub root: Digest,
    /// The machine's verifier key.
    pub machine_key: String,
}
