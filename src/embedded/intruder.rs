use std::str::FromStr;
use std::time::Duration;

use bigdecimal::BigDecimal;
use secrecy::ExposeSecret;
use serde_json::json;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::back_end::{Answer, Login, Order};
use super::database;
use super::deployment::EmbeddedDeployment;
use super::log_lines::{self, LogFile, Origin};
use super::planted::{Expect, Planted};
use super::population::TRADING_ACCOUNT;
use crate::domain::{FindingKind, Timestamp};
use crate::ports::{Fault, FaultKind};

const ORIGIN: Origin<'_> = Origin { ip: "203.0.113.66", user_agent: "curl/8.5.0" };
const SYMBOL: &str = "AAPL";
const TRIGGER: &str = "Trade_audit_sync";
const BURST: i64 = 45;

/// What an attack left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Everything that must be found.
    pub planted: Vec<Planted>,
    /// Backups, by path below the root, that carry the intruder's rows and trigger.
    pub poisoned: Vec<String>,
    /// The first thing that the intruder did.
    pub began: Timestamp,
}

/// Plays the intruder against a deployment: everything happened between 104 and 55 minutes before `now`.
pub struct Intruder<'a> {
    victim: &'a EmbeddedDeployment,
    now: Timestamp,
    planted: Vec<Planted>,
}

impl<'a> Intruder<'a> {
    /// An intruder who holds the deployment's trading key.
    pub fn new(victim: &'a EmbeddedDeployment, now: Timestamp) -> Self {
        Self { victim, now, planted: Vec::new() }
    }

    /// The whole attack.
    pub async fn attack(mut self) -> Result<Breach, Fault> {
        self.come_in()?;
        self.probe()?;
        self.leak()?;
        let price = self.market_price().await?;
        self.trade_with_leaked_key(&price).await?;
        self.write_past_the_back_end(&price).await?;
        let mut connection = database::open(&self.victim.root, false).await?;
        let mut poisoned = Vec::new();
        for minutes in [50, 5] {
            let at = self.before(minutes * 60);
            poisoned.push(database::write_backup(&mut connection, &self.victim.root, at).await?);
        }
        database::close(connection).await?;
        Ok(Breach { began: self.before(104 * 60), planted: self.planted, poisoned })
    }

    fn before(&self, seconds: u64) -> Timestamp {
        self.now - Duration::from_secs(seconds)
    }

    fn plant(&mut self, what: &'static str, place: String, expect: Expect) {
        self.planted.push(Planted { what, place, expect });
    }

    /// Appends lines and returns the numbers of the first and the last.
    fn write(&self, file: &str, lines: &[String]) -> Result<(u64, u64), Fault> {
        let log = LogFile::new(&self.victim.root, file);
        let there = log.lines()?;
        log.append(lines)?;
        Ok((there + 1, there + lines.len() as u64))
    }

    /// Guesses a password over SSH until one fits.
    fn come_in(&mut self) -> Result<(), Fault> {
        let mut lines = Vec::new();
        for guess in 0..14 {
            let words = format!("Failed password for root from {} port {} ssh2", ORIGIN.ip, 50_100 + guess);
            lines.push(log_lines::auth(self.before(104 * 60 - guess * 3), 8_811, &words));
        }
        let words = format!("Accepted password for root from {} port 50123 ssh2", ORIGIN.ip);
        lines.push(log_lines::auth(self.before(103 * 60), 8_812, &words));
        let (first, last) = self.write("auth.log", &lines)?;
        let expect = Expect::Line { kind: FindingKind::Log, file: "auth.log", first, last };
        self.plant("password guessed over SSH", format!("logs/auth.log:{first}-{last}"), expect);
        Ok(())
    }

    fn probe(&mut self) -> Result<(), Fault> {
        let requests = [
            ("path traversal", "GET /static/../../../../etc/passwd", 400),
            ("SQL injection", "GET /api/trades?symbol=AAPL'%20UNION%20SELECT%20id,keyHash%20FROM%20ApiKey--", 500),
        ];
        for (offset, (what, request, status)) in (0..).zip(requests) {
            let line = log_lines::access(self.before(102 * 60 - offset * 7), ORIGIN, request, status, 162);
            let (first, last) = self.write("access.log", &[line])?;
            let expect = Expect::Line { kind: FindingKind::Log, file: "access.log", first, last };
            self.plant(what, format!("logs/access.log:{first}"), expect);
        }
        Ok(())
    }

    /// A debug line that holds the key: how it leaked.
    fn leak(&mut self) -> Result<(), Fault> {
        let fields = json!({
            "method": "POST", "path": "/api/trades",
            "headers": {"host": "trading-1", "x-api-key": self.victim.trading_key.expose_secret()},
        });
        let line = log_lines::app(self.before(101 * 60), "debug", "http.request", fields);
        let (first, last) = self.write("app.log", &[line])?;
        let expect = Expect::Line { kind: FindingKind::Secret, file: "app.log", first, last };
        self.plant("trading key in a log line", format!("logs/app.log:{first}"), expect);
        Ok(())
    }

