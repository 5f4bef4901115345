use std::cell::RefCell;
use std::collections::BTreeMap;

use super::log_pool::{self, Job, Outputs, Piece};
use super::moment::moment;
use super::scan_output::{Collector, ScanSummary, UnfilteredRule, case_for_findings, inputs};
use super::scan_resume::{Earlier, Progress};
use super::scan_shard::{self, ShardArgs};
use super::sought::{Sought, SoughtArgs};
use super::{Context, Exit, Failure};
use crate::adapters::log_files::{Input, Unreadable};
use crate::detect::logs::formats::{Format, Wanted};
use crate::detect::logs::{Correlator, Coverage, Fed, Options, Ruleset, ScanOptions, WAITING};
use crate::detect::secrets::Redactor;
use crate::domain::{DigestContext, Finding, Level, Timestamp};
use crate::engine::known_values;
use crate::engine::spill::Spill;
use secrecy::ExposeSecret;

/// Arguments of `scan logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Formats are found by content: JSON lines, arrays and CloudTrail's {\"Records\":[..]}, docker
json-file, nginx and Apache access logs, load balancers' logs, syslog, journald export, PostgreSQL
(stderr, csvlog, jsonlog, RDS), logfmt, auditd, CSV, W3C, plain text; also where other records
carry them (exports of CloudWatch, Elasticsearch, Loki, Splunk, GCP); each also as gzip, zstd,
bzip2 or xz. Names for --input-format: json-lines, json, docker, wrapped, access, nginx-error,
syslog, journal, postgres, postgres-csv, logfmt, csv, text. Findings also go to the open
incident's case.

Lists of indicators hold addresses, networks, domains, URLs, e-mail addresses, digests, key ids, wallets, user
agents and texts; they are looked for in the same pass, in every field and in free text.

Examples:
  portcullis scan logs /var/log/nginx cloudtrail/ --min-level high
  kubectl logs deploy/api | portcullis scan logs - --rules sigma/rules --format json
  portcullis scan logs s3://company-trail/AWSLogs/123456789012/CloudTrail/eu-central-1/2026/11/
  portcullis scan logs /mnt/logs --indicators misp-export.json --indicators iocs.csv
  portcullis scan logs /mnt/logs --shard auto --output out/        (in each job of an array; then
  portcullis scan merge out/)")]
#[expect(clippy::doc_markdown, reason = "the help is plain text")]
pub struct ScanLogsArgs {
    /// Files, folders and s3://bucket/prefix; - is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    sought: SoughtArgs,
    /// Only events at or after this time (RFC 3339, or a date; UTC)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only events before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Only rules of this level or above
    #[arg(long, value_name = "LEVEL", default_value = "informational")]
    min_level: Level,
    /// Format of the files, where content misleads: a name, or an access log's own form
    #[arg(long, value_name = "FORMAT")]
    input_format: Option<Wanted>,
    /// Keep how far the scan has come, and go on from there if a run with the same arguments was interrupted
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    pub(super) shard: ShardArgs,
}

/// What a scan of logs, or a shard of one, is made of.
pub(super) struct Prepared {
    /// The rules and indicators.
    pub sought: Sought,
    /// The files.
    pub inputs: Vec<Input>,
    /// Paths that are none.
    pub unreadable: Vec<Unreadable>,
}

impl Prepared {
    /// Reads the rules and lists the files.
    async fn new(args: &ScanLogsArgs, ctx: &Context) -> Result<Self, Failure> {
        let sought = args.sought.read(ctx)?;
        let (inputs, unreadable) = inputs(ctx, &args.paths).await;
        Ok(Self { sought, inputs, unreadable })
    }
}

impl ScanLogsArgs {
    /// The options for one file; a file of which nobody knows when it was written is taken to be of `now`.
    pub(super) fn options(&self, input: &Input, now: Timestamp) -> ScanOptions {
        ScanOptions {
            since: self.since,
            until: self.until,
            min_level: self.min_level,
            written: input.written().unwrap_or(now),
            format: self.input_format.clone(),
            ..ScanOptions::default()
        }
    }

    /// What was asked for, for those who compare.
    pub(super) fn asked(&self) -> Options {
        Options {
            since: self.since,
            until: self.until,
            min_level: self.min_level,
            input_format: self.input_format.as_ref().map(|wanted| format!("{wanted:?}")),
        }
    }
}

/// Correlations over events that are put aside on disk; where there is no room for them, in memory, and fewer.
pub(super) fn correlator() -> Correlator {
    Spill::new().map_or_else(|_| Correlator::default(), |spill| Correlator::with_aside(Box::new(spill), WAITING))
}

