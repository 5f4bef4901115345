//! One block: its records are found, those that a rule could match by their raw bytes are parsed, and the rules are run.

use std::borrow::Cow;

use super::block::{Block, Span};
use super::correlate::MAX_VALUE;
use super::formats::{self, Layout, time};
use super::logsource::Class;
use super::ordered::bounded;
use super::ruleset::{Filter, Ruleset};
use super::scan::{Hit, Place, ScanOptions, Scanned};
use super::sigma::{Record, Rule};

/// Scans one block.
pub(super) fn scan_block(rules: &Ruleset, block: &Block, options: &ScanOptions) -> Scanned {
    let filter = rules.filter(&block.layout, &block.bytes);
    let mut scan = Scan {
        rules,
        options,
        layout: &block.layout,
        marks: Marks::new(filter, &block.bytes, options.prefilter),
        out: Scanned { bytes: block.covers, lines: block.lines, ..Scanned::default() },
    };
    for line in &block.too_long {
        scan.broken(*line);
    }
    match &block.spans {
        Some(spans) => spans.iter().for_each(|span| scan.record(&block.bytes, *span)),
        None => scan.lines(block),
    }
    scan.out
}

/// Which rules could match which records, by their raw bytes.
struct Marks<'a> {
    filter: &'a Filter,
    /// Place and literal, in the order of the text.
    found: Vec<(usize, usize)>,
    /// Places of escapes that can stand for any letter.
    escapes: Vec<usize>,
    next: usize,
    next_escape: usize,
    everything: bool,
    /// The rules of the record at hand; a rule's stamp says for which record it was noted.
    rules: Vec<usize>,
    stamps: Vec<u64>,
    stamp: u64,
}

impl<'a> Marks<'a> {
    fn new(filter: &'a Filter, bytes: &[u8], used: bool) -> Self {
        let mut found = Vec::new();
        let mut escapes = Vec::new();
        if used {
            filter.grams.find(bytes, |at, literal| found.push((at, literal)));
            found.sort_unstable();
            if filter.escaped {
                escapes = filter.escape.find_iter(bytes).collect();
            }
        }
        let stamps = vec![0; filter.rules];
        let everything = !used;
        Self { filter, found, escapes, next: 0, next_escape: 0, everything, rules: Vec::new(), stamps, stamp: 0 }
    }

    /// Whether a rule could match the record that ends there; [`Marks::rules`] says which. Records are asked for in
    /// their order.
    fn candidates(&mut self, end: usize) -> bool {
        self.rules.clear();
        self.stamp += 1;
        let mut all = self.everything;
        while self.escapes.get(self.next_escape).is_some_and(|at| *at < end) {
            self.next_escape += 1;
            all = true;
        }
        let from = self.next;
        while self.found.get(self.next).is_some_and(|(at, _)| *at < end) {
            self.next += 1;
        }
        if all {
            self.rules.extend_from_slice(&self.filter.all);
            return !self.rules.is_empty();
        }
        if from == self.next && self.filter.unfiltered.is_empty() {
            return false;
        }
        self.rules.extend_from_slice(&self.filter.unfiltered);
        for (_, literal) in &self.found[from..self.next] {
            for rule in &self.filter.owners[*literal] {
                if self.stamps[*rule] != self.stamp {
                    self.stamps[*rule] = self.stamp;
                    self.rules.push(*rule);
                }
            }
        }
        self.rules.sort_unstable();
        true
    }

    /// Whether one of the candidates could match by everything that it needs in raw bytes, whichever of it was looked for:
    /// what the filter happens to choose must not be seen in a count.
    fn could_match(&self, rules: &[Rule], raw: &[u8]) -> bool {
        if self.filter.escaped && self.filter.escape.find(raw).is_some() {
            return true;
        }
        let raw = raw.to_ascii_lowercase();
        let holds = |literal: &str| memchr::memmem::find(&raw, literal.as_bytes()).is_some();
        self.rules.iter().any(|rule| rules[*rule].needs(self.filter.family, &holds))
    }
}

