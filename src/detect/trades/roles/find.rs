use super::beside::{
    ACCOUNT_TABLES, ACCOUNTS, FILLED, INSTRUMENT_TABLES, KEY_TABLES, KEYS, NOT_TRADES, ORDER_TABLES, ORDERED,
    SESSION_TABLES, SESSIONS, TRADE_TABLES,
};
use super::names::{Known, TRADE, names_an_id};
use super::shape;
use super::through::through;
use super::words::{common_prefix, ends_with, usual, without, words};
use super::{Catalog, Mapped, Mapping, Role, SchemaMapping, TableOverride, type_fits};
use crate::detect::trades::record::Side;
use crate::domain::{Table, TableName};

/// Without case and punctuation.
fn normal(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn fits(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(stem) => name
            .strip_prefix(stem)
            .is_some_and(|code| (3..=4).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_lowercase())),
        None => name == pattern,
    }
}

/// Columns of a table while roles choose among them.
pub(super) struct Chooser<'a> {
    table: &'a Table,
    /// Words of each column: as they are, and as they usually are.
    words: Vec<[Vec<String>; 2]>,
    taken: Vec<bool>,
    /// Columns whose labels say that they are no sides.
    sideless: Vec<bool>,
    roles: Vec<Mapped>,
}

impl<'a> Chooser<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        let prefix = common_prefix(table);
        let both = |name: &str| {
            let plain = without(words(name), prefix.as_deref());
            [usual(&plain), plain]
        };
        let words = table.columns.iter().map(|column| both(&column.name)).collect();
        let none = vec![false; table.columns.len()];
        Self { table, words, taken: none.clone(), sideless: none, roles: Vec::new() }
    }

    pub(super) fn has(&self, role: Role) -> bool {
        self.roles.iter().any(|mapped| mapped.role == role)
    }

    fn give(&mut self, role: Role, index: usize, reason: String) {
        if self.has(role) || self.taken[index] {
            return;
        }
        self.taken[index] = true;
        let column = &self.table.columns[index];
        self.roles.push(Mapped {
            role,
            column: column.name.clone(),
            data_type: column.data_type.clone(),
            index,
            reason,
        });
    }

    fn free(&self, role: Role) -> impl Iterator<Item = usize> + '_ {
        let fits = move |index: usize| {
            type_fits(role, &self.table.columns[index]) && !(role == Role::Side && self.sideless[index])
        };
        (0..self.taken.len()).filter(move |index| !self.taken[*index] && fits(*index))
    }

    /// What policy says comes first; a column that is not there is left to the names.
    fn told(&mut self, told: &TableOverride) -> Vec<Role> {
        let mut none = Vec::new();
        for (role, column) in &told.roles {
            if column.is_empty() {
                none.push(*role);
            } else if let Some(index) = self.table.columns.iter().position(|one| one.name == *column) {
                self.give(*role, index, "policy says so".into());
            }
        }
        none
    }

    pub(super) fn by_name(&mut self, known: &Known) {
        let hit = known.names.iter().find_map(|pattern| {
            let index = self.free(known.role).find(|index| fits(&normal(&self.table.columns[*index].name), pattern))?;
            Some((index, *pattern))
        });
        if let Some((index, pattern)) = hit {
            let reason = format!("named like `{pattern}`, type {}", self.table.columns[index].data_type);
            self.give(known.role, index, reason);
        }
    }

    /// By what the name means without the prefix of all columns, its abbreviations written out.
    pub(super) fn by_meaning(&mut self, known: &Known) {
        let hit = known.names.iter().find_map(|pattern| {
            let named = |index: &usize| self.words[*index].iter().any(|words| fits(&words.concat(), pattern));
            Some((self.free(known.role).find(named)?, *pattern))
        });
        if let Some((index, pattern)) = hit {
            let reason = format!("its name means `{pattern}`, type {}", self.table.columns[index].data_type);
            self.give(known.role, index, reason);
        }
    }

    pub(super) fn by_word(&mut self, known: &Known) {
        let hit = self.free(known.role).find_map(|index| {
            let both = &self.words[index];
            if both.iter().flatten().any(|word| known.not.contains(&word.as_str())) {
                return None;
            }
            // `apiKeyId` has the words `api` and `key`: pairs count as well.
            let pairs = both.iter().flat_map(|words| words.windows(2).map(<[String]>::concat));
            let all = both.iter().flatten().cloned().chain(pairs);
            let word = all.into_iter().find(|word| known.words.contains(&word.as_str()))?;
            let thing = matches!(known.role, Role::Account | Role::Key | Role::Order | Role::Counterparty);
            let time = matches!(known.role, Role::ExecutedAt | Role::CreatedAt | Role::UpdatedAt | Role::ClosedAt);
            ((!thing || names_an_id(&both[0])) && (!time || self.dated(index))).then_some((index, word))
        });
        if let Some((index, word)) = hit {
            let reason = format!("its name has the word `{word}`, type {}", self.table.columns[index].data_type);
            self.give(known.role, index, reason);
        }
    }

    /// Whether a column holds moments by its type, or by a whole number's name.
    fn dated(&self, index: usize) -> bool {
        let data_type = &self.table.columns[index].data_type;
        let is = |names: &[&str]| names.iter().any(|name| data_type.starts_with(name));
        let last = self.words[index][0].last().map_or("", String::as_str);
        is(&["timestamp", "date", "time"])
            || (is(&["bigint", "int"])
                && ["at", "on", "time", "ts", "ms", "millis", "epoch", "timestamp"].contains(&last))
    }

    /// The primary key: the id, where it is one free column; else its columns, where they are several.
    fn key(&mut self) -> Vec<Mapped> {
        let keys: Vec<usize> = (0..self.taken.len()).filter(|index| self.table.columns[*index].primary_key).collect();
        if let [index] = keys[..] {
            self.give(Role::Id, index, "the primary key".into());
            return Vec::new();
        }
        // An order has few trades; an account, an instrument or a day has many.
        let rank = |index: usize| match self.roles.iter().find(|mapped| mapped.index == index).map(|mapped| mapped.role)
        {
            Some(Role::Order) => 0,
            None if names_an_id(&self.words[index][0]) => 1,
            None => 2,
            Some(_) => 3,
        };
        let part = |index: usize| {
            let column = &self.table.columns[index];
            let reason = "part of the primary key".to_owned();
            Mapped { role: Role::Id, column: column.name.clone(), data_type: column.data_type.clone(), index, reason }
        };
        let mut parts: Vec<Mapped> = keys.into_iter().map(part).collect();
        parts.sort_by_key(|part| rank(part.index));
        parts
    }

    /// A day alone is no moment, if another column says when the row was made.
    fn leave_days(&mut self) {
        let of = |role: Role| self.roles.iter().position(|mapped| mapped.role == role);
        let (Some(executed), Some(created)) = (of(Role::ExecutedAt), of(Role::CreatedAt)) else { return };
        let is_day = |place: usize| self.roles[place].data_type == "date";
        if is_day(executed) && !is_day(created) && !self.roles[executed].reason.starts_with("policy") {
            let day = self.roles.remove(executed);
            self.taken[day.index] = false;
        }
    }

    /// The one list of texts among a key's columns that is no list of addresses.
    fn by_list(&mut self) {
        let is_list = |index: &usize| {
            let data_type = &self.table.columns[*index].data_type;
            data_type.ends_with("[]") && !data_type.starts_with("inet") && !data_type.starts_with("cidr")
        };
        let lists: Vec<usize> = self.free(Role::Scope).filter(is_list).collect();
        if let [index] = lists[..] {
            self.give(Role::Scope, index, "the only list".into());
        }
    }

    /// A pair of columns that only say "base" and "quote": what is traded, and what it is paid with.
    fn by_pair(&mut self) {
        const THINGS: [&str; 9] = ["asset", "currency", "coin", "symbol", "ticker", "code", "token", "ccy", "id"];
        let named = |word: &str| {
            let of = |words: &[String]| {
                let (first, rest) = words.split_first().map_or((None, words), |(first, rest)| (Some(first), rest));
                first.is_some_and(|first| first == word) && rest.iter().all(|word| THINGS.contains(&word.as_str()))
            };
            self.free(Role::Instrument).find(|index| of(&self.words[*index][0]))
        };
        if let (Some(base), Some(quote), false) = (named("base"), named("quote"), self.has(Role::Instrument)) {
            self.give(Role::Instrument, base, "a pair of base and quote".into());
            self.give(Role::Currency, quote, "a pair of base and quote".into());
        }
    }

    fn done(mut self, reason: String) -> Mapping {
        self.leave_days();
        let composite = if self.has(Role::Id) { Vec::new() } else { self.key() };
        let is_part = |name: &str| composite.iter().any(|part| part.column == name);
        let rest = self.table.columns.iter().zip(&self.taken).filter(|(_, taken)| !**taken);
        let unmapped = rest.map(|(column, _)| column.name.clone()).filter(|name| !is_part(name)).collect();
        Mapping { table: self.table.name.clone(), reason, roles: self.roles, unmapped, composite, through: None }
    }
}

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
fn map_table(catalog: Catalog<'_>, table: &Table, known: &[Known], told: &TableOverride, reason: String) -> Mapping {
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
            chooser.give(role, index, format!("foreign key to {target}"));
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
    let (trades, reason) = trade_table_of(catalog, schema, trade_table)?;
    let mut mapped = map_table(catalog, trades, TRADE, &catalog.overrides.trades, reason);
    let overrides = catalog.overrides;
    let beside = |mapped: &[&Mapping], role: Role, names: &[&str], known: &[Known], told: &TableOverride| {
        find_neighbour(catalog, mapped, role, names, told)
            .map(|(table, reason)| map_table(catalog, table, known, told, reason))
    };
    // An order is for a quantity, whatever came of it.
    let ordered: Vec<Known> =
        TRADE.iter().map(|known| if known.role == Role::Quantity { ORDERED } else { *known }).chain([FILLED]).collect();
    let orders = beside(&[&mapped], Role::Order, ORDER_TABLES, &ordered, &overrides.orders);
    mapped.through = orders.as_ref().and_then(|orders| through(catalog, &mapped, orders));
    let both: Vec<&Mapping> = std::iter::once(&mapped).chain(&orders).collect();
    let keys = beside(&both, Role::Key, KEY_TABLES, KEYS, &overrides.keys);
    let accounts = beside(&both, Role::Account, ACCOUNT_TABLES, ACCOUNTS, &overrides.accounts);
    let sessions = beside(&both, Role::Session, SESSION_TABLES, SESSIONS, &overrides.sessions);
    Ok(SchemaMapping { trades: mapped, keys, accounts, orders, sessions })
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
    let mut found: Vec<_> = catalog
        .tables
        .iter()
        .filter(|table| schema.is_none_or(|schema| table.name.schema == schema))
        .filter(|table| !is_order_table(table))
        .map(|table| (called(table), score(catalog, table), table))
        .filter(|(usual, score, _)| *score >= if usual.is_some() { 3 } else { 5 })
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
            best.filter(|(score, ..)| *score >= 5).map(|(.., table)| table)
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
        Some((table, format!("foreign key of {column}")))
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
