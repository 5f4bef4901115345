//! Log lines and exports against the rows.

use std::fmt;
use std::io::{self, BufReader};
use std::sync::Arc;

use serde_json::Map;

use super::pass::Made;
use super::spill::{PARTS, Parted};
use super::{Found, Phase};
use crate::detect::logs::{Decoded, decode};
use crate::detect::trades::finding::of_entry;
use crate::detect::trades::line_pattern::LinePattern;
use crate::detect::trades::other::{FieldRoles, Fields, Kind, Read, read};
use crate::detect::trades::policy::Ledger;
use crate::detect::trades::reconcile::{Cover, Entry, Extra, Key, Line, Reconciler};
use crate::detect::trades::{NO_TIME, Names, Plan, Reader};
use crate::domain::{Finding, Timestamp};
use crate::ports::{Fault, FaultKind};

/// Entries by which it is decided whether they name ids.
const FIRST: usize = 1_000;

/// Opens a file again and again.
pub type Open = Arc<dyn Fn() -> io::Result<Box<dyn io::Read + Send>> + Send + Sync>;

/// Another record of trades: a file.
#[derive(Clone)]
pub struct OtherRecord {
    /// What it is.
    pub kind: Kind,
    /// Its path, for findings.
    pub name: String,
    /// Opens it.
    pub open: Open,
}

impl fmt::Debug for OtherRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtherRecord").field("kind", &self.kind).field("name", &self.name).finish_non_exhaustive()
    }
}

/// All entries of one kind.
pub(super) struct Book {
    pub(super) ledger: Ledger,
    pub(super) key: Key,
    cover: Cover,
    entries: Parted,
    count: u64,
    unread: u64,
}

struct Writer {
    waiting: Vec<Line>,
    key: Option<Key>,
    entries: Parted,
    cover: Cover,
    count: u64,
}

impl Writer {
    fn take(&mut self, line: Line) -> Result<(), Fault> {
        self.count += 1;
        if line.time != NO_TIME {
            self.cover = (self.cover.0.min(line.time), self.cover.1.max(line.time));
        }
        if let Some(key) = self.key {
            return self.write(&line, key);
        }
        self.waiting.push(line);
        if self.waiting.len() >= FIRST { self.decide() } else { Ok(()) }
    }

    fn decide(&mut self) -> Result<(), Fault> {
        let with_id = self.waiting.iter().filter(|line| line.id != 0).count();
        let key = if with_id * 10 >= self.waiting.len() * 9 { Key::Id } else { Key::Place };
        self.key = Some(key);
        std::mem::take(&mut self.waiting).iter().try_for_each(|line| self.write(line, key))
    }

    fn write(&mut self, line: &Line, key: Key) -> Result<(), Fault> {
        let entry = Entry::line(line, key);
        entry.write(self.entries.part(entry.hash())?);
        Ok(())
    }
}

fn failed(name: &str) -> impl Fn(io::Error) -> Fault + '_ {
    move |error| {
        let kind = if error.kind() == io::ErrorKind::NotFound { FaultKind::NotFound } else { FaultKind::Unavailable };
        Fault::with(kind, format!("failed to read {name}"), error)
    }
}

