//! A PostgreSQL dump's own text as a database that can be read: nothing of it is executed, and no server is needed.

use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;

use crate::detect::backup::{Allowed, Dialect, Piece, Statements, cell, judge, table_of};
use crate::detect::trades::value::moment;
use crate::ports::{
    BackupStore, Column, Database, Fault, FaultKind, ObjectList, RawRow, Row, RowSink, Snapshot, Table, TableName,
    TableRead,
};

/// Most text that is held to be put in order, in bytes: above it, a scratch copy has to be scanned.
const MOST_ORDERED: usize = 96 << 20;

/// A dump, read again for every question.
#[derive(Clone)]
pub(super) struct DumpText {
    store: Arc<dyn BackupStore>,
    path: String,
    tables: Vec<Table>,
}

impl DumpText {
    /// Reads the tables that it makes.
    pub(super) fn open(store: &Arc<dyn BackupStore>, path: &str) -> Result<Self, Fault> {
        let mut made = Self { store: Arc::clone(store), path: path.to_owned(), tables: Vec::new() };
        let mut pieces = made.pieces()?;
        while let Some(piece) = next(&mut pieces)? {
            let Piece::Statement { text, .. } = piece else { continue };
            match judge(Dialect::Postgres, &text) {
                Ok(Allowed::Table(_)) => made.tables.extend(table_of(&text)),
                // The rows come after every table.
                Ok(Allowed::Copy { .. }) => break,
                _ => {}
            }
        }
        made.tables.retain(|table| table.name.schema != crate::domain::guard::GUARD_NAME);
        made.tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(made)
    }

    fn pieces(&self) -> Result<Statements<Box<dyn std::io::Read + Send>>, Fault> {
        Ok(Statements::new(self.store.open(&self.path)?.text, Dialect::Postgres))
    }

    /// Streams the rows of a table in the order of the dump.
    fn stream(
        &self,
        table: &TableName,
        columns: &[String],
        sink: &mut dyn FnMut(Row) -> ControlFlow<()>,
    ) -> Result<u64, Fault> {
        let mut pieces = self.pieces()?;
        let mut indices: Option<Vec<Option<usize>>> = None;
        let booleans = self.booleans(table, columns);
        let mut count = 0;
        while let Some(piece) = next(&mut pieces)? {
            match piece {
                Piece::Statement { text, .. } => {
                    indices = None;
                    if let Ok(Allowed::Copy { table: name, columns: there }) = judge(Dialect::Postgres, &text)
                        && name == table.name
                    {
                        let place = |column: &String| there.iter().position(|known| known == column);
                        indices = Some(columns.iter().map(place).collect());
                    }
                }
                Piece::Rows { bytes, .. } => {
                    let Some(indices) = &indices else { continue };
                    let text = String::from_utf8_lossy(&bytes);
                    for line in text.lines() {
                        let cells: Vec<&str> = line.split('\t').collect();
                        let row = indices.iter().zip(&booleans).map(|(index, boolean)| {
                            let value = index.and_then(|index| cell(cells.get(index)?));
                            if *boolean {
                                value.map(|value| if value == "t" { "true".into() } else { "false".into() })
                            } else {
                                value
                            }
                        });
                        count += 1;
                        if sink(row.collect()).is_break() {
                            return Ok(count);
                        }
                    }
                }
                Piece::Meta { .. } => {}
            }
        }
        Ok(count)
    }

    /// Which of the columns hold truth values: COPY writes them shorter than a query does.
    fn booleans(&self, table: &TableName, columns: &[String]) -> Vec<bool> {
        let known = self.tables.iter().find(|known| known.name == *table);
        let boolean = |name: &String| {
            known.is_some_and(|table| {
                table.columns.iter().any(|column| column.name == *name && column.data_type == "boolean")
            })
        };
        columns.iter().map(boolean).collect()
    }
}

