use std::collections::{BTreeMap, HashMap, VecDeque};

use bigdecimal::BigDecimal;
use serde::Serialize;
use serde_json::{Map, Value};

use super::gaps::IdRanges;
use super::policy::{BurstBy, Check, TradePolicy};
use super::roles::{Mapping, Role};
use super::value::{Number, moment};
use crate::domain::{Column, Finding, FindingKind, Row, Source, Timestamp, finding_id};

/// Longest value that a finding repeats, in bytes.
const MAX_VALUE: usize = 2048;

/// What is known beside the trade table.
#[derive(Debug, Clone, Default)]
pub struct Reference {
    /// API keys by id; `None` if there is no key table.
    pub keys: Option<HashMap<String, KeyInfo>>,
    /// Trade limits by account id; `None` if there is no account table with a limit.
    pub limits: Option<HashMap<String, BigDecimal>>,
    /// When trading was paused, and until when.
    pub pauses: Vec<(Timestamp, Option<Timestamp>)>,
}

/// One API key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyInfo {
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A policy that was not evaluated, or not on all rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Uncovered {
    /// Policy id.
    pub policy: String,
    /// Why.
    pub reason: String,
}

/// One pass over the rows.
pub struct Evaluation<'a> {
    policies: Vec<&'a TradePolicy>,
    mapping: &'a Mapping,
    columns: &'a [Column],
    reference: Reference,
    bursts: HashMap<(usize, String), VecDeque<Timestamp>>,
    prices: HashMap<(usize, String), VecDeque<BigDecimal>>,
    ids: IdRanges,
    ids_whole: bool,
    unusable: BTreeMap<String, u64>,
    uncovered: Vec<Uncovered>,
    findings: Vec<Finding>,
    rows: u64,
}

/// The cells of a row by role.
struct Cells<'r> {
    mapping: &'r Mapping,
    row: &'r Row,
    time: Option<Timestamp>,
}

impl<'r> Cells<'r> {
    fn text(&self, role: Role) -> Option<&'r str> {
        self.row.get(self.mapping.index(role)?)?.as_deref()
    }

    fn time_of(&self, role: Role) -> Option<Timestamp> {
        self.text(role).and_then(moment)
    }

    fn number(&self, role: Role) -> Option<Number> {
        self.text(role).map(Number::parse)
    }

    /// What the trade is worth: its value column, else quantity times price. Sign does not matter.
    fn worth(&self) -> Option<Number> {
        if let Some(value) = self.number(Role::Value) {
            return Some(abs(value));
        }
        match (self.number(Role::Quantity)?, self.number(Role::Price)?) {
            (Number::Finite(quantity), Number::Finite(price)) => Some(abs(Number::Finite(quantity * price))),
            (Number::Unusable, _) | (_, Number::Unusable) => Some(Number::Unusable),
            _ => Some(Number::Infinite),
        }
    }
}

fn abs(number: Number) -> Number {
    match number {
        Number::Finite(value) => Number::Finite(value.abs()),
        other => other,
    }
}

/// Why a row matched: the roles to show, and a sentence.
struct Hit {
    roles: Vec<Role>,
    why: String,
}

/// The role whose column says when what a check found was done: not always when the trade was made.
fn deed(check: &Check) -> Option<Role> {
    matches!(check, Check::EditedAfter { .. }).then_some(Role::UpdatedAt)
}

impl<'a> Evaluation<'a> {
    /// Policies whose roles or reference are missing are put among the uncovered, with the reason.
    /// `columns` are those of the rows, in order.
    pub fn new(policies: &'a [TradePolicy], mapping: &'a Mapping, columns: &'a [Column], reference: Reference) -> Self {
        let mut uncovered = Vec::new();
        let usable = policies.iter().filter(|policy| match missing(policy, mapping, &reference) {
            Some(reason) => {
                uncovered.push(Uncovered { policy: policy.id.clone(), reason });
                false
            }
            None => true,
        });
        let policies = usable.collect();
        Self {
            policies,
            mapping,
            columns,
            reference,
            bursts: HashMap::new(),
            prices: HashMap::new(),
            ids: IdRanges::default(),
            ids_whole: true,
            unusable: BTreeMap::new(),
            uncovered,
            findings: Vec::new(),
            rows: 0,
        }
    }

