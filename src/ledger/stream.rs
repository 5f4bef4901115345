//! A ledger read piece by piece: lines are decoded and hashed on several threads, and replayed in their order.

use std::io::Read;

use super::merkle::leaf_hash;
use super::read::{LedgerError, Tail, Verified};
use super::{Entry, EntryError};
use crate::domain::Digest;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// Threads that decode lines.
const THREADS: usize = 4;

/// Fewer lines are not worth a thread more.
const FEW: usize = 500;

/// The first line that is no entry.
pub(super) struct Damage {
    /// Line, from 1.
    pub(super) line: u64,
    pub(super) source: EntryError,
}

/// Reads and replays every line. What follows the last whole entry is the tail of a crash; how its first line is damaged is
/// returned beside it.
pub(super) fn replay_all(
    mut ledger: impl Read,
    each: impl FnMut(Entry),
) -> Result<(Verified, Option<Damage>), LedgerError> {
    let mut replay = Replay { verified: Verified::default(), offset: 0, damage: None, tail: Vec::new(), each };
    let (mut decoded, mut next) = (Piece::default(), Piece::default());
    let mut rest = Vec::new();
    while next.read(&mut ledger, &mut rest)? {
        // Lines are replayed one after the other, while the next ones are decoded.
        next.decode_beside(|| replay.add(&mut decoded))?;
        std::mem::swap(&mut decoded, &mut next);
    }
    replay.add(&mut decoded)?;
    replay.end(&rest)
}

/// Some whole lines.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

type Line = Result<(Entry, Digest), EntryError>;

impl Piece {
    /// Reads on to the end of some line, after the bytes that are left; `false` if there is none. What has no end yet is left.
    fn read(&mut self, ledger: &mut impl Read, rest: &mut Vec<u8>) -> Result<bool, LedgerError> {
        self.bytes.clear();
        loop {
            let before = rest.len();
            let read = ledger.take(CHUNK as u64).read_to_end(rest)?;
            if let Some(last) = rest[before..].iter().rposition(|byte| *byte == b'\n') {
                let whole = before + last + 1;
                self.bytes.extend_from_slice(&rest[..whole]);
                rest.drain(..whole);
                return Ok(true);
            }
            if read == 0 {
                return Ok(false);
            }
        }
    }

    /// Decodes the lines, which depend on nothing before them, on several threads, and does something else meanwhile.
    fn decode_beside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let lines: Vec<&[u8]> = split(&self.bytes).collect();
        self.lines.clear();
        self.lines.resize_with(lines.len(), || Err(EntryError::Torn));
        let part = lines.len().div_ceil(THREADS).max(FEW);
        // A thread that dies takes the scope with it: no line can be missing.
        std::thread::scope(|scope| {
            for (lines, decoded) in lines.chunks(part).zip(self.lines.chunks_mut(part)) {
                scope.spawn(move || {
                    for (line, decoded) in lines.iter().zip(decoded) {
                        *decoded = decode(line);
                    }
                });
            }
            work()
        })
    }
}

fn split(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n')
}

fn decode(line: &[u8]) -> Line {
    let line = line.strip_suffix(b"\n").ok_or(EntryError::Torn)?;
    Entry::decode(line).map(|entry| (entry, leaf_hash(line)))
}

struct Replay<F> {
    verified: Verified,
    /// Length of the whole entries in bytes.
    offset: u64,
    damage: Option<Damage>,
    tail: Vec<u8>,
    each: F,
}

impl<F: FnMut(Entry)> Replay<F> {
    /// Adds lines that were decoded.
    fn add(&mut self, piece: &mut Piece) -> Result<(), LedgerError> {
        for (line, read) in split(&piece.bytes).zip(piece.lines.drain(..)) {
            match (read, self.damage.take()) {
                (Ok((entry, leaf)), None) => {
                    self.verified.state.apply(&entry)?;
                    self.verified.tree.push_leaf(leaf);
                    self.offset += line.len() as u64;
                    (self.each)(entry);
                }
                // A whole entry after a damaged one: this was no crash.
                (Ok(_), Some(Damage { line, source })) => return Err(LedgerError::Damaged { line, source }),
                (Err(source), damage) => self.damaged(line, damage.unwrap_or(self.damage_here(source))),
            }
        }
        Ok(())
    }

