use std::collections::BTreeMap;

/// Ids of one page.
const PAGE: i64 = 65_536;
/// Most pages: 8 KiB each, a bit an id.
const PAGES: usize = 4_096;
/// Most gaps that are listed.
const GAPS: usize = 10_000;

/// The whole-number ids seen, a bit each: the order in which they come does not matter.
#[derive(Debug, Default)]
pub struct Ids {
    pages: BTreeMap<i64, Box<[u64; 1024]>>,
    current: Option<(i64, Box<[u64; 1024]>)>,
    sparse: bool,
}

/// A run of missing ids between two that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First missing id.
    pub from: i64,
    /// Last missing id.
    pub to: i64,
}

impl Gap {
    /// How many are missing.
    pub fn count(&self) -> i128 {
        i128::from(self.to) - i128::from(self.from) + 1
    }
}

impl Ids {
    /// Adds an id; one that is there already changes nothing.
    pub fn add(&mut self, id: i64) {
        let (page, bit) = (id.div_euclid(PAGE), id.rem_euclid(PAGE).unsigned_abs());
        if self.current.as_ref().is_none_or(|(current, _)| *current != page) && !self.turn(page) {
            return;
        }
        if let Some((_, bits)) = &mut self.current {
            let word = usize::try_from(bit / 64).unwrap_or(0) % 1024;
            bits[word] |= 1 << (bit % 64);
        }
    }

    /// Makes a page the current one; false if there are too many.
    fn turn(&mut self, page: i64) -> bool {
        if self.sparse {
            return false;
        }
        if let Some((old, bits)) = self.current.take() {
            self.pages.insert(old, bits);
        }
        if self.pages.len() > PAGES {
            self.sparse = true;
            self.pages.clear();
            return false;
        }
        let bits = self.pages.remove(&page).unwrap_or_else(|| Box::new([0; 1024]));
        self.current = Some((page, bits));
        true
    }

    /// Takes the ids of another part.
    pub fn merge(&mut self, mut other: Self) {
        if let Some((page, bits)) = other.current.take() {
            other.pages.insert(page, bits);
        }
        self.sparse |= other.sparse;
        for (page, bits) in other.pages {
            if !self.turn(page) {
                return;
            }
            if let Some((_, own)) = &mut self.current {
                own.iter_mut().zip(bits.iter()).for_each(|(word, more)| *word |= more);
            }
        }
    }

    /// The gaps of more than `ignore` ids between the smallest and the largest id; `Err` says why that can't be told.
    pub fn gaps(mut self, ignore: i64) -> Result<Vec<Gap>, String> {
        if let Some((page, bits)) = self.current.take() {
            self.pages.insert(page, bits);
        }
        if self.sparse {
            return Err("ids are spread too far for numbers given in order, so missing ones mean nothing".into());
        }
        let mut found = Vec::new();
        let (mut last, mut seen): (Option<i64>, i128) = (None, 0);
        for (page, bits) in &self.pages {
            for (word, bits) in (0_i64..).zip(bits.iter()) {
                let mut left = *bits;
                while left != 0 {
                    let id = page * PAGE + word * 64 + i64::from(left.trailing_zeros());
                    left &= left - 1;
                    seen += 1;
                    if let Some(before) = last {
                        let gap = Gap { from: before.saturating_add(1), to: id.saturating_sub(1) };
                        if gap.count() > i128::from(ignore.max(0)) {
                            found.push(gap);
                        }
                    }
                    last = Some(id);
                }
            }
            if found.len() > GAPS {
                return Err(format!("more than {GAPS} gaps: ids are not given one by one"));
            }
        }
        // Numbers of another kind (steps of ten, random ones) have a gap before almost every id.
        if seen > 20 && i128::try_from(found.len()).unwrap_or(0) * 2 > seen {
            return Err("there is a gap before every second id: ids are not given one by one".into());
        }
        Ok(found)
    }
}

/// Most ids that a rolled-back insert takes.
pub(super) const ROLLED_BACK: i128 = 3;
/// So many gaps of one size are what rolled-back inserts leave.
pub(super) const USUAL: usize = 20;

/// Fewer gaps than this, by chance, are none.
const BY_CHANCE: f64 = 0.05;

/// Leaves out the small gaps that a table has everywhere, and those that they make where they meet by chance; gives how many those were.
pub fn without_usual(gaps: &mut Vec<Gap>) -> usize {
    let all = gaps.len();
    let count = |gaps: &[Gap], size: i128| gaps.iter().filter(|gap| gap.count() == size).count();
    let span = gaps.iter().map(|gap| gap.to).max().zip(gaps.iter().map(|gap| gap.from).min());
    let span = span.and_then(|(last, first)| u32::try_from(last.saturating_sub(first)).ok()).map_or(0.0, f64::from);
    let single = count(gaps, 1);
    for size in 1..=ROLLED_BACK {
        if count(gaps, size) >= USUAL {
            gaps.retain(|gap| gap.count() != size);
        }
    }
    // Of `single` ids missing among so many, so many stand beside each other.
    let mut expected = f64::from(u32::try_from(single).unwrap_or(u32::MAX));
    let share = expected / span.max(1.0);
    for size in 2..=ROLLED_BACK {
        expected *= share;
        if single >= USUAL && expected >= BY_CHANCE {
            gaps.retain(|gap| gap.count() != size);
        }
    }
    all - gaps.len()
}

