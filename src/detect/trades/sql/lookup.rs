use super::Unwritten;
use super::base::{Base, Form, Source};
use crate::detect::trades::policy::{Amount, Check, LookupTable, Problem};
use crate::detect::trades::reference::{ENDS, Trace};
use crate::detect::trades::roles::{Mapping, Role};

/// What a lookup lets pass.
struct Let<'a> {
    tolerance: i64,
    null_is_missing: bool,
    words: &'a [String],
    limit: Option<&'a Amount>,
    /// Milliseconds.
    late_fills: i64,
}

impl<'a> Base<'a> {
    pub(super) fn lookup(&mut self, check: &Check) -> Result<String, Unwritten> {
        let Check::Lookup { table, problem, tolerance_s, late_fill_s, null_is_missing, words, limit } = check else {
            return Err("it is no lookup");
        };
        let told = Let {
            tolerance: tolerance_s.saturating_mul(1000),
            null_is_missing: *null_is_missing,
            words,
            limit: limit.as_ref(),
            late_fills: late_fill_s.saturating_mul(1000),
        };
        match table {
            LookupTable::Keys => self.beside(self.mapping.keys.as_ref(), Role::Key, *problem, &told),
            LookupTable::Accounts => self.beside(self.mapping.accounts.as_ref(), Role::Account, *problem, &told),
            LookupTable::Pauses => Ok(self.paused(told.tolerance)),
            LookupTable::Intruder => Ok(self.intruder(told.tolerance)),
        }
    }

    /// Against the row of another table that the trade names.
    fn beside(
        &mut self,
        mapping: Option<&'a Mapping>,
        by: Role,
        problem: Problem,
        told: &Let<'_>,
    ) -> Result<String, Unwritten> {
        let name = self.text(by);
        // Limits of the policy need no table.
        let Some(mapping) = mapping.filter(|mapping| mapping.column(Role::Id).is_some()) else {
            let limit = told.limit.filter(|_| problem == Problem::OverLimit).ok_or("there is no table to look in")?;
            let limit = self.dialect.amount(&limit.exact);
            return Ok(format!("SELECT id, time FROM t WHERE {} > {limit}", self.worth()));
        };
        let mut other = Source::new(self.dialect, mapping);
        let known = other.column(Role::Id, Form::Text);
        let mut moment = |role| other.column(role, Form::Millis);
        let tolerance = told.tolerance;
        let condition = match problem {
            Problem::Missing if told.null_is_missing => format!("k.{known} IS NULL"),
            Problem::Missing => format!("k.{known} IS NULL AND t.{name} IS NOT NULL"),
            Problem::Revoked => {
                let roles = ENDS.into_iter().filter(|role| mapping.column(*role).is_some());
                let ended: Vec<_> = roles.map(&mut moment).collect();
                let restored = mapping.column(Role::RestoredAt).map(|_| moment(Role::RestoredAt));
                let ended = ended.iter().map(|at| {
                    let lasts = restored.as_ref().map_or(String::new(), |until| {
                        format!(" AND (k.{until} IS NULL OR k.{until} <= k.{at} OR t.time < k.{until})")
                    });
                    format!("(k.{at} <> 0 AND {}{lasts})", self.after(&format!("k.{at}"), told))
                });
                ended.collect::<Vec<_>>().join(" OR ")
            }
            Problem::Expired => {
                let at = moment(Role::ExpiresAt);
                self.after(&format!("k.{at}"), told)
            }
            Problem::NotYetMade => format!("k.{} - time > {tolerance}", moment(Role::CreatedAt)),
            Problem::OtherAccount if self.mapping.keys_of_owners => return Err("keys belong to owners of accounts"),
            Problem::OtherAccount => {
                format!("k.{} <> t.{}", other.column(Role::Account, Form::Text), self.text(Role::Account))
            }
            Problem::OutOfScope => {
                let scope = format!("lower(k.{})", other.column(Role::Scope, Form::Text));
                let words: Vec<_> = told.words.iter().map(|word| self.dialect.holds(&scope, word)).collect();
                format!("NOT ({})", words.join(" OR "))
            }
            Problem::OverLimit if self.mapping.limits.is_some() => return Err("limits lie in a table of their own"),
            Problem::OverLimit => {
                let own = format!("k.{}", other.column(Role::Limit, Form::Number));
                let limit = told
                    .limit
                    .map_or(own.clone(), |limit| format!("coalesce({own}, {})", self.dialect.amount(&limit.exact)));
                let worth = self.worth();
                format!("{worth} > {limit}")
            }
            Problem::OtherAddress => return Err("engines have no common way to compare addresses with networks"),
            Problem::During => return Err("it is no problem of a row"),
        };
        self.parts.push(("k", other.select(&[])));
        let of =
            if matches!(problem, Problem::Revoked | Problem::Expired) { self.with_orders(told) } else { String::new() };
        Ok(format!("SELECT t.id, t.time FROM t LEFT JOIN k ON k.{known} = t.{name}{of} WHERE {condition}"))
    }

