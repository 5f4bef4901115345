use serde::Serialize;

use crate::domain::{Table, TableName};

/// What a column means, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is named for what it means")]
pub enum Role {
    Id,
    Account,
    Key,
    Order,
    Instrument,
    Side,
    Quantity,
    Price,
    Value,
    Fee,
    Status,
    ExecutedAt,
    CreatedAt,
    UpdatedAt,
    Ip,
    Destination,
    Counterparty,
    /// Key tables: the value or its hash. Never shown.
    Secret,
    RevokedAt,
    Active,
    /// Account tables: the most that one trade may be worth.
    Limit,
}

impl Role {
    /// Name in outputs and policies.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value.as_str().map(String::from)).unwrap_or_default()
    }
}

/// Names by role, best first; compared without case and punctuation. `*` at the end stands for a currency code.
const TRADE: &[(Role, &[&str])] = &[
    (Role::Id, &["id", "tradeid", "uuid"]),
    (
        Role::Account,
        &[
            "accountid",
            "account",
            "userid",
            "user",
            "buyeruserid",
            "traderid",
            "clientid",
            "customerid",
            "portfolioid",
            "portfolio",
            "modelid",
            "walletid",
            "ownerid",
            "botid",
            "strategyid",
        ],
    ),
    (Role::Counterparty, &["counterpartyid", "counterparty", "selleruserid", "sellerid", "makerid", "matchedwith"]),
    (Role::Key, &["apikeyid", "keyid", "apikey", "accesskeyid", "credentialid", "tokenid"]),
    (
        Role::Order,
        &[
            "orderid",
            "order",
            "brokerorderid",
            "buyerorderid",
            "exchangeorderid",
            "clientorderid",
            "externalref",
            "externalid",
        ],
    ),
    (
        Role::Instrument,
        &["symbol", "instrument", "instrumentid", "ticker", "pair", "market", "asset", "coin", "isin", "product"],
    ),
    (Role::Side, &["side", "direction", "action", "type", "tradetype", "buysell", "isbuy"]),
    (
        Role::Quantity,
        &["quantity", "qty", "amount", "size", "shares", "lotsize", "units", "volume", "contracts", "filledqty"],
    ),
    (
        Role::Price,
        &[
            "price",
            "entryprice",
            "executedprice",
            "executionprice",
            "fillprice",
            "avgprice",
            "rate",
            "unitprice",
            "price*",
        ],
    ),
    (
        Role::Value,
        &[
            "value",
            "totalvalue",
            "total",
            "notional",
            "cost",
            "grossamount",
            "totalamount",
            "quoteamount",
            "total*",
            "value*",
        ],
    ),
    (Role::Fee, &["fee", "fees", "buyerfee", "commission", "takerfee", "fee*"]),
    (Role::Status, &["status", "state"]),
    (
        Role::ExecutedAt,
        &["executedat", "executiontime", "filledat", "tradedat", "openedat", "timestamp", "ts", "time", "date"],
    ),
    (Role::CreatedAt, &["createdat", "created", "insertedat", "createdon"]),
    (Role::UpdatedAt, &["updatedat", "updated", "modifiedat", "lastmodified", "updatedon"]),
    (Role::Ip, &["ip", "ipaddress", "clientip", "remoteip", "sourceip"]),
    (Role::Destination, &["destination", "destinationaddress", "toaddress", "withdrawaddress"]),
];

const KEYS: &[(Role, &[&str])] = &[
    (Role::Id, &["id", "keyid", "apikeyid", "uuid"]),
    (Role::Account, &["accountid", "userid", "account", "ownerid", "clientid"]),
    (
        Role::Secret,
        &[
            "keyhash",
            "hash",
            "hashedkey",
            "keydigest",
            "secrethash",
            "tokenhash",
            "key",
            "apikey",
            "secret",
            "token",
            "value",
        ],
    ),
    (Role::RevokedAt, &["revokedat", "revoked", "disabledat", "deletedat", "deactivatedat"]),
    (Role::Active, &["active", "isactive", "enabled", "isenabled"]),
    (Role::CreatedAt, &["createdat", "created"]),
];

const ACCOUNTS: &[(Role, &[&str])] = &[
    (Role::Id, &["id", "accountid", "userid", "uuid"]),
    (
        Role::Limit,
        &["tradelimit", "maxtradevalue", "maxtrade", "limit", "tradinglimit", "maxordervalue", "positionlimit"],
    ),
];

