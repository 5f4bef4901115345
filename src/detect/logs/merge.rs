//! What shards found, put together as if one machine had scanned it all.
//!
//! A shard can't know how many records and lines came before its part of a file, so it counts from the part's start. Shards
//! are merged in their order, which is that of files and bytes: what came before is known then.

use serde::{Deserialize, Serialize};

use super::correlate::Fed;
use super::part::Range;
use super::scan::Coverage;
use super::shard::Shard;
use super::sightings::log_finding_id;
use crate::domain::{Finding, Level, Source, Timestamp};

/// The form of shards' outputs that this version writes and reads.
pub const VERSION: u32 = 1;

/// What was scanned, as every shard must have seen it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Files in all.
    pub files: u64,
    /// Their bytes, as they lie there.
    pub bytes: u64,
    /// SHA-256 over names, sizes and times of writing, and over the paths that could not be read.
    pub sha256: String,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// `--since`.
    pub since: Option<Timestamp>,
    /// `--until`.
    pub until: Option<Timestamp>,
    /// `--min-level`.
    pub min_level: Level,
    /// `--input-format`.
    pub input_format: Option<String>,
}

/// A path that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Path as given.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// The first line of a shard's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`].
    pub version: u32,
    /// Version of the program: another may find other things.
    pub program: String,
    /// Which shard.
    pub shard: Shard,
    /// SHA-256 over the texts of the rules and of all that they are read with.
    pub rules: String,
    /// What was asked for.
    pub options: Options,
    /// What was scanned.
    pub inputs: Inputs,
    /// Paths that no shard could begin to read.
    pub unreadable: Vec<Unreadable>,
}

/// A line of a shard's output. Records and lines count from the start of the piece that stands above.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Line {
    /// The first.
    Shard(Box<Header>),
    /// What follows is of this part of a file.
    Piece {
        /// Number of the file among all inputs, from 0.
        file: u64,
        /// Its path.
        path: String,
        /// Which of its bytes.
        #[serde(flatten)]
        range: Range,
    },
    /// A finding.
    Finding(Box<Finding>),
    /// An event for correlations.
    Event(Box<Fed>),
    /// The piece was read: what was covered of it.
    Coverage(Box<Coverage>),
    /// The last.
    End {
        /// Pieces.
        pieces: u64,
        /// How long the scan took.
        elapsed_ms: u64,
        /// SHA-256 over all lines before.
        sha256: String,
    },
}

/// Why outputs can't be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(pub String);

/// Says which shards are missing, or why these outputs are not of one scan. Each header comes with its file's name.
pub fn missing(headers: &[(String, Header)]) -> Result<Vec<u32>, Mismatch> {
    let Some((first_name, first)) = headers.first() else { return Err(Mismatch("there is no shard".into())) };
    for (name, header) in headers {
        if header.version != VERSION {
            return Err(Mismatch(format!("{name} has form {}, and this version reads form {VERSION}", header.version)));
        }
        let differs = [
            ("a split into another number of shards", header.shard.count() != first.shard.count()),
            ("another version of the program", header.program != first.program),
            ("other rules", header.rules != first.rules),
            ("other options", header.options != first.options),
            ("other inputs", header.inputs != first.inputs || header.unreadable != first.unreadable),
        ];
        if let Some((what, _)) = differs.into_iter().find(|(_, differs)| *differs) {
            let told = if what == "other inputs" {
                format!(": {} against {}", header.inputs.words(), first.inputs.words())
            } else {
                String::new()
            };
            return Err(Mismatch(format!("{name} was made with {what} than {first_name}{told}")));
        }
    }
    let count = first.shard.count();
    let mut names: Vec<Option<&str>> = vec![None; count as usize];
    for (name, header) in headers {
        let place = &mut names[header.shard.index() as usize - 1];
        if let Some(other) = place {
            return Err(Mismatch(format!("shard {} is there twice: {other} and {name}", header.shard)));
        }
        *place = Some(name);
    }
    Ok((1..).zip(&names).filter(|(_, name)| name.is_none()).map(|(index, _)| index).collect())
}

impl Inputs {
    fn words(&self) -> String {
        format!("{} files, {} bytes, {}", self.files, self.bytes, self.sha256.get(..12).unwrap_or(&self.sha256))
    }
}

/// What a line comes to in the whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Merged {
    /// A finding, in its place.
    Finding(Finding),
    /// An event for correlations, in its place.
    Event(Fed),
}

