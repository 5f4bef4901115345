//! `policies/credentials.yml`: which credentials there are, who honours them, where they are kept, who uses them.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::api::HttpApiPolicy;
use super::aws::{AwsIamUserPolicy, AwsRoleSessionsPolicy};
use crate::domain::CredentialId;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialsPolicy {
    /// Schema version: 1.
    pub version: u32,
    /// Programs that use credentials.
    #[serde(default)]
    pub services: Vec<ServicePolicy>,
    /// Credentials.
    pub credentials: Vec<CredentialPolicy>,
}

/// A program that uses credentials.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServicePolicy {
    /// Name, used in `used_by`.
    pub name: String,
    /// Command that restarts it: program and arguments, no shell.
    #[serde(default)]
    pub restart: Option<Vec<String>>,
    /// Command that stops it.
    #[serde(default)]
    pub stop: Option<Vec<String>>,
    /// Health address, polled after a restart.
    #[serde(default)]
    pub health: Option<String>,
    /// Seconds until it must be healthy (default 60).
    #[serde(default = "default_healthy_within")]
    pub healthy_within_s: u64,
}

fn default_healthy_within() -> u64 {
    60
}

/// One credential.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialPolicy {
    /// Name.
    pub id: CredentialId,
    /// What it is, for people.
    #[serde(default)]
    pub title: Option<String>,
    /// Who honours it.
    pub issuer: IssuerPolicy,
    /// Where its value is kept; the first is the source of the old value.
    #[serde(default)]
    pub kept: Vec<StorePolicy>,
    /// Services restarted after rotation.
    #[serde(default)]
    pub used_by: Vec<String>,
    /// How its death is proven where the issuer alone can't tell.
    #[serde(default)]
    pub proof: Option<ProofPolicy>,
    /// How a new value is made.
    #[serde(default)]
    pub generate: GeneratePolicy,
    /// Name of the approver whose key this is; they may not approve if it leaked.
    #[serde(default)]
    pub owner: Option<String>,
}

/// Who honours a credential.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum IssuerPolicy {
    /// A PostgreSQL role's password.
    PostgresRole {
        /// The role.
        role: String,
        /// Poolers in front of the server, told of the change.
        #[serde(default)]
        pgbouncer: Vec<PgBouncerPolicy>,
    },
    /// A row of an API key table in the deployment's database.
    ApiKeyTable {
        /// Table name, as the catalog writes it.
        #[serde(default = "default_key_table")]
        table: String,
        /// Value of the id column of the row that holds the current key.
        key_id: String,
        /// How the value is stored.
        #[serde(default)]
        hash: HashScheme,
        /// Column names where they differ from what introspection finds.
        #[serde(default)]
        columns: ApiKeyColumns,
    },
    /// A value that the deployment made for itself: a JWT signing key, a webhook secret.
    SelfMade {
        /// Tables of what was derived from it and would outlive it: refresh tokens, sessions.
        #[serde(default)]
        clear: Vec<ClearPolicy>,
    },
    /// An access key of an AWS IAM user.
    AwsIamUser(AwsIamUserPolicy),
    /// Every session of an AWS IAM role.
    AwsRoleSessions(AwsRoleSessionsPolicy),
    /// A key that somebody else's HTTP API makes and deletes.
    HttpApi(Box<HttpApiPolicy>),
    /// Only a person can change it, at somebody else's console.
    Manual {
        /// What to do.
        instructions: String,
        /// How a person cancels what is open there, asked for at once.
        #[serde(default)]
        cancel: Option<String>,
    },
}

/// A pgbouncer, reached over its admin console.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PgBouncerPolicy {
    /// Environment variable that holds the address of its admin console: `postgres://admin:...@host:6432/pgbouncer`.
    pub url_env: String,
    /// Its databases whose clients are cut off (`KILL`, then `RESUME`); without any, server connections are made anew only.
    #[serde(default)]
    pub databases: Vec<String>,
}

