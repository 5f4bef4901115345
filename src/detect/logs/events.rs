//! Events that correlations need: put aside in runs that are sorted by time, read again in the order of time. Memory does not grow with them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

/// Bytes of an event before its values: [`Head`], and how many bytes these are.
const HEAD: usize = 8 + 4 + 8 + 8 + 8 + 4;
/// Bytes that are read of a run at once.
const READ: usize = 8 << 10;

/// Bytes that are put aside, out of memory, until they are needed.
pub trait Aside: Send {
    /// Appends; says where the bytes begin.
    fn append(&mut self, bytes: &[u8]) -> io::Result<u64>;
    /// Fills the buffer with what was appended from `start` on.
    fn read(&self, start: u64, bytes: &mut [u8]) -> io::Result<()>;
}

/// When an event happened, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Nanoseconds since 1970.
    pub(super) time: i64,
    /// Number of the file's name.
    pub(super) path: u32,
    pub(super) record: u64,
    /// From 1; 0: the format has no lines.
    pub(super) line: u64,
    pub(super) offset: u64,
}

/// An event as it is read again.
pub(super) struct Event<'a> {
    pub(super) head: Head,
    values: &'a [u8],
}

impl<'a> Event<'a> {
    /// The value of a field, by its number.
    pub(super) fn value(&self, field: u16) -> Option<&'a str> {
        let mut rest = self.values;
        while let Some(([f0, f1, l0, l1], after)) = rest.split_first_chunk::<4>() {
            let (text, after) = after.split_at_checked(usize::from(u16::from_le_bytes([*l0, *l1])))?;
            if u16::from_le_bytes([*f0, *f1]) == field {
                return std::str::from_utf8(text).ok();
            }
            rest = after;
        }
        None
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|part| part.try_into().ok()).unwrap_or([0; N])
}

/// The head, and the length of the whole event.
fn head(bytes: &[u8]) -> (Head, usize) {
    let head = Head {
        time: i64::from_le_bytes(number(bytes, 0)),
        path: u32::from_le_bytes(number(bytes, 8)),
        record: u64::from_le_bytes(number(bytes, 12)),
        line: u64::from_le_bytes(number(bytes, 20)),
        offset: u64::from_le_bytes(number(bytes, 28)),
    };
    (head, HEAD + u32::from_le_bytes(number(bytes, 36)) as usize)
}

/// Events of one rule.
#[derive(Debug, Default)]
pub(super) struct Events {
    waiting: Vec<u8>,
    runs: Vec<Run>,
}

/// Events that are sorted by time.
#[derive(Debug)]
enum Run {
    Kept(Vec<u8>),
    Aside { start: u64, length: u64 },
}

/// Where an event lies among those of its rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    run: u32,
    /// Runs are far shorter than four gigabytes.
    at: u32,
}

impl Events {
    /// Adds an event with values by the numbers of their fields; says by how many bytes they grew.
    pub(super) fn push<'v>(&mut self, head: &Head, values: impl Iterator<Item = (u16, &'v str)>) -> usize {
        let bytes = &mut self.waiting;
        let start = bytes.len();
        bytes.extend_from_slice(&head.time.to_le_bytes());
        bytes.extend_from_slice(&head.path.to_le_bytes());
        for number in [head.record, head.line, head.offset] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&[0; 4]);
        for (field, text) in values {
            let Ok(length) = u16::try_from(text.len()) else { continue };
            bytes.extend_from_slice(&field.to_le_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        let values = u32::try_from(bytes.len() - start - HEAD).unwrap_or(0);
        bytes[start + HEAD - 4..start + HEAD].copy_from_slice(&values.to_le_bytes());
        bytes.len() - start
    }

    /// Bytes that wait to be sorted.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sorts what waits, and puts it aside. Where that fails it is kept.
    pub(super) fn close(&mut self, aside: Option<&mut dyn Aside>) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let sorted = sorted(std::mem::take(&mut self.waiting));
        let Some(aside) = aside else {
            self.runs.push(Run::Kept(sorted));
            return Ok(());
        };
        match aside.append(&sorted) {
            Ok(start) => self.runs.push(Run::Aside { start, length: sorted.len() as u64 }),
            Err(error) => {
                self.runs.push(Run::Kept(sorted));
                return Err(error);
            }
        }
        Ok(())
    }

    /// When an event happened, and where it lies in its file.
    pub(super) fn head_at(&self, position: Position, aside: Option<&dyn Aside>) -> io::Result<Head> {
        let mut bytes = [0; HEAD];
        match (&self.runs[position.run as usize], aside) {
            (Run::Kept(kept), _) => {
                bytes = number(kept, position.at as usize);
            }
            (Run::Aside { start, .. }, Some(aside)) => aside.read(start + u64::from(position.at), &mut bytes)?,
            (Run::Aside { .. }, None) => {}
        }
        Ok(head(&bytes).0)
    }
}