struct Scan<'a> {
    rules: &'a Ruleset,
    options: &'a ScanOptions,
    layout: &'a Layout,
    marks: Marks<'a>,
    out: Scanned,
}

impl Scan<'_> {
    fn broken(&mut self, line: u64) {
        self.out.broken += 1;
        self.out.first_broken = Some(self.out.first_broken.map_or(line, |first| first.min(line)));
    }

    fn lines(&mut self, block: &Block) {
        let mut start = 0;
        let ends = memchr::memchr_iter(b'\n', &block.bytes).map(|at| at + 1);
        let tail = (!block.bytes.ends_with(b"\n")).then_some(block.bytes.len());
        for end in ends.chain(tail) {
            if start < end {
                self.out.lines += 1;
                let span = Span { start, end, line: self.out.lines, offset: block.offset + start as u64 };
                self.record(&block.bytes, span);
            }
            start = end;
        }
    }

    fn record(&mut self, bytes: &[u8], span: Span) {
        let raw = &bytes[span.start..span.end];
        let candidate = self.marks.candidates(span.end);
        let fits = match self.layout.outline(raw) {
            formats::Outline::Blank => return,
            formats::Outline::Fits => true,
            formats::Outline::Broken => {
                self.broken(span.line);
                if self.layout.format.is_json() {
                    return;
                }
                false
            }
        };
        let number = self.out.events;
        self.out.events += 1;
        if !candidate {
            return;
        }
        self.out.parsed += 1;
        let text = match std::str::from_utf8(raw) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(raw),
        };
        let text = if self.layout.format.is_json() { text.trim() } else { text.trim_end_matches(['\n', '\r']) };
        let parsed = if fits { self.layout.parse(text) } else { None };
        if parsed.is_none() && fits {
            if self.marks.could_match(self.rules.rules(), raw) {
                self.broken(span.line);
            }
            if self.layout.format.is_json() {
                return;
            }
        }
        // A line that the format doesn't explain is still looked through as text.
        let (fields, format) = parsed.unwrap_or_else(|| (formats::text_event(text), formats::Format::Text));
        let raw = (!self.layout.format.is_json()).then_some(text);
        self.event(&Record { fields: &fields, raw, format }, number, span);
    }

    fn event(&mut self, record: &Record<'_>, number: u64, span: Span) {
        let options = self.options;
        let ranged = options.since.is_some() || options.until.is_some();
        let class = Class::of(record.format, record.fields);
        let mut when = None;
        for index in &self.marks.rules {
            let rule = &self.rules.rules()[*index];
            let wanted = rule.rule.level >= options.min_level && !rule.quiet;
            if !(wanted || rule.fed) || !self.rules.fits(*index, class) || !rule.matches(record) {
                continue;
            }
            if when.is_none() {
                let time = time::of_event(record.fields, options.written);
                if time.is_some_and(|time| {
                    options.since.is_some_and(|since| time < since) || options.until.is_some_and(|until| time >= until)
                }) {
                    return;
                }
                self.out.undated += u64::from(ranged && time.is_none());
                when = Some(time);
            }
            let place =
                Place { rule: *index, record: number, line: span.line, offset: span.offset, time: when.flatten() };
            if rule.fed {
                let value = |field: &String| Some((field.clone(), shortened(record.first(field)?)));
                self.out.fed.push((place, rule.feeds.iter().filter_map(value).collect()));
            }
            if wanted {
                let (matched, event) = (bounded(rule.explain(record)), bounded(record.fields.clone()));
                self.out.hits.push(Hit { place, matched, event });
            }
        }
    }
}

/// The start of a value that is too long to be kept.
fn shortened(mut value: String) -> String {
    if value.len() > MAX_VALUE {
        let end = (0..=MAX_VALUE).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
        value.truncate(end);
    }
    value
}
