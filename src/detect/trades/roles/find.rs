use super::beside::{ACCOUNT_TABLES, ACCOUNTS, KEY_TABLES, KEYS, ORDER_TABLES, SESSION_TABLES, SESSIONS, TRADE_TABLES};
use super::names::{Known, TRADE, names_an_id, words};
use super::{Catalog, Mapped, Mapping, Role, SchemaMapping, TableOverride, type_fits};
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
struct Chooser<'a> {
    table: &'a Table,
    taken: Vec<bool>,
    roles: Vec<Mapped>,
}

impl<'a> Chooser<'a> {
    fn new(table: &'a Table) -> Self {
        Self { table, taken: vec![false; table.columns.len()], roles: Vec::new() }
    }

    fn has(&self, role: Role) -> bool {
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
        (0..self.taken.len()).filter(move |index| !self.taken[*index] && type_fits(role, &self.table.columns[*index]))
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

    fn by_name(&mut self, known: &Known) {
        let hit = known.names.iter().find_map(|pattern| {
            let index = self.free(known.role).find(|index| fits(&normal(&self.table.columns[*index].name), pattern))?;
            Some((index, *pattern))
        });
        if let Some((index, pattern)) = hit {
            let reason = format!("named like `{pattern}`, type {}", self.table.columns[index].data_type);
            self.give(known.role, index, reason);
        }
    }

    fn by_word(&mut self, known: &Known) {
        let hit = self.free(known.role).find_map(|index| {
            let words = words(&self.table.columns[index].name);
            if words.iter().any(|word| known.not.contains(&word.as_str())) {
                return None;
            }
            // `apiKeyId` has the words `api` and `key`: pairs count as well.
            let pairs = words.windows(2).map(<[String]>::concat);
            let word = words.iter().cloned().chain(pairs).find(|word| known.words.contains(&word.as_str()))?;
            let thing = matches!(known.role, Role::Account | Role::Key | Role::Order | Role::Counterparty);
            let time = matches!(known.role, Role::ExecutedAt | Role::CreatedAt | Role::UpdatedAt | Role::ClosedAt);
            let data_type = &self.table.columns[index].data_type;
            let dated = ["timestamp", "date", "time"].iter().any(|name| data_type.starts_with(name));
            ((!thing || names_an_id(&words)) && (!time || dated)).then_some((index, word))
        });
        if let Some((index, word)) = hit {
            let reason = format!("its name has the word `{word}`, type {}", self.table.columns[index].data_type);
            self.give(known.role, index, reason);
        }
    }

    fn done(mut self, reason: String) -> Mapping {
        if !self.has(Role::Id) {
            let mut keys = self.free(Role::Id).filter(|index| self.table.columns[*index].primary_key);
            if let (Some(index), None) = (keys.next(), keys.next()) {
                drop(keys);
                self.give(Role::Id, index, "the primary key".into());
            }
        }
        let rest = self.table.columns.iter().zip(&self.taken).filter(|(_, taken)| !**taken);
        let unmapped = rest.map(|(column, _)| column.name.clone()).collect();
        Mapping { table: self.table.name.clone(), reason, roles: self.roles, unmapped }
    }
}

/// What a referenced table is.
fn meaning(target: &TableName) -> Option<Role> {
    let name = normal(&target.name);
    let is = |names: &[&str]| names.contains(&name.as_str());
    if is(KEY_TABLES) {
        Some(Role::Key)
    } else if is(ORDER_TABLES) {
        Some(Role::Order)
    } else if is(ACCOUNT_TABLES) {
        Some(Role::Account)
    } else if is(SESSION_TABLES) {
        Some(Role::Session)
    } else if is(&[
        "instrument",
        "instruments",
        "symbol",
        "symbols",
        "asset",
        "assets",
        "market",
        "markets",
        "security",
        "securities",
        "stock",
        "stocks",
        "product",
        "products",
        "pair",
        "pairs",
    ]) {
        Some(Role::Instrument)
    } else {
        None
    }
}

/// What an enumeration's labels say.
fn labelled(labels: &[String]) -> Option<Role> {
    let lower: Vec<String> = labels.iter().map(|label| label.to_lowercase()).collect();
    let any = |words: &[&str]| lower.iter().any(|label| words.contains(&label.as_str()));
    if any(&["buy", "long", "bid"]) && any(&["sell", "short", "ask"]) {
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
        if let Some(role) = catalog.relations.labels(&table.name, &column.name).and_then(labelled)
            && asks(role)
        {
            chooser.give(role, index, format!("labels of its type {}", column.data_type));
        }
    }
    // Roles that no check needs choose last, so that they take nothing from the others.
    let (needed, spare): (Vec<&Known>, Vec<&Known>) = wanted.iter().partition(|one| !is_spare(one.role));
    for one in &needed {
        chooser.by_name(one);
    }
    for (index, column) in table.columns.iter().enumerate() {
        if let Some(target) = catalog.relations.target(&table.name, &column.name)
            && let Some(role) = meaning(target)
            && asks(role)
        {
            chooser.give(role, index, format!("foreign key to {target}"));
        }
    }
    for one in &spare {
        chooser.by_name(one);
    }
    for one in needed.iter().chain(&spare) {
        if !chooser.has(one.role) {
            chooser.by_word(one);
        }
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
    let mapped = map_table(catalog, trades, TRADE, &catalog.overrides.trades, reason);
    let neighbour = |role: Option<Role>, names: &[&str], known: &[Known], told: &TableOverride| {
        find_neighbour(catalog, trades, &mapped, role, names, told)
            .map(|(table, reason)| map_table(catalog, table, known, told, reason))
    };
    let overrides = catalog.overrides;
    let keys = neighbour(Some(Role::Key), KEY_TABLES, KEYS, &overrides.keys);
    let accounts = neighbour(Some(Role::Account), ACCOUNT_TABLES, ACCOUNTS, &overrides.accounts);
    let orders = neighbour(Some(Role::Order), ORDER_TABLES, TRADE, &overrides.orders);
    let sessions = neighbour(Some(Role::Session), SESSION_TABLES, SESSIONS, &overrides.sessions);
    Ok(SchemaMapping { trades: mapped, keys, accounts, orders, sessions })
}

/// Tables that could hold the trades, the likeliest first, each with the reason. Empty if none looks like it.
pub fn trade_tables<'a>(catalog: Catalog<'a>, schema: Option<&str>) -> Vec<(&'a TableName, String)> {
    let usual = |table: &Table| TRADE_TABLES.iter().position(|name| *name == normal(&table.name.name));
    let mut found: Vec<_> = catalog
        .tables
        .iter()
        .filter(|table| schema.is_none_or(|schema| table.name.schema == schema))
        .filter(|table| !ORDER_TABLES.contains(&normal(&table.name.name).as_str()))
        .map(|table| (usual(table), score(catalog, table), table))
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
        let usual = TRADE_TABLES.iter().find_map(|name| in_schema().find(|table| normal(&table.name.name) == *name));
        // Models mapped to any name: the table that looks most like trades, if it has what makes a trade.
        let likely = || {
            let scored = in_schema().filter(|table| !ORDER_TABLES.contains(&normal(&table.name.name).as_str()));
            let scored = scored.map(|table| (score(catalog, table), table));
            scored.max_by_key(|(score, _)| *score).filter(|(score, _)| *score >= 5).map(|(_, table)| table)
        };
        if let Some(table) = usual.filter(|table| score(catalog, table) >= 3).or_else(likely) {
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
    core.iter().filter(|role| mapping.index(**role).is_some()).count()
}

fn find_neighbour<'a>(
    catalog: Catalog<'a>,
    trades: &Table,
    mapped: &Mapping,
    role: Option<Role>,
    names: &[&str],
    told: &TableOverride,
) -> Option<(&'a Table, String)> {
    let other = |table: &&Table| table.name != trades.name;
    if let Some(name) = &told.table {
        return catalog
            .tables
            .iter()
            .filter(other)
            .find(|table| table.name.name == *name)
            .map(|table| (table, "policy says so".into()));
    }
    let by_key = role.and_then(|role| mapped.column(role)).and_then(|column| {
        let target = catalog.relations.target(&trades.name, column)?;
        let table = catalog.tables.iter().filter(other).find(|table| table.name == *target)?;
        Some((table, format!("foreign key of {column}")))
    });
    by_key.or_else(|| {
        let same = catalog.tables.iter().filter(|table| table.name.schema == trades.name.schema).filter(other);
        let same: Vec<&Table> = same.collect();
        let find = |name: &&str| same.iter().copied().find(|table| normal(&table.name.name) == **name);
        // `userId` on the trades means the users, not what is called an account (Auth.js keeps sign-ins there).
        let of = mapped.column(role?).map(normal).unwrap_or_default();
        let first =
            names.iter().filter(|name| !of.is_empty() && of.starts_with(name.trim_end_matches('s'))).find_map(find);
        let table = first.or_else(|| names.iter().find_map(find))?;
        Some((table, "by its name".into()))
    })
}

/// The role that a field of a log line or an export has by its name alone.
pub fn role_of_field(name: &str) -> Option<Role> {
    let plain = normal(name);
    TRADE.iter().find(|known| known.names.iter().any(|pattern| fits(&plain, pattern))).map(|known| known.role)
}
