//! A PostgreSQL dump's own text as a database that can be read: nothing of it is executed, and no server is needed.

use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;

use crate::detect::backup::{Allowed, Dialect, Piece, Statements, cell, judge, table_of};
use crate::detect::trades::value::moment;
use crate::ports::{BackupStore, Database, Fault, FaultKind, ObjectList, Row, Table, TableName};

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

    async fn snapshot(&self) -> Result<Box<dyn crate::ports::Snapshot>, Fault> {
        Ok(Box::new(crate::engine::scan_trades::PlainSnapshot(self.clone())))
    }

    async fn objects(&self) -> Result<ObjectList, Fault> {
        // Whatever could be persistence is no statement of the allow-list: the survey has named it.
        Ok(ObjectList::default())
    }

    async fn evidence(&self) -> Result<Vec<(String, String)>, Fault> {
        Ok(Vec::new())
    }
}
