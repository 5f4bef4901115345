//! A bitmap of grams, and the grams of a text looked up in it.

#![expect(clippy::inline_always, reason = "what is made for a kind of processor must become part of one function")]

use std::collections::HashMap;
use std::ops::Range;

use super::Sample;

/// Bits of the bitmap's index: 16 KB, which leaves room in the first-level cache.
const BITS: u32 = 17;
/// The same for more literals (32 KB), for thousands (512 KB), and for more of them (8 MB).
const MORE: u32 = 18;
const MANY: u32 = 22;
const MOST: u32 = 26;
/// Bits of a bitmap for each noted gram, at least: of the grams that nobody looks for, few then pass.
const SPARSE: usize = 100;
/// So many literals, and they are chosen with regard to each other.
const CROWD: usize = 256;
/// So many grams that are not noted yet weigh as much as one occurrence in the sample.
const SHARED: u64 = 16;
/// Bytes of text that are looked at together.
const STEP: usize = 64;

/// Literals that are looked for by their grams.
#[derive(Debug)]
pub(super) struct Group {
    width: usize,
    stride: usize,
    /// Bits of the bitmap's index, and the bitmap.
    index: u32,
    bits: Vec<u64>,
    /// Gram to the literals that hold it, each with the gram's place in it.
    places: Places,
}

/// A literal's number and the place of a gram in it.
pub(super) type Place = (u32, u32);

/// An open hash table of grams: the standard one's hash function is too slow for this.
#[derive(Debug, Default)]
struct Places {
    slots: Vec<(u32, u32, u32)>,
    mask: usize,
    /// Bits of a hash that are left out for its place.
    shift: u32,
    all: Vec<Place>,
}

/// The gram at the start of `bytes`, with ASCII case (and a little more) taken out.
pub(super) fn fold(bytes: &[u8], width: usize) -> u32 {
    let mut gram = 0;
    for (at, byte) in bytes.iter().take(width).enumerate() {
        gram |= u32::from(byte | 0x20) << (8 * at);
    }
    gram
}

#[inline]
pub(super) fn slot(gram: u32, bits: u32) -> u32 {
    gram.wrapping_mul(0x9e37_79b1) >> (32 - bits)
}

/// Whether a text is another (in lower case) in any case. Most that share a gram differ at their ends.
#[inline]
pub(super) fn is_same(text: &[u8], lower: &[u8]) -> bool {
    let ends = || match (text.first_chunk(), lower.first_chunk(), text.last_chunk(), lower.last_chunk()) {
        (Some(first), Some(lower_first), Some(last), Some(lower_last)) => {
            let differ = |one: &[u8; 4], other: &[u8; 4]| u32::from_ne_bytes(*one) ^ u32::from_ne_bytes(*other);
            (differ(first, lower_first) | differ(last, lower_last)) & !0x2020_2020 == 0
        }
        _ => true,
    };
    text.len() == lower.len() && ends() && text.eq_ignore_ascii_case(lower)
}

/// Where the neighbouring grams of a literal begin that are rarest by `count`, and their sum.
pub(super) fn rarest(literal: &[u8], width: usize, stride: usize, count: impl Fn(u32) -> u64) -> (usize, u64) {
    let last = (literal.len() + 1).saturating_sub(width + stride);
    let cost = |at: usize| (at..at + stride).map(|at| count(fold(&literal[at..], width))).sum::<u64>();
    (0..=last).map(|at| (at, cost(at))).min_by_key(|(_, cost)| *cost).unwrap_or((0, 0))
}

impl Group {
    pub(super) fn new(literals: &[Vec<u8>], chosen: &[usize], width: usize, stride: usize, sample: &Sample) -> Self {
        let mut noted: Vec<(u32, Place)> = Vec::new();
        // Of many literals that begin alike (user agents do) the parts are noted in which they differ; of fewer ones those that they
        // share, if these are as rare: what is noted less often passes less often.
        let crowded = chosen.len() > CROWD;
        let mut taken: HashMap<u32, u32> = HashMap::new();
        for number in chosen {
            let literal = &literals[*number];
            let (start, _) = rarest(literal, width, stride, |gram| {
                let (count, taken) = (u64::from(sample.count(gram)), taken.get(&gram).copied().unwrap_or(0));
                if crowded { count + u64::from(taken) } else { count * SHARED + u64::from(taken == 0) }
            });
            let number = u32::try_from(*number).unwrap_or(u32::MAX);
            for at in start..start + stride {
                let gram = fold(&literal[at..], width);
                noted.push((gram, (number, u32::try_from(at).unwrap_or(u32::MAX))));
                *taken.entry(gram).or_default() += 1;
            }
        }
        let wide = |index: &u32| 1_usize << index >= taken.len().saturating_mul(SPARSE);
        let index = [BITS, MORE, MANY].into_iter().find(wide).unwrap_or(MOST);
        let mut bits = vec![0; 1 << (index - 6)];
        for (gram, _) in &noted {
            let slot = slot(*gram, index);
            bits[(slot >> 6) as usize] |= 1 << (slot & 63);
        }
        Self { width, stride, index, bits, places: Places::new(noted) }
    }

    /// The literals that hold a gram, each with the gram's place in it.
    pub(super) fn literals_of(&self, gram: u32) -> &[Place] {
        self.places.get(gram)
    }

