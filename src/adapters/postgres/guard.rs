use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Executor, Row as _};
use tokio::time::Instant;

use super::{code, connect, fault, qualified};
use crate::domain::Canary;
use crate::domain::guard::{GUARD_CODE, GUARD_TRIGGER, POSTGRES_BODY, quote_identifier};
use crate::policy::pause::{GuardPolicy, Statement};
use crate::ports::{Fault, FaultKind, Guard, GuardReport, TableName};

/// How often a lock is tried for, 200 ms each.
const LOCK_TRIES: u32 = 25;
/// How long the drain waits for ended sessions to vanish.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Older transactions that could still bring in a trade: one holds a write lock on the table or a partition of it, or an
/// old snapshot that does not see the flag.
const OLDER: &str = "SELECT a.pid FROM pg_stat_activity a WHERE a.datname = current_database() AND a.backend_type = 'client backend' \
            AND a.pid <> pg_backend_pid() AND a.xact_start < $1::timestamptz AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL OR EXISTS \
            (SELECT 1 FROM pg_locks l WHERE l.pid = a.pid AND l.mode <> 'AccessShareLock' AND l.relation IN \
            (SELECT relid FROM pg_partition_tree((quote_ident($2) || '.' || quote_ident($3))::regclass))))";

/// The guard on PostgreSQL: an ENABLE ALWAYS row trigger that reads a flag, and a drain of older transactions.
pub struct PostgresGuard {
    app: PgConnectOptions,
    admin: PgConnectOptions,
    policy: GuardPolicy,
    schema: Option<String>,
}

impl PostgresGuard {
    /// `app` is whom the canary is tried as, `admin` who sets the flag and ends sessions.
    pub fn new(app: PgConnectOptions, admin: PgConnectOptions, policy: GuardPolicy, schema: Option<String>) -> Self {
        let schema = policy.schema.clone().or(schema);
        Self { app, admin, policy, schema }
    }

    /// The trade table as the catalog writes it.
    async fn table(&self, connection: &mut PgConnection) -> Result<TableName, Fault> {
        let row = sqlx::query(
            "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND lower(c.relname) = lower($1) AND ($2::text IS NULL OR n.nspname = $2) \
             AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'portcullis') \
             ORDER BY c.relname = $1 DESC, n.nspname = 'public' DESC, n.nspname LIMIT 1",
        )
        .bind(&self.policy.table)
        .bind(&self.schema)
        .fetch_optional(connection)
        .await
        .map_err(|error| fault("failed to read the catalog", &error))?;
        let row = row.ok_or_else(|| {
            Fault::new(
                FaultKind::NotFound,
                format!("there is no table `{}` (pause.yml: guard.table)", self.policy.table),
            )
        })?;
        let failed = |error: sqlx::Error| fault("failed to read the catalog", &error);
        Ok(TableName { schema: row.try_get(0).map_err(failed)?, name: row.try_get(1).map_err(failed)? })
    }

    fn events(&self) -> String {
        let words = self.policy.block.iter().map(|statement| match statement {
            Statement::Insert => "INSERT",
            Statement::Update => "UPDATE",
            Statement::Delete => "DELETE",
        });
        words.collect::<Vec<_>>().join(" OR ")
    }

    fn objects_sql() -> String {
        format!(
            "CREATE SCHEMA IF NOT EXISTS portcullis;
             CREATE TABLE IF NOT EXISTS portcullis.guard (id integer PRIMARY KEY CHECK (id = 1), paused boolean NOT NULL,
               changed_at timestamptz NOT NULL DEFAULT clock_timestamp(), changed_by text NOT NULL DEFAULT session_user);
             INSERT INTO portcullis.guard (id, paused) VALUES (1, false) ON CONFLICT (id) DO NOTHING;
             CREATE OR REPLACE FUNCTION portcullis.refuse_while_paused() RETURNS trigger LANGUAGE plpgsql
               SET search_path = pg_catalog, pg_temp AS $guard${POSTGRES_BODY}$guard$;
             REVOKE ALL ON SCHEMA portcullis FROM PUBLIC; REVOKE ALL ON portcullis.guard FROM PUBLIC;
             GRANT USAGE ON SCHEMA portcullis TO PUBLIC; GRANT SELECT ON portcullis.guard TO PUBLIC;"
        )
    }

