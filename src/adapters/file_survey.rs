//! Files as evidence: digests, sizes, permissions, times.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::domain::{DigestContext, Timestamp};
use crate::ports::{Fault, FaultKind, FileNote, FileSurvey};

/// Looks at files below a folder, or wherever an absolute path says.
pub struct LocalFiles {
    root: PathBuf,
}

impl LocalFiles {
    /// Relative paths start from `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
}

fn unreadable(path: &str, error: std::io::Error) -> Fault {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => FaultKind::NotFound,
        std::io::ErrorKind::PermissionDenied => FaultKind::Denied,
        _ => FaultKind::Unavailable,
    };
    Fault::with(kind, format!("failed to read {path}"), error)
}

impl FileSurvey for LocalFiles {
    fn note(&self, path: &str, within: Duration) -> Result<FileNote, Fault> {
        let began = Instant::now();
        let place = self.root.join(path);
        let seen = std::fs::metadata(&place).map_err(|error| unreadable(path, error))?;
        // A device or a pipe has no end.
        if !seen.is_file() {
            return Err(Fault::new(FaultKind::Invalid, format!("{path} is not a file")));
        }
        let mut file = File::open(&place).map_err(|error| unreadable(path, error))?;
        let (mut digest, mut bytes, mut block) = (DigestContext::new(), 0_u64, vec![0; 256 << 10]);
        loop {
            let read = file.read(&mut block).map_err(|error| unreadable(path, error))?;
            if read == 0 {
                break;
            }
            if began.elapsed() > within {
                let words = format!("{path} is too large to be read in {} s", within.as_secs());
                return Err(Fault::new(FaultKind::Unavailable, words));
            }
            digest.update(&block[..read]);
            bytes += read as u64;
        }
        let modified = Timestamp::from_second(seen.mtime()).ok();
        Ok(FileNote { path: path.to_owned(), bytes, sha256: digest.finish(), mode: seen.mode() & 0o7777, modified })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Digest;

    #[test]
    fn a_file_is_noted_whole_and_a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let text = vec![b'x'; 700_000];
        std::fs::write(folder.path().join("a.log"), &text).unwrap();
        let files = LocalFiles::new(folder.path());
        let note = files.note("a.log", Duration::from_secs(9)).unwrap();
        assert_eq!((note.bytes, note.sha256), (700_000, Digest::of(&text)));
        assert_eq!(files.note("b.log", Duration::from_secs(9)).unwrap_err().kind, FaultKind::NotFound);
        assert_eq!(files.note("/dev/zero", Duration::from_secs(9)).unwrap_err().kind, FaultKind::Invalid);
        assert_eq!(files.note("a.log", Duration::ZERO).unwrap_err().kind, FaultKind::Unavailable);
    }
}
