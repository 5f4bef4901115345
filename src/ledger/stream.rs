use std::io::{self, Read};

use super::merkle::{Tree, leaf_hash};
use super::read::{LedgerError, check_head, head_key};
use super::{Entry, EntryError, IncidentState, MAX_ENTRY_BYTES};
use crate::domain::Digest;

/// Bytes that are read at once.
const CHUNK: usize = 2 << 20;

/// Threads that decode lines.
const THREADS: usize = 4;

/// A ledger that was read without keeping its entries: of a million it takes some 40 MiB.
#[derive(Debug, Clone, Default)]
pub struct Streamed {
    /// The Merkle tree over them.
    pub tree: Tree,
    /// The state after the last.
    pub state: IncidentState,
    /// Entries that the signed checkpoint covers.
    pub signed: u64,
}

/// Why a ledger can't be streamed.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It could not be read.
    #[error("failed to read the ledger")]
    Read(#[from] io::Error),
    /// It is not what was written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

type Line = Result<(Entry, Digest), EntryError>;

impl Streamed {
    /// Reads every line, replays it, and verifies the whole against the checkpoint. What follows the last line feed is the
    /// tail of a crash, and left out, if the checkpoint does not cover it.
    pub fn read(mut ledger: impl Read, checkpoint: Option<&[u8]>) -> Result<Self, StreamError> {
        let mut streamed = Self::default();
        let mut bytes = Vec::with_capacity(2 * CHUNK);
        loop {
            let before = bytes.len();
            let read = (&mut ledger).take(CHUNK as u64).read_to_end(&mut bytes)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            streamed.add(&bytes[..whole])?;
            bytes.drain(..whole);
            if read == 0 {
                break;
            }
            if bytes.len() > MAX_ENTRY_BYTES && before > MAX_ENTRY_BYTES {
                let line = streamed.tree.size() + 1;
                return Err(LedgerError::Damaged { line, source: EntryError::TooLong }.into());
            }
        }
        if streamed.tree.size() == 0 {
            return Err(LedgerError::Empty.into());
        }
        let key = head_key(&streamed.state)?;
        streamed.signed = check_head(&streamed.tree, &key, checkpoint, None)?;
        Ok(streamed)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), LedgerError> {
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        for read in decode(&lines) {
            let (entry, leaf) = read.map_err(|source| LedgerError::Damaged { line: self.tree.size() + 1, source })?;
            self.state.apply(&entry)?;
            self.tree.push_leaf(leaf);
        }
        Ok(())
    }
}

/// Decodes lines, which depend on nothing before them, on several threads; the order stays.
fn decode(lines: &[&[u8]]) -> Vec<Line> {
    let one = |line: &&[u8]| {
        let line = line.strip_suffix(b"\n").ok_or(EntryError::Torn)?;
        Entry::decode(line).map(|entry| (entry, leaf_hash(line)))
    };
    if lines.len() < 1000 {
        return lines.iter().map(one).collect();
    }
    let parts = lines.chunks(lines.len().div_ceil(THREADS));
    std::thread::scope(|scope| {
        let work = |part| {
            scope.spawn(move || {
                let part: &[&[u8]] = part;
                part.iter().map(one).collect::<Vec<Line>>()
            })
        };
        let running: Vec<_> = parts.map(work).collect();
        // A thread can only die of a panic, of which there is none here; its lines would be missing, and the root with them.
        running.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;
    use crate::domain::{IncidentId, Timestamp};
    use crate::ledger::{Checkpoint, Event, VerifierKey, read};

    fn ledger(entries: u64) -> (Vec<u8>, String) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let incident: IncidentId = "inc-1".parse().unwrap();
        let key = VerifierKey::new(&incident, pair.public_key().as_ref().try_into().unwrap());
        let (mut bytes, mut tree) = (Vec::new(), Tree::new());
        for seq in 0..entries {
            let event = if seq == 0 {
                Event::IncidentOpened {
                    incident: incident.clone(),
                    reason: "test".into(),
                    operator: "dana".into(),
                    compromised: Vec::new(),
                    nonce: String::new(),
                    machine_key: key.to_string(),
                    policies: std::collections::BTreeMap::new(),
                    version: "0".into(),
                }
            } else {
                Event::PauseProof { refused: true, pause_ms: seq, detail: "P0001".into() }
            };
            let line = Entry { seq, time: Timestamp::UNIX_EPOCH, event }.encode().unwrap();
            tree.push(&line);
            bytes.extend_from_slice(&line);
            bytes.push(b'\n');
        }
        let head = Checkpoint { origin: key.name().into(), size: entries, root: tree.root() };
        let note = head.encode(&key, &pair.sign(head.body().as_bytes()).as_ref().try_into().unwrap());
        (bytes, note)
    }

    #[test]
    fn it_says_what_reading_it_whole_says() {
        for entries in [1, 2, 999, 1000, 2500] {
            let (bytes, note) = ledger(entries);
            let whole = read(&bytes, Some(note.as_bytes())).unwrap();
            let streamed = Streamed::read(bytes.as_slice(), Some(note.as_bytes())).unwrap();
            assert_eq!((streamed.state, streamed.tree.root()), (whole.state, whole.tree.root()));
            assert_eq!(streamed.signed, entries);
        }
    }

    #[test]
    fn damage_is_found_whatever_thread_reads_it() {
        let (bytes, note) = ledger(1500);
        let stream = |bytes: &[u8]| Streamed::read(bytes, Some(note.as_bytes()));
        for at in [40, bytes.len() / 3, bytes.len() / 2, bytes.len() - 30] {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(stream(&bad).is_err(), "{at}");
        }
        let cut = bytes.len() / 2;
        assert!(matches!(stream(&bytes[..cut]), Err(StreamError::Ledger(LedgerError::Truncated { signed: 1500, .. }))));
        assert!(matches!(stream(b""), Err(StreamError::Ledger(LedgerError::Empty))));
        assert!(matches!(Streamed::read(&bytes[..], None), Err(StreamError::Ledger(LedgerError::NoCheckpoint { .. }))));
        let torn = [bytes.as_slice(), b"{\"v\":1,"].concat();
        assert_eq!(stream(&torn).unwrap().signed, 1500, "what a crash left behind");
    }
}
