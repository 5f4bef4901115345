//! SQLite: the deployment's database, or a scratch copy of it.

mod check;
mod dump;
mod guard;
pub mod restore;
mod snapshot;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};

pub use guard::SqliteGuard;
pub use restore::SqliteRestore;

use crate::adapters::scratch::ScratchFolder;
use crate::domain::BackupCheck;
use crate::domain::guard::quote_identifier;
use crate::policy::recovery::RecoveryPolicy;
use crate::ports::{
    Column, Database, DatabaseObject, Fault, FaultKind, ObjectList, Relations, Row, Snapshot, Table, TableName,
};

/// Schema name that SQLite gives its main database.
const SCHEMA: &str = "main";

/// A SQLite file, read-only.
#[derive(Debug, Clone)]
pub struct SqliteDatabase {
    path: PathBuf,
    /// A scratch copy's folder, gone with the last user of it.
    _folder: Option<std::sync::Arc<ScratchFolder>>,
}

impl SqliteDatabase {
    /// The database in that file; opened at each call.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), _folder: None }
    }

    /// A scratch copy, which goes with its folder.
    fn scratch(path: PathBuf, folder: ScratchFolder) -> Self {
        Self { path, _folder: Some(std::sync::Arc::new(folder)) }
    }

    async fn open(&self) -> Result<SqliteConnection, Fault> {
        open(&self.path, true).await
    }
}

/// Opens the file; a missing one is `NotFound`, never created.
pub(super) async fn open(path: &Path, read_only: bool) -> Result<SqliteConnection, Fault> {
    if !path.is_file() {
        return Err(Fault::new(FaultKind::NotFound, format!("the database file {} does not exist", path.display())));
    }
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .read_only(read_only)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|error| fault(&format!("failed to open {}", path.display()), &error))
}

/// The fault that an error of SQLite stands for. Its messages name objects, never bound values.
pub(super) fn fault(what: &str, error: &sqlx::Error) -> Fault {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let primary = code.as_deref().and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff);
    let kind = match primary {
        Some(5 | 6) => FaultKind::Conflict,           // SQLITE_BUSY, SQLITE_LOCKED
        Some(3 | 8 | 23) => FaultKind::Denied,        // SQLITE_PERM, SQLITE_READONLY, SQLITE_AUTH
        Some(11 | 26) => FaultKind::Corrupt,          // SQLITE_CORRUPT, SQLITE_NOTADB
        Some(10 | 13 | 14) => FaultKind::Unavailable, // SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN
        _ => FaultKind::Invalid,
    };
    let words = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    Fault::new(kind, format!("{what}: {words}"))
}

/// An expression that gives any value of SQLite as text; blobs in hex.
fn as_text(column: &str) -> String {
    let quoted = quote_identifier(column);
    format!("CASE typeof({quoted}) WHEN 'blob' THEN 'x''' || hex({quoted}) || '''' ELSE CAST({quoted} AS TEXT) END")
}

