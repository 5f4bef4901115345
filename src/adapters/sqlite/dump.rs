//! A dump in the form of the `sqlite3` shell's `.dump`, from one read transaction.

use std::io::Write;
use std::path::Path;

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Executor};

use super::{fault, open};
use crate::domain::guard::quote_identifier;
use crate::ports::{Fault, FaultKind};

/// Tables with their rows, then the sequences, indexes, triggers and views.
pub(super) async fn dump(path: &Path, out: &mut (dyn Write + Send)) -> Result<(), Fault> {
    let failed = |error: sqlx::Error| fault("failed to dump the database", &error);
    let unwritten = |error: std::io::Error| Fault::with(FaultKind::Unavailable, "failed to write the dump", error);
    let mut connection = open(path, true).await?;
    connection.execute("BEGIN").await.map_err(failed)?;
    writeln!(out, "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;").map_err(unwritten)?;
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
    )
    .fetch_all(&mut connection)
    .await
    .map_err(failed)?;
    let sequences = "SELECT name, '' FROM sqlite_master WHERE name = 'sqlite_sequence'";
    let sequences: Vec<(String, String)> =
        sqlx::query_as(sequences).fetch_all(&mut connection).await.map_err(failed)?;
    for (name, sql) in tables.into_iter().chain(sequences) {
        if sql.is_empty() {
            writeln!(out, "DELETE FROM sqlite_sequence;").map_err(unwritten)?;
        } else {
            writeln!(out, "{sql};").map_err(unwritten)?;
        }
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?1)")
            .bind(&name)
            .fetch_all(&mut connection)
            .await
            .map_err(failed)?;
        let cells: Vec<_> = columns.iter().map(|column| format!("quote({})", quote_identifier(column))).collect();
        let rows = format!("SELECT {} FROM {}", cells.join(" || ',' || "), quote_identifier(&name));
        let table = if sql.is_empty() { name.clone() } else { quote_identifier(&name) };
        let mut rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(rows)).fetch(&mut connection);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            writeln!(out, "INSERT INTO {table} VALUES({row});").map_err(unwritten)?;
        }
    }
    let others = "SELECT sql FROM sqlite_master WHERE type IN ('index', 'trigger', 'view') AND sql IS NOT NULL ORDER BY type = 'trigger', rowid";
    let others: Vec<String> = sqlx::query_scalar(others).fetch_all(&mut connection).await.map_err(failed)?;
    for sql in others {
        writeln!(out, "{sql};").map_err(unwritten)?;
    }
    writeln!(out, "COMMIT;").map_err(unwritten)
}
