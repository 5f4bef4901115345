use std::sync::Arc;

use clap::Subcommand;
use secrecy::ExposeSecret;
use serde::Serialize;

use super::lockdown::check_known;
use super::steps::{Carried, carry, ending, told_lines};
use super::{Context, Exit, Failure, journal_failure};
use crate::domain::{CredentialId, Moment, Plan, StepSpec};
use crate::engine::lockdown::open;
use crate::engine::notices::{GRACE, Notices, Told};
use crate::engine::{Deployment, Journal, Opening, notice_words};
use crate::ledger::{CredentialState, IncidentState};
use crate::playbook::{self};
use crate::policy::credentials::{CredentialPolicy, IssuerPolicy};
use crate::ui::{Printer, Record, Style, clean};

/// Subcommands of `keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Show every credential: who honours it, where it is kept, by fingerprint, and its last proof
    List,
    /// Replace credentials, kill the old values and prove it (all of them without an ID)
    Rotate(KeyArgs),
    /// Kill the current values only
    Revoke(KeyArgs),
    /// Prove again: new value accepted, old value refused
    Prove(KeyArgs),
}

/// Arguments of the subcommands that act.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// Credentials, as credentials.yml names them
    #[arg(value_name = "ID")]
    ids: Vec<CredentialId>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "keys")]
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Rotate,
    Revoke,
    Prove,
}

/// Runs a subcommand.
pub async fn run(command: KeysCommand, ctx: &Context) -> Result<Exit, Failure> {
    match command {
        KeysCommand::List => list(ctx).await,
        KeysCommand::Rotate(args) => act(args, Verb::Rotate, ctx).await,
        KeysCommand::Revoke(args) => act(args, Verb::Revoke, ctx).await,
        KeysCommand::Prove(args) => act(args, Verb::Prove, ctx).await,
    }
}

#[derive(Debug, Serialize)]
struct KeyRecord {
    credential: CredentialId,
    title: Option<String>,
    issuer: String,
    stores: Vec<StoreRecord>,
    used_by: Vec<String>,
    proof: Option<String>,
}

#[derive(Debug, Serialize)]
struct StoreRecord {
    store: String,
    value: Option<String>,
    problem: Option<String>,
}

impl Record for KeyRecord {
    const TYPE: &'static str = "credential";
    fn text(&self, printer: &Printer) -> String {
        let mut text = printer.paint(Style::Strong, self.credential.as_str());
        text.push_str(&format!("  {}", clean(&self.issuer)));
        for store in &self.stores {
            let value = match (&store.value, &store.problem) {
                (Some(value), _) => value.clone(),
                (None, Some(problem)) => printer.paint(Style::Warn, clean(problem)),
                (None, None) => printer.paint(Style::Warn, "no value"),
            };
            text.push_str(&format!("\n    kept   {:<40} {value}", clean(&store.store)));
        }
        if !self.used_by.is_empty() {
            text.push_str(&format!("\n    used   {}", clean(&self.used_by.join(", "))));
        }
        if let Some(proof) = &self.proof {
            text.push_str(&format!("\n    proof  {}", clean(proof)));
        }
        text
    }
}

async fn list(ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let state = match ctx.open_incidents(&deployment)?.len() {
        0 if ctx.incident.is_none() => IncidentState::default(),
        _ => Journal::read_state(ctx.peek_case(&deployment)?.as_ref()).map_err(|error| journal_failure(&error))?,
    };
    let mut problems = false;
    for credential in &deployment.policies.credentials.credentials {
        let record = record(&deployment, credential, state.credentials.get(&credential.id)).await;
        problems |= record.stores.iter().any(|store| store.problem.is_some());
        ctx.printer.emit(&record);
    }
    Ok(if problems { Exit::Incomplete } else { Exit::Done })
}

async fn record(deployment: &Deployment, credential: &CredentialPolicy, known: Option<&CredentialState>) -> KeyRecord {
    let prints = deployment.machine.fingerprints();
    let mut stores = Vec::new();
    for slot in &credential.kept {
        let store = deployment.store(slot);
        let (value, problem) = match store.read(slot).await {
            Ok(value) => (value.map(|value| prints.fingerprint(value.expose_secret()).to_string()), None),
            Err(fault) => (None, Some(fault.chain())),
        };
        stores.push(StoreRecord { store: store.describe(slot), value, problem });
    }
    let issuer = match &credential.issuer {
        IssuerPolicy::PostgresRole { role, .. } => format!("PostgreSQL role {role}"),
        IssuerPolicy::ApiKeyTable { table, key_id, .. } => format!("key table {table}, row {key_id}"),
        IssuerPolicy::SelfMade { .. } => "made by the deployment".to_owned(),
        IssuerPolicy::AwsIamUser(policy) => format!("AWS IAM user {}", policy.user),
        IssuerPolicy::AwsRoleSessions(policy) => format!("sessions of {}", policy.role_arn),
        IssuerPolicy::HttpApi(policy) => format!("{} {}", policy.create.method, policy.create.url),
        IssuerPolicy::Manual { .. } => "by hand".to_owned(),
    };
    KeyRecord {
        credential: credential.id.clone(),
        title: credential.title.clone(),
        issuer,
        stores,
        used_by: credential.used_by.clone(),
        proof: known.filter(|known| known.proof_seq.is_some()).map(|known| known.detail.clone()),
    }
}

