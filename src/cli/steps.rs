//! How plans and steps are shown.

use serde::Serialize;

use super::Context;
use crate::domain::{Outcome, Plan, StepReport, StepSpec};
use crate::engine::StepEvent;
use crate::ui::{Printer, Record, Style, clean};

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

/// Prints each step as it ends; on a terminal, what is in flight is on the last line.
pub struct Live<'a> {
    ctx: &'a Context,
    progress: crate::ui::Progress,
    flying: std::sync::Mutex<Vec<String>>,
}

impl<'a> Live<'a> {
    /// Begins.
    pub fn new(ctx: &'a Context, what: &str) -> Self {
        Self { ctx, progress: crate::ui::Progress::spinner(what), flying: std::sync::Mutex::default() }
    }

    /// Takes an event.
    pub fn hear(&self, event: StepEvent) {
        let mut flying = self.flying.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            StepEvent::Started(spec) => flying.push(spec.target),
            StepEvent::Ended(report) => {
                flying.retain(|target| *target != report.target);
                let record = StepRecord(report);
                self.progress.above(|| self.ctx.printer.emit(&record));
            }
        }
        self.progress.say(&clean(&flying.join(", ")).chars().take(100).collect::<String>());
    }

    /// Ends.
    pub fn finish(&self) {
        self.progress.finish();
    }
}
