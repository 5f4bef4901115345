use std::sync::Arc;

use clap::Subcommand;
use serde::Serialize;

use super::install::pause_words;
use super::steps::{carry, ending, told_lines};
use super::{Context, Exit, Failure, journal_failure};
use crate::domain::{Moment, SwitchState};
use crate::engine::lockdown::open;
use crate::engine::notices::{GRACE, Notices};
use crate::engine::{Deployment, Journal, Opening, notice_words};
use crate::ledger::IncidentState;
use crate::playbook;
use crate::ports::{Bypass, GuardReport};
use crate::ui::{Printer, Record, Style, clean};

/// Subcommands of `pause`.
#[derive(Debug, Subcommand)]
pub enum PauseCommand {
    /// Engage every switch and prove it with a refused trade (lifting it is `resume`, and only that)
    On(OnArgs),
    /// Say what every switch is now
    Status,
}

/// Arguments of `pause on`.
#[derive(Debug, clap::Args)]
pub struct OnArgs {
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "pause")]
    reason: String,
}

#[derive(Debug, Serialize)]
struct SwitchRecord {
    switch: String,
    state: String,
    detail: String,
    /// What differs from the ledger: somebody else's hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    noticed: Option<String>,
    /// What a pause does, and who could get past it; of the guard only.
    #[serde(flatten)]
    guard: Option<GuardWords>,
}

#[derive(Debug, Serialize)]
struct GuardWords {
    #[serde(skip)]
    report: GuardReport,
    way: Vec<String>,
    withheld: u64,
    bypass: Vec<Bypass>,
}

impl From<GuardReport> for GuardWords {
    fn from(report: GuardReport) -> Self {
        let (way, bypass) = (report.way.clone(), report.bypass.clone());
        Self { way, withheld: report.withheld, bypass, report }
    }
}

impl Record for SwitchRecord {
    const TYPE: &'static str = "switch";
    fn text(&self, printer: &Printer) -> String {
        let style = match self.state.as_str() {
            "engaged" => Style::Good,
            "released" => Style::Dim,
            _ => Style::Warn,
        };
        let mut text = format!(
            "  {:<16} {}  {}",
            clean(&self.switch),
            printer.paint(style, format!("{:<12}", self.state)),
            clean(&self.detail)
        );
        if let Some(noticed) = &self.noticed {
            text.push_str(&format!("\n                   {}", printer.paint(Style::Bad, clean(noticed))));
        }
        if let Some(guard) = &self.guard {
            text.push_str(&pause_words(&guard.report, 19, printer));
        }
        text
    }
}

/// Runs a subcommand.
pub async fn run(command: PauseCommand, ctx: &Context) -> Result<Exit, Failure> {
    match command {
        PauseCommand::On(args) => on(args, ctx).await,
        PauseCommand::Status => status(ctx).await,
    }
}

async fn on(args: OnArgs, ctx: &Context) -> Result<Exit, Failure> {
    if !ctx.confirm("This stops trading now.")? {
        return Err(Failure::new(Exit::Usage, "not confirmed; nothing was touched"));
    }
    at_once(args.reason, ctx).await
}

