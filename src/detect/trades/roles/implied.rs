//! Relations that the database does not hold, told by names: Prisma's `relationMode = "prisma"` makes no foreign keys.

use super::Catalog;
use super::words::words;
use crate::domain::{Relations, Table, TableName};

/// The relations with those that columns imply: `order_id` names `orders`, `takerBidId` names `Bid`, where such a table has one key of the same type.
/// A foreign key says more than a name: a column that has one implies nothing.
pub(super) fn with_implied(catalog: Catalog<'_>) -> Relations {
    let mut relations = catalog.relations.clone();
    for table in catalog.tables {
        for column in
            table.columns.iter().filter(|column| catalog.relations.target(&table.name, &column.name).is_none())
        {
            if let Some(target) = implied(catalog, table, &column.name, &column.data_type) {
                relations.foreign_keys.push((table.name.clone(), column.name.clone(), target.clone()));
            }
        }
    }
    relations
}

/// The table that a column names; none where several could be meant.
fn implied<'a>(catalog: Catalog<'a>, table: &Table, column: &str, data_type: &str) -> Option<&'a TableName> {
    let words = words(column);
    let (last, stem) = words.split_last()?;
    if !["id", "uuid"].contains(&last.as_str()) {
        return None;
    }
    // The longest part of the name says most: `marketMakerId` names market makers before makers.
    (0..stem.len()).find_map(|start| {
        let named =
            |one: &&Table| is_called(&one.name.name, &stem[start..].concat()) && key_type(one) == Some(data_type);
        let fits = || catalog.tables.iter().filter(|one| one.name != table.name).filter(named);
        let near = || fits().filter(|one| one.name.schema == table.name.schema);
        only(near()).or_else(|| if near().next().is_none() { only(fits()) } else { None })
    })
}

fn only<'a>(mut tables: impl Iterator<Item = &'a Table>) -> Option<&'a TableName> {
    let first = tables.next()?;
    tables.next().is_none().then_some(&first.name)
}

/// Whether a table's name is the word, or its plural.
fn is_called(name: &str, word: &str) -> bool {
    let name = words(name).concat();
    name.strip_prefix(word).is_some_and(|rest| ["", "s", "es"].contains(&rest))
        || word.strip_suffix('y').is_some_and(|stem| name.strip_prefix(stem) == Some("ies"))
}

/// The type of a table's key, where it is one column.
fn key_type(table: &Table) -> Option<&str> {
    let mut keys = table.columns.iter().filter(|column| column.primary_key);
    let key = keys.next()?;
    keys.next().is_none().then_some(key.data_type.as_str())
}
