//! Literals that a raw record must hold for a test to hold: what the filter of raw bytes looks for.

use regex_syntax::hir::{Class, ClassUnicodeRange, Hir, HirKind};

use super::pattern::Piece;
use super::site::Literal;
use crate::detect::logs::formats::Format;
use crate::detect::logs::need::Need;

/// Most literals that stand for one test, one selection or one rule before it counts as having none.
pub(super) const MAX_LITERALS: usize = 512;

/// What it is likely to cost to look for a set of literals.
pub(in crate::detect::logs) type Cost<'a> = &'a dyn Fn(&[Literal]) -> u64;

/// How values stand in the raw record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::detect::logs) enum Family {
    /// Forms with escapes of their own, perhaps one in another: punctuation may be spelt in several ways. Records with a `\u`
    /// are not filtered at all.
    Escaped = 0,
    /// Byte for byte.
    Raw = 1,
    /// JSON. An object is matched by its compact text, whatever white space the record has; a text stands between quotes, byte
    /// for byte but for quotes, backslashes and control characters. Records with a `\u` are not filtered at all, nor those
    /// with a `\/` where a slash is looked for.
    Json = 2,
    /// Byte for byte between quotes.
    Quoted = 3,
    /// Word by word: what stands between words is told otherwise.
    Words = 4,
}

impl Family {
    /// All, in the order of their numbers.
    pub(in crate::detect::logs) const ALL: [Self; 5] =
        [Self::Escaped, Self::Raw, Self::Json, Self::Quoted, Self::Words];

    /// How values stand in a format's records.
    pub(in crate::detect::logs) fn of(format: Format) -> Self {
        match format {
            Format::JsonLines | Format::JsonDocument => Self::Json,
            format if format.is_raw() => Self::Raw,
            _ => Self::Escaped,
        }
    }

    /// Whether a character stands for itself in the raw record; `text` says that the value is one, not an object.
    fn safe(self, c: char, text: bool) -> bool {
        let printable = c == ' ' || c.is_ascii_graphic();
        match self {
            Self::Escaped => printable && !matches!(c, '"' | '\\' | '/' | '{' | '}' | '[' | ']' | ',' | ':'),
            Self::Json if text => printable && !matches!(c, '"' | '\\'),
            Self::Json => printable && !matches!(c, '"' | '\\' | '{' | '}' | '[' | ']' | ','),
            Self::Raw => printable,
            // Only at its ends: one in between is behind a backslash, and parts what is looked through.
            Self::Quoted => printable && c != '"',
            Self::Words => c.is_ascii_alphanumeric() || c == '_',
        }
    }

    /// Numbers can be spelt in several ways (`1e2`, `0404`), and times be put together from their parts.
    fn no_number(self, run: &str) -> bool {
        run.chars().any(|c| match self {
            Self::Escaped | Self::Json | Self::Words => !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'),
            Self::Raw => !matches!(c, '0'..='9' | '-' | ':' | '.' | 'T' | 't' | 'Z' | 'z'),
            Self::Quoted => true,
        })
    }

    /// Shortest literal that is looked for, in bytes. What stands between quotes has one that few others have.
    pub(super) fn shortest(self) -> usize {
        if self == Self::Quoted { crate::detect::grams::SHORTEST } else { 3 }
    }

    /// The runs of a text that stand byte for byte in the raw record.
    fn split(self, text: &str, is_text: bool) -> impl Iterator<Item = &str> {
        text.split(move |c| !self.safe(c, is_text)).map(move |run| {
            // A colon behind a key may have white space before it; one behind a letter is in a text.
            if self == Self::Json && !is_text { run.trim_start_matches(':') } else { run }
        })
    }
}

/// The longest run of a text, if it has so many bytes, that stands byte for byte, but for ASCII case, in the raw record.
fn longest(text: &str, least: usize, family: Family) -> Option<String> {
    family
        .split(text, false)
        .filter(|run| run.len() >= least && family.no_number(run))
        .max_by_key(|run| run.len())
        .map(str::to_ascii_lowercase)
}

/// All runs of a pattern, of two bytes and more, that stand byte for byte, but for ASCII case, in the raw record of every value
/// that it matches.
pub(super) fn runs(pieces: &[Piece], family: Family) -> Vec<String> {
    let first = pieces.first().and_then(Piece::text);
    let last = pieces.last().and_then(Piece::text);
    let quoted = match family {
        Family::Quoted => true,
        Family::Json => first.is_some_and(begins_text) || last.is_some_and(ends_text),
        Family::Escaped | Family::Raw | Family::Words => false,
    };
    let mut out = Vec::new();
    if pieces.is_empty() && quoted {
        out.push("\"\"".to_owned());
    }
    for (number, piece) in pieces.iter().enumerate() {
        let Some(text) = piece.text() else { continue };
        let ends = (quoted && number == 0, quoted && number + 1 == pieces.len());
        let mut at = 0;
        for run in family.split(text, quoted) {
            let start = text[at..].find(run).map_or(at, |ahead| at + ahead);
            at = start + run.len();
            // The quotes of the value itself.
            let before = if ends.0 && start == 0 { "\"" } else { "" };
            let after = if ends.1 && at == text.len() { "\"" } else { "" };
            if family.no_number(run) || !(before.is_empty() && after.is_empty()) {
                out.push(format!("{before}{}{after}", run.to_ascii_lowercase()));
            }
        }
    }
    out.retain(|run| run.len() > 1);
    out
}