    fn damage_here(&self, source: EntryError) -> Damage {
        Damage { line: self.verified.tree.size() + 1, source }
    }

    fn damaged(&mut self, bytes: &[u8], first: Damage) {
        self.damage = Some(first);
        self.tail.extend_from_slice(bytes);
    }

    /// Ends with what has no line feed.
    fn end(mut self, rest: &[u8]) -> Result<(Verified, Option<Damage>), LedgerError> {
        if !rest.is_empty() {
            let first = self.damage.take().unwrap_or(self.damage_here(EntryError::Torn));
            self.damaged(rest, first);
        }
        if self.verified.tree.size() == 0 {
            return Err(LedgerError::Empty);
        }
        if self.damage.is_some() {
            self.verified.tail = Some(Tail { offset: self.offset, bytes: self.tail });
        }
        Ok((self.verified, self.damage))
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;
    use crate::domain::{IncidentId, Timestamp};
    use crate::ledger::merkle::Tree;
    use crate::ledger::{Checkpoint, Event, IncidentState, VerifierKey, read};

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
                Event::PauseProof { refused: true, pause_ms: seq, detail: "P0001 ".repeat(80) }
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
    fn every_line_is_replayed_hashed_and_handed_on_in_order() {
        for count in [1, 2, 999, 1000, 2500] {
            let (bytes, note) = ledger(count);
            let mut entries = Vec::new();
            let verified = read(bytes.as_slice(), Some(note.as_bytes()), |entry| entries.push(entry)).unwrap();
            let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let mut tree = Tree::new();
            for (entry, line) in entries.iter().zip(&lines) {
                let line = line.strip_suffix(b"\n").unwrap();
                assert_eq!(entry, &Entry::decode(line).unwrap());
                tree.push(line);
            }
            assert_eq!((entries.len(), verified.signed), (lines.len(), count));
            assert_eq!(verified.tree.root(), tree.root());
            assert_eq!(verified.state, IncidentState::replay(&entries).unwrap());
            assert_eq!(verified.tail, None);
        }
    }

    #[test]
    fn damage_is_found_whatever_thread_reads_it() {
        let (bytes, note) = ledger(2500);
        assert!(bytes.len() > CHUNK, "it is read in pieces");
        let read = |bytes: &[u8]| read(bytes, Some(note.as_bytes()), drop);
        for at in [40, bytes.len() / 3, bytes.len() / 2, bytes.len() - 30] {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(read(&bad).is_err(), "{at}");
        }
        let cut = bytes.len() / 2;
        assert!(matches!(read(&bytes[..cut]), Err(LedgerError::Damaged { source: EntryError::Torn, .. })));
        let cut = bytes[..cut].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        assert!(matches!(read(&bytes[..cut]), Err(LedgerError::Truncated { signed: 2500, .. })));
        assert!(matches!(read(b""), Err(LedgerError::Empty)));
        assert!(matches!(super::super::read(&bytes[..], None, drop), Err(LedgerError::NoCheckpoint { .. })));
    }

    #[test]
    fn a_tail_is_all_that_follows_the_last_whole_entry_wherever_the_pieces_end() {
        let (bytes, note) = ledger(3);
        let (long, empty) = (vec![b'x'; 2 * CHUNK + 7], vec![b'\n'; CHUNK + 1]);
        for junk in [&b"{\"v\":1,"[..], b"junk\n", b"a\nb\nc", &long, &empty] {
            let torn = [bytes.as_slice(), junk].concat();
            let verified = read(torn.as_slice(), Some(note.as_bytes()), drop).unwrap();
            assert_eq!(verified.signed, 3);
            assert_eq!(verified.tail, Some(Tail { offset: bytes.len() as u64, bytes: junk.to_vec() }));
        }
        // A whole entry behind damage was not left by a crash.
        let first = &bytes[..=bytes.iter().position(|byte| *byte == b'\n').unwrap()];
        let mended = [bytes.as_slice(), &long, b"\n", first].concat();
        let found = read(mended.as_slice(), Some(note.as_bytes()), drop);
        assert!(matches!(found, Err(LedgerError::Damaged { line: 4, .. })), "{found:?}");
    }

    #[test]
    fn a_disk_that_fails_is_not_called_damage() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("the disk is broken"))
            }
        }
        assert!(matches!(read(Broken, None, drop), Err(LedgerError::Read(_))));
    }
}
