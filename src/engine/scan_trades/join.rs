//! Trades and their orders.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use super::pass::{Desk, EachRow, OrderSink, clear};
use super::spill::{PARTS, Parted};
use super::{BEFORE, CONNECTIONS, Found, Phase};
use crate::detect::trades::claims::{Claim, Order};
use crate::detect::trades::finding::of_order;
use crate::detect::trades::orders::{Gone, Lacking, OrderJoin};
use crate::detect::trades::roles::{Mapping, Role};
use crate::detect::trades::{LateFills, Layout, NO_TIME, Reader, Repeats};
use crate::domain::{Column, Finding, RawRow, Timestamp};
use crate::ports::{Fault, FaultKind, RowSink, Snapshot, TableRead, TimeRange};

/// Orders older than the window by so many days are looked up one by one.
const OLDER: i64 = 7 * BEFORE;
/// Most orders that are looked up one by one.
const LOOKED_UP: usize = 50_000;

/// Orders that were read; not all of them, if only a window was.
pub(super) struct Orders {
    layout: Layout,
    parts: Vec<Parted>,
    whole: bool,
}

/// A column of a table beside the trades, as far as its name and type matter.
pub(super) fn column_of(mapping: &Mapping, role: Role) -> Option<Column> {
    let mapped = mapping.roles.iter().find(|mapped| mapped.role == role)?;
    Some(Column {
        name: mapped.column.clone(),
        data_type: mapped.data_type.clone(),
        nullable: false,
        primary_key: false,
        generated: false,
    })
}

