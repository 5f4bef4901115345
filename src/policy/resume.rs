//! `policies/resume.yml`: who may let trading in again.

use serde::Deserialize;

use crate::domain::Level;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumePolicy {
    /// Schema version: 1.
    pub version: u32,
    /// Distinct people who must approve, at least 1.
    pub threshold: u32,
    /// How many of them must hold each role, for instance `{security: 1}`.
    #[serde(default)]
    pub roles_required: std::collections::BTreeMap<String, u32>,
    /// The roster.
    pub approvers: Vec<ApproverPolicy>,
    /// Whether people who acted in the incident may approve (default no).
    #[serde(default)]
    pub operators_may_approve: bool,
    /// Whether the owner of a compromised credential may approve (default no).
    #[serde(default)]
    pub owners_of_compromised_may_approve: bool,
    /// Minutes for which an audit record is valid.
    #[serde(default = "default_validity")]
    pub record_valid_minutes: u64,
    /// Undisposed findings at or above this level block the resume.
    #[serde(default = "default_block_level")]
    pub findings_block_from: Level,
    /// Scans without which the gate stays shut.
    #[serde(default = "default_scans")]
    pub required_scans: Vec<String>,
    /// Checklist items that a person must attest before the gate opens.
    #[serde(default)]
    pub required_attestations: Vec<String>,
    /// Hours of enhanced monitoring after the resume.
    #[serde(default = "default_monitoring")]
    pub monitoring_hours: u64,
}

/// One approver.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproverPolicy {
    /// Name of the person; also the file name of the approval.
    pub name: String,
    /// Roles held.
    #[serde(default)]
    pub roles: Vec<String>,
    /// OpenSSH public keys (`ssh-ed25519 AAAA...`, `ecdsa-sha2-nistp256`, `sk-ssh-ed25519@openssh.com`, `sk-ecdsa-sha2-nistp256@openssh.com`).
    pub keys: Vec<String>,
    /// Not valid any more.
    #[serde(default)]
    pub revoked: bool,
    /// Hardware keys must have verified the user (PIN or fingerprint), not only presence.
    #[serde(default)]
    pub require_user_verification: bool,
}

fn default_validity() -> u64 {
    240
}

fn default_block_level() -> Level {
    Level::High
}

fn default_scans() -> Vec<String> {
    vec!["logs".into(), "trades".into(), "secrets".into(), "database".into()]
}

fn default_monitoring() -> u64 {
    24
}
