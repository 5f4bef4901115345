use super::super::hit::Hit;
use super::super::record::{NO_TIME, Record};
use super::Said;

/// Most rows that are looked at again at the end.
const CANDIDATES: usize = 500_000;

/// So many buckets show how numbers grow.
const LATELY: usize = 8;
/// Fewer transactions than this tell no order of writing.
const FEW: usize = 10;

/// What grows with time: ids, or the transactions that wrote the rows. A row with a number of a later time than its own
/// was written later than it says.
pub(super) struct Written {
    transactions: bool,
    tolerance: i64,
    bucket: usize,
    numbers: Vec<i64>,
    times: Vec<i64>,
    /// Of each bucket of rows in the order of time: the largest median number so far, and the median time.
    medians: Vec<(i64, i64)>,
    /// Buckets whose numbers are below those of earlier ones.
    fallen: usize,
    /// Buckets most of whose rows have a number of their own.
    various: usize,
    /// Some row says when it was changed.
    dated: bool,
    candidates: Vec<(i64, i64, i64, i64)>,
    overflow: bool,
}

impl Written {
    fn new(rows: u64, tolerance: i64, transactions: bool) -> Self {
        let bucket = usize::try_from(rows / 4096).unwrap_or(4096).clamp(16, 4096);
        Self {
            transactions,
            tolerance,
            bucket,
            numbers: Vec::new(),
            times: Vec::new(),
            medians: Vec::new(),
            fallen: 0,
            various: 0,
            dated: false,
            candidates: Vec::new(),
            overflow: false,
        }
    }

    pub(super) fn of_ids(rows: u64, tolerance: i64) -> Self {
        Self::new(rows, tolerance, false)
    }

    pub(super) fn of_transactions(rows: u64, tolerance: i64) -> Self {
        Self::new(rows, tolerance, true)
    }

    pub(super) fn record(&mut self, record: &Record, report: bool) -> Said {
        if record.created == NO_TIME {
            return Said::Nothing;
        }
        let number = if self.transactions { i64::from(record.xmin) } else { record.id };
        // Where every row is written again as a rule, as by a settlement at night, the order of the last writing counts.
        let said = if self.transactions { record.created.max(record.updated) } else { record.created };
        self.dated |= record.updated != NO_TIME;
        self.numbers.push(number);
        self.times.push(said);
        if report && self.stands_out(number) {
            if self.candidates.len() < CANDIDATES {
                self.candidates.push((number, said, record.id, record.time));
            } else {
                self.overflow = true;
            }
        }
        if self.numbers.len() >= self.bucket {
            self.close();
        }
        Said::Nothing
    }

    /// Beyond what the rows of its own time can have: the next buckets grow by as much as the last ones.
    fn stands_out(&self, number: i64) -> bool {
        match self.medians.as_slice() {
            [.., (before, _), (last, _)] => {
                let step = last.saturating_sub(*before).max(self.usual_step(*last));
                number > last.saturating_add(step.saturating_mul(2))
            }
            // Nothing is known yet.
            _ => true,
        }
    }

    /// By how much the numbers of a bucket grew lately: less than its rows, where a transaction wrote many of them.
    fn usual_step(&self, last: i64) -> i64 {
        let back = self.medians.len().saturating_sub(LATELY + 1);
        let grown = self.medians.get(back).map_or(0, |(then, _)| last.saturating_sub(*then));
        let buckets = i64::try_from(self.medians.len() - 1 - back).unwrap_or(1).max(1);
        let most = i64::try_from(self.bucket).unwrap_or(i64::MAX);
        (grown.saturating_add(buckets - 1) / buckets).clamp(1, most)
    }

    fn close(&mut self) {
        if self.numbers.is_empty() {
            return;
        }
        let middle = self.numbers.len() / 2;
        let (_, number, _) = self.numbers.select_nth_unstable(middle);
        let number = *number;
        let (_, time, _) = self.times.select_nth_unstable(middle);
        let time = *time;
        if self.transactions {
            self.numbers.sort_unstable();
            let own = self.numbers.chunk_by(|one, two| one == two).count();
            self.various += usize::from(own * 2 > self.numbers.len());
        }
        // Rows that say a time of execution to come lie at the end, whenever they were written.
        let highest = self.medians.last().copied().filter(|(before, _)| *before > number);
        self.fallen += usize::from(highest.is_some());
        self.medians.push(highest.unwrap_or((number, time)));
        self.numbers.clear();
        self.times.clear();
    }

    pub(super) fn finish(mut self, policy: u16) -> Result<Vec<Hit>, String> {
        self.close();
        if self.overflow {
            return Err("rows are not written in the order of time, so one that was written later can't be told".into());
        }
        let mut different: Vec<i64> = self.medians.iter().map(|(number, _)| *number).collect();
        different.dedup();
        // Few large transactions tell the order all the same, if each wrote the rows of its own time.
        // Where most rows were written by a transaction of their own, they were only settled in another order than they were made.
        let own = self.various * 2 > self.medians.len();
        let in_order = different.len() > FEW && self.fallen * 10 <= self.medians.len();
        if self.transactions && different.len() * 2 < self.medians.len() && !in_order && !own {
            return Err("most rows were written by few transactions (a restore, an import), so the order of writing tells nothing".into());
        }
        let mut hits = Vec::new();
        for (number, said, id, time) in &self.candidates {
            // The row was written after the rows of the last bucket whose numbers are smaller.
            let after = self.medians.partition_point(|(median, _)| median < number);
            let Some((_, written)) = after.checked_sub(1).and_then(|index| self.medians.get(index)) else { continue };
            if written.saturating_sub(*said) > self.tolerance {
                let at = super::super::judge::moment(*written);
                let why = if self.transactions {
                    format!(
                        "the row was written again after {at}, and neither its time of making nor of change says so"
                    )
                } else {
                    format!(
                        "the row says it was made at {}, but its id was given after {at}",
                        super::super::judge::moment(*said)
                    )
                };
                hits.push(Hit { policy, id: *id, time: *time, why });
            }
        }
        let (found, all) = (hits.len(), self.medians.len() * self.bucket);
        // A table whose numbers do not grow with time has such rows everywhere.
        if found * 20 > all && found > 20 {
            return Err("numbers do not grow with time in this table".into());
        }
        if self.transactions && !self.dated && found * 200 > all && found > 20 {
            return Err(format!("{found} rows were written again, and no column says when rows are changed"));
        }
        Ok(hits)
    }
}
