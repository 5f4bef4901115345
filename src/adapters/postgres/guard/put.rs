//! Putting the guard into the database.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};
use tokio::time::Instant;

use super::super::{code, fault, qualified};
use super::tree::{Seen, TREE};
use crate::domain::guard::{GUARD_FUNCTION, GUARD_TRIGGER, GUARD_TRUNCATE, POSTGRES_BODY};
use crate::policy::pause::{GuardPolicy, Statement};
use crate::ports::{Fault, FaultKind, TableName};

/// How long a lock on the trade table is waited for in peacetime, 200 ms at a time.
const PEACETIME: Duration = Duration::from_secs(5);
/// How long in a pause, in which the holders are ended after the first 200 ms.
const IN_A_PAUSE: Duration = Duration::from_millis(700);

/// Takes what another role made first. ALTER TABLE OWNER waits for every reader of the flag, that is for every open trade: done
/// only where needed, and never in the way of a pause.
const OWNED: &str = "DO $own$
         DECLARE me oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user);
         BEGIN
           IF EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'portcullis' AND nspowner <> me) THEN
             ALTER SCHEMA portcullis OWNER TO CURRENT_USER;
           END IF;
           IF EXISTS (SELECT 1 FROM pg_catalog.pg_proc WHERE oid = to_regprocedure('portcullis.refuse_while_paused()') AND proowner <> me) THEN
             ALTER FUNCTION portcullis.refuse_while_paused() OWNER TO CURRENT_USER;
           END IF;
           IF EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE oid = to_regclass('portcullis.withheld') AND relowner <> me) THEN
             ALTER TABLE portcullis.withheld OWNER TO CURRENT_USER;
           END IF;
           IF EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE oid = to_regclass('portcullis.guard') AND relowner <> me) THEN
             ALTER TABLE portcullis.guard OWNER TO CURRENT_USER;
           END IF;
         EXCEPTION WHEN lock_not_available THEN NULL;
         END $own$;";

/// Schema, tables and function; takes no lock on the trade table. Everything is made ours, whoever made it first.
pub(super) fn objects_sql() -> String {
    format!(
        "SET LOCAL client_min_messages = 'warning';
         CREATE SCHEMA IF NOT EXISTS portcullis;
         CREATE TABLE IF NOT EXISTS portcullis.guard (id integer PRIMARY KEY CHECK (id = 1), paused boolean NOT NULL,
           changed_at timestamptz NOT NULL DEFAULT clock_timestamp(), changed_by text NOT NULL DEFAULT session_user);
         CREATE TABLE IF NOT EXISTS portcullis.withheld (schema_name text NOT NULL, table_name text NOT NULL, column_name text NOT NULL,
           grantee text NOT NULL, grantor text NOT NULL, privilege text NOT NULL, grantable boolean NOT NULL,
           taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
           PRIMARY KEY (schema_name, table_name, column_name, grantee, grantor, privilege));
         INSERT INTO portcullis.guard (id, paused) VALUES (1, false) ON CONFLICT (id) DO NOTHING;
         CREATE OR REPLACE FUNCTION {GUARD_FUNCTION} RETURNS trigger LANGUAGE plpgsql AS $guard${POSTGRES_BODY}$guard$;
         ALTER FUNCTION {GUARD_FUNCTION} RESET ALL;
         {OWNED}
         REVOKE ALL ON SCHEMA portcullis FROM PUBLIC; REVOKE ALL ON portcullis.guard, portcullis.withheld FROM PUBLIC;
         GRANT USAGE ON SCHEMA portcullis TO PUBLIC; GRANT SELECT ON portcullis.guard TO PUBLIC;"
    )
}

fn events(policy: &GuardPolicy) -> String {
    let words = policy.block.iter().map(|statement| match statement {
        Statement::Insert => "INSERT",
        Statement::Update => "UPDATE",
        Statement::Delete => "DELETE",
    });
    words.collect::<Vec<_>>().join(" OR ")
}

