//! PostgreSQL: the deployment's database, read in one read-only snapshot, and the guard in front of its trade table.

mod copy;
mod copy_binary;
mod guard;
mod notify;
mod objects;
mod relations;
mod restore;
mod snapshot;
mod time_ranges;

use std::ops::ControlFlow;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row as _};

pub use guard::PostgresGuard;
pub use restore::PostgresRestore;

use super::login::Login;
use crate::domain::BackupCheck;
use crate::domain::guard::quote_identifier;
use crate::policy::recovery::RecoveryPolicy;
use crate::ports::{Column, Database, Fault, FaultKind, ObjectList, Relations, Row, Snapshot, Table, TableName, Told};

/// Bound on one connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Bound on one statement of a scan, in milliseconds.
const STATEMENT_MS: u32 = 15 * 60 * 1000;

/// A PostgreSQL database.
#[derive(Clone)]
pub struct PostgresDatabase {
    login: Login,
}

impl PostgresDatabase {
    /// Connects when first used.
    pub fn new(login: Login) -> Self {
        Self { login }
    }

    fn login(&self) -> &Login {
        &self.login
    }

    async fn transaction(&self) -> Result<PgConnection, Fault> {
        let mut connection = connect_as(&self.login).await?;
        // Whatever a view or a default of the intruder's would do, it can't write here, nor find its own functions first.
        let set = format!(
            "SET statement_timeout = {STATEMENT_MS}; SET default_transaction_read_only = on; SET search_path = pg_catalog; \
             BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        );
        connection.execute(AssertSqlSafe(set)).await.map_err(|error| fault("failed to begin a snapshot", &error))?;
        Ok(connection)
    }
}

/// Connects within the bound.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Fault> {
    let options = options.clone().application_name("portcullis").disable_statement_logging();
    let place = place(&options);
    match tokio::time::timeout(CONNECT, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(fault(&format!("failed to connect to {place} as {}", options.get_username()), &error)),
        Err(_) => {
            Err(Fault::new(FaultKind::Unavailable, format!("{place} did not answer within {} s", CONNECT.as_secs())))
        }
    }
}

/// Connects as this program.
pub(super) async fn connect_as(login: &Login) -> Result<PgConnection, Fault> {
    login.connect().await.map_err(|error| {
        let options = login.options();
        fault(&format!("failed to connect to {} as {}", place(&options), options.get_username()), &error)
    })
}

fn place(options: &PgConnectOptions) -> String {
    let host =
        options.get_socket().map_or_else(|| options.get_host().to_owned(), |socket| socket.display().to_string());
    format!("{host}:{}/{}", options.get_port(), options.get_database().unwrap_or(options.get_username()))
}

/// The SQLSTATE of an error.
pub(super) fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(std::borrow::Cow::into_owned)
}

/// The fault that an error stands for: the server's message, never its detail, which repeats values.
pub(super) fn fault(what: &str, error: &sqlx::Error) -> Fault {
    let code = code(error);
    let kind = match (error, code.as_deref()) {
        (sqlx::Error::Io(_) | sqlx::Error::Tls(_), _) | (_, Some("57014" | "57P01" | "57P03" | "53100" | "53200")) => {
            FaultKind::Unavailable
        }
        (_, Some("28P01" | "28000" | "42501")) => FaultKind::Denied,
        (_, Some("3D000" | "3F000" | "42P01" | "42704")) => FaultKind::NotFound,
        (_, Some("55P03" | "40001" | "40P01")) => FaultKind::Conflict,
        (_, Some("53300")) => FaultKind::Throttled,
        (_, Some("XX001" | "XX002")) => FaultKind::Corrupt,
        _ => FaultKind::Invalid,
    };
    let words = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    let code = code.map_or(String::new(), |code| format!(" ({code})"));
    Fault::new(kind, format!("{what}: {words}{code}"))
}

/// Schema and table in quotes.
pub(super) fn qualified(table: &TableName) -> String {
    format!("{}.{}", quote_identifier(&table.schema), quote_identifier(&table.name))
}

const TABLES: &str = "\
SELECT n.nspname::text AS schema, c.relname::text AS name, a.attname::text AS column_name,
       lower(CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod)
             ELSE pg_catalog.format_type(a.atttypid, a.atttypmod) END) AS data_type, NOT a.attnotnull AS nullable,
       coalesce(a.attnum = ANY (i.indkey::int2[]), false) AS primary_key,
       (a.attgenerated <> '' OR a.attidentity = 'a') AS generated
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'portcullis') AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY n.nspname = 'public' DESC, n.nspname, c.relname, a.attnum";

