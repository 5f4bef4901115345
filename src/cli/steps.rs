//! How plans and steps are shown.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::pace::Pace;
use super::{Context, Failure, journal_failure};
use crate::domain::{Action, Delivery, IncidentId, Outcome, Plan, StepId, StepReport, StepSpec};
use crate::engine::lockdown::{Tally, carry_out};
use crate::engine::notices::{Notices, Told};
use crate::engine::{Deployment, Journal, StepEvent, witnessed};
use crate::ledger::IncidentState;
use crate::ui::{Printer, Record, Row, Screen, Stand, Style, Table, clean};

/// Most causes, and most commands of one kind, that are named.
pub const NAMED: usize = 5;

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
    let steps = show_steps(ctx, plan);
    ctx.printer.say(format!("\n{steps} steps; nothing was touched."));
}

/// The steps of a plan; says how many there are.
pub fn show_steps(ctx: &Context, plan: &Plan) -> usize {
    plan.steps.iter().for_each(|spec| ctx.printer.emit(&planned(spec)));
    plan.steps.len()
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

    /// Says how far a step is.
    pub fn say(&self, id: &StepId, words: &str) {
        if let Some(screen) = &self.screen {
            screen.lock().unwrap_or_else(PoisonError::into_inner).retarget(id, words);
        }
    }

    /// Ends; the last frame stays.
    pub fn finish(self) {
        if let Some(screen) = self.screen {
            screen.into_inner().unwrap_or_else(PoisonError::into_inner).finish();
        }
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
    let carried = carry_out(deployment, journal, command, &ctx.settings.operator, plan, &hear);
    let ended = watch(deployment, plan, &live, carried).await;
    live.finish();
    let reports = ended.map_err(|error| journal_failure(&error))?;
    let tally = Tally::of(&reports);
    Ok(Carried { reports, tally, took: deployment.clock.elapsed().saturating_sub(began) })
}

/// Waits for a plan, and says meanwhile how far a restore in it is.
async fn watch<T>(deployment: &Deployment, plan: &Plan, live: &Live<'_>, carried: impl Future<Output = T>) -> T {
    let restore = plan.steps.iter().find(|spec| matches!(spec.action, Action::RestoreBackup { .. }));
    let (Some(spec), Some(backups)) = (restore, &deployment.backups) else { return carried.await };
    let progress = backups.progress();
    let mut pace = Pace::default();
    tokio::pin!(carried);
    loop {
        tokio::select! {
            ended = &mut carried => return ended,
            () = tokio::time::sleep(Duration::from_millis(500)) => {
                if let Some(words) = pace.words(&progress, deployment.clock.elapsed()) {
                    live.say(&spec.id, &format!("{}: {words}", spec.target));
                }
            }
        }
    }
}

/// The headline of an ending: the word if all went well, the counts and the time.
pub fn ending(printer: &Printer, word: &str, carried: &Carried) -> String {
    let tally = carried.tally;
    let word = match (tally.failed, tally.manual) {
        (0, 0) => printer.paint(Style::Good, word),
        (0, _) => printer.paint(Style::Warn, format!("{word}, BUT NOT ALL")),
        _ => printer.paint(Style::Bad, format!("NOT {word}")),
    };
    let mut lines = vec![format!("\n{word}  {}, in {:.1} s", counts(carried.tally), carried.took.as_secs_f64())];
    lines.extend(cause_lines(printer, &causes(&carried.reports), tally.failed));
    lines.extend(by_hand_lines(printer, &carried.reports));
    lines.join("\n")
}

/// How many steps, and how many of them are missing.
pub fn counts(tally: Tally) -> String {
    let mut text = format!("{} steps", tally.steps);
    for (number, words) in [(tally.failed, "failed"), (tally.manual, "for a person")] {
        if number > 0 {
            text.push_str(&format!(", {number} {words}"));
        }
    }
    text
}

/// One reason for which steps did not end well.
#[derive(Debug, Serialize)]
pub struct Cause {
    detail: String,
    steps: Vec<String>,
}

/// Failed steps by their words; what was skipped follows from these.
pub fn causes(reports: &[StepReport]) -> Vec<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    for report in reports.iter().filter(|report| matches!(report.outcome, Outcome::Failed | Outcome::Unknown)) {
        match causes.iter_mut().find(|cause| cause.detail == report.detail) {
            Some(cause) => cause.steps.push(report.target.clone()),
            None => causes.push(Cause { detail: report.detail.clone(), steps: vec![report.target.clone()] }),
        }
    }
    causes
}

/// Why steps are missing: a line for each reason.
pub fn cause_lines(printer: &Printer, causes: &[Cause], failed: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for cause in causes.iter().take(NAMED) {
        let what = match cause.steps.as_slice() {
            [one] => clean(one).into_owned(),
            several => format!("{} steps", several.len()),
        };
        lines.push(format!("  {} {what}: {}", printer.paint(Style::Bad, "failed    "), clean(&cause.detail)));
    }
    if causes.len() > NAMED {
        lines.push(format!("             and {} other reasons: portcullis incident timeline", causes.len() - NAMED));
    }
    match failed.saturating_sub(causes.iter().map(|cause| cause.steps.len()).sum()) {
        0 => {}
        1 => lines.push("             1 step was skipped because of that".to_owned()),
        skipped => lines.push(format!("             {skipped} steps were skipped because of that")),
    }
    lines
}

/// What is left to people, in the policy's words.
pub fn by_hand_lines(printer: &Printer, reports: &[StepReport]) -> Vec<String> {
    let by_hand = reports.iter().filter(|report| report.outcome == Outcome::Manual);
    let line = |report: &StepReport| {
        format!("  {} {}: {}", printer.paint(Style::Warn, "by hand   "), clean(&report.target), clean(&report.detail))
    };
    by_hand.take(NAMED).map(line).collect()
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

/// Gives every witness the head of now, and says which could not take it: the gate will ask it again.
pub async fn copy_to_witnesses(deployment: &Deployment, journal: &Journal, ctx: &Context) {
    for (witness, held) in witnessed(journal, deployment).await {
        if let Err(why) = held {
            ctx.printer.warn(format!("the witness {} holds no copy of this: {}", clean(&witness), clean(&why)));
        }
    }
}
