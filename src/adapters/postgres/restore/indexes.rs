//! Indexes and constraints, built over two connections once the rows are there.

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
}

/// What waits, and what is being built.
struct Site {
    waiting: Vec<Later>,
    locked: Vec<(String, bool)>,
    failed: bool,
}

/// Builds everything, in the order of the dump where that matters.
pub(super) async fn build(lanes: &mut Lanes, all: Vec<Later>) -> Result<(), Fault> {
    let mut group = Vec::new();
    for later in all {
        if later.locks().is_some() {
            group.push(later);
            continue;
        }
        side_by_side(lanes, std::mem::take(&mut group)).await?;
        run(&mut lanes.first, &later).await?;
    }
    side_by_side(lanes, group).await
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

async fn side_by_side(lanes: &mut Lanes, waiting: Vec<Later>) -> Result<(), Fault> {
    let site = Mutex::new(Site { waiting, locked: Vec::new(), failed: false });
    let changed = Notify::new();
    let (one, two) =
        tokio::join!(worker(&mut lanes.first, &site, &changed), worker(&mut lanes.second, &site, &changed));
    one.and(two)
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
