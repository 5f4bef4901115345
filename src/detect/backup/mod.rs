//! Database dumps, read as hostile text: split into statements, held against an allow-list, counted.
//!
//! Nothing here trusts a dump's own words about itself further than they can be checked: a dump that was cut at the end of a
//! line restores without an error, and `psql` runs commands that a dump smuggles in.

mod allow;
mod calls;
mod literal;
mod postgres;
mod schema;
mod sightings;
mod statements;
mod survey;
mod text;
mod words;

pub use allow::{Allowed, Suspicion, judge};
pub use literal::{Insert, Literal, parse_insert};
pub use schema::{cell, table_of};
pub use sightings::Sighting;
pub use statements::{DumpError, Piece, Statements};
pub use survey::{Survey, survey, survey_for};
pub use words::{Word, words};

use serde::{Deserialize, Serialize};

/// Whose dump it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// `sqlite3 FILE .dump`.
    Sqlite,
    /// `pg_dump` in its plain form.
    Postgres,
}

impl Dialect {
    /// By the name that `Database::dialect` gives.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "sqlite" => Some(Self::Sqlite),
            "postgres" => Some(Self::Postgres),
            _ => None,
        }
    }

    /// By the first bytes of a dump: for people only, a restore always goes by the deployment's own database.
    pub fn guess(head: &[u8]) -> Self {
        let head = String::from_utf8_lossy(&head[..head.len().min(4096)]);
        let start = head.trim_start();
        if start.starts_with("PRAGMA ") || start.starts_with("BEGIN TRANSACTION;") {
            Self::Sqlite
        } else {
            Self::Postgres
        }
    }
}

#[cfg(test)]
mod tests;
