//! Correlations over the events that rules matched: by event time, over all files, in windows that slide.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ruleset::Ruleset;
use super::sigma::{Correlation, Kind};
use super::window::Window;
use crate::domain::{Finding, FindingKind, Source, Timestamp, finding_id};

/// Most events that are kept for correlations.
pub const MAX_KEPT: usize = 400_000;
/// Longest value that is compared in full, in bytes; of a longer one its start.
pub(super) const MAX_VALUE: usize = 512;
/// Most events that a finding names.
const MAX_NAMED: usize = 20;

/// An event that feeds correlations: what rule matched, when, where, and the values that they need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fed {
    /// The rule's id.
    pub rule: String,
    /// Its time.
    pub time: Option<Timestamp>,
    /// Where it lies.
    pub source: Source,
    /// Values by field; a field without one is left out.
    pub values: BTreeMap<String, String>,
}

/// An event, in few bytes.
#[derive(Debug, Clone)]
struct Kept {
    /// Nanoseconds since 1970.
    time: i64,
    path: u32,
    record: u64,
    line: u64,
    offset: u64,
    /// Number of the field and of the text.
    values: Vec<(u32, u32)>,
}

/// Keeps the events that correlations need, and evaluates these in the end.
#[derive(Debug, Default)]
pub struct Correlator {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
    by_rule: BTreeMap<String, Vec<Kept>>,
    kept: usize,
    undated: u64,
    dropped: u64,
}