/// Scans logs.
pub async fn run(args: ScanLogsArgs, ctx: &Context) -> Result<Exit, Failure> {
    let shard = args.shard.shard(&ctx.settings)?;
    let redactor = redactor(ctx).await;
    let prepared = Prepared::new(&args, ctx).await?;
    if let Some(shard) = shard {
        return scan_shard::run(&args, shard, ctx, &prepared, &redactor);
    }
    let case = case_for_findings(ctx)?;
    let collector = RefCell::new(Collector::new(ctx, case, redactor));
    let correlator = RefCell::new(correlator());
    let pieces: Vec<Piece<'_>> = prepared.inputs.iter().map(Piece::whole).collect();
    let mut note = |_: usize, finding: Finding| collector.borrow_mut().give(finding);
    let mut feed = |_: usize, fed: &Fed| correlator.borrow_mut().add(fed);
    let (said, failed) =
        scan(&args, ctx, &prepared, &pieces, &mut Sinks { note: &mut note, feed: &mut feed, whole: &mut |_, _| {} })?;
    let (mut collector, rules) = (collector.into_inner(), &prepared.sought.rules);
    let mut notes = correlator.into_inner().finish(rules, &mut |finding| {
        if finding.rule.level >= args.min_level {
            collector.give(finding);
        }
    });
    notes.extend(failed);
    let names = prepared.inputs.iter().map(Input::name);
    let summary =
        ScanSummary { unreadable: prepared.unreadable, uncovered: notes, ..summary(&prepared.sought, args.min_level) };
    collector.finish(covered(summary, rules, names.zip(said).collect()))
}

/// Where the results of a scan go, in order, each with the number of its piece.
pub(super) struct Sinks<'a> {
    /// Findings; gives them back as they were shown, without secrets.
    pub note: &'a mut dyn FnMut(usize, Finding) -> Finding,
    /// Events for correlations.
    pub feed: &'a mut dyn FnMut(usize, &Fed),
    /// What was covered of a piece that is done.
    pub whole: &'a mut dyn FnMut(usize, &Coverage),
}

