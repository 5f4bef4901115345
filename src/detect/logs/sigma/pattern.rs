//! One value of a rule as a test on one value of an event.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

/// Largest compiled size of one regular expression, in bytes.
const REGEX_LIMIT: usize = 4 << 20;

/// A piece of a Sigma string: literal text or a wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Any,
    One,
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
        let (value, other) = (value.to_lowercase(), other.to_lowercase());
        match self {
            Self::Whole => value == other,
            Self::Start => value.starts_with(&other),
            Self::End => value.ends_with(&other),
            Self::Anywhere => value.contains(&other),
        }
    }
}

#[derive(Debug, Clone)]
enum Shape {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Everything,
    Glob(Regex),
}

/// A compiled text pattern; case is ignored unless `cased`.
#[derive(Debug, Clone)]
pub(super) struct TextPattern {
    shape: Shape,
    cased: bool,
    literal: Option<String>,
}

impl TextPattern {
    pub(super) fn new(pieces: &[Piece], cased: bool) -> Result<Self, String> {
        let fold = |text: &str| if cased { text.to_owned() } else { text.to_lowercase() };
        let shape = match pieces {
            [] => Shape::Exact(String::new()),
            [Piece::Text(text)] => Shape::Exact(fold(text)),
            [Piece::Text(text), Piece::Any] => Shape::Prefix(fold(text)),
            [Piece::Any, Piece::Text(text)] => Shape::Suffix(fold(text)),
            [Piece::Any, Piece::Text(text), Piece::Any] => Shape::Contains(fold(text)),
            [Piece::Any] => Shape::Everything,
            pieces => Shape::Glob(glob(pieces, cased)?),
        };
        Ok(Self { shape, cased, literal: literal_of(pieces) })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        if let Shape::Glob(regex) = &self.shape {
            return regex.is_match(text);
        }
        if self.cased || !text.is_ascii() {
            let folded = if self.cased { text.into() } else { std::borrow::Cow::from(text.to_lowercase()) };
            return match &self.shape {
                Shape::Exact(want) => *folded == **want,
                Shape::Prefix(want) => folded.starts_with(want),
                Shape::Suffix(want) => folded.ends_with(want),
                Shape::Contains(want) => folded.contains(want),
                Shape::Everything | Shape::Glob(_) => true,
            };
        }
        let bytes = text.as_bytes();
        match &self.shape {
            Shape::Exact(want) => bytes.eq_ignore_ascii_case(want.as_bytes()),
            Shape::Prefix(want) => {
                bytes.get(..want.len()).is_some_and(|start| start.eq_ignore_ascii_case(want.as_bytes()))
            }
            Shape::Suffix(want) => {
                let from = bytes.len().checked_sub(want.len());
                from.is_some_and(|from| bytes[from..].eq_ignore_ascii_case(want.as_bytes()))
            }
            Shape::Contains(want) => contains_ascii(bytes, want.as_bytes()),
            Shape::Everything | Shape::Glob(_) => true,
        }
    }
}

/// Whether `hay` contains `want` (lower case) without regard to ASCII case.
fn contains_ascii(hay: &[u8], want: &[u8]) -> bool {
    let Some((&first, _)) = want.split_first() else { return true };
    if hay.len() < want.len() {
        return false;
    }
    let last = hay.len() - want.len();
    memchr::memchr2_iter(first, first.to_ascii_uppercase(), &hay[..=last])
        .any(|at| hay[at..at + want.len()].eq_ignore_ascii_case(want))
}

fn glob(pieces: &[Piece], cased: bool) -> Result<Regex, String> {
    let mut source = String::from(if cased { "(?s)^" } else { "(?si)^" });
    for piece in pieces {
        match piece {
            Piece::Text(text) => source.push_str(&regex::escape(text)),
            Piece::Any => source.push_str(".*"),
            Piece::One => source.push('.'),
        }
    }
    source.push('$');
    regex(&source)
}

