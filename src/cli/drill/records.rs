use std::time::Duration;

use serde::Serialize;

use super::script::{Act, Outcome, Phase};
use crate::domain::Finding;
use crate::embedded::Planted;
use crate::policy::recovery::RecoveryPolicy;
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
    /// The deployment was built, and attacked if it is a breach.
    pub fn built(took: Duration, folder: &str, attacked: bool) -> Self {
        Self {
            phase: if attacked { "breach" } else { "deployment" },
            command: None,
            passed: true,
            elapsed_ms: millis(took),
            since_alarm_ms: 0,
            detail: format!("built{} in {folder}", if attacked { " and attacked" } else { "" }),
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
#[expect(clippy::struct_excessive_bools, reason = "they are the answers that a script asks for")]
pub(super) struct DrillSummary {
    passed: bool,
    failed_phases: usize,
    planted: usize,
    found: usize,
    elapsed_ms: u64,
    rto_ms: u64,
    within_rto: bool,
    /// Age of the state that was put back, at the alarm; absent if nothing was.
    lost_minutes: Option<i64>,
    rpo_minutes: u64,
    within_rpo: bool,
    case: String,
    kept: bool,
}

/// What a drill is measured by.
pub(super) struct Measured {
    /// Phases that failed.
    pub failures: usize,
    /// From the alarm to the end.
    pub took: Duration,
    /// Age of the state that was put back, at the alarm, in minutes.
    pub lost_minutes: Option<i64>,
}

impl DrillSummary {
    /// Sums up. `case` is the case folder, `kept` whether it stays.
    pub fn new(
        marks: &[MarkRecord],
        measured: &Measured,
        policy: &RecoveryPolicy,
        (case, kept): (String, bool),
    ) -> Self {
        let found = marks.iter().filter(|mark| mark.found).count();
        let rto = Duration::from_mins(policy.rto_minutes);
        let within_rto = measured.took <= rto;
        let fresh = measured.lost_minutes.is_some_and(|lost| u64::try_from(lost).unwrap_or(0) <= policy.rpo_minutes);
        Self {
            passed: measured.failures == 0 && found == marks.len() && within_rto && fresh,
            failed_phases: measured.failures,
            planted: marks.len(),
            found,
            elapsed_ms: millis(measured.took),
            rto_ms: millis(rto),
            within_rto,
            lost_minutes: measured.lost_minutes,
            rpo_minutes: policy.rpo_minutes,
            within_rpo: fresh,
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
        let (style, word) = if self.passed { (Style::Good, "DRILL PASSED") } else { (Style::Bad, "DRILL FAILED") };
        let against =
            |fits: bool| if fits { printer.paint(Style::Good, "within") } else { printer.paint(Style::Bad, "OVER") };
        let mut lines = vec![format!("\n{}", printer.paint(style, word))];
        if self.planted > 0 {
            lines.push(format!("  {} of {} planted marks found", self.found, self.planted));
        }
        if self.failed_phases > 0 {
            lines.push(format!("  {} phases FAILED, named above", self.failed_phases));
        }
        lines.push(format!(
            "  back {:.1} s after the alarm, {} the objective (RTO) of {} min",
            Duration::from_millis(self.elapsed_ms).as_secs_f64(),
            against(self.within_rto),
            self.rto_ms / 60_000
        ));
        lines.push(match self.lost_minutes {
            Some(lost) => format!(
                "  to the state of {lost} min before it, {} the objective (RPO) of {} min",
                against(self.within_rpo),
                self.rpo_minutes
            ),
            None => "  no backup was put back".to_owned(),
        });
        lines.push(format!("case folder: {}", clean(&self.case)));
        if !self.kept {
            lines.push("it is removed now; keep it with: portcullis drill --keep".to_owned());
        }
        lines.join("\n")
    }
}