    /// Calls `check` with the place of every gram in a part of the text that is looked up and that the bitmap knows, and with
    /// the gram. The part begins at a multiple of the stride.
    pub(super) fn find(&self, text: &[u8], part: Range<usize>, mut check: impl FnMut(usize, u32)) {
        match (self.width, self.stride) {
            (4, 8) => self.sweep_of::<4, 8>(text, part, &mut check),
            (4, 4) => self.sweep_of::<4, 4>(text, part, &mut check),
            (4, 2) => self.sweep_of::<4, 2>(text, part, &mut check),
            (4, _) => self.sweep_of::<4, 1>(text, part, &mut check),
            _ => self.sweep_of::<3, 1>(text, part, &mut check),
        }
    }

    fn sweep_of<const WIDTH: usize, const STRIDE: usize>(
        &self,
        text: &[u8],
        part: Range<usize>,
        check: &mut impl FnMut(usize, u32),
    ) {
        match self.index {
            BITS => self.dispatch::<WIDTH, STRIDE, BITS, { 1 << (BITS - 6) }>(text, part, check),
            MORE => self.dispatch::<WIDTH, STRIDE, MORE, { 1 << (MORE - 6) }>(text, part, check),
            MANY => self.dispatch::<WIDTH, STRIDE, MANY, { 1 << (MANY - 6) }>(text, part, check),
            _ => self.dispatch::<WIDTH, STRIDE, MOST, { 1 << (MOST - 6) }>(text, part, check),
        }
    }

    fn dispatch<const WIDTH: usize, const STRIDE: usize, const INDEX: u32, const WORDS: usize>(
        &self,
        text: &[u8],
        part: Range<usize>,
        check: &mut impl FnMut(usize, u32),
    ) {
        // Where few places are looked at, gathering them into vectors costs more than it saves.
        if STRIDE < 4 {
            let level = fearless_simd::Level::new();
            fearless_simd::dispatch!(level, simd => self.sweep::<_, WIDTH, STRIDE, INDEX, WORDS>(simd, text, part, check));
        } else {
            self.sweep::<_, WIDTH, STRIDE, INDEX, WORDS>((), text, part, check);
        }
    }

    /// Nothing here says so, but the compiler makes vectors of it where the processor has them.
    #[inline(always)]
    fn sweep<S, const WIDTH: usize, const STRIDE: usize, const INDEX: u32, const WORDS: usize>(
        &self,
        _: S,
        text: &[u8],
        part: Range<usize>,
        check: &mut impl FnMut(usize, u32),
    ) {
        let mask = if WIDTH == 4 { u32::MAX } else { 0x00ff_ffff };
        // Of a length that the compiler sees, so that it leaves out the checks of the index.
        let Some(bits) = self.bits.first_chunk::<WORDS>() else { return };
        let bit = |gram: u32| {
            let slot = slot(gram, INDEX);
            bits[(slot >> 6) as usize] >> (slot & 63) & 1
        };
        let folded = |four: [u8; 4]| (u32::from_le_bytes(four) | 0x2020_2020) & mask;
        let Range { start: mut at, end } = part;
        while at < end
            && let Some(part) = text.get(at..).and_then(<[u8]>::first_chunk::<{ STEP + 4 }>)
        {
            if STRIDE < 4 {
                let mut any = 0;
                for place in (0..STEP).step_by(STRIDE) {
                    any |= bit(folded([part[place], part[place + 1], part[place + 2], part[place + 3]]));
                }
                if any != 0 {
                    for place in (0..STEP).step_by(STRIDE) {
                        let gram = folded([part[place], part[place + 1], part[place + 2], part[place + 3]]);
                        if bit(gram) != 0 {
                            check(at + place, gram);
                        }
                    }
                }
            } else {
                let mut places = 0;
                for place in (0..STEP).step_by(STRIDE) {
                    places |= bit(folded([part[place], part[place + 1], part[place + 2], part[place + 3]]))
                        << (place / STRIDE);
                }
                while places != 0 {
                    let place = at + places.trailing_zeros() as usize * STRIDE;
                    check(place, fold(&text[place..], WIDTH));
                    places &= places - 1;
                }
            }
            at += STEP;
        }
        while at < end && at + WIDTH <= text.len() {
            let gram = fold(&text[at..], WIDTH);
            if bit(gram) != 0 {
                check(at, gram);
            }
            at += STRIDE;
        }
    }
}

impl Places {
    fn new(mut noted: Vec<(u32, Place)>) -> Self {
        noted.sort_unstable();
        noted.dedup();
        let size = (noted.len() * 2).next_power_of_two().max(2);
        let mut places =
            Self { slots: vec![(0, 0, 0); size], mask: size - 1, shift: 32 - size.trailing_zeros(), all: Vec::new() };
        for same in noted.chunk_by(|a, b| a.0 == b.0) {
            let from = u32::try_from(places.all.len()).unwrap_or(u32::MAX);
            places.all.extend(same.iter().map(|(_, place)| *place));
            let to = u32::try_from(places.all.len()).unwrap_or(u32::MAX);
            let mut at = (slot(same[0].0, 32) >> places.shift) as usize;
            while places.slots[at].2 != 0 {
                at = (at + 1) & places.mask;
            }
            places.slots[at] = (same[0].0, from, to);
        }
        places
    }

    fn get(&self, gram: u32) -> &[Place] {
        let mut at = (slot(gram, 32) >> self.shift) as usize;
        loop {
            let (is, from, to) = self.slots[at];
            if to == 0 {
                return &[];
            }
            if is == gram {
                return &self.all[from as usize..to as usize];
            }
            at = (at + 1) & self.mask;
        }
    }
}
