//! Makes a SQLite database out of a dump, and puts it in the place of the live one.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use super::{SqliteDatabase, SqliteGuard, dump, fault, open};
use crate::adapters::scratch::ScratchFolder;
use crate::detect::backup::{Dialect, Piece, Statements};
use crate::policy::pause::GuardPolicy;
use crate::ports::{Database, Fault, FaultKind, Guard, RestoreProgress, RestoreTarget};

/// Fills a new database file from a dump that was surveyed and holds only statements of the allow-list.
pub async fn build(path: &Path, dump: Box<dyn Read + Send>) -> Result<(), Fault> {
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(false)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Off)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|error| fault(&format!("failed to make {}", path.display()), &error))?;
    let mut pieces = Statements::new(dump, Dialect::Sqlite);
    let mut rows = Rows::default();
    loop {
        let piece =
            pieces.next_piece().map_err(|error| Fault::with(FaultKind::Corrupt, "failed to read the dump", error))?;
        match piece {
            None => break,
            Some(Piece::Statement { line, text, .. }) if Rows::takes(&text) => {
                rows.add(line, text);
                if rows.bytes >= ROWS {
                    rows.run(&mut connection).await?;
                }
            }
            Some(Piece::Statement { line, text, .. }) => {
                rows.run(&mut connection).await?;
                alone(&mut connection, line, text).await?;
            }
            Some(_) => return Err(Fault::new(FaultKind::Corrupt, "the dump is not one of SQLite")),
        }
    }
    rows.run(&mut connection).await?;
    check(&mut connection).await?;
    connection.close().await.map_err(|error| fault("failed to close the restored database", &error))?;
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| Fault::with(FaultKind::Unavailable, format!("failed to sync {}", path.display()), error))
}

/// Runs one statement of the dump.
async fn alone(connection: &mut SqliteConnection, line: u64, text: String) -> Result<(), Fault> {
    let ran = connection.execute(AssertSqlSafe(text)).await;
    ran.map(|_| ()).map_err(|error| fault(&format!("line {line} of the dump can't be restored"), &error))
}

/// Bytes of `INSERT`s that are handed over at once: each time costs more than a row does.
const ROWS: usize = 64 * 1024;

/// `INSERT`s that wait to be run, with the lines of the dump where they stand.
#[derive(Default)]
struct Rows {
    statements: Vec<(u64, String)>,
    bytes: usize,
}

impl Rows {
    /// Whether a statement may wait. Others may begin or end a transaction, which a savepoint can't hold.
    fn takes(text: &str) -> bool {
        text.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("INSERT "))
    }

    fn add(&mut self, line: u64, text: String) {
        self.bytes += text.len();
        self.statements.push((line, text));
    }

    /// Runs all that wait; if one fails, each by itself, so that its line can be named.
    async fn run(&mut self, connection: &mut SqliteConnection) -> Result<(), Fault> {
        let Self { statements, .. } = std::mem::take(self);
        if statements.is_empty() {
            return Ok(());
        }
        let mut all = String::from("SAVEPOINT portcullis_rows;\n");
        for (_, text) in &statements {
            all.push_str(text);
            // On a line of its own, should the statement end in a comment.
            all.push_str("\n;\n");
        }
        all.push_str("RELEASE portcullis_rows");
        if connection.execute(AssertSqlSafe(all)).await.is_ok() {
            return Ok(());
        }
        let undo = connection.execute("ROLLBACK TO portcullis_rows; RELEASE portcullis_rows").await;
        undo.map_err(|error| fault("failed to undo rows that can't be restored", &error))?;
        for (line, text) in statements {
            alone(connection, line, text).await?;
        }
        Ok(())
    }
}

/// Structure and foreign keys.
async fn check(connection: &mut SqliteConnection) -> Result<(), Fault> {
    let failed = |error: sqlx::Error| fault("failed to check the restored database", &error);
    let whole: String =
        sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut *connection).await.map_err(failed)?;
    if whole != "ok" {
        return Err(Fault::new(FaultKind::Corrupt, format!("the restored database is damaged: {whole}")));
    }
    let orphans = sqlx::query("PRAGMA foreign_key_check").fetch_all(connection).await.map_err(failed)?;
    if orphans.is_empty() {
        return Ok(());
    }
    Err(Fault::new(
        FaultKind::Corrupt,
        format!("{} rows of the restored database refer to rows that are not there", orphans.len()),
    ))
}

/// Restores beside the live database, with the guard engaged in it, then swaps by rename. The old database is kept under
/// the returned name. Interrupted anywhere, the live name holds the old or the new database, whole.
pub async fn swap_in(
    live: &Path,
    dump: Box<dyn Read + Send>,
    guard: Option<GuardPolicy>,
    suffix: &str,
) -> Result<PathBuf, Fault> {
    let beside = |ending: &str| {
        let mut name = live.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let io = |error: std::io::Error| {
        Fault::with(FaultKind::Unavailable, format!("failed to put {} back", live.display()), error)
    };
    let fresh = beside(".restoring");
    remove(&fresh).map_err(io)?;
    build(&fresh, dump).await?;
    if let Some(policy) = guard {
        // The new database must not trade for one moment.
        SqliteGuard::new(&fresh, policy).engage().await?;
    }
    if live.exists() {
        // Folds the write-ahead log into the file and takes it away: it must not meet the new file.
        let mut connection = open(live, false).await?;
        connection
            .execute("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE")
            .await
            .map_err(|error| fault("failed to close the live database; stop what uses it", &error))?;
        connection.close().await.map_err(|error| fault("failed to close the live database", &error))?;
    }
    let aside = beside(&format!(".before-restore-{suffix}"));
    if live.exists() && !aside.exists() {
        fs::hard_link(live, &aside).map_err(io)?;
    }
    fs::rename(&fresh, live).map_err(io)?;
    let folder = live.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    Ok(aside)
}

/// The SQLite file of the deployment, as a place to restore to.
pub struct SqliteRestore {
    live: PathBuf,
    guard: Option<GuardPolicy>,
}

impl SqliteRestore {
    /// `guard` is engaged in every database that is restored.
    pub fn new(live: &Path, guard: Option<GuardPolicy>) -> Self {
        Self { live: live.to_owned(), guard }
    }
}

#[async_trait]
impl RestoreTarget for SqliteRestore {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn restore(
        &self,
        dump: Box<dyn Read + Send>,
        _marker: &str,
        suffix: &str,
        progress: &RestoreProgress,
    ) -> Result<String, Fault> {
        progress.phase("rows");
        let aside = swap_in(&self.live, dump, self.guard.clone(), suffix).await?;
        progress.phase("done");
        Ok(format!("restored with the guard engaged; the old database is kept as {}", aside.display()))
    }

    async fn restored(&self) -> Result<Option<String>, Fault> {
        Ok(None)
    }

    async fn dump(&self, out: &mut (dyn Write + Send)) -> Result<Option<String>, Fault> {
        dump::dump(&self.live, out).await.map(|()| None)
    }

    async fn scratch(
        &self,
        dump: Box<dyn Read + Send>,
        _progress: &RestoreProgress,
    ) -> Result<Arc<dyn Database>, Fault> {
        let folder = ScratchFolder::make(None)?;
        let file = folder.path().join("scratch.db");
        build(&file, dump).await?;
        Ok(Arc::new(SqliteDatabase::scratch(file, folder)))
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
