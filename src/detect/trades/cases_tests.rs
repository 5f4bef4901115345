//! Every shipped policy by name: what it must find, what it must not, and where the one becomes the other.
#![allow(clippy::too_many_lines, clippy::type_complexity, clippy::needless_pass_by_value)]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::policy::TradePolicy;
use super::roles::{Catalog, Role, RoleOverrides, map_schema};
use super::stage_tests::{
    Cells, DAY, HOUR, MINUTE, SECOND, Stage, account, key, order, scan, table, text, trade, trades,
};
use super::{Means, Plan, Reference};
use crate::domain::Relations;
use crate::policy::shipped::SHIPPED;

/// A stage, and what is found on it.
type Case = (Stage, &'static [&'static str]);

fn shipped() -> Vec<TradePolicy> {
    let texts = SHIPPED.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let (policies, errors) = TradePolicy::from_texts(&texts);
    assert_eq!(errors, []);
    policies
}

fn one(trade: Cells) -> Stage {
    Stage::of(vec![trade])
}

fn two(first: Cells, second: Cells) -> Stage {
    Stage::of(vec![first, second])
}

/// A trade of another account and instrument, so that it has a history of its own.
fn of(account: i64, trade: Cells) -> Cells {
    trade
        .with("accountId", format!("acc_{account}"))
        .with("apiKeyId", format!("key_{account}"))
        .with("symbol", format!("S{account}"))
}

/// Ordinary trades, then two of which the second goes beyond: of two accounts with the same history.
fn histories(count: i64, step: i64, last: impl Fn(i64, Cells) -> Cells) -> Stage {
    let mut all = Vec::new();
    for number in [1, 2] {
        let from = number * 10_000;
        all.extend(trades(from..=from + count - 1, -step * count, step).into_iter().map(|trade| of(number, trade)));
        all.push(last(number, of(number, trade(number, 0))));
    }
    Stage::of(all)
}

/// What each policy says: positive, negative, boundary.
fn cases(policy: &str) -> Option<[Case; 3]> {
    of_keys(policy)
        .or_else(|| of_accounts(policy))
        .or_else(|| of_rows(policy))
        .or_else(|| of_orders(policy))
        .or_else(|| of_windows(policy))
        .or_else(|| of_baselines(policy))
        .or_else(|| of_sequences(policy))
        .or_else(|| of_records(policy))
}

/// A moment of the key or the account, and trades around it: `late` or early by more than the tolerance.
fn around(stage: impl Fn(Stage) -> Stage, tolerance: i64, late: bool) -> [Case; 3] {
    let way = if late { 1 } else { -1 };
    let case = |moments: &[i64]| stage(Stage::of((1..).zip(moments).map(|(id, at)| trade(id, at * way)).collect()));
    [(case(&[HOUR]), &["1"]), (case(&[-HOUR]), &[]), (case(&[tolerance, tolerance + 1]), &["2"])]
}

fn of_keys(policy: &str) -> Option<[Case; 3]> {
    let with_key = |column: &'static str| move |stage: Stage| stage.key(key("key_1", "acc_1").at(column, 0));
    let scoped = |scope: Option<&str>| {
        let key = key("key_1", "acc_1").null("scopes");
        one(trade(1, 0)).key(scope.map_or(key.clone(), |scope| key.with("scopes", scope)))
    };
    let bound = |ips: &[&str]| {
        let rows = (1..).zip(ips).map(|(id, ip)| trade(id, 0).with("ip", ip)).collect();
        Stage::of(rows).key(key("key_1", "acc_1").with("allowedIps", "192.0.2.0/28, 2001:db8::/32"))
    };
    Some(match policy {
        "unknown-key" => [
            (one(trade(1, 0).with("apiKeyId", "key_ghost")), &["1"]),
            (one(trade(1, 0)), &[]),
            (
                Stage::of(vec![
                    trade(1, 0).null("apiKeyId"),
                    trade(2, 0).with("apiKeyId", ""),
                    trade(3, 0).with("apiKeyId", "KEY_1"),
                ]),
                &["2", "3"],
            ),
        ],
        "revoked-key" => around(with_key("revokedAt"), 0, true),
        "expired-key" => around(with_key("expiresAt"), MINUTE, true),
        "key-before-it-was-made" => around(with_key("createdAt"), MINUTE, false),
        "key-of-another-account" => [
            (one(trade(1, 0).with("apiKeyId", "key_2")), &["1"]),
            (one(trade(1, 0)), &[]),
            (
                Stage::of(vec![
                    trade(1, 0),
                    trade(2, 0).null("accountId"),
                    trade(3, 0).with("apiKeyId", "key_free"),
                    trade(4, 0).with("accountId", "acc_2"),
                ])
                .key(key("key_free", "").null("accountId")),
                &["4"],
            ),
        ],
        "key-out-of-scope" => [
            (scoped(Some("read")), &["1"]),
            (scoped(Some("read,TRADE")), &[]),
            (
                Stage::of(vec![trade(1, 0), trade(2, 0).with("apiKeyId", "key_2")])
                    .key(key("key_1", "acc_1").null("scopes"))
                    .key(key("key_2", "acc_2").with("scopes", "")),
                &["2"],
            ),
        ],
        "key-from-another-address" => [
            (bound(&["198.51.100.9"]), &["1"]),
            (bound(&["192.0.2.7", "2001:db8::1"]), &[]),
            (bound(&["192.0.2.15", "192.0.2.16", "2001:db9::"]), &["2", "3"]),
        ],
        _ => return None,
    })
}

fn of_accounts(policy: &str) -> Option<[Case; 3]> {
    let with_account = |column: &'static str| move |stage: Stage| stage.account(account("acc_1").at(column, 0));
    let limited = |column: &'static str, limit: &str, rows: Vec<Cells>| {
        Stage::of(rows).account(account("acc_1").with(column, limit))
    };
    let worth = |id, value: &str| trade(id, id * MINUTE).with("value", value);
    Some(match policy {
        "unknown-account" => [
            (one(trade(1, 0).with("accountId", "acc_ghost")), &["1"]),
            (one(trade(1, 0)), &[]),
            (two(trade(1, 0).null("accountId"), trade(2, 0).with("accountId", "")), &["2"]),
        ],
        "closed-account" => around(with_account("closedAt"), 5 * SECOND, true),
        "account-before-it-was-made" => around(with_account("createdAt"), MINUTE, false),
        "over-limit" => [
            (one(worth(1, "5000")), &["1"]),
            (one(worth(1, "999")), &[]),
            (
                Stage::of(vec![
                    worth(1, "1000"),
                    worth(2, "1000.01"),
                    worth(3, "1000.0000000000000000000000000000000000000000000000000000000001"),
                    worth(4, "-1000.01"),
                    worth(5, "Infinity"),
                    worth(6, "NaN"),
                    trade(7, 0).null("value").with("quantity", "10").with("price", "100"),
                    trade(8, 0).null("value").with("quantity", "10").with("price", "100.0000000000000001"),
                ]),
                &["2", "3", "4", "5", "8"],
            ),
        ],
        "over-daily-limit" => {
            let day = |moments: &[(i64, &str)]| {
                let rows = (1..).zip(moments).map(|(id, (at, value))| trade(id, *at).with("value", value)).collect();
                limited("dailyLimit", "300", rows)
            };
            [
                (day(&[(0, "200"), (HOUR, "200")]), &["2"]),
                (day(&[(0, "200"), (DAY, "200")]), &[]),
                // The last millisecond of a day, and the first of the next.
                (
                    day(&[
                        (HOUR, "200"),
                        (12 * HOUR - 1, "100"),
                        (12 * HOUR, "300"),
                        (13 * HOUR, "0.000000000000000001"),
                    ]),
                    &["4"],
                ),
            ]
        }
        "over-position-limit" => {
            let hold = |moves: &[(&str, &str)]| {
                let rows = (1..)
                    .zip(moves)
                    .map(|(id, (side, quantity))| trade(id, id * MINUTE).with("side", side).with("quantity", quantity));
                limited("positionLimit", "10", rows.collect())
            };
            [
                (hold(&[("BUY", "8"), ("BUY", "8")]), &["2"]),
                (hold(&[("BUY", "8"), ("SELL", "8"), ("BUY", "8")]), &[]),
                // A sale that brings it back is none of it; a short position is a position.
                (
                    hold(&[("BUY", "10"), ("BUY", "0.000000000000000001"), ("SELL", "10"), ("SELL", "10.1")]),
                    &["2", "4"],
                ),
            ]
        }
        "while-paused" => {
            let paused = |moments: &[i64]| {
                let rows = (1..).zip(moments).map(|(id, at)| trade(id, *at)).collect();
                Stage { pauses: vec![(0, Some(HOUR))], ..Stage::of(rows) }
            };
            [
                (paused(&[MINUTE]), &["1"]),
                (paused(&[-MINUTE, 2 * HOUR]), &[]),
                (paused(&[2 * SECOND, 2 * SECOND + 1, HOUR - 1, HOUR]), &["2", "3"]),
            ]
        }
        "during-intrusion" => {
            let traced = |moments: &[(i64, &str)]| {
                let rows = (1..).zip(moments).map(|(id, (at, ip))| trade(id, *at).with("ip", ip)).collect();
                Stage { trace: Some((Role::Ip, "203.0.113.66", 0, HOUR)), ..Stage::of(rows) }
            };
            let (intruder, till) = ("203.0.113.66", HOUR + 900 * SECOND);
            [
                (traced(&[(MINUTE, intruder)]), &["1"]),
                (traced(&[(MINUTE, "192.0.2.1"), (DAY, intruder)]), &[]),
                (
                    traced(&[
                        (till, intruder),
                        (till + 1, intruder),
                        (-900 * SECOND, intruder),
                        (-900 * SECOND - 1, intruder),
                        (0, "203.0.113.66/32"),
                    ]),
                    &["1", "3", "5"],
                ),
            ]
        }
        _ => return None,
    })
}

