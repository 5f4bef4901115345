//! A ledger is believed as far as a checkpoint of its own machine says, and no further.

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::domain::{IncidentId, Timestamp};
use crate::ledger::Event;

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

fn machine(incident: &str) -> VerifierKey {
    let incident = IncidentId::new(incident).unwrap();
    VerifierKey::new(&incident, pair().public_key().as_ref().try_into().unwrap())
}

/// Lines of a ledger of `inc-1` that names that key.
fn lines(machine_key: &str, entries: u64) -> Vec<Vec<u8>> {
    let opened = Event::IncidentOpened {
        incident: "inc-1".parse().unwrap(),
        reason: String::new(),
        operator: "dana".into(),
        compromised: Vec::new(),
        nonce: String::new(),
        machine_key: machine_key.into(),
        policies: std::collections::BTreeMap::new(),
        version: String::new(),
    };
    let proof = |seq: u64| Event::PauseProof { refused: true, pause_ms: seq, detail: String::new() };
    let entry = |seq: u64| Entry {
        seq,
        time: Timestamp::UNIX_EPOCH,
        event: if seq == 0 { opened.clone() } else { proof(seq) },
    };
    (0..entries).map(|seq| entry(seq).encode().unwrap()).collect()
}

/// The machine's checkpoint over these lines.
fn checkpoint(lines: &[Vec<u8>]) -> Vec<u8> {
    let (key, mut tree) = (machine("inc-1"), Tree::new());
    for line in lines {
        tree.push(line);
    }
    let head = Checkpoint { origin: key.name().into(), size: tree.size(), root: tree.root() };
    head.encode(&key, &pair().sign(head.body().as_bytes()).as_ref().try_into().unwrap()).into_bytes()
}

fn bytes(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect()
}

fn verified(lines: &[Vec<u8>], checkpoint: Option<&[u8]>) -> Result<Verified, LedgerError> {
    read(bytes(lines).as_slice(), checkpoint, drop)
}

fn whole(entries: u64) -> Vec<Vec<u8>> {
    lines(&machine("inc-1").to_string(), entries)
}

#[test]
fn the_checkpoint_covers_the_entries_that_it_signs_and_later_ones_may_follow() {
    let lines = whole(4);
    for signed in 1..=4 {
        let note = checkpoint(&lines[..signed]);
        let read = verified(&lines, Some(&note)).unwrap();
        assert_eq!((read.signed, read.tree.size(), read.state.entries), (signed as u64, 4, 4));
    }
    let cut = verified(&lines[..2], Some(&checkpoint(&lines)));
    assert!(matches!(cut, Err(LedgerError::Truncated { signed: 4, entries: 2 })), "{cut:?}");
}

#[test]
fn only_a_ledger_of_one_entry_may_be_without_a_checkpoint() {
    assert_eq!(verified(&whole(1), None).unwrap().signed, 0);
    assert!(matches!(verified(&whole(2), None), Err(LedgerError::NoCheckpoint { entries: 2 })));
    assert!(matches!(verified(&[], None), Err(LedgerError::Empty)));
}

#[test]
fn a_changed_entry_and_a_foreign_checkpoint_are_named() {
    let (lines, mut changed) = (whole(3), whole(3));
    let note = checkpoint(&lines);
    let other = String::from_utf8(changed[1].clone()).unwrap().replace("\"pause_ms\":1", "\"pause_ms\":2");
    changed[1] = other.into_bytes();
    let found = verified(&changed, Some(&note));
    assert!(matches!(found, Err(LedgerError::Root { size: 3, .. })), "{found:?}");
    let found = verified(&lines, Some(b"no note"));
    assert!(matches!(found, Err(LedgerError::Checkpoint(CheckpointError::Malformed(_)))), "{found:?}");
    let after_damage = [lines[0].clone(), b"junk".to_vec()];
    let found = verified(&after_damage, Some(&note));
    assert!(matches!(found, Err(LedgerError::Damaged { line: 2, .. })), "{found:?}");
}

#[test]
fn the_first_entry_must_name_a_key_and_of_this_incident() {
    let note = checkpoint(&whole(1));
    for key in ["", "portcullis/inc-1+00000000+AAAA"] {
        let found = verified(&lines(key, 1), Some(&note));
        assert!(matches!(found, Err(LedgerError::MachineKey(CheckpointError::Key(_)))), "{found:?}");
    }
    let found = verified(&lines(&machine("inc-2").to_string(), 1), None);
    assert!(
        matches!(found, Err(LedgerError::MachineKey(CheckpointError::Key(why))) if why.contains("another incident")),
        "{found:?}"
    );
}

#[test]
fn what_a_ledger_says_can_be_read_without_asking_whether_it_is_true() {
    let mut seen = Vec::new();
    let lines = lines("no key at all", 3);
    let read = replay(bytes(&lines).as_slice(), |entry| seen.push(entry.seq)).unwrap();
    assert_eq!((seen, read.signed, read.state.entries, read.tail), (vec![0, 1, 2], 0, 3, None));
    let mut tree = Tree::new();
    for line in &lines {
        tree.push(line);
    }
    assert_eq!(read.tree.root(), tree.root());
}
