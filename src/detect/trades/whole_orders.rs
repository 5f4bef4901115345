//! An order against all of its trades.

use super::changes::USUAL;
use super::claims::{Claim, Order};
use super::decimal::{Decimal, fixed_text};
use super::hit::{Hit, MOST};
use super::judge::moment;
use super::names::NONE;
use super::orders::OrderJoin;
use super::policy::Difference;
use super::record::{NO_TIME, Side};

/// An order that says that it was traded, and has no trade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Number of the policy in the plan.
    pub policy: u16,
    /// Hash of the order's id.
    pub order: u64,
    /// When the order was made.
    pub created: i64,
    /// A sentence.
    pub why: String,
}

/// What an order says was traded, and no trade has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacking {
    /// Number of the account.
    pub account: u32,
    /// Number of the instrument.
    pub instrument: u32,
    /// When the order was made.
    pub time: i64,
    /// How much: what was sold counts below zero.
    pub quantity: i128,
}

/// Sums of numbers that a binary float held differ by less than this part.
pub(super) const ROUNDED: i128 = 1_000_000;

fn lacking(order: &Order, quantity: i128) -> Option<Lacking> {
    let quantity = match order.side {
        Side::Buy => quantity,
        Side::Sell => -quantity,
        Side::Unknown => return None,
    };
    let Order { account, instrument, created: time, .. } = *order;
    (account != NONE && instrument != NONE && time != NO_TIME).then_some(Lacking {
        account,
        instrument,
        time,
        quantity,
    })
}

/// 0 where the trades of an order all have one sign. Where some are corrections of the others, which sign these have.
pub(super) fn corrected(trades: &[Claim]) -> i128 {
    let quantities = || trades.iter().filter(|trade| !trade.void).filter_map(|trade| trade.quantity.fixed());
    if !(quantities().any(i128::is_negative) && quantities().any(i128::is_positive)) {
        return 0;
    }
    if quantities().fold(0_i128, i128::saturating_add) < 0 { -1 } else { 1 }
}

impl OrderJoin {
    /// Whether orders without a trade matter.
    pub(super) fn asks_for_gone(&self) -> bool {
        self.checks.iter().any(|check| check.problem == Difference::Filled)
    }

    /// An order, its trades in the order of time, and the sum of these.
    pub(super) fn order(&mut self, order: &Order, trades: &[Claim], filled: i128) {
        let last = trades.iter().rev().find(|trade| trade.time != NO_TIME).or(trades.last());
        let time = last.map_or(order.created, |trade| trade.time);
        if time != NO_TIME && last.is_some() {
            self.latest = self.latest.max(time);
        }
        let outside = time != NO_TIME
            && (self.since.is_some_and(|since| time < since) || self.until.is_some_and(|until| time >= until));
        let readable = trades.iter().all(|trade| trade.quantity.fixed().is_some() && !trade.void);
        let most = order.quantity.fixed().map(i128::abs);
        self.ended(order, trades);
        for check in &mut self.checks {
            let worded = order.refused & check.bit != 0;
            let why = match check.problem {
                Difference::Waiting if !trades.is_empty() && readable => {
                    let Some(most) = most.filter(|most| filled >= *most && *most > 0) else { continue };
                    check.whole.0 += 1;
                    worded.then(|| {
                        format!("all of its order ({}) was traded, and its status is one before that", fixed_text(most))
                    })
                }
                Difference::Filled if readable => {
                    let said = match order.filled {
                        Decimal::Null if worded => most,
                        other => other.fixed().map(i128::abs),
                    };
                    let Some(said) = said else { continue };
                    check.whole.0 += 1;
                    let differs = said.abs_diff(filled) > (said.max(filled) / ROUNDED).unsigned_abs();
                    // More than it is for is told by itself.
                    let told = order.filled == Decimal::Null && filled > said;
                    if differs && said > filled && self.lacking.len() < MOST {
                        self.lacking.extend(lacking(order, said - filled));
                    }
                    (differs && !told).then(|| {
                        format!(
                            "its order says that {} were traded, its trades are {}",
                            fixed_text(said),
                            fixed_text(filled)
                        )
                    })
                }
                _ => continue,
            };
            let Some(why) = why else { continue };
            check.whole.1 += 1;
            let policy = check.policy;
            match last {
                _ if outside => {}
                Some(trade) if self.whole.len() < MOST => {
                    self.whole.push(Hit { policy, id: trade.id, time: trade.time, why });
                }
                None if self.gone.len() < MOST => {
                    self.gone.push(Gone { policy, order: order.order, created: order.created, why });
                }
                _ => self.hits.miss(policy, 1),
            }
        }
    }

    /// Trades after their order was cancelled or deleted; not where that is how orders end here.
    fn ended(&mut self, order: &Order, trades: &[Claim]) {
        if order.ended == NO_TIME || trades.iter().all(|trade| trade.void || trade.time == NO_TIME) {
            return;
        }
        for check in self.checks.iter_mut().filter(|check| check.problem == Difference::Ended) {
            check.whole.0 += 1;
            let after = |trade: &&Claim| {
                !trade.void && trade.time != NO_TIME && trade.time.saturating_sub(order.ended) > check.tolerance
            };
            let inside = |trade: &&Claim| {
                self.since.is_none_or(|since| trade.time >= since) && self.until.is_none_or(|until| trade.time < until)
            };
            let late: Vec<&Claim> = trades.iter().filter(after).collect();
            check.whole.1 += u64::from(!late.is_empty());
            for trade in late.into_iter().filter(inside) {
                if self.whole.len() >= MOST {
                    self.hits.miss(check.policy, 1);
                    continue;
                }
                let why = format!("its order was cancelled or deleted at {}", moment(order.ended));
                self.whole.push(Hit { policy: check.policy, id: trade.id, time: trade.time, why });
            }
        }
    }

    /// Keeps what was found of whole orders, but for what is usual and what may still be on its way.
    pub(super) fn settle(&mut self) -> Vec<(u16, String)> {
        let mut uncovered = Vec::new();
        let mut usual = Vec::new();
        for check in &self.checks {
            let (all, found) = check.whole;
            // Orders at the market may note a price that binds nobody.
            let one_in = if check.problem == Difference::Worse { 100 } else { 20 };
            if found >= USUAL && found * one_in > all {
                usual.push(check.policy);
                uncovered.push((
                    check.policy,
                    format!("{found} of {all} orders are so: that is usual here, and tells nothing"),
                ));
            }
        }
        for hit in std::mem::take(&mut self.whole) {
            let check = self.checks.iter().find(|check| check.policy == hit.policy);
            let fresh = check.is_some_and(|check| hit.time > self.latest.saturating_sub(check.tolerance));
            let waits = check.is_some_and(|check| check.problem == Difference::Waiting);
            let left_out = usual.contains(&hit.policy) || (fresh && waits);
            if !left_out {
                self.hits.push(hit);
            }
        }
        self.gone.retain(|gone| !usual.contains(&gone.policy));
        // Orders that lack trades as a rule explain nothing.
        if self.checks.iter().any(|check| check.problem == Difference::Filled && usual.contains(&check.policy)) {
            self.lacking.clear();
        }
        uncovered
    }
}
