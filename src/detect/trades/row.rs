use std::borrow::Cow;
use std::sync::Arc;

use super::changes::Changes;
use super::decimal::Decimal;
use super::expression::Cells;
use super::hit::Hits;
use super::ids::Ids;
use super::judge::{Judge, Known};
use super::late_fills::LateFills;
use super::names::Reader;
use super::plan::Plan;
use super::policy::{Check, Sequence};
use super::record::{NO_TIME, Record, Side};
use super::reference::Reference;
use super::roles::Role;
use super::together::Together;
use super::value::millis;
use crate::domain::RawRow;

/// Reads rows in any order: makes their records, and runs the checks that need one row only.
pub struct RowReader {
    plan: Arc<Plan>,
    reference: Arc<Reference>,
    names: Reader,
    /// Numbers of the policies that one row answers by itself.
    checks: Vec<u16>,
    since: Option<i64>,
    until: Option<i64>,
    /// Bytes of ids before those in `ids`.
    ids_base: i64,
    /// Texts of ids that are no whole numbers, with their lengths, not yet taken.
    pub ids: Vec<u8>,
    /// Whether the last row says that it never counted, or counts no more.
    pub void: bool,
    /// The last status, and whether it says so.
    status: (Vec<u8>, bool),
    /// Hash of the other side's order of the last row; 0 for none.
    pub counter_order: u64,
    /// Hash of the last row's id.
    pub id_hash: u64,
    /// Hash of the last row's name at the exchange; 0 for none.
    pub outer_name: u64,
    /// The same, else that of its id.
    pub outer_hash: u64,
    /// What was seen.
    pub seen: Seen,
    /// The text of the cell that is looked at, where it has to be written.
    scratch: Vec<u8>,
}

/// What a part of a scan saw besides records.
#[derive(Debug, Default)]
pub struct Seen {
    /// Rows.
    pub rows: u64,
    /// Rows that could not be judged, by policy, with the reason.
    pub unusable: std::collections::BTreeMap<(u16, &'static str), u64>,
    /// Rows whose account is that of their key, by policy.
    pub agreed: std::collections::BTreeMap<u16, u64>,
    /// Hits.
    pub hits: Hits,
    /// Whole-number ids.
    pub whole: Ids,
    /// Rows within the window that was asked for.
    pub judged: u64,
    /// Rows that were changed late, by policy.
    pub changes: std::collections::BTreeMap<u16, Changes>,
    /// Rows that were written late, by policy.
    pub together: std::collections::BTreeMap<u16, Together>,
    /// Rows that their orders may excuse.
    pub late: LateFills,
}

/// The cells of a row.
pub(super) struct Row<'r> {
    pub(super) raw: RawRow<'r>,
    pub(super) plan: &'r Plan,
    pub(super) now: i64,
    pub(super) quantity: Decimal,
    pub(super) price: Decimal,
    pub(super) value: Decimal,
    pub(super) executed: Option<i64>,
    pub(super) created: Option<i64>,
    pub(super) updated: Option<i64>,
    /// It is a deposit, a dividend, a fee: no trade, in a table that holds both.
    pub(super) is_booking: bool,
}

impl Row<'_> {
    /// Neither an amount nor a price where trades have both; or no price, and what it is instead of a side.
    fn books(&self, side: Side) -> bool {
        let layout = &self.plan.layout;
        if self.price != Decimal::Null && self.price.sign() != Some(0) {
            return false;
        }
        let no_amounts = self.price == Decimal::Null
            && self.quantity == Decimal::Null
            && [Role::Price, Role::Quantity].iter().all(|role| layout.place(*role).is_some());
        let is_other = || {
            let place = layout.place(Role::Side).filter(|_| layout.place(Role::Price).is_some());
            side == Side::Unknown && place.is_some_and(|place| self.raw.has(place))
        };
        no_amounts || is_other()
    }
}

impl Cells for Row<'_> {
    fn text(&self, role: Role) -> Option<Cow<'_, [u8]>> {
        self.raw.cell(self.plan.layout.place(role)?)
    }
    fn has(&self, role: Role) -> bool {
        self.plan.layout.place(role).is_some_and(|place| self.raw.has(place))
    }
    fn time_role(&self) -> Option<Role> {
        if self.executed.is_some() { Some(Role::ExecutedAt) } else { self.created.map(|_| Role::CreatedAt) }
    }
    fn now(&self) -> i64 {
        self.now
    }
    fn decimal(&self, role: Role) -> Decimal {
        match role {
            Role::Quantity => self.quantity,
            Role::Price => self.price,
            Role::Value => self.value,
            _ => self.plan.layout.place(role).map_or(Decimal::Null, |place| decimal(self.raw, place)),
        }
    }
    fn millis(&self, role: Role) -> Option<i64> {
        match role {
            Role::ExecutedAt => self.executed,
            Role::CreatedAt => self.created,
            Role::UpdatedAt => self.updated,
            _ => moment_of(self.raw, self.plan.layout.place(role)?),
        }
    }
}

