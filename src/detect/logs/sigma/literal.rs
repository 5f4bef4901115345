//! Literals that a raw record must hold for a test to hold: what the filter of raw bytes looks for.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::detect::grams::SHORTEST;
use crate::detect::logs::formats::Format;

/// Most literals that stand for one test, one selection or one rule before it counts as having none.
pub(super) const MAX_LITERALS: usize = 512;

/// How values stand in the raw record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::detect::logs) enum Family {
    /// JSON and other forms with escapes: punctuation may be spelt in several ways, and an object is matched by its
    /// compact text, whatever white space the record has. Records with a `\u` are not filtered at all.
    Escaped = 0,
    /// Byte for byte.
    Raw = 1,
}

impl Family {
    /// Both, in the order of their numbers.
    pub(in crate::detect::logs) const ALL: [Self; 2] = [Self::Escaped, Self::Raw];

    /// How values stand in a format's records.
    pub(in crate::detect::logs) fn of(format: Format) -> Self {
        if format.is_raw() { Self::Raw } else { Self::Escaped }
    }

    fn safe(self, c: char) -> bool {
        let printable = c == ' ' || c.is_ascii_graphic();
        match self {
            Self::Escaped => printable && !matches!(c, '"' | '\\' | '/' | '{' | '}' | '[' | ']' | ',' | ':'),
            Self::Raw => printable,
        }
    }

    /// Numbers can be spelt in several ways (`1e2`, `0404`).
    fn no_number(self, run: &str) -> bool {
        run.chars().any(|c| match self {
            Self::Escaped => !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'),
            Self::Raw => !c.is_ascii_digit(),
        })
    }
}

/// The longest run of these texts that stands byte for byte, but for ASCII case, in the raw record.
pub(super) fn longest<'a>(texts: impl Iterator<Item = &'a str>, family: Family) -> Option<String> {
    texts
        .flat_map(|text| text.split(move |c| !family.safe(c)))
        .filter(|run| run.len() >= SHORTEST && family.no_number(run))
        .max_by_key(|run| run.len())
        .map(str::to_ascii_lowercase)
}

/// All runs of these texts, of two bytes and more, that stand byte for byte, but for ASCII case, in the raw record.
pub(super) fn runs<'a>(texts: impl Iterator<Item = &'a str>, family: Family) -> Vec<String> {
    let runs = texts.flat_map(|text| text.split(move |c| !family.safe(c)));
    runs.filter(|run| run.len() > 1 && family.no_number(run)).map(str::to_ascii_lowercase).collect()
}

/// Literals of which every match of a regular expression holds at least one.
pub(super) fn regex_literals(source: &str, family: Family) -> Option<Vec<String>> {
    let hir = regex_syntax::Parser::new().parse(source).ok()?;
    required(&hir, family)
}

fn required(hir: &Hir, family: Family) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Alternation(parts) => {
            let mut out = Vec::new();
            for part in parts {
                out.extend(required(part, family)?);
            }
            (out.len() <= MAX_LITERALS).then_some(out)
        }
        HirKind::Concat(parts) => concat(parts, family),
        HirKind::Capture(capture) => required(&capture.sub, family),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub, family),
        HirKind::Literal(_) => concat(std::slice::from_ref(hir), family),
        _ => None,
    }
}

/// Neighbouring letters are joined; of all the parts, the one with the longest literals counts.
fn concat(parts: &[Hir], family: Family) -> Option<Vec<String>> {
    let mut run = String::new();
    let mut best: Option<Vec<String>> = None;
    let mut offer = |set: Option<Vec<String>>| {
        let length = |set: &Vec<String>| set.iter().map(String::len).min().unwrap_or(0);
        if let Some(set) = set.filter(|set| best.as_ref().is_none_or(|best| length(set) > length(best))) {
            best = Some(set);
        }
    };
    for part in parts {
        match part.kind() {
            HirKind::Literal(literal) => run.push_str(&String::from_utf8_lossy(&literal.0)),
            HirKind::Class(class) if letter(class).is_some() => run.extend(letter(class)),
            // What has no width, as `^` and `\b`, parts nothing.
            HirKind::Look(_) | HirKind::Empty => {}
            _ => {
                offer(longest([run.as_str()].into_iter(), family).map(|one| vec![one]));
                run.clear();
                offer(required(part, family));
            }
        }
    }
    offer(longest([run.as_str()].into_iter(), family).map(|one| vec![one]));
    best
}

/// The letter that a class of its two cases stands for. `k` and `s` have a third form outside ASCII, so they are none.
fn letter(class: &Class) -> Option<char> {
    let Class::Unicode(class) = class else { return None };
    let ranges = class.ranges();
    let [upper, lower] = ranges else { return None };
    let single = upper.start() == upper.end() && lower.start() == lower.end();
    (single && upper.start().is_ascii_uppercase() && upper.start().to_ascii_lowercase() == lower.start())
        .then(|| lower.start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_expressions_say_what_they_need() {
        let of = |source: &str| regex_literals(source, Family::Raw);
        assert_eq!(of("^GET /adm(in|x).*passwd$"), Some(vec!["get /adm".into()]));
        assert_eq!(of("(?i)union.{1,5}from"), Some(vec!["union".into()]));
        assert_eq!(of("(?i)select"), Some(vec!["elect".into()]));
        assert_eq!(of("(alpha|beta)+"), Some(vec!["alpha".into(), "beta".into()]));
        assert_eq!(of("(alpha|b.)"), None);
        assert_eq!(of("(alpha)*x[0-9]"), None);
    }

    #[test]
    fn every_run_must_be_there() {
        let of = |family| runs(["/api/x", "A", "42", "Key\"Id"].into_iter(), family);
        assert_eq!(of(Family::Raw), ["/api/x", "key\"id"]);
        assert_eq!(of(Family::Escaped), ["api", "key", "id"]);
    }

    #[test]
    fn escapes_and_numbers_are_left_out() {
        let of = |text: &str, family| longest([text].into_iter(), family);
        assert_eq!(of("\"cidrIp\":\"0.0.0.0/0\"", Family::Escaped), Some("cidrip".into()));
        assert_eq!(of("/etc/passwd", Family::Escaped), Some("passwd".into()));
        assert_eq!(of("/etc/passwd", Family::Raw), Some("/etc/passwd".into()));
        assert_eq!(of("1e200", Family::Escaped), None);
        assert_eq!(of("40400", Family::Raw), None);
    }
}
