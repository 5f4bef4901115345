use std::collections::BTreeMap;

use crate::domain::Timestamp;

/// The ids seen so far, as ranges: memory grows with the gaps, not with the rows.
#[derive(Debug, Default)]
pub struct IdRanges {
    /// Start of each range → its end and the times of both.
    ranges: BTreeMap<i64, Range>,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    end: i64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

/// A run of missing ids between two that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First missing id.
    pub from: i64,
    /// Last missing id.
    pub to: i64,
    /// Time of the row before.
    pub before: Option<Timestamp>,
    /// Time of the row after.
    pub after: Option<Timestamp>,
}

impl IdRanges {
    /// Adds an id; one that is there already changes nothing.
    pub fn add(&mut self, id: i64, time: Option<Timestamp>) {
        let before = self.ranges.range(..=id).next_back().map(|(start, range)| (*start, *range));
        if before.is_some_and(|(_, range)| range.end >= id) {
            return;
        }
        let mut start = id;
        let mut range = Range { end: id, first: time, last: time };
        if let Some((before_start, before)) = before
            && before.end.checked_add(1) == Some(id)
        {
            start = before_start;
            range.first = before.first;
        }
        if let Some(next) = id.checked_add(1)
            && let Some(after) = self.ranges.remove(&next)
        {
            range.end = after.end;
            range.last = after.last;
        }
        self.ranges.insert(start, range);
    }

    /// The gaps between the smallest and the largest id.
    pub fn gaps(&self) -> impl Iterator<Item = Gap> + '_ {
        self.ranges.iter().zip(self.ranges.iter().skip(1)).map(|((_, left), (start, right))| Gap {
            from: left.end.saturating_add(1),
            to: start.saturating_sub(1),
            before: left.last,
            after: right.first,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn gaps_are_what_is_missing(ids in proptest::collection::vec(0_i64..60, 0..60)) {
            let mut ranges = IdRanges::default();
            for id in &ids {
                ranges.add(*id, None);
            }
            let there: BTreeSet<_> = ids.into_iter().collect();
            let missing: Vec<_> = match (there.first(), there.last()) {
                (Some(first), Some(last)) => (*first..*last).filter(|id| !there.contains(id)).collect(),
                _ => Vec::new(),
            };
            let found: Vec<_> = ranges.gaps().flat_map(|gap| gap.from..=gap.to).collect();
            prop_assert_eq!(found, missing);
        }
    }

    #[test]
    fn the_ends_of_the_integers_do_not_overflow() {
        let mut ranges = IdRanges::default();
        ranges.add(i64::MAX, None);
        ranges.add(i64::MIN, None);
        assert_eq!(ranges.gaps().count(), 1);
    }
}
