use serde::Serialize;

use super::expression::Expression;
use super::late_fills::allows_late_fills;
pub use super::layout::Layout;
use super::limit_prices::limiting;
use super::policy::{
    By, Check, Difference, Ledger, LookupTable, Measure, Pattern, Problem, Sequence, TradePolicy, needs_history,
};
use super::reference::Reference;
use super::roles::{Mapping, Role, SchemaMapping};
use crate::domain::{Column, TableName};

/// A policy that was not evaluated, or not on all rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Uncovered {
    /// Policy id.
    pub policy: String,
    /// Why.
    pub reason: String,
    /// The policy says that the scan counts as complete without it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// What this scan can give to the checks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is there or not, independent of the others")]
pub struct Means {
    /// The whole history is read, not only a window.
    pub history: bool,
    /// The database tells which transaction wrote a row.
    pub xmin: bool,
    /// Log lines of trades are given.
    pub logs: bool,
    /// An exchange's fills are given.
    pub fills: bool,
    /// A window of time was asked for.
    pub asked: bool,
}

/// What is evaluated, and how rows must be read for it.
#[expect(clippy::struct_excessive_bools, reason = "each is so or not, independent of the others")]
pub struct Plan {
    /// Policies that can be evaluated.
    pub policies: Vec<TradePolicy>,
    /// The others, with the reason.
    pub uncovered: Vec<Uncovered>,
    /// The trade table.
    pub table: TableName,
    /// The column of ids.
    pub id: Option<String>,
    /// Whether ids are whole numbers.
    pub whole_ids: bool,
    /// Whether values are whole numbers.
    pub whole_values: bool,
    /// How rows are read.
    pub layout: Layout,
    /// Whether the transaction that wrote a row is read.
    pub xmin: bool,
    /// Whether ids are compared with those of other records.
    pub hash_ids: bool,
    /// Orders tell when they were made, and a check lets late fills pass.
    pub late_fills: bool,
}

/// Roles that every record keeps; amounts tell what is no trade.
const ALWAYS: [Role; 9] = [
    Role::Id,
    Role::Account,
    Role::Instrument,
    Role::Side,
    Role::ExecutedAt,
    Role::CreatedAt,
    Role::Quantity,
    Role::Price,
    Role::DeletedAt,
];

impl Plan {
    /// Policies whose roles, tables or means are missing are put among the uncovered. `columns` are those of the trade table.
    pub fn new(
        policies: &[TradePolicy],
        mapping: &SchemaMapping,
        columns: &[Column],
        reference: &Reference,
        means: Means,
    ) -> Self {
        let trades = &mapping.trades;
        let mut plan = Self {
            policies: Vec::new(),
            uncovered: Vec::new(),
            table: trades.table.clone(),
            id: trades.column(Role::Id).map(String::from),
            whole_ids: false,
            whole_values: false,
            layout: Layout::new(trades, &[]),
            xmin: false,
            hash_ids: means.logs || means.fills,
            late_fills: false,
        };
        let orders_tell = trades.has(Role::Order) && mapping.orders.as_ref().is_some_and(|o| o.has(Role::CreatedAt));
        let whole = |role: Role| {
            let column = trades.index(role).and_then(|index| columns.get(index));
            column.is_some_and(|column| {
                ["bigint", "int", "smallint"].iter().any(|name| column.data_type.starts_with(name))
            })
        };
        (plan.whole_ids, plan.whole_values) = (whole(Role::Id), whole(Role::Value));
        let mut roles = ALWAYS.to_vec();
        if means.fills {
            roles.push(Role::ExternalRef);
        }
        for policy in policies {
            let (policy, left) = &comparable(policy, mapping);
            let missing = missing_means(policy, means, plan.whole_ids)
                .or_else(|| missing_roles(policy, trades))
                .or_else(|| missing_tables(policy, mapping, reference));
            if let Some(reason) = missing {
                plan.uncovered.push(Uncovered { policy: policy.id.clone(), reason, optional: policy.optional });
                continue;
            }
            if let Some(reason) = left.clone() {
                plan.uncovered.push(Uncovered { policy: policy.id.clone(), reason, optional: policy.optional });
            }
            roles.extend(uses(&policy.check));
            roles.extend(&policy.unless_present);
            if orders_tell && allows_late_fills(&policy.check) {
                plan.late_fills = true;
                roles.push(Role::Order);
            }
            plan.xmin |= matches!(policy.check, Check::Sequence { of: Sequence::Xmin, .. });
            plan.policies.push(mapped_parts(policy, trades));
        }
        plan.layout = Layout::new(trades, &roles);
        plan
    }

    /// Whether a row is the buyer's and the seller's, and the account the buyer.
    pub fn both_sides(&self) -> bool {
        self.layout.place(Role::Side).is_none() && self.layout.place(Role::Counterparty).is_some()
    }

