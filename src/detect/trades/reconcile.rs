use std::hash::BuildHasher;

use super::decimal::Decimal;
use super::hit::{Hit, Hits};
use super::plan::Plan;
use super::policy::{Check, Difference, Ledger};
use super::record::{Bytes, NO_TIME, Record, Side, write_decimal};
use super::roles::Role;

/// Bytes of an [`Entry`].
pub const ENTRY: usize = 8 + 8 + 8 + 30 + 1 + 4 + 8 + 8;

/// An entry of another record of trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Line {
    /// Hash of the trade's id; 0 where it says none.
    pub id: u64,
    /// When, in milliseconds.
    pub time: i64,
    /// Number of the account's name.
    pub account: u32,
    /// Of the instrument's.
    pub instrument: u32,
    /// Side.
    pub side: Side,
    /// Quantity.
    pub quantity: Decimal,
    /// Price.
    pub price: Decimal,
    /// Value.
    pub value: Decimal,
    /// Number of the file.
    pub file: u32,
    /// Number of the entry in the file, from 0.
    pub number: u64,
    /// Line, from 1.
    pub line: u64,
}

/// By what a row and an entry are the same trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The trade's id.
    Id,
    /// Account, instrument and time, within the tolerance.
    Place,
}

/// One side of a comparison, in few bytes: a row, or an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    hash: u64,
    /// The row's id as [`Record::id`] holds it, or the number of the entry.
    id: i64,
    time: i64,
    quantity: Decimal,
    price: Decimal,
    value: Decimal,
    side: Side,
    file: u32,
    number: u64,
    line: u64,
}

fn place(account: u32, instrument: u32) -> u64 {
    // Any mixing will do: the numbers are our own.
    foldhash::fast::FixedState::default().hash_one((account, instrument))
}

impl Entry {
    /// Of a row; `id` is the hash of its id.
    pub fn row(record: &Record, id: u64, key: Key) -> Self {
        Self {
            hash: if key == Key::Id { id } else { place(record.account, record.instrument) },
            id: record.id,
            time: record.time,
            quantity: record.quantity,
            price: record.price,
            value: record.value,
            side: record.side,
            file: 0,
            number: 0,
            line: 0,
        }
    }

    /// Of an entry.
    pub fn line(line: &Line, key: Key) -> Self {
        Self {
            hash: if key == Key::Id { line.id } else { place(line.account, line.instrument) },
            id: 0,
            time: line.time,
            quantity: line.quantity,
            price: line.price,
            value: line.value,
            side: line.side,
            file: line.file,
            number: line.number,
            line: line.line,
        }
    }

    /// What decides to which part it belongs.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Appends its bytes.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.hash.to_le_bytes());
        bytes.extend_from_slice(&self.id.to_le_bytes());
        bytes.extend_from_slice(&self.time.to_le_bytes());
        for number in [self.quantity, self.price, self.value] {
            write_decimal(bytes, number);
        }
        bytes.push(self.side as u8);
        bytes.extend_from_slice(&self.file.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.line.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        let mut bytes = Bytes(bytes);
        Self {
            hash: u64::from_le_bytes(bytes.take()),
            id: i64::from_le_bytes(bytes.take()),
            time: i64::from_le_bytes(bytes.take()),
            quantity: bytes.decimal(),
            price: bytes.decimal(),
            value: bytes.decimal(),
            side: match bytes.take::<1>() {
                [1] => Side::Buy,
                [2] => Side::Sell,
                _ => Side::Unknown,
            },
            file: u32::from_le_bytes(bytes.take()),
            number: u64::from_le_bytes(bytes.take()),
            line: u64::from_le_bytes(bytes.take()),
        }
    }
}

/// An entry without a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extra {
    /// Number of the policy.
    pub policy: u16,
    /// Number of the file.
    pub file: u32,
    /// Number of the entry in the file, from 0.
    pub number: u64,
    /// Line, from 1.
    pub line: u64,
    /// When, in milliseconds.
    pub time: i64,
}

/// What the other record covers, in milliseconds: rows outside are not missed.
pub type Cover = (i64, i64);

/// Compares rows with the entries of another record, one part at a time.
pub struct Reconciler {
    missing: Option<u16>,
    extra: Option<u16>,
    differs: Option<(u16, Vec<Role>)>,
    tolerance: i64,
    key: Key,
    cover: Cover,
    window: (Option<i64>, Option<i64>),
    what: &'static str,
    /// Rows that have an entry.
    pub matched: u64,
    /// Hits of rows.
    pub hits: Hits,
    /// Entries without a row.
    pub extras: Vec<Extra>,
    /// How many more there are than are kept.
    pub more: u64,
}

