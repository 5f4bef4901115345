//! Lists of indicators, whatever their form.

use std::io::{self, Read};

use serde::Serialize;

use super::kind::Named;
use super::lines::Lines;
use super::set::Set;
use super::{Indicators, misp, stix, value};
use crate::domain::Level;

/// Most indicators of all lists.
pub const MOST: usize = 2_000_000;
/// Most lists.
const MOST_FILES: usize = 10_000;
/// Most refused values of one list that are named; the others are counted.
const NAMED: u64 = 20;
/// Longest description that is kept, in bytes.
const LONGEST_NOTE: usize = 200;
/// Bytes of a list that are read at once.
const PIECE: u64 = 256 << 10;
/// Most bytes of all texts.
const MOST_BYTES: usize = 1 << 30;

/// A list that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ListFile {
    /// Its name.
    pub name: String,
    /// `lines`, `csv`, `stix` or `misp`.
    pub format: &'static str,
    /// Indicators that are looked for.
    pub indicators: u64,
    /// Those that were there already.
    pub repeated: u64,
    /// Those that are refused.
    pub refused: u64,
    /// Those that the list itself does not want looked for (`to_ids` of MISP, `revoked` of STIX).
    pub left_out: u64,
}

/// A value that is not looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its list.
    pub file: String,
    /// Its line, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// Reads lists.
#[derive(Debug, Default)]
pub struct Reader {
    pub(super) set: Set,
    files: Vec<ListFile>,
    refused: Vec<Refused>,
}

/// What stands in a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) named: Option<Named>,
    pub(super) value: &'a str,
    pub(super) note: &'a str,
    pub(super) level: Option<Level>,
    pub(super) line: u64,
}

impl Reader {
    /// Reads a list; its form is found by its content. What is wrong in it is refused by line, the rest is used.
    pub fn read(&mut self, name: &str, bytes: &[u8]) {
        if let Err(error) = self.read_from(name, bytes) {
            self.unreadable(name, &error.to_string());
        }
    }

    /// Reads a list piece by piece, unless it is JSON; what stands before an error is used.
    pub fn read_from(&mut self, name: &str, mut from: impl Read) -> io::Result<()> {
        if self.files.len() >= MOST_FILES {
            self.unreadable(name, &format!("more than {MOST_FILES} lists"));
            return Ok(());
        }
        self.files.push(ListFile { name: name.to_owned(), format: "lines", ..ListFile::default() });
        let read = self.pieces(&mut from);
        if let Some(file) = self.files.last()
            && file.refused > NAMED
        {
            let reason = format!("{} more values are refused", file.refused - NAMED);
            self.refused.push(Refused { file: file.name.clone(), line: 1, reason });
        }
        read
    }

    fn pieces(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let (mut bytes, mut lines, mut first) = (Vec::new(), Lines::default(), true);
        loop {
            let before = bytes.len();
            (&mut *from).take(PIECE).read_to_end(&mut bytes)?;
            let ended = bytes.len() == before;
            if std::mem::take(&mut first) {
                if bytes.starts_with(b"\xef\xbb\xbf") {
                    bytes.drain(..3);
                }
                if matches!(bytes.trim_ascii_start(), [b'{' | b'[', ..]) {
                    from.read_to_end(&mut bytes)?;
                    self.json(&String::from_utf8_lossy(&bytes));
                    return Ok(());
                }
            }
            // A line that is not yet whole waits for its rest.
            let end = if ended { bytes.len() } else { memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1) };
            lines.read(self, &String::from_utf8_lossy(&bytes[..end]));
            bytes.drain(..end);
            if ended {
                lines.finish(self);
                return Ok(());
            }
        }
    }

    fn json(&mut self, text: &str) {
        if stix::is(text) {
            self.format("stix");
            stix::read(self, text);
        } else {
            self.format("misp");
            misp::read(self, text);
        }
    }

    /// Notes that a list could not be read.
    pub fn unreadable(&mut self, name: &str, reason: &str) {
        self.refused.push(Refused { file: name.to_owned(), line: 1, reason: reason.to_owned() });
    }

    /// What was read.
    pub fn finish(mut self) -> Indicators {
        self.set.shrink();
        Indicators { set: self.set, files: self.files, refused: self.refused }
    }

    pub(super) fn format(&mut self, format: &'static str) {
        if let Some(file) = self.files.last_mut() {
            file.format = format;
        }
    }

    pub(super) fn left_out(&mut self) {
        if let Some(file) = self.files.last_mut() {
            file.left_out += 1;
        }
    }

    /// Takes a value, or refuses it.
    pub(super) fn give(&mut self, given: Given<'_>) {
        if self.set.len() >= MOST || self.set.size() >= MOST_BYTES {
            return self.refuse(given.line, format!("more than {MOST} indicators, or 1 GiB of them"));
        }
        let value = match value::read(given.named, given.value) {
            Ok(value) => value,
            Err(reason) => return self.refuse(given.line, reason),
        };
        let at = u16::try_from(self.files.len().saturating_sub(1)).unwrap_or(u16::MAX);
        let place = (at, u32::try_from(given.line).unwrap_or(u32::MAX));
        let note = given.note.trim();
        let end = (0..=LONGEST_NOTE.min(note.len())).rev().find(|end| note.is_char_boundary(*end)).unwrap_or(0);
        let fresh = self.set.add(&value, &note[..end], place, given.level.unwrap_or(Level::High));
        if let Some(file) = self.files.last_mut() {
            *(if fresh { &mut file.indicators } else { &mut file.repeated }) += 1;
        }
    }

    /// Says that something is not looked for.
    pub(super) fn refuse(&mut self, line: u64, reason: impl Into<String>) {
        let Some(file) = self.files.last_mut() else { return };
        file.refused += 1;
        if file.refused <= NAMED {
            self.refused.push(Refused { file: file.name.clone(), line, reason: reason.into() });
        }
    }
}

/// Lines of places in a text, asked for in their order.
pub(super) struct LineOf<'a> {
    text: &'a str,
    at: usize,
    line: u64,
}

impl<'a> LineOf<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// The line of a part of the text.
    pub(super) fn of(&mut self, part: &str) -> u64 {
        let place = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr()).min(self.text.len());
        if place > self.at {
            self.line += memchr::memchr_iter(b'\n', &self.text.as_bytes()[self.at..place]).count() as u64;
            self.at = place;
        }
        self.line
    }
}