fn of_rows(policy: &str) -> Option<[Case; 3]> {
    Some(match policy {
        "edited-after" => [
            (one(trade(1, 0).at("updatedAt", DAY)), &["1"]),
            (two(trade(1, 0), trade(2, 0).null("updatedAt")), &[]),
            (two(trade(1, 0).at("updatedAt", HOUR), trade(2, 0).at("updatedAt", HOUR + 1)), &["2"]),
        ],
        "written-late" => [
            (one(trade(1, 0).at("createdAt", 30 * DAY)), &["1"]),
            // Twenty at once are an import, and one beside them was written with it.
            (
                Stage::of(
                    (1..=20).map(|id| trade(id, id * HOUR).at("createdAt", 30 * DAY)).chain([trade(21, DAY)]).collect(),
                ),
                &[],
            ),
            (two(trade(1, 0).at("createdAt", 2 * DAY), trade(2, 0).at("createdAt", 2 * DAY + 1)), &["2"]),
        ],
        "executed-without-time" => [
            (one(trade(1, 0).null("executedAt")), &["1"]),
            (two(trade(1, 0), trade(2, 0).null("executedAt").with("status", "PENDING")), &[]),
            (
                Stage::of(vec![
                    trade(1, 0).null("executedAt").with("status", "filled"),
                    trade(2, 0).null("executedAt").with("status", "FILLED_PARTLY"),
                    trade(3, 0).null("executedAt").null("status"),
                ]),
                &["1"],
            ),
        ],
        "future-time" => [
            (one(trade(1, DAY)), &["1"]),
            (one(trade(1, -DAY)), &[]),
            (two(trade(1, 300 * SECOND), trade(2, 300 * SECOND + 1)), &["2"]),
        ],
        "impossible-number" => [
            (
                Stage::of(vec![
                    trade(1, 0).with("price", "-5"),
                    trade(2, 0).with("value", "NaN"),
                    trade(3, 0).with("quantity", "Infinity"),
                ]),
                &["1", "2", "3"],
            ),
            (two(trade(1, 0), trade(2, 0).null("value").with("quantity", "-3")), &[]),
            (
                Stage::of(vec![
                    trade(1, 0).with("price", "0"),
                    trade(2, 0).with("price", "0.0000000000000000000000000000000001"),
                    trade(3, 0).with("quantity", "0.000"),
                    trade(4, 0).with("quantity", "1".repeat(65)),
                    trade(5, 0).with("price", format!("-{}", "1".repeat(65))),
                    trade(6, 0).null("price").null("quantity"),
                ]),
                &["1", "3", "5"],
            ),
        ],
        "impossible-time" => [
            (one(trade(1, 0).with("executedAt", "infinity")), &["1"]),
            (two(trade(1, 0), trade(2, 0).null("executedAt")), &[]),
            (
                Stage::of(vec![
                    trade(1, 0).with("createdAt", "9999-12-31 23:59:59.999").null("updatedAt"),
                    trade(2, 0).with("createdAt", "10000-01-01 00:00:00"),
                    trade(3, 0).with("createdAt", "-infinity"),
                    trade(4, 0).with("executedAt", "0001-01-01 00:00:00"),
                    trade(5, 0).with("executedAt", "0044-03-15 12:00:00 BC"),
                    trade(6, 0).at("settledAt", -DAY),
                    trade(7, 0).at("settledAt", -DAY - 1),
                    trade(8, 0).at("updatedAt", -HOUR),
                    trade(9, 0).at("updatedAt", -HOUR - 1),
                ]),
                &["2", "3", "5", "7", "9"],
            ),
        ],
        "negative-quantity" => [
            (two(trade(1, 0).with("quantity", "-3"), trade(2, 0).null("side").with("quantity", -1)), &["1", "2"]),
            // Without a side the sign is the side.
            (
                two(
                    trade(1, 0).null("side").null("counterpartyId").with("quantity", "-3"),
                    trade(2, 0).with("quantity", 0),
                ),
                &[],
            ),
            (signed(19, 38), &SIGNED),
        ],
        "self-dealing" => [
            (one(trade(1, 0).with("counterpartyId", "acc_1")), &["1"]),
            (two(trade(1, 0), trade(2, 0).null("counterpartyId").null("accountId")), &[]),
            (
                two(
                    trade(1, 0).with("counterpartyId", "ACC_1"),
                    trade(2, 0).with("counterpartyId", "").with("accountId", ""),
                ),
                &["2"],
            ),
        ],
        _ => return None,
    })
}

/// So many trades, the first ones with a quantity below zero.
fn signed(below: i64, all: i64) -> Stage {
    let quantity = |id: i64| if id <= below { "-1" } else { "1" };
    Stage::of((1..=all).map(|id| trade(id, id * HOUR).with("quantity", quantity(id))).collect())
}

const SIGNED: [&str; 19] =
    ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19"];

