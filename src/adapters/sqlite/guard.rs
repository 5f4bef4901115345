use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::{fault, open};
use crate::domain::Canary;
use crate::domain::guard::{GUARD_CODE, SQLITE_TABLE, quote_identifier, sqlite_trigger};
use crate::policy::pause::{GuardPolicy, Statement};
use crate::ports::{Bypass, Fault, FaultKind, Guard, GuardReport, Row};

/// The guard on SQLite: triggers that read a flag. Whoever can write the file can take it away, and `inspect` says so.
#[derive(Debug, Clone)]
pub struct SqliteGuard {
    path: PathBuf,
    policy: GuardPolicy,
}

impl SqliteGuard {
    /// The guard of the database in that file.
    pub fn new(path: impl Into<PathBuf>, policy: GuardPolicy) -> Self {
        Self { path: path.into(), policy }
    }

    fn triggers(&self, table: &str) -> Vec<(String, String)> {
        let words = self.policy.block.iter().map(|statement| match statement {
            Statement::Insert => "INSERT",
            Statement::Update => "UPDATE",
            Statement::Delete => "DELETE",
        });
        words.map(|word| sqlite_trigger(table, word)).collect()
    }
}

/// The trade table's name as the catalog writes it.
async fn trade_table(connection: &mut SqliteConnection, wanted: &str) -> Result<String, Fault> {
    sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE")
        .bind(wanted)
        .fetch_optional(connection)
        .await
        .map_err(|error| fault("failed to read the catalog", &error))?
        .ok_or_else(|| {
            Fault::new(FaultKind::NotFound, format!("there is no table `{wanted}` (pause.yml: guard.table)"))
        })
}

async fn definition(connection: &mut SqliteConnection, name: &str) -> Result<Option<String>, Fault> {
    sqlx::query_scalar("SELECT sql FROM sqlite_master WHERE name = ?1")
        .bind(name)
        .fetch_optional(connection)
        .await
        .map_err(|error| fault("failed to read the catalog", &error))
}

async fn flag(connection: &mut SqliteConnection) -> Result<Option<bool>, Fault> {
    if definition(connection, "portcullis_guard").await?.is_none() {
        return Ok(None);
    }
    let flag: Option<i64> = sqlx::query_scalar("SELECT paused FROM portcullis_guard WHERE id = 1")
        .fetch_optional(connection)
        .await
        .map_err(|error| fault("failed to read the guard", &error))?;
    Ok(flag.map(|paused| paused != 0))
}

/// Puts table and triggers there, in one transaction that writes the flag too if one is given.
async fn put(path: &Path, guard: &SqliteGuard, paused: Option<bool>) -> Result<bool, Fault> {
    let mut connection = open(path, false).await?;
    let table = trade_table(&mut connection, &guard.policy.table).await?;
    let failed = |error| fault("failed to put the guard into the database", &error);
    let mut changed = false;
    // IMMEDIATE waits for the writer that is there; after it, no older transaction can still write.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    if definition(&mut transaction, "portcullis_guard").await?.is_none() {
        sqlx::query(AssertSqlSafe(SQLITE_TABLE)).execute(&mut *transaction).await.map_err(failed)?;
        changed = true;
    }
    sqlx::query(
        "INSERT OR IGNORE INTO portcullis_guard VALUES (1, 0, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 'install')",
    )
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    for (name, text) in guard.triggers(&table) {
        match definition(&mut transaction, &name).await? {
            Some(there) if there == text => continue,
            Some(_) => {
                let drop = format!("DROP TRIGGER {}", quote_identifier(&name));
                sqlx::query(AssertSqlSafe(drop)).execute(&mut *transaction).await.map_err(failed)?;
            }
            None => {}
        }
        sqlx::query(AssertSqlSafe(text)).execute(&mut *transaction).await.map_err(failed)?;
        changed = true;
    }
    if let Some(paused) = paused {
        sqlx::query("UPDATE portcullis_guard SET paused = ?1, changed_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), changed_by = 'portcullis'")
            .bind(i64::from(paused))
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(changed)
}

#[async_trait]
impl Guard for SqliteGuard {
    async fn install(&self) -> Result<String, Fault> {
        let changed = put(&self.path, self, None).await?;
        Ok(if changed { "triggers installed".into() } else { "triggers were in place".into() })
    }

