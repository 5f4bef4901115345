use clap::Subcommand;

use super::{Context, Exit, Failure, scan_database, scan_trades};

/// Subcommands of `scan`.
#[derive(Debug, Subcommand)]
pub enum ScanCommand {
    /// The trade table against policies
    Trades(scan_trades::TradesArgs),
    /// Persistence left in the database
    Database(scan_database::DatabaseArgs),
}

/// Runs a subcommand.
pub async fn run(command: ScanCommand, ctx: &Context) -> Result<Exit, Failure> {
    match command {
        ScanCommand::Trades(args) => scan_trades::run(args, ctx).await,
        ScanCommand::Database(args) => scan_database::run(args, ctx).await,
    }
}
