//! Following log files as they grow: rotation by renaming or by truncating, new files, what was compressed meanwhile.
//!
//! A file is known by device and inode, and held open: what was written before its name was taken away is still read. Each
//! record keeps the number that it has in the files of that name together, so that no two records share one.

pub mod journal;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use crate::domain::Digest;

/// Most bytes of one file that are read at a time.
const CHUNK: u64 = 4 << 20;
/// A longer line is given in pieces.
const LONGEST_LINE: usize = 1 << 20;
/// Most bytes of a compressed file that are caught up with.
const CATCH_UP: u64 = 256 << 20;
/// Bytes by which what was read is known again.
const TAIL: u64 = 1_024;
/// Most files that are followed.
const MAX_FILES: usize = 4_096;
/// Deepest folder.
const DEPTH: usize = 8;

/// How far a file was read: what is kept across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Its name when it was first seen.
    pub path: String,
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Bytes read.
    pub offset: u64,
    /// Records read of all files of that name.
    pub records: u64,
    /// What was read last, by which a copy of the file is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Tail>,
}

/// The last bytes that were read of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    /// Where they end.
    pub end: u64,
    /// How many they are.
    pub bytes: u64,
    /// Their digest.
    pub sha256: Digest,
}

/// Whether a new file is the copy of one that was read, made before that was emptied.
enum Copied {
    No,
    /// Up to there it was read.
    At(u64),
    /// It is shorter than what was read: it may still be written.
    Shorter,
}

/// Whole lines that were added to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Name of the file.
    pub path: String,
    /// Number of its first record.
    pub first: u64,
    /// The lines.
    pub bytes: Vec<u8>,
    /// They are entries of journald's export format.
    pub journal: bool,
}

struct Open {
    file: File,
    mark: Mark,
    /// What was read last before the file was cut short.
    before: Option<Tail>,
}

/// Follows files and folders.
pub struct Follower {
    roots: Vec<PathBuf>,
    open: BTreeMap<(u64, u64), Open>,
    /// Records of all files of a name so far.
    records: BTreeMap<String, u64>,
    from_start: bool,
    started: bool,
    /// What could not be read, said once.
    unreadable: BTreeMap<PathBuf, String>,
    /// New files that may be copies under way, with their lengths.
    growing: BTreeMap<PathBuf, u64>,
}

impl Follower {
    /// Follows what lies at those paths. Without marks, files that are there are read from their end on, or from their start.
    pub fn new(roots: &[String], from_start: bool) -> Self {
        Self {
            roots: roots.iter().map(PathBuf::from).collect(),
            open: BTreeMap::new(),
            records: BTreeMap::new(),
            from_start,
            started: false,
            unreadable: BTreeMap::new(),
            growing: BTreeMap::new(),
        }
    }

    /// Goes on where an earlier run ended. Says what was rotated away and could not be read.
    pub fn go_on(&mut self, marks: Vec<Mark>) -> (Vec<Piece>, Vec<String>) {
        let (mut pieces, mut gaps) = (Vec::new(), Vec::new());
        self.started = true;
        let listed = self.list(&mut gaps);
        for mark in marks {
            let records = self.records.entry(mark.path.clone()).or_default();
            *records = (*records).max(mark.records);
            let same = listed.iter().find(|(_, meta)| (meta.dev(), meta.ino()) == (mark.dev, mark.ino));
            match same.map(|(path, _)| File::open(path)) {
                Some(Ok(file)) => {
                    self.open.insert((mark.dev, mark.ino), Open { file, mark, before: None });
                }
                Some(Err(error)) => gaps.push(format!("{}: {error}", mark.path)),
                None => match compressed(&mark) {
                    Some(Ok(bytes)) if bytes.is_empty() => {}
                    Some(Ok(bytes)) => pieces.push(self.piece(&mark.path, bytes)),
                    Some(Err(error)) => gaps.push(format!("{}: its compressed rest can't be read: {error}", mark.path)),
                    None => gaps
                        .push(format!("{}: rotated away while nobody watched, and its rest was not found", mark.path)),
                },
            }
        }
        (pieces, gaps)
    }

