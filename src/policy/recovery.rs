//! `policies/recovery.yml`: backups, restore, validation, objectives.

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryPolicy {
    /// Schema version: 1.
    pub version: u32,
    /// Recovery time objective in minutes.
    #[serde(default = "default_rto")]
    pub rto_minutes: u64,
    /// Recovery point objective in minutes.
    #[serde(default = "default_rpo")]
    pub rpo_minutes: u64,
    /// Folder of the backups.
    #[serde(default = "default_directory")]
    pub directory: String,
    /// File name pattern; `*` stands for the time.
    #[serde(default = "default_pattern")]
    pub pattern: String,
    /// How long before the first malicious event a clean backup must have been started, in minutes.
    #[serde(default = "default_margin")]
    pub margin_minutes: u64,
    /// Existing restore command, run with the backup as `{file}`: `["./scripts/restore.sh", "{file}"]`.
    #[serde(default)]
    pub restore: Option<Vec<String>>,
    /// Existing validation command.
    #[serde(default)]
    pub validate: Option<Vec<String>>,
    /// Services stopped before the restore and started after it.
    #[serde(default)]
    pub services: Vec<String>,
}

fn default_rto() -> u64 {
    15
}

fn default_rpo() -> u64 {
    60
}

fn default_directory() -> String {
    "backups".into()
}

fn default_pattern() -> String {
    "db_backup_*.sql.gz".into()
}

fn default_margin() -> u64 {
    5
}
