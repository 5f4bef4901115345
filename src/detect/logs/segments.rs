//! What the lines of an access log hold, by their parts: requests are searched at once, and of the quoted texts behind them,
//! most of which come again and again (user agents, referers), each only once.

use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use foldhash::fast::FixedState;

use super::formats::access_request;
use super::sigma::Part;
use crate::detect::grams::{Grams, Sample};

/// Texts that are remembered at most, and their bytes.
const TEXTS: usize = 8_192;
const BYTES: usize = 1 << 20;
/// Places of the table of texts.
const SLOTS: usize = 2 * TEXTS;
/// Keeps texts apart that are searched together: no literal holds it.
const APART: u8 = b'\n';
/// What stands between two quoted texts.
const BETWEEN: &[u8] = b"\" \"";

/// The search for all literals of a filter.
#[derive(Debug)]
pub(super) struct Segments {
    whole: Searched,
    request: Searched,
    quoted: Searched,
    /// Literals that stand between any two quoted texts.
    between: Vec<usize>,
    /// What is known of texts; one for each thread that scans.
    known: Mutex<Vec<Known>>,
}

/// A search for some of the literals, with the numbers of these.
#[derive(Debug, Default)]
struct Searched {
    grams: Grams,
    numbers: Vec<usize>,
}

/// A text that was met.
#[derive(Debug)]
struct Text {
    hash: u64,
    start: usize,
    end: usize,
    found: Vec<usize>,
}

/// Texts that were met, and what they hold.
#[derive(Debug, Default)]
struct Known {
    texts: Vec<Text>,
    bytes: Vec<u8>,
    /// Number of the text and one more; 0 where none is.
    slots: Vec<u32>,
    /// The first text that was not yet searched.
    fresh: usize,
}

impl Searched {
    fn new(literals: &[(Part, Vec<u8>)], part: Part, sample: &Sample) -> Self {
        let numbers: Vec<usize> = (0..literals.len()).filter(|number| literals[*number].0 == part).collect();
        let texts = numbers.iter().map(|number| literals[*number].1.clone()).collect();
        Self { grams: Grams::new(texts, sample), numbers }
    }

    fn find(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        if !self.numbers.is_empty() {
            self.grams.find(text, |at, literal| found(at, self.numbers[literal]));
        }
    }
}

impl Segments {
    /// Prepares the search for literals, which are found by their numbers.
    pub(super) fn new(literals: &[(Part, Vec<u8>)], sample: &Sample) -> Self {
        let [whole, request, quoted] =
            [Part::Whole, Part::Request, Part::Quoted].map(|part| Searched::new(literals, part, sample));
        let mut between = Vec::new();
        quoted.find(BETWEEN, |_, literal| between.push(literal));
        Self { whole, request, quoted, between, known: Mutex::default() }
    }

    /// What it is likely to cost for each byte of text, in picoseconds.
    pub(super) fn cost(&self) -> u64 {
        /// To find the parts; of the text, requests are a quarter or so.
        const PARTS: u64 = 400;
        self.whole.grams.cost() + self.request.grams.cost() / 4 + PARTS
    }

