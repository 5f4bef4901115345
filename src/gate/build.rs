use std::collections::BTreeMap;

use serde_json::Map;

use super::statement::{
    Credential, Decided, Exception, Findings, Incident, LedgerHead, PREDICATE_TYPE, Pause, PauseProof, Predicate,
    ROOT_DIGEST, Recovery, RecoveryStep, Requirement, STATEMENT_TYPE, Scan, Statement, Subject, made_exact,
};
use crate::domain::{CredentialId, Digest, Finding, Level, Phase, Timestamp};
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
}

/// What a record is made of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The state that the ledger says.
    pub state: &'a IncidentState,
    /// Root over its entries.
    pub root: Digest,
    /// The policies in force.
    pub policies: &'a Policies,
    /// All findings of the case.
    pub findings: &'a [Finding],
    /// When the record is made.
    pub issued: Timestamp,
}

/// Makes the record. The same facts always give the same record, so that the gate can make it again and compare.
pub fn build(facts: &Facts<'_>) -> Result<Statement, BuildError> {
    let Facts { state, root, policies, issued, .. } = *facts;
    let (Some(incident), Some(opened), Some(newest)) = (&state.incident, state.opened, state.newest) else {
        return Err(BuildError::Empty);
    };
    let minutes = i64::try_from(policies.resume.record_valid_minutes).map_err(|_| BuildError::Validity)?;
    let valid = minutes.checked_mul(60).filter(|seconds| *seconds > 0).ok_or(BuildError::Validity)?;
    let expires = issued.checked_add(jiff::SignedDuration::from_secs(valid)).map_err(|_| BuildError::Validity)?;
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
        quorum: Requirement { threshold: policies.resume.threshold, roles: policies.resume.roles_required.clone() },
        operators: state.operators.clone(),
        compromised: state.compromised.clone(),
        pause: pause(state),
        credentials: credentials(state, policies),
        scans: scans(state),
        findings: findings(state, facts.findings),
        recovery: recovery(state),
        attested: state.attested.clone(),
        steps: state.steps.len() as u64,
        exceptions: exceptions(state),
    };
    Ok(Statement {
        kind: STATEMENT_TYPE.into(),
        subject: vec![Subject { name: origin(incident), digest: BTreeMap::from([(ROOT_DIGEST.into(), root)]) }],
        predicate_type: PREDICATE_TYPE.into(),
        predicate,
    })
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
    }
}

fn credentials(state: &IncidentState, policies: &Policies) -> BTreeMap<CredentialId, Credential> {
    let policy = &policies.credentials.credentials;
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
