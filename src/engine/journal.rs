use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::Digest;
use crate::ledger::{
    Checkpoint, Entry, EntryError, Event, FileBinding, IncidentState, LedgerError, ReplayError, Tail, Verified,
    VerifierKey, merkle::Tree, origin, read, replay,
};
use crate::ports::{CaseStore, Clock, Fault, MachineKey};

/// Path of the ledger below the case folder.
pub const LEDGER: &str = "ledger.jsonl";

/// Path of the signed checkpoint below the case folder.
pub const CHECKPOINT: &str = "checkpoint";

/// Why the ledger can't be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The case folder failed.
    #[error("failed to use the case folder")]
    Store(#[from] Fault),
    /// What lies on disk is not what was written: exit code 6.
    #[error("the ledger fails verification")]
    Ledger(#[from] LedgerError),
    /// The event does not follow from the state; it was not written.
    #[error("the event is not allowed here")]
    Replay(#[from] ReplayError),
    /// An event can't be written.
    #[error("failed to encode an entry")]
    Encode(#[source] EntryError),
    /// The ledger was opened with another machine's key, so this machine can't go on with it.
    #[error("the ledger belongs to the machine key {named}, this machine has {present}")]
    OtherMachine {
        /// Verifier key that the first entry names.
        named: String,
        /// Verifier key of this machine.
        present: String,
    },
    /// A ledger is there already.
    #[error("the case folder holds a ledger already")]
    Exists,
    /// An earlier write failed: what is on disk is uncertain until the ledger is opened again.
    #[error("an earlier write to the ledger failed; nothing more is written before it is opened again")]
    Poisoned,
}

impl JournalError {
    /// Whether what lies on disk is not what was written (exit code 6).
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Ledger(_))
    }
}

/// The single writer of a case's ledger. Every record is synced before it returns, so dropping it loses nothing; the
/// drop signs a last checkpoint if entries were added since the one before.
pub struct Journal {
    store: Arc<dyn CaseStore>,
    clock: Arc<dyn Clock>,
    machine: Arc<dyn MachineKey>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    state: IncidentState,
    entries: Vec<Entry>,
    lines: Vec<Vec<u8>>,
    tree: Tree,
    signed: u64,
    poisoned: bool,
}

impl Journal {
    /// Starts a ledger with its first event, into which the machine's verifier key is put, and signs it.
    pub fn create(
        store: Arc<dyn CaseStore>,
        clock: Arc<dyn Clock>,
        machine: Arc<dyn MachineKey>,
        mut opened: Event,
    ) -> Result<Self, JournalError> {
        if !store.read_ledger()?.is_empty() {
            return Err(JournalError::Exists);
        }
        if let Event::IncidentOpened { incident, machine_key, .. } = &mut opened {
            *machine_key = VerifierKey::new(incident, machine.public()).to_string();
        }
        let journal = Self { store, clock, machine, inner: Mutex::default() };
        journal.record(opened)?;
        journal.checkpoint()?;
        Ok(journal)
    }

    /// Opens an existing ledger: verifies it against its checkpoint, replays it, puts a torn tail aside.
    pub fn open(
        store: Arc<dyn CaseStore>,
        clock: Arc<dyn Clock>,
        machine: Arc<dyn MachineKey>,
    ) -> Result<Self, JournalError> {
        let Verified { entries, lines, tree, state, signed, tail } = Self::verify(&store)?;
        if let Some(incident) = &state.incident {
            let present = VerifierKey::new(incident, machine.public()).to_string();
            if present != state.machine_key {
                return Err(JournalError::OtherMachine { named: state.machine_key, present });
            }
        }
        let inner = Inner { state, entries, lines, tree, signed, poisoned: false };
        let journal = Self { store, clock, machine, inner: Mutex::new(inner) };
        if signed == 0 {
            // The writer died between its first entry and the signature. A second entry without one would be damage.
            journal.checkpoint()?;
        }
        if let Some(tail) = tail {
            journal.quarantine(&tail)?;
        }
        Ok(journal)
    }

    /// Reads and verifies a ledger without changing anything.
    pub fn verify(store: &Arc<dyn CaseStore>) -> Result<Verified, JournalError> {
        let checkpoint = store.read(CHECKPOINT)?;
        Ok(read(&store.read_ledger()?, checkpoint.as_deref())?)
    }

    /// The state that a ledger says, for display only: nothing is verified against the checkpoint.
    pub fn read_state(store: &dyn CaseStore) -> Result<IncidentState, JournalError> {
        Ok(replay(&store.read_ledger()?)?.state)
    }

    fn quarantine(&self, tail: &Tail) -> Result<(), JournalError> {
        let at = self.clock.now().strftime("%Y%m%dT%H%M%SZ");
        let file = self.write_file(&format!("quarantine/{at}-{}.bin", tail.offset), &tail.bytes)?;
        self.store.truncate_ledger(tail.offset)?;
        self.record(Event::TailQuarantined { file })?;
        self.checkpoint()
    }

    /// Appends an event and syncs it. The event is checked against the state first: an illegal one is not written.
    pub fn record(&self, event: Event) -> Result<u64, JournalError> {
        let mut inner = self.lock();
        if inner.poisoned {
            return Err(JournalError::Poisoned);
        }
        let now = self.clock.now();
        // A clock set back must not make the ledger unreadable; the gate notices it on its own.
        let time = inner.state.newest.map_or(now, |newest| now.max(newest));
        let entry = Entry { seq: inner.state.entries, time, event };
        let line = entry.encode().map_err(JournalError::Encode)?;
        // What is written must read back: a line that does not would be damage from then on.
        Entry::decode(&line).map_err(JournalError::Encode)?;
        inner.state.check(&entry)?;
        let mut bytes = line.clone();
        bytes.push(b'\n');
        if let Err(fault) = self.store.append_ledger(&bytes) {
            inner.poisoned = true;
            return Err(fault.into());
        }
        let seq = entry.seq;
        inner.state.apply(&entry)?;
        inner.tree.push(&line);
        inner.lines.push(line);
        inner.entries.push(entry);
        Ok(seq)
    }

    /// Writes a file of the case folder and returns its binding, to be put into an event.
    pub fn write_file(&self, path: &str, bytes: &[u8]) -> Result<FileBinding, JournalError> {
        self.store.write(path, bytes)?;
        Ok(FileBinding { path: path.to_owned(), bytes: bytes.len() as u64, sha256: Digest::of(bytes) })
    }

    /// Signs the root over all entries and replaces `checkpoint`.
    pub fn checkpoint(&self) -> Result<(), JournalError> {
        let mut inner = self.lock();
        if inner.poisoned {
            return Err(JournalError::Poisoned);
        }
        let Some(incident) = inner.state.incident.clone() else { return Err(LedgerError::Empty.into()) };
        let key = VerifierKey::new(&incident, self.machine.public());
        let head = Checkpoint { origin: origin(&incident), size: inner.tree.size(), root: inner.tree.root() };
        let signature = self.machine.sign(head.body().as_bytes());
        self.store.write(CHECKPOINT, head.encode(&key, &signature).as_bytes())?;
        inner.signed = head.size;
        Ok(())
    }

    /// Number of entries and the root over them.
    pub fn head(&self) -> (u64, Digest) {
        let inner = self.lock();
        (inner.tree.size(), inner.tree.root())
    }

    /// The state after the newest entry.
    pub fn state(&self) -> IncidentState {
        self.lock().state.clone()
    }

    /// Something of the state after the newest entry, without a copy of all of it.
    pub fn with_state<T>(&self, look: impl FnOnce(&IncidentState) -> T) -> T {
        look(&self.lock().state)
    }

    /// All entries.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
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

impl Drop for Journal {
    fn drop(&mut self) {
        let due = {
            let inner = self.lock();
            !inner.poisoned && inner.signed < inner.tree.size()
        };
        // The entries are on disk in any case; the signature over the newest is made again by the next writer.
        if due && let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the last checkpoint could not be signed");
        }
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
