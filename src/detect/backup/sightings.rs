//! Indicators in a dump's text: in the values of its rows, and in its statements.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Dialect;
use super::literal::{Literal, parse_insert};
use super::schema::cell;
use crate::detect::indicators::Indicators;
use crate::domain::Level;

/// How many are kept, by what they are and where; the rest are counted.
const KEPT: usize = 1_000;

/// An indicator that stands in a dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Its value, as its list has it.
    pub indicator: String,
    /// Its level.
    pub level: Level,
    /// The list and the line that it comes from.
    pub list: String,
    /// The first line of the dump's text in which it stands.
    pub line: u64,
    /// Table and column; absent in a statement.
    pub place: Option<(String, String)>,
    /// In how many values it stands there.
    pub count: u64,
}

/// Level (highest first), indicator, table and column.
type Key = (Reverse<Level>, u32, Option<(String, String)>);

/// Looks through a dump as it is read.
pub(super) struct Sighter<'a> {
    indicators: &'a Indicators,
    /// First line and count.
    seen: BTreeMap<Key, (u64, u64)>,
    count: u64,
}

impl<'a> Sighter<'a> {
    pub(super) fn new(indicators: &'a Indicators) -> Self {
        Self { indicators, seen: BTreeMap::new(), count: 0 }
    }

    /// Rows of COPY, of which the first stands in `line`.
    pub(super) fn rows(&mut self, mut line: u64, table: &str, columns: &[String], bytes: &[u8]) {
        if self.indicators.is_empty() {
            return;
        }
        let mut starts = Vec::new();
        self.indicators.sweep(bytes, Level::Informational, |hit| starts.push(hit.start));
        starts.sort_unstable();
        let mut done = 0;
        for start in starts.into_iter().filter(|start| *start < bytes.len()) {
            if start < done {
                continue;
            }
            let from = memchr::memrchr(b'\n', &bytes[..start]).map_or(0, |at| at + 1);
            line += memchr::memchr_iter(b'\n', &bytes[done.min(from)..from]).count() as u64;
            let end = memchr::memchr(b'\n', &bytes[from..]).map_or(bytes.len(), |at| from + at);
            let row = String::from_utf8_lossy(&bytes[from..end]);
            for (column, text) in columns.iter().zip(row.split('\t')) {
                if let Some(value) = cell(text) {
                    self.look(line, Some((table, column)), &value);
                }
            }
            done = end;
        }
    }

    /// A statement that begins in `line`.
    pub(super) fn statement(&mut self, line: u64, text: &str, dialect: Dialect) {
        if self.indicators.is_empty() {
            return;
        }
        let mut any = false;
        self.indicators.sweep(text.as_bytes(), Level::Informational, |_| any = true);
        if !any {
            return;
        }
        let rows = if dialect == Dialect::Sqlite { parse_insert(text) } else { None };
        let Some(insert) = rows else { return self.look(line, None, text) };
        for row in &insert.rows {
            for (at, value) in row.iter().enumerate() {
                if let Literal::Text(value) = value {
                    let column = insert.columns.get(at).cloned().unwrap_or_else(|| format!("column {}", at + 1));
                    self.look(line, Some((&insert.table, &column)), value);
                }
            }
        }
    }

    fn look(&mut self, line: u64, place: Option<(&str, &str)>, text: &str) {
        let mut found = Vec::new();
        self.indicators.find(text, Level::Informational, |hit| found.push(hit.id));
        found.sort_unstable();
        found.dedup();
        for id in found {
            self.count += 1;
            let place = place.map(|(table, column)| (table.to_owned(), column.to_owned()));
            let key = (Reverse(self.indicators.level(id)), id, place);
            // Of too many, the worst are kept.
            if self.seen.len() >= KEPT && !self.seen.contains_key(&key) {
                match self.seen.last_key_value() {
                    Some((last, _)) if *last > key => drop(self.seen.pop_last()),
                    _ => continue,
                }
            }
            self.seen.entry(key).or_insert((line, 0)).1 += 1;
        }
    }

    /// What was seen, the worst first, and in how many values in all.
    pub(super) fn finish(self) -> (Vec<Sighting>, u64) {
        let sighting = |((level, id, place), (line, count)): (Key, (u64, u64))| Sighting {
            indicator: self.indicators.value(id).into_owned(),
            level: level.0,
            list: self.indicators.origin(id),
            line,
            place,
            count,
        };
        (self.seen.into_iter().map(sighting).collect(), self.count)
    }
}
