//! The search in a text: raw bytes for a first look, decoded fields for the answer.

#![expect(clippy::inline_always, reason = "what is made for a kind of processor must become part of one function")]

use std::ops::Range;

use fearless_simd::Simd;

use super::Indicators;
use super::masks::{PIECE, Places};
use super::set::{Set, Wants};
use super::table::place_of;
use super::text::{head_before, host_at, is_mapped, quad_head, run_at, run_readings, v4_at, v6_at};
use super::value::{LONGEST_HOST, LONGEST_RUN, SHORTEST_RUN, fits};
use super::windows::{FROM, Literal, WINDOW, Windows, spread};
use crate::domain::Level;

/// Bytes of a text from which it is chosen what is looked for.
const SAMPLE: usize = 64 << 10;
/// From one piece of a text to the next: what begins in a piece is told by this piece alone.
const STEP: usize = PIECE - WINDOW;
/// The places of a piece at which something may begin.
const BEGINS: u64 = u64::MAX >> (PIECE - STEP);

/// An indicator that stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    /// Number of the indicator.
    pub id: u32,
    /// Where it starts.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

impl Indicators {
    /// Calls `found` with what may stand in a record's raw bytes: all that [`Indicators::find`] gives for its decoded texts,
    /// unless these have letters that are written as `\u0041`, and perhaps more. One can be told more than once.
    pub fn sweep(&self, raw: &[u8], from_level: Level, found: impl FnMut(Match)) {
        self.search(raw, from_level, found, |literal, start| {
            // Where there are escapes, the place of the part that was looked for.
            let value = self.value(literal.id);
            let (from, to) = (usize::from(literal.part.0), usize::from(literal.part.1));
            let part = raw.get(start + from..start + to)?;
            if !part.eq_ignore_ascii_case(&value.as_bytes()[from..to]) {
                return None;
            }
            let whole = raw.get(start..start + value.len());
            let is = whole.is_some_and(|whole| whole.eq_ignore_ascii_case(value.as_bytes()));
            let start = if is { start } else { start + from };
            Some(start..(start + value.len()).min(raw.len()))
        });
    }

    /// The texts that are looked for as they are (in lower case), and by which part of each raw bytes are searched. All other
    /// indicators are known by addresses, names, and runs of letters and digits. Which part it is may be chosen by what a log is
    /// like, of which this is a sample.
    pub fn texts(&self, sample: &[u8]) -> impl Iterator<Item = (Vec<u8>, Range<usize>)> {
        let part = |literal: &Literal| {
            let part = usize::from(literal.part.0)..usize::from(literal.part.1);
            (self.value(literal.id).as_bytes().to_ascii_lowercase(), part)
        };
        self.set.windows(&sample[..sample.len().min(SAMPLE)]).literals().map(part)
    }

    /// Calls `found` with the indicators that stand in a decoded text.
    pub fn find(&self, text: &str, from_level: Level, found: impl FnMut(Match)) {
        let bytes = text.as_bytes();
        self.search(bytes, from_level, found, |literal, start| {
            let value = self.value(literal.id);
            let end = start + value.len();
            let is = bytes.get(start..end)?.eq_ignore_ascii_case(value.as_bytes());
            (is && fits(bytes, start, end, literal.edges)).then_some(start..end)
        });
    }

    /// Looks for all; `is` says where a literal stands that seems to begin somewhere.
    fn search(
        &self,
        text: &[u8],
        from_level: Level,
        mut found: impl FnMut(Match),
        is: impl Fn(Literal, usize) -> Option<Range<usize>>,
    ) {
        if self.is_empty() {
            return;
        }
        let mut told = |hit: Match| {
            if self.level(hit.id) >= from_level {
                found(hit);
            }
        };
        let windows = self.set.windows(&text[..text.len().min(SAMPLE)]);
        if let Some((grams, literals)) = windows.rest() {
            grams.find(text, |at, literal| {
                let literal = literals[literal];
                let place = at.checked_sub(usize::from(literal.part.0)).and_then(|start| is(literal, start));
                if let Some(Range { start, end }) = place {
                    told(Match { id: literal.id, start, end });
                }
            });
        }
        let (name, run, v6, wants) = (0..0, 0..0, 0, self.set.wants());
        Walk { set: &self.set, windows, wants, text, found: told, is, name, run, v6 }.all();
    }
}

/// Places of which it is noted that something may stand there, until they are looked at.
const NOTED: usize = 128;

/// A walk through a text.
struct Walk<'a, F, I> {
    set: &'a Set,
    windows: &'a Windows,
    wants: Wants,
    text: &'a [u8],
    found: F,
    is: I,
    /// The last name and the last run that were looked at, and where the last IPv6 address ended.
    name: Range<usize>,
    run: Range<usize>,
    v6: usize,
}

