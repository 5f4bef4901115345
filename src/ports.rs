//! What the engine needs of the world, as traits. Adapters implement them; `world.rs` chooses which.

mod backups;
mod database;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::domain::{Canary, Notice, Probe, SwitchState, Timestamp};
pub use backups::{
    BackupAccess, BackupFacts, BackupList, BackupRecords, BackupStore, FileDigest, ObjectVersions, OpenBackup,
    RestoreProgress, RestoreTarget, UnreadPlace,
};
pub use database::{Database, Join, RowSink, Snapshot, TableRead, TimeRange, Told};

pub use crate::domain::{Column, DatabaseObject, ObjectList, RawRow, Relations, Row, Table, TableName};
use crate::policy::credentials::{CredentialPolicy, StorePolicy};

/// Kinds of failure that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The thing does not exist.
    NotFound,
    /// Credentials or permissions are insufficient.
    Denied,
    /// Somebody else holds or changed it.
    Conflict,
    /// Told to slow down.
    Throttled,
    /// Could not be reached, or did not answer before anything was sent.
    Unavailable,
    /// May or may not have happened.
    OutcomeUnknown,
    /// What was read is damaged.
    Corrupt,
    /// The request can't be made as configured.
    Invalid,
}

/// A failure at a port: lower-case words fitting "failed to ...", never a secret.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Kind.
    pub kind: FaultKind,
    /// What failed and why.
    pub message: String,
    /// The cause, if it is safe to print.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Fault {
    /// A failure without a deeper cause.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// A failure with its cause.
    pub fn with(
        kind: FaultKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(source.into()) }
    }

    /// The message and its causes, joined by `: `.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// Time.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;
    /// A monotonic reading, for durations.
    fn elapsed(&self) -> Duration;
}

/// Randomness fit for keys.
pub trait Random: Send + Sync {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault>;
}

/// One case folder, open for writing under its lock. Paths are relative, `/`-separated, and confined to the folder.
pub trait CaseStore: Send + Sync {
    /// The folder, for people.
    fn location(&self) -> &Path;
    /// All bytes of `ledger.jsonl`.
    fn read_ledger(&self) -> Result<Vec<u8>, Fault>;
    /// `ledger.jsonl` from its start, for readers that don't hold all of it.
    fn open_ledger(&self) -> Result<Box<dyn std::io::Read + '_>, Fault> {
        Ok(Box::new(std::io::Cursor::new(self.read_ledger()?)))
    }
    /// Appends one line with its line feed and syncs it to disk. After a failure, every later call fails too.
    fn append_ledger(&self, line: &[u8]) -> Result<(), Fault>;
    /// Cuts the ledger to that many bytes (a torn tail, after its bytes were put aside), and syncs.
    fn truncate_ledger(&self, bytes: u64) -> Result<(), Fault>;
    /// Reads a file; `None` if it does not exist. Symbolic links are refused.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Fault>;
    /// Writes a file as a whole: temporary file, sync, rename, directory sync. Mode 0600.
    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Fault>;
    /// Writes several files, each as a whole, and syncs them together, which takes no longer than a few do. After a failure some may be there.
    fn write_all(&self, files: &[(String, &[u8])]) -> Result<(), Fault> {
        files.iter().try_for_each(|(path, bytes)| self.write(path, bytes))
    }
    /// Names of the files directly below a folder of the case, sorted.
    fn list(&self, path: &str) -> Result<Vec<String>, Fault>;
    /// Paths of everything in the case folder that is not a folder, sorted, symbolic links and devices included.
    fn walk(&self) -> Result<Vec<String>, Fault>;
}

/// The case folders of a deployment: `$PORTCULLIS_HOME/incidents/`.
pub trait CaseFolders: Send + Sync {
    /// All incidents, oldest first.
    fn list(&self) -> Result<Vec<crate::domain::IncidentId>, Fault>;
    /// Opens one for writing; `Conflict` if another process holds its lock. `create` makes it.
    fn open(&self, incident: &crate::domain::IncidentId, create: bool) -> Result<std::sync::Arc<dyn CaseStore>, Fault>;
    /// Opens one for reading only, without the lock.
    fn peek(&self, incident: &crate::domain::IncidentId) -> Result<std::sync::Arc<dyn CaseStore>, Fault>;
}

/// Secret values sealed under the machine's key, outside the case folder: old and new values of staged rotations.
pub trait Vault: Send + Sync {
    /// Seals a value under a name (`<incident>/<credential>/<generation>/<old|new>`), synced before it returns.
    fn seal(&self, name: &str, value: &SecretString) -> Result<(), Fault>;
    /// Opens it; `None` if there is none.
    fn open(&self, name: &str) -> Result<Option<SecretString>, Fault>;
    /// Names below a prefix, sorted.
    fn list(&self, prefix: &str) -> Result<Vec<String>, Fault>;
}

