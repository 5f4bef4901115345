use std::collections::BTreeMap;

use super::roster::{ApprovalError, Approved, Roster, RosterError};
use super::sshsig::Purpose;
use crate::domain::{CredentialId, Timestamp};
use crate::policy::credentials::CredentialsPolicy;
use crate::policy::resume::ResumePolicy;

/// Most signature files that are looked at: more are refused at once, before any is read.
pub const MAX_APPROVALS: usize = 256;

/// A signature file of the case folder, held in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureFile {
    /// Path below the case folder.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What is counted: signatures over some bytes, for a purpose, at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Ballot<'a> {
    /// The bytes of the record.
    pub record: &'a [u8],
    /// Signature files.
    pub files: &'a [SignatureFile],
    /// What they must have been made for.
    pub purpose: Purpose,
    /// The moment at which their signers must be valid.
    pub at: Timestamp,
}

/// Whose approval does not count in this incident, though they are on the roster.
#[derive(Debug, Clone, Copy)]
pub struct Conflicts<'a> {
    /// Everybody who acted.
    pub operators: &'a [String],
    /// Credentials named as compromised.
    pub compromised: &'a [CredentialId],
    /// Who owns which.
    pub credentials: &'a CredentialsPolicy,
}

impl Conflicts<'_> {
    /// Whether that person may approve here.
    pub fn check(&self, policy: &ResumePolicy, name: &str) -> Result<(), ApprovalError> {
        let is_operator = self.operators.iter().any(|operator| operator.trim().eq_ignore_ascii_case(name));
        if is_operator && !policy.operators_may_approve {
            return Err(ApprovalError::Operator(name.to_owned()));
        }
        let owned = self.credentials.credentials.iter().find(|credential| {
            credential.owner.as_ref().is_some_and(|owner| owner.trim().eq_ignore_ascii_case(name))
                && self.compromised.contains(&credential.id)
        });
        match owned {
            Some(credential) if !policy.owners_of_compromised_may_approve => {
                Err(ApprovalError::Owner(name.to_owned(), credential.id.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// What the signatures amount to. People count, not keys and not signatures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quorum {
    /// People whose approval counts, with the roles that policy gives them.
    pub people: BTreeMap<String, Vec<String>>,
    /// Files that don't count, with the reason.
    pub refused: Vec<(String, String)>,
    /// What is missing; empty if the quorum is met.
    pub missing: Vec<String>,
}

impl Quorum {
    /// Whether enough of the right people approved.
    pub fn is_met(&self) -> bool {
        self.missing.is_empty()
    }
}

/// Counts the people who approved these bytes.
pub fn count(policy: &ResumePolicy, conflicts: &Conflicts<'_>, ballot: &Ballot<'_>) -> Result<Quorum, RosterError> {
    let roster = Roster::new(policy)?;
    let required = roster.required(ballot.purpose)?;
    let files = ballot.files;
    let mut quorum = Quorum::default();
    if files.len() > MAX_APPROVALS {
        quorum.missing.push(format!("{} signature files: more than {MAX_APPROVALS} are not looked at", files.len()));
        return Ok(quorum);
    }
    for file in files {
        let counted = roster
            .verify(ballot.record, &file.bytes, ballot.purpose, ballot.at)
            .and_then(|approved| conflicts.check(policy, &approved.name).map(|()| approved));
        match counted {
            Ok(approved) => {
                let roles = policy.approvers.iter().find(|person| person.name == approved.name);
                let roles = roles.map(|person| person.roles.clone()).unwrap_or_default();
                quorum.people.insert(approved.name, roles);
            }
            Err(error) => quorum.refused.push((file.path.clone(), with_cause(&error))),
        }
    }
    let people = quorum.people.len();
    if people < required.threshold as usize {
        quorum.missing.push(format!("{people} of {} people approved", required.threshold));
    }
    for (role, needed) in &required.roles {
        let holders = quorum.people.values().filter(|roles| roles.contains(role)).count();
        if holders < *needed as usize {
            quorum.missing.push(format!("{holders} of {needed} people of role `{role}` approved"));
        }
    }
    Ok(quorum)
}

/// Who refuses these bytes. Whoever is on the roster and valid may, conflicts or not: a refusal does no harm that a resume
/// could do. At most [`MAX_APPROVALS`] files are looked at: whoever asks refuses if there are more.
pub fn refusers(roster: &Roster<'_>, ballot: &Ballot<'_>) -> Vec<Approved> {
    let refusal = |file: &SignatureFile| roster.verify(ballot.record, &file.bytes, Purpose::Refuse, ballot.at).ok();
    ballot.files.iter().take(MAX_APPROVALS).filter_map(refusal).collect()
}

/// An error with its causes, in one line.
pub fn with_cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
#[path = "quorum_tests.rs"]
mod tests;
