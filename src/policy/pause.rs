//! `policies/pause.yml`: one decision, all switches.

use serde::Deserialize;

pub use super::switch::{
    ComposeSwitchPolicy, ComposeVersion, EngagedWhen, HttpRequest, HttpStatus, HttpSwitchPolicy, PausedWhen,
    REDIS_BOUND_S, RedisSwitchPolicy, SwitchPolicy,
};

/// Name of the database guard among the switches.
pub const GUARD: &str = "guard";

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