impl Reconciler {
    /// For a plan's policies against that record; `None` if there is none.
    pub fn new(plan: &Plan, with: Ledger, key: Key, cover: Cover, window: (Option<i64>, Option<i64>)) -> Option<Self> {
        let what = if with == Ledger::Logs { "log line" } else { "fill" };
        let mut made = Self {
            missing: None,
            extra: None,
            differs: None,
            tolerance: 0,
            key,
            cover,
            window,
            what,
            matched: 0,
            hits: Hits::default(),
            extras: Vec::new(),
            more: 0,
        };
        for (number, policy) in (0_u16..).zip(&plan.policies) {
            if let Check::Reconcile { with: other, problem, fields, tolerance_s, .. } = &policy.check
                && *other == with
            {
                made.tolerance = made.tolerance.max(tolerance_s.saturating_mul(1000));
                match problem {
                    Difference::Missing => made.missing = Some(number),
                    Difference::Extra => made.extra = Some(number),
                    _ => made.differs = Some((number, fields.clone())),
                }
            }
        }
        (made.missing.is_some() || made.extra.is_some() || made.differs.is_some()).then_some(made)
    }

    /// Compares one part: all rows and entries whose hashes belong to it.
    pub fn part(&mut self, rows: &[u8], lines: &[u8]) {
        let mut lines: Vec<Entry> = lines.chunks_exact(ENTRY).map(Entry::read).collect();
        let mut rows: Vec<Entry> = rows.chunks_exact(ENTRY).map(Entry::read).collect();
        let order = |entry: &Entry| (entry.hash, entry.time, entry.id, entry.number);
        lines.sort_unstable_by_key(order);
        rows.sort_unstable_by_key(order);
        let mut used = vec![false; lines.len()];
        let mut end = 0;
        for group in rows.chunk_by(|one, two| one.hash == two.hash) {
            // Both sides are in the order of hashes.
            let start = end + lines[end..].iter().take_while(|line| line.hash < group[0].hash).count();
            end = start + lines[start..].iter().take_while(|line| line.hash == group[0].hash).count();
            let mut from = start;
            for row in group {
                while self.key == Key::Place && from < end && row.time.saturating_sub(lines[from].time) > self.tolerance
                {
                    from += 1;
                }
                match self.partner(row, &lines[from..end], &used[from..end]) {
                    Some(offset) => {
                        used[from + offset] = true;
                        self.matched += 1;
                        self.compare(row, &lines[from + offset]);
                    }
                    None => self.missed(row),
                }
            }
        }
        for (line, _) in lines.iter().zip(&used).filter(|(_, used)| !**used) {
            self.left_over(line);
        }
    }

    /// The entry of a row: of the same id, or near it in time; one with the same amounts before others.
    fn partner(&self, row: &Entry, lines: &[Entry], used: &[bool]) -> Option<usize> {
        let near = |(at, line): &(usize, &Entry)| {
            let time = self.key == Key::Id || line.time.saturating_sub(row.time).saturating_abs() <= self.tolerance;
            let side = line.side == row.side || line.side == Side::Unknown || row.side == Side::Unknown;
            !used[*at] && time && (side || self.key == Key::Id)
        };
        // Beyond the tolerance no later line can be the one.
        let reach =
            |line: &(usize, &Entry)| self.key == Key::Id || line.1.time.saturating_sub(row.time) <= self.tolerance;
        let candidates = || lines.iter().enumerate().take_while(reach).filter(near);
        let same = candidates().find(|(_, line)| line.quantity == row.quantity && line.price == row.price);
        same.or_else(|| candidates().next()).map(|(at, _)| at)
    }

    fn asked(&self, time: i64) -> bool {
        let (since, until) = self.window;
        time == NO_TIME || (since.is_none_or(|since| time >= since) && until.is_none_or(|until| time < until))
    }

    fn missed(&mut self, row: &Entry) {
        let (from, to) = self.cover;
        let covered = row.time >= from.saturating_sub(self.tolerance) && row.time <= to.saturating_add(self.tolerance);
        if let Some(policy) = self.missing.filter(|_| covered && self.asked(row.time)) {
            let why = format!("no {} is of this trade", self.what);
            self.hits.push(Hit { policy, id: row.id, time: row.time, why });
        }
    }

    fn left_over(&mut self, line: &Entry) {
        let Some(policy) = self.extra.filter(|_| self.asked(line.time)) else { return };
        if self.extras.len() < super::hit::MOST {
            self.extras.push(Extra { policy, file: line.file, number: line.number, line: line.line, time: line.time });
        } else {
            self.more += 1;
        }
    }

    fn compare(&mut self, row: &Entry, line: &Entry) {
        let Some((policy, fields)) = self.differs.as_ref().filter(|_| self.asked(row.time)) else { return };
        for field in fields {
            let (one, two) = match field {
                Role::Quantity => (row.quantity, line.quantity),
                Role::Price => (row.price, line.price),
                Role::Value => (row.value, line.value),
                _ => continue,
            };
            let (Some(left), Some(right)) = (one.fixed(), two.fixed()) else { continue };
            if left.abs() != right.abs() {
                let (left, right) = (super::decimal::fixed_text(left), super::decimal::fixed_text(right));
                let why =
                    format!("its {} is {left}, its {} says {right} (line {})", field.name(), self.what, line.line);
                self.hits.push(Hit { policy: *policy, id: row.id, time: row.time, why });
                return;
            }
        }
    }
}
