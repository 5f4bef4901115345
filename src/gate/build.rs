use std::collections::{BTreeMap, BTreeSet};

use serde_json::Map;

use super::statement::{
    BreakGlass, Credential, Decided, Exception, Findings, Incident, Interruption, LedgerHead, PREDICATE_TYPE, Pause,
    PauseProof, Predicate, ROOT_DIGEST, Recovery, RecoveryStep, Refused, Requirement, STATEMENT_TYPE, Scan, Statement,
    Subject, made_exact,
};
use super::{Purpose, Roster, risks};
use crate::domain::{CredentialId, Digest, Finding, Level, Phase, Timestamp};
use crate::ledger::merkle::Tree;
use crate::ledger::{IncidentState, origin};
use crate::policy::Policies;
use crate::policy::credentials::CredentialPolicy;

/// Why no record can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The ledger has no first entry.
    #[error("the ledger has no first entry")]
    Empty,
    /// The validity leads beyond the end of time.
    #[error("resume.yml: record_valid_minutes is out of range")]
    Validity,
    /// Policy does not allow what the record would waive.
    #[error("checks can't be waived: {0}")]
    BreakGlass(String),
}

/// What a record is made of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The state that the ledger says.
    pub state: &'a IncidentState,
    /// The tree over the entries: the first [`IncidentState::entries`] of it are covered.
    pub tree: &'a Tree,
    /// The policies in force.
    pub policies: &'a Policies,
    /// All findings of the case.
    pub findings: &'a [Finding],
    /// When the record is made.
    pub issued: Timestamp,
    /// Who makes it.
    pub executor: Option<&'a str>,
    /// Why checks are to be waived, and which.
    pub waive: Option<(&'a str, &'a [String])>,
}

/// Makes the record. The same facts always give the same record, so that the gate can make it again and compare.
pub fn build(facts: &Facts<'_>) -> Result<Statement, BuildError> {
    let Facts { state, tree, policies, issued, .. } = *facts;
    let (Some(incident), Some(opened), Some(newest)) = (&state.incident, state.opened, state.newest) else {
        return Err(BuildError::Empty);
    };
    let root = tree.root_at(state.entries).ok_or(BuildError::Empty)?;
    let (quorum, break_glass) = terms(facts)?;
    let from = break_glass.as_ref().map_or(issued, |glass| glass.not_before);
    let expires = later(from, policies.resume.record_valid_minutes)?;
    let predicate = Predicate {
        incident: Incident {
            id: incident.clone(),
            opened,
            reason: state.reason.clone(),
            operator: state.operator.clone(),
            nonce: state.nonce.clone(),
        },
        issued,
        expires,
        ledger: LedgerHead { size: state.entries, root, newest, machine_key: state.machine_key.clone() },
        policies: policies.digests(),
        policies_changed: changed(&state.policies, &policies.digests()),
        quorum,
        operators: state.operators.clone(),
        compromised: state.compromised.clone(),
        pause: pause(state),
        credentials: credentials(facts),
        scans: scans(state),
        findings: findings(state, facts.findings),
        recovery: recovery(state),
        attested: state.attested.clone(),
        checklist: state.checklist.clone(),
        steps: state.steps.len() as u64,
        exceptions: exceptions(state),
        executor: facts.executor.map(String::from),
        refused: refused(state),
        residual_risks: risks::residual(facts),
        break_glass,
    };
    let mut statement = Statement {
        kind: STATEMENT_TYPE.into(),
        subject: vec![Subject { name: origin(incident), digest: BTreeMap::from([(ROOT_DIGEST.into(), root)]) }],
        predicate_type: PREDICATE_TYPE.into(),
        predicate,
    };
    statement.predicate_type = statement.own_type().into();
    Ok(statement)
}

/// Who must approve, and what is waived from when on.
fn terms(facts: &Facts<'_>) -> Result<(Requirement, Option<BreakGlass>), BuildError> {
    let policy = &facts.policies.resume;
    let Some((reason, checks)) = facts.waive else {
        return Ok((Requirement { threshold: policy.threshold, roles: policy.roles_required.clone() }, None));
    };
    let refused = |why: String| BuildError::BreakGlass(why);
    let roster = Roster::new(policy).map_err(|error| refused(error.to_string()))?;
    let required = roster.required(Purpose::BreakGlass).map_err(|error| refused(error.to_string()))?;
    let glass = policy.break_glass.as_ref().ok_or_else(|| refused("resume.yml declares no break_glass".into()))?;
    if reason.trim().is_empty() || checks.is_empty() {
        return Err(refused("a reason and at least one check are needed".into()));
    }
    if let Some(fixed) = checks.iter().find(|check| !may_be_waived(check)) {
        return Err(refused(format!("`{fixed}` must always pass")));
    }
    let not_before = later(facts.issued, glass.delay_minutes)?;
    let waived = checks.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
    let requirement = Requirement { threshold: required.threshold, roles: required.roles };
    Ok((requirement, Some(BreakGlass { reason: reason.to_owned(), waived, not_before })))
}

/// Whether a quorum may decide to do without that check. What says whether the record and the quorum are genuine is never
/// waived.
pub(super) fn may_be_waived(check: &str) -> bool {
    let one = matches!(
        check,
        "pause" | "switches" | "steps" | "restore" | "findings" | "persistence" | "attestations" | "database"
    );
    one || ["credential.", "scan.", "witness."]
        .iter()
        .any(|kind| check.strip_prefix(kind).is_some_and(|rest| !rest.is_empty()))
}

