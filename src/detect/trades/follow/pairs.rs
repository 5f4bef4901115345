use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher;

use super::super::decimal::Decimal;
use super::super::hit::{Hit, MOST};
use super::super::record::{Record, Side};
use super::super::reference::Reference;
use super::{Map, Said, named};

const HOUR: i64 = 3_600_000;
/// Who went both ways so often, and not alike, does so as a rule.
const CROSSED: usize = 10;
/// Most trades of one pair that are remembered.
const REMEMBERED: usize = 64;

#[derive(Clone, Copy)]
struct Leg {
    time: i64,
    id: i64,
    /// Hash of the order; 0 for none.
    order: u64,
    /// 1 where the first of the two accounts, by number, bought.
    way: i64,
    quantity: Decimal,
    price: Decimal,
}

impl Leg {
    /// Equal fills of one order are one; a trade without an order is its own.
    fn own(&self) -> (u64, i64) {
        (self.order, if self.order == 0 { self.id } else { 0 })
    }
}

/// Both accounts of a trade in the order of their numbers (the account twice where no counterparty is known), the
/// instrument, and the way.
fn leg(record: &Record) -> Option<((u32, u32, u32), Leg)> {
    let bought = match (record.side, named(record.counterparty)) {
        (Side::Sell, _) => -1,
        // A row that names buyer and seller has no side: the account is the buyer.
        (Side::Buy, _) | (Side::Unknown, true) => 1,
        (Side::Unknown, false) => return None,
    };
    if !named(record.account) || !named(record.instrument) || !record.quantity.is_finite() {
        return None;
    }
    let other = if named(record.counterparty) { record.counterparty } else { record.account };
    let way = if record.account <= other { bought } else { -bought };
    let key = (record.account.min(other), record.account.max(other), record.instrument);
    let leg = Leg {
        time: record.time,
        id: record.id,
        order: record.order,
        way,
        quantity: record.quantity.abs(),
        price: record.price,
    };
    Some((key, leg))
}

/// Of owners with several accounts: each account with the first of them.
fn same_owner(reference: &Reference) -> Map<u32, u32> {
    let mut of_owner: Map<u32, Vec<u32>> = Map::default();
    for (account, known) in reference.accounts.iter().flatten().filter(|(_, known)| named(known.owner)) {
        of_owner.entry(known.owner).or_default().push(*account);
    }
    let several = of_owner.into_values().filter(|accounts| accounts.len() > 1);
    several
        .flat_map(|accounts| {
            let first = accounts.iter().copied().min().unwrap_or_default();
            accounts.into_iter().map(move |account| (account, first))
        })
        .collect()
}

/// Two accounts and an instrument.
type Pair = (u32, u32, u32);

/// What is remembered of each pair. Those whose window has passed are swept out whenever their number has doubled, so that few lie in memory.
struct Pairs<T> {
    by_pair: Map<Pair, T>,
    sweep_at: usize,
}

/// Fewer pairs than this are never swept.
const FEW: usize = 512;

impl<T: Default> Pairs<T> {
    fn new() -> Self {
        Self { by_pair: Map::default(), sweep_at: FEW }
    }

    /// What is remembered of a pair; others that `is_over` may be forgotten.
    fn of(&mut self, pair: Pair, is_over: impl Fn(&T) -> bool) -> &mut T {
        if self.by_pair.len() >= self.sweep_at {
            self.by_pair.retain(|_, known| !is_over(known));
            self.sweep_at = (self.by_pair.len() * 2).max(FEW);
        }
        self.by_pair.entry(pair).or_default()
    }
}

/// The same quantity bought and sold at the same price, and little else beside it: where many trades are made in the window, as a market maker does,
/// some are alike by chance.
pub(super) struct Wash {
    within: i64,
    /// So many trades alike, each within the window of its opposite.
    span: i64,
    trades: usize,
    usual_hours: usize,
    /// Accounts of one owner are one.
    same_owner: Map<u32, u32>,
    pairs: Pairs<Legs>,
    suspects: Vec<Suspect>,
    /// The last hour in which two did so, and how many hours there were.
    hours: Map<Pair, (i64, usize)>,
    /// How often two went both ways within the window, and not alike.
    crossed: Map<Pair, usize>,
    /// Suspects that are not kept.
    pub(super) overflow: u64,
}

#[derive(Default)]
struct Legs {
    /// Those of the window; whether the opposite was found.
    legs: VecDeque<(Leg, bool)>,
    /// Suspects of this pair whose window is not over.
    open: Vec<usize>,
}

/// What is a wash trade unless its window, before it and after it, holds as much that is unlike it.
struct Suspect {
    pair: Pair,
    time: i64,
    matched: usize,
    legs: usize,
    /// The orders of what is alike: equal fills of one count once.
    orders: BTreeSet<(u64, i64)>,
    rows: Vec<(i64, i64)>,
    why: String,
}

