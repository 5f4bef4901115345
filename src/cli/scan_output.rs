//! What all scans of files share: their records, the parallel walk over files, the entry in the case.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Map, Value};

use super::findings::{Shown, took};
use super::tally::{self, OfRule};
use super::{Context, Exit, Failure, journal_failure};
use crate::adapters::aws::Aws;
use crate::adapters::log_files::{self, Input, Unreadable};
use crate::adapters::s3::S3;
use crate::detect::indicators::ListFile;
use crate::detect::secrets::Redactor;
use crate::domain::{Finding, counted};
use crate::engine::{Journal, findings};
use crate::ui::{Printer, Progress, Record, Style, clean};

/// Findings that wait for the printer before scanning slows down.
const QUEUE: usize = 1_024;

/// A rule that was not run.
#[derive(Debug, Clone, Serialize)]
pub struct SkippedRule {
    /// Id, title or file.
    pub rule: String,
    /// Why.
    pub reason: String,
}

/// A rule that was run on every event, since nothing in raw bytes says that it can't match.
#[derive(Debug, Clone, Serialize)]
pub struct UnfilteredRule {
    /// Id or title.
    pub rule: String,
    /// Events that were parsed for it.
    pub events: u64,
}

/// What a scan of files covered.
#[derive(Debug, Default, Serialize)]
pub struct ScanSummary {
    /// `logs` or `secrets`.
    pub scan: &'static str,
    /// Files read.
    pub files: u64,
    /// Bytes read, after decompression.
    pub bytes: u64,
    /// Events read.
    pub events: u64,
    /// Findings.
    pub findings: u64,
    /// The same by rule.
    pub by_rule: Vec<OfRule>,
    /// Rules that were run.
    pub rules: u64,
    /// Rules that were not.
    pub rules_skipped: Vec<SkippedRule>,
    /// Indicators that were looked for.
    #[serde(skip_serializing_if = "is_zero")]
    pub indicators: u64,
    /// Values of lists that were not, each under `file:line`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indicators_refused: Vec<SkippedRule>,
    /// The lists that were read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indicator_lists: Vec<ListFile>,
    /// Rules that slowed the scan down.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unfiltered: Vec<UnfilteredRule>,
    /// Paths that could not be read, or not to their end.
    pub unreadable: Vec<Unreadable>,
    /// What was not covered, in words.
    pub uncovered: Vec<String>,
    /// Time taken.
    pub elapsed_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Record for ScanSummary {
    const TYPE: &'static str = "summary";

    fn text(&self, printer: &Printer) -> String {
        let indicators = if self.indicators > 0 {
            format!(", {}", counted(self.indicators, "indicator", "indicators"))
        } else {
            String::new()
        };
        let files = format!("{} ({} bytes)", counted(self.files, "file", "files"), self.bytes);
        // Whoever looks for known values has neither events nor rules.
        let read = if self.events == 0 && self.rules == 0 {
            files
        } else {
            let events = counted(self.events, "event", "events");
            format!("{events} of {files}, {}{indicators}", counted(self.rules, "rule", "rules"))
        };
        let findings = counted(self.findings, "finding", "findings");
        let headline = format!("{findings} in {read}, {}", took(self.elapsed_ms));
        let style = if self.findings > 0 { Style::Bad } else { Style::Strong };
        let mut text = printer.paint(style, headline) + &tally::text(&self.by_rule, printer);
        let mut line = |what: &str, detail: String| {
            let _ = write!(text, "\n  {} {}", printer.paint(Style::Warn, what), clean(&detail));
        };
        for skipped in &self.rules_skipped {
            line("rule skipped:", format!("{} ({})", skipped.reason, skipped.rule));
        }
        for refused in &self.indicators_refused {
            line("indicator refused:", format!("{}: {}", refused.rule, refused.reason));
        }
        if !self.unfiltered.is_empty() {
            let events = self.unfiltered.iter().map(|rule| rule.events).max().unwrap_or(0);
            let names: Vec<&str> = self.unfiltered.iter().take(5).map(|rule| rule.rule.as_str()).collect();
            let more = if self.unfiltered.len() > 5 { ", .." } else { "" };
            let count = self.unfiltered.len();
            line(
                "slow:",
                format!(
                    "{count} rules hold no text to look for, so {events} events were parsed: {}{more}",
                    names.join(", ")
                ),
            );
        }
        for path in &self.unreadable {
            line("unreadable:", format!("{}: {}", path.path, path.reason));
        }
        for what in &self.uncovered {
            line("not covered:", what.clone());
        }
        text
    }
}

impl ScanSummary {
    /// The exit code: findings first, then what could not be read.
    fn exit(&self) -> Exit {
        if self.findings > 0 {
            Exit::Findings
        } else if self.unreadable.is_empty() {
            Exit::Done
        } else {
            Exit::Incomplete
        }
    }
}

/// The files' paths as given, or below the embedded deployment where they lie only there.
pub fn resolve(ctx: &Context, paths: &[String]) -> Vec<String> {
    let below_root = |path: &String| {
        let inside = ctx.root.join(path);
        let only_there = ctx.embedded && !std::path::Path::new(path).exists() && inside.exists();
        if only_there { inside.display().to_string() } else { path.clone() }
    };
    paths.iter().map(below_root).collect()
}

/// The files and objects that paths name, and what could not be listed.
pub async fn inputs(ctx: &Context, paths: &[String]) -> (Vec<Input>, Vec<Unreadable>) {
    let paths = resolve(ctx, paths);
    if !paths.iter().any(|path| log_files::is_object(path)) {
        return log_files::expand(&paths);
    }
    let listing = Progress::spinner("listing objects");
    let s3 = Box::pin(S3::connect(&Aws::new(Box::new(Vec::new)))).await;
    let found = log_files::expand_with(&paths, Some(&s3));
    listing.finish();
    found
}

/// The case that findings go to: of `--incident`, or of the open incident if there is one. Without case folders nothing
/// else of the deployment is needed.
pub fn case_for_findings(ctx: &Context) -> Result<Option<Journal>, Failure> {
    let folder = ctx.root.join(&ctx.settings.home).join("incidents");
    let any = std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
    if !any && ctx.incident.is_none() {
        return Ok(None);
    }
    let deployment = ctx.deployment()?;
    if ctx.incident.is_none() && ctx.open_incidents(&deployment)?.is_empty() {
        return Ok(None);
    }
    ctx.open_case(&deployment).map(Some)
}

enum Message<C> {
    Finding(usize, Box<Finding>),
    Done(usize, C),
}

/// Scans files on all cores; findings are given in the order of the files, as soon as it allows. `scan` reads one file
/// and gives its findings to the sink; the result is what it said of each file, in their order.
pub fn scan_files<C: Send>(
    inputs: &[Input],
    scan: impl Fn(&Input, &mut dyn FnMut(Finding)) -> C + Sync,
    mut give: impl FnMut(Finding),
) -> Vec<C> {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(inputs.len().max(1));
    let progress = Progress::bytes(inputs.iter().map(Input::size).sum(), "scanning");
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::sync_channel(QUEUE);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (sender, next, scan) = (sender.clone(), &next, &scan);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(input) = inputs.get(index) else { return };
                    let said = scan(input, &mut |finding| {
                        // The receiver outlives the workers.
                        let _ = sender.send(Message::Finding(index, Box::new(finding)));
                    });
                    let _ = sender.send(Message::Done(index, said));
                }
            });
        }
        drop(sender);
        let mut waiting: Vec<Vec<Finding>> = inputs.iter().map(|_| Vec::new()).collect();
        let mut said: Vec<Option<C>> = inputs.iter().map(|_| None).collect();
        let mut current = 0;
        // What is printed must not end up in the bar's line.
        let mut give = |finding| progress.above(|| give(finding));
        for message in receiver {
            match message {
                Message::Finding(index, finding) if index == current => give(*finding),
                Message::Finding(index, finding) => waiting[index].push(*finding),
                Message::Done(index, what) => {
                    said[index] = Some(what);
                    progress.advance(inputs[index].size());
                    while said.get(current).is_some_and(Option::is_some) {
                        current += 1;
                        if let Some(waiting) = waiting.get_mut(current) {
                            std::mem::take(waiting).into_iter().for_each(&mut give);
                        }
                    }
                }
            }
        }
        progress.finish();
        said.into_iter().flatten().collect()
    })
}

