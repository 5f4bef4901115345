use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::build::{Facts, build};
use super::quorum::{SignatureFile, with_cause};
use super::statement::Statement;
use crate::domain::{Canary, CredentialId, Digest, Finding, Probe, SwitchState, Timestamp};
use crate::ledger::merkle::{Tree, verify_consistency};
use crate::ledger::{Entry, GateCheck, IncidentState, Verdict};
use crate::policy::Policies;

/// Path of the audit record below the case folder.
pub const RECORD: &str = "audit-record.json";

/// Folder below the case folder that holds copies of the policies.
pub const POLICIES: &str = "policies";

/// Name of the policy that holds the roster.
pub(super) const RESUME: &str = "resume.yml";

pub(super) const HINT_PREPARE: &str = "make one with: portcullis audit prepare";

/// Everything that the decision rests on, held in memory: nothing is read again between verifying and acting.
#[derive(Debug, Clone)]
pub struct GateInput {
    /// Now.
    pub now: Timestamp,
    /// Exact lines of the ledger, verified against its checkpoint.
    pub lines: Vec<Vec<u8>>,
    /// Bytes of the audit record.
    pub record: Option<Vec<u8>>,
    /// Whoever asks to resume; absent if the gate is only looked at.
    pub executor: Option<String>,
    /// Signature files that the ledger names.
    pub approvals: Vec<SignatureFile>,
    /// Refusals that the ledger names.
    pub refusals: Vec<SignatureFile>,
    /// Digest of every bound file as it is now; absent files are `None`.
    pub files: BTreeMap<String, Option<Digest>>,
    /// All findings, from the bytes whose digest is in `files`.
    pub findings: Vec<Finding>,
    /// Bytes of the copy of `resume.yml` that was made when the incident was opened.
    pub opened_resume: Option<Vec<u8>>,
    /// Bytes of the copy of `credentials.yml` that was made then.
    pub opened_credentials: Option<Vec<u8>>,
    /// The policies as they are now.
    pub policies: Arc<Policies>,
    /// The world as it is now.
    pub live: Live,
}

/// What was just asked of the world.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// A trade tried as the application; `None` without a guard, an error if it could not be tried.
    pub canary: Option<Result<Canary, String>>,
    /// Whether the database answers; `None` if none is configured.
    pub database: Option<Result<String, String>>,
    /// Credentials whose issuer was asked again.
    pub credentials: BTreeMap<CredentialId, LiveCredential>,
    /// What every switch but the guard was seen to be.
    pub switches: BTreeMap<String, Result<SwitchState, String>>,
    /// Copies of checkpoints that each witness holds.
    pub witnesses: BTreeMap<String, Result<Vec<Vec<u8>>, String>>,
}

/// A credential, asked again.
#[derive(Debug, Clone, Default)]
pub struct LiveCredential {
    /// The value before the rotation; `None` if it is not known.
    pub old: Option<Result<Probe, String>>,
    /// The value now; `None` if it is not known.
    pub new: Option<Result<Probe, String>>,
}

/// What was read of the input once, for all checks.
pub(super) struct Case<'a> {
    pub(super) input: &'a GateInput,
    pub(super) entries: Vec<Entry>,
    pub(super) state: IncidentState,
    pub(super) tree: Tree,
    statement: Result<Statement, String>,
    /// What the entries say that the record covers; none if it covers more than there are, or can't be read.
    covered: Option<IncidentState>,
    /// Entries at which the gate opened for this record, once they were looked for.
    pub(super) openings: OnceCell<Vec<u64>>,
}

/// The result of one check: what was seen, or why it refuses and what to do.
pub(super) type Ruling = Result<String, String>;

