//! What stands where in a piece of text, as the bits of a number.

use fearless_simd::{Simd, SimdBase, SimdFrom, SimdMask, u8x64};

/// Bytes of a piece.
pub(super) const PIECE: usize = 64;

/// A bit for each place of a piece, the first lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    /// Points and colons, and perhaps `*` and `>`.
    pub(super) joints: u64,
    /// Points.
    pub(super) points: u64,
    /// ASCII letters.
    pub(super) letters: u64,
    /// ASCII digits.
    pub(super) digits: u64,
}

impl Places {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "what is made for a kind of processor must become part of one function")]
    pub(super) fn of<S: Simd>(simd: S, piece: &[u8; PIECE]) -> Self {
        let bytes = u8x64::simd_from(simd, *piece);
        let all = |byte: u8| u8x64::splat(simd, byte);
        let within = |bytes: u8x64<S>, least: u8, count: u8| (bytes - all(least)).simd_le(all(count - 1)).to_bitmask();
        Self {
            joints: (bytes | all(ALIKE)).simd_eq(all(b'.' | ALIKE)).to_bitmask(),
            points: bytes.simd_eq(all(b'.')).to_bitmask(),
            letters: within(bytes | all(0x20), b'a', 26),
            digits: within(bytes, b'0', 10),
        }
    }
}

/// The bits in which a point and a colon differ.
const ALIKE: u8 = b'.' ^ b':';

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_place_has_its_bit(bytes in proptest::collection::vec(
            prop_oneof![Just(b'.'), Just(b':'), b'*'..b'@', b'A' - 1..b'z' + 2, any::<u8>()], PIECE
        )) {
            let piece = bytes.first_chunk::<PIECE>().unwrap();
            let want = |is: &dyn Fn(u8) -> bool| (0..PIECE).filter(|at| is(piece[*at])).fold(0, |out, at| out | 1 << at);
            let want = Places {
                joints: want(&|byte| b".:*>".contains(&byte)),
                points: want(&|byte| byte == b'.'),
                letters: want(&|byte| byte.is_ascii_alphabetic()),
                digits: want(&|byte| byte.is_ascii_digit()),
            };
            let places = fearless_simd::dispatch!(fearless_simd::Level::new(), simd => Places::of(simd, piece));
            prop_assert_eq!(places, want);
            let least = fearless_simd::Level::baseline();
            prop_assert_eq!(fearless_simd::dispatch!(least, simd => Places::of(simd, piece)), want);
        }
    }
}