/// A column that was given a role, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapped {
    /// Role.
    pub role: Role,
    /// Column, as the catalog writes it.
    pub column: String,
    /// Position among the table's columns.
    pub index: usize,
    /// Why.
    pub reason: String,
}

/// A table whose columns were given roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// Table.
    pub table: TableName,
    /// Columns with a role.
    pub roles: Vec<Mapped>,
    /// Columns without one.
    pub unmapped: Vec<String>,
}

impl Mapping {
    /// Position of the column with that role.
    pub fn index(&self, role: Role) -> Option<usize> {
        self.roles.iter().find(|mapped| mapped.role == role).map(|mapped| mapped.index)
    }

    /// Name of the column with that role.
    pub fn column(&self, role: Role) -> Option<&str> {
        self.roles.iter().find(|mapped| mapped.role == role).map(|mapped| mapped.column.as_str())
    }

    /// The column that says when a trade happened: execution before creation.
    pub fn time(&self) -> Option<Role> {
        [Role::ExecutedAt, Role::CreatedAt].into_iter().find(|role| self.index(*role).is_some())
    }
}

/// The trade table and its neighbours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaMapping {
    /// Trade table.
    pub trades: Mapping,
    /// API key table, if one was found.
    pub keys: Option<Mapping>,
    /// Account table, if one was found.
    pub accounts: Option<Mapping>,
}

/// Without case and punctuation.
fn normal(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// Gives each role at most one column and each column at most one role.
fn map_table(table: &Table, names: &[(Role, &[&str])]) -> Mapping {
    let normals: Vec<String> = table.columns.iter().map(|column| normal(&column.name)).collect();
    let mut taken = vec![false; normals.len()];
    let mut roles = Vec::new();
    for (role, patterns) in names {
        let hit = patterns.iter().find_map(|pattern| {
            let index = normals.iter().enumerate().position(|(index, name)| {
                !taken[index] && fits(name, pattern) && type_fits(*role, &table.columns[index].data_type)
            })?;
            Some((index, *pattern))
        });
        if let Some((index, pattern)) = hit {
            taken[index] = true;
            let column = &table.columns[index];
            let reason = format!("named like `{pattern}`, type {}", column.data_type);
            roles.push(Mapped { role: *role, column: column.name.clone(), index, reason });
        }
    }
    if !roles.iter().any(|mapped| mapped.role == Role::Id) {
        let mut keys = table.columns.iter().enumerate().filter(|(index, column)| column.primary_key && !taken[*index]);
        if let (Some((index, column)), None) = (keys.next(), keys.next()) {
            taken[index] = true;
            let reason = "the primary key".to_owned();
            roles.push(Mapped { role: Role::Id, column: column.name.clone(), index, reason });
        }
    }
    let unmapped =
        table.columns.iter().zip(&taken).filter(|(_, taken)| !**taken).map(|(c, _)| c.name.clone()).collect();
    Mapping { table: table.name.clone(), roles, unmapped }
}

fn fits(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(stem) => name
            .strip_prefix(stem)
            .is_some_and(|code| (3..=4).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_lowercase())),
        None => name == pattern,
    }
}

/// Whether a column of that type can hold the role at all: `amount TEXT` may, `price BOOLEAN` may not.
fn type_fits(role: Role, data_type: &str) -> bool {
    let boolean = data_type.starts_with("bool");
    let json = data_type.starts_with("json");
    match role {
        Role::Quantity | Role::Price | Role::Value | Role::Fee | Role::Limit => {
            !boolean && !json && !data_type.starts_with("timestamp") && !data_type.starts_with("date")
        }
        Role::ExecutedAt | Role::CreatedAt | Role::UpdatedAt => !boolean && !json,
        _ => !json,
    }
}

