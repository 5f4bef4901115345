use std::sync::Arc;

mod briefing;
mod ending;

use ending::{Ended, Summary, pause_holds};

use super::steps::{carry, copy_to_witnesses, print_plan};
use super::{Context, Exit, Failure, journal_failure};
use crate::domain::{CredentialId, IncidentId, Moment};
use crate::engine::lockdown::{contained, open, plan_lockdown, widen};
use crate::engine::notices::{GRACE, Notices};
use crate::engine::{Deployment, Journal, Opening, notice_words};
use crate::ledger::IncidentState;
use crate::ui::clean;

/// Arguments of `lockdown`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis lockdown --reason 'key seen in a paste' --compromised trading-key
  portcullis lockdown --plan --reason drill          (shows every step, touches nothing)
  portcullis lockdown --reason 'go on'               (again: continues the open incident, does only what is missing)")]
pub struct LockdownArgs {
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Credential that has leaked: it is killed before it is replaced (may be given more than once)
    #[arg(long, value_name = "ID")]
    compromised: Vec<CredentialId>,
    /// Show the plan and touch nothing
    #[arg(long)]
    plan: bool,
}

impl LockdownArgs {
    /// As another command asks for it.
    pub fn new(reason: String, compromised: Vec<CredentialId>) -> Self {
        Self { reason, compromised, plan: false }
    }
}

/// Opens an incident, or continues the open one, and contains it.
pub async fn run(args: LockdownArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    check_known(&deployment, &args.compromised)?;
    let continued = continued(ctx, &deployment)?;
    if args.plan {
        let state = match &continued {
            Some(_) => {
                Some(Journal::read_state(ctx.peek_case(&deployment)?.as_ref()).map_err(|e| journal_failure(&e))?)
            }
            None => None,
        };
        print_plan(ctx, &plan_lockdown(&deployment, state.as_ref(), &args.compromised));
        return Ok(Exit::Done);
    }
    let known = match &continued {
        Some(_) => Some(Journal::read_state(ctx.peek_case(&deployment)?.as_ref()).map_err(|e| journal_failure(&e))?),
        None => None,
    };
    confirm(ctx, &deployment, known.as_ref(), &args)?;
    let opening =
        Opening { reason: args.reason, operator: ctx.settings.operator.clone(), compromised: args.compromised };
    let journal = match continued {
        Some(_) => ctx.open_case(&deployment)?,
        None => open(&deployment, opening.clone()).map_err(|error| journal_failure(&error))?,
    };
    execute(ctx, &deployment, Arc::new(journal), &opening).await
}

/// Says what will happen, and asks once, by a word that nobody types by accident.
fn confirm(
    ctx: &Context,
    deployment: &Deployment,
    known: Option<&IncidentState>,
    args: &LockdownArgs,
) -> Result<(), Failure> {
    let plan = plan_lockdown(deployment, known, &args.compromised);
    for line in briefing::lines(deployment, &plan, known, &args.compromised) {
        ctx.printer.note(line);
    }
    let short = known.and_then(|state| state.incident.as_ref()).map(briefing::short_name);
    let words: Vec<&str> = std::iter::once("lockdown").chain(short).collect();
    let confirmed = ctx.confirm_by("Nothing was touched yet.", &words).map_err(|failure| match failure.exit {
        Exit::Usage => failure.hint("give --yes to confirm on the command line; --plan shows every step"),
        _ => failure,
    })?;
    if confirmed {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "not confirmed; nothing was touched").hint("see the plan with: --plan"))
}

async fn execute(
    ctx: &Context,
    deployment: &Deployment,
    journal: Arc<Journal>,
    opening: &Opening,
) -> Result<Exit, Failure> {
    widen(&journal, opening).map_err(|error| journal_failure(&error))?;
    let plan = plan_lockdown(deployment, Some(&journal.state()), &[]);
    let notices = Notices::new(deployment, Some(&journal), &opening.operator);
    notices.tell_missing(Moment::IncidentOpened, &notice_words::opened(deployment, &journal.state()));
    let carried = carry(ctx, deployment, &journal, "lockdown", &plan, &notices).await?;
    let state = journal.state();
    let paused = deployment.policies.pause.guard.is_none() || pause_holds(&state, &carried.reports);
    let done = paused && contained(deployment, &state);
    let moment = if done { Moment::Contained } else { Moment::NotContained };
    notices.tell(moment, &notice_words::ended(done, &state, &carried.reports));
    let told = notices.finish(GRACE).await;
    journal.checkpoint().map_err(|error| journal_failure(&error))?;
    let summary = Summary::new(&Ended {
        program: ctx.program(),
        deployment,
        state: &state,
        carried: &carried,
        holds: done,
        told,
    })
    .ok_or_else(|| Failure::new(Exit::Corrupt, "the ledger names no incident"))?;
    ctx.printer.emit(&summary);
    // Containment has ended and was said: a witness that hangs keeps nobody waiting for that.
    copy_to_witnesses(deployment, &journal, ctx).await;
    Ok(if carried.tally.failed + carried.tally.manual == 0 { Exit::Done } else { Exit::Incomplete })
}

/// The incident to continue: `--incident`, or the only open one.
fn continued(ctx: &Context, deployment: &Deployment) -> Result<Option<IncidentId>, Failure> {
    if ctx.incident.is_none() && ctx.open_incidents(deployment)?.is_empty() {
        return Ok(None);
    }
    ctx.incident(deployment).map(Some)
}

/// Every id must be declared: a typing error must not leave a leaked key alive.
pub(super) fn check_known(deployment: &Deployment, ids: &[CredentialId]) -> Result<(), Failure> {
    let known: Vec<&str> = deployment.policies.credentials.credentials.iter().map(|c| c.id.as_str()).collect();
    for id in ids {
        if !known.contains(&id.as_str()) {
            let near = crate::policy::nearest(id.as_str(), &known);
            let hint = near
                .map_or_else(|| format!("declared: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
            return Err(Failure::new(
                Exit::Usage,
                format!("credentials.yml declares no credential `{}`", clean(id.as_str())),
            )
            .hint(hint));
        }
    }
    Ok(())
}
