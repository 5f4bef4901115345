//! Formats of logs: found by content, split into records, parsed into events.

mod access;
mod csv;
mod custom;
mod detect;
mod docker;
mod journal;
mod json;
mod lake;
mod layout;
mod lines;
mod logfmt;
mod nginx;
mod pg_words;
mod postgres;
mod proxies;
mod shape;
mod syslog;
pub mod time;
mod wrap;

use serde_json::{Map, Value};

pub(super) use access::{
    FIELDS as ACCESS_FIELDS, QUOTED as ACCESS_QUOTED, REQUEST as ACCESS_REQUEST, request as access_request,
};
pub use custom::LogFormat;
pub use detect::layout;
pub use json::JsonRecords;
pub use layout::{Layout, Outline, TEXT, Wanted};
pub use lines::{Chunk, Continued, Split};
pub(super) use pg_words::told;
pub(super) use shape::{
    address_end as access_address_end, head as access_head, is_status as access_status, may_hold as access_may_hold,
};

/// Largest record that is read, in bytes.
pub const MAX_RECORD: usize = 4 << 20;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One JSON object a line.
    JsonLines,
    /// JSON arrays, `{"Records":[..]}`, pretty-printed objects.
    JsonDocument,
    /// Lines of any format that others carry: docker's `json-file`, CRI's, docker compose's, JSON lines of Filebeat, Fluent Bit,
    /// `EventBridge`, Splunk.
    Docker,
    /// JSON documents whose records carry others: exports of `CloudWatch`, Elasticsearch, Loki, Splunk, `lookup-events`.
    Wrapped,
    /// Web access log: common or combined log format.
    Access,
    /// Web access log of a `log_format` that was given, W3C extended with its `#Fields:`, or a load balancer's.
    Custom,
    /// nginx's error log, with the lines of what an application said.
    NginxError,
    /// RFC 3164 or RFC 5424.
    Syslog,
    /// journald's export format.
    Journal,
    /// PostgreSQL's `stderr` log, with continued lines; also RDS's.
    PostgresText,
    /// PostgreSQL's `csvlog`.
    PostgresCsv,
    /// `key=value` pairs.
    Logfmt,
    /// CSV with a header.
    Csv,
    /// Anything else, line by line.
    Text,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 14] = [
        Self::JsonLines,
        Self::JsonDocument,
        Self::Docker,
        Self::Wrapped,
        Self::Access,
        Self::Custom,
        Self::NginxError,
        Self::Syslog,
        Self::Journal,
        Self::PostgresText,
        Self::PostgresCsv,
        Self::Logfmt,
        Self::Csv,
        Self::Text,
    ];

    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "JSON lines",
            Self::JsonDocument => "JSON document",
            Self::Docker => "container log",
            Self::Wrapped => "JSON that carries records",
            Self::Access => "access log",
            Self::Custom => "access log of the given form",
            Self::NginxError => "nginx error log",
            Self::Syslog => "syslog",
            Self::Journal => "journald export",
            Self::PostgresText => "PostgreSQL log",
            Self::PostgresCsv => "PostgreSQL csvlog",
            Self::Logfmt => "logfmt",
            Self::Csv => "CSV",
            Self::Text => "text",
        }
    }

    /// Name on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Self::JsonLines => "json-lines",
            Self::JsonDocument => "json",
            Self::Docker => "docker",
            Self::Wrapped => "wrapped",
            Self::Access => "access",
            Self::Custom => "custom",
            Self::NginxError => "nginx-error",
            Self::Syslog => "syslog",
            Self::Journal => "journal",
            Self::PostgresText => "postgres",
            Self::PostgresCsv => "postgres-csv",
            Self::Logfmt => "logfmt",
            Self::Csv => "csv",
            Self::Text => "text",
        }
    }

    /// Whether a record is a JSON object.
    pub fn is_json(self) -> bool {
        matches!(self, Self::JsonLines | Self::JsonDocument | Self::Docker | Self::Wrapped)
    }

    /// Whether values stand in the record byte for byte.
    pub fn is_raw(self) -> bool {
        matches!(
            self,
            Self::Access
                | Self::Custom
                | Self::NginxError
                | Self::Syslog
                | Self::Journal
                | Self::PostgresText
                | Self::Text
        )
    }

    /// Which lines go on the record before them, by their first byte, where that is all there is to it.
    pub(in crate::detect::logs) fn goes_on(self) -> Option<GoesOn> {
        match self {
            Self::PostgresText => Some(|first| first == b'\t'),
            Self::NginxError => Some(|first| !first.is_ascii_digit()),
            _ => None,
        }
    }
}

/// Whether a line goes on the record before it, by its first byte.
pub(in crate::detect::logs) type GoesOn = fn(u8) -> bool;

/// Reads a line as an event of one format.
type Parse = fn(&str) -> Option<Map<String, Value>>;

/// The event of one line by itself, whatever carries it: a container's driver, syslog, words before a JSON object, `key=value`.
pub fn event_of_line(line: &str) -> Map<String, Value> {
    let (mut event, _) = docker::parse(line).unwrap_or_else(|| docker::inner(line, wrap::DEPTH));
    for name in ["message", "msg", "MESSAGE"] {
        if let Some(inside) = event.get(name).and_then(Value::as_str).and_then(carried) {
            // What was carried counts more than what carried it.
            event.extend(inside);
        }
    }
    event
}

/// The event inside a message.
fn carried(text: &str) -> Option<Map<String, Value>> {
    /// So many pairs are no accident.
    const PAIRS: usize = 3;
    let object = text.find('{').and_then(|start| serde_json::from_str(text[start..].trim_end()).ok());
    object.or_else(|| logfmt::parse(text).filter(|_| logfmt::pairs(text).0 >= PAIRS))
}

/// A line as an event without structure.
pub fn text_event(line: &str) -> Map<String, Value> {
    Map::from_iter([("message".to_owned(), Value::from(line))])
}