/// Engages every switch without asking, and proves it. Opens an incident if none is open.
pub(super) async fn at_once(reason: String, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let operator = ctx.settings.operator.clone();
    let open_now = ctx.open_incidents(&deployment)?;
    let opened = match &ctx.incident {
        None => open_now.is_empty(),
        // An incident that was resumed is closed: what happens now is another one.
        Some(named) => !open_now.contains(named) && deployment.cases.list().is_ok_and(|all| all.contains(named)),
    };
    let journal = if opened {
        let opening = Opening { reason, operator: operator.clone(), compromised: Vec::new() };
        open(&deployment, opening).map_err(|error| journal_failure(&error))?
    } else {
        ctx.open_case(&deployment)?
    };
    let journal = Arc::new(journal);
    let plan = playbook::pause(&deployment.policies);
    let notices = Notices::new(&deployment, Some(&journal), &operator);
    if opened {
        notices.tell_missing(Moment::IncidentOpened, &notice_words::opened(&deployment, &journal.state()));
    }
    let carried = carry(ctx, &deployment, &journal, "pause on", &plan, &notices).await?;
    let told = notices.finish(GRACE).await;
    journal.checkpoint().map_err(|error| journal_failure(&error))?;
    let mut lines = vec![ending(&ctx.printer, "PAUSED", &carried)];
    lines.extend(told_lines(&ctx.printer, &told));
    lines.push(if carried.tally.failed == 0 {
        "next: portcullis lockdown --reason TEXT --compromised ID; or, after all checks, portcullis resume".to_owned()
    } else {
        "next: stop what could not be paused by hand, mend it, then again: portcullis pause on".to_owned()
    });
    ctx.printer.say(lines.join("\n"));
    Ok(if carried.tally.failed == 0 { Exit::Done } else { Exit::Incomplete })
}

async fn status(ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let cases = ledgers(ctx, &deployment)?;
    let (mut unknown, mut noticed) = (false, false);
    for mut record in records(&deployment).await {
        record.noticed = by_another_hand(&cases, &record);
        unknown |= record.state == "unknown";
        noticed |= record.noticed.is_some();
        ctx.printer.emit(&record);
    }
    Ok(match (unknown, noticed) {
        (true, _) => Exit::Incomplete,
        (false, true) => Exit::Findings,
        (false, false) => Exit::Done,
    })
}

/// What the ledgers of the open incidents say; those that can't be read say nothing here.
fn ledgers(ctx: &Context, deployment: &Deployment) -> Result<Vec<IncidentState>, Failure> {
    let open = ctx.open_incidents(deployment)?;
    let peeked = open.iter().filter_map(|incident| deployment.cases.peek(incident).ok());
    Ok(peeked.filter_map(|store| Journal::read_state(store.as_ref()).ok()).collect())
}

/// A switch that is not as the ledgers left it was turned by somebody else.
fn by_another_hand(cases: &[IncidentState], record: &SwitchRecord) -> Option<String> {
    let says = |wanted: bool| cases.iter().find(|state| state.engaged(&record.switch) == Some(wanted));
    match (record.state.as_str(), says(true)) {
        ("released", Some(state)) => {
            let incident = state.incident.as_ref().map_or("", crate::domain::IncidentId::as_str);
            Some(format!("RELEASED BY ANOTHER HAND: {incident} engaged it; run: portcullis pause on"))
        }
        ("engaged", None) => Some("engaged by another hand: no open incident says that it engaged it".to_owned()),
        _ => None,
    }
}

async fn records(deployment: &Deployment) -> Vec<SwitchRecord> {
    let mut records = Vec::new();
    if deployment.policies.pause.guard.is_some() {
        let seen = match &deployment.guard {
            Some(guard) => guard.inspect().await.map_err(|fault| fault.chain()),
            None => Err("DATABASE_URL is not set".to_owned()),
        };
        let switch = playbook::GUARD.to_owned();
        records.push(match seen {
            Ok(report) => {
                let state = if report.installed && report.paused { "engaged" } else { "released" }.to_owned();
                SwitchRecord { switch, state, detail: report.detail.clone(), noticed: None, guard: Some(report.into()) }
            }
            Err(words) => SwitchRecord { switch, state: "unknown".into(), detail: words, noticed: None, guard: None },
        });
    }
    for switch in &deployment.switches {
        let (state, detail) = match switch.observe().await {
            Ok(SwitchState::Engaged) => ("engaged", switch.describe()),
            Ok(SwitchState::Released) => ("released", switch.describe()),
            Ok(SwitchState::Unobservable) => ("unobservable", switch.describe()),
            Err(fault) => ("unknown", fault.chain()),
        };
        let (switch, state) = (switch.name().to_owned(), state.to_owned());
        records.push(SwitchRecord { switch, state, detail, noticed: None, guard: None });
    }
    records
}
