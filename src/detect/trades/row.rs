use std::borrow::Cow;
use std::sync::Arc;

use super::changes::{Changes, asks_for_changes};
use super::decimal::Decimal;
use super::expression::{Cells, worth};
use super::hit::{Hit, Hits};
use super::ids::{Ids, made_at};
use super::names::{NONE, Reader};
use super::plan::Plan;
use super::policy::{Amount, Check, LookupTable, Problem, Sequence};
use super::record::{NO_TIME, Record, Side};
use super::reference::{Account, Key, Reference, allows};
use super::roles::Role;
use super::value::{Number, millis};
use crate::domain::{RawRow, Timestamp};

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
    /// Hash of the other side's order of the last row; 0 for none.
    pub counter_order: u64,
    /// Hash of the last row's id.
    pub id_hash: u64,
    /// Hash of the last row's name at the exchange, else of its id.
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
}

/// The cells of a row.
struct Row<'r> {
    raw: RawRow<'r>,
    plan: &'r Plan,
    now: i64,
    quantity: Decimal,
    price: Decimal,
    value: Decimal,
    executed: Option<i64>,
    created: Option<i64>,
    updated: Option<i64>,
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
            counter_order: 0,
            id_hash: 0,
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

    /// Takes a row.
    pub fn row(&mut self, raw: RawRow<'_>) -> Record {
        let Self { plan, reference, names, seen, scratch, .. } = self;
        seen.rows += 1;
        let place = |role| plan.layout.place(role);
        let amount = |role| place(role).map_or(Decimal::Null, |place| decimal(raw, place));
        let time = |role| moment_of(raw, place(role)?);
        let row = Row {
            raw,
            plan,
            now: reference.now,
            quantity: amount(Role::Quantity),
            price: amount(Role::Price),
            value: amount(Role::Value),
            executed: time(Role::ExecutedAt),
            created: time(Role::CreatedAt),
            updated: time(Role::UpdatedAt),
        };
        let mut record = Record {
            time: row.executed.or(row.created).unwrap_or(NO_TIME),
            created: row.created.unwrap_or(NO_TIME),
            updated: row.updated.unwrap_or(NO_TIME),
            quantity: row.quantity,
            price: row.price,
            value: row.value,
            side: Side::read(place(Role::Side).and_then(|place| raw.text(place, scratch))),
            ..Record::default()
        };
        let mut hash = |role| place(role).and_then(|place| raw.text(place, scratch)).map(|text| names.hash(text));
        record.order = hash(Role::Order).unwrap_or(0);
        self.counter_order = hash(Role::CounterOrder).unwrap_or(0);
        self.id_hash = if plan.hash_ids { hash(Role::Id).unwrap_or(0) } else { 0 };
        self.outer_hash = hash(Role::ExternalRef).unwrap_or(self.id_hash);
        let mut name = |role| names.of(place(role).and_then(|place| raw.text(place, scratch)));
        record.account = name(Role::Account);
        record.key = name(Role::Key);
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
        record.id = match place(Role::Id).filter(|place| raw.has(*place)) {
            None => i64::MIN,
            Some(place) if plan.whole_ids => {
                let id = whole(raw, place, scratch).unwrap_or(i64::MIN);
                seen.whole.add(id);
                id
            }
            Some(place) => {
                let text = raw.text(place, scratch).unwrap_or_default();
                remember(text, &mut self.ids, self.ids_base)
            }
        };
        let outside = record.time != NO_TIME
            && (self.since.is_some_and(|since| record.time < since)
                || self.until.is_some_and(|until| record.time >= until));
        if !outside {
            seen.judged += 1;
            let judge = Judge { reference, row: &row, record: &record, seen };
            judge.all(&self.checks);
        }
        record
    }
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

/// One row before its checks.
struct Judge<'a, 'r> {
    reference: &'a Reference,
    row: &'a Row<'r>,
    record: &'a Record,
    seen: &'a mut Seen,
}

