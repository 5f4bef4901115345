//! What a table that others refer to is, whatever it is called: by its columns.

use super::beside::{ACCOUNTS, KEYS, ORDERED};
use super::chooser::Chooser;
use super::find::meaning;
use super::limits::{LIMITS, is_about_limits};
use super::names::{Known, TRADE};
use super::tables::TRADE_TABLES;
use super::words::{ends_with, usual, words};
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
    } else if is_like_an_account(catalog, target) {
        Some(Role::Account)
    } else {
        is_like_an_instrument(catalog, target).then_some(Role::Instrument)
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

/// Whether a foreign key of the table names a table of that meaning.
fn refers(catalog: Catalog<'_>, table: &Table, role: Role) -> bool {
    let targets = table.columns.iter().filter_map(|column| catalog.relations.target(&table.name, &column.name));
    targets.filter(|other| **other != table.name).any(|other| {
        let of_account = || (role == Role::Account && is_like_an_account(catalog, other)).then_some(role);
        meaning(other).or_else(of_account) == Some(role)
    })
}

/// Whether it names what can be traded, by a symbol or by what it is listed of, and is nobody's.
fn is_like_an_instrument(catalog: Catalog<'_>, target: &TableName) -> bool {
    let Some(table) = table(catalog, target) else { return false };
    let theirs = chosen(table, TRADE, &[Role::Account, Role::Side, Role::Quantity], false);
    let symbol = chosen(table, TRADE, &[Role::Instrument], false).has(Role::Instrument);
    ![Role::Account, Role::Side, Role::Quantity].into_iter().any(|role| theirs.has(role))
        && !refers(catalog, table, Role::Account)
        && (symbol || refers(catalog, table, Role::Instrument))
}

/// Whether it says who wants how much of what at which price.
fn is_like_an_order(catalog: Catalog<'_>, target: &TableName) -> bool {
    if ends_with(&target.name, &NO_ORDERS) || ends_with(&target.name, TRADE_TABLES) {
        return false;
    }
    let Some(table) = table(catalog, target) else { return false };
    let mut who_and_what = chosen(table, TRADE, &[Role::Account, Role::Instrument], false);
    who_and_what.by_pair();
    let quantity = who_and_what.has(Role::Quantity)
        || chosen(table, &[ORDERED], &[Role::Quantity], false).has(Role::Quantity)
        || chosen(table, TRADE, &[Role::Quantity], false).has(Role::Quantity);
    let price = |name: &str| words(name).iter().any(|word| ["price", "rate", "px"].contains(&word.as_str()));
    [Role::Account, Role::Instrument].into_iter().all(|role| who_and_what.has(role) || refers(catalog, table, role))
        && quantity
        && table.columns.iter().any(|column| price(&column.name))
}

/// Whether it holds what someone shows to be let in: a digest or token, and until when or for what.
pub(super) fn is_like_a_key(catalog: Catalog<'_>, target: &TableName) -> bool {
    let Some(table) = table(catalog, target) else { return false };
    // A coin's table may be called tokens, and a user's may hold a digest: what is called otherwise must be someone's.
    let named = ends_with(&target.name, &["key", "keys", "token", "tokens", "credential", "credentials"]);
    if !named && (meaning(target).is_some() || !refers(catalog, table, Role::Account)) {
        return false;
    }
    shows_a_key(table) && !has_instrument(table)
}

/// Whether it has a digest or token, and until when or for what.
fn shows_a_key(table: &Table) -> bool {
    let shown = chosen(table, KEYS, &[Role::RevokedAt, Role::ExpiresAt, Role::Scope, Role::Secret], true);
    shown.has(Role::Secret) && (shown.has(Role::Scope) || (shown.has(Role::RevokedAt) && shown.has(Role::ExpiresAt)))
}

/// Whether it is whoever trades: it holds limits of two kinds, or it is what keys belong to, or what a table of limits limits.
fn is_like_an_account(catalog: Catalog<'_>, target: &TableName) -> bool {
    let Some(table) = table(catalog, target) else { return false };
    if has_instrument(table) && !has_only_a_currency(table) {
        return false;
    }
    let limits = chosen(table, ACCOUNTS, &LIMITS, true);
    LIMITS.into_iter().filter(|role| limits.has(*role)).count() > 1
        || (meaning(target).is_none() && !ends_with(&target.name, &NO_ORDERS) && is_held_to_account(catalog, target))
}

/// Whether keys are its own, or limits are set for it alone.
fn is_held_to_account(catalog: Catalog<'_>, target: &TableName) -> bool {
    let refers = |table: &&Table| {
        let mut targets = table.columns.iter().filter_map(|column| catalog.relations.target(&table.name, &column.name));
        table.name != *target && targets.any(|other| other == target)
    };
    catalog.tables.iter().filter(refers).any(|table| {
        let limits = || {
            let chosen = chosen(table, ACCOUNTS, &LIMITS, true);
            LIMITS.into_iter().any(|role| chosen.has(role)) && is_about_limits(table)
        };
        !has_instrument(table) && !refers_to_instrument(catalog, table) && (shows_a_key(table) || limits())
    })
}

fn refers_to_instrument(catalog: Catalog<'_>, table: &Table) -> bool {
    let mut targets = table.columns.iter().filter_map(|column| catalog.relations.target(&table.name, &column.name));
    targets.any(|other| meaning(other) == Some(Role::Instrument))
}

/// Whether what looks like an instrument is the currency that an account is kept in.
fn has_only_a_currency(table: &Table) -> bool {
    let mapping = chosen(table, TRADE, &[Role::Instrument], true).done(String::new());
    let words = mapping.column(Role::Instrument).map(|name| usual(&words(name))).unwrap_or_default();
    words.iter().any(|word| word == "currency") && !words.iter().any(|word| word == "pair")
}

/// Markets have limits too, and coins are called tokens.
fn has_instrument(table: &Table) -> bool {
    chosen(table, TRADE, &[Role::Instrument], true).has(Role::Instrument)
}
