//! The deployment's database, read.

use std::ops::ControlFlow;

use async_trait::async_trait;

use super::{Fault, FaultKind};
use crate::domain::{BackupCheck, Column, ObjectList, RawRow, Relations, Row, Table, TableName, Timestamp};
use crate::policy::recovery::RecoveryPolicy;

/// Reading the deployment's database (or a scratch copy of it), read-only.
#[async_trait]
pub trait Database: Send + Sync {
    /// `postgres` or `sqlite`.
    fn dialect(&self) -> &'static str;
    /// Host and database name, without user or password.
    fn describe(&self) -> String;
    /// Server version, in words; an error says why it can't be reached.
    async fn ping(&self) -> Result<String, Fault>;
    /// All user tables with their columns, in a stable order.
    async fn tables(&self) -> Result<Vec<Table>, Fault>;
    /// Streams the columns of a table, in one consistent snapshot, ordered by `order_by` (a column) if given.
    /// The sink may stop early. Returns the number of rows given.
    async fn rows(
        &self,
        table: &TableName,
        columns: &[String],
        order_by: Option<&str>,
        sink: &mut (dyn FnMut(Row) -> ControlFlow<()> + Send),
    ) -> Result<u64, Fault>;
    /// Number of rows of a table.
    async fn count(&self, table: &TableName) -> Result<u64, Fault> {
        let tables = self.tables().await?;
        let first = tables.iter().find(|known| known.name == *table).and_then(|known| known.columns.first());
        let Some(first) = first else {
            return Err(Fault::new(FaultKind::NotFound, format!("there is no {table}")));
        };
        self.rows(table, std::slice::from_ref(&first.name), None, &mut |_| ControlFlow::Continue(())).await
    }
    /// Whether it holds together: constraints, indexes, sequences, migrations, the policy's invariants. Nothing by default.
    async fn checks(&self, _policy: &RecoveryPolicy) -> Result<Vec<BackupCheck>, Fault> {
        Ok(Vec::new())
    }
    /// Foreign keys and labels of enumerations; none by default.
    async fn relations(&self) -> Result<Relations, Fault> {
        Ok(Relations::default())
    }
    /// One consistent, read-only view from which several tables are read.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Fault>;
    /// Catalog objects that could be persistence.
    async fn objects(&self) -> Result<ObjectList, Fault>;
    /// Hears what the database tells on a channel, for as long as the receiver lives; nothing where a database tells nothing.
    fn listen(&self, _channel: &str) -> Option<Told> {
        None
    }
    /// Sessions, roles and the like, as evidence: name → JSON lines. Never delays a pause.
    async fn evidence(&self) -> Result<Vec<(String, String)>, Fault>;
}

/// That a database told something on a channel, or why it can't be heard now.
pub type Told = tokio::sync::mpsc::Receiver<Result<(), Fault>>;

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
    /// Columns of another table, given after those of this one.
    pub join: Option<Join>,
}

/// A table that is read with another one: at most one row of it for each of the other's.
#[derive(Debug, Clone)]
pub struct Join {
    /// The table that is joined.
    pub table: TableName,
    /// Its key.
    pub id: String,
    /// The column of the other table that names it.
    pub by: String,
    /// Its columns.
    pub columns: Vec<String>,
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
    /// Whether a table can be read with another one ([`TableRead::join`]).
    fn joins(&self) -> bool {
        true
    }
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
