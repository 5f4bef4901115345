//! Many literals at once in raw bytes, without regard to ASCII case.
//!
//! Of every literal a few neighbouring grams (4 bytes, or 3 of the shortest) are put into a bitmap. Only every `stride`-th
//! gram of the text is looked up: a literal that is long enough holds one of the noted grams at such a place wherever it
//! stands. What the bitmap lets through is compared in full.

use std::collections::HashMap;

/// Bits of the bitmap's index: 32 KB, which stays in the first-level cache.
const BITS: u32 = 18;
/// The same for thousands of literals (512 KB), and for more of them (8 MB).
const MORE: u32 = 22;
const MOST: u32 = 26;
/// Bits of a bitmap for each noted gram, at least: of the grams that nobody looks for, few then pass.
const SPARSE: usize = 32;
/// So many literals, and they are chosen with regard to each other.
const CROWD: usize = 256;
/// Shortest literal that can be looked for, in bytes.
pub(in crate::detect) const SHORTEST: usize = 3;

/// How often grams occur in a sample of the text, so that rare ones can be chosen.
#[derive(Debug, Default)]
pub(in crate::detect) struct Sample(HashMap<u32, u32>);

impl Sample {
    /// Counts the grams of a text.
    pub(in crate::detect) fn new(text: &[u8]) -> Self {
        let mut counts = HashMap::new();
        for gram in text.windows(4) {
            *counts.entry(fold(gram, 4)).or_default() += 1;
        }
        Self(counts)
    }

    fn count(&self, gram: u32) -> u32 {
        self.0.get(&gram).copied().unwrap_or(0)
    }

    /// What it is likely to cost to look for a literal: texts that hold it must be parsed, grams of it compared.
    pub(in crate::detect) fn cost(&self, literal: &[u8]) -> u64 {
        let rarest = literal.windows(4).map(|gram| self.count(fold(gram, 4))).min();
        let short = match literal.len() {
            ..=3 => 5_000,
            4..=6 => 200,
            _ => 0,
        };
        u64::from(rarest.unwrap_or(50)) * 100 + short + 1_000 / (literal.len() as u64 + 1) + 1
    }
}

/// Literals of one length class.
#[derive(Debug)]
struct Group {
    width: usize,
    stride: usize,
    /// Bits of the bitmap's index, and the bitmap.
    index: u32,
    bits: Vec<u64>,
    /// Gram to the literals that hold it, each with the gram's place in it.
    places: Places,
}

/// A literal's number and the place of a gram in it.
type Place = (u32, u32);

/// An open hash table of grams: the standard one's hash function is too slow for this.
#[derive(Debug, Default)]
struct Places {
    slots: Vec<(u32, u32, u32)>,
    mask: usize,
    /// Bits of a hash that are left out for its place.
    shift: u32,
    all: Vec<Place>,
}

/// The search for all literals.
#[derive(Debug, Default)]
pub(in crate::detect) struct Grams {
    groups: Vec<Group>,
    literals: Vec<Vec<u8>>,
}

/// The gram at the start of `bytes`, with ASCII case (and a little more) taken out.
fn fold(bytes: &[u8], width: usize) -> u32 {
    let mut gram = 0;
    for (at, byte) in bytes.iter().take(width).enumerate() {
        gram |= u32::from(byte | 0x20) << (8 * at);
    }
    gram
}

#[inline]
fn slot(gram: u32, bits: u32) -> u32 {
    gram.wrapping_mul(0x9e37_79b1) >> (32 - bits)
}

impl Grams {
    /// Prepares the search. Literals are lower-case ASCII of at least [`SHORTEST`] bytes.
    pub(in crate::detect) fn new(literals: Vec<Vec<u8>>, sample: &Sample) -> Self {
        let mut grams = Self { groups: Vec::new(), literals };
        for (width, stride, lengths) in [(4, 4, 7..usize::MAX), (4, 2, 5..7), (4, 1, 4..5), (3, 1, SHORTEST..4)] {
            let chosen: Vec<usize> =
                (0..grams.literals.len()).filter(|at| lengths.contains(&grams.literals[*at].len())).collect();
            if !chosen.is_empty() {
                grams.groups.push(Group::new(&grams.literals, &chosen, width, stride, sample));
            }
        }
        grams
    }

    /// Calls `found` with the place and the number of each literal, in no order.
    pub(in crate::detect) fn find(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        for group in &self.groups {
            let mut check = |at: usize| {
                for (literal, place) in group.places.get(fold(&text[at..], group.width)) {
                    let (literal, want) = (*literal as usize, &self.literals[*literal as usize]);
                    let start = at.wrapping_sub(*place as usize);
                    let is = text.get(start..start.wrapping_add(want.len()));
                    if is.is_some_and(|is| is.eq_ignore_ascii_case(want)) {
                        found(start, literal);
                    }
                }
            };
            match (group.width, group.stride) {
                (4, 4) => group.sweep_of::<4, 4>(text, &mut check),
                (4, 2) => group.sweep_of::<4, 2>(text, &mut check),
                (4, _) => group.sweep_of::<4, 1>(text, &mut check),
                _ => group.sweep_of::<3, 1>(text, &mut check),
            }
        }
    }
}

