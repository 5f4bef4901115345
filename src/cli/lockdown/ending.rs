//! How a lockdown ended: what holds, what is missing and why, what to type next, who was told.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::cli::steps::{Carried, since_opened, told_lines};
use crate::domain::{IncidentId, Outcome, StepReport};
use crate::engine::Deployment;
use crate::engine::lockdown::contained;
use crate::engine::notices::Told;
use crate::ledger::IncidentState;
use crate::policy::credentials::IssuerPolicy;
use crate::ui::{Printer, Record, Style, clean};

/// Most causes, and most commands of one kind, that are named.
const NAMED: usize = 5;

/// What the summary is made of.
pub(super) struct Ended<'a> {
    pub program: String,
    pub deployment: &'a Deployment,
    pub state: &'a IncidentState,
    pub carried: &'a Carried,
    pub told: Vec<Told>,
}

/// The `summary` of a lockdown.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    incident: IncidentId,
    pause_ms: Option<u64>,
    contained: bool,
    steps: usize,
    failed: usize,
    manual: usize,
    elapsed_ms: u64,
    since_opened_ms: u64,
    rto_ms: u64,
    credentials: usize,
    dead: usize,
    /// Why steps are missing, with the steps.
    causes: Vec<Cause>,
    next: Vec<Next>,
    told: Vec<Told>,
}

/// One reason for which steps did not end well.
#[derive(Debug, Serialize)]
struct Cause {
    detail: String,
    steps: Vec<String>,
}

/// What to type next.
#[derive(Debug, Serialize)]
struct Next {
    command: String,
    why: &'static str,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Failed steps by their words; what was skipped follows from these.
fn causes(reports: &[StepReport]) -> Vec<Cause> {
    let mut by_words: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    for report in reports.iter().filter(|report| matches!(report.outcome, Outcome::Failed | Outcome::Unknown)) {
        let steps = by_words.entry(report.detail.as_str()).or_default();
        if steps.is_empty() {
            order.push(report.detail.as_str());
        }
        steps.push(report.target.clone());
    }
    order
        .into_iter()
        .map(|detail| Cause { detail: detail.to_owned(), steps: by_words.remove(detail).unwrap_or_default() })
        .collect()
}

impl Summary {
    /// Sums up; `None` if the ledger names no incident.
    pub fn new(ended: &Ended<'_>) -> Option<Self> {
        let Ended { deployment, state, carried, told, .. } = ended;
        let policies = deployment.policies.credentials.credentials.iter();
        let own = policies.filter(|credential| !matches!(credential.issuer, IssuerPolicy::Manual { .. }));
        let proofs: Vec<bool> = own
            .map(|credential| {
                state.credentials.get(&credential.id).is_some_and(|known| known.new_accepted && known.old_refused)
            })
            .collect();
        Some(Self {
            incident: state.incident.clone()?,
            pause_ms: state.pause.pause_ms.filter(|_| state.pause.proven),
            contained: contained(deployment, state),
            steps: carried.tally.steps,
            failed: carried.tally.failed,
            manual: carried.tally.manual,
            elapsed_ms: millis(carried.took),
            since_opened_ms: millis(since_opened(deployment, state)),
            rto_ms: deployment.policies.recovery.rto_minutes * 60_000,
            credentials: proofs.len(),
            dead: proofs.iter().filter(|dead| **dead).count(),
            causes: causes(&carried.reports),
            next: next(ended),
            told: told.clone(),
        })
    }

    fn head(&self, printer: &Printer) -> String {
        let state = match (self.contained, self.failed) {
            (true, 0) => printer.paint(Style::Good, "CONTAINED"),
            (true, _) => printer.paint(Style::Warn, "CONTAINED, BUT NOT ALL WAS DONE"),
            (false, _) => printer.paint(Style::Bad, "NOT CONTAINED YET"),
        };
        let counts = match (self.failed, self.manual) {
            (0, 0) => format!("{} steps", self.steps),
            (failed, manual) => format!("{} steps, {failed} failed, {manual} for a person", self.steps),
        };
        format!("\n{state}  {}: {counts}", self.incident)
    }