/// Rows that are cleared when the credential's old value is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClearPolicy {
    /// Table, as the catalog writes it.
    pub table: String,
    /// Column that is set to the time of revocation where it is NULL; absent: the rows are deleted.
    #[serde(default)]
    pub revoked_at: Option<String>,
}

impl CredentialsPolicy {
    /// Whether any of them is honoured by the deployment's database, or kept track of in it.
    pub fn use_a_database(&self) -> bool {
        self.credentials.iter().any(|credential| match &credential.issuer {
            IssuerPolicy::PostgresRole { .. } | IssuerPolicy::ApiKeyTable { .. } => true,
            IssuerPolicy::SelfMade { clear } => !clear.is_empty(),
            _ => false,
        })
    }
}

impl IssuerPolicy {
    /// Whether only the issuer can make a new value, so that none can be sealed before it is asked.
    pub fn makes_values(&self) -> bool {
        matches!(self, Self::AwsIamUser(_) | Self::AwsRoleSessions(_) | Self::HttpApi(_))
    }

    /// Whether a new value can only be made with a living old one, so that the old one can't die first.
    pub fn needs_living_key(&self) -> bool {
        matches!(self, Self::HttpApi(api) if !api.makes_keys_alone())
    }

    /// Whether a key that was made in vain can't be found again.
    pub fn may_leave_keys(&self) -> bool {
        matches!(self, Self::HttpApi(api) if api.list.is_none())
    }

    /// Whether open orders are cancelled before the credential dies.
    pub fn cancels(&self) -> bool {
        match self {
            Self::HttpApi(api) => api.cancel.is_some(),
            Self::Manual { cancel, .. } => cancel.is_some(),
            _ => false,
        }
    }

    /// Whether anybody but the stores has to be told.
    pub fn acts(&self) -> bool {
        match self {
            Self::SelfMade { clear } => !clear.is_empty(),
            Self::Manual { .. } => false,
            _ => true,
        }
    }

    /// How long a change at the issuer takes to be seen everywhere: so long a new value may still be refused, and so long the
    /// old one must be.
    pub fn propagation(&self) -> Duration {
        match self {
            Self::AwsIamUser(policy) => policy.propagation(),
            Self::AwsRoleSessions(policy) => policy.propagation(),
            _ => Duration::ZERO,
        }
    }

    /// Whether this program itself signs with it, so that its successor must work before it dies.
    pub fn is_own_key(&self) -> bool {
        matches!(self, Self::AwsIamUser(policy) if policy.own)
    }

    /// The kind, as `credentials.yml` and the audit record write it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PostgresRole { .. } => "postgres_role",
            Self::ApiKeyTable { .. } => "api_key_table",
            Self::SelfMade { .. } => "self_made",
            Self::AwsIamUser(_) => "aws_iam_user",
            Self::AwsRoleSessions(_) => "aws_role_sessions",
            Self::HttpApi(_) => "http_api",
            Self::Manual { .. } => "manual",
        }
    }
}

fn default_key_table() -> String {
    "ApiKey".into()
}

/// How an API key table stores values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashScheme {
    /// SHA-256 of the value, in hex.
    #[default]
    Sha256,
    /// The value itself.
    Plain,
    /// bcrypt (`$2b$`), cost 12.
    Bcrypt,
    /// Argon2id (`$argon2id$`), the library's parameters.
    Argon2,
}

/// Column names of an API key table; absent ones are found by introspection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiKeyColumns {
    /// Primary key.
    pub id: Option<String>,
    /// Hash or value.
    pub hash: Option<String>,
    /// Time of revocation (NULL = alive).
    pub revoked_at: Option<String>,
    /// Boolean: alive.
    pub active: Option<String>,
}

