//! What the lines of an access log hold, by their parts: requests are searched at once, and of the quoted texts behind them,
//! most of which come again and again (user agents, referers), each only once. Of the rest of a line nothing is searched where
//! its shape says what it can hold.

use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;

use super::ends::End;
use super::formats::{access_address_end, access_head, access_may_hold, access_request, access_status};
use super::gates::Searched;
use super::ruleset::Found;
use super::sigma::Part;
use crate::detect::grams::Sample;
use crate::detect::indicators::{Indicators, Match};
use crate::domain::Level;

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
///
/// A literal for whole lines that has no quote stands between two quotes that follow each other, or before the first or behind
/// the last: each of these pieces is searched, or remembered, or can't hold the literal by its shape.
#[derive(Debug)]
pub(super) struct Segments {
    /// Literals that may stand where lines are not searched: they are looked for everywhere.
    whole: Searched,
    /// Those of requests and those of any piece.
    pieces: Searched,
    /// Those of quoted texts and those of any piece.
    quoted: Searched,
    /// Whether a literal, by its number, is one of any piece.
    any: Vec<bool>,
    /// Literals that stand between any two quoted texts.
    between: Vec<usize>,
    /// Whether indicators are looked for by pieces too.
    seeks: bool,
    /// What is known of texts; one for each thread that scans.
    known: Mutex<Vec<Known>>,
}

/// What a piece of a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The address of a line of the usual shape: no literal stands there, but indicators do.
    Address,
    Request,
    Other,
}

/// A piece of a line, among others.
struct Piece {
    /// Where it begins among them.
    at: usize,
    /// Where it begins in the block, and where its line does.
    from: usize,
    line: usize,
    kind: Kind,
}

/// A quoted text that is not known to hold nothing.
struct Use {
    /// Where its line begins in the block, and where it does itself.
    line: usize,
    from: usize,
    /// The text's number.
    number: usize,
}

/// Lines on their way into pieces.
struct Walk<'a> {
    segments: &'a Segments,
    bytes: &'a [u8],
    known: Known,
    /// Whether addresses of lines of the usual shape are pieces.
    addresses: bool,
    text: Vec<u8>,
    pieces: Vec<Piece>,
    uses: Vec<Use>,
    ends: Vec<End>,
}

/// A text that was met.
#[derive(Debug)]
struct Text {
    hash: u64,
    start: usize,
    end: usize,
    found: Vec<usize>,
    /// Indicators that may stand in it, by their places in it.
    seen: Vec<Match>,
}

/// Texts that were met, and what they hold.
#[derive(Debug, Default)]
struct Known {
    /// Of each process its own: whoever writes a log can't make texts collide.
    state: RandomState,
    texts: Vec<Text>,
    bytes: Vec<u8>,
    /// Number of the text and one more; 0 where none is.
    slots: Vec<u32>,
    /// The first text that was not yet searched.
    fresh: usize,
}

impl Segments {
    /// Prepares the search for literals, which are found by their numbers.
    pub(super) fn new(literals: &[(Part, Vec<u8>)], sample: &Sample, indicators: Option<&Indicators>) -> Self {
        let everywhere = |literal: &[u8]| literal.contains(&b'"') || access_may_hold(literal);
        let any: Vec<bool> = literals.iter().map(|(part, text)| *part == Part::Line && !everywhere(text)).collect();
        let is = |number: usize, part: Part| literals[number].0 == part;
        let texts: Vec<&[u8]> = literals.iter().map(|(_, text)| text.as_slice()).collect();
        let whole = |number: usize| !any[number] && (is(number, Part::Whole) || is(number, Part::Line));
        let whole = Searched::new(&texts, whole, sample);
        let requests = Sample::new(&requests(sample.text()));
        let pieces = Searched::new(&texts, |number| any[number] || is(number, Part::Request), &requests);
        let quoted = Searched::new(&texts, |number| any[number] || is(number, Part::Quoted), sample);
        let mut between = Vec::new();
        quoted.find(BETWEEN, |_, literal| between.push(literal));
        // None that holds a quote, or that may stand in what is passed over.
        let piece = |(text, part): (Vec<u8>, Range<usize>)| !(text.contains(&b'"') || access_may_hold(&text[part]));
        let seeks = indicators.is_some_and(|indicators| indicators.texts(sample.text()).all(piece));
        Self { whole, pieces, quoted, any, between, seeks, known: Mutex::default() }
    }