/// The moment that an id was made, in milliseconds, where its form holds one: UUID version 7 (RFC 9562), ULID, cuid
/// (version 1, Prisma's default), `ObjectId` of `MongoDB`.
pub fn made_at(id: &[u8]) -> Option<i64> {
    match id.len() {
        36 if id[14] == b'7' && id[8] == b'-' => {
            let digits: Vec<u8> = id[..13].iter().copied().filter(|byte| *byte != b'-').collect();
            i64::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
        }
        26 if id.iter().all(u8::is_ascii_alphanumeric) => id[..10].iter().try_fold(0_i64, |sum, letter| {
            let place =
                b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".iter().position(|one| *one == letter.to_ascii_uppercase())?;
            Some(sum * 32 + i64::try_from(place).ok()?)
        }),
        25 if id[0] == b'c' && id[1..].iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) => {
            i64::from_str_radix(std::str::from_utf8(&id[1..9]).ok()?, 36).ok()
        }
        24 if id.iter().all(u8::is_ascii_hexdigit) => {
            i64::from_str_radix(std::str::from_utf8(&id[..8]).ok()?, 16).ok().map(|seconds| seconds * 1000)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gaps_that_are_everywhere_are_rolled_back_inserts() {
        let gap = |from, count| Gap { from, to: from + count - 1 };
        let gaps = |count: i64, size| (0..count).map(|place| gap(place * 100, size)).collect::<Vec<_>>();
        let mut few = gaps(19, 1);
        assert_eq!((without_usual(&mut few), few.len()), (0, 19));
        let mut many: Vec<_> = gaps(20, 1).into_iter().chain([gap(5_000, 2), gap(6_000, 12)]).collect();
        assert_eq!((without_usual(&mut many), many), (21, vec![gap(6_000, 12)]), "two of one that met by chance");
        let far =
            |count: i64| (0..count).map(|place| gap(place * 100_000, 1)).chain([gap(5_000, 2)]).collect::<Vec<_>>();
        let mut rare = far(20);
        assert_eq!((without_usual(&mut rare), rare), (20, vec![gap(5_000, 2)]), "they hardly ever meet");
        let mut large = gaps(40, 4);
        assert_eq!(
            (without_usual(&mut large), large.len()),
            (0, 40),
            "four at once were one transaction's, or deleted"
        );
    }

    proptest! {
        #[test]
        fn gaps_are_what_is_missing(ids in proptest::collection::vec(-40_i64..60, 0..90), split in 0_usize..90) {
            let mut parts = [Ids::default(), Ids::default()];
            for (index, id) in ids.iter().enumerate() {
                parts[usize::from(index > split)].add(*id);
            }
            let [mut all, other] = parts;
            all.merge(other);
            let there: BTreeSet<_> = ids.into_iter().collect();
            let missing: Vec<_> = match (there.first(), there.last()) {
                (Some(first), Some(last)) => (*first..*last).filter(|id| !there.contains(id)).collect(),
                _ => Vec::new(),
            };
            if let Ok(gaps) = all.gaps(0) {
                let found: Vec<_> = gaps.into_iter().flat_map(|gap| gap.from..=gap.to).collect();
                prop_assert_eq!(found, missing);
            } else {
                prop_assert!(there.len() > 20);
            }
        }
    }

    #[test]
    fn the_ends_of_the_integers_do_not_overflow() {
        let mut ids = Ids::default();
        ids.add(i64::MAX);
        ids.add(i64::MIN);
        assert_eq!(ids.gaps(0).unwrap(), [Gap { from: i64::MIN + 1, to: i64::MAX - 1 }]);
        let mut spread = Ids::default();
        (0..5000_i64).for_each(|step| spread.add(step * 1_000_000_000));
        assert!(spread.gaps(0).unwrap_err().contains("spread"));
    }

    #[test]
    fn ids_tell_when_they_were_made() {
        assert_eq!(made_at(b"019abcde-1234-7000-8000-000000000000"), Some(0x019a_bcde_1234));
        assert_eq!(made_at(b"019abcde-1234-4000-8000-000000000000"), None);
        assert_eq!(made_at(b"01ARZ3NDEKTSV4RRFFQ69G5FAV"), Some(1_469_922_850_259));
        assert_eq!(made_at(b"cjld2cjxh0000qzrmn831i7rn"), i64::from_str_radix("jld2cjxh", 36).ok());
        assert_eq!(made_at(b"507f1f77bcf86cd799439011"), Some(1_350_508_407_000));
        assert_eq!(made_at(b"42"), None);
    }
}
