//! Opening a backup: plain text, gzip, zstd, and `pg_dump`'s own formats, always as the text of a plain dump. Decompression has a
//! thread of its own; how much may come out is bounded.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use flate2::bufread::MultiGzDecoder;

use crate::domain::DigestContext;
use crate::ports::{Fault, FaultKind, FileDigest, OpenBackup, RestoreProgress};

/// What is decompressed at once, and how many such pieces wait.
const PIECE: usize = 256 << 10;
const WAITING: usize = 8;
/// From this size on, what comes out may be at most so many times what went in: no dump of a trading table is packed tighter.
const BOMB_FROM: u64 = 256 << 20;
const BOMB_RATIO: u64 = 250;

/// Opens a file, or the folder of a dump in directory format. `max` bounds the text, in bytes.
pub(super) fn open(path: &Path, max: u64, progress: &Arc<RestoreProgress>) -> Result<OpenBackup, Fault> {
    let failed = |error: io::Error| {
        let kind = if error.kind() == io::ErrorKind::NotFound { FaultKind::NotFound } else { FaultKind::Denied };
        Fault::with(kind, format!("failed to open the backup {}", path.display()), error)
    };
    let digest = Arc::new(FileDigest::default());
    if path.is_dir() {
        progress.begin(0);
        return Ok(OpenBackup { text: archive(path, max)?, digest });
    }
    let mut file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?;
    if !size.is_file() {
        return Err(Fault::new(FaultKind::Invalid, format!("{} is not a file", path.display())));
    }
    let size = size.len();
    let mut magic = [0; 5];
    let mut read = 0;
    while read < magic.len() {
        match file.read(&mut magic[read..]).map_err(failed)? {
            0 => break,
            more => read += more,
        }
    }
    file.rewind().map_err(failed)?;
    progress.begin(size);
    if &magic == b"PGDMP" {
        return Ok(OpenBackup { text: archive(path, max)?, digest });
    }
    let raw =
        Raw { file, digest: Some(DigestContext::new()), told: Arc::clone(&digest), progress: Arc::clone(progress) };
    let bound = move |text: Box<dyn Read + Send>| Bounded { text, given: 0, most: max, size };
    let text: Box<dyn Read + Send> = match &magic {
        [0x1f, 0x8b, ..] => {
            threaded(move || Ok(bound(Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(PIECE, raw))))))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => threaded(move || Ok(bound(Box::new(Frames::new(raw)?)))),
        _ => Box::new(bound(Box::new(raw))),
    };
    Ok(OpenBackup { text, digest })
}

/// The file's bytes, digested and counted on their way.
struct Raw {
    file: File,
    digest: Option<DigestContext>,
    told: Arc<FileDigest>,
    progress: Arc<RestoreProgress>,
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            if let Some(digest) = self.digest.take() {
                self.told.set(digest.finish());
            }
        } else if let Some(digest) = &mut self.digest {
            digest.update(&buffer[..read]);
            self.progress.read(read as u64);
        }
        Ok(read)
    }
}

/// All frames of a zstd file, one after the other.
struct Frames {
    decoder: Option<ruzstd::decoding::StreamingDecoder<io::BufReader<Raw>, ruzstd::decoding::FrameDecoder>>,
}

impl Frames {
    fn new(raw: Raw) -> io::Result<Self> {
        Ok(Self { decoder: Some(Self::frame(io::BufReader::with_capacity(PIECE, raw))?) })
    }

    fn frame(
        raw: io::BufReader<Raw>,
    ) -> io::Result<ruzstd::decoding::StreamingDecoder<io::BufReader<Raw>, ruzstd::decoding::FrameDecoder>> {
        ruzstd::decoding::StreamingDecoder::new(raw)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    }
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(decoder) = &mut self.decoder else { return Ok(0) };
            let read = decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(decoder) = self.decoder.take() else { return Ok(0) };
            let mut raw = decoder.into_inner();
            if io::BufRead::fill_buf(&mut raw)?.is_empty() {
                return Ok(0);
            }
            self.decoder = Some(Self::frame(raw)?);
        }
    }
}

/// Ends what gives more than any dump would.
struct Bounded {
    text: Box<dyn Read + Send>,
    given: u64,
    most: u64,
    size: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(buffer)?;
        self.given += read as u64;
        if self.given > self.most {
            return Err(io::Error::other("it holds more than max_gb of recovery.yml allows"));
        }
        if self.size > 0 && self.given > BOMB_FROM && self.given / self.size > BOMB_RATIO {
            return Err(io::Error::other(format!(
                "it is packed {BOMB_RATIO} times tighter than any dump: a decompression bomb"
            )));
        }
        Ok(read)
    }
}

/// Reads on a thread of its own, a few pieces ahead.
fn threaded<R: Read>(open: impl FnOnce() -> io::Result<R> + Send + 'static) -> Box<dyn Read + Send> {
    let (sender, receiver) = sync_channel::<io::Result<Vec<u8>>>(WAITING);
    std::thread::spawn(move || {
        let mut reader = match open() {
            Ok(reader) => reader,
            Err(error) => {
                let _ = sender.send(Err(error));
                return;
            }
        };
        loop {
            let mut piece = vec![0; PIECE];
            let mut filled = 0;
            let mut failed = None;
            while filled < PIECE {
                match reader.read(&mut piece[filled..]) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            piece.truncate(filled);
            // Who has dropped the other end wants no more.
            if (filled > 0 && sender.send(Ok(piece)).is_err()) || filled < PIECE && failed.is_none() {
                return;
            }
            if let Some(error) = failed {
                let _ = sender.send(Err(error));
                return;
            }
        }
    });
    Box::new(Ahead { receiver, piece: Vec::new(), at: 0 })
}

struct Ahead {
    receiver: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            match self.receiver.recv() {
                Ok(piece) => (self.piece, self.at) = (piece?, 0),
                Err(_) => return Ok(0),
            }
        }
        let rest = &self.piece[self.at..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

/// `pg_dump`'s custom and directory formats, made into a plain dump by `pg_restore`, which connects to nothing and runs nothing.
fn archive(path: &Path, max: u64) -> Result<Box<dyn Read + Send>, Fault> {
    let mut child = Command::new("pg_restore")
        .args(["--file=-", "--no-password"])
        .arg(path)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            let message = "failed to start `pg_restore`, which reads this format (Debian: postgresql-client)";
            Fault::with(FaultKind::NotFound, message, error)
        })?;
    let text = child.stdout.take();
    let text = text.ok_or_else(|| Fault::new(FaultKind::Unavailable, "pg_restore gives no text"))?;
    Ok(Box::new(Bounded { text: Box::new(Archive { child, text }), given: 0, most: max, size: 0 }))
}

struct Archive {
    child: Child,
    text: std::process::ChildStdout,
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            let status = self.child.wait()?;
            if !status.success() {
                let mut words = String::new();
                if let Some(errors) = self.child.stderr.take() {
                    let _ = errors.take(4096).read_to_string(&mut words);
                }
                let last: String = words
                    .lines()
                    .rfind(|line| !line.trim().is_empty())
                    .unwrap_or("")
                    .chars()
                    .filter(|c| !c.is_control())
                    .collect();
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("pg_restore can't read it: {last}")));
            }
        }
        Ok(read)
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
