//! The lists of a reconciliation, as they lie in the case's evidence.

use serde_json::{Value, json};

use super::logged::{LoggedTrade, TOLD};
use super::replay::ReplayList;
use crate::domain::guard::quote_identifier;
use crate::domain::{Digest, Source};
use crate::engine::{Journal, JournalError};
use crate::ledger::Event;
use crate::ports::{Fault, FaultKind, Row, TableName};

/// Longest list that is written, in bytes; more than that is an error, never a silent cut.
const MAX_EXPORT: usize = 192 << 20;

/// Lists under construction.
#[derive(Debug, Default)]
pub(super) struct Lists {
    rows: Vec<u8>,
    logged: String,
    table: String,
    replay: ReplayList,
}

impl Lists {
    /// The trade table, whose rows follow.
    pub(super) fn table(&mut self, table: &TableName, columns: &[String]) {
        self.table.clone_from(&table.name);
        self.replay.columns = columns.to_vec();
    }

    /// A difference.
    pub(super) fn add(&mut self, line: &Value) -> Result<(), Fault> {
        self.rows.extend_from_slice(line.to_string().as_bytes());
        self.rows.push(b'\n');
        if self.rows.len() <= MAX_EXPORT {
            return Ok(());
        }
        Err(Fault::new(FaultKind::Invalid, "more rows differ than can be listed (192 MiB); choose a newer backup"))
    }

    /// A row that can be put back.
    pub(super) fn put_back(&mut self, row: Row) {
        self.replay.rows.push(row);
    }

    /// A trade that only a log knows, and the findings that name it.
    pub(super) fn logged(&mut self, trade: &LoggedTrade, findings: &[String]) -> Result<(), Fault> {
        self.add(&json!({
            "class": "logged", "id": trade.id(), "source": trade.source, "time": trade.time, "told": trade.told,
            "findings": findings,
        }))?;
        let (path, line) = match &trade.source {
            Source::File { path, line, .. } => (Some(path.clone()), line.map(|line| line.to_string())),
            Source::Table { .. } => (None, None),
        };
        let mut cells = vec![path, line, trade.time.map(|time| time.to_string())];
        cells.extend(TOLD.iter().map(|role| trade.told.get(&role.name()).cloned()));
        cells.push(Some(findings.join(" ")));
        self.logged.push_str(&record(&cells));
        Ok(())
    }
}

fn literal(cell: Option<&String>) -> String {
    cell.map_or("NULL".into(), |text| format!("'{}'", text.replace('\'', "''")))
}

/// A record of CSV (RFC 4180); NULL is an empty field without quotes.
fn record(cells: &[Option<String>]) -> String {
    let field = |cell: &Option<String>| {
        cell.as_ref().map_or(String::new(), |text| format!("\"{}\"", text.replace('"', "\"\"")))
    };
    cells.iter().map(field).collect::<Vec<_>>().join(",") + "\r\n"
}

fn header(names: impl IntoIterator<Item = String>) -> String {
    record(&names.into_iter().map(Some).collect::<Vec<_>>())
}

/// Writes the lists into the case and binds them to the ledger.
pub(super) fn write(journal: &Journal, lists: Lists) -> Result<(), JournalError> {
    let list = &lists.replay;
    let names: Vec<_> = list.columns.iter().map(|name| quote_identifier(name)).collect();
    let (mut sql, mut table) = (String::new(), header(list.columns.iter().cloned()));
    for row in &list.rows {
        let values: Vec<_> = row.iter().map(|cell| literal(cell.as_ref())).collect();
        sql.push_str(&format!(
            "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING;\n",
            quote_identifier(&lists.table),
            names.join(", "),
            values.join(", ")
        ));
        table.push_str(&record(row));
    }
    let encoded = serde_json::to_vec(list)
        .map_err(|error| Fault::with(FaultKind::Invalid, "failed to encode the list", error))?;
    let own = ["file", "line", "time"].map(str::to_owned);
    let mut logged = header(own.into_iter().chain(TOLD.iter().map(|role| role.name())).chain(["findings".to_owned()]));
    logged.push_str(&lists.logged);
    for (name, bytes) in [
        ("reconciliation/logged.csv", logged.into_bytes()),
        ("reconciliation/replay.csv", table.into_bytes()),
        ("reconciliation/replay.json", encoded),
        ("reconciliation/replay.sql", sql.into_bytes()),
        ("reconciliation/rows", lists.rows),
    ] {
        let file = journal.write_file(&format!("evidence/{}", Digest::of(&bytes)), &bytes)?;
        journal.record(Event::EvidenceCollected { name: name.into(), file })?;
    }
    Ok(())
}
