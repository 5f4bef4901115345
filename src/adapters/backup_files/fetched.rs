//! Copies of backups from elsewhere, in a folder that only we can read: complete before they are used, the same at every reading.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::bucket::Buckets;
use crate::adapters::s3::{Listed, Place};
use crate::domain::DigestContext;
use crate::ports::{Fault, FaultKind, RestoreProgress};

/// What must stay free of the disk, in bytes.
const FREE: u64 = 256 << 20;
/// What is read at once.
const PIECE: usize = 256 << 10;
/// What a run that died left behind is kept for so long, to be gone on with.
const LEFT: Duration = Duration::from_hours(24);

/// The copies.
pub(super) struct Fetched {
    folder: PathBuf,
    /// Where the copy of an address lies.
    done: Mutex<BTreeMap<String, PathBuf>>,
}

impl Fetched {
    /// Below that folder, which is made when first needed.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, done: Mutex::default() }
    }

    /// The copy of a backup, if it was brought.
    pub(super) fn get(&self, address: &str) -> Option<PathBuf> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned()
    }

    /// Brings a backup of at most `max` bytes, going on with what was brought of it before.
    pub(super) fn bring(
        &self,
        buckets: &Buckets,
        address: &str,
        max: u64,
        progress: &RestoreProgress,
    ) -> Result<PathBuf, Fault> {
        let objects = buckets.objects(address)?;
        let size: u64 = objects.iter().map(|(.., listed)| listed.bytes).sum();
        if size > max {
            let message = format!("{address} has {size} bytes, more than max_gb of recovery.yml allows");
            return Err(Fault::new(FaultKind::Invalid, message));
        }
        // Another object under the same key has another tag: what was brought of the old one is no part of it.
        let mut tags = DigestContext::new();
        for (_, place, listed) in &objects {
            tags.update(format!("{place} {} ", listed.tag).as_bytes());
        }
        let copy = self.folder.join(tags.finish().to_string());
        let failed =
            |error: io::Error| Fault::with(FaultKind::Unavailable, format!("failed to fetch {address}"), error);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(failed)?;
        self.sweep(&copy);
        progress.phase(&format!("fetching {address}"));
        progress.begin(size);
        let whole = objects.iter().all(|(name, ..)| name.is_empty());
        if !whole {
            DirBuilder::new().recursive(true).mode(0o700).create(&copy).map_err(failed)?;
        }
        for (name, place, listed) in &objects {
            let path = if name.is_empty() { copy.clone() } else { copy.join(name) };
            self.object(buckets, (place, listed), &path, progress)?;
        }
        self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(address.to_owned(), copy.clone());
        Ok(copy)
    }

    fn object(
        &self,
        buckets: &Buckets,
        (place, listed): (&Place, &Listed),
        path: &Path,
        progress: &RestoreProgress,
    ) -> Result<(), Fault> {
        let failed = |error: io::Error| Fault::with(FaultKind::Unavailable, format!("failed to fetch {place}"), error);
        if fs::metadata(path).is_ok_and(|there| there.len() == listed.bytes) {
            progress.read(listed.bytes);
            return Ok(());
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".part");
        let partial = PathBuf::from(partial);
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&partial).map_err(failed)?;
        if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Fault::new(FaultKind::Conflict, format!("another run is fetching {place}")));
        }
        let there = file.seek(SeekFrom::End(0)).map_err(failed)?;
        let from = if there > listed.bytes { 0 } else { there };
        if from != there {
            file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).map_err(failed)?;
        }
        self.room(listed.bytes - from, place)?;
        progress.read(from);
        let reader = buckets.read(place, listed, from)?;
        copy(reader, &mut file, listed.bytes - from, progress).map_err(failed)?;
        file.sync_all().and_then(|()| fs::rename(&partial, path)).map_err(failed)?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    fn room(&self, wanted: u64, place: &Place) -> Result<(), Fault> {
        // Where nobody can say, the disk says when it is full.
        let Ok(disk) = rustix::fs::statvfs(&self.folder) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if wanted.saturating_add(FREE) <= free {
            return Ok(());
        }
        let message = format!(
            "{place} needs {wanted} bytes and {FREE} to spare in {}, where {free} are free; name a larger disk as `scratch` in recovery.yml",
            self.folder.display()
        );
        Err(Fault::new(FaultKind::Unavailable, message))
    }

    /// Removes what runs that died left behind, but for what is wanted now.
    fn sweep(&self, wanted: &Path) {
        let name = wanted.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let old = entry.metadata().and_then(|found| found.modified());
            let old = old.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > LEFT));
            if old && !entry.file_name().to_string_lossy().starts_with(&name) {
                remove(&entry.path());
            }
        }
    }
}

fn copy(mut from: impl Read, into: &mut File, bytes: u64, progress: &RestoreProgress) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut left = bytes;
    loop {
        match from.read(&mut piece)? {
            0 if left == 0 => return Ok(()),
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{left} bytes are missing"))),
            read if read as u64 > left => return Err(io::Error::other("it is longer than it was listed")),
            read => {
                into.write_all(&piece[..read])?;
                left -= read as u64;
                progress.read(read as u64);
            }
        }
    }
}

fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

impl Drop for Fetched {
    fn drop(&mut self) {
        for path in self.done.lock().unwrap_or_else(PoisonError::into_inner).values() {
            remove(path);
        }
    }
}
