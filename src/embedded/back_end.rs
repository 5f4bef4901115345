use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::database;
use super::log_lines::{self, LogFile, Origin, TradeLine};
use super::state::{StateFile, fault};
use crate::domain::guard::GUARD_CODE;
use crate::domain::{Digest, Timestamp};
use crate::ports::{Clock, Fault, FaultKind, Service};

/// What the process holds in memory between two commands: loaded from `.env` at its start.
#[derive(Serialize, Deserialize, Default)]
struct Memory {
    running: bool,
    starts: u64,
    jwt_secret: String,
}

/// How a client shows who it is.
#[derive(Clone, Copy)]
pub enum Login<'a> {
    /// `x-api-key` header.
    ApiKey(&'a SecretString),
    /// A bearer token, signed by the key that the back end loaded.
    Token(&'a SecretString),
}

/// A trade that a client asks for. Numbers as decimal text.
#[derive(Debug, Clone)]
pub struct Order {
    /// Instrument.
    pub symbol: String,
    /// `BUY` or `SELL`.
    pub side: &'static str,
    /// Quantity.
    pub quantity: bigdecimal::BigDecimal,
    /// Price.
    pub price: bigdecimal::BigDecimal,
}

/// What the back end answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 201: the trade was made.
    Created {
        /// Its id.
        trade: i64,
    },
    /// Refused with that status.
    Refused {
        /// HTTP status: 401 not known, 503 paused or stopped.
        status: u16,
        /// Words.
        reason: String,
    },
}

/// Who a client turned out to be.
struct Client {
    account: String,
    /// Row of the key table; a session has none.
    key: Option<String>,
}

/// The trading back end of the embedded deployment: checks keys and tokens, writes trades and log lines.
pub struct BackEnd {
    root: PathBuf,
    memory: StateFile,
    clock: Arc<dyn Clock>,
}

impl BackEnd {
    /// The back end of the deployment in `root`.
    pub fn new(root: &Path, clock: Arc<dyn Clock>) -> Self {
        Self { root: root.to_owned(), memory: StateFile::new(root, "back-end.json"), clock }
    }

    fn memory(&self) -> Result<Memory, Fault> {
        Ok(self.memory.read()?.unwrap_or_default())
    }

    /// Asks for a trade now.
    pub async fn place_trade(&self, login: Login<'_>, order: &Order, origin: Origin<'_>) -> Result<Answer, Fault> {
        self.place_trade_at(login, order, origin, self.clock.now()).await
    }

    /// Asks for a trade as if it were that moment: the rehearsed intruder came an hour ago.
    pub(super) async fn place_trade_at(
        &self,
        login: Login<'_>,
        order: &Order,
        origin: Origin<'_>,
        at: Timestamp,
    ) -> Result<Answer, Fault> {
        let answer = self.decide(login, order, origin, at).await?;
        let (status, bytes) = match &answer {
            Answer::Created { .. } => (201, 212),
            Answer::Refused { status, .. } => (*status, 64),
        };
        LogFile::new(&self.root, "access.log").append(&[log_lines::access(
            at,
            origin,
            "POST /api/trades",
            status,
            bytes,
        )])?;
        Ok(answer)
    }

    async fn decide(
        &self,
        login: Login<'_>,
        order: &Order,
        origin: Origin<'_>,
        at: Timestamp,
    ) -> Result<Answer, Fault> {
        let refused = |status, reason: &str| Ok(Answer::Refused { status, reason: reason.to_owned() });
        if !self.memory()?.running {
            return refused(503, "the back end is stopped");
        }
        let Some(client) = self.client(login, at).await? else {
            return refused(401, "the key or token is not honoured");
        };
        if self.root.join("PAUSED").exists() {
            return refused(503, "trading is paused (flag)");
        }
        let value = (&order.quantity * &order.price).normalized().to_plain_string();
        let mut connection = database::open(&self.root, false).await?;
        let inserted = sqlx::query_scalar::<_, i64>(
            "INSERT INTO \"Trade\" (accountId, apiKeyId, symbol, side, quantity, price, value, status, createdAt, updatedAt) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'settled', ?8, ?8) RETURNING id",
        )
        .bind(&client.account)
        .bind(&client.key)
        .bind(&order.symbol)
        .bind(order.side)
        .bind(order.quantity.to_plain_string())
        .bind(order.price.to_plain_string())
        .bind(&value)
        .bind(at.as_millisecond())
        .fetch_one(&mut connection)
        .await;
        let trade = match inserted {
            Ok(trade) => trade,
            Err(error) => {
                let words = error.as_database_error().map_or("", |error| error.message()).to_owned();
                if words.starts_with(GUARD_CODE) {
                    return refused(503, &words);
                }
                return Err(database::fault("write a trade to", &error));
            }
        };
        database::close(connection).await?;
        let key = client.key.as_deref().unwrap_or("session");
        let line = TradeLine { id: trade, key, account: &client.account, symbol: &order.symbol, value: &value };
        LogFile::new(&self.root, "app.log").append(&[log_lines::traded(at, &line, origin)])?;
        Ok(Answer::Created { trade })
    }

