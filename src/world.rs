//! Composition root: the only room that names concrete adapters.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::adapters::aws::{Aws, StandIns};
use crate::adapters::backup_files::BackupFiles;
use crate::adapters::backup_records::BackupRecordFile;
use crate::adapters::case_files::CaseFiles;
use crate::adapters::command::CommandSwitch;
use crate::adapters::database_url::DatabaseUrl;
use crate::adapters::dotenv::{DotenvStore, dotenv_value};
use crate::adapters::file_survey::LocalFiles;
use crate::adapters::file_switch::FileSwitch;
use crate::adapters::http::Variables;
use crate::adapters::issuers::{
    ApiKeyTable, AwsIamUser, AwsRoleSessions, HttpApi, KeyDatabase, PostgresRole, SelfMade,
};
use crate::adapters::login::{Login, Others};
use crate::adapters::machine_key::MachineKeyFile;
use crate::adapters::notify::notifier;
use crate::adapters::postgres::{PostgresDatabase, PostgresGuard, PostgresRestore};
use crate::adapters::s3::{Retain, S3Witness};
use crate::adapters::secrets_manager::SecretsManager;
use crate::adapters::service::CommandService;
use crate::adapters::sqlite::{SqliteDatabase, SqliteGuard, SqliteRestore};
use crate::adapters::switches::{ComposeSwitch, HttpSwitch, RedisSwitch, SystemdSwitch};
use crate::adapters::system::{OsRandom, SystemClock};
use crate::adapters::value_files::ValueFiles;
use crate::adapters::vault::SealedFiles;
use crate::adapters::witnesses::{C2spWitness, DirectoryWitness};
use crate::domain::url_password::password_of;
use crate::domain::{CredentialId, key_pair};
use crate::embedded::{
    BackEnd, EmbeddedIssuer, EmbeddedSecretsManager, FAULTS_VARIABLE, FaultPlan, FileNotifier, inject,
};
use crate::engine::{Deployment, LeftOut};
use crate::policy::Policies;
use crate::policy::credentials::{IssuerPolicy, StorePolicy, ValuePart};
use crate::policy::pause::SwitchPolicy;
use crate::policy::resume::WitnessPolicy;
use crate::ports::{
    BackupStore, CheckpointWitness, Database, Fault, FaultKind, Guard, Issuer, MachineKey, Notifier, PauseSwitch,
    RestoreTarget, Service, Vault,
};
use crate::settings::Settings;

/// The machine's key in that home, made if it is missing.
pub fn machine_key(home: &Path) -> Result<Arc<dyn MachineKey>, Fault> {
    Ok(Arc::new(MachineKeyFile::open_or_create(home)?))
}

/// A database, and the schema that its address names.
pub type AddressedDatabase = (Arc<dyn Database>, Option<String>);

/// The deployment's database before there are policies, and the schema that its address names.
pub fn database(root: &Path, settings: &Settings) -> Result<Option<AddressedDatabase>, Fault> {
    let url = match settings.containment_url.clone().or_else(|| settings.database_url.clone()) {
        Some(url) => Some(url),
        None => dotenv_value(root, "DATABASE_URL")?,
    };
    Ok(match url.map(|url| DatabaseUrl::parse(&url, root)).transpose()? {
        Some(DatabaseUrl::Postgres { options, schema }) => {
            let login = Login::new(*options, Box::new(Vec::new));
            Some((Arc::new(PostgresDatabase::new(login)), schema))
        }
        Some(DatabaseUrl::Sqlite(path)) => Some((Arc::new(SqliteDatabase::new(path)), None)),
        None => None,
    })
}

/// The folder of state, wherever it was named from.
fn home(root: &Path, settings: &Settings) -> std::path::PathBuf {
    root.join(&settings.home)
}

/// What the addresses of the environment come to.
struct Databases {
    app: Option<DatabaseUrl>,
    containment: Option<DatabaseUrl>,
    /// How this program logs in, where that is PostgreSQL.
    login: Option<Login>,
    /// The password that the environment gives this program for it.
    containment_password: Option<SecretString>,
}

