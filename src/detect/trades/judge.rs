//! What one row says by itself, beside what is known of its key, its account and the times of the case.

use super::changes::asks_for_changes;
use super::expression::{Cells, worth};
use super::hit::Hit;
use super::ids::made_at;
use super::late_fills::{Lateness, lateness};
use super::names::NONE;
use super::pauses::Pause;
use super::policy::{Amount, Check, LookupTable, Problem};
use super::record::{NO_TIME, Record};
use super::reference::{Account, Key, Reference, allows};
use super::roles::Role;
use super::row::{Row, Seen};
use super::together::asks_for_lateness;
use super::value::Number;
use crate::domain::Timestamp;

/// A row's key and account, as far as their tables have them.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) key: Option<&'a Key>,
    pub(super) account: Option<&'a Account>,
}

/// One row before its checks.
pub(super) struct Judge<'a, 'r> {
    pub(super) reference: &'a Reference,
    pub(super) row: &'a Row<'r>,
    pub(super) record: &'a Record,
    pub(super) seen: &'a mut Seen,
}

impl Judge<'_, '_> {
    /// Runs the checks with those numbers.
    pub(super) fn all(mut self, checks: &[u16], known: Known<'_>) {
        let Known { key, account } = known;
        let (record, plan) = (self.record, self.row.plan);
        for number in checks {
            let policy = &plan.policies[usize::from(*number)];
            let why = match &policy.check {
                Check::Row { when } => when.holds(self.row).then(|| policy.title.to_lowercase()),
                Check::Lookup { table, problem, tolerance_s, null_is_missing, words, limit, .. } => {
                    let told = Told {
                        number: *number,
                        tolerance: tolerance_s.saturating_mul(1000),
                        null: *null_is_missing,
                        words,
                    };
                    match table {
                        LookupTable::Keys => self.key(key, account, *problem, &told),
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
            if policy.unless_present.iter().any(|role| self.row.has(*role)) {
                continue;
            }
            let hit = Hit { policy: *number, id: record.id, time: record.time, why };
            if asks_for_changes(&policy.check) {
                self.seen.changes.entry(*number).or_default().add(record.created, record.updated, hit);
            } else if let Some(written) = self.written(&policy.check) {
                self.seen.together.entry(*number).or_default().add(written, hit);
            } else {
                match lateness(&policy.check, known, record, plan.late_fills) {
                    Lateness::Hit => self.seen.hits.push(hit),
                    Lateness::Excused => {}
                    Lateness::AskOrder(since) => self.seen.late.add(hit, record.order, since),
                }
            }
        }
    }

    /// When the row was written, where a check asks for what was written late.
    fn written(&self, check: &Check) -> Option<i64> {
        match check {
            Check::Sequence { .. } => made_at(&self.row.text(Role::Id)?),
            check if asks_for_lateness(check) => Some(self.record.created),
            _ => None,
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

    fn key(
        &mut self,
        key: Option<&Key>,
        account: Option<&Account>,
        problem: Problem,
        told: &Told<'_>,
    ) -> Option<String> {
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
            Problem::OtherAccount => self.other_account(key, account, told.number),
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

    fn other_account(&mut self, key: &Key, account: Option<&Account>, number: u16) -> Option<String> {
        let own = if self.reference.keys_of_owners { account?.owner } else { self.record.account };
        if key.account == NONE || own == NONE {
            return None;
        }
        if key.account == own {
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
                let time = self.timed(told.number)?;
                late(time, known?.closed_at(time), told.tolerance, "its account was closed at")
            }
            Problem::NotYetMade => {
                early(self.timed(told.number)?, known?.made, told.tolerance, "its account was made at")
            }
            Problem::OverLimit => {
                let limit = known.and_then(|account| account.limit_at(self.record.time)).or(fallback)?;
                self.over(limit, told.number)
            }
            _ => None,
        }
    }

    /// Exact: the approximation only spares rows that are below the limit for sure.
    fn over(&mut self, limit: &Amount, number: u16) -> Option<String> {
        if self.row.is_booking {
            return None;
        }
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
        let inside = |pause: &&Pause| {
            time.saturating_sub(pause.from) > tolerance
                && pause.to.is_none_or(|to| time < to)
                && pause.of.as_ref().is_none_or(|(instrument, _)| *instrument == self.record.instrument)
        };
        let pause = self.reference.pauses.iter().find(inside)?;
        let what = pause.of.as_ref().map_or("trading was paused".to_owned(), |(_, name)| format!("{name} was halted"));
        let (from, to) = (moment(pause.from), pause.to.map_or("now".to_owned(), moment));
        let said = pause.table.as_ref().map_or(String::new(), |table| format!(", as {table} says"));
        Some(format!("{what} from {from} until {to}{said}"))
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
