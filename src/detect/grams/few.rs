//! A few dozen literals at once, by four of their bytes: the halves of each byte say in which of eight buckets the literals are
//! that have it there.

#![expect(clippy::inline_always, reason = "what is made for a kind of processor must become part of one function")]

use std::ops::Range;

use fearless_simd::{Simd, SimdBase, SimdFrom, SimdMask, u8x64};

use super::Sample;
use super::sweep::{fold, is_same, slot};

/// Bytes of a literal that are looked at.
const WIDTH: usize = 4;
/// Sets of literals, one for each bit of a byte.
const BUCKETS: usize = 8;
/// Places that are looked at together.
const STEP: usize = 64;
/// Bits of the index of a bitmap of windows.
const BITS: u32 = 12;
/// Bytes of a sample that are looked through to choose.
const SAMPLE: usize = 32 << 10;

/// Literals that are looked for by a window of four bytes; of shorter ones it is all of them.
#[derive(Debug)]
pub(super) struct Few {
    /// By the place in the window and by the lower and upper half of a byte, the buckets that may have it there.
    halves: [[[u8; 16]; 2]; WIDTH],
    buckets: [Vec<Window>; BUCKETS],
    /// The windows of four bytes as a bitmap, and the buckets that have shorter ones.
    bits: [u64; 1 << (BITS - 6)],
    short: u8,
}

/// Four bytes of a literal.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// The literal's number, and where in it the window begins.
    literal: usize,
    place: usize,
    /// Its bytes in lower case (and a little more), and which of them count.
    gram: u32,
    mask: u32,
}

/// The halves of the bytes that windows have: for each place the lower and the upper ones as bits.
type Halves = [[u16; 2]; WIDTH];

impl Window {
    /// The window of a literal that stands together least often in a sample, by how often its bytes do.
    fn new(literal: usize, text: &[u8], bytes: &[u64; 256], sample: &Sample) -> Self {
        let width = text.len().min(WIDTH);
        let rare = |at: &usize| {
            let gram = &text[*at..at + width];
            let common: u128 = gram.iter().map(|byte| u128::from(bytes[usize::from(*byte)] + 1)).product();
            (sample.count(fold(gram, WIDTH)), common)
        };
        let place = (0..=text.len() - width).min_by_key(rare).unwrap_or(0);
        let mask = u32::MAX >> (8 * (WIDTH - width));
        Self { literal, place, gram: fold(&text[place..place + width], WIDTH), mask }
    }

    /// The halves of its bytes in either case.
    fn halves(&self) -> Halves {
        let mut halves = [[u16::MAX; 2]; WIDTH];
        for (at, half) in halves.iter_mut().enumerate() {
            if self.mask >> (8 * at) & 0xff != 0 {
                let byte = self.gram.to_le_bytes()[at];
                let upper = 1 << (byte >> 4) | 1 << ((byte & !0x20) >> 4);
                *half = [1 << (byte & 15), upper];
            }
        }
        halves
    }
}

/// How much of all texts of four bytes has these halves.
fn weight(halves: &Halves) -> u64 {
    halves.iter().flatten().map(|half| u64::from(half.count_ones())).product()
}

fn joined(one: &Halves, other: &Halves) -> Halves {
    let mut out = *one;
    for (out, other) in out.iter_mut().flatten().zip(other.iter().flatten()) {
        *out |= other;
    }
    out
}

impl Few {
    /// Prepares the search for some of the literals (by their numbers).
    pub(super) fn new(literals: &[Vec<u8>], chosen: &[usize], sample: &Sample) -> Self {
        let mut bytes = [0; 256];
        for byte in &sample.text()[..sample.text().len().min(SAMPLE)] {
            bytes[usize::from(*byte)] += 1;
        }
        let window = |number: &usize| Window::new(*number, &literals[*number], &bytes, sample);
        let mut sets: Vec<(Halves, Vec<Window>)> =
            chosen.iter().map(window).map(|window| (window.halves(), vec![window])).collect();
        let grows = |one: &(Halves, Vec<Window>), other: &(Halves, Vec<Window>)| {
            weight(&joined(&one.0, &other.0)).saturating_sub(weight(&one.0) + weight(&other.0))
        };
        let mut growth: Vec<Vec<u64>> =
            (0..sets.len()).map(|one| (0..one).map(|other| grows(&sets[one], &sets[other])).collect()).collect();
        // The two sets that are most alike become one.
        while sets.len() > BUCKETS {
            let pairs = growth.iter().enumerate();
            let pairs =
                pairs.flat_map(|(one, row)| row.iter().enumerate().map(move |(other, grows)| (*grows, one, other)));
            let Some((_, one, other)) = pairs.min() else { break };
            let (halves, windows) = sets.remove(one);
            growth.remove(one);
            for row in growth.iter_mut().skip(one) {
                row.remove(one);
            }
            sets[other].0 = joined(&sets[other].0, &halves);
            sets[other].1.extend(windows);
            for (at, set) in sets.iter().enumerate() {
                if at != other {
                    growth[at.max(other)][at.min(other)] = grows(&sets[other], set);
                }
            }
        }
        let (halves, bits) = ([[[0; 16]; 2]; WIDTH], [0; 1 << (BITS - 6)]);
        let mut few = Self { halves, buckets: Default::default(), bits, short: 0 };
        for (bucket, (halves, windows)) in sets.into_iter().enumerate() {
            for (tables, halves) in few.halves.iter_mut().flatten().zip(halves.iter().flatten()) {
                for (value, table) in tables.iter_mut().enumerate() {
                    *table |= u8::from(halves >> value & 1 != 0) << bucket;
                }
            }
            for window in &windows {
                let slot = slot(window.gram, BITS);
                few.bits[(slot >> 6) as usize] |= 1 << (slot & 63);
                few.short |= u8::from(window.mask != u32::MAX) << bucket;
            }
            few.buckets[bucket] = windows;
        }
        few
    }

