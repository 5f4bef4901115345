//! A file whose existence means "paused".

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::durable;
use crate::domain::SwitchState;
use crate::ports::{Fault, FaultKind, PauseSwitch};

/// The switch.
#[derive(Debug, Clone)]
pub struct FileSwitch {
    name: String,
    path: PathBuf,
}

impl FileSwitch {
    /// The switch of that name with that file.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), path: path.into() }
    }

    fn failed(&self, error: std::io::Error) -> Fault {
        Fault::with(FaultKind::Unavailable, format!("failed to use {}", self.path.display()), error)
    }

    fn sync_folder(&self) -> std::io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        durable::sync_folder(File::open(folder)?.as_fd(), folder)
    }
}

#[async_trait]
impl PauseSwitch for FileSwitch {
    fn name(&self) -> &str {
        &self.name
    }

    fn describe(&self) -> String {
        format!("file {}", self.path.display())
    }

    async fn observe(&self) -> Result<SwitchState, Fault> {
        match fs::symlink_metadata(&self.path) {
            Ok(_) => Ok(SwitchState::Engaged),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(SwitchState::Released),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn engage(&self) -> Result<String, Fault> {
        match File::create_new(&self.path) {
            Ok(mut file) => {
                durable::made(&self.path);
                let written = durable::write(&mut file, &self.path, b"paused by portcullis\n")
                    .and_then(|()| durable::sync(&file, &self.path));
                written.and_then(|()| self.sync_folder()).map_err(|error| self.failed(error))?;
                Ok(format!("{} made", self.path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                // Whoever made it may have died before it was synced.
                self.sync_folder().map_err(|error| self.failed(error))?;
                Ok(format!("{} was there", self.path.display()))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn release(&self) -> Result<String, Fault> {
        match fs::remove_file(&self.path) {
            Ok(()) => {
                durable::removed(&self.path);
                self.sync_folder().map_err(|error| self.failed(error))?;
                Ok(format!("{} removed", self.path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(format!("{} was gone", self.path.display()))
            }
            Err(error) => Err(self.failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn engaging_and_releasing_twice_is_the_same_as_once() {
        let folder = tempfile::tempdir().unwrap();
        let switch = FileSwitch::new("flag", folder.path().join("PAUSED"));
        assert_eq!(switch.observe().await.unwrap(), SwitchState::Released);
        for _ in 0..2 {
            switch.engage().await.unwrap();
            assert_eq!(switch.observe().await.unwrap(), SwitchState::Engaged);
        }
        for _ in 0..2 {
            switch.release().await.unwrap();
            assert_eq!(switch.observe().await.unwrap(), SwitchState::Released);
        }
        let nowhere = FileSwitch::new("flag", folder.path().join("no/such/PAUSED"));
        assert!(nowhere.engage().await.is_err());
    }
}