/// What was covered in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// Of each file, in their order.
    pub files: Vec<(String, Coverage)>,
    /// What is missing within files, in words.
    pub gaps: Vec<String>,
}

/// Puts lines in their places. Lines come shard by shard, in order.
#[derive(Debug, Default)]
pub struct Merge {
    /// The file that the next piece is of, and the byte at which it begins.
    expected: (u64, u64),
    /// What was covered of the file so far, and its name.
    file: Option<(String, Coverage)>,
    /// The piece that lines belong to.
    piece: Option<Range>,
    /// Something of this file is missing before the piece.
    gap: bool,
    /// Pieces may be missing before the next: a shard is.
    lost: bool,
    said: Vec<(String, Coverage)>,
    notes: Vec<String>,
}

impl Merge {
    /// A shard is missing where the lines have come to.
    pub fn skip(&mut self) {
        self.lost = true;
    }

    /// Takes a line.
    pub fn take(&mut self, line: Line) -> Result<Option<Merged>, Mismatch> {
        match line {
            Line::Piece { file, path, range } => self.begin(file, path, range)?,
            Line::Finding(mut finding) => {
                self.place(&mut finding.source)?;
                finding.id = log_finding_id(&finding.rule.id, &finding.matched, &finding.source);
                return Ok(Some(Merged::Finding(*finding)));
            }
            Line::Event(mut event) => {
                self.place(&mut event.source)?;
                return Ok(Some(Merged::Event(*event)));
            }
            Line::Coverage(coverage) => {
                let (Some(range), Some((_, whole))) = (self.piece.take(), &mut self.file) else {
                    return Err(Mismatch("a coverage stands outside a piece".into()));
                };
                whole.append(*coverage);
                self.expected = range.to.map_or((self.expected.0 + 1, 0), |to| (self.expected.0, to));
                if range.to.is_none() {
                    self.said.extend(self.file.take());
                }
            }
            Line::Shard(_) | Line::End { .. } => {}
        }
        Ok(None)
    }

    fn begin(&mut self, file: u64, path: String, range: Range) -> Result<(), Mismatch> {
        let place = (file, range.from);
        if self.piece.is_some() || place < self.expected || (place > self.expected && !self.lost) {
            let (other, byte) = self.expected;
            return Err(Mismatch(format!(
                "{path} (file {file}) goes on at byte {}, but byte {byte} of file {other} comes next: the inputs were not the same everywhere",
                range.from
            )));
        }
        if place.0 > self.expected.0 {
            self.said.extend(self.file.take());
        }
        self.gap = range.from > 0 && (self.gap && self.file.is_some() || place > self.expected);
        if place > self.expected && range.from > 0 {
            self.notes.push(format!(
                "{path}: bytes before {} are missing: from there, records are counted without them and lines are not given",
                range.from
            ));
        }
        self.lost = false;
        self.expected = place;
        self.piece = Some(range);
        self.file.get_or_insert_with(|| (path, Coverage::default()));
        Ok(())
    }

    fn place(&self, source: &mut Source) -> Result<(), Mismatch> {
        let (Source::File { record, line, .. }, Some((_, before)), Some(_)) = (source, &self.file, &self.piece) else {
            return Err(Mismatch("a finding stands outside a piece".into()));
        };
        *record += before.events;
        *line = line.filter(|_| !self.gap).map(|line| line + before.lines);
        Ok(())
    }

    /// Ends; `files` is how many there are.
    pub fn finish(mut self, files: u64) -> Result<Covered, Mismatch> {
        if self.expected != (files, 0) && !self.lost {
            let (file, byte) = self.expected;
            return Err(Mismatch(format!("nothing was scanned from byte {byte} of file {file} of {files} on")));
        }
        self.said.extend(self.file.take());
        Ok(Covered { files: self.said, gaps: self.notes })
    }
}

impl Coverage {
    /// Adds what was covered of the part that follows.
    fn append(&mut self, next: Self) {
        self.format = self.format.or(next.format);
        if let Some(line) = next.first_broken {
            self.first_broken.get_or_insert(self.lines + line);
        }
        self.bytes += next.bytes;
        self.lines += next.lines;
        self.events += next.events;
        self.broken += next.broken;
        self.undated += next.undated;
        self.parsed += next.parsed;
        self.findings += next.findings;
        self.unreadable = self.unreadable.take().or(next.unreadable);
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