impl Databases {
    /// Without `DATABASE_URL` in the environment, the deployment's own `.env` says it: after a rotation it holds the new one.
    fn parse(root: &Path, settings: &Settings, policies: &Policies, vault: &Arc<dyn Vault>) -> Result<Self, Fault> {
        let app = match &settings.database_url {
            Some(url) => Some(url.clone()),
            // Whatever does not need it is contained all the same; the steps that do say what is wrong.
            None => dotenv_value(root, "DATABASE_URL").unwrap_or_else(|fault| {
                tracing::warn!("{}", fault.chain());
                None
            }),
        };
        let containment = settings.containment_url.clone().or_else(|| app.clone());
        let containment_password = containment.as_ref().and_then(password_of);
        let parse = |url: Option<SecretString>| url.map(|url| DatabaseUrl::parse(&url, root)).transpose();
        let (app, containment) = (parse(app)?, parse(containment)?);
        let login = match &containment {
            Some(DatabaseUrl::Postgres { options, .. }) => {
                let others = other_passwords(root, options.get_username(), policies, vault);
                Some(Login::new(options.as_ref().clone(), others))
            }
            _ => None,
        };
        Ok(Self { app, containment, login, containment_password })
    }

    fn database(&self) -> Option<Arc<dyn Database>> {
        match (self.containment.as_ref()?, &self.login) {
            (DatabaseUrl::Postgres { .. }, Some(login)) => Some(Arc::new(PostgresDatabase::new(login.clone()))),
            (DatabaseUrl::Sqlite(path), _) => Some(Arc::new(SqliteDatabase::new(path))),
            _ => None,
        }
    }

    fn guard(&self, policies: &Policies) -> Option<Arc<dyn Guard>> {
        let policy = policies.pause.guard.clone()?;
        let containment = self.containment.as_ref()?;
        match (self.app.as_ref().unwrap_or(containment), containment) {
            (DatabaseUrl::Postgres { options: app, schema }, DatabaseUrl::Postgres { .. }) => {
                let (app, login) = (app.as_ref().clone(), self.login.clone()?);
                Some(Arc::new(PostgresGuard::new(app, login, policy, schema.clone())))
            }
            (_, DatabaseUrl::Sqlite(path)) => Some(Arc::new(SqliteGuard::new(path, policy))),
            _ => None,
        }
    }

    /// The database as issuers use it.
    fn tables(&self) -> Option<KeyDatabase> {
        match (self.containment.as_ref()?, &self.login) {
            (DatabaseUrl::Postgres { .. }, Some(login)) => Some(KeyDatabase::Postgres(login.clone())),
            (DatabaseUrl::Sqlite(path), _) => Some(KeyDatabase::Sqlite(path.clone())),
            _ => None,
        }
    }

    fn backups(
        &self,
        (root, home): (&Path, &Path),
        policies: &Policies,
        vault: &Arc<dyn Vault>,
        aws: &Arc<Aws>,
    ) -> Option<Arc<dyn BackupStore>> {
        let containment = self.containment.as_ref()?;
        let (guard, policy) = (policies.pause.guard.clone(), policies.recovery.clone());
        let target: Arc<dyn RestoreTarget> = match (self.app.as_ref().unwrap_or(containment), containment) {
            (_, DatabaseUrl::Sqlite(path)) => Arc::new(SqliteRestore::new(path, guard)),
            (DatabaseUrl::Postgres { options: app, schema }, DatabaseUrl::Postgres { options, .. }) => {
                let others = other_passwords(root, options.get_username(), policies, vault);
                let first = self.containment_password.clone();
                let passwords = Box::new(move || first.iter().cloned().chain(others()).collect());
                let (app, login) = (app.as_ref().clone(), self.login.clone()?);
                Arc::new(PostgresRestore::new(login, app, (guard, schema.clone()), policy.clone(), passwords))
            }
            _ => return None,
        };
        Some(Arc::new(BackupFiles::new((root, home), policy, target, Arc::clone(aws))))
    }

