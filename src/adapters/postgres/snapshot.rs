//! One consistent view, read through COPY by several connections: the plain SQL that any engine of PostgreSQL's wire knows,
//! but for ranges of `ctid`, which are used where the server has them (14 and newer).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row as _};

use super::copy::CopyReader;
use super::copy_binary::{BinaryReader, form_of};
use super::{STATEMENT_MS, connect_as, fault, qualified, time_ranges};
use crate::adapters::login::Login;
use crate::domain::guard::quote_identifier;
use crate::domain::{Form, Timestamp};
use crate::ports::{Column, Fault, FaultKind, Join, Row, RowSink, Snapshot, TableName, TableRead};

/// Pages of one part: 32 MB of the usual 8 KB.
const PART: i64 = 4_096;

/// Longest text of a column that is asked for, in bytes, and in letters of a longer one.
const LONGEST: usize = 65_536;

/// See [`Snapshot`].
pub(super) struct PostgresSnapshot {
    login: Login,
    leader: PgConnection,
    /// Name of the exported snapshot; `None` where the server can't export one.
    name: Option<String>,
    version: i64,
}

impl PostgresSnapshot {
    pub(super) async fn open(login: &Login) -> Result<Self, Fault> {
        let mut leader = begin(login, None).await?;
        let version: Option<String> = scalar(&mut leader, "SHOW server_version_num").await.unwrap_or_default();
        let version = version.and_then(|text| text.parse().ok()).unwrap_or(0);
        // Within a savepoint PostgreSQL exports no snapshot; a server that can't at all has ended the transaction, and nothing was read in it.
        let name = scalar(&mut leader, "SELECT pg_catalog.pg_export_snapshot()").await.unwrap_or_default();
        if name.is_none() {
            execute(&mut leader, "ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        }
        Ok(Self { login: login.clone(), leader, name, version })
    }

    /// The statements that read a table in parts, and the format of what they give.
    async fn parts(&mut self, read: &TableRead) -> Result<(Vec<String>, Format), Fault> {
        let leaves = self.leaves(&read.table).await?;
        let mut types = self.types(&read.table, &read.columns).await?;
        let columns = expressions(&leaves, &read.columns, &types);
        let mut list = Select { columns, joined: None, xmin: read.xmin };
        if let Some(join) = &read.join {
            let leaves = self.leaves(&join.table).await?;
            let others = self.types(&join.table, &join.columns).await?;
            list.joined = Some((join.clone(), expressions(&leaves, &join.columns, &others)));
            types.extend(others);
        }
        let mut forms: Option<Vec<_>> = types.iter().map(|kind| kind.and_then(ColumnType::form)).collect();
        if read.xmin {
            forms = forms.map(|forms| forms.into_iter().chain([Form::Transaction]).collect());
        }
        // Older servers, and others that speak the protocol, write text.
        let format = match forms.filter(|_| self.version >= 140_000) {
            Some(forms) => Format::Binary(forms),
            None => Format::Text(types.len() + usize::from(read.xmin)),
        };
        Ok((self.statements(read, &leaves, &list, &format), format))
    }

    fn statements(&self, read: &TableRead, leaves: &[Leaf], list: &Select, format: &Format) -> Vec<String> {
        let out = if matches!(format, Format::Binary(_)) { "TO STDOUT (FORMAT binary)" } else { "TO STDOUT" };
        let whole = |from: &str| format!("COPY ({}) {out}", list.of(from));
        // A narrow time has an index; ranges of pages would read the whole table.
        let times =
            read.range.as_ref().map(|range| time_ranges::conditions(range, Timestamp::now())).unwrap_or_default();
        if !times.is_empty() {
            let part = |condition: &String| whole(&format!("{} WHERE {condition}", qualified(&read.table)));
            return times.iter().map(part).collect();
        }
        if self.version < 140_000 || leaves.iter().any(|leaf| !matches!(leaf.kind.as_str(), "r" | "m" | "p")) {
            return vec![whole(&qualified(&read.table))];
        }
        let mut parts = Vec::new();
        for leaf in leaves.iter().filter(|leaf| leaf.kind != "p") {
            let from = format!("ONLY {}", qualified(&leaf.table));
            let mut page = 0;
            // Each part of a join reads the other table.
            let part = if list.joined.is_some() { PART.max(leaf.pages / 2 + 1) } else { PART };
            // The last part has no end: pages may have come since they were counted.
            loop {
                let next = page + part;
                let end =
                    if next < leaf.pages { format!(" AND ctid < '({next},0)'::pg_catalog.tid") } else { String::new() };
                let from = format!("{from} WHERE ctid >= '({page},0)'::pg_catalog.tid{end}");
                parts.push(format!("COPY ({}) {out}", list.of(&from)));
                if end.is_empty() {
                    break;
                }
                page = next;
            }
        }
        parts
    }

    /// The types of the columns that are read, where the server tells.
    async fn types(&mut self, table: &TableName, columns: &[String]) -> Result<Vec<Option<ColumnType>>, Fault> {
        const TYPES: &str = "SELECT a.attname::text, a.atttypid::bigint, t.typtype = 'e' FROM pg_catalog.pg_attribute a \
            JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
            WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped";
        let failed = |error: sqlx::Error| fault(&format!("failed to look up the columns of {table}"), &error);
        let query = sqlx::query_as::<_, (String, i64, bool)>(TYPES).bind(&table.schema).bind(&table.name);
        let types = query.fetch_all(&mut self.leader).await.map_err(failed)?;
        let of = |column: &String| {
            types
                .iter()
                .find(|(name, ..)| name == column)
                .map(|(_, oid, is_enum)| ColumnType { oid: *oid, is_enum: *is_enum })
        };
        Ok(columns.iter().map(of).collect())
    }

    async fn leaves(&mut self, table: &TableName) -> Result<Vec<Leaf>, Fault> {
        const LEAVES: &str = "WITH RECURSIVE tree AS ( \
            SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
            UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid) \
            SELECT n.nspname::text, c.relname::text, c.relkind::text, \
            CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint ELSE 0 END AS pages, \
            greatest(c.reltuples, 0)::bigint AS rows, coalesce(pg_catalog.pg_relation_size(nullif(c.reltoastrelid, 0)), 0) > 0 AS long \
            FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY c.oid";
        let failed = |error: sqlx::Error| fault(&format!("failed to look up the parts of {table}"), &error);
        let rows = sqlx::query(LEAVES)
            .bind(&table.schema)
            .bind(&table.name)
            .fetch_all(&mut self.leader)
            .await
            .map_err(failed)?;
        let leaf = |row: &sqlx::postgres::PgRow| {
            Ok(Leaf {
                table: TableName { schema: row.try_get(0)?, name: row.try_get(1)? },
                kind: row.try_get(2)?,
                pages: row.try_get(3)?,
                rows: row.try_get(4)?,
                long: row.try_get(5)?,
            })
        };
        rows.iter().map(leaf).collect::<Result<_, sqlx::Error>>().map_err(failed)
    }
}

/// Columns as they are asked for.
fn expressions(leaves: &[Leaf], columns: &[String], types: &[Option<ColumnType>]) -> Vec<String> {
    // A view may make texts of any length; a table holds long ones beside it.
    let long = leaves.iter().any(|leaf| leaf.long || !matches!(leaf.kind.as_str(), "r" | "m" | "p"));
    let one = |(column, kind): (&String, &Option<ColumnType>)| {
        let name = quote_identifier(column);
        if long && kind.is_some_and(ColumnType::is_text) { bounded(&name) } else { name }
    };
    columns.iter().zip(types).map(one).collect()
}

/// What is read of each row.
struct Select {
    columns: Vec<String>,
    joined: Option<(Join, Vec<String>)>,
    xmin: bool,
}

impl Select {
    /// The query over a table and the condition on its rows.
    fn of(&self, from: &str) -> String {
        let xmin = self.xmin.then(|| "xmin".to_owned());
        let Some((join, columns)) = &self.joined else {
            let list: Vec<_> = self.columns.iter().cloned().chain(xmin).collect();
            return format!("SELECT {} FROM {from}", list.join(", "));
        };
        // Each table by itself, so that columns of the same name are told apart.
        let own = self.columns.iter().enumerate().map(|(place, column)| format!("{column} AS c{place}"));
        let own = own.chain(xmin.map(|xmin| format!("{xmin} AS written")));
        let own: Vec<_> = own.chain([format!("{} AS joined", quote_identifier(&join.by))]).collect();
        let other = columns.iter().enumerate().map(|(place, column)| format!("{column} AS d{place}"));
        let other: Vec<_> = other.chain([format!("{} AS id", quote_identifier(&join.id))]).collect();
        let list = (0..self.columns.len()).map(|place| format!("t.c{place}"));
        let list = list.chain((0..columns.len()).map(|place| format!("o.d{place}")));
        let list: Vec<_> = list.chain(self.xmin.then(|| "t.written".to_owned())).collect();
        format!(
            "SELECT {} FROM (SELECT {} FROM {from}) AS t LEFT JOIN (SELECT {} FROM {}) AS o ON o.id OPERATOR(pg_catalog.=) t.joined",
            list.join(", "),
            own.join(", "),
            other.join(", "),
            qualified(&join.table)
        )
    }
}

struct Leaf {
    table: TableName,
    kind: String,
    pages: i64,
    rows: i64,
    /// It has values that are too long for a page.
    long: bool,
}

#[derive(Clone, Copy)]
struct ColumnType {
    oid: i64,
    is_enum: bool,
}

impl ColumnType {
    fn form(self) -> Option<Form> {
        form_of(self.oid, self.is_enum)
    }

