//! Puts a dump into PostgreSQL: into a throw-away cluster to look at it, or beside the live database, in whose place it then comes.
//!
//! The dump never meets psql. Its statements are held against the allow-list as they are read, run as a role without any privilege,
//! one by one by the extended protocol, and its rows go through COPY.

mod binary;
mod check;
mod cluster;
mod dump;
mod feed;
mod give;
mod indexes;
mod load;
mod swap;

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};

pub(super) use check::{checks, quiet};
use cluster::{CAGED, Cluster};
use give::{Old, give, old};
use load::{Loaded, Target, load};
use swap::{beside, elsewhere, swap};

use super::{PostgresDatabase, PostgresGuard, connect, fault};
use crate::adapters::login::{Login, Others};
use crate::detect::backup::Dialect;
use crate::domain::guard::quote_identifier;
use crate::domain::{BackupCheck, Digest};
use crate::policy::pause::GuardPolicy;
use crate::policy::recovery::RecoveryPolicy;
use crate::ports::{
    Database, Fault, FaultKind, Guard, ObjectList, RestoreProgress, RestoreTarget, Row, Table, TableName,
};

/// Bound on one statement of a dump.
const STATEMENT: Duration = Duration::from_hours(2);
/// What the comment of a database of ours begins with.
const OURS: &str = "portcullis: ";
/// What a restored database's comment begins with.
const MARK: &str = "portcullis: restored by ";
/// What the names of our passing roles begin with.
const ROLE: &str = "portcullis_restorer_";

/// The PostgreSQL server of the deployment, as a place to restore to.
pub struct PostgresRestore {
    login: Login,
    app: PgConnectOptions,
    guard: Option<GuardPolicy>,
    schema: Option<String>,
    policy: RecoveryPolicy,
    /// Passwords that may work for `pg_dump`, the likeliest first.
    passwords: Box<Others>,
}

fn token() -> Result<String, Fault> {
    let mut bytes = [0; 16];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| Fault::new(FaultKind::Unavailable, "no randomness could be had"))?;
    Ok(hex::encode(bytes))
}

impl PostgresRestore {
    /// `login` is who restores, `app` whom the guard's canary is tried as.
    pub fn new(
        login: Login,
        app: PgConnectOptions,
        (guard, schema): (Option<GuardPolicy>, Option<String>),
        policy: RecoveryPolicy,
        passwords: Box<Others>,
    ) -> Self {
        Self { login, app, guard, schema, policy, passwords }
    }

    fn live(&self) -> String {
        let options = self.login.options();
        options.get_database().unwrap_or(options.get_username()).to_owned()
    }

    /// Finds the password that works, even where the live database is not there to try it on.
    async fn sign_in(&self) -> Result<PgConnection, Fault> {
        let options = self.login.options();
        let refused = match elsewhere(&options).await {
            Err(fault) if fault.kind == FaultKind::Denied => fault,
            other => return other,
        };
        for password in (self.passwords)() {
            if let Ok(connection) = elsewhere(&options.clone().password(password.expose_secret())).await {
                self.login.hand_over(&password);
                return Ok(connection);
            }
        }
        Err(refused)
    }

    /// Connects to the live database if it is there and lets us in.
    async fn old(&self) -> Old {
        let Ok(mut connection) = connect(&self.login.options()).await else { return Old::default() };
        old(&mut connection).await.unwrap_or_default()
    }

