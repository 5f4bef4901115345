//! Log lines and exports against the rows.

use std::fmt;
use std::io::{self, BufReader};
use std::sync::Arc;

use serde_json::Map;

use super::pass::Made;
use super::spill::{PARTS, Parted};
use super::{Found, Phase, TradeScan};
use crate::detect::logs::{Decoded, decode};
use crate::detect::trades::finding::of_entry;
use crate::detect::trades::line_pattern::LinePattern;
use crate::detect::trades::other::{FieldRoles, Fields, Kind, Read, read};
use crate::detect::trades::policy::Ledger;
use crate::detect::trades::reconcile::{Cover, Entry, Extra, Key, Reconciler};
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
    ledger: Ledger,
    key: Key,
    cover: Cover,
    entries: Parted,
    count: u64,
    unread: u64,
}

/// The other records: while the table is read, they are read beside it.
#[derive(Default)]
pub(super) struct Shelf {
    /// By what the entries of each are known to be a row.
    pub(super) keys: Vec<(Ledger, Key)>,
    task: Option<tokio::task::JoinHandle<Result<Vec<Book>, Fault>>>,
    books: Vec<Book>,
}

impl Shelf {
    /// Looks into the records and begins to read them.
    pub(super) async fn open(scan: &TradeScan, all_names: &Arc<Names>) -> Result<Self, Fault> {
        if scan.records.is_empty() {
            return Ok(Self::default());
        }
        let what = || (scan.records.clone(), scan.roles.log_lines.clone(), Arc::clone(all_names));
        let (records, patterns, names) = what();
        let look = move || {
            let mut keys = Vec::new();
            for ledger in [Ledger::Logs, Ledger::Fills] {
                keys.extend(key(&records, ledger, &patterns, &names)?.map(|key| (ledger, key)));
            }
            Ok::<_, Fault>(keys)
        };
        let keys = tokio::task::spawn_blocking(look).await.map_err(died)??;
        let (records, patterns, names) = what();
        let all = keys.clone();
        let task = tokio::task::spawn_blocking(move || {
            all.into_iter().map(|(ledger, key)| book(&records, ledger, key, &patterns, &names)).collect()
        });
        Ok(Self { keys, task: Some(task), books: Vec::new() })
    }

    /// The records, once they were read.
    pub(super) async fn books(&mut self) -> Result<&[Book], Fault> {
        if let Some(task) = self.task.take() {
            self.books = task.await.map_err(died)??;
        }
        Ok(&self.books)
    }
}

fn died(error: tokio::task::JoinError) -> Fault {
    Fault::with(FaultKind::Invalid, "a reader of lines died", error)
}

fn kind(ledger: Ledger) -> Kind {
    if ledger == Ledger::Logs { Kind::Logs } else { Kind::Fills }
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

/// By what entries are known to be rows: ids, where nearly all of the first ones name one; `None` if there is no such record.
fn key(
    records: &[OtherRecord],
    ledger: Ledger,
    patterns: &[LinePattern],
    names: &Arc<Names>,
) -> Result<Option<Key>, Fault> {
    let mut reader = Reader::new(Arc::clone(names));
    let mut roles = FieldRoles::default();
    let (mut any, mut count, mut with_id) = (false, 0_usize, 0_usize);
    for record in records.iter().filter(|record| record.kind == kind(ledger)) {
        any = true;
        let read = entries(record, patterns, &mut |fields, number, line| {
            count += 1;
            with_id += usize::from(roles.line(fields, &mut reader, (0, number, line)).id != 0);
            // Reading is ended by an error that is none.
            if count < FIRST { Ok(()) } else { Err(io::Error::other("enough")) }
        });
        if count >= FIRST {
            break;
        }
        read?;
    }
    Ok(any.then_some(if with_id * 10 >= count * 9 { Key::Id } else { Key::Place }))
}

/// Reads all records of a kind.
fn book(
    records: &[OtherRecord],
    ledger: Ledger,
    key: Key,
    patterns: &[LinePattern],
    names: &Arc<Names>,
) -> Result<Book, Fault> {
    let mut reader = Reader::new(Arc::clone(names));
    let mut roles = FieldRoles::default();
    let mut book = Book { ledger, key, cover: (i64::MAX, i64::MIN), entries: Parted::new()?, count: 0, unread: 0 };
    for (file, record) in (0_u32..).zip(records).filter(|(_, record)| record.kind == kind(ledger)) {
        let seen = entries(record, patterns, &mut |fields, number, line| {
            let line = roles.line(fields, &mut reader, (file, number, line));
            book.count += 1;
            if line.time != NO_TIME {
                book.cover = (book.cover.0.min(line.time), book.cover.1.max(line.time));
            }
            let entry = Entry::line(&line, key);
            entry.write(book.entries.part(entry.hash()).map_err(io::Error::other)?);
            Ok(())
        })?;
        book.unread += seen.unread;
    }
    Ok(book)
}

impl Phase<'_> {
    /// Whether a policy of this phase needs that record.
    pub(super) fn compares(&self, ledger: Ledger) -> bool {
        self.plan.policies.iter().any(|policy| policy.is_of(ledger))
    }

    /// Compares rows with a record; entries without a row become findings at once.
    pub(super) fn reconcile(
        &self,
        books: &[Book],
        made: &mut [Made],
        found: &mut Found,
    ) -> Result<Vec<Finding>, Fault> {
        let mut findings = Vec::new();
        // Rows were written down for those records only that a policy of this phase compares.
        for (index, book) in books.iter().filter(|book| self.compares(book.ledger)).enumerate() {
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
            if book.cover.0 > book.cover.1 {
                found.uncovered.extend(say("no entry says when: rows that the record lacks can't be told"));
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
