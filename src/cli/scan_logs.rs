use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::log_pool::{self, Job, Outputs};
use super::scan_output::{Collector, ScanSummary, SkippedRule, UnfilteredRule, case_for_findings, resolve};
use super::scan_resume::{Earlier, Progress};
use super::{Context, Exit, Failure};
use crate::adapters::log_files::{self, Input, Unreadable};
use crate::detect::logs::formats::{Format, Wanted, time};
use crate::detect::logs::{Correlator, Coverage, Ruleset, ScanOptions};
use crate::detect::secrets::Redactor;
use crate::domain::{Digest, DigestContext, Level, Timestamp};
use crate::engine::known_values;
use secrecy::ExposeSecret;

/// Largest rule file that is read, in bytes.
const MAX_RULE_FILE: u64 = 4 << 20;

/// Arguments of `scan logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Formats are found by content: JSON lines, arrays and CloudTrail's {\"Records\":[..]}, docker json-file, nginx and Apache
access logs, syslog, journald export, PostgreSQL (stderr, csvlog, jsonlog, RDS), logfmt, auditd, CSV, W3C, plain text; each also
as gzip, zstd, bzip2 or xz. Names for --input-format: json-lines, json, docker, access, syslog, journal, postgres,
postgres-csv, logfmt, csv, text. Findings also go to the open incident's case.

Examples:
  portcullis scan logs /var/log/nginx cloudtrail/ --min-level high
  kubectl logs deploy/api | portcullis scan logs - --rules sigma/rules --format json")]
pub struct ScanLogsArgs {
    /// Files and folders; - is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Sigma rules: folders or files [default: logs/ below the policies]
    #[arg(long, value_name = "DIR")]
    rules: Vec<PathBuf>,
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
}

/// Reads a point in time of the command line.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    time::parse(text, Timestamp::UNIX_EPOCH)
        .or_else(|| time::parse(&format!("{text}T00:00:00Z"), Timestamp::UNIX_EPOCH))
        .ok_or_else(|| format!("`{text}` is not a time: write 2026-11-24T01:02:03Z or 2026-11-24"))
}

/// Scans logs.
pub async fn run(args: ScanLogsArgs, ctx: &Context) -> Result<Exit, Failure> {
    let redactor = redactor(ctx).await;
    let (rules, mut skipped, digest) = rules_with_digest(&args.rules, ctx)?;
    skipped.extend(rules.skipped().iter().map(|s| SkippedRule { rule: s.rule.clone(), reason: s.reason.clone() }));
    let case = case_for_findings(ctx)?;
    let (inputs, unreadable) = log_files::expand(&resolve(ctx, &args.paths));
    let now = Timestamp::now();
    let options = |input: &Input| ScanOptions {
        since: args.since,
        until: args.until,
        min_level: args.min_level,
        written: if let Input::File { written: Some(written), .. } = input { *written } else { now },
        format: args.input_format.clone(),
        ..ScanOptions::default()
    };
    let (mut progress, earlier) = match args.resume.then(|| progress(&args, ctx, &digest, &inputs)).transpose()? {
        Some((progress, earlier)) => (Some(progress), earlier),
        None => (None, Earlier::default()),
    };
    let collector = RefCell::new(Collector::new(ctx, case, redactor));
    let mut correlator = Correlator::default();
    for fed in &earlier.fed {
        correlator.add(fed);
    }
    for finding in earlier.findings {
        collector.borrow_mut().give(finding);
    }
    let job = Job { rules: &rules, inputs: &inputs, options: &options, earlier: &earlier.done };
    let kept = RefCell::new(progress.as_mut());
    let mut failed = None;
    let said = log_pool::run(
        &job,
        &mut Outputs {
            finding: &mut |finding| {
                let shown = collector.borrow_mut().give(finding);
                if let Some(progress) = kept.borrow_mut().as_mut() {
                    progress.finding(shown);
                }
            },
            feed: &mut |fed| {
                correlator.add(&fed);
                if let Some(progress) = kept.borrow_mut().as_mut() {
                    progress.fed(fed);
                }
            },
            done: &mut |at, done| {
                let noted = kept.borrow_mut().as_mut().map(|progress| progress.note(at, &inputs[at], done));
                failed = noted.and_then(Result::err).or(failed.take());
            },
        },
    );
    let mut collector = collector.into_inner();
    let mut notes = correlator.finish(&rules, &mut |finding| {
        if finding.rule.level >= args.min_level {
            collector.give(finding);
        }
    });
    notes.extend(failed.map(|error| format!("the scan's progress could not be kept: {error}")));
    // What is left behind only costs space: the next scan with these arguments writes it anew.
    let _ = progress.map(Progress::finish);
    let run = rules.rules().iter().filter(|rule| rule.rule.level >= args.min_level).count() as u64;
    let mut summary =
        ScanSummary { scan: "logs", rules: run, rules_skipped: skipped, unreadable, ..ScanSummary::default() };
    summary.rules += rules.correlations().filter(|(one, _)| one.rule.level >= args.min_level).count() as u64;
    summary.unfiltered = unfiltered(&rules, &said);
    summary.uncovered = notes;
    for (input, coverage) in inputs.iter().zip(said) {
        add(&mut summary, input.name(), coverage);
    }
    collector.finish(summary)
}

