//! The guard on PostgreSQL: an ENABLE ALWAYS row trigger that reads a flag, one against TRUNCATE beside it, the rights on the table
//! taken away for the pause, the log-in of an application that could undo all that, and a drain of older transactions.

mod bypass;
mod canary;
mod drain;
mod login;
mod put;
mod rights;
mod through;
mod tree;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::{connect_as, fault};
use crate::adapters::login::Login;
use crate::domain::Canary;
use crate::policy::pause::{GuardPolicy, OwnerPolicy};
use crate::ports::{Fault, FaultKind, Guard, GuardReport, Row, TableName};

const SET: &str = "SET lock_timeout = '2s'; UPDATE portcullis.guard SET paused = true, changed_at = clock_timestamp(), changed_by = session_user WHERE id = 1";

/// The guard of one trade table.
pub struct PostgresGuard {
    app: PgConnectOptions,
    admin: Login,
    policy: GuardPolicy,
    schema: Option<String>,
}

impl PostgresGuard {
    /// `app` is whom the canary is tried as, `admin` who sets the flag and ends sessions.
    pub fn new(app: PgConnectOptions, admin: Login, policy: GuardPolicy, schema: Option<String>) -> Self {
        let schema = policy.schema.clone().or(schema);
        Self { app, admin, policy, schema }
    }

    async fn open(&self) -> Result<(PgConnection, TableName), Fault> {
        let mut connection = connect_as(&self.admin).await?;
        let table = tree::table(&mut connection, &self.policy, self.schema.as_deref()).await?;
        Ok((connection, table))
    }

    /// Flag first: nothing that follows may keep it waiting. Returns what is still missing.
    async fn flag(
        &self,
        connection: &mut PgConnection,
        table: &TableName,
        words: &mut Vec<String>,
    ) -> Result<tree::Seen, Fault> {
        let seen = tree::look(connection, table, &self.policy).await?;
        if seen.row_problem().is_some() {
            let ended = put::put(connection, table, &seen, &self.policy, true).await?;
            words.push(format!("guard installed now ({ended} sessions ended for it), flag set"));
            return tree::look(connection, table, &self.policy).await;
        }
        connection.execute(SET).await.map_err(|error| fault("failed to set the guard's flag", &error))?;
        words.push("flag set".into());
        if seen.withheld.is_none() {
            rights::prepare(connection).await?;
        }
        Ok(seen)
    }

    /// The log-in of an application's role that could undo the guard.
    async fn forbid(&self, connection: &mut PgConnection, table: &TableName) -> Result<Option<String>, Fault> {
        let app = self.app.get_username();
        let found = bypass::roles(connection, table, app).await?;
        let Some(why) = found.app_undoes else { return Ok(None) };
        if self.policy.owner == OwnerPolicy::Trust {
            return Ok(Some(format!("{app} {why}, and is trusted not to undo the pause (pause.yml: owner)")));
        }
        if found.app_is_own {
            return Ok(Some(format!(
                "BYPASS: {app} {why}, and is the only role that portcullis has: its log-in could not be taken away (set PORTCULLIS_DATABASE_URL)"
            )));
        }
        login::take(connection, app, &why).await.map(Some)
    }

    /// Partitions that were made since the installation have no trigger against TRUNCATE.
    async fn mend_truncates(&self, connection: &mut PgConnection, seen: &tree::Seen) -> Option<String> {
        let sql = put::truncates_sql(seen);
        if sql.is_empty() {
            return None;
        }
        match put::transaction(connection, &sql).await {
            Ok(()) => Some("the trigger against TRUNCATE put where it was missing".into()),
            Err(error) => Some(fault("the trigger against TRUNCATE is NOT everywhere", &error).message),
        }
    }

    /// What a pause would do, in the order of its steps.
    fn way(&self, installed: bool, found: &bypass::Found, powers: &bypass::Powers) -> Vec<String> {
        let app = self.app.get_username();
        let mut way = Vec::new();
        way.push(if installed {
            "flag set, read by the trigger".to_owned()
        } else {
            "guard installed at the time: whoever holds the trade table for more than 200 ms is ended".to_owned()
        });
        way.push(match (self.policy.revoke, powers.revokes) {
            (false, _) => "rights left as they are (pause.yml: revoke)".to_owned(),
            (true, true) => format!("{} taken from every role", rights::privileges(&self.policy).join(", ")),
            (true, false) => format!("rights left as they are: {} does not own the trade table", powers.name),
        });
        if let Some(why) = &found.app_undoes {
            way.push(match self.policy.owner {
                OwnerPolicy::Trust => format!("{app} {why}, and is trusted (pause.yml: owner)"),
                OwnerPolicy::Nologin if powers.forbids => {
                    format!("log-in of {app} taken away, its sessions ended, since it {why}")
                }
                OwnerPolicy::Nologin => format!("log-in of {app} NOT taken away, though it {why}"),
            });
        }
        way.push(format!("older transactions ended after {} ms, then acknowledged", self.policy.drain_ms));
        way
    }
}

