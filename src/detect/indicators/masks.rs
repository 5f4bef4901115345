//! What stands where in a piece of text, as the bits of a number.

use fearless_simd::{Simd, SimdBase, SimdFrom, SimdMask, i8x64};

/// Bytes of a piece.
pub(super) const PIECE: usize = 64;

/// A bit for each place of a piece, the first lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    /// Points and colons, and perhaps `*` and `>`.
    pub(super) joints: u64,
    /// ASCII behind the digits: letters and a little more.
    pub(super) letters: u64,
}

impl Places {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "what is made for a kind of processor must become part of one function")]
    pub(super) fn of<S: Simd>(simd: S, piece: &[u8; PIECE]) -> Self {
        let bytes = i8x64::simd_from(simd, piece.map(u8::cast_signed));
        let alike = bytes | i8x64::splat(simd, ALIKE.cast_signed());
        Self {
            joints: alike.simd_eq(i8x64::splat(simd, (b'.' | ALIKE).cast_signed())).to_bitmask(),
            letters: bytes.simd_gt(i8x64::splat(simd, b'9'.cast_signed())).to_bitmask(),
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
            prop_oneof![Just(b'.'), Just(b':'), b'*'..b'@', any::<u8>()], PIECE
        )) {
            let piece = bytes.first_chunk::<PIECE>().unwrap();
            let want = |is: &dyn Fn(u8) -> bool| (0..PIECE).filter(|at| is(piece[*at])).fold(0, |out, at| out | 1 << at);
            let want = Places { joints: want(&|byte| b".:*>".contains(&byte)), letters: want(&|byte| byte.is_ascii() && byte > b'9') };
            let places = fearless_simd::dispatch!(fearless_simd::Level::new(), simd => Places::of(simd, piece));
            prop_assert_eq!(places, want);
            let least = fearless_simd::Level::baseline();
            prop_assert_eq!(fearless_simd::dispatch!(least, simd => Places::of(simd, piece)), want);
        }
    }
}
