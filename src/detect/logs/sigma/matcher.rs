use std::cell::OnceCell;

use serde_json::{Map, Value};

use super::condition::Expr;
use super::literal::{Cost, MAX_LITERALS};
use super::modifier::FieldTest;
use super::parse::Rule;
use super::pattern::Test;
use super::site::{Literal, Place, Site};
use crate::detect::logs::commands::{COMMANDS, STATEMENT, commands};
use crate::detect::logs::formats::Format;
use crate::detect::logs::logsource::{Fieldnames, Names};
use crate::detect::logs::need::Need;

/// A selection, compiled.
#[derive(Debug, Clone)]
pub(super) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Field(FieldTest),
}

/// An event as rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its fields.
    pub fields: &'a Map<String, Value>,
    /// The text that it was read from, for keywords; none where the fields say it all.
    pub raw: Option<&'a str>,
    /// The format of its file.
    pub format: Format,
    /// What formats call fields.
    pub names: &'a Names,
    /// What the rule's log source calls them.
    pub own: Option<&'a Fieldnames>,
    /// The commands of its statement, once a rule has asked for them.
    pub commands: &'a OnceCell<Vec<Value>>,
}

impl Record<'_> {
    /// Calls `visit` with each value of a field until it says true; whether it did. A name is tried as it stands, as a
    /// dotted path, then under the names that the rule's log source and this format give it. What no record has, but its statement
    /// gives, is worked out.
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&Value) -> bool) -> bool {
        let mut seen = false;
        let found = walk(self.fields, name, &mut |value| {
            seen = true;
            visit(value)
        });
        if found || seen {
            return found;
        }
        let own = self.own.and_then(|own| own.get(name)).map_or(&[][..], Vec::as_slice);
        for alias in own.iter().chain(self.names.of(self.format, name)) {
            let found = walk(self.fields, alias, &mut |value| {
                seen = true;
                visit(value)
            });
            if found || seen {
                return found;
            }
        }
        name == COMMANDS && self.worked_out().iter().any(visit)
    }

    /// The commands of its statement.
    fn worked_out(&self) -> &[Value] {
        self.commands.get_or_init(|| self.work_out())
    }

    fn work_out(&self) -> Vec<Value> {
        let mut out = Vec::new();
        self.any_value(STATEMENT, &mut |value| {
            out.extend(value.as_str().map(commands).unwrap_or_default().into_iter().map(Value::from));
            false
        });
        out
    }

    /// The first value of a field, as text.
    fn first(&self, name: &str) -> Option<String> {
        let mut out = None;
        self.any_value(name, &mut |value| {
            let value = if let Value::Array(items) = value { items.first().unwrap_or(&Value::Null) } else { value };
            out = (!value.is_null()).then(|| text_of(value));
            out.is_some()
        });
        out
    }

    fn values(&self, name: &str) -> Vec<Value> {
        let mut out = Vec::new();
        self.any_value(name, &mut |value| {
            out.push(value.clone());
            false
        });
        out
    }
}

/// Maps up to this size are looked through: that is quicker than to compute a hash.
const SMALL: usize = 32;

/// The value of a key.
fn get<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    if map.len() > SMALL {
        return map.get(key);
    }
    map.iter().find(|(name, _)| name.as_str() == key).map(|(_, value)| value)
}

/// Follows a dotted path through maps and through the elements of arrays; dots may also be part of a key.
fn walk(map: &Map<String, Value>, path: &str, visit: &mut dyn FnMut(&Value) -> bool) -> bool {
    if let Some(value) = get(map, path) {
        return visit(value);
    }
    for (at, _) in path.match_indices('.') {
        let Some(below) = get(map, &path[..at]) else { continue };
        let rest = &path[at + 1..];
        let found = match below {
            Value::Object(inner) => walk(inner, rest, visit),
            Value::Array(items) => {
                items.iter().any(|item| item.as_object().is_some_and(|inner| walk(inner, rest, visit)))
            }
            _ => false,
        };
        if found {
            return true;
        }
    }
    false
}