impl Phase<'_> {
    /// Reads the orders, if a check needs them or `late` fills may be excused by theirs.
    pub(super) async fn read_orders(&self, snapshot: &mut dyn Snapshot, late: bool) -> Result<Option<Orders>, Fault> {
        let needed = self.plan.needs_orders() || late;
        let Some(mapping) = self.mapping.orders.as_ref().filter(|_| needed) else { return Ok(None) };
        let layout = Layout::new(mapping, &Order::ROLES);
        let refusals = OrderJoin::new(self.plan, HashSet::new(), Arc::default(), None, None).refusals();
        let desk: Desk<Parted> = Desk::default();
        let mut sinks: Vec<Box<dyn RowSink>> = Vec::new();
        for _ in 0..CONNECTIONS {
            sinks.push(Box::new(OrderSink::new(&layout, &self.reference.names, &refusals, &desk)?));
        }
        let range = self.range(0).and_then(|_| {
            let since = Timestamp::from_millisecond(self.scan.since?.as_millisecond() - OLDER).ok();
            Some(TimeRange { column: column_of(mapping, Role::CreatedAt)?, otherwise: None, since, until: None })
        });
        let whole = range.is_none();
        let read =
            TableRead { table: mapping.table.clone(), columns: layout.columns.clone(), range, ..TableRead::default() };
        snapshot.read(&read, sinks).await?;
        Ok(Some(Orders { layout, parts: clear(&desk), whole }))
    }

    /// Rows that repeat the name of another at the exchange.
    pub(super) fn repeats(&self, names: &[Parted], found: &mut Found) -> Result<(), Fault> {
        let (since, until) = self.window();
        let Some(mut repeats) = Repeats::of(self.plan, since, until) else { return Ok(()) };
        let mut bytes = Vec::new();
        for part in 0..PARTS {
            bytes.clear();
            names.iter().try_for_each(|names| names.bytes(part, &mut bytes))?;
            repeats.part(&bytes);
        }
        match repeats.finish() {
            Ok(hits) => found.hits.extend(hits),
            Err(usual) => found.uncovered.push(usual),
        }
        Ok(())
    }

    /// Joins; gives the orders that excuse what looks like duplicates, and what orders lack of their trades. Of the `late` fills, those
    /// that no order excuses are hits.
    pub(super) async fn join(
        &self,
        snapshot: &mut dyn Snapshot,
        claims: Vec<Parted>,
        orders: Option<Orders>,
        (wanted, late): (HashSet<u64>, LateFills),
        found: &mut Found,
    ) -> Result<(HashSet<u64>, Vec<Lacking>), Fault> {
        let Some(Orders { layout, parts, whole }) = orders else {
            late.finish(&HashSet::new(), &mut found.hits);
            return Ok(Default::default());
        };
        let late = Arc::new(late);
        let (since, until) = self.window();
        let claims = Arc::new(claims);
        let parts = Arc::new(parts);
        let mut joins = Vec::new();
        for worker in 0..2 {
            let mut join = OrderJoin::new(self.plan, wanted.clone(), Arc::clone(&late), since, until);
            join.set_aside(!whole);
            let (claims, parts) = (Arc::clone(&claims), Arc::clone(&parts));
            joins.push(tokio::task::spawn_blocking(move || {
                let (mut left, mut right) = (Vec::new(), Vec::new());
                for part in (worker..PARTS).step_by(2) {
                    left.clear();
                    right.clear();
                    claims.iter().try_for_each(|claims| claims.bytes(part, &mut left))?;
                    parts.iter().try_for_each(|orders| orders.bytes(part, &mut right))?;
                    join.part(&left, &right);
                }
                Ok::<OrderJoin, Fault>(join)
            }));
        }
        let mut all: Option<OrderJoin> = None;
        for join in joins {
            let join = join.await.map_err(|error| Fault::with(FaultKind::Invalid, "a join died", error))??;
            match &mut all {
                Some(all) => all.merge(join),
                None => all = Some(join),
            }
        }
        let Some(mut join) = all else { return Ok(Default::default()) };
        let unmatched = join.set_aside(false);
        if !unmatched.is_empty() {
            self.look_up(snapshot, &layout, &unmatched, &mut join, found).await?;
        }
        let joined = join.finish();
        found.hits.extend(joined.hits);
        late.finish(&joined.excused, &mut found.hits);
        found.uncovered.extend(joined.uncovered);
        found.whole_orders = self.gone(snapshot, joined.gone).await?;
        Ok((joined.fine, joined.lacking))
    }

    /// Findings of orders without a trade: their ids are read again.
    async fn gone(&self, snapshot: &mut dyn Snapshot, gone: Vec<Gone>) -> Result<Vec<Finding>, Fault> {
        let Some(mapping) = self.mapping.orders.as_ref().filter(|_| !gone.is_empty()) else { return Ok(Vec::new()) };
        let layout = Layout::new(mapping, &[Role::Id]);
        let desk: Desk<(u64, String)> = Desk::default();
        let wanted: Arc<HashSet<u64>> = Arc::new(gone.iter().map(|gone| gone.order).collect());
        let mut sinks: Vec<Box<dyn RowSink>> = Vec::new();
        for _ in 0..CONNECTIONS {
            let (names, desk, wanted) =
                (Reader::new(Arc::clone(&self.reference.names)), Arc::clone(&desk), Arc::clone(&wanted));
            sinks.push(Box::new(EachRow(move |row: RawRow<'_>| {
                let Some(id) = row.cell(0) else { return };
                let hash = names.hash(&id);
                if wanted.contains(&hash) {
                    let id = String::from_utf8_lossy(&id).into_owned();
                    desk.lock().unwrap_or_else(PoisonError::into_inner).push((hash, id));
                }
            })));
        }
        let read = TableRead { table: mapping.table.clone(), columns: layout.columns, ..TableRead::default() };
        snapshot.read(&read, sinks).await?;
        let ids: HashMap<u64, String> = clear(&desk).into_iter().collect();
        let one = |gone: &Gone| {
            let policy = &self.plan.policies[usize::from(gone.policy)];
            let time = Timestamp::from_millisecond(gone.created).ok().filter(|_| gone.created != NO_TIME);
            Some(of_order(policy, mapping, ids.get(&gone.order)?, time, &gone.why))
        };
        let mut findings: Vec<Finding> = gone.iter().filter_map(one).collect();
        findings.sort_by(|one, two| (one.time, &one.id).cmp(&(two.time, &two.id)));
        Ok(findings)
    }

    /// Orders that are older than what was read: by their ids, which the trades' rows hold.
    async fn look_up(
        &self,
        snapshot: &mut dyn Snapshot,
        layout: &Layout,
        unmatched: &[Claim],
        join: &mut OrderJoin,
        found: &mut Found,
    ) -> Result<(), Fault> {
        let Some(orders) = &self.mapping.orders else { return Ok(()) };
        let (since, until) = self.window();
        let inside = |claim: &&Claim| {
            since.is_none_or(|since| claim.time >= since) && until.is_none_or(|until| claim.time < until)
        };
        let asked: Vec<Claim> = unmatched.iter().filter(inside).copied().collect();
        let trades = &self.mapping.trades;
        let first = trades.composite.first().map(|part| part.index).or_else(|| trades.index(Role::Id));
        let Some(id) = first.and_then(|index| self.columns.get(index)) else { return Ok(()) };
        let wanted: Vec<String> = [Role::Order, Role::CounterOrder]
            .iter()
            .filter_map(|role| self.mapping.trades.column(*role).map(String::from))
            .collect();
        let mut ids = Vec::new();
        for claim in asked.iter().take(LOOKED_UP) {
            ids.push(super::report::id_text(self.plan, &found.made, claim.id)?);
        }
        if asked.len() > LOOKED_UP {
            let why = format!("{} trades have orders older than the window; {LOOKED_UP} were looked up", asked.len());
            found.uncovered.extend(
                (0_u16..)
                    .zip(&self.plan.policies)
                    .filter(|(_, policy)| policy.is_of_orders())
                    .map(|(number, _)| (number, why.clone())),
            );
        }
        let rows = snapshot.fetch(&self.plan.table, &wanted, id, &super::report::first_parts(trades, &ids)).await?;
        let mut values: Vec<String> = rows.into_iter().flatten().flatten().collect();
        values.sort_unstable();
        values.dedup();
        let Some(key) = column_of(orders, Role::Id) else { return Ok(()) };
        let mut names = Reader::new(Arc::clone(&self.reference.names));
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let refusals = join.refusals();
        for row in snapshot.fetch(&orders.table, &layout.columns, &key, &values).await? {
            let (mut bytes, mut cells) = (Vec::new(), Vec::new());
            for cell in &row {
                let start = u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1);
                bytes.extend_from_slice(cell.as_deref().unwrap_or_default().as_bytes());
                cells.push(if cell.is_some() {
                    (start, u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1))
                } else {
                    (RawRow::NULL, 0)
                });
            }
            if let Some(order) = Order::of(RawRow::new(&bytes, &cells), layout, &mut names, &refusals, &mut Vec::new())
            {
                order.write(&mut right);
            }
        }
        asked.iter().take(LOOKED_UP).for_each(|claim| claim.write(&mut left));
        join.part(&left, &right);
        Ok(())
    }
}