fn of_orders(policy: &str) -> Option<[Case; 3]> {
    let ordinary = trade(1, 0);
    let ordered = |id: i64, change: &dyn Fn(Cells) -> Cells| change(order(&trade(id, 0)));
    Some(match policy {
        "orphan" => [
            (Stage { orders: vec![], ..one(ordinary.clone()) }, &["1"]),
            (one(ordinary), &[]),
            (Stage { orders: vec![], ..two(trade(1, 0).null("orderId"), trade(2, 0).with("orderId", "")) }, &["2"]),
        ],
        "order-mismatch" => [
            (one(ordinary.clone()).order(ordered(1, &|order| order.with("side", "SELL"))), &["1"]),
            (one(ordinary), &[]),
            (
                Stage::of(trades(1..=4, 0, MINUTE))
                    .order(ordered(1, &|order| order.null("side").null("accountId").null("symbol")))
                    .order(ordered(2, &|order| order.with("side", "b")))
                    .order(ordered(3, &|order| order.with("symbol", "x")))
                    .order(ordered(4, &|order| order.with("accountId", "acc_2"))),
                &["3", "4"],
            ),
        ],
        "overfilled-order" => [
            (one(ordinary.clone()).order(ordered(1, &|order| order.with("quantity", "0.5"))), &["1"]),
            (one(ordinary), &[]),
            (
                Stage::of(
                    (1..=3)
                        .map(|id| {
                            trade(id, id)
                                .with("orderId", "ord_1")
                                .with("quantity", if id == 3 { "0.000000000000000001" } else { "0.5" })
                        })
                        .collect(),
                )
                .order(ordered(1, &|order| order.with("quantity", "1"))),
                &["3"],
            ),
        ],
        "worse-than-its-order" => [
            (one(ordinary.clone()).order(ordered(1, &|order| order.with("limitPrice", "99.9"))), &["1"]),
            (
                two(ordinary.clone(), trade(2, 0).with("side", "SELL"))
                    .order(ordered(1, &|order| order.with("limitPrice", "100.5")))
                    .order(ordered(2, &|order| order.with("side", "SELL").with("limitPrice", "99"))),
                &[],
            ),
            (
                Stage::of(
                    (1..=6).map(|id| trade(id, 0).with("status", if id == 6 { "BUSTED" } else { "FILLED" })).collect(),
                )
                .order(ordered(1, &|order| order.with("limitPrice", "100")))
                .order(ordered(2, &|order| order.with("limitPrice", "99.9999")))
                .order(ordered(3, &|order| order.with("side", "SELL").with("limitPrice", "100.01")))
                .order(ordered(4, &|order| order.with("limitPrice", "0")))
                .order(ordered(5, &|order| order.null("side").with("limitPrice", "99.99991")))
                .order(ordered(6, &|order| order.with("limitPrice", "1"))),
                &["2", "3"],
            ),
        ],
        "before-its-order" => [
            (one(ordinary.clone()).order(ordered(1, &|order| order.at("createdAt", HOUR))), &["1"]),
            (two(ordinary, trade(2, 0)).order(ordered(2, &|order| order.null("createdAt"))), &[]),
            (
                two(trade(1, 0), trade(2, 0))
                    .order(ordered(1, &|order| order.at("createdAt", MINUTE)))
                    .order(ordered(2, &|order| order.at("createdAt", MINUTE + 1))),
                &["2"],
            ),
        ],
        "order-still-waits" => [
            (two(trade(1, 0), trade(2, HOUR)).order(ordered(1, &|order| order.with("status", "New"))), &["1"]),
            (
                two(trade(1, 0), trade(2, HOUR))
                    .order(ordered(1, &|order| order.with("status", "OPEN").with("quantity", "1.1")))
                    .order(ordered(2, &|order| order.with("status", "CANCELED"))),
                &[],
            ),
            (
                Stage::of(vec![trade(1, 0), trade(2, 1), trade(3, 10 * SECOND)])
                    .order(ordered(1, &|order| order.with("status", "PENDING")))
                    .order(ordered(2, &|order| order.with("status", "PENDING"))),
                &["1"],
            ),
        ],
        "filled-otherwise" => [
            (
                two(trade(1, 0), trade(2, HOUR))
                    .order(ordered(1, &|order| order.with("quantity", 2)))
                    .order(ordered(2, &|order| order.with("status", "NEW").with("filledQuantity", 0)))
                    .order(ordered(9, &|order| order.with("status", "Executed"))),
                &["1", "2", "ord_9"],
            ),
            (
                two(trade(1, 0), trade(2, HOUR).null("quantity"))
                    .order(ordered(1, &|order| order.with("status", "CANCELED").with("quantity", 2)))
                    .order(ordered(8, &|order| order.with("status", "NEW")))
                    .order(ordered(9, &|order| order.with("status", "CANCELED").with("filledQuantity", 0))),
                &[],
            ),
            (
                Stage::of(
                    [("1000000", 1), ("1000000", 2), ("0.5", 3), ("0.5", 4)]
                        .map(|(quantity, id)| trade(id, id).with("quantity", quantity))
                        .to_vec(),
                )
                .order(ordered(1, &|order| order.with("quantity", "1000001")))
                .order(ordered(2, &|order| order.with("quantity", "1000001.1")))
                .order(ordered(3, &|order| order.with("filledQuantity", "0.5")))
                .order(ordered(4, &|order| order.with("filledQuantity", "0.500001"))),
                &["2", "4"],
            ),
        ],
        "after-its-order" => [
            (
                two(ordinary.clone(), trade(2, 0))
                    .order(ordered(1, &|order| order.at("cancelledAt", -HOUR)))
                    .order(ordered(2, &|order| order.at("deletedAt", -HOUR).at("cancelledAt", DAY))),
                &["1", "2"],
            ),
            // What failed was no trade.
            (
                two(ordinary.clone(), trade(2, 0).with("status", "FAILED"))
                    .order(ordered(1, &|order| order.at("cancelledAt", HOUR)))
                    .order(ordered(2, &|order| order.at("cancelledAt", -HOUR))),
                &[],
            ),
            (
                two(trade(1, 0), trade(2, 1))
                    .order(ordered(1, &|order| order.at("cancelledAt", -MINUTE)))
                    .order(ordered(2, &|order| order.at("cancelledAt", -MINUTE))),
                &["2"],
            ),
        ],
        "refused-order" => [
            (one(ordinary.clone()).order(ordered(1, &|order| order.with("status", "REJECTED"))), &["1"]),
            (two(ordinary, trade(2, 0)).order(ordered(2, &|order| order.null("status"))), &[]),
            (
                two(trade(1, 0), trade(2, 0))
                    .order(ordered(1, &|order| order.with("status", "CANCELLED")))
                    .order(ordered(2, &|order| order.with("status", "rejected"))),
                &["2"],
            ),
        ],
        _ => return None,
    })
}

