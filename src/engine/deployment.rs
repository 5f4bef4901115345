use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::domain::CredentialId;
use crate::policy::Policies;
use crate::policy::credentials::StorePolicy;
use crate::ports::{
    BackupRecords, BackupStore, CaseFolders, CheckpointWitness, Clock, Database, FileSurvey, Guard, Issuer, MachineKey,
    Notifier, PauseSwitch, Random, SecretStore, Service, Vault,
};

/// The ports of one deployment, chosen by `world.rs`.
#[derive(Clone)]
pub struct Deployment {
    /// Folder that relative paths of the policies start from.
    pub root: PathBuf,
    /// The policies in force.
    pub policies: Arc<Policies>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Case folders.
    pub cases: Arc<dyn CaseFolders>,
    /// Sealed values.
    pub vault: Arc<dyn Vault>,
    /// The machine's key.
    pub machine: Arc<dyn MachineKey>,
    /// The database, if one is configured.
    pub database: Option<Arc<dyn Database>>,
    /// The guard, if policy names one and a database is configured.
    pub guard: Option<Arc<dyn Guard>>,
    /// All other switches, in the order of `pause.yml`.
    pub switches: Vec<Arc<dyn PauseSwitch>>,
    /// Who honours each credential; manual ones have none.
    pub issuers: BTreeMap<CredentialId, Arc<dyn Issuer>>,
    /// AWS Secrets Manager (or what stands for it).
    pub secrets_manager: Arc<dyn SecretStore>,
    /// `.env` files.
    pub dotenv: Arc<dyn SecretStore>,
    /// Other files that hold values.
    pub value_files: Arc<dyn SecretStore>,
    /// Files, as evidence.
    pub files: Arc<dyn FileSurvey>,
    /// Services.
    pub services: Vec<Arc<dyn Service>>,
    /// Who is told, in the order of `contacts.yml`.
    pub notifiers: Vec<Arc<dyn Notifier>>,
    /// Who holds copies of checkpoints, in the order of `resume.yml`.
    pub witnesses: Vec<Arc<dyn CheckpointWitness>>,
    /// Backups.
    pub backups: Option<Arc<dyn BackupStore>>,
    /// What was seen of backups in peacetime.
    pub backup_records: Arc<dyn BackupRecords>,
    /// What the engine leaves out on purpose: nothing, but in a rehearsal of its own safeguards.
    pub left_out: LeftOut,
    /// The PostgreSQL role as which this program works: its own password is rotated last.
    pub own_role: Option<String>,
}

/// Safeguards that are left out so that a test can require their absence to be noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Steps whose id starts so act without looking first.
    pub look: Option<String>,
    /// Intents are written after the effect.
    pub intent: bool,
}

impl Deployment {
    /// The store that a slot lies in.
    pub fn store(&self, slot: &StorePolicy) -> &Arc<dyn SecretStore> {
        match slot {
            StorePolicy::SecretsManager { .. } => &self.secrets_manager,
            StorePolicy::Dotenv { .. } => &self.dotenv,
            StorePolicy::File { .. } => &self.value_files,
        }
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&Arc<dyn Service>> {
        self.services.iter().find(|service| service.name() == name)
    }

    /// The switch of that name.
    pub fn switch(&self, name: &str) -> Option<&Arc<dyn PauseSwitch>> {
        self.switches.iter().find(|switch| switch.name() == name)
    }
}
