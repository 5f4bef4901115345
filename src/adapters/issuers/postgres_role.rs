use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::sync::Semaphore;

use super::pgbouncer;
use crate::adapters::login::{Kept, Login};
use crate::domain::Probe;
use crate::domain::guard::quote_identifier;
use crate::policy::credentials::{CredentialPolicy, IssuerPolicy, PgBouncerPolicy};
use crate::ports::{Fault, FaultKind, Issuer};

/// A PostgreSQL role's password.
///
/// The server never sees the new password, only a SCRAM-SHA-256 verifier (RFC 5803's form, computed here), and the statement
/// is kept out of the server's log.
pub struct PostgresRole {
    /// Role that may change others.
    admin: Login,
    /// Host and database as the application reaches them.
    app: PgConnectOptions,
    /// Turns for log-ins that only ask: see [`LOGINS`].
    logins: Arc<Semaphore>,
    /// When a wrong password was last refused, by place and role.
    strict: Arc<Mutex<BTreeMap<String, Instant>>>,
    /// When a password of a role was last accepted everywhere.
    accepted: Arc<Mutex<BTreeMap<String, (Instant, SecretString)>>>,
}

/// So long it is not asked again whether a place refuses a wrong password of a role, nor, before its sessions are ended, whether
/// the new one works.
const FRESH: Duration = Duration::from_secs(5);
/// So many log-ins at once, however many roles there are: each takes one of the server's connections and is work for it, which
/// the application's own and other credentials' changes compete with.
const LOGINS: usize = 4;
/// Bound on one connection.
const CONNECT: Duration = Duration::from_secs(3);

impl PostgresRole {
    /// `admin` changes roles; probes log in over `app`'s host and database.
    pub fn new(admin: Login, app: PgConnectOptions) -> Self {
        let logins = Arc::new(Semaphore::new(LOGINS));
        Self { admin, app, logins, strict: Arc::default(), accepted: Arc::default() }
    }

    async fn admin(&self) -> Result<PgConnection, Fault> {
        if let Some(connection) = self.admin.again(Kept::Silent).await {
            return Ok(connection);
        }
        let mut connection =
            self.admin.connect().await.map_err(|error| fault("failed to log in for containment", &error))?;
        // Whatever the server logs, it must not be the verifier. Not every role may set each of these.
        for setting in
            ["log_statement = 'none'", "log_min_duration_statement = -1", "log_min_error_statement = 'panic'"]
        {
            let _ = sqlx::query(AssertSqlSafe(format!("SET {setting}"))).execute(&mut connection).await;
        }
        Ok(connection)
    }

    async fn login(&self, place: &PgConnectOptions, role: &str, password: &str) -> Result<(), sqlx::Error> {
        // Never closed; if it were, nobody would have to wait.
        let _turn = self.logins.acquire().await.ok();
        let options = place.clone().username(role).password(password).application_name("portcullis-probe");
        let connection = connect(&options).await?;
        let _ = connection.close().await;
        Ok(())
    }

    /// What one place says to the password.
    async fn ask(&self, place: &PgConnectOptions, role: &str, value: &SecretString) -> Result<Probe, Fault> {
        match self.login(place, role, value.expose_secret()).await {
            Err(error) => match code(&error).as_deref() {
                Some("28P01") => Ok(Probe::Refused { reason: "28P01 password authentication failed".into() }),
                Some("28000") => Ok(Probe::Refused { reason: "28000 the role may not log in".into() }),
                // So says pgbouncer of a wrong password.
                Some("08P01") if authentication_failed(&error) => {
                    Ok(Probe::Refused { reason: "08P01 authentication failed".into() })
                }
                // The password was right; something else stopped the session.
                Some("53300" | "3D000" | "42501") => Ok(Probe::Accepted),
                _ => Err(fault(&format!("failed to try a log-in as {role}"), &error)),
            },
            // A `trust` line lets any password in: then this log-in says nothing.
            Ok(()) if self.is_strict(place, role).await => Ok(Probe::Accepted),
            Ok(()) => Ok(Probe::Meaningless {
                reason: format!("pg_hba.conf lets {role} in with any password from this host (trust or peer)"),
            }),
        }
    }

    /// Whether the place refuses a wrong password of the role.
    async fn is_strict(&self, place: &PgConnectOptions, role: &str) -> bool {
        let name = format!("{} {} {role}", at(place), place.get_database().unwrap_or_default());
        let strict = || self.strict.lock().unwrap_or_else(PoisonError::into_inner);
        if strict().get(&name).is_some_and(|seen| seen.elapsed() < FRESH) {
            return true;
        }
        let Err(error) = self.login(place, role, "portcullis: certainly not the password").await else { return false };
        if matches!(code(&error).as_deref(), Some("28P01" | "08P01")) {
            strict().insert(name, Instant::now());
        }
        true
    }
}

fn authentication_failed(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| matches!(error.message(), "SASL authentication failed" | "password authentication failed"))
}

