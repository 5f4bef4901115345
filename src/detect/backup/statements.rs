use std::io::{self, Read};

use memchr::memmem;

use super::text::Text;
use super::words::words;
use super::{Dialect, Word};

/// Longest statement or row, in bytes: more than any value a trading table holds, less than what hurts.
pub(super) const MAX_PIECE: usize = 64 << 20;
/// What is read at once.
const CHUNK: usize = 256 << 10;
/// The last comment of a whole `pg_dump`.
const TRAILER: &str = "PostgreSQL database dump complete";

/// Why a dump can't be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The bytes can't be read: a damaged gzip, a failing disk.
    #[error("failed to read the dump after {bytes} bytes")]
    Read {
        /// Bytes that were read before.
        bytes: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A statement or row is too long.
    #[error("line {line}: a statement is longer than 64 MiB")]
    TooLong {
        /// Line on which it starts, from 1.
        line: u64,
    },
    /// NUL bytes end a statement for one reader and not for another.
    #[error("line {line}: a NUL byte, which no dump holds")]
    Nul {
        /// Line, from 1.
        line: u64,
    },
    /// Not UTF-8.
    #[error("line {line}: text that is not UTF-8")]
    NotUtf8 {
        /// Line, from 1.
        line: u64,
    },
}

/// A part of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A statement without its `;` and without comments.
    Statement {
        /// Line on which it starts, from 1.
        line: u64,
        /// Its text.
        text: String,
        /// Whether the end of the dump came before its end.
        cut: bool,
    },
    /// Rows of `COPY ... FROM stdin`, in the text format of COPY: whole lines with their line feeds, without the closing `\\.`.
    Rows {
        /// Line of the first, from 1.
        line: u64,
        /// How many.
        count: u64,
        /// UTF-8 without NUL.
        bytes: Vec<u8>,
    },
    /// A command for `psql`.
    Meta {
        /// Line, from 1.
        line: u64,
        /// From the backslash to the end of the line.
        text: String,
    },
}

/// Splits a dump into pieces, as the program that would execute it does. Holds one piece at a time.
pub struct Statements<R> {
    reader: R,
    dialect: Dialect,
    chunk: Vec<u8>,
    at: usize,
    line: u64,
    bytes: u64,
    in_copy: bool,
    trailer: bool,
    started: Option<String>,
}

impl<R: Read> Statements<R> {
    /// Reads from the start of a decompressed dump.
    pub fn new(reader: R, dialect: Dialect) -> Self {
        Self {
            reader,
            dialect,
            chunk: Vec::new(),
            at: 0,
            line: 1,
            bytes: 0,
            in_copy: false,
            trailer: false,
            started: None,
        }
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the closing comment of `pg_dump` was seen with no statement after it.
    pub fn trailer(&self) -> bool {
        self.trailer
    }

    /// Whether the dump ended within the rows of a COPY.
    pub fn in_copy(&self) -> bool {
        self.in_copy
    }

    /// What `pg_dump --verbose` says of when it started.
    pub fn started(&self) -> Option<&str> {
        self.started.as_deref()
    }

    /// The next piece; `None` at the end.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, DumpError> {
        if self.in_copy
            && let Some(rows) = self.rows()?
        {
            return Ok(Some(rows));
        }
        if self.in_copy { Ok(None) } else { self.statement() }
    }

    /// The next rows of a COPY, as many whole lines as were read at once; `None` at the closing line, or at the end of the dump.
    fn rows(&mut self) -> Result<Option<Piece>, DumpError> {
        let line = self.line;
        let (block, used) = loop {
            let rest = self.chunk.get(self.at..).unwrap_or_default();
            let whole = memchr::memrchr(b'\n', rest).map_or(0, |last| last + 1);
            if let Some((start, end)) = closing(&rest[..whole]) {
                self.in_copy = false;
                break (start, end);
            }
            if whole > 0 {
                break (whole, whole);
            }
            if rest.len() >= MAX_PIECE {
                return Err(DumpError::TooLong { line });
            }
            if !self.fill()? {
                // The last line has no line feed.
                let rest = self.chunk.get(self.at..).unwrap_or_default();
                self.in_copy = rest != b"\\.";
                break (if self.in_copy { rest.len() } else { 0 }, rest.len());
            }
        };
        let bytes = self.chunk[self.at..self.at + block].to_vec();
        self.line += memchr::memchr_iter(b'\n', &self.chunk[self.at..self.at + used]).count() as u64;
        self.at += used;
        if bytes.is_empty() {
            return Ok(None);
        }
        let at = |offset: usize| line + memchr::memchr_iter(b'\n', &bytes[..offset]).count() as u64;
        if let Some(nul) = memchr::memchr(0, &bytes) {
            return Err(DumpError::Nul { line: at(nul) });
        }
        if let Err(error) = std::str::from_utf8(&bytes) {
            return Err(DumpError::NotUtf8 { line: at(error.valid_up_to()) });
        }
        let count = memchr::memchr_iter(b'\n', &bytes).count() as u64 + u64::from(!bytes.ends_with(b"\n"));
        Ok(Some(Piece::Rows { line, count, bytes }))
    }