/// Triggers that are missing or wrong. A plain CREATE waits for writers only, not for readers as DROP does.
pub(super) fn triggers_sql(seen: &Seen, policy: &GuardPolicy) -> String {
    let mut sql = String::new();
    let altered_root = seen.members.iter().any(|member| !member.partition && member.row.is_some() && member.row_there);
    for member in seen.members.iter().filter(|member| !member.partition && member.row.is_some()) {
        let table = qualified(&member.table);
        if member.row_there {
            sql.push_str(&format!("DROP TRIGGER {GUARD_TRIGGER} ON {table};"));
        }
        let events = events(policy);
        sql.push_str(&format!(
            "CREATE TRIGGER {GUARD_TRIGGER} BEFORE {events} ON {table} FOR EACH ROW EXECUTE FUNCTION {GUARD_FUNCTION};\
             ALTER TABLE {table} ENABLE ALWAYS TRIGGER {GUARD_TRIGGER};"
        ));
    }
    // Partitions got clones; not every version hands ENABLE ALWAYS down, and one may have been switched off by itself.
    for member in seen.members.iter().filter(|member| member.partition && (member.row.is_some() || altered_root)) {
        let table = qualified(&member.table);
        sql.push_str(&format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER {GUARD_TRIGGER};"));
    }
    sql.push_str(&truncates_sql(seen));
    sql
}

/// The triggers against TRUNCATE that are missing or wrong: statement triggers are not handed down to partitions.
pub(super) fn truncates_sql(seen: &Seen) -> String {
    let mut sql = String::new();
    for member in seen.members.iter().filter(|member| member.truncate.is_some()) {
        let table = qualified(&member.table);
        if member.truncate_there {
            sql.push_str(&format!("DROP TRIGGER {GUARD_TRUNCATE} ON {table};"));
        }
        sql.push_str(&format!(
            "CREATE TRIGGER {GUARD_TRUNCATE} BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {GUARD_FUNCTION};\
             ALTER TABLE {table} ENABLE ALWAYS TRIGGER {GUARD_TRUNCATE};"
        ));
    }
    sql
}

/// Runs statements in one transaction with a short wait for locks; rolled back if one fails.
pub(super) async fn transaction(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    let sql = format!("BEGIN; SET LOCAL lock_timeout = '200ms'; {sql} COMMIT");
    let done = connection.execute(AssertSqlSafe(sql)).await;
    if done.is_err() {
        let _ = connection.execute("ROLLBACK").await;
    }
    done.map(|_| ())
}

/// Puts everything there; a lock that others hold is tried for briefly and, in a pause, its holders are ended.
/// Guard objects, trigger and flag in one transaction: half a guard would refuse everything or nothing.
pub(super) async fn put(
    connection: &mut PgConnection,
    table: &TableName,
    seen: &Seen,
    policy: &GuardPolicy,
    pausing: bool,
) -> Result<u64, Fault> {
    let flag = if pausing {
        "UPDATE portcullis.guard SET paused = true, changed_at = clock_timestamp(), changed_by = session_user WHERE id = 1;"
    } else {
        ""
    };
    let sql = format!("{} {} {flag}", objects_sql(), triggers_sql(seen, policy));
    let (began, mut ended) = (Instant::now(), 0);
    let within = if pausing { IN_A_PAUSE } else { PEACETIME };
    loop {
        match transaction(connection, &sql).await {
            Ok(()) => return Ok(ended),
            // 40P01: a deadlock with somebody who also wants the table.
            Err(error) if matches!(code(&error).as_deref(), Some("55P03" | "40P01")) => {
                if began.elapsed() >= within {
                    let message = format!(
                        "other sessions hold {table}, so the guard could not be put in front of it ({ended} were ended)"
                    );
                    return Err(Fault::new(FaultKind::Conflict, message));
                }
                if pausing {
                    ended += end_holders(connection, table).await?;
                }
            }
            Err(error) => return Err(fault("failed to put the guard into the database", &error)),
        }
    }
}

/// Ends the sessions that hold a lock on the table or on one below it, or wait for one.
async fn end_holders(connection: &mut PgConnection, table: &TableName) -> Result<u64, Fault> {
    let sql = format!(
        "{TREE} SELECT count(pg_terminate_backend(pid)) FROM (SELECT DISTINCT l.pid FROM pg_locks l JOIN tree ON l.relation = tree.oid \
         WHERE l.pid IS NOT NULL AND l.pid <> pg_backend_pid() AND l.locktype = 'relation') held"
    );
    let ended: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(qualified(table))
        .fetch_one(connection)
        .await
        .map_err(|error| fault("failed to end the sessions that hold the trade table", &error))?;
    Ok(u64::try_from(ended).unwrap_or(0))
}
