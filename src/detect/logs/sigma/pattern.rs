//! One value of a rule as a test on one value of an event.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::expression::Expression;
use super::literal::{Cost, Family, MAX_LITERALS, regex_need};
use super::site::{Literal, Part as RecordPart};
use super::text::{TextPattern, lower};
use crate::detect::logs::formats::time;
use crate::detect::logs::need::Need;

/// A piece of a Sigma string: literal text or a wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Any,
    One,
}

impl Piece {
    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// Splits a Sigma string at its wildcards. A backslash escapes `*`, `?` and itself; any other backslash is a backslash.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut literal = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.peek() {
                Some(&next @ ('*' | '?' | '\\')) => {
                    chars.next();
                    literal.push(next);
                }
                _ => literal.push('\\'),
            },
            '*' | '?' => {
                if !literal.is_empty() {
                    out.push(Piece::Text(std::mem::take(&mut literal)));
                }
                let wild = if c == '*' { Piece::Any } else { Piece::One };
                if wild != Piece::Any || out.last() != Some(&Piece::Any) {
                    out.push(wild);
                }
            }
            c => literal.push(c),
        }
    }
    if !literal.is_empty() {
        out.push(Piece::Text(literal));
    }
    out
}

/// Where in the value the pattern must lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Anchor {
    #[default]
    Whole,
    Start,
    End,
    Anywhere,
}

impl Anchor {
    /// The pieces with the wildcards that the anchor stands for.
    pub(super) fn apply(self, mut pieces: Vec<Piece>) -> Vec<Piece> {
        if matches!(self, Self::End | Self::Anywhere) && pieces.first() != Some(&Piece::Any) {
            pieces.insert(0, Piece::Any);
        }
        if matches!(self, Self::Start | Self::Anywhere) && pieces.last() != Some(&Piece::Any) {
            pieces.push(Piece::Any);
        }
        pieces
    }

    /// Compares two texts without regard to case.
    pub(super) fn holds(self, value: &str, other: &str) -> bool {
        let (value, other) = (lower(value), lower(other));
        match self {
            Self::Whole => value == other,
            Self::Start => value.starts_with(&other),
            Self::End => value.ends_with(&other),
            Self::Anywhere => value.contains(&other),
        }
    }
}

/// Order of a numeric comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
}

impl Order {
    fn holds<T: PartialOrd + Copy>(self, value: T, limit: T) -> bool {
        match self {
            Self::Less => value < limit,
            Self::LessOrEqual => value <= limit,
            Self::Greater => value > limit,
            Self::GreaterOrEqual => value >= limit,
            Self::Equal => value == limit,
        }
    }
}

/// A part of a date. It is that of the date as it stands: the specification forbids to convert zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Part {
    fn of(self, text: &str) -> Option<i64> {
        let date = time::civil(text)?;
        Some(i64::from(match self {
            Self::Minute => i16::from(date.minute()),
            Self::Hour => i16::from(date.hour()),
            Self::Day => i16::from(date.day()),
            Self::Week => i16::from(date.date().iso_week_date().week()),
            Self::Month => i16::from(date.month()),
            Self::Year => date.year(),
        }))
    }
}

/// A test on one value.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Text(TextPattern),
    Regex(Expression),
    Cidr(IpNet),
    Compare(Order, f64),
    /// A part of the date that the field holds.
    Date(Part, Order, i64),
    /// The field is absent or null.
    Null,
    /// The field is there, whatever its value.
    Exists(bool),
    /// The field fits another field of the same event.
    FieldRef(String, Anchor),
}

impl Test {
    /// Literals (lower case) of which that part of the raw record must hold one for the test to hold, if such are known.
    pub(super) fn literals(&self, family: Family, part: RecordPart, cost: Cost<'_>) -> Option<Vec<Literal>> {
        match self {
            Self::Text(pattern) => {
                // One that is long enough to be looked for; the rarest.
                let runs = pattern.runs(family).iter().flat_map(|run| part.pieces(run));
                let runs = runs.filter(|run| run.len() >= family.shortest());
                runs.map(|run| vec![(part, run.to_owned())]).min_by_key(|set| cost(set))
            }
            Self::Regex(regex) => {
                let longest = |literal: String| {
                    let piece = part.pieces(&literal).max_by_key(|piece| piece.len())?;
                    (piece.len() >= family.shortest() && piece.is_ascii()).then(|| (part, piece.to_owned()))
                };
                let need = regex_need(regex.as_str(), family).known(&longest);
                let set = need.one_of(&|literal| cost(std::slice::from_ref(literal)));
                set.filter(|set| set.len() <= MAX_LITERALS)
            }
            _ => None,
        }
    }

    /// Whether it never holds for a field that is not there.
    pub(super) fn fails_absent(&self) -> bool {
        !matches!(self, Self::Null | Self::Exists(false))
    }

    /// What the raw record must hold for the test to hold.
    pub(super) fn need(&self, family: Family) -> Need<String> {
        match self {
            Self::Text(pattern) => Need::all(pattern.runs(family).iter().cloned().map(Need::Has)),
            Self::Regex(regex) => regex_need(regex.as_str(), family),
            _ => Need::Nothing,
        }
    }

    /// Whether a value that is there fits. `Exists` and `FieldRef` are decided by the caller.
    pub(super) fn holds(&self, value: &Value) -> bool {
        match value {
            Value::Array(items) => {
                items.iter().any(|item| self.holds(item)) || (items.is_empty() && matches!(self, Self::Null))
            }
            Value::Null => matches!(self, Self::Null),
            Value::String(text) => self.holds_text(text),
            other => self.holds_text(&other.to_string()),
        }
    }

    /// Whether a text fits.
    pub(super) fn holds_text(&self, text: &str) -> bool {
        match self {
            Self::Text(pattern) => pattern.matches(text),
            Self::Regex(regex) => regex.is_match(text),
            Self::Cidr(net) => text.trim().parse::<IpAddr>().is_ok_and(|ip| net.contains(&ip)),
            Self::Compare(order, limit) => text.trim().parse::<f64>().is_ok_and(|number| order.holds(number, *limit)),
            Self::Date(part, order, limit) => part.of(text).is_some_and(|number| order.holds(number, *limit)),
            Self::Null | Self::Exists(_) | Self::FieldRef(..) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_array_is_null_and_an_object_is_its_text() {
        let test =
            Test::Text(TextPattern::new(&Anchor::Anywhere.apply(pieces("\"cidrIp\":\"0.0.0.0/0\"")), false).unwrap());
        assert!(test.holds(&serde_json::json!({"items": [{"cidrIp": "0.0.0.0/0"}]})));
        assert!(Test::Null.holds(&serde_json::json!([])));
    }
}
