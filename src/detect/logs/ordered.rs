//! Results of blocks, in the order of the stream, as findings.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::correlate::Fed;
use super::formats::Format;
use super::ruleset::Ruleset;
use super::scan::{Cause, Coverage, Place, Scanned};
use super::sightings::log_finding_id;
use crate::domain::{Finding, FindingKind, Source};

/// Longest value kept in a finding, in bytes.
const MAX_VALUE: usize = 2 << 10;
/// Largest event kept in a finding, in bytes of its JSON text.
const MAX_EVENT: usize = 64 << 10;

/// Puts the results of one stream's blocks together.
#[derive(Debug)]
pub struct Ordered {
    path: String,
    coverage: Coverage,
}

impl Ordered {
    /// For the stream that findings call `path`.
    pub fn new(path: &str, format: Option<Format>) -> Self {
        Self { path: path.to_owned(), coverage: Coverage { format, ..Coverage::default() } }
    }

    /// Goes on where an interrupted scan had come to.
    pub fn resumed(path: &str, coverage: Coverage) -> Self {
        Self { path: path.to_owned(), coverage }
    }

    /// What was covered so far.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Takes the result of the next block: findings go to `sink`, events for correlations to `feed`.
    pub fn take(
        &mut self,
        rules: &Ruleset,
        scanned: Scanned,
        sink: &mut dyn FnMut(Finding),
        feed: &mut dyn FnMut(Fed),
    ) {
        for hit in scanned.hits {
            let rule = match hit.cause {
                Cause::Rule(rule) => rules.rules()[rule].rule.clone(),
                Cause::Indicator(id) => match rules.indicators() {
                    Some(indicators) => indicators.rule(id),
                    None => continue,
                },
            };
            let (source, time) = (self.source(&hit.place), hit.place.time);
            let id = log_finding_id(&rule.id, &hit.matched, &source);
            self.coverage.findings += 1;
            sink(Finding { id, kind: FindingKind::Log, rule, time, source, matched: hit.matched, event: hit.event });
        }
        for (rule, place, values) in scanned.fed {
            let rule = &rules.rules()[rule];
            let values = values.into_iter().map(|(at, value)| (rule.feeds[at].clone(), value.into())).collect();
            feed(Fed { rule: rule.rule.id.clone(), time: place.time, source: self.source(&place), values });
        }
        let coverage = &mut self.coverage;
        if let Some(line) = scanned.first_broken {
            coverage.first_broken.get_or_insert(coverage.lines + line);
        }
        coverage.bytes += scanned.bytes;
        coverage.lines += scanned.lines;
        coverage.events += scanned.events;
        coverage.parsed += scanned.parsed;
        coverage.broken += scanned.broken;
        coverage.undated += scanned.undated;
    }

    fn source(&self, place: &Place) -> Source {
        Source::File {
            path: self.path.clone(),
            record: self.coverage.events + place.record,
            line: Some(self.coverage.lines + place.line),
            offset: Some(place.offset),
        }
    }

    /// What was covered in the end.
    pub fn finish(mut self, failed: Option<&str>) -> Coverage {
        self.coverage.unreadable = failed.map(str::to_owned);
        self.coverage
    }
}

/// The fields with long texts cut; a marker stands for fields that are too many.
pub(super) fn bounded(mut fields: Map<String, Value>) -> Map<String, Value> {
    fields.values_mut().for_each(cut);
    // Nearly every event is far below the bound, which this shows without writing it out.
    if fields.iter().map(|(name, value)| name.len() + at_most(value)).sum::<usize>() <= MAX_EVENT {
        return fields;
    }
    let mut size = 0;
    let mut left_out = 0;
    fields.retain(|name, value| {
        size += name.len() + value.to_string().len();
        let keep = size <= MAX_EVENT;
        left_out += u64::from(!keep);
        keep
    });
    if left_out > 0 {
        fields.insert("_left_out".into(), format!("{left_out} fields, the event is too large").into());
    }
    fields
}

/// No less than the length of a value's JSON.
fn at_most(value: &Value) -> usize {
    const NUMBER: usize = 32;
    // A control character is written as six bytes.
    let text = |text: &str| text.len() * 6 + 2;
    match value {
        Value::String(string) => text(string),
        Value::Array(items) => items.iter().map(|item| at_most(item) + 1).sum::<usize>() + 2,
        Value::Object(map) => map.iter().map(|(key, item)| text(key) + at_most(item) + 2).sum::<usize>() + 2,
        Value::Null | Value::Bool(_) | Value::Number(_) => NUMBER,
    }
}

fn cut(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > MAX_VALUE => {
            let end = (0..=MAX_VALUE).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            let more = text.len() - end;
            text.truncate(end);
            let _ = write!(text, "... [{more} bytes cut]");
        }
        Value::Array(items) => items.iter_mut().for_each(cut),
        Value::Object(map) => map.values_mut().for_each(cut),
        _ => {}
    }
}
