//! Whether a database is what its own catalog says: constraints that hold, indexes that can be used, sequences ahead of their ids,
//! migrations that ended, and what policy asks of columns.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor, Row as _};

use super::super::{fault, qualified};
use crate::domain::BackupCheck;
use crate::domain::guard::quote_identifier;
use crate::policy::recovery::{Invariant, RecoveryPolicy};
use crate::ports::{Fault, TableName};

/// Schemas that are the deployment's own.
const OWN: &str = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'portcullis') AND n.nspname NOT LIKE 'pg\\_%'";

fn failed(what: &str) -> impl Fn(sqlx::Error) -> Fault + '_ {
    move |error| fault(&format!("failed to check {what}"), &error)
}

async fn names(connection: &mut PgConnection, sql: String, what: &str) -> Result<Vec<String>, Fault> {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(connection).await.map_err(failed(what))
}

async fn number(connection: &mut PgConnection, sql: String, what: &str) -> Result<i64, Fault> {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.map_err(failed(what))
}

fn shown(names: &[String]) -> String {
    let mut text = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 5 {
        text.push_str(&format!(" and {} more", names.len() - 5));
    }
    text
}

/// All checks. Each statement runs in a read-only transaction of this connection.
pub(in crate::adapters::postgres) async fn checks(
    connection: &mut PgConnection,
    policy: &RecoveryPolicy,
) -> Result<Vec<BackupCheck>, Fault> {
    let mut all = vec![constraints(connection).await?, indexes(connection).await?, sequences(connection).await?];
    all.extend(migrations(connection).await?);
    for invariant in &policy.invariants {
        all.push(invariant_holds(connection, invariant).await?);
    }
    Ok(all)
}

async fn constraints(connection: &mut PgConnection) -> Result<BackupCheck, Fault> {
    let from = "FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace";
    let bad = format!(
        "SELECT k.conrelid::regclass::text || '.' || k.conname {from} WHERE NOT k.convalidated AND {OWN} ORDER BY 1"
    );
    let bad = names(connection, bad, "the constraints").await?;
    let count = number(connection, format!("SELECT count(*) {from} WHERE {OWN}"), "the constraints").await?;
    Ok(BackupCheck::of(
        "constraints",
        if bad.is_empty() {
            Ok(format!("{count} constraints, foreign keys among them, hold for every row"))
        } else {
            Err(format!("not valid: {}", shown(&bad)))
        },
    ))
}

async fn indexes(connection: &mut PgConnection) -> Result<BackupCheck, Fault> {
    let from = "FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";
    let bad = format!(
        "SELECT i.indexrelid::regclass::text {from} WHERE NOT (i.indisvalid AND i.indisready) AND {OWN} ORDER BY 1"
    );
    let bad = names(connection, bad, "the indexes").await?;
    let count = number(connection, format!("SELECT count(*) {from} WHERE {OWN}"), "the indexes").await?;
    if !bad.is_empty() {
        return Ok(BackupCheck::of("indexes", Err(format!("can't be used: {}", shown(&bad)))));
    }
    let installed = number(
        connection,
        "SELECT count(*) FROM pg_catalog.pg_extension WHERE extname = 'amcheck'".into(),
        "the indexes",
    )
    .await?;
    if installed == 0 {
        return Ok(BackupCheck::of("indexes", Ok(format!("{count} indexes can be used"))));
    }
    let schema: String = sqlx::query_scalar("SELECT quote_ident(n.nspname) FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed("the indexes"))?;
    let walk = format!(
        "SELECT count({schema}.bt_index_check(i.indexrelid)) {from} JOIN pg_catalog.pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relpersistence <> 't' AND c.relkind = 'i' AND {OWN}"
    );
    Ok(BackupCheck::of(
        "indexes",
        match number(connection, walk, "the indexes").await {
            Ok(walked) => Ok(format!("{count} indexes can be used, amcheck walked {walked} of them")),
            Err(fault) => Err(fault.message),
        },
    ))
}

/// A sequence behind its column would give an id a second time.
async fn sequences(connection: &mut PgConnection) -> Result<BackupCheck, Fault> {
    let sql = format!(
        "SELECT s.oid::regclass::text AS sequence, c.oid::regclass::text AS table_name, quote_ident(a.attname) AS column_name, q.seqincrement > 0 AS upward \
         FROM pg_catalog.pg_class s JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid \
         JOIN pg_catalog.pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0 \
         JOIN pg_catalog.pg_class c ON c.oid = d.refobjid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid WHERE s.relkind = 'S' AND {OWN} ORDER BY 1"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *connection).await.map_err(failed("the sequences"))?;
    let mut behind = Vec::new();
    for row in &rows {
        let get = |name: &str| row.try_get::<String, _>(name).map_err(failed("the sequences"));
        let (sequence, table, column) = (get("sequence")?, get("table_name")?, get("column_name")?);
        if !row.try_get::<bool, _>("upward").map_err(failed("the sequences"))? {
            continue;
        }
        let sql = format!(
            "SELECT coalesce((SELECT max({column})::numeric FROM {table}) > (SELECT last_value FROM {sequence}), false)"
        );
        let late: bool = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut *connection)
            .await
            .map_err(failed("the sequences"))?;
        if late {
            behind.push(sequence);
        }
    }
    Ok(BackupCheck::of(
        "sequences",
        if behind.is_empty() {
            Ok(match rows.len() {
                1 => "the sequence is ahead of its ids".to_owned(),
                several => format!("{several} sequences are ahead of their ids"),
            })
        } else {
            Err(format!("behind the ids of their tables: {}", shown(&behind)))
        },
    ))
}