/// Whether a value that begins so is a text: objects, numbers and booleans begin otherwise.
fn begins_text(start: &str) -> bool {
    let start = start.to_ascii_lowercase();
    !start.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '{' | '[' | '-'))
        && !["true", "false"].iter().any(|word| word.starts_with(&start))
}

/// Whether a value that ends so is a text.
fn ends_text(end: &str) -> bool {
    let end = end.to_ascii_lowercase();
    !end.ends_with(|c: char| c.is_ascii_digit() || matches!(c, '}' | ']' | '.'))
        && !["true", "false"].iter().any(|word| word.ends_with(&end))
}

/// What every match of a regular expression holds.
pub(super) fn regex_need(source: &str, family: Family) -> Need<String> {
    regex_syntax::Parser::new().parse(source).map_or(Need::Nothing, |hir| needed(&hir, family))
}

fn needed(hir: &Hir, family: Family) -> Need<String> {
    match hir.kind() {
        HirKind::Alternation(parts) => Need::any(parts.iter().map(|part| needed(part, family))),
        HirKind::Concat(parts) => concat(parts, family),
        HirKind::Capture(capture) => needed(&capture.sub, family),
        HirKind::Repetition(repetition) if repetition.min > 0 => needed(&repetition.sub, family),
        HirKind::Literal(_) => concat(std::slice::from_ref(hir), family),
        _ => Need::Nothing,
    }
}

/// Neighbouring letters are joined; all parts must be there.
fn concat(parts: &[Hir], family: Family) -> Need<String> {
    let mut run = Run::default();
    let mut needs = Vec::new();
    for part in parts {
        match part.kind() {
            HirKind::Literal(literal) => run.text.push_str(&String::from_utf8_lossy(&literal.0)),
            HirKind::Class(class) if letter(class).is_some() => run.text.extend(letter(class)),
            HirKind::Class(class) if let Some(letter) = third(class) => run.push_third(letter),
            // What has no width, as `^` and `\b`, parts nothing.
            HirKind::Look(_) | HirKind::Empty => {}
            _ => {
                needs.push(std::mem::take(&mut run).need(family));
                needs.push(needed(part, family));
            }
        }
    }
    needs.push(run.need(family));
    Need::all(needs.into_iter())
}

/// Letters that stand side by side.
#[derive(Default)]
struct Run {
    text: String,
    /// Where a letter stands that has a third form, and that form.
    thirds: Vec<(usize, char)>,
}

impl Run {
    /// Adds a letter that has a third form.
    fn push_third(&mut self, (letter, third): (char, char)) {
        self.thirds.push((self.text.len(), third));
        self.text.push(letter);
    }

    /// The parts without such letters that are long enough to look for, else all of it: with them, or with one of their third forms.
    fn need(&self, family: Family) -> Need<String> {
        let mut parts = Vec::new();
        let mut from = 0;
        for (at, _) in &self.thirds {
            parts.push(&self.text[from..*at]);
            from = at + 1;
        }
        parts.push(&self.text[from..]);
        let plain = Need::all(parts.iter().filter_map(|part| longest(part, family.shortest(), family)).map(Need::Has));
        if plain != Need::Nothing {
            return plain;
        }
        let Some(whole) = longest(&self.text, 2, family) else { return Need::Nothing };
        let mut forms: Vec<char> = self.thirds.iter().map(|(_, third)| *third).collect();
        forms.sort_unstable();
        forms.dedup();
        Need::any(std::iter::once(whole).chain(forms.into_iter().map(String::from)).map(Need::Has))
    }
}

/// The letter that a class of its two cases stands for. `k` and `s` have a third form outside ASCII, so they are none.
fn letter(class: &Class) -> Option<char> {
    let Class::Unicode(class) = class else { return None };
    let [upper, lower] = class.ranges() else { return None };
    cases(*upper, *lower)
}

/// `k` and `s` in any case, with their third form: the sign of kelvin and the long s.
fn third(class: &Class) -> Option<(char, char)> {
    let Class::Unicode(class) = class else { return None };
    let [upper, lower, third] = class.ranges() else { return None };
    let single = third.start() == third.end() && matches!(third.start(), '\u{212a}' | '\u{17f}');
    cases(*upper, *lower).filter(|_| single).map(|letter| (letter, third.start()))
}

