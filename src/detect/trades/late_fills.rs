//! Trades after a key was revoked, or an account closed, of orders that were made before: late fills, no intrusions.

use std::collections::{HashMap, HashSet};

use super::claims::{Claim, Order};
use super::decimal::Decimal;
use super::hit::{Hit, Hits, MOST};
use super::judge::Known;
use super::names::NONE;
use super::policy::{Check, LookupTable, Problem};
use super::record::{NO_TIME, Record};

/// A hit that its order may yet excuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateFill {
    hit: Hit,
    /// Hash of the order's id.
    order: u64,
    /// From when on no order was to be made any more, in milliseconds.
    since: i64,
}

/// What a row says by itself of a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lateness {
    /// It is one.
    Hit,
    /// There are no orders, and the row itself was made before, as an order is.
    Excused,
    /// Its order tells; none was to be made from that moment on.
    AskOrder(i64),
}

/// From when on a lookup's problem is one, in milliseconds, and for how long after it late fills may come.
fn allowance(check: &Check, known: Known<'_>, time: i64) -> Option<(i64, i64)> {
    let Check::Lookup { table, problem, late_fill_s, .. } = check else { return None };
    let since = match (table, problem) {
        (LookupTable::Keys, Problem::Revoked) => known.key?.revoked,
        (LookupTable::Keys, Problem::Expired) => known.key?.expires,
        (LookupTable::Accounts, Problem::Revoked) => known.account?.closed_at(time),
        _ => None,
    };
    (*late_fill_s > 0).then_some((since?, late_fill_s.saturating_mul(1000)))
}

/// Whether a check lets late fills pass.
pub(super) fn allows_late_fills(check: &Check) -> bool {
    matches!(check, Check::Lookup { late_fill_s, .. } if *late_fill_s > 0)
}

/// What a record says of a hit of that check. Where orders tell when they were made, they alone do: what a row says of its own making is written by
/// whoever writes the row.
pub(super) fn lateness(check: &Check, known: Known<'_>, record: &Record, orders_tell: bool) -> Lateness {
    let Some((since, allowed)) = allowance(check, known, record.time) else { return Lateness::Hit };
    let in_time = record.time.saturating_sub(since) <= allowed;
    match (orders_tell, record.order) {
        (true, order) if in_time && order != 0 => Lateness::AskOrder(since),
        (false, _) if in_time && record.created != NO_TIME && record.created <= since => Lateness::Excused,
        _ => Lateness::Hit,
    }
}

/// Hits that wait for their orders, bounded.
#[derive(Debug, Default)]
pub struct LateFills {
    /// By the row's id.
    by_row: HashMap<i64, Vec<LateFill>, foldhash::fast::RandomState>,
    count: usize,
    /// There were too many; they count as hits.
    beyond: Hits,
}

impl LateFills {
    pub(super) fn add(&mut self, hit: Hit, order: u64, since: i64) {
        if self.count >= MOST {
            self.beyond.push(hit);
            return;
        }
        self.count += 1;
        self.by_row.entry(hit.id).or_default().push(LateFill { hit, order, since });
    }

