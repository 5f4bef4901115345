use serde::{Deserialize, Serialize};

use super::{Digest, Timestamp};

/// A backup file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Path.
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
    /// Name, for instance `gzip`, `complete`, `age`, `before-breach`, `persistence`, `trades`.
    pub check: String,
    /// Whether it passed.
    pub passed: bool,
    /// What was seen.
    pub reason: String,
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
    /// Whether every check passed, and there was at least one.
    pub fn usable(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.passed)
    }
}
