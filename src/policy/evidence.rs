//! `policies/evidence.yml`: what is captured beyond the credentials and the database. The file may be missing.

use serde::Deserialize;

/// Name of the file.
pub const FILE: &str = "evidence.yml";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidencePolicy {
    /// Schema version: 1.
    pub version: u32,
    /// Log files whose digests are taken when a lockdown begins, so that a later change is seen.
    #[serde(default)]
    pub logs: Vec<String>,
}

impl Default for EvidencePolicy {
    fn default() -> Self {
        Self { version: 1, logs: Vec::new() }
    }
}