/// The machine's Ed25519 key.
pub trait MachineKey: Send + Sync {
    /// Raw public key (32 bytes, RFC 8032).
    fn public(&self) -> [u8; 32];
    /// Signs (Ed25519, RFC 8032).
    fn sign(&self, message: &[u8]) -> [u8; 64];
    /// Key for fingerprints of secret values, derived from the machine's key.
    fn fingerprints(&self) -> crate::domain::FingerprintKey;
}

/// Where a credential's value is kept.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// For people, without secrets: `secretsmanager prod/db#password`, `.env JWT_SECRET`.
    fn describe(&self, slot: &StorePolicy) -> String;
    /// The current value; `None` if there is none.
    async fn read(&self, slot: &StorePolicy) -> Result<Option<SecretString>, Fault>;
    /// Makes `value` the current value. `token` names this write: repeating it after it was applied changes nothing.
    async fn write(&self, slot: &StorePolicy, value: &SecretString, token: &str) -> Result<(), Fault>;
    /// Whether versions other than the current one can still be had (Secrets Manager's labels).
    async fn has_previous(&self, slot: &StorePolicy) -> Result<bool, Fault>;
    /// Takes the labels from every version but the current one.
    async fn retire_previous(&self, slot: &StorePolicy) -> Result<(), Fault>;
    /// The versions that the store knows, as evidence: labels and times, never a value. None by default.
    async fn versions(&self, _slot: &StorePolicy) -> Result<Vec<serde_json::Value>, Fault> {
        Ok(Vec::new())
    }
}

/// Who honours a credential.
#[async_trait]
pub trait Issuer: Send + Sync {
    /// Asks the server that honours it.
    async fn probe(&self, credential: &CredentialPolicy, value: &SecretString) -> Result<Probe, Fault>;
    /// Looks at what a rotation will need there; words for people, an error where something would stand in its way. Most
    /// issuers have nothing to say.
    async fn ready(&self, _credential: &CredentialPolicy) -> Result<Option<String>, Fault> {
        Ok(None)
    }
    /// A value in use that no store holds but the issuer can give, so that its death can be shown; most have none.
    async fn current(&self, _credential: &CredentialPolicy) -> Result<Option<SecretString>, Fault> {
        Ok(None)
    }
    /// Makes a new value where only the issuer can ([`makes_values`]). Whatever else it honours for this credential, `old`
    /// aside, was left by a lost reply or by an intruder, and is removed first.
    ///
    /// [`makes_values`]: crate::policy::credentials::IssuerPolicy::makes_values
    async fn create(&self, credential: &CredentialPolicy, _old: Option<&SecretString>) -> Result<SecretString, Fault> {
        Err(Fault::new(FaultKind::Invalid, format!("the issuer of `{}` makes no values", credential.id)))
    }
    /// Cancels what was started with the value and would outlive it: open orders at an exchange. Says what was done.
    async fn cancel(&self, credential: &CredentialPolicy, _value: &SecretString) -> Result<String, Fault> {
        Err(Fault::new(FaultKind::Invalid, format!("the issuer of `{}` can cancel nothing", credential.id)))
    }
    /// Makes the server honour `new`; repeating it changes nothing. `old` is the value that it replaces, if known.
    async fn issue(
        &self,
        credential: &CredentialPolicy,
        new: &SecretString,
        old: Option<&SecretString>,
    ) -> Result<(), Fault>;
    /// Makes the server refuse `old` and ends its sessions; says what it did. `new` must stay honoured.
    async fn revoke(
        &self,
        credential: &CredentialPolicy,
        old: Option<&SecretString>,
        new: Option<&SecretString>,
    ) -> Result<String, Fault>;
    /// What the issuer can tell of the credential's use before it is changed, for instance when it was last used; never a
    /// value. Nothing by default.
    async fn evidence(&self, _credential: &CredentialPolicy) -> Result<Option<serde_json::Value>, Fault> {
        Ok(None)
    }
}

/// A file, as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileNote {
    /// Path, as it was asked for.
    pub path: String,
    /// Bytes that were read.
    pub bytes: u64,
    /// Their digest.
    pub sha256: crate::domain::Digest,
    /// Permissions.
    pub mode: u32,
    /// When it was last changed.
    pub modified: Option<Timestamp>,
}

/// Looking at files of the deployment.
pub trait FileSurvey: Send + Sync {
    /// Reads a file to its end, but not longer than `within`. Blocks.
    fn note(&self, path: &str, within: Duration) -> Result<FileNote, Fault>;
}

