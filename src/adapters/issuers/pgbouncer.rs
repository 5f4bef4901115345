//! The admin console of `PgBouncer` (<https://www.pgbouncer.org/usage.html>): it is told that a password changed, and cuts off the clients
//! that logged in with the old one. Its own log-in file is one of the credential's stores, where it has one.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use crate::domain::guard::quote_identifier;
use crate::policy::credentials::PgBouncerPolicy;
use crate::ports::{Fault, FaultKind};

/// Bound on the whole talk with one pooler.
const BOUND: Duration = Duration::from_secs(10);

/// Makes the pooler read its files again and log in anew; cuts off the clients of the databases that policy names.
pub(super) async fn tell(policy: &PgBouncerPolicy, cut: bool) -> Result<String, Fault> {
    let url = std::env::var(&policy.url_env).map_err(|_| {
        Fault::new(FaultKind::Invalid, format!("{} is not set, so pgbouncer can't be told", policy.url_env))
    })?;
    let options = PgConnectOptions::from_str(&url)
        .map_err(|_| Fault::new(FaultKind::Invalid, format!("{} holds no PostgreSQL address", policy.url_env)))?
        // The console takes no start-up parameter that it does not know.
        .extra_float_digits(None)
        .disable_statement_logging();
    let place = format!("pgbouncer at {}:{}", options.get_host(), options.get_port());
    match tokio::time::timeout(BOUND, talk(&options, policy, cut)).await {
        Ok(Ok(words)) => Ok(format!("{place}: {words}")),
        Ok(Err(error)) => Err(fault(&place, &error)),
        Err(_) => Err(Fault::new(FaultKind::OutcomeUnknown, format!("{place} did not answer within 10 s"))),
    }
}

async fn talk(options: &PgConnectOptions, policy: &PgBouncerPolicy, cut: bool) -> Result<String, sqlx::Error> {
    let mut connection = options.connect().await?;
    say(&mut connection, "RELOAD".to_owned()).await?;
    if policy.databases.is_empty() || !cut {
        say(&mut connection, "RECONNECT".to_owned()).await?;
        connection.close().await?;
        return Ok("reloaded, connections to the server made anew".into());
    }
    for database in &policy.databases {
        let name = quote_identifier(database);
        say(&mut connection, format!("KILL {name}")).await?;
        say(&mut connection, format!("RESUME {name}")).await?;
    }
    connection.close().await?;
    Ok(format!("reloaded, all clients of {} cut off", policy.databases.join(", ")))
}

/// The console knows the simple query protocol only. "Already so" is no failure: every command may be a repetition.
async fn say(connection: &mut PgConnection, command: String) -> Result<(), sqlx::Error> {
    match connection.execute(AssertSqlSafe(command)).await {
        Err(error) if error.as_database_error().is_some_and(|error| error.message().contains("not paused")) => Ok(()),
        done => done.map(|_| ()),
    }
}

fn fault(place: &str, error: &sqlx::Error) -> Fault {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let kind = match (error, code.as_deref()) {
        (sqlx::Error::Io(_) | sqlx::Error::Tls(_), _) => FaultKind::Unavailable,
        (_, Some("28P01" | "28000" | "08P01")) => FaultKind::Denied,
        _ => FaultKind::Invalid,
    };
    let words = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    Fault::new(kind, format!("failed to tell {place}: {words}"))
}
