//! `pg_dump`'s custom and directory formats, made into a plain dump by `pg_restore`, which connects to nothing and runs nothing.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::open::{Bounded, Raw};
use crate::domain::{Digest, DigestContext};
use crate::ports::{Fault, FaultKind, FileDigest, OpenBackup};

/// What is handed over at once.
const PIECE: usize = 256 << 10;

/// A dump in directory format. Its digest is that of a line for each of its files, in the order of their names: the file's SHA-256 in hex,
/// two spaces, its name (as `sha256sum *` writes them).
pub(super) fn folder(path: &Path, max: u64) -> Result<OpenBackup, Fault> {
    let mut child = start(Some(path)).map_err(unstarted)?;
    let text = output(&mut child).map_err(unstarted)?;
    let digest = Arc::new(FileDigest::default());
    let (told, below) = (Arc::clone(&digest), path.to_owned());
    let beside = std::thread::spawn(move || {
        told.set(sums(&below)?);
        Ok(())
    });
    let text = Box::new(Archive { child, text, beside: Some(beside) });
    Ok(OpenBackup { text: Box::new(Bounded { text, given: 0, most: max, size: 0 }), digest })
}

/// A dump in custom format, from a stream: it holds its parts in the order in which they are asked for.
pub(super) fn piped(raw: Raw) -> io::Result<Box<dyn Read + Send>> {
    let mut child = start(None).map_err(|error| io::Error::other(unstarted(error).chain()))?;
    let text = output(&mut child)?;
    let into = child.stdin.take().ok_or_else(|| io::Error::other("pg_restore takes no input"))?;
    let beside = std::thread::spawn(move || feed(raw, into));
    Ok(Box::new(Archive { child, text, beside: Some(beside) }))
}

fn unstarted(error: io::Error) -> Fault {
    let message = "failed to start `pg_restore`, which reads this format (Debian: postgresql-client)";
    Fault::with(FaultKind::NotFound, message, error)
}

fn start(path: Option<&Path>) -> io::Result<Child> {
    Command::new("pg_restore")
        .args(["--file=-", "--no-password"])
        .args(path)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .stdin(if path.is_some() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

fn output(child: &mut Child) -> io::Result<ChildStdout> {
    child.stdout.take().ok_or_else(|| io::Error::other("pg_restore gives no text"))
}

/// Hands all of it over; what `pg_restore` does not want is read all the same, for the digest.
fn feed(mut raw: Raw, into: impl Write) -> io::Result<()> {
    let mut into = Some(into);
    let mut piece = vec![0; PIECE];
    loop {
        let read = raw.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        if into.as_mut().is_some_and(|into| into.write_all(&piece[..read]).is_err()) {
            into = None;
        }
    }
}

fn sums(folder: &Path) -> io::Result<Digest> {
    let mut names: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    names.sort();
    let mut lines = DigestContext::new();
    for name in names {
        let (mut file, mut digest) = (File::open(folder.join(&name))?, DigestContext::new());
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece)? {
                0 => break,
                read => digest.update(&piece[..read]),
            }
        }
        lines.update(format!("{}  {}\n", digest.finish(), name.to_string_lossy()).as_bytes());
    }
    Ok(lines.finish())
}

struct Archive {
    child: Child,
    text: ChildStdout,
    /// Feeds it, or reads its files for the digest.
    beside: Option<JoinHandle<io::Result<()>>>,
}

impl Archive {
    /// What `pg_restore` wrote last of what went wrong.
    fn last_words(&mut self) -> String {
        let mut words = String::new();
        if let Some(errors) = self.child.stderr.take() {
            let _ = errors.take(4096).read_to_string(&mut words);
        }
        let last = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("");
        last.chars().filter(|c| !c.is_control()).collect()
    }
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            let status = self.child.wait()?;
            let beside = self.beside.take().map_or(Ok(Ok(())), JoinHandle::join);
            // What could not be read explains why pg_restore found no end.
            beside.unwrap_or_else(|_| Err(io::Error::other("reading it died")))?;
            if !status.success() {
                let last = self.last_words();
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("pg_restore can't read it: {last}")));
            }
        }
        Ok(read)
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        // Without its reader, what feeds it ends too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