/// Compiles a regular expression within the size limit.
pub(super) fn regex(source: &str) -> Result<Regex, String> {
    RegexBuilder::new(source).size_limit(REGEX_LIMIT).build().map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or("invalid").trim().trim_start_matches("error: ");
        format!("regular expression can't be used: {reason}")
    })
}

/// The longest run of the pattern that appears byte for byte, but for ASCII case, in the raw record of any event that
/// matches. JSON punctuation is left out (an object is matched in its compact form), and so are short runs and
/// numbers (which JSON can write in several ways).
fn literal_of(pieces: &[Piece]) -> Option<String> {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' ' | '=' | '%' | '(' | ')');
    let texts = pieces.iter().filter_map(|piece| if let Piece::Text(text) = piece { Some(text) } else { None });
    texts
        .flat_map(|text| text.split(|c| !safe(c)))
        .filter(|run| run.len() >= 3 && run.chars().any(|c| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')))
        .max_by_key(|run| run.len())
        .map(str::to_ascii_lowercase)
}

/// Order of a numeric comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A test on one value.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Text(TextPattern),
    Regex(Regex),
    Cidr(IpNet),
    Compare(Order, f64),
    /// The field is absent or null.
    Null,
    /// The field is there, whatever its value.
    Exists(bool),
    /// The field fits another field of the same event.
    FieldRef(String, Anchor),
}

impl Test {
    /// A literal (lower case) that the raw record must contain for the test to hold, if there is one.
    pub(super) fn literal(&self) -> Option<&str> {
        match self {
            Self::Text(pattern) => pattern.literal.as_deref(),
            _ => None,
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
            Self::Compare(order, limit) => text.trim().parse::<f64>().is_ok_and(|number| match order {
                Order::Less => number < *limit,
                Order::LessOrEqual => number <= *limit,
                Order::Greater => number > *limit,
                Order::GreaterOrEqual => number >= *limit,
            }),
            Self::Null | Self::Exists(_) | Self::FieldRef(..) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        TextPattern::new(&pieces(pattern), false).unwrap().matches(text)
    }

    #[test]
    fn wildcards_and_escapes() {
        assert!(matches("a*c", "AxxC") && !matches("a*c", "abcd"));
        assert!(matches("a?c", "abc") && !matches("a?c", "ac"));
        assert!(matches(r"a\*c", "a*c") && !matches(r"a\*c", "abc"));
        assert!(matches(r"a\\*", r"a\bc"));
        assert!(matches(r"C:\Win", r"c:\win"));
        assert!(matches("", "") && !matches("", "x"));
        assert!(matches("*", "anything"));
        assert!(matches("*\u{c9}T\u{c9}*", "\u{e9}t\u{e9} 2026"));
    }

    #[test]
    fn an_empty_array_is_null_and_an_object_is_its_text() {
        let test =
            Test::Text(TextPattern::new(&Anchor::Anywhere.apply(pieces("\"cidrIp\":\"0.0.0.0/0\"")), false).unwrap());
        assert!(test.holds(&serde_json::json!({"items": [{"cidrIp": "0.0.0.0/0"}]})));
        assert!(Test::Null.holds(&serde_json::json!([])));
    }

    proptest! {
        #[test]
        fn an_escaped_text_matches_itself_and_only_itself(text in ".{0,20}", other in ".{0,20}") {
            let escaped = text.replace('\\', "\\\\").replace('*', "\\*").replace('?', "\\?");
            let pattern = TextPattern::new(&pieces(&escaped), true).unwrap();
            prop_assert!(pattern.matches(&text));
            prop_assert_eq!(pattern.matches(&other), text == other);
        }

        #[test]
        fn containing_agrees_with_a_plain_search(hay in "[aAbB]{0,12}", want in "[ab]{0,3}") {
            prop_assert_eq!(contains_ascii(hay.as_bytes(), want.as_bytes()), hay.to_lowercase().contains(&want));
        }
    }
}