    /// Who honours each credential; those that a person or an unreachable database honours have none.
    fn issuers(&self, root: &Path, policies: &Policies, aws: &Arc<Aws>) -> BTreeMap<CredentialId, Arc<dyn Issuer>> {
        let issuer = |policy: &IssuerPolicy| -> Option<Arc<dyn Issuer>> {
            match (policy, self.containment.as_ref()) {
                (IssuerPolicy::SelfMade { .. }, _) => Some(Arc::new(SelfMade::new(self.tables()))),
                (IssuerPolicy::AwsIamUser(user), _) => Some(Arc::new(AwsIamUser::new(Arc::clone(aws), user.clone()))),
                (IssuerPolicy::AwsRoleSessions(role), _) => {
                    Some(Arc::new(AwsRoleSessions::new(Arc::clone(aws), role.clone())))
                }
                (IssuerPolicy::HttpApi(api), _) => Some(Arc::new(HttpApi::new(api.as_ref().clone(), variables(root)))),
                (IssuerPolicy::PostgresRole { .. }, Some(DatabaseUrl::Postgres { options, .. })) => {
                    let app = match &self.app {
                        Some(DatabaseUrl::Postgres { options, .. }) => options.as_ref().clone(),
                        _ => options.as_ref().clone(),
                    };
                    Some(Arc::new(PostgresRole::new(self.login.clone()?, app)))
                }
                (IssuerPolicy::ApiKeyTable { .. }, Some(_)) => Some(Arc::new(ApiKeyTable::new(self.tables()?))),
                _ => None,
            }
        };
        let credentials = policies.credentials.credentials.iter();
        credentials.filter_map(|credential| Some((credential.id.clone(), issuer(&credential.issuer)?))).collect()
    }
}

/// Passwords that may work where the configured one is refused: those sealed for a rotation of our own role, newest first,
/// then the one of the deployment's `.env`.
fn other_passwords(root: &Path, user: &str, policies: &Policies, vault: &Arc<dyn Vault>) -> Box<Others> {
    let credentials = policies.credentials.credentials.iter();
    let own = |issuer: &IssuerPolicy| matches!(issuer, IssuerPolicy::PostgresRole { role, .. } if role == user);
    let ids: Vec<String> =
        credentials.filter(|credential| own(&credential.issuer)).map(|credential| credential.id.to_string()).collect();
    let (root, user, vault) = (root.to_owned(), user.to_owned(), Arc::clone(vault));
    Box::new(move || {
        let sealed = |name: &String| {
            let mut parts = name.split('/');
            parts.nth(1).is_some_and(|id| ids.iter().any(|own| own == id)) && name.ends_with("/new")
        };
        let names = vault.list("").unwrap_or_default();
        let mut passwords: Vec<SecretString> =
            names.iter().rev().filter(|name| sealed(name)).filter_map(|name| vault.open(name).ok().flatten()).collect();
        let url = dotenv_value(&root, "DATABASE_URL").ok().flatten();
        if let Some(url) = url.filter(|url| DatabaseUrl::parse(url, &root).is_ok_and(|url| url.user() == Some(&user))) {
            passwords.extend(password_of(&url));
        }
        passwords
    })
}

fn switches(root: &Path, policies: &Policies) -> Vec<Arc<dyn PauseSwitch>> {
    let make = |policy: &SwitchPolicy| -> Arc<dyn PauseSwitch> {
        match policy {
            SwitchPolicy::File { name, path } => Arc::new(FileSwitch::new(name, root.join(path))),
            SwitchPolicy::Http(policy) => Arc::new(HttpSwitch::new(policy.as_ref().clone(), variables(root))),
            SwitchPolicy::Redis(policy) => Arc::new(RedisSwitch::new(policy.clone(), variables(root))),
            SwitchPolicy::Compose(policy) => Arc::new(ComposeSwitch::new(root, policy.clone())),
            SwitchPolicy::Systemd { name, unit, user, timeout_s } => Arc::new(SystemdSwitch {
                root: root.to_owned(),
                name: name.clone(),
                unit: unit.clone(),
                user: *user,
                bound: Duration::from_secs(*timeout_s),
            }),
            SwitchPolicy::Command { name, engage, release, status, timeout_s } => Arc::new(CommandSwitch {
                root: root.to_owned(),
                name: name.clone(),
                engage: engage.clone(),
                release: release.clone(),
                status: status.clone(),
                bound: Duration::from_secs(*timeout_s),
            }),
        }
    };
    policies.pause.switches.iter().map(make).collect()
}