    /// Whether indicators are looked for too.
    pub(super) fn seeks(&self) -> bool {
        self.seeks
    }

    /// What it is likely to cost for each byte of text, in picoseconds.
    pub(super) fn cost(&self) -> u64 {
        /// To find the parts; of the text, requests are a quarter or so.
        const PARTS: u64 = 300;
        self.whole.cost() + self.pieces.cost() / 4 + PARTS
    }

    /// Literals in whole lines, each with a place in its line, in order, and where the lines end; indicators, if they can be
    /// looked for by pieces.
    pub(super) fn find(&self, bytes: &[u8], indicators: Option<&Indicators>) -> Found {
        let indicators = indicators.filter(|_| self.seeks);
        let mut found = Vec::new();
        self.whole.find(bytes, |at, literal| found.push((at, literal)));
        let mut known = self.lock().pop().unwrap_or_default();
        known.begin();
        let mut walk = Walk {
            segments: self,
            bytes,
            known,
            addresses: indicators.is_some(),
            text: Vec::with_capacity(bytes.len() / 3),
            pieces: Vec::with_capacity(bytes.len() / 128),
            uses: Vec::new(),
            ends: Vec::with_capacity(bytes.len() / 128),
        };
        let mut start = 0;
        while start < bytes.len() {
            start = walk.line(start);
        }
        let Walk { mut known, text, pieces, uses, ends, .. } = walk;
        self.pieces.find(&text, |at, literal| {
            let piece = Piece::at(&pieces, at);
            if piece.kind == Kind::Request || (piece.kind == Kind::Other && self.any[literal]) {
                found.push((piece.line, literal));
            }
        });
        known.search(&self.quoted, indicators);
        for text in &uses {
            let literals = known.texts.get(text.number).map_or(&self.between, |text| &text.found);
            found.extend(literals.iter().map(|literal| (text.line, *literal)));
        }
        let seen = indicators.map(|indicators| {
            let mut seen = Vec::new();
            indicators.sweep(&text, Level::Informational, |hit| {
                let piece = Piece::at(&pieces, hit.start);
                seen.push(moved(hit, piece.at, piece.from));
            });
            for text in &uses {
                let hits = known.texts.get(text.number).map_or(&[][..], |text| &text.seen);
                seen.extend(hits.iter().map(|hit| moved(*hit, 0, text.from)));
            }
            seen
        });
        self.lock().push(known);
        found.sort_unstable();
        Found { literals: found, escapes: Vec::new(), ends, seen }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A match in a piece that begins at `from`, with places that count from `to`.
fn moved(hit: Match, from: usize, to: usize) -> Match {
    let place = |at: usize| at.saturating_sub(from) + to;
    Match { start: place(hit.start), end: place(hit.end), ..hit }
}

impl Piece {
    /// The piece that a place lies in.
    fn at(pieces: &[Self], place: usize) -> &Self {
        &pieces[pieces.partition_point(|piece| piece.at <= place).saturating_sub(1)]
    }
}

/// The requests of lines, one after another.
fn requests(lines: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        if let Some(request) = access_request(line) {
            out.extend_from_slice(&line[request]);
            out.push(APART);
        }
    }
    out
}

impl Walk<'_> {
    /// Takes the line apart that begins there; where it ends.
    fn line(&mut self, start: usize) -> usize {
        let rest = &self.bytes[start..];
        if let Some(quote) = access_head(rest) {
            let close = memchr::memchr3(b'"', b'\\', b'\n', &rest[quote + 1..]).map(|at| quote + 1 + at);
            // The first quote behind the date, and the next one with no backslash before it: a request.
            if let Some(close) = close.filter(|close| rest[*close] == b'"') {
                if self.addresses {
                    self.piece(start, start..start + access_address_end(quote), Kind::Address);
                }
                self.piece(start, start + quote..start + close + 1, Kind::Request);
                let end = self.behind(start, start + close + 1);
                self.ends.push(End::new(end, true));
                return end;
            }
        }
        let end = memchr::memchr(b'\n', rest).map_or(self.bytes.len(), |at| start + at + 1);
        if let Some(request) = access_request(&self.bytes[start..end]) {
            let (from, to) = (start + request.start, start + request.end);
            self.piece(start, start..from, Kind::Other);
            self.piece(start, from..to, Kind::Request);
            self.behind(start, to);
        } else {
            self.piece(start, start..end, Kind::Other);
        }
        self.ends.push(End::new(end, false));
        end
    }

