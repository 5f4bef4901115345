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
    /// The line has no line feed: its writing was cut short.
    #[error("entry is cut short")]
    Torn,
    /// A version that this program does not know.
    #[error("entry has version {0}, this program reads version 1")]
    Version(u32),
    /// The same entry can be written in another way: a signed line has one spelling only.
    #[error("entry is written in another way than this program writes it")]
    Spelling,
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

/// Takes only the bytes that are expected, in their order: what was read is compared with how it would be written, without
/// writing it.
struct Expected<'a>(&'a [u8]);

impl std::io::Write for Expected<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
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

    /// Reads a line, without its line feed. Unknown and duplicate fields are errors, and so is any line that
    /// [`Entry::encode`] would write in another way.
    pub fn decode(line: &[u8]) -> Result<Self, EntryError> {
        if line.len() > MAX_ENTRY_BYTES {
            return Err(EntryError::TooLong);
        }
        let read: LineIn =
            serde_json::from_slice(line).map_err(|source| EntryError::Malformed { column: source.column(), source })?;
        if read.v != VERSION {
            return Err(EntryError::Version(read.v));
        }
        let entry = Self { seq: read.seq, time: read.time, event: read.event };
        let mut left = Expected(line);
        let again = LineOut { v: VERSION, seq: entry.seq, time: entry.time, event: &entry.event };
        if serde_json::to_writer(&mut left, &again).is_err() || !left.0.is_empty() {
            return Err(EntryError::Spelling);
        }
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = concat!(
        r#"{"v":1,"seq":3,"time":"2026-11-24T11:00:00Z","event":{"kind":"pause.proof","refused":true,"#,
        r#""pause_ms":12,"detail":"P0001"}}"#
    );

    #[test]
    fn a_line_reads_back_as_written() {
        let entry = Entry::decode(LINE.as_bytes()).unwrap();
        assert_eq!(entry.encode().unwrap(), LINE.as_bytes());
    }

    #[test]
    fn second_spellings_and_unknown_or_duplicate_fields_are_refused() {
        for (from, to) in [
            ("\"v\":1", "\"v\": 1"),
            ("11:00:00Z", "11:00:00.0Z"),
            ("11:00:00Z", "12:00:00+01:00"),
            ("P0001", "\\u00500001"),
            ("\"pause_ms\":12", "\"pause_ms\":12,\"pause_ms\":12"),
            ("\"pause_ms\":12", "\"pause_ms\":12,\"more\":1"),
            ("\"v\":1", "\"v\":2"),
            ("\"v\":1,\"seq\":3", "\"seq\":3,\"v\":1"),
            ("\"P0001\"}}", "\"P0001\"}} "),
            ("{\"v\"", " {\"v\""),
        ] {
            let changed = LINE.replace(from, to);
            assert_ne!(changed, LINE);
            assert!(Entry::decode(changed.as_bytes()).is_err(), "{changed}");
        }
        assert!(matches!(Entry::decode(&vec![b' '; MAX_ENTRY_BYTES + 1]), Err(EntryError::TooLong)));
    }

    #[test]
    fn the_longest_entry_is_written_and_read_and_no_longer_one() {
        let entry = |length: usize| Entry {
            seq: 3,
            time: Timestamp::UNIX_EPOCH,
            event: Event::PauseProof { refused: true, pause_ms: 12, detail: "x".repeat(length) },
        };
        let room = MAX_ENTRY_BYTES - entry(0).encode().unwrap().len();
        let longest = entry(room).encode().unwrap();
        assert_eq!(longest.len(), MAX_ENTRY_BYTES);
        assert_eq!(Entry::decode(&longest).unwrap(), entry(room));
        assert!(matches!(entry(room + 1).encode(), Err(EntryError::TooLong)));
        assert!(matches!(entry(2 * room).encode(), Err(EntryError::TooLong)));
    }

    #[test]
    fn the_kind_of_an_event_is_the_one_in_its_line() {
        let event = Entry::decode(LINE.as_bytes()).unwrap().event;
        assert_eq!(event.kind(), "pause.proof");
    }
}
