//! Backups as files in a folder, and the ways to put one back.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flate2::read::MultiGzDecoder;

use super::command;
use super::sqlite::{SqliteDatabase, restore};
use crate::detect::backup::Dialect;
use crate::domain::{Backup, Timestamp};
use crate::policy::pause::GuardPolicy;
use crate::policy::recovery::RecoveryPolicy;
use crate::ports::{BackupStore, Database, Fault, FaultKind, Row, Table, TableName};

/// Bound on a restore or validation command.
const BOUND: Duration = Duration::from_mins(30);
/// Most bytes that a backup may decompress to.
const MAX_BYTES: u64 = 1 << 40;

/// The backups that `recovery.yml` names.
pub struct BackupFiles {
    root: PathBuf,
    policy: RecoveryPolicy,
    live: Option<PathBuf>,
    guard: Option<GuardPolicy>,
}

impl BackupFiles {
    /// `live` is the SQLite file that is restored natively; elsewhere the policy's command does it.
    pub fn new(root: &Path, policy: RecoveryPolicy, live: Option<PathBuf>, guard: Option<GuardPolicy>) -> Self {
        Self { root: root.to_owned(), policy, live, guard }
    }

    /// Only files of the backup folder are opened.
    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// The time in a file name, `YYYYMMDD_HHMMSS` or with other separators, as UTC.
fn started(name: &str) -> Option<Timestamp> {
    let digits: String = name.chars().filter(char::is_ascii_digit).take(14).collect();
    let part = |range: std::ops::Range<usize>| digits.get(range).and_then(|text| text.parse::<i16>().ok());
    let small = |range: std::ops::Range<usize>| part(range).and_then(|value| i8::try_from(value).ok());
    let time = jiff::civil::DateTime::new(
        part(0..4)?,
        small(4..6)?,
        small(6..8)?,
        small(8..10)?,
        small(10..12)?,
        small(12..14).unwrap_or(0),
        0,
    )
    .ok()?;
    jiff::tz::Offset::UTC.to_timestamp(time).ok()
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((head, tail)) => name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail),
        None => name == pattern,
    }
}

#[async_trait]
impl BackupStore for BackupFiles {
    fn dialect(&self) -> Dialect {
        if self.live.is_some() { Dialect::Sqlite } else { Dialect::Postgres }
    }

    async fn list(&self) -> Result<Vec<Backup>, Fault> {
        let folder = self.root.join(&self.policy.directory);
        let unreadable = |error| {
            Fault::with(FaultKind::NotFound, format!("failed to read the backup folder {}", folder.display()), error)
        };
        let mut backups = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !matches(&self.policy.pattern, &name) || !entry.path().is_file() {
                continue;
            }
            let bytes = entry.metadata().map_err(unreadable)?.len();
            let path = format!("{}/{name}", self.policy.directory);
            backups.push(Backup { path, bytes, started: started(&name), sha256: None });
        }
        backups.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| b.path.cmp(&a.path)));
        Ok(backups)
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, Fault> {
        let path = self.path(path);
        let failed = |error: std::io::Error| {
            let kind =
                if error.kind() == std::io::ErrorKind::NotFound { FaultKind::NotFound } else { FaultKind::Denied };
            Fault::with(kind, format!("failed to open the backup {}", path.display()), error)
        };
        let mut file = File::open(&path).map_err(failed)?;
        let mut magic = [0; 2];
        let read = file.read(&mut magic).map_err(failed)?;
        file.rewind().map_err(failed)?;
        let file = BufReader::with_capacity(1 << 16, file);
        if read == 2 && magic == [0x1f, 0x8b] {
            return Ok(Box::new(MultiGzDecoder::new(file).take(MAX_BYTES)));
        }
        Ok(Box::new(file.take(MAX_BYTES)))
    }

    async fn restore(&self, path: &str, suffix: &str) -> Result<String, Fault> {
        if let Some(live) = &self.live {
            let aside = restore::swap_in(live, self.open(path)?, self.guard.clone(), suffix).await?;
            return Ok(format!("restored with the guard engaged; the old database is kept as {}", aside.display()));
        }
        let argv = self.policy.restore.as_ref().ok_or_else(|| {
            let message =
                "policies/recovery.yml names no restore command, and a dump of PostgreSQL is not fed to psql by itself";
            Fault::new(FaultKind::Invalid, message)
        })?;
        let argv: Vec<String> = argv.iter().map(|word| word.replace("{file}", path)).collect();
        command::succeed(&self.root, &argv, BOUND).await
    }

    async fn validate(&self) -> Result<Option<String>, Fault> {
        match &self.policy.validate {
            Some(argv) => command::succeed(&self.root, argv, BOUND).await.map(Some),
            None => Ok(None),
        }
    }

    async fn scratch(&self, path: &str) -> Result<Arc<dyn Database>, Fault> {
        if self.live.is_none() {
            return Err(Fault::new(FaultKind::Invalid, "a scratch copy is only made of SQLite dumps"));
        }
        let folder = tempfile::Builder::new()
            .prefix("portcullis-scratch-")
            .tempdir()
            .map_err(|error| Fault::with(FaultKind::Unavailable, "failed to make a scratch folder", error))?;
        let file = folder.path().join("scratch.db");
        restore::build(&file, self.open(path)?).await?;
        Ok(Arc::new(Scratch { database: SqliteDatabase::new(file), _folder: folder }))
    }
}