impl Wash {
    /// `together`: so many milliseconds may lie between the first and the last of them; 0: as many windows as trades.
    pub(super) fn new(within: i64, trades: usize, usual_hours: usize, together: i64, reference: &Reference) -> Self {
        let windows = within.saturating_mul(i64::try_from(trades.max(1)).unwrap_or(i64::MAX));
        Self {
            within,
            span: together.max(windows),
            trades: trades.max(1),
            same_owner: same_owner(reference),
            usual_hours,
            pairs: Pairs::new(),
            suspects: Vec::new(),
            hours: Map::default(),
            crossed: Map::default(),
            overflow: 0,
        }
    }

    /// The one account that stands for all of its owner's.
    fn of_owner(&self, record: &Record) -> Option<Pair> {
        let one = self.same_owner.get(&record.account).filter(|_| !named(record.counterparty))?;
        Some((*one, *one, record.instrument))
    }

    pub(super) fn record(&mut self, record: &Record, report: bool) -> Said {
        let Some((key, leg)) = leg(record) else { return Said::Nothing };
        let key = self.of_owner(record).unwrap_or(key);
        let (within, span, suspects) = (self.within, self.span, &mut self.suspects);
        let old = |than: i64| leg.time.saturating_sub(than) > span;
        let near = |other: &Leg| leg.time.saturating_sub(other.time) <= within;
        let Legs { legs, open } = self.pairs.of(key, |known| known.legs.back().is_none_or(|(last, _)| old(last.time)));
        while legs.front().is_some_and(|(first, _)| old(first.time)) || legs.len() > REMEMBERED {
            legs.pop_front();
        }
        let opposite = legs.iter_mut().rev().find(|(other, matched)| {
            !matched
                && near(other)
                && other.way == -leg.way
                && other.quantity == leg.quantity
                && other.price == leg.price
        });
        let mut met = Vec::new();
        if let Some((opposite, matched)) = opposite {
            *matched = true;
            met = vec![opposite.own(), leg.own()];
        }
        let matched = !met.is_empty();
        legs.push_back((leg, matched));
        open.retain(|suspect| !old(suspects[*suspect].time));
        for suspect in open.iter() {
            let suspect = &mut suspects[*suspect];
            suspect.legs += 1;
            if matched {
                suspect.matched += 2;
                suspect.orders.extend(&met);
            }
        }
        if !matched {
            if legs.iter().any(|(other, _)| near(other) && other.way == -leg.way) {
                *self.crossed.entry(key).or_default() += 1;
            }
            return Said::Nothing;
        }
        if self.usual_hours > 0 {
            let (hour, hours) = self.hours.entry(key).or_insert((i64::MIN, 0));
            if std::mem::replace(hour, leg.time.div_euclid(HOUR)) != leg.time.div_euclid(HOUR) {
                *hours += 1;
            }
        }
        let pairs: Vec<_> = legs.iter().filter(|(_, matched)| *matched).map(|(leg, _)| (leg.id, leg.time)).collect();
        let orders: BTreeSet<_> = legs.iter().filter(|(_, matched)| *matched).map(|(leg, _)| leg.own()).collect();
        if orders.len() < self.trades * 2 || pairs.len() * 2 <= legs.len() || !report {
            return Said::Nothing;
        }
        if suspects.len() >= MOST {
            self.overflow += 1;
            return Said::Nothing;
        }
        let counts = (pairs.len(), legs.len());
        // At the threshold the earlier legs are reported with it; later, the two new ones.
        let all = self.trades > 1 || pairs.len() < self.trades * 2 + 2;
        let rows = if all { pairs } else { pairs[pairs.len() - 2..].to_vec() };
        let how = match (named(record.counterparty), self.same_owner.contains_key(&record.account)) {
            (true, _) => "between the same two accounts",
            (false, true) => "by accounts of the same owner",
            (false, false) => "by the same account",
        };
        let why = format!("the same quantity was bought and sold at the same price {how} within {} s", span / 1000);
        if open.len() >= REMEMBERED {
            open.remove(0);
        }
        open.push(suspects.len());
        suspects.push(Suspect { pair: key, time: leg.time, matched: counts.0, legs: counts.1, orders, rows, why });
        Said::Nothing
    }

    pub(super) fn finish(self, policy: u16) -> impl Iterator<Item = Hit> {
        let (hours, usual) = (self.hours, self.usual_hours);
        // Whoever goes both ways all the time is alike once by chance.
        let (crossed, least) = (self.crossed, self.trades * 2);
        let chance = move |suspect: &Suspect| {
            suspect.orders.len() <= least && crossed.get(&suspect.pair).is_some_and(|times| *times >= CROSSED)
        };
        let usual = move |pair: &Pair| usual > 0 && hours.get(pair).is_some_and(|(_, hours)| *hours >= usual);
        let alike = |suspect: &Suspect| suspect.matched * 2 > suspect.legs;
        let washed = self
            .suspects
            .into_iter()
            .filter(move |suspect| alike(suspect) && !usual(&suspect.pair) && !chance(suspect));
        washed.flat_map(move |Suspect { rows, why, .. }| {
            rows.into_iter().map(move |(id, time)| Hit { policy, id, time, why: why.clone() })
        })
    }
}

