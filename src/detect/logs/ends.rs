//! Where the lines of a block end.

/// Backslashes that are met before they are looked for no more: where one is, many are.
const BACKSLASHES: usize = 32;

/// The place behind a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End(u32);

impl End {
    const FITS: u32 = 1 << 31;

    /// A place in a block, all of which are shorter than 2 GB; `fits` says that the line is known to look as its format does.
    pub(super) fn new(place: usize, fits: bool) -> Self {
        let place = u32::try_from(place).unwrap_or(u32::MAX) & !Self::FITS;
        Self(if fits { place | Self::FITS } else { place })
    }

    pub(super) fn place(self) -> usize {
        (self.0 & !Self::FITS) as usize
    }

    pub(super) fn fits(self) -> bool {
        self.0 & Self::FITS != 0
    }
}

/// The end of every line, and whether there is a backslash: one pass for both.
pub(super) fn ends(bytes: &[u8]) -> (Vec<End>, bool) {
    let mut ends = Vec::with_capacity(bytes.len() / 256);
    let mut backslashes = 0;
    let mut from = 0;
    for at in memchr::memchr2_iter(b'\n', b'\\', bytes) {
        if bytes[at] == b'\n' {
            ends.push(End::new(at + 1, false));
            from = at + 1;
            continue;
        }
        backslashes += 1;
        if backslashes == BACKSLASHES {
            break;
        }
    }
    if backslashes == BACKSLASHES {
        ends.extend(memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| End::new(from + at + 1, false)));
    }
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        ends.push(End::new(bytes.len(), false));
    }
    (ends, backslashes > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_end_where_they_do(text in "[a\\\\\n]{0,120}", more in 0..60_usize) {
            let text = format!("{}{text}", "\\".repeat(more));
            let mut at = 0;
            let want: Vec<End> = text.split_inclusive('\n').map(|line| { at += line.len(); End::new(at, false) }).collect();
            prop_assert_eq!(ends(text.as_bytes()), (want, text.contains('\\')));
        }
    }

    #[test]
    fn a_place_keeps_what_is_said_of_its_line() {
        assert_eq!((End::new(7, true).place(), End::new(7, true).fits()), (7, true));
        assert_eq!((End::new(7, false).place(), End::new(7, false).fits()), (7, false));
    }
}
