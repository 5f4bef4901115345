//! A small company in memory: rows as the database would send them, through the same readers and checks as a scan's.
#![allow(clippy::needless_pass_by_value)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::claims::{Claim, Order};
use super::orders::{Gone, Lacking, OrderJoin};
use super::other::{FieldRoles, Kind, read};
use super::policy::{Check, Ledger, Sequence, TradePolicy};
use super::reconcile::{Entry, Key, Reconciler};
use super::reference::{ACCOUNT_ROLES, ByNumber, KEY_ROLES, columns};
use super::roles::{Catalog, Role, RoleOverrides, SchemaMapping, map_schema};
use super::*;
use crate::domain::{Column, RawRow, Relations, Table, TableName, Timestamp};

/// 2026-11-20T12:00:00Z; times of a stage are milliseconds after it.
pub(super) const T0: i64 = 1_795_176_000_000;
pub(super) const SECOND: i64 = 1000;
pub(super) const MINUTE: i64 = 60_000;
pub(super) const HOUR: i64 = 3_600_000;
pub(super) const DAY: i64 = 86_400_000;

const TIME: &str = "timestamp(3) without time zone";
const TRADE: [(&str, &str); 20] = [
    ("id", "bigint"),
    ("accountId", "text"),
    ("apiKeyId", "text"),
    ("orderId", "text"),
    ("symbol", "text"),
    ("side", "text"),
    ("quantity", "numeric"),
    ("price", "numeric"),
    ("value", "numeric"),
    ("status", "text"),
    ("counterpartyId", "text"),
    ("destination", "text"),
    ("ip", "text"),
    ("executedAt", TIME),
    ("createdAt", TIME),
    ("updatedAt", TIME),
    ("externalRef", "text"),
    ("settledAt", TIME),
    ("correctsId", "bigint"),
    ("deletedAt", TIME),
];
const ORDER: [(&str, &str); 11] = [
    ("id", "text"),
    ("accountId", "text"),
    ("symbol", "text"),
    ("side", "text"),
    ("quantity", "numeric"),
    ("filledQuantity", "numeric"),
    ("limitPrice", "numeric"),
    ("status", "text"),
    ("createdAt", TIME),
    ("cancelledAt", TIME),
    ("deletedAt", TIME),
];
const ACCOUNT: [(&str, &str); 10] = [
    ("id", "text"),
    ("tradeLimit", "numeric"),
    ("dailyLimit", "numeric"),
    ("positionLimit", "numeric"),
    ("createdAt", TIME),
    ("closedAt", TIME),
    ("suspendedAt", TIME),
    ("reinstatedAt", TIME),
    ("deletedAt", TIME),
    ("userId", "text"),
];
const KEY: [(&str, &str); 7] = [
    ("id", "text"),
    ("accountId", "text"),
    ("scopes", "text"),
    ("allowedIps", "text"),
    ("createdAt", TIME),
    ("expiresAt", TIME),
    ("revokedAt", TIME),
];

/// A moment as PostgreSQL writes it.
pub(super) fn text(at: i64) -> String {
    Timestamp::from_millisecond(T0 + at).unwrap().strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()
}

/// A row: columns and their texts; a column that is not there is NULL.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells(BTreeMap<&'static str, String>);

impl Cells {
    pub(super) fn with(mut self, column: &'static str, value: impl ToString) -> Self {
        self.0.insert(column, value.to_string());
        self
    }
    pub(super) fn at(self, column: &'static str, moment: i64) -> Self {
        self.with(column, text(moment))
    }
    pub(super) fn null(mut self, column: &'static str) -> Self {
        self.0.remove(column);
        self
    }
    pub(super) fn get(&self, column: &str) -> Option<&str> {
        self.0.get(column).map(String::as_str)
    }
}

/// An ordinary trade, made at a moment.
pub(super) fn trade(id: i64, at: i64) -> Cells {
    Cells::default()
        .with("id", id)
        .with("accountId", "acc_1")
        .with("apiKeyId", "key_1")
        .with("orderId", format!("ord_{id}"))
        .with("symbol", "X")
        .with("side", "BUY")
        .with("quantity", 1)
        .with("price", 100)
        .with("value", 100)
        .with("status", "FILLED")
        .with("counterpartyId", "house")
        .with("ip", "192.0.2.1")
        .at("executedAt", at)
        .at("createdAt", at)
        .at("updatedAt", at)
        .with("xmin", id)
}

