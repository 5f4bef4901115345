//! One block: its records are found, those that a rule could match by their raw bytes are parsed, and the rules are run.

use std::borrow::Cow;
use std::cell::OnceCell;

use serde_json::{Map, Value};

use super::block::{Block, Span};
use super::correlate::MAX_VALUE;
use super::ends::ends;
use super::formats::{self, Layout, time};
use super::logsource::Class;
use super::need::Look;
use super::ordered::bounded;
use super::percent;
use super::ruleset::{Filter, Found as Stands, Ruleset};
use super::scan::{Cause, Hit, Place, ScanOptions, Scanned};
use super::sightings::Sightings;
use super::sigma::Record;
use crate::detect::indicators::Indicators;
use crate::domain::Timestamp;

/// Scans one block.
pub(super) fn scan_block(rules: &Ruleset, block: &Block, options: &ScanOptions) -> Scanned {
    let filter = rules.filter(&block.layout, &block.bytes);
    let mut marks = Marks::new(filter, block, options.prefilter, rules.indicators());
    let seen = marks.found.seen.take();
    let mut scan = Scan {
        rules,
        options,
        layout: &block.layout,
        marks,
        sightings: Sightings::new(rules.indicators(), seen, &block.bytes, options.min_level),
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
    found: Stands,
    next: usize,
    next_escape: usize,
    everything: bool,
    /// Whether the record at hand has to be looked at whatever was found in its raw bytes.
    whole: bool,
    /// The rules of the record at hand; a rule's stamp says for which record it was noted.
    rules: Vec<usize>,
    stamps: Vec<u64>,
    stamp: u64,
    look: Look<'a>,
}

impl<'a> Marks<'a> {
    fn new(filter: &'a Filter, block: &Block, used: bool, indicators: Option<&Indicators>) -> Self {
        let lines = block.spans.is_none();
        let found = if used {
            filter.find(&block.bytes, block.spans.as_deref(), indicators)
        } else {
            Stands { ends: if lines { ends(&block.bytes).0 } else { Vec::new() }, ..Stands::default() }
        };
        let stamps = vec![0; filter.rules];
        let everything = !used;
        let look = Look::new(&filter.needs, used && filter.is_thorough());
        let (next, next_escape, whole, rules, stamp) = (0, 0, false, Vec::new(), 0);
        Self { filter, found, next, next_escape, everything, whole, rules, stamps, stamp, look }
    }

    /// Whether nothing was found in the record that ends there, and no rule is run on all of them.
    fn passes(&self, end: usize) -> bool {
        let found = self.found.literals.get(self.next).is_some_and(|(at, _)| *at < end);
        let escape = self.found.escapes.get(self.next_escape).is_some_and(|at| *at < end);
        !(found || escape || self.everything) && self.filter.unfiltered.is_empty()
    }

    /// Whether a rule could match the record that ends there; [`Marks::rules`] says which. Records are asked for in
    /// their order.
    fn candidates(&mut self, raw: &[u8], end: usize) -> bool {
        self.rules.clear();
        self.stamp += 1;
        let mut all = self.everything;
        while self.found.escapes.get(self.next_escape).is_some_and(|at| *at < end) {
            self.next_escape += 1;
            all = true;
        }
        let from = self.next;
        while self.found.literals.get(self.next).is_some_and(|(at, _)| *at < end) {
            self.next += 1;
        }
        self.whole = all;
        if all {
            self.rules.extend_from_slice(&self.filter.all);
            return !self.rules.is_empty();
        }
        if from == self.next && self.filter.unfiltered.is_empty() {
            return false;
        }
        self.rules.extend_from_slice(&self.filter.unfiltered);
        for (_, literal) in &self.found.literals[from..self.next] {
            for rule in &self.filter.owners[*literal] {
                if self.stamps[*rule] != self.stamp {
                    self.stamps[*rule] = self.stamp;
                    self.rules.push(*rule);
                }
            }
        }
        let found = self.found.literals[from..self.next].iter().map(|(_, literal)| *literal);
        self.look.at(raw, found);
        self.rules.retain(|rule| self.look.possible(*rule));
        self.rules.sort_unstable();
        !self.rules.is_empty()
    }

    /// Whether one of the candidates could match by what it needs in raw bytes, whether or not that was looked at before: the
    /// filter must not be seen in a count.
    fn could_match(&mut self, raw: &[u8]) -> bool {
        if !self.everything || !self.filter.escapes(raw).is_empty() {
            return true;
        }
        self.look.at(raw, std::iter::empty());
        self.rules.iter().any(|rule| self.look.possible(*rule))
    }
}

struct Scan<'a> {
    rules: &'a Ruleset,
    options: &'a ScanOptions,
    layout: &'a Layout,
    marks: Marks<'a>,
    sightings: Sightings<'a>,
    out: Scanned,
}

