//! Ending what is older than the pause.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};
use tokio::time::Instant;

use super::super::{fault, qualified};
use super::tree::TREE;
use crate::ports::{Fault, FaultKind, TableName};

/// How long the drain waits for ended sessions to vanish.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Older transactions that could still bring in a trade: one wrote something, holds a write lock on the table or one below it, or
/// has a snapshot that does not see the flag. An unknown start counts as old. `$2` is the moment after the flag was committed.
const OLDER: &str = "older AS (SELECT a.pid FROM pg_stat_activity a WHERE a.datname = current_database() \
     AND a.backend_type NOT IN ('autovacuum worker', 'autovacuum launcher', 'walsender', 'parallel worker') AND a.pid <> pg_backend_pid() \
     AND (a.xact_start IS NULL OR a.xact_start < $2::timestamptz) AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL OR EXISTS \
     (SELECT 1 FROM pg_locks l JOIN tree ON l.relation = tree.oid WHERE l.pid = a.pid AND l.mode <> 'AccessShareLock')))";

/// What the drain saw and did.
pub(super) struct Drained {
    pub older: u64,
    pub ended: u64,
}

/// Waits for transactions that began before the flag, and ends those that are still there after `drain`.
pub(super) async fn drain(connection: &mut PgConnection, table: &TableName, drain: Duration) -> Result<Drained, Fault> {
    let failed = |error: sqlx::Error| fault("failed to drain older transactions", &error);
    // Sessions whose transactions this role may not see can't be waited for.
    let first = sqlx::query(
        "SELECT clock_timestamp()::text, (SELECT count(*) FROM pg_stat_activity a WHERE a.datname = current_database() \
         AND a.backend_type = 'client backend' AND NOT pg_has_role(a.usesysid, 'USAGE') AND NOT pg_has_role('pg_read_all_stats', 'USAGE'))",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    let (flag, hidden): (String, i64) = (first.try_get(0).map_err(failed)?, first.try_get(1).map_err(failed)?);
    if hidden > 0 {
        let message = format!(
            "{hidden} sessions of other roles can't be seen, so what is older than the pause can't be told: GRANT pg_read_all_stats, pg_signal_backend to the role in PORTCULLIS_DATABASE_URL"
        );
        return Err(Fault::new(FaultKind::Denied, message));
    }
    let count = format!("{TREE}, {OLDER} SELECT count(*) FROM older");
    let end = format!("{TREE}, {OLDER} SELECT count(pg_terminate_backend(pid)) FROM older");
    let (mut seen, mut ended) = (None, 0_u64);
    let (began, mut nap) = (Instant::now(), Duration::from_millis(1));
    loop {
        let late = began.elapsed() >= drain;
        let sql = if late { &end } else { &count };
        let left: i64 = sqlx::query_scalar(AssertSqlSafe(sql.clone()))
            .bind(qualified(table))
            .bind(&flag)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        let left = u64::try_from(left).unwrap_or(0);
        let first = *seen.get_or_insert(left);
        if left == 0 {
            return Ok(Drained { older: first, ended });
        }
        if late {
            ended = ended.max(left);
        }
        if began.elapsed() >= drain + GONE_WITHIN {
            let message = format!("{left} transactions that are older than the pause could not be ended");
            return Err(Fault::new(FaultKind::OutcomeUnknown, message));
        }
        // Short at first, since most transactions are; never past the moment at which the rest is ended.
        let until = drain.saturating_sub(began.elapsed());
        tokio::time::sleep(if late { nap } else { nap.min(until) }).await;
        nap = (nap * 2).min(Duration::from_millis(10));
    }
}

/// Prepared transactions survive every session: one that holds the table could commit a trade after the pause.
pub(super) async fn prepared(connection: &mut PgConnection, table: &TableName) -> Result<(), Fault> {
    let sql = format!(
        "{TREE} SELECT count(*) FROM pg_locks l JOIN tree ON l.relation = tree.oid WHERE l.pid IS NULL AND l.mode <> 'AccessShareLock' \
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    let held: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(qualified(table))
        .fetch_one(connection)
        .await
        .map_err(|error| fault("failed to look for prepared transactions", &error))?;
    if held == 0 {
        return Ok(());
    }
    Err(Fault::new(
        FaultKind::Conflict,
        "prepared transactions hold the trade table and could still commit: see pg_prepared_xacts, then ROLLBACK PREPARED each",
    ))
}
