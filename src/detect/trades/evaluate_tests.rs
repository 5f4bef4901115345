use std::collections::BTreeSet;

use super::*;
use crate::detect::trades::roles::map_schema;
use crate::domain::{Table, TableName};
use crate::policy::shipped::SHIPPED;

const COLUMNS: [&str; 10] =
    ["id", "accountId", "apiKeyId", "symbol", "side", "quantity", "price", "value", "createdAt", "updatedAt"];

fn table() -> Table {
    Table {
        name: TableName { schema: "main".into(), name: "Trade".into() },
        columns: COLUMNS
            .iter()
            .map(|name| Column {
                name: (*name).into(),
                data_type: if name.ends_with("At") { "datetime".into() } else { "text".into() },
                nullable: true,
                primary_key: *name == "id",
                generated: false,
            })
            .collect(),
    }
}

fn shipped(id: &str) -> TradePolicy {
    let path = format!("trades/{id}.yml");
    let text = SHIPPED.iter().find(|(name, _)| *name == path).unwrap().1;
    TradePolicy::parse(&path, text).unwrap()
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

fn reference() -> Reference {
    let keys =
        [("key_1".to_owned(), KeyInfo::default()), ("key_2".to_owned(), KeyInfo { revoked_at: Some(time(100)) })];
    Reference {
        keys: Some(keys.into_iter().collect()),
        limits: Some([("acc_1".to_owned(), BigDecimal::from(1000))].into_iter().collect()),
        pauses: vec![(time(500), Some(time(600)))],
    }
}

/// A harmless trade; `set` overrides cells by column.
fn row(id: i64, second: i64, set: &[(&str, Option<&str>)]) -> Row {
    let at = time(second).as_millisecond().to_string();
    let mut row: Row = vec![
        Some(id.to_string()),
        Some("acc_1".into()),
        Some("key_1".into()),
        Some("BTC".into()),
        Some("BUY".into()),
        Some("1".into()),
        Some("10".into()),
        Some("10".into()),
        Some(at.clone()),
        Some(at),
    ];
    for (column, value) in set {
        let index = COLUMNS.iter().position(|name| name == column).unwrap();
        row[index] = value.map(String::from);
    }
    row
}

/// Ids of the rows that the shipped policy finds, or `from..to` of gaps.
fn found(policy: &TradePolicy, rows: &[Row]) -> BTreeSet<String> {
    let table = table();
    let mapping = map_schema(std::slice::from_ref(&table), None, "Trade").unwrap().trades;
    let policies = [policy.clone()];
    let mut evaluation = Evaluation::new(&policies, &mapping, &table.columns, reference());
    for row in rows {
        evaluation.row(row, true);
    }
    let (findings, ..) = evaluation.finish();
    findings
        .iter()
        .map(|finding| match &finding.source {
            Source::Table { key, .. } => key["id"].as_str().unwrap().to_owned(),
            Source::File { .. } => panic!("a trade is in a table"),
        })
        .collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn unknown_key() {
    let rows = [row(1, 0, &[]), row(2, 1, &[("apiKeyId", Some("ghost"))]), row(3, 2, &[("apiKeyId", None)])];
    assert_eq!(found(&shipped("unknown-key"), &rows), set(&["2"]));
}

#[test]
fn revoked_key_with_its_tolerance() {
    let used = |id, second| row(id, second, &[("apiKeyId", Some("key_2"))]);
    let rows = [used(1, 99), used(2, 105), used(3, 106), row(4, 200, &[])];
    assert_eq!(found(&shipped("revoked-key"), &rows), set(&["3"]));
}

#[test]
fn while_paused_only_inside_the_window() {
    let rows = [row(1, 499, &[]), row(2, 502, &[]), row(3, 503, &[]), row(4, 599, &[]), row(5, 600, &[])];
    assert_eq!(found(&shipped("while-paused"), &rows), set(&["3", "4"]));
}

#[test]
fn over_limit_is_exact() {
    let rows = [
        row(1, 0, &[("value", Some("1000"))]),
        row(2, 1, &[("value", Some("1000.000000000000000000000000000001"))]),
        row(3, 2, &[("value", Some("-1000.01"))]),
        row(4, 3, &[("value", None), ("quantity", Some("3")), ("price", Some("333.34"))]),
        row(5, 4, &[("value", Some("Infinity"))]),
        row(6, 5, &[("value", Some("NaN"))]),
        row(7, 6, &[("value", Some("99999")), ("accountId", Some("unlimited"))]),
    ];
    assert_eq!(found(&shipped("over-limit"), &rows), set(&["2", "3", "4", "5"]));
}

#[test]
fn edited_after_its_tolerance() {
    let edited =
        |id, second: i64| row(id, 0, &[("updatedAt", Some(time(second).as_millisecond().to_string().as_str()))]);
    let rows = [edited(1, 0), edited(2, 3600), edited(3, 3601), row(4, 0, &[("updatedAt", None)])];
    assert_eq!(found(&shipped("edited-after"), &rows), set(&["3"]));
}

#[test]
fn a_burst_slides() {
    // 30 in a minute are normal; the 31st within 60 s is not, whatever the clock minute.
    let mut rows: Vec<_> = (0..31).map(|n| row(n, 30 + n, &[])).collect();
    assert_eq!(found(&shipped("burst"), &rows), set(&["30"]));
    rows[30] = row(30, 90, &[]);
    assert_eq!(found(&shipped("burst"), &rows), set(&[]));
}

#[test]
fn off_market_against_its_neighbours() {
    let mut rows: Vec<_> = (0..10).map(|n| row(n, n, &[])).collect();
    rows.push(row(10, 10, &[("price", Some("12.5"))]));
    rows.push(row(11, 11, &[("price", Some("12.51"))]));
    rows.push(row(12, 12, &[("price", Some("7.49"))]));
    rows.push(row(13, 13, &[("price", Some("90")), ("symbol", Some("NEW"))]));
    assert_eq!(found(&shipped("off-market"), &rows), set(&["11", "12"]));
}

#[test]
fn missing_ids_are_one_finding_a_gap() {
    let rows = [row(7, 0, &[]), row(3, 1, &[]), row(4, 2, &[]), row(9, 3, &[])];
    assert_eq!(found(&shipped("deleted-rows"), &rows), set(&["5..6", "8..8"]));
}

#[test]
fn what_is_missing_is_said_and_nothing_is_found() {
    let mut table = table();
    table.columns.retain(|column| !["apiKeyId", "updatedAt"].contains(&column.name.as_str()));
    let mapping = map_schema(std::slice::from_ref(&table), None, "Trade").unwrap().trades;
    let policies: Vec<_> = ["unknown-key", "edited-after", "burst", "over-limit"].map(shipped).into();
    let evaluation = Evaluation::new(&policies, &mapping, &table.columns, Reference::default());
    let (findings, uncovered, _) = evaluation.finish();
    assert!(findings.is_empty());
    let said: BTreeSet<_> = uncovered.iter().map(|one| one.policy.as_str()).collect();
    assert_eq!(said, ["unknown-key", "edited-after", "burst", "over-limit"].into_iter().collect());
}

#[test]
fn unreadable_values_are_counted_not_dropped() {
    let table = table();
    let mapping = map_schema(std::slice::from_ref(&table), None, "Trade").unwrap().trades;
    let policies = [shipped("over-limit"), shipped("burst")];
    let mut evaluation = Evaluation::new(&policies, &mapping, &table.columns, reference());
    evaluation.row(&row(1, 0, &[("value", Some("NaN")), ("createdAt", Some("infinity"))]), true);
    let (findings, uncovered, rows) = evaluation.finish();
    assert_eq!((findings.len(), rows), (0, 1));
    assert!(uncovered.iter().any(|one| one.policy == "over-limit" && one.reason.contains("1 rows")));
    assert!(uncovered.iter().any(|one| one.policy == "burst" && one.reason.contains("time")));
}

#[test]
fn a_finding_hides_keys_and_keeps_its_id() {
    let mut table = table();
    table.columns[2].name = "apiKey".into();
    let mapping = map_schema(std::slice::from_ref(&table), None, "Trade").unwrap().trades;
    let policies = [shipped("unknown-key")];
    let ids: BTreeSet<_> = (0..2)
        .map(|_| {
            let mut evaluation = Evaluation::new(&policies, &mapping, &table.columns, reference());
            evaluation.row(&row(1, 0, &[("apiKeyId", Some("sk_live_very_secret"))]), true);
            let (findings, ..) = evaluation.finish();
            let text = serde_json::to_string(&findings[0]).unwrap();
            assert!(!text.contains("sk_live"), "{text}");
            findings[0].id.clone()
        })
        .collect();
    assert_eq!(ids.len(), 1);
}
