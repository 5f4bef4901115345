//! The audit record: made, exported, approved.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::findings::{self, FINDINGS};
use super::{Journal, JournalError};
use crate::domain::{Digest, Finding, Timestamp};
use crate::gate::{
    ApprovalError, Approved, BuildError, Conflicts, Facts, POLICIES, Purpose, RECORD, RecordError, Roster, RosterError,
    SshSignature, Statement, allowed_signers, build, dsse,
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

/// Who makes a record, and what it is to waive.
#[derive(Debug, Clone, Copy)]
pub struct Preparing<'a> {
    /// Who makes it: they can't approve it, if policy says so.
    pub operator: &'a str,
    /// Break-glass: why, and which checks of the gate.
    pub waive: Option<(&'a str, &'a [String])>,
}

/// Makes the audit record over the whole ledger, binds it, and exports what other tools need to check it.
/// Approvals of an earlier record count no more.
pub fn prepare(
    journal: &Journal,
    policies: &Policies,
    machine: &dyn MachineKey,
    now: Timestamp,
    by: &Preparing<'_>,
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
    let issued = state.newest.map_or(now, |newest| now.max(newest));
    let statement = journal.with_tree(|tree| {
        let (executor, waive) = (Some(by.operator), by.waive);
        build(&Facts { state: &state, tree, policies, findings: &findings, issued, executor, waive })
    })?;
    let head = &statement.predicate.ledger;
    let (size, root) = (head.size, head.root);
    let bytes = statement.encode()?;
    // What is signed must be readable at the gate.
    Statement::parse(&bytes)?;
    let file = journal.write_file(RECORD, &bytes)?;
    let operator = Some(by.operator.to_owned());
    journal.record(Event::AuditPrepared { file, tree_size: size, root, operator })?;
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

/// What became of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Who signed, with which key.
    pub by: Approved,
    /// What for.
    pub purpose: Purpose,
}

/// Verifies one signature file against the current record and the roster of now, keeps it as `approvals/<name>.sig` (or
/// `refusals/<name>.sig`) and records it. Only somebody who may approve in this incident is recorded; everybody on the roster
/// may refuse.
pub fn approve(
    journal: &Journal,
    policies: &Policies,
    named: &str,
    file: &[u8],
    now: Timestamp,
) -> Result<Signed, AuditError> {
    let state = journal.state();
    if state.resumed.is_some() {
        return Err(AuditError::Resumed);
    }
    let record = current_record(journal)?;
    let approval = Statement::parse(&record)?.purpose();
    // What it was made for stands in the signature itself; an approval must be of the record's kind.
    let said = SshSignature::parse_any(file).map_err(ApprovalError::from)?.purpose();
    let purpose = if said == Purpose::Refuse { said } else { approval };
    let approved = Roster::new(&policies.resume)?.verify(&record, file, purpose, now)?;
    if approved.name != named {
        return Err(AuditError::OtherPerson { named: named.to_owned(), signer: approved.name });
    }
    if purpose != Purpose::Refuse {
        let (operators, compromised) = (&state.operators, &state.compromised);
        let conflicts = Conflicts { operators, compromised, credentials: &policies.credentials };
        conflicts.check(&policies.resume, &approved.name)?;
    }
    keep(journal, &approved, purpose, &record, file)?;
    Ok(Signed { by: approved, purpose })
}

fn keep(journal: &Journal, by: &Approved, purpose: Purpose, record: &[u8], file: &[u8]) -> Result<(), AuditError> {
    let state = journal.state();
    let (folder, known) = match purpose {
        Purpose::Refuse => ("refusals", &state.refusals),
        Purpose::Resume | Purpose::BreakGlass => ("approvals", &state.approvals),
    };
    let path = format!("{folder}/{}.sig", by.name);
    if known.iter().any(|known| known.path == path && known.sha256 == Digest::of(file)) {
        return Ok(());
    }
    let file = journal.write_file(&path, file)?;
    let (approver, key, record) = (by.name.clone(), by.key.clone(), Digest::of(record));
    journal.record(match purpose {
        Purpose::Refuse => Event::RefusalRecorded { approver, key, record, file },
        Purpose::Resume | Purpose::BreakGlass => Event::ApprovalRecorded { approver, key, record, file },
    })?;
    journal.checkpoint()?;
    Ok(())
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

/// A policy as it was when the incident was opened.
pub(super) fn opened_copy<T: DeserializeOwned>(
    store: &dyn CaseStore,
    opened: &BTreeMap<String, Digest>,
    name: &str,
) -> Result<T, String> {
    let bytes = store.read(&format!("{POLICIES}/{name}")).map_err(|fault| fault.chain())?;
    let bytes = bytes.filter(|bytes| opened.get(name) == Some(&Digest::of(bytes)));
    let bytes = bytes.ok_or_else(|| format!("the copy of {name} that the ledger names is not in the case folder"))?;
    crate::policy::parse(name, &String::from_utf8_lossy(&bytes)).map_err(|error| error.to_string())
}

/// Writes again what other tools need to check the current record: the DSSE envelope and the roster.
pub fn export_again(journal: &Journal, machine: &dyn MachineKey) -> Result<Statement, AuditError> {
    let record = current_record(journal)?;
    let statement = Statement::parse(&record)?;
    let policy = roster_policy(journal.store().as_ref(), &statement).map_err(AuditError::Changed)?;
    export(journal, &Roster::new(&policy)?, machine, &record)?;
    Ok(statement)
}
