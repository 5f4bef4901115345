use std::sync::Arc;

use super::super::decimal::fixed_text;
use super::super::hit::{Hit, MOST};
use super::super::orders::Lacking;
use super::super::policy::Amount;
use super::super::record::Record;
use super::super::reference::{Account, Limited, Reference};
use super::{Map, Said, named};

const DAY: i64 = 86_400_000;

/// What the trades of one day (UTC) are worth together.
pub(super) struct DayValues {
    limits: Limits,
    fallback: Option<i128>,
    /// A row is buyer's and seller's.
    both: bool,
    days: Map<u32, (i64, i128)>,
}

/// What accounts are limited to.
type Limits = Map<u32, Limited<i128>>;

fn limits(reference: &Arc<Reference>, of: impl Fn(&Account) -> Option<Limited<i128>>) -> Limits {
    let accounts = reference.accounts.iter().flatten();
    accounts.filter_map(|(account, known)| Some((*account, of(known)?))).collect()
}

/// The limit of a moment.
fn limit_at(limits: &Limits, account: u32, time: i64) -> Option<i128> {
    limits.get(&account)?.at(time).copied()
}

impl DayValues {
    pub(super) fn new(reference: &Arc<Reference>, fallback: Option<&Amount>, both: bool) -> Self {
        let limits = limits(reference, |account| {
            account.limited(account.daily.as_ref(), |span| span.daily.as_ref(), Amount::cut)
        });
        Self { limits, fallback: fallback.and_then(Amount::cut), both, days: Map::default() }
    }

    /// See [`super::Memory::warm`].
    pub(super) fn touch(&self, record: &Record) -> u64 {
        let limit = self.limits.contains_key(&record.account);
        self.days.get(&record.account).map_or(u64::from(limit), |(day, _)| day.cast_unsigned())
    }

    pub(super) fn record(&mut self, record: &Record) -> Said {
        let said = self.side(record.account, "account", record);
        if !self.both || record.counterparty == record.account {
            return said;
        }
        let other = self.side(record.counterparty, "counterparty", record);
        if matches!(said, Said::Nothing) { other } else { said }
    }

    fn side(&mut self, account: u32, whose: &str, record: &Record) -> Said {
        let Some(limit) = limit_at(&self.limits, account, record.time).or(self.fallback) else { return Said::Nothing };
        if !named(account) {
            return Said::Nothing;
        }
        let Some(worth) = record.worth() else { return Said::Unusable("what the trade is worth can't be read") };
        let day = record.time.div_euclid(DAY);
        let (of, sum) = self.days.entry(account).or_default();
        if *of != day {
            (*of, *sum) = (day, 0);
        }
        *sum = sum.saturating_add(worth);
        if *sum <= limit {
            return Said::Nothing;
        }
        Said::This(format!(
            "the {whose}'s trades of this day are worth {}, its daily limit is {}",
            fixed_text(*sum),
            fixed_text(limit)
        ))
    }
}

/// A position over its limit, unless rows are missing that would have brought it down.
#[derive(Debug, Clone)]
pub struct Beyond {
    /// The hit.
    pub hit: Hit,
    account: u32,
    instrument: u32,
    held: i128,
    limit: i128,
}

impl Beyond {
    /// Whether the position was within the limit by what its orders say: trades of theirs that are missing were made before, and are told by
    /// themselves.
    pub fn is_explained(&self, lacking: &[Lacking]) -> bool {
        let of = |one: &&Lacking| {
            one.account == self.account && one.instrument == self.instrument && one.time <= self.hit.time
        };
        let missing = lacking.iter().filter(of).fold(0_i128, |sum, one| sum.saturating_add(one.quantity));
        missing != 0 && self.held.saturating_add(missing).unsigned_abs() <= self.limit.unsigned_abs()
    }
}

/// How much of an instrument an account holds, from its first trade on.
pub(super) struct Positions {
    policy: u16,
    limits: Limits,
    fallback: Option<i128>,
    /// A row is buyer's and seller's.
    both: bool,
    held: Map<(u32, u32), i128>,
    beyond: Vec<Beyond>,
    /// Those that are not kept.
    pub(super) overflow: u64,
}

impl Positions {
    pub(super) fn new(policy: u16, reference: &Arc<Reference>, fallback: Option<&Amount>, both: bool) -> Self {
        let limits = limits(reference, |account| {
            account.limited(account.position.as_ref(), |span| span.position.as_ref(), Amount::cut)
        });
        let fallback = fallback.and_then(Amount::cut);
        Self { policy, limits, fallback, both, held: Map::default(), beyond: Vec::new(), overflow: 0 }
    }

    /// See [`super::Memory::warm`].
    pub(super) fn touch(&self, record: &Record) -> u64 {
        let held = self.held.contains_key(&(record.account, record.instrument));
        u64::from(held) + u64::from(self.limits.contains_key(&record.account))
    }