fn of_windows(policy: &str) -> Option<[Case; 3]> {
    let pair = |id: i64, at: i64, side: &str| trade(id, at).with("side", side).with("counterpartyId", "acc_2");
    let round = |id: i64, at: i64, long: i64, loss: bool| {
        [
            pair(id, at, "BUY").with("price", if loss { 100 } else { 98 }),
            pair(id + 1, at + long, "SELL").with("price", 99),
        ]
    };
    let to_and_fro = |id: i64, at: i64, step: i64| {
        (0..4).map(move |leg| trade(id + leg, at + leg * step).with("side", if leg % 2 == 0 { "BUY" } else { "SELL" }))
    };
    let lead = |trades: Vec<Cells>| Stage { since: Some(-DAY), ..Stage::of(trades) };
    let fill = |id: i64, at: i64, side: &str| of(4, pair(id, at, side)).with("orderId", side);
    Some(match policy {
        // Forty (thirty) are normal; so is whatever a robot did in ten windows before.
        "burst" | "burst-of-account" => {
            let normal: i64 = if policy == "burst" { 30 } else { 40 };
            let robot =
                (0..12).flat_map(|minute| trades(minute * 1000 + 1..=minute * 1000 + 2 * normal, minute * MINUTE, 100));
            let mut edge = trades(1..=normal, 0, SECOND / 2);
            edge.push(trade(1000, MINUTE));
            edge.extend(trades(2001..=2000 + normal, HOUR, SECOND / 2));
            edge.push(trade(3000, HOUR + MINUTE - 1));
            [
                (Stage::of(trades(1..=normal + 1, 0, SECOND / 2)), if policy == "burst" { &["31"] } else { &["41"] }),
                (Stage::of(robot.collect()), &[]),
                (Stage::of(edge), &["3000"]),
            ]
        }
        "wash" => [
            (two(pair(1, 0, "BUY"), pair(2, 100, "SELL")), &["1", "2"]),
            (two(pair(1, 0, "BUY"), pair(2, 100, "SELL").with("price", "100.01")), &[]),
            (
                Stage::of(vec![
                    pair(1, 0, "BUY"),
                    pair(2, SECOND, "SELL"),
                    of(2, trade(3, 0)),
                    of(2, trade(4, SECOND + 1).with("side", "SELL")),
                    // Two of three are alike; then two of four, which may be by chance.
                    of(3, trade(5, 0)),
                    of(3, trade(6, 10).with("quantity", 7)),
                    of(3, trade(7, 30).with("side", "SELL")),
                    of(4, trade(8, 0)),
                    of(4, trade(9, 10).with("quantity", 7)),
                    of(4, trade(10, 20).with("quantity", 9)),
                    of(4, trade(11, 30).with("side", "SELL")),
                    // What comes after counts as what came before; a second later it does not.
                    of(5, trade(12, 0)),
                    of(5, trade(13, 10).with("side", "SELL")),
                    of(5, trade(14, SECOND + 10).with("quantity", 7)),
                    of(5, trade(15, SECOND + 10).with("quantity", 9)),
                    of(6, trade(16, 0)),
                    of(6, trade(17, 10).with("side", "SELL")),
                    of(6, trade(18, SECOND + 11).with("quantity", 7)),
                    of(6, trade(19, SECOND + 11).with("quantity", 9)),
                ]),
                &["1", "16", "17", "2", "5", "7"],
            ),
        ],
        "wash-within-a-minute" => {
            let at_seconds = |number: i64, id: i64, seconds: [i64; 4]| {
                seconds.into_iter().zip(to_and_fro(id, 0, 0)).map(move |(second, trade)| {
                    let at = second * SECOND;
                    of(number, trade).at("executedAt", at).at("createdAt", at).at("updatedAt", at)
                })
            };
            [
                (lead(to_and_fro(1, 0, 20 * SECOND).collect()), &["1", "2", "3", "4"]),
                (
                    lead(
                        (0..4)
                            .flat_map(|hour| to_and_fro(hour * 4 + 1, hour * HOUR, 2 * SECOND))
                            .chain(to_and_fro(21, 0, 20 * SECOND).take(3).map(|trade| of(2, trade)))
                            .chain([
                                fill(31, 0, "BUY"),
                                fill(32, 1, "BUY"),
                                fill(33, SECOND, "SELL"),
                                fill(34, SECOND, "SELL"),
                            ])
                            .collect(),
                    ),
                    &[],
                ),
                (
                    lead(
                        (0..3)
                            .flat_map(|hour| {
                                to_and_fro(hour * 4 + 1, hour * HOUR, 2 * SECOND).take(if hour == 0 { 4 } else { 2 })
                            })
                            // Half an hour and more from the first to the last of them; or more than a minute between the opposites.
                            .chain(at_seconds(2, 21, [0, 30, 1790, 1801]))
                            .chain(at_seconds(3, 31, [0, 30, 1790, 1800]))
                            .chain(at_seconds(5, 41, [0, 61, 70, 80]))
                            .collect(),
                    ),
                    &["1", "2", "3", "31", "32", "33", "34", "4"],
                ),
            ]
        }
        "round-trips" => [
            (
                Stage::of(
                    (0..3).flat_map(|number| round(number * 2 + 1, number * 10 * MINUTE, MINUTE, true)).collect(),
                ),
                &["1", "2", "3", "4", "5", "6"],
            ),
            (
                Stage::of(
                    (0..4)
                        .flat_map(|number| round(number * 2 + 1, number * 10 * MINUTE, MINUTE, number != 2))
                        // One order bought and one sold, in three equal fills each: one round.
                        .chain((0..3).flat_map(|number| round(number * 2 + 11, number, MINUTE, true)).map(|trade| {
                            let order = trade.get("side").unwrap_or_default().to_owned();
                            of(2, trade).with("orderId", order)
                        }))
                        .collect(),
                ),
                &[],
            ),
            (
                Stage::of(
                    [
                        // Two rounds; three of which the last ends an hour after the first began; three that end later.
                        [round(1, 0, MINUTE, true), round(3, 5 * MINUTE, MINUTE, true)].concat(),
                        [round(5, 0, 1, true), round(7, 2, 1, true), round(9, 4, HOUR - 4, true)]
                            .concat()
                            .into_iter()
                            .map(|trade| trade.with("symbol", "Y"))
                            .collect(),
                        [round(11, 0, 1, true), round(13, 2, 1, true), round(15, 4, HOUR - 3, true)]
                            .concat()
                            .into_iter()
                            .map(|trade| trade.with("symbol", "Z"))
                            .collect(),
                    ]
                    .concat(),
                ),
                &["5", "6", "7", "8", "9", "10"],
            ),
        ],
        "duplicate" => {
            let same = |id, at| trade(id, at).with("orderId", "ord_1");
            [
                (two(same(1, 0), same(2, 10)), &["2"]),
                // The order is for both.
                (two(same(1, 0), same(2, 10)).order(order(&trade(1, 0)).with("quantity", 2)), &[]),
                (
                    Stage::of(vec![
                        same(1, 0),
                        same(2, SECOND),
                        same(3, 2 * SECOND + 1),
                        same(4, 2 * SECOND + 1).with("fee", 1).with("price", "100.01"),
                    ]),
                    &["2"],
                ),
            ]
        }
        _ => return None,
    })
}

fn of_baselines(policy: &str) -> Option<[Case; 3]> {
    // What the account never did: after so many trades, and after one fewer.
    let first = |column: &'static str, usual: &'static str, other: &'static str, after: i64| -> [Case; 3] {
        let history = move |number: i64, count: i64| {
            let from = number * 10_000;
            trades(from..=from + count - 1, -HOUR, SECOND)
                .into_iter()
                .map(move |trade| of(number, trade).with(column, usual))
        };
        let last = |number: i64, value: &str| {
            let other = of(number, trade(number, 0)).with(column, value);
            if column == "symbol" { other } else { other.with("symbol", format!("S{number}")) }
        };
        let since = Some(-1);
        let stage = |rows: Vec<Cells>| Stage { since, ..Stage::of(rows) };
        let both = history(1, after).chain(history(2, after - 1)).chain([last(1, other), last(2, other)]);
        [
            (stage(history(1, after + 5).chain([last(1, other)]).collect()), &["1"]),
            (stage(history(1, after + 5).chain([last(1, usual)]).collect()), &[]),
            (stage(both.collect()), &["1"]),
        ]
    };
    Some(match policy {
        "new-address" => first("ip", "192.0.2.1", "198.51.100.7", 50),
        "new-destination" => first("destination", "wallet_1", "wallet_2", 20),
        "new-instrument" => first("symbol", "X", "Y", 60),
        "off-hours" => {
            // Trades before noon make ten to one o'clock known, once there are 60.
            let at = |hours: i64, count: i64| {
                let mut rows = trades(1001..=1000 + count, -DAY, SECOND);
                rows.push(trade(1, hours * HOUR));
                Stage { since: Some(-1), ..Stage::of(rows) }
            };
            let edge = histories(60, SECOND, |number, row| {
                let at = if number == 1 { HOUR - 1 } else { HOUR };
                row.at("executedAt", at).at("createdAt", at)
            });
            [(at(6, 60), &["1"]), (at(6, 59), &[]), (Stage { since: Some(-1), ..edge }, &["2"])]
        }
        "dormant-account" => {
            let back = |number: i64, days: i64, more: i64| {
                [of(number, trade(number + 10, -days * DAY + more)), of(number, trade(number, 0))]
            };
            [
                (Stage::of(back(1, 200, 0).to_vec()), &["1"]),
                (Stage::of(back(1, 20, 0).to_vec()), &[]),
                (Stage::of([back(1, 90, 0), back(2, 90, 1)].concat()), &["1"]),
            ]
        }
        "first-use" => {
            let since = Some(0);
            [
                (Stage { since, ..one(trade(1, HOUR)) }, &["1"]),
                (Stage { since, ..two(trade(1, -HOUR), trade(2, HOUR)) }, &[]),
                (Stage { since, ..two(of(1, trade(1, 0)), of(2, trade(2, -1))) }, &["1"]),
            ]
        }
        "off-market" => {
            let last = |price: &'static str| move |_: i64, row: Cells| row.with("price", price);
            [
                (histories(5, SECOND, last("500")), &["1", "2"]),
                (histories(4, SECOND, last("500")), &[]),
                (
                    histories(5, SECOND, |number, row| {
                        row.with("price", if number == 1 { "125" } else { "125.000000000000001" })
                    }),
                    &["2"],
                ),
            ]
        }
        "value-does-not-fit" => {
            let last = |value: &'static str| move |_: i64, row: Cells| row.with("value", value);
            [
                (histories(5, SECOND, last("1000")), &["1", "2"]),
                (histories(4, SECOND, last("1000")), &[]),
                (
                    histories(5, SECOND, |number, row| row.with("value", if number == 1 { "120" } else { "120.01" })),
                    &["2"],
                ),
            ]
        }
        "value-outlier" => [
            (histories(50, SECOND, |_, row| row.with("value", 900)), &["1", "2"]),
            (histories(49, SECOND, |_, row| row.with("value", 600)), &[]),
            (
                histories(50, SECOND, |number, row| row.with("value", if number == 1 { "500" } else { "500.01" })),
                &["2"],
            ),
        ],
        "quantity-outlier" => [
            (histories(50, SECOND, |_, row| row.with("quantity", 20)), &["1", "2"]),
            (histories(24, SECOND, |_, row| row.with("quantity", 20)), &[]),
            (
                histories(50, SECOND, |number, row| row.with("quantity", if number == 1 { "10" } else { "10.01" })),
                &["2"],
            ),
        ],
        _ => return None,
    })
}