/// Trades of the same kind, one after the other.
pub(super) fn trades(ids: std::ops::RangeInclusive<i64>, from: i64, step: i64) -> Vec<Cells> {
    let first = *ids.start();
    ids.map(|id| trade(id, from + (id - first) * step)).collect()
}

pub(super) fn account(id: &str) -> Cells {
    Cells::default().with("id", id).with("tradeLimit", 1000).at("createdAt", -700 * DAY)
}

pub(super) fn key(id: &str, account: &str) -> Cells {
    Cells::default().with("id", id).with("accountId", account).with("scopes", "read,trade").at("createdAt", -700 * DAY)
}

/// The order of a trade: what the trade says, made at the same moment.
pub(super) fn order(trade: &Cells) -> Cells {
    let mut order = Cells::default();
    for (from, to) in [
        ("orderId", "id"),
        ("accountId", "accountId"),
        ("symbol", "symbol"),
        ("side", "side"),
        ("quantity", "quantity"),
    ] {
        if let Some(value) = trade.get(from) {
            order = order.with(to, value);
        }
    }
    let made = trade.get("executedAt").or_else(|| trade.get("createdAt")).unwrap_or("2024-09-11 12:00:00.000");
    order.with("status", "FILLED").with("createdAt", made)
}

/// What there is.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    pub(super) trades: Vec<Cells>,
    pub(super) orders: Vec<Cells>,
    pub(super) accounts: Vec<Cells>,
    pub(super) keys: Vec<Cells>,
    /// Log lines or fills, as the file holds them.
    pub(super) lines: String,
    pub(super) pauses: Vec<(i64, Option<i64>)>,
    pub(super) trace: Option<(Role, &'static str, i64, i64)>,
    pub(super) since: Option<i64>,
}

impl Stage {
    /// These trades, each with its order, of accounts and keys that are in order.
    pub(super) fn of(trades: Vec<Cells>) -> Self {
        Self {
            orders: trades.iter().map(order).collect(),
            trades,
            accounts: ["acc_1", "acc_2", "acc_3"].map(account).to_vec(),
            keys: vec![key("key_1", "acc_1"), key("key_2", "acc_2"), key("key_3", "acc_3")],
            ..Self::default()
        }
    }
    pub(super) fn order(mut self, order: Cells) -> Self {
        self.orders.retain(|known| known.get("id") != order.get("id"));
        self.orders.push(order);
        self
    }
    pub(super) fn account(mut self, account: Cells) -> Self {
        self.accounts.retain(|known| known.get("id") != account.get("id"));
        self.accounts.push(account);
        self
    }
    pub(super) fn key(mut self, key: Cells) -> Self {
        self.keys.retain(|known| known.get("id") != key.get("id"));
        self.keys.push(key);
        self
    }
    /// A line of a record in its own words.
    pub(super) fn line(mut self, line: impl AsRef<str>) -> Self {
        self.lines.push_str(line.as_ref());
        self.lines.push('\n');
        self
    }
}

/// A table of columns and types, whose `id` is its key.
pub(super) fn table(name: &str, columns: &[(&str, &str)]) -> Table {
    let column = |(name, data_type): &(&str, &str)| Column {
        name: (*name).into(),
        data_type: (*data_type).into(),
        nullable: true,
        primary_key: *name == "id",
        generated: false,
    };
    Table {
        name: TableName { schema: "public".into(), name: name.into() },
        columns: columns.iter().map(column).collect(),
    }
}

/// Gives a row as its bytes.
fn raw<T>(row: &Cells, columns: &[String], take: impl FnOnce(RawRow<'_>) -> T) -> T {
    let (mut bytes, mut cells) = (Vec::new(), Vec::new());
    for column in columns {
        let Some(value) = row.get(column) else {
            cells.push((RawRow::NULL, 0));
            continue;
        };
        let start = u32::try_from(bytes.len()).unwrap();
        bytes.extend_from_slice(value.as_bytes());
        cells.push((start, u32::try_from(bytes.len()).unwrap()));
    }
    take(RawRow::new(&bytes, &cells))
}

/// What a scan gave.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By policy: ids, `from..to` of missing ones, `line N` of an entry.
    pub(super) hits: BTreeMap<String, BTreeSet<String>>,
    /// Policies that could not judge every row, and those that were not evaluated.
    pub(super) uncovered: Vec<(String, String)>,
}