impl Group {
    fn new(literals: &[Vec<u8>], chosen: &[usize], width: usize, stride: usize, sample: &Sample) -> Self {
        let mut noted: Vec<(u32, Place)> = Vec::new();
        // Of many literals that begin alike (user agents do) the parts are noted in which they differ.
        let crowded = chosen.len() > CROWD;
        let mut taken: HashMap<u32, u32> = HashMap::new();
        for number in chosen {
            let literal = &literals[*number];
            let gram = |at: usize| fold(&literal[at..], width);
            let last = literal.len() + 1 - width - stride;
            let common = |gram: u32| {
                let taken = if crowded { taken.get(&gram).copied().unwrap_or(0) } else { 0 };
                u64::from(sample.count(gram)) + u64::from(taken)
            };
            let cost = |at: &usize| (*at..at + stride).map(|at| common(gram(at))).sum::<u64>();
            let start = (0..=last).min_by_key(cost).unwrap_or(0);
            let number = u32::try_from(*number).unwrap_or(u32::MAX);
            for at in start..start + stride {
                noted.push((gram(at), (number, u32::try_from(at).unwrap_or(u32::MAX))));
                if crowded {
                    *taken.entry(gram(at)).or_default() += 1;
                }
            }
        }
        let wide = |index: &u32| 1_usize << index >= noted.len().saturating_mul(SPARSE);
        let index = [BITS, MORE].into_iter().find(wide).unwrap_or(MOST);
        let mut bits = vec![0; 1 << (index - 6)];
        for (gram, _) in &noted {
            let slot = slot(*gram, index);
            bits[(slot >> 6) as usize] |= 1 << (slot & 63);
        }
        Self { width, stride, index, bits, places: Places::new(noted) }
    }

    fn sweep_of<const WIDTH: usize, const STRIDE: usize>(&self, text: &[u8], check: &mut impl FnMut(usize)) {
        match self.index {
            BITS => self.sweep::<WIDTH, STRIDE, BITS, { 1 << (BITS - 6) }>(text, check),
            MORE => self.sweep::<WIDTH, STRIDE, MORE, { 1 << (MORE - 6) }>(text, check),
            _ => self.sweep::<WIDTH, STRIDE, MOST, { 1 << (MOST - 6) }>(text, check),
        }
    }

    /// Calls `check` with the place of every looked-up gram that the bitmap knows.
    fn sweep<const WIDTH: usize, const STRIDE: usize, const INDEX: u32, const WORDS: usize>(
        &self,
        text: &[u8],
        check: &mut impl FnMut(usize),
    ) {
        const STEP: usize = 32;
        let mask = if WIDTH == 4 { u32::MAX } else { 0x00ff_ffff };
        // Of a length that the compiler sees, so that it leaves out the checks of the index.
        let Some(bits) = self.bits.first_chunk::<WORDS>() else { return };
        let bit = |gram: u32| {
            let slot = slot(gram, INDEX);
            bits[(slot >> 6) as usize] >> (slot & 63) & 1
        };
        let folded = |four: [u8; 4]| (u32::from_le_bytes(four) | 0x2020_2020) & mask;
        let mut at = 0;
        while let Some(part) = text.get(at..at + STEP + 4) {
            let Some(part) = part.first_chunk::<{ STEP + 4 }>() else { break };
            let mut any = 0;
            for place in (0..STEP).step_by(STRIDE) {
                any |= bit(folded([part[place], part[place + 1], part[place + 2], part[place + 3]]));
            }
            if any != 0 {
                for place in (0..STEP).step_by(STRIDE) {
                    if bit(folded([part[place], part[place + 1], part[place + 2], part[place + 3]])) != 0 {
                        check(at + place);
                    }
                }
            }
            at += STEP;
        }
        while at + WIDTH <= text.len() {
            if bit(fold(&text[at..], WIDTH)) != 0 {
                check(at);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(literals: &[&str], text: &[u8]) -> Vec<(usize, usize)> {
        let literals = literals.iter().map(|literal| literal.as_bytes().to_vec()).collect();
        let mut out = Vec::new();
        Grams::new(literals, &Sample::new(text)).find(text, |at, literal| out.push((at, literal)));
        out.sort_unstable();
        out
    }

    #[test]
    fn literals_of_every_length_are_found_in_any_case() {
        let literals = ["abc", "abcd", "cdefg", "stoplogging", "logging"];
        assert_eq!(found(&literals, b"xxStopLoggING ABCDefg"), [(2, 3), (6, 4), (14, 0), (14, 1), (16, 2)]);
        assert_eq!(found(&literals, b"ab"), []);
        assert_eq!(found(&[], b"anything"), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn the_search_agrees_with_a_plain_one(
            literals in proptest::collection::vec("[ab.]{3,12}", 1..12), text in "[abAB.@x]{0,150}"
        ) {
            let names: Vec<&str> = literals.iter().map(String::as_str).collect();
            let lower = text.to_lowercase();
            let mut want = Vec::new();
            for (number, literal) in literals.iter().enumerate() {
                want.extend((0..lower.len()).filter(|at| lower[*at..].starts_with(literal)).map(|at| (at, number)));
            }
            want.sort_unstable();
            prop_assert_eq!(found(&names, text.as_bytes()), want);
        }
    }
}