/// A scratch copy; its folder goes with it.
struct Scratch {
    database: SqliteDatabase,
    _folder: tempfile::TempDir,
}

#[async_trait]
impl Database for Scratch {
    fn dialect(&self) -> &'static str {
        self.database.dialect()
    }
    fn describe(&self) -> String {
        "a scratch copy".into()
    }
    async fn ping(&self) -> Result<String, Fault> {
        self.database.ping().await
    }
    async fn tables(&self) -> Result<Vec<Table>, Fault> {
        self.database.tables().await
    }
    async fn rows(
        &self,
        table: &TableName,
        columns: &[String],
        order_by: Option<&str>,
        sink: &mut (dyn FnMut(Row) -> std::ops::ControlFlow<()> + Send),
    ) -> Result<u64, Fault> {
        self.database.rows(table, columns, order_by, sink).await
    }
    async fn relations(&self) -> Result<crate::domain::Relations, Fault> {
        self.database.relations().await
    }
    async fn snapshot(&self) -> Result<Box<dyn crate::ports::Snapshot>, Fault> {
        self.database.snapshot().await
    }
    async fn objects(&self) -> Result<crate::ports::ObjectList, Fault> {
        self.database.objects().await
    }
    async fn evidence(&self) -> Result<Vec<(String, String)>, Fault> {
        self.database.evidence().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_in_the_name() {
        let time = started("db_backup_20261124_105541.sql.gz").unwrap();
        assert_eq!(time.to_string(), "2026-11-24T10:55:41Z");
        assert_eq!(started("db_backup_2026-11-24T10-55-41.sql.gz"), Some(time));
        assert_eq!(started("db_backup_latest.sql.gz"), None);
        assert_eq!(started("db_backup_20261399_000000.sql.gz"), None);
    }

    #[tokio::test]
    async fn a_restore_keeps_the_old_database_and_engages_the_guard() {
        let root = tempfile::tempdir().unwrap();
        let live = root.path().join("t.db");
        std::fs::create_dir(root.path().join("backups")).unwrap();
        let dump = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE Trade (id INTEGER PRIMARY KEY, note TEXT);\nINSERT INTO Trade VALUES(1,'a;b');\nCOMMIT;\n";
        std::fs::write(root.path().join("backups/db_backup_20261124_105541.sql.gz"), dump).unwrap();
        restore::build(
            &live,
            Box::new(&b"BEGIN TRANSACTION;\nCREATE TABLE Trade (id INTEGER PRIMARY KEY);\nCOMMIT;\n"[..]),
        )
        .await
        .unwrap();
        let policy = crate::policy::parse("recovery.yml", "version: 1\n").unwrap();
        let pause: crate::policy::pause::PausePolicy =
            crate::policy::parse("pause.yml", "version: 1\nguard: {}\n").unwrap();
        let store = BackupFiles::new(root.path(), policy, Some(live.clone()), pause.guard.clone());
        let backup = store.list().await.unwrap().remove(0);
        store.restore(&backup.path, "x").await.unwrap();
        assert!(root.path().join("t.db.before-restore-x").is_file());
        let guard = super::super::sqlite::SqliteGuard::new(&live, pause.guard.unwrap());
        assert!(crate::ports::Guard::inspect(&guard).await.unwrap().paused);
    }
}
