//! Whether a SQLite database holds together.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::fault;
use crate::domain::BackupCheck;
use crate::domain::guard::quote_identifier;
use crate::policy::recovery::{Invariant, RecoveryPolicy};
use crate::ports::Fault;

fn failed(what: &str) -> impl Fn(sqlx::Error) -> Fault + '_ {
    move |error| fault(&format!("failed to check {what}"), &error)
}

/// Structure, foreign keys, sequences, migrations of Prisma, and what policy asks of columns.
pub(super) async fn checks(
    connection: &mut SqliteConnection,
    policy: &RecoveryPolicy,
) -> Result<Vec<BackupCheck>, Fault> {
    let whole: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed("the structure"))?;
    let orphans =
        sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut *connection).await.map_err(failed("foreign keys"))?;
    let constraints = if orphans.is_empty() {
        Ok("every foreign key holds".to_owned())
    } else {
        let table: String = orphans[0].try_get(0).map_err(failed("foreign keys"))?;
        Err(format!("{} rows refer to rows that are not there, the first in {table}", orphans.len()))
    };
    let mut all = vec![
        BackupCheck::of("indexes", if whole == "ok" { Ok("pages and indexes agree".into()) } else { Err(whole) }),
        BackupCheck::of("constraints", constraints),
        sequences(connection).await?,
    ];
    all.extend(migrations(connection).await?);
    for invariant in &policy.invariants {
        all.push(invariant_holds(connection, invariant).await?);
    }
    Ok(all)
}

async fn there(connection: &mut SqliteConnection, table: &str) -> Result<bool, Fault> {
    sqlx::query_scalar::<_, i64>("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1")
        .bind(table)
        .fetch_one(connection)
        .await
        .map(|count| count > 0)
        .map_err(failed("the tables"))
}

async fn sequences(connection: &mut SqliteConnection) -> Result<BackupCheck, Fault> {
    if !there(connection, "sqlite_sequence").await? {
        return Ok(BackupCheck::of("sequences", Ok("none".into())));
    }
    let all: Vec<(String, i64)> =
        sqlx::query_as("SELECT CAST(name AS TEXT), CAST(seq AS INTEGER) FROM sqlite_sequence ORDER BY 1")
            .fetch_all(&mut *connection)
            .await
            .map_err(failed("the sequences"))?;
    let mut behind = Vec::new();
    for (table, last) in &all {
        if !there(connection, table).await? {
            continue;
        }
        let sql = format!("SELECT coalesce(max(rowid), 0) FROM {}", quote_identifier(table));
        let newest: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut *connection)
            .await
            .map_err(failed("the sequences"))?;
        if newest > *last {
            behind.push(table.clone());
        }
    }
    Ok(BackupCheck::of(
        "sequences",
        if behind.is_empty() {
            Ok(match all.len() {
                1 => "the sequence is ahead of its ids".to_owned(),
                several => format!("{several} sequences are ahead of their ids"),
            })
        } else {
            Err(format!("behind the ids of {}", behind.join(", ")))
        },
    ))
}

async fn migrations(connection: &mut SqliteConnection) -> Result<Option<BackupCheck>, Fault> {
    if !there(connection, "_prisma_migrations").await? {
        return Ok(None);
    }
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT CAST(migration_name AS TEXT) FROM _prisma_migrations WHERE finished_at IS NULL AND rolled_back_at IS NULL",
    )
    .fetch_all(connection)
    .await
    .map_err(failed("the migrations"))?;
    Ok(Some(BackupCheck::of(
        "migrations",
        if open.is_empty() {
            Ok("every migration of Prisma ended".into())
        } else {
            Err(format!("begun and not ended: {}", open.join(", ")))
        },
    )))
}

async fn has_column(connection: &mut SqliteConnection, table: &str, column: &str) -> Result<bool, Fault> {
    sqlx::query_scalar::<_, i64>("SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2")
        .bind(table)
        .bind(column)
        .fetch_one(connection)
        .await
        .map(|count| count > 0)
        .map_err(failed("an invariant"))
}

async fn invariant_holds(connection: &mut SqliteConnection, invariant: &Invariant) -> Result<BackupCheck, Fault> {
    let name = format!("invariant {}", invariant.name);
    if !has_column(connection, &invariant.table, &invariant.column).await? {
        let words = format!("there is no column {}.{}", invariant.table, invariant.column);
        return Ok(BackupCheck::of(&name, Err(words)));
    }
    let (table, column) = (quote_identifier(&invariant.table), quote_identifier(&invariant.column));
    let (mut wrong, mut values) = (Vec::new(), Vec::new());
    for (bound, sign) in [(&invariant.at_least, "<"), (&invariant.at_most, ">")] {
        if let Some(bound) = bound {
            values.push(bound.clone());
            wrong.push(format!("CAST({column} AS NUMERIC) {sign} CAST(?{} AS NUMERIC)", values.len()));
        }
    }
    if invariant.not_null {
        wrong.push(format!("{column} IS NULL"));
    }
    if !wrong.is_empty() {
        let sql = format!("SELECT count(*) FROM {table} WHERE {}", wrong.join(" OR "));
        let mut query = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql));
        for value in values {
            query = query.bind(value);
        }
        let count = query.fetch_one(&mut *connection).await.map_err(failed(&name))?;
        if count > 0 {
            return Ok(BackupCheck::of(&name, Err(format!("{count} rows break it"))));
        }
    }
    if let Some(other) = &invariant.sum_equals {
        let sum = |column: &str, table: &str| {
            format!(
                "SELECT CAST(coalesce(sum({}), 0) AS TEXT) FROM {}",
                quote_identifier(column),
                quote_identifier(table)
            )
        };
        let mut sums = Vec::new();
        for sql in [sum(&invariant.column, &invariant.table), sum(&other.column, &other.table)] {
            let sum: String =
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *connection).await.map_err(failed(&name))?;
            sums.push(sum);
        }
        if sums[0] != sums[1] {
            return Ok(BackupCheck::of(&name, Err(format!("the sums are {} and {}", sums[0], sums[1]))));
        }
    }
    Ok(BackupCheck::of(&name, Ok("holds".into())))
}
