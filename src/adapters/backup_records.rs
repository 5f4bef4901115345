//! `backups.jsonl` in this program's own folder: what it saw of backups.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::ports::{BackupRecords, Fault, FaultKind};

/// Most that is read of it, in bytes.
const MOST: u64 = 64 << 20;

/// The file, made when first written.
pub struct BackupRecordFile {
    path: PathBuf,
}

impl BackupRecordFile {
    /// In that folder.
    pub fn new(home: &Path) -> Self {
        Self { path: home.join("backups.jsonl") }
    }
}

impl BackupRecords for BackupRecordFile {
    fn append(&self, line: &[u8]) -> Result<(), Fault> {
        let failed = |error: io::Error| {
            Fault::with(FaultKind::Unavailable, format!("failed to write {}", self.path.display()), error)
        };
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
        file.and_then(|mut file| {
            file.write_all(line)?;
            file.sync_all()
        })
        .map_err(failed)
    }

    fn read(&self) -> Result<Vec<u8>, Fault> {
        let failed =
            |error: io::Error| Fault::with(FaultKind::Denied, format!("failed to read {}", self.path.display()), error);
        match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
            Ok(found) if found.len() > MOST => {
                Err(Fault::new(FaultKind::Corrupt, format!("{} is longer than 64 MiB", self.path.display())))
            }
            Ok(_) => std::fs::read(&self.path).map_err(failed),
        }
    }
}