impl Found {
    fn add(&mut self, policy: &TradePolicy, what: String) {
        self.hits.entry(policy.id.clone()).or_default().insert(what);
    }
}

struct Scan<'a> {
    stage: &'a Stage,
    plan: Arc<Plan>,
    reference: Arc<Reference>,
    mapping: SchemaMapping,
    window: (Option<i64>, Option<i64>),
}

/// Scans with these policies, with every means there is.
pub(super) fn scan(policies: &[TradePolicy], stage: &Stage) -> Found {
    let tables = [table("Trade", &TRADE), table("Order", &ORDER), table("Account", &ACCOUNT), table("ApiKey", &KEY)];
    let (relations, overrides) = (Relations::default(), RoleOverrides::default());
    let mapping =
        map_schema(Catalog { tables: &tables, relations: &relations, overrides: &overrides }, None, "Trade").unwrap();
    let mut reference = Reference {
        now: T0,
        pauses: stage
            .pauses
            .iter()
            .map(|(from, to)| Pause { from: T0 + from, to: to.map(|to| T0 + to), ..Pause::default() })
            .collect(),
        keys: Some(ByNumber::default()),
        accounts: Some(ByNumber::default()),
        ..Reference::default()
    };
    if let Some((role, name, from, to)) = stage.trace {
        reference.add_trace(role, name, T0 + from, T0 + to);
    }
    let (roles, names) = columns(mapping.keys.as_ref().unwrap(), &KEY_ROLES);
    stage.keys.iter().for_each(|row| raw(row, &names, |row| reference.add_key(row, &roles)));
    let (roles, names) = columns(mapping.accounts.as_ref().unwrap(), &ACCOUNT_ROLES);
    stage.accounts.iter().for_each(|row| raw(row, &names, |row| reference.add_account(row, &roles)));
    let given = !stage.lines.is_empty();
    let means = Means { history: true, xmin: true, logs: given, fills: given, asked: stage.since.is_some() };
    let plan = Plan::new(policies, &mapping, &tables[0].columns, &reference, means);
    let window = (stage.since.map(|since| T0 + since), None);
    let scan = Scan { stage, plan: Arc::new(plan), reference: Arc::new(reference), mapping, window };
    scan.run()
}

fn finish_seen(seen: &mut Seen, hits: &mut Hits) {
    for changes in std::mem::take(&mut seen.changes).into_values() {
        changes.finish(seen.judged, hits);
    }
    for together in std::mem::take(&mut seen.together).into_values() {
        together.finish(hits);
    }
}

