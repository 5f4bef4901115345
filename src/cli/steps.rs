//! How plans and steps are shown.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::{Context, Failure, journal_failure};
use crate::domain::{Delivery, IncidentId, Outcome, Plan, StepReport, StepSpec};
use crate::engine::lockdown::{Tally, carry_out};
use crate::engine::notices::{Notices, Told};
use crate::engine::{Deployment, Journal, StepEvent};
use crate::ledger::IncidentState;
use crate::ui::{Printer, Record, Row, Screen, Stand, Style, Table, clean};

/// A step's record.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct StepRecord(pub StepReport);

impl Record for StepRecord {
    const TYPE: &'static str = "step";
    fn text(&self, printer: &Printer) -> String {
        let report = &self.0;
        let style = match report.outcome {
            Outcome::Done | Outcome::Already => Style::Good,
            Outcome::Manual => Style::Warn,
            _ => Style::Bad,
        };
        let outcome = printer.paint(style, format!("{:<8}", report.outcome));
        let time = printer.paint(Style::Dim, format!("{:>6} ms", report.elapsed_ms));
        let head = format!("  {outcome} {:<8} {:<44} {time}", report.phase, clean(&report.target));
        if report.detail.is_empty() { head } else { format!("{head}\n           {}", clean(&report.detail)) }
    }
}

/// A planned step's record.
#[derive(Debug, Serialize)]
pub struct PlannedRecord {
    id: String,
    phase: crate::domain::Phase,
    target: String,
    after: Vec<String>,
    timeout_ms: u64,
}

impl Record for PlannedRecord {
    const TYPE: &'static str = "planned";
    fn text(&self, printer: &Printer) -> String {
        let bound = printer.paint(Style::Dim, format!("within {} s", self.timeout_ms / 1000));
        format!("  {:<8} {:<52} {bound}", self.phase, clean(&self.target))
    }
}

fn planned(spec: &StepSpec) -> PlannedRecord {
    let mut after: Vec<String> = spec.after.iter().chain(&spec.needs).map(ToString::to_string).collect();
    after.sort();
    after.dedup();
    PlannedRecord {
        id: spec.id.to_string(),
        phase: spec.phase,
        target: spec.target.clone(),
        after,
        timeout_ms: spec.timeout_ms,
    }
}

/// Prints a plan; nothing is touched.
pub fn print_plan(ctx: &Context, plan: &Plan) {
    for spec in &plan.steps {
        ctx.printer.emit(&planned(spec));
    }
    ctx.printer.say(format!("\n{} steps; nothing was touched.", plan.steps.len()));
}

/// Shows steps: on a terminal as a table that is redrawn in place, else each as a line when it ends.
pub struct Live<'a> {
    ctx: &'a Context,
    screen: Option<Mutex<Screen>>,
    /// Whether each step is printed: always but where the table shows it to the same eyes.
    lines: bool,
}

impl<'a> Live<'a> {
    /// Begins. `before` is what passed since the incident was opened.
    pub fn new(ctx: &'a Context, title: String, plan: &Plan, objective: Option<Duration>, before: Duration) -> Self {
        let watched = ctx.printer.watched();
        let rows = plan.steps.iter().map(|spec| Row {
            id: spec.id.clone(),
            phase: spec.phase,
            target: spec.target.clone(),
            stand: Stand::Waiting,
        });
        let table = || Table { title, objective, before, rows: rows.collect() };
        let screen = watched.table.then(|| Mutex::new(Screen::new(table(), watched.color)));
        Self { ctx, lines: screen.is_none() || !watched.out, screen }
    }

    /// Takes an event.
    pub fn hear(&self, event: &StepEvent) {
        let screen = self.screen.as_ref().map(|screen| screen.lock().unwrap_or_else(PoisonError::into_inner));
        match (event, screen) {
            (StepEvent::Started(spec), Some(screen)) => screen.started(&spec.id, spec.phase, &spec.target),
            (StepEvent::Ended(report), Some(screen)) => {
                screen.change(&report.id, Stand::Ended(report.outcome, Duration::from_millis(report.elapsed_ms)));
            }
            _ => {}
        }
        if let StepEvent::Ended(report) = event
            && self.lines
        {
            self.ctx.printer.emit(&StepRecord(report.clone()));
        }
    }

