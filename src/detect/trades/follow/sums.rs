use std::sync::Arc;

use super::super::decimal::fixed_text;
use super::super::policy::Amount;
use super::super::record::Record;
use super::super::reference::Reference;
use super::{Map, Said, named};

const DAY: i64 = 86_400_000;

/// What the trades of one day (UTC) are worth together.
pub(super) struct DayValues {
    limits: Map<u32, i128>,
    fallback: Option<i128>,
    days: Map<u32, (i64, i128)>,
}

fn limits(
    reference: &Arc<Reference>,
    of: impl Fn(&super::super::reference::Account) -> Option<i128>,
) -> Map<u32, i128> {
    let accounts = reference.accounts.iter().flatten();
    accounts.filter_map(|(account, known)| Some((*account, of(known)?))).collect()
}

impl DayValues {
    pub(super) fn new(reference: &Arc<Reference>, fallback: Option<&Amount>) -> Self {
        let limits = limits(reference, |account| account.daily.as_ref()?.cut());
        Self { limits, fallback: fallback.and_then(Amount::cut), days: Map::default() }
    }

    /// See [`super::Memory::warm`].
    pub(super) fn touch(&self, record: &Record) -> u64 {
        let limit = self.limits.contains_key(&record.account);
        self.days.get(&record.account).map_or(u64::from(limit), |(day, _)| day.cast_unsigned())
    }

    pub(super) fn record(&mut self, record: &Record) -> Said {
        let Some(limit) = self.limits.get(&record.account).copied().or(self.fallback) else { return Said::Nothing };
        if !named(record.account) {
            return Said::Nothing;
        }
        let Some(worth) = record.worth() else { return Said::Unusable("what the trade is worth can't be read") };
        let day = record.time.div_euclid(DAY);
        let (of, sum) = self.days.entry(record.account).or_default();
        if *of != day {
            (*of, *sum) = (day, 0);
        }
        *sum = sum.saturating_add(worth);
        if *sum <= limit {
            return Said::Nothing;
        }
        Said::This(format!(
            "the account's trades of this day are worth {}, its daily limit is {}",
            fixed_text(*sum),
            fixed_text(limit)
        ))
    }
}

/// How much of an instrument an account holds, from its first trade on.
pub(super) struct Positions {
    limits: Map<u32, i128>,
    fallback: Option<i128>,
    held: Map<(u32, u32), i128>,
}

impl Positions {
    pub(super) fn new(reference: &Arc<Reference>, fallback: Option<&Amount>) -> Self {
        let limits = limits(reference, |account| account.position.as_ref()?.cut());
        Self { limits, fallback: fallback.and_then(Amount::cut), held: Map::default() }
    }

    /// See [`super::Memory::warm`].
    pub(super) fn touch(&self, record: &Record) -> u64 {
        let held = self.held.contains_key(&(record.account, record.instrument));
        u64::from(held) + u64::from(self.limits.contains_key(&record.account))
    }

    pub(super) fn record(&mut self, record: &Record) -> Said {
        let Some(limit) = self.limits.get(&record.account).copied().or(self.fallback) else { return Said::Nothing };
        if !named(record.account) || !named(record.instrument) {
            return Said::Nothing;
        }
        let Some(quantity) = record.signed_quantity() else { return Said::Unusable("side or quantity can't be read") };
        let held = self.held.entry((record.account, record.instrument)).or_default();
        let before = held.unsigned_abs();
        *held = held.saturating_add(quantity);
        if held.unsigned_abs() <= limit.unsigned_abs() || held.unsigned_abs() <= before {
            return Said::Nothing;
        }
        Said::This(format!(
            "the account holds {} of it after this trade, its position limit is {}",
            fixed_text(*held),
            fixed_text(limit)
        ))
    }
}