fn of_sequences(policy: &str) -> Option<[Case; 3]> {
    // Six hundred rows a minute apart are ten hours; the last ones were written around minute 595.
    let business = || trades(1..=600, 0, MINUTE);
    let with = |more: Vec<Cells>| Stage::of([business(), more].concat());
    let edge = 535 * MINUTE;
    Some(match policy {
        "deleted-rows" => [
            (Stage::of([trades(1..=5, 0, 1), trades(9..=12, 9, 1)].concat()), &["6..8"]),
            (Stage::of(trades(1..=12, 0, 1)), &[]),
            // Before the first and after the last nothing is known.
            (Stage::of([trades(100..=110, 0, 1), trades(112..=120, 9, 1)].concat()), &["111..111"]),
        ],
        "back-dated" => [
            (with(vec![trade(601, 100 * MINUTE)]), &["601"]),
            (with(vec![trade(601, 600 * MINUTE)]), &[]),
            (with(vec![trade(601, edge), trade(602, edge - 1)]), &["602"]),
        ],
        "same-reference" => {
            let named = |trade: Cells| trade.with("externalRef", "EX-7");
            [
                (two(named(trade(1, 0)), named(trade(2, HOUR))), &["2"]),
                (two(named(trade(1, 0)), named(trade(2, HOUR)).with("side", "SELL")), &[]),
                (
                    Stage::of(vec![
                        named(trade(1, 0)),
                        named(trade(2, 1)).at("deletedAt", HOUR),
                        trade(3, 2),
                        trade(4, 3).with("externalRef", "ex-7"),
                        named(trade(5, 4)),
                    ]),
                    &["5"],
                ),
            ]
        }
        "edited-silently" => [
            (with(vec![trade(601, 100 * MINUTE).with("xmin", 601)]), &["601"]),
            // The time of change tells it.
            (with(vec![trade(601, 100 * MINUTE).at("updatedAt", 600 * MINUTE)]), &[]),
            (with(vec![trade(601, edge), trade(602, edge - 1)]), &["602"]),
        ],
        _ => return None,
    })
}

/// A line of a record that names the trade, or its account, instrument and time only.
fn line(id: Option<i64>, at: i64, quantity: &str) -> String {
    let id = id.map_or(String::new(), |id| format!("\"tradeId\":{id},"));
    let time = text(at).replace(' ', "T");
    format!(
        "{{\"time\":\"{time}Z\",\"event\":\"trade.created\",{id}\"account\":\"acc_1\",\"symbol\":\"X\",\"side\":\"BUY\",\"quantity\":{quantity},\"price\":100}}"
    )
}

fn of_records(policy: &str) -> Option<[Case; 3]> {
    let (first, second) = (trade(1, 0), trade(2, HOUR));
    let both = || two(first.clone(), second.clone());
    let full = || both().line(line(Some(1), 0, "1")).line(line(Some(2), HOUR, "1"));
    Some(match policy {
        "no-log-line" | "no-fill" => [
            (both().line(line(Some(1), 0, "1")).line(line(Some(9), HOUR, "1")), &["2"]),
            (full(), &[]),
            // What the record does not cover is not missed; a tolerance beyond its end still is.
            (
                Stage::of(vec![trade(1, 0), trade(2, 2 * SECOND), trade(3, 2 * SECOND + 1)]).line(line(
                    Some(1),
                    0,
                    "1",
                )),
                &["2"],
            ),
        ],
        "log-line-without-row" | "fill-without-row" => [
            (full().line(line(Some(9), HOUR, "1")), &["line 3"]),
            (full(), &[]),
            (
                Stage::of(vec![trade(1, 0), trade(2, HOUR)]).line(line(None, 2 * SECOND, "1")).line(line(
                    None,
                    HOUR + 2 * SECOND + 1,
                    "1",
                )),
                &["line 2"],
            ),
        ],
        "log-line-differs" | "fill-differs" => [
            (both().line(line(Some(1), 0, "7")).line(line(Some(2), HOUR, "1")), &["1"]),
            (full(), &[]),
            (both().line(line(Some(1), 0, "1.000")).line(line(Some(2), HOUR, "1.00000000000000001")), &["2"]),
        ],
        _ => return None,
    })
}

/// Whether rows could not be judged, though the policy was evaluated.
fn unjudged(why: &str) -> bool {
    why.contains(" row: ") || why.contains(" rows: ")
}

#[test]
fn every_policy_has_a_positive_a_negative_and_a_boundary_case() {
    let mut wrong = String::new();
    for policy in shipped() {
        let Some(cases) = cases(&policy.id) else {
            let _ = writeln!(wrong, "{}: no cases", policy.id);
            continue;
        };
        let shape = cases.each_ref().map(|(_, expected)| !expected.is_empty());
        assert_eq!(shape, [true, false, true], "{}", policy.id);
        for (name, (stage, expected)) in ["positive", "negative", "boundary"].iter().zip(cases) {
            let found = scan(std::slice::from_ref(&policy), &stage);
            let expected: BTreeSet<String> = expected.iter().map(|one| (*one).to_owned()).collect();
            let hits = found.hits.get(&policy.id).cloned().unwrap_or_default();
            let unevaluated = found.uncovered.iter().any(|(_, why)| !unjudged(why));
            if hits != expected || unevaluated {
                let _ =
                    writeln!(wrong, "{}, {name}: {hits:?} instead of {expected:?} {:?}", policy.id, found.uncovered);
            }
        }
    }
    assert_eq!(wrong, "");
}

/// A year of quiet business, and one row whose cell is odd.
fn odd(column: &'static str, value: Option<&str>) -> Stage {
    let mut rows = trades(1..=60, -2 * HOUR, MINUTE);
    let row = trade(61, -HOUR).with("orderId", "ord_61");
    rows.push(match value {
        Some(value) => row.with(column, value),
        None => row.null(column),
    });
    let orders = rows.iter().take(60).map(order).chain([order(&trade(61, -HOUR))]).collect();
    Stage {
        orders,
        pauses: vec![(-10 * DAY, Some(-9 * DAY))],
        trace: Some((Role::Ip, "203.0.113.66", -DAY, 0)),
        ..Stage::of(rows)
    }
}

/// Quiet trades, and a minute of fifty on each of so many days.
fn bursts(days: i64) -> Stage {
    let day = |day: i64| {
        let quiet = trades(day * 1000 + 1..=day * 1000 + 12, day * DAY + HOUR, HOUR);
        quiet.into_iter().chain(trades(day * 1000 + 101..=day * 1000 + 150, day * DAY + 20 * HOUR, SECOND))
    };
    Stage::of((1..=days).flat_map(day).collect())
}

#[test]
fn who_bursts_on_ten_days_trades_so() {
    let policies: Vec<_> = shipped().into_iter().filter(|policy| policy.id == "burst").collect();
    let found = |days| scan(&policies, &bursts(days)).hits.get("burst").map_or(0, BTreeSet::len);
    assert_eq!(found(9), 9 * 20, "each beyond thirty");
    assert_eq!(found(10), 0);
}

/// Hits of one policy, and why it was not evaluated.
fn told(policy: &str, stage: &Stage) -> (usize, Vec<String>) {
    let policies: Vec<_> = shipped().into_iter().filter(|one| one.id == policy).collect();
    let found = scan(&policies, stage);
    (found.hits.get(policy).map_or(0, BTreeSet::len), found.uncovered.into_iter().map(|(_, why)| why).collect())
}