    /// Takes those of another part.
    pub fn merge(&mut self, other: Self) {
        self.beyond.extend(other.beyond);
        for late in other.by_row.into_values().flatten() {
            self.add(late.hit, late.order, late.since);
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.by_row.is_empty()
    }

    /// Policies whose hit a trade's order excuses: it was made in time by the same account, and is for as much.
    pub(super) fn excused(
        &self,
        claim: &Claim,
        order: &Order,
        (before, filled): (i128, i128),
    ) -> impl Iterator<Item = (u16, i64)> {
        let overfills = match order.quantity {
            Decimal::Null => false,
            quantity => quantity.fixed().is_some_and(|most| filled > most.abs() && filled > before),
        };
        let same = claim.account == NONE || order.account == NONE || claim.account == order.account;
        let (made, named) = (order.created, claim.order);
        let waiting = self.by_row.get(&claim.id).filter(|_| same && !overfills && made != NO_TIME);
        let excused = move |late: &&LateFill| late.order == named && made <= late.since;
        waiting.into_iter().flatten().filter(excused).map(|late| (late.hit.policy, late.hit.id))
    }

    /// Those that no order excused.
    pub fn finish(&self, excused: &HashSet<(u16, i64)>, hits: &mut Hits) {
        let mut rest: Vec<&Hit> = self.by_row.values().flatten().map(|late| &late.hit).collect();
        rest.retain(|hit| !excused.contains(&(hit.policy, hit.id)));
        rest.sort_unstable_by_key(|hit| (hit.time, hit.id, hit.policy));
        for hit in rest {
            hits.push(hit.clone());
        }
        hits.extend(self.beyond.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::trades::policy::TradePolicy;
    use crate::detect::trades::reference::Key;
    use crate::detect::trades::stage_tests::{Cells, DAY, HOUR, Stage, account, key, order, scan, trade};

    fn policy(table: &str, problem: &str) -> TradePolicy {
        let text = format!(
            "version: 1\nid: p\ntitle: T\nlevel: high\nwhy: W\nfalse_positives: []\ncheck: {{ kind: lookup, table: {table}, problem: {problem}, late_fill_s: 864000 }}\n"
        );
        TradePolicy::parse("p.yml", &text).unwrap()
    }

    fn ids(stage: &Stage, policy: &TradePolicy) -> Vec<String> {
        scan(std::slice::from_ref(policy), stage).hits.remove("p").unwrap_or_default().into_iter().collect()
    }

    /// The trade an hour after the moment, its order as `made` makes it an hour before.
    fn found(problem: &str, trade: &Cells, made: impl Fn(Cells) -> Cells) -> Vec<String> {
        let stage = |order: Cells| Stage::of(vec![trade.clone()]).order(made(order));
        let stage = stage(order(trade).at("createdAt", -HOUR));
        let (table, stage) = match problem {
            "closed" => ("accounts", stage.account(account("acc_1").at("closedAt", 0))),
            "expired" => ("keys", stage.key(key("key_1", "acc_1").at("expiresAt", 0))),
            _ => ("keys", stage.key(key("key_1", "acc_1").at("revokedAt", 0))),
        };
        let problem = if problem == "closed" { "revoked" } else { problem };
        ids(&stage, &policy(table, problem))
    }

    #[test]
    fn an_order_that_was_made_in_time_may_be_filled_later() {
        for problem in ["revoked", "expired", "closed"] {
            let late = || trade(1, HOUR);
            assert!(found(problem, &late(), |order| order).is_empty(), "{problem}");
            assert!(found(problem, &late(), |order| order.at("createdAt", 0)).is_empty(), "{problem}");
            let hit = |trade: Cells, made: &dyn Fn(Cells) -> Cells| {
                assert_eq!(found(problem, &trade, made), ["1"], "{problem}");
            };
            hit(late(), &|order| order.at("createdAt", 1));
            hit(late(), &|order| order.null("createdAt"));
            hit(late(), &|order| order.with("id", "another"));
            hit(late(), &|order| order.with("accountId", "acc_2"));
            hit(late(), &|order| order.with("quantity", "0.5"));
            hit(late().null("orderId"), &|order| order);
            assert!(found(problem, &trade(1, 10 * DAY), |order| order).is_empty(), "{problem}");
            hit(trade(1, 10 * DAY + 1), &|order| order);
            // What the row says of its own making counts for nothing beside orders.
            hit(late().null("orderId").at("createdAt", -HOUR), &|order| order);
        }
    }

    #[test]
    fn where_trades_and_orders_are_one_table_the_row_tells() {
        let check = policy("keys", "revoked").check;
        let key = Key { revoked: Some(0), ..Key::default() };
        let told = |time: i64, created: i64, orders_tell: bool| {
            let record = Record { time, created, ..Record::default() };
            lateness(&check, Known { key: Some(&key), account: None }, &record, orders_tell)
        };
        assert_eq!(told(HOUR, 0, false), Lateness::Excused);
        assert_eq!(told(10 * DAY, -DAY, false), Lateness::Excused);
        for (time, created, orders_tell) in
            [(HOUR, 1, false), (HOUR, NO_TIME, false), (10 * DAY + 1, 0, false), (HOUR, 0, true)]
        {
            assert_eq!(told(time, created, orders_tell), Lateness::Hit, "{time} {created} {orders_tell}");
        }
    }

    #[test]
    fn what_an_order_was_filled_with_before_counts() {
        // Half of it before the key was revoked, half after, and as much again.
        let part = |id: i64, at: i64| trade(id, at).with("orderId", "ord").with("quantity", 1);
        let trades = vec![part(1, -HOUR / 2), part(2, HOUR), part(3, 2 * HOUR)];
        let of = order(&trades[0]).at("createdAt", -HOUR).with("quantity", 2);
        let stage = Stage::of(trades).order(of).key(key("key_1", "acc_1").at("revokedAt", 0));
        assert_eq!(ids(&stage, &policy("keys", "revoked")), ["3"]);
    }

    #[test]
    fn it_is_for_what_ends_at_a_moment() {
        let text = "version: 1\nid: p\ntitle: T\nlevel: high\nwhy: W\nfalse_positives: []\ncheck: { kind: lookup, table: keys, problem: missing, late_fill_s: 1 }\n";
        let error = TradePolicy::parse("p.yml", text).unwrap_err().to_string();
        assert!(error.contains("`late_fill_s` is for `revoked` and `expired`"), "{error}");
    }
}