/// Notes the places of the bits behind those that are noted already; how many these are then. What a text holds next can't be
/// guessed by the processor: the first `BLIND` are noted without a question.
#[inline(always)]
fn note<const BLIND: usize>(noted: &mut [usize; NOTED], mut count: usize, mut bits: u64, at: usize) -> usize {
    for _ in 0..BLIND {
        noted[count % NOTED] = at + bits.trailing_zeros() as usize;
        count += usize::from(bits != 0);
        bits &= bits.wrapping_sub(1);
    }
    while bits != 0 {
        noted[count % NOTED] = at + bits.trailing_zeros() as usize;
        count += 1;
        bits &= bits - 1;
    }
    count
}

/// What the pieces before say of the one at hand: the bits of the last 64 places before it.
#[derive(Debug, Clone, Copy, Default)]
struct Before {
    /// Whether a letter or digit stands right before it: 1, else 0.
    word: u64,
    /// The letters and digits that begin a run.
    first: u64,
}

impl<F: FnMut(Match), I: Fn(Literal, usize) -> Option<Range<usize>>> Walk<'_, F, I> {
    fn all(&mut self) {
        let Some(all) = self.windows.all() else { return self.pieces::<0, 0>(&[]) };
        match all.words() {
            (16, words) => self.pieces::<16, { 1 << 10 }>(words),
            (18, words) => self.pieces::<18, { 1 << 12 }>(words),
            (19, words) => self.pieces::<19, { 1 << 13 }>(words),
            (20, words) => self.pieces::<20, { 1 << 14 }>(words),
            (21, words) => self.pieces::<21, { 1 << 15 }>(words),
            (22, words) => self.pieces::<22, { 1 << 16 }>(words),
            (_, words) => self.pieces::<24, { 1 << 18 }>(words),
        }
    }

    /// Looks through all pieces; of a window's hash `INDEX` bits count, if windows are looked for.
    fn pieces<const INDEX: u32, const WORDS: usize>(&mut self, words: &[u64]) {
        // Of a length that the compiler sees, so that it leaves out the checks of the index.
        let Some(words) = words.first_chunk::<WORDS>() else { return };
        fearless_simd::dispatch!(fearless_simd::Level::new(), simd => self.walk::<_, INDEX, WORDS>(simd, words));
    }

    /// Places at which something may stand are noted and looked at together: the first point of an IPv4 address or the first
    /// colon of an IPv6 one; what lies behind the bytes by which names and runs are known; pieces with a window that is known.
    #[inline(always)]
    fn walk<S: Simd, const INDEX: u32, const WORDS: usize>(&mut self, simd: S, words: &[u64; WORDS]) {
        let (mut joints, mut anchors, mut pieces) = ([0; NOTED], [0; NOTED], [0; NOTED]);
        let mut counts = (0, 0, 0);
        let (addresses, anchored) = (self.wants.v4 || self.wants.v6, self.windows.has_anchors());
        let mut before = Before::default();
        let mut at = 0;
        let mut last: [u8; PIECE];
        // One more at the end, for what ends with the text.
        while at <= self.text.len() {
            let piece = if let Some(piece) = self.text[at..].first_chunk::<PIECE>() {
                piece
            } else {
                // What is left is looked at with nothing behind it.
                let rest = &self.text[at..];
                last = [0; PIECE];
                last[..rest.len()].copy_from_slice(rest);
                &last
            };
            let places = Places::of(simd, piece);
            if addresses {
                counts.0 = note::<1>(&mut joints, counts.0, joints_of(places), at);
            }
            if anchored {
                counts.1 = note::<2>(&mut anchors, counts.1, anchors_of(places, &mut before), at);
            }
            if INDEX > 0 {
                pieces[counts.2 % NOTED] = at;
                counts.2 += usize::from(windows_of::<INDEX, WORDS>(words, piece) & 1 == 1);
            }
            at += STEP;
            let full = counts.0.max(counts.1) > NOTED - PIECE || counts.2 == NOTED;
            if full || at > self.text.len() {
                self.look(&joints[..counts.0.min(NOTED)], &anchors[..counts.1.min(NOTED)]);
                self.look_into(&pieces[..counts.2.min(NOTED)]);
                counts = (0, 0, 0);
            }
        }
    }

    /// Looks at the places that were noted.
    #[inline(never)]
    fn look(&mut self, joints: &[usize], anchors: &[usize]) {
        for at in joints {
            match self.text.get(*at) {
                Some(b'.') if self.wants.v4 => self.v4(*at),
                Some(b':') if self.wants.v6 => self.v6(*at),
                _ => {}
            }
        }
        for at in anchors {
            if self.windows.anchor(self.text, *at) {
                // Of a run all bytes before its end are letters and digits.
                match at.checked_sub(FROM).filter(|dot| self.text[*dot] == b'.') {
                    Some(dot) => self.point(dot),
                    None => self.run(*at - 1),
                }
            }
        }
    }

    /// Looks at the windows of pieces that were noted.
    fn look_into(&mut self, pieces: &[usize]) {
        let Some(all) = self.windows.all() else { return };
        for at in pieces {
            for at in (*at..at + STEP).step_by(WINDOW) {
                let Some(window) = self.text.get(at..).and_then(<[u8]>::first_chunk) else { break };
                let window = spread(*window);
                if all.look(window) & 1 == 1 {
                    self.window(window, at);
                }
            }
        }
    }

    /// What stands around a window that may be one of a name or a text.
    fn window(&mut self, window: u64, at: usize) {
        if self.windows.name(window) {
            self.host(at);
        }
        let (text, is, found) = (self.text, &self.is, &mut self.found);
        self.windows.around_window(window, text, at, |literal, start| {
            if let Some(Range { start, end }) = is(literal, start) {
                found(Match { id: literal.id, start, end });
            }
        });
    }

    /// What stands around a point that may be one of a name or a text.
    fn point(&mut self, at: usize) {
        self.host(at);
        let (text, is, found) = (self.text, &self.is, &mut self.found);
        self.windows.around_point(text, at, |literal, start| {
            if let Some(Range { start, end }) = is(literal, start) {
                found(Match { id: literal.id, start, end });
            }
        });
    }

    fn v4(&mut self, dot: usize) {
        if quad_head(self.text, dot).is_none_or(|(first, second)| self.set.maybe_v4(first, second)) {
            v4_at(self.text, dot, |start, end, address| {
                self.set.v4(address, |id| (self.found)(Match { id, start, end }));
            });
        }
    }

    fn v6(&mut self, colon: usize) {
        if colon < self.v6 {
            return;
        }
        // The first number of an address is known, but for those that are not always written with four digits, and for IPv4
        // addresses in an IPv6 one.
        let known = || head_before(self.text, colon).is_some_and(|head| self.set.maybe_v6(head));
        if !(self.wants.any_v6 || (self.wants.v4 && is_mapped(self.text, colon)) || known()) {
            return;
        }
        self.v6 = v6_at(self.text, colon, |start, end, address| {
            self.set.v6(address, |id| (self.found)(Match { id, start, end }));
        });
    }

    /// The name of a host around a place.
    fn host(&mut self, at: usize) {
        if self.name.contains(&at) {
            return;
        }
        let name = host_at(self.text, at, LONGEST_HOST + 6);
        self.name = name.start..name.after;
        let labels = (name.start + 1..name.end).filter(|at| self.text[at - 1] == b'.');
        for start in run_readings(self.text, name.start).chain(labels) {
            if start < name.end
                && let Some(id) = self.set.host(&self.text[start..name.end])
            {
                (self.found)(Match { id, start, end: name.end });
            }
        }
    }

    /// The run of letters and digits around a place.
    fn run(&mut self, at: usize) {
        if self.run.contains(&at) {
            return;
        }
        self.run = run_at(self.text, at);
        if self.run.len() > LONGEST_RUN + 6 {
            return;
        }
        for start in run_readings(self.text, self.run.start) {
            if let Some(id) = self.set.run(&self.text[start..self.run.end]) {
                (self.found)(Match { id, start, end: self.run.end });
            }
        }
    }
}