    fn is_text(self) -> bool {
        matches!(self.oid, 25 | 1042 | 1043)
    }
}

/// A text of which no more than so much is sent, since a row may hold a gigabyte: the client library holds a row in one piece.
fn bounded(text: &str) -> String {
    format!(
        "CASE WHEN pg_catalog.octet_length({text}) > {LONGEST} THEN pg_catalog.left({text}, {LONGEST}) ELSE {text} END"
    )
}

async fn begin(login: &Login, snapshot: Option<&str>) -> Result<PgConnection, Fault> {
    let mut connection = connect_as(login).await?;
    // Whatever a view of the intruder's would do, it can't write here, nor find its own functions first, nor hide rows by a
    // policy: with row security off, a table that would hide rows is an error.
    let set = format!(
        "SET statement_timeout = {STATEMENT_MS}; SET default_transaction_read_only = on; SET search_path = pg_catalog; SET row_security = off; \
         SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'; SET extra_float_digits = 1; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    );
    execute(&mut connection, &set).await?;
    if let Some(name) = snapshot {
        execute(&mut connection, &format!("SET TRANSACTION SNAPSHOT '{}'", name.replace('\'', ""))).await?;
    }
    Ok(connection)
}

async fn execute(connection: &mut PgConnection, sql: &str) -> Result<(), Fault> {
    let failed = |error: sqlx::Error| fault("failed to begin a snapshot", &error);
    connection.execute(AssertSqlSafe(sql.to_owned())).await.map(|_| ()).map_err(failed)
}

async fn scalar(connection: &mut PgConnection, sql: &'static str) -> Result<Option<String>, Fault> {
    sqlx::query_scalar(sql).fetch_one(connection).await.map_err(|error| fault("failed to begin a snapshot", &error))
}

/// Rows in either format.
#[derive(Clone)]
enum Format {
    /// So many columns.
    Text(usize),
    Binary(Vec<Form>),
}

enum RowReader {
    Text(CopyReader),
    Binary(BinaryReader),
}

impl RowReader {
    fn new(format: Format) -> Self {
        match format {
            Format::Text(columns) => Self::Text(CopyReader::new(columns)),
            Format::Binary(forms) => Self::Binary(BinaryReader::new(forms)),
        }
    }

    fn begin(&mut self) {
        if let Self::Binary(reader) = self {
            reader.begin();
        }
    }

    fn take(&mut self, bytes: &[u8], sink: &mut dyn RowSink) -> Result<(), Fault> {
        match self {
            Self::Text(reader) => reader.take(bytes, sink),
            Self::Binary(reader) => reader.take(bytes, sink),
        }
    }

    fn rows(&self) -> u64 {
        match self {
            Self::Text(reader) => reader.rows,
            Self::Binary(reader) => reader.rows,
        }
    }
}

/// Reads parts until none is left.
async fn work(
    connection: &mut PgConnection,
    parts: Arc<Vec<String>>,
    next: Arc<AtomicUsize>,
    format: Format,
    mut sink: Box<dyn RowSink>,
    table: &TableName,
) -> Result<u64, Fault> {
    let failed = |error: sqlx::Error| {
        let mut found = fault(&format!("failed to read {table}"), &error);
        if found.message.contains("row-level security") {
            found.message.push_str(
                "; a row security policy would hide rows: scan as the table's owner or a role with BYPASSRLS",
            );
        }
        found
    };
    let mut reader = RowReader::new(format);
    while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
        let mut stream = connection.copy_out_raw(part).await.map_err(failed)?;
        reader.begin();
        while let Some(bytes) = stream.try_next().await.map_err(failed)? {
            reader.take(&bytes, sink.as_mut())?;
        }
    }
    sink.end()?;
    Ok(reader.rows())
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    fn tells_transactions(&self) -> bool {
        self.version > 0
    }

    async fn estimate(&mut self, table: &TableName) -> Result<u64, Fault> {
        let leaves = self.leaves(table).await?;
        Ok(leaves.iter().map(|leaf| u64::try_from(leaf.rows).unwrap_or(0)).sum())
    }

    async fn read(&mut self, read: &TableRead, sinks: Vec<Box<dyn RowSink>>) -> Result<u64, Fault> {
        let (parts, format) = self.parts(read).await?;
        let parts = Arc::new(parts);
        let next = Arc::new(AtomicUsize::new(0));
        let mut sinks = sinks.into_iter();
        let Some(own) = sinks.next() else { return Ok(0) };
        let mut tasks = tokio::task::JoinSet::new();
        let mut idle = Vec::new();
        for sink in sinks {
            // One connection has the snapshot if it can't be shared, or if there is nothing to share.
            match (&self.name, parts.len()) {
                (Some(name), 2..) => {
                    let mut connection = begin(&self.login, Some(name)).await?;
                    let (parts, next, table) = (Arc::clone(&parts), Arc::clone(&next), read.table.clone());
                    let format = format.clone();
                    tasks.spawn(async move {
                        let rows = work(&mut connection, parts, next, format, sink, &table).await;
                        let _ = connection.close().await;
                        rows
                    });
                }
                _ => idle.push(sink),
            }
        }
        for mut sink in idle {
            sink.end()?;
        }
        let mut rows = work(&mut self.leader, parts, next, format, own, &read.table).await?;
        while let Some(done) = tasks.join_next().await {
            rows += done.map_err(|error| Fault::with(FaultKind::Invalid, "a reader of rows died", error))??;
        }
        Ok(rows)
    }

    async fn fetch(
        &mut self,
        table: &TableName,
        columns: &[String],
        key: &Column,
        values: &[String],
    ) -> Result<Vec<Row>, Fault> {
        let failed = |error: sqlx::Error| fault(&format!("failed to read {table}"), &error);
        let list: Vec<_> =
            columns.iter().map(|column| bounded(&format!("{}::text", quote_identifier(column)))).collect();
        let whole = ["bigint", "int", "smallint"].iter().any(|name| key.data_type.starts_with(name));
        let (id, cast) = match key.data_type.as_str() {
            "uuid" => (quote_identifier(&key.name), "::uuid[]"),
            _ if whole => (quote_identifier(&key.name), "::text[]::bigint[]"),
            "text" => (quote_identifier(&key.name), "::text[]"),
            _ => (format!("{}::text", quote_identifier(&key.name)), "::text[]"),
        };
        let sql = format!("SELECT {} FROM {} WHERE {id} = ANY ($1{cast})", list.join(", "), qualified(table));
        let mut stream = sqlx::query(AssertSqlSafe(sql)).bind(values).fetch(&mut self.leader);
        let mut rows = Vec::new();
        while let Some(row) = stream.next().await {
            let row = row.map_err(failed)?;
            rows.push(
                (0..columns.len())
                    .map(|index| row.try_get::<Option<String>, _>(index).map_err(failed))
                    .collect::<Result<_, Fault>>()?,
            );
        }
        Ok(rows)
    }
}