    async fn client(&self, login: Login<'_>, at: Timestamp) -> Result<Option<Client>, Fault> {
        match login {
            Login::ApiKey(key) => self.key_owner(key).await,
            Login::Token(token) => {
                let memory = self.memory()?;
                let subject = verify_token(token.expose_secret(), &memory.jwt_secret, at);
                Ok(subject.map(|account| Client { key: None, account }))
            }
        }
    }

    async fn key_owner(&self, key: &SecretString) -> Result<Option<Client>, Fault> {
        let mut connection = database::open(&self.root, false).await?;
        let found: Option<(String, String)> =
            sqlx::query_as("SELECT id, accountId FROM \"ApiKey\" WHERE keyHash = ?1 AND revokedAt IS NULL")
                .bind(key_hash(key))
                .fetch_optional(&mut connection)
                .await
                .map_err(|error| database::fault("read keys in", &error))?;
        database::close(connection).await?;
        Ok(found.map(|(key, account)| Client { account, key: Some(key) }))
    }

    /// Whether a request with that login would be let in, as `GET /api/me` answers: 200 or the refusal.
    pub async fn who_am_i(&self, login: Login<'_>) -> Result<Answer, Fault> {
        if !self.memory()?.running {
            return Err(Fault::new(FaultKind::Unavailable, "the back end is stopped"));
        }
        Ok(match self.client(login, self.clock.now()).await? {
            Some(_) => Answer::Created { trade: 0 },
            None => Answer::Refused { status: 401, reason: "HTTP 401".into() },
        })
    }
}

/// How the key table keeps a key: SHA-256 in hex.
pub(super) fn key_hash(key: &SecretString) -> String {
    Digest::of(key.expose_secret().as_bytes()).to_string()
}

/// A session token (JWT with HS256, RFC 7519) for an account.
pub fn sign_token(secret: &SecretString, account: &str, expires: Timestamp) -> SecretString {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = URL_SAFE_NO_PAD.encode(json!({"sub": account, "exp": expires.as_second()}).to_string());
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let signature = hmac::sign(&key, format!("{header}.{claims}").as_bytes());
    SecretString::from(format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The account of a token that is signed with that secret and has not expired.
fn verify_token(token: &str, secret: &str, now: Timestamp) -> Option<String> {
    if secret.is_empty() {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    if header.get("alg").and_then(Value::as_str) != Some("HS256") {
        return None;
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::verify(&key, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    if claims.get("exp")?.as_i64()? <= now.as_second() {
        return None;
    }
    claims.get("sub")?.as_str().map(String::from)
}

/// The value of a key in a `.env` text: the last assignment counts, quotes around it are no part of it.
pub(super) fn env_value(text: &str, key: &str) -> Option<SecretString> {
    let mut assigned = text.lines().filter_map(|line| {
        let line = line.trim_start();
        let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
        (name.trim() == key).then(|| value.trim())
    });
    let value = assigned.next_back()?;
    let bare = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    Some(SecretString::from(bare.unwrap_or(value)))
}

#[async_trait]
impl Service for BackEnd {
    fn name(&self) -> &'static str {
        "backend"
    }

    async fn restart(&self) -> Result<String, Fault> {
        let path = self.root.join(".env");
        let text = zeroize::Zeroizing::new(std::fs::read_to_string(&path).map_err(|e| fault("read", &path, e))?);
        let secret = env_value(&text, "JWT_SECRET")
            .ok_or_else(|| Fault::new(FaultKind::Invalid, "the back end does not start: .env has no JWT_SECRET"))?;
        let starts = self.memory.update(|memory: &mut Memory| {
            memory.running = true;
            memory.starts += 1;
            secret.expose_secret().clone_into(&mut memory.jwt_secret);
            Ok(memory.starts)
        })?;
        Ok(format!("started (start {starts}), .env read again"))
    }

    async fn stop(&self) -> Result<String, Fault> {
        self.memory.update(|memory: &mut Memory| {
            memory.running = false;
            memory.jwt_secret.clear();
            Ok(())
        })?;
        Ok("stopped".into())
    }

    async fn health(&self) -> Result<String, Fault> {
        if !self.memory()?.running {
            return Err(Fault::new(FaultKind::Unavailable, "the back end is stopped"));
        }
        let connection = database::open(&self.root, false).await?;
        database::close(connection).await?;
        Ok("HTTP 200".into())
    }
}