    pub(super) fn record(&mut self, record: &Record, report: bool) -> Said {
        if !self.both {
            return self.side(record.account, "account", record, record.signed_quantity(), report);
        }
        let bought = record.quantity.fixed().map(i128::abs);
        let said = self.side(record.account, "account", record, bought, report);
        if record.counterparty == record.account {
            return said;
        }
        let other = self.side(record.counterparty, "counterparty", record, bought.map(|bought| -bought), report);
        if matches!(said, Said::Nothing) { other } else { said }
    }

    fn side(&mut self, account: u32, whose: &str, record: &Record, quantity: Option<i128>, report: bool) -> Said {
        let Some(limit) = limit_at(&self.limits, account, record.time).or(self.fallback) else { return Said::Nothing };
        if !named(account) || !named(record.instrument) {
            return Said::Nothing;
        }
        let Some(quantity) = quantity else { return Said::Unusable("side or quantity can't be read") };
        let held = self.held.entry((account, record.instrument)).or_default();
        let before = held.unsigned_abs();
        *held = held.saturating_add(quantity);
        if !report || held.unsigned_abs() <= limit.unsigned_abs() || held.unsigned_abs() <= before {
            return Said::Nothing;
        }
        if self.beyond.len() >= MOST {
            self.overflow += 1;
            return Said::Nothing;
        }
        let why = format!(
            "the {whose} holds {} of it after this trade, its position limit is {}",
            fixed_text(*held),
            fixed_text(limit)
        );
        let hit = Hit { policy: self.policy, id: record.id, time: record.time, why };
        self.beyond.push(Beyond { hit, account, instrument: record.instrument, held: *held, limit });
        Said::Nothing
    }

    pub(super) fn finish(self) -> impl Iterator<Item = Beyond> {
        self.beyond.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::decimal::Decimal;
    use super::*;

    /// Trades of accounts 1 and 2 with each other, as `(buyer, seller, quantity)`: which of them are told.
    fn told(mut check: impl FnMut(&Record) -> Said, trades: &[(u32, u32, i64)]) -> Vec<usize> {
        let record = |(account, counterparty, quantity): &(u32, u32, i64)| Record {
            account: *account,
            counterparty: *counterparty,
            instrument: 9,
            quantity: Decimal::Finite(*quantity, 0),
            price: Decimal::Finite(1, 0),
            ..Record::default()
        };
        (0..trades.len()).filter(|at| !matches!(check(&record(&trades[*at])), Said::Nothing)).collect()
    }

    const UNIT: i128 = 1_000_000_000_000_000_000;

    #[test]
    fn a_position_is_within_its_limit_if_its_orders_say_so() {
        let limit = Amount::new(10.into());
        let mut positions = Positions::new(0, &Arc::new(Reference::default()), Some(&limit), true);
        told(|one| positions.record(one, true), &[(1, 2, 8), (1, 3, 4)]);
        let found: Vec<_> = positions.finish().collect();
        let [beyond] = &*found else { panic!("{found:?}") };
        let lacking = |account, time, sold: i128| Lacking { account, instrument: 9, time, quantity: -sold * UNIT };
        assert!(beyond.is_explained(&[lacking(1, 0, 5)]), "it sold five that no trade has");
        assert!(beyond.is_explained(&[lacking(1, 0, 1), lacking(1, 0, 1)]));
        assert!(!beyond.is_explained(&[]));
        assert!(!beyond.is_explained(&[lacking(1, 0, 1)]), "too little");
        assert!(!beyond.is_explained(&[lacking(1, 0, -5)]), "it bought them");
        assert!(!beyond.is_explained(&[lacking(1, 1, 5)]), "later");
        assert!(!beyond.is_explained(&[lacking(2, 0, 5)]), "another account");
        assert!(!beyond.is_explained(&[Lacking { instrument: 8, ..lacking(1, 0, 5) }]), "another instrument");
    }

    #[test]
    fn a_row_of_both_sides_counts_for_buyer_and_seller() {
        let limit = Amount::new(10.into());
        let reference = Arc::new(Reference::default());
        let trades = [(1, 2, 6), (2, 1, 5), (3, 2, 10), (1, 1, 4), (4, 1, 12)];
        let mut positions = Positions::new(0, &reference, Some(&limit), true);
        told(|one| positions.record(one, true), &trades);
        // The second account sold ten more than it bought; the last row is beyond for both.
        let beyond: Vec<_> = positions.finish().map(|beyond| (beyond.account, beyond.held)).collect();
        assert_eq!(beyond, [(2, -11 * UNIT), (4, 12 * UNIT)]);
        let mut days = DayValues::new(&reference, Some(&limit), true);
        assert_eq!(told(|one| days.record(one), &trades), [1, 2, 3, 4]);
        let mut bought = DayValues::new(&reference, Some(&limit), false);
        assert_eq!(told(|one| bought.record(one), &trades), [4]);
    }
}
