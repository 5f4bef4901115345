//! What a trade says only through its order.

use serde::Serialize;

use super::{Catalog, Mapped, Mapping, Role};
use crate::domain::TableName;

/// Roles that an order gives to its trades.
const GIVEN: [Role; 6] = [Role::Account, Role::Key, Role::Instrument, Role::Side, Role::Ip, Role::Session];

/// The order table beside the trades, read with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Through {
    /// Order table.
    pub table: TableName,
    /// Its id.
    pub id: String,
    /// The column of the trades that names the order.
    pub by: String,
    /// Its columns that stand for roles of a trade.
    pub roles: Vec<Mapped>,
}

/// The roles that trades lack and their orders have; only where the order's id is the key of its table, of the same type.
pub(super) fn through(catalog: Catalog<'_>, trades: &Mapping, orders: &Mapping) -> Option<Through> {
    let of = |mapping: &Mapping, role: Role| mapping.roles.iter().find(|mapped| mapped.role == role).cloned();
    let (by, id) = (of(trades, Role::Order)?, of(orders, Role::Id)?);
    let table = catalog.tables.iter().find(|table| table.name == orders.table)?;
    let keys: Vec<&str> =
        table.columns.iter().filter(|column| column.primary_key).map(|column| column.name.as_str()).collect();
    if keys != [id.column.as_str()] || by.data_type != id.data_type {
        return None;
    }
    // Both sides in one row say by themselves who bought; one account column is the buyer's or the taker's.
    let two_sided = trades.index(Role::Counterparty).is_some();
    let lacks = |role: &&Role| trades.index(**role).is_none() && !(two_sided && **role == Role::Side);
    let roles: Vec<Mapped> = GIVEN.iter().filter(lacks).filter_map(|role| of(orders, *role)).collect();
    (!roles.is_empty()).then(|| Through { table: orders.table.clone(), id: id.column, by: by.column, roles })
}
