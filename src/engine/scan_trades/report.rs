//! Findings out of hits: the rows are read again by their ids, so that each finding shows the whole row.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bigdecimal::BigDecimal;

use super::Found;
use super::pass::Made;
use crate::detect::trades::policy::{Check, Sequence};
use crate::detect::trades::roles::{Mapping, Role, SchemaMapping};
use crate::detect::trades::value::Number;
use crate::detect::trades::{BETWEEN, Gap, Hit, MOST, NO_TIME, Plan, Uncovered, finding, without_usual};
use crate::domain::{Column, Finding, Level, Row, Timestamp};
use crate::ports::{Fault, Snapshot};

/// Rows that are read again at once.
const BATCH: usize = 2_000;

/// What findings are made with.
pub(super) struct Context<'a> {
    pub(super) plan: &'a Plan,
    pub(super) mapping: &'a SchemaMapping,
    pub(super) columns: &'a [Column],
}

/// What trades with a finding at `high` or above are worth: each trade once.
#[derive(Debug, Default)]
pub(super) struct AtRisk {
    counted: BTreeSet<String>,
    accounts: BTreeMap<String, BigDecimal>,
    total: BigDecimal,
}

impl AtRisk {
    fn add(&mut self, id: &str, account: Option<&str>, worth: Option<BigDecimal>) {
        let Some(worth) = worth.filter(|_| self.counted.insert(id.to_owned())) else { return };
        self.total += &worth;
        *self.accounts.entry(account.unwrap_or("(no account)").to_owned()).or_default() += worth;
    }

    pub(super) fn sums(&self) -> (BTreeMap<String, String>, String) {
        let text = |sum: &BigDecimal| sum.normalized().to_plain_string();
        (self.accounts.iter().map(|(account, sum)| (account.clone(), text(sum))).collect(), text(&self.total))
    }
}

/// The id's text.
pub(super) fn id_text(plan: &Plan, made: &[Made], id: i64) -> Result<String, Fault> {
    if plan.whole_ids {
        return Ok(id.to_string());
    }
    made.iter().find_map(|made| made.id(id)).unwrap_or_else(|| Ok(String::new()))
}

/// Reads the rows of all hits again and makes the findings, in the order of time; missing rows last.
pub(super) async fn findings(
    snapshot: &mut dyn Snapshot,
    context: &Context<'_>,
    mut found: Found,
    worths: &mut AtRisk,
    uncovered: &mut Vec<Uncovered>,
) -> Result<Vec<Finding>, Fault> {
    let plan = context.plan;
    let say = |policy: u16, reason: String| {
        let one = plan.policies.get(usize::from(policy));
        Uncovered {
            policy: one.map_or_else(String::new, |one| one.id.clone()),
            reason,
            optional: one.is_some_and(|one| one.optional),
        }
    };
    uncovered.extend(found.uncovered.drain(..).map(|(policy, why)| say(policy, why)));
    uncovered.extend(found.hits.dropped.iter().map(|(policy, more)| {
        let mut gap = say(*policy, format!("{more} further findings are not listed: more than {MOST} of one policy"));
        gap.optional = false;
        gap
    }));
    let mut hits = std::mem::take(&mut found.hits.kept);
    hits.sort_by_key(|hit| (hit.time, hit.id, hit.policy));
    hits.dedup_by_key(|hit| (hit.id, hit.policy));
    let mut findings = Vec::with_capacity(hits.len());
    for batch in hits.chunks(BATCH) {
        let mut ids = Vec::with_capacity(batch.len());
        for hit in batch {
            ids.push(id_text(plan, &found.made, hit.id)?);
        }
        let rows = read_again(snapshot, context, &ids).await?;
        let accounts = accounts_of_orders(snapshot, context, &rows).await?;
        for (hit, id) in batch.iter().zip(&ids) {
            findings.push(one(context, hit, id, rows.get(id), &accounts, worths));
        }
    }
    for (number, policy) in (0_u16..).zip(&plan.policies) {
        if let Check::Sequence { of: Sequence::Ids, ignore_up_to, .. } = policy.check {
            match std::mem::take(&mut found.whole).gaps(ignore_up_to) {
                Err(why) => uncovered.push(say(number, why)),
                Ok(mut gaps) => {
                    let usual = without_usual(&mut gaps);
                    if usual > 0 {
                        let mut gap = say(
                            number,
                            format!(
                                "{usual} gaps of a few ids are as many as rolled-back inserts leave, and are not listed; the logs (--logs) tell of a single deleted row"
                            ),
                        );
                        gap.optional = true;
                        uncovered.push(gap);
                    }
                    findings.extend(missing_rows(snapshot, context, number, gaps).await?);
                }
            }
        }
    }
    Ok(findings)
}