    async fn market_price(&self) -> Result<BigDecimal, Fault> {
        let mut connection = database::open(&self.victim.root, false).await?;
        let sql = "SELECT CAST(price AS TEXT) FROM \"Trade\" WHERE symbol = ?1 AND createdAt <= ?2 ORDER BY createdAt DESC LIMIT 1";
        let price: String = sqlx::query_scalar(sql)
            .bind(SYMBOL)
            .bind(self.before(96 * 60).as_millisecond())
            .fetch_one(&mut connection)
            .await
            .map_err(|error| database::fault("read prices in", &error))?;
        database::close(connection).await?;
        BigDecimal::from_str(&price).map_err(|error| Fault::with(FaultKind::Corrupt, "the price is no number", error))
    }

    async fn order(&self, quantity: &BigDecimal, price: &BigDecimal, seconds_ago: u64) -> Result<i64, Fault> {
        let order = Order { symbol: SYMBOL.into(), side: "BUY", quantity: quantity.clone(), price: price.clone() };
        let login = Login::ApiKey(&self.victim.trading_key);
        let answer = self.victim.back_end.place_trade_at(login, &order, ORIGIN, self.before(seconds_ago)).await?;
        match answer {
            Answer::Created { trade } => Ok(trade),
            Answer::Refused { reason, .. } => Err(Fault::new(FaultKind::Denied, reason)),
        }
    }

    /// Over the limit, a burst, and a price far from the market.
    async fn trade_with_leaked_key(&mut self, price: &BigDecimal) -> Result<(), Fault> {
        let over = (BigDecimal::from(900_000) / price).with_scale(3);
        let trade = self.order(&over, price, 95 * 60).await?;
        let expect = Expect::Row { rule: "over-limit", first: trade, last: trade };
        self.plant("trade over the account's limit", format!("Trade {trade}"), expect);
        let line = LogFile::new(&self.victim.root, "app.log").lines()?;
        let expect = Expect::Line { kind: FindingKind::Log, file: "app.log", first: line, last: line };
        self.plant("trade placed with curl", format!("logs/app.log:{line}"), expect);
        let mut burst = (i64::MAX, 0);
        for second in 0..u64::try_from(BURST).unwrap_or(0) {
            let trade = self.order(&BigDecimal::from(3), price, 93 * 60 - second).await?;
            burst = (burst.0.min(trade), trade);
        }
        let expect = Expect::Row { rule: "burst", first: burst.0, last: burst.1 };
        self.plant("burst of trades with the leaked key", format!("Trade {}..{}", burst.0, burst.1), expect);
        let trade = self.order(&BigDecimal::from(40), &(price * BigDecimal::from(3)), 90 * 60).await?;
        let expect = Expect::Row { rule: "off-market", first: trade, last: trade };
        self.plant("trade at three times the market's price", format!("Trade {trade}"), expect);
        Ok(())
    }

    /// Rows forged, deleted and changed in the database itself, and a trigger that brings the leaked key back to life.
    async fn write_past_the_back_end(&mut self, price: &BigDecimal) -> Result<(), Fault> {
        let mut connection = database::open(&self.victim.root, false).await?;
        let old = self.before(20 * 3_600).as_millisecond();
        let at = self.before(80 * 60).as_millisecond();
        let forged = format!(
            "INSERT INTO \"Trade\" (accountId, apiKeyId, symbol, side, quantity, price, value, status, createdAt, updatedAt) \
             VALUES ('{TRADING_ACCOUNT}', 'key_ghost', '{SYMBOL}', 'SELL', 10, {price}, {}, 'settled', {at}, {at})",
            price * BigDecimal::from(10)
        );
        database::execute(&mut connection, forged).await?;
        let trade = number(&mut connection, "SELECT max(id) FROM \"Trade\"".into()).await?;
        let expect = Expect::Row { rule: "unknown-key", first: trade, last: trade };
        self.plant("trade with a key that does not exist", format!("Trade {trade}"), expect);

        let first = number(&mut connection, format!("SELECT min(id) FROM \"Trade\" WHERE createdAt > {old}")).await?;
        let last = first + 2;
        database::execute(&mut connection, format!("DELETE FROM \"Trade\" WHERE id BETWEEN {first} AND {last}"))
            .await?;
        self.plant("three trades deleted", format!("Trade {first}..{last}"), Expect::Gap { first, last });

        let edited = last + 9;
        let at = self.before(74 * 60).as_millisecond();
        let edit = format!("UPDATE \"Trade\" SET status = 'cancelled', updatedAt = {at} WHERE id = {edited}");
        database::execute(&mut connection, edit).await?;
        let expect = Expect::Row { rule: "edited-after", first: edited, last: edited };
        self.plant("settled trade changed", format!("Trade {edited}"), expect);

        let trigger = format!(
            "CREATE TRIGGER \"{TRIGGER}\" AFTER INSERT ON \"Trade\" BEGIN UPDATE \"ApiKey\" SET revokedAt = NULL WHERE accountId = '{TRADING_ACCOUNT}'; END"
        );
        database::execute(&mut connection, trigger).await?;
        self.plant("trigger that revives revoked keys", TRIGGER.into(), Expect::Object { name: TRIGGER });
        database::close(connection).await
    }
}

async fn number(connection: &mut SqliteConnection, sql: String) -> Result<i64, Fault> {
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await
        .map_err(|error| database::fault("read trades in", &error))
}
