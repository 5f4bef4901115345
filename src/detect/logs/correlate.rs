//! Correlations over the events that rules matched: by event time, over all files, in windows that slide.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher};
use std::io;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::events::{Aside, Event, Events, Head, Position, merge};
use super::ruleset::Ruleset;
use super::sigma::{Correlation, Kind};
use super::window::Window;
use crate::domain::{Finding, FindingKind, Source, Timestamp, finding_id};

/// Most events that are kept in memory for correlations.
const MAX_KEPT: u64 = 400_000;
/// Most events that are put aside for them: some gigabytes.
const MAX_ASIDE: u64 = 20_000_000;
/// Bytes of events that wait in memory before they are put aside, if nothing else is said.
pub const WAITING: usize = 4 << 20;
/// Longest value that is compared in full, in bytes; of a longer one its start.
pub(super) const MAX_VALUE: usize = 512;
/// Most events that a finding names.
const MAX_NAMED: usize = 20;
/// Groups beyond those that had events in the window, before the others are looked for.
const IDLE: usize = 2048;

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

/// Keeps the events that correlations need, and evaluates these in the end.
#[derive(Default)]
pub struct Correlator {
    aside: Option<Box<dyn Aside>>,
    most_waiting: usize,
    /// Names of files and of fields, which are few.
    paths: Numbers,
    fields: Numbers,
    by_rule: BTreeMap<String, Events>,
    waiting: usize,
    kept: u64,
    undated: u64,
    dropped: u64,
    failed: Option<io::Error>,
}

/// Texts and their numbers.
#[derive(Debug, Default)]
struct Numbers {
    texts: Vec<String>,
    by_text: HashMap<String, u32>,
}

impl Numbers {
    fn of(&mut self, text: &str) -> u32 {
        if let Some(number) = self.by_text.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.by_text.insert(text.to_owned(), number);
        number
    }

    fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", String::as_str)
    }
}

/// The number of a field; fields beyond 65,535 share the last.
fn field_number(fields: &mut Numbers, name: &str) -> u16 {
    u16::try_from(fields.of(name)).unwrap_or(u16::MAX)
}

impl Correlator {
    /// One that puts events aside whenever so many bytes of them wait, so that memory does not grow with them.
    pub fn with_aside(aside: Box<dyn Aside>, most_waiting: usize) -> Self {
        Self { aside: Some(aside), most_waiting, ..Self::default() }
    }