/// Prints findings as they come and keeps them where a case wants them.
pub struct Collector<'a> {
    ctx: &'a Context,
    case: Option<Journal>,
    redactor: Redactor,
    shown: Shown,
    kept: Vec<Finding>,
    count: u64,
    started: Instant,
}

impl<'a> Collector<'a> {
    /// For the case, if there is one.
    pub fn new(ctx: &'a Context, case: Option<Journal>, redactor: Redactor) -> Self {
        Self {
            ctx,
            case,
            redactor,
            shown: Shown::new(&ctx.printer),
            kept: Vec::new(),
            count: 0,
            started: Instant::now(),
        }
    }

    /// Takes a finding; gives it back as it was shown, without secrets.
    pub fn give(&mut self, mut finding: Finding) -> Finding {
        self.redactor.redact(&mut finding);
        self.count += 1;
        self.shown.give(&self.ctx.printer, &finding);
        if self.case.is_some() {
            self.kept.push(finding.clone());
        }
        finding
    }

    /// Records the scan in the case, prints the summary and says the exit code. To the time that the summary says already
    /// (of shards) the collector's own is added.
    pub fn finish(self, mut summary: ScanSummary) -> Result<Exit, Failure> {
        summary.findings = self.count;
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        summary.elapsed_ms = summary.elapsed_ms.saturating_add(since);
        // Without the findings by rule: they are in the case themselves.
        let coverage = match serde_json::to_value(&summary) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        };
        summary.by_rule = self.shown.end(&self.ctx.printer);
        self.ctx.printer.emit(&summary);
        if let Some(journal) = &self.case {
            let complete = summary.unreadable.is_empty()
                && summary.rules_skipped.is_empty()
                && summary.indicators_refused.is_empty()
                && summary.uncovered.is_empty();
            findings::record_scan(journal, summary.scan, &self.kept, coverage, complete)
                .map_err(|error| journal_failure(&error))?;
        }
        Ok(summary.exit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FindingKind, Level, RuleRef, Source};

