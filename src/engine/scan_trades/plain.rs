//! A view of whatever only streams rows: the text of a dump.

use std::collections::HashSet;
use std::ops::ControlFlow;

use async_trait::async_trait;

use crate::ports::{Column, Database, Fault, RawRow, Row, RowSink, Snapshot, TableName, TableRead};

/// Reads through [`Database::rows`].
pub struct PlainSnapshot<D>(pub D);

#[async_trait]
impl<D: Database> Snapshot for PlainSnapshot<D> {
    fn tells_transactions(&self) -> bool {
        false
    }

    async fn estimate(&mut self, _table: &TableName) -> Result<u64, Fault> {
        Ok(0)
    }

    async fn read(&mut self, read: &TableRead, mut sinks: Vec<Box<dyn RowSink>>) -> Result<u64, Fault> {
        let (mut bytes, mut cells, mut failed) = (Vec::new(), Vec::new(), None);
        let Some(sink) = sinks.first_mut() else { return Ok(0) };
        let place = |at: usize| u32::try_from(at).unwrap_or(RawRow::NULL - 1);
        let count = self
            .0
            .rows(&read.table, &read.columns, None, &mut |row| {
                bytes.clear();
                cells.clear();
                for cell in &row {
                    let start = place(bytes.len());
                    bytes.extend_from_slice(cell.as_deref().unwrap_or_default().as_bytes());
                    cells.push(if cell.is_some() { (start, place(bytes.len())) } else { (RawRow::NULL, 0) });
                }
                match sink.row(RawRow::new(&bytes, &cells)) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(fault) => {
                        failed = Some(fault);
                        ControlFlow::Break(())
                    }
                }
            })
            .await?;
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
        let wanted: HashSet<&str> = values.iter().map(String::as_str).collect();
        let mut asked = columns.to_vec();
        asked.push(key.name.clone());
        let mut found = Vec::new();
        self.0
            .rows(table, &asked, None, &mut |mut row| {
                let id = row.pop().flatten();
                if id.is_some_and(|id| wanted.contains(id.as_str())) {
                    found.push(row);
                }
                ControlFlow::Continue(())
            })
            .await?;
        Ok(found)
    }
}
