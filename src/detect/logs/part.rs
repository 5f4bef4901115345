//! A part of a stream, by bytes: the records that begin within it. Where one ends and the next begins can be told without
//! what came before for records that are lines, or lines of which the first byte tells whether they go on the one before.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use super::block::HEAD;
use super::decode::is_packed;
use super::formats::{self, Layout};
use super::scan::ScanOptions;

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// What the first bytes of a stream say about all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub(super) layout: Arc<Layout>,
    /// Where the first record begins: after a byte order mark.
    start: u64,
}

impl Head {
    /// Bytes that are looked at.
    pub const BYTES: usize = HEAD;

    /// From a stream's first [`Head::BYTES`] bytes (all of a shorter one); `None` if the stream can't be cut apart: it is
    /// compressed, or what a record is follows from all that came before.
    pub fn of(bytes: &[u8], options: &ScanOptions) -> Option<Self> {
        if is_packed(bytes) {
            return None;
        }
        let layout = formats::layout(bytes, bytes.len() < HEAD, options.format.as_ref());
        let start: u64 = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let cuttable = layout.split(start).is_none() || layout.format.goes_on().is_some();
        cuttable.then(|| Self { layout: Arc::new(layout), start })
    }

    /// Whether a line goes on a record when it begins with this byte.
    fn goes_on(&self, first: u8) -> bool {
        self.layout.format.goes_on().is_some_and(|goes_on| goes_on(first))
    }
}

/// Bytes of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Range {
    /// The first.
    pub from: u64,
    /// The first after; nothing stands for the stream's end.
    pub to: Option<u64>,
}

impl Range {
    /// All of a stream.
    pub const ALL: Self = Self { from: 0, to: None };

    /// Where a reader must be for [`super::Blocks::part`].
    pub fn begin(&self) -> u64 {
        self.from.saturating_sub(1)
    }
}

/// Reads up to the first record that begins at `to` or later.
pub(super) struct Part<R> {
    reader: BufReader<R>,
    head: Head,
    at: u64,
    to: Option<u64>,
    /// The last byte was the end of a line.
    ended: bool,
}

impl<R: Read> Part<R> {
    /// Passes over the record that began before the range; with it the byte at which the first within it begins.
    pub(super) fn begin(reader: R, head: &Head, range: &Range) -> io::Result<(Self, u64)> {
        let reader = BufReader::with_capacity(BUFFER, reader);
        let mut part = Self { reader, head: head.clone(), at: range.begin(), to: None, ended: false };
        if range.from > head.start {
            part.to = Some(range.from);
            while let Some(there) = part.next()? {
                part.pass(there);
            }
        } else {
            // A byte order mark is no part of the first record.
            let passed = head.start - part.at;
            let passed = io::copy(&mut part.reader.by_ref().take(passed), &mut io::sink())?;
            part.at += passed;
            part.ended = true;
        }
        part.to = range.to;
        let at = part.at;
        Ok((part, at))
    }

    /// Bytes at hand that belong to the part; `None` at its end.
    fn next(&mut self) -> io::Result<Option<usize>> {
        let (at, to, ended) = (self.at, self.to, self.ended);
        let bytes = loop {
            match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let Some(first) = bytes.first() else { return Ok(None) };
        let Some(to) = to else { return Ok(Some(bytes.len())) };
        if at < to {
            return Ok(Some(bytes.len().min(usize::try_from(to - at).unwrap_or(usize::MAX))));
        }
        if ended && !self.head.goes_on(*first) {
            return Ok(None);
        }
        Ok(Some(memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1)))
    }

    fn pass(&mut self, bytes: usize) {
        self.ended = self.reader.buffer().get(bytes - 1) == Some(&b'\n');
        self.reader.consume(bytes);
        self.at += bytes as u64;
    }
}

impl<R: Read> Read for Part<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(there) = self.next()?.filter(|_| !into.is_empty()) else { return Ok(0) };
        let bytes = there.min(into.len());
        into[..bytes].copy_from_slice(&self.reader.buffer()[..bytes]);
        self.pass(bytes);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::formats::Format;
    use super::*;

    fn part(text: &str, from: u64, to: Option<u64>, format: Format) -> (String, u64) {
        let options = ScanOptions { format: Some(formats::Wanted::Named(format)), ..ScanOptions::default() };
        let head = Head::of(text.as_bytes(), &options).unwrap();
        let range = Range { from, to };
        let rest = &text.as_bytes()[usize::try_from(range.begin()).unwrap()..];
        let (mut part, at) = Part::begin(rest, &head, &range).unwrap();
        let mut out = String::new();
        part.read_to_string(&mut out).unwrap();
        (out, at)
    }

    #[test]
    fn a_record_belongs_to_the_part_in_which_it_begins() {
        let text = "one\ntwo\nthree\nfour";
        for (from, to, want, at) in [
            (0, None, text, 0),
            (0, Some(4), "one\n", 0),
            (0, Some(5), "one\ntwo\n", 0),
            (1, Some(4), "", 4),
            (1, Some(5), "two\n", 4),
            (4, Some(8), "two\n", 4),
            (5, Some(6), "", 8),
            (8, None, "three\nfour", 8),
            (15, None, "", 18),
        ] {
            assert_eq!(part(text, from, to, Format::Text), (want.to_owned(), at), "{from} {to:?}");
        }
    }

    #[test]
    fn lines_that_go_on_stay_with_their_record() {
        let text = "one\n\tmore\n\tmore\ntwo\n\tmore\n";
        assert_eq!(part(text, 0, Some(5), Format::PostgresText), ("one\n\tmore\n\tmore\n".into(), 0));
        assert_eq!(part(text, 4, Some(30), Format::PostgresText), ("two\n\tmore\n".into(), 16));
        assert_eq!(part(text, 17, None, Format::PostgresText), (String::new(), 26));
        let text = "2026/11/24 one\nStack trace:\n\n#0 x\n2026/11/24 two\nthrown\n";
        assert_eq!(part(text, 0, Some(20), Format::NginxError), (text[..34].into(), 0));
        assert_eq!(part(text, 16, Some(40), Format::NginxError), (text[34..].into(), 34));
    }

    #[test]
    fn a_mark_at_the_start_is_passed_over() {
        assert_eq!(part("\u{feff}one\ntwo\n", 0, Some(5), Format::Text), ("one\n".into(), 3));
        assert_eq!(part("\u{feff}one\ntwo\n", 5, None, Format::Text), ("two\n".into(), 7));
    }

    #[test]
    fn what_is_packed_or_has_no_seams_stays_whole() {
        let options = ScanOptions::default();
        for whole in [&b"\x1f\x8b\x08\0"[..], b"[{\"a\":1}]", b"__CURSOR=s=1\nMESSAGE=x\n\n", b"a,b,c\n1,2,3\n"] {
            assert_eq!(Head::of(whole, &options), None);
        }
    }
}
