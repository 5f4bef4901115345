//! What a table that others refer to is, whatever it is called: by its columns.

use super::beside::{ACCOUNTS, KEYS, ORDERED, TRADE_TABLES};
use super::find::{Chooser, meaning};
use super::names::{Known, TRADE};
use super::words::{ends_with, words};
use super::{Catalog, Role};
use crate::domain::{Table, TableName};

/// Tables that say who holds or traded what, and are no orders.
const NO_ORDERS: [&str; 11] =
    ["position", "positions", "holding", "holdings", "lot", "lots", "signal", "strategy", "bot", "trade", "trades"];

/// The role of a column that refers to the table.
pub(super) fn role(catalog: Catalog<'_>, target: &TableName) -> Option<Role> {
    if is_like_an_order(catalog, target) {
        Some(Role::Order)
    } else if is_like_a_key(catalog, target) {
        Some(Role::Key)
    } else {
        is_like_an_account(catalog, target).then_some(Role::Account)
    }
}

fn table<'a>(catalog: Catalog<'a>, target: &TableName) -> Option<&'a Table> {
    catalog.tables.iter().find(|table| table.name == *target)
}

/// Columns that roles are given to by their names, and by words of these.
fn chosen<'a>(table: &'a Table, known: &[Known], roles: &[Role], by_word: bool) -> Chooser<'a> {
    let mut chooser = Chooser::new(table);
    let wanted = || known.iter().filter(|known| roles.contains(&known.role));
    for known in wanted() {
        chooser.by_name(known);
        chooser.by_meaning(known);
    }
    for known in wanted().filter(|_| by_word) {
        if !chooser.has(known.role) {
            chooser.by_word(known);
        }
    }
    chooser
}

/// Whether it says who wants how much of what at which price.
fn is_like_an_order(catalog: Catalog<'_>, target: &TableName) -> bool {
    if ends_with(&target.name, &NO_ORDERS) || ends_with(&target.name, TRADE_TABLES) {
        return false;
    }
    let Some(table) = table(catalog, target) else { return false };
    let who_and_what = chosen(table, TRADE, &[Role::Account, Role::Instrument], false);
    let refers = |role: Role| {
        let targets = table.columns.iter().filter_map(|column| catalog.relations.target(target, &column.name));
        targets.filter(|other| *other != target).any(|other| {
            let of_account = || (role == Role::Account && is_like_an_account(catalog, other)).then_some(role);
            meaning(other).or_else(of_account) == Some(role)
        })
    };
    let quantity = chosen(table, &[ORDERED], &[Role::Quantity], false).has(Role::Quantity)
        || chosen(table, TRADE, &[Role::Quantity], false).has(Role::Quantity);
    let price = |name: &str| words(name).iter().any(|word| ["price", "rate", "px"].contains(&word.as_str()));
    [Role::Account, Role::Instrument].into_iter().all(|role| who_and_what.has(role) || refers(role))
        && quantity
        && table.columns.iter().any(|column| price(&column.name))
}

/// Whether it holds what someone shows to be let in: a digest or token, and until when or for what.
pub(super) fn is_like_a_key(catalog: Catalog<'_>, target: &TableName) -> bool {
    if !ends_with(&target.name, &["key", "keys", "token", "tokens", "credential", "credentials"]) {
        return false;
    }
    let Some(table) = table(catalog, target) else { return false };
    let shown = chosen(table, KEYS, &[Role::RevokedAt, Role::ExpiresAt, Role::Scope, Role::Secret], true);
    shown.has(Role::Secret)
        && (shown.has(Role::Scope) || (shown.has(Role::RevokedAt) && shown.has(Role::ExpiresAt)))
        && !has_instrument(table)
}

/// Whether it holds limits of two kinds: those of whoever trades.
fn is_like_an_account(catalog: Catalog<'_>, target: &TableName) -> bool {
    const LIMITS: [Role; 3] = [Role::DailyLimit, Role::PositionLimit, Role::Limit];
    let Some(table) = table(catalog, target) else { return false };
    let limits = chosen(table, ACCOUNTS, &LIMITS, true);
    LIMITS.into_iter().filter(|role| limits.has(*role)).count() > 1 && !has_instrument(table)
}

/// Markets have limits too, and coins are called tokens.
fn has_instrument(table: &Table) -> bool {
    chosen(table, TRADE, &[Role::Instrument], true).has(Role::Instrument)
}