    /// Ends; the last frame stays. Says whether the steps' own lines were left out.
    pub fn finish(self) -> bool {
        if let Some(screen) = self.screen {
            screen.into_inner().unwrap_or_else(PoisonError::into_inner).finish();
        }
        !self.lines
    }
}

/// A plan that was carried out.
pub struct Carried {
    /// How each step went.
    pub reports: Vec<StepReport>,
    /// How many went how.
    pub tally: Tally,
    /// How long it took.
    pub took: Duration,
}

/// Carries a plan out, shows it, and has the contacts told of what fails.
pub async fn carry(
    ctx: &Context,
    deployment: &Deployment,
    journal: &Arc<Journal>,
    command: &str,
    plan: &Plan,
    notices: &Notices,
) -> Result<Carried, Failure> {
    let began = deployment.clock.elapsed();
    let state = journal.state();
    let incident = state.incident.as_ref().map_or("", IncidentId::as_str);
    let objective = Duration::from_mins(deployment.policies.recovery.rto_minutes);
    let live =
        Live::new(ctx, format!("{command}  {incident}"), plan, Some(objective), since_opened(deployment, &state));
    let hear = |event: StepEvent| {
        live.hear(&event);
        if let StepEvent::Ended(report) = &event
            && matches!(report.outcome, Outcome::Failed | Outcome::Unknown)
        {
            notices.failed(report);
        }
    };
    let ended = carry_out(deployment, journal, command, &ctx.settings.operator, plan, &hear).await;
    let left_out = live.finish();
    let reports = ended.map_err(|error| journal_failure(&error))?;
    if left_out {
        // The table says what failed, not why.
        for report in reports.iter().filter(|report| !report.outcome.is_success()) {
            ctx.printer.emit(&StepRecord(report.clone()));
        }
    }
    let tally = Tally::of(&reports);
    Ok(Carried { reports, tally, took: deployment.clock.elapsed().saturating_sub(began) })
}

/// The headline of an ending: the word if all went well, the counts and the time.
pub fn ending(printer: &Printer, word: &str, carried: &Carried) -> String {
    let tally = carried.tally;
    let word = match (tally.failed, tally.manual) {
        (0, 0) => printer.paint(Style::Good, word),
        (0, _) => printer.paint(Style::Warn, format!("{word}, BUT NOT ALL")),
        _ => printer.paint(Style::Bad, format!("NOT {word}")),
    };
    let counts = match (tally.failed, tally.manual) {
        (0, 0) => format!("{} steps", tally.steps),
        (failed, manual) => format!("{} steps, {failed} failed, {manual} for a person", tally.steps),
    };
    format!("\n{word}  {counts}, in {:.1} s", carried.took.as_secs_f64())
}

/// How long ago the incident was opened.
pub fn since_opened(deployment: &Deployment, state: &IncidentState) -> Duration {
    let spent = state.opened.map(|opened| deployment.clock.now().duration_since(opened));
    spent.and_then(|spent| Duration::try_from(spent).ok()).unwrap_or_default()
}

/// Who was told: one line for those who were, one for each who was not.
pub fn told_lines(printer: &Printer, told: &[Told]) -> Vec<String> {
    let mut names: Vec<String> = told
        .iter()
        .filter(|one| one.outcome == Delivery::Sent)
        .map(|one| format!("{} ({})", clean(&one.contact), one.channel))
        .collect();
    names.sort();
    names.dedup();
    let mut lines = Vec::new();
    if !names.is_empty() {
        lines.push(format!("  told       {}", names.join(", ")));
    }
    for one in told.iter().filter(|one| one.outcome != Delivery::Sent) {
        let word = if one.outcome == Delivery::Failed { "NOT TOLD" } else { "told?" };
        lines.push(format!(
            "  {} {} ({}) of {}: {}",
            printer.paint(Style::Warn, format!("{word:<10}")),
            clean(&one.contact),
            one.channel,
            one.moment,
            clean(&one.detail)
        ));
    }
    lines
}
