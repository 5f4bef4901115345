//! `policies/resume.yml`: who may let trading in again.

use serde::Deserialize;

use crate::domain::{Level, Timestamp};

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
    /// By whom, and after what delay, trading may resume although checks refuse. Absent: by nobody.
    #[serde(default)]
    pub break_glass: Option<BreakGlassPolicy>,
    /// Where checkpoints of the ledger are copied to.
    #[serde(default)]
    pub witnesses: Vec<WitnessPolicy>,
}

/// A resume although some checks refuse: more people, and not at once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlassPolicy {
    /// Distinct people who must approve: more than for a resume.
    pub threshold: u32,
    /// How many of them must hold each role, beside those of a resume.
    #[serde(default)]
    pub roles_required: std::collections::BTreeMap<String, u32>,
    /// Minutes between the record and the opening of the gate, at least 1: time to object.
    pub delay_minutes: u64,
}

/// A place outside the case folder that holds copies of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum WitnessPolicy {
    /// A folder, perhaps of another host.
    Directory {
        /// Its name.
        name: String,
        /// The folder; relative to the deployment's.
        path: String,
    },
    /// A bucket of S3, best with Object Lock and in another account.
    S3 {
        /// Its name.
        name: String,
        /// The bucket.
        bucket: String,
        /// What keys begin with.
        #[serde(default)]
        prefix: String,
        /// Days for which no copy can be changed or deleted (Object Lock). Absent: what the bucket does by default.
        #[serde(default)]
        retain_days: Option<u32>,
        /// Whether somebody with a special right may still delete a copy before.
        #[serde(default)]
        retain_mode: RetainMode,
    },
    /// A C2SP tlog-witness, which signs only what continues what it saw.
    C2sp {
        /// Its name.
        name: String,
        /// Submission prefix: `add-checkpoint` is below it.
        url: String,
        /// Its verifier key (C2SP signed-note, of a cosignature).
        key: String,
    },
}

impl WitnessPolicy {
    /// Its name, as in the gate's check `witness.NAME`.
    pub fn name(&self) -> &str {
        match self {
            Self::Directory { name, .. } | Self::S3 { name, .. } | Self::C2sp { name, .. } => name,
        }
    }
}

/// Modes of Object Lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetainMode {
    /// Nobody may, the account's root neither.
    #[default]
    Compliance,
    /// Whoever holds `s3:BypassGovernanceRetention` may.
    Governance,
}

impl RetainMode {
    /// As S3 writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compliance => "COMPLIANCE",
            Self::Governance => "GOVERNANCE",
        }
    }
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
    /// Approvals count from then on.
    #[serde(default)]
    pub valid_from: Option<Timestamp>,
    /// From then on they count no more.
    #[serde(default)]
    pub valid_until: Option<Timestamp>,
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
