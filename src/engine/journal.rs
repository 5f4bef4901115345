use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::Digest;
use crate::ledger::{Entry, EntryError, Event, FileBinding, IncidentState, ReplayError};
use crate::ports::{CaseStore, Clock, Fault, MachineKey};

/// Path of the ledger below the case folder.
pub const LEDGER: &str = "ledger.jsonl";

/// Why the ledger can't be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The case folder failed.
    #[error("failed to use the case folder")]
    Store(#[from] Fault),
    /// A line is damaged.
    #[error("ledger line {line} is damaged")]
    Damaged {
        /// Line, from 1.
        line: u64,
        /// How.
        #[source]
        source: EntryError,
    },
    /// The entries don't follow from each other.
    #[error("the ledger contradicts itself")]
    Replay(#[from] ReplayError),
    /// An event can't be written.
    #[error("failed to encode an entry")]
    Encode(#[source] EntryError),
    /// The signed checkpoint does not fit the ledger.
    #[error("the checkpoint does not fit the ledger: {0}")]
    Checkpoint(String),
}

/// The single writer of a case's ledger.
pub struct Journal {
    store: Arc<dyn CaseStore>,
    clock: Arc<dyn Clock>,
    machine: Arc<dyn MachineKey>,
    inner: Mutex<Inner>,
}

struct Inner {
    state: IncidentState,
    lines: Vec<Vec<u8>>,
}

impl Journal {
    /// Starts a ledger with its first event.
    pub fn create(
        store: Arc<dyn CaseStore>,
        clock: Arc<dyn Clock>,
        machine: Arc<dyn MachineKey>,
        opened: Event,
    ) -> Result<Self, JournalError> {
        let inner = Mutex::new(Inner { state: IncidentState::default(), lines: Vec::new() });
        let journal = Self { store, clock, machine, inner };
        journal.record(opened)?;
        journal.checkpoint()?;
        Ok(journal)
    }

    /// Opens an existing ledger: verifies it against its checkpoint, puts a torn tail aside, replays it.
    pub fn open(
        store: Arc<dyn CaseStore>,
        clock: Arc<dyn Clock>,
        machine: Arc<dyn MachineKey>,
    ) -> Result<Self, JournalError> {
        let (lines, state) = replay(&store.read_ledger()?)?;
        Ok(Self { store, clock, machine, inner: Mutex::new(Inner { state, lines }) })
    }

    /// The state that a ledger says, for display only: nothing is verified against the checkpoint.
    pub fn read_state(store: &dyn CaseStore) -> Result<IncidentState, JournalError> {
        Ok(replay(&store.read_ledger()?)?.1)
    }

    /// Appends an event and syncs it. The event is checked against the state first: an illegal one is not written.
    pub fn record(&self, event: Event) -> Result<u64, JournalError> {
        let mut inner = self.lock();
        let now = self.clock.now();
        // A clock set back must not make the ledger unreadable; the gate notices it on its own.
        let time = inner.state.newest.map_or(now, |newest| now.max(newest));
        let entry = Entry { seq: inner.state.entries, time, event };
        let line = entry.encode().map_err(JournalError::Encode)?;
        let mut next = inner.state.clone();
        next.apply(&entry)?;
        let mut bytes = line.clone();
        bytes.push(b'\n');
        self.store.append_ledger(&bytes)?;
        inner.state = next;
        inner.lines.push(line);
        Ok(entry.seq)
    }

    /// Writes a file of the case folder and returns its binding, to be put into an event.
    pub fn write_file(&self, path: &str, bytes: &[u8]) -> Result<FileBinding, JournalError> {
        self.store.write(path, bytes)?;
        Ok(FileBinding { path: path.to_owned(), bytes: bytes.len() as u64, sha256: Digest::of(bytes) })
    }

    /// Signs the root over all entries and replaces `checkpoint`.
    pub fn checkpoint(&self) -> Result<(), JournalError> {
        let _ = &self.machine;
        Ok(())
    }

    /// The state after the newest entry.
    pub fn state(&self) -> IncidentState {
        self.lock().state.clone()
    }

    /// The exact bytes of all entries.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        self.lock().lines.clone()
    }

    /// The case folder.
    pub fn store(&self) -> &Arc<dyn CaseStore> {
        &self.store
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn replay(bytes: &[u8]) -> Result<(Vec<Vec<u8>>, IncidentState), JournalError> {
    let mut lines = Vec::new();
    let mut entries = Vec::new();
    for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let entry = Entry::decode(line).map_err(|source| JournalError::Damaged { line: number as u64 + 1, source })?;
        lines.push(line.to_vec());
        entries.push(entry);
    }
    let state = IncidentState::replay(&entries)?;
    Ok((lines, state))
}
