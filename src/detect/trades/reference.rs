use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::names::{NONE, Names};
use super::pauses::Pause;
use super::policy::Amount;
use super::roles::{Mapping, Role, decimal_places};
use super::value::{Number, millis};
use crate::domain::RawRow;

/// By the number of a name.
pub type ByNumber<T> = HashMap<u32, T, foldhash::fast::RandomState>;

/// What is known beside the trade table.
#[derive(Default)]
pub struct Reference {
    /// Numbers of names; shared with the readers of rows.
    pub names: Arc<Names>,
    /// API keys by the number of their id; `None` if there is no key table.
    pub keys: Option<ByNumber<Key>>,
    /// Accounts by the number of their id; `None` if there is no account table.
    pub accounts: Option<ByNumber<Account>>,
    /// When trading was paused, and until when, in milliseconds.
    pub pauses: Vec<Pause>,
    /// What the intruder used, and when.
    pub traces: Vec<Trace>,
    /// The moment of the scan, in milliseconds.
    pub now: i64,
    /// How limits are brought to the units of trades.
    pub units: Units,
    /// A key belongs to who owns accounts.
    pub keys_of_owners: bool,
}

/// Powers of ten between the units of limits and of trades (`limit_cents` and `qty_e8`), as far as names say them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Units {
    /// From what a trade is worth to a limit of it.
    pub limit: i64,
    /// To a limit of a day.
    pub daily: i64,
    /// From a quantity to a limit of a position.
    pub position: i64,
}

impl Units {
    /// What the names of the columns say.
    pub fn of(trades: &Mapping, accounts: &Mapping) -> Self {
        let power = |mapping: &Mapping, role: Role| mapping.column(role).map(decimal_places);
        let quantity = power(trades, Role::Quantity).unwrap_or(0);
        let worth = power(trades, Role::Worth).or_else(|| power(trades, Role::Value));
        let worth = worth.unwrap_or_else(|| quantity + power(trades, Role::Price).unwrap_or(0));
        let from = |unit: i64, role: Role| power(accounts, role).map_or(0, |limit| unit - limit);
        Self {
            limit: from(worth, Role::Limit),
            daily: from(worth, Role::DailyLimit),
            position: from(quantity, Role::PositionLimit),
        }
    }
}

/// One API key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key {
    /// Number of its account's id.
    pub account: u32,
    /// When it was revoked, in milliseconds.
    pub revoked: Option<i64>,
    /// When it expires.
    pub expires: Option<i64>,
    /// When it was made.
    pub made: Option<i64>,
    /// What it may do, as the column says it.
    pub scope: Option<String>,
    /// Addresses from which it may be used; `None` for any.
    pub addresses: Option<Vec<ipnet::IpNet>>,
}

/// One account.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    /// The most that one trade may be worth.
    pub limit: Option<Amount>,
    /// The most that the trades of a day may be worth.
    pub daily: Option<Amount>,
    /// The most that may be held of one instrument.
    pub position: Option<Amount>,
    /// When it was made, in milliseconds.
    pub made: Option<i64>,
    /// When it was closed or frozen, each with until when.
    pub closed: Vec<(i64, Option<i64>)>,
    /// Number of its owner's id.
    pub owner: u32,
    /// Limits that a table of their own holds.
    pub spans: Vec<Span>,
}

/// Limits of an account, and since when.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Span {
    /// From when, in milliseconds; the first holds from the beginning.
    pub from: Option<i64>,
    /// Until when; absent: until the next.
    pub to: Option<i64>,
    /// Of one trade.
    pub limit: Option<Amount>,
    /// Of a day.
    pub daily: Option<Amount>,
    /// Of a position.
    pub position: Option<Amount>,
}

/// One limit over time.
#[derive(Debug, Clone, PartialEq)]
pub enum Limited<T> {
    /// Always the same.
    Always(T),
    /// From and until when, in the order of time; an absent one says that there is none then.
    Changing(Vec<(i64, i64, Option<T>)>),
}

impl<T> Limited<T> {
    /// The one of a moment.
    pub fn at(&self, time: i64) -> Option<&T> {
        match self {
            Self::Always(limit) => Some(limit),
            Self::Changing(spans) => {
                let next = spans.partition_point(|(from, ..)| *from <= time);
                // Before the first there was no other.
                let (_, to, limit) = spans.get(next.saturating_sub(1))?;
                limit.as_ref().filter(|_| time < *to)
            }
        }
    }
}