/// Opens the file that keeps how far this scan has come: one for the same paths, rules and options.
fn progress(
    args: &ScanLogsArgs,
    ctx: &Context,
    rules: &Digest,
    inputs: &[Input],
) -> Result<(Progress, Earlier), Failure> {
    let mut key = DigestContext::new();
    let what = format!("{rules} {:?} {:?} {} {:?}", args.since, args.until, args.min_level, args.input_format);
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
async fn redactor(ctx: &Context) -> Redactor {
    let Ok(deployment) = ctx.deployment() else { return Redactor::new(&[]) };
    let values = known_values(&deployment, &mut Vec::new()).await;
    let pairs: Vec<_> = values.iter().map(|(id, value)| (id.as_str(), value.expose_secret())).collect();
    Redactor::new(&pairs)
}

/// The rules that nothing in raw bytes can rule out, and the events that were parsed for them.
fn unfiltered(rules: &Ruleset, said: &[Coverage]) -> Vec<UnfilteredRule> {
    let mut events: BTreeMap<&str, u64> = BTreeMap::new();
    let mut formats: BTreeMap<Format, u64> = BTreeMap::new();
    for coverage in said {
        if let Some(format) = coverage.format {
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

/// Reads the rules; fails if there is none to run.
pub(super) fn rules(given: &[PathBuf], ctx: &Context) -> Result<(Ruleset, Vec<SkippedRule>), Failure> {
    rules_with_digest(given, ctx).map(|(rules, skipped, _)| (rules, skipped))
}

/// The same, with a digest of their texts.
fn rules_with_digest(given: &[PathBuf], ctx: &Context) -> Result<(Ruleset, Vec<SkippedRule>, Digest), Failure> {
    let default = [ctx.root.join(&ctx.settings.policies).join("logs")];
    let folders = if given.is_empty() { &default[..] } else { given };
    let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let (inputs, unreadable) = log_files::expand(&names);
    let is_rule = |path: &Path| path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
    let mut skipped: Vec<SkippedRule> = unreadable
        .into_iter()
        .filter(|path| is_rule(Path::new(&path.path)) || names.contains(&path.path))
        .map(|path| SkippedRule { reason: format!("{}: {}", path.path, path.reason), rule: path.path })
        .collect();
    let mut texts = Vec::new();
    for input in &inputs {
        let Input::File { path, .. } = input else { continue };
        let by_name = folders.contains(path);
        if !by_name && !is_rule(path) {
            continue;
        }
        match read_text(input) {
            Ok(text) => texts.push((input.name(), text)),
            Err(reason) => {
                skipped.push(SkippedRule { rule: input.name(), reason: format!("{}: {reason}", input.name()) });
            }
        }
    }
    let rules = Ruleset::from_texts(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    if rules.rules().is_empty() {
        let failure = Failure::new(Exit::Usage, format!("no rule could be read from {}", names.join(", ")));
        let reasons = skipped.iter().map(|s| &s.reason).chain(rules.skipped().iter().map(|s| &s.reason));
        let failure = reasons.take(10).fold(failure, |failure, reason| failure.cause(crate::ui::clean(reason)));
        return Err(failure.hint("name a folder of Sigma rules with --rules DIR, or write ours with: portcullis init"));
    }
    let mut digest = DigestContext::new();
    for (_, text) in &texts {
        digest.update(text.as_bytes());
    }
    Ok((rules, skipped, digest.finish()))
}

fn read_text(input: &Input) -> Result<String, String> {
    let mut text = String::new();
    let reader = input.open().map_err(|error| error.to_string())?;
    let read = reader.take(MAX_RULE_FILE + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if read as u64 > MAX_RULE_FILE {
        return Err(format!("larger than {MAX_RULE_FILE} bytes"));
    }
    Ok(text)
}
