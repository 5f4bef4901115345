use std::io::{self, Read};

use super::merkle::Tree;
use super::stream::{Damage, replay_all};
use super::{Checkpoint, CheckpointError, Entry, EntryError, IncidentState, ReplayError, VerifierKey};
use crate::domain::Digest;

/// A ledger whose every line was read and replayed, and that fits its checkpoint. Its entries are not kept: of a million this
/// takes some 40 MiB.
#[derive(Debug, Clone, Default)]
pub struct Verified {
    /// The Merkle tree over the exact bytes of the entries, without line feeds.
    pub tree: Tree,
    /// The state after the last.
    pub state: IncidentState,
    /// Entries that the signed checkpoint covers.
    pub signed: u64,
    /// Bytes after the last whole entry, left by a crash.
    pub tail: Option<Tail>,
}

/// A torn tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Where it starts: the length of the whole part in bytes.
    pub offset: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Why a ledger is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Its bytes could not be read: nothing is said about them.
    #[error("failed to read the ledger")]
    Read(#[from] io::Error),
    /// There is no whole first entry.
    #[error("the ledger has no entry")]
    Empty,
    /// A line that is not the last, or that the checkpoint covers, is damaged.
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
    /// The first entry names no usable machine key.
    #[error("the first entry names no usable machine key")]
    MachineKey(#[source] CheckpointError),
    /// The checkpoint is gone.
    #[error("the ledger has {entries} entries, but its signed checkpoint is missing")]
    NoCheckpoint {
        /// Entries found.
        entries: u64,
    },
    /// The checkpoint is damaged or signed by somebody else.
    #[error("the checkpoint is not valid")]
    Checkpoint(#[source] CheckpointError),
    /// Entries were cut off.
    #[error("the ledger was cut: the signed checkpoint covers {signed} entries, {entries} whole ones are there")]
    Truncated {
        /// Entries that the checkpoint covers.
        signed: u64,
        /// Entries found.
        entries: u64,
    },
    /// Entries were changed.
    #[error("entries were changed: the first {size} have root {found}, the signed checkpoint says {signed}")]
    Root {
        /// Entries that the checkpoint covers.
        size: u64,
        /// Root in the checkpoint.
        signed: Digest,
        /// Root over the entries.
        found: Digest,
    },
}

/// Reads and replays a ledger, without a checkpoint: what it says, not that it is true. Each entry is handed to `each`, in
/// order.
///
/// A torn tail is what follows the last whole entry, with no whole entry inside; anything else that does not read is damage.
pub fn replay(ledger: impl Read, each: impl FnMut(Entry)) -> Result<Verified, LedgerError> {
    Ok(replay_all(ledger, each)?.0)
}

/// Reads a ledger and verifies it against the checkpoint's bytes. Each entry is handed to `each`, in order, before the whole was
/// verified. A torn tail is legal only beyond what the checkpoint covers.
pub fn read(ledger: impl Read, checkpoint: Option<&[u8]>, each: impl FnMut(Entry)) -> Result<Verified, LedgerError> {
    let (mut verified, damage) = replay_all(ledger, each)?;
    let key = head_key(&verified.state)?;
    verified.signed = check_head(&verified.tree, &key, checkpoint, damage)?;
    Ok(verified)
}

/// The key that the first entry names, which must be this incident's.
fn head_key(state: &IncidentState) -> Result<VerifierKey, LedgerError> {
    let key: VerifierKey = state.machine_key.parse().map_err(LedgerError::MachineKey)?;
    if state.incident.as_ref().is_none_or(|incident| super::origin(incident) != key.name()) {
        return Err(LedgerError::MachineKey(CheckpointError::Key("it belongs to another incident")));
    }
    Ok(key)
}

/// Number of entries that the checkpoint covers, which must be the ones of the tree.
fn check_head(
    tree: &Tree,
    key: &VerifierKey,
    checkpoint: Option<&[u8]>,
    damage: Option<Damage>,
) -> Result<u64, LedgerError> {
    let entries = tree.size();
    let Some(note) = checkpoint else {
        // The first entry is synced before the first checkpoint is written: a crash may fall between.
        return if entries == 1 { Ok(0) } else { Err(LedgerError::NoCheckpoint { entries }) };
    };
    let checkpoint = Checkpoint::verify(note, key).map_err(LedgerError::Checkpoint)?;
    let Some(found) = tree.root_at(checkpoint.size) else {
        return Err(match damage {
            Some(Damage { line, source }) => LedgerError::Damaged { line, source },
            None => LedgerError::Truncated { signed: checkpoint.size, entries },
        });
    };
    if found != checkpoint.root {
        return Err(LedgerError::Root { size: checkpoint.size, signed: checkpoint.root, found });
    }
    Ok(checkpoint.size)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
