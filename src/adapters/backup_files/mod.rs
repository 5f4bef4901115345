//! Backups as files in folders and objects in S3, and the ways to put one back.

mod archive;
mod bucket;
mod fetched;
mod open;
mod take;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use bucket::{Buckets, is_object};
use fetched::Fetched;

use super::aws::Aws;
use super::command;
use crate::detect::backup::Dialect;
use crate::domain::{Backup, Timestamp};
use crate::policy::recovery::RecoveryPolicy;
use crate::ports::{
    BackupAccess, BackupFacts, BackupList, BackupStore, Database, Fault, FaultKind, OpenBackup, RestoreProgress,
    RestoreTarget, UnreadPlace,
};

/// Bound on a restore or validation command.
const BOUND: Duration = Duration::from_mins(30);
/// What is added to a backup's name for its manifest.
const MANIFEST: &str = ".manifest.json";
/// Longest manifest, in bytes.
const MAX_MANIFEST: u64 = 1 << 20;

/// The backups of all places that `recovery.yml` names.
pub struct BackupFiles {
    root: PathBuf,
    policy: RecoveryPolicy,
    target: Arc<dyn RestoreTarget>,
    progress: Arc<RestoreProgress>,
    buckets: Buckets,
    fetched: Fetched,
}

impl BackupFiles {
    /// `target` is where they are restored, unless the policy names a command for it; what is fetched from S3 goes below `home`, unless the
    /// policy names another folder.
    pub fn new(
        (root, home): (&Path, &Path),
        policy: RecoveryPolicy,
        target: Arc<dyn RestoreTarget>,
        aws: Arc<Aws>,
    ) -> Self {
        let below = policy.scratch.as_ref().map_or_else(|| home.to_owned(), |scratch| root.join(scratch));
        let fetched = Fetched::new(below.join("portcullis-fetched"));
        Self { root: root.to_owned(), policy, target, progress: Arc::default(), buckets: Buckets::new(aws), fetched }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Most that a backup may hold, in bytes.
    fn max(&self) -> u64 {
        self.policy.max_gb.saturating_mul(1_000_000_000)
    }

    /// The place of that name, or the first.
    fn place(&self, wanted: Option<&str>) -> Result<&str, Fault> {
        let places = &self.policy.directory;
        let same =
            |place: &&String| wanted.is_none_or(|wanted| place.trim_end_matches('/') == wanted.trim_end_matches('/'));
        places.iter().find(same).map(String::as_str).ok_or_else(|| {
            let message = format!(
                "`{}` is no place of backups: recovery.yml names {}",
                wanted.unwrap_or_default(),
                places.join(", ")
            );
            Fault::new(FaultKind::Invalid, message)
        })
    }

    /// The backups of a folder.
    fn folder(&self, place: &str) -> Result<Vec<Backup>, Fault> {
        let folder = self.root.join(place);
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
            let path = format!("{}/{name}", place.trim_end_matches('/'));
            backups.push(Backup { path, bytes, started: started(&name), sha256: None });
        }
        Ok(backups)
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

/// Whether a file's name is that of the table of contents of a dump in directory format.
fn archive_of(name: &str) -> bool {
    name == "toc.dat"
}

#[async_trait]
impl BackupStore for BackupFiles {
    fn dialect(&self) -> Dialect {
        self.target.dialect()
    }

    async fn list(&self) -> Result<BackupList, Fault> {
        let (mut list, mut first) = (BackupList::default(), None);
        for place in &self.policy.directory {
            let found = if is_object(place) {
                tokio::task::block_in_place(|| self.buckets.list(place, &self.policy.pattern))
            } else {
                self.folder(place)
            };
            match found {
                Ok(found) => list.backups.extend(found),
                Err(fault) => {
                    list.unread.push(UnreadPlace { place: place.clone(), reason: fault.chain() });
                    first = first.or(Some(fault));
                }
            }
        }
        if let Some(fault) = first.filter(|_| list.unread.len() == self.policy.directory.len()) {
            return Err(fault);
        }
        list.backups.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| b.path.cmp(&a.path)));
        Ok(list)
    }