/// Where a value is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "store", rename_all = "snake_case", deny_unknown_fields)]
pub enum StorePolicy {
    /// AWS Secrets Manager.
    SecretsManager {
        /// Name or ARN.
        secret: String,
        /// Field of a JSON secret; absent for a whole-string secret.
        #[serde(default)]
        field: Option<String>,
        /// Which part of the text is the value: for a connection URL, its password.
        #[serde(default)]
        part: ValuePart,
    },
    /// A `.env` file.
    Dotenv {
        /// Path.
        #[serde(default = "default_dotenv")]
        path: String,
        /// Key.
        key: String,
        /// Which part of the text is the value.
        #[serde(default)]
        part: ValuePart,
    },
    /// Another file: all of it (a PEM key, a Docker secret), or one string of a JSON document.
    File {
        /// Path.
        path: String,
        /// JSON pointer (RFC 6901) of the string, for instance `/jwt/secret`; absent: the whole file.
        #[serde(default)]
        pointer: Option<String>,
        /// Which part of the text is the value.
        #[serde(default)]
        part: ValuePart,
    },
}

impl StorePolicy {
    /// Which part of the stored text is the value.
    pub fn part(&self) -> ValuePart {
        match self {
            Self::SecretsManager { part, .. } | Self::Dotenv { part, .. } | Self::File { part, .. } => *part,
        }
    }
}

/// For people: the place, never what it holds.
impl fmt::Display for StorePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretsManager { secret, field: Some(field), .. } => write!(f, "Secrets Manager {secret}#{field}"),
            Self::SecretsManager { secret, field: None, .. } => write!(f, "Secrets Manager {secret}"),
            Self::Dotenv { path, key, .. } => write!(f, "{path} {key}"),
            Self::File { path, pointer: Some(pointer), .. } => write!(f, "{path} {pointer}"),
            Self::File { path, pointer: None, .. } => write!(f, "{path}"),
        }
    }
}

impl CredentialPolicy {
    /// Whether its value is a pair of a key's id and its secret, kept in different places.
    pub fn is_pair(&self) -> bool {
        self.kept.iter().any(|slot| matches!(slot.part(), ValuePart::KeyId | ValuePart::KeySecret))
    }
}

fn default_dotenv() -> String {
    ".env".into()
}

/// Which part of a stored text is the credential's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValuePart {
    /// All of it.
    #[default]
    Whole,
    /// The password of a connection URL (percent-encoded there).
    UrlPassword,
    /// The id of a key that is an id and a secret (an AWS access key, an exchange key, a JWT `kid`).
    KeyId,
    /// The secret of such a key.
    KeySecret,
    /// The public half of an Ed25519 key that was generated as PEM, itself as PEM: for those who only verify.
    PublicKey,
}

/// How death is proven where the issuer alone can't tell.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ProofPolicy {
    /// A request that the service accepts with a valid value (2xx) and refuses with a dead one (401 or 403).
    Http {
        /// Address; `{value}` is not allowed here, since addresses are logged.
        url: String,
        /// Header name, for instance `authorization`.
        header: String,
        /// Header value; `{value}` stands for the credential, `{jwt}` for a token (HS256) signed with it.
        template: String,
        /// Claims of the token, as JSON, where the service needs some; `exp` is added.
        #[serde(default)]
        claims: Option<String>,
    },
    /// Accept that only the stores can be asked; the audit record says so.
    Store,
}

/// How a new value is made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GeneratePolicy {
    /// What is made.
    pub kind: GenerateKind,
    /// Characters of `A-Za-z0-9` (default 40, at least 20).
    pub length: usize,
    /// Text in front of it (`sk_live_`), kept so that the deployment recognises its keys.
    pub prefix: String,
}

impl Default for GeneratePolicy {
    fn default() -> Self {
        Self { kind: GenerateKind::Text, length: 40, prefix: String::new() }
    }
}

/// What a new value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerateKind {
    /// Random characters.
    #[default]
    Text,
    /// An Ed25519 private key: PKCS #8 (RFC 8410) as PEM.
    Ed25519Pem,
}
