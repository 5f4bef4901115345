use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use serde::Serialize;

pub use super::audit_record::RecordRecord;
use super::resume::GateRecord;
use super::steps::{copy_to_witnesses, told_lines};
use super::{Context, Exit, Failure, fault_failure, journal_failure};
use crate::adapters::case_files::open_read_only;
use crate::domain::Moment;
use crate::engine::audit::{AuditError, Preparing, export_again, prepare};
use crate::engine::checklist;
use crate::engine::notices::{GRACE, Notices};
use crate::engine::{CHECKPOINT, gather, notice_words, verify_case_against};
use crate::gate::{BuildError, is_open, may_resume};
use crate::ledger::{GateCheck, MAX_CHECKPOINT_BYTES};
use crate::ui::{Printer, Record, Style, clean};

/// Subcommands of `audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Write the audit record that the approvers sign
    Prepare(PrepareArgs),
    /// Print the record plainly; with --gate, ask the gate without acting
    Show(ShowArgs),
    /// Verify a case folder by itself: no policies, no network, no key
    Verify(VerifyArgs),
    /// Write the DSSE envelope and the `allowed_signers` file again
    Export,
}

/// Arguments of `audit prepare`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis audit prepare
  portcullis audit prepare --break-glass 'the exchange is down for days' --waive credential.exchange

A record that waives checks is of a type of its own, needs the higher quorum and the delay of `break_glass` in resume.yml, and
says in every place what was waived.")]
pub struct PrepareArgs {
    /// Why trading must resume although checks refuse
    #[arg(long, value_name = "TEXT", requires = "waive")]
    break_glass: Option<String>,
    /// Check of the gate that need not pass
    #[arg(long, value_name = "CHECK", requires = "break_glass")]
    waive: Vec<String>,
}

/// Arguments of `audit show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Ask every check of the gate too
    #[arg(long)]
    gate: bool,
}

/// Arguments of `audit verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis audit verify
  portcullis audit verify /media/evidence/inc-20261124T105541Z-7f3a
  portcullis audit verify --checkpoint ~/checkpoint-of-tuesday       (a copy that you kept)")]
pub struct VerifyArgs {
    /// Case folder [default: the open incident's]
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// Copy of `checkpoint` that was kept elsewhere: the ledger must go on from it
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
}

/// The failure that an error of the audit stands for.
pub fn audit_failure(error: &AuditError) -> Failure {
    match error {
        AuditError::Journal(error) => journal_failure(error),
        AuditError::Store(fault) => fault_failure("failed to use the case folder", fault),
        AuditError::NoRecord => {
            Failure::new(Exit::Usage, "there is no audit record").hint("make one with: portcullis audit prepare")
        }
        AuditError::Changed(_) | AuditError::Record(_) => {
            Failure::from_error(Exit::Corrupt, "the case fails verification", error)
                .hint("see what changed: portcullis audit verify")
        }
        AuditError::Approval(_) | AuditError::OtherPerson { .. } => {
            Failure::from_error(Exit::Refused, "the approval is refused", error)
                .hint("the roster is policies/resume.yml; what to sign is printed by: portcullis approve")
        }
        AuditError::Roster(_) => Failure::from_error(Exit::Usage, "policies/resume.yml can't decide", error)
            .hint("name enough approvers with their keys in policies/resume.yml"),
        AuditError::Resumed => Failure::new(Exit::Usage, "trading was resumed already; the incident is closed"),
        AuditError::Build(BuildError::BreakGlass(_)) => Failure::from_error(
            Exit::Usage,
            "no such record can be made",
            error,
        )
        .hint(
            "`break_glass` in resume.yml says whether and by whom; checks are named by: portcullis audit show --gate",
        ),
        AuditError::Build(_) => Failure::from_error(Exit::Failed, "failed to make the audit record", error),
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct CheckRecord<'a>(&'a GateCheck);

impl Record for CheckRecord<'_> {
    const TYPE: &'static str = "check";
    fn text(&self, printer: &Printer) -> String {
        GateRecord(self.0).text(printer)
    }
}

#[derive(Debug, Serialize)]
struct VerifySummary {
    case: String,
    holds: bool,
    unbound: Vec<String>,
}

impl Record for VerifySummary {
    const TYPE: &'static str = "summary";
    fn text(&self, printer: &Printer) -> String {
        let verdict =
            if self.holds { printer.paint(Style::Good, "HOLDS") } else { printer.paint(Style::Bad, "DOES NOT HOLD") };
        let mut text = format!("\n{verdict}  {}", clean(&self.case));
        for path in &self.unbound {
            text.push_str(&format!("\n  {} {}", printer.paint(Style::Warn, "bound to nothing:"), clean(path)));
        }
        text
    }
}

