use std::fmt::Write as _;
use std::time::Duration;

use secrecy::SecretString;

use super::back_end::key_hash;
use super::database::literal;
use super::log_lines::{self, Origin, TradeLine};
use super::random::Dice;
use crate::domain::Timestamp;

/// Id, name, limit, usual address.
const ACCOUNTS: [(&str, &str, i64, &str); 8] = [
    ("acct_01", "Harbour Street Capital", 250_000, "198.51.100.14"),
    ("acct_02", "Nordlys Pension", 500_000, "198.51.100.20"),
    ("acct_03", "Quayside Brokers", 120_000, "198.51.100.33"),
    ("acct_04", "O'Connor & Daughters", 60_000, "192.0.2.41"),
    ("acct_05", "Tidewater Market Making", 40_000, "192.0.2.77"),
    ("acct_06", "Lighthouse Family Office", 900_000, "198.51.100.90"),
    ("acct_07", "Saltmarsh Research", 15_000, "192.0.2.120"),
    ("acct_08", "Trading desk", 750_000, "10.20.0.8"),
];
/// Account of the market maker, whose legitimate bursts stay just below what policy calls one.
const MARKET_MAKER: usize = 4;
/// Account whose first key was revoked two days ago, after legitimate use.
const REVOKED: usize = 2;
/// Row of the key table that holds `TRADING_API_KEY`, and its account.
pub(super) const TRADING_KEY: &str = "key_trading";
pub(super) const TRADING_ACCOUNT: &str = "acct_08";
/// Instrument and price in cents at the start of the data.
const SYMBOLS: [(&str, i64); 6] = [
    ("AAPL", 18_950),
    ("MSFT", 41_220),
    ("BTC-USD", 9_145_000),
    ("ETH-USD", 318_000),
    ("VWCE", 11_640),
    ("GOLD", 26_330),
];
const AGENTS: [&str; 3] = ["trading-sdk/2.4.1 (node 22)", "trading-sdk/2.3.0 (bun 1.3)", "QuantBridge/7.1"];
const DAYS: u64 = 3;

/// A trade that was made in the past.
struct Trade {
    account: usize,
    key: String,
    symbol: &'static str,
    side: &'static str,
    /// In thousandths.
    quantity: i64,
    /// In cents.
    price: i64,
    created: i64,
    updated: i64,
}

/// Everything that was there before the intruder.
pub(super) struct Population {
    /// Statements that fill the tables.
    pub sql: String,
    /// Lines of `app.log`.
    pub app: Vec<String>,
    /// Lines of `access.log`.
    pub access: Vec<String>,
    /// Lines of `auth.log`.
    pub auth: Vec<String>,
}

/// A number of `10^-places` as decimal text.
fn decimal(number: i64, places: u32) -> String {
    let unit = 10_i64.pow(places);
    let width = places as usize;
    format!("{}.{:0width$}", number / unit, number % unit)
}

fn client_key(account: usize) -> String {
    if ACCOUNTS[account].0 == TRADING_ACCOUNT { TRADING_KEY.into() } else { format!("key_{:02}a", account + 1) }
}

fn trades(dice: &mut Dice, now: i64) -> Vec<Trade> {
    let day = 86_400_000;
    let mut prices = SYMBOLS.map(|(_, price)| price);
    let mut made = Vec::new();
    let mut time = now - i64::try_from(DAYS).unwrap_or(3) * day;
    let rotated = now - 2 * day;
    while time < now - 5_000 {
        let index = usize::try_from(dice.below(6)).unwrap_or(0);
        // A walk of at most half a percent a step, pulled back to the start: no jump that looks like fraud.
        let pull = (SYMBOLS[index].1 - prices[index]) / 40;
        prices[index] += prices[index] * dice.between(-50, 50) / 10_000 + pull;
        let account = usize::try_from(dice.below(8)).unwrap_or(0);
        let key = match account {
            REVOKED if time < rotated - 60_000 => format!("key_{:02}old", account + 1),
            _ => client_key(account),
        };
        // At most nine tenths of the limit: cents and thousandths make 10^-5.
        let most = (ACCOUNTS[account].2 * 90_000 / prices[index]).max(1);
        let settled = time + dice.below(1_800_000);
        made.push(Trade {
            account,
            key,
            symbol: SYMBOLS[index].0,
            side: if dice.below(2) == 0 { "BUY" } else { "SELL" },
            quantity: dice.between((most / 50).max(1), most),
            price: prices[index],
            created: time,
            updated: settled.min(now),
        });
        time += dice.between(20_000, 140_000);
    }
    hard_cases(&mut made, now, prices);
    made.sort_by_key(|trade| trade.created);
    made
}