/// Decides whether trading may resume. Every check is made and returned, not only the first that refuses; the gate is
/// open only if [`is_open`] says so.
pub fn may_resume(input: &GateInput) -> Vec<GateCheck> {
    let case = match Case::read(input) {
        Ok(case) => case,
        Err(reason) => return vec![GateCheck::ruled("ledger", Err(reason))],
    };
    let mut checks = vec![
        GateCheck::ruled("ledger", Ok(format!("{} entries", case.entries.len()))),
        GateCheck::ruled("record", case.record()),
        GateCheck::ruled("incident", case.incident()),
        GateCheck::ruled("time", case.time()),
        GateCheck::ruled("prefix", case.prefix()),
        GateCheck::ruled("entries-after-record", case.later_entries()),
        GateCheck::ruled("content", case.content()),
        GateCheck::ruled("policies", case.policies()),
        GateCheck::ruled("files", case.files()),
        GateCheck::ruled("quorum", case.quorum()),
        GateCheck::ruled("refusals", case.refusals()),
    ];
    checks.extend(case.break_glass().map(|ruling| GateCheck::ruled("break-glass", ruling)));
    checks.push(GateCheck::ruled("pause", case.pause()));
    checks.push(GateCheck::ruled("switches", case.switches()));
    for id in case.credential_ids() {
        checks.push(GateCheck::ruled(&format!("credential.{id}"), case.credential(&id)));
    }
    checks.push(GateCheck::ruled("steps", case.steps()));
    checks.push(GateCheck::ruled("restore", case.restore()));
    for scan in &input.policies.resume.required_scans {
        checks.push(GateCheck::ruled(&format!("scan.{scan}"), case.scan(scan)));
    }
    checks.push(GateCheck::ruled("findings", case.findings()));
    checks.push(GateCheck::ruled("persistence", case.persistence()));
    checks.push(GateCheck::ruled("attestations", case.attestations()));
    checks.push(GateCheck::ruled("database", case.database()));
    if input.policies.monitoring.required_for_resume {
        checks.push(GateCheck::ruled("monitoring", case.monitoring()));
    }
    for witness in &input.policies.resume.witnesses {
        checks.push(GateCheck::ruled(&format!("witness.{}", witness.name()), case.witness(witness)));
    }
    case.waive(&mut checks);
    checks
}

/// Whether every check passed, and there was at least one.
pub fn is_open(checks: &[GateCheck]) -> bool {
    !checks.is_empty() && checks.iter().all(|check| check.verdict == Verdict::Pass)
}

/// Refuses with the reason unless the condition holds.
pub(super) fn ensure(holds: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason()) }
}

impl<'a> Case<'a> {
    fn read(input: &'a GateInput) -> Result<Self, String> {
        let mut entries = Vec::with_capacity(input.lines.len());
        let mut tree = Tree::new();
        for (number, line) in (1..).zip(&input.lines) {
            let entry = Entry::decode(line).map_err(|error| format!("line {number}: {}", with_cause(&error)))?;
            entries.push(entry);
            tree.push(line);
        }
        let state = IncidentState::replay(&entries).map_err(|error| error.to_string())?;
        ensure(state.incident.is_some(), || "the ledger has no entry".into())?;
        let statement = match (&input.record, &state.record) {
            (None, _) | (_, None) => Err(format!("there is no audit record; {HINT_PREPARE}")),
            (Some(bytes), _) => Statement::parse(bytes).map_err(|error| with_cause(&error)),
        };
        let covered = statement.as_ref().ok().and_then(|statement| {
            let size = usize::try_from(statement.predicate.ledger.size).ok()?;
            IncidentState::replay(entries.get(..size)?).ok()
        });
        Ok(Self { input, entries, state, tree, statement, covered, openings: OnceCell::new() })
    }

    /// The state that was signed.
    pub(super) fn covered(&self) -> Result<&IncidentState, String> {
        self.statement()?;
        self.covered.as_ref().ok_or_else(|| "the record covers more than the ledger has".into())
    }

    /// The entry that names the record: the first after those that it covers.
    pub(super) fn recorded(&self) -> Result<&Entry, String> {
        let size = self.statement()?.predicate.ledger.size;
        let entry = usize::try_from(size).ok().and_then(|size| self.entries.get(size));
        entry.ok_or_else(|| format!("no entry names the record; {HINT_PREPARE}"))
    }

    pub(super) fn statement(&self) -> Result<&Statement, String> {
        self.statement.as_ref().map_err(|_| "there is no record that can be read".into())
    }