/// Rounds of one pair in which always the same one loses.
pub(super) struct RoundTrips {
    within: i64,
    trades: usize,
    pairs: Pairs<Trips>,
}

#[derive(Default)]
struct Trips {
    open: VecDeque<Leg>,
    /// Closed rounds: both legs, and the sign of the first account's gain.
    closed: VecDeque<(Leg, Leg, i64)>,
    /// The rounds before the last were reported with it.
    told: bool,
}

impl RoundTrips {
    pub(super) fn new(within: i64, trades: usize) -> Self {
        Self { within, trades: trades.max(1), pairs: Pairs::new() }
    }

    pub(super) fn record(&mut self, record: &Record) -> Said {
        if !named(record.counterparty) || record.counterparty == record.account {
            return Said::Nothing;
        }
        let Some((key, leg)) = leg(record) else { return Said::Nothing };
        let within = self.within;
        let old = |than: i64| leg.time.saturating_sub(than) > within;
        let trips = self.pairs.of(key, |trips| {
            trips.open.back().is_none_or(|last| old(last.time))
                && trips.closed.back().is_none_or(|(first, ..)| old(first.time))
        });
        while trips.open.front().is_some_and(|first| old(first.time)) || trips.open.len() > REMEMBERED {
            trips.open.pop_front();
        }
        while trips.closed.front().is_some_and(|(first, ..)| old(first.time)) || trips.closed.len() > REMEMBERED {
            trips.closed.pop_front();
        }
        let found = trips.open.iter().position(|other| other.way == -leg.way && other.quantity == leg.quantity);
        let Some(first) = found.and_then(|place| trips.open.remove(place)) else {
            trips.open.push_back(leg);
            return Said::Nothing;
        };
        let (Some(began), Some(ended)) = (first.price.fixed(), leg.price.fixed()) else {
            return Said::Unusable("the price can't be read");
        };
        let gain = i64::try_from((ended - began).signum()).unwrap_or(0) * first.way;
        trips.closed.push_back((first, leg, gain));
        let one_way = gain != 0 && trips.closed.iter().all(|(.., other)| *other == gain);
        if !one_way || trips.closed.len() < self.trades {
            trips.told = false;
            return Said::Nothing;
        }
        // One order bought and one sold are one round, in however many fills.
        let (opened, ended): (BTreeSet<_>, BTreeSet<_>) =
            trips.closed.iter().map(|(one, two, _)| (one.own(), two.own())).unzip();
        if opened.len().min(ended.len()) < self.trades {
            trips.told = false;
            return Said::Nothing;
        }
        let all: Vec<_> =
            trips.closed.iter().flat_map(|(one, two, _)| [(one.id, one.time), (two.id, two.time)]).collect();
        let news = if std::mem::replace(&mut trips.told, true) { all[all.len() - 2..].to_vec() } else { all };
        let rounds = trips.closed.len();
        Said::These(
            news,
            format!("{rounds} rounds with one counterparty within {} s, and always the same side loses", within / 1000),
        )
    }
}

/// A duplicate that its order may excuse: fills of the same size.
#[derive(Debug, Clone)]
pub struct Doubt {
    /// The hit.
    pub hit: Hit,
    /// Hash of the order; 0 for none.
    pub order: u64,
}

/// The same trade twice.
pub(super) struct Duplicates {
    policy: u16,
    within: i64,
    state: foldhash::fast::RandomState,
    last: Map<u64, i64>,
    queue: VecDeque<(i64, u64)>,
    doubts: Vec<Doubt>,
}

impl Duplicates {
    pub(super) fn new(policy: u16, within: i64) -> Self {
        Self {
            policy,
            within,
            state: foldhash::fast::RandomState::default(),
            last: Map::default(),
            queue: VecDeque::new(),
            doubts: Vec::new(),
        }
    }

    pub(super) fn record(&mut self, record: &Record, report: bool) -> Said {
        while let Some((time, key)) =
            self.queue.front().copied().filter(|(time, _)| record.time.saturating_sub(*time) > self.within)
        {
            self.queue.pop_front();
            if self.last.get(&key) == Some(&time) {
                self.last.remove(&key);
            }
        }
        if !named(record.account) || !record.quantity.is_finite() {
            return Said::Nothing;
        }
        let same = (
            record.account,
            record.instrument,
            record.counterparty,
            record.side,
            record.quantity,
            record.price,
            record.order,
        );
        let key = self.state.hash_one(same);
        self.queue.push_back((record.time, key));
        if self.last.insert(key, record.time).is_some() && report && self.doubts.len() < MOST {
            let why = format!(
                "a trade with the same account, instrument, side, quantity, price and order was made within {} ms before it",
                self.within
            );
            let hit = Hit { policy: self.policy, id: record.id, time: record.time, why };
            self.doubts.push(Doubt { hit, order: record.order });
        }
        Said::Nothing
    }

    pub(super) fn finish(self) -> Vec<Doubt> {
        self.doubts
    }
}