    /// Takes the next row, in the order of time. `report` is false for rows outside the asked window: they fill the
    /// windows of the checks, but make no findings.
    pub fn row(&mut self, row: &Row, report: bool) {
        self.rows += 1;
        let time = self.mapping.time().and_then(|role| row.get(self.mapping.index(role)?)?.as_deref()).and_then(moment);
        let cells = Cells { mapping: self.mapping, row, time };
        for (number, policy) in self.policies.clone().into_iter().enumerate() {
            let hit = self.check(number, policy, &cells);
            if let Some(hit) = hit.filter(|_| report) {
                let finding = self.finding(policy, &cells, hit);
                self.findings.push(finding);
            }
        }
    }

    fn check(&mut self, number: usize, policy: &TradePolicy, cells: &Cells<'_>) -> Option<Hit> {
        if policy.needs_time() && cells.time.is_none() {
            self.skip(policy, "the row's time can't be read");
            return None;
        }
        match &policy.check {
            Check::UnknownKey { null_is_unknown } => self.unknown_key(cells, *null_is_unknown),
            Check::RevokedKey { tolerance_s } => self.revoked_key(cells, *tolerance_s),
            Check::WhilePaused { tolerance_s } => self.while_paused(cells, *tolerance_s),
            Check::OverLimit { limit } => self.over_limit(policy, cells, limit.as_ref().map(|amount| &amount.0)),
            Check::EditedAfter { tolerance_s } => edited_after(cells, *tolerance_s),
            Check::Burst { trades, within_s, by } => self.burst(number, cells, *trades, *within_s, *by),
            Check::OffMarket { percent, neighbours } => self.off_market(policy, number, cells, &percent.0, *neighbours),
            Check::SequenceGap { .. } => {
                match cells.text(Role::Id).and_then(|id| id.parse().ok()) {
                    Some(id) => self.ids.add(id, cells.time),
                    None => self.ids_whole = false,
                }
                None
            }
        }
    }

    fn unknown_key(&self, cells: &Cells<'_>, null_is_unknown: bool) -> Option<Hit> {
        let keys = self.reference.keys.as_ref()?;
        match cells.text(Role::Key) {
            Some(key) if keys.contains_key(key) => None,
            Some(_) => Some(Hit { roles: vec![Role::Key], why: "its key is not in the key table".into() }),
            None if null_is_unknown => Some(Hit { roles: vec![Role::Key], why: "it has no key".into() }),
            None => None,
        }
    }

    fn revoked_key(&self, cells: &Cells<'_>, tolerance_s: i64) -> Option<Hit> {
        let revoked = self.reference.keys.as_ref()?.get(cells.text(Role::Key)?)?.revoked_at?;
        let late = seconds_between(revoked, cells.time?);
        (late > tolerance_s).then(|| Hit {
            roles: vec![Role::Key],
            why: format!("its key was revoked at {revoked}, {late} s before the trade"),
        })
    }

    fn while_paused(&self, cells: &Cells<'_>, tolerance_s: i64) -> Option<Hit> {
        let time = cells.time?;
        let (from, to) = self
            .reference
            .pauses
            .iter()
            .find(|(from, to)| seconds_between(*from, time) > tolerance_s && to.is_none_or(|to| time < to))?;
        let until = to.map_or("now".to_owned(), |to| to.to_string());
        Some(Hit { roles: vec![], why: format!("trading was paused from {from} until {until}") })
    }

    fn over_limit(&mut self, policy: &TradePolicy, cells: &Cells<'_>, fallback: Option<&BigDecimal>) -> Option<Hit> {
        let account = cells.text(Role::Account);
        let own = account.and_then(|account| self.reference.limits.as_ref()?.get(account));
        let limit = own.or(fallback)?.clone();
        let worth = match cells.worth() {
            Some(Number::Finite(worth)) if worth > limit => worth.normalized().to_plain_string(),
            Some(Number::Infinite) => "infinite".to_owned(),
            Some(Number::Finite(_)) => return None,
            Some(Number::Unusable) | None => {
                self.skip(policy, "what the trade is worth can't be read");
                return None;
            }
        };
        let limit = limit.normalized().to_plain_string();
        Some(Hit {
            roles: vec![Role::Account, Role::Value, Role::Quantity, Role::Price],
            why: format!("it is worth {worth}, the limit is {limit}"),
        })
    }