#[async_trait]
impl Database for PostgresDatabase {
    fn dialect(&self) -> &'static str {
        "postgres"
    }

    fn describe(&self) -> String {
        format!("PostgreSQL {}", place(&self.login.options()))
    }

    fn listen(&self, channel: &str) -> Option<Told> {
        Some(notify::listen(self.login.clone(), channel.to_owned()))
    }

    async fn ping(&self) -> Result<String, Fault> {
        let mut connection = connect_as(&self.login).await?;
        let version: String = sqlx::query_scalar("SELECT 'PostgreSQL ' || current_setting('server_version')")
            .fetch_one(&mut connection)
            .await
            .map_err(|error| fault("failed to ask the database for its version", &error))?;
        let _ = connection.close().await;
        Ok(version)
    }

    async fn tables(&self) -> Result<Vec<Table>, Fault> {
        let mut connection = self.transaction().await?;
        let failed = |error: sqlx::Error| fault("failed to read the catalog", &error);
        let rows = sqlx::query(TABLES).fetch_all(&mut connection).await.map_err(failed)?;
        let _ = connection.close().await;
        let mut tables: Vec<Table> = Vec::new();
        for row in &rows {
            let name = TableName {
                schema: row.try_get("schema").map_err(failed)?,
                name: row.try_get("name").map_err(failed)?,
            };
            let column = Column {
                name: row.try_get("column_name").map_err(failed)?,
                data_type: row.try_get("data_type").map_err(failed)?,
                nullable: row.try_get("nullable").map_err(failed)?,
                primary_key: row.try_get("primary_key").map_err(failed)?,
                generated: row.try_get("generated").map_err(failed)?,
            };
            match tables.last_mut() {
                Some(table) if table.name == name => table.columns.push(column),
                _ => tables.push(Table { name, columns: vec![column] }),
            }
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
        let mut connection = self.transaction().await?;
        let failed = |error: sqlx::Error| fault(&format!("failed to read {table}"), &error);
        let list: Vec<_> = columns.iter().map(|column| format!("{}::text", quote_identifier(column))).collect();
        let order = order_by.map_or(String::new(), |column| format!(" ORDER BY {}", quote_identifier(column)));
        let sql = format!("SELECT {} FROM {}{order}", list.join(", "), qualified(table));
        let mut count = 0;
        {
            let mut stream = sqlx::query(AssertSqlSafe(sql)).fetch(&mut connection);
            while let Some(row) = stream.try_next().await.map_err(failed)? {
                let cells = (0..columns.len())
                    .map(|index| row.try_get::<Option<String>, _>(index).map_err(failed))
                    .collect::<Result<Row, Fault>>()?;
                count += 1;
                if sink(cells).is_break() {
                    break;
                }
            }
        }
        Ok(count)
    }

    async fn count(&self, table: &TableName) -> Result<u64, Fault> {
        let mut connection = self.transaction().await?;
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {}", qualified(table))))
            .fetch_one(&mut connection)
            .await
            .map_err(|error| fault(&format!("failed to count the rows of {table}"), &error))?;
        let _ = connection.close().await;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn checks(&self, policy: &RecoveryPolicy) -> Result<Vec<BackupCheck>, Fault> {
        let mut connection = connect_as(&self.login).await?;
        restore::quiet(&mut connection).await?;
        let checks = restore::checks(&mut connection, policy).await;
        let _ = connection.close().await;
        checks
    }

    async fn relations(&self) -> Result<Relations, Fault> {
        relations::read(&mut self.transaction().await?).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Fault> {
        Ok(Box::new(snapshot::PostgresSnapshot::open(&self.login).await?))
    }

    async fn objects(&self) -> Result<ObjectList, Fault> {
        objects::read(&mut self.transaction().await?).await
    }

    async fn evidence(&self) -> Result<Vec<(String, String)>, Fault> {
        let mut connection = self.transaction().await?;
        let mut files = Vec::new();
        for (name, sql) in objects::EVIDENCE {
            let rows: Vec<String> = sqlx::query_scalar(*sql)
                .fetch_all(&mut connection)
                .await
                .map_err(|error| fault(&format!("failed to capture {name}"), &error))?;
            files.push(((*name).to_owned(), rows.join("\n")));
        }
        let _ = connection.close().await;
        Ok(files)
    }
}