    async fn inspect(&self) -> Result<GuardReport, Fault> {
        let mut connection = open(&self.path, true).await?;
        let table = trade_table(&mut connection, &self.policy.table).await?;
        let paused = flag(&mut connection).await?;
        let mut wrong = Vec::new();
        for (name, text) in self.triggers(&table) {
            match definition(&mut connection, &name).await? {
                Some(there) if there == text => {}
                Some(_) => wrong.push(format!("{name} was altered")),
                None => wrong.push(format!("{name} is missing")),
            }
        }
        let installed = wrong.is_empty() && paused.is_some();
        let detail = match (installed, paused) {
            (true, Some(true)) => "in place, flag set".to_owned(),
            (true, _) => "in place, flag not set".to_owned(),
            (false, _) if wrong.is_empty() => "the guard table is missing or empty".to_owned(),
            (false, _) => wrong.join(", "),
        };
        // Nothing that could be mended: the file itself is the bypass.
        let bypass = vec![Bypass {
            who: "file".into(),
            grave: false,
            how: "any process that may write the database file can drop the triggers".into(),
            mend: None,
        }];
        let way = vec!["flag set, read by the triggers; a writer that is there is waited for".to_owned()];
        Ok(GuardReport { installed, paused: paused == Some(true), withheld: 0, way, bypass, detail })
    }

    async fn engage(&self) -> Result<String, Fault> {
        let changed = put(&self.path, self, Some(true)).await?;
        Ok(if changed { "guard installed, flag set".into() } else { "flag set".into() })
    }

    async fn release(&self) -> Result<String, Fault> {
        let mut connection = open(&self.path, false).await?;
        if flag(&mut connection).await?.is_none() {
            return Err(Fault::new(FaultKind::NotFound, "the guard is not installed, so there is nothing to release"));
        }
        put(&self.path, self, Some(false)).await?;
        Ok("flag taken away".into())
    }

    async fn insert_through(&self, columns: &[String], rows: &[Row]) -> Result<u64, Fault> {
        let failed = |error: sqlx::Error| fault("failed to put rows through the pause", &error);
        let mut connection = open(&self.path, false).await?;
        let table = trade_table(&mut connection, &self.policy.table).await?;
        let names: Vec<_> = columns.iter().map(|column| quote_identifier(column)).collect();
        let values: Vec<_> = (1..=columns.len()).map(|at| format!("?{at}")).collect();
        let sql = format!(
            "INSERT OR IGNORE INTO {} ({}) VALUES ({})",
            quote_identifier(&table),
            names.join(", "),
            values.join(", ")
        );
        // One transaction: nobody else ever sees the flag lifted, and what fails is rolled back with the connection.
        let begin = "BEGIN IMMEDIATE; UPDATE portcullis_guard SET paused = 0 WHERE id = 1";
        connection.execute(begin).await.map_err(failed)?;
        let mut count = 0;
        for row in rows {
            let mut query = sqlx::query(AssertSqlSafe(sql.clone()));
            for cell in row {
                query = query.bind(cell.clone());
            }
            count += query.execute(&mut connection).await.map_err(failed)?.rows_affected();
        }
        connection.execute("UPDATE portcullis_guard SET paused = 1 WHERE id = 1; COMMIT").await.map_err(failed)?;
        Ok(count)
    }

    async fn canary(&self) -> Result<Canary, Fault> {
        let mut connection = open(&self.path, false).await?;
        let table = trade_table(&mut connection, &self.policy.table).await?;
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?1)")
            .bind(&table)
            .fetch_all(&mut connection)
            .await
            .map_err(|error| fault("failed to read the catalog", &error))?;
        // NULLs rather than defaults: a canary must not consume ids.
        let names: Vec<_> = columns.iter().map(|name| quote_identifier(name)).collect();
        let nulls = vec!["NULL"; names.len()].join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({nulls})", quote_identifier(&table), names.join(", "));
        let mut transaction = connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|error| fault("failed to begin the canary", &error))?;
        let tried = sqlx::query(AssertSqlSafe(sql)).execute(&mut *transaction).await;
        // A failed statement may have ended the transaction already; what matters is that nothing stays.
        let _ = transaction.rollback().await;
        match tried {
            Ok(_) => Ok(Canary::Passed { detail: "a row was accepted, and rolled back".into() }),
            Err(error) => {
                let words = error.as_database_error().map_or("", |error| error.message()).to_owned();
                if words.starts_with(GUARD_CODE) {
                    return Ok(Canary::Refused { reason: words });
                }
                if words.contains("constraint failed") {
                    return Ok(Canary::Passed {
                        detail: format!("past the guard, stopped only by the table: {words}"),
                    });
                }
                Err(fault("failed to try the canary", &error))
            }
        }
    }
}
