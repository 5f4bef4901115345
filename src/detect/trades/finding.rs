use serde_json::{Map, Value};

use super::expression::Expression;
use super::hit::SHOWN;
use super::ids::Gap;
use super::policy::{Check, TradePolicy};
use super::roles::{Mapping, Role};
use super::row::BETWEEN;
use super::value::moment;
use crate::domain::{Column, DONE_AT, Finding, FindingKind, Row, Source, Timestamp, finding_id};

/// Longest value that a finding repeats, in bytes.
const MAX_VALUE: usize = 2048;

/// A finding of a row.
pub fn of_row(
    policy: &TradePolicy,
    trades: &Mapping,
    columns: &[Column],
    id: &str,
    row: Option<&Row>,
    time: Option<Timestamp>,
    why: &str,
) -> Finding {
    let done = deed(policy, trades, row);
    let mut matched = Map::new();
    let mut event = Map::new();
    for (column, cell) in columns.iter().zip(row.into_iter().flatten()) {
        let role = trades.roles.iter().find(|mapped| mapped.column == column.name).map(|mapped| mapped.role);
        let value = match (cell, role) {
            (None, _) => Value::Null,
            (Some(text), Some(role)) => shown(role, &column.name, text),
            (Some(text), None) => cut(text),
        };
        if let (Some(role), false) = (role.filter(|role| SHOWN.contains(role)), value.is_null()) {
            matched.insert(role.name(), value.clone());
        }
        event.insert(column.name.clone(), value);
    }
    matched.insert("why".into(), why.into());
    if let Some(done) = done {
        matched.insert(DONE_AT.into(), done);
    }
    let mut key = Map::new();
    if trades.composite.is_empty() {
        key.insert(trades.column(Role::Id).unwrap_or("row").to_owned(), cut(id));
    }
    for (part, text) in trades.composite.iter().zip(id.split(BETWEEN)) {
        key.insert(part.column.clone(), cut(text));
    }
    let source = Source::Table { table: trades.table.name.clone(), key };
    of(policy, source, time, matched, event)
}

/// When it was done, where that is not the time of the trade: a trade that was changed, or that says a false time. Null if
/// that can't be known.
fn deed(policy: &TradePolicy, trades: &Mapping, row: Option<&Row>) -> Option<Value> {
    match &policy.check {
        Check::Row { when: Expression::Later(later) } if later.role == Role::UpdatedAt => {
            let cell = trades.index(Role::UpdatedAt).and_then(|index| row?.get(index)?.as_deref());
            Some(cell.and_then(moment).map_or(Value::Null, |time| time.to_string().into()))
        }
        Check::Sequence { .. } => Some(Value::Null),
        _ => None,
    }
}

/// A finding of rows that are missing. When a row was deleted can't be known from what is left.
pub fn of_gap(
    policy: &TradePolicy,
    trades: &Mapping,
    gap: Gap,
    before: Option<Timestamp>,
    after: Option<Timestamp>,
) -> Finding {
    let mut key = Map::new();
    key.insert(trades.column(Role::Id).unwrap_or("id").to_owned(), format!("{}..{}", gap.from, gap.to).into());
    let source = Source::Table { table: trades.table.name.clone(), key };
    let mut matched = Map::new();
    matched.insert("first_missing".into(), gap.from.into());
    matched.insert("last_missing".into(), gap.to.into());
    let around = |time: Option<Timestamp>| time.map_or(Value::Null, |time| time.to_string().into());
    matched.insert("row_before_at".into(), around(before));
    matched.insert("row_after_at".into(), around(after));
    matched.insert("why".into(), format!("{} ids are missing between their neighbours", gap.count()).into());
    of(policy, source, None, matched, Map::new())
}

/// A finding of an order whose trades are missing.
pub fn of_order(policy: &TradePolicy, orders: &Mapping, id: &str, time: Option<Timestamp>, why: &str) -> Finding {
    let mut key = Map::new();
    key.insert(orders.column(Role::Id).unwrap_or("id").to_owned(), cut(id));
    let source = Source::Table { table: orders.table.name.clone(), key };
    // When trades were deleted can't be known from what is left.
    let matched = [(Role::Order.name(), cut(id)), ("why".to_owned(), why.into()), (DONE_AT.to_owned(), Value::Null)];
    of(policy, source, time, matched.into_iter().collect(), Map::new())
}

/// A finding of an entry of another record that is no row.
pub fn of_entry(
    policy: &TradePolicy,
    path: &str,
    (record, line): (u64, u64),
    time: Option<Timestamp>,
    event: Map<String, Value>,
) -> Finding {
    let source = Source::File { path: path.to_owned(), record, line: Some(line), offset: None };
    let cut = |value: Value| match value {
        Value::String(text) => cut(&text),
        other => other,
    };
    let matched = [("why".to_owned(), "no row of the trade table is of this entry".into())].into_iter().collect();
    let event = event.into_iter().map(|(name, value)| (name, cut(value))).collect();
    of(policy, source, time, matched, event)
}

fn of(
    policy: &TradePolicy,
    source: Source,
    time: Option<Timestamp>,
    matched: Map<String, Value>,
    event: Map<String, Value>,
) -> Finding {
    let id = finding_id(FindingKind::Trade, &policy.id, &source);
    Finding { id, kind: FindingKind::Trade, rule: policy.rule(), time, source, matched, event }
}

/// A value as findings show it: never one that could itself be a key.
fn shown(role: Role, column: &str, text: &str) -> Value {
    let names_an_id = column.to_ascii_lowercase().ends_with("id");
    if role == Role::Secret || (role == Role::Key && !names_an_id) {
        return "(hidden)".into();
    }
    cut(text)
}

fn cut(text: &str) -> Value {
    if text.len() <= MAX_VALUE {
        return text.into();
    }
    let end = (0..=MAX_VALUE).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    // Of the longest texts a database gives the beginning only.
    let length = if text.len() < 65_536 { format!("{} bytes", text.len()) } else { "64 KiB or more".to_owned() };
    format!("{} (cut, {length})", &text[..end]).into()
}
