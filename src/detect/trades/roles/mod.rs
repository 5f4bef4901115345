use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::line_pattern::LinePattern;
use crate::domain::{Column, Relations, Table, TableName};
use crate::policy::PolicyError;

mod beside;
mod chooser;
mod find;
mod halts;
mod implied;
mod limits;
mod names;
mod owners;
mod shape;
mod tables;
mod through;
mod words;

pub use find::{map_schema, role_of_field, trade_tables};
pub use through::Through;
pub use words::{decimal_places, words_of};

/// What a column means, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    Session,
    /// Orders: how much of it was traded.
    Filled,
    /// Orders: the price that no trade of it may be worse than.
    LimitPrice,
    /// The other side's order, where a row holds both sides of a trade.
    CounterOrder,
    CounterFee,
    /// The person, where the account has a column of its own.
    User,
    Portfolio,
    ExternalRef,
    StopPrice,
    TargetPrice,
    Risk,
    Profit,
    ClosedAt,
    Note,
    Currency,
    /// Key and session tables: the value or its hash. Never shown.
    Secret,
    RevokedAt,
    ExpiresAt,
    Scope,
    Active,
    /// Account tables: the most that one trade may be worth.
    Limit,
    /// Account tables: the most that the trades of one day (UTC) may be worth together.
    DailyLimit,
    /// Account tables: the most that may be held of one instrument.
    PositionLimit,
    /// When a row was deleted softly: it is kept, and counts no more.
    DeletedAt,
    /// The trade that a trade corrects.
    Corrects,
    /// Account tables: when it was frozen or restricted, beside when it was closed.
    SuspendedAt,
    /// Account tables: when that was lifted.
    RestoredAt,
    /// What a trade was worth in the one money of all trades, where what is paid differs.
    Worth,
}

impl Role {
    /// Name in outputs and policies.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value.as_str().map(String::from)).unwrap_or_default()
    }
}

/// A column that was given a role, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapped {
    /// Role.
    pub role: Role,
    /// Column, as the catalog writes it.
    pub column: String,
    /// Its type, in the database's words.
    #[serde(skip)]
    pub data_type: String,
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
    /// Why this table.
    pub reason: String,
    /// Columns with a role.
    pub roles: Vec<Mapped>,
    /// Columns without one.
    pub unmapped: Vec<String>,
    /// The columns of its key, where they are several: together they are the id, the one that tells most rows apart first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub composite: Vec<Mapped>,
    /// What its order says of a trade, where the trade does not say it itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<Through>,
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

    /// The role's column in the order table, where the trades have none of their own.
    pub fn joined(&self, role: Role) -> Option<&Mapped> {
        self.through.as_ref()?.roles.iter().find(|mapped| mapped.role == role)
    }

    /// Whether a trade has the role, by itself or by its order.
    pub fn has(&self, role: Role) -> bool {
        self.index(role).is_some() || self.joined(role).is_some()
    }

    /// Whether an instrument is a pair of columns: what is traded, and what it is paid with.
    pub fn is_pair(&self) -> bool {
        let is_half =
            |role: Role| self.roles.iter().any(|one| one.role == role && one.reason.starts_with(chooser::PAIR));
        if is_half(Role::Instrument) && is_half(Role::Currency) {
            return true;
        }
        let of = |role: Role| self.column(role).map(words::words).unwrap_or_default();
        let base = of(Role::Instrument).iter().any(|word| ["base", "coin", "asset"].contains(&word.as_str()));
        base && of(Role::Currency).iter().any(|word| ["quote", "fiat"].contains(&word.as_str()))
    }

    /// Whether one thing is given for another: what is paid differs from trade to trade.
    pub fn is_exchange(&self) -> bool {
        let pair = self.roles.iter().find(|one| one.role == Role::Instrument && one.reason.starts_with(chooser::PAIR));
        pair.is_some_and(|one| one.reason != chooser::BASE_AND_QUOTE && one.reason != chooser::OUTCOME)
    }

    /// Whether the outcome that is bought is part of the instrument: the other side of a trade has the other one.
    pub fn is_of_outcomes(&self) -> bool {
        self.roles.iter().any(|one| one.role == Role::Instrument && one.reason == chooser::OUTCOME)
    }

    /// Whether its column of the side says that the buyer was the maker: the taker, whose row it is, sold then.
    pub fn side_is_of_the_maker(&self) -> bool {
        let words = self.column(Role::Side).map(words::words).unwrap_or_default();
        ["buyer", "maker"].iter().all(|one| words.iter().any(|word| word == one))
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
    /// Order table, if one was found.
    pub orders: Option<Mapping>,
    /// Table of sessions or log-ins, if one was found.
    pub sessions: Option<Mapping>,
    /// Table of the accounts' limits, where it is one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Mapping>,
    /// Table that says when trading was halted, if one was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halts: Option<Mapping>,
    /// A key belongs to who owns accounts, not to an account.
    #[serde(skip)]
    pub keys_of_owners: bool,
}