    /// Whether rows of the order table are needed in any case; late fills need them where there are any.
    pub fn needs_orders(&self) -> bool {
        self.policies.iter().any(|policy| matches!(policy.check, Check::Reconcile { with: Ledger::Orders, .. }))
    }
}

/// A condition of alternatives keeps those that this table can answer; words that are compared are brought to lower case once.
fn mapped_parts(policy: &TradePolicy, trades: &Mapping) -> TradePolicy {
    let mut policy = policy.clone();
    if let Check::Row { when: Expression::Any(parts) } = &mut policy.check {
        parts.retain(|part| part.roles().iter().all(|role| trades.has(*role)));
    }
    if let Check::Lookup { words, .. } = &mut policy.check {
        for word in words {
            *word = word.to_lowercase();
        }
    }
    policy
}

/// A comparison with orders keeps the fields that both tables have, if there is one; says which are left out.
fn comparable(policy: &TradePolicy, mapping: &SchemaMapping) -> (TradePolicy, Option<String>) {
    let mut policy = policy.clone();
    let Check::Reconcile { with: Ledger::Orders, problem: Difference::Differs, fields, .. } = &mut policy.check else {
        return (policy, None);
    };
    let has = |mapping: &Mapping, role: Role| mapping.index(role).is_some();
    let both =
        |role: Role| has(&mapping.trades, role) && mapping.orders.as_ref().is_some_and(|orders| has(orders, role));
    let (kept, left): (Vec<Role>, Vec<Role>) = fields.iter().copied().partition(|role| both(*role));
    if kept.is_empty() || left.is_empty() {
        return (policy, None);
    }
    *fields = kept;
    let left: Vec<_> = left.into_iter().map(Role::name).collect();
    (policy, Some(format!("not compared, since trades or orders have no such column: {}", left.join(", "))))
}

/// Roles of the trade table that a check reads.
fn uses(check: &Check) -> Vec<Role> {
    use Role::{
        Account, CounterOrder, Counterparty, CreatedAt, Destination, Instrument, Ip, Key, Order, Price, Quantity,
        Session, Side, UpdatedAt, Value, Worth,
    };
    match check {
        Check::Row { when } => [when.roles(), vec![Value, Quantity, Price]].concat(),
        Check::Lookup { problem, table, .. } => match (table, problem) {
            (LookupTable::Keys, Problem::OtherAccount) => vec![Key, Account],
            (LookupTable::Keys, Problem::OtherAddress) => vec![Key, Ip],
            (LookupTable::Keys, _) => vec![Key],
            (LookupTable::Accounts, _) => vec![Account, Value, Quantity, Price, Worth],
            (LookupTable::Pauses, _) => vec![],
            (LookupTable::Intruder, _) => vec![Ip, Session, Key],
        },
        Check::Window { by, pattern, .. } => {
            let whose = if *by == By::Key { Key } else { Account };
            let more = match pattern {
                Pattern::Burst => vec![],
                Pattern::DayValue => vec![Value, Quantity, Price, Worth, Counterparty],
                Pattern::Position => vec![Instrument, Side, Quantity, Counterparty],
                Pattern::Wash | Pattern::RoundTrip => vec![Instrument, Side, Quantity, Price, Counterparty, Order],
                Pattern::Duplicate => vec![Instrument, Side, Quantity, Price, Order],
            };
            [vec![whose], more].concat()
        }
        Check::Baseline { of, .. } => match of {
            Measure::Value => vec![Account, Value, Quantity, Price, Worth],
            Measure::Quantity => vec![Account, Instrument, Quantity],
            Measure::Price => vec![Instrument, Price],
            Measure::ValueRatio => vec![Instrument, Value, Quantity, Price],
            Measure::Instrument => vec![Account, Instrument],
            Measure::Destination => vec![Account, Destination],
            Measure::Ip => vec![Account, Ip],
            Measure::Hour | Measure::Gap | Measure::First => vec![Account],
        },
        Check::Sequence { of, .. } => match of {
            Sequence::Ids => vec![],
            Sequence::CreatedAt => vec![CreatedAt],
            Sequence::Xmin => vec![CreatedAt, UpdatedAt],
            Sequence::References => vec![Role::ExternalRef, Account, Instrument, Side],
        },
        Check::Reconcile { fields, problem, .. } => {
            let whole = matches!(problem, Difference::Overfilled | Difference::Waiting | Difference::Filled);
            let more = if whole { vec![Quantity] } else { vec![] };
            [
                vec![
                    Order,
                    CounterOrder,
                    Account,
                    Counterparty,
                    Instrument,
                    Side,
                    Quantity,
                    Price,
                    Value,
                    Role::Status,
                ],
                fields.clone(),
                more,
            ]
            .concat()
        }
    }
}

