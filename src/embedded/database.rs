use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::state::{fault as file_fault, replace};
use crate::domain::Timestamp;
use crate::domain::guard::quote_identifier;
use crate::ports::{Fault, FaultKind};

/// The tables, as Prisma writes them for `SQLite`.
const SCHEMA: &str = r#"
CREATE TABLE "Account" ("id" TEXT NOT NULL PRIMARY KEY, "name" TEXT NOT NULL, "tradeLimit" DECIMAL NOT NULL);
CREATE TABLE "ApiKey" ("id" TEXT NOT NULL PRIMARY KEY, "accountId" TEXT NOT NULL, "keyHash" TEXT NOT NULL, "revokedAt" DATETIME, "createdAt" DATETIME NOT NULL, CONSTRAINT "ApiKey_accountId_fkey" FOREIGN KEY ("accountId") REFERENCES "Account" ("id") ON DELETE RESTRICT ON UPDATE CASCADE);
CREATE TABLE "Trade" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "accountId" TEXT NOT NULL, "apiKeyId" TEXT, "symbol" TEXT NOT NULL, "side" TEXT NOT NULL, "quantity" DECIMAL NOT NULL, "price" DECIMAL NOT NULL, "value" DECIMAL NOT NULL, "status" TEXT NOT NULL, "createdAt" DATETIME NOT NULL, "updatedAt" DATETIME NOT NULL);
CREATE UNIQUE INDEX "ApiKey_keyHash_key" ON "ApiKey"("keyHash");
CREATE INDEX "Trade_createdAt_idx" ON "Trade"("createdAt");
"#;

/// The database file of the embedded deployment in `root`.
pub(super) fn path(root: &Path) -> PathBuf {
    root.join("trading.db")
}

/// Opens it for writing.
pub(super) async fn open(root: &Path, create: bool) -> Result<SqliteConnection, Fault> {
    let path = path(root);
    if !create && !path.is_file() {
        return Err(Fault::new(FaultKind::NotFound, format!("the database file {} does not exist", path.display())));
    }
    SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(create)
        .foreign_keys(false)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|error| fault("open", &error))
}

/// The fault of a failed use of the database.
pub(super) fn fault(verb: &str, error: &sqlx::Error) -> Fault {
    let words = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    Fault::new(FaultKind::Unavailable, format!("failed to {verb} the trading database: {words}"))
}

/// Runs statements in one transaction.
pub(super) async fn execute(connection: &mut SqliteConnection, sql: String) -> Result<(), Fault> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ()).map_err(|error| fault("change", &error))
}

/// Makes the database with its tables.
pub(super) async fn create(root: &Path) -> Result<SqliteConnection, Fault> {
    let mut connection = open(root, true).await?;
    execute(&mut connection, SCHEMA.to_owned()).await?;
    Ok(connection)
}

/// A text as an SQL literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

async fn strings(connection: &mut SqliteConnection, sql: String) -> Result<Vec<String>, Fault> {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(connection).await.map_err(|error| fault("dump", &error))
}

/// The statements that make the database again, as the `.dump` command of the `sqlite3` shell writes them: tables with their rows, `sqlite_sequence`,
/// then indexes, triggers and views. Trades made after `until` are left out, so that a backup of an earlier moment can
/// be written.
async fn dump(connection: &mut SqliteConnection, until: Timestamp) -> Result<String, Fault> {
    let mut text = String::from("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n");
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(|error| fault("dump", &error))?;
    for (name, sql) in tables {
        let _ = writeln!(text, "{sql};");
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?1)")
            .bind(&name)
            .fetch_all(&mut *connection)
            .await
            .map_err(|error| fault("dump", &error))?;
        let cells: Vec<_> = columns.iter().map(|column| format!("quote({})", quote_identifier(column))).collect();
        let filter =
            if name == "Trade" { format!(" WHERE createdAt <= {}", until.as_millisecond()) } else { String::new() };
        let rows = format!("SELECT {} FROM {}{filter}", cells.join(" || ',' || "), quote_identifier(&name));
        for row in strings(connection, rows).await? {
            let _ = writeln!(text, "INSERT INTO {} VALUES({row});", quote_identifier(&name));
        }
    }
    text.push_str("DELETE FROM sqlite_sequence;\n");
    let last = format!(
        "SELECT 'INSERT INTO sqlite_sequence VALUES(''Trade'',' || max(id) || ');' FROM Trade WHERE createdAt <= {} HAVING count(*) > 0",
        until.as_millisecond()
    );
    let others = "SELECT sql || ';' FROM sqlite_master WHERE type IN ('index', 'trigger', 'view') AND sql IS NOT NULL \
                  ORDER BY type = 'trigger', rowid";
    for statement in strings(connection, last).await?.into_iter().chain(strings(connection, others.to_owned()).await?) {
        let _ = writeln!(text, "{statement}");
    }
    text.push_str("COMMIT;\n");
    Ok(text)
}

/// Writes the backup that the hourly job would have written at that moment; returns its path below `root`.
pub(super) async fn write_backup(
    connection: &mut SqliteConnection,
    root: &Path,
    at: Timestamp,
) -> Result<String, Fault> {
    let text = dump(connection, at).await?;
    let name = format!("backups/db_backup_{}.sql.gz", at.strftime("%Y%m%d_%H%M%S"));
    let path = root.join(&name);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    replace(&path, &packed.map_err(|error| file_fault("write", &path, error))?)?;
    Ok(name)
}

/// Ends the use of a connection, so that its work is in the file and not in a log beside it.
pub(super) async fn close(connection: SqliteConnection) -> Result<(), Fault> {
    connection.close().await.map_err(|error| fault("close", &error))
}