    /// Of a number of places of the sample, those that have to be looked at closely.
    pub(super) fn doubts(&self, sample: &Sample) -> (usize, usize) {
        let text = &sample.text()[..sample.text().len().min(SAMPLE)];
        let mut doubts = 0;
        self.windows(text, 0..text.len(), |_, buckets| doubts += buckets.count_ones() as usize);
        (doubts, text.len())
    }

    /// Calls `found` with the place and the number of each literal whose window begins in a part of the text.
    pub(super) fn find(
        &self,
        text: &[u8],
        part: Range<usize>,
        literals: &[Vec<u8>],
        mut found: impl FnMut(usize, usize),
    ) {
        self.windows(text, part, |at, mut buckets| {
            let gram = fold(&text[at..], WIDTH);
            let slot = slot(gram, BITS);
            if self.bits[(slot >> 6) as usize] >> (slot & 63) & 1 == 0 {
                buckets &= self.short;
            }
            while buckets != 0 {
                for window in &self.buckets[buckets.trailing_zeros() as usize] {
                    if (gram ^ window.gram) & window.mask == 0 {
                        let (start, want) = (at.wrapping_sub(window.place), &literals[window.literal]);
                        let is = text.get(start..start.wrapping_add(want.len()));
                        if is.is_some_and(|is| is_same(is, want)) {
                            found(start, window.literal);
                        }
                    }
                }
                buckets &= buckets - 1;
            }
        });
    }

    /// Calls `check` with the places of a part of the text at which a window may begin, and the buckets that it may be in.
    fn windows(&self, text: &[u8], part: Range<usize>, mut check: impl FnMut(usize, u8)) {
        fearless_simd::dispatch!(fearless_simd::Level::new(), simd => self.windows_with(simd, text, part, &mut check));
    }

    #[inline(always)]
    fn windows_with<S: Simd>(&self, simd: S, text: &[u8], part: Range<usize>, check: &mut impl FnMut(usize, u8)) {
        let table = |half: &[u8; 16]| {
            let mut wide = [0; STEP];
            for block in wide.chunks_exact_mut(16) {
                block.copy_from_slice(half);
            }
            u8x64::simd_from(simd, wide)
        };
        let tables: [[u8x64<S>; 2]; WIDTH] =
            std::array::from_fn(|at| [table(&self.halves[at][0]), table(&self.halves[at][1])]);
        let low = u8x64::splat(simd, 15);
        let none = u8x64::splat(simd, 0);
        let (mut start, end) = (part.start, part.end.min(text.len()));
        while start < end {
            let Some(chunk) = text.get(start..).and_then(<[u8]>::first_chunk::<{ STEP + WIDTH - 1 }>) else { break };
            let mut may = u8x64::splat(simd, u8::MAX);
            for (place, [lower, upper]) in tables.iter().enumerate() {
                let Some(bytes) = chunk[place..].first_chunk::<STEP>() else { break };
                let bytes = u8x64::simd_from(simd, *bytes);
                may &=
                    lower.swizzle_dyn_within_blocks(bytes & low) & upper.swizzle_dyn_within_blocks((bytes >> 4) & low);
            }
            let mut places = !may.simd_eq(none).to_bitmask();
            if places != 0 {
                let may: [u8; STEP] = may.into();
                while places != 0 {
                    let place = places.trailing_zeros() as usize;
                    if start + place < end {
                        check(start + place, may[place]);
                    }
                    places &= places - 1;
                }
            }
            start += STEP;
        }
        for at in start..end {
            let may = (0..WIDTH).fold(u8::MAX, |may, place| {
                // Behind the end nothing is known.
                let Some(byte) = text.get(at + place) else { return may };
                let [lower, upper] = &self.halves[place];
                may & lower[usize::from(byte & 15)] & upper[usize::from(byte >> 4)]
            });
            if may != 0 {
                check(at, may);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn every_literal_whose_window_is_in_a_part_is_found_and_no_other(
            literals in proptest::collection::vec("[ab./@`]{2,7}", 1..24), text in "[abAB./@`{\u{e9}]{0,200}", cut in 0..220_usize,
        ) {
            let lower = text.to_ascii_lowercase();
            let texts: Vec<Vec<u8>> = literals.iter().map(|literal| literal.as_bytes().to_vec()).collect();
            let all: Vec<usize> = (0..texts.len()).collect();
            let few = Few::new(&texts, &all, &Sample::new(text.as_bytes()));
            let mut found = Vec::new();
            for part in [0..cut, cut..text.len().max(cut) + 64] {
                few.find(text.as_bytes(), part, &texts, |at, literal| found.push((at, literal)));
            }
            found.sort_unstable();
            let mut want: Vec<(usize, usize)> = Vec::new();
            for (number, literal) in texts.iter().enumerate() {
                let is = |at: &usize| lower.as_bytes()[*at..].starts_with(literal);
                want.extend((0..lower.len()).filter(is).map(|at| (at, number)));
            }
            want.sort_unstable();
            prop_assert_eq!(found, want);
        }
    }

    #[test]
    fn a_window_is_chosen_where_the_sample_has_none_like_it() {
        let literals = [b"\"eventname".to_vec()];
        let few = Few::new(&literals, &[0], &Sample::new(b"{\"eventsource\":\"x\",\"eventtime\":\"y\"}"));
        assert_eq!(few.doubts(&Sample::new(b"{\"eventsource\":\"x\",\"eventtime\":\"y\"}")).0, 0);
    }
}