    fn open(&self, path: &str) -> Result<OpenBackup, Fault> {
        let max = self.max();
        if !is_object(path) {
            return open::open(&self.path(path), max, &self.progress);
        }
        if let Some(copy) = self.fetched.get(path) {
            return open::open(&copy, max, &self.progress);
        }
        match self.buckets.objects(path)?.as_slice() {
            [(name, place, listed)] if name.is_empty() => {
                let reader = self.buckets.read(place, listed, 0)?;
                open::stream(reader, listed.bytes, max, &self.progress)
                    .map_err(|error| Fault::with(FaultKind::Unavailable, format!("failed to read {place}"), error))
            }
            // pg_restore wants a folder.
            _ => open::open(&self.fetched.bring(&self.buckets, path, max, &self.progress)?, max, &self.progress),
        }
    }

    async fn fetch(&self, path: &str) -> Result<(), Fault> {
        if is_object(path) && self.fetched.get(path).is_none() {
            tokio::task::block_in_place(|| self.fetched.bring(&self.buckets, path, self.max(), &self.progress))?;
        }
        Ok(())
    }

    fn facts(&self, path: &str) -> Result<BackupFacts, Fault> {
        if is_object(path) {
            return self.buckets.facts(path);
        }
        let path = self.path(path);
        let found = std::fs::symlink_metadata(&path).map_err(|error| {
            Fault::with(FaultKind::NotFound, format!("failed to look at the backup {}", path.display()), error)
        })?;
        let modified = Timestamp::from_second(found.mtime()).ok();
        Ok(BackupFacts { access: BackupAccess::Mode(found.mode()), modified })
    }

    async fn restore(&self, path: &str, marker: &str, suffix: &str) -> Result<String, Fault> {
        self.fetch(path).await?;
        // SQLite is always restored by this program: the file is its own.
        if let Some(argv) = self.policy.restore.as_ref().filter(|_| self.dialect() == Dialect::Postgres) {
            let copy = self.fetched.get(path).map(|copy| copy.display().to_string());
            let file = copy.as_deref().unwrap_or(path);
            let argv: Vec<String> = argv.iter().map(|word| word.replace("{file}", file)).collect();
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

    async fn take(&self, at: Timestamp, place: Option<&str>) -> Result<(Backup, Option<String>), Fault> {
        let place = self.place(place)?;
        let (name, packed) = take::name(&self.policy.pattern, at)?;
        let path = format!("{}/{name}", place.trim_end_matches('/'));
        let target = self.target.as_ref();
        let (bytes, words) = if is_object(place) {
            let out = tokio::task::block_in_place(|| self.buckets.create(&path))?;
            take::fill(out, packed, target).await?
        } else {
            take::fill(take::NewFile::new(&self.path(place), &name)?, packed, target).await?
        };
        Ok((Backup { path, bytes, started: Some(at), sha256: None }, words))
    }

    fn write_manifest(&self, path: &str, bytes: &[u8]) -> Result<(), Fault> {
        let manifest = format!("{path}{MANIFEST}");
        if is_object(path) { self.buckets.put(&manifest, bytes) } else { take::write(&self.path(&manifest), bytes) }
    }

    fn manifest(&self, path: &str) -> Result<Option<Vec<u8>>, Fault> {
        let manifest = format!("{path}{MANIFEST}");
        if is_object(path) {
            return self.buckets.get(&manifest, MAX_MANIFEST);
        }
        let path = self.path(&manifest);
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
        let aws = Aws::new(Box::new(Vec::new));
        let store = BackupFiles::new((root.path(), root.path()), policy, target, aws);
        let backup = store.list().await.unwrap().backups.remove(0);
        store.restore(&backup.path, "m", "x").await.unwrap();
        assert!(root.path().join("t.db.before-restore-x").is_file());
        let guard = SqliteGuard::new(&live, pause.guard.unwrap());
        assert!(crate::ports::Guard::inspect(&guard).await.unwrap().paused);
    }
}
