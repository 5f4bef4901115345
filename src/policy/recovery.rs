//! `policies/recovery.yml`: backups, restore, validation, objectives.

use serde::Deserialize;

use crate::domain::Level;

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
    /// Where the backups lie: folders and `s3://BUCKET/PREFIX`. One or a list of them; a new one is made in the first.
    #[serde(default = "default_directory", deserialize_with = "one_or_many")]
    pub directory: Vec<String>,
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
    /// Folder below which scratch copies are made and backups from S3 are fetched; absent: the machine's folder for temporary files, and
    /// this program's own.
    #[serde(default)]
    pub scratch: Option<String>,
    /// Most that a backup may decompress to, in gigabytes.
    #[serde(default = "default_max_gb")]
    pub max_gb: u64,
    /// From which level on an indicator of `indicators/` in a backup's text keeps it from being clean.
    #[serde(default)]
    pub indicators: IndicatorLimit,
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

/// From which level on something speaks against a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndicatorLimit {
    /// From this level on.
    From(Level),
    /// Never: it is shown, and no more.
    Never,
}

impl Default for IndicatorLimit {
    fn default() -> Self {
        Self::From(Level::High)
    }
}

impl IndicatorLimit {
    /// Whether an indicator of that level speaks against a backup.
    pub fn refuses(self, level: Level) -> bool {
        matches!(self, Self::From(limit) if level >= limit)
    }
}

impl<'de> Deserialize<'de> for IndicatorLimit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "never" {
            return Ok(Self::Never);
        }
        let level = text.parse().map_err(|reason| serde::de::Error::custom(format!("{reason}, or `never`")))?;
        Ok(Self::From(level))
    }
}

/// A text, or a list of texts.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a folder or s3://BUCKET/PREFIX, or a list of these")]
    enum Given {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Given::deserialize(deserializer)? {
        Given::One(one) => vec![one],
        Given::Many(many) => many,
    })
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

fn default_directory() -> Vec<String> {
    vec!["backups".into()]
}

fn default_pattern() -> String {
    "db_backup_*.sql.gz".into()
}

fn default_margin() -> u64 {
    5
}