    #[test]
    fn findings_come_in_the_order_of_the_files() {
        let inputs: Vec<Input> =
            (0..40).map(|n| Input::File { path: format!("{n:02}").into(), size: 1, written: None }).collect();
        let scan = |input: &Input, sink: &mut dyn FnMut(Finding)| {
            let path = input.name();
            // Later files are faster.
            std::thread::sleep(std::time::Duration::from_micros(if path.ends_with('0') { 900 } else { 0 }));
            for record in 0..3 {
                sink(Finding {
                    id: format!("{path}-{record}"),
                    kind: FindingKind::Log,
                    rule: RuleRef { id: "r".into(), title: "r".into(), level: Level::Low },
                    time: None,
                    source: Source::File { path: path.clone(), record, line: None, offset: None },
                    matched: Map::new(),
                    event: Map::new(),
                });
            }
            path
        };
        let mut ids = Vec::new();
        let said = scan_files(&inputs, scan, |finding| ids.push(finding.id));
        assert!(ids.is_sorted() && ids.len() == 120);
        assert!(said.is_sorted() && said.len() == 40);
    }

    #[test]
    fn findings_outweigh_what_could_not_be_read() {
        let unreadable = || vec![Unreadable { path: "x".into(), reason: "gone".into() }];
        let exit = |findings, unreadable| ScanSummary { findings, unreadable, ..ScanSummary::default() }.exit();
        assert_eq!(exit(0, Vec::new()), Exit::Done);
        assert_eq!(exit(0, unreadable()), Exit::Incomplete);
        assert_eq!(exit(1, unreadable()), Exit::Findings);
    }
}
