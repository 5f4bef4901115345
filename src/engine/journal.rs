use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

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
        matches!(self, Self::Ledger(error) if !matches!(error, LedgerError::Read(_)))
    }
}

/// The single writer of a case's ledger. Every record is synced before it returns, so dropping it loses nothing; the
/// drop signs a last checkpoint if entries were added since the one before.
///
/// Records that come while the disk is busy are written together and share one sync: of those who wait, one writes for all.
pub struct Journal {
    store: Arc<dyn CaseStore>,
    clock: Arc<dyn Clock>,
    machine: Arc<dyn MachineKey>,
    /// What is on disk. Never locked while the disk is waited for, but by a checkpoint.
    inner: Mutex<Inner>,
    /// The state after what is being written too; of whoever writes. A copy of the state for each batch would make an append
    /// slower with every entry before it.
    ahead: Mutex<IncidentState>,
    queue: Mutex<Queue>,
    /// Somebody's records are on disk, or refused.
    ended: Condvar,
}

#[derive(Default)]
struct Inner {
    state: IncidentState,
    tree: Tree,
    signed: u64,
    poisoned: bool,
}

/// Events that wait to be written, by a number that is handed out in order, and what became of them.
#[derive(Default)]
struct Queue {
    next: u64,
    waiting: Vec<(u64, Event)>,
    ended: BTreeMap<u64, Result<u64, JournalError>>,
    /// Somebody writes.
    writing: bool,
}

