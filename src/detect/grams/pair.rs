//! One literal, looked for by two of its bytes: a comparison of many places at once.

#![expect(clippy::inline_always, reason = "what is made for a kind of processor must become part of one function")]

use std::ops::Range;

use fearless_simd::{Simd, SimdBase, SimdFrom, SimdMask, u8x64};

/// Places that are looked at together.
const STEP: usize = 64;
/// Bytes of a literal, from its start, of which two are chosen.
const REACH: usize = 10;
/// Bytes of a sample that are looked through for that.
const SAMPLE: usize = 64 << 10;

/// Two bytes of a literal, in lower case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    /// Where the first stands in the literal.
    at: usize,
    /// How far behind it the other is.
    apart: usize,
    bytes: [u8; 2],
}

/// Takes ASCII case (and a little more) out.
fn fold(byte: u8) -> u8 {
    byte | 0x20
}

impl Pair {
    /// The two bytes of a literal (of two and more) that stand together least often in a sample.
    pub(super) fn new(literal: &[u8], sample: &[u8]) -> Self {
        let sample = &sample[..sample.len().min(SAMPLE)];
        let pair = |at: usize, apart: usize| Self { at, apart, bytes: [fold(literal[at]), fold(literal[at + apart])] };
        let last = literal.len().min(REACH) - 1;
        let all = (0..last).flat_map(|at| (1..=last - at).map(move |apart| pair(at, apart)));
        let common = |pair: &Self| {
            let ends = sample.get(pair.apart..).unwrap_or_default();
            let both =
                |(one, other): (&u8, &u8)| usize::from((fold(*one) == pair.bytes[0]) & (fold(*other) == pair.bytes[1]));
            sample.iter().zip(ends).map(both).sum::<usize>()
        };
        all.min_by_key(common).unwrap_or(Self { at: 0, apart: 0, bytes: [fold(literal[0]); 2] })
    }

    /// Calls `found` with each place in a part of the text at which the literal (in lower case) begins.
    pub(super) fn find(self, text: &[u8], part: Range<usize>, literal: &[u8], found: impl FnMut(usize)) {
        fearless_simd::dispatch!(fearless_simd::Level::new(), simd => self.find_with(simd, text, part, literal, found));
    }

    #[inline(always)]
    fn find_with<S: Simd>(
        self,
        simd: S,
        text: &[u8],
        part: Range<usize>,
        literal: &[u8],
        mut found: impl FnMut(usize),
    ) {
        let mut check = |start: usize| {
            if text.get(start..start + literal.len()).is_some_and(|is| is.eq_ignore_ascii_case(literal)) {
                found(start);
            }
        };
        let [one, other] = self.bytes;
        let (mut start, end) = (part.start, part.end.min((text.len() + 1).saturating_sub(literal.len())));
        while start < end {
            let chunk = |at: usize| text.get(at..).and_then(<[u8]>::first_chunk::<STEP>);
            let first = start + self.at;
            let (Some(ones), Some(others)) = (chunk(first), chunk(first + self.apart)) else { break };
            let all = |byte: u8| u8x64::splat(simd, byte);
            let is = |bytes: &[u8; STEP], byte| (u8x64::simd_from(simd, *bytes) | all(fold(0))).simd_eq(all(byte));
            let mut places = (is(ones, one) & is(others, other)).to_bitmask();
            while places != 0 {
                let place = start + places.trailing_zeros() as usize;
                if place < end {
                    check(place);
                }
                places &= places - 1;
            }
            start += STEP;
        }
        (start..end).for_each(check);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn every_place_of_a_part_is_found_and_no_other(
            literal in "[ab.]{2,20}", text in "[abAB.]{0,200}", from in 0..90_usize, length in 0..150_usize, own in any::<bool>(),
        ) {
            let text = if own { format!("{text}{literal}{text}{literal}") } else { text };
            let lower = text.to_lowercase();
            let want: Vec<usize> =
                (from..lower.len().min(from + length)).filter(|at| lower[*at..].starts_with(&literal)).collect();
            let pair = Pair::new(literal.as_bytes(), text.as_bytes());
            let mut found = Vec::new();
            pair.find(text.as_bytes(), from..from + length, literal.as_bytes(), |at| found.push(at));
            prop_assert_eq!(found, want);
        }
    }

    #[test]
    fn the_rarest_two_bytes_are_chosen() {
        let pair = Pair::new(b"\"root\"", b"\"type\":\"user\",\"other\":\"to\",\"ro\",\"t\"");
        let sample = b"\"type\":\"user\"";
        let there = sample.windows(pair.apart + 1).any(|w| [w[0], w[pair.apart]] == pair.bytes);
        assert!(!there, "{pair:?}");
    }
}