impl Judge<'_, '_> {
    fn all(mut self, checks: &[u16]) {
        let (reference, record, plan) = (self.reference, self.record, self.row.plan);
        let key = reference.keys.as_ref().and_then(|keys| keys.get(&record.key));
        let account = reference.accounts.as_ref().and_then(|accounts| accounts.get(&record.account));
        for number in checks {
            let policy = &plan.policies[usize::from(*number)];
            let why = match &policy.check {
                Check::Row { when } => when.holds(self.row).then(|| policy.title.to_lowercase()),
                Check::Lookup { table, problem, tolerance_s, null_is_missing, words, limit } => {
                    let told = Told {
                        number: *number,
                        tolerance: tolerance_s.saturating_mul(1000),
                        null: *null_is_missing,
                        words,
                    };
                    match table {
                        LookupTable::Keys => self.key(key, *problem, &told),
                        LookupTable::Accounts => self.account(account, *problem, &told, limit.as_ref()),
                        LookupTable::Pauses => self.paused(told.tolerance),
                        LookupTable::Intruder => self.intruder(told.tolerance),
                    }
                }
                Check::Sequence { tolerance_s, .. } => {
                    self.id_of_another_time(*number, tolerance_s.saturating_mul(1000))
                }
                _ => continue,
            };
            let Some(why) = why else { continue };
            let hit = Hit { policy: *number, id: record.id, time: record.time, why };
            if asks_for_changes(&policy.check) {
                self.seen.changes.entry(*number).or_default().add(record.created, record.updated, hit);
            } else {
                self.seen.hits.push(hit);
            }
        }
    }

    fn skip(&mut self, policy: u16, why: &'static str) {
        *self.seen.unusable.entry((policy, why)).or_default() += 1;
    }

    /// The row's time, where it may be compared; a row without one is counted.
    fn timed(&mut self, number: u16) -> Option<i64> {
        if self.record.time == NO_TIME {
            self.skip(number, "the row's time can't be read");
            return None;
        }
        Some(self.record.time)
    }

    fn key(&mut self, key: Option<&Key>, problem: Problem, told: &Told<'_>) -> Option<String> {
        if self.record.key == NONE {
            return (problem == Problem::Missing && told.null).then(|| "it has no key".to_owned());
        }
        let Some(key) = key else {
            return (problem == Problem::Missing).then(|| "its key is not in the key table".to_owned());
        };
        match problem {
            Problem::Revoked => late(self.timed(told.number)?, key.revoked, told.tolerance, "its key was revoked at"),
            Problem::Expired => late(self.timed(told.number)?, key.expires, told.tolerance, "its key expired at"),
            Problem::NotYetMade => early(self.timed(told.number)?, key.made, told.tolerance, "its key was made at"),
            Problem::OtherAccount => self.other_account(key, told.number),
            Problem::OutOfScope => {
                let scope = key.scope.as_ref()?;
                if allows(scope, told.words) {
                    *self.seen.agreed.entry(told.number).or_default() += 1;
                    return None;
                }
                Some(format!("its key may only do `{}`", scope.chars().take(80).collect::<String>()))
            }
            Problem::OtherAddress => {
                let allowed = key.addresses.as_ref()?;
                let text = self.row.text(Role::Ip)?;
                let text = std::str::from_utf8(&text).ok()?;
                let address: std::net::IpAddr = text.split('/').next()?.parse().ok()?;
                (!allowed.iter().any(|net| net.contains(&address)))
                    .then(|| format!("its key may not be used from {address}"))
            }
            _ => None,
        }
    }

    fn other_account(&mut self, key: &Key, number: u16) -> Option<String> {
        if key.account == NONE || self.record.account == NONE {
            return None;
        }
        if key.account == self.record.account {
            *self.seen.agreed.entry(number).or_default() += 1;
            return None;
        }
        Some("its key belongs to another account".to_owned())
    }

