//! The deployment's database as issuers use it: PostgreSQL or SQLite, a few statements, values always bound.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Database, Executor, IntoArguments, Row as _};

use tokio::sync::OwnedSemaphorePermit;

use crate::adapters::login::{Kept, Login};
use crate::ports::{Fault, FaultKind};

/// Where the tables are.
#[derive(Clone)]
pub enum KeyDatabase {
    /// PostgreSQL, as a role that may change them.
    Postgres(Login),
    /// A SQLite file.
    Sqlite(PathBuf),
}

/// A column.
#[derive(Clone)]
pub(super) struct Field {
    pub name: String,
    pub data_type: String,
}

/// A connection of either kind, with the few statements that are needed. Values are always bound.
pub(super) enum Session {
    Postgres(Box<sqlx::PgConnection>, Login, Option<OwnedSemaphorePermit>),
    Sqlite(Box<sqlx::SqliteConnection>),
}

async fn all<'c, D>(
    connection: &'c mut D::Connection,
    sql: String,
    binds: &[String],
) -> Result<Vec<Vec<Option<String>>>, Fault>
where
    D: Database,
    for<'e> &'e mut D::Connection: Executor<'e, Database = D>,
    D::Arguments: IntoArguments<D>,
    for<'q> String: sqlx::Encode<'q, D> + sqlx::Type<D>,
    for<'r> Option<String>: sqlx::Decode<'r, D> + sqlx::Type<D>,
    usize: sqlx::ColumnIndex<D::Row>,
{
    let mut query = sqlx::query::<D>(AssertSqlSafe(sql));
    for bind in binds {
        query = query.bind(bind.clone());
    }
    let rows = query.fetch_all(connection).await.map_err(|error| fault("failed to use the table", &error))?;
    rows.iter()
        .map(|row| {
            (0..row.len())
                .map(|index| {
                    row.try_get::<Option<String>, _>(index).map_err(|error| fault("failed to read the table", &error))
                })
                .collect()
        })
        .collect()
}

impl Session {
    /// Connects.
    pub(super) async fn open(database: &KeyDatabase) -> Result<Self, Fault> {
        let failed = |error: sqlx::Error| fault("failed to reach the database", &error);
        match database {
            KeyDatabase::Postgres(login) => {
                let turn = login.turn().await;
                let connection = match login.again(Kept::Plain).await {
                    Some(connection) => connection,
                    None => login.connect().await.map_err(failed)?,
                };
                Ok(Self::Postgres(Box::new(connection), login.clone(), turn))
            }
            KeyDatabase::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(false)
                    .busy_timeout(Duration::from_secs(5))
                    .disable_statement_logging();
                Ok(Self::Sqlite(Box::new(options.connect().await.map_err(failed)?)))
            }
        }
    }

    /// Rows as text; `?1`-style placeholders become `$1` on PostgreSQL.
    pub(super) async fn all(&mut self, sql: &str, binds: &[String]) -> Result<Vec<Vec<Option<String>>>, Fault> {
        match self {
            Self::Postgres(connection, ..) => all::<sqlx::Postgres>(connection, sql.replace('?', "$"), binds).await,
            Self::Sqlite(connection) => all::<sqlx::Sqlite>(connection, sql.to_owned(), binds).await,
        }
    }

    /// Everything that was asked for has ended: the next one may go on with the connection.
    pub(super) async fn end(self) {
        match self {
            Self::Postgres(connection, login, _turn) => login.keep(Kept::Plain, *connection).await,
            Self::Sqlite(connection) => drop(connection.close().await),
        }
    }

    pub(super) async fn fields(&mut self, table: &str) -> Result<Vec<Field>, Fault> {
        let sql = match self {
            Self::Postgres(..) => {
                "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = \
                 (SELECT c.oid FROM pg_class c WHERE c.relname = ?1 AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)) \
                 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum"
            }
            Self::Sqlite(_) => "SELECT name, lower(type) FROM pragma_table_info(?1) ORDER BY cid",
        };
        let rows = self.all(sql, &[table.to_owned()]).await?;
        let fields = rows.into_iter().filter_map(|row| {
            let mut cells = row.into_iter();
            Some(Field { name: cells.next()??, data_type: cells.next()?.unwrap_or_default() })
        });
        Ok(fields.collect())
    }

    /// An expression for "now" that fits the column.
    pub(super) fn now(&self, field: &Field) -> String {
        match self {
            Self::Postgres(..) if field.data_type.contains("without time zone") => "(now() AT TIME ZONE 'UTC')".into(),
            Self::Postgres(..) if field.data_type.starts_with("bool") => "true".into(),
            Self::Postgres(..) => "now()".into(),
            // Prisma keeps DATETIME as milliseconds.
            Self::Sqlite(_) if field.data_type.contains("text") => "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')".into(),
            Self::Sqlite(_) => "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)".into(),
        }
    }

    pub(super) fn yes(&self) -> &'static str {
        match self {
            Self::Postgres(..) => "true",
            Self::Sqlite(_) => "1",
        }
    }

    pub(super) fn no(&self) -> &'static str {
        match self {
            Self::Postgres(..) => "false",
            Self::Sqlite(_) => "0",
        }
    }
}

fn fault(what: &str, error: &sqlx::Error) -> Fault {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let kind = match (error, code.as_deref()) {
        (sqlx::Error::Io(_) | sqlx::Error::Tls(_), _) => FaultKind::Unavailable,
        (_, Some("28P01" | "28000" | "42501" | "8")) => FaultKind::Denied,
        (_, Some("42P01" | "3D000")) => FaultKind::NotFound,
        (_, Some("55P03" | "40001" | "40P01" | "5" | "23505" | "1555")) => FaultKind::Conflict,
        _ => FaultKind::Invalid,
    };
    // The server's message, not its detail: that one repeats values.
    let words = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    Fault::new(kind, format!("{what}: {words}"))
}
