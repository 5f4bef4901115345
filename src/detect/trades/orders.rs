use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::changes::seldom_agree;
use super::claims::{CLAIM, Claim, ORDER, Order};
use super::decimal::fixed_text;
use super::hit::{Hit, Hits};
use super::judge::moment;
use super::late_fills::LateFills;
use super::names::NONE;
use super::plan::Plan;
use super::policy::{Check, Difference, Ledger};
use super::record::NO_TIME;
use super::roles::Role;
use super::whole_orders::corrected;
pub use super::whole_orders::{Gone, Lacking};

/// A check against orders.
pub(super) struct Against {
    pub(super) policy: u16,
    pub(super) problem: Difference,
    /// Fields that must agree, each with the rows that agreed and that differed.
    fields: Vec<(Role, u64, u64)>,
    pub(super) tolerance: i64,
    pub(super) bit: u8,
    /// Orders that could be judged as a whole, and those found.
    pub(super) whole: (u64, u64),
}

/// Joins trades with their orders, one part of all orders at a time.
pub struct OrderJoin {
    pub(super) checks: Vec<Against>,
    refusals: Vec<(u8, Vec<String>)>,
    pub(super) since: Option<i64>,
    pub(super) until: Option<i64>,
    pub(super) hits: Hits,
    differing: Vec<(Role, Hit)>,
    /// Hits of orders as a whole.
    pub(super) whole: Vec<Hit>,
    pub(super) gone: Vec<Gone>,
    pub(super) lacking: Vec<Lacking>,
    /// The latest trade.
    pub(super) latest: i64,
    /// Orders whose trades are not more than they: an equal fill is no duplicate.
    wanted: HashSet<u64>,
    late: Arc<LateFills>,
    excused: HashSet<(u16, i64)>,
    fine: HashSet<u64>,
    aside: bool,
    unmatched: Vec<Claim>,
}

impl OrderJoin {
    /// For a plan's policies; `wanted` are orders that may excuse duplicates, `late` hits that orders may excuse.
    pub fn new(
        plan: &Plan,
        wanted: HashSet<u64>,
        late: Arc<LateFills>,
        since: Option<i64>,
        until: Option<i64>,
    ) -> Self {
        let mut checks = Vec::new();
        let mut refusals = Vec::new();
        for (policy, one) in (0_u16..).zip(&plan.policies) {
            if let Check::Reconcile { with: Ledger::Orders, problem, fields, tolerance_s, words } = &one.check {
                let bit = if words.is_empty() {
                    0
                } else {
                    1_u8.checked_shl(u32::try_from(refusals.len()).unwrap_or(8)).unwrap_or(0)
                };
                if bit > 0 {
                    refusals.push((bit, words.clone()));
                }
                let tolerance = tolerance_s.saturating_mul(1000);
                let fields = fields.iter().map(|field| (*field, 0, 0)).collect();
                checks.push(Against { policy, problem: *problem, fields, tolerance, bit, whole: (0, 0) });
            }
        }
        Self {
            checks,
            refusals,
            since,
            until,
            hits: Hits::default(),
            differing: Vec::new(),
            whole: Vec::new(),
            gone: Vec::new(),
            lacking: Vec::new(),
            latest: i64::MIN,
            wanted,
            late,
            excused: HashSet::new(),
            fine: HashSet::new(),
            aside: false,
            unmatched: Vec::new(),
        }
    }

    /// Words of an order's status that a policy asks for, with the bit that stands for it.
    pub fn refusals(&self) -> Vec<(u8, Vec<String>)> {
        self.refusals.clone()
    }

    /// Joins one part: all claims and orders whose hashes belong to it.
    pub fn part(&mut self, claims: &[u8], orders: &[u8]) {
        // Each with whether a trade named it.
        let mut known: HashMap<u64, (Order, bool), foldhash::fast::RandomState> =
            orders.chunks_exact(ORDER).map(Order::read).map(|order| (order.order, (order, false))).collect();
        let mut claims: Vec<Claim> = claims.chunks_exact(CLAIM).map(Claim::read).collect();
        claims.sort_unstable_by_key(|claim| (claim.order, claim.time, claim.id));
        for group in claims.chunk_by(|one, two| one.order == two.order) {
            let order = known.get_mut(&group[0].order).map(|(order, named)| {
                *named = true;
                &*order
            });
            if self.aside && order.is_none() {
                self.unmatched.extend(group);
                continue;
            }
            let signed = corrected(group);
            let mut filled: i128 = 0;
            for claim in group {
                let before = filled;
                let more = claim.quantity.fixed().filter(|_| !claim.void).unwrap_or(0);
                filled = filled.saturating_add(if signed == 0 { more.abs() } else { more * signed });
                self.claim(claim, order, before, filled);
            }
            if let Some(order) = order {
                self.order(order, group, filled);
            }
            if let Some(most) = order.and_then(|order| order.quantity.fixed())
                && filled <= most.abs()
                && self.wanted.contains(&group[0].order)
            {
                self.fine.insert(group[0].order);
            }
        }
        if self.asks_for_gone() {
            for (order, _) in known.values().filter(|(_, named)| !named) {
                self.order(order, &[], 0);
            }
        }
    }