/// Of a batch: who asked for each entry, and its line.
type Written = Vec<(u64, Entry, Vec<u8>)>;

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
        let journal = Self::over(store, clock, machine, Inner::default());
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
        let Verified { tree, state, signed, tail } = Self::verify(&store)?;
        if let Some(incident) = &state.incident {
            let present = VerifierKey::new(incident, machine.public()).to_string();
            if present != state.machine_key {
                return Err(JournalError::OtherMachine { named: state.machine_key, present });
            }
        }
        let inner = Inner { state, tree, signed, poisoned: false };
        let journal = Self::over(store, clock, machine, inner);
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
        Ok(read(store.open_ledger()?, checkpoint.as_deref(), drop)?)
    }

    /// Reads and verifies a ledger, and keeps its entries.
    pub fn verify_entries(store: &Arc<dyn CaseStore>) -> Result<(Verified, Vec<Entry>), JournalError> {
        let checkpoint = store.read(CHECKPOINT)?;
        let mut entries = Vec::new();
        let verified = read(store.open_ledger()?, checkpoint.as_deref(), |entry| entries.push(entry))?;
        Ok((verified, entries))
    }

    /// The state that a ledger says, for display only: nothing is verified against the checkpoint.
    pub fn read_state(store: &dyn CaseStore) -> Result<IncidentState, JournalError> {
        Ok(replay(store.open_ledger()?, drop)?.state)
    }

    fn quarantine(&self, tail: &Tail) -> Result<(), JournalError> {
        let at = self.clock.now().strftime("%Y%m%dT%H%M%SZ");
        let file = self.write_file(&format!("quarantine/{at}-{}.bin", tail.offset), &tail.bytes)?;
        self.store.truncate_ledger(tail.offset)?;
        self.record(Event::TailQuarantined { file })?;
        self.checkpoint()
    }

    fn over(store: Arc<dyn CaseStore>, clock: Arc<dyn Clock>, machine: Arc<dyn MachineKey>, inner: Inner) -> Self {
        let ahead = Mutex::new(inner.state.clone());
        Self { store, clock, machine, inner: Mutex::new(inner), ahead, queue: Mutex::default(), ended: Condvar::new() }
    }

    /// Appends an event; it is on disk when this returns. The event is checked against the state first: an illegal one is not
    /// written.
    pub fn record(&self, event: Event) -> Result<u64, JournalError> {
        let mut queue = self.queue();
        let number = queue.next;
        queue.next += 1;
        queue.waiting.push((number, event));
        loop {
            if let Some(ended) = queue.ended.remove(&number) {
                return ended;
            }
            if queue.writing {
                queue = self.ended.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.writing = true;
            let batch = std::mem::take(&mut queue.waiting);
            drop(queue);
            let turn = Turn { journal: self, numbers: batch.iter().map(|(number, _)| *number).collect() };
            let ended = self.write(batch);
            queue = self.queue();
            queue.ended.extend(ended);
            turn.over(queue);
            queue = self.queue();
        }
    }

    /// Writes a batch with one sync; what became of each of its events.
    fn write(&self, batch: Vec<(u64, Event)>) -> BTreeMap<u64, Result<u64, JournalError>> {
        let mut ended = BTreeMap::new();
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let poisoned = self.lock().poisoned;
        let mut written = Written::new();
        let mut bytes = Vec::new();
        for (number, event) in batch {
            let added = if poisoned { Err(JournalError::Poisoned) } else { self.add(&mut ahead, event) };
            match added {
                Ok((entry, line)) => {
                    bytes.extend_from_slice(&line);
                    bytes.push(b'\n');
                    written.push((number, entry, line));
                }
                Err(error) => drop(ended.insert(number, Err(error))),
            }
        }
        if written.is_empty() {
            return ended;
        }
        let appended = self.store.append_ledger(&bytes);
        let mut inner = self.lock();
        if let Err(fault) = appended {
            inner.poisoned = true;
            // One of them says why; for all it is uncertain what is on disk.
            ended.extend(written.iter().map(|(number, ..)| (*number, Err(JournalError::Poisoned))));
            ended.insert(written[0].0, Err(fault.into()));
            return ended;
        }
        for (number, entry, line) in written {
            // What may follow what lies ahead may follow here: both states are folds over the same entries.
            let applied = inner.state.apply(&entry);
            inner.poisoned |= applied.is_err();
            inner.tree.push(&line);
            ended.insert(number, applied.map(|()| entry.seq).map_err(JournalError::from));
        }
        ended
    }

    /// The event as the next entry after that state, which it is added to.
    fn add(&self, state: &mut IncidentState, event: Event) -> Result<(Entry, Vec<u8>), JournalError> {
        let now = self.clock.now();
        // A clock set back must not make the ledger unreadable; the gate notices it on its own.
        let time = state.newest.map_or(now, |newest| now.max(newest));
        let entry = Entry { seq: state.entries, time, event };
        let line = entry.encode().map_err(JournalError::Encode)?;
        // What is written must read back: a line that does not would be damage from then on.
        Entry::decode(&line).map_err(JournalError::Encode)?;
        state.apply(&entry)?;
        Ok((entry, line))
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

    /// How many entries the checkpoint does not cover yet.
    pub fn unsigned(&self) -> u64 {
        let inner = self.lock();
        inner.tree.size().saturating_sub(inner.signed)
    }

    /// Number of entries and the root over them.
    pub fn head(&self) -> (u64, Digest) {
        let inner = self.lock();
        (inner.tree.size(), inner.tree.root())
    }

    /// Something of the tree over all entries.
    pub fn with_tree<T>(&self, look: impl FnOnce(&Tree) -> T) -> T {
        look(&self.lock().tree)
    }

    /// The state after the newest entry.
    pub fn state(&self) -> IncidentState {
        self.lock().state.clone()
    }

    /// Something of the state after the newest entry, without a copy of all of it.
    pub fn with_state<T>(&self, look: impl FnOnce(&IncidentState) -> T) -> T {
        look(&self.lock().state)
    }

    /// All entries, read again.
    pub fn entries(&self) -> Result<Vec<Entry>, JournalError> {
        let decoded = (1..).zip(self.lines()?).map(|(line, bytes)| {
            Entry::decode(&bytes).map_err(|source| JournalError::Ledger(LedgerError::Damaged { line, source }))
        });
        decoded.collect()
    }

    /// The exact bytes of all entries, read again: the ones that were verified or written, or an error.
    pub fn lines(&self) -> Result<Vec<Vec<u8>>, JournalError> {
        let (signed, root) = self.head();
        let bytes = self.store.read_ledger()?;
        let whole = bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
        let mut tree = Tree::new();
        let mut lines = Vec::new();
        for line in whole.take(usize::try_from(signed).unwrap_or(usize::MAX)) {
            tree.push(line);
            lines.push(line.to_vec());
        }
        let (entries, found) = (tree.size(), tree.root());
        if entries != signed {
            return Err(LedgerError::Truncated { signed, entries }.into());
        }
        if found != root {
            return Err(LedgerError::Root { size: signed, signed: root, found }.into());
        }
        Ok(lines)
    }

    /// The case folder.
    pub fn store(&self) -> &Arc<dyn CaseStore> {
        &self.store
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One writer's turn. If it dies of a panic, nobody may wait for it for ever, nor write after what it left.
struct Turn<'a> {
    journal: &'a Journal,
    numbers: Vec<u64>,
}

impl Turn<'_> {
    fn over(mut self, mut queue: MutexGuard<'_, Queue>) {
        queue.writing = false;
        self.numbers.clear();
        drop(queue);
        self.journal.ended.notify_all();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.numbers.is_empty() {
            return;
        }
        self.journal.lock().poisoned = true;
        let mut queue = self.journal.queue();
        queue.ended.extend(self.numbers.iter().map(|number| (*number, Err(JournalError::Poisoned))));
        queue.writing = false;
        drop(queue);
        self.journal.ended.notify_all();
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