#[test]
fn what_is_usual_is_no_finding_and_is_named() {
    let named = |(hits, why): (usize, Vec<String>)| (hits, why.iter().any(|why| why.contains("usual here")));
    assert_eq!(named(told("negative-quantity", &signed(20, 2000))), (20, false), "one in a hundred");
    assert_eq!(named(told("negative-quantity", &signed(20, 1999))), (0, true));
    let waiting = |waiting: i64, all: i64| {
        let mut stage = Stage::of(trades(1..=all, 0, MINUTE));
        for order in stage.orders.iter_mut().take(usize::try_from(waiting).unwrap()) {
            *order = order.clone().with("status", "OPEN").with("filledQuantity", 0);
        }
        stage
    };
    for policy in ["order-still-waits", "filled-otherwise"] {
        assert_eq!(named(told(policy, &waiting(20, 400))), (20, false), "{policy}: one in twenty");
        assert_eq!(named(told(policy, &waiting(20, 399))), (0, true), "{policy}");
        assert_eq!(named(told(policy, &waiting(19, 19))), (if policy == "order-still-waits" { 18 } else { 19 }, false));
    }
}

#[test]
fn a_market_maker_is_alike_once_by_chance() {
    // Both ways within a second, of other sizes; then once of the same size, or twice.
    let found = |other: i64, alike: i64| {
        let crossed =
            (0..other).flat_map(|time| [trade(time * 2 + 1, time * HOUR), sold(time * 2 + 2, time * HOUR + 9, 7)]);
        let washed =
            (0..alike).flat_map(|time| [trade(time * 2 + 501, -HOUR + time), sold(time * 2 + 502, -HOUR + time, 1)]);
        told("wash", &Stage::of(crossed.chain(washed).collect())).0
    };
    assert_eq!(found(9, 1), 2);
    assert_eq!(found(10, 1), 0);
    assert_eq!(found(10, 2), 4);
}

#[test]
fn equal_fills_of_two_orders_are_alike_once() {
    let found = |other: i64, orders: i64| {
        let crossed =
            (0..other).flat_map(|time| [trade(time * 2 + 1, time * HOUR), sold(time * 2 + 2, time * HOUR + 9, 7)]);
        let filled = (0..4).map(|number| {
            let row = if number % 2 == 0 { trade(501 + number, -HOUR) } else { sold(501 + number, -HOUR, 1) };
            row.with("orderId", format!("filled_{}", number % orders))
        });
        told("wash", &Stage::of(crossed.chain(filled).collect())).0
    };
    assert_eq!(found(0, 2), 4);
    assert_eq!(found(10, 4), 4);
    assert_eq!(found(10, 2), 0, "two orders met once, in two fills each");
}

#[test]
fn what_is_new_is_news_of_who_seldom_has_it() {
    let found = |every: i64| {
        let mut rows = trades(1..=100, -DAY, SECOND);
        rows.push(trade(101, 0));
        let moved = rows.into_iter().zip(0..).map(|(row, number)| {
            row.with("ip", format!("198.51.100.{}", number / every)).with("symbol", format!("S{}", number / every))
        });
        let stage = Stage { since: Some(-1), ..Stage::of(moved.collect()) };
        ["new-address", "new-instrument"].map(|policy| told(policy, &stage).0)
    };
    assert_eq!(found(25), [1, 1]);
    assert_eq!(found(20), [1, 1], "one in twenty");
    assert_eq!(found(10), [0, 0]);
    assert_eq!(found(1), [0, 0], "a telephone");
    // Who trades at every hour, one after the other, has no hour of its own.
    let hours = |step: i64| {
        let mut rows: Vec<_> = (1..=60).map(|id| trade(id, (id - 61) * DAY + id / 12 * step)).collect();
        rows.push(trade(61, 10 * HOUR));
        told("off-hours", &Stage { since: Some(-1), ..Stage::of(rows) }).0
    };
    assert_eq!(hours(0), 1);
    assert_eq!(hours(-2 * HOUR), 1);
    assert_eq!(told("off-hours", &late_ones(7)).0, 0);
    assert_eq!(told("off-hours", &late_ones(5)).0, 1);
}

/// Sixty trades at the same hour, so many of them each three hours after the one before; then one at an hour of its own.
fn late_ones(others: i64) -> Stage {
    let mut rows: Vec<_> = (1..=60).map(|id| trade(id, (id - 61) * DAY + id.min(others) * 3 * HOUR)).collect();
    rows.push(trade(61, (others + 1) * 3 * HOUR));
    Stage { since: Some(-1), ..Stage::of(rows) }
}

#[test]
fn a_position_counts_what_its_orders_say_was_sold() {
    let rows = [8, 4].into_iter().zip(1..).map(|(quantity, id)| trade(id, id * HOUR).with("quantity", quantity));
    let whole = Stage::of(rows.collect()).account(account("acc_1").with("positionLimit", 10));
    let gone = |quantity: i64, side: &str, at: i64| {
        let sold = order(&trade(9, 0).with("quantity", quantity).with("side", side)).at("createdAt", at);
        let policies: Vec<_> = shipped()
            .into_iter()
            .filter(|one| ["over-position-limit", "filled-otherwise"].contains(&&*one.id))
            .collect();
        let found = scan(&policies, &whole.clone().order(sold));
        ["over-position-limit", "filled-otherwise"].map(|policy| found.hits.get(policy).map_or(0, BTreeSet::len))
    };
    assert_eq!(told("over-position-limit", &whole).0, 1);
    assert_eq!(gone(5, "SELL", 90 * MINUTE), [0, 1], "the order says so; that its trade is missing is told");
    assert_eq!(gone(1, "SELL", 90 * MINUTE), [1, 1], "too little");
    assert_eq!(gone(5, "BUY", 90 * MINUTE), [1, 1]);
    assert_eq!(gone(5, "SELL", 3 * HOUR), [1, 1], "later");
}

fn sold(id: i64, at: i64, quantity: i64) -> Cells {
    trade(id, at).with("side", "SELL").with("quantity", quantity)
}

/// Trades of sixty days, each day's written again by one transaction three nights later; one row was by a later one.
fn settled(updated: bool) -> Stage {
    let rows = (0..60 * 24).map(|hour| {
        let night = (hour / 24 + 4) * DAY;
        let row = trade(hour + 1, (hour - 100 * 24) * HOUR).with("xmin", 10_000 + hour / 24);
        if updated { row.at("updatedAt", night - 100 * DAY) } else { row.null("updatedAt") }
    });
    let mut rows: Vec<_> = rows.collect();
    rows[700] = rows[700].clone().with("xmin", 10_061);
    Stage::of(rows)
}

#[test]
fn a_silent_edit_is_told_where_rows_are_settled_every_night() {
    assert_eq!(told("edited-silently", &settled(true)), (1, vec![]));
    // And where no column says when a row was changed.
    assert_eq!(told("edited-silently", &settled(false)), (1, vec![]));
}

#[test]
fn a_restore_in_pieces_tells_no_order_of_writing() {
    let rows = (0..600).map(|minute| trade(minute + 1, minute * MINUTE).with("xmin", 10_000 + minute * 7 % 30));
    let (hits, why) = told("edited-silently", &Stage::of(rows.collect()));
    assert_eq!((hits, why.len()), (0, 1), "{why:?}");
}

#[test]
fn what_was_written_last_is_told_though_rows_of_the_future_come_after_it() {
    let policies: Vec<_> = shipped().into_iter().filter(|policy| policy.id == "back-dated").collect();
    let mut rows = trades(1..=400, -40 * DAY, 2 * HOUR);
    for row in &mut rows[200..203] {
        *row = row.clone().at("executedAt", 400 * DAY);
    }
    rows.push(trade(401, -20 * DAY));
    let found = scan(&policies, &Stage::of(rows)).hits;
    assert_eq!(found.get("back-dated"), Some(&BTreeSet::from(["401".to_owned()])));
}

