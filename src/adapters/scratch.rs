//! Folders of scratch copies: readable by their owner alone, gone with their last user, and those of runs that were killed removed by the next
//! run. A scratch copy holds the whole trading database, so none may outlive its run for long.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use tempfile::TempDir;

use crate::ports::{Fault, FaultKind};

const PREFIX: &str = "portcullis-scratch-";
/// Held locked as long as the folder is used.
const LOCK: &str = "in-use";

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct ScratchFolder {
    folder: TempDir,
    _lock: File,
}

impl ScratchFolder {
    /// Makes one (mode 0700) below `base`, the machine's folder for temporary files if absent, after removing what killed runs left there.
    pub(crate) fn make(base: Option<&Path>) -> Result<Self, Fault> {
        let temporary = std::env::temp_dir();
        let base = base.unwrap_or(&temporary);
        sweep(base);
        Self::made(base).map_err(|error| Fault::with(FaultKind::Unavailable, "failed to make a scratch folder", error))
    }

    fn made(base: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix(PREFIX).permissions(Permissions::from_mode(0o700)).tempdir_in(base)?;
        // Locked before it has its name: no other run can find it unlocked.
        let (early, lock) = (folder.path().join(".in-use"), folder.path().join(LOCK));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&early)?;
        file.try_lock()?;
        fs::rename(early, lock)?;
        Ok(Self { folder, _lock: file })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes folders whose run is dead, as far as they are ours: what can't be removed is left to its owner. A server that still runs in one ends
/// by itself when it finds its lock file gone.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_dead(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_dead(folder: &Path) -> bool {
    let lock = folder.join(LOCK);
    let ours = |file: &fs::Metadata| file.is_file() && file.uid() == rustix::process::geteuid().as_raw();
    if !fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir()) {
        return false;
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(lock);
    file.is_ok_and(|file| file.metadata().is_ok_and(|found| ours(&found)) && file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_can_read_it_and_it_goes_with_its_user() {
        let base = tempfile::tempdir().unwrap();
        let folder = ScratchFolder::make(Some(base.path())).unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(folder.path().join("scratch.db"), "rows").unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_is_used_stays() {
        let base = tempfile::tempdir().unwrap();
        let used = ScratchFolder::make(Some(base.path())).unwrap();
        let dead = base.path().join("portcullis-scratch-dead");
        fs::create_dir_all(dead.join("data")).unwrap();
        fs::write(dead.join("data/scratch.db"), "rows").unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        // Being made, of another name, and no folder.
        let kept = ["portcullis-scratch-new", "another-scratch-dead"];
        for name in kept {
            fs::create_dir(base.path().join(name)).unwrap();
        }
        fs::write(base.path().join(kept[1]).join(LOCK), "").unwrap();
        std::os::unix::fs::symlink(base.path().join(kept[1]), base.path().join("portcullis-scratch-link")).unwrap();
        let second = ScratchFolder::make(Some(base.path())).unwrap();
        assert!(!dead.exists());
        assert!(used.path().join(LOCK).exists() && second.path().join(LOCK).exists());
        assert!(kept.iter().all(|name| base.path().join(name).exists()));
        assert!(base.path().join("portcullis-scratch-link").symlink_metadata().is_ok());
    }
}
