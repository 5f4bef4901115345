use std::collections::{BTreeMap, BTreeSet};

use super::sshsig::{Purpose, SignatureError, SshSignature};
use super::{KeyError, PublicKey};
use crate::domain::{CredentialId, Timestamp};
use crate::policy::resume::{ApproverPolicy, ResumePolicy};

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
    /// Policy knows no break-glass.
    #[error("resume.yml declares no break_glass, so that no check can be waived")]
    NoBreakGlass,
    /// Break-glass would be easier than a resume.
    #[error("resume.yml: break_glass needs more people than a resume ({threshold})")]
    EasyBreakGlass {
        /// People that a resume needs.
        threshold: u32,
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
    /// Not valid yet.
    #[error("{0} is an approver only from {1}")]
    NotYet(String, Timestamp),
    /// Not valid any more.
    #[error("{0} is an approver no more since {1}")]
    Expired(String, Timestamp),
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
        roster.required(Purpose::Resume)?;
        Ok(roster)
    }

    /// Whether a requirement can be met at all by those who are not revoked.
    fn check_reachable(&self, required: &Required) -> Result<(), RosterError> {
        let able = |role: Option<&String>| {
            self.policy
                .approvers
                .iter()
                .filter(|person| !person.revoked && !person.keys.is_empty())
                .filter(|person| role.is_none_or(|role| person.roles.contains(role)))
                .count()
        };
        let people = able(None);
        if people < required.threshold as usize {
            return Err(RosterError::TooHigh { threshold: required.threshold, people });
        }
        for (role, needed) in &required.roles {
            let people = able(Some(role));
            if people < *needed as usize {
                return Err(RosterError::Role { role: role.clone(), needed: *needed, people });
            }
        }
        Ok(())
    }

    /// How many people must sign for that purpose, and of which roles. One refusal is enough.
    pub fn required(&self, purpose: Purpose) -> Result<Required, RosterError> {
        let policy = self.policy;
        let resume = Required { threshold: policy.threshold, roles: policy.roles_required.clone() };
        let required = match purpose {
            Purpose::Resume => resume,
            Purpose::Refuse => Required { threshold: 1, roles: BTreeMap::new() },
            Purpose::BreakGlass => {
                let glass = policy.break_glass.as_ref().ok_or(RosterError::NoBreakGlass)?;
                if glass.threshold <= policy.threshold {
                    return Err(RosterError::EasyBreakGlass { threshold: policy.threshold });
                }
                let mut roles = resume.roles;
                for (role, needed) in &glass.roles_required {
                    let known = roles.entry(role.clone()).or_default();
                    *known = (*known).max(*needed);
                }
                Required { threshold: glass.threshold, roles }
            }
        };
        self.check_reachable(&required)?;
        Ok(required)
    }

    /// Whether the file is a signature for that purpose over exactly these bytes by somebody on the roster who is valid at
    /// that moment.
    pub fn verify(
        &self,
        record: &[u8],
        file: &[u8],
        purpose: Purpose,
        at: Timestamp,
    ) -> Result<Approved, ApprovalError> {
        let signature = SshSignature::parse(file, purpose)?;
        let fingerprint = signature.key().fingerprint();
        let Some((_, index)) = self.keys.iter().find(|(key, _)| key == signature.key()) else {
            return Err(ApprovalError::Stranger(fingerprint));
        };
        let person = &self.policy.approvers[*index];
        if person.revoked {
            return Err(ApprovalError::Revoked(person.name.clone()));
        }
        if let Some(from) = person.valid_from.filter(|from| at < *from) {
            return Err(ApprovalError::NotYet(person.name.clone(), from));
        }
        if let Some(until) = person.valid_until.filter(|until| at >= *until) {
            return Err(ApprovalError::Expired(person.name.clone(), until));
        }
        signature.verify(record, person.require_user_verification)?;
        Ok(Approved { name: person.name.clone(), key: fingerprint })
    }

    /// Keys with their owners, revoked ones left out.
    pub fn keys(&self) -> impl Iterator<Item = (&ApproverPolicy, &PublicKey)> {
        self.keys.iter().map(|(key, index)| (&self.policy.approvers[*index], key)).filter(|(person, _)| !person.revoked)
    }
}

/// How many people must sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Required {
    /// Distinct people.
    pub threshold: u32,
    /// How many of them must hold each role.
    pub roles: BTreeMap<String, u32>,
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@'))
}
