//! A trading company's tables as Prisma would make them, ordinary business in them, and intrusions with labels: what was done, to
//! which rows, and the policy that must say so. The statements are plain enough for PostgreSQL and SQLite.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// 2026-11-20T00:00:00Z, where the data end; a Friday.
pub const END: i64 = 1_795_132_800_000;
const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
/// Address of the intruder.
pub const INTRUDER: &str = "203.0.113.66";
/// The policies whose findings are sure; the others tell outliers.
pub const OUTLIERS: [&str; 8] = [
    "value-outlier",
    "quantity-outlier",
    "new-instrument",
    "new-destination",
    "new-address",
    "off-hours",
    "dormant-account",
    "first-use",
];

/// Numbers that a seed decides (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, end: i64) -> i64 {
        i64::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }
}

/// A trade as it is written.
#[derive(Clone)]
pub struct Trade {
    pub id: i64,
    pub account: String,
    pub key: String,
    pub order: String,
    pub symbol: &'static str,
    pub side: &'static str,
    pub quantity: String,
    pub price: String,
    pub value: String,
    pub status: &'static str,
    pub counterparty: String,
    pub destination: Option<String>,
    pub ip: String,
    pub executed: Option<i64>,
    pub created: i64,
    pub updated: i64,
}

/// What was done.
pub struct Planted {
    pub what: &'static str,
    pub policy: &'static str,
    /// Ids, or `from..to` of missing ones.
    pub rows: BTreeSet<String>,
}

pub struct World {
    pub postgres: bool,
    /// Statements, in order.
    pub sql: Vec<String>,
    pub planted: Vec<Planted>,
    /// Ids that an intrusion touched: whatever else is said of them is right.
    pub touched: BTreeSet<String>,
    pub trades: Vec<Trade>,
    pub dice: Dice,
    orders: i64,
    next: i64,
}

pub const SYMBOLS: [(&str, i64); 4] =
    [("BTC-USD", 6_500_000), ("ETH-USD", 318_000), ("AAPL", 19_000), ("GOLD", 26_000)];

pub fn schema(postgres: bool) -> String {
    let (money, time) = if postgres { ("DECIMAL(38,12)", "TIMESTAMP(3)") } else { ("DECIMAL", "DATETIME") };
    format!(
        "CREATE TABLE \"Account\" (\"id\" TEXT PRIMARY KEY, \"name\" TEXT NOT NULL, \"tradeLimit\" {money}, \"dailyLimit\" {money}, \"positionLimit\" {money}, \"createdAt\" {time} NOT NULL, \"closedAt\" {time});
         CREATE TABLE \"ApiKey\" (\"id\" TEXT PRIMARY KEY, \"accountId\" TEXT NOT NULL, \"keyHash\" TEXT NOT NULL, \"scopes\" TEXT, \"allowedIps\" TEXT, \"createdAt\" {time} NOT NULL, \"expiresAt\" {time}, \"revokedAt\" {time});
         CREATE TABLE \"Order\" (\"id\" TEXT PRIMARY KEY, \"accountId\" TEXT NOT NULL, \"symbol\" TEXT NOT NULL, \"side\" TEXT NOT NULL, \"quantity\" {money} NOT NULL, \"limitPrice\" {money}, \"status\" TEXT NOT NULL, \"createdAt\" {time} NOT NULL);
         CREATE TABLE \"Session\" (\"id\" TEXT PRIMARY KEY, \"accountId\" TEXT NOT NULL, \"ip\" TEXT, \"createdAt\" {time} NOT NULL, \"expiresAt\" {time});
         CREATE TABLE \"TradingHalt\" (\"id\" TEXT PRIMARY KEY, \"symbol\" TEXT, \"reason\" TEXT, \"haltedAt\" {time} NOT NULL, \"resumedAt\" {time});
         CREATE TABLE \"Trade\" (\"id\" BIGINT PRIMARY KEY, \"accountId\" TEXT NOT NULL, \"apiKeyId\" TEXT, \"orderId\" TEXT, \"symbol\" TEXT NOT NULL, \"side\" TEXT NOT NULL, \"quantity\" {money} NOT NULL, \"price\" {money} NOT NULL, \"value\" {money}, \"fee\" {money}, \"status\" TEXT NOT NULL, \"counterpartyId\" TEXT, \"destination\" TEXT, \"ip\" TEXT, \"executedAt\" {time}, \"createdAt\" {time} NOT NULL, \"updatedAt\" {time} NOT NULL);"
    )
}

