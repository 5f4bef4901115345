//! Which part of a scan one machine of several does: files in their order, large ones by ranges of bytes.

use std::fmt;
use std::str::FromStr;

use super::part::Range;

/// Most shards.
pub const MAX_SHARDS: u32 = 10_000;
/// What a byte of a compressed file costs, in bytes of a plain one.
const PACKED: u64 = 8;
/// What a file costs beside its bytes.
const FILE: u64 = 16 << 10;

/// One of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// Number `index`, from 1, of `count`.
    pub fn new(index: u64, count: u64) -> Result<Self, String> {
        let number = |number: u64| u32::try_from(number).ok();
        match (number(index), number(count)) {
            (_, Some(0)) => Err("there is no shard of 0".into()),
            (Some(index), Some(count)) if count <= MAX_SHARDS && (1..=count).contains(&index) => {
                Ok(Self { index, count })
            }
            (_, Some(count)) if count <= MAX_SHARDS => {
                Err(format!("shards of {count} are 1/{count} to {count}/{count}"))
            }
            _ => Err(format!("{count} shards are more than the {MAX_SHARDS} that can be merged")),
        }
    }

    /// Its number, from 1.
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    pub fn count(self) -> u32 {
        self.count
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').map(|(index, count)| (index.parse(), count.parse()));
        match parts {
            Some((Ok(index), Ok(count))) => Self::new(index, count),
            _ => Err(format!("`{text}` is no shard: write its number and how many there are, such as 3/8")),
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

/// A file, as far as its share of the work needs it.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Bytes.
    pub bytes: u64,
    /// Whether its name says that it is compressed.
    pub packed: bool,
}

impl Size {
    fn weight(self) -> u128 {
        u128::from(self.bytes) * self.factor() + u128::from(FILE)
    }

    fn factor(self) -> u128 {
        if self.packed { u128::from(PACKED) } else { 1 }
    }
}

/// What one shard reads of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Number of the file.
    pub file: usize,
    /// Its bytes.
    pub range: Range,
}

/// What a shard reads, in the order of the files. Shards take the work, as if it were one line, in equal lengths, so that
/// only a file at the end of a shard's length is shared with others: that one is cut at a multiple of `cut` bytes if
/// `cuttable` says that it can be, or is all of the shard in whose length it begins. Together the shards read each file once.
pub fn pieces(shard: Shard, files: &[Size], cut: u64, mut cuttable: impl FnMut(usize) -> bool) -> Vec<Piece> {
    let total = files.iter().map(|file| file.weight()).sum::<u128>().max(1);
    let count = u128::from(shard.count);
    let owner = |at: u128| (at * count / total).min(count - 1);
    let own = u128::from(shard.index - 1);
    let mut begin = 0;
    let mut found = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let (first, last) = (owner(begin), owner(begin + u128::from(file.bytes.saturating_sub(1)) * file.factor()));
        // The first multiple of `cut` whose owner is that shard or a later one.
        let seam = |shard: u128| {
            let at = (shard * total).div_ceil(count).saturating_sub(begin).div_ceil(file.factor());
            u64::try_from(at.div_ceil(u128::from(cut)) * u128::from(cut)).ok().filter(|at| *at < file.bytes)
        };
        if first == last {
            found.extend((first == own).then_some(Piece { file: number, range: Range::ALL }));
        } else if (first..=last).contains(&own) {
            let from = if own == first { Some(0) } else { seam(own) };
            let range = from.map(|from| Range { from, to: if own == last { None } else { seam(own + 1) } });
            let range = if cuttable(number) { range } else { (own == first).then_some(Range::ALL) };
            let some = range.filter(|range| range.to.is_none_or(|to| to > range.from));
            found.extend(some.map(|range| Piece { file: number, range }));
        }
        begin += file.weight();
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shards_are_written_as_a_fraction() {
        assert_eq!("3/8".parse(), Ok(Shard { index: 3, count: 8 }));
        assert_eq!("3/8".parse::<Shard>().unwrap().to_string(), "3/8");
        for (text, word) in
            [("0/8", "1/8 to 8/8"), ("9/8", "1/8"), ("1/0", "of 0"), ("3", "3/8"), ("a/b", "3/8"), ("1/10001", "10000")]
        {
            assert!(text.parse::<Shard>().unwrap_err().contains(word), "{text}");
        }
    }

    #[test]
    fn work_is_shared_evenly() {
        let files: Vec<Size> = (0..100).map(|n| Size { bytes: n * 700_000, packed: n % 3 == 0 }).collect();
        let weight = |piece: &Piece| {
            let file = files[piece.file];
            u64::try_from(file.factor()).unwrap() * (piece.range.to.unwrap_or(file.bytes) - piece.range.from)
        };
        let of = |index| pieces(Shard { index, count: 8 }, &files, 1 << 20, |file| !files[file].packed);
        let shares: Vec<u64> = (1..=8).map(|index| of(index).iter().map(weight).sum()).collect();
        let equal = shares.iter().sum::<u64>() / 8;
        // A compressed file of 69 MB, as 550 of plain text, is the most that one can have too much or too little.
        assert!(shares.iter().all(|share| share.abs_diff(equal) < 560_000_000), "{shares:?}");
    }

    proptest! {
        #[test]
        fn every_byte_is_read_once(
            sizes in proptest::collection::vec((0..3_000_u64, any::<bool>(), any::<bool>()), 0..12),
            count in 1..9_u32,
            cut in 1..700_u64,
        ) {
            let files: Vec<Size> = sizes.iter().map(|(kib, packed, _)| Size { bytes: kib * 64, packed: *packed }).collect();
            let mut expected = (0, 0);
            for index in 1..=count {
                for piece in pieces(Shard { index, count }, &files, cut, |file| sizes[file].2) {
                    prop_assert_eq!((piece.file, piece.range.from), expected);
                    prop_assert!(piece.range.from.is_multiple_of(cut));
                    expected = piece.range.to.map_or((piece.file + 1, 0), |to| (piece.file, to));
                }
            }
            prop_assert_eq!(expected, (files.len(), 0));
        }
    }
}
