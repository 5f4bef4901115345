//! Ports over files: the case folder, sealed values, backups.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use super::Injector;
use crate::domain::{Backup, IncidentId, Timestamp};
use crate::ports::{
    BackupFacts, BackupList, BackupStore, CaseFolders, CaseStore, Database, Fault, OpenBackup, RestoreProgress, Vault,
};

struct FaultyCases {
    injector: Arc<Injector>,
    inner: Arc<dyn CaseFolders>,
}

struct FaultyCase {
    injector: Arc<Injector>,
    inner: Arc<dyn CaseStore>,
}

struct FaultyVault {
    injector: Arc<Injector>,
    inner: Arc<dyn Vault>,
}

struct FaultyBackups {
    injector: Arc<Injector>,
    inner: Arc<dyn BackupStore>,
}

pub(super) fn cases(injector: &Arc<Injector>, inner: Arc<dyn CaseFolders>) -> Arc<dyn CaseFolders> {
    Arc::new(FaultyCases { injector: Arc::clone(injector), inner })
}

pub(super) fn vault(injector: &Arc<Injector>, inner: Arc<dyn Vault>) -> Arc<dyn Vault> {
    Arc::new(FaultyVault { injector: Arc::clone(injector), inner })
}

pub(super) fn backups(injector: &Arc<Injector>, inner: Arc<dyn BackupStore>) -> Arc<dyn BackupStore> {
    Arc::new(FaultyBackups { injector: Arc::clone(injector), inner })
}

impl CaseFolders for FaultyCases {
    fn list(&self) -> Result<Vec<IncidentId>, Fault> {
        self.injector.reach("case")?;
        self.inner.list()
    }

    fn open(&self, incident: &IncidentId, create: bool) -> Result<Arc<dyn CaseStore>, Fault> {
        self.injector.reach("case")?;
        let inner = self.inner.open(incident, create)?;
        Ok(Arc::new(FaultyCase { injector: Arc::clone(&self.injector), inner }))
    }

    fn peek(&self, incident: &IncidentId) -> Result<Arc<dyn CaseStore>, Fault> {
        self.injector.reach("case")?;
        self.inner.peek(incident)
    }
}

impl CaseStore for FaultyCase {
    fn location(&self) -> &Path {
        self.inner.location()
    }

    fn read_ledger(&self) -> Result<Vec<u8>, Fault> {
        self.injector.reach("ledger")?;
        self.inner.read_ledger()
    }

    fn open_ledger(&self) -> Result<Box<dyn std::io::Read + '_>, Fault> {
        self.injector.reach("ledger")?;
        self.inner.open_ledger()
    }

    fn append_ledger(&self, line: &[u8]) -> Result<(), Fault> {
        // Records that share a sync are cut off one by one here: how many meet is chance, and a count must not be.
        for line in line.split_inclusive(|byte| *byte == b'\n') {
            self.injector.effect_now("ledger", "append_ledger", || self.inner.append_ledger(line))?;
        }
        Ok(())
    }

    fn truncate_ledger(&self, bytes: u64) -> Result<(), Fault> {
        self.injector.effect_now("ledger", "truncate_ledger", || self.inner.truncate_ledger(bytes))
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.injector.reach("case")?;
        self.inner.read(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Fault> {
        self.injector.effect_now("case", "write", || self.inner.write(path, bytes))
    }

    fn write_all(&self, files: &[(String, &[u8])]) -> Result<(), Fault> {
        self.injector.effect_now("case", "write_all", || self.inner.write_all(files))
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Fault> {
        self.injector.reach("case")?;
        self.inner.list(path)
    }

    fn walk(&self) -> Result<Vec<String>, Fault> {
        self.injector.reach("case")?;
        self.inner.walk()
    }
}

impl Vault for FaultyVault {
    fn seal(&self, name: &str, value: &SecretString) -> Result<(), Fault> {
        self.injector.effect_now("vault", "seal", || self.inner.seal(name, value))
    }

    fn open(&self, name: &str) -> Result<Option<SecretString>, Fault> {
        self.injector.reach("vault")?;
        self.inner.open(name)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        self.injector.reach("vault")?;
        self.inner.list(prefix)
    }
}

#[async_trait]
impl BackupStore for FaultyBackups {
    async fn list(&self) -> Result<BackupList, Fault> {
        self.injector.reach("backup")?;
        self.inner.list().await
    }

    async fn fetch(&self, path: &str) -> Result<(), Fault> {
        self.injector.reach("backup")?;
        self.inner.fetch(path).await
    }

    fn open(&self, path: &str) -> Result<OpenBackup, Fault> {
        self.injector.reach("backup")?;
        self.inner.open(path)
    }

    fn facts(&self, path: &str) -> Result<BackupFacts, Fault> {
        self.inner.facts(path)
    }

    async fn restored(&self) -> Result<Option<String>, Fault> {
        self.inner.restored().await
    }

    fn progress(&self) -> Arc<RestoreProgress> {
        self.inner.progress()
    }

    async fn take(&self, at: Timestamp, place: Option<&str>) -> Result<(Backup, Option<String>), Fault> {
        self.injector.effect("backup", "take", self.inner.take(at, place)).await
    }

    fn write_manifest(&self, path: &str, bytes: &[u8]) -> Result<(), Fault> {
        self.inner.write_manifest(path, bytes)
    }

    fn manifest(&self, path: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.inner.manifest(path)
    }

    fn dialect(&self) -> crate::detect::backup::Dialect {
        self.inner.dialect()
    }

    async fn validate(&self) -> Result<Option<String>, Fault> {
        self.inner.validate().await
    }

    async fn restore(&self, path: &str, marker: &str, suffix: &str) -> Result<String, Fault> {
        self.injector.effect("backup", "restore", self.inner.restore(path, marker, suffix)).await
    }

    async fn scratch(&self, path: &str) -> Result<Arc<dyn Database>, Fault> {
        self.injector.reach("backup")?;
        self.inner.scratch(path).await
    }
}