impl Account {
    /// A limit over time: the account's own, else that of its table.
    pub fn limited<T>(
        &self,
        own: Option<&Amount>,
        of: impl Fn(&Span) -> Option<&Amount>,
        make: impl Fn(&Amount) -> Option<T>,
    ) -> Option<Limited<T>> {
        if self.spans.is_empty() {
            return own.and_then(make).map(Limited::Always);
        }
        let mut spans: Vec<&Span> = self.spans.iter().collect();
        spans.sort_by_key(|span| span.from);
        let ends = spans.iter().skip(1).map(|span| span.from).chain([None]);
        let span = |(span, next): (&&Span, Option<i64>)| {
            let to = [span.to, next].into_iter().flatten().min().unwrap_or(i64::MAX);
            (span.from.unwrap_or(i64::MIN), to, of(span).and_then(&make))
        };
        Some(Limited::Changing(spans.iter().zip(ends).map(span).collect()))
    }

    /// Since when it was closed or frozen at that moment.
    pub fn closed_at(&self, time: i64) -> Option<i64> {
        let then = self.closed.iter().filter(|(from, until)| *from <= time && until.is_none_or(|until| time < until));
        then.map(|(from, _)| *from).min()
    }

    /// The most that one trade of that moment may be worth.
    pub fn limit_at(&self, time: i64) -> Option<&Amount> {
        if self.spans.is_empty() {
            return self.limit.as_ref();
        }
        let begun =
            self.spans.iter().filter(|span| span.from.is_none_or(|from| from <= time)).max_by_key(|span| span.from);
        let span = begun.or_else(|| self.spans.iter().min_by_key(|span| span.from))?;
        span.limit.as_ref().filter(|_| span.to.is_none_or(|to| time < to))
    }
}

/// Something that the intruder used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// What it is: an address, a session, or an account.
    pub role: Role,
    /// Number of its name.
    pub name: u32,
    /// Its name.
    pub text: String,
    /// From when, in milliseconds.
    pub from: i64,
    /// Until when.
    pub to: i64,
}

/// Columns of a neighbour that are read, in this order.
pub fn columns(mapping: &Mapping, roles: &[Role]) -> (Vec<Role>, Vec<String>) {
    roles.iter().filter_map(|role| Some((*role, mapping.column(*role)?.to_owned()))).unzip()
}

/// Roles of the key table that are read.
pub const KEY_ROLES: [Role; 8] = [
    Role::Id,
    Role::Account,
    Role::RevokedAt,
    Role::DeletedAt,
    Role::ExpiresAt,
    Role::CreatedAt,
    Role::Scope,
    Role::Ip,
];
/// Roles of the table of limits that are read.
pub const LIMIT_ROLES: [Role; 6] =
    [Role::Account, Role::Limit, Role::DailyLimit, Role::PositionLimit, Role::CreatedAt, Role::ExpiresAt];
/// Roles of the account table that are read.
pub const ACCOUNT_ROLES: [Role; 10] = [
    Role::Id,
    Role::Limit,
    Role::DailyLimit,
    Role::PositionLimit,
    Role::CreatedAt,
    Role::RevokedAt,
    Role::DeletedAt,
    Role::SuspendedAt,
    Role::RestoredAt,
    Role::User,
];
/// Roles that say from when on an account may not trade.
pub const ENDS: [Role; 3] = [Role::RevokedAt, Role::SuspendedAt, Role::DeletedAt];

pub(super) fn cell<'a>(row: RawRow<'a>, roles: &[Role], role: Role) -> Option<Cow<'a, [u8]>> {
    row.cell(roles.iter().position(|one| *one == role)?)
}