    /// Literals in whole lines, each with a place in its line, in order.
    pub(super) fn find(&self, bytes: &[u8]) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        self.whole.find(bytes, |at, literal| found.push((at, literal)));
        if !self.request.numbers.is_empty() || !self.quoted.numbers.is_empty() {
            self.find_in_parts(bytes, &mut found);
        }
        found.sort_unstable();
        found
    }

    fn find_in_parts(&self, bytes: &[u8], found: &mut Vec<(usize, usize)>) {
        let mut known = self.lock().pop().unwrap_or_default();
        known.begin();
        let mut requests = Vec::with_capacity(bytes.len() / 4);
        let mut lines: Vec<(usize, usize)> = Vec::new();
        let mut uses = Vec::new();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes).map(|at| at + 1).chain([bytes.len()]) {
            let line = &bytes[start..end];
            if let Some(request) = access_request(line) {
                lines.push((requests.len(), start));
                requests.extend_from_slice(&line[request.clone()]);
                requests.push(APART);
                if !self.quoted.numbers.is_empty() {
                    self.quoted_texts(&line[request.end..], |text| uses.push((start, known.number(text))));
                }
            }
            start = end;
        }
        self.request.find(&requests, |at, literal| {
            let line = lines.partition_point(|(from, _)| *from <= at).saturating_sub(1);
            found.push((lines[line].1, literal));
        });
        known.search(&self.quoted);
        for (start, number) in uses {
            let literals = known.texts.get(number).map_or(&self.between, |text| &text.found);
            found.extend(literals.iter().map(|literal| (start, *literal)));
        }
        self.lock().push(known);
    }

    /// Calls `each` with what stands between two quotes, these included; with nothing where that is known beforehand.
    fn quoted_texts(&self, rest: &[u8], mut each: impl FnMut(Option<&[u8]>)) {
        let mut open = None;
        for quote in memchr::memchr_iter(b'"', rest) {
            if let Some(from) = open.replace(quote) {
                let text = &rest[from..=quote];
                if text != BETWEEN {
                    each(Some(text));
                } else if !self.between.is_empty() {
                    each(None);
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Forgets what became too much.
    fn begin(&mut self) {
        if self.slots.is_empty() || self.texts.len() > TEXTS || self.bytes.len() > BYTES {
            *self = Self { slots: vec![0; SLOTS], ..Self::default() };
        }
    }

    /// The number of a text; one that no text has where nothing need be known of it.
    fn number(&mut self, text: Option<&[u8]>) -> usize {
        let Some(text) = text else { return usize::MAX };
        let hash = FixedState::with_seed(11).hash_one(text);
        let mut at = usize::try_from(hash).unwrap_or(0) & (SLOTS - 1);
        while let Some(number) = self.slots[at].checked_sub(1) {
            let known = &self.texts[number as usize];
            if known.hash == hash && self.bytes[known.start..known.end] == *text {
                return number as usize;
            }
            at = (at + 1) & (SLOTS - 1);
        }
        let number = self.texts.len();
        // The table stays half empty; beyond that a text is searched each time.
        if number < TEXTS {
            self.slots[at] = u32::try_from(number + 1).unwrap_or(0);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        self.texts.push(Text { hash, start, end: self.bytes.len(), found: Vec::new() });
        self.bytes.push(APART);
        number
    }

    /// Searches the texts that are new.
    fn search(&mut self, quoted: &Searched) {
        let Some(from) = self.texts.get(self.fresh).map(|text| text.start) else { return };
        let texts = &mut self.texts;
        quoted.find(&self.bytes[from..], |at, literal| {
            let number = texts.partition_point(|text| text.start <= from + at).saturating_sub(1);
            texts[number].found.push(literal);
        });
        self.fresh = texts.len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::formats::{self, ACCESS_QUOTED, ACCESS_REQUEST, Format, Wanted};
    use super::*;

    fn line(request: &str, referer: &str, agent: &str) -> String {
        format!("1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] \"{request}\" 200 5 \"{referer}\" \"{agent}\"\n")
    }

    #[test]
    fn literals_are_found_in_their_parts_alone() {
        let literals = [(Part::Whole, "one"), (Part::Request, "two"), (Part::Quoted, "two"), (Part::Quoted, "\"x\"")];
        let literals = literals.map(|(part, text)| (part, text.as_bytes().to_vec()));
        let segments = Segments::new(&literals, &Sample::default());
        let lines = [
            line("GET /two HTTP/1.1", "-", "agent"),
            line("GET /\\\"two HTTP/1.1", "-", "x"),
            line("GET / HTTP/1.1", "Two one", "agent"),
            "two one and no request\n".into(),
        ];
        let text = lines.concat();
        // Twice: what is known of a text is used again.
        for _ in 0..2 {
            let mut found: Vec<(usize, usize)> = Vec::new();
            for (at, literal) in segments.find(text.as_bytes()) {
                found.push((
                    text[..at].lines().filter(|line| text[..at].contains(&format!("{line}\n"))).count(),
                    literal,
                ));
            }
            assert_eq!(found, [(0, 1), (1, 1), (1, 3), (2, 2), (2, 0), (3, 0)]);
        }
    }

    const LITERALS: [(Part, &str); 8] = [
        (Part::Request, "ab"),
        (Part::Request, "get /"),
        (Part::Request, "\\\"a"),
        (Part::Quoted, "\"\""),
        (Part::Quoted, "\"ab\""),
        (Part::Quoted, "b\""),
        (Part::Quoted, "a b"),
        (Part::Quoted, "\" \""),
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn nothing_that_a_line_is_parsed_into_is_missed(
            lines in proptest::collection::vec(
                (r#"[ab"\\ \[\]]{0,4}"#, r#"(GET /)?[abAB"\\ ]{0,6}"#, r#"("[abAB"\\ ]{0,6}"? ?){0,3}"#),
                1..6,
            ),
        ) {
            let literals = LITERALS.map(|(part, text)| (part, text.as_bytes().to_vec()));
            let segments = Segments::new(&literals, &Sample::default());
            let layout = formats::layout(b"", true, Some(&Wanted::Named(Format::Access)));
            let line = |(user, request, rest): &(String, String, String)| {
                format!("1.2.3.4 - {user} [24/Nov/2026:01:02:03 +0000] \"{request}\" 200 5 {rest}\n")
            };
            let text: String = lines.iter().map(line).collect();
            let found = segments.find(text.as_bytes());
            let mut start = 0;
            for line in text.split_inclusive('\n') {
                let fields = layout.parse(line.trim_end()).map(|(fields, _)| fields).unwrap_or_default();
                for (name, value) in &fields {
                    let Some(value) = value.as_str() else { continue };
                    let (part, value) = if ACCESS_QUOTED.contains(&name.as_str()) {
                        (Part::Quoted, format!("\"{value}\"").to_lowercase())
                    } else {
                        (Part::Request, value.to_lowercase())
                    };
                    for (number, (_, text)) in LITERALS.iter().enumerate().filter(|(_, literal)| literal.0 == part) {
                        let is = part == Part::Quoted || ACCESS_REQUEST.contains(&name.as_str());
                        if is && value.contains(text) {
                            let there = |at: &usize| (start..start + line.len()).contains(at);
                            let told = found.iter().any(|(at, literal)| *literal == number && there(at));
                            prop_assert!(told, "{} in {}", text, line);
                        }
                    }
                }
                start += line.len();
            }
        }
    }

    #[test]
    fn so_many_texts_are_forgotten_again() {
        let segments = Segments::new(&[(Part::Quoted, b"needle".to_vec())], &Sample::default());
        for round in 0..3 {
            let text: String =
                (0..TEXTS + 9).map(|n| line("GET / HTTP/1.1", "-", &format!("{round} {n} Needle"))).collect();
            assert_eq!(segments.find(text.as_bytes()).len(), TEXTS + 9);
        }
        assert!(segments.lock()[0].texts.len() <= TEXTS + 10);
    }
}
