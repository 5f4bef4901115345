//! Records on disk.

use crate::detect::trades::{Record, SIZE};
pub(super) use crate::engine::spill::Spill;
use crate::ports::Fault;

/// Parts that trades and orders are joined in.
pub(super) const PARTS: usize = 64;
/// Bytes of a part that wait for the disk.
const WAITING: usize = 8 * 1024;
/// Bytes that are read of a run at once.
const READ: usize = 256 * SIZE;

/// Sorted runs of records.
pub(super) struct Runs {
    spill: Spill,
    sorted: Vec<(u64, u64)>,
    bytes: Vec<u8>,
}

impl Runs {
    pub(super) fn new() -> Result<Self, Fault> {
        Ok(Self { spill: Spill::new()?, sorted: Vec::new(), bytes: Vec::new() })
    }

    /// Sorts the records by time and writes them away.
    pub(super) fn write(&mut self, records: &mut Vec<Record>) -> Result<(), Fault> {
        if records.is_empty() {
            return Ok(());
        }
        let order = |record: &Record| (record.time, record.id);
        if !records.is_sorted_by_key(order) {
            records.sort_unstable_by_key(order);
        }
        self.bytes.clear();
        for record in records.iter() {
            record.write(&mut self.bytes);
        }
        let start = self.spill.append(&self.bytes)?;
        self.sorted.push((start, records.len() as u64));
        records.clear();
        Ok(())
    }
}

/// One run while it is read.
struct Reader<'a> {
    spill: &'a Spill,
    at: u64,
    left: u64,
    bytes: Vec<u8>,
    used: usize,
    head: Option<Record>,
}

impl Reader<'_> {
    fn advance(&mut self) -> Result<(), Fault> {
        if self.left == 0 {
            self.head = None;
            return Ok(());
        }
        if self.used >= self.bytes.len() {
            let size = usize::try_from(self.left).unwrap_or(usize::MAX).saturating_mul(SIZE).min(READ);
            self.bytes.resize(size, 0);
            self.spill.read(self.at, &mut self.bytes)?;
            self.at += size as u64;
            self.used = 0;
        }
        self.head = Some(Record::read(&self.bytes[self.used..self.used + SIZE]));
        self.used += SIZE;
        self.left -= 1;
        Ok(())
    }

    fn order(&self) -> Option<(i64, i64)> {
        self.head.map(|record| (record.time, record.id))
    }
}

/// Gives all records of all runs in the order of time, so many at once.
pub(super) fn merge(all: &[Runs], most: usize, mut give: impl FnMut(&[Record])) -> Result<(), Fault> {
    let mut batch = Vec::with_capacity(most);
    let mut readers = Vec::new();
    for runs in all {
        for (start, count) in &runs.sorted {
            let mut reader =
                Reader { spill: &runs.spill, at: *start, left: *count, bytes: Vec::new(), used: 0, head: None };
            reader.advance()?;
            readers.push(reader);
        }
    }
    let mut heap: std::collections::BinaryHeap<_> = readers
        .iter()
        .enumerate()
        .filter_map(|(index, reader)| Some(std::cmp::Reverse((reader.order()?, index))))
        .collect();
    while let Some(std::cmp::Reverse((_, index))) = heap.pop() {
        let next = heap.peek().map(|std::cmp::Reverse((order, _))| *order);
        let reader = &mut readers[index];
        // Runs seldom overlap: stay with this one as long as it is first.
        while let Some(order) = reader.order().filter(|order| next.is_none_or(|next| *order <= next)) {
            let _ = order;
            batch.extend(reader.head);
            if batch.len() >= most {
                give(&batch);
                batch.clear();
            }
            reader.advance()?;
        }
        if let Some(order) = reader.order() {
            heap.push(std::cmp::Reverse((order, index)));
        } else {
            // A run that is done holds no memory.
            reader.bytes = Vec::new();
        }
    }
    give(&batch);
    Ok(())
}

/// Bytes by part, each part in pieces of one file.
pub(super) struct Parted {
    spill: Spill,
    waiting: Vec<Vec<u8>>,
    pieces: Vec<Vec<(u64, usize)>>,
}

impl Parted {
    pub(super) fn new() -> Result<Self, Fault> {
        Ok(Self { spill: Spill::new()?, waiting: vec![Vec::new(); PARTS], pieces: vec![Vec::new(); PARTS] })
    }

    /// The bytes that a part's next entry is appended to.
    pub(super) fn part(&mut self, hash: u64) -> Result<&mut Vec<u8>, Fault> {
        let part = usize::try_from(hash >> 32).unwrap_or(0) % PARTS;
        if self.waiting[part].len() >= WAITING {
            let start = self.spill.append(&self.waiting[part])?;
            self.pieces[part].push((start, self.waiting[part].len()));
            self.waiting[part].clear();
        }
        Ok(&mut self.waiting[part])
    }

    /// All bytes of a part.
    pub(super) fn bytes(&self, part: usize, into: &mut Vec<u8>) -> Result<(), Fault> {
        for (start, length) in &self.pieces[part] {
            let at = into.len();
            into.resize(at + length, 0);
            self.spill.read(*start, &mut into[at..])?;
        }
        into.extend_from_slice(&self.waiting[part]);
        Ok(())
    }
}