impl Correlator {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    /// Takes an event.
    pub fn add(&mut self, fed: &Fed) {
        let Source::File { path, record, line, offset } = &fed.source else { return };
        let Some(time) = fed.time else {
            self.undated += 1;
            return;
        };
        if self.kept >= MAX_KEPT {
            self.dropped += 1;
            return;
        }
        let time = i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX);
        let path = self.number(path);
        let values = fed.values.iter().map(|(name, value)| (self.number(name), self.number(value))).collect();
        let (line, offset) = (line.unwrap_or(0), offset.unwrap_or(0));
        self.kept += 1;
        self.by_rule.entry(fed.rule.clone()).or_default().push(Kept {
            time,
            path,
            record: *record,
            line,
            offset,
            values,
        });
    }

    /// Evaluates the correlations; what could not be taken into account is said in words.
    pub fn finish(mut self, rules: &Ruleset, sink: &mut dyn FnMut(Finding)) -> Vec<String> {
        for (correlation, quiet) in rules.correlations() {
            for fired in self.evaluate(rules, correlation) {
                let finding = self.finding(correlation, &fired);
                let kept = self.as_event(correlation, &fired);
                self.by_rule.entry(correlation.rule.id.clone()).or_default().push(kept);
                if !quiet {
                    sink(finding);
                }
            }
        }
        let mut notes = Vec::new();
        if self.undated > 0 {
            notes.push(format!("correlations: {} events that their rules matched have no time", self.undated));
        }
        if self.dropped > 0 {
            notes.push(format!("correlations: {} events beyond the first {MAX_KEPT} were not counted", self.dropped));
        }
        notes
    }

    fn evaluate(&self, rules: &Ruleset, correlation: &Correlation) -> Vec<Fired> {
        let mut groups: BTreeMap<Vec<Option<u32>>, Vec<Item<'_>>> = BTreeMap::new();
        for (place, reference) in correlation.rules.iter().enumerate() {
            let Some((id, names)) = rules.referred(reference) else { continue };
            let number = |field: &String| self.numbers.get(correlation.field_of(field, &names)).copied();
            let group_fields: Vec<_> = correlation.group_by.iter().map(number).collect();
            let value_fields: Vec<_> = correlation.fields.iter().map(number).collect();
            for kept in self.by_rule.get(id).into_iter().flatten() {
                let value = |field: &Option<u32>| {
                    let field = (*field)?;
                    kept.values.iter().find(|(name, _)| *name == field).map(|(_, text)| *text)
                };
                let key = group_fields.iter().map(value).collect();
                let values: Vec<_> = value_fields.iter().map(value).collect();
                groups.entry(key).or_default().push(Item { kept, place, values });
            }
        }
        let mut out = Vec::new();
        for (key, mut items) in groups {
            items.sort_by_key(Item::order);
            out.extend(self.fire(correlation, &key, &items));
        }
        out.sort_by_key(|fired| (fired.last.time, fired.last.path, fired.last.record));
        out
    }

    /// Moves the window over the events of one group; a finding is given whenever the condition begins to hold.
    fn fire(&self, correlation: &Correlation, key: &[Option<u32>], items: &[Item<'_>]) -> Vec<Fired> {
        let mut out = Vec::new();
        let mut window = Window::new(correlation);
        let (mut start, mut held) = (0, false);
        for (end, item) in items.iter().enumerate() {
            while items[start].kept.time < item.kept.time.saturating_sub(correlation.timespan) {
                window.leave(items[start].place, &items[start].values, |text| self.parse(text));
                start += 1;
                // A window that lost events may stop to hold before it holds again.
                held &= window.holds(correlation, items[start.min(end)].kept.time).is_some();
            }
            let since = item.kept.time.saturating_sub(correlation.timespan);
            window.enter(item.place, &item.values, item.kept.time, |text| self.parse(text));
            let value = window.holds(correlation, since);
            if let Some(value) = value.filter(|_| !held) {
                let events = items[start..=end].iter().map(|item| item.kept.clone());
                let more = (end + 1 - start).saturating_sub(MAX_NAMED);
                out.push(Fired {
                    last: item.kept.clone(),
                    first: items[start].kept.time,
                    key: key.to_vec(),
                    value,
                    events: events.take(MAX_NAMED).collect(),
                    more,
                });
                window.fired();
            }
            held = value.is_some() && correlation.kind != Kind::TemporalOrdered;
        }
        out
    }

    fn parse(&self, text: u32) -> Option<f64> {
        self.text(text).trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", String::as_str)
    }

    /// The fired correlation as an event for the ones that are built on it.
    fn as_event(&mut self, correlation: &Correlation, fired: &Fired) -> Kept {
        let mut kept = fired.last.clone();
        kept.values.clear();
        for (field, value) in correlation.group_by.iter().zip(&fired.key) {
            if let Some(value) = value {
                kept.values.push((self.number(field), *value));
            }
        }
        kept
    }

    fn finding(&self, correlation: &Correlation, fired: &Fired) -> Finding {
        let time = |time: i64| Timestamp::from_nanosecond(i128::from(time)).ok();
        let place = |kept: &Kept| Source::File {
            path: self.text(kept.path).to_owned(),
            record: kept.record,
            line: (kept.line > 0).then_some(kept.line),
            offset: Some(kept.offset),
        };
        let source = place(&fired.last);
        let mut matched = Map::new();
        for (field, value) in correlation.group_by.iter().zip(&fired.key) {
            matched.insert(field.clone(), value.map_or(Value::Null, |value| self.text(value).into()));
        }
        matched.insert("value".into(), Value::from(fired.value));
        let mut event = Map::new();
        event.insert("first".into(), time(fired.first).map_or(Value::Null, |time| time.to_string().into()));
        event.insert("last".into(), time(fired.last.time).map_or(Value::Null, |time| time.to_string().into()));
        let events = fired.events.iter().map(|kept| serde_json::to_value(place(kept)).unwrap_or_default());
        event.insert("events".into(), events.collect());
        if fired.more > 0 {
            event.insert("events_left_out".into(), fired.more.into());
        }
        // Groups can fire at one event: what they have in common is in the id too.
        let group: Vec<&str> = fired.key.iter().map(|value| value.map_or("", |value| self.text(value))).collect();
        let rule = &correlation.rule;
        let id = finding_id(FindingKind::Log, &format!("{}\0{}", rule.id, group.join("\0")), &source);
        Finding { id, kind: FindingKind::Log, rule: rule.clone(), time: time(fired.last.time), source, matched, event }
    }
}

/// A correlation whose condition began to hold.
struct Fired {
    last: Kept,
    first: i64,
    key: Vec<Option<u32>>,
    value: f64,
    events: Vec<Kept>,
    more: usize,
}

/// An event of a group.
struct Item<'a> {
    kept: &'a Kept,
    /// Place of its rule in the correlation's list.
    place: usize,
    values: Vec<Option<u32>>,
}

impl Item<'_> {
    /// Events of one moment count in the order of their rules: clocks of files are not finer than their times.
    fn order(&self) -> (i64, usize, u32, u64) {
        (self.kept.time, self.place, self.kept.path, self.kept.record)
    }
}

#[cfg(test)]
#[path = "correlate_tests.rs"]
mod tests;
