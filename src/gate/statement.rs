//! The audit record: an in-toto Statement (version 1) with our own predicate. Its bytes are what approvers sign.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Purpose;
use crate::domain::{
    ChecklistItem, CredentialId, Digest, Fingerprint, IncidentId, Level, Outcome, Phase, StepId, Timestamp,
};

/// `_type` of an in-toto Statement, version 1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// Our predicate.
pub const PREDICATE_TYPE: &str = "https://portcullis.dev/resume/v1";

/// The predicate of a record that waives checks: another type, so that neither passes for the other.
pub const BREAK_GLASS_TYPE: &str = "https://portcullis.dev/resume-break-glass/v1";

/// Longest record that is written or read, in bytes.
pub const MAX_RECORD_BYTES: usize = 8 << 20;

/// Integers from here on are not exact in every JSON reader (RFC 8259, section 6).
const MAX_INTEGER: u64 = 1 << 53;

/// Why bytes are not an audit record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Longer than [`MAX_RECORD_BYTES`].
    #[error("the record is longer than {MAX_RECORD_BYTES} bytes")]
    TooLong,
    /// Not JSON of the documented form.
    #[error("the record is not of the documented form at line {line}, column {column}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The parser's words.
        #[source]
        source: serde_json::Error,
    },
    /// Another type of statement.
    #[error("the record is a `{0}`, not a `{PREDICATE_TYPE}`")]
    Type(String),
    /// The same record can be written in another way.
    #[error("the record is written in another way than this program writes it")]
    Spelling,
    /// A number that not every reader understands alike.
    #[error("the record holds a number that is not an integer below 2^53")]
    Number,
}

/// The whole record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// The ledger, by its root.
    pub subject: Vec<Subject>,
    /// [`PREDICATE_TYPE`].
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What is said of it.
    pub predicate: Predicate,
}

/// What the statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Origin of the ledger: `portcullis/<incident>`.
    pub name: String,
    /// Digest by its name; ours is `rfc6962-sha256`, the Merkle root over the entries.
    pub digest: BTreeMap<String, Digest>,
}

/// What approvers sign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predicate {
    /// The incident.
    pub incident: Incident,
    /// When the record was made.
    pub issued: Timestamp,
    /// From then on it is not valid.
    pub expires: Timestamp,
    /// The part of the ledger that it covers.
    pub ledger: LedgerHead,
    /// Digest of every policy file in force when it was made.
    pub policies: BTreeMap<String, Digest>,
    /// Policy files that were added, changed or removed since the incident was opened.
    pub policies_changed: Vec<String>,
    /// How many people must approve, and of which roles.
    pub quorum: Requirement,
    /// Everybody who acted.
    pub operators: Vec<String>,
    /// Credentials named as compromised.
    pub compromised: Vec<CredentialId>,
    /// The pause.
    pub pause: Pause,
    /// Every credential of the policy and of the ledger.
    pub credentials: BTreeMap<CredentialId, Credential>,
    /// The last result of every scan.
    pub scans: BTreeMap<String, Scan>,
    /// Findings and what people decided of them.
    pub findings: Findings,
    /// Backup and restore.
    pub recovery: Recovery,
    /// Items and manual steps that people attest, with who did.
    pub attested: BTreeMap<String, String>,
    /// The post-recovery checklist, as it was when it was last gone through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checklist: Vec<ChecklistItem>,
    /// Number of steps in the ledger.
    pub steps: u64,
    /// Every step that did not end well: nothing is left out of the record in silence.
    pub exceptions: Vec<Exception>,
    /// Who made the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// Every signed refusal of an earlier record of this incident.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// What may still go wrong although every check passes, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residual_risks: Vec<String>,
    /// Checks that this record waives; only in a record of [`BREAK_GLASS_TYPE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
}

/// A refusal of an earlier record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Who refused.
    pub approver: String,
    /// Digest of the record that was refused.
    pub record: Digest,
    /// Its entry.
    pub entry: u64,
}

/// The wish to resume although checks refuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// Why.
    pub reason: String,
    /// Checks of the gate that need not pass.
    pub waived: Vec<String>,
    /// The gate stays shut until then.
    pub not_before: Timestamp,
}

/// The incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// When it was opened.
    pub opened: Timestamp,
    /// Why.
    pub reason: String,
    /// Who opened it.
    pub operator: String,
    /// Random; no two incidents share it.
    pub nonce: String,
}

/// Head of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerHead {
    /// Entries covered.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Digest,
    /// Time of the newest of them.
    pub newest: Timestamp,
    /// Verifier key of the machine.
    pub machine_key: String,
}

/// What policy asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Distinct people.
    pub threshold: u32,
    /// By role.
    pub roles: BTreeMap<String, u32>,
}

/// The pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Proven by a refused trade, and nothing released since.
    pub proven: bool,
    /// When it was first proven.
    pub since: Option<Timestamp>,
    /// Milliseconds that took.
    pub pause_ms: Option<u64>,
    /// Words of the last proof.
    pub detail: String,
    /// Every proof.
    pub proofs: Vec<PauseProof>,
    /// Everything that may have ended the pause after it was first proven. Empty: it was never off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interruptions: Vec<Interruption>,
}

/// Something that may have ended the pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interruption {
    /// Its entry.
    pub entry: u64,
    /// What it was.
    pub what: String,
}

/// One proof of the pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseProof {
    /// Its entry.
    pub entry: u64,
    /// Whether the trade was refused.
    pub refused: bool,
}

