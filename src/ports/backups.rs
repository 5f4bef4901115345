//! Backups: where they lie, and where they are restored to.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{Database, Fault};
use crate::detect::backup::Dialect;
use crate::domain::{Backup, Digest, Timestamp};

/// How far a restore is; shared with whoever shows it.
#[derive(Debug, Default)]
pub struct RestoreProgress {
    file: AtomicU64,
    size: AtomicU64,
    text: AtomicU64,
    phase: Mutex<String>,
}

impl RestoreProgress {
    /// A dump of that size, in bytes of its file, is about to be read.
    pub fn begin(&self, size: u64) {
        self.size.store(size, Ordering::Relaxed);
        self.file.store(0, Ordering::Relaxed);
        self.text.store(0, Ordering::Relaxed);
    }
    /// So many more bytes of the file were read.
    pub fn read(&self, bytes: u64) {
        self.file.fetch_add(bytes, Ordering::Relaxed);
    }
    /// So many bytes of text were taken, in all.
    pub fn text(&self, bytes: u64) {
        self.text.store(bytes, Ordering::Relaxed);
    }
    /// What is being done now.
    pub fn phase(&self, phase: &str) {
        tracing::info!("restore: {phase}");
        phase.clone_into(&mut self.phase.lock().unwrap_or_else(PoisonError::into_inner));
    }
    /// Bytes of the file read, its size, bytes of text taken, and what is being done.
    pub fn now(&self) -> (u64, u64, u64, String) {
        let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (load(&self.file), load(&self.size), load(&self.text), phase)
    }
}

/// A place that a dump can be restored to by this program itself.
#[async_trait]
pub trait RestoreTarget: Send + Sync {
    /// Whose dumps it takes.
    fn dialect(&self) -> Dialect;
    /// Restores beside the live database, validates, engages the guard in it, and swaps the two; the old one is kept aside under
    /// `suffix`. Interrupted anywhere, the live name holds the old or the new database, whole. `marker` names the restore. Words for people.
    async fn restore(
        &self,
        dump: Box<dyn Read + Send>,
        marker: &str,
        suffix: &str,
        progress: &RestoreProgress,
    ) -> Result<String, Fault>;
    /// The marker of the restore that made the live database, where that is remembered.
    async fn restored(&self) -> Result<Option<String>, Fault>;
    /// A throw-away copy, gone when the value is dropped.
    async fn scratch(&self, dump: Box<dyn Read + Send>, progress: &RestoreProgress)
    -> Result<Arc<dyn Database>, Fault>;
    /// Writes a dump of the live database, from one snapshot; words about that snapshot (its position in the log) where there are any.
    async fn dump(&self, out: &mut (dyn Write + Send)) -> Result<Option<String>, Fault>;
}

/// What is known of a file once it was read to its end.
#[derive(Debug, Default)]
pub struct FileDigest(Mutex<Option<Digest>>);

impl FileDigest {
    /// The whole file was read.
    pub fn set(&self, digest: Digest) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
    }
    /// The digest of the file's bytes; `None` before its end was reached.
    pub fn get(&self) -> Option<Digest> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A backup that is being read.
pub struct OpenBackup {
    /// The dump's text, decompressed.
    pub text: Box<dyn Read + Send>,
    /// Digest of the file as it lies there.
    pub digest: Arc<FileDigest>,
}

/// What is known of a backup without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFacts {
    /// Who may read and change it.
    pub access: BackupAccess,
    /// When it was last changed: of a file as its owner wants it, of an object as S3 saw it.
    pub modified: Option<Timestamp>,
}

/// Who may read and change a backup, as far as its place says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupAccess {
    /// A file's permissions.
    Mode(u32),
    /// Of an object.
    Object {
        /// Whether everybody may read it, or why that is not known.
        public: Result<bool, String>,
        /// Versions of it that are kept, or why that is not known.
        versions: Result<ObjectVersions, String>,
    },
}

/// The versions of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersions {
    /// Whether the bucket keeps a version that is written over or deleted.
    pub kept: bool,
    /// How many there are.
    pub count: usize,
    /// When the oldest was written.
    pub oldest: Option<Timestamp>,
}

/// The backups of all places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupList {
    /// Newest start first.
    pub backups: Vec<Backup>,
    /// Places that could not be looked at: the list may lack backups.
    pub unread: Vec<UnreadPlace>,
}

/// A place of backups that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadPlace {
    /// Folder or `s3://` address, as policy has it.
    pub place: String,
    /// Why.
    pub reason: String,
}

/// What this program saw of backups in peacetime, one signed record a line.
pub trait BackupRecords: Send + Sync {
    /// Adds a line with its line feed, synced before it returns.
    fn append(&self, line: &[u8]) -> Result<(), Fault>;
    /// All lines.
    fn read(&self) -> Result<Vec<u8>, Fault>;
}

/// The backups of the deployment.
#[async_trait]
pub trait BackupStore: Send + Sync {
    /// All backups that the policy's places and pattern name. An error only if no place could be looked at.
    async fn list(&self) -> Result<BackupList, Fault>;
    /// Brings a backup that lies elsewhere to this machine, if it is not here: it is read many times in a restore, and must be the same each
    /// time. What was brought is gone when the value is dropped; what was cut off is gone on with.
    async fn fetch(&self, path: &str) -> Result<(), Fault>;
    /// Opens one for streaming, decompressed.
    fn open(&self, path: &str) -> Result<OpenBackup, Fault>;
    /// Looks at permissions, times and versions.
    fn facts(&self, path: &str) -> Result<BackupFacts, Fault>;
    /// Whose dumps they are.
    fn dialect(&self) -> Dialect;
    /// Puts one back into the live database; the old one is kept aside under `suffix` where the way allows. `marker` names the restore.
    /// Words for people.
    async fn restore(&self, path: &str, marker: &str, suffix: &str) -> Result<String, Fault>;
    /// The marker of the restore that made the live database, where that is remembered.
    async fn restored(&self) -> Result<Option<String>, Fault>;
    /// How far the restore is that is running.
    fn progress(&self) -> Arc<RestoreProgress>;
    /// Runs the deployment's own validation; `None` if there is none.
    async fn validate(&self) -> Result<Option<String>, Fault>;
    /// A scratch copy made from it, to scan; dropped when the value is dropped.
    /// `Invalid` where no scratch copy can be made: its text is then scanned instead.
    async fn scratch(&self, path: &str) -> Result<Arc<dyn Database>, Fault>;
    /// Makes a backup that was started at that moment, under the name that the policy's pattern gives it, in a place of the policy (`None`:
    /// its first).
    async fn take(&self, at: Timestamp, place: Option<&str>) -> Result<(Backup, Option<String>), Fault>;
    /// Puts a manifest beside a backup.
    fn write_manifest(&self, path: &str, bytes: &[u8]) -> Result<(), Fault>;
    /// The manifest beside it, if there is one.
    fn manifest(&self, path: &str) -> Result<Option<Vec<u8>>, Fault>;
}
