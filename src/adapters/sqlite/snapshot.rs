//! One consistent view of a SQLite file: a read transaction.

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Executor, Row as _, ValueRef as _};

use super::{as_text, fault};
use crate::domain::guard::quote_identifier;
use crate::ports::{Column, Fault, RawRow, Row, RowSink, Snapshot, TableName, TableRead};

/// Values of one statement: below SQLite's limit of variables.
const VALUES: usize = 500;

/// See [`Snapshot`].
pub(super) struct SqliteSnapshot {
    connection: SqliteConnection,
}

impl SqliteSnapshot {
    pub(super) async fn begin(mut connection: SqliteConnection) -> Result<Self, Fault> {
        connection.execute("BEGIN").await.map_err(|error| fault("failed to begin a snapshot", &error))?;
        Ok(Self { connection })
    }
}

#[async_trait]
impl Snapshot for SqliteSnapshot {
    fn tells_transactions(&self) -> bool {
        false
    }

    async fn estimate(&mut self, _table: &TableName) -> Result<u64, Fault> {
        Ok(0)
    }

    async fn read(&mut self, read: &TableRead, mut sinks: Vec<Box<dyn RowSink>>) -> Result<u64, Fault> {
        let failed = |error| fault(&format!("failed to read {}", read.table), &error);
        let mut list: Vec<_> = read.columns.iter().map(|column| as_text(column)).collect();
        let mut from = quote_identifier(&read.table.name);
        if let Some(join) = &read.join {
            // Each table by itself, so that columns of the same name are told apart.
            let inner = list.iter().enumerate().map(|(place, column)| format!("{column} AS c{place}"));
            let inner: Vec<_> = inner.chain([format!("{} AS joined", quote_identifier(&join.by))]).collect();
            let outer =
                join.columns.iter().enumerate().map(|(place, column)| format!("{} AS d{place}", as_text(column)));
            let outer: Vec<_> = outer.chain([format!("{} AS id", quote_identifier(&join.id))]).collect();
            let (own, other) = (inner.join(", "), outer.join(", "));
            from = format!(
                "(SELECT {own} FROM {from}) AS t LEFT JOIN (SELECT {other} FROM {}) AS o ON o.id = t.joined",
                quote_identifier(&join.table.name)
            );
            list = (0..list.len()).map(|place| format!("t.c{place}")).collect();
            list.extend((0..join.columns.len()).map(|place| format!("o.d{place}")));
        }
        let width = list.len();
        // Prisma keeps moments as numbers or as texts, so a range is left to whoever reads the rows.
        let list = if list.is_empty() { "1".to_owned() } else { list.join(", ") };
        let sql = format!("SELECT {list} FROM {from}");
        let mut count = 0;
        let (mut bytes, mut cells) = (Vec::new(), Vec::new());
        {
            let mut stream = sqlx::query(AssertSqlSafe(sql)).fetch(&mut self.connection);
            while let Some(row) = stream.try_next().await.map_err(failed)? {
                bytes.clear();
                cells.clear();
                for index in 0..width {
                    let value = row.try_get_raw(index).map_err(failed)?;
                    if value.is_null() {
                        cells.push((RawRow::NULL, 0));
                        continue;
                    }
                    let text: &[u8] = row.try_get_unchecked(index).map_err(failed)?;
                    let start = u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1);
                    bytes.extend_from_slice(text);
                    cells.push((start, u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1)));
                }
                count += 1;
                if let Some(sink) = sinks.first_mut() {
                    sink.row(RawRow::new(&bytes, &cells))?;
                }
            }
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
        let failed = |error| fault(&format!("failed to read {table}"), &error);
        let list: Vec<_> = columns.iter().map(|column| as_text(column)).collect();
        let whole = key.data_type.starts_with("int") || key.data_type.starts_with("bigint");
        let mut rows = Vec::new();
        for chunk in values.chunks(VALUES) {
            let marks: Vec<_> = (1..=chunk.len())
                .map(|number| if whole { format!("CAST(?{number} AS INTEGER)") } else { format!("?{number}") })
                .collect();
            let id = if whole { quote_identifier(&key.name) } else { as_text(&key.name) };
            let sql = format!(
                "SELECT {} FROM {} WHERE {id} IN ({})",
                list.join(", "),
                quote_identifier(&table.name),
                marks.join(", ")
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for value in chunk {
                query = query.bind(value);
            }
            for row in query.fetch_all(&mut self.connection).await.map_err(failed)? {
                let cell = |index| {
                    let bytes: Option<Vec<u8>> = row.try_get_unchecked(index).map_err(failed)?;
                    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
                };
                rows.push((0..columns.len()).map(cell).collect::<Result<Row, Fault>>()?);
            }
        }
        Ok(rows)
    }
}
