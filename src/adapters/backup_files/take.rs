//! Making a backup: a dump from one snapshot, packed on its way, under its name only once it is whole and on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::adapters::s3::PartWriter;
use crate::domain::Timestamp;
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

/// The name that a pattern gives a backup of that moment, and whether it is packed.
pub(super) fn name(pattern: &str, at: Timestamp) -> Result<(String, bool), Fault> {
    let name = pattern.replacen('*', &at.strftime("%Y%m%d_%H%M%S").to_string(), 1);
    match Path::new(&name).extension().and_then(|ending| ending.to_str()) {
        Some("gz") => Ok((name, true)),
        Some("sql") => Ok((name, false)),
        _ => {
            let message = format!("backups named `{pattern}` can't be written: .sql.gz and .sql can");
            Err(Fault::new(FaultKind::Invalid, message))
        }
    }
}

/// Where a dump goes: whole at the end, or not there at all.
pub(super) trait Sink: Write + Send + Sized {
    /// It is whole: puts it under its name. Its size in bytes.
    fn done(self) -> Result<u64, Fault>;
}

/// A file beside its name until it is done.
pub(super) struct NewFile {
    out: BufWriter<File>,
    partial: PathBuf,
    path: PathBuf,
}

impl NewFile {
    /// `name` must not be there yet.
    pub(super) fn new(folder: &Path, name: &str) -> Result<Self, Fault> {
        let (path, partial) = (folder.join(name), folder.join(format!(".{name}.partial")));
        if path.exists() {
            return Err(Fault::new(FaultKind::Conflict, format!("{} is there already", path.display())));
        }
        let file = create(&partial).map_err(failed(&partial))?;
        Ok(Self { out: BufWriter::new(file), partial, path })
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Sink for NewFile {
    fn done(mut self) -> Result<u64, Fault> {
        let written = self.out.flush().and_then(|()| {
            let file = self.out.get_ref();
            file.sync_all()?;
            let bytes = file.metadata()?.len();
            fs::rename(&self.partial, &self.path)?;
            sync_folder(&self.path)?;
            Ok(bytes)
        });
        written.map_err(failed(&self.path))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After a rename there is none.
        let _ = fs::remove_file(&self.partial);
    }
}

impl Sink for PartWriter {
    fn done(self) -> Result<u64, Fault> {
        self.finish()
    }
}

/// Dumps the live database into a sink, packed on its way if that is wanted: its size, and words about its snapshot.
pub(super) async fn fill(
    mut out: impl Sink,
    packed: bool,
    target: &dyn RestoreTarget,
) -> Result<(u64, Option<String>), Fault> {
    if !packed {
        let words = target.dump(&mut out).await?;
        return Ok((out.done()?, words));
    }
    let mut out = GzEncoder::new(out, Compression::default());
    let words = target.dump(&mut out).await?;
    let out = out.finish().map_err(|error| Fault::with(FaultKind::Unavailable, "failed to write the backup", error))?;
    Ok((out.done()?, words))
}
