use std::io::{self, BufRead};

use super::MAX_RECORD;

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

/// Splits a stream into lines, in bounded memory. Blank lines are left out, a trailing `\r` too.
pub struct Lines<R> {
    reader: R,
    line: u64,
    offset: u64,
}

impl<R: BufRead> Lines<R> {
    /// Starts at line 1, byte 0.
    pub fn new(reader: R) -> Self {
        Self { reader, line: 0, offset: 0 }
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.offset
    }

    /// The next line.
    pub fn next_line(&mut self) -> io::Result<Option<Chunk>> {
        loop {
            let start = self.offset;
            let mut bytes = Vec::new();
            let mut too_long = false;
            let mut ended = false;
            while !ended {
                let available = match self.reader.fill_buf() {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    other => other?,
                };
                if available.is_empty() {
                    break;
                }
                let end = memchr::memchr(b'\n', available);
                let take = end.map_or(available.len(), |at| at + 1);
                ended = end.is_some();
                if bytes.len() + take > MAX_RECORD {
                    too_long = true;
                    bytes = Vec::new();
                } else if !too_long {
                    bytes.extend_from_slice(&available[..take]);
                }
                self.reader.consume(take);
                self.offset += take as u64;
            }
            if self.offset == start {
                return Ok(None);
            }
            self.line += 1;
            while matches!(bytes.last(), Some(b'\n' | b'\r')) {
                bytes.pop();
            }
            if too_long {
                return Ok(Some(Chunk { line: self.line, offset: start, bytes: None }));
            }
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(Chunk { line: self.line, offset: start, bytes: Some(bytes) }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_places() {
        let mut lines = Lines::new(&b"one\r\n\n two\nthree"[..]);
        let mut got = Vec::new();
        while let Some(chunk) = lines.next_line().unwrap() {
            got.push((chunk.line, chunk.offset, String::from_utf8(chunk.bytes.unwrap()).unwrap()));
        }
        assert_eq!(got, [(1, 0, "one".into()), (3, 6, " two".into()), (4, 11, "three".into())]);
        assert_eq!(lines.bytes(), 16);
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let mut text = vec![b'x'; MAX_RECORD + 1];
        text.extend_from_slice(b"\nnext\n");
        let mut lines = Lines::new(&text[..]);
        assert_eq!(lines.next_line().unwrap().unwrap().bytes, None);
        assert_eq!(lines.next_line().unwrap().unwrap().bytes.unwrap(), b"next");
    }
}
