use std::io::Read;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::block::Block;
use super::formats::{Format, Wanted};
use super::ordered::Ordered;
use super::records::scan_block;
use super::ruleset::Ruleset;
use super::{Blocks, Correlator, Fed};
use crate::domain::{Finding, Level, Timestamp};

/// What to look for, beside the rules.
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// Events before it are left out. Events without a time never are.
    pub since: Option<Timestamp>,
    /// Events at or after it are left out. Events without a time never are.
    pub until: Option<Timestamp>,
    /// Rules below it are not run.
    pub min_level: Level,
    /// Times that name no year (RFC 3164) are the last such ones before a day after this: when the file was last
    /// written, or now.
    pub written: Timestamp,
    /// Whether raw bytes are filtered first; findings are the same without.
    pub prefilter: bool,
    /// The format, where it is not to be found by content.
    pub format: Option<Wanted>,
    /// Which log sources the file is of, where sources name files: see [`Ruleset::sources_of`].
    pub sources: Option<Arc<[bool]>>,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            since: None,
            until: None,
            min_level: Level::Informational,
            written: Timestamp::UNIX_EPOCH,
            prefilter: true,
            format: None,
            sources: None,
        }
    }
}

/// What of one stream was covered.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Coverage {
    /// The format that was found.
    pub format: Option<Format>,
    /// Bytes read, after decompression.
    pub bytes: u64,
    /// Lines read.
    pub lines: u64,
    /// Events read. An event that no rule can match by its raw bytes is not parsed: it counts by its outline.
    pub events: u64,
    /// Lines or records that could not be read as events of the format.
    pub broken: u64,
    /// Line of the first of these.
    pub first_broken: Option<u64>,
    /// Events without a time that were kept although a time range was asked for.
    pub undated: u64,
    /// Events that were parsed, since their raw bytes could match.
    pub parsed: u64,
    /// Findings given to the sink.
    pub findings: u64,
    /// Why reading ended before the end of the stream, or why nothing was read.
    pub unreadable: Option<String>,
}

/// Where and when something was seen; record and line count from the start of the block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) record: u64,
    pub(super) line: u64,
    pub(super) offset: u64,
    pub(super) time: Option<Timestamp>,
}

/// What an event was found by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause {
    /// A rule.
    Rule(usize),
    /// An indicator.
    Indicator(u32),
}

/// An event that a rule matched, or that holds an indicator.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub(super) cause: Cause,
    pub(super) place: Place,
    pub(super) matched: Map<String, Value>,
    pub(super) event: Map<String, Value>,
}

/// Values of an event, by the places of their fields among those that its rule feeds: few bytes, since events are many.
pub(super) type FedValues = Box<[(usize, Box<str>)]>;

/// What the scan of one block gave.
#[derive(Debug, Clone, Default)]
pub struct Scanned {
    pub(super) hits: Vec<Hit>,
    /// Events for correlations: the rule that matched, and the values that they need.
    pub(super) fed: Vec<(usize, Place, FedValues)>,
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) events: u64,
    pub(super) parsed: u64,
    pub(super) broken: u64,
    pub(super) first_broken: Option<u64>,
    pub(super) undated: u64,
}

impl Scanned {
    /// How many findings it will give.
    pub fn findings(&self) -> usize {
        self.hits.len()
    }
}

/// Scans one block. Blocks of one stream can be scanned side by side; [`Ordered`] puts the results together.
pub fn scan(rules: &Ruleset, block: &Block, options: &ScanOptions) -> Scanned {
    scan_block(rules, block, options)
}

/// Scans one stream, correlations too. `path` is the name that findings carry.
pub fn scan_reader<'a>(
    rules: &Ruleset,
    path: &str,
    reader: impl Read + Send + 'a,
    options: &ScanOptions,
    sink: &mut dyn FnMut(Finding),
) -> Coverage {
    let mut correlator = Correlator::default();
    let coverage = scan_feeding(rules, path, reader, options, sink, &mut |fed| correlator.add(&fed));
    correlator.finish(rules, sink);
    coverage
}

/// Scans one stream; the events that correlations need go to `feed`.
pub fn scan_feeding<'a>(
    rules: &Ruleset,
    path: &str,
    reader: impl Read + Send + 'a,
    options: &ScanOptions,
    sink: &mut dyn FnMut(Finding),
    feed: &mut dyn FnMut(Fed),
) -> Coverage {
    let mut blocks = Blocks::new(reader, options);
    let mut ordered = Ordered::new(path, blocks.format());
    while let Some(block) = blocks.next_block() {
        ordered.take(rules, scan(rules, &block, options), sink, feed);
    }
    ordered.finish(blocks.failed())
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