fn later(moment: Timestamp, minutes: u64) -> Result<Timestamp, BuildError> {
    let seconds =
        i64::try_from(minutes).ok().and_then(|minutes| minutes.checked_mul(60)).filter(|seconds| *seconds > 0);
    let seconds = seconds.ok_or(BuildError::Validity)?;
    moment.checked_add(jiff::SignedDuration::from_secs(seconds)).map_err(|_| BuildError::Validity)
}

fn refused(state: &IncidentState) -> Vec<Refused> {
    let refused = state.refused.iter().map(|(entry, refusal)| Refused {
        approver: refusal.approver.clone(),
        record: refusal.record,
        entry: *entry,
    });
    refused.collect()
}

/// Names of what is not the same in both.
pub(super) fn changed(old: &BTreeMap<String, Digest>, new: &BTreeMap<String, Digest>) -> Vec<String> {
    let mut names: Vec<String> =
        old.keys().chain(new.keys()).filter(|name| old.get(*name) != new.get(*name)).cloned().collect();
    names.sort();
    names.dedup();
    names
}

fn pause(state: &IncidentState) -> Pause {
    let proofs = state.pause.history.iter().map(|(entry, refused)| PauseProof { entry: *entry, refused: *refused });
    Pause {
        proven: state.pause.proven,
        since: state.pause.since,
        pause_ms: state.pause.pause_ms,
        detail: state.pause.detail.clone(),
        proofs: proofs.collect(),
        interruptions: state
            .pause
            .interruptions
            .iter()
            .map(|(entry, what)| Interruption { entry: *entry, what: what.clone() })
            .collect(),
    }
}

fn credentials(facts: &Facts<'_>) -> BTreeMap<CredentialId, Credential> {
    let Facts { state, tree, .. } = *facts;
    let policy = &facts.policies.credentials.credentials;
    let leaf = |entry: Option<u64>| entry.and_then(|entry| tree.leaf(entry)).copied();
    let ids = policy.iter().map(|credential| &credential.id).chain(state.credentials.keys()).chain(&state.compromised);
    ids.map(|id| {
        let known = state.credentials.get(id).cloned().unwrap_or_default();
        let kind = |credential: &CredentialPolicy| credential.issuer.kind();
        let credential = Credential {
            issuer: policy.iter().find(|credential| credential.id == *id).map_or("gone", kind).into(),
            generation: known.generation,
            old: known.old,
            new: known.new,
            new_accepted: known.new_accepted,
            old_refused: known.old_refused,
            strength: known.strength,
            entry: known.proof_seq,
            detail: known.detail,
            rotation_leaf: leaf(known.staged_seq),
            proof_leaf: leaf(known.proof_seq),
        };
        (id.clone(), credential)
    })
    .collect()
}

fn scans(state: &IncidentState) -> BTreeMap<String, Scan> {
    let scan = |(name, scan): (&String, &crate::ledger::ScanState)| {
        let coverage: Map<_, _> = scan.coverage.iter().map(|(key, value)| (key.clone(), made_exact(value))).collect();
        let scan =
            Scan { entry: scan.seq, findings: scan.findings, highest: scan.highest, complete: scan.complete, coverage };
        (name.clone(), scan)
    };
    state.scans.iter().map(scan).collect()
}

/// Whether nobody decided what a finding is.
pub(super) fn is_open(state: &IncidentState, id: &str) -> bool {
    state.dispositions.get(id).is_none_or(|disposition| disposition.verdict == "unknown")
}

fn findings(state: &IncidentState, all: &[Finding]) -> Findings {
    let mut findings =
        Findings { sha256: state.files.get("findings.jsonl").map(|file| file.sha256), ..Findings::default() };
    for finding in all {
        *findings.levels.entry(finding.rule.level).or_default() += 1;
        if is_open(state, &finding.id) {
            *findings.open.entry(finding.rule.level).or_default() += 1;
        }
    }
    let by_id: BTreeMap<&str, &Finding> = all.iter().map(|finding| (finding.id.as_str(), finding)).collect();
    for (id, disposition) in &state.dispositions {
        let finding = by_id.get(id.as_str());
        let decided = Decided {
            level: finding.map(|finding| finding.rule.level),
            rule: finding.map(|finding| finding.rule.title.clone()),
            verdict: disposition.verdict.clone(),
            note: disposition.note.clone(),
            operator: disposition.operator.clone(),
        };
        findings.decided.insert(id.clone(), decided);
    }
    findings
}

fn recovery(state: &IncidentState) -> Recovery {
    let mut steps: Vec<RecoveryStep> = state
        .steps
        .iter()
        .filter(|(_, step)| step.phase == Phase::Recover)
        .map(|(id, step)| RecoveryStep {
            step: id.clone(),
            entry: step.seq,
            outcome: step.outcome,
            detail: step.detail.clone(),
        })
        .collect();
    steps.sort_by_key(|step| step.entry);
    Recovery { backup: state.backup.clone(), first_malicious: state.first_malicious, steps }
}

fn exceptions(state: &IncidentState) -> Vec<Exception> {
    let mut exceptions: Vec<Exception> = state
        .steps
        .iter()
        .filter(|(_, step)| !step.outcome.is_some_and(crate::domain::Outcome::is_success))
        .map(|(id, step)| Exception {
            step: id.clone(),
            phase: step.phase,
            target: step.target.clone(),
            entry: step.seq,
            outcome: step.outcome,
            detail: step.detail.clone(),
            attested: state.attested.get(id.as_str()).cloned(),
        })
        .collect();
    exceptions.sort_by_key(|exception| exception.entry);
    exceptions
}

/// Findings at or above a level that nobody decided on.
pub(super) fn open_findings<'a>(state: &IncidentState, all: &'a [Finding], from: Level) -> Vec<&'a Finding> {
    all.iter().filter(|finding| finding.rule.level >= from && is_open(state, &finding.id)).collect()
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