impl Scan<'_> {
    fn run(&self) -> Found {
        let (plan, (since, until)) = (&self.plan, self.window);
        let mut found = Found::default();
        found.uncovered.extend(plan.uncovered.iter().map(|gap| (gap.policy.clone(), gap.reason.clone())));
        let mut reader = RowReader::new(Arc::clone(plan), Arc::clone(&self.reference), since, until, 0);
        let mut columns = plan.layout.columns.clone();
        columns.push("xmin".into());
        let (mut records, mut claims, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for row in &self.stage.trades {
            let record = raw(row, &columns, |row| reader.row(row));
            if record.order != 0 {
                Claim::new(&record, None, reader.void).write(&mut claims);
            }
            if reader.outer_name != 0 && !reader.void {
                write_repeat(&mut names, same(&record, reader.outer_name), &record);
            }
            records.push((record, reader.id_hash));
        }
        let mut sorted: Vec<Record> = records.iter().map(|(record, _)| *record).collect();
        sorted.sort_by_key(|record| (record.time, record.id));
        let mut hits = std::mem::take(&mut reader.seen.hits);
        let judged = reader.seen.judged;
        finish_seen(&mut reader.seen, &mut hits);
        let mut gaps = plan.without_usual(&mut hits, judged);
        if let Some(mut repeats) = Repeats::of(plan, since, until) {
            repeats.part(&names);
            match repeats.finish() {
                Ok(found) => hits.extend(found),
                Err(usual) => gaps.push(usual),
            }
        }
        let (mut doubts, mut beyond) = (Vec::new(), Vec::new());
        for mut follower in Follower::new(plan, &self.reference, records.len() as u64, since, until).halves() {
            sorted.chunks(BATCH).for_each(|records| follower.records(records));
            let done = follower.finish();
            hits.extend(done.hits);
            gaps.extend(done.uncovered);
            doubts.extend(done.doubts);
            beyond.extend(done.beyond);
        }
        gaps.extend(
            std::mem::take(&mut reader.seen.unusable)
                .into_iter()
                .map(|((policy, why), count)| (policy, rows(count, why))),
        );
        let wanted: HashSet<u64> = doubts.iter().map(|doubt| doubt.order).collect();
        let late = std::mem::take(&mut reader.seen.late);
        let (fine, lacking) = self.orders(&claims, (wanted, late), &mut hits, &mut gaps, &mut found);
        gaps.extend(plan.without_usual(&mut hits, judged));
        doubts.into_iter().filter(|doubt| !fine.contains(&doubt.order)).for_each(|doubt| hits.push(doubt.hit));
        beyond.into_iter().filter(|beyond| !beyond.is_explained(&lacking)).for_each(|beyond| hits.push(beyond.hit));
        for with in [Ledger::Logs, Ledger::Fills] {
            self.entries(with, &records, &mut hits, &mut found);
        }
        for hit in hits.kept {
            found.add(&plan.policies[usize::from(hit.policy)], hit.id.to_string());
        }
        for policy in &plan.policies {
            if let Check::Sequence { of: Sequence::Ids, ignore_up_to, .. } = policy.check {
                for gap in std::mem::take(&mut reader.seen.whole).gaps(ignore_up_to).unwrap() {
                    found.add(policy, format!("{}..{}", gap.from, gap.to));
                }
            }
        }
        found
            .uncovered
            .extend(gaps.into_iter().map(|(policy, why)| (plan.policies[usize::from(policy)].id.clone(), why)));
        found
    }

    fn orders(
        &self,
        claims: &[u8],
        (wanted, late): (HashSet<u64>, LateFills),
        hits: &mut Hits,
        gaps: &mut Vec<(u16, String)>,
        found: &mut Found,
    ) -> (HashSet<u64>, Vec<Lacking>) {
        let late = Arc::new(late);
        let mut join = OrderJoin::new(&self.plan, wanted, Arc::clone(&late), self.window.0, self.window.1);
        let layout = Layout::new(self.mapping.orders.as_ref().unwrap(), &Order::ROLES);
        let mut names = Reader::new(Arc::clone(&self.reference.names));
        let (refusals, mut orders) = (join.refusals(), Vec::new());
        for row in &self.stage.orders {
            if let Some(order) =
                raw(row, &layout.columns, |row| Order::of(row, &layout, &mut names, &refusals, &mut Vec::new()))
            {
                order.write(&mut orders);
            }
        }
        join.part(claims, &orders);
        let joined = join.finish();
        hits.extend(joined.hits);
        gaps.extend(joined.uncovered);
        late.finish(&joined.excused, hits);
        let order_of = |gone: &Gone| {
            let mut ids = self.stage.orders.iter().filter_map(|order| order.get("id"));
            ids.find(|id| names.hash(id.as_bytes()) == gone.order).unwrap_or_default().to_owned()
        };
        for gone in &joined.gone {
            found.add(&self.plan.policies[usize::from(gone.policy)], order_of(gone));
        }
        (joined.fine, joined.lacking)
    }

    fn entries(&self, with: Ledger, records: &[(Record, u64)], hits: &mut Hits, found: &mut Found) {
        let kind = if with == Ledger::Logs { Kind::Logs } else { Kind::Fills };
        let mut names = Reader::new(Arc::clone(&self.reference.names));
        let (mut roles, mut lines) = (FieldRoles::default(), Vec::new());
        read(self.stage.lines.as_bytes(), kind, &[], &mut |fields, number, line| {
            lines.push(roles.line(fields, &mut names, (0, number, line)));
            Ok(())
        })
        .unwrap();
        let key = if lines.iter().all(|line| line.id != 0) { Key::Id } else { Key::Place };
        let times = lines.iter().map(|line| line.time).filter(|time| *time != NO_TIME);
        let cover = (times.clone().min().unwrap_or(i64::MAX), times.max().unwrap_or(i64::MIN));
        let Some(mut reconciler) = Reconciler::new(&self.plan, with, key, cover, self.window) else { return };
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (record, id) in records {
            Entry::row(record, *id, key).write(&mut left);
        }
        for line in &lines {
            Entry::line(line, key).write(&mut right);
        }
        reconciler.part(&left, &right);
        hits.extend(reconciler.hits);
        for extra in reconciler.extras {
            found.add(&self.plan.policies[usize::from(extra.policy)], format!("line {}", extra.line));
        }
    }
}
