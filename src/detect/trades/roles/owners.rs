//! Who owns accounts: keys may be the owner's, and good for all of the accounts.

use super::chooser::normal;
use super::find::meaning;
use super::{Catalog, Mapped, Mapping, Role};
use crate::domain::{Table, TableName};

/// What a column that names the owner of an account is called, where no foreign key says it.
const OWNERS: [&str; 12] = [
    "userid",
    "ownerid",
    "owneruserid",
    "customerid",
    "clientid",
    "memberid",
    "traderid",
    "investorid",
    "holderid",
    "personid",
    "profileid",
    "user",
];

fn table<'a>(catalog: Catalog<'a>, name: &TableName) -> Option<&'a Table> {
    catalog.tables.iter().find(|table| table.name == *name)
}

/// The column of accounts that names their owner: another table of people by a foreign key, or a usual name.
fn owner(catalog: Catalog<'_>, accounts: &Mapping, of_keys: Option<&TableName>) -> Option<Mapped> {
    let table = table(catalog, &accounts.table)?;
    if let Some(told) = accounts.roles.iter().find(|mapped| mapped.role == Role::User) {
        return Some(told.clone());
    }
    let free = |name: &str| accounts.column(Role::Id) != Some(name);
    let of = |index: usize, reason: String| {
        let column = &table.columns[index];
        Mapped { role: Role::User, column: column.name.clone(), data_type: column.data_type.clone(), index, reason }
    };
    let refers = |people: &dyn Fn(&TableName) -> bool| {
        table.columns.iter().enumerate().filter(|(_, column)| free(&column.name)).find_map(|(index, column)| {
            let target = catalog.relations.target(&accounts.table, &column.name)?;
            (*target != accounts.table && people(target)).then(|| of(index, format!("foreign key to {target}")))
        })
    };
    // The one that keys refer to, before any other.
    refers(&|target| of_keys == Some(target))
        .or_else(|| refers(&|target| meaning(target) == Some(Role::Account)))
        .or_else(|| {
            let called = |name: &str| table.columns.iter().position(|column| normal(&column.name) == name);
            let index = OWNERS.iter().find_map(|name| called(name))?;
            let column = &table.columns[index];
            let refers = catalog.relations.target(&accounts.table, &column.name).is_some();
            (free(&column.name) && !column.primary_key && !refers)
                .then(|| of(index, format!("named like `{}`", normal(&column.name))))
        })
}

/// Gives accounts their owner; says whether keys belong to owners. A key of something else than an account or its owner is of no account.
pub(super) fn settle_owners(catalog: Catalog<'_>, keys: Option<&mut Mapping>, accounts: Option<&mut Mapping>) -> bool {
    let Some(accounts) = accounts else { return false };
    let holder = keys.as_ref().and_then(|keys| {
        let column = keys.column(Role::Account)?;
        Some((column.to_owned(), catalog.relations.target(&keys.table, column)))
    });
    let target = holder.as_ref().and_then(|(_, target)| *target).filter(|target| **target != accounts.table);
    let owner = owner(catalog, accounts, target);
    let of_owners = match (&holder, &owner) {
        (Some((_, Some(_))), _) if target.is_none() => false,
        (Some((_, Some(target))), Some(owner)) => {
            catalog.relations.target(&accounts.table, &owner.column).is_none_or(|own| own == *target)
        }
        (Some((column, None)), Some(owner)) => normal(column) == normal(&owner.column),
        _ => false,
    };
    if target.is_some()
        && !of_owners
        && let Some(keys) = keys
    {
        let guessed = |mapped: &Mapped| mapped.role == Role::Account && !mapped.reason.starts_with("policy");
        let of_others = keys.roles.iter().find(|mapped| guessed(mapped)).map(|mapped| mapped.column.clone());
        keys.unmapped.extend(of_others);
        keys.roles.retain(|mapped| !guessed(mapped));
    }
    if let Some(owner) = owner
        && !accounts.roles.iter().any(|mapped| mapped.index == owner.index)
    {
        accounts.unmapped.retain(|name| *name != owner.column);
        accounts.roles.push(owner);
    }
    of_owners
}