#[test]
fn a_key_that_may_only_read_orders_may_not_trade() {
    let policies: Vec<_> = shipped().into_iter().filter(|policy| policy.id == "key-out-of-scope").collect();
    let told = |scope: &str| {
        let stage = one(trade(1, 0)).key(key("key_1", "acc_1").with("scopes", scope));
        !scan(&policies, &stage).hits.is_empty()
    };
    for scope in
        ["wallet:read", "orders:read,account:read", "{READ}", "f", "{\"trade\": false, \"read\": true}", "nothing"]
    {
        assert!(told(scope), "{scope}");
    }
    for scope in [
        "orders:read,orders:write",
        "{READ,TRADE}",
        "t",
        "{\"trade\": true}",
        "[\"spot.trade\"]",
        "*",
        "canTrade",
        "read_write",
    ] {
        assert!(!told(scope), "{scope}");
    }
}

#[test]
fn odd_cells_are_told_by_the_policies_made_for_them() {
    let long = "9".repeat(65);
    let minus = format!("-{long}");
    let fraction = format!("0.{}1", "0".repeat(64));
    let numbers = [
        None,
        Some("NaN"),
        Some("Infinity"),
        Some("-Infinity"),
        Some("-1"),
        Some("0"),
        Some(&long),
        Some(&minus),
        Some(&fraction),
        Some(""),
        Some("1e400"),
        Some("\u{0}x"),
    ];
    let moments = [
        None,
        Some("infinity"),
        Some("-infinity"),
        Some("294276-12-31 23:59:59.999999"),
        Some("4713-01-01 00:00:00 BC"),
        Some("2026-02-30 00:00:00"),
        Some(""),
        Some("9223372036854775807"),
    ];
    let texts = [None, Some(""), Some("\u{1b}[31m<b>'\"\\N"), Some("\u{0}")];
    let columns: [(&str, &[Option<&str>]); 13] = [
        ("quantity", &numbers),
        ("price", &numbers),
        ("value", &numbers),
        ("executedAt", &moments),
        ("createdAt", &moments),
        ("updatedAt", &moments),
        ("accountId", &texts),
        ("apiKeyId", &texts),
        ("orderId", &texts),
        ("symbol", &texts),
        ("side", &texts),
        ("status", &texts),
        ("ip", &texts),
    ];
    let policies = shipped();
    let mut said = String::new();
    for (column, values) in columns {
        for value in values {
            let found = scan(&policies, &odd(column, *value));
            let hits: Vec<&str> =
                found.hits.iter().filter(|(_, ids)| ids.contains("61")).map(|(policy, _)| policy.as_str()).collect();
            let others: Vec<_> = found
                .hits
                .iter()
                .flat_map(|(policy, ids)| {
                    ids.iter().filter(|id| !["61", "ord_61"].contains(&id.as_str())).map(move |id| (policy, id))
                })
                .collect();
            assert_eq!(others, [], "{column} {value:?}");
            let unjudged: BTreeSet<&str> =
                found.uncovered.iter().filter(|(_, why)| unjudged(why)).map(|(policy, _)| policy.as_str()).collect();
            let shown = value.map_or("NULL".to_owned(), |value| format!("{:?}", value.replace(&long, "9…9")));
            let _ = write!(said, "{column} {shown}: {}", if hits.is_empty() { "-".into() } else { hits.join(", ") });
            let _ = writeln!(
                said,
                "{}",
                if unjudged.is_empty() {
                    String::new()
                } else {
                    format!("; not judged by {}", unjudged.into_iter().collect::<Vec<_>>().join(", "))
                }
            );
        }
    }
    insta::assert_snapshot!(said);
}

/// A deposit in the ledger that also holds the trades.
fn deposit(id: i64, at: i64) -> Cells {
    trade(id, at).null("quantity").null("price").null("orderId").null("symbol").null("side").with("value", 5000)
}

#[test]
fn a_deposit_in_the_table_of_trades_is_no_trade() {
    let history = || trades(1..=60, -60 * HOUR, HOUR);
    for policy in ["over-limit", "value-outlier", "burst-of-account"] {
        let deposits = (0..40).map(|number| deposit(100 + number, number));
        let others = (0..40).map(|number| {
            deposit(200 + number, number).with("quantity", 5000).with("price", 0).with("side", "DEPOSIT")
        });
        let stage = Stage::of(history().into_iter().chain(deposits).chain(others).collect());
        assert_eq!(told(policy, &stage), (0, Vec::new()), "{policy}");
        let large =
            Stage::of(history().into_iter().chain([trade(100, 0).with("quantity", 50).with("value", 5000)]).collect());
        assert!(policy == "burst-of-account" || told(policy, &large).0 == 1, "{policy}");
    }
}

#[test]
fn who_always_sells_all_of_it_sells_more_when_more_was_bought() {
    // Sixty bought one by one, and sold at once.
    for policy in ["value-outlier", "quantity-outlier"] {
        let rows = |often: i64| {
            let mut rows = Vec::new();
            for time in 0..often {
                let at = (time - 20) * DAY;
                rows.extend(trades(time * 100 + 1..=time * 100 + 10, at, SECOND));
                rows.push(sold(time * 100 + 90, at + MINUTE, 10).with("value", 1000).with("symbol", "X"));
            }
            rows.extend(trades(5001..=5060, -HOUR, SECOND));
            rows.push(sold(9000, 0, 60).with("value", 6000));
            // Bought again, that much is out of the usual.
            rows.push(trade(9001, HOUR).with("quantity", 60).with("value", 6000));
            told(policy, &Stage::of(rows)).0 - 1
        };
        assert_eq!(rows(3), 0, "{policy}: it sold out three times");
        assert_eq!(rows(2), 1, "{policy}: it sold out twice");
    }
}

#[test]
fn ten_for_one_after_a_split_are_as_many_as_before() {
    let after = |price: &'static str| {
        let mut rows = trades(1..=60, -60 * HOUR, HOUR);
        rows.push(trade(100, 0).with("quantity", 12).with("price", price).with("value", 120));
        told("quantity-outlier", &Stage::of(rows)).0
    };
    assert_eq!(after("100"), 1);
    assert_eq!(after("10"), 0);
}

#[test]
fn what_is_beyond_all_by_far_needs_half_of_the_history() {
    let told = |count: i64, value: &'static str| {
        let mut rows = trades(1..=count, -60 * HOUR, HOUR);
        rows.push(trade(100, 0).with("value", value));
        told("value-outlier", &Stage::of(rows)).0
    };
    assert_eq!([told(25, "601"), told(24, "601"), told(25, "600"), told(49, "600"), told(50, "600")], [1, 0, 0, 0, 1]);
}

#[test]
fn what_failed_or_was_undone_is_not_held_against_its_order() {
    let of = |status: &str| {
        let refused = |order: Cells| order.with("status", "REJECTED").with("filledQuantity", 0);
        let trade = trade(1, 0).with("status", status);
        let stage = Stage::of(vec![trade.clone()]).order(refused(order(&trade)));
        ["refused-order", "filled-otherwise"].map(|policy| told(policy, &stage).0)
    };
    assert_eq!(of("FILLED"), [1, 1]);
    assert_eq!(of("Failed"), [0, 0]);
    assert_eq!(of("REVERSED"), [0, 0]);
}

#[test]
fn what_was_deleted_softly_counts_no_more() {
    let twice =
        |second: Cells| Stage::of(vec![trade(1, 0), second.with("orderId", "ord_1")]).order(order(&trade(1, 0)));
    let found = |second: Cells| {
        let stage = twice(second);
        ["duplicate", "overfilled-order", "filled-otherwise"].map(|policy| told(policy, &stage).0)
    };
    assert_eq!(found(trade(2, 9)), [1, 1, 0]);
    assert_eq!(found(trade(2, 9).at("deletedAt", HOUR)), [0, 0, 0]);
}

#[test]
fn a_correction_takes_back_what_it_corrects() {
    let busted = |corrects: bool| {
        let correction = trade(3, HOUR).with("orderId", "ord_1").with("quantity", "-1").with("value", -100);
        let correction = if corrects { correction.with("correctsId", 1) } else { correction };
        let rows = vec![trade(1, 0), trade(2, 1).with("orderId", "ord_1"), correction];
        let order = order(&rows[0]).with("quantity", 2).with("status", "CANCELLED");
        let stage = Stage::of(rows).order(order.with("filledQuantity", 1));
        ["overfilled-order", "filled-otherwise", "negative-quantity"].map(|policy| told(policy, &stage).0)
    };
    assert_eq!(busted(true), [0, 0, 0]);
    assert_eq!(busted(false), [0, 0, 1], "nothing says what it corrects");
}