fn next(pieces: &mut Statements<Box<dyn std::io::Read + Send>>) -> Result<Option<Piece>, Fault> {
    pieces.next_piece().map_err(|error| Fault::with(FaultKind::Corrupt, "failed to read the dump", error))
}

#[async_trait]
impl Database for DumpText {
    fn dialect(&self) -> &'static str {
        "postgres"
    }

    fn describe(&self) -> String {
        format!("the text of {}", self.path)
    }

    async fn ping(&self) -> Result<String, Fault> {
        Ok(self.describe())
    }

    async fn tables(&self) -> Result<Vec<Table>, Fault> {
        Ok(self.tables.clone())
    }

    async fn rows(
        &self,
        table: &TableName,
        columns: &[String],
        order_by: Option<&str>,
        sink: &mut (dyn FnMut(Row) -> ControlFlow<()> + Send),
    ) -> Result<u64, Fault> {
        let Some(by) = order_by.and_then(|by| columns.iter().position(|column| column == by)) else {
            return self.stream(table, columns, sink);
        };
        let (mut held, mut size, mut too_many) = (Vec::new(), 0, false);
        self.stream(table, columns, &mut |row| {
            size += row.iter().flatten().map(|cell| cell.len() + 24).sum::<usize>() + 24;
            too_many = size > MOST_ORDERED;
            held.push(row);
            if too_many { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if too_many {
            return Err(Fault::new(FaultKind::Invalid, "it holds too many rows to be put in order in memory"));
        }
        held.sort_by_cached_key(|row: &Row| {
            let cell = row.get(by).cloned().flatten().unwrap_or_default();
            (moment(&cell), cell)
        });
        let mut count = 0;
        for row in held {
            count += 1;
            if sink(row).is_break() {
                break;
            }
        }
        Ok(count)
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Fault> {
        Ok(Box::new(self.clone()))
    }

    async fn objects(&self) -> Result<ObjectList, Fault> {
        // Whatever could be persistence is no statement of the allow-list: the survey has named it.
        Ok(ObjectList::default())
    }

    async fn evidence(&self) -> Result<Vec<(String, String)>, Fault> {
        Ok(Vec::new())
    }
}

/// A text does not change while it is read.
#[async_trait]
impl Snapshot for DumpText {
    fn tells_transactions(&self) -> bool {
        false
    }

    fn joins(&self) -> bool {
        false
    }

    async fn estimate(&mut self, _table: &TableName) -> Result<u64, Fault> {
        Ok(0)
    }

    async fn read(&mut self, read: &TableRead, mut sinks: Vec<Box<dyn RowSink>>) -> Result<u64, Fault> {
        let (mut bytes, mut cells, mut failed) = (Vec::new(), Vec::new(), None);
        let count = self.stream(&read.table, &read.columns, &mut |row| {
            let Some(sink) = sinks.first_mut() else { return ControlFlow::Continue(()) };
            bytes.clear();
            cells.clear();
            for cell in row {
                let Some(cell) = cell else {
                    cells.push((RawRow::NULL, 0));
                    continue;
                };
                let start = u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1);
                bytes.extend_from_slice(cell.as_bytes());
                cells.push((start, u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1)));
            }
            match sink.row(RawRow::new(&bytes, &cells)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(fault) => {
                    failed = Some(fault);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(fault) = failed {
            return Err(fault);
        }
        for sink in &mut sinks {
            sink.end()?;
        }
        Ok(count)
    }

    async fn fetch(
        &mut self,
        table: &TableName,
        columns: &[String],
        key: &Column,
        values: &[String],
    ) -> Result<Vec<Row>, Fault> {
        let wanted: std::collections::HashSet<&str> = values.iter().map(String::as_str).collect();
        let with_key: Vec<String> = columns.iter().chain(std::iter::once(&key.name)).cloned().collect();
        let mut rows = Vec::new();
        self.stream(table, &with_key, &mut |mut row| {
            if row.pop().flatten().is_some_and(|value| wanted.contains(value.as_str())) {
                rows.push(row);
            }
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }
}
