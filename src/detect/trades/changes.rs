//! What is unusual here, and what the deployment does every day: rows changed long after they were made, and others.

use std::collections::BTreeMap;

use super::expression::Expression;
use super::hit::{Hit, Hits, MOST};
use super::plan::Plan;
use super::policy::Check;
use super::roles::Role;

/// Fewer hits of a policy are never usual.
pub(super) const USUAL: u64 = 20;
/// Fewer late changes are never usual.
pub(super) const AT_LEAST: u64 = 200;
/// So many different days must have seen them.
pub(super) const DAYS: usize = 3;
pub(super) const HOUR: i64 = 3_600_000;
pub(super) const DAY: i64 = 24 * HOUR;

impl Plan {
    /// Takes back the hits of policies that find what is usual here, and says so: of at least [`USUAL`] hits, more than the policy's share of `rows`.
    pub fn without_usual(&self, hits: &mut Hits, rows: u64) -> Vec<(u16, String)> {
        let mut uncovered = Vec::new();
        for (number, policy) in (0_u16..).zip(&self.policies) {
            let Some(percent) = policy.usual_percent else { continue };
            let found = hits.count(number);
            if found >= USUAL && found * 100 > rows.saturating_mul(u64::from(percent)) {
                hits.take_back(number);
                uncovered
                    .push((number, format!("{found} of {rows} rows are so: that is usual here, and tells nothing")));
            }
        }
        uncovered
    }
}

/// Late changes of one policy, and how late they are.
#[derive(Debug, Default)]
pub struct Changes {
    /// By the hours after which a row was changed.
    hours: BTreeMap<i64, u64>,
    /// By the day of the change.
    days: BTreeMap<i64, u64>,
    /// The latest of them, with their hours.
    kept: Vec<(i64, Hit)>,
    dropped: u64,
}

/// Whether a check asks for rows that were changed long after they were made.
pub fn asks_for_changes(check: &Check) -> bool {
    matches!(check, Check::Row { when: Expression::Later(later) } if later.role == Role::UpdatedAt && later.than == Some(Role::CreatedAt))
}

impl Changes {
    /// Takes a row that was changed late.
    pub fn add(&mut self, created: i64, updated: i64, hit: Hit) {
        let hours = updated.saturating_sub(created).div_euclid(HOUR);
        *self.hours.entry(hours).or_default() += 1;
        *self.days.entry(updated.div_euclid(DAY)).or_default() += 1;
        self.kept.push((hours, hit));
        if self.kept.len() >= MOST * 2 {
            self.trim();
        }
    }

    fn trim(&mut self) {
        self.kept.sort_by_key(|(hours, _)| std::cmp::Reverse(*hours));
        self.dropped += u64::try_from(self.kept.len().saturating_sub(MOST)).unwrap_or(0);
        self.kept.truncate(MOST);
    }

    /// Takes those of another part.
    pub fn merge(&mut self, other: Self) {
        other.hours.into_iter().for_each(|(hours, count)| *self.hours.entry(hours).or_default() += count);
        other.days.into_iter().for_each(|(day, count)| *self.days.entry(day).or_default() += count);
        self.kept.extend(other.kept);
        self.dropped += other.dropped;
        if self.kept.len() >= MOST * 2 {
            self.trim();
        }
    }

    /// Gives the hits. Where rows are changed late as a rule (a settlement every night), only those that were changed half as late
    /// again as 98 of 100 of them; a change of many rows at once is no rule.
    pub fn finish(mut self, rows: u64, hits: &mut Hits) {
        let late: u64 = self.hours.values().sum();
        let busiest = self.days.values().max().copied().unwrap_or(0);
        let rule = late >= AT_LEAST && late * 20 > rows && self.days.len() >= DAYS && busiest * 2 <= late;
        let usual = rule.then(|| {
            let mut below = 0;
            let within = |(_, count): &(&i64, &u64)| {
                below += **count;
                below * 100 >= late * 98
            };
            self.hours.iter().find(within).map_or(0, |(hours, _)| *hours)
        });
        self.trim();
        let policy = self.kept.first().map(|(_, hit)| hit.policy);
        for (hours, mut hit) in self.kept {
            match usual {
                Some(usual) if hours * 2 <= usual * 3 => {}
                Some(usual) => {
                    hit.why = format!("{} {hours} h after it was made; most are changed within {usual} h", hit.why);
                    hits.push(hit);
                }
                None => hits.push(hit),
            }
        }
        if let (Some(policy), 1.., None) = (policy, self.dropped, usual) {
            hits.dropped.push((policy, self.dropped));
        }
    }
}

/// Whether two columns agree so seldom that they do not mean the same: whole numbers of two kinds agree by chance, and whoever writes rows by the dozen is not
/// to make columns that mean the same look so.
pub fn seldom_agree(agreed: u64, differed: u64) -> bool {
    differed >= 20 && differed > agreed.saturating_mul(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_agree_in_one_of_four_mean_the_same() {
        for (agreed, differed, seldom) in [(0, 19, false), (0, 20, true), (6, 20, true), (7, 20, false), (7, 22, true)]
        {
            assert_eq!(seldom_agree(agreed, differed), seldom, "{agreed} {differed}");
        }
    }

    fn found(rows: u64, changes: impl Iterator<Item = (i64, i64)>) -> Vec<i64> {
        let mut all = Changes::default();
        for (id, (created, updated)) in (0..).zip(changes) {
            all.add(created, updated, Hit { policy: 0, id, time: created, why: "changed".into() });
        }
        let mut hits = Hits::default();
        all.finish(rows, &mut hits);
        hits.kept.iter().map(|hit| hit.id).collect()
    }

    /// Trades of `days` days, each settled at the end of its third day.
    fn settled(days: i64) -> impl Iterator<Item = (i64, i64)> {
        (0..days * 24).map(|hour| (hour * HOUR, (hour / 24 + 3) * DAY + HOUR))
    }

    #[test]
    fn settling_is_usual_and_an_edit_is_not() {
        assert!(found(720, settled(30)).is_empty());
        let edited = [(5 * DAY, 25 * DAY)];
        assert_eq!(found(721, settled(30).chain(edited)), [720]);
        // The boundary: half as late again as usual.
        let [fine, late] = [(0, 109 * HOUR), (0, 111 * HOUR)];
        assert_eq!(found(722, settled(30).chain([fine, late])), [721]);
    }

    #[test]
    fn few_late_changes_and_many_at_once_are_no_rule() {
        assert_eq!(found(30_000, settled(30)).len(), 720, "below one in twenty");
        assert_eq!(found(199, settled(30).take(199)).len(), 199);
        assert_eq!(found(720, (0..720).map(|hour| (hour * HOUR, 31 * DAY))).len(), 720, "an edit of everything");
    }
}
