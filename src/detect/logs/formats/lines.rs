use std::io::{self, BufRead};

use super::{GoesOn, MAX_RECORD};

/// A piece of a stream, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Line on which it starts, from 1.
    pub line: u64,
    /// Byte at which it starts, from 0.
    pub offset: u64,
    /// Its bytes; `None` where it was too long to be kept.
    pub bytes: Option<Vec<u8>>,
}

/// Finds records that are not the lines.
pub trait Split {
    /// The next record.
    fn next_record(&mut self) -> io::Result<Option<Chunk>>;

    /// Bytes read so far.
    fn bytes(&self) -> u64;

    /// Line ends read so far; an end of the stream without one counts too.
    fn lines(&self) -> u64;
}

/// A stream read line by line in bounded memory: what the other splitters stand on.
pub(super) struct Lines<R> {
    reader: R,
    /// Lines read.
    pub(super) line: u64,
    /// Bytes read.
    pub(super) offset: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, offset: u64) -> Self {
        Self { reader, line: 0, offset }
    }

    /// The first byte of the next line.
    pub(super) fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return Ok(other?.first().copied()),
            }
        }
    }

    /// Adds the next line with its end to `bytes`, as far as these stay within the largest record; false at the end.
    pub(super) fn add_line(&mut self, bytes: &mut Vec<u8>, too_long: &mut bool) -> io::Result<bool> {
        let start = self.offset;
        loop {
            let available = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if available.is_empty() {
                break;
            }
            let end = memchr::memchr(b'\n', available);
            let take = end.map_or(available.len(), |at| at + 1);
            if bytes.len() + take > MAX_RECORD {
                *too_long = true;
                bytes.clear();
            } else if !*too_long {
                bytes.extend_from_slice(&available[..take]);
            }
            self.reader.consume(take);
            self.offset += take as u64;
            if end.is_some() {
                break;
            }
        }
        self.line += u64::from(self.offset > start);
        Ok(self.offset > start)
    }

    /// Exactly so many bytes (the data of a binary field), added to `bytes` within the same bound.
    pub(super) fn add_bytes(&mut self, mut count: u64, bytes: &mut Vec<u8>, too_long: &mut bool) -> io::Result<()> {
        while count > 0 {
            let available = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if available.is_empty() {
                return Ok(());
            }
            let take = available.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            if bytes.len() + take > MAX_RECORD {
                *too_long = true;
                bytes.clear();
            } else if !*too_long {
                bytes.extend_from_slice(&available[..take]);
            }
            self.line += memchr::memchr_iter(b'\n', &available[..take]).count() as u64;
            self.reader.consume(take);
            self.offset += take as u64;
            count -= take as u64;
        }
        Ok(())
    }
}

/// Records of which each goes on over lines that begin in certain ways, as PostgreSQL's do with a tab.
pub struct Continued<R> {
    lines: Lines<R>,
    goes_on: GoesOn,
}

impl<R: BufRead> Continued<R> {
    /// Starts at line 1 and the given byte.
    pub(in crate::detect::logs) fn new(reader: R, offset: u64, goes_on: GoesOn) -> Self {
        Self { lines: Lines::new(reader, offset), goes_on }
    }
}

impl<R: BufRead> Split for Continued<R> {
    fn next_record(&mut self) -> io::Result<Option<Chunk>> {
        let (line, offset) = (self.lines.line + 1, self.lines.offset);
        let mut bytes = Vec::new();
        let mut too_long = false;
        if !self.lines.add_line(&mut bytes, &mut too_long)? {
            return Ok(None);
        }
        while self.lines.peek()?.is_some_and(self.goes_on) {
            self.lines.add_line(&mut bytes, &mut too_long)?;
        }
        Ok(Some(Chunk { line, offset, bytes: (!too_long).then_some(bytes) }))
    }

    fn bytes(&self) -> u64 {
        self.lines.offset
    }

    fn lines(&self) -> u64 {
        self.lines.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continued_lines_belong_to_the_first() {
        let mut records = Continued::new(&b"one\r\n\ttwo\n\nthree\n\tfour"[..], 0, |first| first == b'\t');
        let mut got = Vec::new();
        while let Some(chunk) = records.next_record().unwrap() {
            got.push((chunk.line, chunk.offset, String::from_utf8(chunk.bytes.unwrap()).unwrap()));
        }
        assert_eq!(got, [(1, 0, "one\r\n\ttwo\n".into()), (3, 10, "\n".into()), (4, 11, "three\n\tfour".into())]);
        assert_eq!(records.bytes(), 22);
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let mut text = vec![b'x'; MAX_RECORD + 1];
        text.extend_from_slice(b"\nnext\n");
        let mut records = Continued::new(&text[..], 0, |first| first == b'\t');
        assert_eq!(records.next_record().unwrap().unwrap().bytes, None);
        assert_eq!(records.next_record().unwrap().unwrap().bytes.unwrap(), b"next\n");
    }
}