    fn trigger_sql(&self, table: &TableName) -> String {
        let (name, table) = (quote_identifier(GUARD_TRIGGER), qualified(table));
        format!(
            "DROP TRIGGER IF EXISTS {name} ON {table};
             CREATE TRIGGER {name} BEFORE {} ON {table} FOR EACH ROW EXECUTE FUNCTION portcullis.refuse_while_paused();
             ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name};",
            self.events()
        )
    }

    /// Puts everything there; a lock that others hold is tried for briefly and, if `ending`, its holders are ended.
    async fn put(&self, connection: &mut PgConnection, table: &TableName, ending: bool) -> Result<u64, Fault> {
        let failed = |error: sqlx::Error| fault("failed to put the guard into the database", &error);
        // Guard objects and trigger in one transaction: half a guard would refuse everything or nothing.
        let sql =
            format!("SET lock_timeout = '200ms'; BEGIN; {} {} COMMIT", Self::objects_sql(), self.trigger_sql(table));
        let mut ended = 0;
        for attempt in 1..=LOCK_TRIES {
            match connection.execute(AssertSqlSafe(sql.clone())).await {
                Ok(_) => return Ok(ended),
                Err(error) if code(&error).as_deref() == Some("55P03") && attempt < LOCK_TRIES => {
                    let _ = connection.execute("ROLLBACK").await;
                    if ending {
                        ended += self.end_holders(connection, table).await?;
                    }
                }
                Err(error) => {
                    let _ = connection.execute("ROLLBACK").await;
                    return Err(failed(error));
                }
            }
        }
        Err(Fault::new(
            FaultKind::Conflict,
            format!("other sessions hold {table}, so the guard could not be put in front of it"),
        ))
    }

    /// Ends the sessions that hold a lock on the table.
    async fn end_holders(&self, connection: &mut PgConnection, table: &TableName) -> Result<u64, Fault> {
        let ended: i64 = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM (SELECT DISTINCT l.pid FROM pg_locks l WHERE l.relation = \
             (quote_ident($1) || '.' || quote_ident($2))::regclass AND l.granted AND l.pid IS NOT NULL AND l.pid <> pg_backend_pid()) held",
        )
        .bind(&table.schema)
        .bind(&table.name)
        .fetch_one(connection)
        .await
        .map_err(|error| fault("failed to end the sessions that hold the trade table", &error))?;
        Ok(u64::try_from(ended).unwrap_or(0))
    }

    async fn whole(&self, connection: &mut PgConnection, table: &TableName) -> Result<(bool, bool, String), Fault> {
        let failed = |error: sqlx::Error| fault("failed to inspect the guard", &error);
        let row = sqlx::query(
            "SELECT t.tgenabled::text, p.prosrc, t.tgtype::int FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid \
             JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE t.tgname = $1 AND n.nspname = 'portcullis' \
             AND t.tgrelid = (quote_ident($2) || '.' || quote_ident($3))::regclass",
        )
        .bind(GUARD_TRIGGER)
        .bind(&table.schema)
        .bind(&table.name)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
        let Some(row) = row else { return Ok((false, false, "the trigger is missing".into())) };
        let (enabled, body, kind): (String, String, i32) =
            (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?, row.try_get(2).map_err(failed)?);
        let paused: Option<bool> = sqlx::query_scalar("SELECT paused FROM portcullis.guard WHERE id = 1")
            .fetch_optional(connection)
            .await
            .map_err(failed)?;
        // pg_trigger.tgtype: 1 row, 2 before, 4 insert, 8 delete, 16 update.
        let wanted = self.policy.block.iter().fold(1 | 2, |bits, statement| {
            bits | match statement {
                Statement::Insert => 4,
                Statement::Delete => 8,
                Statement::Update => 16,
            }
        });
        let problem = if enabled != "A" {
            Some("the trigger is not ENABLE ALWAYS")
        } else if body != POSTGRES_BODY {
            Some("the trigger's function was altered")
        } else if kind != wanted {
            Some("the trigger does not block what pause.yml says")
        } else if paused.is_none() {
            Some("the guard row is missing, so everything is refused")
        } else {
            None
        };
        let paused = paused.unwrap_or(true);
        let words = if paused { "in place, flag set" } else { "in place, flag not set" };
        Ok((problem.is_none(), paused, problem.unwrap_or(words).to_owned()))
    }

    /// Ends transactions that began before the flag and could still commit or write a trade.
    async fn drain(&self, connection: &mut PgConnection, table: &TableName) -> Result<(u64, u64), Fault> {
        let failed = |error: sqlx::Error| fault("failed to drain older transactions", &error);
        let flag: String =
            sqlx::query_scalar("SELECT clock_timestamp()::text").fetch_one(&mut *connection).await.map_err(failed)?;
        let count = format!("SELECT count(*) FROM ({OLDER}) older");
        let end = format!("SELECT count(pg_terminate_backend(pid)) FROM ({OLDER}) older");
        let (mut seen, mut ended) = (None, 0_u64);
        let began = Instant::now();
        loop {
            let left: i64 = sqlx::query_scalar(AssertSqlSafe(count.clone()))
                .bind(&flag)
                .bind(&table.schema)
                .bind(&table.name)
                .fetch_one(&mut *connection)
                .await
                .map_err(failed)?;
            let left = u64::try_from(left).unwrap_or(0);
            let first = *seen.get_or_insert(left);
            if left == 0 {
                return Ok((first, ended));
            }
            if began.elapsed() >= Duration::from_millis(self.policy.drain_ms) {
                let now: i64 = sqlx::query_scalar(AssertSqlSafe(end.clone()))
                    .bind(&flag)
                    .bind(&table.schema)
                    .bind(&table.name)
                    .fetch_one(&mut *connection)
                    .await
                    .map_err(failed)?;
                ended = ended.max(u64::try_from(now).unwrap_or(0));
            }
            if began.elapsed() >= Duration::from_millis(self.policy.drain_ms) + GONE_WITHIN {
                let message = format!("{left} transactions that are older than the pause could not be ended");
                return Err(Fault::new(FaultKind::OutcomeUnknown, message));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Prepared transactions survive every session: one that holds the table could commit a trade after the pause.
    async fn prepared(&self, connection: &mut PgConnection, table: &TableName) -> Result<(), Fault> {
        let held: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks WHERE pid IS NULL AND mode <> 'AccessShareLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND relation IN (SELECT relid FROM pg_partition_tree((quote_ident($1) || '.' || quote_ident($2))::regclass))",
        )
        .bind(&table.schema)
        .bind(&table.name)
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

    async fn bypasses(&self, connection: &mut PgConnection, table: &TableName) -> Result<Vec<String>, Fault> {
        let failed = |error: sqlx::Error| fault("failed to look for bypasses", &error);
        let app = self.app.get_username();
        let row = sqlx::query(
            "SELECT r.rolsuper, r.rolreplication, pg_has_role(r.oid, c.relowner, 'MEMBER') AS owns, has_table_privilege(r.oid, g.oid, 'UPDATE') AS may_flag \
             FROM pg_catalog.pg_roles r, pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_class g ON g.oid = to_regclass('portcullis.guard') \
             WHERE r.rolname = $1 AND c.oid = (quote_ident($2) || '.' || quote_ident($3))::regclass",
        )
        .bind(app)
        .bind(&table.schema)
        .bind(&table.name)
        .fetch_optional(connection)
        .await
        .map_err(failed)?;
        let Some(row) = row else { return Ok(vec![format!("the application's role {app} does not exist")]) };
        let is = |name: &str| row.try_get::<Option<bool>, _>(name).map(Option::unwrap_or_default).map_err(failed);
        let mut found = Vec::new();
        if is("rolsuper")? {
            found.push(format!("the application's role {app} is a superuser: it can disable the guard"));
        } else if is("owns")? {
            found.push(format!("the application's role {app} owns the trade table: it can drop the guard"));
        }
        if is("may_flag")? && !is("rolsuper")? {
            found.push(format!("the application's role {app} may change the guard's flag"));
        }
        if is("rolreplication")? {
            found.push(format!("the application's role {app} may replicate"));
        }
        Ok(found)
    }
}

#[async_trait]
impl Guard for PostgresGuard {
    async fn install(&self) -> Result<String, Fault> {
        let mut connection = connect(&self.admin).await?;
        let table = self.table(&mut connection).await?;
        if self.whole(&mut connection, &table).await.is_ok_and(|(whole, ..)| whole) {
            return Ok(format!("was in place on {table}"));
        }
        self.put(&mut connection, &table, false).await?;
        Ok(format!("trigger installed on {table}"))
    }

    async fn inspect(&self) -> Result<GuardReport, Fault> {
        let mut connection = connect(&self.admin).await?;
        let table = self.table(&mut connection).await?;
        let (installed, paused, detail) = self.whole(&mut connection, &table).await?;
        let bypass = self.bypasses(&mut connection, &table).await?;
        let _ = connection.close().await;
        Ok(GuardReport { installed, paused, bypass, detail })
    }

    async fn engage(&self) -> Result<String, Fault> {
        let mut connection = connect(&self.admin).await?;
        let table = self.table(&mut connection).await?;
        let mut words = Vec::new();
        if !self.whole(&mut connection, &table).await.is_ok_and(|(whole, ..)| whole) {
            let ended = self.put(&mut connection, &table, true).await?;
            words.push(format!("guard installed now ({ended} sessions ended for it)"));
        }
        let set = "SET lock_timeout = '2s'; UPDATE portcullis.guard SET paused = true, changed_at = clock_timestamp(), changed_by = session_user WHERE id = 1";
        connection.execute(set).await.map_err(|error| fault("failed to set the guard's flag", &error))?;
        let (older, ended) = self.drain(&mut connection, &table).await?;
        self.prepared(&mut connection, &table).await?;
        words.push(format!("flag set, {older} older transactions drained, {ended} of them ended"));
        let _ = connection.close().await;
        Ok(words.join("; "))
    }

    async fn release(&self) -> Result<String, Fault> {
        let mut connection = connect(&self.admin).await?;
        let set = "SET lock_timeout = '2s'; UPDATE portcullis.guard SET paused = false, changed_at = clock_timestamp(), changed_by = session_user WHERE id = 1";
        let done =
            connection.execute(set).await.map_err(|error| fault("failed to take the guard's flag away", &error))?;
        let _ = connection.close().await;
        if done.rows_affected() == 0 {
            return Err(Fault::new(FaultKind::NotFound, "the guard row is missing: portcullis install repairs it"));
        }
        Ok("flag taken away".into())
    }

    async fn canary(&self) -> Result<Canary, Fault> {
        // The application's own log-in if it still works; its password may have been rotated since the environment was set.
        let (mut connection, as_role) = match connect(&self.app).await {
            Ok(connection) => (connection, None),
            Err(fault) if fault.kind == FaultKind::Denied => {
                (connect(&self.admin).await?, Some(self.app.get_username()))
            }
            Err(fault) => return Err(fault),
        };
        let table = self.table(&mut connection).await?;
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = (quote_ident($1) || '.' || quote_ident($2))::regclass \
             AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a' ORDER BY a.attnum",
        )
        .bind(&table.schema)
        .bind(&table.name)
        .fetch_all(&mut connection)
        .await
        .map_err(|error| fault("failed to read the catalog", &error))?;
        let mut begin = "BEGIN; SET LOCAL statement_timeout = '5s'; SET LOCAL lock_timeout = '3s'".to_owned();
        if let Some(role) = as_role {
            begin.push_str("; SET LOCAL ROLE ");
            begin.push_str(&quote_identifier(role));
        }
        connection.execute(AssertSqlSafe(begin)).await.map_err(|error| fault("failed to begin the canary", &error))?;
        // NULLs rather than defaults: a canary must not consume ids. Row triggers fire before NOT NULL is checked.
        let names: Vec<_> = columns.iter().map(|name| quote_identifier(name)).collect();
        let sql = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            qualified(&table),
            names.join(", "),
            vec!["NULL"; names.len()].join(", ")
        );
        let tried = connection.execute(AssertSqlSafe(sql)).await;
        let _ = connection.execute("ROLLBACK").await;
        let _ = connection.close().await;
        let how = as_role.map_or(String::new(), |role| format!(" (as {role} by SET ROLE)"));
        let Err(error) = tried else {
            return Ok(Canary::Passed { detail: format!("a row was accepted, and rolled back{how}") });
        };
        let words = error.as_database_error().map_or_else(String::new, |error| error.message().to_owned());
        match code(&error).as_deref() {
            Some(GUARD_CODE) => Ok(Canary::Refused { reason: format!("{GUARD_CODE} {words}{how}") }),
            Some("42501") => Ok(Canary::Refused { reason: format!("42501 {words}{how}") }),
            // Class 23: the table's own constraints, which come after the guard.
            Some(code) if code.starts_with("23") => {
                Ok(Canary::Passed { detail: format!("past the guard, stopped only by the table: {words}{how}") })
            }
            _ => Err(fault("failed to try the canary", &error)),
        }
    }
}
