//! Rows that were written later than they say: one by one, or many together, as an import or a seed writes them.

use std::collections::BTreeMap;

use super::changes::HOUR;
use super::expression::Expression;
use super::hit::{Hit, Hits};
use super::policy::Check;
use super::roles::Role;

/// So many of one hour were written together.
const TOGETHER: u64 = 20;

/// Whether a check asks for rows that were written long after they happened.
pub fn asks_for_lateness(check: &Check) -> bool {
    matches!(check, Check::Row { when: Expression::Later(later) } if later.role == Role::CreatedAt && later.than == Some(Role::ExecutedAt))
}

/// Rows of one policy by the hour in which they were written.
#[derive(Debug, Default)]
pub struct Together {
    /// How many, and the first of them.
    hours: BTreeMap<i64, (u64, Vec<Hit>)>,
}

impl Together {
    /// Takes a row, and when it was written.
    pub fn add(&mut self, written: i64, hit: Hit) {
        let (count, kept) = self.hours.entry(written.div_euclid(HOUR)).or_default();
        *count += 1;
        // More are never told.
        if *count < TOGETHER {
            kept.push(hit);
        }
    }

    /// Takes those of another part.
    pub fn merge(&mut self, other: Self) {
        for (hour, (count, kept)) in other.hours {
            let own = self.hours.entry(hour).or_default();
            own.0 += count;
            own.1.extend(kept);
        }
    }

    /// Gives those that were written by themselves; says how many were written together with others, or right before or after many.
    pub fn finish(self, hits: &mut Hits) -> u64 {
        let many: Vec<i64> =
            self.hours.iter().filter(|(_, (count, _))| *count >= TOGETHER).map(|(hour, _)| *hour).collect();
        let mut left_out = 0;
        for (hour, (count, kept)) in self.hours {
            if (-1..=1).any(|beside| many.binary_search(&(hour + beside)).is_ok()) {
                left_out += count;
            } else {
                for hit in kept {
                    hits.push(hit);
                }
            }
        }
        left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(written: impl Iterator<Item = i64>) -> (Vec<i64>, u64) {
        let mut halves = [Together::default(), Together::default()];
        for (id, at) in (0_i64..).zip(written) {
            let hit = Hit { policy: 0, id, time: 0, why: "late".into() };
            halves[usize::from(id % 2 == 0)].add(at, hit);
        }
        let [mut all, other] = halves;
        all.merge(other);
        let mut hits = Hits::default();
        let left_out = all.finish(&mut hits);
        let mut ids: Vec<_> = hits.kept.iter().map(|hit| hit.id).collect();
        ids.sort_unstable();
        (ids, left_out)
    }

    #[test]
    fn an_import_is_left_out_and_a_row_by_itself_is_not() {
        let import = (0..20).map(|row| 100 * HOUR + row);
        assert_eq!(found(import.chain([7 * HOUR])), (vec![20], 20));
        assert_eq!(found((0..19).map(|row| 100 * HOUR + row)), ((0..19).collect(), 0), "one fewer");
        let tail = (0..30).map(|row| 100 * HOUR + row).chain([101 * HOUR + 5, 102 * HOUR + 5]);
        assert_eq!(found(tail), (vec![31], 31), "the hour after it belongs to it");
    }
}