    fn piece(&mut self, line: usize, range: Range<usize>, kind: Kind) {
        self.pieces.push(Piece { at: self.text.len(), from: range.start, line, kind });
        self.text.extend_from_slice(&self.bytes[range]);
        self.text.push(APART);
    }

    /// Takes what is behind the request apart; where the line ends.
    fn behind(&mut self, line: usize, from: usize) -> usize {
        let bytes = self.bytes;
        let mut open = from;
        while bytes.get(open).is_some_and(|byte| access_status(*byte)) {
            open += 1;
        }
        if !matches!(bytes.get(open), None | Some(b'"' | b'\n')) {
            open = self.odd(line, from);
        }
        while bytes.get(open) == Some(&b'"') {
            let text = &bytes[open + 1..];
            if text.starts_with(&BETWEEN[1..]) {
                if !self.segments.between.is_empty() {
                    self.uses.push(Use { line, from: open, number: usize::MAX });
                }
                open += BETWEEN.len() - 1;
            } else if text.first() == Some(&b'\n') {
                open += 1;
            } else if let Some(at) = memchr::memchr2(b'"', b'\n', text)
                && text[at] == b'"'
            {
                let number = self.known.number(&bytes[open..open + at + 2]);
                if self.known.may_hold(number) {
                    self.uses.push(Use { line, from: open, number });
                }
                open += at + 1;
            } else {
                open = self.odd(line, open + 1);
            }
        }
        bytes.len().min(open + 1)
    }

    /// Takes what goes on to the next quote, or the line's end, as a piece of its own; where that is.
    fn odd(&mut self, line: usize, from: usize) -> usize {
        let rest = &self.bytes[from..];
        let to = from + memchr::memchr2(b'"', b'\n', rest).unwrap_or(rest.len());
        if self.bytes[from..to] != *b"\r" {
            self.piece(line, from..to, Kind::Other);
        }
        to
    }
}

impl Known {
    /// Forgets what became too much.
    fn begin(&mut self) {
        if self.slots.is_empty() || self.texts.len() > TEXTS || self.bytes.len() > BYTES {
            *self = Self { slots: vec![0; SLOTS], ..Self::default() };
        }
    }

    /// Whether a text, by its number, was not searched yet or holds something.
    fn may_hold(&self, number: usize) -> bool {
        let holds = |text: &Text| !(text.found.is_empty() && text.seen.is_empty());
        number >= self.fresh || self.texts.get(number).is_none_or(holds)
    }

    /// The number of a text.
    fn number(&mut self, text: &[u8]) -> usize {
        let hash = self.state.hash_one(text);
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
        self.texts.push(Text { hash, start, end: self.bytes.len(), found: Vec::new(), seen: Vec::new() });
        self.bytes.push(APART);
        number
    }