    /// Makes the empty database beside the live one, and the role that fills it.
    async fn prepare(&self, live: &str, fresh: &str) -> Result<Option<String>, Fault> {
        let options = self.login.options();
        let mut connection = elsewhere(&options).await?;
        let failed = |error: sqlx::Error| fault("failed to make a database beside the live one", &error);
        let (superuser, makes, me): (bool, bool, String) = sqlx::query_as(
            "SELECT rolsuper, rolcreatedb, rolname::text FROM pg_catalog.pg_roles WHERE rolname = current_user",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
        if !superuser && !makes {
            let message = format!(
                "{me} may not make databases (ALTER ROLE {} CREATEDB, or set PORTCULLIS_DATABASE_URL)",
                quote_identifier(&me)
            );
            return Err(Fault::new(FaultKind::Denied, message));
        }
        clear(&mut connection, fresh, &me).await?;
        let role = if superuser { Some(format!("{}{}", roles_of(fresh), &token()?[..12])) } else { None };
        if let Some(role) = &role {
            let sql = format!(
                "CREATE ROLE {} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION",
                quote_identifier(role)
            );
            connection.execute(AssertSqlSafe(sql)).await.map_err(failed)?;
        }
        let locale: Option<(String, String)> =
            sqlx::query_as("SELECT datcollate::text, datctype::text FROM pg_catalog.pg_database WHERE datname = $1")
                .bind(live)
                .fetch_optional(&mut connection)
                .await
                .map_err(failed)?;
        let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let locale = locale.map_or(String::new(), |(collate, ctype)| {
            format!(" LC_COLLATE {} LC_CTYPE {}", text(&collate), text(&ctype))
        });
        let owner = role.as_ref().map_or(String::new(), |role| format!(" OWNER {}", quote_identifier(role)));
        let sql =
            format!("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'{locale}{owner}", quote_identifier(fresh));
        connection.execute(AssertSqlSafe(sql)).await.map_err(failed)?;
        let comment = format!("COMMENT ON DATABASE {} IS '{OURS}restoring'", quote_identifier(fresh));
        connection.execute(AssertSqlSafe(comment)).await.map_err(failed)?;
        let _ = connection.close().await;
        Ok(role)
    }

    /// The guard, set, in the new database, before anybody can know it by its name; what the pause took away stays remembered.
    async fn engage(&self, admin: &PgConnectOptions, old: &Old) -> Result<String, Fault> {
        let Some(policy) = self.guard.clone() else { return Ok("no guard is configured".into()) };
        let fresh = admin.get_database().unwrap_or_default();
        let login = Login::new(admin.clone(), Box::new(Vec::new));
        let guard = PostgresGuard::new(self.app.clone().database(fresh), login, policy, self.schema.clone());
        guard.install().await?;
        let mut connection = connect(admin).await?;
        for (schema, table, column, grantee, grantor, privilege, grantable) in &old.withheld {
            sqlx::query("INSERT INTO portcullis.withheld (schema_name, table_name, column_name, grantee, grantor, privilege, grantable) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING")
                .bind(schema).bind(table).bind(column).bind(grantee).bind(grantor).bind(privilege).bind(grantable)
                .execute(&mut connection)
                .await
                .map_err(|error| fault("failed to remember what the pause took away", &error))?;
        }
        let _ = connection.close().await;
        guard.engage().await
    }

    async fn beside(
        &self,
        dump: Box<dyn Read + Send>,
        (live, fresh, marker): (&str, &str, &str),
        progress: &RestoreProgress,
    ) -> Result<(Loaded, Vec<String>), Fault> {
        progress.phase("an empty database beside the live one");
        let before = self.old().await;
        let role = self.prepare(live, fresh).await?;
        let admin = self.login.options().database(fresh);
        let target = Target {
            admin: admin.clone(),
            role: role.clone(),
            unlogged: false,
            within: STATEMENT,
            room: Box::new(|| Ok(())),
        };
        let loaded = load(&target, dump, progress).await?;
        progress.phase("owners and rights");
        let mut connection = connect(&admin).await?;
        let mut words = give(&mut connection, role.as_deref(), (&loaded, &before), fresh).await?;
        progress.phase("validation");
        let failed = |error: sqlx::Error| fault("failed to finish the restored database", &error);
        let bad: Vec<String> = checks(&mut connection, &self.policy)
            .await?
            .into_iter()
            // What the dump itself says is not valid was not valid before either.
            .filter(|check| !(check.passed || check.check == "constraints" && loaded.not_valid > 0))
            .map(|check| format!("{}: {}", check.check, check.reason))
            .collect();
        if !bad.is_empty() {
            let message =
                format!("the restored database does not hold ({}); the live one was not touched", bad.join("; "));
            return Err(Fault::new(FaultKind::Corrupt, message));
        }
        progress.phase("the guard");
        let guard = self.engage(&admin, &before).await?;
        words.push(format!("guard in it: {guard}"));
        let comment = format!(
            "COMMENT ON DATABASE {} IS '{}'",
            quote_identifier(fresh),
            format!("{MARK}{marker}").replace('\'', "''")
        );
        connection.execute(AssertSqlSafe(comment)).await.map_err(failed)?;
        if let Some(role) = role {
            let name = quote_identifier(&role);
            let dropped = connection.execute(AssertSqlSafe(format!("DROP OWNED BY {name}; DROP ROLE {name}"))).await;
            dropped.map_err(failed)?;
        }
        let _ = connection.close().await;
        Ok((loaded, words))
    }
}

/// How the names of the roles begin that are made for restoring that database. Roles are the whole server's: those of another
/// database may be at work this moment.
fn roles_of(fresh: &str) -> String {
    format!("{ROLE}{}_", &Digest::of(fresh.as_bytes()).to_string()[..8])
}

/// Takes away what an interrupted restore left: its database and its role, never anything else.
async fn clear(connection: &mut PgConnection, fresh: &str, me: &str) -> Result<(), Fault> {
    let failed = |error: sqlx::Error| fault("failed to take away what an interrupted restore left", &error);
    let found: Option<(String, Option<String>)> = sqlx::query_as(
        "SELECT pg_get_userbyid(datdba)::text, pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = $1",
    )
    .bind(fresh)
    .fetch_optional(&mut *connection)
    .await
    .map_err(failed)?;
    if let Some((owner, comment)) = found {
        let name = quote_identifier(fresh);
        let ours = owner.starts_with(ROLE) || comment.is_some_and(|comment| comment.starts_with(OURS));
        if !ours {
            let message = format!(
                "there is a database {fresh} that this program did not make: rename or drop it ({owner} owns it)"
            );
            return Err(Fault::new(FaultKind::Conflict, message));
        }
        let sql = format!("DROP DATABASE {name} WITH (FORCE)");
        connection.execute(AssertSqlSafe(sql)).await.map_err(failed)?;
    }
    let roles: Vec<String> = sqlx::query_scalar(
        "SELECT rolname::text FROM pg_catalog.pg_roles WHERE left(rolname::text, length($2)) = $2 AND NOT rolsuper AND NOT rolcanlogin AND rolname <> $1",
    )
    .bind(me)
    .bind(roles_of(fresh))
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    for role in roles {
        // What still owns something stays: the next run drops that first.
        let _ = connection.execute(AssertSqlSafe(format!("DROP ROLE {}", quote_identifier(&role)))).await;
    }
    Ok(())
}

#[async_trait]
impl RestoreTarget for PostgresRestore {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn restore(
        &self,
        dump: Box<dyn Read + Send>,
        marker: &str,
        suffix: &str,
        progress: &RestoreProgress,
    ) -> Result<String, Fault> {
        let _ = self.sign_in().await?.close().await;
        let live = self.live();
        let fresh = beside(&live, "_restoring");
        let aside = beside(&live, &format!("_before_{}", suffix.to_ascii_lowercase()));
        let swapped = async {
            let (loaded, words) = self.beside(dump, (&live, &fresh, marker), progress).await?;
            progress.phase("the swap");
            self.login.close_kept().await;
            let ended = swap(&self.login.options(), &live, &fresh, &aside).await?;
            Ok((loaded, words, ended))
        };
        let (loaded, mut words, ended) = match swapped.await {
            Ok(done) => done,
            Err(fault) => {
                // What can't be put in place is not kept; where that fails too, the next run does it.
                if let Ok(mut connection) = self.sign_in().await {
                    let _ = clear(&mut connection, &fresh, "").await;
                }
                return Err(fault);
            }
        };
        progress.phase("done");
        let rows: u64 = loaded.rows.values().sum();
        words.insert(
            0,
            format!(
                "{} tables, {rows} rows, {} indexes, {} constraints; {ended} sessions ended; the old database is kept as {aside}",
                loaded.rows.len(), loaded.indexes, loaded.constraints
            ),
        );
        Ok(words.join("; "))
    }

