use std::collections::{BTreeMap, BTreeSet};

use bigdecimal::{BigDecimal, Zero};
use serde::Serialize;
use serde_json::Value;

use super::fields::{ACCOUNTS, ADDRESSES, Fields, KEYS, USERS};
use crate::domain::{Finding, FindingKind, Level, Source, Timestamp};

/// Names of columns that hold what a trade is worth.
const WORTH: &[&str] = &["value", "notional", "amount", "total"];
const PRICE: &[&str] = &["price", "unit_price", "unitprice"];
const QUANTITY: &[&str] = &["quantity", "qty", "size", "volume"];
const INSTRUMENT: &[&str] = &["symbol", "instrument", "ticker", "market", "pair"];

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
        let mut rows = Vec::new();
        for finding in findings {
            let fields = Fields::of(finding);
            let who = fields.all(KEYS).into_iter().chain(fields.all(USERS)).collect::<BTreeSet<_>>();
            for (names, found) in
                [(&mut identities, who), (&mut accounts, fields.all(ACCOUNTS)), (&mut addresses, fields.all(ADDRESSES))]
            {
                for name in found {
                    names.add(name, finding);
                }
            }
            match &finding.source {
                Source::File { path, .. } => places.add(path, finding),
                Source::Table { table, .. } => {
                    places.add(&format!("table {table}"), finding);
                    rows.push(finding);
                }
            }
        }
        Self {
            identities: identities.sorted(),
            accounts: accounts.sorted(),
            addresses: addresses.sorted(),
            places: places.sorted(),
            money: Money::of(rows),
        }
    }
}

impl Money {
    /// The rows of the trade table that findings speak of, each once.
    pub(super) fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        let mut trades: BTreeMap<String, &Finding> = BTreeMap::new();
        for finding in findings.into_iter().filter(|finding| finding.kind == FindingKind::Trade) {
            let Source::Table { table, key } = &finding.source else { continue };
            let place = format!("{table}\0{}", Value::Object(key.clone()));
            // The finding that knows most of the row tells what it is worth.
            if trades.get(&place).is_none_or(|known| known.event.len() < finding.event.len()) {
                trades.insert(place, finding);
            }
        }
        money(trades.values())
    }
}

fn money<'a>(trades: impl Iterator<Item = &'a &'a Finding>) -> Money {
    let mut money = Money::default();
    let mut total = BigDecimal::zero();
    let mut by_instrument: BTreeMap<String, BigDecimal> = BTreeMap::new();
    for finding in trades {
        money.rows += 1;
        let fields = Fields::of_row(finding);
        let number = |keys: &[&str]| fields.first(keys).and_then(|text| decimal(text));
        let worth = number(WORTH).or_else(|| Some(number(PRICE)? * number(QUANTITY)?));
        let Some(worth) = worth.map(|worth| worth.abs()) else {
            money.unknown += 1;
            continue;
        };
        let instrument = fields.first(INSTRUMENT).cloned().unwrap_or_else(|| "?".to_owned());
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
    use serde_json::{Map, json};

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