/// The places of a piece at which an address may have its first point or colon.
#[inline(always)]
fn joints_of(Places { joints, .. }: Places) -> u64 {
    // Another at once, or behind one to four bytes and behind that a third. What lies beyond the piece is taken to be there.
    let near = joints >> 1 | joints >> 2;
    let near = near | near >> 2 | joints >> 5 | 31 << (PIECE - 5);
    let two = joints & near;
    let two = two >> 2 | two >> 3;
    joints & (joints >> 1 | two | two >> 2) & BEGINS
}

/// The places of a piece behind which names and runs may be known by the bytes before: a little behind a point that a letter
/// follows, and the ends of runs that are not too short.
#[inline(always)]
fn anchors_of(places: Places, before: &mut Before) -> u64 {
    let points = places.points & places.letters >> 1 & BEGINS;
    let words = places.letters | places.digits;
    let behind = words << 1 | before.word;
    let first = words & !behind;
    // What is nearer than a run is long to where one begins; so far as those before the piece reach into it.
    let near = (1..SHORTEST_RUN.ilog2()).fold(first | first << 1, |near, step| near | near << (1 << step));
    let old = (u64::MAX >> (u64::BITS as usize - SHORTEST_RUN)).checked_shr(before.first.leading_zeros() + 1);
    let ends = behind & !(words | near | old.unwrap_or(0)) & BEGINS;
    *before = Before { word: words >> (STEP - 1) & 1, first: first << (PIECE - STEP) };
    points << FROM | ends
}

const _: () = assert!(SHORTEST_RUN.is_power_of_two() && PIECE - STEP > FROM);

/// 1 in the lowest bit if one of the windows of a piece is known.
#[inline(always)]
fn windows_of<const INDEX: u32, const WORDS: usize>(words: &[u64; WORDS], piece: &[u8; PIECE]) -> u64 {
    piece.as_chunks::<WINDOW>().0.iter().take(STEP / WINDOW).fold(0, |known, window| {
        let (word, bit) = place_of(spread(*window), INDEX);
        known | words[word] >> bit
    })
}
