//! `policies/pause.yml`: one decision, all switches.

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PausePolicy {
    /// Schema version: 1.
    pub version: u32,
    /// The database guard; absent if the deployment has none.
    #[serde(default)]
    pub guard: Option<GuardPolicy>,
    /// Other switches.
    #[serde(default)]
    pub switches: Vec<SwitchPolicy>,
}

/// The guard in front of the trade table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardPolicy {
    /// Trade table, as the catalog writes it.
    #[serde(default = "default_table")]
    pub table: String,
    /// Schema (default `public` on PostgreSQL).
    #[serde(default)]
    pub schema: Option<String>,
    /// Statements that are blocked while paused.
    #[serde(default = "default_block")]
    pub block: Vec<Statement>,
    /// How long transactions that are older than the flag may go on before they are ended, in milliseconds.
    #[serde(default = "default_drain")]
    pub drain_ms: u64,
    /// PostgreSQL: whether the pause takes the blocked rights on the table from every role, too.
    #[serde(default = "default_revoke")]
    pub revoke: bool,
    /// PostgreSQL: what becomes of an application's role that could undo the guard, since it owns the table for instance.
    #[serde(default)]
    pub owner: OwnerPolicy,
}

/// What becomes of an application's role that could undo the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OwnerPolicy {
    /// Its log-in is taken away for the pause, and its sessions are ended.
    #[default]
    Nologin,
    /// It is trusted not to; named as a bypass only.
    Trust,
}

fn default_revoke() -> bool {
    true
}

fn default_table() -> String {
    "Trade".into()
}

fn default_block() -> Vec<Statement> {
    vec![Statement::Insert, Statement::Update, Statement::Delete]
}

fn default_drain() -> u64 {
    250
}

/// A kind of statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Statement {
    /// INSERT (and COPY, MERGE).
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
}

/// One more way to stop trade.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SwitchPolicy {
    /// A file whose existence means "paused".
    File {
        /// Name.
        name: String,
        /// Path.
        path: String,
    },
    /// A request to the service.
    Http {
        /// Name.
        name: String,
        /// Request that stops trade.
        engage: HttpRequest,
        /// Request that lets it in again.
        release: HttpRequest,
        /// Environment variable that holds a bearer token.
        #[serde(default)]
        bearer_env: Option<String>,
    },
    /// A command: program and arguments, never a shell.
    Command {
        /// Name.
        name: String,
        /// Stops trade, for instance `["docker-compose", "stop", "backend"]`.
        engage: Vec<String>,
        /// Lets it in again.
        release: Vec<String>,
        /// Exit code 0 says that it is engaged, 1 that it is released; absent if it can't be observed.
        #[serde(default)]
        status: Option<Vec<String>>,
        /// Bound in seconds.
        #[serde(default = "default_command_timeout")]
        timeout_s: u64,
    },
}

fn default_command_timeout() -> u64 {
    30
}

impl SwitchPolicy {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::File { name, .. } | Self::Http { name, .. } | Self::Command { name, .. } => name,
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    /// `POST`, `PUT` or `DELETE`.
    #[serde(default = "default_method")]
    pub method: String,
    /// Address.
    pub url: String,
    /// Body, sent as `application/json`.
    #[serde(default)]
    pub body: Option<String>,
}

fn default_method() -> String {
    "POST".into()
}
