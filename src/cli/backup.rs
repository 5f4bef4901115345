use clap::Subcommand;
use serde::Serialize;

use super::config_bundle::ConfigArgs;
use super::{Context, Exit, Failure, fault_failure, sought};
use crate::domain::{Backup, BackupCheck, BackupVerdict, Timestamp};
use crate::engine::Deployment;
use crate::engine::recovery::records::Occasion;
use crate::engine::recovery::{remember, take, test_restore, verify, verify_set};
use crate::ports::BackupList;
use crate::ui::{Printer, Record, Style, clean};

/// Subcommands of `backup`.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// All backups, newest first
    List,
    /// Read backups to their end: whole, nothing in them that a restore must not run, trades inside
    Verify(VerifyArgs),
    /// Make a backup, read it back, and put a signed manifest beside it
    Take(TakeArgs),
    /// Restore a backup into a scratch copy, validate it and say how long it took; live data is not touched
    Drill(VerifyArgs),
    /// Seal .env, certificates and keys into an encrypted bundle, for the day the server is gone
    Config(ConfigArgs),
}

/// Arguments of `backup verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// One backup [default: all; for a drill, the newest]
    #[arg(value_name = "FILE")]
    file: Option<String>,
}

/// Arguments of `backup take`.
#[derive(Debug, clap::Args)]
pub struct TakeArgs {
    /// Which place of recovery.yml it is put into, a folder or `s3://BUCKET/PREFIX` [default: the first]
    #[arg(long, value_name = "PLACE")]
    to: Option<String>,
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
        // The name says when it was started, or the age could not be told.
        let age = self.age_minutes.map_or("no time".to_owned(), age);
        format!("  {age:>12}  {:>8}  {}", size(self.bytes), clean(&self.path))
    }
}

/// Minutes in the two largest units.
fn age(minutes: i64) -> String {
    match minutes {
        ..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} d {} h", minutes / 1_440, minutes % 1_440 / 60),
    }
}

/// Bytes in the largest unit of which there are ten or more.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes, "B");
    for larger in UNITS {
        if value < 10_000 {
            break;
        }
        (value, unit) = (value / 1_000, larger);
    }
    format!("{value} {unit}")
}

/// A verdict's record.
#[derive(Debug, Serialize)]
pub struct VerdictRecord<'a> {
    #[serde(flatten)]
    verdict: &'a BackupVerdict,
    /// Of a refused one, the text counts what passed instead of naming it.
    #[serde(skip)]
    brief: bool,
}

impl<'a> VerdictRecord<'a> {
    /// With every check.
    pub fn whole(verdict: &'a BackupVerdict) -> Self {
        Self { verdict, brief: false }
    }

    /// Where one of several is chosen: of those that were refused, the text says why.
    pub fn brief(verdict: &'a BackupVerdict) -> Self {
        Self { verdict, brief: !verdict.usable() }
    }
}

impl Record for VerdictRecord<'_> {
    const TYPE: &'static str = "backup";
    fn text(&self, printer: &Printer) -> String {
        let good = self.verdict.usable();
        let word = if good { printer.paint(Style::Good, "good   ") } else { printer.paint(Style::Bad, "REFUSED") };
        let mut text = format!("  {word} {}", clean(&self.verdict.backup.path));
        let checks = self.verdict.checks.iter();
        for check in checks.filter(|check| !(self.brief && check.passed)) {
            text.push_str(&format!("\n            {}", check_line(printer, check)));
        }
        let passed = self.verdict.checks.iter().filter(|check| check.passed).count();
        if self.brief && passed > 0 {
            text.push_str(&format!("\n            {} {passed} other checks", printer.paint(Style::Dim, "pass  ")));
        }
        text
    }
}

fn check_line(printer: &Printer, check: &BackupCheck) -> String {
    let word = match (check.passed, check.advisory) {
        (true, _) => printer.paint(Style::Dim, "pass  "),
        (false, true) => printer.paint(Style::Warn, "look  "),
        (false, false) => printer.paint(Style::Bad, "refuse"),
    };
    format!("{word} {:<14} {}", clean(&check.check), clean(&check.reason))
}

/// The backup of that path, as the store lists it, or as a bare path.
pub async fn find(deployment: &Deployment, file: &str) -> Result<Backup, Failure> {
    let known = list(deployment).await?.backups;
    let same = |backup: &&Backup| backup.path == file || backup.path.ends_with(&format!("/{file}"));
    Ok(known.iter().find(same).cloned().unwrap_or_else(|| Backup {
        path: file.to_owned(),
        bytes: 0,
        started: None,
        sha256: None,
    }))
}

async fn list(deployment: &Deployment) -> Result<BackupList, Failure> {
    let store = deployment.backups.as_ref().ok_or_else(|| {
        Failure::new(Exit::Usage, "no database is configured, so its backups can't be judged")
            .hint("set DATABASE_URL as the application has it")
    })?;
    store.list().await.map_err(|fault| {
        fault_failure("failed to list the backups", &fault).hint("set directory and pattern in policies/recovery.yml")
    })
}