    /// Takes an event.
    pub fn add(&mut self, fed: &Fed) {
        let Source::File { path, record, line, offset } = &fed.source else { return };
        let Some(time) = fed.time else {
            self.undated += 1;
            return;
        };
        let most = if self.aside.is_some() && self.failed.is_none() { MAX_ASIDE } else { MAX_KEPT };
        if self.kept >= most {
            self.dropped += 1;
            return;
        }
        self.kept += 1;
        let head = Head {
            time: i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX),
            path: self.paths.of(path),
            record: *record,
            line: line.unwrap_or(0),
            offset: offset.unwrap_or(0),
        };
        let fields = &mut self.fields;
        let values = fed.values.iter().map(|(name, value)| (field_number(fields, name), value.as_str()));
        if !self.by_rule.contains_key(&fed.rule) {
            self.by_rule.insert(fed.rule.clone(), Events::default());
        }
        if let Some(events) = self.by_rule.get_mut(&fed.rule) {
            self.waiting += events.push(&head, values);
        }
        if self.waiting > self.most_waiting && self.aside.is_some() && self.failed.is_none() {
            self.put_aside();
        }
    }

    /// Puts the events of the rule with the most aside.
    fn put_aside(&mut self) {
        let Some(events) = self.by_rule.values_mut().max_by_key(|events| events.waiting()) else { return };
        self.waiting -= events.waiting();
        // Its type says that it lives as long as the box.
        let aside = self.aside.as_mut().map(|aside| &mut **aside as &mut dyn Aside);
        self.failed = events.close(aside).err();
    }

    /// Evaluates the correlations; what could not be taken into account is said in words.
    pub fn finish(mut self, rules: &Ruleset, sink: &mut dyn FnMut(Finding)) -> Vec<String> {
        // What could not be put aside was kept: only what was dropped then, or can't be read again, is missing.
        let full = self.failed.take().map(|error| format!(" ({error})")).unwrap_or_default();
        let mut failed = None;
        for events in self.by_rule.values_mut() {
            failed = failed.or(events.close(None).err());
        }
        for (correlation, quiet) in rules.correlations() {
            let mut fields = std::mem::take(&mut self.fields);
            let mut fired_events = Events::default();
            let group_by: Vec<u16> =
                correlation.group_by.iter().map(|field| field_number(&mut fields, field)).collect();
            self.fields = fields;
            let outcome = self.evaluate(rules, correlation, &mut |fired| {
                let values = group_by.iter().zip(&fired.key);
                let values = values.filter_map(|(field, value)| Some((*field, value.as_deref()?)));
                fired_events.push(&fired.last, values);
                if !quiet {
                    sink(self.finding(correlation, &fired));
                }
            });
            failed = failed.or(outcome.err()).or(fired_events.close(None).err());
            self.by_rule.insert(correlation.rule.id.clone(), fired_events);
        }
        let mut notes = Vec::new();
        if self.undated > 0 {
            notes.push(format!("correlations: {} events that their rules matched have no time", self.undated));
        }
        if self.dropped > 0 {
            notes.push(format!(
                "correlations: {} events beyond the first {} were not counted{full}",
                self.dropped, self.kept
            ));
        }
        notes.extend(failed.map(|error| format!("correlations are not complete: {error}")));
        notes
    }

    /// Moves the windows of all groups over the events; what fires is given in the order of time.
    fn evaluate(&self, rules: &Ruleset, correlation: &Correlation, give: &mut dyn FnMut(Fired)) -> io::Result<()> {
        let none = Events::default();
        let mut parts = Vec::new();
        let mut events = Vec::new();
        for reference in &correlation.rules {
            let Some((id, names)) = rules.referred(reference) else {
                parts.push(Part::default());
                events.push(&none);
                continue;
            };
            let number = |field: &String| {
                let number = self.fields.by_text.get(correlation.field_of(field, &names))?;
                u16::try_from(*number).ok()
            };
            parts.push(Part {
                group: correlation.group_by.iter().map(number).collect(),
                values: correlation.fields.iter().map(number).collect(),
            });
            events.push(self.by_rule.get(id).unwrap_or(&none));
        }
        let mut groups = Groups { correlation, state: RandomState::default(), by_key: HashMap::default(), looked: 0 };
        let mut fired: Vec<Fired> = Vec::new();
        let aside = self.aside.as_deref();
        let give_all = |fired: &mut Vec<Fired>, give: &mut dyn FnMut(Fired)| {
            fired.sort_by(|one, two| one.order().cmp(&two.order()));
            fired.drain(..).for_each(give);
        };
        merge(&events, aside, &mut |place, position, event| {
            if fired.first().is_some_and(|fired| fired.last.time < event.head.time) {
                give_all(&mut fired, give);
            }
            let Some(found) = groups.take(&parts[place], place, position, event) else { return Ok(()) };
            let named: io::Result<Vec<Head>> =
                found.events.iter().map(|(place, position)| events[*place].head_at(*position, aside)).collect();
            fired.push(Fired {
                last: event.head,
                first: found.first,
                key: parts[place].key(event).map(|value| value.map(str::to_owned)).collect(),
                value: found.value,
                events: named?,
                more: found.more,
            });
            Ok(())
        })?;
        give_all(&mut fired, give);
        Ok(())
    }

    fn finding(&self, correlation: &Correlation, fired: &Fired) -> Finding {
        let time = |time: i64| Timestamp::from_nanosecond(i128::from(time)).ok();
        let place = |head: &Head| Source::File {
            path: self.paths.text(head.path).to_owned(),
            record: head.record,
            line: (head.line > 0).then_some(head.line),
            offset: Some(head.offset),
        };
        let source = place(&fired.last);
        let mut matched = Map::new();
        for (field, value) in correlation.group_by.iter().zip(&fired.key) {
            matched.insert(field.clone(), value.as_deref().map_or(Value::Null, Value::from));
        }
        matched.insert("value".into(), Value::from(fired.value));
        let mut event = Map::new();
        event.insert("first".into(), time(fired.first).map_or(Value::Null, |time| time.to_string().into()));
        event.insert("last".into(), time(fired.last.time).map_or(Value::Null, |time| time.to_string().into()));
        let events = fired.events.iter().map(|head| serde_json::to_value(place(head)).unwrap_or_default());
        event.insert("events".into(), events.collect());
        if fired.more > 0 {
            event.insert("events_left_out".into(), fired.more.into());
        }
        // Groups can fire at one event: what they have in common is in the id too.
        let group: Vec<&str> = fired.key.iter().map(|value| value.as_deref().unwrap_or_default()).collect();
        let rule = &correlation.rule;
        let id = finding_id(FindingKind::Log, &format!("{}\0{}", rule.id, group.join("\0")), &source);
        Finding { id, kind: FindingKind::Log, rule: rule.clone(), time: time(fired.last.time), source, matched, event }
    }
}

/// A correlation whose condition began to hold.
struct Fired {
    last: Head,
    first: i64,
    key: Vec<Option<String>>,
    value: f64,
    events: Vec<Head>,
    more: usize,
}

impl Fired {
    fn order(&self) -> (i64, u32, u64, &[Option<String>]) {
        (self.last.time, self.last.path, self.last.record, &self.key)
    }
}

