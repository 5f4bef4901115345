//! How far a scan of trades is.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What a scan does, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Rows come from the database.
    Reading,
    /// The checks over several rows take them in the order of time.
    Following,
    /// Trades are compared with their orders.
    Joining,
    /// Trades are compared with log lines and fills.
    Reconciling,
    /// The rows of the findings are read again.
    Writing,
}

impl Stage {
    const ALL: [Self; 5] = [Self::Reading, Self::Following, Self::Joining, Self::Reconciling, Self::Writing];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Reading => "reading trades",
            Self::Following => "checking trades over time",
            Self::Joining => "comparing trades with their orders",
            Self::Reconciling => "comparing trades with logs and fills",
            Self::Writing => "reading the rows that were found",
        }
    }
}

/// How far a scan is.
#[derive(Debug, Default)]
pub struct Progress {
    stage: AtomicU8,
    rows: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Begins a stage of so many rows, roughly; 0 if it counts none.
    pub fn enter(&self, stage: Stage, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.rows.store(0, Ordering::Relaxed);
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// So many more rows are done.
    pub fn add(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// The stage, the rows done in it, and those that there are.
    pub fn now(&self) -> (Stage, u64, u64) {
        let stage = Stage::ALL.get(usize::from(self.stage.load(Ordering::Relaxed))).copied();
        (stage.unwrap_or(Stage::Reading), self.rows.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_counts_for_itself() {
        let progress = Progress::default();
        assert_eq!(progress.now(), (Stage::Reading, 0, 0));
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index);
            progress.enter(stage, 7);
            progress.add(3);
            progress.add(2);
            assert_eq!(progress.now(), (stage, 5, 7));
        }
    }
}
