use std::collections::{BTreeMap, BTreeSet};

use bigdecimal::{BigDecimal, Zero};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::domain::{Finding, FindingKind, Level, Source, Timestamp};

/// Names of fields that say who acted. CloudTrail's, access logs', syslog's and common application logs'.
const IDENTITIES: &[&str] = &[
    "useridentity.arn",
    "useridentity.username",
    "useridentity.accesskeyid",
    "username",
    "user",
    "cs-username",
    "principal",
    "actor",
    "apikeyid",
    "api_key_id",
    "credential",
];
/// Names of fields that say whose account it was.
const ACCOUNTS: &[&str] = &[
    "account",
    "accountid",
    "account_id",
    "customerid",
    "customer_id",
    "recipientaccountid",
    "useridentity.accountid",
];
/// Names of fields that say from where.
const ADDRESSES: &[&str] =
    &["c-ip", "ip", "sourceipaddress", "remote_addr", "remoteaddr", "client_ip", "clientip", "src_ip", "remoteip"];
/// Names of columns that hold what a trade is worth.
const WORTH: &[&str] = &["value", "notional", "amount", "total"];
const PRICE: &[&str] = &["price", "unit_price", "unitprice"];
const QUANTITY: &[&str] = &["quantity", "qty", "size", "volume"];
const INSTRUMENT: &[&str] = &["symbol", "instrument", "ticker", "market", "pair"];

/// Deepest nesting of an event that is looked into.
const DEPTH: usize = 4;

/// Who and what is concerned, by the findings that nobody called benign.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Scope {
    /// Identities: users, keys, roles.
    pub identities: Vec<Seen>,
    /// Accounts.
    pub accounts: Vec<Seen>,
    /// Addresses.
    pub addresses: Vec<Seen>,
    /// Places: files and tables.
    pub places: Vec<Seen>,
    /// Trades and what they are worth.
    pub money: Money,
}

/// One name with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The name.
    pub name: String,
    /// Findings that name it.
    pub findings: u64,
    /// The highest level among them.
    pub highest: Level,
    /// First of them that has a time.
    pub first: Option<Timestamp>,
    /// Last of them that has a time.
    pub last: Option<Timestamp>,
}

/// Money at risk: the sum over the rows of trade findings, each row once, in the table's own unit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Money {
    /// Rows concerned.
    pub rows: u64,
    /// Rows whose worth can't be told: deleted, or without amount or price and quantity.
    pub unknown: u64,
    /// What the others are worth, as a decimal.
    pub total: String,
    /// By instrument, the largest first.
    pub by_instrument: Vec<(String, String)>,
}

#[derive(Default)]
struct Names(BTreeMap<String, Seen>);

impl Names {
    fn add(&mut self, name: &str, finding: &Finding) {
        let seen = self.0.entry(name.to_owned()).or_insert_with(|| Seen {
            name: name.to_owned(),
            findings: 0,
            highest: finding.rule.level,
            first: None,
            last: None,
        });
        seen.findings += 1;
        seen.highest = seen.highest.max(finding.rule.level);
        if let Some(time) = finding.time {
            seen.first = Some(seen.first.map_or(time, |first| first.min(time)));
            seen.last = Some(seen.last.map_or(time, |last| last.max(time)));
        }
    }

    fn sorted(self) -> Vec<Seen> {
        let mut all: Vec<Seen> = self.0.into_values().collect();
        all.sort_by(|a, b| (b.highest, b.findings, &a.name).cmp(&(a.highest, a.findings, &b.name)));
        all
    }
}

