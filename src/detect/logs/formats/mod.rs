//! Formats of logs: found by content, split into records, parsed into events.

mod access;
mod detect;
mod json;
mod lines;
mod syslog;
pub mod time;

use serde_json::{Map, Value};

pub use detect::detect;
pub use json::JsonRecords;
pub use lines::{Chunk, Lines};

/// Largest record that is read, in bytes.
pub const MAX_RECORD: usize = 16 << 20;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One JSON object a line.
    JsonLines,
    /// JSON arrays, `{"Records":[..]}`, pretty-printed objects.
    JsonDocument,
    /// Web access log: common or combined log format.
    Access,
    /// RFC 3164 or RFC 5424.
    Syslog,
    /// Anything else, line by line.
    Text,
}

impl Format {
    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "JSON lines",
            Self::JsonDocument => "JSON document",
            Self::Access => "access log",
            Self::Syslog => "syslog",
            Self::Text => "text",
        }
    }
}

/// The event on one line of a line-based format; `None` for a line that the format doesn't explain.
pub fn parse_line(format: Format, line: &str) -> Option<Map<String, Value>> {
    match format {
        Format::JsonLines | Format::JsonDocument => serde_json::from_str(line).ok(),
        Format::Access => access::parse(line),
        Format::Syslog => syslog::parse(line),
        Format::Text => Some(text_event(line)),
    }
}

/// A line as an event without structure.
pub fn text_event(line: &str) -> Map<String, Value> {
    Map::from_iter([("message".to_owned(), Value::from(line))])
}
