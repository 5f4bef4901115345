//! Tables read in one piece of time.

use async_trait::async_trait;

use super::Fault;
use crate::domain::{Column, RawRow, Row, TableName, Timestamp};

/// What is read of a table.
#[derive(Debug, Clone, Default)]
pub struct TableRead {
    /// Table.
    pub table: TableName,
    /// Columns, in the order in which the rows give them.
    pub columns: Vec<String>,
    /// Whether each row also gives the transaction that wrote it, after its columns.
    pub xmin: bool,
    /// Only rows of a time; where the column's type can't be compared with a moment, all rows are read.
    pub range: Option<TimeRange>,
}

/// Rows of a time.
#[derive(Debug, Clone)]
pub struct TimeRange {
    /// Column.
    pub column: Column,
    /// What counts where that one has no moment. Rows in which neither has one are read too.
    pub otherwise: Option<Column>,
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
}

/// Takes the rows of one part of a table, in no particular order.
pub trait RowSink: Send {
    /// The next row.
    fn row(&mut self, row: RawRow<'_>) -> Result<(), Fault>;
    /// There are no more.
    fn end(&mut self) -> Result<(), Fault>;
}

/// One consistent, read-only view of a database.
#[async_trait]
pub trait Snapshot: Send {
    /// Whether rows tell which transaction wrote them.
    fn tells_transactions(&self) -> bool;
    /// Rows that the table has, roughly, for the progress; 0 if that is not known.
    async fn estimate(&mut self, table: &TableName) -> Result<u64, Fault>;
    /// Reads a table in as many parts at once as there are sinks, each row once. Returns the number of rows.
    async fn read(&mut self, read: &TableRead, sinks: Vec<Box<dyn RowSink>>) -> Result<u64, Fault>;
    /// The rows whose `key` is one of the values, in any order.
    async fn fetch(
        &mut self,
        table: &TableName,
        columns: &[String],
        key: &Column,
        values: &[String],
    ) -> Result<Vec<Row>, Fault>;
}
