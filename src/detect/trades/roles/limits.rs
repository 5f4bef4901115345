//! Limits of accounts in a table of their own, with or without a history.

use super::beside::ACCOUNTS;
use super::chooser::normal;
use super::find::map_table;
use super::names::{Known, known};
use super::words::words;
use super::{Catalog, Mapping, Role, TableOverride};
use crate::domain::Table;

/// What may be limited.
pub(super) const LIMITS: [Role; 3] = [Role::Limit, Role::DailyLimit, Role::PositionLimit];

/// Since when a limit holds.
const FROM: Known = known(
    Role::CreatedAt,
    &["effectivefrom", "validfrom", "startsat", "startat", "activefrom", "setat", "changedat", "createdat", "created"],
    &["effective", "from"],
    &["to", "until", "by"],
);

/// Until when.
const TO: Known = known(
    Role::ExpiresAt,
    &["effectiveto", "effectiveuntil", "validto", "validuntil", "endsat", "endat", "supersededat", "expiresat"],
    &["until", "superseded"],
    &["by"],
);

/// The table whose rows limit what an account may trade: it refers to accounts and is about limits or risk. Not where the accounts have limits themselves, nor
/// where limits are of instruments, or of money that is paid in or out.
pub(super) fn limits(catalog: Catalog<'_>, accounts: Option<&Mapping>, known: &[&Mapping]) -> Option<Mapping> {
    let accounts = accounts.filter(|accounts| LIMITS.into_iter().all(|role| accounts.column(role).is_none()))?;
    let others = catalog.tables.iter().filter(|table| known.iter().all(|known| known.table != table.name));
    others.filter(|table| is_about_limits(table)).find_map(|table| {
        let by = table.columns.iter().position(|column| names(catalog, table, &column.name, accounts))?;
        let account: TableOverride = TableOverride {
            table: None,
            roles: std::iter::once((Role::Account, table.columns[by].name.clone())).collect(),
        };
        let wanted = ACCOUNTS.iter().filter(|one| LIMITS.contains(&one.role)).copied().chain([FROM, TO]);
        let wanted: Vec<Known> = wanted.collect();
        let of_instruments = [known_instrument()];
        let others = map_table(catalog, table, &of_instruments, &TableOverride::default(), String::new());
        let mut mapping = map_table(catalog, table, &wanted, &account, "limits of the accounts".into());
        let numbers = |data_type: &str| {
            ["numeric", "decimal", "bigint", "int", "double", "real", "money", "float"]
                .iter()
                .any(|one| data_type.starts_with(one))
        };
        mapping.roles.retain(|mapped| !LIMITS.contains(&mapped.role) || numbers(&mapped.data_type));
        let limited = LIMITS.into_iter().any(|role| mapping.column(role).is_some());
        (limited && others.column(Role::Instrument).is_none()).then_some(mapping)
    })
}

/// What an instrument is called.
pub(super) fn known_instrument() -> Known {
    let found = super::names::TRADE.iter().find(|one| one.role == Role::Instrument);
    found.copied().unwrap_or_else(|| known(Role::Instrument, &["symbol"], &[], &[]))
}

pub(super) fn is_about_limits(table: &Table) -> bool {
    let words = words(&table.name.name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    has(&["limit", "limits", "risk", "settings", "profile", "profiles"])
        && !has(&[
            "withdraw",
            "withdrawal",
            "withdrawals",
            "deposit",
            "deposits",
            "rate",
            "api",
            "credit",
            "history",
            "log",
        ])
}

/// Whether a column names an account: by a foreign key, or where there is none, by the name of the accounts' table.
fn names(catalog: Catalog<'_>, table: &Table, column: &str, accounts: &Mapping) -> bool {
    if let Some(target) = catalog.relations.target(&table.name, column) {
        return *target == accounts.table;
    }
    let of = normal(&accounts.table.name);
    let of = of.trim_end_matches('s');
    let name = normal(column);
    name == format!("{of}id") || (of.ends_with("account") && name == "accountid")
}