/// Numbers of the fields of one of a correlation's rules.
#[derive(Default)]
struct Part {
    group: Vec<Option<u16>>,
    values: Vec<Option<u16>>,
}

impl Part {
    fn key<'e>(&self, event: &Event<'e>) -> impl Iterator<Item = Option<&'e str>> {
        self.group.iter().map(|field| event.value((*field)?))
    }

    /// What a window does with the event's values: a hash of them, the bits of a number.
    fn value(&self, kind: Kind, state: &RandomState, event: &Event<'_>) -> Option<u64> {
        let mut values = self.values.iter().map(|field| event.value((*field)?));
        match kind {
            Kind::EventCount | Kind::Temporal | Kind::TemporalOrdered => None,
            Kind::ValueCount => {
                let mut hasher = state.build_hasher();
                for value in values {
                    value?.hash(&mut hasher);
                }
                Some(hasher.finish())
            }
            Kind::ValueSum | Kind::ValueAvg | Kind::ValuePercentile(_) => {
                let number = values.next()??.trim().parse::<f64>().ok()?;
                number.is_finite().then_some(number.to_bits())
            }
        }
    }
}

/// All groups of a correlation, by a hash of what its events have in common: nobody can prepare two that collide, since the hash has
/// another key on each run.
struct Groups<'a> {
    correlation: &'a Correlation,
    state: RandomState,
    by_key: HashMap<u64, Group, RandomState>,
    /// How many there were when those without events were last looked for.
    looked: usize,
}

/// Events that have all in common that they must, within the window.
struct Group {
    window: Window,
    events: VecDeque<Queued>,
    held: bool,
}

/// An event in a window.
struct Queued {
    time: i64,
    position: Position,
    place: u16,
    value: Option<u64>,
}

/// That a group's condition began to hold.
struct Begun {
    first: i64,
    value: f64,
    events: Vec<(usize, Position)>,
    more: usize,
}

impl Groups<'_> {
    fn take(&mut self, part: &Part, place: usize, position: Position, event: &Event<'_>) -> Option<Begun> {
        if self.by_key.len() > self.looked + self.looked / 4 + IDLE {
            let since = event.head.time.saturating_sub(self.correlation.timespan);
            let correlation = self.correlation;
            self.by_key.retain(|_, group| !group.is_over(correlation, since));
            self.looked = self.by_key.len();
        }
        let mut hasher = self.state.build_hasher();
        for value in part.key(event) {
            value.hash(&mut hasher);
        }
        let correlation = self.correlation;
        let group = self.by_key.entry(hasher.finish()).or_insert_with(|| Group {
            window: Window::new(correlation),
            // Most groups have one event, and never another.
            events: VecDeque::with_capacity(1),
            held: false,
        });
        let value = part.value(correlation.kind, &self.state, event);
        group.take(
            correlation,
            Queued { time: event.head.time, position, place: u16::try_from(place).unwrap_or(u16::MAX), value },
        )
    }
}

impl Group {
    /// Lets the events before a moment out of the window. `now` is that of the event that comes in.
    fn leave(&mut self, correlation: &Correlation, since: i64, now: i64) {
        while let Some(first) = self.events.front().filter(|first| first.time < since) {
            self.window.leave(usize::from(first.place), first.value);
            self.events.pop_front();
            let next = self.events.front().map_or(now, |next| next.time);
            // A window that lost events may stop to hold before it holds again.
            self.held &= self.window.holds(correlation, next).is_some();
        }
    }

    /// Whether all of its events are before a moment, and the next one finds what it would find without them.
    fn is_over(&mut self, correlation: &Correlation, since: i64) -> bool {
        if self.events.back().is_some_and(|last| last.time >= since) {
            return false;
        }
        self.leave(correlation, since, since);
        self.events.is_empty() && !self.held
    }

    /// Takes an event; tells whether the condition begins to hold with it.
    fn take(&mut self, correlation: &Correlation, event: Queued) -> Option<Begun> {
        let since = event.time.saturating_sub(correlation.timespan);
        self.leave(correlation, since, event.time);
        self.window.enter(usize::from(event.place), event.value, event.time);
        self.events.push_back(event);
        let value = self.window.holds(correlation, since);
        let begun = value.filter(|_| !self.held).map(|value| {
            self.window.fired();
            Begun {
                first: self.events.front().map_or(since, |first| first.time),
                value,
                events: self
                    .events
                    .iter()
                    .take(MAX_NAMED)
                    .map(|event| (usize::from(event.place), event.position))
                    .collect(),
                more: self.events.len().saturating_sub(MAX_NAMED),
            }
        });
        self.held = value.is_some() && correlation.kind != Kind::TemporalOrdered;
        begun
    }
}

#[cfg(test)]
#[path = "correlate_tests.rs"]
mod tests;
