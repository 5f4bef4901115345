use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::backup::{VerdictRecord, find};
use super::config_bundle::{KeyArgs, put_back};
use super::moment::moment;
use super::scan_trades::records;
use super::steps::{carry, ending, show_steps, told_lines};
use super::{Context, Exit, Failure, fault_failure, journal_failure, sought};
use crate::domain::{Backup, BackupVerdict, CredentialId, Timestamp};
use crate::engine::notices::{GRACE, Notices};
use crate::engine::recovery::records::Occasion;
use crate::engine::recovery::{Reconciled, choose, fetched, newest, reconcile, remember};
use crate::engine::scan_trades::OtherRecord;
use crate::engine::{Deployment, Journal, findings};
use crate::ledger::{Event, IncidentState};
use crate::playbook;
use crate::ui::{Printer, Record, Style, clean};

/// Arguments of `restore`.
#[derive(Debug, Default, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
#[command(after_help = "\
Examples:
  portcullis restore --clean --plan      (which backup, why, and every step; touches nothing)
  portcullis restore --clean
  portcullis restore backups/db_backup_20261124_030000.sql.gz
  portcullis restore --config config.age --identity /media/safe/key.txt")]
pub struct RestoreArgs {
    /// Backup to put back
    #[arg(value_name = "FILE", required_unless_present_any = ["clean", "newest", "config", "replay"], conflicts_with_all = ["clean", "newest", "config"])]
    pub file: Option<String>,
    /// The newest backup that is shown to be clean before the breach
    #[arg(long, conflicts_with_all = ["newest", "config"])]
    pub clean: bool,
    /// The newest backup that verifies, whatever it holds
    #[arg(long, conflicts_with = "config")]
    pub newest: bool,
    /// Only backups that were started before this moment (with --clean or --newest)
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with_all = ["file", "config"])]
    pub before: Option<Timestamp>,
    /// Logs that know trades: those without a row are listed (files or folders; JSON, gzip is read) [default: logs: of monitoring.yml]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["config", "replay"])]
    pub logs: Vec<String>,
    /// Put .env, certificates and keys back from this bundle instead (made by `backup config`)
    #[arg(long, value_name = "BUNDLE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub key: KeyArgs,
    /// Put the trades back that the backup did not hold and that no finding names, through the pause (after a restore)
    #[arg(long, requires = "note", conflicts_with_all = ["file", "clean", "newest", "config", "plan"])]
    pub replay: bool,
    /// Why these trades are legitimate, for the record; it stands under your name
    #[arg(long, value_name = "TEXT", requires = "replay")]
    pub note: Option<String>,
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
    if args.plan {
        let (steps, exit) = show(&args, ctx, &deployment).await?;
        ctx.printer.say(format!("\n{steps} steps; nothing was touched."));
        return Ok(exit);
    }
    let journal = Arc::new(ctx.open_case(&deployment)?);
    if let Some(note) = args.note.as_ref().filter(|_| args.replay) {
        return replay(ctx, &deployment, &journal, note).await;
    }
    let records = logs(&args, ctx, &deployment)?;
    let (verdicts, chosen) = pick(&args, ctx, &deployment, Some(&journal)).await?;
    let round = u32::try_from(journal.state().entries).unwrap_or(u32::MAX);
    let event = Event::BackupChosen {
        path: chosen.as_ref().map(|backup| backup.path.clone()),
        sha256: chosen.as_ref().and_then(|backup| backup.sha256),
        verdicts: verdicts.iter().filter_map(|verdict| serde_json::to_value(verdict).ok()).collect(),
    };
    journal.record(event).map_err(|error| journal_failure(&error))?;
    let Some(backup) = chosen else {
        return Err(if verdicts.is_empty() {
            Failure::new(Exit::Failed, "there is no backup; the live database was not touched")
                .hint("see directory and pattern in policies/recovery.yml, or name one: portcullis restore FILE")
        } else {
            Failure::new(Exit::Failed, "no backup passed; the live database was not touched")
                .hint("each refusal is above; name one that you trust more: portcullis restore FILE")
        });
    };
    if !ctx.confirm(&format!(
        "This replaces the live database by {} (the old one is kept where that is possible).",
        clean(&backup.path)
    ))? {
        return Err(Failure::new(Exit::Usage, "not confirmed; the live database was not touched"));
    }
    carry_back(ctx, &deployment, &journal, (&backup, &records), round).await
}

