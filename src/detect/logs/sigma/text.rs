//! A Sigma string, compiled: exact, prefix, suffix, contained, or with wildcards inside.

use super::expression::Expression;
use super::literal::{Family, runs};
use super::pattern::Piece;

#[derive(Debug, Clone)]
enum Shape {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Everything,
    /// Start, parts that follow in order, end.
    Parts(String, Vec<String>, String),
    Glob(Expression),
}

/// A compiled text pattern; case is ignored unless `cased`.
#[derive(Debug, Clone)]
pub(super) struct TextPattern {
    shape: Shape,
    cased: bool,
    /// Texts (lower-case ASCII) that the raw record of every match holds, for each family.
    runs: [Vec<String>; Family::ALL.len()],
}

/// A pattern that is one text, in lower-case ASCII, whatever the case of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Simple<'a> {
    /// The whole value.
    Whole(&'a str),
    /// Anywhere in it.
    Anywhere(&'a str),
}

impl<'a> Simple<'a> {
    /// The text, if it is looked for anywhere.
    pub(super) fn anywhere(self) -> Option<&'a str> {
        if let Self::Anywhere(text) = self { Some(text) } else { None }
    }
}

/// Lower case. A letter outside ASCII stays outside: the Kelvin sign is no `k`, so that a search for ASCII in raw bytes
/// misses nothing.
pub(super) fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() || c.to_lowercase().any(|c| c.is_ascii()) {
            out.push(c.to_ascii_lowercase());
        } else {
            out.extend(c.to_lowercase());
        }
    }
    out
}

impl TextPattern {
    pub(super) fn new(pieces: &[Piece], cased: bool) -> Result<Self, String> {
        let fold = |text: &str| if cased { text.to_owned() } else { lower(text) };
        let shape = match pieces {
            [] => Shape::Exact(String::new()),
            [Piece::Text(text)] => Shape::Exact(fold(text)),
            [Piece::Text(text), Piece::Any] => Shape::Prefix(fold(text)),
            [Piece::Any, Piece::Text(text)] => Shape::Suffix(fold(text)),
            [Piece::Any, Piece::Text(text), Piece::Any] => Shape::Contains(fold(text)),
            [Piece::Any] => Shape::Everything,
            pieces if pieces.contains(&Piece::One) => Shape::Glob(glob(pieces, cased)?),
            pieces => parts(pieces, fold),
        };
        let runs = Family::ALL.map(|family| runs(pieces, family));
        Ok(Self { shape, cased, runs })
    }

    /// The one text that it is, if it is as simple as that.
    pub(super) fn simple(&self) -> Option<Simple<'_>> {
        match &self.shape {
            _ if self.cased => None,
            Shape::Exact(text) if text.is_ascii() => Some(Simple::Whole(text)),
            Shape::Contains(text) if text.is_ascii() => Some(Simple::Anywhere(text)),
            _ => None,
        }
    }

    /// All texts (lower-case ASCII) that the raw record of every match holds.
    pub(super) fn runs(&self, family: Family) -> &[String] {
        &self.runs[family as usize]
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        if let Shape::Glob(regex) = &self.shape {
            return regex.is_match(text);
        }
        if self.cased || !text.is_ascii() || matches!(self.shape, Shape::Parts(..)) {
            let folded = if self.cased { text.into() } else { std::borrow::Cow::from(lower(text)) };
            return match &self.shape {
                Shape::Exact(want) => *folded == **want,
                Shape::Prefix(want) => folded.starts_with(want),
                Shape::Suffix(want) => folded.ends_with(want),
                Shape::Contains(want) => folded.contains(want),
                Shape::Parts(start, parts, end) => in_order(&folded, start, parts, end),
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
            Shape::Everything | Shape::Parts(..) | Shape::Glob(_) => true,
        }
    }
}

fn parts(pieces: &[Piece], fold: impl Fn(&str) -> String) -> Shape {
    let mut texts: Vec<String> = vec![String::new()];
    for piece in pieces {
        match piece {
            Piece::Text(text) => texts.push(fold(text)),
            Piece::Any | Piece::One => {}
        }
    }
    let starts = matches!(pieces.first(), Some(Piece::Text(_)));
    let ends = matches!(pieces.last(), Some(Piece::Text(_)));
    let end = if ends { texts.pop().unwrap_or_default() } else { String::new() };
    let start = texts.remove(usize::from(starts && texts.len() > 1));
    texts.retain(|text| !text.is_empty());
    Shape::Parts(start, texts, end)
}

fn in_order(text: &str, start: &str, parts: &[String], end: &str) -> bool {
    let Some(mut rest) = text.strip_prefix(start).and_then(|rest| rest.strip_suffix(end)) else { return false };
    parts.iter().all(|part| {
        let at = rest.find(part.as_str());
        rest = at.map_or("", |at| &rest[at + part.len()..]);
        at.is_some()
    })
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

/// Patterns with `?` as a regular expression, with the case rules of [`lower`].
fn glob(pieces: &[Piece], cased: bool) -> Result<Expression, String> {
    let mut source = String::from("(?s)^");
    for piece in pieces {
        match piece {
            Piece::Any => source.push_str(".*"),
            Piece::One => source.push('.'),
            Piece::Text(text) if cased => source.push_str(&regex::escape(text)),
            Piece::Text(text) => {
                for c in text.chars() {
                    let escaped = regex::escape(c.encode_utf8(&mut [0; 4]));
                    match c {
                        c if c.is_ascii_alphabetic() => {
                            source.extend(['[', c.to_ascii_lowercase(), c.to_ascii_uppercase(), ']']);
                        }
                        c if c.is_ascii() => source.push_str(&escaped),
                        _ => source.push_str(&format!("(?i:{escaped})")),
                    }
                }
            }
        }
    }
    source.push('$');
    Expression::new(source)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pattern::{Anchor, pieces};
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        TextPattern::new(&pieces(pattern), false).unwrap().matches(text)
    }

    #[test]
    fn wildcards_and_escapes() {
        assert!(matches("a*c", "AxxC") && !matches("a*c", "abcd") && !matches("a*a", "a"));
        assert!(matches("a*b*c", "a.b.c") && !matches("a*b*c", "acb") && matches("*a*b", "xaxb"));
        assert!(matches("a*b*", "axbx") && !matches("a*b*", "xab"));
        assert!(matches("a?c", "abc") && !matches("a?c", "ac"));
        assert!(matches(r"a\*c", "a*c") && !matches(r"a\*c", "abc"));
        assert!(matches(r"a\\*", r"a\bc"));
        assert!(matches(r"C:\Win", r"c:\win"));
        assert!(matches("", "") && !matches("", "x"));
        assert!(matches("*", "anything"));
        assert!(matches("*\u{c9}T\u{c9}*", "\u{e9}t\u{e9} 2026") && matches("\u{c9}?", "\u{e9}x"));
        assert!(!matches("k", "\u{212a}") && !matches("k?", "\u{212a}x"));
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

        #[test]
        fn parts_agree_with_a_regular_expression(pattern in "[ab*]{0,8}", text in "[abAB]{0,10}") {
            let split = Anchor::Whole.apply(pieces(&pattern));
            let want = glob(&split, false).unwrap().is_match(&text);
            prop_assert_eq!(TextPattern::new(&split, false).unwrap().matches(&text), want, "{}", pattern);
        }
    }
}
