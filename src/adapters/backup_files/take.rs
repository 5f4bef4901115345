//! Making a backup: a dump from one snapshot, packed on its way, under its name only once it is whole and on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::domain::{Backup, Timestamp};
use crate::policy::recovery::RecoveryPolicy;
use crate::ports::{Fault, FaultKind, RestoreTarget};

fn failed(path: &Path) -> impl Fn(io::Error) -> Fault + '_ {
    move |error| Fault::with(FaultKind::Unavailable, format!("failed to write {}", path.display()), error)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Writes a file as a whole, readable by its owner alone.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let written = create(partial).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(partial, path)?;
        sync_folder(path)
    });
    written.map_err(failed(path))
}

/// Takes a backup; it appears under its name at once and whole, or not at all.
pub(super) async fn take(
    root: &Path,
    policy: &RecoveryPolicy,
    target: &dyn RestoreTarget,
    at: Timestamp,
) -> Result<(Backup, Option<String>), Fault> {
    let name = policy.pattern.replacen('*', &at.strftime("%Y%m%d_%H%M%S").to_string(), 1);
    let ending = Path::new(&name).extension().and_then(|ending| ending.to_str());
    let packed = ending == Some("gz");
    if !packed && ending != Some("sql") {
        let message = format!("backups named `{}` can't be written: .sql.gz and .sql can", policy.pattern);
        return Err(Fault::new(FaultKind::Invalid, message));
    }
    let path = root.join(&policy.directory).join(&name);
    if path.exists() {
        return Err(Fault::new(FaultKind::Conflict, format!("{} is there already", path.display())));
    }
    let partial = root.join(&policy.directory).join(format!(".{name}.partial"));
    let file = create(&partial).map_err(failed(&partial))?;
    let done = fill(file, packed, target).await.and_then(|words| {
        fs::rename(&partial, &path).and_then(|()| sync_folder(&path)).map_err(failed(&path))?;
        Ok(words)
    });
    if done.is_err() {
        let _ = fs::remove_file(&partial);
    }
    let words = done?;
    let bytes = fs::metadata(&path).map_err(failed(&path))?.len();
    let backup = Backup { path: format!("{}/{name}", policy.directory), bytes, started: Some(at), sha256: None };
    Ok((backup, words))
}

async fn fill(file: File, packed: bool, target: &dyn RestoreTarget) -> Result<Option<String>, Fault> {
    let unwritten = |error: io::Error| Fault::with(FaultKind::Unavailable, "failed to write the backup", error);
    if packed {
        let mut out = GzEncoder::new(BufWriter::new(file), Compression::default());
        let words = target.dump(&mut out).await?;
        let file = out.finish().and_then(|out| out.into_inner().map_err(io::IntoInnerError::into_error));
        file.and_then(|file| file.sync_all()).map_err(unwritten)?;
        return Ok(words);
    }
    let mut out = BufWriter::new(file);
    let words = target.dump(&mut out).await?;
    out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all()).map_err(unwritten)?;
    Ok(words)
}