    fn time(&self, printer: &Printer) -> String {
        let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
        let text = format!(
            "{:.1} s, {:.1} s since the incident was opened (objective {} min)",
            seconds(self.elapsed_ms),
            seconds(self.since_opened_ms),
            self.rto_ms / 60_000
        );
        let late = self.since_opened_ms > self.rto_ms;
        format!("  took       {}", printer.paint(if late { Style::Bad } else { Style::Dim }, text))
    }

    fn missing(&self, printer: &Printer) -> Vec<String> {
        let mut lines = Vec::new();
        for cause in self.causes.iter().take(NAMED) {
            let what = match cause.steps.as_slice() {
                [one] => clean(one).into_owned(),
                several => format!("{} steps", several.len()),
            };
            lines.push(format!("  {} {what}: {}", printer.paint(Style::Bad, "failed    "), clean(&cause.detail)));
        }
        let skipped = self.failed.saturating_sub(self.causes.iter().map(|cause| cause.steps.len()).sum());
        if self.causes.len() > NAMED {
            lines.push(format!("             and {} other reasons, in the lines above", self.causes.len() - NAMED));
        }
        if skipped > 0 {
            lines.push(format!("             {skipped} steps were skipped because of that"));
        }
        lines
    }
}

/// Commands to type next, in their order.
fn next(ended: &Ended<'_>) -> Vec<Next> {
    let Ended { program, deployment, state, carried, .. } = ended;
    let mut next = Vec::new();
    let mut add = |command: String, why: &'static str| next.push(Next { command, why });
    let paused = deployment.policies.pause.guard.is_none() || state.pause.proven;
    if !paused {
        // The one thing that can't wait for the database.
        let stops = deployment.policies.credentials.services.iter().filter_map(|service| service.stop.as_ref());
        stops.for_each(|words| add(words.join(" "), "nothing proves that trading is stopped: stop it by hand"));
    }
    if carried.tally.failed > 0 {
        add(format!("{program} doctor"), "says what can't be reached, and what mends it");
        add(format!("{program} lockdown --reason 'go on'"), "does only what is missing");
    }
    let by_hand = carried.reports.iter().filter(|report| report.outcome == Outcome::Manual);
    for report in by_hand.take(NAMED) {
        add(format!("{program} checklist --attest {} --note TEXT", report.id), "after you did it by hand");
    }
    if carried.tally.failed == 0 {
        add(format!("{program} scan logs PATH"), "finds what was done; then scan trades, secrets, database");
        add(format!("{program} audit show --gate"), "what still blocks the resume");
    }
    next
}

impl Record for Summary {
    const TYPE: &'static str = "summary";
    fn text(&self, printer: &Printer) -> String {
        let mut lines = vec![self.head(printer)];
        lines.push(match self.pause_ms {
            Some(ms) => format!(
                "  {} pause proven after {ms} ms: a trade as the application is refused",
                printer.paint(Style::Good, "paused    ")
            ),
            None => format!(
                "  {} no trade was refused, so nothing proves the pause",
                printer.paint(Style::Bad, "NOT PAUSED")
            ),
        });
        let all = self.dead == self.credentials;
        lines.push(format!(
            "  {} {} of {} credentials: the new value works, the old one is refused",
            printer.paint(if all { Style::Good } else { Style::Bad }, "dead      "),
            self.dead,
            self.credentials
        ));
        lines.extend(self.missing(printer));
        lines.push(self.time(printer));
        lines.extend(told_lines(printer, &self.told));
        lines.push("next:".to_owned());
        for next in &self.next {
            lines.push(format!("  {}", clean(&next.command)));
            lines.push(format!("      {}", printer.paint(Style::Dim, next.why)));
        }
        lines.join("\n")
    }
}
