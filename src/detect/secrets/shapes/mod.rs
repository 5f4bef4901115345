//! Known forms of keys: a table (`catalog.txt`), read once, and the check of one place.

mod check;

use std::sync::{LazyLock, OnceLock};

use regex::bytes::Regex;

use crate::domain::Level;
use check::Check;

/// Longest key that a shape describes with what names it, in bytes.
pub(super) const LONGEST: usize = 8 << 10;

const CATALOG: &str = include_str!("catalog.txt");

/// What assigns a value to a name: quotes and escapes of several languages.
const IS: &str = r#"["'\\]{0,3}\s{0,4}(?::=|=>|[:=])\s{0,4}["'\\]{0,3}"#;
const END: &str = r"(?:[^A-Za-z0-9_]|$)";

/// A known form of key.
struct Shape {
    id: &'static str,
    title: &'static str,
    level: Level,
    entropy: f64,
    check: Check,
    pattern: String,
    /// Compiled when one of its starts is seen first: all of them together take ten megabytes.
    compiled: OnceLock<Option<Regex>>,
}

impl Shape {
    fn pattern(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| Regex::new(&self.pattern).ok()).as_ref()
    }
}

/// All known forms, in the order in which they are preferred.
struct Catalog {
    shapes: Vec<Shape>,
    /// Each start with its shape's place.
    starts: Vec<(&'static str, usize)>,
}

static TABLE: LazyLock<Catalog> = LazyLock::new(|| {
    let mut catalog = Catalog { shapes: Vec::new(), starts: Vec::new() };
    for (starts, shape) in rows().filter_map(row) {
        let index = catalog.shapes.len();
        catalog.starts.extend(starts.split(',').map(|start| (start, index)));
        catalog.shapes.push(shape);
    }
    catalog
});

fn rows() -> impl Iterator<Item = &'static str> {
    CATALOG.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// One line of the table: its starts and its shape.
fn row(line: &'static str) -> Option<(&'static str, Shape)> {
    let mut cells = line.splitn(7, " | ");
    let mut cell = || cells.next();
    let (id, title, level, starts) = (cell()?, cell()?, cell()?, cell()?);
    let (entropy, check, pattern) = (cell()?, cell()?, cell()?);
    let pattern = pattern.replace("{is}", IS).replace("{end}", END);
    let (body, tail) = pattern.strip_suffix(END).map_or((pattern.as_str(), ""), |body| (body, END));
    let named = if body.contains("(?<key>") { body.to_owned() } else { format!("(?<key>{body})") };
    let shape = Shape {
        id,
        title,
        level: level.parse().ok()?,
        entropy: entropy.parse().ok()?,
        check: Check::named(check)?,
        pattern: format!("(?-u)^{named}{tail}"),
        compiled: OnceLock::new(),
    };
    Some((starts, shape))
}

/// Texts by which a place is found that is worth a look, each with the number of its shape.
pub(super) fn starts() -> impl Iterator<Item = (&'static str, usize)> {
    TABLE.starts.iter().copied()
}

/// A key that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Place of the secret part.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Its shape: of two that overlap, the lower one is the better name.
    pub(super) shape: usize,
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) level: Level,
    /// Whether the text is to be kept from others.
    pub(super) secret: bool,
    /// Length of what all keys of this form begin with.
    pub(super) known: usize,
}

/// Whether a key of that shape stands where one of its starts was found, from `at` for `start` bytes.
pub(super) fn look(bytes: &[u8], shape: usize, at: usize, start: usize) -> Option<Seen> {
    let index = shape;
    let shape = TABLE.shapes.get(index)?;
    let before = at.checked_sub(1).map(|before| bytes[before]);
    if shape.check.wants_word() && before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let window = &bytes[at..bytes.len().min(at + LONGEST)];
    let found = shape.pattern()?.captures(window)?;
    let key = found.name("key")?;
    if names_an_id(&window[..key.start()])
        || entropy(key.as_bytes()) < shape.entropy
        || !shape.check.holds(key.as_bytes())
    {
        return None;
    }
    let known = if key.start() == 0 { start.min(key.len()) } else { 0 };
    let (start, end) = (at + key.start(), at + key.end());
    let secret = shape.check != Check::Public;
    Some(Seen { start, end, shape: index, id: shape.id, title: shape.title, level: shape.level, secret, known })
}

/// `apiKeyId: ..` gives the name of a key, not the key.
fn names_an_id(before: &[u8]) -> bool {
    let name: &[u8] = before.split(|byte| !byte.is_ascii_alphanumeric() && !b"_-".contains(byte)).next().unwrap_or(&[]);
    let ends =
        |end: &str| name.len() > end.len() && name[name.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes());
    ends("id") || ends("name") || ends("arn")
}

/// Shannon entropy in bits a byte.
#[expect(clippy::cast_precision_loss, reason = "counts of a few thousand at most")]
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_usize; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = bytes.len() as f64;
    counts.iter().filter(|count| **count > 0).map(|count| *count as f64 / total).map(|p| -p * p.log2()).sum()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
