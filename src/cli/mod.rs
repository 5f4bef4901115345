//! The command line: one file per command, its arguments and its run; errors become exit codes here.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::domain::IncidentId;
use crate::settings::Settings;
use crate::ui::{ColorChoice, Format, Printer};

mod approve;
mod audit;
mod audit_record;
mod backup;
mod checklist;
mod completions;
mod config_bundle;
mod contacts;
mod context;
mod doctor;
mod drill;
mod failure;
mod findings;
mod incident;
mod incident_timeline;
mod init;
mod install;
mod keys;
mod lockdown;
mod log_pool;
mod log_terms;
mod moment;
mod pace;
mod pause;
mod recover;
mod report;
mod restore;
mod resume;
mod scan;
mod scan_database;
mod scan_logs;
mod scan_merge;
mod scan_output;
mod scan_resume;
mod scan_secrets;
mod scan_shard;
mod scan_trades;
mod scan_trades_sql;
mod serve;
mod sought;
mod steps;
mod tally;
mod watch;

pub use audit::audit_failure;
pub use context::{Context, fault_failure, journal_failure};
pub use failure::{Exit, Failure};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, nothing found        4  refused by the gate
  1  failed                     5  incomplete: a step failed or its outcome is unknown
  2  usage, configuration       6  the ledger or a record fails verification
  3  findings";

/// Contain a breach, find what was done, recover, and resume only on a signed audit record.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_help = EXIT_CODES, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
#[expect(clippy::doc_markdown, reason = "the help is plain text")]
struct Global {
    /// Form of the results on standard output
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
    /// Incident to work on [default: the open one]
    #[arg(long, global = true, value_name = "ID")]
    incident: Option<IncidentId>,
    /// Policies [env: PORTCULLIS_POLICIES] [default: policies]
    #[arg(long, global = true, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// State of this program [env: PORTCULLIS_HOME] [default: .portcullis]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Work on the embedded deployment in this folder (made by `drill --keep`)
    #[arg(long, global = true, value_name = "DIR")]
    embedded: Option<PathBuf>,
    /// Say more on standard error (-vv: still more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    color: ColorChoice,
    /// Confirm without asking
    #[arg(long, global = true)]
    yes: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write policies and .env.example for this deployment, and make the machine's key
    Init(init::InitArgs),
    /// Put the pause guard into the database, in peacetime
    Install(install::InstallArgs),
    /// Say what is not ready for a bad night, and the command that mends it
    Doctor(doctor::DoctorArgs),
    /// Stop trading, replace every credential, kill the old values and prove it
    Lockdown(lockdown::LockdownArgs),
    /// Stop trading by every switch, or say what they are
    #[command(subcommand)]
    Pause(pause::PauseCommand),
    /// Replace, kill or prove credentials one by one
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Find what the intruder did
    #[command(subcommand)]
    Scan(scan::ScanCommand),
    /// Look at incidents and decide what findings are
    #[command(subcommand)]
    Incident(incident::IncidentCommand),
    /// Who is told in an incident, and whether it reaches them
    #[command(subcommand)]
    Contacts(contacts::ContactsCommand),
    /// List and verify backups
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Put a backup back, the newest clean one with --clean
    Restore(restore::RestoreArgs),
    /// Carry out the recovery from one of four disasters, measured against RTO and RPO
    #[command(subcommand)]
    Recover(recover::RecoverCommand),
    /// The post-recovery checklist: what the program checks and what people attest
    Checklist(checklist::ChecklistArgs),
    /// Make, show and verify the audit record
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Show what approvers sign, or take a signature
    Approve(approve::ApproveArgs),
    /// Ask the gate and, if every check passes, let trading in again
    Resume(resume::ResumeArgs),
    /// Enhanced monitoring: follow logs, trades and the guard, alert, drop the gate
    Watch(watch::WatchArgs),
    /// Serve the war-room page on loopback: read-only, live
    Serve(serve::ServeArgs),
    /// Rehearse a whole breach in an embedded deployment: no service, no network, no set-up
    Drill(drill::DrillArgs),
    /// Print a shell completion script
    Completions(completions::CompletionsArgs),
}

/// Runs the program with the process's arguments and environment.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let printer = |no_color| Printer::new(cli.global.format, cli.global.color, no_color);
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(error) => {
            printer(false).error(&error.to_string(), &[], None);
            return Exit::Usage.into();
        }
    };
    let printer = printer(settings.no_color);
    crate::adapters::process::forbid_core_dumps();
    init_tracing(cli.global.verbose);
    let context = context(&cli.global, settings, printer);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            context.printer.error("failed to start the runtime", &[error.to_string()], None);
            return Exit::Failed.into();
        }
    };
    let ended = runtime.block_on(run(cli.command, &context));
    // A blocked host look-up or request must not hold the process back once everything is said.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    finish(&context.printer, ended)
}

fn finish(printer: &Printer, ended: Result<Exit, Failure>) -> ExitCode {
    let exit = match ended {
        Ok(exit) => exit,
        Err(failure) => {
            printer.error(&failure.message, &failure.causes, failure.hint.as_deref());
            failure.exit
        }
    };
    if let Some(error) = printer.take_failure() {
        printer.error("failed to write to standard output", &[error.to_string()], None);
        return Exit::Failed.into();
    }
    exit.into()
}

fn context(global: &Global, mut settings: Settings, printer: Printer) -> Context {
    if let Some(policies) = &global.policies {
        settings.policies.clone_from(policies);
    }
    if let Some(home) = &global.home {
        settings.home.clone_from(home);
    }
    Context {
        settings,
        printer,
        yes: global.yes,
        incident: global.incident.clone(),
        root: global.embedded.clone().unwrap_or_else(|| PathBuf::from(".")),
        embedded: global.embedded.is_some(),
        phase: false,
    }
}

async fn run(command: Command, ctx: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Init(args) => init::run(&args, ctx).await,
        Command::Install(args) => install::run(args, ctx).await,
        Command::Doctor(args) => doctor::run(args, ctx).await,
        Command::Lockdown(args) => lockdown::run(args, ctx).await,
        Command::Pause(command) => pause::run(command, ctx).await,
        Command::Keys(command) => keys::run(command, ctx).await,
        Command::Scan(command) => scan::run(command, ctx).await,
        Command::Incident(command) => incident::run(command, ctx),
        Command::Contacts(command) => contacts::run(command, ctx).await,
        Command::Audit(command) => audit::run(command, ctx).await,
        Command::Approve(args) => approve::run(&args, ctx),
        Command::Resume(args) => resume::run(args, ctx).await,
        Command::Watch(args) => Box::pin(watch::run(args, ctx)).await,
        Command::Serve(args) => Box::pin(serve::run(&args, ctx)).await,
        Command::Drill(args) => drill::run(args, ctx).await,
        Command::Backup(command) => backup::run(command, ctx).await,
        Command::Restore(args) => restore::run(args, ctx).await,
        Command::Recover(command) => recover::run(command, ctx).await,
        Command::Checklist(args) => checklist::run(args, ctx).await,
        Command::Completions(args) => completions::run(&args, ctx),
    }
}

/// The command tree, for completions, man pages and the test of all help texts.
pub fn command() -> clap::Command {
    Cli::command()
}

fn init_tracing(verbose: u8) {
    use tracing_subscriber::filter::LevelFilter;
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // Our own events only: those of the SDKs may carry requests.
    let targets = tracing_subscriber::EnvFilter::new(format!("off,portcullis={level}"));
    let _ = tracing_subscriber::fmt().with_env_filter(targets).with_writer(std::io::stderr).try_init();
}
