use super::beside::{ACCOUNTS, ENDED, FILLED, KEYS, LIMIT_PRICE, ORDERED, SESSIONS};
use super::chooser::{Chooser, fits, normal};
use super::halts::halts;
use super::implied::with_implied;
use super::limits::limits;
use super::names::{Known, TRADE};
use super::owners::settle_owners;
use super::shape;
use super::tables::{
    ACCOUNT_TABLES, INSTRUMENT_TABLES, KEY_TABLES, NOT_TRADES, ORDER_TABLES, SESSION_TABLES, TRADE_TABLES,
};
use super::through::through;
use super::words::{ends_with, words};
use super::{Catalog, Mapping, Role, SchemaMapping, TableOverride};
use crate::detect::trades::record::Side;
use crate::domain::{Table, TableName};

/// What a referenced table is, by its name.
pub(super) fn meaning(target: &TableName) -> Option<Role> {
    let kinds: [(&[&str], Role); 5] = [
        (KEY_TABLES, Role::Key),
        (ORDER_TABLES, Role::Order),
        (ACCOUNT_TABLES, Role::Account),
        (SESSION_TABLES, Role::Session),
        (INSTRUMENT_TABLES, Role::Instrument),
    ];
    let is = |(names, _): &&(&[&str], Role)| ends_with(&target.name, names);
    kinds.iter().find(is).map(|(_, role)| *role)
}

/// What an enumeration's labels say.
fn labelled(labels: &[String]) -> Option<Role> {
    let lower: Vec<String> = labels.iter().map(|label| label.to_lowercase()).collect();
    let any = |words: &[&str]| lower.iter().any(|label| words.contains(&label.as_str()));
    // `B` and `S` alone are the two sides; among other letters they may be anything.
    let side = |side: Side| {
        lower.iter().any(|label| (label.len() > 1 || labels.len() == 2) && Side::read(Some(label.as_bytes())) == side)
    };
    if side(Side::Buy) && side(Side::Sell) {
        Some(Role::Side)
    } else if any(&["filled", "settled", "executed", "completed", "open", "pending"])
        && any(&["cancelled", "canceled", "failed", "rejected", "closed", "settled", "filled"])
    {
        Some(Role::Status)
    } else {
        None
    }
}

/// Gives each role at most one column and each column at most one role: policy, labels, whole names, foreign keys, words.
pub(super) fn map_table(
    catalog: Catalog<'_>,
    table: &Table,
    known: &[Known],
    told: &TableOverride,
    reason: String,
) -> Mapping {
    let mut chooser = Chooser::new(table);
    let none = chooser.told(told);
    let wanted: Vec<&Known> = known.iter().filter(|one| !none.contains(&one.role)).collect();
    let asks = |role: Role| wanted.iter().any(|one| one.role == role);
    for (index, column) in table.columns.iter().enumerate() {
        let Some(labels) = catalog.relations.labels(&table.name, &column.name) else { continue };
        let role = labelled(labels);
        chooser.sideless[index] = role != Some(Role::Side);
        if let Some(role) = role.filter(|role| asks(*role)) {
            chooser.give(role, index, format!("labels of its type {}", column.data_type));
        }
    }
    // Roles that no check needs choose last, so that they take nothing from the others.
    let (needed, spare): (Vec<&Known>, Vec<&Known>) = wanted.iter().partition(|one| !is_spare(one.role));
    for one in &needed {
        chooser.by_name(one);
    }
    if asks(Role::Instrument) && asks(Role::Currency) {
        chooser.by_pair();
    }
    for (index, column) in table.columns.iter().enumerate() {
        let Some(target) = catalog.relations.target(&table.name, &column.name) else { continue };
        if *target == table.name && asks(Role::Corrects) {
            chooser.give(Role::Corrects, index, "foreign key to its own table".into());
            continue;
        }
        let of_shape = || shape::role(catalog, target).filter(|_| *target != table.name);
        // `tokens` are coins, or what a service shows to be let in.
        let role = match meaning(target) {
            Some(Role::Instrument) if shape::is_like_a_key(catalog, target) => Some(Role::Key),
            named => named.or_else(of_shape),
        };
        let Some(role) = role else { continue };
        let other_side = ["sell", "seller", "maker", "counter", "ask"];
        let other = words(&column.name).iter().any(|word| other_side.contains(&word.as_str()));
        let role = if role == Role::Order && other { Role::CounterOrder } else { role };
        if asks(role) {
            chooser.give(role, index, format!("it names {target}"));
        }
    }
    for one in &needed {
        chooser.by_meaning(one);
    }
    for one in &spare {
        chooser.by_name(one);
        chooser.by_meaning(one);
    }
    for one in needed.iter().chain(&spare) {
        if !chooser.has(one.role) {
            chooser.by_word(one);
        }
    }
    if asks(Role::Scope) {
        chooser.by_list();
    }
    if asks(Role::ExecutedAt) {
        chooser.by_moment();
    }
    if asks(Role::Instrument) && asks(Role::Currency) {
        chooser.by_outcome(|index| {
            let labels = catalog.relations.labels(&table.name, &table.columns[index].name).unwrap_or_default();
            labels.len() == 2
                && ["yes", "no"].iter().all(|one| labels.iter().any(|label| label.eq_ignore_ascii_case(one)))
        });
    }
    chooser.done(reason)
}