pub fn time(millis: i64) -> String {
    let time = portcullis::domain::Timestamp::from_millisecond(millis).unwrap();
    format!("'{}'", time.strftime("%Y-%m-%d %H:%M:%S.%3f"))
}

fn decimal(number: i64, places: u32) -> String {
    let unit = 10_i64.pow(places);
    format!(
        "{}{}.{:0width$}",
        if number < 0 { "-" } else { "" },
        number.abs() / unit,
        number.abs() % unit,
        width = places as usize
    )
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn maybe(value: Option<&str>) -> String {
    value.map_or("NULL".into(), text)
}

impl Trade {
    pub fn values(&self) -> String {
        format!(
            "({}, {}, {}, {}, {}, {}, {}, {}, {}, 0, {}, {}, {}, {}, {}, {}, {})",
            self.id,
            text(&self.account),
            text(&self.key),
            text(&self.order),
            text(self.symbol),
            text(self.side),
            self.quantity,
            self.price,
            self.value,
            text(self.status),
            text(&self.counterparty),
            maybe(self.destination.as_deref()),
            text(&self.ip),
            self.executed.map_or("NULL".into(), time),
            time(self.created),
            time(self.updated)
        )
    }

    /// In thousandths and cents.
    pub fn amounts(&mut self, quantity: i64, price: i64) {
        self.quantity = decimal(quantity, 3);
        self.price = decimal(price, 2);
        self.value = decimal(quantity * price, 5);
    }
}

impl World {
    /// Accounts, keys and `trades` trades of ordinary business with its hard cases.
    pub fn new(postgres: bool, seed: u64, trades: i64) -> Self {
        let mut world = Self::blank(postgres, seed, trades);
        world.business(trades);
        world.hard_cases(trades);
        world.write();
        world
    }

    /// Accounts and keys, and nobody has traded; they were made long before so many trades.
    pub fn blank(postgres: bool, seed: u64, trades: i64) -> Self {
        let mut world = Self {
            postgres,
            sql: vec![schema(postgres)],
            planted: Vec::new(),
            touched: BTreeSet::new(),
            trades: Vec::new(),
            dice: Dice(seed),
            orders: 0,
            next: 1,
        };
        world.people(trades);
        world
    }

    /// An order for each trade.
    pub fn order_all(&mut self) {
        for trade in self.trades.clone() {
            self.order(&trade);
        }
    }

    fn start(trades: i64) -> i64 {
        END - trades * 3 * MINUTE
    }

    fn people(&mut self, trades: i64) {
        let born = Self::start(trades) - 400 * DAY;
        let mut accounts = String::new();
        let mut keys = String::new();
        for number in 0..24 {
            let daily = if number == 20 { "20000" } else { "NULL" };
            let position = if number == 21 { "50" } else { "NULL" };
            let closed = if number == 22 { time(END - 2 * DAY) } else { "NULL".into() };
            let made = if number == 23 { time(END - DAY) } else { time(born) };
            let _ = write!(
                accounts,
                "('acc_{number}', 'Account {number}', 1000000, {daily}, {position}, {made}, {closed}), "
            );
            let ips = if number == 19 { "'192.0.2.19,192.0.2.0/28'" } else { "NULL" };
            let _ = write!(
                keys,
                "('key_{number}', 'acc_{number}', 'h{number}', 'read,trade', {ips}, {}, NULL, NULL), ",
                time(born)
            );
        }
        for (id, scope, made, expires, revoked) in [
            ("key_dead", "trade", born, "NULL".into(), time(END - 3 * DAY)),
            ("key_old", "trade", born, time(END - 3 * DAY), "NULL".into()),
            ("key_young", "trade", END - DAY, "NULL".into(), "NULL".into()),
            ("key_reader", "read", born, "NULL".into(), "NULL".into()),
        ] {
            let _ = write!(keys, "('{id}', 'acc_1', 'h{id}', '{scope}', NULL, {}, {expires}, {revoked}), ", time(made));
        }
        self.sql.push(format!("INSERT INTO \"Account\" VALUES {};", accounts.trim_end_matches(", ")));
        self.sql.push(format!("INSERT INTO \"ApiKey\" VALUES {};", keys.trim_end_matches(", ")));
        self.sql.push(format!(
            "INSERT INTO \"Session\" VALUES ('s1', 'acc_2', '198.51.100.2', {}, NULL), ('s2', 'acc_17', '{INTRUDER}', {}, {});",
            time(END - 9 * DAY), time(END - 5 * 60 * MINUTE), time(END - 4 * 60 * MINUTE)
        ));
        // One instrument for half an hour; the others are traded.
        self.sql.push(format!(
            "INSERT INTO \"TradingHalt\" VALUES ('h1', 'HALT-USD', 'news', {}, {});",
            time(END - 310 * MINUTE),
            time(END - 280 * MINUTE)
        ));
    }

    /// A trade as the back end would write it, with its order.
    pub fn ordinary(&mut self, account: i64, at: i64) -> Trade {
        let dice = self.dice.below(4);
        let (symbol, base) = SYMBOLS[usize::try_from(dice).unwrap()];
        let price = base + base * (self.dice.below(200) - 100) / 10_000;
        // Each account has a size of its own, between 0.5 and 1.5 times.
        let worth = (account % 7 + 1) * 20_000 * (50 + self.dice.below(100));
        self.orders += 1;
        let mut trade = Trade {
            id: 0,
            account: format!("acc_{account}"),
            key: format!("key_{account}"),
            order: format!("ord_{}", self.orders),
            symbol,
            side: if self.dice.below(2) == 0 { "BUY" } else { "SELL" },
            quantity: String::new(),
            price: String::new(),
            value: String::new(),
            status: "FILLED",
            counterparty: "house".into(),
            destination: None,
            ip: format!("192.0.2.{account}"),
            executed: Some(at),
            created: at,
            updated: at + self.dice.below(20) * MINUTE,
        };
        trade.amounts((worth * 1000 / price / 100).max(1), price);
        trade
    }

    fn order(&mut self, trade: &Trade) {
        self.order_of(&trade.order.clone(), trade, &trade.quantity.clone(), "FILLED", trade.created - 5_000);
    }

    fn order_of(&mut self, id: &str, trade: &Trade, quantity: &str, status: &str, at: i64) {
        self.sql.push(format!(
            "INSERT INTO \"Order\" VALUES ('{id}', '{}', '{}', '{}', {quantity}, {}, '{status}', {});",
            trade.account,
            trade.symbol,
            trade.side,
            trade.price,
            time(at)
        ));
    }

    fn push(&mut self, trade: Trade) {
        self.order(&trade);
        self.trades.push(trade);
    }

    fn business(&mut self, trades: i64) {
        for number in 0..trades {
            let at = Self::start(trades) + number * 3 * MINUTE + self.dice.below(MINUTE);
            // Nobody trades while trading is paused.
            if Self::pauses().iter().any(|(from, to)| at >= *from && to.is_none_or(|to| at < to)) {
                continue;
            }
            // The accounts of the hard cases and of the intruder's tricks do not trade at random.
            let account = self.dice.below(17);
            let trade = self.ordinary(account, at);
            self.push(trade);
        }
    }

    /// What is legitimate, and looks nearly like an intrusion.
    fn hard_cases(&mut self, trades: i64) {
        let day = (END / DAY - 3) * DAY;
        // A fast market maker, 90 trades a minute for a quarter of an hour.
        for number in 0..1350 {
            let mut trade = self.ordinary(18, day + 10 * 60 * MINUTE + number * 667);
            trade.amounts(100 + number, trade.price.replace('.', "").parse().unwrap());
            trade.updated = trade.created;
            self.push(trade);
        }
        // Exactly the limit; the moment at which a key was revoked; exactly an hour until settlement.
        let mut trade = self.ordinary(2, day + 11 * 60 * MINUTE);
        trade.symbol = "USDC";
        trade.amounts(1_000_000_000, 100);
        self.push(trade);
        let mut trade = self.ordinary(1, END - 3 * DAY);
        trade.key = "key_dead".into();
        self.push(trade);
        // An order that waited since before its key was revoked.
        let mut trade = self.ordinary(1, END - 3 * DAY + 90 * MINUTE);
        trade.key = "key_dead".into();
        let quantity = trade.quantity.clone();
        self.order_of(&trade.order.clone(), &trade, &quantity, "FILLED", END - 3 * DAY - 1);
        self.trades.push(trade);
        let mut trade = self.ordinary(3, day + 12 * 60 * MINUTE);
        trade.updated = trade.created + 60 * MINUTE;
        self.push(trade);
        // Late fills: executed two hours before the row was made.
        for number in 0..5 {
            let mut trade = self.ordinary(4, day + 13 * 60 * MINUTE + number);
            trade.executed = Some(trade.created - 120 * MINUTE);
            self.order_of(
                &trade.order.clone(),
                &trade,
                &trade.quantity.clone(),
                "FILLED",
                trade.created - 121 * MINUTE,
            );
            self.trades.push(trade);
        }
        // Two equal fills of one order in the same millisecond, and an order that was cancelled after a part.
        let trade = self.ordinary(5, day + 14 * 60 * MINUTE);
        let twice = format!("{} * 2", trade.quantity);
        self.order_of(&trade.order.clone(), &trade, &twice, "CANCELLED", trade.created - 1000);
        self.trades.push(trade.clone());
        self.trades.push(trade);
        // Both sides of midnight of an account with a daily limit: 20,000 a day, 18,000 before and after.
        for (number, at) in [DAY - 2, DAY - 1, DAY, DAY + 1].into_iter().enumerate() {
            let mut trade = self.ordinary(20, day + at);
            trade.symbol = "USDC";
            trade.amounts(9_000_000 + i64::try_from(number).unwrap(), 100);
            self.push(trade);
        }
        // Up to the position limit, and back, and up again.
        for (number, (side, quantity)) in [("BUY", 30_000), ("SELL", 25_000), ("BUY", 45_000)].into_iter().enumerate() {
            let mut trade = self.ordinary(21, day + 15 * 60 * MINUTE + i64::try_from(number).unwrap() * MINUTE);
            (trade.symbol, trade.side) = ("GOLD", side);
            trade.amounts(quantity, 26_000);
            self.push(trade);
        }
        let mut trade = self.ordinary(22, END - 2 * DAY - MINUTE);
        trade.ip = "192.0.2.22".into();
        self.push(trade);
        let _ = trades;
    }

    /// Rows are written in the order of their making, twenty a transaction.
    pub fn write(&mut self) {
        self.trades.sort_by_key(|trade| trade.created);
        for trade in &mut self.trades {
            trade.id = self.next;
            self.next += 1;
        }
        let chunks: Vec<String> = self
            .trades
            .chunks(20)
            .map(|chunk| {
                format!(
                    "INSERT INTO \"Trade\" VALUES {};",
                    chunk.iter().map(Trade::values).collect::<Vec<_>>().join(", ")
                )
            })
            .collect();
        self.sql.extend(chunks);
    }

    /// Writes one more row, in time or not.
    fn forge(&mut self, mut trade: Trade, ordered: bool) -> String {
        if ordered {
            self.order(&trade);
        }
        trade.id = self.next;
        self.next += 1;
        self.sql.push(format!("INSERT INTO \"Trade\" VALUES {};", trade.values()));
        trade.id.to_string()
    }

    fn plant(&mut self, what: &'static str, policy: &'static str, rows: impl IntoIterator<Item = String>) {
        let rows: BTreeSet<String> = rows.into_iter().collect();
        self.touched.extend(rows.iter().cloned());
        self.planted.push(Planted { what, policy, rows });
    }

    fn one(
        &mut self,
        what: &'static str,
        policy: &'static str,
        account: i64,
        minutes: i64,
        change: impl Fn(&mut Trade),
    ) {
        let mut trade = self.ordinary(account, END - 300 * MINUTE + minutes * MINUTE);
        trade.updated = trade.created;
        change(&mut trade);
        let id = self.forge(trade, true);
        self.plant(what, policy, [id]);
    }

    /// Every kind of intrusion.
    pub fn intrude(&mut self) {
        self.with_keys_and_accounts();
        self.over_limits();
        self.in_windows();
        self.in_rows();
        self.with_orders();
        self.in_the_past();
        self.outliers();
    }

    fn with_keys_and_accounts(&mut self) {
        self.one("a key that never was", "unknown-key", 1, 1, |trade| trade.key = "key_ghost".into());
        self.one("a revoked key", "revoked-key", 1, 2, |trade| trade.key = "key_dead".into());
        self.one("an expired key", "expired-key", 1, 3, |trade| trade.key = "key_old".into());
        self.one("another account's key", "key-of-another-account", 2, 4, |trade| trade.key = "key_3".into());
        self.one("a key for reading", "key-out-of-scope", 1, 5, |trade| trade.key = "key_reader".into());
        self.one("a bound key from elsewhere", "key-from-another-address", 19, 6, |trade| {
            trade.ip = "198.51.100.99".into();
        });
        self.one("an account that never was", "unknown-account", 1, 7, |trade| trade.account = "acc_ghost".into());
        self.one("a closed account", "closed-account", 22, 8, |_| ());
        self.one("a session of the intruder's", "during-intrusion", 17, 9, |_| ());
        self.one("the intruder's address", "during-intrusion", 6, 10, |trade| trade.ip = INTRUDER.into());
        self.one("while trading was paused", "while-paused", 7, 280, |_| ());
        self.one("while its instrument was halted", "while-paused", 7, 11, |trade| trade.symbol = "HALT-USD");
        for (what, policy, key, account) in [
            ("a key before it was made", "key-before-it-was-made", "key_young", 1),
            ("an account before it was made", "account-before-it-was-made", "key_23", 23),
        ] {
            let mut trade = self.ordinary(account, END - DAY - 10 * MINUTE);
            trade.key = key.into();
            let id = self.forge(trade, true);
            self.plant(what, policy, [id]);
        }
    }

    fn over_limits(&mut self) {
        self.one("a cent over the limit", "over-limit", 8, 11, |trade| {
            trade.symbol = "USDC";
            (trade.quantity, trade.price, trade.value) = ("1000000.01".into(), "1".into(), "1000000.01".into());
        });
        let mut rows = Vec::new();
        for number in 0..3 {
            let mut trade = self.ordinary(20, END - 290 * MINUTE + number * MINUTE);
            trade.symbol = "USDC";
            trade.amounts(9_000_000, 100);
            rows.push(self.forge(trade, true));
        }
        self.touched.extend(rows.iter().cloned());
        self.plant("over the daily limit", "over-daily-limit", [rows[2].clone()]);
        // The account holds 50, its limit.
        self.one("over the position limit", "over-position-limit", 21, 12, |trade| {
            (trade.symbol, trade.side) = ("GOLD", "BUY");
            trade.amounts(10, 26_000);
        });
    }

    fn in_windows(&mut self) {
        let mut rows = Vec::new();
        for number in 0..45 {
            let mut trade = self.ordinary(9, END - 280 * MINUTE + number * 900);
            trade.side = "BUY";
            trade.updated = trade.created;
            rows.push(self.forge(trade, true));
        }
        self.touched.extend(rows.iter().cloned());
        self.plant("a burst", "burst", rows.split_off(30));
        let mut legs = Vec::new();
        for side in ["BUY", "SELL"] {
            let mut trade = self.ordinary(10, END - 279 * MINUTE);
            (trade.symbol, trade.side, trade.counterparty) = ("AAPL", side, "acc_11".into());
            trade.amounts(777, 19_000);
            trade.updated = trade.created;
            legs.push(self.forge(trade, true));
        }
        self.plant("a wash", "wash", legs);
        let mut legs = Vec::new();
        for round in 0..4 {
            for (side, price) in [("BUY", 19_100), ("SELL", 18_900)] {
                let mut trade =
                    self.ordinary(12, END - 278 * MINUTE + round * 4 * MINUTE + i64::from(side == "SELL") * MINUTE);
                (trade.symbol, trade.side, trade.counterparty) = ("AAPL", side, "acc_13".into());
                trade.amounts(5_000, price);
                trade.updated = trade.created;
                legs.push(self.forge(trade, true));
            }
        }
        self.plant("round trips", "round-trips", legs);
        let trade = self.ordinary(14, END - 270 * MINUTE);
        let first = self.forge(trade.clone(), true);
        let second = self.forge(trade, false);
        self.touched.extend([first, second.clone()]);
        self.plant("the same trade twice", "duplicate", [second]);
        self.one("far from the market", "off-market", 15, 33, |trade| {
            trade.symbol = "ETH-USD";
            trade.amounts(100, 600_000);
        });
    }

    fn in_rows(&mut self) {
        self.one("a value that does not fit", "value-does-not-fit", 3, 40, |trade| {
            trade.symbol = "AAPL";
            trade.amounts(1_000, 19_000);
            trade.value = "999".into();
        });
        self.one("with itself", "self-dealing", 4, 41, |trade| trade.counterparty = trade.account.clone());
        self.one("nothing", "impossible-number", 5, 42, |trade| trade.quantity = "0".into());
        self.one("below zero", "impossible-number", 5, 43, |trade| trade.price = "-0.01".into());
        if self.postgres {
            self.one("no number", "impossible-number", 5, 44, |trade| trade.value = "'NaN'".into());
            let mut trade = self.ordinary(6, END - 250 * MINUTE);
            trade.updated = trade.created;
            let id = self.forge(trade, true);
            self.sql.push(format!("UPDATE \"Trade\" SET \"executedAt\" = 'infinity' WHERE id = {id};"));
            self.plant("at no time", "impossible-time", [id]);
        }
        self.one("executed at no time", "executed-without-time", 7, 45, |trade| trade.executed = None);
        let mut trade = self.ordinary(8, END + 2 * DAY);
        trade.updated = trade.created;
        let id = self.forge(trade, true);
        self.plant("in the future", "future-time", [id]);
    }

    fn with_orders(&mut self) {
        let forged = |world: &mut Self, account, minutes: i64| {
            let mut trade = world.ordinary(account, END - 300 * MINUTE + minutes * MINUTE);
            trade.updated = trade.created;
            trade
        };
        let trade = forged(self, 1, 50);
        let id = self.forge(trade, false);
        self.plant("no order", "orphan", [id]);
        let mut trade = forged(self, 2, 51);
        self.order(&trade);
        trade.side = if trade.side == "BUY" { "SELL" } else { "BUY" };
        let id = self.forge(trade, false);
        self.plant("the other side", "order-mismatch", [id]);
        let mut trade = forged(self, 3, 52);
        self.order(&trade);
        trade.account = "acc_4".into();
        trade.key = "key_4".into();
        trade.ip = "192.0.2.4".into();
        let id = self.forge(trade, false);
        self.plant("another account's order", "order-mismatch", [id]);
        let trade = forged(self, 5, 53);
        let half = format!("{} / 2", trade.quantity);
        self.order_of(&trade.order.clone(), &trade, &half, "FILLED", trade.created - 1000);
        let id = self.forge(trade, false);
        self.plant("more than ordered", "overfilled-order", [id]);
        let mut trade = forged(self, 5, 56);
        self.order(&trade);
        trade.price =
            if trade.side == "BUY" { format!("{} * 1.01", trade.price) } else { format!("{} * 0.99", trade.price) };
        trade.value = format!("{} * {}", trade.quantity, trade.price);
        let id = self.forge(trade, false);
        self.plant("worse than its order allows", "worse-than-its-order", [id]);
        let trade = forged(self, 6, 54);
        self.order_of(&trade.order.clone(), &trade, &trade.quantity.clone(), "FILLED", trade.created + 2 * MINUTE);
        let id = self.forge(trade, false);
        self.plant("before its order", "before-its-order", [id]);
        let trade = forged(self, 7, 55);
        self.order_of(&trade.order.clone(), &trade, &trade.quantity.clone(), "REJECTED", trade.created - 1000);
        let id = self.forge(trade, false);
        self.plant("on a rejected order", "refused-order", [id]);
    }

    fn in_the_past(&mut self) {
        let middle = self.trades.len() / 2;
        let picked: BTreeMap<&str, i64> = [("deleted", middle), ("edited", middle + 40), ("silent", middle + 80)]
            .into_iter()
            .map(|(name, index)| (name, self.trades[index].id))
            .collect();
        let first = picked["deleted"];
        self.sql.push(format!("DELETE FROM \"Trade\" WHERE id BETWEEN {first} AND {};", first + 2));
        self.plant("deleted", "deleted-rows", [format!("{first}..{}", first + 2)]);
        let deleted = self.trades.iter().filter(|trade| (first..first + 3).contains(&trade.id));
        let orders: Vec<String> = deleted.map(|trade| trade.order.clone()).collect();
        self.plant("orders of deleted trades", "filled-otherwise", orders);
        let id = picked["edited"];
        self.sql.push(format!(
            "UPDATE \"Trade\" SET fee = 1, \"updatedAt\" = {} WHERE id = {id};",
            time(END - 240 * MINUTE)
        ));
        self.plant("edited", "edited-after", [id.to_string()]);
        if self.postgres {
            let id = picked["silent"];
            self.sql.push(format!("UPDATE \"Trade\" SET fee = 1 WHERE id = {id};"));
            self.plant("edited in silence", "edited-silently", [id.to_string()]);
        }
        let mut trade = self.ordinary(9, END - 20 * DAY.min((END - self.trades[middle].created) / 20));
        trade.updated = trade.created;
        let id = self.forge(trade, true);
        self.plant("back-dated", "back-dated", [id]);
    }

    fn outliers(&mut self) {
        self.one("fifty times as large", "value-outlier", 0, 60, |trade| {
            trade.symbol = "AAPL";
            trade.amounts(1_500_000, 19_000);
        });
        self.one("ten times as large", "value-outlier", 1, 61, |trade| {
            trade.symbol = "AAPL";
            trade.amounts(500_000, 19_000);
        });
    }

    /// Pauses of the case.
    pub fn pauses() -> Vec<(i64, Option<i64>)> {
        vec![(END - 22 * MINUTE, Some(END - 18 * MINUTE))]
    }

    pub fn script(&self) -> String {
        self.sql.join("\n")
    }
}
