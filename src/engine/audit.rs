//! The audit record: made, exported, approved.

use serde::de::DeserializeOwned;

use super::findings::{self, FINDINGS};
use super::{Journal, JournalError};
use crate::domain::{Digest, Finding, Timestamp};
use crate::gate::{
    ApprovalError, Approved, BuildError, Conflicts, Facts, POLICIES, RECORD, RecordError, Roster, RosterError,
    Statement, allowed_signers, build, dsse,
};
use crate::ledger::{Event, FileBinding};
use crate::policy::Policies;
use crate::policy::credentials::CredentialsPolicy;
use crate::policy::resume::ResumePolicy;
use crate::ports::{CaseStore, Fault, MachineKey};

/// Path of the DSSE envelope below the case folder.
pub const ENVELOPE: &str = "audit-record.dsse.json";

/// Path of the roster, as `ssh-keygen` reads it, below the case folder.
pub const ALLOWED_SIGNERS: &str = "allowed_signers";

/// Folder below the case folder with copies of policies that were changed or added between opening and record.
pub const LATER_POLICIES: &str = "policies-at-record";

/// Why a record can't be made or approved.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The ledger or the case folder.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The case folder.
    #[error("failed to use the case folder")]
    Store(#[from] Fault),
    /// Trading was resumed: there is nothing left to decide.
    #[error("trading was resumed already")]
    Resumed,
    /// A file is not the one that the ledger names.
    #[error("`{0}` is not the file that the ledger names")]
    Changed(String),
    /// The roster can decide nothing.
    #[error("the roster can decide nothing")]
    Roster(#[from] RosterError),
    /// The record can't be made.
    #[error("the record can't be made")]
    Build(#[from] BuildError),
    /// The record can't be written or read.
    #[error("the record can't be used")]
    Record(#[from] RecordError),
    /// There is no record.
    #[error("there is no audit record")]
    NoRecord,
    /// The signature does not count.
    #[error("the approval does not count")]
    Approval(#[from] ApprovalError),
    /// The signature is by somebody else.
    #[error("the signature is by `{signer}`, not by `{named}`")]
    OtherPerson {
        /// Who was named.
        named: String,
        /// Who signed.
        signer: String,
    },
}

/// Makes the audit record over the whole ledger, binds it, and exports what other tools need to check it.
/// Approvals of an earlier record count no more.
pub fn prepare(
    journal: &Journal,
    policies: &Policies,
    machine: &dyn MachineKey,
    now: Timestamp,
) -> Result<Statement, AuditError> {
    let state = journal.state();
    if state.resumed.is_some() {
        return Err(AuditError::Resumed);
    }
    let roster = Roster::new(&policies.resume)?;
    let (findings, _) = bound_findings(journal.store().as_ref(), state.files.get(FINDINGS))?;
    for (name, digest) in policies.digests() {
        if state.policies.get(&name) != Some(&digest) {
            let text = policies.texts.get(&name).map(String::as_bytes).unwrap_or_default();
            journal.store().write(&format!("{LATER_POLICIES}/{name}"), text)?;
        }
    }
    let (size, root) = journal.head();
    let issued = state.newest.map_or(now, |newest| now.max(newest));
    let facts = Facts { state: &state, root, policies, findings: &findings, issued };
    let statement = build(&facts)?;
    let bytes = statement.encode()?;
    // What is signed must be readable at the gate.
    Statement::parse(&bytes)?;
    let file = journal.write_file(RECORD, &bytes)?;
    journal.record(Event::AuditPrepared { file, tree_size: size, root })?;
    journal.checkpoint()?;
    export(journal, &roster, machine, &bytes)?;
    Ok(statement)
}

fn export(journal: &Journal, roster: &Roster<'_>, machine: &dyn MachineKey, record: &[u8]) -> Result<(), AuditError> {
    let envelope = dsse::envelope(record, &machine.public(), &machine.sign(&dsse::pae(record)));
    journal.store().write(ENVELOPE, &envelope)?;
    journal.store().write(ALLOWED_SIGNERS, allowed_signers(roster).as_bytes())?;
    Ok(())
}

/// The current record's bytes, if they are the ones that the ledger names.
pub fn current_record(journal: &Journal) -> Result<Vec<u8>, AuditError> {
    let Some((digest, ..)) = journal.state().record else { return Err(AuditError::NoRecord) };
    let bytes = journal.store().read(RECORD)?.ok_or(AuditError::NoRecord)?;
    if Digest::of(&bytes) == digest { Ok(bytes) } else { Err(AuditError::Changed(RECORD.into())) }
}

/// Verifies one signature file against the current record and the roster of now, keeps it as `approvals/<name>.sig`
/// and records it. Only somebody who may approve in this incident is recorded.
pub fn approve(journal: &Journal, policies: &Policies, named: &str, file: &[u8]) -> Result<Approved, AuditError> {
    let state = journal.state();
    if state.resumed.is_some() {
        return Err(AuditError::Resumed);
    }
    let record = current_record(journal)?;
    let approved = Roster::new(&policies.resume)?.verify(&record, file)?;
    if approved.name != named {
        return Err(AuditError::OtherPerson { named: named.to_owned(), signer: approved.name });
    }
    let conflicts =
        Conflicts { operators: &state.operators, compromised: &state.compromised, credentials: &policies.credentials };
    conflicts.check(&policies.resume, &approved.name)?;
    let path = format!("approvals/{}.sig", approved.name);
    if state.approvals.iter().any(|known| known.path == path && known.sha256 == Digest::of(file)) {
        return Ok(approved);
    }
    let file = journal.write_file(&path, file)?;
    journal.record(Event::ApprovalRecorded {
        approver: approved.name.clone(),
        key: approved.key.clone(),
        record: Digest::of(&record),
        file,
    })?;
    journal.checkpoint()?;
    Ok(approved)
}

/// All findings of the case with the digest of the bytes that they were read from; an error if these are not the bound ones.
pub fn bound_findings(
    store: &dyn CaseStore,
    binding: Option<&FileBinding>,
) -> Result<(Vec<Finding>, Option<Digest>), AuditError> {
    let Some(binding) = binding else { return Ok((Vec::new(), None)) };
    let bytes = store.read(FINDINGS)?.unwrap_or_default();
    let digest = Digest::of(&bytes);
    if digest != binding.sha256 {
        return Err(AuditError::Changed(FINDINGS.into()));
    }
    Ok((findings::read(&bytes)?, Some(digest)))
}

/// The roster of the record: the copy of `resume.yml` that was in force when it was made.
pub fn roster_policy(store: &dyn CaseStore, statement: &Statement) -> Result<ResumePolicy, String> {
    policy_copy(store, statement, "resume.yml")
}

/// The credentials of the record: the copy of `credentials.yml` that was in force when it was made.
pub fn credentials_policy(store: &dyn CaseStore, statement: &Statement) -> Result<CredentialsPolicy, String> {
    policy_copy(store, statement, "credentials.yml")
}

fn policy_copy<T: DeserializeOwned>(store: &dyn CaseStore, statement: &Statement, name: &str) -> Result<T, String> {
    let digest = statement.predicate.policies.get(name).ok_or_else(|| format!("the record names no {name}"))?;
    for folder in [POLICIES, LATER_POLICIES] {
        let bytes = store.read(&format!("{folder}/{name}")).map_err(|fault| fault.chain())?;
        if let Some(bytes) = bytes.filter(|bytes| Digest::of(bytes) == *digest) {
            return crate::policy::parse(name, &String::from_utf8_lossy(&bytes)).map_err(|error| error.to_string());
        }
    }
    Err(format!("the copy of {name} that the record names is not in the case folder"))
}

/// Writes again what other tools need to check the current record: the DSSE envelope and the roster.
pub fn export_again(journal: &Journal, machine: &dyn MachineKey) -> Result<Statement, AuditError> {
    let record = current_record(journal)?;
    let statement = Statement::parse(&record)?;
    let policy = roster_policy(journal.store().as_ref(), &statement).map_err(AuditError::Changed)?;
    export(journal, &Roster::new(&policy)?, machine, &record)?;
    Ok(statement)
}
