//! How a lockdown ended: what holds, what is missing and why, what to type next, who was told.

use std::time::Duration;

use serde::Serialize;

use crate::cli::steps::{Carried, Cause, NAMED, by_hand_lines, cause_lines, causes, counts, since_opened, told_lines};
use crate::domain::{IncidentId, Outcome, Phase, StepReport};
use crate::engine::Deployment;
use crate::engine::lockdown::Tally;
use crate::engine::notices::Told;
use crate::ledger::IncidentState;
use crate::policy::credentials::IssuerPolicy;
use crate::ui::{Printer, Record, Style, clean};

/// What the summary is made of.
pub(super) struct Ended<'a> {
    pub program: String,
    pub deployment: &'a Deployment,
    pub state: &'a IncidentState,
    pub carried: &'a Carried,
    /// Whether the breach is contained, by what this run saw.
    pub holds: bool,
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
    /// In the lines of the steps already.
    #[serde(skip)]
    by_hand: Vec<StepReport>,
    next: Vec<Next>,
    told: Vec<Told>,
}

/// Whether the pause is proven, and was not found wanting by this run: an older proof says nothing of a guard that can't be
/// reached now.
pub(super) fn pause_holds(state: &IncidentState, reports: &[StepReport]) -> bool {
    let fails = |report: &StepReport| report.phase == Phase::Pause && report.id.as_str() == "pause.prove";
    state.pause.proven && !reports.iter().any(|report| fails(report) && !report.outcome.is_success())
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

impl Summary {
    /// Sums up; `None` if the ledger names no incident.
    pub fn new(ended: &Ended<'_>) -> Option<Self> {
        let Ended { deployment, state, carried, holds, told, .. } = ended;
        let policies = deployment.policies.credentials.credentials.iter();
        let own = policies.filter(|credential| !matches!(credential.issuer, IssuerPolicy::Manual { .. }));
        let proofs: Vec<bool> = own
            .map(|credential| {
                state.credentials.get(&credential.id).is_some_and(|known| known.new_accepted && known.old_refused)
            })
            .collect();
        Some(Self {
            incident: state.incident.clone()?,
            pause_ms: state.pause.pause_ms.filter(|_| pause_holds(state, &carried.reports)),
            contained: *holds,
            steps: carried.tally.steps,
            failed: carried.tally.failed,
            manual: carried.tally.manual,
            elapsed_ms: millis(carried.took),
            since_opened_ms: millis(since_opened(deployment, state)),
            rto_ms: deployment.policies.recovery.rto_minutes * 60_000,
            credentials: proofs.len(),
            dead: proofs.iter().filter(|dead| **dead).count(),
            causes: causes(&carried.reports),
            by_hand: carried.reports.iter().filter(|report| report.outcome == Outcome::Manual).cloned().collect(),
            next: next(ended),
            told: told.clone(),
        })
    }

    fn head(&self, printer: &Printer) -> String {
        let state = match (self.contained, self.failed) {
            (true, 0) => printer.paint(Style::Good, "CONTAINED"),
            (true, _) => printer.paint(Style::Warn, "CONTAINED, NOT WHOLE"),
            (false, _) => printer.paint(Style::Bad, "NOT CONTAINED YET"),
        };
        let tally = Tally { steps: self.steps, failed: self.failed, manual: self.manual };
        format!("\n{state}  {}: {}", self.incident, counts(tally))
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
}

/// Commands to type next, in their order.
fn next(ended: &Ended<'_>) -> Vec<Next> {
    let Ended { program, deployment, state, carried, .. } = ended;
    let mut next = Vec::new();
    let mut add = |command: String, why: &'static str| next.push(Next { command, why });
    let paused = deployment.policies.pause.guard.is_none() || pause_holds(state, &carried.reports);
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
                "  {} after {ms} ms, proven: a trade as the application is refused",
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
        lines.extend(cause_lines(printer, &self.causes, self.failed));
        lines.extend(by_hand_lines(printer, &self.by_hand));
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