/// Calls `visit` with every text in a value; keys are not texts.
fn leaf(name: &str, value: &Value, visit: &mut dyn FnMut(&str, &Value) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| leaf(name, item, visit)),
        Value::Object(map) => map.iter().any(|(key, item)| leaf(&format!("{name}.{key}"), item, visit)),
        Value::Null => false,
        scalar => visit(name, scalar),
    }
}

impl FieldTest {
    fn matches(&self, record: &Record<'_>) -> bool {
        if !self.all && !self.name.is_empty() && self.many.is_plain() {
            let mut absent = true;
            let fits = record.any_value(&self.name, &mut |value| {
                absent = false;
                self.many.hold(&self.tests, value)
            });
            return (fits || (absent && self.many.null())) != self.negated;
        }
        let one = |test: &Test| self.one(test, record, &mut |_, _| {});
        let fits = if self.all { self.tests.iter().all(one) } else { self.tests.iter().any(one) };
        fits != self.negated
    }

    /// Whether one test holds; `found` is called with the field and value that made it hold.
    fn one(&self, test: &Test, record: &Record<'_>, found: &mut dyn FnMut(&str, &Value)) -> bool {
        if self.name.is_empty() {
            return keyword(test, record, found);
        }
        let mut absent = true;
        let holds = match test {
            Test::FieldRef(other, anchor) => {
                let others = record.values(other);
                record.any_value(&self.name, &mut |value| {
                    let fits = others.iter().any(|other| anchor.holds(&text_of(value), &text_of(other)));
                    if fits {
                        found(&self.name, value);
                    }
                    fits
                })
            }
            Test::Exists(wanted) => {
                let there = record.any_value(&self.name, &mut |value| {
                    found(&self.name, value);
                    true
                });
                return there == *wanted;
            }
            test => record.any_value(&self.name, &mut |value| {
                absent = false;
                let fits = test.holds(value);
                if fits {
                    found(&self.name, value);
                }
                fits
            }),
        };
        if !holds && absent && matches!(test, Test::Null) {
            found(&self.name, &Value::Null);
            return true;
        }
        holds
    }

    fn explain(&self, record: &Record<'_>, out: &mut Map<String, Value>) {
        if self.negated {
            for value in record.values(&self.name) {
                out.insert(self.name.clone(), value);
            }
            return;
        }
        if !self.name.is_empty() && self.many.is_plain() && self.explain_single(record, out) {
            return;
        }
        for test in &self.tests {
            self.one(test, record, &mut |name, value| {
                out.insert(name.to_owned(), value.clone());
            });
        }
    }

    /// Asks all tests at once about the one value of a field; false if there are several values, or none.
    fn explain_single(&self, record: &Record<'_>, out: &mut Map<String, Value>) -> bool {
        let (mut count, mut fits) = (0, None);
        record.any_value(&self.name, &mut |value| {
            count += 1;
            fits = (count == 1 && self.many.hold(&self.tests, value)).then(|| value.clone());
            count > 1
        });
        if count == 1 {
            out.extend(fits.map(|value| (self.name.clone(), value)));
        }
        count == 1
    }
}