impl RowReader {
    /// For the rows that a plan reads; hits outside `since`..`until` (milliseconds) are left out. Texts of ids are said to
    /// lie from `ids_base` on.
    pub fn new(
        plan: Arc<Plan>,
        reference: Arc<Reference>,
        since: Option<i64>,
        until: Option<i64>,
        ids_base: i64,
    ) -> Self {
        let names = Reader::new(Arc::clone(&reference.names));
        Self {
            checks: of_one_row(&plan),
            plan,
            reference,
            names,
            since,
            until,
            ids_base,
            ids: Vec::new(),
            void: false,
            status: (Vec::new(), false),
            counter_order: 0,
            id_hash: 0,
            outer_name: 0,
            outer_hash: 0,
            seen: Seen::default(),
            scratch: Vec::with_capacity(64),
        }
    }

    /// Texts of ids that were taken away, in bytes; later ids lie behind them.
    pub fn took_ids(&mut self) -> Vec<u8> {
        let taken = std::mem::take(&mut self.ids);
        self.ids_base = self.ids_base.saturating_add(i64::try_from(taken.len()).unwrap_or(i64::MAX));
        taken
    }

    /// Whether the outcome that was bought is part of the instrument.
    pub fn is_of_outcomes(&self) -> bool {
        self.plan.layout.of_outcomes
    }

    /// Takes a row.
    pub fn row(&mut self, raw: RawRow<'_>) -> Record {
        let Self { plan, reference, names, seen, scratch, .. } = self;
        seen.rows += 1;
        let place = |role| plan.layout.place(role);
        // Key and account are looked up first: where they lie in memory is waited for while the rest is read.
        let mut name = |role| names.of(place(role).and_then(|place| raw.text(place, scratch)));
        let (account, key) = (name(Role::Account), name(Role::Key));
        let known = Known {
            key: reference.keys.as_ref().and_then(|keys| keys.get(&key)),
            account: reference.accounts.as_ref().and_then(|accounts| accounts.get(&account)),
        };
        let amount = |role| place(role).map_or(Decimal::Null, |place| decimal(raw, place));
        let time = |role| moment_of(raw, place(role)?);
        let mut row = Row {
            raw,
            plan,
            now: reference.now,
            quantity: amount(Role::Quantity),
            price: amount(Role::Price),
            value: amount(Role::Value),
            executed: time(Role::ExecutedAt),
            created: time(Role::CreatedAt),
            updated: time(Role::UpdatedAt),
            is_booking: false,
        };
        let mut record = Record {
            time: row.executed.or(row.created).unwrap_or(NO_TIME),
            created: row.created.unwrap_or(NO_TIME),
            updated: row.updated.unwrap_or(NO_TIME),
            quantity: row.quantity,
            price: row.price,
            value: row.value,
            worth: amount(Role::Worth),
            account,
            key,
            side: plan.layout.side(raw, scratch),
            ..Record::default()
        };
        let deleted = place(Role::DeletedAt).and_then(|place| raw.text(place, scratch)).is_some_and(says_deleted);
        row.is_booking = deleted || row.books(record.side);
        self.void = deleted || {
            let status = place(Role::Status).and_then(|place| raw.text(place, scratch)).unwrap_or_default();
            if self.status.0 != status {
                self.status = (status.to_vec(), is_void(status));
            }
            self.status.1
        };
        let mut hash = |role| place(role).and_then(|place| raw.text(place, scratch)).map(|text| names.hash(text));
        record.order = hash(Role::Order).unwrap_or(0);
        self.counter_order = hash(Role::CounterOrder).unwrap_or(0);
        self.id_hash = if plan.hash_ids { hash(Role::Id).unwrap_or(0) } else { 0 };
        let outer = hash(Role::ExternalRef);
        (self.outer_name, self.outer_hash) = (outer.unwrap_or(0), outer.unwrap_or(self.id_hash));
        let mut name = |role| names.of(place(role).and_then(|place| raw.text(place, scratch)));
        record.instrument = if plan.layout.pair { 0 } else { name(Role::Instrument) };
        record.counterparty = name(Role::Counterparty);
        record.destination = name(Role::Destination);
        record.ip = name(Role::Ip);
        if plan.layout.pair {
            record.instrument = names.of_pair(raw, [Role::Instrument, Role::Currency].map(place), scratch);
        }
        if plan.xmin {
            let xmin = whole(raw, plan.layout.width(), scratch);
            record.xmin = xmin.and_then(|xmin| u32::try_from(xmin).ok()).unwrap_or(0);
        }
        record.id = id_of(raw, plan, seen, (&mut self.ids, self.ids_base), scratch);
        if !is_outside(record.time, self.since, self.until) {
            seen.judged += 1;
            let judge = Judge { reference, row: &row, record: &record, seen };
            judge.all(&self.checks, known);
        }
        if row.is_booking { record.of_no_trade() } else { record }
    }
}

