use serde::{Deserialize, Serialize};

use super::Event;
use crate::domain::Timestamp;

/// Longest line that is read as an entry; longer is damage.
pub const MAX_ENTRY_BYTES: usize = 4 << 20;

/// One line of `ledger.jsonl`. The line's exact bytes, without the line feed, are the Merkle leaf.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Position, from 0.
    pub seq: u64,
    /// When it was written; never before the entry before it.
    pub time: Timestamp,
    /// What happened.
    pub event: Event,
}

/// Why a line is not an entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Longer than [`MAX_ENTRY_BYTES`].
    #[error("entry is longer than {MAX_ENTRY_BYTES} bytes")]
    TooLong,
    /// Not JSON of the documented form.
    #[error("entry is not of the documented form at column {column}")]
    Malformed {
        /// Column in the line, from 1.
        column: usize,
        /// The parser's words.
        #[source]
        source: serde_json::Error,
    },
    /// A version that this program does not know.
    #[error("entry has version {0}, this program reads version 1")]
    Version(u32),
}

const VERSION: u32 = 1;

#[derive(Serialize)]
struct LineOut<'a> {
    v: u32,
    seq: u64,
    time: Timestamp,
    event: &'a Event,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineIn {
    v: u32,
    seq: u64,
    time: Timestamp,
    event: Event,
}

impl Entry {
    /// The line, without its line feed.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        let line = LineOut { v: VERSION, seq: self.seq, time: self.time, event: &self.event };
        let bytes = serde_json::to_vec(&line).map_err(|source| EntryError::Malformed { column: 0, source })?;
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(EntryError::TooLong);
        }
        Ok(bytes)
    }

    /// Reads a line, without its line feed. Unknown and duplicate fields are errors.
    pub fn decode(line: &[u8]) -> Result<Self, EntryError> {
        if line.len() > MAX_ENTRY_BYTES {
            return Err(EntryError::TooLong);
        }
        let line: LineIn =
            serde_json::from_slice(line).map_err(|source| EntryError::Malformed { column: source.column(), source })?;
        if line.v != VERSION {
            return Err(EntryError::Version(line.v));
        }
        Ok(Self { seq: line.seq, time: line.time, event: line.event })
    }
}