async fn carry_back(
    ctx: &Context,
    deployment: &Deployment,
    journal: &Arc<Journal>,
    (backup, records): (&Backup, &[OtherRecord]),
    round: u32,
) -> Result<Exit, Failure> {
    let bar = ctx.progress(deployment, "comparing the backup with the live trades");
    let compared = reconcile(deployment, journal, backup, records).await;
    bar.finish();
    match compared {
        Ok(counts) => ctx.printer.emit(&ReconciledRecord(counts)),
        // What can't be listed must not keep the database from being restored.
        Err(error) => {
            ctx.printer.warn(format!("what would be lost could not be listed: {}", crate::gate::with_cause(&error)));
        }
    }
    let plan = playbook::recovery(&deployment.policies, &backup.path, round, &replaced(&journal.state()));
    let notices = Notices::new(deployment, Some(journal), &ctx.settings.operator);
    let carried = carry(ctx, deployment, journal, "restore", &plan, &notices).await?;
    let told = notices.finish(GRACE).await;
    journal.checkpoint().map_err(|error| journal_failure(&error))?;
    let rto = deployment.policies.recovery.rto_minutes;
    let mut lines = vec![format!("{} (objective {rto} min)", ending(&ctx.printer, "RESTORED", &carried))];
    lines.extend(told_lines(&ctx.printer, &told));
    if !ctx.phase {
        let program = ctx.program();
        let next = ["scan trades", "scan database", "checklist", "audit prepare"];
        lines.push("next:".to_owned());
        lines.extend(next.map(|words| format!("  {program} {words}")));
    }
    ctx.printer.say(lines.join("\n"));
    Ok(if carried.tally.failed == 0 { Exit::Done } else { Exit::Incomplete })
}

/// Credentials that the incident has replaced: only these can be proven dead.
fn replaced(state: &IncidentState) -> Vec<CredentialId> {
    state.credentials.keys().cloned().collect()
}

/// The logs that are compared: those that were named, which must be readable, else what `watch` follows.
fn logs(args: &RestoreArgs, ctx: &Context, deployment: &Deployment) -> Result<Vec<OtherRecord>, Failure> {
    if !args.logs.is_empty() {
        return records(ctx, &args.logs, &[]);
    }
    match records(ctx, &deployment.policies.monitoring.logs, &[]) {
        Err(failure) => {
            ctx.printer.warn(format!("the logs of monitoring.yml are not compared: {}", failure.message));
            Ok(Vec::new())
        }
        found => found,
    }
}

/// What lies between the backup and now.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct ReconciledRecord(Reconciled);

impl Record for ReconciledRecord {
    const TYPE: &'static str = "reconciled";
    fn text(&self, printer: &Printer) -> String {
        let counts = &self.0;
        let mut lines = vec![String::new()];
        if counts.total() == 0 && counts.uncovered.is_empty() {
            lines.push("the trades of the live database are those of the backup".into());
        } else if counts.total() == 0 {
            lines.push("no difference was found between the backup and now".into());
        } else {
            lines.push("between the backup and now, each listed in the case (evidence: reconciliation/):".into());
            let named = |words: &str| match counts.logged_named {
                0 => words.to_owned(),
                named => format!("{words}; findings name {named} of them"),
            };
            for (count, words) in [
                (counts.legitimate, "made since, nothing speaks against them".to_owned()),
                (counts.unauthorized, "made since, named by findings: kept as evidence".to_owned()),
                (counts.changed, "changed since".to_owned()),
                (counts.deleted, "deleted since: the restore brings them back".to_owned()),
                (counts.logged, named("known to a log alone, without a row: to be judged by a person")),
            ] {
                lines.push(format!("  {count:>8}  {words}"));
            }
            if counts.legitimate > 0 {
                lines.push("  put the first back once they were checked: restore --replay --note TEXT".into());
            }
        }
        lines.extend(
            counts
                .uncovered
                .iter()
                .map(|gap| format!("  {} {}", printer.paint(Style::Warn, "NOT compared"), clean(gap))),
        );
        lines.push(String::new());
        lines.join("\n")
    }
}

