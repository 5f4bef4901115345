use serde::{Deserialize, Serialize};

use super::{Digest, Timestamp};

/// A backup: a file, a folder in `pg_dump`'s directory format, or an object in S3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Path, or `s3://` address.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// When the dump was started, by its name or its own text; never the file's mtime alone.
    pub started: Option<Timestamp>,
    /// Digest of the file, once it was read.
    pub sha256: Option<Digest>,
}

/// One check made on a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupCheck {
    /// Name, for instance `readable`, `whole`, `digest`, `before-breach`, `indicators`, `persistence`.
    pub check: String,
    /// Whether it passed.
    pub passed: bool,
    /// What was seen.
    pub reason: String,
    /// Worth a look, but no reason to refuse the backup.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub advisory: bool,
}

impl BackupCheck {
    /// A check's result: what was seen, or why it does not pass.
    pub fn of(name: &str, result: Result<String, String>) -> Self {
        let passed = result.is_ok();
        Self { check: name.to_owned(), passed, reason: result.unwrap_or_else(|reason| reason), advisory: false }
    }

    /// A check that never refuses a backup by itself.
    pub fn advice(name: &str, result: Result<String, String>) -> Self {
        Self { advisory: true, ..Self::of(name, result) }
    }

    /// Whether it is a reason to refuse the backup.
    pub fn refuses(&self) -> bool {
        !self.passed && !self.advisory
    }
}

/// A backup with every check that was made on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupVerdict {
    /// The backup.
    pub backup: Backup,
    /// Every check, passed or not.
    pub checks: Vec<BackupCheck>,
}

impl BackupVerdict {
    /// Whether no check refuses it, and there was at least one.
    pub fn usable(&self) -> bool {
        !self.checks.is_empty() && !self.checks.iter().any(BackupCheck::refuses)
    }
}
