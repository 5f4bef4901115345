use std::io::Read;
use std::path::PathBuf;

use serde::Serialize;

use super::audit::{RecordRecord, audit_failure};
use super::{Context, Exit, Failure};
use crate::engine::audit::approve;
use crate::gate::MAX_SIGNATURE_BYTES;
use crate::ui::{Printer, Record, Style, clean};

/// Arguments of `approve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis approve                                                 (what is signed, and how)
  portcullis approve --approver alice --signature audit-record.json.sig")]
pub struct ApproveArgs {
    /// Name in policies/resume.yml
    #[arg(long, value_name = "NAME", requires = "signature")]
    approver: Option<String>,
    /// File that `ssh-keygen -Y sign` wrote
    #[arg(long, value_name = "FILE", requires = "approver")]
    signature: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct ApprovalRecord {
    approver: String,
    key: String,
    approvals: usize,
    threshold: u32,
}

impl Record for ApprovalRecord {
    const TYPE: &'static str = "approval";
    fn text(&self, printer: &Printer) -> String {
        let next = if self.approvals >= self.threshold as usize { "next: portcullis resume" } else { "more must sign" };
        format!(
            "{}  {} with {} ({} of {})\n{next}",
            printer.paint(Style::Good, "approved"),
            clean(&self.approver),
            clean(&self.key),
            self.approvals,
            self.threshold
        )
    }
}

/// Shows what is signed, or takes a signature.
pub fn run(args: &ApproveArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let journal = ctx.open_case(&deployment)?;
    let (Some(approver), Some(path)) = (&args.approver, &args.signature) else {
        let record = RecordRecord::of(&journal).map_err(|error| audit_failure(&error))?;
        ctx.printer.emit(&record);
        ctx.printer.say(format!("\nto approve: {}", record.how_to_sign()));
        return Ok(Exit::Done);
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_SIGNATURE_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::from_error(Exit::Usage, format!("failed to read {}", path.display()), &error))?;
    let counted = approve(&journal, &deployment.policies, approver, &bytes).map_err(|error| audit_failure(&error))?;
    let mut people: Vec<_> = journal.state().approvals.into_iter().map(|approval| approval.approver).collect();
    people.sort();
    people.dedup();
    let threshold = deployment.policies.resume.threshold;
    ctx.printer.emit(&ApprovalRecord { approver: counted.name, key: counted.key, approvals: people.len(), threshold });
    Ok(Exit::Done)
}
