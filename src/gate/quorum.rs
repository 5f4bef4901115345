use std::collections::{BTreeMap, BTreeSet};

use super::sshsig::{SignatureError, SshSignature};
use super::{KeyError, PublicKey};
use crate::domain::CredentialId;
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

/// Why a roster can't decide anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// Nobody would have to approve.
    #[error("resume.yml: threshold is 0; at least one person must approve")]
    NoThreshold,
    /// Nobody could approve.
    #[error("resume.yml: no approver is listed")]
    Empty,
    /// It can never be reached.
    #[error("resume.yml: threshold is {threshold}, but only {people} people can approve")]
    TooHigh {
        /// Threshold.
        threshold: u32,
        /// People that are not revoked.
        people: usize,
    },
    /// It can never be reached.
    #[error("resume.yml: {needed} people of role `{role}` are required, but only {people} can approve")]
    Role {
        /// The role.
        role: String,
        /// Required.
        needed: u32,
        /// People of that role that are not revoked.
        people: usize,
    },
    /// A name that is no file name.
    #[error("resume.yml: approver `{0}` is not a name of 1 to 64 letters, digits or . _ - @")]
    Name(String),
    /// Two people with one name.
    #[error("resume.yml: approver `{0}` is listed twice")]
    Twice(String),
    /// A key that can't approve.
    #[error("resume.yml: key {number} of approver `{name}` can't be used")]
    Key {
        /// The approver.
        name: String,
        /// Which key, from 1.
        number: usize,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// One key for two people would let one person approve twice.
    #[error("resume.yml: `{first}` and `{second}` have the same key {fingerprint}")]
    SharedKey {
        /// One of them.
        first: String,
        /// The other.
        second: String,
        /// The key.
        fingerprint: String,
    },
}

/// Why one approval does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// The signature is not good.
    #[error("the signature is refused")]
    Signature(#[from] SignatureError),
    /// Nobody on the roster has that key.
    #[error("the key {0} belongs to nobody on the roster")]
    Stranger(String),
    /// Not valid any more.
    #[error("{0} is revoked")]
    Revoked(String),
    /// Acted in the incident.
    #[error("{0} acted in this incident, and policy lets nobody approve their own work")]
    Operator(String),
    /// Has a compromised credential.
    #[error("{0} owns the compromised credential `{1}`")]
    Owner(String, CredentialId),
}

/// The people who can approve, checked.
#[derive(Debug)]
pub struct Roster<'a> {
    policy: &'a ResumePolicy,
    // Index into the policy's approvers by key.
    keys: Vec<(PublicKey, usize)>,
}

/// An approval that is a good signature by somebody on the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// Name in `resume.yml`.
    pub name: String,
    /// Fingerprint of the key.
    pub key: String,
}

impl<'a> Roster<'a> {
    /// Checks the policy: what can't decide safely decides nothing.
    pub fn new(policy: &'a ResumePolicy) -> Result<Self, RosterError> {
        if policy.threshold == 0 {
            return Err(RosterError::NoThreshold);
        }
        if policy.approvers.is_empty() {
            return Err(RosterError::Empty);
        }
        let mut names = BTreeSet::new();
        let mut keys: Vec<(PublicKey, usize)> = Vec::new();
        for (index, approver) in policy.approvers.iter().enumerate() {
            let name = &approver.name;
            if !is_name(name) {
                return Err(RosterError::Name(name.escape_debug().take(64).collect()));
            }
            if !names.insert(name.to_ascii_lowercase()) {
                return Err(RosterError::Twice(name.clone()));
            }
            for (number, line) in (1..).zip(&approver.keys) {
                let key =
                    PublicKey::parse(line).map_err(|source| RosterError::Key { name: name.clone(), number, source })?;
                let same = |known: &&(PublicKey, usize)| known.1 != index && known.0.kind == key.kind;
                if let Some((_, other)) = keys.iter().find(same) {
                    return Err(RosterError::SharedKey {
                        first: policy.approvers[*other].name.clone(),
                        second: name.clone(),
                        fingerprint: key.fingerprint(),
                    });
                }
                keys.push((key, index));
            }
        }
        let roster = Self { policy, keys };
        roster.check_reachable()?;
        Ok(roster)
    }

    fn check_reachable(&self) -> Result<(), RosterError> {
        let able = |role: Option<&String>| {
            self.policy
                .approvers
                .iter()
                .filter(|person| !person.revoked && !person.keys.is_empty())
                .filter(|person| role.is_none_or(|role| person.roles.contains(role)))
                .count()
        };
        let people = able(None);
        if people < self.policy.threshold as usize {
            return Err(RosterError::TooHigh { threshold: self.policy.threshold, people });
        }
        for (role, needed) in &self.policy.roles_required {
            let people = able(Some(role));
            if people < *needed as usize {
                return Err(RosterError::Role { role: role.clone(), needed: *needed, people });
            }
        }
        Ok(())
    }

    /// Whether the file is a signature over exactly these bytes by somebody on the roster who is not revoked.
    pub fn verify(&self, record: &[u8], file: &[u8]) -> Result<Approved, ApprovalError> {
        let signature = SshSignature::parse(file)?;
        let fingerprint = signature.key().fingerprint();
        let Some((_, index)) = self.keys.iter().find(|(key, _)| key == signature.key()) else {
            return Err(ApprovalError::Stranger(fingerprint));
        };
        let person = &self.policy.approvers[*index];
        if person.revoked {
            return Err(ApprovalError::Revoked(person.name.clone()));
        }
        signature.verify(record, person.require_user_verification)?;
        Ok(Approved { name: person.name.clone(), key: fingerprint })
    }

    /// Keys with the names of their owners, revoked ones left out.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &PublicKey)> {
        self.keys
            .iter()
            .map(|(key, index)| (&self.policy.approvers[*index], key))
            .filter(|(person, _)| !person.revoked)
            .map(|(person, key)| (person.name.as_str(), key))
    }
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
            credential.owner.as_ref().is_some_and(|owner| owner.eq_ignore_ascii_case(name))
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
pub fn count(
    policy: &ResumePolicy,
    conflicts: &Conflicts<'_>,
    record: &[u8],
    files: &[SignatureFile],
) -> Result<Quorum, RosterError> {
    let roster = Roster::new(policy)?;
    let mut quorum = Quorum::default();
    if files.len() > MAX_APPROVALS {
        quorum.missing.push(format!("{} signature files: more than {MAX_APPROVALS} are not looked at", files.len()));
        return Ok(quorum);
    }
    for file in files {
        let counted = roster
            .verify(record, &file.bytes)
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
    if people < policy.threshold as usize {
        quorum.missing.push(format!("{people} of {} people approved", policy.threshold));
    }
    for (role, needed) in &policy.roles_required {
        let holders = quorum.people.values().filter(|roles| roles.contains(role)).count();
        if holders < *needed as usize {
            quorum.missing.push(format!("{holders} of {needed} people of role `{role}` approved"));
        }
    }
    Ok(quorum)
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

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@'))
}

#[cfg(test)]
#[path = "quorum_tests.rs"]
mod tests;
