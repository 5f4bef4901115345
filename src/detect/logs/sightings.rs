//! Indicators in the records of a block: where they may stand by the raw bytes, and whether they do by what was parsed.

use serde_json::{Map, Value};

use super::sigma::Record;
use crate::detect::indicators::{Indicators, Match};
use crate::domain::{FindingKind, Level, Source, finding_id};

/// Key of `matched` that holds the indicator.
const INDICATOR: &str = "indicator";
/// Deepest nesting of an event that is looked into.
const DEPTH: usize = 64;

/// What may stand in the records of a block.
pub(super) struct Sightings<'a> {
    pub(super) indicators: Option<&'a Indicators>,
    from_level: Level,
    found: Vec<Match>,
    next: usize,
    /// Where the matches of the record at hand begin.
    first: usize,
}

/// An indicator that stands in an event.
pub(super) struct Sighting {
    pub(super) id: u32,
    pub(super) matched: Map<String, Value>,
}

impl<'a> Sightings<'a> {
    /// `seen` is what the filter saw of them, if it looked.
    pub(super) fn new(
        indicators: Option<&'a Indicators>,
        seen: Option<Vec<Match>>,
        bytes: &[u8],
        from_level: Level,
    ) -> Self {
        let mut found = Vec::new();
        if let Some(indicators) = indicators {
            match seen {
                Some(seen) => found.extend(seen.into_iter().filter(|hit| indicators.level(hit.id) >= from_level)),
                None => indicators.sweep(bytes, from_level, |hit| found.push(hit)),
            }
            found.sort_unstable_by_key(|hit| (hit.start, hit.id));
        }
        Self { indicators, from_level, found, next: 0, first: 0 }
    }

    /// Whether none may stand in the record that ends there.
    pub(super) fn passes(&self, end: usize) -> bool {
        self.found.get(self.next).is_none_or(|hit| hit.start >= end)
    }

    /// Whether one may stand in the record that ends there. Records are asked for in their order.
    pub(super) fn candidates(&mut self, end: usize) -> bool {
        self.first = self.next;
        while self.found.get(self.next).is_some_and(|hit| hit.start < end) {
            self.next += 1;
        }
        self.first < self.next
    }

    /// The indicators that stand in an event, each once. `raw` is its text where values stand in it as they are; `place` is
    /// where the record starts in the block and in the stream.
    pub(super) fn of(&self, record: &Record<'_>, raw: Option<&str>, place: (usize, u64)) -> Vec<Sighting> {
        let Some(indicators) = self.indicators else { return Vec::new() };
        let mut seen: Vec<(u32, String, String)> = Vec::new();
        let mut look = |field: &str, text: &str| {
            indicators.find(text, self.from_level, |hit| {
                if seen.iter().all(|(id, ..)| *id != hit.id) {
                    seen.push((hit.id, field.to_owned(), text.get(hit.start..hit.end).unwrap_or_default().to_owned()));
                }
            });
        };
        match raw {
            Some(raw) => look("", raw),
            None => leaves(record.fields, &mut String::new(), DEPTH, &mut look),
        }
        seen.sort_by_key(|(id, ..)| *id);
        let hits = self.found.get(self.first..self.next).unwrap_or_default();
        let sighting = |(id, field, text): (u32, String, String)| {
            let at = hits.iter().find(|hit| hit.id == id).map(|hit| place.1 + (hit.start - place.0) as u64);
            let field = if field.is_empty() { field_with(record.fields, &text) } else { Some(field) };
            let mut matched = Map::new();
            matched.insert(INDICATOR.into(), indicators.value(id).into());
            matched.insert("type".into(), indicators.kind(id).name().into());
            matched.insert("seen".into(), text.into());
            matched.extend(field.map(|field| ("field".to_owned(), Value::from(field))));
            matched.extend(at.map(|at| ("at".to_owned(), Value::from(at))));
            matched.insert("list".into(), indicators.origin(id).into());
            let note = indicators.note(id);
            matched.extend((!note.is_empty()).then(|| ("description".to_owned(), Value::from(note))));
            Sighting { id, matched }
        };
        seen.into_iter().map(sighting).collect()
    }
}

/// The id of a finding in a log. A record can hold several indicators of one type: which one it is counts too.
pub fn log_finding_id(rule: &str, matched: &Map<String, Value>, source: &Source) -> String {
    match matched.get(INDICATOR).and_then(Value::as_str) {
        Some(value) if rule.starts_with("indicator:") => {
            finding_id(FindingKind::Log, &format!("{rule}\0{value}"), source)
        }
        _ => finding_id(FindingKind::Log, rule, source),
    }
}

/// Calls `look` with each text of an event and the path to it. Numbers count where they are whole.
fn leaves(fields: &Map<String, Value>, path: &mut String, depth: usize, look: &mut dyn FnMut(&str, &str)) {
    for (name, value) in fields {
        let before = path.len();
        if before > 0 {
            path.push('.');
        }
        path.push_str(name);
        leaf(value, path, depth, look);
        path.truncate(before);
    }
}

fn leaf(value: &Value, path: &mut String, depth: usize, look: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => look(path, text),
        Value::Number(number) if number.is_i64() || number.is_u64() => look(path, &number.to_string()),
        Value::Array(items) if depth > 0 => items.iter().for_each(|item| leaf(item, path, depth - 1, look)),
        Value::Object(inner) if depth > 0 => leaves(inner, path, depth - 1, look),
        _ => {}
    }
}

/// The first field in which a text stands.
fn field_with(fields: &Map<String, Value>, text: &str) -> Option<String> {
    let mut found = None;
    leaves(fields, &mut String::new(), DEPTH, &mut |path, value| {
        if found.is_none() && value.contains(text) {
            found = Some(path.to_owned());
        }
    });
    found
}
