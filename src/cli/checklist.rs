use serde::Serialize;

use super::{Context, Exit, Failure, journal_failure};
use crate::domain::{Action, ChecklistItem, Outcome, Phase};
use crate::engine::checklist::{BY_PERSON, record, review, service_item};
use crate::engine::{Deployment, Journal};
use crate::ledger::{Event, IncidentState};
use crate::policy::credentials::{CredentialPolicy, IssuerPolicy};
use crate::ui::{Printer, Record, Style, clean};

/// Arguments of `checklist`.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis checklist
  portcullis checklist --attest monitoring --note 'bob until 8, carol after'
  portcullis checklist --attest rotate.exchange.1.manual --note 'done at the console, ticket 42'")]
pub struct ChecklistArgs {
    /// Item, or a step that was left to a person, that you attest
    #[arg(long, value_name = "ITEM", requires = "note")]
    attest: Option<String>,
    /// What you did or saw
    #[arg(long, value_name = "TEXT", requires = "attest")]
    note: Option<String>,
}

/// An item's record.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct ItemRecord<'a>(&'a ChecklistItem);

impl Record for ItemRecord<'_> {
    const TYPE: &'static str = "checklist";
    fn text(&self, printer: &Printer) -> String {
        let item = self.0;
        let mark = if item.done { printer.paint(Style::Good, "[x]") } else { printer.paint(Style::Warn, "[ ]") };
        // The name is never cut: it is what `--attest` takes.
        format!("  {mark} {:<20} {}", clean(&item.item), clean(&item.detail))
    }
}

/// Shows the post-recovery checklist, or attests an item of it.
pub async fn run(args: ChecklistArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let journal = ctx.open_case(&deployment)?;
    let attests = args.attest.is_some();
    if let (Some(item), Some(note)) = (args.attest, args.note) {
        known(&deployment, &journal.state(), &item)?;
        journal
            .record(Event::ItemAttested { item, note, operator: ctx.settings.operator.clone() })
            .and_then(|_| journal.checkpoint())
            .map_err(|error| journal_failure(&error))?;
    }
    show(ctx, &deployment, &journal, attests).await
}

/// Goes through the list and shows it; `keep` writes what was seen into the ledger, for the audit record. A look alone writes nothing: it
/// must not make a record stale that is being signed.
pub async fn show(ctx: &Context, deployment: &Deployment, journal: &Journal, keep: bool) -> Result<Exit, Failure> {
    let items = review(deployment, journal).await.map_err(|error| journal_failure(&error))?;
    for item in &items {
        ctx.printer.emit(&ItemRecord(item));
    }
    let done = items.iter().all(|item| item.done);
    if keep {
        record(journal, items, &ctx.settings.operator)
            .and_then(|()| journal.checkpoint())
            .map_err(|error| journal_failure(&error))?;
    }
    Ok(if done { Exit::Done } else { Exit::Incomplete })
}

/// What is attested must be something that is asked for: a typing error must not pass for an attestation.
fn known(deployment: &Deployment, state: &IncidentState, item: &str) -> Result<(), Failure> {
    let mut names: Vec<String> = BY_PERSON.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.extend(deployment.policies.resume.required_attestations.iter().cloned());
    let services = deployment.policies.credentials.services.iter();
    names.extend(services.filter(|service| service.health.is_none()).map(|service| service_item(&service.name)));
    if deployment.services.is_empty() {
        names.push("services".to_owned());
    }
    // What the gate asks of people by name: credentials that only they can replace, evidence that could not be captured, orders that
    // could not be cancelled,
    // and the pause itself where there is no guard to prove it.
    let manual = |credential: &&CredentialPolicy| matches!(credential.issuer, IssuerPolicy::Manual { .. });
    let by_hand = deployment.policies.credentials.credentials.iter().filter(manual);
    names.extend(by_hand.map(|credential| credential.id.to_string()));
    let lost = state
        .steps
        .iter()
        .filter(|(_, step)| step.phase == Phase::Evidence || matches!(step.action, Action::CancelOrders { .. }))
        .filter(|(_, step)| !step.outcome.is_some_and(Outcome::is_success));
    names.extend(lost.map(|(id, _)| id.to_string()));
    if deployment.policies.pause.guard.is_none() {
        names.push("pause".to_owned());
    }
    names.extend(state.scans.iter().filter(|(_, scan)| !scan.complete).map(|(name, _)| format!("scan.{name}")));
    names.extend(
        state.steps.iter().filter(|(_, step)| step.outcome == Some(Outcome::Manual)).map(|(id, _)| id.to_string()),
    );
    if names.iter().any(|name| name == item) {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, format!("there is nothing called `{}` to attest", clean(item)))
        .hint(format!("known: {}", names.join(", "))))
}
