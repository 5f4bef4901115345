//! Prices of trades against the limits of their orders.

use super::claims::{Claim, Order};
use super::decimal::fixed_text;
use super::hit::{Hit, MOST};
use super::orders::OrderJoin;
use super::policy::Difference;
use super::record::Side;
use super::roles::{Role, SchemaMapping, decimal_places, words_of};
use super::whole_orders::ROUNDED;

/// The role of the orders that limits the price of trades; why it can't be held against it.
pub(super) fn limiting(mapping: &SchemaMapping) -> Result<Role, &'static str> {
    let trades = &mapping.trades;
    if trades.is_exchange() || trades.is_of_outcomes() {
        return Err("the price of one side is not that of the other");
    }
    let orders = mapping.orders.as_ref();
    let limit = orders.and_then(|orders| orders.column(Role::LimitPrice).or_else(|| orders.column(Role::Price)));
    let made = ["avg", "average", "executed", "filled", "fill", "last", "mark", "market", "indicative", "reference"];
    if limit.is_some_and(|limit| words_of(limit).iter().any(|word| made.contains(&word.as_str()))) {
        return Err("the price of orders is none that they allow");
    }
    match (trades.column(Role::Price), limit) {
        (Some(price), Some(limit)) if decimal_places(price) != decimal_places(limit) => {
            Err("prices of trades and orders are in different units")
        }
        _ if orders.is_some_and(|orders| orders.has(Role::LimitPrice)) => Ok(Role::LimitPrice),
        _ => Ok(Role::Price),
    }
}

/// By how much a trade's price is worse than its order allows, beyond what a binary float rounds; `None` where that can't be told.
fn excess(claim: &Claim, order: &Order) -> Option<i128> {
    let (price, limit) = (claim.price.fixed()?, order.limit.fixed().filter(|limit| *limit != 0)?);
    let side = if order.side == Side::Unknown { claim.side } else { order.side };
    let over = match side {
        Side::Buy => price.saturating_sub(limit),
        Side::Sell => limit.saturating_sub(price),
        Side::Unknown => return None,
    };
    Some(over - limit.abs() / ROUNDED)
}

impl OrderJoin {
    /// A trade at a worse price than its order allows; not where that is how trades are here.
    pub(super) fn limit_price(&mut self, claim: &Claim, order: &Order) {
        for check in self.checks.iter_mut().filter(|check| check.problem == Difference::Worse && !claim.void) {
            let Some(excess) = excess(claim, order) else { continue };
            check.whole.0 += 1;
            if excess <= 0 {
                continue;
            }
            check.whole.1 += 1;
            if self.whole.len() >= MOST {
                self.hits.miss(check.policy, 1);
                continue;
            }
            let text = |number: Option<i128>| number.map(fixed_text).unwrap_or_default();
            let (price, limit) = (text(claim.price.fixed()), text(order.limit.fixed()));
            let why = format!("its price is {price}, its order allowed {limit} at worst");
            self.whole.push(Hit { policy: check.policy, id: claim.id, time: claim.time, why });
        }
    }
}