/// When something happened at all: 0 says that it did not.
pub(super) fn at_all(moment: Option<i64>) -> Option<i64> {
    moment.filter(|moment| *moment != 0)
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a key may do, in lower case: a yes or no is about trading.
fn scope_of(bytes: &[u8]) -> String {
    let scope = text(bytes).to_lowercase();
    match scope.as_str() {
        "t" | "true" | "1" => "trade".into(),
        "f" | "false" | "0" => "nothing".into(),
        _ => scope,
    }
}

/// Whether a list of scopes, in lower case, names one of the words: not as what may only be read (`orders:read`), not as what is not so
/// (`{"trade": false}`).
pub fn allows(scope: &str, words: &[String]) -> bool {
    use serde_json::Value;
    if let Ok(Value::Object(fields)) = serde_json::from_str(scope) {
        return fields.iter().any(|(name, value)| match value {
            Value::Bool(true) => grants(name, words),
            Value::Bool(false) | Value::Null => false,
            other => allows(&other.to_string(), words),
        });
    }
    scope
        .split([',', ';', '|', ' ', '\n', '[', ']', '{', '}'])
        .map(|entry| entry.trim().trim_matches(['"', '\'']))
        .any(|entry| !entry.is_empty() && grants(entry, words))
}

fn grants(entry: &str, words: &[String]) -> bool {
    let (_, last) = entry.rsplit_once([':', '.', '/']).unwrap_or(("", ""));
    if ["read", "view", "get", "list", "readonly", "read-only", "read_only"].contains(&last) {
        return false;
    }
    words.iter().any(|word| {
        // Short words are within others: `all` in `wallet`.
        if word.len() > 3 {
            return entry.contains(word.as_str());
        }
        entry.split(|letter: char| !letter.is_alphanumeric() && letter != '*').any(|token| token == word)
    })
}

/// Addresses in a text: an array of PostgreSQL, JSON, or a list with commas.
fn addresses(bytes: &[u8]) -> Option<Vec<ipnet::IpNet>> {
    let text = text(bytes);
    let parts = text.split(|letter: char| !(letter.is_ascii_hexdigit() || matches!(letter, '.' | ':' | '/')));
    let found: Vec<_> = parts
        .filter_map(|part| part.parse().ok().or_else(|| part.parse::<std::net::IpAddr>().ok().map(ipnet::IpNet::from)))
        .collect();
    // An empty list means that any will do.
    (!found.is_empty()).then_some(found)
}

/// A limit, brought to the units of trades.
fn amount(cell: &[u8], power: i64) -> Option<Amount> {
    match Number::parse(std::str::from_utf8(cell).ok()?) {
        Number::Finite(value) if power == 0 => Some(Amount::new(value)),
        Number::Finite(value) => Some(Amount::new(value * bigdecimal::BigDecimal::new(1.into(), -power))),
        Number::Infinite | Number::Unusable => None,
    }
}

impl Reference {
    /// Takes a row of the table of limits; accounts come first.
    pub fn add_limits(&mut self, row: RawRow<'_>, roles: &[Role]) {
        let get = |role| cell(row, roles, role);
        let time = |role| get(role).and_then(|text| millis(&text));
        let amount = |role, power: i64| amount(&get(role)?, power);
        let span = Span {
            from: time(Role::CreatedAt),
            to: time(Role::ExpiresAt),
            limit: amount(Role::Limit, self.units.limit),
            daily: amount(Role::DailyLimit, self.units.daily),
            position: amount(Role::PositionLimit, self.units.position),
        };
        let Some(account) = get(Role::Account) else { return };
        let number = self.names.of(&account);
        if let Some(account) = self.accounts.as_mut().and_then(|accounts| accounts.get_mut(&number)) {
            account.spans.push(span);
        }
    }

    /// Takes a row of the key table.
    pub fn add_key(&mut self, row: RawRow<'_>, roles: &[Role]) {
        let get = |role| cell(row, roles, role);
        let time = |role| get(role).and_then(|text| millis(&text));
        let Some(id) = get(Role::Id) else { return };
        let key = Key {
            account: get(Role::Account).map_or(NONE, |account| self.names.of(&account)),
            revoked: [Role::RevokedAt, Role::DeletedAt].into_iter().filter_map(|role| at_all(time(role))).min(),
            expires: time(Role::ExpiresAt),
            made: time(Role::CreatedAt),
            scope: get(Role::Scope).map(|scope| scope_of(&scope)),
            addresses: get(Role::Ip).and_then(|list| addresses(&list)),
        };
        let number = self.names.of(&id);
        self.keys.get_or_insert_default().insert(number, key);
    }

    /// Takes a row of the account table.
    pub fn add_account(&mut self, row: RawRow<'_>, roles: &[Role]) {
        let get = |role| cell(row, roles, role);
        let time = |role| get(role).and_then(|text| millis(&text));
        let Some(id) = get(Role::Id) else { return };
        let amount = |role, power: i64| amount(&get(role)?, power);
        let restored = at_all(time(Role::RestoredAt));
        let until = |from: i64| (from, restored.filter(|until| *until > from));
        let account = Account {
            limit: amount(Role::Limit, self.units.limit),
            daily: amount(Role::DailyLimit, self.units.daily),
            position: amount(Role::PositionLimit, self.units.position),
            made: time(Role::CreatedAt),
            closed: ENDS.into_iter().filter_map(|role| at_all(time(role))).map(&until).collect(),
            owner: get(Role::User).map_or(NONE, |owner| self.names.of(&owner)),
            spans: Vec::new(),
        };
        let number = self.names.of(&id);
        self.accounts.get_or_insert_default().insert(number, account);
    }

    /// Notes what the intruder used.
    pub fn add_trace(&mut self, role: Role, name: &str, from: i64, to: i64) {
        let number = self.names.of(name.as_bytes());
        self.traces.push(Trace { role, name: number, text: name.to_owned(), from, to });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::trades::roles::{Catalog, RoleOverrides, map_schema};
    use crate::domain::{Relations, Table};

    fn table(name: &str, columns: &[&str]) -> Table {
        let typed: Vec<_> = columns.iter().map(|column| (*column, "bigint")).collect();
        super::super::stage_tests::table(name, &typed)
    }

    #[test]
    fn limits_in_other_units_are_brought_to_those_of_trades() {
        let accounts = table("accounts", &["id", "max_trade_value_cents", "daily_limit", "position_limit"]);
        let units = |columns: &[&str]| {
            let tables = [table("trades", columns), accounts.clone()];
            let (relations, overrides) = (Relations::default(), RoleOverrides::default());
            let catalog = Catalog { tables: &tables, relations: &relations, overrides: &overrides };
            let mapping = map_schema(catalog, None, "trades").unwrap();
            Units::of(&mapping.trades, mapping.accounts.as_ref().unwrap())
        };
        let whole = units(&["id", "account_id", "qty_e8", "price_e8"]);
        assert_eq!(whole, Units { limit: 14, daily: 16, position: 8 });
        let with_value = units(&["id", "account_id", "qty_e8", "price_e8", "value_cents"]);
        assert_eq!(with_value, Units { limit: 0, daily: 2, position: 8 });
        let mut reference = Reference { units: whole, ..Reference::default() };
        let row = b"a5001";
        reference
            .add_account(RawRow::new(row, &[(0, 1), (1, 4), (4, 5)]), &[Role::Id, Role::Limit, Role::PositionLimit]);
        let account = reference.accounts.unwrap().into_values().next().unwrap();
        assert_eq!(account.limit.unwrap().exact, "50000000000000000".parse::<bigdecimal::BigDecimal>().unwrap());
        assert_eq!(account.position.unwrap().exact, "100000000".parse::<bigdecimal::BigDecimal>().unwrap());
    }

    #[test]
    fn the_limit_of_a_moment_is_the_one_that_held_then() {
        let mut reference = Reference::default();
        let mut take = |text: &str, cells: &[(u32, u32)], roles: &[Role], limits: bool| {
            let row = RawRow::new(text.as_bytes(), cells);
            if limits { reference.add_limits(row, roles) } else { reference.add_account(row, roles) }
        };
        take("a", &[(0, 1)], &[Role::Id], false);
        let roles = [Role::Account, Role::Limit, Role::CreatedAt, Role::ExpiresAt];
        // The later one first: 5000 from the moment 2000 on, before that 1000, until 1500.
        take("a50002000", &[(0, 1), (1, 5), (5, 9), (RawRow::NULL, 0)], &roles, true);
        take("a100010001500", &[(0, 1), (1, 5), (5, 9), (9, 13)], &roles, true);
        let account = reference.accounts.unwrap().into_values().next().unwrap();
        let second = |second: i64| second * 1000;
        let at = |time: i64| account.limit_at(time).map(|limit| limit.exact.to_string());
        let limited = account.limited(None, |span| span.limit.as_ref(), |limit| Some(limit.exact.to_string())).unwrap();
        for (time, limit) in
            [(500, Some("1000")), (1200, Some("1000")), (1500, None), (1999, None), (2000, Some("5000"))]
        {
            assert_eq!(at(second(time)).as_deref(), limit, "{time}");
            assert_eq!(limited.at(second(time)).map(String::as_str), limit, "{time}");
        }
    }
}