    fn record(&self) -> Ruling {
        let statement = self.statement.as_ref().map_err(Clone::clone)?;
        let bytes = self.input.record.as_deref().unwrap_or_default();
        let Some((digest, size, root)) = &self.state.record else {
            return Err(format!("there is no audit record; {HINT_PREPARE}"));
        };
        ensure(Digest::of(bytes) == *digest, || {
            format!("{RECORD} is not the file that the ledger names; {HINT_PREPARE}")
        })?;
        let head = &statement.predicate.ledger;
        ensure(head.size == *size && head.root == *root && statement.root() == Some(root), || {
            format!("the record is about another state of the ledger; {HINT_PREPARE}")
        })?;
        Ok(format!("sha256 {digest}, over {size} entries"))
    }

    fn incident(&self) -> Ruling {
        let incident = &self.statement()?.predicate.incident;
        ensure(Some(&incident.id) == self.state.incident.as_ref(), || {
            format!("the record is of incident {}", incident.id)
        })?;
        ensure(incident.nonce == self.state.nonce, || "the record has another nonce than the ledger".into())?;
        ensure(self.state.resumed.is_none(), || "trading was resumed already".into())?;
        Ok(format!("{}, nonce {}", incident.id, incident.nonce))
    }

    fn time(&self) -> Ruling {
        let now = self.input.now;
        let newest = self.state.newest.unwrap_or(now);
        ensure(now >= newest, || {
            format!("the clock was set back: it is {now}, the newest entry is of {newest}; set the clock right")
        })?;
        let predicate = &self.statement()?.predicate;
        let issued = predicate.issued;
        ensure(now >= issued, || format!("the record is issued in the future ({issued})"))?;
        ensure(now < predicate.expires, || format!("the record expired at {}; {HINT_PREPARE}", predicate.expires))?;
        // A delay or a validity that begins earlier than it was asked for would be shorter than policy says.
        let recorded = self.recorded()?.time;
        ensure(issued >= predicate.ledger.newest && issued <= recorded, || {
            format!(
                "the record says that it was issued at {issued}, the ledger recorded it at {recorded}; {HINT_PREPARE}"
            )
        })?;
        Ok(format!("valid until {}", predicate.expires))
    }

    fn prefix(&self) -> Ruling {
        let head = &self.statement()?.predicate.ledger;
        let size = self.tree.size();
        let proof = self
            .tree
            .consistency(head.size, size)
            .ok_or_else(|| format!("the record covers {} entries, the ledger has {size}", head.size))?;
        verify_consistency((head.size, &head.root), (size, &self.tree.root()), &proof)
            .map_err(|error| format!("the ledger is not a continuation of what was signed: {error}"))?;
        Ok(format!("the first {} of {size} entries are the ones that were signed", head.size))
    }

    /// The record must say what the ledger says: it is made again from the entries that it covers, and compared.
    fn content(&self) -> Ruling {
        let statement = self.statement()?;
        let state = self.covered()?;
        let glass = statement.predicate.break_glass.as_ref();
        let facts = Facts {
            state,
            tree: &self.tree,
            policies: &self.input.policies,
            findings: &self.input.findings,
            issued: statement.predicate.issued,
            executor: statement.predicate.executor.as_deref(),
            waive: glass.map(|glass| (glass.reason.as_str(), glass.waived.as_slice())),
        };
        let again = build(&facts).map_err(|error| error.to_string())?;
        ensure(again == *statement, || {
            format!("the record does not say what ledger, findings and policies say; {HINT_PREPARE}")
        })?;
        Ok("the record says what the ledger says".into())
    }

    fn files(&self) -> Ruling {
        let mut bad = Vec::new();
        let policies = self.state.policies.iter().map(|(name, digest)| (format!("{POLICIES}/{name}"), *digest));
        let files = self.state.files.values().map(|file| (file.path.clone(), file.sha256));
        let mut count = 0;
        for (path, digest) in files.chain(policies) {
            count += 1;
            match self.input.files.get(&path).copied().flatten() {
                None => bad.push(format!("{path} is missing")),
                Some(found) if found != digest => bad.push(format!("{path} was changed")),
                Some(_) => {}
            }
        }
        ensure(bad.is_empty(), || bad.join(", "))?;
        Ok(format!("{count} files as they were bound"))
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