fn keyword(test: &Test, record: &Record<'_>, found: &mut dyn FnMut(&str, &Value)) -> bool {
    let in_fields = record.fields.iter().any(|(name, value)| {
        leaf(name, value, &mut |name, value| {
            let fits = test.holds(value);
            if fits {
                found(name, value);
            }
            fits
        })
    });
    if in_fields {
        return true;
    }
    let in_raw = record.raw.filter(|raw| test.holds_text(raw));
    if let Some(raw) = in_raw {
        found("line", &Value::from(raw));
    }
    in_raw.is_some()
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Node {
    /// Whether a test is of commands.
    pub(super) fn asks_for_commands(&self) -> bool {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().any(Self::asks_for_commands),
            Self::Field(field) => field.name == COMMANDS,
        }
    }

    fn matches(&self, record: &Record<'_>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.matches(record)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(record)),
            Self::Field(field) => field.matches(record),
        }
    }

    fn explain(&self, record: &Record<'_>, out: &mut Map<String, Value>) {
        match self {
            Self::All(nodes) | Self::Any(nodes) => {
                nodes.iter().filter(|node| node.matches(record)).for_each(|node| node.explain(record, out));
            }
            Self::Field(field) => field.explain(record, out),
        }
    }

    fn need(&self, site: &Site<'_>) -> Need<String> {
        match self {
            Self::All(nodes) => Need::all(nodes.iter().map(|node| node.need(site))),
            Self::Any(nodes) => Need::any(nodes.iter().map(|node| node.need(site))),
            Self::Field(field) if field.negated => Need::Nothing,
            Self::Field(field) => {
                let place = site.place(&field.name);
                let each = field.tests.iter().map(|test| match place {
                    Place::Nowhere if test.fails_absent() => Need::Any(Vec::new()),
                    Place::Nowhere => Need::Nothing,
                    Place::Some(family, _) => test.need(family),
                });
                if field.all { Need::all(each) } else { Need::any(each) }
            }
        }
    }

    fn literals(&self, site: &Site<'_>, cost: Cost<'_>) -> Option<Vec<Literal>> {
        match self {
            Self::All(nodes) => best(nodes.iter().map(|node| node.literals(site, cost)), cost),
            Self::Any(nodes) => union(nodes.iter().map(|node| node.literals(site, cost))),
            Self::Field(field) if field.negated => None,
            Self::Field(field) => {
                let place = site.place(&field.name);
                let each = field.tests.iter().map(|test| match place {
                    // No record holds what can't hold.
                    Place::Nowhere => test.fails_absent().then(Vec::new),
                    Place::Some(family, part) => test.literals(family, part, cost),
                });
                if field.all { best(each, cost) } else { union(each) }
            }
        }
    }
}

/// Of sets that must all be met, the cheapest.
fn best(sets: impl Iterator<Item = Option<Vec<Literal>>>, cost: Cost<'_>) -> Option<Vec<Literal>> {
    sets.flatten().min_by_key(|set| cost(set))
}

/// Of sets of which one must be met, all of them together; nothing if one is unknown.
fn union(sets: impl Iterator<Item = Option<Vec<Literal>>>) -> Option<Vec<Literal>> {
    let mut out = Vec::new();
    for set in sets {
        out.extend(set?);
        if out.len() > MAX_LITERALS {
            return None;
        }
    }
    Some(out)
}

impl Rule {
    /// Whether the event matches.
    pub fn matches(&self, record: &Record<'_>) -> bool {
        let view = self.view(record);
        if self.is_of_each_command(&view) {
            return self.first_command(&view).is_some();
        }
        self.holds(&self.condition, &view)
    }

    /// Whether it is asked about each of several commands: what one of them says is no excuse for another.
    fn is_of_each_command(&self, view: &Record<'_>) -> bool {
        self.by_command && view.worked_out().len() > 1
    }

    /// The first command with which it holds.
    fn first_command(&self, view: &Record<'_>) -> Option<OnceCell<Vec<Value>>> {
        let alone = |command: &Value| OnceCell::from(vec![command.clone()]);
        let holds = |commands: &OnceCell<_>| self.holds(&self.condition, &Record { commands, ..*view });
        view.worked_out().iter().map(alone).find(holds)
    }

    /// The event with the names that the rule's log source gives to fields.
    fn view<'a>(&'a self, record: &Record<'a>) -> Record<'a> {
        Record { own: (!self.fieldnames.is_empty()).then_some(&self.fieldnames), ..*record }
    }

