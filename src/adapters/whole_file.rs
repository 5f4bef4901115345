//! Files that other programs read: read within bounds, and replaced as a whole with mode and owner kept.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use tokio::sync::MutexGuard;
use zeroize::Zeroizing;

use super::durable;
use crate::ports::{Fault, FaultKind};

/// Largest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Two credentials in one file are written by two steps at once: one reads what the other has written.
pub(super) static ONE_WRITER: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The whole text; `None` if the file does not exist.
pub(super) fn read_file(path: &Path) -> Result<Option<Zeroizing<String>>, Fault> {
    let failed = |error: std::io::Error| {
        let kind =
            if error.kind() == std::io::ErrorKind::PermissionDenied { FaultKind::Denied } else { FaultKind::Invalid };
        Fault::with(kind, format!("failed to read {}", path.display()), error)
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            return Err(Fault::new(FaultKind::Invalid, format!("{} is larger than {MAX_BYTES} bytes", path.display())));
        }
        Ok(_) => {}
    }
    fs::read_to_string(path).map(Zeroizing::new).map(Some).map_err(failed)
}

/// Replaces the file as a whole: temporary file beside it with its mode and owner, sync, rename, directory sync. Off the async
/// threads, since it waits for the disk; the next writer waits for its end even if nobody else does.
pub(super) async fn replace_file(
    writing: MutexGuard<'static, ()>,
    path: PathBuf,
    text: Zeroizing<String>,
) -> Result<(), Fault> {
    let replace = move || {
        let _writing = writing;
        replace(&path, &text)
    };
    match tokio::task::spawn_blocking(replace).await {
        Ok(replaced) => replaced,
        Err(error) => Err(Fault::with(FaultKind::OutcomeUnknown, "replacing a file died", error)),
    }
}

fn replace(path: &Path, text: &str) -> Result<(), Fault> {
    // A link is followed once, here: the file that it names is replaced, the link stays.
    let path = fs::canonicalize(path).map_err(|error| unwritable(path, error))?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let metadata = fs::metadata(&path).map_err(|error| unwritable(&path, error))?;
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| Fault::new(FaultKind::Invalid, format!("the name of {} is not UTF-8", path.display())))?;
    let temporary = format!("{name}.portcullis-{}", std::process::id());
    let prepare = |file: &File| {
        let ours = file.metadata()?;
        if (ours.uid(), ours.gid()) != (metadata.uid(), metadata.gid()) {
            fchown(file, Some(metadata.uid()), Some(metadata.gid()))?;
        }
        file.set_permissions(metadata.permissions())
    };
    let open = File::open(folder).map_err(|error| unwritable(&path, error))?;
    let replaced = durable::replace(open.as_fd(), folder, (&temporary, name), text.as_bytes(), prepare);
    replaced.map_err(|error| match fs::read(&path).map(Zeroizing::new) {
        // After the rename only the sync of the folder is left.
        Ok(there) if there.as_slice() == text.as_bytes() => Fault::with(
            FaultKind::OutcomeUnknown,
            format!("{} was written, but its folder was not synced", path.display()),
            error,
        ),
        _ => unwritable(&path, error),
    })
}

fn unwritable(path: &Path, error: std::io::Error) -> Fault {
    let kind = match error.kind() {
        std::io::ErrorKind::PermissionDenied => FaultKind::Denied,
        std::io::ErrorKind::NotFound => FaultKind::NotFound,
        _ => FaultKind::Unavailable,
    };
    Fault::with(kind, format!("failed to replace {}; it is as it was", path.display()), error)
}
