//! Rows that a person has put back while the pause stands.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};

use super::super::{fault, qualified};
use crate::domain::guard::quote_identifier;
use crate::ports::{Fault, FaultKind, Row, TableName};

const TYPES: &str = "\
SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a
WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''";

/// One transaction: nobody else ever sees the flag lifted, and whatever fails leaves it set.
pub(super) async fn insert(
    connection: &mut PgConnection,
    table: &TableName,
    columns: &[String],
    rows: &[Row],
) -> Result<u64, Fault> {
    let failed = |error: sqlx::Error| fault("failed to put rows through the pause", &error);
    let types: Vec<(String, String)> =
        sqlx::query_as(TYPES).bind(qualified(table)).fetch_all(&mut *connection).await.map_err(failed)?;
    let mut used = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        let Some((_, kind)) = types.iter().find(|(name, _)| name == column) else {
            return Err(Fault::new(FaultKind::Invalid, format!("{table} has no column {column}")));
        };
        used.push((index, column, kind));
    }
    let names: Vec<_> = used.iter().map(|(_, column, _)| quote_identifier(column)).collect();
    let values: Vec<_> =
        used.iter().enumerate().map(|(at, (_, _, kind))| format!("${}::text::{kind}", at + 1)).collect();
    let sql = format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({}) ON CONFLICT DO NOTHING",
        qualified(table),
        names.join(", "),
        values.join(", ")
    );
    connection
        .execute("BEGIN; SET LOCAL lock_timeout = '5s'; UPDATE portcullis.guard SET paused = false WHERE id = 1")
        .await
        .map_err(failed)?;
    let mut count = 0;
    for row in rows {
        let mut query = sqlx::query(AssertSqlSafe(sql.clone())).persistent(false);
        for (index, ..) in &used {
            query = query.bind(row.get(*index).cloned().flatten());
        }
        match query.execute(&mut *connection).await {
            Ok(done) => count += done.rows_affected(),
            Err(error) => {
                let _ = connection.execute("ROLLBACK").await;
                return Err(failed(error));
            }
        }
    }
    // A sequence behind the ids would give one of them a second time.
    for (_, column, _) in &used {
        let sequence: Option<String> = sqlx::query_scalar("SELECT pg_get_serial_sequence($1, $2)")
            .bind(qualified(table))
            .bind(column.as_str())
            .persistent(false)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        if let Some(sequence) = sequence {
            // The catalog gives the name in quotes where it needs them.
            let sql = format!(
                "SELECT pg_catalog.setval($1::regclass, greatest((SELECT max({})::bigint FROM {}), (SELECT last_value FROM {sequence})))",
                quote_identifier(column),
                qualified(table)
            );
            let done = sqlx::query(AssertSqlSafe(sql)).bind(&sequence).persistent(false);
            done.execute(&mut *connection).await.map_err(failed)?;
        }
    }
    let end = "UPDATE portcullis.guard SET paused = true, changed_at = clock_timestamp(), changed_by = session_user WHERE id = 1; COMMIT";
    connection.execute(end).await.map_err(failed)?;
    Ok(count)
}
