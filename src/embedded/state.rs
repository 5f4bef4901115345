//! State of the stand-ins as JSON files, so that processes which run one after the other, or at once, see the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ports::{Fault, FaultKind};

/// One state file.
pub(super) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    pub fn new(root: &Path, name: &str) -> Self {
        Self { path: root.join("embedded").join(name) }
    }

    /// What the file holds; `None` if there is none.
    pub fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, Fault> {
        match std::fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| {
                // The parser's words may repeat what the file holds.
                Fault::new(FaultKind::Corrupt, format!("{} can't be understood", self.path.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault("read", &self.path, error)),
        }
    }

    /// Reads, changes and replaces the file while nobody else can.
    pub fn update<T: DeserializeOwned + Serialize + Default, R>(
        &self,
        change: impl FnOnce(&mut T) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let lock_path = self.path.with_extension("lock");
        let lock = private(&lock_path).map_err(|error| fault("open", &lock_path, error))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| fault("lock", &lock_path, error.into()))?;
        let mut value: T = self.read()?.unwrap_or_default();
        let result = change(&mut value)?;
        let bytes = serde_json::to_vec_pretty(&value)
            .map_err(|_| Fault::new(FaultKind::Invalid, format!("{} can't be written", self.path.display())))?;
        replace(&self.path, &bytes)?;
        Ok(result)
    }
}

/// Opens for writing, made with mode 0600.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Replaces a file as a whole, mode 0600.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let temporary = path.with_extension("new");
    let written = private(&temporary).and_then(|mut file| {
        file.set_len(0)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    });
    written.map_err(|error| fault("write", path, error))
}

/// The fault of a failed use of a file.
pub(super) fn fault(verb: &str, path: &Path, error: io::Error) -> Fault {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => FaultKind::NotFound,
        io::ErrorKind::PermissionDenied => FaultKind::Denied,
        _ => FaultKind::Unavailable,
    };
    Fault::with(kind, format!("failed to {verb} {}", path.display()), error)
}