/// Puts the listed trades back, as a person who is named in the ledger wants it.
async fn replay(ctx: &Context, deployment: &Deployment, journal: &Arc<Journal>, note: &str) -> Result<Exit, Failure> {
    let entries = journal.entries().map_err(|error| journal_failure(&error))?;
    let list = entries.iter().rev().find_map(|entry| match &entry.event {
        Event::EvidenceCollected { name, file } if name == "reconciliation/replay.json" => Some(file.sha256),
        _ => None,
    });
    let list = list.ok_or_else(|| {
        Failure::new(Exit::Usage, "there is no list of trades to put back")
            .hint("a restore makes it: portcullis restore --clean")
    })?;
    if !ctx.confirm("This puts the listed trades back into the paused database.")? {
        return Err(Failure::new(Exit::Usage, "not confirmed; nothing was touched"));
    }
    let (item, operator) = ("replay".to_owned(), ctx.settings.operator.clone());
    journal
        .record(Event::ItemAttested { item, note: note.to_owned(), operator: operator.clone() })
        .map_err(|error| journal_failure(&error))?;
    let round = u32::try_from(journal.state().entries).unwrap_or(u32::MAX);
    let notices = Notices::new(deployment, Some(journal), &operator);
    let carried = carry(ctx, deployment, journal, "replay", &playbook::replay(list, round), &notices).await?;
    notices.finish(GRACE).await;
    ctx.printer.say(ending(&ctx.printer, "REPLAYED", &carried));
    Ok(if carried.tally.failed == 0 { Exit::Done } else { Exit::Incomplete })
}

/// Which backup a restore would take now, and its steps; says how many. Without an open incident there are no findings to be older than.
pub async fn show(args: &RestoreArgs, ctx: &Context, deployment: &Deployment) -> Result<(usize, Exit), Failure> {
    let open = ctx.incident.is_some() || !ctx.open_incidents(deployment)?.is_empty();
    let journal = if open { Some(ctx.open_case(deployment)?) } else { None };
    let (_, chosen) = pick(args, ctx, deployment, journal.as_ref()).await?;
    let Some(backup) = chosen else {
        ctx.printer.say("  no backup passed: none would be put back");
        return Ok((0, Exit::Failed));
    };
    let state = journal.as_ref().map(Journal::state).unwrap_or_default();
    let round = u32::try_from(state.entries).unwrap_or(u32::MAX);
    let plan = playbook::recovery(&deployment.policies, &backup.path, round, &replaced(&state));
    Ok((show_steps(ctx, &plan), Exit::Done))
}

/// Judges the backups, and shows what was said of each.
async fn pick(
    args: &RestoreArgs,
    ctx: &Context,
    deployment: &Deployment,
    journal: Option<&Journal>,
) -> Result<(Vec<BackupVerdict>, Option<Backup>), Failure> {
    let bar = ctx.progress(deployment, "judging the backups");
    let picked = judge(args, ctx, deployment, journal).await;
    bar.finish();
    let (verdicts, chosen) = picked?;
    for verdict in &verdicts {
        ctx.printer.emit(&VerdictRecord::brief(verdict));
    }
    Ok((verdicts, chosen))
}

async fn judge(
    args: &RestoreArgs,
    ctx: &Context,
    deployment: &Deployment,
    journal: Option<&Journal>,
) -> Result<(Vec<BackupVerdict>, Option<Backup>), Failure> {
    let failed = |fault: crate::ports::Fault| fault_failure("failed to judge the backups", &fault);
    let indicators = sought::indicators(ctx)?;
    let Some(file) = &args.file else {
        if args.newest {
            return newest(deployment, args.before, &indicators).await.map_err(failed);
        }
        // What a person names counts as much as what a scan saw.
        let span = journal.map(findings::malicious).transpose().map_err(|error| journal_failure(&error))?.flatten();
        let first = span.map(|(first, _)| first);
        let first = first.into_iter().chain(args.before).min();
        return choose(deployment, first, &indicators).await.map_err(failed);
    };
    let backup = find(deployment, file).await?;
    let (verdict, seen) = fetched(deployment, &backup, &indicators).await.map_err(failed)?;
    if verdict.usable() {
        remember(deployment, Occasion::Verified, &verdict, seen.as_ref(), None).map_err(failed)?;
    }
    let chosen = verdict.usable().then(|| verdict.backup.clone());
    Ok((vec![verdict], chosen))
}
