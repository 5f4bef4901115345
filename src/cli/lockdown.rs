use std::sync::Arc;

use serde::Serialize;

use super::steps::{Live, print_plan};
use super::{Context, Exit, Failure, journal_failure};
use crate::domain::{CredentialId, IncidentId};
use crate::engine::lockdown::{Tally, carry_out, contained, open, plan_lockdown, widen};
use crate::engine::{Deployment, Journal, Opening};
use crate::ui::{Printer, Record, Style, clean};

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

/// The `summary` of a lockdown.
#[derive(Debug, Serialize)]
struct Summary {
    incident: IncidentId,
    pause_ms: Option<u64>,
    contained: bool,
    steps: usize,
    failed: usize,
    manual: usize,
}

impl Record for Summary {
    const TYPE: &'static str = "summary";
    fn text(&self, printer: &Printer) -> String {
        let pause = self.pause_ms.map_or("pause NOT proven".to_owned(), |ms| format!("pause proven after {ms} ms"));
        let state = if self.contained {
            printer.paint(Style::Good, "CONTAINED")
        } else {
            printer.paint(Style::Bad, "NOT CONTAINED YET")
        };
        let next = if self.failed > 0 {
            "mend what failed, then the same command again: it does only what is missing".to_owned()
        } else if self.manual > 0 {
            "do what is left to a person and attest it: portcullis checklist --attest STEP --note TEXT".to_owned()
        } else {
            "find what was done: portcullis scan logs PATH, scan trades, scan secrets PATH, scan database".to_owned()
        };
        format!(
            "\n{state}  incident {}: {pause}; {} steps, {} failed, {} for a person\nnext: {next}",
            self.incident, self.steps, self.failed, self.manual
        )
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
    let credentials = deployment.policies.credentials.credentials.len();
    let question = match &continued {
        Some(incident) => format!("Incident {incident} is open. Continue its lockdown?"),
        None => format!("This stops trading now and replaces {credentials} credentials."),
    };
    if !ctx.confirm(&question)? {
        return Err(Failure::new(Exit::Usage, "not confirmed; nothing was touched").hint("see the plan with: --plan"));
    }
    let opening =
        Opening { reason: args.reason, operator: ctx.settings.operator.clone(), compromised: args.compromised };
    let journal = match continued {
        Some(_) => ctx.open_case(&deployment)?,
        None => open(&deployment, opening.clone()).map_err(|error| journal_failure(&error))?,
    };
    execute(ctx, &deployment, Arc::new(journal), &opening).await
}

async fn execute(
    ctx: &Context,
    deployment: &Deployment,
    journal: Arc<Journal>,
    opening: &Opening,
) -> Result<Exit, Failure> {
    widen(&journal, opening).map_err(|error| journal_failure(&error))?;
    let plan = plan_lockdown(deployment, Some(&journal.state()), &[]);
    let live = Live::new(ctx, "lockdown");
    let reports =
        carry_out(deployment, &journal, "lockdown", &opening.operator, &plan, &|event| live.hear(event)).await;
    live.finish();
    let reports = reports.map_err(|error| journal_failure(&error))?;
    let (state, tally) = (journal.state(), Tally::of(&reports));
    let incident = state.incident.clone().ok_or_else(|| Failure::new(Exit::Corrupt, "the ledger names no incident"))?;
    ctx.printer.emit(&Summary {
        incident,
        pause_ms: state.pause.pause_ms.filter(|_| state.pause.proven),
        contained: contained(deployment, &state),
        steps: tally.steps,
        failed: tally.failed,
        manual: tally.manual,
    });
    Ok(if tally.failed + tally.manual == 0 { Exit::Done } else { Exit::Incomplete })
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