fn witnesses(root: &Path, policies: &Policies, aws: &Arc<Aws>) -> Vec<Arc<dyn CheckpointWitness>> {
    let make = |policy: &WitnessPolicy| -> Arc<dyn CheckpointWitness> {
        match policy {
            WitnessPolicy::Directory { name, path } => Arc::new(DirectoryWitness::new(name, root.join(path))),
            WitnessPolicy::S3 { name, bucket, prefix, retain_days, retain_mode } => {
                let retain = retain_days.map(|days| Retain { days, mode: *retain_mode });
                Arc::new(S3Witness::new(name, bucket, prefix, retain, Arc::clone(aws)))
            }
            WitnessPolicy::C2sp { name, url, .. } => Arc::new(C2spWitness::new(name, url)),
        }
    };
    policies.resume.witnesses.iter().map(make).collect()
}

fn services(root: &Path, policies: &Policies) -> Vec<Arc<dyn Service>> {
    let services = policies.credentials.services.iter();
    services.map(|policy| -> Arc<dyn Service> { Arc::new(CommandService::new(root, policy.clone())) }).collect()
}

/// Secrets that policies name by their environment variables: in the environment or, as the application's are, in `.env`.
fn variables(root: &Path) -> Variables {
    let root = root.to_owned();
    Arc::new(move |name: &str| match std::env::var(name) {
        Ok(value) if !value.is_empty() => Some(SecretString::from(value)),
        _ => dotenv_value(&root, name).ok().flatten(),
    })
}

/// The channels of all contacts.
fn notifiers(root: &Path, policies: &Policies) -> Vec<Arc<dyn Notifier>> {
    let variable = variables(root);
    policies.contacts.contacts.iter().map(|contact| notifier(contact, variable.as_ref())).collect()
}

/// Keys by which AWS is asked where the environment has none that works: those of `.env`, then those that a run sealed while it
/// replaced this program's own, the newest first.
fn aws_stand_ins(root: &Path, policies: &Policies, vault: Arc<dyn Vault>) -> StandIns {
    let own: Vec<_> = policies.credentials.credentials.iter().filter(|one| one.issuer.is_own_key()).cloned().collect();
    let root = root.to_owned();
    Box::new(move || {
        let read = |key: &str| dotenv_value(&root, key).ok().flatten();
        let pair = |id: Option<SecretString>, secret: Option<SecretString>| {
            Some(key_pair::join(id?.expose_secret(), &secret?))
        };
        let mut found: Vec<SecretString> = Vec::new();
        for credential in &own {
            let part = |part: ValuePart| {
                credential.kept.iter().find_map(|slot| match slot {
                    StorePolicy::Dotenv { key, part: this, .. } if *this == part => read(key),
                    _ => None,
                })
            };
            found.extend(pair(part(ValuePart::KeyId), part(ValuePart::KeySecret)));
        }
        found.extend(pair(read("AWS_ACCESS_KEY_ID"), read("AWS_SECRET_ACCESS_KEY")));
        let names = vault.list("").unwrap_or_default();
        let sealed = |name: &&String| {
            let parts: Vec<&str> = name.split('/').collect();
            matches!(parts.as_slice(), [_, id, _, "new"] if own.iter().any(|one| one.id.as_str() == *id))
        };
        found.extend(names.iter().rev().filter(sealed).filter_map(|name| vault.open(name).ok().flatten()));
        found
    })
}