/// Scans the pieces, from where an interrupted run with the same arguments had come to if `--resume` says so. What was
/// covered of each, and why progress could not be kept.
pub(super) fn scan(
    args: &ScanLogsArgs,
    ctx: &Context,
    prepared: &Prepared,
    pieces: &[Piece<'_>],
    sinks: &mut Sinks<'_>,
) -> Result<(Vec<Coverage>, Option<String>), Failure> {
    let now = Timestamp::now();
    let options = |input: &Input| ScanOptions {
        sources: prepared.sought.rules.sources_of(&input.name()),
        ..args.options(input, now)
    };
    let inputs: Vec<Input> = pieces.iter().map(|piece| piece.input.clone()).collect();
    let (mut progress, earlier) = match args.resume.then(|| progress(args, ctx, prepared, &inputs)).transpose()? {
        Some((progress, earlier)) => (Some(progress), earlier),
        None => (None, Earlier::default()),
    };
    let job = Job { rules: &prepared.sought.rules, pieces, options: &options, earlier: &earlier.done };
    let (mut findings, mut fed) = (earlier.findings.into_iter().peekable(), earlier.fed.iter().peekable());
    for (at, done) in earlier.done.iter().enumerate() {
        while let Some((_, finding)) = findings.next_if(|(of, _)| *of == at) {
            (sinks.note)(at, finding);
        }
        while let Some((_, fed)) = fed.next_if(|(of, _)| *of == at) {
            (sinks.feed)(at, fed);
        }
        if done.whole {
            (sinks.whole)(at, &done.coverage);
        }
    }
    let kept = RefCell::new(progress.as_mut());
    let mut failed = None;
    let said = log_pool::run(
        &job,
        &mut Outputs {
            finding: &mut |at, finding| {
                let shown = (sinks.note)(at, finding);
                if let Some(progress) = kept.borrow_mut().as_mut() {
                    progress.finding(shown);
                }
            },
            feed: &mut |at, fed| {
                (sinks.feed)(at, &fed);
                if let Some(progress) = kept.borrow_mut().as_mut() {
                    progress.fed(fed);
                }
            },
            done: &mut |at, done| {
                let noted = kept.borrow_mut().as_mut().map(|progress| progress.note(at, &inputs[at], done));
                failed = noted.and_then(Result::err).or(failed.take());
                if done.whole {
                    (sinks.whole)(at, &done.coverage);
                }
            },
        },
    );
    // What is left behind only costs space: the next scan with these arguments writes it anew.
    let _ = progress.map(Progress::finish);
    Ok((said, failed.map(|error| format!("the scan's progress could not be kept: {error}"))))
}

/// A summary that knows what is looked for.
pub(super) fn summary(sought: &Sought, min_level: Level) -> ScanSummary {
    let rules = &sought.rules;
    let single = rules.rules().iter().filter(|rule| rule.rule.level >= min_level).count() as u64;
    let joined = rules.correlations().filter(|(one, _)| one.rule.level >= min_level).count() as u64;
    ScanSummary {
        scan: "logs",
        rules: single + joined,
        rules_skipped: sought.skipped.clone(),
        indicators: rules.indicators().map_or(0, |indicators| indicators.len() as u64),
        indicators_refused: sought.refused.clone(),
        indicator_lists: sought.lists.clone(),
        ..ScanSummary::default()
    }
}

/// The same with what was covered of each file.
pub(super) fn covered(mut summary: ScanSummary, rules: &Ruleset, said: Vec<(String, Coverage)>) -> ScanSummary {
    summary.unfiltered = unfiltered(rules, &said);
    for (path, coverage) in said {
        add(&mut summary, path, coverage);
    }
    summary
}

/// Opens the file that keeps how far this scan has come: one for the same paths, rules and options.
fn progress(
    args: &ScanLogsArgs,
    ctx: &Context,
    prepared: &Prepared,
    inputs: &[Input],
) -> Result<(Progress, Earlier), Failure> {
    let mut key = DigestContext::new();
    let shard = args.shard.shard(&ctx.settings)?;
    let what = format!("{} {:?} {shard:?}", prepared.sought.digest, args.asked());
    key.update(what.as_bytes());
    for text in &args.paths {
        key.update(&(text.len() as u64).to_be_bytes());
        key.update(text.as_bytes());
    }
    let key = key.finish().to_string();
    let folder = ctx.root.join(&ctx.settings.home).join("scans");
    Progress::open(&folder, &key, inputs).map_err(|error| {
        let what = format!("failed to keep the scan's progress in {}", folder.display());
        Failure::from_error(Exit::Failed, &what, &error).hint("scan without --resume, or make the folder writable")
    })
}

/// Knows the credentials' own values where there is a deployment to ask: a log line that holds one is evidence, the value is not.
pub(super) async fn redactor(ctx: &Context) -> Redactor {
    let Ok(deployment) = ctx.deployment() else { return Redactor::new(&[]) };
    let values = known_values(&deployment, &mut Vec::new()).await;
    let pairs: Vec<_> = values.iter().map(|(id, value)| (id.as_str(), value.expose_secret())).collect();
    Redactor::new(&pairs)
}

/// The rules that nothing in raw bytes can rule out, and the events that were parsed for them.
fn unfiltered(rules: &Ruleset, said: &[(String, Coverage)]) -> Vec<UnfilteredRule> {
    let mut events: BTreeMap<&str, u64> = BTreeMap::new();
    let mut formats: BTreeMap<Format, u64> = BTreeMap::new();
    for (_, coverage) in said {
        if let Some(format) = coverage.format.filter(|_| coverage.events > 0) {
            *formats.entry(format).or_default() += coverage.events;
        }
    }
    for (format, count) in formats {
        for rule in rules.unfiltered(format) {
            *events.entry(&rule.rule.id).or_default() += count;
        }
    }
    events.into_iter().map(|(rule, events)| UnfilteredRule { rule: rule.to_owned(), events }).collect()
}

/// Adds what one file's scan covered.
fn add(summary: &mut ScanSummary, path: String, coverage: Coverage) {
    summary.files += u64::from(coverage.format.is_some());
    summary.bytes += coverage.bytes;
    summary.events += coverage.events;
    if coverage.broken > 0 {
        let format = coverage.format.map_or("events", Format::name);
        let first = coverage.first_broken.unwrap_or(1);
        let count = coverage.broken;
        summary.uncovered.push(format!("{path}: {count} records are not readable as {format}, first on line {first}"));
    }
    if coverage.undated > 0 {
        let count = coverage.undated;
        summary
            .uncovered
            .push(format!("{path}: {count} matching events have no time, so --since and --until kept them"));
    }
    if let Some(reason) = coverage.unreadable {
        summary.unreadable.push(Unreadable { path, reason });
    }
}
