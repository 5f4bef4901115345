use std::time::Duration;

use serde::Serialize;

use super::script::{Act, Outcome, Phase};
use crate::domain::Finding;
use crate::embedded::Planted;
use crate::ui::{Printer, Record, Style, clean};

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One phase of the drill.
#[derive(Debug, Serialize)]
pub(super) struct PhaseRecord {
    phase: &'static str,
    command: Option<String>,
    passed: bool,
    elapsed_ms: u64,
    /// Since the alarm: what counts against the objective.
    since_alarm_ms: u64,
    detail: String,
}

impl PhaseRecord {
    /// The deployment was built and attacked.
    pub fn built(took: Duration, folder: &str) -> Self {
        Self {
            phase: "breach",
            command: None,
            passed: true,
            elapsed_ms: millis(took),
            since_alarm_ms: 0,
            detail: format!("deployment built and attacked in {folder}"),
        }
    }

    /// A phase was played.
    pub fn played(phase: &Phase, outcome: Outcome, took: Duration, since: Duration) -> Self {
        let command = match phase.act {
            Act::Command { words, .. } => {
                let words = words
                    .iter()
                    .map(|word| if word.contains(' ') { format!("'{word}'") } else { word.replace("{root}/", "") });
                Some(std::iter::once("portcullis".to_owned()).chain(words).collect::<Vec<_>>().join(" "))
            }
            Act::Approve | Act::Strike(_) | Act::Passphrase | Act::Service | Act::Trade => None,
        };
        Self {
            phase: phase.name,
            command,
            passed: outcome.passed,
            elapsed_ms: millis(took),
            since_alarm_ms: millis(since),
            detail: outcome.detail,
        }
    }
}

impl Record for PhaseRecord {
    const TYPE: &'static str = "phase";
    fn text(&self, printer: &Printer) -> String {
        let (style, word) = if self.passed { (Style::Good, "done") } else { (Style::Bad, "FAILED") };
        let time = printer.paint(Style::Dim, format!("{:>6} ms", self.elapsed_ms));
        let mut text = format!(
            "  {} {:<20} {time}  {}",
            printer.paint(style, format!("{word:<7}")),
            self.phase,
            clean(&self.detail)
        );
        if let Some(command) = &self.command {
            text.push_str(&format!("\n          {}", printer.paint(Style::Dim, format!("$ {command}"))));
        }
        text
    }
}

/// One thing that the intruder planted, and whether it was found.
#[derive(Debug, Serialize)]
pub(super) struct MarkRecord {
    what: &'static str,
    place: String,
    scan: &'static str,
    found: bool,
    /// Title of the rule that found it.
    rule: Option<String>,
}

impl MarkRecord {
    /// Holds what was planted against what was found.
    pub fn new(planted: &Planted, findings: &[Finding]) -> Self {
        let finding = findings.iter().find(|finding| planted.is_found_by(finding));
        Self {
            what: planted.what,
            place: planted.place.clone(),
            scan: planted.scan(),
            found: finding.is_some(),
            rule: finding.map(|finding| finding.rule.title.clone()),
        }
    }
}

impl Record for MarkRecord {
    const TYPE: &'static str = "planted";
    fn text(&self, printer: &Printer) -> String {
        let (style, word) = if self.found { (Style::Good, "found") } else { (Style::Bad, "MISSED") };
        format!(
            "  {} {:<9} {:<42} {:<24} {}",
            printer.paint(style, format!("{word:<7}")),
            self.scan,
            self.what,
            self.place,
            clean(self.rule.as_deref().unwrap_or(""))
        )
    }
}

/// Who was told, and of what.
#[derive(Debug, Serialize)]
pub(super) struct ToldRecord {
    pub contact: String,
    pub channel: String,
    pub moments: Vec<String>,
}

impl Record for ToldRecord {
    const TYPE: &'static str = "told";
    fn text(&self, printer: &Printer) -> String {
        let word = printer.paint(Style::Good, format!("{:<7}", "told"));
        format!("  {word} {:<9} {:<42} by {}", clean(&self.contact), self.moments.join(", "), clean(&self.channel))
    }
}

/// How the drill went.
#[derive(Debug, Serialize)]
pub(super) struct DrillSummary {
    passed: bool,
    failed_phases: usize,
    planted: usize,
    found: usize,
    elapsed_ms: u64,
    rto_ms: u64,
    case: String,
    kept: bool,
}

impl DrillSummary {
    /// Sums up. `case` is the case folder, `kept` whether it stays.
    pub fn new(marks: &[MarkRecord], failures: usize, took: Duration, case: String, kept: bool) -> Self {
        let rto = super::RTO;
        let found = marks.iter().filter(|mark| mark.found).count();
        Self {
            passed: failures == 0 && found == marks.len() && took <= rto,
            failed_phases: failures,
            planted: marks.len(),
            found,
            elapsed_ms: millis(took),
            rto_ms: millis(rto),
            case,
            kept,
        }
    }

    /// Whether the drill passed.
    pub fn passed(&self) -> bool {
        self.passed
    }
}

impl Record for DrillSummary {
    const TYPE: &'static str = "summary";
    fn text(&self, printer: &Printer) -> String {
        let verdict = if self.passed {
            printer.paint(Style::Good, "DRILL PASSED")
        } else {
            printer.paint(Style::Bad, "DRILL FAILED")
        };
        let fate = if self.kept { "" } else { " (removed now; keep it with: portcullis drill --keep)" };
        let case = format!("case folder: {}{fate}", clean(&self.case));
        format!(
            "\n{verdict}  {} of {} planted marks found, {} phases failed, {:.1} s from the alarm to the end (objective: {} min)\n{case}",
            self.found,
            self.planted,
            self.failed_phases,
            Duration::from_millis(self.elapsed_ms).as_secs_f64(),
            self.rto_ms / 60_000
        )
    }
}