    fn statement(&mut self) -> Result<Option<Piece>, DumpError> {
        let mut text = Text::default();
        loop {
            let line = self.line;
            let Some(byte) = self.byte()? else {
                let text = text.finish()?;
                let rest = text.1.trim();
                return Ok((!rest.is_empty()).then(|| Piece::Statement {
                    line: text.0,
                    text: rest.to_owned(),
                    cut: true,
                }));
            };
            match byte {
                b'-' if self.peek()? == Some(b'-') => {
                    let comment = self.rest_of_line(line)?.unwrap_or_default();
                    self.comment(comment.trim_start_matches('-').trim(), text.is_blank());
                    text.push(b'\n', line)?;
                }
                b'/' if self.peek()? == Some(b'*') => {
                    self.block_comment()?;
                    text.push(b' ', line)?;
                }
                b'\\' if self.dialect == Dialect::Postgres => {
                    let rest = self.rest_of_line(line)?.unwrap_or_default();
                    return Ok(Some(Piece::Meta { line, text: format!("\\{rest}") }));
                }
                b'\'' => {
                    let escapes = self.dialect == Dialect::Postgres && text.ends_in_escape_prefix();
                    text.push(byte, line)?;
                    self.quoted(&mut text, b'\'', escapes)?;
                }
                b'"' => {
                    text.push(byte, line)?;
                    self.quoted(&mut text, b'"', false)?;
                }
                b'`' if self.dialect == Dialect::Sqlite => {
                    text.push(byte, line)?;
                    self.quoted(&mut text, b'`', false)?;
                }
                b'[' if self.dialect == Dialect::Sqlite => {
                    text.push(byte, line)?;
                    self.until(&mut text, b"]")?;
                }
                b'$' if self.dialect == Dialect::Postgres => {
                    text.push(byte, line)?;
                    self.dollar(&mut text)?;
                }
                b';' if !self.inside_trigger(&text) => {
                    let (line, text) = text.finish()?;
                    let text = text.trim().to_owned();
                    if text.is_empty() {
                        return self.next_piece();
                    }
                    self.trailer = false;
                    self.in_copy = self.dialect == Dialect::Postgres && is_copy_from_stdin(&text);
                    if self.in_copy {
                        // psql hands the line's rest to nobody: the rows start on the next one.
                        let number = self.line;
                        self.rest_of_line(number)?;
                    }
                    return Ok(Some(Piece::Statement { line, text, cut: false }));
                }
                _ => text.push(byte, line)?,
            }
        }
    }

    fn comment(&mut self, words: &str, outside: bool) {
        if !outside || self.dialect != Dialect::Postgres {
            return;
        }
        if words == TRAILER {
            self.trailer = true;
        } else if let Some(started) = words.strip_prefix("Started on ")
            && self.started.is_none()
            && started.len() < 64
        {
            self.started = Some(started.to_owned());
        }
    }

    /// On that dialect, a trigger's body holds statements; it ends at `; END ;` (as `sqlite3_complete` has it).
    fn inside_trigger(&self, text: &Text) -> bool {
        if self.dialect != Dialect::Sqlite || !text.may_be_trigger() {
            return false;
        }
        let text = String::from_utf8_lossy(&text.bytes);
        let words = words(&text, self.dialect);
        let trigger = matches!(&words[..], [create, trigger, ..] if create.is("CREATE") && trigger.is("TRIGGER"))
            || matches!(&words[..], [create, temp, trigger, ..]
                if create.is("CREATE") && (temp.is("TEMP") || temp.is("TEMPORARY")) && trigger.is("TRIGGER"));
        trigger && !matches!(&words[..], [.., Word::Sign(';'), end] if end.is("END"))
    }

