use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;
use serde::Serialize;

use super::resume::GateRecord;
use super::steps::told_lines;
use super::{Context, Exit, Failure, fault_failure, journal_failure};
use crate::adapters::case_files::open_read_only;
use crate::domain::{Digest, Moment};
use crate::engine::audit::{AuditError, current_record, export_again, prepare};
use crate::engine::notices::{GRACE, Notices};
use crate::engine::{CHECKPOINT, Journal, gather, notice_words, verify_case};
use crate::gate::{NAMESPACE, RECORD, Statement, is_open, may_resume};
use crate::ledger::{GateCheck, Verdict};
use crate::ui::{Printer, Record, Style, clean};

/// Subcommands of `audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Write the audit record that the approvers sign
    Prepare,
    /// Print the record plainly; with --gate, ask the gate without acting
    Show(ShowArgs),
    /// Verify a case folder by itself: no policies, no network, no key
    Verify(VerifyArgs),
    /// Write the DSSE envelope and the `allowed_signers` file again
    Export,
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
  portcullis audit verify /media/evidence/inc-20261124T105541Z-7f3a")]
pub struct VerifyArgs {
    /// Case folder [default: the open incident's]
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
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
        AuditError::Build(_) => Failure::from_error(Exit::Failed, "failed to make the audit record", error),
    }
}

/// The record, for people.
#[derive(Debug, Serialize)]
pub struct RecordRecord {
    path: String,
    sha256: Digest,
    statement: Statement,
}

impl RecordRecord {
    /// The current record of a case.
    pub fn of(journal: &Journal) -> Result<Self, AuditError> {
        let bytes = current_record(journal)?;
        let path = journal.store().location().join(RECORD).display().to_string();
        Ok(Self { path, sha256: Digest::of(&bytes), statement: Statement::parse(&bytes)? })
    }

    /// How an approver signs it.
    pub fn how_to_sign(&self) -> String {
        format!("ssh-keygen -Y sign -f KEY -n {NAMESPACE} {}", clean(&self.path))
    }
}

impl Record for RecordRecord {
    const TYPE: &'static str = "record";
    fn text(&self, printer: &Printer) -> String {
        let predicate = &self.statement.predicate;
        let mut lines = vec![
            format!("{}  {}", printer.paint(Style::Strong, "audit record"), clean(&self.path)),
            format!("  fingerprint  {}", self.sha256),
            format!("  incident     {}: {}", predicate.incident.id, clean(&predicate.incident.reason)),
            format!("  opened       {} by {}", predicate.incident.opened, clean(&predicate.incident.operator)),
            format!("  valid        {} until {}", predicate.issued, predicate.expires),
            format!("  ledger       {} entries, root {}", predicate.ledger.size, predicate.ledger.root),
        ];
        let pause = if predicate.pause.proven {
            printer.paint(Style::Good, "proven")
        } else {
            printer.paint(Style::Bad, "NOT PROVEN")
        };
        lines.push(format!("  pause        {pause}: {}", clean(&predicate.pause.detail)));
        for (id, credential) in &predicate.credentials {
            let dead = credential.new_accepted && credential.old_refused;
            let word =
                if dead { printer.paint(Style::Good, "dead") } else { printer.paint(Style::Bad, "NOT PROVEN DEAD") };
            lines.push(format!(
                "  credential   {id}: old value {word} ({}), {}",
                clean(&credential.strength),
                clean(&credential.detail)
            ));
        }
        for (name, scan) in &predicate.scans {
            let whole = if scan.complete { "complete" } else { "NOT complete" };
            lines.push(format!("  scan         {}: {} findings, {whole}", clean(name), scan.findings));
        }
        let decided = predicate.findings.decided.len();
        let open: u64 = predicate.findings.open.values().sum();
        lines.push(format!("  findings     {decided} decided, {open} open"));
        if let Some(backup) = &predicate.recovery.backup {
            lines.push(format!("  restored     {}", clean(backup)));
        }
        for exception in &predicate.exceptions {
            let outcome = exception.outcome.map_or("in flight".to_owned(), |outcome| outcome.to_string());
            let word = printer.paint(Style::Warn, outcome);
            lines.push(format!("  exception    {word} {}: {}", clean(&exception.target), clean(&exception.detail)));
        }
        let roles = predicate.quorum.roles.iter().map(|(role, count)| format!("{count} of them {}", clean(role)));
        let asked: Vec<_> = std::iter::once(format!("{} people", predicate.quorum.threshold)).chain(roles).collect();
        lines.push(format!("  quorum       {}", asked.join(", ")));
        lines.join("\n")
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
        AuditCommand::Prepare => prepare_record(ctx).await,
        AuditCommand::Show(args) => show(&args, ctx).await,
        AuditCommand::Verify(args) => verify(&args, ctx),
        AuditCommand::Export => export(ctx),
    }
}

async fn prepare_record(ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let journal = Arc::new(ctx.open_case(&deployment)?);
    prepare(&journal, &deployment.policies, deployment.machine.as_ref(), deployment.clock.now())
        .map_err(|error| audit_failure(&error))?;
    let record = RecordRecord::of(&journal).map_err(|error| audit_failure(&error))?;
    ctx.printer.emit(&record);
    ctx.printer.say(format!(
        "\nnext: each approver signs with\n  {}\nand the signature comes back with\n  portcullis approve --approver NAME --signature {}.sig",
        record.how_to_sign(),
        clean(&record.path)
    ));
    let notices = Notices::new(&deployment, Some(&journal), &ctx.settings.operator);
    let (threshold, expires) = (deployment.policies.resume.threshold, record.statement.predicate.expires);
    let words = notice_words::approval_needed(threshold, &record.sha256.to_string(), &expires.to_string());
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
    let input = gather(&journal, &deployment).await.map_err(|error| audit_failure(&error))?;
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
    let verdict = verify_case(&store);
    for check in &verdict.checks {
        ctx.printer.emit(&CheckRecord(check));
    }
    let holds = verdict.holds() && verdict.checks.iter().all(|check| check.verdict == Verdict::Pass);
    ctx.printer.emit(&VerifySummary { case: store.location().display().to_string(), holds, unbound: verdict.unbound });
    Ok(if holds { Exit::Done } else { Exit::Corrupt })
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