    fn burst(&mut self, number: usize, cells: &Cells<'_>, trades: usize, within_s: i64, by: BurstBy) -> Option<Hit> {
        let role = if by == BurstBy::Key { Role::Key } else { Role::Account };
        let whose = cells.text(role)?;
        let time = cells.time?;
        let window = self.bursts.entry((number, whose.to_owned())).or_default();
        window.push_back(time);
        while window.front().is_some_and(|first| millis_between(*first, time) >= within_s.saturating_mul(1000)) {
            window.pop_front();
        }
        // Beyond the limit every further trade is a hit anyway: no need to remember more.
        while window.len() > trades + 1 {
            window.pop_front();
        }
        (window.len() > trades).then(|| Hit {
            roles: vec![role],
            why: format!("more than {trades} trades of this {} within {within_s} s", role.name()),
        })
    }

    fn off_market(
        &mut self,
        policy: &TradePolicy,
        number: usize,
        cells: &Cells<'_>,
        percent: &BigDecimal,
        neighbours: usize,
    ) -> Option<Hit> {
        let instrument = cells.text(Role::Instrument)?;
        let Some(Number::Finite(price)) = cells.number(Role::Price) else {
            self.skip(policy, "the price can't be read");
            return None;
        };
        let window = self.prices.entry((number, instrument.to_owned())).or_default();
        let median = (window.len() >= 5).then(|| {
            let mut sorted: Vec<_> = window.iter().collect();
            sorted.sort();
            sorted[sorted.len() / 2].clone()
        });
        window.push_back(price.clone());
        if window.len() > neighbours {
            window.pop_front();
        }
        let median = median?;
        let far = (&price - &median).abs() * BigDecimal::from(100) > percent * median.abs();
        let (price, median) = (price.normalized().to_plain_string(), median.normalized().to_plain_string());
        far.then(|| Hit {
            roles: vec![Role::Instrument, Role::Price],
            why: format!("price {price} is more than {percent} % from {median}, the median of the trades just before"),
        })
    }

    fn skip(&mut self, policy: &TradePolicy, why: &str) {
        *self.unusable.entry(format!("{}\0{why}", policy.id)).or_default() += 1;
    }

    fn finding(&self, policy: &TradePolicy, cells: &Cells<'_>, hit: Hit) -> Finding {
        let mut matched = Map::new();
        for role in hit.roles {
            if let Some(text) = cells.text(role) {
                let column = self.mapping.column(role).unwrap_or_default();
                matched.insert(role.name(), shown(role, column, text));
            }
        }
        matched.insert("why".into(), hit.why.into());
        let mut event = Map::new();
        for (column, cell) in self.columns.iter().zip(cells.row) {
            let role = self.mapping.roles.iter().find(|mapped| mapped.column == column.name).map(|mapped| mapped.role);
            let value = match (cell, role) {
                (None, _) => Value::Null,
                (Some(text), Some(role)) => shown(role, &column.name, text),
                (Some(text), None) => cut(text),
            };
            event.insert(column.name.clone(), value);
        }
        let source = Source::Table { table: self.mapping.table.name.clone(), key: self.key(cells) };
        Finding {
            id: finding_id(FindingKind::Trade, &policy.id, &source),
            kind: FindingKind::Trade,
            rule: policy.rule(),
            time: deed(&policy.check).map_or(cells.time, |role| cells.time_of(role)),
            source,
            matched,
            event,
        }
    }

    fn key(&self, cells: &Cells<'_>) -> Map<String, Value> {
        let primary = self.columns.iter().zip(cells.row).filter(|(column, _)| column.primary_key);
        let key: Map<_, _> =
            primary.map(|(column, cell)| (column.name.clone(), cell.as_deref().map_or(Value::Null, cut))).collect();
        if !key.is_empty() {
            return key;
        }
        // Without a primary key, the mapped id or, at worst, the row's number says which row is meant.
        let id = cells.text(Role::Id).map(|id| ("id".to_owned(), cut(id)));
        [id.unwrap_or_else(|| ("row".to_owned(), self.rows.into()))].into_iter().collect()
    }