    fn claim(&mut self, claim: &Claim, order: Option<&Order>, before: i128, filled: i128) {
        let timed = claim.time != NO_TIME;
        if timed
            && (self.since.is_some_and(|since| claim.time < since)
                || self.until.is_some_and(|until| claim.time >= until))
        {
            return;
        }
        if let Some(order) = order.filter(|_| !self.late.is_empty()) {
            self.excused.extend(self.late.excused(claim, order, (before, filled)));
        }
        if let Some(order) = order {
            self.limit_price(claim, order);
        }
        for check in &mut self.checks {
            let policy = check.policy;
            let hit = |why: String| Hit { policy, id: claim.id, time: claim.time, why };
            match (check.problem, order) {
                (Difference::Missing, None) => self.hits.push(hit("its order is not in the order table".into())),
                (Difference::Differs, Some(order)) => {
                    for (field, agreed, differed) in &mut check.fields {
                        let (one, two) = match field {
                            Role::Account => (claim.account, order.account),
                            Role::Instrument => (claim.instrument, order.instrument),
                            _ => (claim.side as u32, order.side as u32),
                        };
                        if one == NONE || two == NONE {
                            continue;
                        }
                        if one == two {
                            *agreed += 1;
                        } else {
                            *differed += 1;
                            if self.differing.len() < super::hit::MOST {
                                self.differing
                                    .push((*field, hit(format!("its {} is not that of its order", field.name()))));
                            }
                        }
                    }
                }
                (Difference::Overfilled, Some(order)) => {
                    if let Some(most) =
                        order.quantity.fixed().map(i128::abs).filter(|most| filled > *most && filled > before)
                    {
                        let (filled, most) = (fixed_text(filled), fixed_text(most));
                        self.hits
                            .push(hit(format!("with it {filled} of its order were traded, the order is for {most}")));
                    }
                }
                (Difference::BeforeOrder, Some(order)) if timed && order.created != NO_TIME => {
                    check.whole.0 += 1;
                    if order.created.saturating_sub(claim.time) <= check.tolerance {
                        continue;
                    }
                    check.whole.1 += 1;
                    if self.whole.len() < super::hit::MOST {
                        self.whole.push(hit(format!("its order was made only at {}", moment(order.created))));
                    } else {
                        self.hits.miss(policy, 1);
                    }
                }
                (Difference::Refused, Some(order)) if order.refused & check.bit != 0 && !claim.void => {
                    self.hits.push(hit("the status of its order allows no trade".into()));
                }
                _ => {}
            }
        }
    }

    /// Takes what another one found in other parts.
    pub fn merge(&mut self, other: Self) {
        self.hits.extend(other.hits);
        self.differing.extend(other.differing);
        self.whole.extend(other.whole);
        self.gone.extend(other.gone);
        self.lacking.extend(other.lacking);
        self.latest = self.latest.max(other.latest);
        self.fine.extend(other.fine);
        self.excused.extend(other.excused);
        self.unmatched.extend(other.unmatched);
        // Both were made for the same plan: their checks are the same, in the same order.
        for (own, other) in self.checks.iter_mut().zip(other.checks) {
            own.whole = (own.whole.0 + other.whole.0, own.whole.1 + other.whole.1);
            for (own, other) in own.fields.iter_mut().zip(other.fields) {
                *own = (own.0, own.1 + other.1, own.2 + other.2);
            }
        }
    }

    /// Keeps trades without an order aside, instead of taking the order as missing.
    pub fn set_aside(&mut self, aside: bool) -> Vec<Claim> {
        self.aside = aside;
        std::mem::take(&mut self.unmatched)
    }

    /// Hits, orders that excuse duplicates and that lack trades, and fields that do not mean the same on both sides.
    pub fn finish(mut self) -> Joined {
        let mut uncovered = self.settle();
        for check in &self.checks {
            for (field, ..) in check.fields.iter().filter(|field| means_another(field)) {
                let why = format!(
                    "{} is seldom the same in trades and orders: the columns do not mean the same",
                    field.name()
                );
                uncovered.push((check.policy, why));
            }
        }
        for (field, hit) in std::mem::take(&mut self.differing) {
            let of = self.checks.iter().find(|check| check.policy == hit.policy);
            if !of.is_some_and(|check| check.fields.iter().any(|one| one.0 == field && means_another(one))) {
                self.hits.push(hit);
            }
        }
        let Self { hits, fine, excused, gone, lacking, .. } = self;
        Joined { hits, fine, excused, gone, lacking, uncovered }
    }
}

/// What joining gave.
pub struct Joined {
    /// Hits.
    pub hits: Hits,
    /// Orders that excuse what looks like duplicates.
    pub fine: HashSet<u64>,
    /// Late fills that their orders excuse: policy and row.
    pub excused: HashSet<(u16, i64)>,
    /// Orders all of whose trades are missing.
    pub gone: Vec<Gone>,
    /// What orders say was traded, and no trade has.
    pub lacking: Vec<Lacking>,
    /// What could not be judged: policy and reason.
    pub uncovered: Vec<(u16, String)>,
}

fn means_another((_, agreed, differed): &(Role, u64, u64)) -> bool {
    seldom_agree(*agreed, *differed)
}
