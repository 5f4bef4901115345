//! The first look at a text: eight bytes at once tell whether something known may stand around them.
//!
//! Runs are known by their last bytes; names, and texts that have a point, by the bytes around one of their points. Of a text
//! without one (and where the bytes around the points are common) the eight windows of eight bytes that begin side by side
//! somewhere in it are noted in a bitmap: wherever it stands, one of them begins at a multiple of eight, so that only every
//! eighth window of a log is looked up.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::set::Set;
use super::table::{Bits, Table, place_of};
use super::value::{Edges, alike};
use crate::detect::grams::{Grams, Sample};

/// Bytes of a window, and from one that is looked up to the next.
pub(super) const WINDOW: usize = 8;
/// What is this long holds a whole window at a multiple of eight wherever it stands.
const SPAN: usize = 2 * WINDOW - 1;
/// Most places of one value that are tried.
const TRIED: usize = 48;
/// Makes letters small, and a little more.
pub(super) const SMALL: u64 = 0x2020_2020_2020_2020;
/// Bytes of a window around a point that stand before it, and from it on.
const BEFORE: usize = WINDOW - FROM;
pub(super) const FROM: usize = 3;
/// How much more common the bytes around a point may be than windows, which cost a look every eight bytes.
const MUCH: u32 = 256;
/// How many bits of a hash count for how common windows are.
const COUNTED: u32 = 18;
/// What it counts that a window stands once in the piece of a log.
const SAMPLED: u32 = 64;
/// Bits for each window in the bitmap of all, and in that of a kind.
const SPARSE: usize = 64;
const FEWER: usize = 16;

/// A text that is looked for as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Literal {
    pub(super) id: u32,
    pub(super) edges: Edges,
    /// The part of it that is looked for: every format writes it alike.
    pub(super) part: (u16, u16),
    /// Where in it the bytes stand by which it is known.
    known_at: u16,
}

/// Where all that is looked for may stand.
#[derive(Debug)]
pub(super) struct Windows {
    /// The windows of all, of names, and of texts.
    all: Bits,
    names: Bits,
    spanned: Literals,
    /// Which bytes around a point or before the end of a run count, and those that are known.
    masks: Vec<u64>,
    anchors: Bits,
    pointed: Literals,
    /// Texts that have neither a point nor the length for windows, and their search.
    rest: Vec<Literal>,
    grams: Option<Grams>,
}

/// Texts by bytes within them.
#[derive(Debug)]
struct Literals {
    all: Vec<Literal>,
    known: Bits,
    /// The last literal of each hash, and for each the one before it and one more.
    table: Table,
    before: Vec<u32>,
}

/// How often windows are to be found: in a piece of a log, and in what is looked for.
struct Counts<'a> {
    sample: &'a [u8],
    /// By some bits of the hash: those of the piece, and of what is looked for.
    windows: Vec<u16>,
    sought: Vec<u16>,
    points: HashMap<u64, u32, FixedState>,
    masks: Vec<u64>,
}

