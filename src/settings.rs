//! The environment, read once into typed settings.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use secrecy::SecretString;

/// Why the environment can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A variable is not valid UTF-8.
    #[error("environment variable {0} is not valid UTF-8")]
    NotUtf8(&'static str),
}

/// The folder of policies, unless `PORTCULLIS_POLICIES` names another.
pub const POLICIES: &str = "policies";

/// Everything that comes from the environment.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The application's database (`DATABASE_URL`): also the role as which canaries are tried.
    pub database_url: Option<SecretString>,
    /// A stronger role for containment (`PORTCULLIS_DATABASE_URL`); `world` falls back to the first.
    pub containment_url: Option<SecretString>,
    /// State of this program (`PORTCULLIS_HOME`, default `.portcullis`).
    pub home: PathBuf,
    /// Policies (`PORTCULLIS_POLICIES`, default `policies`).
    pub policies: PathBuf,
    /// Who acts (`PORTCULLIS_OPERATOR`, default the login name).
    pub operator: String,
    /// Socket of the ssh-agent that `approve --agent` asks (`SSH_AUTH_SOCK`).
    pub agent_socket: Option<PathBuf>,
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// What an engine that runs arrays of jobs says of this one: those of [`ARRAY_VARIABLES`] that are set.
    pub array: BTreeMap<&'static str, String>,
}

/// Variables by which Slurm, Kubernetes and AWS Batch tell a job its place in its array, and the one that says how many
/// there are where they don't.
pub const ARRAY_VARIABLES: [&str; 9] = [
    "SLURM_ARRAY_TASK_ID",
    "SLURM_ARRAY_TASK_COUNT",
    "SLURM_ARRAY_TASK_MIN",
    "SLURM_ARRAY_TASK_MAX",
    "SLURM_ARRAY_TASK_STEP",
    "JOB_COMPLETION_INDEX",
    "AWS_BATCH_JOB_ARRAY_INDEX",
    "AWS_BATCH_JOB_ARRAY_SIZE",
    "PORTCULLIS_SHARDS",
];

impl Settings {
    /// Reads the environment.
    pub fn from_env() -> Result<Self, SettingsError> {
        let database_url = text("DATABASE_URL")?.map(SecretString::from);
        let operator = match text("PORTCULLIS_OPERATOR")? {
            Some(operator) => operator,
            None => text("USER")?.or(text("LOGNAME")?).unwrap_or_else(|| "unknown".into()),
        };
        Ok(Self {
            containment_url: text("PORTCULLIS_DATABASE_URL")?.map(SecretString::from).or_else(|| database_url.clone()),
            database_url,
            home: env::var_os("PORTCULLIS_HOME").filter(|v| !v.is_empty()).map_or(".portcullis".into(), PathBuf::from),
            policies: env::var_os("PORTCULLIS_POLICIES")
                .filter(|v| !v.is_empty())
                .map_or(POLICIES.into(), PathBuf::from),
            operator,
            agent_socket: env::var_os("SSH_AUTH_SOCK").filter(|v| !v.is_empty()).map(PathBuf::from),
            array: array()?,
            no_color: env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()),
        })
    }
}

fn array() -> Result<BTreeMap<&'static str, String>, SettingsError> {
    let mut found = BTreeMap::new();
    for name in ARRAY_VARIABLES {
        found.extend(text(name)?.map(|value| (name, value)));
    }
    Ok(found)
}

fn text(name: &'static str) -> Result<Option<String>, SettingsError> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(SettingsError::NotUtf8(name)),
    }
}
