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
    /// What must hold of columns after a restore.
    #[serde(default)]
    pub invariants: Vec<Invariant>,
    /// Files and folders below the deployment that `backup config` seals.
    #[serde(default = "default_config")]
    pub config: Vec<String>,
    /// Folder of `initdb` and `postgres` for scratch clusters; absent: found on this machine.
    #[serde(default)]
    pub postgres_bin: Option<String>,
    /// Folder below which scratch copies are made; absent: the machine's folder for temporary files.
    #[serde(default)]
    pub scratch: Option<String>,
    /// Most that a backup may decompress to, in gigabytes.
    #[serde(default = "default_max_gb")]
    pub max_gb: u64,
    /// Services stopped before the restore and started after it.
    #[serde(default)]
    pub services: Vec<String>,
}

/// What must hold of a column. Bounds are decimal text, cast to the column's own type.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invariant {
    /// For people.
    pub name: String,
    /// Table, as the catalog writes it.
    pub table: String,
    /// Column.
    pub column: String,
    /// No value is below this.
    #[serde(default)]
    pub at_least: Option<String>,
    /// No value is above this.
    #[serde(default)]
    pub at_most: Option<String>,
    /// No value is missing.
    #[serde(default)]
    pub not_null: bool,
    /// Its sum is that of another column.
    #[serde(default)]
    pub sum_equals: Option<ColumnRef>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnRef {
    /// Table.
    pub table: String,
    /// Column.
    pub column: String,
}

fn default_config() -> Vec<String> {
    vec![".env".into()]
}

fn default_max_gb() -> u64 {
    500
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
