use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::audit::{RecordRecord, audit_failure};
use super::{Context, Exit, Failure, fault_failure};
use crate::adapters::ssh_agent::SshAgent;
use crate::engine::audit::{approve, current_record};
use crate::engine::{Deployment, Journal};
use crate::gate::{MAX_SIGNATURE_BYTES, PublicKey, Purpose, Roster, Statement, agent_request, armored};
use crate::ui::{Printer, Record, Style, clean};

/// Arguments of `approve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis approve                                                 (what is signed, and how)
  portcullis approve --approver alice --signature audit-record.json.sig
  portcullis approve --approver alice --agent                        (signs by ssh-agent, after showing what)
  portcullis approve --approver alice --agent --refuse               (a signed refusal: the gate stays shut)")]
pub struct ApproveArgs {
    /// Name in policies/resume.yml
    #[arg(long, value_name = "NAME")]
    approver: Option<String>,
    /// File that `ssh-keygen -Y sign` wrote
    #[arg(long, value_name = "FILE", requires = "approver", conflicts_with = "agent")]
    signature: Option<PathBuf>,
    /// Have the approver's key in the ssh-agent (`SSH_AUTH_SOCK`) sign
    #[arg(long, requires = "approver")]
    agent: bool,
    /// Refuse the record: one signed refusal keeps the gate shut for it
    #[arg(long)]
    refuse: bool,
}

#[derive(Debug, Serialize)]
struct ApprovalRecord {
    approver: String,
    key: String,
    refused: bool,
    approvals: usize,
    threshold: u32,
}

impl Record for ApprovalRecord {
    const TYPE: &'static str = "approval";
    fn text(&self, printer: &Printer) -> String {
        let (approver, key) = (clean(&self.approver), clean(&self.key));
        if self.refused {
            return format!(
                "{}  {approver} with {key}\nthe gate stays shut for this record; mend what is objected to, then: portcullis audit prepare",
                printer.paint(Style::Bad, "refused")
            );
        }
        let next = if self.approvals >= self.threshold as usize { "next: portcullis resume" } else { "more must sign" };
        format!(
            "{}  {approver} with {key} ({} of {})\n{next}",
            printer.paint(Style::Good, "approved"),
            self.approvals,
            self.threshold
        )
    }
}

/// Shows what is signed, or takes a signature.
pub fn run(args: &ApproveArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let journal = ctx.open_case(&deployment)?;
    let bytes = match (&args.approver, &args.signature) {
        (Some(_), Some(path)) => read(path)?,
        (Some(approver), None) if args.agent => match by_agent(args, ctx, &deployment, &journal, approver)? {
            Some(bytes) => bytes,
            None => return Err(Failure::new(Exit::Usage, "not confirmed; nothing was signed")),
        },
        (Some(_), None) => {
            return Err(Failure::new(Exit::Usage, "the signature is missing")
                .hint("give --signature FILE, or --agent to sign by ssh-agent"));
        }
        (None, _) => {
            let record = RecordRecord::of(&journal).map_err(|error| audit_failure(&error))?;
            ctx.printer.emit(&record);
            ctx.printer.say(format!("\nto approve: {}", record.how_to_sign()));
            ctx.printer.say(format!("to refuse:  {}", record.how_to_refuse()));
            return Ok(Exit::Done);
        }
    };
    let approver = args.approver.as_deref().unwrap_or_default();
    let (policies, now) = (&deployment.policies, deployment.clock.now());
    let signed = approve(&journal, policies, approver, &bytes, now).map_err(|error| audit_failure(&error))?;
    let refused = signed.purpose == Purpose::Refuse;
    if args.refuse && !refused {
        ctx.printer.warn("the signature approves: it was recorded as an approval, not as a refusal");
    }
    let mut people: Vec<_> = journal.state().approvals.into_iter().map(|approval| approval.approver).collect();
    people.sort();
    people.dedup();
    let required = Roster::new(&policies.resume).and_then(|roster| roster.required(signed.purpose));
    let threshold = match signed.purpose {
        Purpose::Refuse => policies.resume.threshold,
        _ => required.map_or(policies.resume.threshold, |required| required.threshold),
    };
    let (approver, key) = (signed.by.name, signed.by.key);
    ctx.printer.emit(&ApprovalRecord { approver, key, refused, approvals: people.len(), threshold });
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_SIGNATURE_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::from_error(Exit::Usage, format!("failed to read {}", path.display()), &error))?;
    Ok(bytes)
}

/// Shows the record, asks, and has the agent sign its bytes. None if the person does not confirm.
fn by_agent(
    args: &ApproveArgs,
    ctx: &Context,
    deployment: &Deployment,
    journal: &Journal,
    approver: &str,
) -> Result<Option<Vec<u8>>, Failure> {
    let socket = ctx.settings.agent_socket.as_ref().ok_or_else(|| {
        Failure::new(Exit::Usage, "SSH_AUTH_SOCK is not set, so that no ssh-agent can be asked")
            .hint("sign with ssh-keygen instead; how is printed by: portcullis approve")
    })?;
    let bytes = current_record(journal).map_err(|error| audit_failure(&error))?;
    let statement = Statement::parse(&bytes).map_err(|error| audit_failure(&error.into()))?;
    let purpose = if args.refuse { Purpose::Refuse } else { statement.purpose() };
    let fault = |fault| fault_failure("failed to sign by ssh-agent", &fault);
    let mut agent = SshAgent::connect(socket).map_err(fault)?;
    let held = agent.keys().map_err(fault)?;
    let roster = Roster::new(&deployment.policies.resume).map_err(|error| audit_failure(&error.into()))?;
    let key: Option<PublicKey> = roster
        .keys()
        .filter(|(person, _)| person.name == approver)
        .map(|(_, key)| key.clone())
        .find(|key| held.iter().any(|blob| blob == key.blob()));
    let key = key.ok_or_else(|| {
        let message = format!("the ssh-agent holds no key that resume.yml names for `{}`", clean(approver));
        Failure::new(Exit::Usage, message).hint("add it with: ssh-add KEY")
    })?;
    ctx.printer.emit(&RecordRecord::of(journal).map_err(|error| audit_failure(&error))?);
    let what = if args.refuse { "REFUSE" } else { "approve" };
    if !ctx.confirm(&format!("{} will {what} this record with {}.", clean(approver), key.fingerprint()))? {
        return Ok(None);
    }
    let signature = agent.sign(key.blob(), &agent_request(purpose, &bytes)).map_err(fault)?;
    Ok(Some(armored(&key, purpose, &signature)))
}
