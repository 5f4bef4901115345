//! `incident timeline`: findings and entries in their order, then who did it.

use serde::Serialize;

use super::incident::{Peeked, peek};
use super::{Context, Exit, Failure};
use crate::domain::{Level, Timestamp, counted};
use crate::report::{Actor, Actors, Apart, words};
use crate::ui::{Printer, Record, Style, clean};

/// Names of one sort on the screen; JSON has all.
const SHOWN: usize = 6;

#[derive(Debug, Serialize)]
struct Moment {
    time: Timestamp,
    what: &'static str,
    kind: String,
    words: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
}

impl Record for Moment {
    const TYPE: &'static str = "moment";
    fn text(&self, printer: &Printer) -> String {
        let style = if self.what == "finding" { Style::Bad } else { Style::Dim };
        let actor = self.actor.as_ref().map_or(String::new(), |actor| format!("  {actor}"));
        format!(
            "  {:<24} {} {}{}",
            self.time.to_string(),
            printer.paint(style, format!("{:<22}", self.kind)),
            clean(&self.words),
            printer.paint(Style::Dim, actor)
        )
    }
}

#[derive(Debug, Serialize)]
struct ActorRecord<'a>(&'a Actor);

impl Record for ActorRecord<'_> {
    const TYPE: &'static str = "actor";
    fn text(&self, printer: &Printer) -> String {
        let actor = self.0;
        let time = |time: Option<Timestamp>| time.map_or("?".to_owned(), |time| time.to_string());
        let style = if actor.highest >= Level::High { Style::Bad } else { Style::Warn };
        let level = printer.paint(style, actor.highest.as_str());
        let span = format!("{} to {}", time(actor.first), time(actor.last));
        let mut text = format!("  {}  {level}, {}, {span}", actor.id, counted(actor.findings, "finding", "findings"));
        for (what, words) in [
            ("known by", actor.known_by(SHOWN)),
            ("reached", actor.reached.words(SHOWN)),
            ("joined by", actor.reasons(SHOWN)),
        ] {
            if !words.is_empty() {
                text.push_str(&format!("\n    {:<10} {}", what, clean(&words)));
            }
        }
        text
    }
}

/// The last line: what all of it comes to.
#[derive(Debug, Serialize)]
struct TimelineSummary<'a> {
    first_malicious: Option<Timestamp>,
    last_malicious: Option<Timestamp>,
    findings: usize,
    actors: usize,
    /// Findings that name nobody.
    unattributed: u64,
    /// Findings without a time of their own: they are in no moment.
    without_time: usize,
    /// Findings that somebody called benign: they are in the moments, and no actor's.
    benign: usize,
    /// Identities that join nobody.
    apart: &'a [Apart],
}

impl Record for TimelineSummary<'_> {
    const TYPE: &'static str = "summary";
    fn text(&self, printer: &Printer) -> String {
        let mut lines = vec![match (self.first_malicious, self.last_malicious) {
            (Some(first), Some(last)) => {
                printer.paint(Style::Strong, format!("first malicious event {first}, last {last}"))
            }
            _ => printer.paint(Style::Strong, "no malicious event has a time"),
        }];
        for (count, words) in [
            (self.without_time, "findings have no time of their own (deleted rows, objects, leaked values)"),
            (usize::try_from(self.unattributed).unwrap_or(usize::MAX), "findings name nobody"),
            (self.benign, "findings are benign, and no actor's"),
        ] {
            if count > 0 {
                lines.push(format!("  {count} {words}"));
            }
        }
        for apart in self.apart.iter().take(SHOWN) {
            lines.push(format!("  joins nobody: {}: {}", clean(&apart.identity.to_string()), apart.reason));
        }
        if self.apart.len() > SHOWN {
            lines.push(format!("  and {} more that join nobody", self.apart.len() - SHOWN));
        }
        lines.join("\n")
    }
}

/// Prints it.
pub(super) fn run(ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let Peeked { entries, findings, state, .. } = peek(ctx, &deployment)?;
    let benign = |id: &str| state.dispositions.get(id).is_some_and(|decision| decision.verdict == "benign");
    let actors = Actors::of(findings.iter().filter(|finding| !benign(&finding.id)));
    let mut moments: Vec<Moment> = findings
        .iter()
        .filter_map(|finding| {
            Some(Moment {
                time: finding.time?,
                what: "finding",
                kind: finding.rule.level.to_string(),
                words: format!("{} ({})", finding.rule.title, finding.id.get(..8).unwrap_or_default()),
                finding: Some(finding.id.clone()),
                actor: actors.actor_of(&finding.id).map(|actor| actor.id.clone()),
            })
        })
        .collect();
    moments.extend(entries.iter().filter_map(|entry| {
        let (words, kind) = (words(&entry.event)?, entry.event.kind().to_owned());
        Some(Moment { time: entry.time, what: "entry", kind, words, finding: None, actor: None })
    }));
    moments.sort_by_key(|moment| moment.time);
    for moment in &moments {
        ctx.printer.emit(moment);
    }
    if !actors.actors.is_empty() {
        ctx.printer.say("\nactors");
    }
    for actor in &actors.actors {
        ctx.printer.emit(&ActorRecord(actor));
    }
    ctx.printer.say("");
    ctx.printer.emit(&TimelineSummary {
        first_malicious: actors.first_malicious,
        last_malicious: actors.last_malicious,
        findings: findings.len(),
        actors: actors.actors.len(),
        unattributed: actors.unattributed,
        without_time: findings.iter().filter(|finding| finding.time.is_none()).count(),
        benign: findings.iter().filter(|finding| benign(&finding.id)).count(),
        apart: &actors.apart,
    });
    Ok(Exit::Done)
}
