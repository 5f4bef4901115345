use std::collections::{HashMap, HashSet};

use super::changes::seldom_agree;
use super::decimal::{Decimal, fixed_text};
use super::hit::{Hit, Hits};
use super::judge::moment;
use super::names::{NONE, Reader};
use super::plan::{Layout, Plan};
use super::policy::{Check, Difference, Ledger};
use super::record::{Bytes, NO_TIME, Record, Side, write_decimal};
use super::reference::at_all;
use super::roles::Role;
use super::row::{decimal, moment_of};
use super::whole_orders::corrected;
pub use super::whole_orders::{Gone, Lacking};
use crate::domain::RawRow;

/// Bytes of a [`Claim`].
pub const CLAIM: usize = 8 + 8 + 8 + 4 + 4 + 1 + 10 + 1;
/// Bytes of an [`Order`].
pub const ORDER: usize = 8 + 8 + 8 + 4 + 4 + 1 + 10 + 10 + 1;

/// A trade that names an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Hash of the order's id.
    pub order: u64,
    /// The row's id, as [`Record::id`] holds it.
    pub id: i64,
    /// When the trade happened.
    pub time: i64,
    /// Number of the account.
    pub account: u32,
    /// Number of the instrument.
    pub instrument: u32,
    /// Side.
    pub side: Side,
    /// Quantity.
    pub quantity: Decimal,
    /// It did not take place, or was undone: nothing of the order was traded by it.
    pub void: bool,
}

impl Claim {
    /// Of a record; of its other side, if `counter` is that side's order.
    pub fn new(record: &Record, counter: Option<u64>, void: bool) -> Self {
        Self {
            order: counter.unwrap_or(record.order),
            id: record.id,
            time: record.time,
            account: if counter.is_some() { record.counterparty } else { record.account },
            instrument: record.instrument,
            side: if counter.is_some() { Side::Unknown } else { record.side },
            quantity: record.quantity,
            void,
        }
    }

    /// Whatever was traded.
    #[must_use]
    pub fn of_any_instrument(self) -> Self {
        Self { instrument: NONE, ..self }
    }

    /// Appends its bytes.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.order.to_le_bytes());
        bytes.extend_from_slice(&self.id.to_le_bytes());
        bytes.extend_from_slice(&self.time.to_le_bytes());
        bytes.extend_from_slice(&self.account.to_le_bytes());
        bytes.extend_from_slice(&self.instrument.to_le_bytes());
        bytes.push(self.side as u8);
        write_decimal(bytes, self.quantity);
        bytes.push(u8::from(self.void));
    }

    fn read(bytes: &[u8]) -> Self {
        let mut bytes = Bytes(bytes);
        Self {
            order: u64::from_le_bytes(bytes.take()),
            id: i64::from_le_bytes(bytes.take()),
            time: i64::from_le_bytes(bytes.take()),
            account: u32::from_le_bytes(bytes.take()),
            instrument: u32::from_le_bytes(bytes.take()),
            side: side(bytes.take()),
            quantity: bytes.decimal(),
            void: bytes.take::<1>() != [0],
        }
    }
}

fn side([byte]: [u8; 1]) -> Side {
    match byte {
        1 => Side::Buy,
        2 => Side::Sell,
        _ => Side::Unknown,
    }
}

/// A row of the order table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Hash of its id.
    pub order: u64,
    /// When it was made.
    pub created: i64,
    /// When it was cancelled or deleted.
    pub ended: i64,
    /// Number of the account.
    pub account: u32,
    /// Number of the instrument.
    pub instrument: u32,
    /// Side.
    pub side: Side,
    /// Quantity.
    pub quantity: Decimal,
    /// How much of it was traded, as the order says.
    pub filled: Decimal,
    /// The policies, a bit each, whose words its status is among.
    pub refused: u8,
}

impl Order {
    /// Roles of the order table that are read.
    pub const ROLES: [Role; 11] = [
        Role::Id,
        Role::Account,
        Role::Instrument,
        Role::Side,
        Role::Quantity,
        Role::Filled,
        Role::Status,
        Role::CreatedAt,
        Role::ExecutedAt,
        Role::RevokedAt,
        Role::DeletedAt,
    ];

    /// Reads a row; `None` without an id. What has to be written as text is written into `scratch`.
    pub fn of(
        row: RawRow<'_>,
        layout: &Layout,
        names: &mut Reader,
        refusals: &[(u8, Vec<String>)],
        scratch: &mut Vec<u8>,
    ) -> Option<Self> {
        let place = |role| layout.place(role);
        let order = names.hash(row.text(place(Role::Id)?, scratch)?);
        let account = names.of(place(Role::Account).and_then(|place| row.text(place, scratch)));
        let instrument = if layout.pair {
            names.of_pair(row, [Role::Instrument, Role::Currency].map(place), scratch)
        } else {
            names.of(place(Role::Instrument).and_then(|place| row.text(place, scratch)))
        };
        let side = layout.side(row, scratch);
        let status = place(Role::Status).and_then(|place| row.text(place, scratch));
        let is = |words: &[String]| {
            status.is_some_and(|status| words.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(status)))
        };
        let time = |role| moment_of(row, place(role)?);
        Some(Self {
            order,
            created: time(Role::CreatedAt).unwrap_or(NO_TIME),
            ended: [Role::RevokedAt, Role::DeletedAt]
                .into_iter()
                .filter_map(|role| at_all(time(role)))
                .min()
                .unwrap_or(NO_TIME),
            account,
            instrument,
            side,
            quantity: place(Role::Quantity).map_or(Decimal::Null, |place| decimal(row, place)),
            filled: place(Role::Filled).map_or(Decimal::Null, |place| decimal(row, place)),
            refused: refusals.iter().filter(|(_, words)| is(words)).fold(0, |bits, (bit, _)| bits | bit),
        })
    }

    /// Appends its bytes.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.order.to_le_bytes());
        bytes.extend_from_slice(&self.created.to_le_bytes());
        bytes.extend_from_slice(&self.ended.to_le_bytes());
        bytes.extend_from_slice(&self.account.to_le_bytes());
        bytes.extend_from_slice(&self.instrument.to_le_bytes());
        bytes.push(self.side as u8);
        write_decimal(bytes, self.quantity);
        write_decimal(bytes, self.filled);
        bytes.push(self.refused);
    }

    fn read(bytes: &[u8]) -> Self {
        let mut bytes = Bytes(bytes);
        Self {
            order: u64::from_le_bytes(bytes.take()),
            created: i64::from_le_bytes(bytes.take()),
            ended: i64::from_le_bytes(bytes.take()),
            account: u32::from_le_bytes(bytes.take()),
            instrument: u32::from_le_bytes(bytes.take()),
            side: side(bytes.take()),
            quantity: bytes.decimal(),
            filled: bytes.decimal(),
            refused: bytes.take::<1>()[0],
        }
    }
}

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
    fine: HashSet<u64>,
    aside: bool,
    unmatched: Vec<Claim>,
}

impl OrderJoin {
    /// For a plan's policies; `wanted` are orders that may excuse duplicates.
    pub fn new(plan: &Plan, wanted: HashSet<u64>, since: Option<i64>, until: Option<i64>) -> Self {
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
        Joined { hits: self.hits, fine: self.fine, gone: self.gone, lacking: self.lacking, uncovered }
    }
}

/// What joining gave.
pub struct Joined {
    /// Hits.
    pub hits: Hits,
    /// Orders that excuse what looks like duplicates.
    pub fine: HashSet<u64>,
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
