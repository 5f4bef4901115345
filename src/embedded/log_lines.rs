use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::state::fault;
use crate::domain::Timestamp;
use crate::ports::Fault;

/// Who asked: address and user agent.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Address.
    pub ip: &'a str,
    /// `User-Agent` header.
    pub user_agent: &'a str,
}

/// What a trade leaves in `app.log`.
pub(super) struct TradeLine<'a> {
    pub id: i64,
    pub key: &'a str,
    pub account: &'a str,
    pub symbol: &'a str,
    pub value: &'a str,
}

/// `logs/app.log`: one JSON object a line.
pub(super) fn app(at: Timestamp, level: &str, event: &str, fields: Value) -> String {
    let mut line = json!({"time": format!("{at:.3}"), "level": level, "event": event});
    if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
        line.extend(fields);
    }
    line.to_string()
}

/// The line of a trade that was made.
pub(super) fn traded(at: Timestamp, trade: &TradeLine<'_>, origin: Origin<'_>) -> String {
    let fields = json!({
        "tradeId": trade.id, "apiKeyId": trade.key, "account": trade.account, "symbol": trade.symbol,
        "value": trade.value, "ip": origin.ip, "userAgent": origin.user_agent,
    });
    app(at, "info", "trade.created", fields)
}

/// `logs/access.log`: nginx's combined format.
pub(super) fn access(at: Timestamp, origin: Origin<'_>, request: &str, status: u16, bytes: i64) -> String {
    let time = at.strftime("%d/%b/%Y:%H:%M:%S +0000");
    format!("{} - - [{time}] \"{request} HTTP/1.1\" {status} {bytes} \"-\" \"{}\"", origin.ip, origin.user_agent)
}

/// `logs/auth.log`: syslog lines of sshd with RFC 3339 times, as rsyslog writes them.
pub(super) fn auth(at: Timestamp, process: i64, message: &str) -> String {
    format!("{at:.6} trading-1 sshd[{process}]: {message}")
}

/// A log file that lines are put at the end of.
pub(super) struct LogFile {
    path: PathBuf,
}

impl LogFile {
    pub fn new(root: &Path, name: &str) -> Self {
        Self { path: root.join("logs").join(name) }
    }

    /// Appends lines in one write.
    pub fn append(&self, lines: &[String]) -> Result<(), Fault> {
        let mut text = lines.join("\n");
        if text.is_empty() {
            return Ok(());
        }
        text.push('\n');
        let opened = OpenOptions::new().append(true).create(true).open(&self.path);
        opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| fault("write", &self.path, e))
    }

    /// Number of lines.
    pub fn lines(&self) -> Result<u64, Fault> {
        let bytes = std::fs::read(&self.path).map_err(|error| fault("read", &self.path, error))?;
        Ok(memchr::memchr_iter(b'\n', &bytes).count() as u64)
    }
}