/// Words of a trade's status that say that it did not take place, or was undone, in lower case.
pub(super) const VOID: [&str; 15] = [
    "failed",
    "rejected",
    "declined",
    "cancelled",
    "canceled",
    "voided",
    "void",
    "reversed",
    "busted",
    "bust",
    "refunded",
    "expired",
    "error",
    "abgelehnt",
    "storniert",
];

fn is_void(status: &[u8]) -> bool {
    VOID.iter().any(|word| status.eq_ignore_ascii_case(word.as_bytes()))
}

/// What says that a row was not deleted, in lower case.
pub(super) const NOT_DELETED: [&str; 5] = ["", "f", "false", "0", "no"];

/// A moment, or a yes.
fn says_deleted(text: &[u8]) -> bool {
    !NOT_DELETED.iter().any(|no| text.eq_ignore_ascii_case(no.as_bytes()))
}

/// Whether a moment that is known lies outside a window.
fn is_outside(time: i64, since: Option<i64>, until: Option<i64>) -> bool {
    time != NO_TIME && (since.is_some_and(|since| time < since) || until.is_some_and(|until| time >= until))
}

/// A cell as a number.
pub(super) fn decimal(row: RawRow<'_>, place: usize) -> Decimal {
    match row.number(place) {
        Some((mantissa, places)) => Decimal::trimmed(mantissa, places),
        None => Decimal::read(row.cell(place).as_deref()),
    }
}

/// A cell as a moment, in milliseconds.
pub(super) fn moment_of(row: RawRow<'_>, place: usize) -> Option<i64> {
    row.millis(place).or_else(|| millis(&row.cell(place)?))
}

/// A cell as a whole number.
fn whole(row: RawRow<'_>, place: usize, scratch: &mut Vec<u8>) -> Option<i64> {
    row.whole(place).or_else(|| std::str::from_utf8(row.text(place, scratch)?).ok()?.parse().ok())
}

/// The id: a whole number, or where its text lies among the others.
fn id_of(
    raw: RawRow<'_>,
    plan: &Plan,
    seen: &mut Seen,
    (ids, base): (&mut Vec<u8>, i64),
    scratch: &mut Vec<u8>,
) -> i64 {
    match plan.layout.place(Role::Id).filter(|place| raw.has(*place)) {
        None if !plan.layout.parts.is_empty() => remember(&joined(raw, &plan.layout.parts), ids, base),
        None => i64::MIN,
        Some(place) if plan.whole_ids => {
            let id = whole(raw, place, scratch).unwrap_or(i64::MIN);
            seen.whole.add(id);
            id
        }
        Some(place) => remember(raw.text(place, scratch).unwrap_or_default(), ids, base),
    }
}

/// Between the parts of an id of several columns: it is in none of them.
pub const BETWEEN: char = '\u{1f}';

/// An id of several columns.
fn joined(row: RawRow<'_>, parts: &[usize]) -> Vec<u8> {
    let mut text = Vec::new();
    for (index, place) in parts.iter().enumerate() {
        if index > 0 {
            text.push(BETWEEN as u8);
        }
        text.extend_from_slice(&row.cell(*place).unwrap_or_default());
    }
    text
}

/// Keeps the text of an id; gives its place.
fn remember(text: &[u8], ids: &mut Vec<u8>, base: i64) -> i64 {
    let place = base.saturating_add(i64::try_from(ids.len()).unwrap_or(0));
    // An id of more than 64 KiB is no id; its head can't be found again, and that is said.
    let text = &text[..text.len().min(usize::from(u16::MAX))];
    ids.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    ids.extend_from_slice(text);
    place
}

/// The checks that one row answers by itself, by number.
fn of_one_row(plan: &Plan) -> Vec<u16> {
    let one = |check: &Check| match check {
        Check::Row { .. } | Check::Lookup { .. } => true,
        Check::Sequence { of: Sequence::CreatedAt, .. } => !plan.whole_ids,
        _ => false,
    };
    (0_u16..).zip(&plan.policies).filter(|(_, policy)| one(&policy.check)).map(|(number, _)| number).collect()
}