/// The accounts of orders by their ids, where trades know theirs only through them.
async fn accounts_of_orders(
    snapshot: &mut dyn Snapshot,
    context: &Context<'_>,
    rows: &HashMap<String, Row>,
) -> Result<HashMap<String, String>, Fault> {
    let trades = &context.mapping.trades;
    let (Some(account), Some(through), Some(by)) =
        (trades.joined(Role::Account), &trades.through, trades.index(Role::Order))
    else {
        return Ok(HashMap::new());
    };
    let Some(id) = context.mapping.orders.as_ref().and_then(|orders| super::join::column_of(orders, Role::Id)) else {
        return Ok(HashMap::new());
    };
    let orders: BTreeSet<&String> = rows.values().filter_map(|row| row.get(by)?.as_ref()).collect();
    let orders: Vec<String> = orders.into_iter().cloned().collect();
    let columns = [through.id.clone(), account.column.clone()];
    let found = snapshot.fetch(&through.table, &columns, &id, &orders).await?;
    let pair = |row: Row| {
        let mut cells = row.into_iter();
        Some((cells.next()??, cells.next()??))
    };
    Ok(found.into_iter().filter_map(pair).collect())
}

fn one(
    context: &Context<'_>,
    hit: &Hit,
    id: &str,
    row: Option<&Row>,
    accounts: &HashMap<String, String>,
    worths: &mut AtRisk,
) -> Finding {
    let trades = &context.mapping.trades;
    let policy = &context.plan.policies[usize::from(hit.policy)];
    let cell = |role: Role| row?.get(trades.index(role)?)?.as_deref();
    let of_order = cell(Role::Order).and_then(|order| accounts.get(order)).map(String::as_str);
    if policy.level >= Level::High {
        let number = |role: Role| cell(role).map(Number::parse).and_then(|number| number.finite().map(BigDecimal::abs));
        let value = number(Role::Worth).or_else(|| number(Role::Value));
        let worth = value.or_else(|| Some(number(Role::Quantity)? * number(Role::Price)?));
        worths.add(id, cell(Role::Account).or(of_order), worth);
    }
    let time = (hit.time != NO_TIME).then(|| Timestamp::from_millisecond(hit.time).ok()).flatten();
    let mut finding = finding::of_row(policy, trades, context.columns, id, row, time, &hit.why);
    if let Some(account) = of_order {
        finding.matched.entry(Role::Account.name()).or_insert_with(|| account.into());
    }
    finding
}

/// Places of the columns that are a row's id.
fn id_places(trades: &Mapping) -> Option<Vec<usize>> {
    let parts: Vec<usize> = trades.composite.iter().map(|part| part.index).collect();
    if parts.is_empty() { trades.index(Role::Id).map(|index| vec![index]) } else { Some(parts) }
}

/// What the first column of each id holds, each once: the rows of these are read.
pub(super) fn first_parts(trades: &Mapping, ids: &[String]) -> Vec<String> {
    if trades.composite.is_empty() {
        return ids.to_vec();
    }
    let first = |id: &String| id.split(BETWEEN).next().unwrap_or_default().to_owned();
    let firsts: BTreeSet<String> = ids.iter().map(first).collect();
    firsts.into_iter().collect()
}

/// Rows by id.
async fn read_again(
    snapshot: &mut dyn Snapshot,
    context: &Context<'_>,
    ids: &[String],
) -> Result<HashMap<String, Row>, Fault> {
    let trades = &context.mapping.trades;
    let Some(places) = id_places(trades) else { return Ok(HashMap::new()) };
    let Some(key) = context.columns.get(places[0]) else { return Ok(HashMap::new()) };
    let names: Vec<String> = context.columns.iter().map(|column| column.name.clone()).collect();
    let rows = snapshot.fetch(&context.plan.table, &names, key, &first_parts(trades, ids)).await?;
    let id = |row: &Row| {
        let parts: Option<Vec<&str>> = places.iter().map(|place| row.get(*place)?.as_deref()).collect();
        Some(parts?.join(&BETWEEN.to_string()))
    };
    Ok(rows.into_iter().filter_map(|row| Some((id(&row)?, row))).collect())
}

async fn missing_rows(
    snapshot: &mut dyn Snapshot,
    context: &Context<'_>,
    policy: u16,
    gaps: Vec<Gap>,
) -> Result<Vec<Finding>, Fault> {
    let trades = &context.mapping.trades;
    let policy = &context.plan.policies[usize::from(policy)];
    let mut findings = Vec::new();
    for gaps in gaps.chunks(BATCH / 2) {
        let ids: Vec<String> =
            gaps.iter().flat_map(|gap| [(gap.from - 1).to_string(), (gap.to + 1).to_string()]).collect();
        let rows = read_again(snapshot, context, &ids).await?;
        let time = |id: i64| {
            let row = rows.get(&id.to_string())?;
            row.get(trades.index(trades.time()?)?)?.as_deref().and_then(crate::detect::trades::value::moment)
        };
        findings
            .extend(gaps.iter().map(|gap| finding::of_gap(policy, trades, *gap, time(gap.from - 1), time(gap.to + 1))));
    }
    Ok(findings)
}
