use std::path::PathBuf;
use std::sync::Arc;

use super::backup::{VerdictRecord, find};
use super::config_bundle::{KeyArgs, put_back};
use super::steps::{carry, ending, print_plan, told_lines};
use super::{Context, Exit, Failure, fault_failure, journal_failure};
use crate::domain::{Backup, BackupVerdict, Timestamp};
use crate::engine::notices::{GRACE, Notices};
use crate::engine::recovery::{choose, newest, reconcile, verify};
use crate::engine::{Deployment, Journal};
use crate::ledger::Event;
use crate::playbook;
use crate::ui::clean;

/// Arguments of `restore`.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis restore --clean --plan      (which backup, why, and every step; touches nothing)
  portcullis restore --clean
  portcullis restore backups/db_backup_20261124_030000.sql.gz
  portcullis restore --config config.age --identity /media/safe/key.txt")]
pub struct RestoreArgs {
    /// Backup to put back
    #[arg(value_name = "FILE", required_unless_present_any = ["clean", "newest", "config"], conflicts_with_all = ["clean", "newest", "config"])]
    pub file: Option<String>,
    /// The newest backup that is shown to be clean before the breach
    #[arg(long, conflicts_with_all = ["newest", "config"])]
    pub clean: bool,
    /// The newest backup that verifies, whatever it holds
    #[arg(long, conflicts_with = "config")]
    pub newest: bool,
    /// Only backups that were started before this moment (with --clean or --newest)
    #[arg(long, value_name = "TIME", conflicts_with_all = ["file", "config"])]
    pub before: Option<Timestamp>,
    /// Put .env, certificates and keys back from this bundle instead (made by `backup config`)
    #[arg(long, value_name = "BUNDLE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub key: KeyArgs,
    /// Show what would be done and touch nothing
    #[arg(long, conflicts_with = "config")]
    pub plan: bool,
}

/// Restores within the open incident.
pub async fn run(args: RestoreArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    if let Some(bundle) = &args.config {
        return put_back(ctx, &deployment, bundle, &args.key).await;
    }
    let journal = Arc::new(ctx.open_case(&deployment)?);
    let (verdicts, chosen) = pick(&args, &deployment, &journal).await?;
    for verdict in &verdicts {
        ctx.printer.emit(&VerdictRecord(verdict));
    }
    let round = u32::try_from(journal.state().entries).unwrap_or(u32::MAX);
    if args.plan {
        if let Some(backup) = &chosen {
            print_plan(ctx, &playbook::recovery(&deployment.policies, &backup.path, round));
        }
        return Ok(if chosen.is_some() { Exit::Done } else { Exit::Failed });
    }
    let event = Event::BackupChosen {
        path: chosen.as_ref().map(|backup| backup.path.clone()),
        sha256: chosen.as_ref().and_then(|backup| backup.sha256),
        verdicts: verdicts.iter().filter_map(|verdict| serde_json::to_value(verdict).ok()).collect(),
    };
    journal.record(event).map_err(|error| journal_failure(&error))?;
    let Some(backup) = chosen else {
        return Err(Failure::new(Exit::Failed, "no backup passed; the live database was not touched")
            .hint("each refusal is above; name one that you trust more with: portcullis restore FILE"));
    };
    if !ctx.confirm(&format!(
        "This replaces the live database by {} (the old one is kept where that is possible).",
        clean(&backup.path)
    ))? {
        return Err(Failure::new(Exit::Usage, "not confirmed; the live database was not touched"));
    }
    carry_back(ctx, &deployment, &journal, &backup, round).await
}

async fn carry_back(
    ctx: &Context,
    deployment: &Deployment,
    journal: &Arc<Journal>,
    backup: &Backup,
    round: u32,
) -> Result<Exit, Failure> {
    match reconcile(deployment, journal, backup).await {
        Ok(count) => ctx.printer.say(format!(
            "\n{count} trades of the live database are not in the backup; they are kept in the case's evidence\n"
        )),
        // A live database that can't be read is one reason to restore it.
        Err(error) => {
            ctx.printer.warn(format!("what would be lost could not be listed: {}", crate::gate::with_cause(&error)));
        }
    }
    let plan = playbook::recovery(&deployment.policies, &backup.path, round);
    let notices = Notices::new(deployment, Some(journal), &ctx.settings.operator);
    let carried = carry(ctx, deployment, journal, "restore", &plan, &notices).await?;
    let told = notices.finish(GRACE).await;
    journal.checkpoint().map_err(|error| journal_failure(&error))?;
    let rto = deployment.policies.recovery.rto_minutes;
    let mut lines = vec![format!("{} (objective {rto} min)", ending(&ctx.printer, "RESTORED", &carried))];
    lines.extend(told_lines(&ctx.printer, &told));
    lines.push("next: portcullis scan trades, portcullis scan database, then portcullis audit prepare".to_owned());
    ctx.printer.say(lines.join("\n"));
    Ok(if carried.tally.failed == 0 { Exit::Done } else { Exit::Incomplete })
}

async fn pick(
    args: &RestoreArgs,
    deployment: &Deployment,
    journal: &Journal,
) -> Result<(Vec<BackupVerdict>, Option<Backup>), Failure> {
    let failed = |fault: crate::ports::Fault| fault_failure("failed to judge the backups", &fault);
    let Some(file) = &args.file else {
        if args.newest {
            return newest(deployment, args.before).await.map_err(failed);
        }
        // What a person names counts as much as what a scan saw.
        let first = journal.state().first_malicious;
        let first = first.into_iter().chain(args.before).min();
        return choose(deployment, first).await.map_err(failed);
    };
    let backup = find(deployment, file).await?;
    let (verdict, _) = verify(deployment, &backup).map_err(failed)?;
    let chosen = verdict.usable().then(|| verdict.backup.clone());
    Ok((vec![verdict], chosen))
}