/// The deployment that policies and environment describe. Nothing is connected to yet.
pub fn live(root: &Path, settings: &Settings, policies: Arc<Policies>) -> Result<Deployment, Fault> {
    let home = home(root, settings);
    let machine = MachineKeyFile::open_or_create(&home)?;
    let vault: Arc<dyn Vault> = Arc::new(SealedFiles::new(&home, &machine.sealing_key())?);
    let databases = Databases::parse(root, settings, &policies, &vault)?;
    let aws = Aws::new(aws_stand_ins(root, &policies, Arc::clone(&vault)));
    let backups = databases.backups((root, &home), &policies, &vault, &aws);
    Ok(Deployment {
        root: root.to_owned(),
        clock: Arc::new(SystemClock::default()),
        random: Arc::new(OsRandom::default()),
        cases: Arc::new(CaseFiles::new(&home)),
        vault,
        machine: Arc::new(machine),
        database: databases.database(),
        guard: databases.guard(&policies),
        switches: switches(root, &policies),
        issuers: databases.issuers(root, &policies, &aws),
        secrets_manager: Arc::new(SecretsManager::new(Arc::clone(&aws))),
        dotenv: Arc::new(DotenvStore::new(root)),
        value_files: Arc::new(ValueFiles::new(root)),
        files: Arc::new(LocalFiles::new(root)),
        services: services(root, &policies),
        notifiers: notifiers(root, &policies),
        witnesses: witnesses(root, &policies, &aws),
        backups,
        backup_records: Arc::new(BackupRecordFile::new(&home)),
        left_out: LeftOut::default(),
        own_role: databases.containment.as_ref().and_then(|url| url.user().map(String::from)),
        policies,
    })
}

/// The embedded deployment in `root`: real adapters over its folder, stand-ins for its back end and for what lies beyond the
/// network, and the faults that its environment asks for.
pub fn embedded(root: &Path, settings: &Settings, policies: Arc<Policies>) -> Result<Deployment, Fault> {
    let plan = match std::env::var(FAULTS_VARIABLE) {
        Ok(text) => Some(FaultPlan::parse(&text)?),
        Err(std::env::VarError::NotPresent) => None,
        Err(error) => {
            return Err(Fault::with(FaultKind::Invalid, format!("failed to read {FAULTS_VARIABLE}"), error));
        }
    };
    embedded_with(root, settings, policies, plan)
}

/// The embedded deployment in `root` with those faults.
pub fn embedded_with(
    root: &Path,
    settings: &Settings,
    policies: Arc<Policies>,
    plan: Option<FaultPlan>,
) -> Result<Deployment, Fault> {
    if !root.join("embedded").is_dir() {
        let message = format!("{} is no embedded deployment (make one with: portcullis drill --keep)", root.display());
        return Err(Fault::new(FaultKind::NotFound, message));
    }
    let address = Some(SecretString::from("file:./trading.db"));
    let settings = Settings { database_url: address.clone(), containment_url: address, ..settings.clone() };
    let mut deployment = live(root, &settings, policies)?;
    let back_end = Arc::new(BackEnd::new(root, Arc::clone(&deployment.clock)));
    let clock = Arc::clone(&deployment.clock);
    let issuer = |inner: &Arc<dyn Issuer>| -> Arc<dyn Issuer> {
        Arc::new(EmbeddedIssuer::new(Arc::clone(&back_end), Arc::clone(&clock), Arc::clone(inner)))
    };
    deployment.issuers = deployment.issuers.iter().map(|(id, inner)| (id.clone(), issuer(inner))).collect();
    deployment.services = vec![back_end];
    deployment.notifiers = deployment
        .notifiers
        .iter()
        .map(|inner| -> Arc<dyn Notifier> { Arc::new(FileNotifier::new(root, inner)) })
        .collect();
    deployment.secrets_manager = Arc::new(EmbeddedSecretsManager::new(root));
    match plan {
        Some(plan) => inject(deployment, plan),
        None => Ok(deployment),
    }
}