/// What the backups say together, and how a test restore went.
#[derive(Debug, Serialize)]
struct SetRecord {
    checks: Vec<BackupCheck>,
}

impl Record for SetRecord {
    const TYPE: &'static str = "backups";
    fn text(&self, printer: &Printer) -> String {
        let line = |check: &BackupCheck| format!("  all       {}", check_line(printer, check));
        self.checks.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Runs a subcommand.
pub async fn run(command: BackupCommand, ctx: &Context) -> Result<Exit, Failure> {
    match command {
        BackupCommand::List => show(ctx).await,
        BackupCommand::Verify(args) => verify_all(ctx, &args).await,
        BackupCommand::Take(args) => {
            let deployment = ctx.deployment()?;
            let indicators = sought::indicators(ctx)?;
            let (verdict, _) = take(&deployment, args.to.as_deref(), &indicators).await.map_err(|fault| {
                fault_failure("failed to take a backup", &fault)
                    .hint("see directory and pattern in policies/recovery.yml; pg_dump must be installed")
            })?;
            ctx.printer.emit(&VerdictRecord::whole(&verdict));
            Ok(if verdict.usable() { Exit::Done } else { Exit::Failed })
        }
        BackupCommand::Drill(args) => drill(ctx, &args).await,
        BackupCommand::Config(args) => super::config_bundle::seal(&args, ctx),
    }
}

async fn show(ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let now = deployment.clock.now();
    let all = list(&deployment).await?;
    unread(ctx, &all);
    if all.backups.is_empty() {
        return Err(none());
    }
    for backup in all.backups {
        let age_minutes = backup.started.map(|started| now.duration_since(started).as_secs() / 60);
        ctx.printer.emit(&BackupRecord {
            path: backup.path,
            bytes: backup.bytes,
            started: backup.started,
            age_minutes,
        });
    }
    Ok(if all.unread.is_empty() { Exit::Done } else { Exit::Incomplete })
}

/// Names the places that could not be looked at.
fn unread(ctx: &Context, list: &BackupList) {
    for place in &list.unread {
        ctx.printer.warn(format!("{} could not be looked at: {}", place.place, place.reason));
    }
}

fn none() -> Failure {
    Failure::new(Exit::Failed, "there is no backup").hint("set directory and pattern in policies/recovery.yml")
}

async fn verify_all(ctx: &Context, args: &VerifyArgs) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let indicators = sought::indicators(ctx)?;
    let chosen = match &args.file {
        Some(file) => BackupList { backups: vec![find(&deployment, file).await?], unread: Vec::new() },
        None => list(&deployment).await?,
    };
    unread(ctx, &chosen);
    let mut verdicts = Vec::new();
    for backup in &chosen.backups {
        let progress = ctx.progress(&deployment, "verify");
        let judged = verify(&deployment, backup, &indicators);
        progress.finish();
        let (verdict, survey) = judged.map_err(|fault| fault_failure("failed to verify", &fault))?;
        ctx.printer.emit(&VerdictRecord::whole(&verdict));
        if verdict.usable() {
            remember(&deployment, Occasion::Verified, &verdict, survey.as_ref(), None)
                .map_err(|fault| fault_failure("failed to remember what was seen", &fault))?;
        }
        verdicts.push(verdict);
    }
    let mut good = !verdicts.is_empty() && verdicts.iter().all(BackupVerdict::usable);
    if args.file.is_none() {
        let set = SetRecord { checks: verify_set(&deployment, &verdicts) };
        good &= !set.checks.iter().any(BackupCheck::refuses);
        ctx.printer.emit(&set);
    }
    Ok(match (good, chosen.unread.is_empty()) {
        (true, true) => Exit::Done,
        (true, false) => Exit::Incomplete,
        (false, _) => Exit::Failed,
    })
}

async fn drill(ctx: &Context, args: &VerifyArgs) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let backup = if let Some(file) = &args.file {
        find(&deployment, file).await?
    } else {
        let all = list(&deployment).await?;
        unread(ctx, &all);
        all.backups.into_iter().next().ok_or_else(none)?
    };
    let indicators = sought::indicators(ctx)?;
    let progress = ctx.progress(&deployment, "test restore");
    let tried = test_restore(&deployment, &backup, &indicators).await;
    progress.finish();
    let (verdict, _) = tried.map_err(|fault| {
        fault_failure("failed to restore for a test", &fault)
            .hint("scratch copies need PostgreSQL's server programs on this machine (recovery.yml: postgres_bin)")
    })?;
    ctx.printer.emit(&VerdictRecord::whole(&verdict));
    Ok(if verdict.usable() { Exit::Done } else { Exit::Failed })
}