#[async_trait]
impl Database for SqliteDatabase {
    fn dialect(&self) -> &'static str {
        "sqlite"
    }

    fn describe(&self) -> String {
        format!("SQLite {}", self.path.display())
    }

    async fn ping(&self) -> Result<String, Fault> {
        let mut connection = self.open().await?;
        let version: String =
            sqlx::query_scalar("SELECT 'SQLite ' || sqlite_version() FROM (SELECT count(*) FROM sqlite_master)")
                .fetch_one(&mut connection)
                .await
                .map_err(|error| fault("failed to read the database", &error))?;
        Ok(version)
    }

    async fn tables(&self) -> Result<Vec<Table>, Fault> {
        let mut connection = self.open().await?;
        let failed = |error| fault("failed to read the catalog", &error);
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             AND name <> 'portcullis_guard' ORDER BY name",
        )
        .fetch_all(&mut connection)
        .await
        .map_err(failed)?;
        let mut tables = Vec::new();
        for name in names {
            let rows = sqlx::query(
                "SELECT name, lower(type) AS type, \"notnull\" AS not_null, pk, hidden FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid",
            )
            .bind(&name)
            .fetch_all(&mut connection)
            .await
            .map_err(failed)?;
            let columns = rows
                .iter()
                .map(|row| {
                    Ok(Column {
                        name: row.try_get("name")?,
                        data_type: row.try_get("type")?,
                        nullable: row.try_get::<i64, _>("not_null")? == 0,
                        primary_key: row.try_get::<i64, _>("pk")? > 0,
                        generated: row.try_get::<i64, _>("hidden")? > 1,
                    })
                })
                .collect::<Result<_, sqlx::Error>>()
                .map_err(failed)?;
            tables.push(Table { name: TableName { schema: SCHEMA.into(), name }, columns });
        }
        Ok(tables)
    }

    async fn rows(
        &self,
        table: &TableName,
        columns: &[String],
        order_by: Option<&str>,
        sink: &mut (dyn FnMut(Row) -> ControlFlow<()> + Send),
    ) -> Result<u64, Fault> {
        let mut connection = self.open().await?;
        let list: Vec<_> = columns.iter().map(|column| as_text(column)).collect();
        let order = order_by.map_or(String::new(), |column| format!(" ORDER BY {}", quote_identifier(column)));
        let sql = format!("SELECT {} FROM {}{order}", list.join(", "), quote_identifier(&table.name));
        let failed = |error| fault(&format!("failed to read {}", table.name), &error);
        let mut stream = sqlx::query(AssertSqlSafe(sql)).fetch(&mut connection);
        let mut count = 0;
        while let Some(row) = stream.try_next().await.map_err(failed)? {
            let cells = (0..columns.len())
                .map(|index| {
                    let bytes: Option<Vec<u8>> = row.try_get_unchecked(index).map_err(failed)?;
                    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
                })
                .collect::<Result<Row, Fault>>()?;
            count += 1;
            if sink(cells).is_break() {
                break;
            }
        }
        Ok(count)
    }

    async fn count(&self, table: &TableName) -> Result<u64, Fault> {
        let mut connection = self.open().await?;
        let count: i64 =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {}", quote_identifier(&table.name))))
                .fetch_one(&mut connection)
                .await
                .map_err(|error| fault(&format!("failed to count the rows of {}", table.name), &error))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn checks(&self, policy: &RecoveryPolicy) -> Result<Vec<BackupCheck>, Fault> {
        check::checks(&mut self.open().await?, policy).await
    }

    async fn relations(&self) -> Result<Relations, Fault> {
        let mut connection = self.open().await?;
        let sql = "SELECT m.name, f.\"from\", f.\"table\" FROM sqlite_master m, pragma_foreign_key_list(m.name) f \
                   WHERE m.type = 'table' AND (SELECT count(*) FROM pragma_foreign_key_list(m.name) g WHERE g.id = f.id) = 1 ORDER BY 1, 2";
        let rows: Vec<(String, String, String)> = sqlx::query_as(sql)
            .fetch_all(&mut connection)
            .await
            .map_err(|error| fault("failed to read the catalog", &error))?;
        let table = |name: String| TableName { schema: SCHEMA.into(), name };
        let foreign_keys = rows.into_iter().map(|(from, column, to)| (table(from), column, table(to))).collect();
        Ok(Relations { foreign_keys, labels: Vec::new() })
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Fault> {
        Ok(Box::new(snapshot::SqliteSnapshot::begin(self.open().await?).await?))
    }

    async fn objects(&self) -> Result<ObjectList, Fault> {
        let mut connection = self.open().await?;
        let rows = sqlx::query(
            "SELECT type, name, tbl_name, coalesce(sql, '') AS sql FROM sqlite_master WHERE type IN ('trigger', 'view') \
             UNION ALL SELECT 'table', name, tbl_name, sql FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL%' \
             ORDER BY 1, 2",
        )
        .fetch_all(&mut connection)
        .await
        .map_err(|error| fault("failed to read the catalog", &error))?;
        let objects = rows
            .iter()
            .map(|row| {
                Ok(DatabaseObject {
                    class: row.try_get("type")?,
                    name: format!("{}.{}", row.try_get::<String, _>("tbl_name")?, row.try_get::<String, _>("name")?),
                    owner: None,
                    definition: row.try_get("sql")?,
                })
            })
            .collect::<Result<_, sqlx::Error>>()
            .map_err(|error| fault("failed to read the catalog", &error))?;
        Ok(ObjectList { objects, uncovered: Vec::new() })
    }

    async fn evidence(&self) -> Result<Vec<(String, String)>, Fault> {
        let mut connection = self.open().await?;
        let failed = |error| fault("failed to read the catalog", &error);
        let rows: Vec<(String, String, Option<String>)> =
            sqlx::query_as("SELECT type, name, sql FROM sqlite_master ORDER BY type, name")
                .fetch_all(&mut connection)
                .await
                .map_err(failed)?;
        let lines: Vec<_> = rows
            .iter()
            .map(|(class, name, sql)| serde_json::json!({"type": class, "name": name, "sql": sql}).to_string())
            .collect();
        connection.close().await.map_err(failed)?;
        Ok(vec![("schema".into(), lines.join("\n"))])
    }
}

#[cfg(test)]
mod tests;