    /// What was added since the last time, and what was missed.
    pub fn poll(&mut self) -> (Vec<Piece>, Vec<String>) {
        let (mut pieces, mut gaps) = (Vec::new(), Vec::new());
        let listed = self.list(&mut gaps);
        let keys: Vec<(u64, u64)> = self.open.keys().copied().collect();
        for key in keys {
            self.read(key, &mut pieces, &mut gaps);
        }
        for (path, meta) in listed {
            let key = (meta.dev(), meta.ino());
            if self.open.contains_key(&key) {
                continue;
            }
            if self.open.len() >= MAX_FILES {
                self.say(&path, format!("{}: more than {MAX_FILES} files are not followed", path.display()), &mut gaps);
                continue;
            }
            if let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| is_compressed(name)) {
                // What was followed before it was compressed was read already; what was not is a log of its own.
                if !self.open.values().any(|open| is_rotated(name, &open.mark.path)) && self.started {
                    let words = format!(
                        "{}: compressed files are not followed; scan it with: portcullis scan logs",
                        path.display()
                    );
                    self.say(&path, words, &mut gaps);
                }
                continue;
            }
            match self.begin(&path, &meta) {
                Ok(false) => {}
                Ok(true) => self.read(key, &mut pieces, &mut gaps),
                Err(error) => self.say(&path, format!("{}: {error}", path.display()), &mut gaps),
            }
        }
        self.started = true;
        (pieces, gaps)
    }

    /// How far every file was read.
    pub fn marks(&self) -> Vec<Mark> {
        self.open.values().map(|open| open.mark.clone()).collect()
    }

    /// Number of files that are followed.
    pub fn files(&self) -> usize {
        self.open.len()
    }

    fn say(&mut self, path: &Path, words: String, gaps: &mut Vec<String>) {
        if self.unreadable.get(path) != Some(&words) {
            gaps.push(words.clone());
            self.unreadable.insert(path.to_owned(), words);
        }
    }

    /// Opens a file; false if it is to be looked at again first.
    fn begin(&mut self, path: &Path, meta: &fs::Metadata) -> io::Result<bool> {
        let mut file = File::open(path)?;
        let name = path.display().to_string();
        let mut records = self.records.get(&name).copied().unwrap_or(0);
        let mut offset = 0;
        if !self.started && !self.from_start {
            // Only whole lines are skipped, and counted: a record has the number that a scan gives it.
            (records, offset) = count(&mut file, u64::MAX)?;
        } else {
            match self.copied(path, &mut file, meta.len())? {
                Copied::At(end) => (records, offset) = count(&mut file, end)?,
                Copied::Shorter if self.growing.insert(path.to_owned(), meta.len()) != Some(meta.len()) => {
                    return Ok(false);
                }
                Copied::No | Copied::Shorter => {}
            }
            self.growing.remove(path);
        }
        self.records.insert(name.clone(), records);
        let tail = tail(&mut file, offset)?;
        let mark = Mark { path: name, dev: meta.dev(), ino: meta.ino(), offset, records, tail };
        self.open.insert((meta.dev(), meta.ino()), Open { file, mark, before: None });
        Ok(true)
    }

    /// Whether a file is the copy of one that is followed, as `copytruncate` of logrotate makes it.
    fn copied(&self, path: &Path, file: &mut File, length: u64) -> io::Result<Copied> {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Copied::No) };
        let mut shorter = false;
        for open in self.open.values() {
            let followed = Path::new(&open.mark.path);
            if followed == path || followed.parent() != path.parent() || !is_rotated(name, &open.mark.path) {
                continue;
            }
            for read in [&open.before, &open.mark.tail].into_iter().flatten() {
                shorter |= length < read.end;
                if length >= read.end && tail(file, read.end)?.is_some_and(|tail| tail == *read) {
                    return Ok(Copied::At(read.end));
                }
            }
        }
        Ok(if shorter { Copied::Shorter } else { Copied::No })
    }

    fn read(&mut self, key: (u64, u64), pieces: &mut Vec<Piece>, gaps: &mut Vec<String>) {
        let Some(open) = self.open.get_mut(&key) else { return };
        let name = open.mark.path.clone();
        let read = advance(open);
        let (bytes, truncated, gone) = match read {
            Ok(read) => read,
            Err(error) => {
                self.open.remove(&key);
                return gaps.push(format!("{name}: {error}"));
            }
        };
        if truncated {
            gaps.push(format!("{name}: cut short; what was written between the last look and the cut can't be known"));
        }
        let ended = gone && (bytes.len() as u64) < CHUNK;
        if !bytes.is_empty() {
            let piece = self.piece(&name, bytes);
            if let Some(open) = self.open.get_mut(&key) {
                open.mark.records = piece.first + lines_of(&piece.bytes);
            }
            pieces.push(piece);
        }
        if ended {
            self.open.remove(&key);
        }
    }

    fn piece(&mut self, name: &str, bytes: Vec<u8>) -> Piece {
        let bytes = plain(bytes);
        let records = self.records.entry(name.to_owned()).or_default();
        let first = *records;
        *records += lines_of(&bytes);
        Piece { path: name.to_owned(), first, bytes, journal: false }
    }

    fn list(&mut self, gaps: &mut Vec<String>) -> Vec<(PathBuf, fs::Metadata)> {
        let mut found = Vec::new();
        for root in self.roots.clone() {
            match fs::metadata(&root) {
                Ok(meta) if meta.is_dir() => below(&root, 0, &mut found),
                Ok(meta) if meta.is_file() => found.push((root, meta)),
                Ok(_) => self.say(&root, format!("{}: neither a file nor a folder", root.display()), gaps),
                Err(error) => self.say(&root, format!("{}: {error}", root.display()), gaps),
            }
        }
        found
    }
}

