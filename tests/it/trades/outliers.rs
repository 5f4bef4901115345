//! How well the policies that tell outliers do: companies with habits of their own, intruders that stand out more or less, and clients who
//! change their habits. Prints precision and recall.

use std::collections::{BTreeMap, BTreeSet};

use portcullis::engine::scan_trades::TradeScan;

use super::world::{END, INTRUDER, Trade, World};
use super::{asked, moment, row, scan, sqlite};
use crate::support::folder;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Ordinary trades of a company, over sixty days.
const TRADES: i64 = 7_000;
const SPAN: i64 = 60 * DAY;
/// Intruder's trades of each kind.
const PLANTED: i64 = 8;

/// Rows by the policies that should tell them.
type Labels = BTreeMap<&'static str, BTreeSet<i64>>;

/// What is changed of an ordinary trade.
fn as_habit(world: &mut World, trade: &mut Trade, account: i64) {
    let hour = trade.created.rem_euclid(DAY) / HOUR;
    // A third of the accounts trade in office hours only.
    if account % 3 == 0 && !(8..18).contains(&hour) {
        let moved = trade.created - (hour - 8) * HOUR + world.dice.below(10) * HOUR;
        (trade.created, trade.executed, trade.updated) = (moved, Some(moved), moved);
    }
    trade.destination = Some(format!("wallet_{account}_{}", world.dice.below(3)));
    // Clients who change: one account grows six times as large, wallets and addresses are new now and then.
    if account == 3 && trade.created > END - 10 * DAY {
        larger(trade, 60);
    }
    if world.dice.below(900) == 0 {
        trade.destination = Some(format!("wallet_{account}_new_{}", trade.created));
    }
    if world.dice.below(700) == 0 {
        trade.ip = format!("198.18.{}.{}", world.dice.below(250), world.dice.below(250));
    }
    if world.dice.below(2_000) == 0 {
        trade.symbol = "SILVER";
    }
}

/// So many tenths of the quantity.
fn larger(trade: &mut Trade, tenths: i64) {
    let digits = |text: &str| text.replace('.', "").parse::<i64>().unwrap();
    let (quantity, price) = (digits(&trade.quantity), digits(&trade.price));
    trade.amounts(quantity * tenths / 10, price);
}

fn business(world: &mut World) {
    for number in 0..TRADES {
        let account = world.dice.below(16);
        let at = END - SPAN + number * (SPAN / TRADES) + world.dice.below(MINUTE);
        let mut trade = world.ordinary(account, at);
        as_habit(world, &mut trade, account);
        world.trades.push(trade);
    }
    // Two clients come back after a hundred days.
    for account in [16, 17, 19] {
        for day in 0..5 {
            let trade = world.ordinary(account, END - (110 + day) * DAY);
            world.trades.push(trade);
        }
    }
    let trade = world.ordinary(16, END - 2 * DAY);
    world.trades.push(trade);
}

/// The intruder's trades: of the account's own kind but for one thing.
fn intrusion(world: &mut World) -> Vec<(&'static [&'static str], Trade)> {
    let mut planted: Vec<(&'static [&'static str], Trade)> = Vec::new();
    // Each kind in accounts of its own: the second time is no news.
    let like = |world: &mut World, number: i64, at: i64| {
        let account = number * 2 + 1;
        let mut trade = world.ordinary(account, at);
        trade.destination = Some(format!("wallet_{account}_0"));
        trade.updated = trade.created;
        trade
    };
    for number in 0..PLANTED {
        let at = END - DAY + number * 90 * MINUTE;
        // From three times the usual size on, a third more each time.
        let mut trade = like(world, number, at);
        larger(&mut trade, [30, 40, 60, 80, 110, 160, 230, 320][usize::try_from(number).unwrap()]);
        planted.push((&["value-outlier", "quantity-outlier"], trade));
        let mut trade = like(world, number, at + MINUTE);
        trade.destination = Some("wallet_of_nobody".into());
        planted.push((&["new-destination"], trade));
        let mut trade = like(world, number, at + 2 * MINUTE);
        trade.ip = INTRUDER.into();
        planted.push((&["new-address"], trade));
        let mut trade = like(world, number, at + 3 * MINUTE);
        trade.symbol = "DOGE-USD";
        planted.push((&["new-instrument"], trade));
    }
    for account in [0, 3, 6, 9, 12] {
        let mut trade = world.ordinary(account, END - DAY + HOUR + account * 10 * MINUTE);
        trade.destination = Some(format!("wallet_{account}_0"));
        planted.push((&["off-hours"], trade));
    }
    let trade = world.ordinary(19, END - HOUR);
    planted.push((&["dormant-account"], trade));
    let trade = world.ordinary(18, END - HOUR);
    planted.push((&["first-use"], trade));
    planted
}

fn company(seed: u64) -> (World, Labels) {
    let mut world = World::blank(false, seed, 30_000);
    business(&mut world);
    let mut labels = Labels::new();
    let planted = intrusion(&mut world);
    let places: Vec<_> = planted.iter().map(|(policies, trade)| (*policies, trade.order.clone())).collect();
    world.trades.extend(planted.into_iter().map(|(_, trade)| trade));
    world.order_all();
    world.write();
    for (policies, order) in places {
        let id = world.trades.iter().find(|trade| trade.order == order).unwrap().id;
        for policy in policies {
            labels.entry(policy).or_default().insert(id);
        }
    }
    (world, labels)
}

#[test]
fn outliers_are_told_as_well_as_the_documentation_says() {
    // Policy: told, planted and told, planted.
    let mut sums: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for seed in 31..34 {
        let folder = folder();
        let (world, labels) = company(seed);
        let database = sqlite(&folder.path().join("t.db"), &world.script());
        let result = scan(&database, &TradeScan { since: Some(moment(END - 7 * DAY)), ..asked() });
        for (policy, planted) in labels {
            let told = result.findings.iter().filter(|one| one.rule.id == policy);
            let told: BTreeSet<i64> = told.map(|one| row(one).parse().unwrap()).collect();
            let sum = sums.entry(policy).or_default();
            sum[0] += told.len();
            sum[1] += told.intersection(&planted).count();
            sum[2] += planted.len();
        }
    }
    let percent = |part: usize, whole: usize| (part * 100).checked_div(whole).unwrap_or(100);
    println!("| policy | planted | told | precision | recall |");
    for (policy, [told, right, planted]) in &sums {
        println!(
            "| `{policy}` | {planted} | {told} | {} % | {} % |",
            percent(*right, *told),
            percent(*right, *planted)
        );
    }
    let least: BTreeMap<&str, (usize, usize)> = BTreeMap::from([
        ("value-outlier", (95, 65)),
        ("quantity-outlier", (95, 40)),
        ("new-destination", (90, 100)),
        ("new-address", (80, 100)),
        ("new-instrument", (90, 100)),
        ("off-hours", (60, 75)),
        ("dormant-account", (50, 100)),
        ("first-use", (100, 100)),
    ]);
    for (policy, (precision, recall)) in least {
        let [told, right, planted] = sums[policy];
        assert!(percent(right, told) >= precision && percent(right, planted) >= recall, "{policy}: {:?}", sums[policy]);
    }
}