fn is_spare(role: Role) -> bool {
    use Role::{
        ClosedAt, CounterFee, Currency, ExternalRef, Note, Portfolio, Profit, Risk, StopPrice, TargetPrice, User,
    };
    matches!(
        role,
        User | Portfolio
            | ExternalRef
            | CounterFee
            | StopPrice
            | TargetPrice
            | Risk
            | Profit
            | ClosedAt
            | Note
            | Currency
    )
}

/// Finds the trade table (by the name that policy gives, else by usual names) and its neighbours.
/// `Err` says in words which tables there are.
pub fn map_schema(catalog: Catalog<'_>, schema: Option<&str>, trade_table: &str) -> Result<SchemaMapping, String> {
    let relations = with_implied(catalog);
    let catalog = Catalog { relations: &relations, ..catalog };
    let (trades, reason) = trade_table_of(catalog, schema, trade_table)?;
    let mut mapped = map_table(catalog, trades, TRADE, &catalog.overrides.trades, reason);
    let overrides = catalog.overrides;
    let beside = |mapped: &[&Mapping], role: Role, names: &[&str], known: &[Known], told: &TableOverride| {
        find_neighbour(catalog, mapped, role, names, told)
            .map(|(table, reason)| map_table(catalog, table, known, told, reason))
    };
    // An order is for a quantity, whatever came of it.
    let ordered: Vec<Known> = TRADE
        .iter()
        .map(|known| if known.role == Role::Quantity { ORDERED } else { *known })
        .chain([FILLED, ENDED, LIMIT_PRICE])
        .collect();
    let orders = beside(&[&mapped], Role::Order, ORDER_TABLES, &ordered, &overrides.orders);
    mapped.through = orders.as_ref().and_then(|orders| through(catalog, &mapped, orders));
    let both: Vec<&Mapping> = std::iter::once(&mapped).chain(&orders).collect();
    let mut keys = beside(&both, Role::Key, KEY_TABLES, KEYS, &overrides.keys);
    let mut accounts = beside(&both, Role::Account, ACCOUNT_TABLES, ACCOUNTS, &overrides.accounts);
    let keys_of_owners = settle_owners(catalog, keys.as_mut(), accounts.as_mut());
    let sessions = beside(&both, Role::Session, SESSION_TABLES, SESSIONS, &overrides.sessions);
    let known: Vec<&Mapping> =
        std::iter::once(&mapped).chain([&orders, &keys, &accounts, &sessions].into_iter().flatten()).collect();
    let limits = limits(catalog, accounts.as_ref(), &known);
    let halts = halts(catalog, &mapped, &known);
    Ok(SchemaMapping { trades: mapped, keys, accounts, orders, sessions, limits, halts, keys_of_owners })
}

