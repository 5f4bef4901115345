//! The one pass over the trade table, and the one over the order table.

use std::sync::{Arc, Mutex, PoisonError};

use super::progress::Progress;
use super::spill::{Parted, Runs, Spill};
use crate::detect::trades::claims::{Claim, Order};
use crate::detect::trades::policy::Ledger;
use crate::detect::trades::reconcile::{Entry, Key};
use crate::detect::trades::{
    Layout, Names, Plan, Reader, Record, Reference, Repeats, RowReader, Seen, same, write_repeat,
};
use crate::ports::{Fault, RawRow, RowSink};

/// Records that are sorted at once.
const RUN: usize = 48 * 1024;
/// Bytes of ids that wait for the disk.
const IDS: usize = 256 * 1024;
/// Where a worker's ids begin: above any size of a file.
const WORKER: u32 = 56;

/// What a worker made of its rows.
pub(super) struct Made {
    pub(super) seen: Seen,
    pub(super) runs: Option<Runs>,
    pub(super) claims: Option<Parted>,
    /// Rows by their names at the exchange.
    pub(super) names: Option<Parted>,
    pub(super) ids: Spill,
    /// Rows for each other record, in the order of the records.
    pub(super) entries: Vec<Parted>,
    worker: i64,
}

impl Made {
    /// The text of an id that lies in this worker's file.
    pub(super) fn id(&self, place: i64) -> Option<Result<String, Fault>> {
        if place < 0 || place >> WORKER != self.worker {
            return None;
        }
        let start = u64::try_from(place - (self.worker << WORKER)).ok()?;
        let mut length = [0; 2];
        let read = self.ids.read(start, &mut length).and_then(|()| {
            let mut text = vec![0; usize::from(u16::from_le_bytes(length))];
            self.ids.read(start + 2, &mut text)?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        });
        Some(read)
    }
}

/// Where workers put what they made.
pub(super) type Desk<T> = Arc<Mutex<Vec<T>>>;

/// Everything on the desk.
pub(super) fn clear<T>(desk: &Desk<T>) -> Vec<T> {
    std::mem::take(&mut *desk.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Takes trade rows.
pub(super) struct TradeSink {
    reader: RowReader,
    records: Vec<Record>,
    made: Option<Made>,
    desk: Desk<Made>,
    progress: Arc<Progress>,
    uncounted: u64,
    books: Vec<(Ledger, Key)>,
}

impl TradeSink {
    #[expect(clippy::too_many_arguments, reason = "each worker needs all of them, and once")]
    pub(super) fn new(
        worker: i64,
        plan: &Arc<Plan>,
        reference: &Arc<Reference>,
        window: (Option<i64>, Option<i64>),
        follows: bool,
        books: &[(Ledger, Key)],
        desk: &Desk<Made>,
        progress: &Arc<Progress>,
    ) -> Result<Self, Fault> {
        let runs = if follows { Some(Runs::new()?) } else { None };
        let claims = if plan.needs_orders() || plan.late_fills { Some(Parted::new()?) } else { None };
        let names = if Repeats::of(plan, None, None).is_some() { Some(Parted::new()?) } else { None };
        let mut made =
            Made { seen: Seen::default(), runs, claims, names, ids: Spill::new()?, entries: Vec::new(), worker };
        for _ in books {
            made.entries.push(Parted::new()?);
        }
        let reader = RowReader::new(Arc::clone(plan), Arc::clone(reference), window.0, window.1, worker << WORKER);
        Ok(Self {
            reader,
            records: Vec::new(),
            made: Some(made),
            desk: Arc::clone(desk),
            progress: Arc::clone(progress),
            uncounted: 0,
            books: books.to_vec(),
        })
    }
}

impl RowSink for TradeSink {
    fn row(&mut self, row: RawRow<'_>) -> Result<(), Fault> {
        let record = self.reader.row(row);
        let Some(made) = &mut self.made else { return Ok(()) };
        if let Some(claims) = &mut made.claims {
            if record.order != 0 {
                Claim::new(&record, None, self.reader.void).write(claims.part(record.order)?);
            }
            let counter = self.reader.counter_order;
            if counter != 0 {
                let mut claim = Claim::new(&record, Some(counter), self.reader.void);
                if self.reader.is_of_outcomes() {
                    // Who sold one outcome bought the other.
                    claim = claim.of_any_instrument();
                }
                claim.write(claims.part(counter)?);
            }
        }
        if let Some(names) = made.names.as_mut().filter(|_| self.reader.outer_name != 0 && !self.reader.void) {
            let same = same(&record, self.reader.outer_name);
            write_repeat(names.part(same)?, same, &record);
        }
        for ((ledger, key), entries) in self.books.iter().zip(&mut made.entries) {
            let id = if *ledger == Ledger::Fills { self.reader.outer_hash } else { self.reader.id_hash };
            let entry = Entry::row(&record, id, *key);
            entry.write(entries.part(entry.hash())?);
        }
        if self.reader.ids.len() >= IDS {
            let ids = self.reader.took_ids();
            made.ids.append(&ids)?;
        }
        if let Some(runs) = &mut made.runs {
            self.records.push(record);
            if self.records.len() >= RUN {
                runs.write(&mut self.records)?;
            }
        }
        self.uncounted += 1;
        if self.uncounted == 4096 {
            self.progress.add(self.uncounted);
            self.uncounted = 0;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(mut made) = self.made.take() else { return Ok(()) };
        made.ids.append(&self.reader.took_ids())?;
        if let Some(runs) = &mut made.runs {
            runs.write(&mut self.records)?;
        }
        self.records = Vec::new();
        made.seen = std::mem::take(&mut self.reader.seen);
        self.desk.lock().unwrap_or_else(PoisonError::into_inner).push(made);
        Ok(())
    }
}

/// Takes order rows.
pub(super) struct OrderSink {
    layout: Layout,
    names: Reader,
    refusals: Vec<(u8, Vec<String>)>,
    made: Option<Parted>,
    desk: Desk<Parted>,
    scratch: Vec<u8>,
}

impl OrderSink {
    pub(super) fn new(
        layout: &Layout,
        names: &Arc<Names>,
        refusals: &[(u8, Vec<String>)],
        desk: &Desk<Parted>,
    ) -> Result<Self, Fault> {
        let names = Reader::new(Arc::clone(names));
        Ok(Self {
            layout: layout.clone(),
            names,
            refusals: refusals.to_vec(),
            made: Some(Parted::new()?),
            desk: Arc::clone(desk),
            scratch: Vec::with_capacity(64),
        })
    }
}

impl RowSink for OrderSink {
    fn row(&mut self, row: RawRow<'_>) -> Result<(), Fault> {
        if let (Some(order), Some(made)) =
            (Order::of(row, &self.layout, &mut self.names, &self.refusals, &mut self.scratch), &mut self.made)
        {
            order.write(made.part(order.order)?);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner).extend(self.made.take());
        Ok(())
    }
}

/// Takes the rows of a small table and hands them on.
pub(super) struct EachRow<F>(pub(super) F);

impl<F: FnMut(RawRow<'_>) + Send> RowSink for EachRow<F> {
    fn row(&mut self, row: RawRow<'_>) -> Result<(), Fault> {
        (self.0)(row);
        Ok(())
    }
    fn end(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
