//! Indicators in few bytes, one behind the other.

use super::kind::Kind;
use crate::domain::Level;

/// An indicator: what is looked for, and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// In bytes; its meaning is the caller's.
    pub(super) value: &'a [u8],
    pub(super) kind: Kind,
    pub(super) level: Level,
    /// Of its list, from 1.
    pub(super) line: u32,
}

/// So many entries lie between two marks.
const EVERY: usize = 8;
/// Entries of a piece. One long vector would take twice its memory while it grows.
const PIECE: usize = 4_096;

/// Entries by their number, each a byte for kind and level, the length of the value, the distance of its line from the line
/// after that of the entry before (left out, and said by a bit of the first byte, where it is that line), and the value. Lengths
/// and distances are numbers of seven bits a byte (LEB128).
#[derive(Debug, Default)]
pub(super) struct Packed {
    pieces: Vec<Piece>,
    count: usize,
}

/// The bit of an entry whose line is the one after that of the entry before.
const NEXT: u8 = 8;

const _: () = assert!(Kind::ALL.len() <= 16 && Level::ALL.len() <= NEXT as usize);

#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    /// Of every eighth entry the place, and the line of the one before it.
    marks: Vec<(u32, u32)>,
    /// The line of the last one.
    line: u32,
}

fn put(out: &mut Vec<u8>, mut number: u32) {
    loop {
        let [low, ..] = (number & 0x7f).to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn take(bytes: &mut &[u8]) -> u32 {
    let (mut number, mut shift) = (0, 0);
    while let Some((byte, rest)) = bytes.split_first().filter(|_| shift < u32::BITS) {
        *bytes = rest;
        number |= u32::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

/// A distance as a number that is small where it is near 0 (zigzag), and back.
fn folded(distance: u32) -> u32 {
    distance << 1 ^ 0_u32.wrapping_sub(distance >> 31)
}

fn unfolded(number: u32) -> u32 {
    number >> 1 ^ 0_u32.wrapping_sub(number & 1)
}

impl Piece {
    fn push(&mut self, entry: Entry<'_>, number: usize) {
        if number.is_multiple_of(EVERY) {
            self.marks.push((u32::try_from(self.bytes.len()).unwrap_or(u32::MAX), self.line));
        }
        let distance = entry.line.wrapping_sub(self.line).wrapping_sub(1);
        let tag = (entry.kind as u8) << 4 | entry.level as u8;
        self.bytes.push(if distance == 0 { tag | NEXT } else { tag });
        put(&mut self.bytes, u32::try_from(entry.value.len()).unwrap_or(u32::MAX));
        if distance != 0 {
            put(&mut self.bytes, folded(distance));
        }
        self.bytes.extend_from_slice(entry.value);
        self.line = entry.line;
    }

    fn get(&self, number: usize) -> Option<Entry<'_>> {
        let (at, mut line) = *self.marks.get(number / EVERY)?;
        let mut bytes = self.bytes.get(at as usize..)?;
        for skipped in 0..=number % EVERY {
            let (tag, rest) = bytes.split_first()?;
            bytes = rest;
            let length = take(&mut bytes) as usize;
            let distance = if tag & NEXT == 0 { unfolded(take(&mut bytes)) } else { 0 };
            line = line.wrapping_add(distance).wrapping_add(1);
            let (value, rest) = bytes.split_at_checked(length)?;
            if skipped == number % EVERY {
                let kind = Kind::ALL.get(usize::from(tag >> 4))?;
                let level = Level::ALL.get(usize::from(tag & (NEXT - 1)))?;
                return Some(Entry { value, kind: *kind, level: *level, line });
            }
            bytes = rest;
        }
        None
    }
}

impl Packed {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Takes one.
    pub(super) fn push(&mut self, entry: Entry<'_>) {
        if self.count.is_multiple_of(PIECE) {
            self.shrink();
            self.pieces.push(Piece::default());
        }
        if let Some(piece) = self.pieces.last_mut() {
            piece.push(entry, self.count % PIECE);
        }
        self.count += 1;
    }

    /// The entry with a number, which must be one that was taken.
    pub(super) fn get(&self, id: u32) -> Entry<'_> {
        let nothing = Entry { value: &[], kind: Kind::String, level: Level::Informational, line: 0 };
        self.pieces.get(id as usize / PIECE).and_then(|piece| piece.get(id as usize % PIECE)).unwrap_or(nothing)
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        if let Some(piece) = self.pieces.last_mut() {
            piece.bytes.shrink_to_fit();
            piece.marks.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_goes_in_comes_out(
            given in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), 0..9_usize, 0..5_usize, prop_oneof![any::<u32>(), 1..4_u32]), 1..200),
            times in 1..40_usize,
        ) {
            let mut packed = Packed::default();
            let mut all = Vec::new();
            for (value, kind, level, line) in given.iter().cycle().take(given.len() * times) {
                let entry = Entry { value, kind: Kind::ALL[*kind], level: Level::ALL[*level], line: *line };
                packed.push(entry);
                all.push(entry);
            }
            packed.shrink();
            prop_assert_eq!(packed.len(), all.len());
            for (id, entry) in (0..).zip(&all) {
                prop_assert_eq!(packed.get(id), *entry);
            }
        }
    }
}