/// Runs a subcommand.
pub async fn run(command: AuditCommand, ctx: &Context) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Prepare(args) => prepare_record(&args, ctx).await,
        AuditCommand::Show(args) => show(&args, ctx).await,
        AuditCommand::Verify(args) => verify(&args, ctx),
        AuditCommand::Export => export(ctx),
    }
}

async fn prepare_record(args: &PrepareArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let journal = Arc::new(ctx.open_case(&deployment)?);
    let waive = args.break_glass.as_deref().map(|reason| (reason, args.waive.as_slice()));
    let by = Preparing { operator: &ctx.settings.operator, waive };
    // As it is now: the approvers read it in the record.
    let items = checklist::review(&deployment, &journal).await.map_err(|error| journal_failure(&error))?;
    checklist::record(&journal, items, &ctx.settings.operator).map_err(|error| journal_failure(&error))?;
    let statement = prepare(&journal, &deployment.policies, deployment.machine.as_ref(), deployment.clock.now(), &by)
        .map_err(|error| audit_failure(&error))?;
    let record = RecordRecord::of(&journal).map_err(|error| audit_failure(&error))?;
    ctx.printer.emit(&record);
    ctx.printer.say(format!(
        "\nnext: each approver signs with\n  {}\nand the signature comes back with\n  portcullis approve --approver NAME --signature {}.sig",
        record.how_to_sign(),
        record.place()
    ));
    copy_to_witnesses(&deployment, &journal, ctx).await;
    let notices = Notices::new(&deployment, Some(&journal), &ctx.settings.operator);
    let (threshold, expires) = (statement.predicate.quorum.threshold, statement.predicate.expires);
    let words = notice_words::approval_needed(threshold, &record.digest().to_string(), &expires.to_string());
    notices.tell(Moment::ApprovalNeeded, &words);
    let told = notices.finish(GRACE).await;
    journal.checkpoint().map_err(|error| journal_failure(&error))?;
    ctx.printer.say_all(&told_lines(&ctx.printer, &told));
    Ok(Exit::Done)
}

async fn show(args: &ShowArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let journal = ctx.open_case(&deployment)?;
    match RecordRecord::of(&journal) {
        Ok(record) => ctx.printer.emit(&record),
        // The gate has something to say without a record too.
        Err(AuditError::NoRecord) if args.gate => {}
        Err(error) => return Err(audit_failure(&error)),
    }
    if !args.gate {
        return Ok(Exit::Done);
    }
    let input = gather(&journal, &deployment, None).await.map_err(|error| audit_failure(&error))?;
    let checks = may_resume(&input);
    ctx.printer.say("");
    for check in &checks {
        ctx.printer.emit(&GateRecord(check));
    }
    Ok(if is_open(&checks) { Exit::Done } else { Exit::Refused })
}

fn verify(args: &VerifyArgs, ctx: &Context) -> Result<Exit, Failure> {
    let store = match &args.path {
        Some(path) => open_read_only(path).map_err(|fault| fault_failure("failed to open the case folder", &fault))?,
        None => ctx.peek_case(&ctx.deployment()?)?,
    };
    let kept = args.checkpoint.iter().map(|path| read_checkpoint(path)).collect::<Result<Vec<_>, _>>()?;
    let verdict = verify_case_against(&store, &kept);
    for check in &verdict.checks {
        ctx.printer.emit(&CheckRecord(check));
    }
    let holds = verdict.holds();
    ctx.printer.emit(&VerifySummary { case: store.location().display().to_string(), holds, unbound: verdict.unbound });
    Ok(if holds { Exit::Done } else { Exit::Corrupt })
}

fn read_checkpoint(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // One byte more than is read as a checkpoint: what is too long is refused as such.
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_CHECKPOINT_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::from_error(Exit::Usage, format!("failed to read {}", path.display()), &error))?;
    Ok(bytes)
}

fn export(ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let journal = ctx.open_case(&deployment)?;
    export_again(&journal, deployment.machine.as_ref()).map_err(|error| audit_failure(&error))?;
    let folder = journal.store().location().display().to_string();
    ctx.printer.say(format!(
        "written: {0}/audit-record.dsse.json, {0}/allowed_signers (ledger head: {0}/{CHECKPOINT})",
        clean(&folder)
    ));
    Ok(Exit::Done)
}