fn sorted(bytes: Vec<u8>) -> Vec<u8> {
    let mut order: Vec<(i64, u32, u64, usize, usize)> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (head, length) = head(&bytes[at..]);
        order.push((head.time, head.path, head.record, at, length));
        at += length;
    }
    if order.is_sorted() {
        return bytes;
    }
    order.sort_unstable();
    let mut sorted = Vec::with_capacity(bytes.len());
    for (.., at, length) in order {
        sorted.extend_from_slice(&bytes[at..at + length]);
    }
    sorted
}

/// One run while it is read.
struct Reader<'a> {
    /// Place of its rule in the correlation's list.
    place: usize,
    run: u32,
    source: &'a Run,
    /// Bytes of a run that lies aside, and where in the run they begin.
    buffer: Vec<u8>,
    begins: u64,
    /// Where the event at hand begins in the run.
    at: u64,
}

impl Reader<'_> {
    fn length(&self) -> u64 {
        match self.source {
            Run::Kept(bytes) => bytes.len() as u64,
            Run::Aside { length, .. } => *length,
        }
    }

    /// So many bytes from where it is, as far as the run has them.
    fn bytes(&mut self, count: usize, aside: Option<&dyn Aside>) -> io::Result<&[u8]> {
        let start = match (self.source, aside) {
            (Run::Kept(bytes), _) => {
                return Ok(bytes.get(usize::try_from(self.at).unwrap_or(usize::MAX)..).unwrap_or_default());
            }
            (Run::Aside { .. }, None) => return Ok(&[]),
            (Run::Aside { start, .. }, Some(aside)) => (*start, aside),
        };
        let used = usize::try_from(self.at - self.begins).unwrap_or(usize::MAX);
        if self.buffer.len() < used.saturating_add(count) {
            let left = usize::try_from(self.length() - self.at).unwrap_or(usize::MAX);
            self.buffer.resize(left.min(READ.max(count)), 0);
            start.1.read(start.0 + self.at, &mut self.buffer)?;
            self.begins = self.at;
            return Ok(&self.buffer);
        }
        Ok(&self.buffer[used..])
    }

    /// The order of the event at hand; `None` at the end.
    fn order(&mut self, aside: Option<&dyn Aside>) -> io::Result<Option<Order>> {
        if self.at >= self.length() {
            self.buffer = Vec::new();
            return Ok(None);
        }
        let head = head(self.bytes(HEAD, aside)?).0;
        Ok(Some((head.time, self.place, head.path, head.record)))
    }
}

/// Events of one moment count in the order of their rules: clocks of files are not finer than their times.
type Order = (i64, usize, u32, u64);

/// Gives all events in the order of time, each with the place of its rule and where it lies.
pub(super) fn merge(
    events: &[&Events],
    aside: Option<&dyn Aside>,
    give: &mut dyn FnMut(usize, Position, &Event<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut readers = Vec::new();
    for (place, events) in events.iter().enumerate() {
        for (run, source) in (0_u32..).zip(&events.runs) {
            readers.push(Reader { place, run, source, buffer: Vec::new(), begins: 0, at: 0 });
        }
    }
    let mut heap = BinaryHeap::new();
    for (index, reader) in readers.iter_mut().enumerate() {
        heap.extend(reader.order(aside)?.map(|order| Reverse((order, index))));
    }
    while let Some(Reverse((_, index))) = heap.pop() {
        let next = heap.peek().map(|Reverse((order, _))| *order);
        let reader = &mut readers[index];
        // Runs seldom overlap: stay with this one as long as it is first.
        loop {
            let length = head(reader.bytes(HEAD, aside)?).1;
            let (place, position) =
                (reader.place, Position { run: reader.run, at: u32::try_from(reader.at).unwrap_or(u32::MAX) });
            let bytes = reader.bytes(length, aside)?;
            let values = bytes.get(HEAD..length).unwrap_or_default();
            give(place, position, &Event { head: head(bytes).0, values })?;
            reader.at += length as u64;
            match reader.order(aside)? {
                Some(order) if next.is_none_or(|next| order <= next) => {}
                Some(order) => {
                    heap.push(Reverse((order, index)));
                    break;
                }
                None => break,
            }
        }
    }
    Ok(())
}