/// One way to stop trade.
#[async_trait]
pub trait PauseSwitch: Send + Sync {
    /// Its name in `pause.yml`; `guard` is the database guard.
    fn name(&self) -> &str;
    /// For people.
    fn describe(&self) -> String;
    /// Environment variables that it needs and that are not set. None by default.
    fn missing(&self) -> Vec<String> {
        Vec::new()
    }
    /// What it is now.
    async fn observe(&self) -> Result<SwitchState, Fault>;
    /// Stops trade; repeating it changes nothing. Says what was done.
    async fn engage(&self) -> Result<String, Fault>;
    /// Lets trade in again.
    async fn release(&self) -> Result<String, Fault>;
}

/// A program of the deployment that uses credentials.
#[async_trait]
pub trait Service: Send + Sync {
    /// Its name in `credentials.yml`.
    fn name(&self) -> &str;
    /// Restarts or signals it, and waits until it is healthy where a health address is given.
    async fn restart(&self) -> Result<String, Fault>;
    /// Stops it.
    async fn stop(&self) -> Result<String, Fault>;
    /// Whether it answers; words for people.
    async fn health(&self) -> Result<String, Fault>;
}

/// A channel by which a contact is told.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Name in `contacts.yml`.
    fn contact(&self) -> &str;
    /// `webhook`, `slack`, `pagerduty`, `smtp`.
    fn channel(&self) -> &'static str;
    /// Where notices go, without a secret.
    fn describe(&self) -> String;
    /// Environment variables that it needs and that are not set.
    fn missing(&self) -> Vec<String>;
    /// Tells; a bounded try. Says what the channel answered, never a secret.
    async fn send(&self, notice: &Notice) -> Result<String, Fault>;
}

/// The guard in front of the trade table.
#[async_trait]
pub trait Guard: Send + Sync {
    /// Puts it into the database, released, or repairs it; the state of the pause is kept. Says what was done.
    async fn install(&self) -> Result<String, Fault>;
    /// What is there and who could get past it.
    async fn inspect(&self) -> Result<GuardReport, Fault>;
    /// Flag, rights taken away, drain of older transactions; acknowledged only after the drain. Installs the guard first if it is
    /// missing. Repeating it converges.
    async fn engage(&self) -> Result<String, Fault>;
    /// Gives back what was taken away and lifts the flag, in one transaction.
    async fn release(&self) -> Result<String, Fault>;
    /// Puts rows into the trade table while the pause stands: flag lifted, rows, flag set, in one transaction that nobody else sees
    /// open. Rows whose key is there already are left alone. Returns how many went in.
    async fn insert_through(&self, columns: &[String], rows: &[Row]) -> Result<u64, Fault>;
    /// Tries a trade as the application and rolls it back.
    async fn canary(&self) -> Result<Canary, Fault>;
}

/// What [`Guard::inspect`] saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardReport {
    /// Whether the guard is in place, whole and enabled.
    pub installed: bool,
    /// The flag.
    pub paused: bool,
    /// Rights and log-ins that the pause took away and `release` gives back.
    pub withheld: u64,
    /// What a pause would do, in the order of its steps.
    pub way: Vec<String>,
    /// Who could get past it.
    pub bypass: Vec<Bypass>,
    /// Words for people.
    pub detail: String,
}

/// Somebody who could get past the guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bypass {
    /// Role, program or object.
    pub who: String,
    /// Whether the pause does not bind the application itself, or can't be made as it should: worth mending in peacetime.
    pub grave: bool,
    /// One sentence.
    pub how: String,
    /// What would mend it: a statement, if one would.
    pub mend: Option<String>,
}

/// Head of a ledger, as it is given to a [`CheckpointWitness`].
pub struct Head<'a> {
    /// The incident.
    pub incident: &'a crate::domain::IncidentId,
    /// Entries that it covers.
    pub size: u64,
    /// The signed checkpoint (C2SP signed note).
    pub note: &'a [u8],
    /// Hashes that prove an older size to be a prefix (RFC 6962, section 2.1.2); none if there is no such size.
    pub consistency: &'a (dyn Fn(u64) -> Option<Vec<crate::domain::Digest>> + Sync),
}

/// A place outside the case folder that holds copies of checkpoints.
#[async_trait]
pub trait CheckpointWitness: Send + Sync {
    /// Its name in `resume.yml`.
    fn name(&self) -> &str;
    /// Gives it the head to keep, then all copies that it holds of this ledger's checkpoints; a signed one, the newest, last.
    async fn witness(&self, head: &Head<'_>) -> Result<Vec<Vec<u8>>, Fault>;
}