impl Scope {
    /// Of those findings.
    pub fn of<'a>(findings: impl Iterator<Item = &'a Finding>) -> Self {
        let (mut identities, mut accounts, mut addresses, mut places) =
            (Names::default(), Names::default(), Names::default(), Names::default());
        let mut trades: BTreeMap<String, &Finding> = BTreeMap::new();
        for finding in findings {
            let mut fields = BTreeMap::new();
            flatten("", &finding.event, DEPTH, &mut fields);
            flatten("", &finding.matched, DEPTH, &mut fields);
            for (names, keys) in [(&mut identities, IDENTITIES), (&mut accounts, ACCOUNTS), (&mut addresses, ADDRESSES)]
            {
                let found: BTreeSet<&String> = keys.iter().filter_map(|key| fields.get(*key)).collect();
                found
                    .into_iter()
                    .filter(|name| !name.is_empty() && *name != "-")
                    .for_each(|name| names.add(name, finding));
            }
            match &finding.source {
                Source::File { path, .. } => places.add(path, finding),
                Source::Table { table, key } => {
                    places.add(&format!("table {table}"), finding);
                    if finding.kind == FindingKind::Trade {
                        let place = format!("{table}\0{}", Value::Object(key.clone()));
                        let fuller = trades.get(&place).is_none_or(|known| known.event.len() < finding.event.len());
                        if fuller {
                            trades.insert(place, finding);
                        }
                    }
                }
            }
        }
        Self {
            identities: identities.sorted(),
            accounts: accounts.sorted(),
            addresses: addresses.sorted(),
            places: places.sorted(),
            money: money(trades.values()),
        }
    }
}

fn flatten(prefix: &str, fields: &Map<String, Value>, depth: usize, into: &mut BTreeMap<String, String>) {
    for (key, value) in fields {
        let key = format!("{prefix}{}", key.to_lowercase());
        match value {
            Value::String(text) => drop(into.entry(key).or_insert_with(|| text.clone())),
            Value::Number(number) => drop(into.entry(key).or_insert_with(|| number.to_string())),
            Value::Object(inner) if depth > 0 => flatten(&format!("{key}."), inner, depth - 1, into),
            _ => {}
        }
    }
}

fn money<'a>(trades: impl Iterator<Item = &'a &'a Finding>) -> Money {
    let mut money = Money::default();
    let mut total = BigDecimal::zero();
    let mut by_instrument: BTreeMap<String, BigDecimal> = BTreeMap::new();
    for finding in trades {
        money.rows += 1;
        let mut fields = BTreeMap::new();
        flatten("", &finding.event, 0, &mut fields);
        let number = |keys: &[&str]| keys.iter().find_map(|key| fields.get(*key)).and_then(|text| decimal(text));
        let worth = number(WORTH).or_else(|| Some(number(PRICE)? * number(QUANTITY)?));
        let Some(worth) = worth.map(|worth| worth.abs()) else {
            money.unknown += 1;
            continue;
        };
        let instrument = INSTRUMENT.iter().find_map(|key| fields.get(*key)).cloned().unwrap_or_else(|| "?".to_owned());
        *by_instrument.entry(instrument).or_default() += &worth;
        total += worth;
    }
    let mut ordered: Vec<_> = by_instrument.into_iter().collect();
    ordered.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    money.by_instrument = ordered.into_iter().map(|(name, worth)| (name, plain(&worth))).collect();
    money.total = plain(&total);
    money
}

/// A decimal of bounded length: a row may be the intruder's, and `1e999999999` must not fill the memory.
fn decimal(text: &str) -> Option<BigDecimal> {
    if text.len() > 64 || text.contains(['e', 'E']) {
        return None;
    }
    text.parse().ok()
}

fn plain(number: &BigDecimal) -> String {
    number.round(2).to_plain_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{RuleRef, finding_id};

    fn trade(id: &str, event: Value) -> Finding {
        let Value::Object(key) = json!({ "id": id }) else { unreachable!() };
        let Value::Object(event) = event else { unreachable!() };
        let source = Source::Table { table: "Trade".into(), key };
        Finding {
            id: finding_id(FindingKind::Trade, "r", &source),
            kind: FindingKind::Trade,
            rule: RuleRef { id: "r".into(), title: "R".into(), level: Level::High },
            time: None,
            source,
            matched: Map::new(),
            event,
        }
    }

    #[test]
    fn a_row_counts_once_and_what_cannot_be_told_is_said() {
        let findings = [
            trade("1", json!({"symbol": "A", "price": "2.5", "quantity": "-4", "accountId": "x"})),
            trade("1", json!({})),
            trade("2", json!({"symbol": "B", "value": "100", "accountId": "x"})),
            trade("3", json!({"value": "1e999999999"})),
        ];
        let scope = Scope::of(findings.iter());
        assert_eq!((scope.money.rows, scope.money.unknown, scope.money.total.as_str()), (3, 1, "110.00"));
        assert_eq!(scope.money.by_instrument[0], ("B".to_owned(), "100.00".to_owned()));
        assert_eq!((scope.accounts[0].name.as_str(), scope.accounts[0].findings), ("x", 2));
    }
}
