//! The log-in of an application's role that could undo the guard.
//!
//! It is taken away once a pause. If it is back while the pause lasts, the rotation of its password gave it back, to the holder of the
//! new password alone; it is not taken again, so that `lockdown` and the restore converge and the new password can be proven.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};

use super::super::{code, fault};
use crate::domain::guard::quote_identifier;
use crate::ports::Fault;

/// Takes the log-in away, remembers that, and ends the role's sessions. Says what was done; never fails the pause.
pub(super) async fn take(connection: &mut PgConnection, role: &str, why: &str) -> Result<String, Fault> {
    match try_take(connection, role).await {
        Ok(true) => {}
        Ok(false) => return Ok(format!("{role} {why}; its log-in was given back with a new password")),
        Err(error) => {
            let _ = connection.execute("ROLLBACK").await;
            let reason = match code(&error).as_deref() {
                Some("55P03") => "another session is changing it".to_owned(),
                _ => fault("refused", &error).message,
            };
            return Ok(format!(
                "{role} {why}, and its log-in could NOT be taken away ({reason}): it can undo the pause"
            ));
        }
    }
    let ended: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1 AND datname = current_database() AND pid <> pg_backend_pid()",
    )
    .bind(role)
    .fetch_one(connection)
    .await
    .map_err(|error| fault(&format!("failed to end the sessions of {role}"), &error))?;
    Ok(format!("{role} {why}: its log-in taken away, {ended} of its sessions ended"))
}

/// False if it was taken in this pause and is back.
async fn try_take(connection: &mut PgConnection, role: &str) -> Result<bool, sqlx::Error> {
    connection
        .execute("BEGIN; SET LOCAL lock_timeout = '200ms'; SELECT paused FROM portcullis.guard WHERE id = 1 FOR UPDATE")
        .await?;
    let (logs_in, taken): (bool, bool) = sqlx::query_as(
        "SELECT coalesce((SELECT rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = $1), false), \
         EXISTS (SELECT 1 FROM portcullis.withheld WHERE privilege = 'LOGIN' AND grantee = $1)",
    )
    .bind(role)
    .fetch_one(&mut *connection)
    .await?;
    if logs_in && !taken {
        sqlx::query("INSERT INTO portcullis.withheld (schema_name, table_name, column_name, grantee, grantor, privilege, grantable) VALUES ('', '', '', $1, '', 'LOGIN', false)")
            .bind(role)
            .execute(&mut *connection)
            .await?;
        let sql = format!("ALTER ROLE {} NOLOGIN", quote_identifier(role));
        connection.execute(AssertSqlSafe(sql)).await?;
    }
    connection.execute("COMMIT").await?;
    Ok(!(logs_in && taken))
}

/// The statement that gives the log-in back, if the pause took it.
pub(super) async fn give_sql(connection: &mut PgConnection, role: &str) -> Result<Option<String>, Fault> {
    // Only the application's own role: no row in that table may let anybody else in.
    let taken: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM portcullis.withheld w JOIN pg_catalog.pg_roles r ON r.rolname = w.grantee WHERE w.privilege = 'LOGIN' AND w.grantee = $1)",
    )
    .bind(role)
    .fetch_one(connection)
    .await
    .map_err(|error| fault("failed to read what was withheld", &error))?;
    Ok(taken.then(|| format!("ALTER ROLE {} LOGIN;", quote_identifier(role))))
}