fn at(options: &PgConnectOptions) -> String {
    format!("{}:{}", options.get_host(), options.get_port())
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    match tokio::time::timeout(CONNECT, options.clone().disable_statement_logging().connect()).await {
        Ok(connected) => connected,
        Err(_) => Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer within 3 s"))),
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(std::borrow::Cow::into_owned)
}

fn fault(what: &str, error: &sqlx::Error) -> Fault {
    let kind = match (error, code(error).as_deref()) {
        (sqlx::Error::Io(_) | sqlx::Error::Tls(_), _) | (_, Some("53300" | "57P03")) => FaultKind::Unavailable,
        (_, Some("28P01" | "28000" | "42501")) => FaultKind::Denied,
        (_, Some("42704" | "3D000")) => FaultKind::NotFound,
        (_, Some("55P03" | "40001")) => FaultKind::Conflict,
        _ => FaultKind::Invalid,
    };
    let words = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    Fault::new(kind, format!("{what}: {words}"))
}

fn role(credential: &CredentialPolicy) -> Result<&str, Fault> {
    match &credential.issuer {
        IssuerPolicy::PostgresRole { role, .. } => Ok(role),
        _ => Err(Fault::new(FaultKind::Invalid, "this credential is not a PostgreSQL role")),
    }
}

fn poolers(credential: &CredentialPolicy) -> &[PgBouncerPolicy] {
    match &credential.issuer {
        IssuerPolicy::PostgresRole { pgbouncer, .. } => pgbouncer,
        _ => &[],
    }
}

/// `'` doubled: the verifier is base64 and `$`, but a rule without exceptions is easier to trust.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl PostgresRole {
    /// Whether the role's log-in works with that password: as just seen, or asked.
    async fn works(&self, credential: &CredentialPolicy, value: &SecretString) -> bool {
        let seen = role(credential)
            .ok()
            .and_then(|role| self.accepted.lock().unwrap_or_else(PoisonError::into_inner).get(role).cloned());
        match seen {
            Some((at, seen)) if at.elapsed() < FRESH && seen.expose_secret() == value.expose_secret() => true,
            _ => matches!(self.probe(credential, value).await, Ok(Probe::Accepted)),
        }
    }

    /// What all places say to a password.
    async fn ask_all(&self, role: &str, value: &SecretString) -> Result<Probe, Fault> {
        let through = self.ask(&self.app, role, value).await?;
        // A pooler has its own idea of passwords: the server behind it is asked too.
        let direct = self.admin.options();
        let place = |options: &PgConnectOptions| (options.get_host().to_owned(), options.get_port());
        if place(&direct) == place(&self.app) {
            return Ok(through);
        }
        let behind = self.ask(&direct, role, value).await?;
        let pooler = at(&self.app);
        Ok(match (through, behind) {
            (Probe::Refused { reason }, Probe::Refused { .. }) => Probe::Refused { reason },
            (Probe::Accepted, Probe::Accepted) => Probe::Accepted,
            (Probe::Meaningless { reason }, _) | (_, Probe::Meaningless { reason }) => Probe::Meaningless { reason },
            (Probe::Accepted, Probe::Refused { reason }) => {
                Probe::Meaningless { reason: format!("accepted by {pooler}, refused by the server itself: {reason}") }
            }
            (Probe::Refused { reason }, Probe::Accepted) => {
                Probe::Meaningless { reason: format!("refused by {pooler}: {reason}, accepted by the server itself") }
            }
        })
    }
}

#[async_trait]
impl Issuer for PostgresRole {
    async fn probe(&self, credential: &CredentialPolicy, value: &SecretString) -> Result<Probe, Fault> {
        let role = role(credential)?;
        let probe = self.ask_all(role, value).await?;
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        match probe {
            Probe::Accepted => drop(accepted.insert(role.to_owned(), (Instant::now(), value.clone()))),
            _ => drop(accepted.remove(role)),
        }
        Ok(probe)
    }

    async fn issue(
        &self,
        credential: &CredentialPolicy,
        new: &SecretString,
        _: Option<&SecretString>,
    ) -> Result<(), Fault> {
        let role = role(credential)?;
        if self.admin.is(role) {
            self.admin.close_kept().await;
        }
        let _turn = self.admin.turn().await;
        let mut connection = self.admin().await?;
        let verifier = postgres_protocol::password::scram_sha_256(new.expose_secret().as_bytes());
        let sql = format!("ALTER ROLE {} WITH LOGIN PASSWORD {}", quote_identifier(role), literal(&verifier));
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .map_err(|error| fault(&format!("failed to change the password of {role}"), &error))?;
        if self.admin.is(role) {
            self.admin.hand_over(new);
        }
        // Poolers log in anew with the new password; clients are cut off when the old one is revoked.
        for pooler in poolers(credential) {
            pgbouncer::tell(pooler, false).await?;
        }
        self.admin.keep(Kept::Silent, connection).await;
        Ok(())
    }

    async fn revoke(
        &self,
        credential: &CredentialPolicy,
        old: Option<&SecretString>,
        new: Option<&SecretString>,
    ) -> Result<String, Fault> {
        let role = role(credential)?;
        if self.admin.is(role) {
            // They would be counted among the sessions that were ended.
            self.admin.close_kept().await;
        }
        let _turn = self.admin.turn().await;
        let mut connection = self.admin().await?;
        let failed = |error: sqlx::Error| fault(&format!("failed to revoke {role}"), &error);
        // If the new password works already, the old one is dead and only its sessions are left.
        let replaced = match new {
            Some(new) => self.works(credential, new).await,
            None => false,
        };
        let mut words = Vec::new();
        if !replaced && self.admin.is(role) {
            let message = format!(
                "{role} is the role as which portcullis works: revoking it alone would lock it out; rotate it instead"
            );
            return Err(Fault::new(FaultKind::Invalid, message));
        }
        if !replaced {
            let sql = format!("ALTER ROLE {} WITH NOLOGIN PASSWORD NULL", quote_identifier(role));
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.map_err(failed)?;
            words.push("log-in taken away".to_owned());
        }
        let ended: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity \
             WHERE usename = $1 AND pid <> pg_backend_pid()) AS ended",
        )
        .bind(role)
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
        self.admin.keep(Kept::Silent, connection).await;
        let _ = old;
        words.push(format!("{ended} sessions ended"));
        for pooler in poolers(credential) {
            words.push(pgbouncer::tell(pooler, true).await?);
        }
        Ok(words.join(", "))
    }
}