impl Scan<'_> {
    fn broken(&mut self, line: u64) {
        self.out.broken += 1;
        self.out.first_broken = Some(self.out.first_broken.map_or(line, |first| first.min(line)));
    }

    fn lines(&mut self, block: &Block) {
        let mut start = 0;
        for line in std::mem::take(&mut self.marks.found.ends) {
            let end = line.place();
            self.out.lines += 1;
            // Most lines of most logs: counted, and no more.
            let passes = self.marks.passes(end) && self.sightings.passes(end);
            if passes && (line.fits() || self.layout.outline(&block.bytes[start..end]) == formats::Outline::Fits) {
                self.out.events += 1;
            } else {
                let span = Span { start, end, line: self.out.lines, offset: block.offset + start as u64 };
                self.record(&block.bytes, span);
            }
            start = end;
        }
    }

    fn record(&mut self, bytes: &[u8], span: Span) {
        let raw = &bytes[span.start..span.end];
        let candidate = self.marks.candidates(raw, span.end);
        let seen = self.sightings.candidates(span.end);
        let marked = seen || (self.marks.whole && self.sightings.indicators.is_some());
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
        if !(candidate || marked) {
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
            if seen || self.marks.could_match(raw) {
                self.broken(span.line);
            }
            if self.layout.format.is_json() {
                return;
            }
        }
        // A line that the format doesn't explain is still looked through as text.
        let (fields, format) = parsed.unwrap_or_else(|| (formats::text_event(text), formats::Format::Text));
        let raw = (!self.layout.format.is_json()).then_some(text);
        let names = self.rules.names();
        let commands = OnceCell::new();
        let record = Record { fields: &fields, raw, format, names, own: None, commands: &commands };
        let mut event = Event { record: &record, number, span, time: None, timed: false };
        let mut found = if candidate { self.rules(&mut event) } else { Vec::new() };
        if marked {
            found.extend(self.indicators(&mut event, self.layout.format.is_raw().then_some(text)));
        }
        self.keep(found, fields);
    }

    /// The event with each rule and indicator that it was found by; it is copied only where there are several.
    fn keep(&mut self, mut found: Vec<Found>, fields: Map<String, Value>) {
        let Some((cause, place, matched)) = found.pop() else { return };
        for (cause, place, matched) in found {
            self.out.hits.push(Hit { cause, place, matched, event: bounded(fields.clone()) });
        }
        self.out.hits.push(Hit { cause, place, matched, event: bounded(fields) });
    }

    /// Where and when an event was, its time worked out once; nothing if it lies outside what was asked for.
    fn place(&mut self, event: &mut Event<'_>) -> Option<Place> {
        let options = self.options;
        if !event.timed {
            event.time = time::of_event(event.record.fields, options.written);
            event.timed = true;
            let ranged = options.since.is_some() || options.until.is_some();
            self.out.undated += u64::from(ranged && event.time.is_none());
        }
        let time = event.time;
        let outside = time.is_some_and(|time| {
            options.since.is_some_and(|since| time < since) || options.until.is_some_and(|until| time >= until)
        });
        (!outside).then_some(Place { record: event.number, line: event.span.line, offset: event.span.offset, time })
    }

    /// Looks for indicators; `raw` is the text where values stand in it as they are.
    fn indicators(&mut self, event: &mut Event<'_>, raw: Option<&str>) -> Vec<Found> {
        let seen = self.sightings.of(event.record, raw, (event.span.start, event.span.offset));
        if seen.is_empty() {
            return Vec::new();
        }
        let Some(place) = self.place(event) else { return Vec::new() };
        seen.into_iter().map(|one| (Cause::Indicator(one.id), place, bounded(one.matched))).collect()
    }

    /// Runs the candidates on an event: the rules that it matches, with what they say of it.
    fn rules(&mut self, event: &mut Event<'_>) -> Vec<Found> {
        let (options, record) = (self.options, event.record);
        let class = Class::of(record.format, record.fields);
        // Only records that hold such letters are looked at as a whole.
        let plain = (self.marks.whole && class.is_web()).then(|| percent::plain_fields(record.fields)).flatten();
        let plain = plain.map(|fields| (fields, record.raw.map(percent::plain)));
        let commands = OnceCell::new();
        let plain =
            plain.as_ref().map(|(fields, raw)| Record { fields, raw: raw.as_deref(), commands: &commands, ..*record });
        let mut found = Vec::new();
        let candidates = std::mem::take(&mut self.marks.rules);
        for index in &candidates {
            let rule = &self.rules.rules()[*index];
            let wanted = rule.rule.level >= options.min_level && !rule.quiet;
            if !(wanted || rule.fed) || !self.rules.fits(*index, class, options) {
                continue;
            }
            let Some(record) = [Some(record), plain.as_ref()].into_iter().flatten().find(|record| rule.matches(record))
            else {
                continue;
            };
            let Some(place) = self.place(event) else { break };
            if rule.fed {
                let value = |(at, field): (usize, &String)| Some((at, shortened(rule.first(record, field)?).into()));
                self.out.fed.push((*index, place, rule.feeds.iter().enumerate().filter_map(value).collect()));
            }
            if wanted {
                found.push((Cause::Rule(*index), place, bounded(rule.explain(record))));
            }
        }
        self.marks.rules = candidates;
        found
    }
}

/// What an event was found by, where, and what is said of it.
type Found = (Cause, Place, Map<String, Value>);

/// An event that is looked at.
struct Event<'a> {
    record: &'a Record<'a>,
    number: u64,
    span: Span,
    /// Its time, and whether it was asked for.
    time: Option<Timestamp>,
    timed: bool,
}

/// The start of a value that is too long to be kept.
fn shortened(mut value: String) -> String {
    if value.len() > MAX_VALUE {
        let end = (0..=MAX_VALUE).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
        value.truncate(end);
    }
    value
}
