//! One machine's share of a scan of logs: which one, which pieces of which files, and the file that its results go to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::log_pool::Piece;
use super::scan_logs::{Prepared, ScanLogsArgs, Sinks, scan};
use super::{Context, Exit, Failure};
use crate::adapters::log_files::{Input, Unreadable};
use crate::adapters::shard_files::ShardFile;
use crate::detect::logs::{Head, Header, Inputs, Line, Range, Shard, Size, VERSION, pieces};
use crate::detect::secrets::Redactor;
use crate::domain::{DigestContext, Timestamp, counted};
use crate::settings::Settings;
use crate::ui::{Printer, Record, Style, clean};

/// Large files are cut at multiples of so many bytes.
const CUT: u64 = 1 << 20;
/// Endings of names of compressed files.
const PACKED: [&str; 8] = ["gz", "tgz", "zst", "zstd", "bz2", "xz", "lzma", "z"];

/// Arguments of a shard.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "the help is plain text")]
pub struct ShardArgs {
    /// Scan one share of the work: its number and how many there are, or auto in a Slurm array, a Kubernetes Indexed Job or
    /// an AWS Batch array. `scan merge` puts the shares together
    #[arg(long, value_name = "I/N|auto")]
    shard: Option<Wish>,
    /// How many shards there are, where auto can't tell (Kubernetes) [env: PORTCULLIS_SHARDS]
    #[arg(long, value_name = "N", requires = "shard")]
    shards: Option<u64>,
    /// Folder for the shard's file, shard-I-of-N.jsonl; - is standard output
    #[arg(long, value_name = "DIR", default_value = ".", requires = "shard")]
    pub(super) output: PathBuf,
}

#[derive(Debug, Clone)]
enum Wish {
    Auto,
    Shard(Shard),
}

impl std::str::FromStr for Wish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" { Ok(Self::Auto) } else { text.parse().map(Self::Shard) }
    }
}

impl ShardArgs {
    /// The shard that is meant, if any.
    pub fn shard(&self, settings: &Settings) -> Result<Option<Shard>, Failure> {
        match &self.shard {
            None => Ok(None),
            Some(Wish::Shard(shard)) if self.shards.is_some_and(|count| count != u64::from(shard.count())) => {
                Err(Failure::new(Exit::Usage, format!("--shard {shard} and --shards contradict each other")))
            }
            Some(Wish::Shard(shard)) => Ok(Some(*shard)),
            Some(Wish::Auto) => auto(&settings.array, self.shards).map(Some).map_err(|why| {
                Failure::new(Exit::Usage, format!("--shard auto: {why}")).hint("say which one it is: --shard 3/8")
            }),
        }
    }
}

/// The shard that an engine's variables name.
fn auto(variables: &BTreeMap<&'static str, String>, asked: Option<u64>) -> Result<Shard, String> {
    let number = |name: &'static str| {
        let value = variables.get(name)?;
        Some(value.parse::<u64>().map_err(|_| format!("{name} is `{value}`, which is no number")))
    };
    let needed = |name: &'static str| number(name).ok_or_else(|| format!("{name} is not set")).flatten();
    let engines = ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX"];
    let set: Vec<_> = engines.into_iter().filter(|name| variables.contains_key(name)).collect();
    let [engine] = set[..] else {
        return Err(match set.as_slice() {
            [] => format!("this is no job of an array: none of {} is set", engines.join(", ")),
            many => format!("{} are set, and only one of them can be meant", many.join(" and ")),
        });
    };
    let index = needed(engine)?;
    let asked = asked.map(Ok).or_else(|| number("PORTCULLIS_SHARDS")).transpose()?;
    let (index, count) = match engine {
        "SLURM_ARRAY_TASK_ID" => slurm(index, needed)?,
        "AWS_BATCH_JOB_ARRAY_INDEX" => (index + 1, needed("AWS_BATCH_JOB_ARRAY_SIZE")?),
        _ => (
            index + 1,
            asked.ok_or("Kubernetes does not tell how many jobs there are: set PORTCULLIS_SHARDS or --shards")?,
        ),
    };
    if asked.is_some_and(|asked| asked != count) {
        return Err(format!("the array has {count} jobs, not the {} that were asked for", asked.unwrap_or_default()));
    }
    Shard::new(index, count)
}