    /// Searches the texts that are new.
    fn search(&mut self, quoted: &Searched, indicators: Option<&Indicators>) {
        let Some(from) = self.texts.get(self.fresh).map(|text| text.start) else { return };
        let texts = &mut self.texts;
        let number_at = |texts: &[Text], at| texts.partition_point(|text| text.start <= from + at).saturating_sub(1);
        quoted.find(&self.bytes[from..], |at, literal| {
            let number = number_at(texts, at);
            texts[number].found.push(literal);
        });
        if let Some(indicators) = indicators {
            indicators.sweep(&self.bytes[from..], Level::Informational, |hit| {
                let number = number_at(texts, hit.start);
                let start = texts[number].start - from;
                texts[number].seen.push(moved(hit, start, 0));
            });
        }
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
        let literals = [
            (Part::Line, "once"),
            (Part::Request, "two"),
            (Part::Quoted, "two"),
            (Part::Quoted, "\"x\""),
            (Part::Line, " 200"),
            (Part::Line, "bobby"),
        ];
        let literals = literals.map(|(part, text)| (part, text.as_bytes().to_vec()));
        let segments = Segments::new(&literals, &Sample::default(), None);
        assert_eq!(segments.whole.numbers, [4]);
        let lines = [
            line("GET /two HTTP/1.1", "-", "agent"),
            line("GET /\\\"two HTTP/1.1", "-", "x"),
            line("GET / HTTP/1.1", "Two once", "agent"),
            "two once and no request\n".into(),
            line("GET / HTTP/1.1", "-", "-").replace("- -", "- bobby"),
            line("GET / HTTP/1.1", "-", "agent\" once=\"x"),
            line("GET /ONCE HTTP/1.1", "-", "agent").replace("\" 200", "\" x once 200").replace('\n', " two once\r\n"),
        ];
        let text = lines.concat();
        // Twice: what is known of a text is used again.
        for _ in 0..2 {
            let Found { literals: found, ends, .. } = segments.find(text.as_bytes(), None);
            assert_eq!(ends.len(), lines.len());
            let fit: Vec<bool> = ends.iter().map(|end| end.fits()).collect();
            assert_eq!(fit, [true, false, true, false, false, true, true]);
            let number = |at: usize| ends.partition_point(|end| end.place() <= at);
            let mut found: Vec<(usize, usize)> = found.into_iter().map(|(at, literal)| (number(at), literal)).collect();
            found.sort_unstable();
            found.dedup();
            let all = [(0, 1), (0, 4), (1, 1), (1, 3), (1, 4), (2, 0), (2, 2), (2, 4), (3, 0)];
            let rest = [(4, 4), (4, 5), (5, 0), (5, 3), (5, 4), (6, 0), (6, 4)];
            assert_eq!(found, [&all[..], &rest].concat());
        }
    }

