//! `scan merge`: the outputs of shards as one scan.

use std::path::{Path, PathBuf};

use super::scan_logs::{correlator, covered, redactor, summary};
use super::scan_output::{Collector, ScanSummary, case_for_findings};
use super::sought::SoughtArgs;
use super::{Context, Exit, Failure};
use crate::adapters::log_files::Unreadable;
use crate::adapters::shard_files::{self, ShardFileError, ShardLines};
use crate::detect::logs::{Header, Merge, Merged, Mismatch, missing};
use crate::ui::Progress;

/// Arguments of `scan merge`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The result is that of one scan of everything: findings in the order of files and records, then
correlations. All shards must be there, of the same rules, indicators,
options and files. Findings also go to the
open incident's case.

Example:
  portcullis scan merge out/ --rules sigma/rules")]
pub struct MergeArgs {
    /// Files that shards wrote, or folders of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    sought: SoughtArgs,
    /// Merge what is there although shards are missing: the result is incomplete, and says so
    #[arg(long)]
    partial: bool,
}

/// A shard's file that was read to its end.
struct Read {
    path: PathBuf,
    header: Header,
    elapsed_ms: u64,
}

/// Merges.
pub async fn run(args: MergeArgs, ctx: &Context) -> Result<Exit, Failure> {
    let (shards, lost) = shards(&args)?;
    let Some(first) = shards.first().map(|read| &read.header) else {
        return Err(refused(&Mismatch("no shard is there".into())));
    };
    let sought = args.sought.read(ctx)?;
    let rules = &sought.rules;
    if sought.digest.to_string() != first.rules {
        let failure = Failure::new(Exit::Usage, "the shards were scanned with other rules or indicators than these");
        return Err(failure
            .hint("name what they were given: portcullis scan merge .. --rules DIR --indicators PATH --policies DIR"));
    }
    let min_level = first.options.min_level;
    let case = case_for_findings(ctx)?;
    let mut collector = Collector::new(ctx, case, redactor(ctx).await);
    let mut correlator = correlator();
    let mut merge = Merge::default();
    let progress = Progress::rows("merging");
    for (at, shard) in shards.iter().enumerate() {
        progress.say(&format!("merging shard {} of {}", at + 1, shards.len()));
        let before = at.checked_sub(1).map_or(0, |at| shards[at].header.shard.index());
        if shard.header.shard.index() > before + 1 {
            merge.skip();
        }
        let mut lines = ShardLines::open(&shard.path).map_err(|error| unreadable(&shard.path, &error))?;
        while let Some(line) = lines.next_line().map_err(|error| unreadable(&shard.path, &error))? {
            match merge.take(line).map_err(|error| refused(&error).cause(shard.path.display().to_string()))? {
                Some(Merged::Finding(finding)) => progress.above(|| drop(collector.give(finding))),
                Some(Merged::Event(event)) => correlator.add(&event),
                None => {}
            }
        }
    }
    progress.finish();
    if shards.last().is_some_and(|last| last.header.shard.index() < last.header.shard.count()) {
        merge.skip();
    }
    let all = merge.finish(first.inputs.files).map_err(|error| refused(&error))?;
    let mut uncovered = correlator.finish(rules, &mut |finding| {
        if finding.rule.level >= min_level {
            collector.give(finding);
        }
    });
    uncovered.extend(all.gaps);
    let mut unreadable = first.unreadable.clone();
    unreadable.extend(lost);
    let elapsed_ms = shards.iter().map(|shard| shard.elapsed_ms).max().unwrap_or(0);
    let summary = ScanSummary { unreadable, uncovered, elapsed_ms, ..summary(&sought, min_level) };
    collector.finish(covered(summary, rules, all.files))
}

/// The shards in their order, and those that are missing as what could not be read.
fn shards(args: &MergeArgs) -> Result<(Vec<Read>, Vec<Unreadable>), Failure> {
    let paths = shard_files::find(&args.files)
        .map_err(|error| Failure::from_error(Exit::Usage, "failed to list the shards' files", &error))?;
    let mut found = Vec::new();
    let mut spoilt = Vec::new();
    for path in paths {
        match shard_files::verify(&path) {
            Ok((header, elapsed_ms)) => found.push(Read { path, header, elapsed_ms }),
            Err(error) if args.partial => {
                spoilt.push(Unreadable { path: path.display().to_string(), reason: error.to_string() });
            }
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
    found.sort_by_key(|read| read.header.shard);
    let headers: Vec<(String, Header)> =
        found.iter().map(|read| (read.path.display().to_string(), read.header.clone())).collect();
    let lost = missing(&headers).map_err(|error| refused(&error))?;
    let count = found.first().map_or(0, |read| read.header.shard.count());
    if !lost.is_empty() && !args.partial {
        let names: Vec<String> = lost.iter().take(20).map(|index| format!("{index}/{count}")).collect();
        let more = if lost.len() > 20 { ", .." } else { "" };
        let failure = Failure::new(Exit::Incomplete, format!("shards are missing: {}{more}", names.join(", ")));
        return Err(failure.hint(format!(
            "scan them again with: portcullis scan logs .. --shard {}; or merge what is there with --partial",
            names[0]
        )));
    }
    spoilt.extend(lost.into_iter().map(|index| Unreadable {
        path: format!("shard {index}/{count}"),
        reason: "it is missing, and with it its share of the files".into(),
    }));
    Ok((found, spoilt))
}

fn refused(error: &Mismatch) -> Failure {
    Failure::new(Exit::Usage, "the shards can't be put together")
        .cause(error.to_string())
        .hint("scan all shards with the same rules, options and files, each number once")
}

fn unreadable(path: &Path, error: &ShardFileError) -> Failure {
    let what = format!("failed to read the shard's file {}", path.display());
    Failure::from_error(Exit::Failed, what, error)
        .hint("scan that shard again, or leave it out with: portcullis scan merge --partial")
}
