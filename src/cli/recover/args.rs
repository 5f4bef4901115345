//! What a recovery is asked: which disaster, which backup, which bundle.

use std::path::PathBuf;

use clap::Subcommand;

use crate::cli::config_bundle::KeyArgs;
use crate::cli::moment::moment;
use crate::cli::restore::RestoreArgs;
use crate::domain::{CredentialId, Timestamp};

/// The four disasters.
#[derive(Debug, Subcommand)]
pub enum RecoverCommand {
    /// The database is gone or does not answer: the newest backup that verifies is put back
    Database(RecoverArgs),
    /// The server is gone: configuration from a bundle, then the database
    Server(ServerArgs),
    /// Data are wrong: the newest backup from before that, and what it lacks is listed
    Corruption(RecoverArgs),
    /// Somebody was in: contained first, then the newest backup that is shown to be clean
    Breach(BreachArgs),
}

/// What every recovery takes.
#[derive(Debug, clap::Args)]
pub struct RecoverArgs {
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// This backup, and no other
    #[arg(long, value_name = "FILE")]
    pub(super) from: Option<String>,
    /// Only backups that were started before this moment
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "from")]
    pub(super) before: Option<Timestamp>,
    /// Logs that know trades: those without a row are listed (files or folders) [default: logs: of monitoring.yml]
    #[arg(long, value_name = "PATH")]
    pub(super) logs: Vec<String>,
    /// Show what would be done, with the backup that would be taken now, and touch nothing
    #[arg(long)]
    pub(super) plan: bool,
}

/// Arguments of `recover server`.
#[derive(Debug, clap::Args)]
pub struct ServerArgs {
    #[command(flatten)]
    pub(super) common: RecoverArgs,
    /// Bundle with .env, certificates and keys (made by `backup config`)
    #[arg(long, value_name = "BUNDLE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) key: KeyArgs,
}

/// Arguments of `recover breach`.
#[derive(Debug, clap::Args)]
pub struct BreachArgs {
    #[command(flatten)]
    pub(super) common: RecoverArgs,
    /// Credential that has leaked (may be given more than once)
    #[arg(long, value_name = "ID")]
    pub(super) compromised: Vec<CredentialId>,
}

impl RecoverCommand {
    pub(super) fn scenario(&self) -> &'static str {
        match self {
            Self::Database(_) => "database",
            Self::Server(_) => "server",
            Self::Corruption(_) => "corruption",
            Self::Breach(_) => "breach",
        }
    }

    pub(super) fn common(&self) -> &RecoverArgs {
        match self {
            Self::Database(common) | Self::Corruption(common) => common,
            Self::Server(args) => &args.common,
            Self::Breach(args) => &args.common,
        }
    }

    pub(super) fn bundle(&self) -> Option<&PathBuf> {
        match self {
            Self::Server(args) => args.config.as_ref(),
            _ => None,
        }
    }

    /// How the backup is chosen: after an intrusion or wrong data it must be shown to be clean.
    pub(super) fn restore(&self) -> RestoreArgs {
        let common = self.common();
        let careful = is_careful(self.scenario()) && common.from.is_none();
        RestoreArgs {
            clean: careful,
            newest: !careful && common.from.is_none(),
            file: common.from.clone(),
            before: common.before,
            logs: common.logs.clone(),
            ..RestoreArgs::default()
        }
    }
}

/// Whether the state that is put back must be shown to be clean.
pub(super) fn is_careful(scenario: &str) -> bool {
    matches!(scenario, "breach" | "corruption")
}
