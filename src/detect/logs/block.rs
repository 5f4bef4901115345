//! A stream in blocks of whole records: cut one after another, scanned side by side.

use std::io::{self, BufRead, Cursor, Read};
use std::sync::Arc;

use super::buffer::{Buffer, Spare};
use super::formats::{self, Format, JsonRecords, Layout, MAX_RECORD};
use super::part::{Head, Part, Range};
use super::scan::ScanOptions;
use super::{Decoded, decode};

/// Bytes of one block; a longer record makes a longer block.
const BLOCK: usize = 256 << 10;
/// Bytes that are looked at to find the format.
pub(super) const HEAD: usize = 64 << 10;

/// Whole records of a stream.
#[derive(Debug)]
pub struct Block {
    pub(super) bytes: Buffer,
    /// Where the block starts in the (decompressed) stream.
    pub(super) offset: u64,
    /// The records, where they are not the lines.
    pub(super) spans: Option<Vec<Span>>,
    /// Records that were too long to be kept: the line of each, from 1 within the block.
    pub(super) too_long: Vec<u64>,
    /// Bytes of the stream that the block stands for.
    pub(super) covers: u64,
    /// Lines that it stands for; counted by the scan where records are lines.
    pub(super) lines: u64,
    pub(super) layout: Arc<Layout>,
}

impl Block {
    fn empty(offset: u64, layout: Arc<Layout>) -> Self {
        let (bytes, spans, too_long) = (Buffer::default(), None, Vec::new());
        Self { bytes, offset, spans, too_long, covers: 0, lines: 0, layout }
    }

    /// Bytes of the stream that the block stands for.
    pub fn covers(&self) -> u64 {
        self.covers
    }
}

/// A record in a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Line on which it starts, from 1 within the block.
    pub(super) line: u64,
    /// Byte of the stream at which it starts.
    pub(super) offset: u64,
}

enum Cut<'a> {
    Lines { source: Box<dyn Read + Send + 'a>, rest: Vec<u8>, offset: u64, ended: bool },
    Spans(Box<dyn formats::Split + Send + 'a>),
    Nothing,
}

/// Cuts a stream into blocks.
pub struct Blocks<'a> {
    cut: Cut<'a>,
    layout: Option<Arc<Layout>>,
    failed: Option<String>,
    spare: Spare,
}

impl<'a> Blocks<'a> {
    /// Finds compression and format of a stream.
    pub fn new(reader: impl Read + Send + 'a, options: &ScanOptions) -> Self {
        let mut blocks = Self { cut: Cut::Nothing, layout: None, failed: None, spare: Spare::default() };
        match decode(reader) {
            Ok(Decoded::Stream(stream)) => blocks.open(stream, options),
            Ok(Decoded::Unsupported(kind)) => {
                blocks.failed = Some(format!("{kind} is not read by this version: decompress it first"));
            }
            Err(error) => blocks.failed = Some(format!("reading failed after 0 bytes: {error}")),
        }
        blocks
    }

    fn open(&mut self, mut stream: Box<dyn BufRead + Send + 'a>, options: &ScanOptions) {
        let mut head = Vec::new();
        let failed = stream.by_ref().take(HEAD as u64).read_to_end(&mut head).err();
        let whole = head.len() < HEAD && failed.is_none();
        let layout = Arc::new(formats::layout(&head, whole, options.format.as_ref()));
        let start: u64 = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let mut head = Cursor::new(head);
        head.set_position(start);
        // A stream that failed once is not asked again, but what came before is scanned.
        let rest: Box<dyn Read + Send> = match failed {
            Some(error) => Box::new(FailingReader(Some(error))),
            None => Box::new(stream),
        };
        self.cut(Box::new(head.chain(rest)), layout, start);
    }

    /// Cuts what comes from `offset` on.
    fn cut(&mut self, source: Box<dyn Read + Send + 'a>, layout: Arc<Layout>, offset: u64) {
        self.cut = match layout.split(offset) {
            None => Cut::Lines { source, rest: Vec::new(), offset, ended: false },
            Some(kind) => Cut::Spans(kind.of(Box::new(io::BufReader::with_capacity(BLOCK / 2, source)))),
        };
        self.layout = Some(layout);
    }

    /// Cuts a part of a stream that is neither compressed nor read before: the records that begin within `range`.
    /// `reader` is at the byte before the range (at the first where it begins with the stream). Records and lines count
    /// from the part's start, bytes from the stream's.
    pub fn part(reader: impl Read + Send + 'a, head: &Head, range: &Range) -> Self {
        let mut blocks = Self { cut: Cut::Nothing, layout: None, failed: None, spare: Spare::default() };
        match Part::begin(reader, head, range) {
            Ok((part, offset)) => blocks.cut(Box::new(part), head.layout.clone(), offset),
            Err(error) => {
                blocks.layout = Some(head.layout.clone());
                blocks.failed = Some(format!("reading failed after {} bytes: {error}", range.from));
            }
        }
        blocks
    }