#[test]
fn a_wash_between_accounts_of_one_owner_is_one() {
    let found = |owner: &str, minutes: i64| {
        let pair = |id: i64, at: i64| {
            let own = |id: i64, at: i64, account: &str, side: &str| {
                trade(id, at)
                    .null("counterpartyId")
                    .with("accountId", account)
                    .with("side", side)
                    .with("quantity", id / 2 + 3)
            };
            [own(id, at, "acc_1", "BUY"), own(id + 1, at + 9 * SECOND, "acc_2", "SELL").with("quantity", id / 2 + 3)]
        };
        let rows = [pair(2, 0), pair(4, minutes * MINUTE)].concat();
        let stage = Stage { since: Some(-DAY), ..Stage::of(rows) };
        let stage =
            stage.account(account("acc_1").with("userId", "u1")).account(account("acc_2").with("userId", owner));
        told("wash-within-a-minute", &stage).0
    };
    assert_eq!(found("u1", 5), 4, "minutes lie between them");
    assert_eq!(found("u1", 31), 0, "half an hour and more");
    assert_eq!(found("u2", 5), 0);
}

#[test]
fn rows_that_were_made_when_the_database_was_filled_say_nothing_of_when() {
    let filled = |late: usize, all: i64| {
        let mut stage = Stage::of(trades(1..=all, 0, MINUTE));
        for order in stage.orders.iter_mut().take(late) {
            *order = order.clone().at("createdAt", 90 * DAY);
        }
        stage
    };
    let named = |(hits, why): (usize, Vec<String>)| (hits, why.iter().any(|why| why.contains("usual here")));
    assert_eq!(named(told("before-its-order", &filled(20, 400))), (20, false), "one in twenty");
    assert_eq!(named(told("before-its-order", &filled(20, 399))), (0, true));
    let made = |policy: &str, stage: Stage| named(told(policy, &stage));
    let young = |all: i64| {
        let stage = Stage::of((1..=all).map(|id| if id > 20 { of(2, trade(id, id)) } else { trade(id, id) }).collect());
        stage.account(account("acc_1").at("createdAt", DAY)).key(key("key_1", "acc_1").at("createdAt", DAY))
    };
    for policy in ["account-before-it-was-made", "key-before-it-was-made"] {
        assert_eq!(made(policy, young(400)), (20, false), "{policy}: one in twenty");
        assert_eq!(made(policy, young(399)), (0, true), "{policy}");
    }
}

#[test]
fn an_account_that_was_suspended_may_trade_again_once_that_was_lifted() {
    let policies: Vec<TradePolicy> = shipped().into_iter().filter(|policy| policy.id == "closed-account").collect();
    let told = |account: Cells| {
        let trades = [0, 1, 2, 3, 4].map(|hour| trade(hour + 1, hour * HOUR)).to_vec();
        scan(&policies, &Stage::of(trades).account(account)).hits.remove("closed-account").unwrap_or_default()
    };
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
    let suspended = || account("acc_1").at("suspendedAt", HOUR);
    assert_eq!(told(suspended()), ids(&["3", "4", "5"]), "beside a column that says when it was closed");
    assert_eq!(told(suspended().at("reinstatedAt", 3 * HOUR)), ids(&["3"]), "at the moment it is lifted it may trade");
    assert_eq!(told(suspended().at("reinstatedAt", -HOUR)), ids(&["3", "4", "5"]), "another time, before");
    assert_eq!(
        told(suspended().at("reinstatedAt", 2 * HOUR).at("closedAt", 3 * HOUR)),
        ids(&["5"]),
        "closed afterwards"
    );
    assert_eq!(told(account("acc_1").at("reinstatedAt", HOUR)), ids(&[]));
}

#[test]
fn trades_in_many_moneys_are_held_against_limits_only_by_what_they_are_worth_in_one() {
    let left = |first: &str, second: &str, worth: &str| {
        let columns = [
            ("id", "bigint"),
            ("accountId", "text"),
            (first, "text"),
            (second, "text"),
            ("quantity", "numeric"),
            ("value", "numeric"),
            ("price", "numeric"),
            (worth, "numeric"),
            ("executedAt", "timestamp(3) without time zone"),
        ];
        let accounts = [("id", "text"), ("tradeLimit", "numeric"), ("dailyLimit", "numeric")];
        let tables = [table("Trade", &columns), table("Account", &accounts)];
        let (relations, overrides) = (Relations::default(), RoleOverrides::default());
        let catalog = Catalog { tables: &tables, relations: &relations, overrides: &overrides };
        let mapping = map_schema(catalog, None, "Trade").unwrap();
        let means = Means { history: true, ..Means::default() };
        let plan = Plan::new(&shipped(), &mapping, &tables[0].columns, &Reference::default(), means);
        let wanted = ["over-limit", "over-daily-limit", "value-outlier"];
        plan.uncovered.iter().filter(|gap| wanted.contains(&gap.policy.as_str())).count()
    };
    assert_eq!(left("sellCurrency", "buyCurrency", "rebate"), 3);
    assert_eq!(left("sellCurrency", "buyCurrency", "usdValue"), 0);
    assert_eq!(left("baseAsset", "quoteAsset", "rebate"), 0, "all are paid in what they are quoted in");
}

/// Forty trades at 100 by three accounts, one at 25 by the first, and the ones after it.
fn after_a_jump(next: impl Fn(i64, Cells) -> Cells, count: i64) -> BTreeSet<String> {
    let policies: Vec<_> = shipped().into_iter().filter(|policy| policy.id == "off-market").collect();
    let by = |id: i64, trade: Cells| trade.with("accountId", format!("acc_{}", id % 3 + 1));
    let mut rows: Vec<Cells> = trades(1..=40, 0, MINUTE).into_iter().zip(1..).map(|(row, id)| by(id, row)).collect();
    rows.push(trade(41, 41 * MINUTE).with("price", 25));
    rows.extend((42..42 + count).map(|id| next(id, by(id, trade(id, id * MINUTE)))));
    scan(&policies, &Stage::of(rows)).hits.remove("off-market").unwrap_or_default()
}

#[test]
fn a_price_at_which_others_go_on_trading_is_the_market_s() {
    let split = |_: i64, row: Cells| row.with("price", 25);
    assert_eq!(after_a_jump(split, 30), BTreeSet::new(), "a split");
    let back = after_a_jump(|_, row| row, 30);
    assert_eq!(back, BTreeSet::from(["41".to_owned()]), "the others went on as before");
    let alone = |_: i64, row: Cells| row.with("price", 25).with("accountId", "acc_1");
    assert!(after_a_jump(alone, 12).is_superset(&["41", "42"].map(String::from).into()), "nobody else traded at it");
    assert_eq!(after_a_jump(split, 3).len(), 4, "of others there are too few yet");
    let half = |id: i64, row: Cells| if id < 60 && id % 2 == 0 { row.with("price", 25) } else { row };
    assert!(after_a_jump(half, 40).contains("41"), "half of the others is not most of them");
}

#[test]
fn a_silent_edit_is_told_where_each_row_is_settled_by_itself_in_another_order() {
    // Two hundred and forty trades a day, each settled the day after, in an order of its own.
    let rows = (0..240 * 12).map(|at| {
        let (day, place) = (at / 240, at % 240 * 97 % 240);
        let settled = (day - 30) * DAY + 40 * HOUR + place * 20 * SECOND;
        trade(at + 1, (day - 30) * DAY + at % 240 * MINUTE)
            .at("updatedAt", settled)
            .with("xmin", 10_000 + day * 240 + place)
    });
    let mut rows: Vec<_> = rows.collect();
    assert_eq!(told("edited-silently", &Stage::of(rows.clone())), (0, vec![]));
    rows[700] = rows[700].clone().with("xmin", 12_860);
    assert_eq!(told("edited-silently", &Stage::of(rows)), (1, vec![]));
}
