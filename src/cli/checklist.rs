use serde::Serialize;

use super::{Context, Exit, Failure, journal_failure};
use crate::domain::{Action, Outcome, Phase};
use crate::engine::{Deployment, Journal};
use crate::ledger::{Event, IncidentState};
use crate::policy::credentials::{CredentialPolicy, IssuerPolicy};
use crate::ui::{Printer, Record, Style, clean};

/// Items that only a person can attest.
const BY_PERSON: [(&str, &str); 4] = [
    ("recent-trades", "recent trades and logs were looked at by a person"),
    ("monitoring", "enhanced monitoring is staffed for the next 24 hours"),
    ("documented", "the incident is documented"),
    ("runbooks", "runbooks are updated with what was learned"),
];

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

#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the name in the JSON output")]
struct Item {
    item: String,
    done: bool,
    detail: String,
}

impl Record for Item {
    const TYPE: &'static str = "checklist";
    fn text(&self, printer: &Printer) -> String {
        let mark = if self.done { printer.paint(Style::Good, "[x]") } else { printer.paint(Style::Warn, "[ ]") };
        format!("  {mark} {:<28} {}", clean(&self.item), clean(&self.detail))
    }
}

/// Shows the post-recovery checklist, or attests an item of it.
pub async fn run(args: ChecklistArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let journal = ctx.open_case(&deployment)?;
    if let (Some(item), Some(note)) = (args.attest, args.note) {
        known(&deployment, &journal.state(), &item)?;
        journal
            .record(Event::ItemAttested { item, note, operator: ctx.settings.operator.clone() })
            .and_then(|_| journal.checkpoint())
            .map_err(|error| journal_failure(&error))?;
    }
    let items = items(&deployment, &journal).await;
    for item in &items {
        ctx.printer.emit(item);
    }
    Ok(if items.iter().all(|item| item.done) { Exit::Done } else { Exit::Incomplete })
}

/// What is attested must be something that is asked for: a typing error must not pass for an attestation.
fn known(deployment: &Deployment, state: &IncidentState, item: &str) -> Result<(), Failure> {
    let mut names: Vec<String> = BY_PERSON.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.extend(deployment.policies.resume.required_attestations.iter().cloned());
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

/// Constraints, indexes, sequences, migrations and the policy's invariants of the live database.
async fn integrity(deployment: &Deployment, database: &dyn crate::ports::Database) -> Item {
    let (done, detail) = match database.checks(&deployment.policies.recovery).await {
        Err(fault) => (false, fault.chain()),
        Ok(checks) => {
            let broken: Vec<_> = checks.iter().filter(|check| !check.passed).collect();
            let words = |check: &crate::domain::BackupCheck| format!("{}: {}", check.check, check.reason);
            if broken.is_empty() {
                (true, checks.iter().map(|check| check.reason.clone()).collect::<Vec<_>>().join("; "))
            } else {
                (false, broken.into_iter().map(words).collect::<Vec<_>>().join("; "))
            }
        }
    };
    Item { item: "database integrity".into(), done, detail }
}

async fn items(deployment: &Deployment, journal: &Journal) -> Vec<Item> {
    let state = journal.state();
    let mut items = Vec::new();
    for service in &deployment.services {
        let health = match tokio::time::timeout(std::time::Duration::from_secs(3), service.health()).await {
            Ok(health) => health.map_err(|fault| fault.chain()),
            Err(_) => Err("no healthy answer within 3 s".to_owned()),
        };
        let done = health.is_ok();
        items.push(Item {
            item: format!("service {}", service.name()),
            done,
            detail: health.unwrap_or_else(|words| words),
        });
    }
    if let Some(database) = &deployment.database {
        let ping = database.ping().await.map_err(|fault| fault.chain());
        let done = ping.is_ok();
        items.push(Item { item: "database".into(), done, detail: ping.unwrap_or_else(|words| words) });
    }
    if let Some(database) = &deployment.database {
        items.push(integrity(deployment, database.as_ref()).await);
    }
    for scan in &deployment.policies.resume.required_scans {
        let (done, detail) = match state.scans.get(scan) {
            Some(seen) if seen.complete => (true, format!("{} findings", seen.findings)),
            Some(seen) => {
                let person = state.attested.get(&format!("scan.{scan}"));
                let words = person.map_or_else(
                    || format!("attest what was not covered: portcullis checklist --attest scan.{scan} --note TEXT"),
                    |person| format!("accepted by {person}"),
                );
                (person.is_some(), format!("{} findings, NOT complete; {words}", seen.findings))
            }
            None => (false, format!("not done: portcullis scan {scan}")),
        };
        items.push(Item { item: format!("scan {scan}"), done, detail });
    }
    let manual = state.steps.iter().filter(|(_, step)| step.outcome == Some(Outcome::Manual));
    let mut asked: Vec<(String, String)> =
        BY_PERSON.iter().map(|(name, words)| ((*name).into(), (*words).into())).collect();
    asked.extend(
        deployment
            .policies
            .resume
            .required_attestations
            .iter()
            .map(|name| (name.clone(), "asked for by resume.yml".into())),
    );
    asked.extend(manual.map(|(id, step)| (id.to_string(), step.target.clone())));
    for (name, words) in asked {
        let person = state.attested.get(&name);
        let detail = person.map_or_else(
            || format!("{words}: portcullis checklist --attest {name} --note TEXT"),
            |person| format!("{words} ({person})"),
        );
        items.push(Item { item: name, done: person.is_some(), detail });
    }
    items
}