/// Roles without which a check can't be evaluated.
fn needs(check: &Check) -> Vec<Role> {
    use Role::{CounterOrder, Counterparty, Key, Order, Price, Quantity, Value, Worth};
    let optional: &[Role] = match check {
        Check::Row { when } => {
            return when
                .parts()
                .iter()
                .find(|part| !part.roles().is_empty())
                .map(Expression::roles)
                .unwrap_or_default();
        }
        Check::Lookup { table: LookupTable::Intruder, .. } => &[Role::Ip, Role::Session, Key],
        Check::Lookup { table: LookupTable::Accounts, .. } => &[Value, Quantity, Price, Worth],
        Check::Window { pattern: Pattern::DayValue, .. } | Check::Baseline { of: Measure::Value, .. } => {
            &[Value, Quantity, Price, Worth, Counterparty]
        }
        Check::Window { pattern: Pattern::Wash | Pattern::Position, .. } => &[Counterparty, Order],
        // Where rows are never changed there may be no such column.
        Check::Sequence { of: Sequence::Xmin, .. } => &[Role::UpdatedAt],
        Check::Sequence { of: Sequence::References, .. } => &[Role::Account, Role::Instrument, Role::Side],
        Check::Window { pattern: Pattern::RoundTrip, .. } => &[Price, Order],
        Check::Reconcile { with: Ledger::Orders, fields, problem, .. } => {
            let whole = matches!(problem, Difference::Overfilled | Difference::Waiting | Difference::Filled);
            let more = match problem {
                Difference::Worse => vec![Price],
                _ if whole => vec![Quantity],
                _ => vec![],
            };
            return [vec![Order], fields.clone(), more].concat();
        }
        // Fields that the table lacks are not compared.
        Check::Reconcile { .. } => return vec![],
        _ => &[CounterOrder],
    };
    uses(check).into_iter().filter(|role| !optional.contains(role)).collect()
}

fn needs_worth(check: &Check) -> bool {
    matches!(
        check,
        Check::Lookup { problem: Problem::OverLimit, .. }
            | Check::Window { pattern: Pattern::DayValue, .. }
            | Check::Baseline { of: Measure::Value, .. }
    )
}

fn needs_time(check: &Check) -> bool {
    match check {
        Check::Lookup { problem, .. } => !matches!(
            problem,
            Problem::Missing | Problem::OtherAccount | Problem::OutOfScope | Problem::OverLimit | Problem::OtherAddress
        ),
        Check::Window { .. } | Check::Baseline { .. } => true,
        Check::Row { .. } | Check::Sequence { .. } => false,
        Check::Reconcile { problem, .. } => matches!(problem, Difference::BeforeOrder | Difference::Ended),
    }
}

fn missing_roles(policy: &TradePolicy, trades: &Mapping) -> Option<String> {
    let has = |role: Role| trades.has(role);
    if let Check::Row { when } = &policy.check
        && when.parts().iter().any(|part| part.roles().into_iter().all(has))
    {
        return time_missing(policy, trades);
    }
    let sided = |role: Role| role == Role::Side && has(Role::Counterparty) && tells_sides(&policy.check);
    let absent: Vec<_> =
        needs(&policy.check).into_iter().filter(|role| !has(*role) && !sided(*role)).map(Role::name).collect();
    if !absent.is_empty() {
        return Some(format!("no column of {} was mapped to: {}", trades.table, absent.join(", ")));
    }
    if needs_worth(&policy.check) && !has(Role::Value) && !(has(Role::Quantity) && has(Role::Price)) {
        return Some("neither a value nor quantity and price were mapped".into());
    }
    if needs_worth(&policy.check) && trades.is_exchange() && !has(Role::Worth) {
        return Some("one thing is given for another, and no column says what trades are worth in one money".into());
    }
    if let Check::Lookup { table: LookupTable::Intruder, .. } = policy.check
        && ![Role::Ip, Role::Session, Role::Key, Role::Account].into_iter().any(has)
    {
        return Some("trades have neither address nor session, key or account".into());
    }
    if let Check::Lookup { table: LookupTable::Accounts, problem: Problem::OverLimit, limit: None, .. } = policy.check
        && !has(Role::Account)
    {
        return Some("no column was mapped to: account, and the policy gives no limit".into());
    }
    time_missing(policy, trades)
}

/// Whether buyer and seller in one row tell the side: the account is the buyer.
fn tells_sides(check: &Check) -> bool {
    matches!(
        check,
        Check::Window { pattern: Pattern::Wash | Pattern::RoundTrip | Pattern::Duplicate | Pattern::Position, .. }
    )
}

fn time_missing(policy: &TradePolicy, trades: &Mapping) -> Option<String> {
    let outside = matches!(policy.check, Check::Row { when: Expression::OutsideHours(_) });
    ((needs_time(&policy.check) || outside) && trades.time().is_none())
        .then(|| "no column says when a trade happened".into())
}