    fn account(
        &mut self,
        known: Option<&Account>,
        problem: Problem,
        told: &Told<'_>,
        fallback: Option<&Amount>,
    ) -> Option<String> {
        match problem {
            Problem::Missing => match (self.record.account, known) {
                (NONE, _) => told.null.then(|| "it has no account".to_owned()),
                (_, None) => Some("its account is not in the account table".to_owned()),
                _ => None,
            },
            Problem::Revoked => {
                late(self.timed(told.number)?, known?.closed, told.tolerance, "its account was closed at")
            }
            Problem::NotYetMade => {
                early(self.timed(told.number)?, known?.made, told.tolerance, "its account was made at")
            }
            Problem::OverLimit => {
                let limit = known.and_then(|account| account.limit.as_ref()).or(fallback)?;
                self.over(limit, told.number)
            }
            _ => None,
        }
    }

    /// Exact: the approximation only spares rows that are below the limit for sure.
    fn over(&mut self, limit: &Amount, number: u16) -> Option<String> {
        if self.record.approximate_worth().is_some_and(|about| about < limit.below) {
            return None;
        }
        let worth = match worth(self.row) {
            Some(Number::Finite(worth)) if worth > limit.exact => worth.normalized().to_plain_string(),
            Some(Number::Infinite) => "infinite".to_owned(),
            Some(Number::Finite(_)) => return None,
            Some(Number::Unusable) | None => {
                self.skip(number, "what the trade is worth can't be read");
                return None;
            }
        };
        Some(format!("it is worth {worth}, the limit is {}", limit.exact.normalized().to_plain_string()))
    }

    fn paused(&self, tolerance: i64) -> Option<String> {
        let time = (self.record.time != NO_TIME).then_some(self.record.time)?;
        let inside =
            |(from, to): &&(i64, Option<i64>)| time.saturating_sub(*from) > tolerance && to.is_none_or(|to| time < to);
        let (from, to) = self.reference.pauses.iter().find(inside)?;
        Some(format!("trading was paused from {} until {}", moment(*from), to.map_or("now".to_owned(), moment)))
    }

    fn intruder(&self, tolerance: i64) -> Option<String> {
        let (row, record) = (self.row, self.record);
        let time = (record.time != NO_TIME).then_some(record.time)?;
        let trace = self.reference.traces.iter().find(|trace| {
            let meant = time >= trace.from.saturating_sub(tolerance) && time <= trace.to.saturating_add(tolerance);
            meant
                && match trace.role {
                    Role::Account => record.account == trace.name,
                    Role::Key => record.key == trace.name,
                    Role::Ip => row
                        .text(Role::Ip)
                        .is_some_and(|ip| ip.split(|byte| *byte == b'/').next() == Some(trace.text.as_bytes())),
                    role => row.text(role).as_deref() == Some(trace.text.as_bytes()),
                }
        })?;
        Some(format!(
            "{} {} was the intruder's from {} until {}, by the log findings of this case",
            trace.role.name(),
            trace.text,
            moment(trace.from),
            moment(trace.to)
        ))
    }

    fn id_of_another_time(&mut self, number: u16, tolerance: i64) -> Option<String> {
        let (made, created) = (made_at(&self.row.text(Role::Id)?)?, self.row.created?);
        if (made - created).abs() <= tolerance {
            *self.seen.agreed.entry(number).or_default() += 1;
            return None;
        }
        Some(format!("its id was made at {}, the row says {}", moment(made), moment(created)))
    }
}

/// What a policy says of a lookup.
struct Told<'a> {
    number: u16,
    tolerance: i64,
    null: bool,
    words: &'a [String],
}

fn late(time: i64, than: Option<i64>, tolerance: i64, words: &str) -> Option<String> {
    let late = time.saturating_sub(than?);
    (late > tolerance).then(|| format!("{words} {}, {} s before the trade", moment(than.unwrap_or(0)), seconds(late)))
}

fn early(time: i64, than: Option<i64>, tolerance: i64, words: &str) -> Option<String> {
    let early = than?.saturating_sub(time);
    (early > tolerance).then(|| format!("{words} {}, {} s after the trade", moment(than.unwrap_or(0)), seconds(early)))
}

/// Rounded up: a trade 0.2 s after the tolerance is after it.
fn seconds(millis: i64) -> i64 {
    millis.div_euclid(1000) + i64::from(millis.rem_euclid(1000) > 0)
}

/// A moment for people.
pub(super) fn moment(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map_or_else(|_| "an unknown moment".to_owned(), |time| time.to_string())
}