    fn quoted(&mut self, text: &mut Text, quote: u8, escapes: bool) -> Result<(), DumpError> {
        while let Some(byte) = self.byte()? {
            text.push(byte, self.line)?;
            if escapes && byte == b'\\' {
                if let Some(next) = self.byte()? {
                    text.push(next, self.line)?;
                }
            } else if byte == quote {
                if self.peek()? != Some(quote) {
                    return Ok(());
                }
                if let Some(next) = self.byte()? {
                    text.push(next, self.line)?;
                }
            }
        }
        Ok(())
    }

    fn until(&mut self, text: &mut Text, end: &[u8]) -> Result<(), DumpError> {
        let start = text.bytes.len();
        while let Some(byte) = self.byte()? {
            text.push(byte, self.line)?;
            if text.bytes[start..].ends_with(end) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// After a `$`: a dollar-quoted string if a tag and a second `$` follow, else a parameter or part of a name.
    fn dollar(&mut self, text: &mut Text) -> Result<(), DumpError> {
        let before = text.bytes.iter().rev().nth(1).copied();
        if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80) {
            return Ok(());
        }
        let mut tag = vec![b'$'];
        loop {
            match self.peek()? {
                Some(b'$') => {
                    self.byte()?;
                    text.push(b'$', self.line)?;
                    tag.push(b'$');
                    return self.until(text, &tag);
                }
                Some(byte)
                    if tag.len() < 64
                        && (byte == b'_'
                            || byte.is_ascii_alphabetic()
                            || byte >= 0x80
                            || (byte.is_ascii_digit() && tag.len() > 1)) =>
                {
                    self.byte()?;
                    text.push(byte, self.line)?;
                    tag.push(byte);
                }
                _ => return Ok(()),
            }
        }
    }

    fn block_comment(&mut self) -> Result<(), DumpError> {
        self.byte()?;
        let mut depth = 1_u32;
        while let Some(byte) = self.byte()? {
            if byte == b'*' && self.peek()? == Some(b'/') {
                self.byte()?;
                depth -= 1;
                if depth == 0 {
                    return Ok(());
                }
            } else if byte == b'/' && self.dialect == Dialect::Postgres && self.peek()? == Some(b'*') {
                // Comments nest on PostgreSQL, not on SQLite.
                self.byte()?;
                depth = depth.saturating_add(1);
            }
        }
        Ok(())
    }

    fn rest_of_line(&mut self, line: u64) -> Result<Option<String>, DumpError> {
        let mut bytes = Vec::new();
        let mut any = false;
        while let Some(byte) = self.byte()? {
            any = true;
            if byte == b'\n' {
                break;
            }
            if bytes.len() >= MAX_PIECE {
                return Err(DumpError::TooLong { line });
            }
            bytes.push(byte);
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if !any {
            return Ok(None);
        }
        String::from_utf8(bytes).map(Some).map_err(|_| DumpError::NotUtf8 { line })
    }

    fn byte(&mut self) -> Result<Option<u8>, DumpError> {
        let Some(byte) = self.peek()? else { return Ok(None) };
        self.at += 1;
        match byte {
            b'\n' => self.line += 1,
            0 => return Err(DumpError::Nul { line: self.line }),
            _ => {}
        }
        Ok(Some(byte))
    }

    fn peek(&mut self) -> Result<Option<u8>, DumpError> {
        if self.at == self.chunk.len() {
            self.fill()?;
        }
        Ok(self.chunk.get(self.at).copied())
    }

    /// Reads more behind what was not used yet; `false` at the end.
    fn fill(&mut self) -> Result<bool, DumpError> {
        self.chunk.drain(..self.at);
        self.at = 0;
        let kept = self.chunk.len();
        self.chunk.resize(kept + CHUNK, 0);
        let read = loop {
            match self.reader.read(&mut self.chunk[kept..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.chunk.truncate(kept + read.as_ref().map_or(0, |read| *read));
        let read = read.map_err(|source| DumpError::Read { bytes: self.bytes, source })?;
        self.bytes += read as u64;
        Ok(read > 0)
    }
}

/// Where the closing line of a COPY starts and ends within whole lines.
fn closing(lines: &[u8]) -> Option<(usize, usize)> {
    memmem::find_iter(lines, b"\\.").find_map(|start| {
        let rest = &lines[start + 2..];
        let ends = if rest.starts_with(b"\n") {
            1
        } else if rest.starts_with(b"\r\n") {
            2
        } else {
            return None;
        };
        (start == 0 || lines[start - 1] == b'\n').then_some((start, start + 2 + ends))
    })
}

fn is_copy_from_stdin(text: &str) -> bool {
    text.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("copy"))
        && words(text, Dialect::Postgres).windows(2).any(|pair| pair[0].is("FROM") && pair[1].is("STDIN"))
}
