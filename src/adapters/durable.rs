//! The one way to the disk for everything that must outlive a power cut: ledger, case files, sealed values, `.env`, flags.
//!
//! What a file holds is safe once the file was synced, what it is called once its folder was. Every operation here is
//! told to a witness, if there is one: tests build from its notes what a power cut could have left.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::{AtFlags, Mode, OFlags, linkat, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

/// One change, by the full path of what was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// An empty file was made.
    Made(&'a Path),
    /// A folder was made.
    MadeFolder(&'a Path),
    /// Bytes were written from an offset on.
    Wrote(&'a Path, u64, &'a [u8]),
    /// A file was cut to a length.
    Cut(&'a Path, u64),
    /// A file was given another name, in place of what had it.
    Renamed(&'a Path, &'a Path),
    /// A file was given a second name.
    Linked(&'a Path, &'a Path),
    /// A name was taken away.
    Removed(&'a Path),
    /// A file was synced.
    Synced(&'a Path),
    /// A folder was synced.
    SyncedFolder(&'a Path),
}

/// Who hears of every change.
pub trait Witness: Send + Sync {
    /// A change was made.
    fn saw(&self, change: Change<'_>);
    /// Whether a sync is carried out: a test takes one out to see that its absence is noticed.
    fn lets(&self, sync: Change<'_>) -> bool;
}

static WITNESS: OnceLock<Box<dyn Witness>> = OnceLock::new();

/// Sets the witness of this process, once; `false` if there is one already.
pub fn set_witness(witness: Box<dyn Witness>) -> bool {
    WITNESS.set(witness).is_ok()
}

fn tell(change: Change<'_>) {
    if let Some(witness) = WITNESS.get() {
        witness.saw(change);
    }
}

fn lets(sync: Change<'_>) -> bool {
    WITNESS.get().is_none_or(|witness| witness.lets(sync))
}

/// Makes a folder with those above it (mode 0700), each synced into the one that holds it.
pub(crate) fn make_folders(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.parent().is_some() {
        make_folders(above)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => tell(Change::MadeFolder(path)),
        // Made by another process meanwhile, which may not have synced it yet.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(error),
    }
    sync_folder(File::open(above)?.as_fd(), above)
}

/// Makes a folder (mode 0700) below an open one, synced, unless it is there.
pub(crate) fn make_folder(folder: BorrowedFd<'_>, shown: &Path, name: &str) -> io::Result<()> {
    match mkdirat(folder, name, Mode::RWXU) {
        Ok(()) => tell(Change::MadeFolder(&shown.join(name))),
        Err(Errno::EXIST) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    sync_folder(folder, shown)
}

/// Makes an empty file that was not there. Nothing is synced yet.
pub(crate) fn make(folder: BorrowedFd<'_>, shown: &Path, name: &str) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?);
    tell(Change::Made(&shown.join(name)));
    Ok(file)
}

/// Opens a file for reading and appending; made, and synced into its folder, if that is wanted.
pub(crate) fn open_append(folder: BorrowedFd<'_>, shown: &Path, name: &str, create: bool) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(folder, name, flags, Mode::empty()) {
        Ok(fd) => {
            if create {
                // Whoever made it may have died before it was synced.
                sync_folder(folder, shown)?;
            }
            return Ok(File::from(fd));
        }
        Err(Errno::NOENT) if create => {}
        Err(error) => return Err(error.into()),
    }
    let fd = openat(folder, name, flags | OFlags::CREATE, Mode::RUSR | Mode::WUSR)?;
    tell(Change::Made(&shown.join(name)));
    sync_folder(folder, shown)?;
    Ok(File::from(fd))
}

/// Writes at the end of a file. Nothing is synced yet.
pub(crate) fn write(file: &mut File, shown: &Path, bytes: &[u8]) -> io::Result<()> {
    let offset = file.metadata()?.len();
    file.write_all(bytes)?;
    tell(Change::Wrote(shown, offset, bytes));
    Ok(())
}

/// Cuts a file and syncs it.
pub(crate) fn cut(file: &File, shown: &Path, bytes: u64) -> io::Result<()> {
    file.set_len(bytes)?;
    tell(Change::Cut(shown, bytes));
    sync(file, shown)
}

/// Syncs what a file holds, and its length.
pub(crate) fn sync(file: &File, shown: &Path) -> io::Result<()> {
    if lets(Change::Synced(shown)) {
        file.sync_all()?;
        tell(Change::Synced(shown));
    }
    Ok(())
}

/// Syncs the names in a folder.
pub(crate) fn sync_folder(folder: BorrowedFd<'_>, shown: &Path) -> io::Result<()> {
    if lets(Change::SyncedFolder(shown)) {
        rustix::fs::fsync(folder)?;
        tell(Change::SyncedFolder(shown));
    }
    Ok(())
}

/// Replaces a file as a whole: temporary file, sync, rename, sync of the folder. `prepare` gives the new file its owner and
/// mode. If it fails before the rename, the old file is as it was, and nothing of the new one stays.
pub(crate) fn replace(
    folder: BorrowedFd<'_>,
    shown: &Path,
    (temporary, name): (&str, &str),
    bytes: &[u8],
    prepare: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    // Left by a process that died: never opened, so that a link planted there is not followed.
    match remove(folder, shown, temporary) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let path = shown.join(temporary);
    let written = make(folder, shown, temporary).and_then(|mut file| {
        write(&mut file, &path, bytes)?;
        prepare(&file)?;
        sync(&file, &path)?;
        renameat(folder, temporary, folder, name)?;
        tell(Change::Renamed(&path, &shown.join(name)));
        Ok(())
    });
    if let Err(error) = written {
        // That it can't be removed adds nothing to the first failure.
        let _ = remove(folder, shown, temporary);
        return Err(error);
    }
    sync_folder(folder, shown)
}

/// A file that is to be replaced: its temporary name, its name, its bytes.
pub(crate) type Replacement<'a> = (String, &'a str, &'a [u8]);

/// Replaces files of one folder as [`replace`] does: all are written before the first is synced, and the folder is synced once. The first sync
/// carries what the others wait for. After a failure some may be replaced.
pub(crate) fn replace_all(folder: BorrowedFd<'_>, shown: &Path, files: &[Replacement<'_>]) -> io::Result<()> {
    for some in files.chunks(AT_ONCE) {
        let replaced = replace_some(folder, shown, some);
        if replaced.is_err() {
            for (temporary, ..) in some {
                let _ = remove(folder, shown, temporary);
            }
        }
        replaced?;
    }
    sync_folder(folder, shown)
}

/// Files that are open at once.
const AT_ONCE: usize = 128;

fn replace_some(folder: BorrowedFd<'_>, shown: &Path, files: &[Replacement<'_>]) -> io::Result<()> {
    let mut open = Vec::with_capacity(files.len());
    for (temporary, _, bytes) in files {
        match remove(folder, shown, temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = make(folder, shown, temporary)?;
        write(&mut file, &shown.join(temporary), bytes)?;
        open.push(file);
    }
    for (file, (temporary, ..)) in open.iter().zip(files) {
        sync(file, &shown.join(temporary))?;
    }
    for (temporary, name, _) in files {
        renameat(folder, temporary.as_str(), folder, *name)?;
        tell(Change::Renamed(&shown.join(temporary), &shown.join(name)));
    }
    Ok(())
}

/// Gives a file a second name, unless something has it. Nothing is synced yet.
pub(crate) fn link(folder: BorrowedFd<'_>, shown: &Path, from: &str, to: &str) -> io::Result<()> {
    linkat(folder, from, folder, to, AtFlags::empty())?;
    tell(Change::Linked(&shown.join(from), &shown.join(to)));
    Ok(())
}

/// Takes a name away. Nothing is synced yet.
pub(crate) fn remove(folder: BorrowedFd<'_>, shown: &Path, name: &str) -> io::Result<()> {
    unlinkat(folder, name, AtFlags::empty())?;
    tell(Change::Removed(&shown.join(name)));
    Ok(())
}

/// Notes that a file was made by other means.
pub(crate) fn made(path: &Path) {
    tell(Change::Made(path));
}

/// Notes that a name was taken away by other means.
pub(crate) fn removed(path: &Path) {
    tell(Change::Removed(path));
}