/// Finds the trade table (by the name that policy gives, else by usual names) and its neighbours.
/// `Err` says in words which tables there are.
pub fn map_schema(tables: &[Table], schema: Option<&str>, trade_table: &str) -> Result<SchemaMapping, String> {
    let in_schema = |table: &&Table| schema.is_none_or(|schema| table.name.schema == schema);
    let wanted = normal(trade_table);
    let trades = tables
        .iter()
        .filter(in_schema)
        .find(|table| table.name.name == trade_table)
        .or_else(|| tables.iter().filter(in_schema).find(|table| normal(&table.name.name) == wanted))
        .or_else(|| {
            tables.iter().filter(in_schema).find(|table| {
                wanted.starts_with("trade") && ["trade", "trades"].contains(&normal(&table.name.name).as_str())
            })
        })
        .ok_or_else(|| {
            let names: Vec<_> = tables.iter().map(|table| table.name.name.as_str()).take(20).collect();
            format!("there is no table `{trade_table}`; there are: {}", names.join(", "))
        })?;
    let neighbour = |names: &[&str], roles| {
        tables
            .iter()
            .filter(|table| table.name.schema == trades.name.schema && table.name != trades.name)
            .find(|table| names.contains(&normal(&table.name.name).as_str()))
            .map(|table| map_table(table, roles))
    };
    Ok(SchemaMapping {
        trades: map_table(trades, TRADE),
        keys: neighbour(&["apikey", "apikeys", "accesskey", "accesskeys", "apitoken", "apitokens"], KEYS),
        accounts: neighbour(&["account", "accounts", "tradingaccount", "tradingaccounts", "user", "users"], ACCOUNTS),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Column;

    fn table(name: &str, columns: &[(&str, &str)]) -> Table {
        Table {
            name: TableName { schema: "public".into(), name: name.into() },
            columns: columns
                .iter()
                .map(|(name, data_type)| Column {
                    name: (*name).into(),
                    data_type: (*data_type).into(),
                    nullable: true,
                    primary_key: *name == "id",
                    generated: false,
                })
                .collect(),
        }
    }

    fn column(mapping: &SchemaMapping, role: Role) -> &str {
        mapping.trades.column(role).unwrap_or("-")
    }

    #[test]
    fn a_matching_engines_table_maps() {
        let trades = table(
            "Trade",
            &[
                ("id", "bigint"),
                ("symbol", "text"),
                ("buyerOrderId", "bigint"),
                ("sellerUserId", "bigint"),
                ("buyerUserId", "bigint"),
                ("quantity", "numeric(28,12)"),
                ("price", "numeric"),
                ("buyerFee", "numeric"),
                ("createdAt", "timestamp(3) without time zone"),
            ],
        );
        let mapping = map_schema(&[trades], None, "Trade").unwrap();
        assert_eq!(column(&mapping, Role::Account), "buyerUserId");
        assert_eq!(column(&mapping, Role::Counterparty), "sellerUserId");
        assert_eq!(column(&mapping, Role::Fee), "buyerFee");
        assert_eq!(mapping.trades.time(), Some(Role::CreatedAt));
        assert!(mapping.trades.unmapped.is_empty());
    }

    #[test]
    fn currency_codes_and_snake_case_map() {
        let trades = table(
            "trades",
            &[
                ("id", "text"),
                ("user_id", "text"),
                ("type", "\"TradeType\""),
                ("qty", "numeric"),
                ("priceBrl", "numeric"),
                ("fee_brl", "numeric"),
                ("pricing_model", "text"),
                ("ts", "timestamp(3)"),
            ],
        );
        let mapping = map_schema(&[trades], None, "Trade").unwrap();
        assert_eq!(column(&mapping, Role::Price), "priceBrl");
        assert_eq!(column(&mapping, Role::Fee), "fee_brl");
        assert_eq!(column(&mapping, Role::Side), "type");
        assert_eq!(column(&mapping, Role::ExecutedAt), "ts");
        assert_eq!(mapping.trades.unmapped, ["pricing_model"]);
    }

    #[test]
    fn a_missing_table_is_said_with_what_is_there() {
        let error = map_schema(&[table("User", &[("id", "text")])], None, "Trade").unwrap_err();
        assert!(error.contains("no table `Trade`") && error.contains("User"), "{error}");
    }

    #[test]
    fn keys_and_accounts_are_found_beside_it() {
        let tables = [
            table("Trade", &[("id", "text")]),
            table("api_keys", &[("id", "text"), ("key_hash", "text"), ("revoked_at", "timestamp")]),
            table("Account", &[("id", "text"), ("tradeLimit", "numeric")]),
        ];
        let mapping = map_schema(&tables, None, "Trade").unwrap();
        assert_eq!(mapping.keys.unwrap().column(Role::Secret), Some("key_hash"));
        assert_eq!(mapping.accounts.unwrap().column(Role::Limit), Some("tradeLimit"));
    }
}