    /// The format that was found.
    pub fn format(&self) -> Option<Format> {
        self.layout.as_ref().map(|layout| layout.format)
    }

    /// Why reading ended before the end of the stream, or why nothing was read.
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// The next block; nothing at the end, and after a failure that [`Blocks::failed`] tells.
    pub fn next_block(&mut self) -> Option<Block> {
        let layout = self.layout.clone()?;
        let (block, error) = match &mut self.cut {
            Cut::Lines { source, rest, offset, ended } => {
                lines(source, self.spare.buffer(), rest, offset, ended, layout)
            }
            Cut::Spans(split) => spans(split.as_mut(), self.spare.buffer(), layout),
            Cut::Nothing => return None,
        };
        let at = block.offset + block.covers;
        if let Some(error) = error {
            self.cut = Cut::Nothing;
            self.failed = Some(format!("reading failed after {at} bytes: {error}"));
        }
        if block.covers == 0 && block.too_long.is_empty() {
            self.cut = Cut::Nothing;
            return None;
        }
        Some(block)
    }
}

fn lines(
    source: &mut dyn Read,
    mut bytes: Buffer,
    rest: &mut Vec<u8>,
    offset: &mut u64,
    ended: &mut bool,
    layout: Arc<Layout>,
) -> (Block, Option<io::Error>) {
    bytes.extend(rest);
    rest.clear();
    let mut block = Block::empty(*offset, layout);
    let mut looked = 0;
    let mut failed = None;
    while !*ended {
        let before = bytes.len();
        let wanted = if before < BLOCK { BLOCK - before } else { BLOCK };
        if let Err(error) = bytes.fill(source, wanted) {
            (*ended, failed) = (true, Some(error));
            break;
        }
        if bytes.len() == before {
            *ended = true;
            break;
        }
        if let Some(at) = memchr::memrchr(b'\n', &bytes[looked..]) {
            let end = looked + at + 1;
            rest.extend_from_slice(&bytes[end..]);
            bytes.truncate(end);
            break;
        }
        looked = bytes.len();
        if bytes.len() > MAX_RECORD {
            let (passed, error, end) = pass_line(source, rest);
            block.too_long.push(1);
            block.covers = bytes.len() as u64 + passed;
            block.lines = 1;
            *offset += block.covers;
            *ended = end || error.is_some();
            return (block, error);
        }
    }
    block.covers = bytes.len() as u64;
    block.bytes = bytes;
    *offset += block.covers;
    (block, failed)
}

/// Reads up to the end of a line that is too long to be kept. What was read beyond goes to `rest`.
fn pass_line(source: &mut dyn Read, rest: &mut Vec<u8>) -> (u64, Option<io::Error>, bool) {
    let mut passed = 0;
    let mut part = Vec::with_capacity(BLOCK / 8);
    loop {
        part.clear();
        if let Err(error) = (&mut *source).take(BLOCK as u64 / 8).read_to_end(&mut part) {
            return (passed + part.len() as u64, Some(error), true);
        }
        if part.is_empty() {
            return (passed, None, true);
        }
        if let Some(at) = memchr::memchr(b'\n', &part) {
            rest.extend_from_slice(&part[at + 1..]);
            return (passed + at as u64 + 1, None, false);
        }
        passed += part.len() as u64;
    }
}

fn spans(split: &mut dyn formats::Split, buffer: Buffer, layout: Arc<Layout>) -> (Block, Option<io::Error>) {
    let (offset, before) = (split.bytes(), split.lines());
    let mut block = Block { bytes: buffer, ..Block::empty(offset, layout) };
    let mut spans = Vec::new();
    let mut failed = None;
    while block.bytes.len() < BLOCK && split.bytes() - offset < 4 * BLOCK as u64 {
        match split.next_record() {
            Ok(Some(chunk)) => match chunk.bytes {
                None => block.too_long.push(chunk.line - before),
                Some(bytes) => {
                    let start = block.bytes.len();
                    block.bytes.extend(&bytes);
                    let end = block.bytes.len();
                    spans.push(Span { start, end, line: chunk.line - before, offset: chunk.offset });
                }
            },
            Ok(None) => break,
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    block.covers = split.bytes() - offset;
    block.lines = split.lines() - before;
    block.spans = Some(spans);
    (block, failed)
}

/// Gives the error that ended a stream, once.
struct FailingReader(Option<io::Error>);

impl Read for FailingReader {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

impl<R: BufRead> formats::Split for JsonRecords<R> {
    fn next_record(&mut self) -> io::Result<Option<formats::Chunk>> {
        Self::next_record(self)
    }

    fn bytes(&self) -> u64 {
        Self::bytes(self)
    }

    fn lines(&self) -> u64 {
        Self::lines(self)
    }
}