#[async_trait]
impl Guard for PostgresGuard {
    async fn install(&self) -> Result<String, Fault> {
        let (mut connection, table) = self.open().await?;
        let seen = tree::look(&mut connection, &table, &self.policy).await?;
        if seen.problem().is_none() && seen.own {
            return Ok(format!("was in place on {table}"));
        }
        put::put(&mut connection, &table, &seen, &self.policy, false).await?;
        // Partitions got their clones in that transaction; a second look finds those that did not get ENABLE ALWAYS with them.
        let again = tree::look(&mut connection, &table, &self.policy).await?;
        if again.problem().is_some() {
            put::put(&mut connection, &table, &again, &self.policy, false).await?;
        }
        let _ = connection.close().await;
        Ok(format!("triggers installed on {table}"))
    }

    async fn inspect(&self) -> Result<GuardReport, Fault> {
        let (mut connection, table) = self.open().await?;
        let seen = tree::look(&mut connection, &table, &self.policy).await?;
        let app = self.app.get_username();
        let mut found = bypass::roles(&mut connection, &table, app).await?;
        let powers = bypass::powers(&mut connection, &table, app).await?;
        let _ = connection.close().await;
        let problem = seen.problem();
        let way = self.way(seen.row_problem().is_none(), &found, &powers);
        let mut bypass = bypass::lacks(&powers, &found);
        bypass.append(&mut found.bypass);
        let (paused, withheld) = (seen.paused == Some(true), seen.withheld.unwrap_or(0));
        let words = match (paused, withheld) {
            (true, 0) => "in place, flag set".to_owned(),
            (true, count) => format!("in place, flag set, {count} rights and log-ins withheld"),
            (false, 0) => "in place, flag not set".to_owned(),
            (false, count) => format!("in place, flag not set, but {count} rights and log-ins withheld"),
        };
        // A partition without the trigger against TRUNCATE lets no trade in: said, but the guard holds.
        let installed = if paused { seen.row_problem().is_none() } else { problem.is_none() };
        Ok(GuardReport { installed, paused, withheld, way, bypass, detail: problem.unwrap_or(words) })
    }

    async fn engage(&self) -> Result<String, Fault> {
        let (mut connection, table) = self.open().await?;
        let mut words = Vec::new();
        let seen = self.flag(&mut connection, &table, &mut words).await?;
        if self.policy.revoke {
            words.push(rights::take(&mut connection, &table, &self.policy).await);
        }
        words.extend(self.forbid(&mut connection, &table).await?);
        let within = Duration::from_millis(self.policy.drain_ms);
        let drained = drain::drain(&mut connection, &table, within).await?;
        words.push(format!("{} older transactions drained, {} of them ended", drained.older, drained.ended));
        drain::prepared(&mut connection, &table).await?;
        words.extend(self.mend_truncates(&mut connection, &seen).await);
        let _ = connection.close().await;
        Ok(words.join("; "))
    }

    async fn release(&self) -> Result<String, Fault> {
        let (mut connection, table) = self.open().await?;
        let failed = |error: sqlx::Error| fault("failed to release the guard", &error);
        let begin = "BEGIN; SET LOCAL lock_timeout = '2s'; SELECT paused FROM portcullis.guard WHERE id = 1 FOR UPDATE";
        connection.execute(begin).await.map_err(failed)?;
        let seen = tree::look(&mut connection, &table, &self.policy).await?;
        if seen.paused.is_none() {
            return Err(Fault::new(FaultKind::NotFound, "the guard row is missing: portcullis install repairs it"));
        }
        let mut words = Vec::new();
        let mut sql = String::new();
        if seen.withheld.is_some_and(|count| count > 0) {
            let remembered = rights::remembered(&mut connection, &table).await?;
            sql.push_str(&remembered.sql);
            words.push(format!("{} rights given back", remembered.given));
            if !remembered.gone.is_empty() {
                words.push(format!("no longer there to be given back: {}", remembered.gone.join(", ")));
            }
            if let Some(log_in) = login::give_sql(&mut connection, self.app.get_username()).await? {
                sql.push_str(&log_in);
                words.push(format!("log-in of {} given back", self.app.get_username()));
            }
            sql.push_str("DELETE FROM portcullis.withheld;");
        }
        // All or nothing: a release that was killed half-way left everything as the pause has it, and can be repeated.
        sql.push_str(
            "UPDATE portcullis.guard SET paused = false, changed_at = clock_timestamp(), changed_by = session_user WHERE id = 1; COMMIT",
        );
        connection.execute(AssertSqlSafe(sql)).await.map_err(failed)?;
        let _ = connection.close().await;
        words.push("flag taken away".into());
        Ok(words.join("; "))
    }

    async fn insert_through(&self, columns: &[String], rows: &[Row]) -> Result<u64, Fault> {
        let (mut connection, table) = self.open().await?;
        let done = through::insert(&mut connection, &table, columns, rows).await;
        let _ = connection.close().await;
        done
    }

    async fn canary(&self) -> Result<Canary, Fault> {
        let (mut connection, table) = self.open().await?;
        let canary = canary::canary(&self.app, &mut connection, &self.admin, &table).await;
        let _ = connection.close().await;
        canary
    }
}