/// A window, spread over a number.
#[inline]
pub(super) fn spread(window: [u8; WINDOW]) -> u64 {
    (u64::from_le_bytes(window) | SMALL).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The same in another way.
fn again(window: u64) -> u64 {
    (window ^ (window >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Counts a window by some bits of its hash.
fn count(counts: &mut [u16], window: u64) {
    let count = &mut counts[place_of(window, COUNTED + 6).0];
    *count = count.saturating_add(1);
}

fn window(text: &[u8], at: usize) -> u64 {
    text.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, spread)
}

/// The bytes that windows lie in, as a hash.
fn span(text: &[u8], at: usize) -> u64 {
    again(window(text, at) ^ window(text, at + SPAN - WINDOW).rotate_left(23))
}

/// The bytes before a place that count, as a hash.
#[inline]
fn before(text: &[u8], at: usize, mask: u64) -> u64 {
    let eight = match at.checked_sub(WINDOW).and_then(|from| text.get(from..)?.first_chunk()) {
        Some(eight) => *eight,
        None => std::array::from_fn(|byte| {
            (at + byte).checked_sub(WINDOW).and_then(|at| text.get(at)).copied().unwrap_or(0)
        }),
    };
    ((u64::from_le_bytes(eight) | SMALL) & mask).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The bytes around a point that count, as a hash.
fn around(text: &[u8], dot: usize, mask: u64) -> u64 {
    before(text, dot + FROM, mask)
}

/// Which bytes around a point count in a text of which so many stand before it, and from it on.
fn mask(before: usize, from: usize) -> u64 {
    let (before, from) = (before.min(BEFORE), from.min(FROM));
    (u64::MAX >> (8 * (WINDOW - before - from))) << (8 * (BEFORE - before))
}

/// The points of a text behind which a letter stands.
fn points(text: &[u8]) -> impl Iterator<Item = usize> {
    let letter = |dot: &usize| text.get(dot + 1).is_some_and(u8::is_ascii_alphabetic);
    memchr::memchr_iter(b'.', text).filter(letter).take(TRIED)
}

impl<'a> Counts<'a> {
    fn new(sample: &'a [u8]) -> Self {
        let mut windows = vec![0; 1 << COUNTED];
        for at in 0..(sample.len() + 1).saturating_sub(WINDOW) {
            count(&mut windows, window(sample, at));
        }
        Self { sample, windows, sought: vec![0; 1 << COUNTED], points: HashMap::default(), masks: Vec::new() }
    }

    /// Counts the windows of a value.
    fn add(&mut self, text: &[u8]) {
        for at in 0..(text.len() + 1).saturating_sub(WINDOW).min(TRIED + WINDOW) {
            count(&mut self.sought, window(text, at));
        }
    }

    /// How common the windows are that begin there. What many values share is likely to be common in logs too.
    fn windows(&self, text: &[u8], from: usize) -> u32 {
        let common = |window| {
            let place = place_of(window, COUNTED + 6).0;
            u32::from(self.windows[place]) * SAMPLED + u32::from(self.sought[place]).saturating_sub(1)
        };
        (from..from + WINDOW).map(|at| common(window(text, at))).sum()
    }

    fn point(&mut self, hash: u64, mask: u64) -> u32 {
        if !self.masks.contains(&mask) {
            self.masks.push(mask);
            for dot in memchr::memchr_iter(b'.', self.sample) {
                *self.points.entry(around(self.sample, dot, mask)).or_default() += 1;
            }
        }
        self.points.get(&hash).copied().unwrap_or(0)
    }
}

impl Literals {
    /// Literals by the hash of the bytes by which they are known.
    fn new(all: Vec<Literal>, each: usize, set: &Set, hash: impl Fn(&[u8], usize) -> u64) -> Self {
        let known = Bits::new(all.len() * each, FEWER);
        let mut last: HashMap<u64, u32, FixedState> = HashMap::default();
        let mut before = Vec::with_capacity(all.len());
        let hash = |number: u32| {
            let literal = all[number as usize];
            hash(set.value(literal.id).as_bytes(), usize::from(literal.known_at))
        };
        let numbers = 0..u32::try_from(all.len()).unwrap_or(u32::MAX);
        before.extend(numbers.map(|number| last.insert(hash(number), number).map_or(0, |before| before + 1)));
        let mut table = Table::default();
        for number in last.into_values() {
            table.add(number, hash);
        }
        Self { all, known, table, before }
    }

    /// Calls `found` with each literal that is known by a hash of what stands at a place, and where it would begin.
    fn each(&self, hash: u64, at: usize, found: &mut impl FnMut(Literal, usize)) {
        self.table.find(hash, |number| {
            let mut next = Some(number);
            while let Some(number) = next {
                let literal = self.all[number as usize];
                if let Some(start) = at.checked_sub(usize::from(literal.known_at)) {
                    found(literal, start);
                }
                next = self.before[number as usize].checked_sub(1);
            }
            false
        });
    }
}

impl Windows {
    /// Chooses what is rare in a piece of a log.
    pub(super) fn new(set: &Set, sample: &[u8]) -> Self {
        let mut counts = Counts::new(sample);
        for id in set.hosts().chain(set.literals().iter().map(|(id, _)| *id)) {
            counts.add(set.value(id).as_bytes());
        }
        let (pointed, spanned, rest) = literals(set, &mut counts);
        let mut names = Vec::new();
        let (mut masks, mut anchors) =
            (Vec::new(), Bits::new(set.runs().count() + set.hosts().count() + pointed.len(), SPARSE));
        for id in set.hosts() {
            match point_of(set.value(id).as_bytes(), &mut counts) {
                Some((common, ..)) if common > MUCH && set.value(id).len() >= SPAN => names.push(id),
                Some((_, hash, mask)) => {
                    if !masks.contains(&mask) {
                        masks.push(mask);
                    }
                    anchors.note(hash);
                }
                None => {}
            }
        }
        let mut new = Self {
            all: Bits::new((names.len() + spanned.len()) * WINDOW, SPARSE),
            names: Bits::new(names.len() * WINDOW, FEWER),
            masks,
            anchors,
            spanned: Literals::new(spanned, WINDOW, set, span),
            pointed: Literals::new(pointed, 1, set, |text, dot| around(text, dot, u64::MAX)),
            grams: None,
            rest,
        };
        for id in names {
            let value = set.value(id);
            let from = rarest(value.as_bytes(), 0..value.len(), &counts);
            for window in (from..from + WINDOW).map(|at| window(value.as_bytes(), at)) {
                new.all.note(window);
                new.names.note(again(window));
            }
        }
        for literal in &new.spanned.all {
            let (value, from) = (set.value(literal.id), usize::from(literal.known_at));
            for window in (from..from + WINDOW).map(|at| window(value.as_bytes(), at)) {
                new.all.note(window);
                new.spanned.known.note(again(window));
            }
        }
        new.note_anchors(set);
        new.grams = (!new.rest.is_empty()).then(|| {
            let small = |literal: &Literal| {
                let (from, to) = (usize::from(literal.part.0), usize::from(literal.part.1));
                set.value(literal.id).as_bytes()[from..to].to_ascii_lowercase()
            };
            Grams::new(new.rest.iter().map(small).collect(), &Sample::new(sample))
        });
        new
    }

    /// Notes by what runs are known, and texts by one of their points.
    fn note_anchors(&mut self, set: &Set) {
        for literal in &self.pointed.all {
            let hash = around(set.value(literal.id).as_bytes(), usize::from(literal.known_at), u64::MAX);
            self.anchors.note(hash);
            self.pointed.known.note(again(hash));
        }
        let mut runs = false;
        for id in set.runs() {
            let value = set.value(id);
            self.anchors.note(before(value.as_bytes(), value.len(), u64::MAX));
            runs = true;
        }
        if (runs || !self.pointed.all.is_empty()) && !self.masks.contains(&u64::MAX) {
            self.masks.push(u64::MAX);
        }
    }

    /// The bitmap of windows, if there are any.
    pub(super) fn all(&self) -> Option<&Bits> {
        self.all.any().then_some(&self.all)
    }

    /// Whether anything is known by its points or its end.
    pub(super) fn has_anchors(&self) -> bool {
        !self.masks.is_empty()
    }

    /// Whether something that is known by its points or its end may stand before a place: a little behind the point, or the end.
    #[inline]
    pub(super) fn anchor(&self, text: &[u8], at: usize) -> bool {
        self.masks.iter().fold(0, |known, mask| known | self.anchors.look(before(text, at, *mask))) & 1 == 1
    }

    /// Whether a name may stand around a window.
    pub(super) fn name(&self, window: u64) -> bool {
        self.names.look(again(window)) & 1 == 1
    }

    /// Calls `found` with each literal that may stand around a point, and where it would begin.
    pub(super) fn around_point(&self, text: &[u8], dot: usize, mut found: impl FnMut(Literal, usize)) {
        let hash = around(text, dot, u64::MAX);
        if self.pointed.known.look(again(hash)) & 1 == 1 {
            self.pointed.each(hash, dot, &mut found);
        }
    }

    /// Calls `found` with each literal that may stand around the window at a place, and where it would begin.
    pub(super) fn around_window(&self, window: u64, text: &[u8], at: usize, mut found: impl FnMut(Literal, usize)) {
        if self.spanned.known.look(again(window)) & 1 == 1 {
            for at in at.saturating_sub(WINDOW - 1)..=at {
                self.spanned.each(span(text, at), at, &mut found);
            }
        }
    }

    /// All texts.
    pub(super) fn literals(&self) -> impl Iterator<Item = &Literal> {
        self.spanned.all.iter().chain(&self.pointed.all).chain(&self.rest)
    }

    /// The search for the other texts, if there are any.
    pub(super) fn rest(&self) -> Option<(&Grams, &[Literal])> {
        Some((self.grams.as_ref()?, &self.rest))
    }
}

/// By which bytes around one of its points a name is known: how common these are, and which count.
fn point_of(name: &[u8], counts: &mut Counts<'_>) -> Option<(u32, u64, u64)> {
    let known = |dot: usize| {
        let mask = mask(dot, name.len() - dot);
        let hash = around(name, dot, mask);
        (counts.point(hash, mask), hash, mask)
    };
    // The last is the rarest as a rule; another mask costs a look at each point.
    points(name).map(known).min_by_key(|(common, _, mask)| (*common, u32::MAX - mask.count_ones()))
}

/// Where in a part of a text the windows begin that are the rarest.
fn rarest(text: &[u8], part: std::ops::Range<usize>, counts: &Counts<'_>) -> usize {
    let last = part.end.saturating_sub(SPAN).max(part.start);
    let mut best = (u32::MAX, part.start);
    for from in (part.start..=last).take(TRIED) {
        let count = counts.windows(text, from);
        if count < best.0 {
            best = (count, from);
        }
        if count == 0 {
            break;
        }
    }
    best.1
}

/// The texts that are known by a point, those that are long enough for windows, and the others.
fn literals(set: &Set, counts: &mut Counts<'_>) -> (Vec<Literal>, Vec<Literal>, Vec<Literal>) {
    let (mut pointed, mut spanned, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    // Many addresses below one host: what many share tells little.
    let mut taken: HashMap<u64, u32, FixedState> = HashMap::default();
    for (id, edges) in set.literals() {
        let value = set.value(*id);
        let text = value.as_bytes();
        let (mut point, mut windows, mut longest) = (None::<(u32, Literal)>, None::<(u32, Literal)>, None::<Literal>);
        for (start, part) in alike(&value) {
            let end = start + part.len();
            let literal = |known_at: usize| {
                let place = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
                Literal { id: *id, edges: *edges, part: (place(start), place(end)), known_at: place(known_at) }
            };
            for dot in points(part.as_bytes()).map(|dot| start + dot) {
                if dot >= start + BEFORE && dot + FROM <= end {
                    let hash = around(text, dot, u64::MAX);
                    let cost = counts.point(hash, u64::MAX) + taken.get(&hash).copied().unwrap_or(0);
                    if point.is_none_or(|(known, _)| cost < known) {
                        point = Some((cost, literal(dot)));
                    }
                }
            }
            if part.len() >= SPAN {
                let from = rarest(text, start..end, counts);
                let cost = counts.windows(text, from) + taken.get(&span(text, from)).copied().unwrap_or(0);
                if windows.is_none_or(|(known, _)| cost < known) {
                    windows = Some((cost, literal(from)));
                }
            }
            if longest.is_none_or(|known| known.part.1 - known.part.0 < place_len(part)) {
                longest = Some(literal(start));
            }
        }
        match (windows, point) {
            (Some((cost, windows)), point) if point.is_none_or(|(other, _)| other > cost.saturating_add(MUCH)) => {
                *taken.entry(span(text, usize::from(windows.known_at))).or_default() += 1;
                spanned.push(windows);
            }
            (_, Some((_, point))) => {
                *taken.entry(around(text, usize::from(point.known_at), u64::MAX)).or_default() += 1;
                pointed.push(point);
            }
            _ => rest.extend(longest),
        }
    }
    (pointed, spanned, rest)
}

fn place_len(part: &str) -> u16 {
    u16::try_from(part.len()).unwrap_or(u16::MAX)
}