/// Prisma's own table of migrations: one that neither ended nor was rolled back leaves a half-changed schema.
async fn migrations(connection: &mut PgConnection) -> Result<Option<BackupCheck>, Fault> {
    let there = "SELECT coalesce(min(n.nspname), '') FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = '_prisma_migrations'";
    let schema: String =
        sqlx::query_scalar(there).fetch_one(&mut *connection).await.map_err(failed("the migrations"))?;
    if schema.is_empty() {
        return Ok(None);
    }
    let table = qualified(&TableName { schema, name: "_prisma_migrations".into() });
    let open = format!(
        "SELECT migration_name::text FROM {table} WHERE finished_at IS NULL AND rolled_back_at IS NULL ORDER BY 1"
    );
    let open = names(connection, open, "the migrations").await?;
    let done =
        number(connection, format!("SELECT count(*) FROM {table} WHERE finished_at IS NOT NULL"), "the migrations")
            .await?;
    Ok(Some(BackupCheck::of(
        "migrations",
        if open.is_empty() {
            Ok(format!("{done} migrations of Prisma, all ended"))
        } else {
            Err(format!("begun and not ended: {}", shown(&open)))
        },
    )))
}

async fn invariant_holds(connection: &mut PgConnection, invariant: &Invariant) -> Result<BackupCheck, Fault> {
    let name = format!("invariant {}", invariant.name);
    let found: Option<(String, String, String)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT n.nspname::text, c.relname::text, pg_catalog.format_type(a.atttypid, NULL) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE c.relkind IN ('r', 'p') AND c.relname = $1 AND a.attname = $2 AND {OWN} LIMIT 1"
    )))
    .bind(&invariant.table)
    .bind(&invariant.column)
    .fetch_optional(&mut *connection)
    .await
    .map_err(failed("an invariant"))?;
    let Some((schema, table, kind)) = found else {
        return Ok(BackupCheck::of(&name, Err(format!("there is no column {}.{}", invariant.table, invariant.column))));
    };
    let (column, table) =
        (quote_identifier(&invariant.column), qualified(&TableName { schema: schema.clone(), name: table }));
    let mut wrong = Vec::new();
    let mut values = Vec::new();
    for (bound, sign) in [(&invariant.at_least, "<"), (&invariant.at_most, ">")] {
        if let Some(bound) = bound {
            values.push(bound.clone());
            wrong.push(format!("{column} {sign} ${}::text::{kind}", values.len()));
        }
    }
    if invariant.not_null {
        wrong.push(format!("{column} IS NULL"));
    }
    let mut words = Vec::new();
    if !wrong.is_empty() {
        let mut query = sqlx::query_scalar::<_, i64>(AssertSqlSafe(format!(
            "SELECT count(*) FROM {table} WHERE {}",
            wrong.join(" OR ")
        )));
        for value in values {
            query = query.bind(value);
        }
        let count = query.persistent(false).fetch_one(&mut *connection).await.map_err(failed(&name))?;
        if count > 0 {
            return Ok(BackupCheck::of(&name, Err(format!("{count} rows break it"))));
        }
        words.push("no row breaks it".to_owned());
    }
    if let Some(other) = &invariant.sum_equals {
        let sql = format!(
            "SELECT coalesce((SELECT sum({column}) FROM {table}), 0)::text, coalesce((SELECT sum({}) FROM {}.{}), 0)::text",
            quote_identifier(&other.column),
            quote_identifier(&schema),
            quote_identifier(&other.table)
        );
        let (this, that): (String, String) =
            sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut *connection).await.map_err(failed(&name))?;
        if this != that {
            return Ok(BackupCheck::of(
                &name,
                Err(format!("the sum is {this}, that of {}.{} is {that}", other.table, other.column)),
            ));
        }
        words.push(format!("both sums are {this}"));
    }
    Ok(BackupCheck::of(&name, Ok(words.join(", "))))
}

/// Makes a session read-only, with nothing of the database's own found first.
pub(in crate::adapters::postgres) async fn quiet(connection: &mut PgConnection) -> Result<(), Fault> {
    connection
        .execute(
            "SET default_transaction_read_only = on; SET search_path = pg_catalog; SET statement_timeout = '15min'",
        )
        .await
        .map_err(failed("the database"))?;
    Ok(())
}
