use clap::Subcommand;
use serde::Serialize;

use super::{Context, Exit, Failure, fault_failure};
use crate::domain::{Backup, BackupVerdict, Timestamp};
use crate::engine::Deployment;
use crate::engine::recovery::verify;
use crate::ui::{Printer, Record, Style, clean};

/// Subcommands of `backup`.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// All backups, newest first
    List,
    /// Read backups to their end: whole, nothing in them that a restore must not run, trades inside
    Verify(VerifyArgs),
}

/// Arguments of `backup verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// One backup [default: all]
    #[arg(value_name = "FILE")]
    file: Option<String>,
}

#[derive(Debug, Serialize)]
struct BackupRecord {
    path: String,
    bytes: u64,
    started: Option<Timestamp>,
    age_minutes: Option<i64>,
}

impl Record for BackupRecord {
    const TYPE: &'static str = "backup";
    fn text(&self, _: &Printer) -> String {
        let started = self.started.map_or("-".to_owned(), |time| time.to_string());
        let age = self.age_minutes.map_or(String::new(), |minutes| format!("{minutes} min ago"));
        format!("  {started:<22} {age:>14} {:>12} bytes  {}", self.bytes, clean(&self.path))
    }
}

/// A verdict's record.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct VerdictRecord<'a>(pub &'a BackupVerdict);

impl Record for VerdictRecord<'_> {
    const TYPE: &'static str = "backup";
    fn text(&self, printer: &Printer) -> String {
        let word =
            if self.0.usable() { printer.paint(Style::Good, "good   ") } else { printer.paint(Style::Bad, "REFUSED") };
        let mut text = format!("  {word} {}", clean(&self.0.backup.path));
        for check in &self.0.checks {
            let word =
                if check.passed { printer.paint(Style::Dim, "pass  ") } else { printer.paint(Style::Bad, "refuse") };
            text.push_str(&format!("\n            {word} {:<14} {}", clean(&check.check), clean(&check.reason)));
        }
        text
    }
}

/// The backup of that path, as the store lists it, or as a bare path.
pub async fn find(deployment: &Deployment, file: &str) -> Result<Backup, Failure> {
    let known = list(deployment).await?;
    let same = |backup: &&Backup| backup.path == file || backup.path.ends_with(&format!("/{file}"));
    Ok(known.iter().find(same).cloned().unwrap_or_else(|| Backup {
        path: file.to_owned(),
        bytes: 0,
        started: None,
        sha256: None,
    }))
}

async fn list(deployment: &Deployment) -> Result<Vec<Backup>, Failure> {
    let store = deployment.backups.as_ref().ok_or_else(|| {
        Failure::new(Exit::Usage, "no database is configured, so its backups can't be judged")
            .hint("set DATABASE_URL as the application has it")
    })?;
    store.list().await.map_err(|fault| {
        fault_failure("failed to list the backups", &fault).hint("set directory and pattern in policies/recovery.yml")
    })
}

/// Runs a subcommand.
pub async fn run(command: BackupCommand, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    match command {
        BackupCommand::List => {
            let now = deployment.clock.now();
            let all = list(&deployment).await?;
            if all.is_empty() {
                return Err(Failure::new(Exit::Failed, "there is no backup")
                    .hint("set directory and pattern in policies/recovery.yml"));
            }
            for backup in all {
                let age_minutes = backup.started.map(|started| now.duration_since(started).as_secs() / 60);
                ctx.printer.emit(&BackupRecord {
                    path: backup.path,
                    bytes: backup.bytes,
                    started: backup.started,
                    age_minutes,
                });
            }
            Ok(Exit::Done)
        }
        BackupCommand::Verify(args) => {
            let chosen = match &args.file {
                Some(file) => vec![find(&deployment, file).await?],
                None => list(&deployment).await?,
            };
            let mut good = !chosen.is_empty();
            for backup in &chosen {
                let (verdict, _) =
                    verify(&deployment, backup).map_err(|fault| fault_failure("failed to verify", &fault))?;
                good &= verdict.usable();
                ctx.printer.emit(&VerdictRecord(&verdict));
            }
            Ok(if good { Exit::Done } else { Exit::Failed })
        }
    }
}