    /// Whether a trade is after a moment, and not as a late fill.
    fn after(&mut self, at: &str, told: &Let<'_>) -> String {
        let after = format!("t.time - {at} > {}", told.tolerance);
        if told.late_fills == 0 {
            return after;
        }
        let made =
            if self.plan.late_fills { "w.made".to_owned() } else { format!("t.{}", self.millis(Role::CreatedAt)) };
        format!("{after} AND NOT (t.time - {at} <= {} AND coalesce({made} <= {at}, FALSE))", told.late_fills)
    }

    /// Joins when the order of a trade was made: by the same account, and for as much.
    fn with_orders(&mut self, told: &Let<'_>) -> String {
        let Some(mapping) = self.mapping.orders.as_ref().filter(|_| told.late_fills > 0 && self.plan.late_fills) else {
            return String::new();
        };
        let mut orders = Source::new(self.dialect, mapping);
        let mut column = |role, form| orders.column(role, form);
        let (id, made) = (column(Role::Id, Form::Text), column(Role::CreatedAt, Form::Millis));
        let (account, most) = (column(Role::Account, Form::Text), column(Role::Quantity, Form::Number));
        let (order, own) = (self.text(Role::Order), self.text(Role::Account));
        let claims = self.claims();
        let over = self.overfilled(claims, &orders, &id, &most);
        self.parts.push(("v", over));
        self.parts.push(("w", format!(
            "SELECT c.id, o.{made} AS made FROM t c JOIN o ON o.{id} = c.{order} LEFT JOIN v ON v.id = c.id AND v.the_order = c.{order} WHERE v.id IS NULL AND (c.{own} IS NULL OR o.{account} IS NULL OR c.{own} = o.{account})"
        )));
        " LEFT JOIN w ON w.id = t.id".to_owned()
    }

    fn paused(&mut self, tolerance: i64) -> String {
        let mut pauses = Vec::new();
        for pause in &self.reference.pauses {
            let until = pause.to.map_or(String::new(), |to| format!(" AND time < {to}"));
            let of = pause.of.as_ref().map_or(String::new(), |(_, name)| {
                format!(
                    " AND {} = {}",
                    self.trades.column(Role::Instrument, Form::Text),
                    self.dialect.text_literal(name)
                )
            });
            pauses.push(format!("(time - {} > {tolerance}{until}{of})", pause.from));
        }
        format!("SELECT id, time FROM t WHERE {}", pauses.join(" OR "))
    }

    fn intruder(&mut self, tolerance: i64) -> String {
        let meant = |base: &mut Self, trace: &Trace| {
            let text = base.text(trace.role);
            let text = if trace.role == Role::Ip { base.dialect.before_slash(&text) } else { text };
            format!(
                "({text} = {} AND time BETWEEN {} AND {})",
                base.dialect.text_literal(&trace.text),
                trace.from.saturating_sub(tolerance),
                trace.to.saturating_add(tolerance)
            )
        };
        let traces: Vec<_> = self.reference.traces.iter().map(|trace| meant(self, trace)).collect();
        format!("SELECT id, time FROM t WHERE {}", traces.join(" OR "))
    }
}