    const LITERALS: [(Part, &str); 14] = [
        (Part::Request, "ab"),
        (Part::Request, "get /"),
        (Part::Request, "\\\"a"),
        (Part::Quoted, "\"\""),
        (Part::Quoted, "\"ab\""),
        (Part::Quoted, "b\""),
        (Part::Quoted, "a b"),
        (Part::Quoted, "\" \""),
        (Part::Line, "abb"),
        (Part::Line, " ab"),
        (Part::Line, "a] "),
        (Part::Line, " 5 "),
        (Part::Line, "- b"),
        (Part::Line, "1:0"),
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn nothing_that_a_line_holds_is_missed(
            lines in proptest::collection::vec(
                (
                    r#"(- -|- -|- -|[ab"\\ \[\]]{0,4})"#, r#"(GET /)?[abAB"\\ ]{0,6}"#,
                    r"( 200 5| 200 5| a[ab ]{0,3})", r#"( ?"[abAB"\\ ]{0,6}"? ?){0,3}[ab]{0,2}\r?"#,
                ),
                1..6,
            ),
            ended in any::<bool>(),
        ) {
            let literals = LITERALS.map(|(part, text)| (part, text.as_bytes().to_vec()));
            let segments = Segments::new(&literals, &Sample::default(), None);
            let layout = formats::layout(b"", true, Some(&Wanted::Named(Format::Access)));
            let line = |(user, request, status, rest): &(String, String, String, String)| {
                format!("1.2.3.4 {user} [24/Nov/2026:01:02:03 +0000] \"{request}\"{status}{rest}\n")
            };
            let mut text: String = lines.iter().map(line).collect();
            if !ended {
                text.pop();
            }
            let Found { literals: found, ends, .. } = segments.find(text.as_bytes(), None);
            let places: Vec<usize> = ends.iter().map(|end| end.place()).collect();
            let mut start = 0;
            let want: Vec<usize> = text.split_inclusive('\n').map(|line| { start += line.len(); start }).collect();
            prop_assert_eq!(places, want);
            start = 0;
            for (line, end) in text.split_inclusive('\n').zip(ends) {
                prop_assert!(!end.fits() || layout.outline(line.as_bytes()) == formats::Outline::Fits, "{}", line);
                let told = |number: usize| {
                    found.iter().any(|(at, literal)| *literal == number && (start..start + line.len()).contains(at))
                };
                for (number, (part, text)) in LITERALS.iter().enumerate() {
                    let holds = *part == Part::Line && line.to_lowercase().contains(text);
                    prop_assert!(!holds || told(number), "{} in {}", text, line);
                }
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
                        prop_assert!(!is || !value.contains(text) || told(number), "{} in {}", text, line);
                    }
                }
                start += line.len();
            }
        }
    }

    /// Indicators of every kind that can be looked for by pieces.
    const INDICATORS: &str = "1.2.3.4\n12.0.0.0/8\n2001:67::1\nab.ba.example\na1.b\nkey-id:ABABABABABABABAB12\n\
        string:/ab ab\nstring:a/b-a-b-a-b-a-b-a-b-a\nuser-agent:babab/1.0\nhttps://a.bab.example/abab\n";

    fn indicators(list: &str) -> Indicators {
        let mut reader = crate::detect::indicators::Reader::default();
        reader.read("list", list.as_bytes());
        let indicators = reader.finish();
        assert_eq!(indicators.refused(), []);
        indicators
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn indicators_in_pieces_are_those_in_whole_lines(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "1.2.3.4", "12.3.4.5", "2001:67::1", "9.9.9.9", "AB.ba.example", "x.ab.ba.example", "A1.b", "ababABABABABABAB12",
                    "/ab ab", "/AB aB", "a/b-a-b-a-b-a-b-a-b-a", "Babab/1.0", "https://a.bab.example/abab", " - - ", " - bab ",
                    "[24/Nov/2026:01:02:03 +0000]", " \"", "\"", "\" \"", "\\\"", "GET /", " HTTP/1.1\" ", "200 5", "\n", "\n1.2.3.4 - - ",
                    "\n12.3.4.5 - - [24/Nov/2026:01:02:03 +0000] \"GET ", "\n9.9.9.9 - - [24/Nov/2026:01:02:03 +0000] \"", "%2f", "\\n",
                    " ", ".", ":", "a", "\r\n", "\u{e9}",
                ]),
                0..30,
            ),
        ) {
            let indicators = indicators(INDICATORS);
            let segments = Segments::new(&[], &Sample::default(), Some(&indicators));
            prop_assert!(segments.seeks());
            let text = parts.concat();
            // Twice: what is known of a text is used again.
            for block in [&text, &text].into_iter().flat_map(|text| text.split_inclusive('\n')) {
                agree(&segments, &indicators, block);
            }
        }
    }

    /// A block gives the same indicators in pieces as in whole.
    fn agree(segments: &Segments, indicators: &Indicators, block: &str) {
        let mut whole = Vec::new();
        indicators.sweep(block.as_bytes(), Level::Informational, |hit| whole.push(hit));
        let pieces = segments.find(block.as_bytes(), Some(indicators)).seen.unwrap();
        let [whole, pieces] = [whole, pieces].map(|hits| {
            let mut places: Vec<_> = hits.iter().map(|hit| (hit.start, hit.id)).collect();
            places.sort_unstable();
            places.dedup();
            places
        });
        assert_eq!(pieces, whole, "{block}");
    }

    #[test]
    fn indicators_that_may_stand_in_what_is_passed_over_are_not_looked_for_in_pieces() {
        for text in ["string:nov/2026", "key-id:24242", "string:- - [2", "string:b\"ababab"] {
            let set = indicators(&format!("{text}\n1.2.3.4\n"));
            assert!(!Segments::new(&[], &Sample::default(), Some(&set)).seeks(), "{text}");
        }
    }

    #[test]
    fn so_many_texts_are_forgotten_again() {
        let segments = Segments::new(&[(Part::Quoted, b"needle".to_vec())], &Sample::default(), None);
        for round in 0..3 {
            let text: String =
                (0..TEXTS + 9).map(|n| line("GET / HTTP/1.1", "-", &format!("{round} {n} Needle"))).collect();
            assert_eq!(segments.find(text.as_bytes(), None).literals.len(), TEXTS + 9);
        }
        assert!(segments.lock()[0].texts.len() <= TEXTS + 10);
    }
}