/// `trade-roles.yml`: what a deployment says of its tables, where names don't.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleOverrides {
    /// Schema version: 1.
    pub version: u32,
    /// The trade table's columns by role.
    #[serde(default)]
    pub trades: TableOverride,
    /// The key table.
    #[serde(default)]
    pub keys: TableOverride,
    /// The account table.
    #[serde(default)]
    pub accounts: TableOverride,
    /// The order table.
    #[serde(default)]
    pub orders: TableOverride,
    /// The table of sessions.
    #[serde(default)]
    pub sessions: TableOverride,
    /// Forms of log lines of trades that are neither JSON nor `key=value`.
    #[serde(default)]
    pub log_lines: Vec<LinePattern>,
}

/// What is said of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableOverride {
    /// Its name; absent: it is searched.
    #[serde(default)]
    pub table: Option<String>,
    /// Column by role; an empty one says that no column has the role.
    #[serde(default)]
    pub roles: BTreeMap<Role, String>,
}

/// File of the overrides below the policies folder.
pub const OVERRIDES: &str = "trade-roles.yml";

impl RoleOverrides {
    /// What the texts of a policies folder say; nothing, if there is no such file.
    pub fn from_texts(texts: &BTreeMap<String, String>) -> Result<Self, PolicyError> {
        let Some(text) = texts.get(OVERRIDES) else { return Ok(Self::default()) };
        let overrides: Self = crate::policy::parse(OVERRIDES, text)?;
        if overrides.version != 1 {
            let message = format!("version is {}, this program reads 1", overrides.version);
            return Err(PolicyError::whole(OVERRIDES, message));
        }
        Ok(overrides)
    }
}

/// What is known of the database's tables.
#[derive(Debug, Clone, Copy)]
pub struct Catalog<'a> {
    /// Tables.
    pub tables: &'a [Table],
    /// Foreign keys and labels of enumerations.
    pub relations: &'a Relations,
    /// What policy says of them.
    pub overrides: &'a RoleOverrides,
}

/// Whether a column of that type can hold the role at all: `amount TEXT` may, `price BOOLEAN` may not.
fn type_fits(role: Role, column: &Column) -> bool {
    let data_type = column.data_type.as_str();
    let is = |names: &[&str]| names.iter().any(|name| data_type.starts_with(name));
    let (boolean, json, time) =
        (is(&["bool"]), is(&["json"]) || data_type.ends_with("[]"), is(&["timestamp", "date", "time"]));
    match role {
        Role::Quantity
        | Role::Price
        | Role::Value
        | Role::Fee
        | Role::Worth
        | Role::Filled
        | Role::LimitPrice
        | Role::Limit
        | Role::DailyLimit
        | Role::PositionLimit => !boolean && !json && !time && !is(&["uuid", "inet"]),
        // A time of day alone is no moment.
        Role::ExecutedAt
        | Role::CreatedAt
        | Role::UpdatedAt
        | Role::ClosedAt
        | Role::ExpiresAt
        | Role::SuspendedAt
        | Role::RestoredAt => {
            !boolean && !json && !is(&["numeric", "uuid", "interval"]) && (!is(&["time"]) || is(&["timestamp"]))
        }
        Role::Scope | Role::Note => true,
        Role::Ip if data_type.ends_with("[]") => true,
        Role::Active | Role::Side => !time && !json,
        Role::Id | Role::Account | Role::Key | Role::Order | Role::Counterparty | Role::Instrument => {
            !json && !time && !boolean
        }
        Role::Destination => !json && !time && !boolean && !is(&["numeric", "double", "real", "money"]),
        _ => !json,
    }
}

#[cfg(test)]
mod tests;