    /// The first value of a field of the event, as text.
    pub(in crate::detect::logs) fn first(&self, record: &Record<'_>, field: &str) -> Option<String> {
        self.view(record).first(field)
    }

    fn holds(&self, expr: &Expr, record: &Record<'_>) -> bool {
        let selected = |index: &usize| self.selections[*index].matches(record);
        match expr {
            Expr::And(parts) => parts.iter().all(|part| self.holds(part, record)),
            Expr::Or(parts) => parts.iter().any(|part| self.holds(part, record)),
            Expr::Not(part) => !self.holds(part, record),
            Expr::Selection(index) => selected(index),
            Expr::AtLeast(least, chosen) => {
                chosen.iter().filter(|index| selected(index)).take(*least).count() >= *least
            }
        }
    }

    /// The fields that the rule looked at and that matched, with their values.
    pub fn explain(&self, record: &Record<'_>) -> Map<String, Value> {
        let (mut out, view) = (Map::new(), self.view(record));
        let command = if self.is_of_each_command(&view) { self.first_command(&view) } else { None };
        let view = Record { commands: command.as_ref().unwrap_or(view.commands), ..view };
        self.explain_into(&self.condition, &view, &mut out);
        out
    }

    fn explain_into(&self, expr: &Expr, record: &Record<'_>, out: &mut Map<String, Value>) {
        match expr {
            Expr::And(parts) | Expr::Or(parts) => {
                for part in parts.iter().filter(|part| self.holds(part, record)) {
                    self.explain_into(part, record, out);
                }
            }
            Expr::Not(_) => {}
            Expr::Selection(index) => self.selections[*index].explain(record, out),
            Expr::AtLeast(_, chosen) => {
                for index in chosen.iter().filter(|index| self.selections[**index].matches(record)) {
                    self.selections[*index].explain(record, out);
                }
            }
        }
    }

    /// What the raw record of every event that matches holds.
    pub(in crate::detect::logs) fn need(&self, site: &Site<'_>) -> Need<String> {
        self.needed(&self.condition, site)
    }

    fn needed(&self, expr: &Expr, site: &Site<'_>) -> Need<String> {
        let of = |index: &usize| self.selections[*index].need(site);
        match expr {
            Expr::And(parts) => Need::all(parts.iter().map(|part| self.needed(part, site))),
            Expr::Or(parts) => Need::any(parts.iter().map(|part| self.needed(part, site))),
            Expr::Not(_) => Need::Nothing,
            Expr::Selection(index) => of(index),
            Expr::AtLeast(least, chosen) if *least == chosen.len() => Need::all(chosen.iter().map(of)),
            Expr::AtLeast(_, chosen) => Need::any(chosen.iter().map(of)),
        }
    }

    /// Texts (lower-case ASCII) of which at least one stands in the raw record of every event that matches, if such a
    /// set is known; of several sets the one that costs least.
    pub(in crate::detect::logs) fn required_literals(&self, site: &Site<'_>, cost: Cost<'_>) -> Option<Vec<Literal>> {
        self.required(&self.condition, site, cost)
    }

    fn required(&self, expr: &Expr, site: &Site<'_>, cost: Cost<'_>) -> Option<Vec<Literal>> {
        let of = |index: &usize| self.selections[*index].literals(site, cost);
        match expr {
            Expr::And(parts) => best(parts.iter().map(|part| self.required(part, site, cost)), cost),
            Expr::Or(parts) => union(parts.iter().map(|part| self.required(part, site, cost))),
            Expr::Not(_) => None,
            Expr::Selection(index) => of(index),
            Expr::AtLeast(least, chosen) if *least == chosen.len() => best(chosen.iter().map(of), cost),
            Expr::AtLeast(_, chosen) => union(chosen.iter().map(of)),
        }
    }
}

#[cfg(test)]
#[path = "matcher_tests.rs"]
mod tests;