fn missing_tables(policy: &TradePolicy, mapping: &SchemaMapping, reference: &Reference) -> Option<String> {
    let column = |mapping: &Option<Mapping>, what: &str, role: Role| match mapping {
        None => Some(format!("no {what} table was found")),
        Some(mapping) if mapping.column(role).is_none() => {
            Some(format!("no column of {} was mapped to: {}", mapping.table, role.name()))
        }
        Some(_) => None,
    };
    let in_limits = |role: Role| mapping.limits.as_ref().is_some_and(|limits| limits.column(role).is_some());
    match &policy.check {
        Check::Lookup { table: LookupTable::Keys, problem, .. } => {
            let role = match problem {
                Problem::Revoked => Role::RevokedAt,
                Problem::Expired => Role::ExpiresAt,
                Problem::NotYetMade => Role::CreatedAt,
                Problem::OtherAccount => Role::Account,
                Problem::OutOfScope => Role::Scope,
                Problem::OtherAddress => Role::Ip,
                _ => Role::Id,
            };
            column(&mapping.keys, "API key", role)
        }
        Check::Lookup { table: LookupTable::Accounts, problem, limit, .. } => match problem {
            Problem::OverLimit if limit.is_some() || in_limits(Role::Limit) => None,
            Problem::OverLimit => column(&mapping.accounts, "account", Role::Limit)
                .map(|why| format!("{why}, and the policy gives no limit")),
            Problem::Revoked => column(&mapping.accounts, "account", Role::RevokedAt),
            Problem::NotYetMade => column(&mapping.accounts, "account", Role::CreatedAt),
            _ => column(&mapping.accounts, "account", Role::Id),
        },
        Check::Lookup { table: LookupTable::Pauses, .. } if reference.pauses.is_empty() => {
            Some("no pause is known in this case, and no table of halts was found".into())
        }
        Check::Lookup { table: LookupTable::Intruder, .. } if reference.traces.is_empty() => {
            Some("the case has no log finding that names an address or a session; run scan logs first".into())
        }
        Check::Window { pattern: Pattern::DayValue, limit: None, .. } if !in_limits(Role::DailyLimit) => {
            column(&mapping.accounts, "account", Role::DailyLimit)
        }
        Check::Window { pattern: Pattern::Position, limit: None, .. } if !in_limits(Role::PositionLimit) => {
            column(&mapping.accounts, "account", Role::PositionLimit)
        }
        Check::Reconcile { with: Ledger::Orders, problem, fields, .. } => {
            let role = match problem {
                Difference::BeforeOrder => vec![Role::CreatedAt],
                Difference::Refused => vec![Role::Status],
                Difference::Ended if mapping.orders.as_ref().is_some_and(|orders| orders.has(Role::DeletedAt)) => {
                    vec![]
                }
                Difference::Ended => vec![Role::RevokedAt],
                Difference::Overfilled => vec![Role::Quantity],
                Difference::Worse => match limiting(mapping) {
                    Ok(role) => vec![role],
                    Err(why) => return Some(why.into()),
                },
                Difference::Filled if mapping.orders.as_ref().is_some_and(|orders| orders.has(Role::Filled)) => vec![],
                Difference::Waiting | Difference::Filled => vec![Role::Quantity, Role::Status],
                _ => fields.clone(),
            };
            let own = |role: &Role| mapping.trades.index(*role).is_some();
            let taken = role.iter().find(|role| !own(role) && mapping.trades.has(**role));
            let taken = taken.filter(|_| *problem == Difference::Differs);
            let taken = taken.map(|role| format!("trades have it only from their orders: {}", role.name()));
            taken.or_else(|| {
                std::iter::once(Role::Id).chain(role).find_map(|role| column(&mapping.orders, "order", role))
            })
        }
        _ => None,
    }
}

fn missing_means(policy: &TradePolicy, means: Means, whole_ids: bool) -> Option<String> {
    if policy.only_in_window && !means.asked {
        return Some("it gives leads, and is only looked at in a window of time (--since, --until)".into());
    }
    match policy.check {
        Check::Reconcile { with: Ledger::Logs, .. } if !means.logs => Some("no log lines were given (--logs)".into()),
        Check::Reconcile { with: Ledger::Fills, .. } if !means.fills => {
            Some("no exchange's fills were given (--fills)".into())
        }
        Check::Sequence { of: Sequence::Xmin, .. } if !means.xmin => {
            Some("this database does not tell which transaction wrote a row".into())
        }
        Check::Sequence { of: Sequence::Ids, .. } if !whole_ids => {
            Some("ids are not whole numbers, so missing ones can't be seen".into())
        }
        _ if needs_history(&policy.check) && !means.history => Some("only a window of time was read".into()),
        _ => None,
    }
}