fn entries(
    record: &OtherRecord,
    patterns: &[LinePattern],
    give: &mut dyn FnMut(&Fields<'_>, u64, u64) -> io::Result<()>,
) -> Result<Read, Fault> {
    let failed = failed(&record.name);
    match decode((record.open)().map_err(&failed)?).map_err(&failed)? {
        Decoded::Stream(stream) => read(BufReader::new(stream), record.kind, patterns, give).map_err(&failed),
        Decoded::Unsupported(what) => {
            Err(Fault::new(FaultKind::Invalid, format!("{} is compressed as {what}; gzip is read", record.name)))
        }
    }
}

/// Reads all records of a kind; `None` if there is none.
pub(super) fn book(
    records: &[OtherRecord],
    kind: Kind,
    patterns: &[LinePattern],
    names: &Arc<Names>,
) -> Result<Option<Book>, Fault> {
    let ledger = if kind == Kind::Logs { Ledger::Logs } else { Ledger::Fills };
    let mut reader = Reader::new(Arc::clone(names));
    let mut roles = FieldRoles::default();
    let mut writer =
        Writer { waiting: Vec::new(), key: None, entries: Parted::new()?, cover: (i64::MAX, i64::MIN), count: 0 };
    let (mut any, mut unread) = (false, 0);
    for (file, record) in (0_u32..).zip(records).filter(|(_, record)| record.kind == kind) {
        any = true;
        let seen = entries(record, patterns, &mut |fields, number, line| {
            let line = roles.line(fields, &mut reader, (file, number, line));
            writer.take(line).map_err(io::Error::other)
        })?;
        unread += seen.unread;
    }
    if !any {
        return Ok(None);
    }
    if writer.key.is_none() {
        writer.decide()?;
    }
    let key = writer.key.unwrap_or(Key::Id);
    Ok(Some(Book { ledger, key, cover: writer.cover, entries: writer.entries, count: writer.count, unread }))
}

impl Phase<'_> {
    /// Compares rows with a record; entries without a row become findings at once.
    pub(super) fn reconcile(
        &self,
        books: &[Book],
        made: &mut [Made],
        found: &mut Found,
    ) -> Result<Vec<Finding>, Fault> {
        let mut findings = Vec::new();
        for (index, book) in books.iter().enumerate() {
            let Some(mut reconciler) = Reconciler::new(self.plan, book.ledger, book.key, book.cover, self.window())
            else {
                continue;
            };
            let rows: Vec<_> = made.iter_mut().filter_map(|made| made.entries.get_mut(index)).collect();
            let (mut left, mut right) = (Vec::new(), Vec::new());
            for part in 0..PARTS {
                left.clear();
                right.clear();
                rows.iter().try_for_each(|rows| rows.bytes(part, &mut left))?;
                book.entries.bytes(part, &mut right)?;
                reconciler.part(&left, &right);
            }
            let of: Vec<u16> = policies_of(self.plan, book.ledger);
            let say = |why: &str| of.iter().map(|policy| (*policy, why.to_owned())).collect::<Vec<_>>();
            if book.unread > 0 {
                found.uncovered.extend(say(&format!("{} lines could not be read", book.unread)));
            }
            if book.count == 0 {
                found.uncovered.extend(say(
                    "no entry of a trade was found: log_lines in trade-roles.yml tells of other forms of lines",
                ));
                continue;
            }
            if reconciler.matched == 0 && book.count >= 20 && found.rows >= 20 {
                found.uncovered.extend(say("no entry is of any row: ids or names do not mean the same"));
                continue;
            }
            if reconciler.more > 0 {
                found.uncovered.extend(say(&format!("{} more entries without a row than are listed", reconciler.more)));
            }
            findings.extend(self.extra(&reconciler.extras)?);
            found.hits.extend(reconciler.hits);
        }
        Ok(findings)
    }

    /// Reads the entries without a row again, to show them.
    fn extra(&self, extras: &[Extra]) -> Result<Vec<Finding>, Fault> {
        let mut findings = Vec::new();
        for (file, record) in (0_u32..).zip(&self.scan.records) {
            let mut wanted: Vec<&Extra> = extras.iter().filter(|extra| extra.file == file).collect();
            if wanted.is_empty() {
                continue;
            }
            wanted.sort_by_key(|extra| (extra.line, extra.number));
            entries(record, &self.scan.roles.log_lines, &mut |fields, number, line| {
                if let Ok(at) = wanted.binary_search_by_key(&(line, number), |extra| (extra.line, extra.number)) {
                    let event: Map<_, _> = fields
                        .iter()
                        .take(64)
                        .map(|(name, text)| (name.to_string(), text.to_string().into()))
                        .collect();
                    let extra = wanted[at];
                    let time = Timestamp::from_millisecond(extra.time).ok().filter(|_| extra.time != NO_TIME);
                    let policy = &self.plan.policies[usize::from(extra.policy)];
                    findings.push(of_entry(policy, &record.name, (extra.number, extra.line), time, event));
                }
                Ok(())
            })?;
        }
        Ok(findings)
    }
}

fn policies_of(plan: &Plan, ledger: Ledger) -> Vec<u16> {
    (0_u16..).zip(&plan.policies).filter(|(_, policy)| policy.is_of(ledger)).map(|(number, _)| number).collect()
}