/// What is legitimate, and looks nearly like fraud.
fn hard_cases(made: &mut Vec<Trade>, now: i64, prices: [i64; 6]) {
    // A market maker's quick round, within a minute: what it buys it sells for two cents more.
    let round = now - 9 * 3_600_000;
    for step in 0..24 {
        let sells = step % 2 == 1;
        made.push(Trade {
            account: MARKET_MAKER,
            key: client_key(MARKET_MAKER),
            symbol: SYMBOLS[4].0,
            side: if sells { "SELL" } else { "BUY" },
            quantity: 1_000,
            price: prices[4] + if sells { 2 } else { 0 },
            created: round + step * 2_000,
            updated: round + step * 2_000,
        });
    }
    // Worth exactly the account's limit.
    let exact = now - 30 * 3_600_000;
    made.push(Trade {
        account: 6,
        key: client_key(6),
        symbol: "USDC",
        side: "BUY",
        quantity: ACCOUNTS[6].2 * 1_000,
        price: 100,
        created: exact,
        updated: exact,
    });
}

/// Builds three days of ordinary business that ends `now`.
pub(super) fn populate(dice: &mut Dice, now: Timestamp, trading_key: &SecretString) -> Population {
    let end = now.as_millisecond();
    let old = end - 90 * 86_400_000;
    let mut sql = String::from("BEGIN;\n");
    for (index, (id, name, limit, _)) in ACCOUNTS.iter().enumerate() {
        let _ = writeln!(sql, "INSERT INTO \"Account\" VALUES ({}, {}, {limit});", literal(id), literal(name));
        let hash = match *id {
            TRADING_ACCOUNT => key_hash(trading_key),
            // Nobody holds the values of other clients' keys: only their hashes are in the table.
            _ => key_hash(&SecretString::from(format!("{:016x}{:016x}", dice.next(), dice.next()))),
        };
        let _ = writeln!(
            sql,
            "INSERT INTO \"ApiKey\" VALUES ({}, {}, {}, NULL, {old});",
            literal(&client_key(index)),
            literal(id),
            literal(&hash)
        );
    }
    let hash = key_hash(&SecretString::from(format!("{:016x}", dice.next())));
    let _ = writeln!(
        sql,
        "INSERT INTO \"ApiKey\" VALUES ('key_{:02}old', '{}', '{hash}', {}, {old});",
        REVOKED + 1,
        ACCOUNTS[REVOKED].0,
        end - 2 * 86_400_000
    );
    let mut lines = (Vec::new(), Vec::new());
    for (index, trade) in trades(dice, end).iter().enumerate() {
        let id = i64::try_from(index + 1).unwrap_or(i64::MAX);
        let value = decimal(trade.quantity * trade.price, 5);
        let account = ACCOUNTS[trade.account];
        let _ = writeln!(
            sql,
            "INSERT INTO \"Trade\" VALUES ({id}, {}, {}, {}, '{}', {}, {}, {value}, 'settled', {}, {});",
            literal(account.0),
            literal(&trade.key),
            literal(trade.symbol),
            trade.side,
            decimal(trade.quantity, 3),
            decimal(trade.price, 2),
            trade.created,
            trade.updated
        );
        let Ok(at) = Timestamp::from_millisecond(trade.created) else { continue };
        let origin = Origin { ip: account.3, user_agent: AGENTS[trade.account % 3] };
        let line = TradeLine { id, key: &trade.key, account: account.0, symbol: trade.symbol, value: &value };
        lines.0.push(log_lines::traded(at, &line, origin));
        if dice.below(3) == 0 {
            lines.1.push(log_lines::access(at, origin, "GET /api/trades?limit=50", 200, dice.between(900, 9_000)));
        }
        lines.1.push(log_lines::access(at, origin, "POST /api/trades", 201, 212));
    }
    sql.push_str("COMMIT;\n");
    Population { sql, app: lines.0, access: lines.1, auth: sign_ins(dice, now) }
}

/// Administrators who sign in with their keys, one with a slip of the fingers.
fn sign_ins(dice: &mut Dice, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    for hours in (1..=DAYS * 24).rev().step_by(5) {
        let at = now - Duration::from_secs(hours * 3_600 + 900);
        let process = dice.between(1_000, 30_000);
        let port = dice.between(40_000, 60_000);
        if hours % 4 == 0 {
            lines.push(log_lines::auth(
                at,
                process,
                &format!("Failed publickey for deploy from 10.20.0.5 port {port} ssh2"),
            ));
        }
        let message = format!("Accepted publickey for deploy from 10.20.0.5 port {port} ssh2: ED25519 SHA256:pWq");
        lines.push(log_lines::auth(at + Duration::from_secs(4), process, &message));
    }
    lines
}