/// How well a table's name fits trades; `None` where it does not.
fn called(table: &Table) -> Option<usize> {
    let name = normal(&table.name.name);
    let words = words(&table.name.name);
    let only_looks = words.iter().any(|word| NOT_TRADES.contains(&word.as_str()));
    match TRADE_TABLES.iter().position(|one| *one == name) {
        Some(place) => Some(place),
        None => (!only_looks && ends_with(&table.name.name, TRADE_TABLES)).then_some(TRADE_TABLES.len()),
    }
}

fn is_order_table(table: &Table) -> bool {
    ends_with(&table.name.name, ORDER_TABLES)
}

/// Tables that could hold the trades, the likeliest first, each with the reason. Empty if none looks like it.
pub fn trade_tables<'a>(catalog: Catalog<'a>, schema: Option<&str>) -> Vec<(&'a TableName, String)> {
    let tables = catalog.tables;
    let relations = with_implied(catalog);
    let catalog = Catalog { relations: &relations, ..catalog };
    let mut found: Vec<_> = tables
        .iter()
        .filter(|table| schema.is_none_or(|schema| table.name.schema == schema))
        .filter(|table| !is_order_table(table))
        .map(|table| (called(table), score(catalog, table), table))
        .filter(|(usual, score, table)| {
            *score >= if usual.is_some() { 3 } else { 5 - usize::from(is_of_orders(catalog, table)) }
        })
        .collect();
    found.sort_by_key(|(usual, score, table)| (usual.unwrap_or(usize::MAX), usize::MAX - score, &table.name));
    let reason = |usual: Option<usize>, score: usize| {
        let by_name = if usual.is_some() { "by its name, and " } else { "" };
        format!("{by_name}{score} of 6 columns of a trade")
    };
    found.into_iter().map(|(usual, score, table)| (&table.name, reason(usual, score))).collect()
}

fn trade_table_of<'a>(
    catalog: Catalog<'a>,
    schema: Option<&str>,
    trade_table: &str,
) -> Result<(&'a Table, String), String> {
    let trade_table = catalog.overrides.trades.table.as_deref().unwrap_or(trade_table);
    let in_schema = || catalog.tables.iter().filter(|table| schema.is_none_or(|schema| table.name.schema == schema));
    let wanted = normal(trade_table);
    if let Some(table) = in_schema().find(|table| table.name.name == trade_table) {
        return Ok((table, "named in policy".into()));
    }
    if let Some(table) = in_schema().find(|table| normal(&table.name.name) == wanted) {
        return Ok((table, format!("written like `{trade_table}` but for case and punctuation")));
    }
    if ["trade", "trades"].contains(&wanted.as_str()) {
        // The name that says it best, unless another table that is called so has far more of a trade: `transactions` may be payments.
        let named = in_schema().filter(|table| !is_order_table(table)).filter_map(|table| {
            let (place, score) = (called(table)?, score(catalog, table));
            let of_orders = usize::from(is_of_orders(catalog, table));
            (score >= 3).then_some((score + of_orders + if place < 2 { 2 } else { 0 }, usize::MAX - place, table))
        });
        let named = named.max_by_key(|(score, place, _)| (*score, *place)).map(|(.., table)| table);
        // Models mapped to any name: the table that looks most like trades, if it has what makes a trade.
        let likely = || {
            let scored = in_schema().filter(|table| !is_order_table(table));
            let scored = scored.map(|table| (score(catalog, table), is_of_orders(catalog, table), table));
            let best = scored.max_by_key(|(score, of_orders, _)| (*score, *of_orders));
            best.filter(|(score, of_orders, _)| *score >= if *of_orders { 4 } else { 5 }).map(|(.., table)| table)
        };
        if let Some(table) = named.or_else(likely) {
            return Ok((table, format!("there is no `{trade_table}`; this one looks most like it")));
        }
    }
    let names: Vec<_> = catalog.tables.iter().map(|table| table.name.name.as_str()).take(20).collect();
    Err(format!("there is no table `{trade_table}`; there are: {}", names.join(", ")))
}

