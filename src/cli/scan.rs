use super::{Context, Exit, Failure, scan_logs, scan_secrets};

/// What is scanned.
#[derive(Debug, clap::Subcommand)]
pub enum ScanCommand {
    /// Run Sigma rules on log files
    Logs(scan_logs::ScanLogsArgs),
    /// Find where the credentials' own values, and known forms of keys, have leaked
    Secrets(scan_secrets::ScanSecretsArgs),
}

/// Runs a scan.
pub async fn run(command: ScanCommand, ctx: &Context) -> Result<Exit, Failure> {
    match command {
        ScanCommand::Logs(args) => scan_logs::run(args, ctx).await,
        ScanCommand::Secrets(args) => scan_secrets::run(args, ctx).await,
    }
}
