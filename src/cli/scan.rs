use clap::Subcommand;

use super::{Context, Exit, Failure, scan_database, scan_logs, scan_merge, scan_secrets, scan_trades};

/// Subcommands of `scan`.
#[derive(Debug, Subcommand)]
pub enum ScanCommand {
    /// Log files against Sigma rules
    Logs(scan_logs::ScanLogsArgs),
    /// The trade table against policies
    Trades(scan_trades::TradesArgs),
    /// Where the credentials' own values, and known forms of keys, have leaked
    Secrets(scan_secrets::ScanSecretsArgs),
    /// Persistence left in the database
    Database(scan_database::DatabaseArgs),
    /// Put the outputs of shards together
    Merge(scan_merge::MergeArgs),
}

/// Runs a subcommand.
pub async fn run(command: ScanCommand, ctx: &Context) -> Result<Exit, Failure> {
    match command {
        ScanCommand::Logs(args) => scan_logs::run(args, ctx).await,
        ScanCommand::Trades(args) => scan_trades::run(args, ctx).await,
        ScanCommand::Secrets(args) => scan_secrets::run(args, ctx).await,
        ScanCommand::Database(args) => scan_database::run(args, ctx).await,
        ScanCommand::Merge(args) => scan_merge::run(args, ctx).await,
    }
}
