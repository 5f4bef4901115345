//! A trade tried as the application, and rolled back.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::super::{code, connect, connect_as, fault, qualified};
use crate::adapters::login::Login;
use crate::domain::Canary;
use crate::domain::guard::{GUARD_CODE, quote_identifier};
use crate::ports::{Fault, FaultKind, TableName};

const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '5s'; SET LOCAL lock_timeout = '3s'";

/// What became of the row.
enum Tried {
    Refused(String),
    /// The application has no right: whether the trigger would refuse, too, is another question.
    NoRight(String),
    Passed(String),
    /// A check or the lack of a partition stopped it.
    Unplaced(String),
}

/// The statements that are tried: into the table, and, where no partition takes a row of NULLs, into one of its partitions.
struct Statements {
    table: String,
    leaf: Option<String>,
}

/// NULLs rather than defaults: a canary must not consume ids. Row triggers fire before NOT NULL and bounds are checked.
async fn statements(connection: &mut PgConnection, table: &TableName) -> Result<Statements, Fault> {
    let failed = |error: sqlx::Error| fault("failed to read the catalog", &error);
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1::regclass \
         AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a' ORDER BY a.attnum",
    )
    .bind(qualified(table))
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    let leaf: Option<(String, String)> = sqlx::query_as(
        "SELECT n.nspname::text, c.relname::text FROM pg_partition_tree($1::regclass) t JOIN pg_catalog.pg_class c ON c.oid = t.relid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE t.isleaf AND t.level > 0 ORDER BY c.oid DESC LIMIT 1",
    )
    .bind(qualified(table))
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    let names: Vec<_> = columns.iter().map(|name| quote_identifier(name)).collect();
    let values = vec!["NULL"; names.len()].join(", ");
    let sql = |table: &TableName| format!("INSERT INTO {} ({}) VALUES ({values})", qualified(table), names.join(", "));
    let leaf = leaf.map(|(schema, name)| sql(&TableName { schema, name }));
    Ok(Statements { table: sql(table), leaf })
}

async fn insert(connection: &mut PgConnection, sql: &str) -> Result<Tried, Fault> {
    let tried = connection.execute(AssertSqlSafe(sql.to_owned())).await;
    let _ = connection.execute("ROLLBACK").await;
    let Err(error) = tried else { return Ok(Tried::Passed("a row was accepted, and rolled back".into())) };
    let words = error.as_database_error().map_or_else(String::new, |error| error.message().to_owned());
    match code(&error).as_deref() {
        Some(GUARD_CODE) => Ok(Tried::Refused(format!("{GUARD_CODE} {words}"))),
        Some("42501") => Ok(Tried::NoRight(format!("42501 {words}"))),
        // A partitioned table looks for the partition before its triggers fire; any other constraint comes after them.
        Some("23514") => Ok(Tried::Unplaced(format!("23514 {words}"))),
        // Class 23: the table's own constraints, which come after the guard.
        Some(code) if code.starts_with("23") => {
            Ok(Tried::Passed(format!("past the guard, stopped only by the table: {words}")))
        }
        _ => Err(fault("failed to try the canary", &error)),
    }
}

/// The application's own log-in if it still works; its password may have been rotated since the environment was set, or its log-in
/// taken away. Then its role is taken by the stronger one; if that is not allowed, a log-in that is taken away is a refusal by itself.
pub(super) async fn canary(
    app: &PgConnectOptions,
    admin: &mut PgConnection,
    login: &Login,
    table: &TableName,
) -> Result<Canary, Fault> {
    // The catalog is read by the stronger role: an application without rights on the schema is refused by the INSERT.
    let sql = statements(admin, table).await?;
    let role = app.get_username();
    let (tried, how) = match connect(app).await {
        Ok(mut connection) => {
            let tried = try_both(&mut connection, BEGIN, &sql).await?;
            let _ = connection.close().await;
            (tried, String::new())
        }
        Err(denied) if denied.kind == FaultKind::Denied => {
            let mut connection = connect_as(login).await?;
            let begin = format!("{BEGIN}; SET LOCAL ROLE {}", quote_identifier(role));
            if let Err(error) = connection.execute(AssertSqlSafe(begin.clone())).await {
                if code(&error).as_deref() == Some("42501") && no_log_in(admin, role).await? {
                    let reason = format!("28000 {role} may not log in, and has no session");
                    return Ok(Canary::Refused { reason });
                }
                return Err(fault("failed to begin the canary", &error));
            }
            let _ = connection.execute("ROLLBACK").await;
            let tried = try_both(&mut connection, &begin, &sql).await?;
            let _ = connection.close().await;
            (tried, format!(" (as {role} by SET ROLE)"))
        }
        Err(fault) => return Err(fault),
    };
    Ok(match tried {
        Tried::Passed(detail) => Canary::Passed { detail: format!("{detail}{how}") },
        Tried::Unplaced(words) => {
            Canary::Passed { detail: format!("past the guard, stopped only by the table: {words}{how}") }
        }
        Tried::Refused(reason) => Canary::Refused { reason: format!("{reason}{how}") },
        Tried::NoRight(reason) => {
            let trigger = trigger(admin, &sql).await;
            Canary::Refused { reason: format!("{reason}{how}; {trigger}") }
        }
    })
}

/// Into the table, then, if no partition takes the row, into a partition.
async fn try_both(connection: &mut PgConnection, begin: &str, sql: &Statements) -> Result<Tried, Fault> {
    let mut tried = None;
    for statement in [Some(&sql.table), sql.leaf.as_ref()].into_iter().flatten() {
        connection
            .execute(AssertSqlSafe(begin.to_owned()))
            .await
            .map_err(|error| fault("failed to begin the canary", &error))?;
        let now = insert(connection, statement).await?;
        let unplaced = matches!(now, Tried::Unplaced(_));
        // An application without a right on the partition itself says nothing of the table.
        if tried.is_none() || matches!(now, Tried::Refused(_) | Tried::Passed(_)) {
            tried = Some(now);
        }
        if !unplaced {
            break;
        }
    }
    tried.ok_or_else(|| Fault::new(FaultKind::Invalid, "the canary has no statement to try"))
}

/// Whether the trigger refuses the stronger role as well: a missing right must not hide a guard that is not there.
async fn trigger(admin: &mut PgConnection, sql: &Statements) -> String {
    match try_both(admin, BEGIN, sql).await {
        Ok(Tried::Refused(reason)) => format!("the trigger refuses this role as well: {reason}"),
        Ok(Tried::NoRight(_)) => "this role has no right either, so the trigger was not reached".into(),
        Ok(Tried::Passed(_)) => "the trigger would NOT refuse it: only the missing right does".into(),
        Ok(Tried::Unplaced(words)) => format!("the trigger was not reached: {words}"),
        Err(fault) => format!("the trigger was not tried: {}", fault.chain()),
    }
}

async fn no_log_in(admin: &mut PgConnection, role: &str) -> Result<bool, Fault> {
    sqlx::query_scalar(
        "SELECT coalesce((SELECT NOT rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = $1), false) \
         AND NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE usename = $1 AND datname = current_database())",
    )
    .bind(role)
    .fetch_one(admin)
    .await
    .map_err(|error| fault("failed to look for sessions of the application", &error))
}