/// The letter of which these are the two cases.
fn cases(upper: ClassUnicodeRange, lower: ClassUnicodeRange) -> Option<char> {
    let single = upper.start() == upper.end() && lower.start() == lower.end();
    (single && upper.start().is_ascii_uppercase() && upper.start().to_ascii_lowercase() == lower.start())
        .then(|| lower.start())
}

#[cfg(test)]
mod tests {
    use super::super::pattern::pieces;
    use super::*;

    #[test]
    fn regular_expressions_say_what_they_need() {
        let of = |source: &str| regex_need(source, Family::Raw);
        let has = |text: &str| Need::Has(text.to_owned());
        let any = |texts: &[&str]| Need::Any(texts.iter().map(|text| has(text)).collect());
        let all = |parts: [Need<String>; 2]| Need::All(parts.into());
        assert_eq!(of("^GET /adm(in|x).*passwd$"), all([has("get /adm"), has("passwd")]));
        assert_eq!(of("(?i)union.{1,5}from"), all([has("union"), has("from")]));
        assert_eq!(of("(?i)select"), has("elect"));
        assert_eq!(of("(?i)log_statement"), all([has("log_"), has("tatement")]));
        assert_eq!(of("(alpha|beta)+"), any(&["alpha", "beta"]));
        assert_eq!(of("(?i)(create|alter) (rule|table)"), all([any(&["create", "alter"]), any(&["rule", "table"])]));
        assert_eq!(of("(alpha|b.)"), Need::Nothing);
        assert_eq!(of("(alpha|bc)"), any(&["alpha", "bc"]));
        // The long s and the sign of kelvin are an s and a k in any case.
        assert_eq!(of("(?i)create (role|user)"), all([has("create "), any(&["role", "user", "\u{17f}"])]));
        assert_eq!(of("(?i)task[0-9]"), any(&["task", "\u{17f}", "\u{212a}"]));
        assert_eq!(of("(?i)alter|[sx]et"), any(&["alter", "et"]));
        assert_eq!(of("(alpha)*x[0-9]"), Need::Nothing);
    }

    #[test]
    fn every_run_must_be_there() {
        let of = |pattern: &str, family| runs(&pieces(pattern), family);
        assert_eq!(of("*/api/x*A*42*Key\"Id*", Family::Raw), ["/api/x", "key\"id"]);
        assert_eq!(of("*/api/x*A*42*Key\"Id*", Family::Escaped), ["api", "key", "id"]);
        assert_eq!(of("*/api/x*A*42*Key\"Id*", Family::Json), ["/api/x", "key", "id"]);
        assert_eq!(of("2026-11-24T01*", Family::Raw), Vec::<String>::new());
        assert_eq!(of("drop table*\"api_keys\"", Family::Words), ["drop", "table", "api_keys"]);
    }

    #[test]
    fn a_text_in_json_has_its_quotes_where_nothing_else_can_be_meant() {
        let of = |pattern: &str| runs(&pieces(pattern), Family::Json);
        assert_eq!(of("Root"), ["\"root\""]);
        assert_eq!(of("arn:aws*"), ["\"arn:aws"]);
        assert_eq!(of("*S3, Browser"), ["s3, browser\""]);
        assert_eq!(of("a:b*: {x}*a"), ["\"a:b", ": {x}", "a\""]);
        assert_eq!(of("say \"hi\" now"), ["\"say ", "hi", " now\""]);
        // Booleans, numbers and objects have none; what is in an object may have white space between.
        assert_eq!(of("true"), ["true"]);
        for other in ["T*", "*e", "404", "-1*", "*0", "{*", "*}"] {
            assert_eq!(of(other), Vec::<String>::new(), "{other}");
        }
        assert_eq!(of("*\"cidrIp\":\"0.0.0.0/0\"*"), ["cidrip", "0.0.0.0/0"]);
        assert_eq!(of("*::aws:x,y*"), ["aws:x", "y"].map(str::to_owned)[..1]);
    }

    #[test]
    fn escapes_and_numbers_are_left_out() {
        let of = |text: &str, family: Family| longest(text, family.shortest(), family);
        assert_eq!(of("\"cidrIp\":\"0.0.0.0/0\"", Family::Escaped), Some("cidrip".into()));
        assert_eq!(of("/etc/passwd", Family::Escaped), Some("passwd".into()));
        assert_eq!(of("/etc/passwd", Family::Raw), Some("/etc/passwd".into()));
        assert_eq!(of("GET /etc/passwd", Family::Json), Some("get /etc/passwd".into()));
        assert_eq!(of("1e200", Family::Escaped), None);
        assert_eq!(of("40400", Family::Raw), None);
    }
}