/// How many columns of a trade it has.
fn score(catalog: Catalog<'_>, table: &Table) -> usize {
    let mapping = map_table(catalog, table, TRADE, &TableOverride::default(), String::new());
    let core = [Role::Instrument, Role::Side, Role::Quantity, Role::Price, Role::Account, Role::ExecutedAt];
    // An execution may say what was traded, and for whom, only through its order.
    let order = order_of(catalog, &mapping)
        .map(|orders| map_table(catalog, orders, TRADE, &TableOverride::default(), String::new()));
    let given = |role: &Role| {
        let order = order.as_ref().filter(|_| [Role::Instrument, Role::Side, Role::Account].contains(role));
        order.is_some_and(|order| order.index(*role).is_some())
    };
    core.iter().filter(|role| mapping.index(**role).is_some() || given(role)).count()
}

/// The table of orders that a foreign key of the table points to.
fn order_of<'a>(catalog: Catalog<'a>, mapping: &Mapping) -> Option<&'a Table> {
    let target = catalog.relations.target(&mapping.table, mapping.column(Role::Order)?)?;
    catalog.tables.iter().find(|table| table.name == *target && table.name != mapping.table)
}

/// Whether each row of a table is of an order, by a foreign key.
fn is_of_orders(catalog: Catalog<'_>, table: &Table) -> bool {
    let mapping = map_table(catalog, table, TRADE, &TableOverride::default(), String::new());
    order_of(catalog, &mapping).is_some()
}

/// A table beside the trades: what policy says, what a foreign key of the trades or their orders points to, or a name.
fn find_neighbour<'a>(
    catalog: Catalog<'a>,
    mapped: &[&Mapping],
    role: Role,
    names: &[&str],
    told: &TableOverride,
) -> Option<(&'a Table, String)> {
    let others: Vec<&Table> =
        catalog.tables.iter().filter(|table| mapped.iter().all(|one| one.table != table.name)).collect();
    if let Some(name) = &told.table {
        let mut tables = catalog.tables.iter().filter(|table| table.name != mapped[0].table);
        return tables.find(|table| table.name.name == *name).map(|table| (table, "policy says so".into()));
    }
    let by_key = mapped.iter().find_map(|one| {
        let column = one.column(role)?;
        let target = catalog.relations.target(&one.table, column)?;
        let table = others.iter().copied().find(|table| table.name == *target)?;
        Some((table, format!("{column} names it")))
    });
    by_key.or_else(|| {
        let (same, far): (Vec<&Table>, Vec<&Table>) =
            others.iter().copied().partition(|table| table.name.schema == mapped[0].table.schema);
        let find = |name: &&str| same.iter().copied().find(|table| normal(&table.name.name) == **name);
        let ends = |tables: &[&'a Table]| tables.iter().copied().find(|table| ends_with(&table.name.name, names));
        // `userId` on the trades means the users, not what is called an account (Auth.js keeps sign-ins there).
        let of = mapped.iter().find_map(|one| one.column(role)).map(normal).unwrap_or_default();
        let first =
            names.iter().filter(|name| !of.is_empty() && of.starts_with(name.trim_end_matches('s'))).find_map(find);
        let table = first.or_else(|| names.iter().find_map(find)).or_else(|| ends(&same)).or_else(|| ends(&far))?;
        Some((table, "by its name".into()))
    })
}

/// The role that a field of a log line or an export has by its name alone.
pub fn role_of_field(name: &str) -> Option<Role> {
    let plain = normal(name);
    TRADE.iter().find(|known| known.names.iter().any(|pattern| fits(&plain, pattern))).map(|known| known.role)
}