    /// Findings in the order of rows, gaps last; what was not covered; the number of rows.
    pub fn finish(mut self) -> (Vec<Finding>, Vec<Uncovered>, u64) {
        for policy in self.policies.clone() {
            if let Check::SequenceGap { ignore_up_to } = policy.check {
                if self.ids_whole {
                    self.report_gaps(policy, ignore_up_to);
                } else {
                    let reason = "ids are not whole numbers, so missing ones can't be seen".into();
                    self.uncovered.push(Uncovered { policy: policy.id.clone(), reason });
                }
            }
        }
        for (what, count) in &self.unusable {
            let (policy, why) = what.split_once('\0').unwrap_or((what, ""));
            self.uncovered.push(Uncovered { policy: policy.to_owned(), reason: format!("{count} rows: {why}") });
        }
        (self.findings, self.uncovered, self.rows)
    }

    fn report_gaps(&mut self, policy: &TradePolicy, ignore_up_to: i64) {
        let column = self.mapping.column(Role::Id).unwrap_or("id").to_owned();
        for gap in self.ids.gaps() {
            let count = i128::from(gap.to) - i128::from(gap.from) + 1;
            if count <= i128::from(ignore_up_to) {
                continue;
            }
            let mut key = Map::new();
            key.insert(column.clone(), Value::String(format!("{}..{}", gap.from, gap.to)));
            let source = Source::Table { table: self.mapping.table.name.clone(), key };
            let mut matched = Map::new();
            matched.insert("first_missing".into(), gap.from.into());
            matched.insert("last_missing".into(), gap.to.into());
            let around = |time: Option<Timestamp>| time.map_or(Value::Null, |time| time.to_string().into());
            matched.insert("row_before_at".into(), around(gap.before));
            matched.insert("row_after_at".into(), around(gap.after));
            matched.insert("why".into(), format!("{count} ids are missing between their neighbours").into());
            self.findings.push(Finding {
                id: finding_id(FindingKind::Trade, &policy.id, &source),
                kind: FindingKind::Trade,
                rule: policy.rule(),
                // When a row was deleted can't be known from what is left.
                time: None,
                source,
                matched,
                event: Map::new(),
            });
        }
    }
}

fn missing(policy: &TradePolicy, mapping: &Mapping, reference: &Reference) -> Option<String> {
    let absent: Vec<_> =
        policy.needs().into_iter().filter(|role| mapping.index(*role).is_none()).map(Role::name).collect();
    if !absent.is_empty() {
        return Some(format!("no column of {} was mapped to: {}", mapping.table.name, absent.join(", ")));
    }
    if policy.needs_time() && mapping.time().is_none() {
        return Some("no column says when a trade happened".into());
    }
    match &policy.check {
        Check::UnknownKey { .. } | Check::RevokedKey { .. } if reference.keys.is_none() => {
            Some("no API key table was found".into())
        }
        Check::WhilePaused { .. } if reference.pauses.is_empty() => Some("no pause is known in this case".into()),
        Check::OverLimit { limit: None } if reference.limits.is_none() => {
            Some("no account table with a limit was found, and the policy gives none".into())
        }
        Check::OverLimit { .. }
            if mapping.index(Role::Value).is_none()
                && (mapping.index(Role::Quantity).is_none() || mapping.index(Role::Price).is_none()) =>
        {
            Some("neither a value nor quantity and price were mapped".into())
        }
        _ => None,
    }
}

fn edited_after(cells: &Cells<'_>, tolerance_s: i64) -> Option<Hit> {
    let (created, updated) = (cells.time_of(Role::CreatedAt)?, cells.time_of(Role::UpdatedAt)?);
    let late = seconds_between(created, updated);
    (late > tolerance_s).then(|| Hit {
        roles: vec![Role::CreatedAt, Role::UpdatedAt],
        why: format!("it was changed {late} s after it was made"),
    })
}

fn millis_between(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millisecond().saturating_sub(from.as_millisecond())
}

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    // Rounded up: a trade 0.2 s after the tolerance is after it.
    let millis = millis_between(from, to);
    millis.div_euclid(1000) + i64::from(millis.rem_euclid(1000) > 0)
}

/// A value as findings show it: never one that could itself be a key.
fn shown(role: Role, column: &str, text: &str) -> Value {
    let names_an_id = column.to_ascii_lowercase().ends_with("id");
    if role == Role::Secret || (role == Role::Key && !names_an_id) {
        return "(hidden)".into();
    }
    cut(text)
}

fn cut(text: &str) -> Value {
    if text.len() <= MAX_VALUE {
        return text.into();
    }
    let end = (0..=MAX_VALUE).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{} (cut, {} bytes)", &text[..end], text.len()).into()
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
