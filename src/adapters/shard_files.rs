//! Outputs of shards as files: one JSON object a line, the last with a digest of all before it. A file has its name only
//! once it is whole.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::detect::logs::{Header, Line};
use crate::domain::DigestContext;

/// Longest line that is read, in bytes.
const MAX_LINE: u64 = 64 << 20;

/// Why a shard's output can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ShardFileError {
    /// It can't be read.
    #[error("it can't be read")]
    Io(#[from] io::Error),
    /// A line says nothing that is known.
    #[error("line {0} is none of a shard's output")]
    Line(u64),
    /// It ends early.
    #[error("it ends before its last line: the scan that wrote it was cut off, or the copy is not whole")]
    Cut,
    /// It was changed.
    #[error("its lines are not those that were written: the digest in the last line differs")]
    Changed,
}

/// Where lines go.
enum Out<'a> {
    File(BufWriter<NamedTempFile>),
    Given(Box<dyn FnMut(&str) + 'a>),
}

/// Writes one.
pub struct ShardFile<'a> {
    out: Out<'a>,
    digest: DigestContext,
    pieces: u64,
    failed: Option<io::Error>,
}

impl<'a> ShardFile<'a> {
    /// Begins a file in that folder, which is made if it is missing.
    pub fn begin(folder: &Path, header: Header) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let file = tempfile::Builder::new().prefix(".shard-").tempfile_in(folder)?;
        Ok(Self::with(Out::File(BufWriter::new(file)), header))
    }

    /// Gives each line, without its end, as it comes.
    pub fn given(give: impl FnMut(&str) + 'a, header: Header) -> Self {
        Self::with(Out::Given(Box::new(give)), header)
    }

    fn with(out: Out<'a>, header: Header) -> Self {
        let mut begun = Self { out, digest: DigestContext::new(), pieces: 0, failed: None };
        begun.line(&Line::Shard(Box::new(header)));
        begun
    }

    /// Adds a line. An error is kept for [`ShardFile::finish`].
    pub fn line(&mut self, line: &Line) {
        self.pieces += u64::from(matches!(line, Line::Piece { .. }));
        let written = self.write(line);
        self.failed = self.failed.take().or(written.err());
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        if let Out::Given(give) = &mut self.out {
            give(&text);
        }
        text.push('\n');
        self.digest.update(text.as_bytes());
        if let Out::File(file) = &mut self.out { file.write_all(text.as_bytes()) } else { Ok(()) }
    }

    /// Writes the last line, and gives the file its name.
    pub fn finish(mut self, path: &Path, elapsed_ms: u64) -> io::Result<()> {
        let sha256 = std::mem::take(&mut self.digest).finish().to_string();
        self.line(&Line::End { pieces: self.pieces, elapsed_ms, sha256 });
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let Out::File(file) = self.out {
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
        }
        Ok(())
    }
}

/// Reads one.
pub struct ShardLines {
    reader: BufReader<File>,
    number: u64,
}

impl ShardLines {
    /// Opens it.
    pub fn open(path: &Path) -> Result<Self, ShardFileError> {
        Ok(Self { reader: BufReader::with_capacity(256 << 10, File::open(path)?), number: 0 })
    }

    /// The next line.
    pub fn next_line(&mut self) -> Result<Option<Line>, ShardFileError> {
        let mut text = Vec::new();
        self.next_text(&mut text)?.then(|| self.parse(&text)).transpose()
    }

    fn next_text(&mut self, text: &mut Vec<u8>) -> Result<bool, ShardFileError> {
        text.clear();
        self.number += 1;
        (&mut self.reader).take(MAX_LINE).read_until(b'\n', text)?;
        if !text.is_empty() && !text.ends_with(b"\n") {
            return Err(ShardFileError::Cut);
        }
        Ok(!text.is_empty())
    }

    fn parse(&self, text: &[u8]) -> Result<Line, ShardFileError> {
        serde_json::from_slice(text).map_err(|_| ShardFileError::Line(self.number))
    }
}

/// Reads a file to its end, and holds it against its digest: its first line, and how long the scan took.
pub fn verify(path: &Path) -> Result<(Header, u64), ShardFileError> {
    let mut lines = ShardLines::open(path)?;
    let mut text = Vec::new();
    let mut digest = DigestContext::new();
    let mut header = None;
    while lines.next_text(&mut text)? {
        if header.is_none() {
            let Line::Shard(first) = lines.parse(&text)? else { return Err(ShardFileError::Line(1)) };
            header = Some(*first);
        } else if text.starts_with(br#"{"type":"end","#) {
            let (Line::End { sha256, elapsed_ms, .. }, Some(header)) = (lines.parse(&text)?, header) else {
                return Err(ShardFileError::Line(lines.number));
            };
            let more = lines.next_text(&mut text)?;
            return if more || sha256 != digest.finish().to_string() {
                Err(ShardFileError::Changed)
            } else {
                Ok((header, elapsed_ms))
            };
        }
        digest.update(&text);
    }
    Err(ShardFileError::Cut)
}

/// The outputs that paths name: files, and those in folders, in the order of their names.
pub fn find(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            let stem = path.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with("shard-"));
            if stem && path.extension().is_some_and(|ending| ending == "jsonl") {
                inside.push(path);
            }
        }
        inside.sort();
        found.extend(inside);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::logs::{Inputs, Options, Range};
    use crate::domain::Level;

    fn written(folder: &Path) -> PathBuf {
        let header = Header {
            version: 1,
            program: "1".into(),
            shard: "1/2".parse().unwrap(),
            rules: "r".into(),
            options: Options { since: None, until: None, min_level: Level::Low, input_format: None },
            inputs: Inputs { files: 1, bytes: 1, sha256: "i".into() },
            unreadable: Vec::new(),
        };
        let mut file = ShardFile::begin(folder, header).unwrap();
        file.line(&Line::Piece { file: 0, path: "a".into(), range: Range { from: 0, to: Some(7) } });
        file.line(&Line::Coverage(Box::default()));
        let path = folder.join("shard-1-of-2.jsonl");
        file.finish(&path, 5).unwrap();
        path
    }

    #[test]
    fn what_was_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let (header, elapsed) = verify(&path).unwrap();
        assert_eq!((header.shard.to_string(), elapsed), ("1/2".to_owned(), 5));
        let mut lines = ShardLines::open(&path).unwrap();
        let mut count = 0;
        while lines.next_line().unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, 4);
        assert_eq!(find(&[folder.path().to_owned()]).unwrap(), [path]);
    }

    #[test]
    fn what_was_cut_or_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let whole = fs::read_to_string(&path).unwrap();
        for (text, want) in [
            (whole[..whole.len() - 1].to_owned(), "ends before"),
            (whole.split_inclusive('\n').take(3).collect(), "ends before"),
            (whole.replace("\"to\":7", "\"to\":8"), "digest"),
            (format!("{whole}{{}}\n"), "digest"),
            (format!("x{whole}"), "line 1"),
            (String::new(), "ends before"),
        ] {
            fs::write(&path, &text).unwrap();
            let error = verify(&path).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