    async fn restored(&self) -> Result<Option<String>, Fault> {
        let live = self.live();
        let mut connection = self.sign_in().await?;
        let comment: Option<Option<String>> = sqlx::query_scalar(
            "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = $1",
        )
        .bind(&live)
        .fetch_optional(&mut connection)
        .await
        .map_err(|error| fault("failed to ask what was restored", &error))?;
        let _ = connection.close().await;
        Ok(comment.flatten().and_then(|comment| comment.strip_prefix(MARK).map(str::to_owned)))
    }

    async fn dump(&self, out: &mut (dyn std::io::Write + Send)) -> Result<Option<String>, Fault> {
        dump::dump(&self.login.options(), &(self.passwords)(), self.policy.postgres_bin.as_deref(), out).await
    }

    async fn scratch(
        &self,
        dump: Box<dyn Read + Send>,
        progress: &RestoreProgress,
    ) -> Result<Arc<dyn Database>, Fault> {
        progress.phase("a scratch cluster");
        let (bin, folder) = (self.policy.postgres_bin.clone(), self.policy.scratch.clone());
        let password = token()?;
        let started = tokio::task::spawn_blocking(move || {
            Cluster::start(bin.as_deref(), folder.as_ref().map(PathBuf::from).as_deref(), password)
        });
        let mut cluster = started
            .await
            .map_err(|error| Fault::with(FaultKind::OutcomeUnknown, "starting a scratch cluster died", error))??;
        let admin = cluster.open().await?;
        let place = cluster.folder().to_owned();
        let target = Target {
            admin: admin.clone(),
            role: Some(CAGED.into()),
            unlogged: true,
            within: STATEMENT,
            room: Box::new(move || Cluster::room(&place)),
        };
        let loaded = load(&target, dump, progress).await?;
        let reader = Login::new(cluster.caged(), Box::new(Vec::new));
        let admin = Login::new(admin, Box::new(Vec::new));
        Ok(Arc::new(Scratch {
            rows: PostgresDatabase::new(reader),
            catalog: PostgresDatabase::new(admin),
            loaded,
            _cluster: cluster,
        }))
    }
}

/// A scratch copy. Rows are read as the role without privileges; the catalog, all of it, as the cluster's own superuser.
struct Scratch {
    rows: PostgresDatabase,
    catalog: PostgresDatabase,
    loaded: Loaded,
    _cluster: Cluster,
}

#[async_trait]
impl Database for Scratch {
    fn dialect(&self) -> &'static str {
        "postgres"
    }
    fn describe(&self) -> String {
        format!("a scratch cluster with {} tables", self.loaded.rows.len())
    }
    async fn ping(&self) -> Result<String, Fault> {
        self.rows.ping().await
    }
    async fn tables(&self) -> Result<Vec<Table>, Fault> {
        self.rows.tables().await
    }
    async fn rows(
        &self,
        table: &TableName,
        columns: &[String],
        order_by: Option<&str>,
        sink: &mut (dyn FnMut(Row) -> std::ops::ControlFlow<()> + Send),
    ) -> Result<u64, Fault> {
        self.rows.rows(table, columns, order_by, sink).await
    }
    async fn count(&self, table: &TableName) -> Result<u64, Fault> {
        self.rows.count(table).await
    }
    async fn relations(&self) -> Result<crate::ports::Relations, Fault> {
        self.rows.relations().await
    }
    async fn snapshot(&self) -> Result<Box<dyn crate::ports::Snapshot>, Fault> {
        self.rows.snapshot().await
    }
    async fn checks(&self, policy: &RecoveryPolicy) -> Result<Vec<BackupCheck>, Fault> {
        let mut connection = super::connect_as(self.catalog.login()).await?;
        // amcheck comes with the server; without it the indexes are not walked, and the check says so.
        let _ = connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck").await;
        let _ = connection.close().await;
        self.catalog.checks(policy).await
    }
    async fn objects(&self) -> Result<ObjectList, Fault> {
        let mut list = self.catalog.objects().await?;
        // What is the cluster's own, not the dump's.
        list.objects.retain(|object| {
            !matches!(object.class.as_str(), "role" | "setting" | "hba" | "membership" | "role_setting")
        });
        list.uncovered
            .retain(|(class, _)| !matches!(class.as_str(), "role" | "setting" | "hba" | "membership" | "role_setting"));
        Ok(list)
    }
    async fn evidence(&self) -> Result<Vec<(String, String)>, Fault> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_of_one_database_are_not_those_of_another() {
        let (one, other) = (roles_of("a_restoring"), roles_of("b_restoring"));
        assert!(one.starts_with(ROLE) && other.starts_with(ROLE) && one != other);
        assert!(one.len() + 12 < 63, "PostgreSQL cuts longer names");
    }
}