/// A credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Who honours it: `postgres_role`, `api_key_table`, `self_made`, `manual`; `gone` if policy names it no more.
    pub issuer: String,
    /// Rotations in this incident.
    pub generation: u32,
    /// Fingerprint of the value before the last rotation.
    pub old: Option<Fingerprint>,
    /// Fingerprint of the value now.
    pub new: Option<Fingerprint>,
    /// New value proven accepted.
    pub new_accepted: bool,
    /// Old value proven refused.
    pub old_refused: bool,
    /// `server`, `store` or `attested`; empty without a proof.
    pub strength: String,
    /// Entry of the proof.
    pub entry: Option<u64>,
    /// Words of the proof.
    pub detail: String,
    /// Leaf hash of the entry that staged the rotation, so that an inclusion proof can be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_leaf: Option<Digest>,
    /// Leaf hash of the entry of the proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_leaf: Option<Digest>,
}

/// A scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// Its entry.
    pub entry: u64,
    /// Findings.
    pub findings: u64,
    /// The highest level.
    pub highest: Option<Level>,
    /// Whether everything asked for was read.
    pub complete: bool,
    /// Its summary: what was read, skipped, unreadable or uncovered. Numbers that are no integers below 2^53 are text.
    pub coverage: Map<String, Value>,
}

/// All findings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// Digest of `findings.jsonl`; absent if nothing was scanned.
    pub sha256: Option<Digest>,
    /// Number by level.
    pub levels: BTreeMap<Level, u64>,
    /// Number by level of those that nobody decided on, or that were left `unknown`.
    pub open: BTreeMap<Level, u64>,
    /// Every decision, by finding.
    pub decided: BTreeMap<String, Decided>,
}

/// What a person decided of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// Level; absent if the finding is not in `findings.jsonl`.
    pub level: Option<Level>,
    /// Title of its rule.
    pub rule: Option<String>,
    /// `benign`, `confirmed` or `unknown`.
    pub verdict: String,
    /// Why.
    pub note: String,
    /// Who.
    pub operator: String,
}

/// Backup and restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// Backup chosen last.
    pub backup: Option<String>,
    /// Earliest malicious event seen.
    pub first_malicious: Option<Timestamp>,
    /// Steps of the recovery.
    pub steps: Vec<RecoveryStep>,
}

/// A step of the recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryStep {
    /// The step.
    pub step: StepId,
    /// Its last entry.
    pub entry: u64,
    /// How it ended; absent while it is in flight.
    pub outcome: Option<Outcome>,
    /// What was seen.
    pub detail: String,
}

/// A step that did not end well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The step.
    pub step: StepId,
    /// Its phase.
    pub phase: Phase,
    /// What it acts on.
    pub target: String,
    /// Its last entry.
    pub entry: u64,
    /// `failed`, `unknown`, `manual` or `skipped`; absent if it never ended.
    pub outcome: Option<Outcome>,
    /// What was seen.
    pub detail: String,
    /// Who attests that it was dealt with.
    pub attested: Option<String>,
}

impl Statement {
    /// The bytes that are written, signed and never written again: pretty JSON, so that people can read what they sign.
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let malformed =
            |source: serde_json::Error| RecordError::Malformed { line: source.line(), column: source.column(), source };
        let mut bytes = serde_json::to_vec_pretty(self).map_err(malformed)?;
        bytes.push(b'\n');
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(RecordError::TooLong);
        }
        Ok(bytes)
    }

    /// Reads a record, strictly: unknown and duplicate fields, other types, other spellings and inexact numbers are errors.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(RecordError::TooLong);
        }
        let statement: Self = serde_json::from_slice(bytes).map_err(|source| RecordError::Malformed {
            line: source.line(),
            column: source.column(),
            source,
        })?;
        if statement.kind != STATEMENT_TYPE || statement.predicate_type != statement.own_type() {
            let found = if statement.kind == STATEMENT_TYPE { &statement.predicate_type } else { &statement.kind };
            return Err(RecordError::Type(found.escape_debug().take(80).collect()));
        }
        if statement.encode()? != bytes {
            return Err(RecordError::Spelling);
        }
        let value =
            serde_json::to_value(&statement).map_err(|source| RecordError::Malformed { line: 0, column: 0, source })?;
        if !exact(&value) {
            return Err(RecordError::Number);
        }
        Ok(statement)
    }

    /// The predicate type that fits what the record says.
    pub(super) fn own_type(&self) -> &'static str {
        if self.predicate.break_glass.is_some() { BREAK_GLASS_TYPE } else { PREDICATE_TYPE }
    }

    /// What its approvals must be made for.
    pub fn purpose(&self) -> Purpose {
        if self.predicate.break_glass.is_some() { Purpose::BreakGlass } else { Purpose::Resume }
    }

    /// Digest of the root that the record is about, if it is about exactly one.
    pub fn root(&self) -> Option<&Digest> {
        match self.subject.as_slice() {
            [subject] if subject.digest.len() == 1 => subject.digest.get(ROOT_DIGEST),
            _ => None,
        }
    }
}

/// Name of the digest in the subject.
pub(super) const ROOT_DIGEST: &str = "rfc6962-sha256";

fn exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.as_u64().is_some_and(|n| n < MAX_INTEGER)
                || number.as_i64().is_some_and(|n| n.unsigned_abs() < MAX_INTEGER)
        }
        Value::Array(items) => items.iter().all(exact),
        Value::Object(fields) => fields.values().all(exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// The value with every number that is not exact everywhere turned into text.
pub(super) fn made_exact(value: &Value) -> Value {
    match value {
        Value::Number(number) if !exact(value) => Value::String(number.to_string()),
        Value::Array(items) => Value::Array(items.iter().map(made_exact).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), made_exact(value))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
#[path = "statement_tests.rs"]
mod tests;
