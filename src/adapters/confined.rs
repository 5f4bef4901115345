//! A folder whose files are reached by relative paths only: no `..`, no symbolic link anywhere on the way.
//!
//! Every component is opened relative to the one before it with `O_NOFOLLOW`, so that a link or a file swapped in by
//! somebody else between check and use can't lead outside.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, open, openat, statat};
use rustix::io::Errno;

use super::durable;
use crate::ports::{Fault, FaultKind};

/// Longest file that is read into memory, in bytes.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 30;

/// Where the bytes of a file are written before they take its place.
fn temporary(name: &str) -> String {
    format!(".{name}.{}.tmp", std::process::id())
}

/// Whether a path names what a killed process was still writing.
pub(crate) fn is_temporary(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with('.') && name.strip_suffix(".tmp").is_some()
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A folder, held open.
#[derive(Debug)]
pub(crate) struct Confined {
    path: PathBuf,
    fd: OwnedFd,
}

impl Confined {
    /// Opens a folder; `create` makes it (mode 0700) with those above it. The folder itself may not be a symbolic link.
    pub(crate) fn open(path: &Path, create: bool) -> Result<Self, Fault> {
        if create {
            durable::make_folders(path).map_err(|error| fault("make the folder", path, error))?;
        }
        let fd = open(path, FOLDER, Mode::empty()).map_err(|error| fault("open the folder", path, error.into()))?;
        Ok(Self { path: path.to_owned(), fd })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file; `None` if it does not exist.
    pub(crate) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Fault> {
        let Some(file) = self.open_file(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| self.fault("read", path, error))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(self.too_long(path));
        }
        Ok(Some(bytes))
    }

    /// Opens a regular file of at most [`MAX_FILE_BYTES`] for reading; `None` if it does not exist.
    pub(crate) fn open_file(&self, path: &str) -> Result<Option<File>, Fault> {
        let (parents, name) = split(path)?;
        let Some(folder) = self.folder(&parents, false)? else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = match openat(folder.as_fd(), name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.fault("read", path, error.into())),
        };
        let found = fstat(&fd).map_err(|error| self.fault("read", path, error.into()))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(Fault::new(FaultKind::Corrupt, format!("{} is not a regular file", self.show(path))));
        }
        if u64::try_from(found.st_size).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
            return Err(self.too_long(path));
        }
        Ok(Some(File::from(fd)))
    }

    fn too_long(&self, path: &str) -> Fault {
        Fault::new(FaultKind::Corrupt, format!("{} is longer than 1 GiB", self.show(path)))
    }

    /// Replaces the file as a whole: temporary file, sync, rename, sync of the folder. Mode 0600.
    pub(crate) fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Fault> {
        let (parents, name) = split(path)?;
        let Some(folder) = self.folder(&parents, true)? else {
            return Err(Fault::new(FaultKind::NotFound, format!("there is no folder for {}", self.show(path))));
        };
        let shown = self.path.join(parents.join("/"));
        durable::replace(folder.as_fd(), &shown, (&temporary(name), name), bytes, |_| Ok(()))
            .map_err(|error| self.fault("write", path, error))
    }

    /// Writes several files as [`Self::write`] does each, those of one folder together.
    pub(crate) fn write_all(&self, files: &[(String, &[u8])]) -> Result<(), Fault> {
        let mut folders: BTreeMap<Vec<&str>, Vec<durable::Replacement<'_>>> = BTreeMap::new();
        for (path, bytes) in files {
            let (parents, name) = split(path)?;
            folders.entry(parents).or_default().push((temporary(name), name, bytes));
        }
        for (parents, files) in &folders {
            let path = parents.join("/");
            let Some(folder) = self.folder(parents, true)? else {
                return Err(Fault::new(FaultKind::NotFound, format!("there is no folder {}", self.show(&path))));
            };
            durable::replace_all(folder.as_fd(), &self.path.join(&path), files)
                .map_err(|error| self.fault("write files into", &path, error))?;
        }
        Ok(())
    }

    /// Writes a file directly below the folder unless there is one already, which then stays. Mode 0600.
    pub(crate) fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        let (_, name) = split(name)?;
        let temporary = temporary(name);
        self.write(&temporary, bytes)?;
        let made = durable::link(self.fd.as_fd(), &self.path, &temporary, name);
        let removed = durable::remove(self.fd.as_fd(), &self.path, &temporary);
        match made {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(self.fault("write", name, error)),
        }
        removed
            .and_then(|()| durable::sync_folder(self.fd.as_fd(), &self.path))
            .map_err(|error| self.fault("write", name, error))
    }

    /// Opens a file below the folder itself for reading and appending, made if it is missing. Mode 0600.
    pub(crate) fn append(&self, name: &str, create: bool) -> Result<File, Fault> {
        let (_, name) = split(name)?;
        durable::open_append(self.fd.as_fd(), &self.path, name, create).map_err(|error| self.fault("open", name, error))
    }

    /// Names of what lies directly below a folder (`""` is the folder itself), sorted: regular files, or folders.
    /// Symbolic links and other things are left out of both.
    pub(crate) fn list(&self, path: &str, folders: bool) -> Result<Vec<String>, Fault> {
        let parents: Vec<&str> = if path.is_empty() { Vec::new() } else { components(path)? };
        let Some(folder) = self.folder(&parents, false)? else { return Ok(Vec::new()) };
        let wanted = if folders { FileType::Directory } else { FileType::RegularFile };
        let mut names = Vec::new();
        let entries = Dir::read_from(&folder).map_err(|error| self.fault("list", path, error.into()))?;
        for entry in entries {
            let entry = entry.map_err(|error| self.fault("list", path, error.into()))?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let found = statat(&folder, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| self.fault("list", path, error.into()))?;
            if FileType::from_raw_mode(found.st_mode) == wanted {
                names.push(name.to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Paths of everything below the folder that is not a folder, sorted, links and devices included.
    pub(crate) fn walk(&self) -> Result<Vec<String>, Fault> {
        let mut found = Vec::new();
        let mut open = vec![String::new()];
        while let Some(folder) = open.pop() {
            let parents: Vec<&str> = if folder.is_empty() { Vec::new() } else { components(&folder)? };
            if parents.len() > 8 || found.len() > 100_000 {
                return Err(Fault::new(FaultKind::Corrupt, format!("{} holds too much", self.path.display())));
            }
            let Some(fd) = self.folder(&parents, false)? else { continue };
            for entry in Dir::read_from(&fd).map_err(|error| self.fault("list", &folder, error.into()))? {
                let entry = entry.map_err(|error| self.fault("list", &folder, error.into()))?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name == "." || name == ".." {
                    continue;
                }
                let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                let stat = statat(&fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| self.fault("list", &path, error.into()))?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory && components(&path).is_ok() {
                    open.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn folder(&self, parents: &[&str], create: bool) -> Result<Option<OwnedFd>, Fault> {
        let failed = |error: Errno| self.fault("open the folder", &parents.join("/"), error.into());
        let mut current = self.fd.try_clone().map_err(|error| self.fault("open", "", error))?;
        for (depth, name) in parents.iter().enumerate() {
            if create {
                let shown = self.path.join(parents[..depth].join("/"));
                durable::make_folder(current.as_fd(), &shown, name)
                    .map_err(|error| self.fault("make the folder", &parents.join("/"), error))?;
            }
            current = match openat(current.as_fd(), *name, FOLDER, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(failed(error)),
            };
        }
        Ok(Some(current))
    }

    fn show(&self, path: &str) -> String {
        self.path.join(path).display().to_string()
    }

    fn fault(&self, what: &str, path: &str, error: io::Error) -> Fault {
        fault(what, &self.path.join(path), error)
    }
}

/// A failure of the file system, in words.
pub(crate) fn fault(what: &str, path: &Path, error: io::Error) -> Fault {
    let show = path.display();
    let (kind, message) = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::LOOP | Errno::NOTDIR) => {
            (FaultKind::Corrupt, format!("failed to {what} {show}: a symbolic link or a file stands in the way"))
        }
        Some(Errno::NOSPC | Errno::DQUOT) => {
            (FaultKind::Unavailable, format!("failed to {what} {show}: the disk is full"))
        }
        Some(Errno::NOENT) => (FaultKind::NotFound, format!("failed to {what} {show}")),
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => (FaultKind::Denied, format!("failed to {what} {show}")),
        _ => (FaultKind::Unavailable, format!("failed to {what} {show}")),
    };
    Fault::with(kind, message, error)
}

fn components(path: &str) -> Result<Vec<&str>, Fault> {
    let parts: Vec<&str> = path.split('/').collect();
    let fine = |part: &&str| !part.is_empty() && *part != "." && *part != ".." && part.len() <= 255;
    if parts.len() > 16 || !parts.iter().all(fine) || path.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        let shown: String = path.escape_debug().take(120).collect();
        return Err(Fault::new(FaultKind::Invalid, format!("`{shown}` is not a path inside the case folder")));
    }
    Ok(parts)
}

fn split(path: &str) -> Result<(Vec<&str>, &str), Fault> {
    let mut parts = components(path)?;
    let name = parts.pop().unwrap_or_default();
    Ok((parts, name))
}
