//! Opening a backup: plain text, gzip, zstd, and `pg_dump`'s own formats, always as the text of a plain dump. Decompression has a
//! thread of its own; how much may come out is bounded.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use flate2::bufread::MultiGzDecoder;

use super::archive;
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
    if path.is_dir() {
        progress.begin(0);
        return archive::folder(path, max);
    }
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?;
    if !size.is_file() {
        return Err(Fault::new(FaultKind::Invalid, format!("{} is not a file", path.display())));
    }
    stream(Box::new(file), size.len(), max, progress).map_err(failed)
}

/// Opens what comes as a stream of `size` bytes.
pub(super) fn stream(
    mut source: Box<dyn Read + Send>,
    size: u64,
    max: u64,
    progress: &Arc<RestoreProgress>,
) -> io::Result<OpenBackup> {
    let mut magic = Vec::new();
    (&mut source).take(5).read_to_end(&mut magic)?;
    progress.begin(size);
    let digest = Arc::new(FileDigest::default());
    let raw = Raw {
        source: Box::new(io::Cursor::new(magic.clone()).chain(source)),
        digest: Some(DigestContext::new()),
        told: Arc::clone(&digest),
        progress: Arc::clone(progress),
    };
    let bound = move |text: Box<dyn Read + Send>| Bounded { text, given: 0, most: max, size };
    let text: Box<dyn Read + Send> = match magic.as_slice() {
        b"PGDMP" => Box::new(Bounded { text: archive::piped(raw)?, given: 0, most: max, size: 0 }),
        [0x1f, 0x8b, ..] => {
            threaded(move || Ok(bound(Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(PIECE, raw))))))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => threaded(move || Ok(bound(Box::new(Frames::new(raw)?)))),
        _ => Box::new(bound(Box::new(raw))),
    };
    Ok(OpenBackup { text, digest })
}

/// The file's bytes, digested and counted on their way.
pub(super) struct Raw {
    source: Box<dyn Read + Send>,
    digest: Option<DigestContext>,
    told: Arc<FileDigest>,
    progress: Arc<RestoreProgress>,
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
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
pub(super) struct Bounded {
    pub(super) text: Box<dyn Read + Send>,
    pub(super) given: u64,
    pub(super) most: u64,
    pub(super) size: u64,
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
