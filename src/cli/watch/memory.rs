//! What a watch remembers across restarts: `watch.json` below the home. Not in the case folder: every file there is
//! bound to the ledger, and this one changes every second.

use std::collections::{BTreeSet, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::adapters::follow::Mark;
use crate::adapters::follow::journal::JournalMark;
use crate::domain::{IncidentId, Timestamp};

/// Findings that are remembered, so that none is told twice.
const SEEN: usize = 20_000;

/// A stretch of time that is not in the ledger yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// Its start.
    pub from: Timestamp,
    /// How far it goes.
    pub to: Timestamp,
    /// Log events.
    pub events: u64,
    /// Trades.
    pub trades: u64,
    /// Alerts.
    pub alerts: u64,
    /// What was missed.
    pub gaps: Vec<String>,
}

impl Stretch {
    /// An empty one that begins then.
    pub fn at(from: Timestamp) -> Self {
        Self { from, to: from, events: 0, trades: 0, alerts: 0, gaps: Vec::new() }
    }
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Version of the form: 1.
    pub version: u32,
    /// The incident whose hours are accounted for; absent in peacetime.
    pub incident: Option<IncidentId>,
    /// How far each log was read.
    pub marks: Vec<Mark>,
    /// How far the journal was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalMark>,
    /// Ids of findings that were seen, oldest first.
    pub seen: VecDeque<String>,
    /// Trades before this were looked at.
    pub trades_since: Option<Timestamp>,
    /// What the guard was.
    pub guard: Option<String>,
    /// The stretch that is not in the ledger yet.
    pub stretch: Stretch,
}

impl Memory {
    /// The file.
    pub fn path(home: &Path) -> PathBuf {
        home.join("watch.json")
    }

    /// What an earlier run left; nothing if it can't be read.
    pub fn load(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        serde_json::from_slice(&bytes).ok().filter(|memory: &Self| memory.version == 1)
    }

    /// Writes it as a whole: a temporary file beside it, renamed.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let beside = path.with_extension("json.new");
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        std::fs::rename(beside, path)
    }
}

/// Ids that were seen, the oldest forgotten first.
#[derive(Debug, Default)]
pub struct Seen {
    order: VecDeque<String>,
    known: BTreeSet<String>,
}

impl Seen {
    /// From the memory.
    pub fn new(order: VecDeque<String>) -> Self {
        let known = order.iter().cloned().collect();
        Self { order, known }
    }

    /// Whether the id is new; it is not from then on.
    pub fn is_new(&mut self, id: &str) -> bool {
        if !self.known.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    /// All, oldest first.
    pub fn all(&self) -> VecDeque<String> {
        self.order.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_wrote_and_forgets_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let path = Memory::path(folder.path());
        assert_eq!(Memory::load(&path), None);
        let mut seen = Seen::default();
        for number in 0..=SEEN {
            assert!(seen.is_new(&number.to_string()));
        }
        assert!(!seen.is_new(&SEEN.to_string()) && seen.is_new("0"), "the oldest was forgotten");
        let memory = Memory {
            version: 1,
            incident: None,
            marks: Vec::new(),
            journal: None,
            seen: VecDeque::from(["a".to_owned()]),
            trades_since: None,
            guard: None,
            stretch: Stretch::at(Timestamp::UNIX_EPOCH),
        };
        memory.save(&path).unwrap();
        assert_eq!(Memory::load(&path), Some(memory));
    }
}
