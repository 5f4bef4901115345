use super::{Context, Exit, Failure, scan_database, scan_logs, scan_secrets, scan_trades};

/// What is scanned.
#[derive(Debug, clap::Subcommand)]
pub enum ScanCommand {
    /// Run Sigma rules on log files
    Logs(scan_logs::ScanLogsArgs),
    /// Hold the trade table against policies
    Trades(scan_trades::TradesArgs),
    /// Find where the credentials' own values, and known forms of keys, have leaked
    Secrets(scan_secrets::ScanSecretsArgs),
    /// Find persistence left in the database
    Database(scan_database::DatabaseArgs),
}

/// Runs a scan.
pub async fn run(command: ScanCommand, ctx: &Context) -> Result<Exit, Failure> {
    match command {
        ScanCommand::Logs(args) => scan_logs::run(&args, ctx),
        ScanCommand::Trades(args) => scan_trades::run(args, ctx).await,
        ScanCommand::Secrets(args) => scan_secrets::run(args, ctx).await,
        ScanCommand::Database(args) => scan_database::run(args, ctx).await,
    }
}