fn lines_of(bytes: &[u8]) -> u64 {
    let ends = memchr::memchr_iter(b'\n', bytes).count() as u64;
    ends + u64::from(!bytes.is_empty() && !bytes.ends_with(b"\n"))
}

fn below(folder: &Path, depth: usize, found: &mut Vec<(PathBuf, fs::Metadata)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        // Links are not followed: they could lead anywhere.
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() && depth < DEPTH => below(&path, depth + 1, found),
            Ok(meta) if meta.is_file() => found.push((path, meta)),
            _ => {}
        }
    }
}

/// New whole lines; whether the file was cut short; whether its last name is gone.
fn advance(open: &mut Open) -> io::Result<(Vec<u8>, bool, bool)> {
    let meta = open.file.metadata()?;
    let truncated = meta.len() < open.mark.offset;
    if truncated {
        open.before = open.mark.tail.take();
        open.mark.offset = 0;
    }
    let gone = meta.nlink() == 0;
    if meta.len() == open.mark.offset {
        return Ok((Vec::new(), truncated, gone));
    }
    open.file.seek(SeekFrom::Start(open.mark.offset))?;
    let mut bytes = Vec::new();
    open.file.by_ref().take(CHUNK).read_to_end(&mut bytes)?;
    let whole = match memchr::memrchr(b'\n', &bytes) {
        Some(end) => end + 1,
        None if gone || bytes.len() >= LONGEST_LINE => bytes.len(),
        None => 0,
    };
    let whole = if gone && (bytes.len() as u64) < CHUNK { bytes.len() } else { whole };
    bytes.truncate(whole);
    open.mark.offset += whole as u64;
    open.mark.tail = tail(&mut open.file, open.mark.offset)?;
    Ok((bytes, truncated, gone))
}

/// The bytes before a place.
fn tail(file: &mut File, end: u64) -> io::Result<Option<Tail>> {
    let bytes = end.min(TAIL);
    if bytes == 0 {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(end - bytes))?;
    let mut last = Vec::new();
    file.by_ref().take(bytes).read_to_end(&mut last)?;
    Ok(Some(Tail { end, bytes, sha256: Digest::of(&last) }))
}

/// Whole lines of the start of a file and the bytes that they take.
fn count(file: &mut File, end: u64) -> io::Result<(u64, u64)> {
    file.seek(SeekFrom::Start(0))?;
    let (mut lines, mut bytes, mut at) = (0, 0, 0_u64);
    let mut buffer = vec![0; 1 << 16];
    let mut start = file.take(end);
    loop {
        let read = start.read(&mut buffer)?;
        if read == 0 {
            return Ok((lines, bytes));
        }
        for end in memchr::memchr_iter(b'\n', &buffer[..read]) {
            lines += 1;
            bytes = at + end as u64 + 1;
        }
        at += read as u64;
    }
}

fn is_compressed(name: &str) -> bool {
    [".gz", ".zst", ".xz", ".bz2"].iter().any(|ending| name.ends_with(ending))
}

/// Whether a file's name says that it was once called as the followed one: `app.log.1.gz`, `app.log-20261124.gz`.
fn is_rotated(name: &str, followed: &str) -> bool {
    let base = Path::new(followed).file_name().and_then(|base| base.to_str()).unwrap_or(followed);
    // A followed `app.log.1` was `app.log` before.
    let base = base.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
    !base.is_empty() && name.starts_with(base)
}

/// What follows the mark in the newest compressed file of its name.
fn compressed(mark: &Mark) -> Option<io::Result<Vec<u8>>> {
    let folder = Path::new(&mark.path).parent().unwrap_or(Path::new("."));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let newest = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| {
                Path::new(name).extension().is_some_and(|end| end.eq_ignore_ascii_case("gz"))
                    && is_rotated(name, &mark.path)
            })
        })
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .max()?;
    let rest = || {
        let mut stream = MultiGzDecoder::new(File::open(&newest.1)?).take(CATCH_UP);
        io::copy(&mut stream.by_ref().take(mark.offset), &mut io::sink())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    Some(rest())
}

/// The lines inside Docker's json-file driver: `{"log":"...\n","stream":"stdout","time":"..."}`, of which long ones are split.
fn plain(bytes: Vec<u8>) -> Vec<u8> {
    #[derive(Deserialize)]
    struct Wrapped {
        log: String,
        #[serde(rename = "stream")]
        _stream: String,
    }
    if !bytes.starts_with(b"{\"log\":\"") {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match serde_json::from_slice::<Wrapped>(line) {
            Ok(wrapped) => out.extend_from_slice(wrapped.log.as_bytes()),
            // Not Docker's after all: nothing of it is lost.
            Err(_) => out.extend_from_slice(line),
        }
    }
    out
}

#[cfg(test)]
mod tests;