/// A Slurm array may begin anywhere and go in steps, but a list with holes (`--array=1,3,7`) is a part of one: as whoever
/// runs failed tasks again writes it. Taken for all of it, shards would be missing and others scanned twice.
fn slurm(id: u64, needed: impl Fn(&'static str) -> Result<u64, String>) -> Result<(u64, u64), String> {
    let (count, min, max) =
        (needed("SLURM_ARRAY_TASK_COUNT")?, needed("SLURM_ARRAY_TASK_MIN")?, needed("SLURM_ARRAY_TASK_MAX")?);
    let step = needed("SLURM_ARRAY_TASK_STEP")?.max(1);
    let regular =
        count > 0 && max.saturating_sub(min) / step + 1 == count && max.saturating_sub(min).is_multiple_of(step);
    if !regular || !(min..=max).contains(&id) || !(id - min).is_multiple_of(step) {
        return Err(format!("task {id} of {count} between {min} and {max} is of an array with holes"));
    }
    Ok(((id - min) / step + 1, count))
}

/// Scans the shard's share, and writes its file.
pub fn run(
    args: &ScanLogsArgs,
    shard: Shard,
    ctx: &Context,
    prepared: &Prepared,
    redactor: &Redactor,
) -> Result<Exit, Failure> {
    if prepared.inputs.contains(&Input::Stdin) {
        return Err(Failure::new(Exit::Usage, "standard input can't be shared between machines")
            .hint("put it into a file that each of them can read"));
    }
    let began = Instant::now();
    let (header, pieces) = (header(args, shard, prepared), share(args, shard, &prepared.inputs));
    let parts: Vec<Piece<'_>> = pieces
        .iter()
        .map(|(file, range, head)| Piece {
            input: &prepared.inputs[*file],
            part: head.clone().map(|head| (head, *range)),
        })
        .collect();
    let to_stdout = args.shard.output == Path::new("-");
    let folder = &args.shard.output;
    let writing = |error: &io::Error| {
        let what = format!("failed to write shard {shard} to {}", folder.display());
        Failure::from_error(Exit::Failed, what, error).hint("name another folder with --output DIR")
    };
    let file = if to_stdout {
        ShardFile::given(|line| ctx.printer.raw(line), header)
    } else {
        ShardFile::begin(folder, header).map_err(|error| writing(&error))?
    };
    let summary = ShardSummary { scan: "logs", shard: shard.to_string(), ..ShardSummary::default() };
    let out = RefCell::new(Output { file, begun: None, summary });
    let piece = |at: usize| {
        let (file, range, _) = &pieces[at];
        Line::Piece { file: *file as u64, path: prepared.inputs[*file].name(), range: *range }
    };
    let (_, failed) = scan(
        args,
        ctx,
        prepared,
        &parts,
        &mut Sinks {
            note: &mut |at, mut finding| {
                redactor.redact(&mut finding);
                let mut out = out.borrow_mut();
                out.summary.findings += 1;
                out.line(at, piece, &Line::Finding(Box::new(finding.clone())));
                finding
            },
            feed: &mut |at, fed| out.borrow_mut().line(at, piece, &Line::Event(Box::new(fed.clone()))),
            whole: &mut |at, coverage| {
                let mut out = out.borrow_mut();
                out.line(at, piece, &Line::Coverage(Box::new(coverage.clone())));
                out.summary.take(parts[at].input.name(), coverage);
            },
        },
    )?;
    let Output { file, mut summary, .. } = out.into_inner();
    summary.unreadable.extend(prepared.unreadable.iter().cloned());
    summary.uncovered.extend(failed);
    summary.elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let path = folder.join(name(shard));
    file.finish(&path, summary.elapsed_ms).map_err(|error| writing(&error))?;
    if !to_stdout {
        summary.output = path.display().to_string();
        ctx.printer.emit(&summary);
    }
    Ok(if summary.unreadable.is_empty() { Exit::Done } else { Exit::Incomplete })
}

/// The name of a shard's file: in the order of the shards.
fn name(shard: Shard) -> String {
    let width = shard.count().to_string().len();
    format!("shard-{:0width$}-of-{}.jsonl", shard.index(), shard.count())
}

/// The pieces of a shard: the file's number, the bytes, and for a part of a file what its head says.
fn share(args: &ScanLogsArgs, shard: Shard, inputs: &[Input]) -> Vec<(usize, Range, Option<Head>)> {
    let packed = |input: &Input| {
        let name = input.name().to_ascii_lowercase();
        name.rsplit_once('.').is_some_and(|(_, ending)| PACKED.contains(&ending))
    };
    let sizes: Vec<Size> = inputs.iter().map(|input| Size { bytes: input.size(), packed: packed(input) }).collect();
    let mut heads = BTreeMap::new();
    let found = pieces(shard, &sizes, CUT, |file| {
        // What can't be read is named by the shard in which it begins.
        let head = head(args, &inputs[file]).ok().flatten();
        let cuttable = head.is_some();
        heads.insert(file, head);
        cuttable
    });
    let head = |file: usize| heads.get(&file).cloned().flatten();
    found.into_iter().map(|piece| (piece.file, piece.range, head(piece.file))).collect()
}

fn head(args: &ScanLogsArgs, input: &Input) -> io::Result<Option<Head>> {
    let mut bytes = Vec::new();
    input.open()?.take(Head::BYTES as u64).read_to_end(&mut bytes)?;
    Ok(Head::of(&bytes, &args.options(input, Timestamp::UNIX_EPOCH)))
}

fn header(args: &ScanLogsArgs, shard: Shard, prepared: &Prepared) -> Header {
    let mut digest = DigestContext::new();
    let mut add = |text: &str| {
        digest.update(&(text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    };
    for input in &prepared.inputs {
        add(&input.name());
        add(&input.size().to_string());
        add(&input.written().map_or(String::new(), |written| written.as_nanosecond().to_string()));
        add(input.tag());
    }
    for path in &prepared.unreadable {
        add(&path.path);
        add(&path.reason);
    }
    Header {
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        shard,
        rules: prepared.sought.digest.to_string(),
        options: args.asked(),
        inputs: Inputs {
            files: prepared.inputs.len() as u64,
            bytes: prepared.inputs.iter().map(Input::size).sum(),
            sha256: digest.finish().to_string(),
        },
        unreadable: prepared.unreadable.clone(),
    }
}

/// Where lines go; each piece is named before the first line of it.
struct Output<'a> {
    file: ShardFile<'a>,
    begun: Option<usize>,
    summary: ShardSummary,
}

impl Output<'_> {
    fn line(&mut self, at: usize, piece: impl Fn(usize) -> Line, line: &Line) {
        if self.begun != Some(at) {
            self.begun = Some(at);
            self.file.line(&piece(at));
        }
        self.file.line(line);
    }
}

/// The `summary` of a shard.
#[derive(Debug, Default, Serialize)]
struct ShardSummary {
    scan: &'static str,
    shard: String,
    output: String,
    pieces: u64,
    bytes: u64,
    events: u64,
    findings: u64,
    unreadable: Vec<Unreadable>,
    uncovered: Vec<String>,
    elapsed_ms: u64,
}

impl ShardSummary {
    fn take(&mut self, path: String, coverage: &crate::detect::logs::Coverage) {
        self.pieces += 1;
        self.bytes += coverage.bytes;
        self.events += coverage.events;
        self.unreadable.extend(coverage.unreadable.clone().map(|reason| Unreadable { path, reason }));
    }
}

impl Record for ShardSummary {
    const TYPE: &'static str = "summary";

    fn text(&self, printer: &Printer) -> String {
        let headline = format!(
            "shard {}: {} in {} ({} bytes in {}), {} ms",
            self.shard,
            counted(self.findings, "finding", "findings"),
            counted(self.events, "event", "events"),
            self.bytes,
            counted(self.pieces, "piece", "pieces"),
            self.elapsed_ms
        );
        let mut text = printer.paint(Style::Strong, headline);
        for path in &self.unreadable {
            let what = printer.paint(Style::Warn, "unreadable:");
            text.push_str(&format!("\n  {what} {}: {}", clean(&path.path), clean(&path.reason)));
        }
        for what in &self.uncovered {
            text.push_str(&format!("\n  {} {}", printer.paint(Style::Warn, "not covered:"), clean(what)));
        }
        text.push_str(&format!("\nwritten to {}; when all are done: portcullis scan merge", clean(&self.output)));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(variables: &[(&'static str, &str)], asked: Option<u64>) -> Result<String, String> {
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        auto(&variables, asked).map(|shard| shard.to_string())
    }

    fn slurm_says(id: &str, count: &str, min: &str, max: &str, step: &str) -> Result<String, String> {
        told(
            &[
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_COUNT", count),
                ("SLURM_ARRAY_TASK_MIN", min),
                ("SLURM_ARRAY_TASK_MAX", max),
                ("SLURM_ARRAY_TASK_STEP", step),
            ],
            None,
        )
    }

    #[test]
    fn engines_tell_which_shard_it_is() {
        assert_eq!(slurm_says("0", "8", "0", "7", "1"), Ok("1/8".into()));
        assert_eq!(slurm_says("8", "8", "1", "8", "1"), Ok("8/8".into()));
        assert_eq!(slurm_says("8", "4", "0", "12", "4"), Ok("3/4".into()));
        assert_eq!(slurm_says("5", "1", "5", "5", "1"), Ok("1/1".into()));
        let batch = [("AWS_BATCH_JOB_ARRAY_INDEX", "0"), ("AWS_BATCH_JOB_ARRAY_SIZE", "4")];
        assert_eq!(told(&batch, None), Ok("1/4".into()));
        assert_eq!(told(&[("JOB_COMPLETION_INDEX", "3")], Some(4)), Ok("4/4".into()));
        let set = [("JOB_COMPLETION_INDEX", "3"), ("PORTCULLIS_SHARDS", "5")];
        assert_eq!(told(&set, None), Ok("4/5".into()));
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        let batch = [("AWS_BATCH_JOB_ARRAY_INDEX", "0"), ("AWS_BATCH_JOB_ARRAY_SIZE", "4")];
        let both = [batch[0], batch[1], ("JOB_COMPLETION_INDEX", "0")];
        for (said, words) in [
            (told(&[], Some(4)), "no job of an array"),
            (told(&both, Some(4)), "only one of them"),
            (told(&batch[..1], None), "AWS_BATCH_JOB_ARRAY_SIZE is not set"),
            (told(&batch, Some(5)), "has 4 jobs, not the 5"),
            (told(&[("JOB_COMPLETION_INDEX", "3")], None), "PORTCULLIS_SHARDS"),
            (told(&[("JOB_COMPLETION_INDEX", "4")], Some(4)), "1/4 to 4/4"),
            (told(&[("JOB_COMPLETION_INDEX", "x")], Some(4)), "no number"),
            (slurm_says("3", "3", "1", "7", "1"), "holes"),
            (slurm_says("3", "2", "3", "5", "1"), "holes"),
            (slurm_says("9", "8", "0", "7", "1"), "holes"),
        ] {
            let error = said.unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn names_are_in_the_order_of_shards() {
        let names: Vec<String> = (1..=12).map(|n| name(Shard::new(n, 12).unwrap())).collect();
        assert!(names.is_sorted() && names[0] == "shard-01-of-12.jsonl");
    }
}
