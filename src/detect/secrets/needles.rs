use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::encode::forms;
use super::shapes::{self, Seen};

/// Shortest value that is looked for, in bytes: shorter ones are found everywhere.
pub const MIN_VALUE: usize = 8;
/// Most bytes of patterns for which the faster and larger automaton is built.
const MAX_DFA: usize = 32 << 10;

/// What is looked for, in one pass: the credentials' values in every form, and the known forms of keys. Holds secrets: it
/// has no `Debug`.
pub struct Needles {
    search: AhoCorasick,
    owners: Vec<Owner>,
    credentials: Vec<String>,
    longest: usize,
    too_short: Vec<String>,
}

#[derive(Clone, Copy)]
enum Owner {
    Value { credential: usize, encoding: &'static str },
    Shape(usize),
}

/// Something seen in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark<'a> {
    /// A value of a credential.
    Value { start: usize, end: usize, credential: &'a str, encoding: &'static str },
    /// A key by its form.
    Shape(Seen),
}

impl Mark<'_> {
    pub(super) fn range(&self) -> (usize, usize) {
        match self {
            Self::Value { start, end, .. } => (*start, *end),
            Self::Shape(seen) => (seen.start, seen.end),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let ((start, end), (from, to)) = (self.range(), other.range());
        start < to && from < end
    }
}

impl Needles {
    /// Takes `(credential id, value)` pairs.
    pub fn new(values: &[(&str, &str)]) -> Result<Self, aho_corasick::BuildError> {
        let (mut patterns, mut owners): (Vec<Vec<u8>>, Vec<Owner>) = (Vec::new(), Vec::new());
        let (mut credentials, mut too_short) = (Vec::new(), Vec::new());
        for (credential, value) in values {
            if value.len() < MIN_VALUE {
                too_short.push((*credential).to_owned());
                continue;
            }
            for (encoding, form) in forms(value).into_iter().filter(|(_, form)| form.len() >= MIN_VALUE) {
                patterns.push(form);
                owners.push(Owner::Value { credential: credentials.len(), encoding });
            }
            credentials.push((*credential).to_owned());
        }
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        for (start, shape) in shapes::starts() {
            patterns.push(start.as_bytes().to_vec());
            owners.push(Owner::Shape(shape));
        }
        let total: usize = patterns.iter().map(Vec::len).sum();
        let kind = (total <= MAX_DFA).then_some(AhoCorasickKind::DFA);
        // Overlapping: a value inside another one, or inside its own encoding, must not hide it.
        let search = AhoCorasick::builder().match_kind(MatchKind::Standard).kind(kind).build(&patterns);
        patterns.iter_mut().for_each(zeroize::Zeroize::zeroize);
        Ok(Self { search: search?, owners, credentials, longest, too_short })
    }

    /// Credentials whose value is too short to be looked for.
    pub fn too_short(&self) -> &[String] {
        &self.too_short
    }

    /// Length of the longest thing that is looked for, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.longest.max(shapes::LONGEST)
    }

    /// Everything seen in `bytes`, in the order of the text. A value that is known by name needs no guess about its form,
    /// and of two forms that overlap the more telling one counts.
    pub(super) fn find(&self, bytes: &[u8]) -> Vec<Mark<'_>> {
        let (mut values, mut seen) = (Vec::new(), Vec::new());
        for found in self.search.find_overlapping_iter(bytes) {
            let (start, end) = (found.start(), found.end());
            match self.owners[found.pattern().as_usize()] {
                Owner::Value { credential, encoding } => {
                    values.push(Mark::Value { start, end, credential: &self.credentials[credential], encoding });
                }
                Owner::Shape(shape) => seen.extend(shapes::look(bytes, shape, start, end - start)),
            }
        }
        seen.sort_by_key(|seen| (seen.start, seen.shape));
        values.sort_by_key(Mark::range);
        let mut marks = one_each(values, seen);
        marks.sort_by_key(Mark::range);
        marks
    }
}

/// Both in their order, without forms that overlap a value or a better form.
fn one_each<'a>(values: Vec<Mark<'a>>, seen: Vec<Seen>) -> Vec<Mark<'a>> {
    let mut kept: Vec<Mark<'a>> = Vec::new();
    let (mut first, mut furthest) = (0, 0);
    for seen in seen {
        let mark = Mark::Shape(seen);
        let (start, _) = mark.range();
        // Values are in order, but a long one can reach over shorter ones behind it: those that ended are left behind.
        while values.get(first).is_some_and(|value| value.range().1 <= start) {
            first += 1;
        }
        let near = values[first..].iter().take_while(|value| value.range().0 < mark.range().1);
        if near.into_iter().any(|value| value.overlaps(&mark)) {
            continue;
        }
        match kept.last() {
            Some(last) if start < furthest && last.overlaps(&mark) => {
                if let (Mark::Shape(old), Mark::Shape(new)) = (last, &mark)
                    && new.shape < old.shape
                {
                    kept.pop();
                    furthest = mark.range().1;
                    kept.push(mark);
                }
            }
            _ => {
                furthest = mark.range().1;
                kept.push(mark);
            }
        }
    }
    values.into_iter().chain(kept).collect()
}
