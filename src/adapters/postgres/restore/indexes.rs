//! Indexes and constraints, built over several connections once the rows are there.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use sqlx::postgres::PgConnection;
use tokio::sync::Notify;

use super::super::fault;
use super::load::{Lanes, single};
use crate::detect::backup::Allowed;
use crate::ports::Fault;

/// A statement that waits for the rows.
pub(super) struct Later {
    /// Line on which it starts.
    pub line: u64,
    /// Its text.
    pub text: String,
    /// What it does.
    pub what: Allowed,
}

impl Later {
    /// The table that it locks, and whether it locks out an index that is being built on it.
    fn locks(&self) -> Option<(&str, bool)> {
        match &self.what {
            Allowed::Index { table } => Some((table, false)),
            Allowed::Constraint { table, foreign: false } => Some((table, true)),
            // A foreign key locks a second table too, and anything else may depend on all before it.
            _ => None,
        }
    }

    /// In which order it is begun. What locks its table comes first, while nothing is built there; then the longest, so that none is left
    /// for the end alone: more rows, and more columns to compare.
    fn turn(&self, rows: &BTreeMap<String, u64>) -> (bool, Reverse<u64>) {
        let Some((table, alone)) = self.locks() else { return (false, Reverse(0)) };
        let columns = 1 + self.text.rsplit('(').next().unwrap_or_default().matches(',').count() as u64;
        (!alone, Reverse(rows.get(table).copied().unwrap_or(0).saturating_mul(columns)))
    }
}

/// What waits, and what is being built.
struct Site {
    waiting: Vec<Later>,
    locked: Vec<(String, bool)>,
    failed: bool,
}

/// Builds everything, in the order of the dump where that matters. `rows` of each table say what takes long.
pub(super) async fn build(lanes: &mut Lanes, all: Vec<Later>, rows: &BTreeMap<String, u64>) -> Result<(), Fault> {
    let mut group = Vec::new();
    for later in all {
        if later.locks().is_some() {
            group.push(later);
            continue;
        }
        side_by_side(lanes, std::mem::take(&mut group), rows).await?;
        run(&mut lanes.first, &later).await?;
    }
    side_by_side(lanes, group, rows).await
}

async fn run(connection: &mut PgConnection, later: &Later) -> Result<(), Fault> {
    if later.what == Allowed::Comment {
        let _ = single(connection, &later.text).await;
        return Ok(());
    }
    single(connection, &later.text)
        .await
        .map_err(|error| fault(&format!("line {} of the dump can't be restored", later.line), &error))
}

async fn side_by_side(lanes: &mut Lanes, mut waiting: Vec<Later>, rows: &BTreeMap<String, u64>) -> Result<(), Fault> {
    waiting.sort_by_key(|later| later.turn(rows));
    let site = Mutex::new(Site { waiting, locked: Vec::new(), failed: false });
    let changed = Notify::new();
    let workers = lanes.all().map(|lane| worker(lane, &site, &changed));
    futures_util::future::join_all(workers).await.into_iter().collect()
}

async fn worker(connection: &mut PgConnection, site: &Mutex<Site>, changed: &Notify) -> Result<(), Fault> {
    loop {
        let told = changed.notified();
        let next = {
            let mut site = site.lock().unwrap_or_else(PoisonError::into_inner);
            if site.failed || site.waiting.is_empty() {
                return Ok(());
            }
            let free = |later: &Later| {
                later.locks().is_none_or(|(table, alone)| {
                    !site.locked.iter().any(|(other, held)| other == table && (alone || *held))
                })
            };
            let found = site.waiting.iter().position(free);
            found.map(|at| {
                let later = site.waiting.remove(at);
                site.locked.extend(later.locks().map(|(table, alone)| (table.to_owned(), alone)));
                later
            })
        };
        let Some(later) = next else {
            told.await;
            continue;
        };
        let done = run(connection, &later).await;
        {
            let mut site = site.lock().unwrap_or_else(PoisonError::into_inner);
            site.failed |= done.is_err();
            let lock = later.locks().map(|(table, alone)| (table.to_owned(), alone));
            if let Some(at) = site.locked.iter().position(|held| Some(held) == lock.as_ref()) {
                site.locked.remove(at);
            }
        }
        changed.notify_waiters();
        done?;
    }
}