async fn act(args: KeyArgs, verb: Verb, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    check_known(&deployment, &args.ids)?;
    let chosen: Vec<&CredentialPolicy> = deployment
        .policies
        .credentials
        .credentials
        .iter()
        .filter(|credential| args.ids.is_empty() || args.ids.contains(&credential.id))
        .collect();
    let (words, command) = match verb {
        Verb::Rotate => ("replaces", "keys rotate"),
        Verb::Revoke => ("kills", "keys revoke"),
        Verb::Prove => ("tries", "keys prove"),
    };
    if verb != Verb::Prove && !ctx.confirm(&format!("This {words} {} credentials now.", chosen.len()))? {
        return Err(Failure::new(Exit::Usage, "not confirmed; nothing was touched"));
    }
    let operator = ctx.settings.operator.clone();
    let opened = ctx.incident.is_none() && ctx.open_incidents(&deployment)?.is_empty();
    let journal = if opened {
        if verb == Verb::Prove {
            return Err(Failure::new(Exit::Usage, "nothing was rotated yet, so there is no old value to try")
                .hint("portcullis keys rotate ID, or portcullis lockdown --reason TEXT"));
        }
        let opening = Opening { reason: args.reason, operator: operator.clone(), compromised: Vec::new() };
        open(&deployment, opening).map_err(|error| journal_failure(&error))?
    } else {
        ctx.open_case(&deployment)?
    };
    let journal = Arc::new(journal);
    let plan = plan(&deployment, &journal.state(), &chosen, verb);
    let notices = Notices::new(&deployment, Some(&journal), &operator);
    if opened {
        notices.tell_missing(Moment::IncidentOpened, &notice_words::opened(&deployment, &journal.state()));
    }
    let carried = carry(ctx, &deployment, &journal, command, &plan, &notices).await?;
    let told = notices.finish(GRACE).await;
    close(ctx, &journal, verb, &carried, &told)?;
    let tally = carried.tally;
    Ok(if tally.failed + tally.manual == 0 { Exit::Done } else { Exit::Incomplete })
}

/// Signs what the notices added, and says how it ended.
fn close(ctx: &Context, journal: &Journal, verb: Verb, carried: &Carried, told: &[Told]) -> Result<(), Failure> {
    journal.checkpoint().map_err(|error| journal_failure(&error))?;
    let tally = carried.tally;
    let (done, again) = match verb {
        Verb::Rotate => ("ROTATED", "portcullis keys rotate"),
        Verb::Revoke => ("REVOKED", "portcullis keys revoke"),
        Verb::Prove => ("PROVEN", "portcullis keys prove"),
    };
    let mut lines = vec![ending(&ctx.printer, done, carried)];
    lines.extend(told_lines(&ctx.printer, told));
    lines.push(match (tally.failed, tally.manual) {
        (0, 0) => "next: portcullis keys list".to_owned(),
        (0, _) => "next: do what is left to a person, then: portcullis checklist --attest STEP --note TEXT".to_owned(),
        _ => format!("next: mend what failed, then again: {again} ID (it does only what is missing)"),
    });
    ctx.printer.say(lines.join("\n"));
    Ok(())
}

fn plan(deployment: &Deployment, state: &IncidentState, chosen: &[&CredentialPolicy], verb: Verb) -> Plan {
    let mut steps: Vec<StepSpec> = Vec::new();
    for credential in chosen {
        let known = state.credentials.get(&credential.id);
        let ended = known.is_some_and(|known| known.new_accepted && known.old_refused);
        // A rotation that was proven is over: rotating again is the next one. One that was not is continued.
        let next = u32::from(ended && verb != Verb::Prove);
        let generation = known.map_or(0, |known| known.generation).max(1) + next;
        let order = playbook::order_of(credential, &state.compromised, deployment.own_role.as_deref());
        steps.extend(match verb {
            Verb::Rotate => playbook::rotate(credential, generation, order, &[]),
            Verb::Revoke => playbook::revoke(credential, generation),
            Verb::Prove => playbook::prove(credential, generation),
        });
    }
    playbook::with_restarts(steps, &deployment.policies.credentials)
}
