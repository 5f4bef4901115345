//! Backups as files in a folder, and the ways to put one back.

mod open;
mod take;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::command;
use crate::detect::backup::Dialect;
use crate::domain::{Backup, Timestamp};
use crate::policy::recovery::RecoveryPolicy;
use crate::ports::{BackupFacts, BackupStore, Database, Fault, FaultKind, OpenBackup, RestoreProgress, RestoreTarget};

/// Bound on a restore or validation command.
const BOUND: Duration = Duration::from_mins(30);
/// What is added to a backup's name for its manifest.
const MANIFEST: &str = ".manifest.json";
/// Longest manifest, in bytes.
const MAX_MANIFEST: u64 = 1 << 20;

/// The backups that `recovery.yml` names.
pub struct BackupFiles {
    root: PathBuf,
    policy: RecoveryPolicy,
    target: Arc<dyn RestoreTarget>,
    progress: Arc<RestoreProgress>,
}

impl BackupFiles {
    /// `target` is where they are restored, unless the policy names a command for it.
    pub fn new(root: &Path, policy: RecoveryPolicy, target: Arc<dyn RestoreTarget>) -> Self {
        Self { root: root.to_owned(), policy, target, progress: Arc::default() }
    }

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
        self.target.dialect()
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
            // A folder is a backup in pg_dump's directory format.
            let archive = entry.path().join("toc.dat").is_file();
            if !matches(&self.policy.pattern, &name) || !(entry.path().is_file() || archive) {
                continue;
            }
            let bytes = if archive { folder_size(&entry.path()) } else { entry.metadata().map_err(unreadable)?.len() };
            let path = format!("{}/{name}", self.policy.directory);
            backups.push(Backup { path, bytes, started: started(&name), sha256: None });
        }
        backups.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| b.path.cmp(&a.path)));
        Ok(backups)
    }

    fn open(&self, path: &str) -> Result<OpenBackup, Fault> {
        open::open(&self.path(path), self.policy.max_gb.saturating_mul(1_000_000_000), &self.progress)
    }

    fn facts(&self, path: &str) -> Result<Option<BackupFacts>, Fault> {
        let path = self.path(path);
        let found = std::fs::symlink_metadata(&path).map_err(|error| {
            Fault::with(FaultKind::NotFound, format!("failed to look at the backup {}", path.display()), error)
        })?;
        let modified = Timestamp::from_second(found.mtime()).ok();
        Ok(Some(BackupFacts { mode: found.mode(), owner: found.uid(), modified }))
    }

    async fn restore(&self, path: &str, marker: &str, suffix: &str) -> Result<String, Fault> {
        // SQLite is always restored by this program: the file is its own.
        if let Some(argv) = self.policy.restore.as_ref().filter(|_| self.dialect() == Dialect::Postgres) {
            let argv: Vec<String> = argv.iter().map(|word| word.replace("{file}", path)).collect();
            self.progress.phase("the deployment's own restore");
            return command::succeed(&self.root, &argv, BOUND).await;
        }
        self.target.restore(self.open(path)?.text, marker, suffix, &self.progress).await
    }

    async fn restored(&self) -> Result<Option<String>, Fault> {
        self.target.restored().await
    }

    fn progress(&self) -> Arc<RestoreProgress> {
        Arc::clone(&self.progress)
    }

    async fn validate(&self) -> Result<Option<String>, Fault> {
        match &self.policy.validate {
            Some(argv) => command::succeed(&self.root, argv, BOUND).await.map(Some),
            None => Ok(None),
        }
    }

    async fn scratch(&self, path: &str) -> Result<Arc<dyn Database>, Fault> {
        self.target.scratch(self.open(path)?.text, &self.progress).await
    }

    async fn take(&self, at: Timestamp) -> Result<(Backup, Option<String>), Fault> {
        take::take(&self.root, &self.policy, self.target.as_ref(), at).await
    }

    fn write_manifest(&self, path: &str, bytes: &[u8]) -> Result<(), Fault> {
        take::write(&self.path(&format!("{path}{MANIFEST}")), bytes)
    }

    fn manifest(&self, path: &str) -> Result<Option<Vec<u8>>, Fault> {
        let path = self.path(&format!("{path}{MANIFEST}"));
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() && found.len() <= MAX_MANIFEST => std::fs::read(&path).map(Some),
            Ok(_) => return Err(Fault::new(FaultKind::Corrupt, format!("{} is no manifest", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
        .map_err(|error| Fault::with(FaultKind::Denied, format!("failed to read {}", path.display()), error))
    }
}

/// Bytes of the files directly in a folder.
fn folder_size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
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
        use crate::adapters::sqlite::{SqliteGuard, SqliteRestore, restore};
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
        let policy: RecoveryPolicy = crate::policy::parse("recovery.yml", "version: 1\n").unwrap();
        let pause: crate::policy::pause::PausePolicy =
            crate::policy::parse("pause.yml", "version: 1\nguard: {}\n").unwrap();
        let target = Arc::new(SqliteRestore::new(&live, pause.guard.clone()));
        let store = BackupFiles::new(root.path(), policy, target);
        let backup = store.list().await.unwrap().remove(0);
        store.restore(&backup.path, "m", "x").await.unwrap();
        assert!(root.path().join("t.db.before-restore-x").is_file());
        let guard = SqliteGuard::new(&live, pause.guard.unwrap());
        assert!(crate::ports::Guard::inspect(&guard).await.unwrap().paused);
    }
}
