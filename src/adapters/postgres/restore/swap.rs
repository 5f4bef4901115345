//! The change from the old database to the restored one: two renames in one transaction, so that it happened or it did not.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::time::Instant;

use super::super::{code, connect, fault};
use crate::domain::guard::quote_identifier;
use crate::ports::{Fault, FaultKind};

/// How long sessions are ended before the swap is given up; the old database then stands.
const WITHIN: Duration = Duration::from_secs(30);
/// Longest name of a database, in bytes (NAMEDATALEN - 1).
const LONGEST: usize = 63;

/// A name beside the live one.
pub(super) fn beside(live: &str, ending: &str) -> String {
    let mut name = live.to_owned();
    while name.len() + ending.len() > LONGEST {
        name.pop();
    }
    name + ending
}

/// Connects to another database of the same server, from which databases can be renamed.
pub(super) async fn elsewhere(options: &PgConnectOptions) -> Result<PgConnection, Fault> {
    match connect(&options.clone().database("postgres")).await {
        Err(fault) if fault.kind == FaultKind::NotFound => connect(&options.clone().database("template1")).await,
        other => other,
    }
}

/// Whether there is a database of that name.
pub(super) async fn exists(connection: &mut PgConnection, name: &str) -> Result<bool, Fault> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(connection)
        .await
        .map_err(|error| fault("failed to look for a database", &error))
}

/// Renames `live` to `aside` (where there is one) and `fresh` to `live`. Whoever is connected to them is ended meanwhile.
pub(super) async fn swap(options: &PgConnectOptions, live: &str, fresh: &str, aside: &str) -> Result<u64, Fault> {
    let mut renamer = elsewhere(options).await?;
    let mut warden = elsewhere(options).await?;
    let name = |name: &str| quote_identifier(name);
    let keep = if exists(&mut warden, live).await? {
        format!("ALTER DATABASE {} RENAME TO {};", name(live), name(aside))
    } else {
        String::new()
    };
    // The rename holds new sessions back while it waits for the old ones to end.
    let sql = format!(
        "BEGIN; SET LOCAL lock_timeout = '10s'; {keep} ALTER DATABASE {} RENAME TO {}; COMMIT",
        name(fresh),
        name(live)
    );
    let began = Instant::now();
    let mut ended = 0;
    loop {
        let done = {
            let rename = renamer.execute(AssertSqlSafe(sql.clone()));
            tokio::pin!(rename);
            loop {
                tokio::select! {
                    done = &mut rename => break done,
                    () = tokio::time::sleep(Duration::from_millis(50)) => ended += end_sessions(&mut warden, live, fresh).await?,
                }
            }
        };
        match done {
            Ok(_) => break,
            Err(error) => {
                let _ = renamer.execute("ROLLBACK").await;
                // 55006: somebody is connected. 55P03: somebody holds the name.
                let waits = matches!(code(&error).as_deref(), Some("55006" | "55P03"));
                if !waits || began.elapsed() > WITHIN {
                    return Err(fault(
                        "failed to put the restored database in the place of the old one, which stands",
                        &error,
                    ));
                }
                ended += end_sessions(&mut warden, live, fresh).await?;
            }
        }
    }
    for connection in [renamer, warden] {
        let _ = connection.close().await;
    }
    Ok(ended)
}

async fn end_sessions(connection: &mut PgConnection, live: &str, fresh: &str) -> Result<u64, Fault> {
    let ended: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity WHERE datname IN ($1, $2) AND pid <> pg_backend_pid()",
    )
    .bind(live)
    .bind(fresh)
    .fetch_one(connection)
    .await
    .map_err(|error| fault("failed to end the sessions of the old database", &error))?;
    Ok(u64::try_from(ended).unwrap_or(0))
}
