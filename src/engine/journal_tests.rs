use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::domain::{FingerprintKey, IncidentId, Timestamp};
use crate::ports::FaultKind;

struct Seconds(AtomicI64);

impl Clock for Seconds {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

struct Key(u8);

impl Key {
    fn pair(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[self.0; 32]).unwrap()
    }
}

impl MachineKey for Key {
    fn public(&self) -> [u8; 32] {
        self.pair().public_key().as_ref().try_into().unwrap()
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair().sign(message).as_ref().try_into().unwrap()
    }
    fn fingerprints(&self) -> FingerprintKey {
        FingerprintKey::new(&[self.0])
    }
}

/// A case folder in memory; its appends fail, are slow or panic when told to.
#[derive(Default)]
struct Memory {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    full: AtomicBool,
    slow: AtomicBool,
    panics: AtomicBool,
    appends: AtomicI64,
}

impl Memory {
    fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.files.lock().unwrap().entry(path.to_owned()).or_default());
    }
}

impl CaseStore for Memory {
    fn location(&self) -> &Path {
        Path::new("memory")
    }
    fn read_ledger(&self) -> Result<Vec<u8>, Fault> {
        Ok(self.read(LEDGER)?.unwrap_or_default())
    }
    fn append_ledger(&self, line: &[u8]) -> Result<(), Fault> {
        if self.full.load(Ordering::SeqCst) {
            return Err(Fault::new(FaultKind::Unavailable, "the disk is full"));
        }
        assert!(!self.panics.load(Ordering::SeqCst), "on purpose");
        if self.slow.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.appends.fetch_add(1, Ordering::SeqCst);
        self.change(LEDGER, |bytes| bytes.extend_from_slice(line));
        Ok(())
    }
    fn truncate_ledger(&self, bytes: u64) -> Result<(), Fault> {
        self.change(LEDGER, |old| old.truncate(usize::try_from(bytes).unwrap()));
        Ok(())
    }
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.files.lock().unwrap().get(path).cloned())
    }
    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Fault> {
        self.change(path, |old| *old = bytes.to_vec());
        Ok(())
    }
    fn list(&self, _path: &str) -> Result<Vec<String>, Fault> {
        Ok(Vec::new())
    }
    fn walk(&self) -> Result<Vec<String>, Fault> {
        Ok(self.files.lock().unwrap().keys().cloned().collect())
    }
}

struct Case {
    store: Arc<Memory>,
    clock: Arc<Seconds>,
}

impl Case {
    /// Three entries, the checkpoint over the first two: as after a kill.
    fn new() -> Self {
        let case = Self { store: Arc::default(), clock: Arc::new(Seconds(AtomicI64::new(1_800_000_000))) };
        let opened = Event::IncidentOpened {
            incident: IncidentId::new("inc-1").unwrap(),
            reason: "test".into(),
            operator: "dana".into(),
            compromised: Vec::new(),
            nonce: "00".repeat(16),
            machine_key: String::new(),
            policies: BTreeMap::new(),
            version: "0".into(),
        };
        let journal = Journal::create(case.store.clone(), case.clock.clone(), Arc::new(Key(1)), opened).unwrap();
        journal.record(proof(1)).unwrap();
        journal.checkpoint().unwrap();
        let checkpoint = case.store.read(CHECKPOINT).unwrap().unwrap();
        journal.record(proof(2)).unwrap();
        drop(journal);
        case.store.write(CHECKPOINT, &checkpoint).unwrap();
        case
    }

    fn open(&self) -> Result<Journal, JournalError> {
        Journal::open(self.store.clone(), self.clock.clone(), Arc::new(Key(1)))
    }

    fn ledger(&self) -> Vec<u8> {
        self.store.read_ledger().unwrap()
    }

    fn refused(&self) -> LedgerError {
        match self.open().err().expect("it must not open") {
            JournalError::Ledger(error) => error,
            other => panic!("{other:?}"),
        }
    }
}

fn proof(pause_ms: u64) -> Event {
    Event::PauseProof { refused: true, pause_ms, detail: "refused".into() }
}

#[test]
fn it_reopens_goes_on_and_signs_when_dropped() {
    let case = Case::new();
    let journal = case.open().unwrap();
    assert_eq!(journal.head().0, 3);
    assert_eq!(journal.record(proof(3)).unwrap(), 3);
    drop(journal);
    let store: Arc<dyn CaseStore> = case.store.clone();
    let verified = Journal::verify(&store).unwrap();
    assert_eq!((verified.signed, verified.tree.size()), (4, 4));
}

#[test]
fn entries_are_read_again_and_held_against_what_was_verified() {
    let case = Case::new();
    let journal = case.open().unwrap();
    let good = case.ledger();
    assert_eq!(journal.lines().unwrap().join(&b"\n"[..]), good[..good.len() - 1]);
    assert_eq!(journal.entries().unwrap()[2].event, proof(2));
    // More behind them is not theirs; less, or other, is no ledger of theirs.
    case.store.change(LEDGER, |bytes| bytes.extend_from_slice(b"more\n"));
    assert_eq!(journal.lines().unwrap().len(), 3);
    case.store.change(LEDGER, |bytes| bytes.truncate(good.len() - 1));
    let refused = journal.entries();
    assert!(matches!(refused, Err(JournalError::Ledger(LedgerError::Truncated { signed: 3, entries: 2 }))));
    let other = String::from_utf8(good.clone()).unwrap().replace("\"pause_ms\":2", "\"pause_ms\":9");
    case.store.change(LEDGER, |bytes| *bytes = other.into_bytes());
    assert!(matches!(journal.lines(), Err(JournalError::Ledger(LedgerError::Root { size: 3, .. }))));
    case.store.change(LEDGER, |bytes| *bytes = good);
}

#[test]
fn a_torn_tail_is_put_aside_and_recorded() {
    for tail in [&b"{\"v\":1,\"seq\":3"[..], b"\0\0\0\0\n", b"half\nother\nhal", b"\n"] {
        let case = Case::new();
        let whole = case.ledger();
        case.store.change(LEDGER, |bytes| bytes.extend_from_slice(tail));
        let journal = case.open().unwrap();
        assert!(case.ledger().starts_with(&whole));
        let Event::TailQuarantined { file } = journal.entries().unwrap()[3].event.clone() else { panic!() };
        assert!(file.path.starts_with("quarantine/2027"), "{}", file.path);
        assert_eq!(case.store.read(&file.path).unwrap().unwrap(), tail);
        drop(journal);
        case.open().unwrap();
    }
}

#[test]
fn an_entry_without_its_line_feed_is_a_torn_tail_only_beyond_the_checkpoint() {
    let case = Case::new();
    case.store.change(LEDGER, |bytes| bytes.truncate(bytes.len() - 1));
    assert_eq!(case.open().unwrap().entries().unwrap().len(), 3);
    let case = Case::new();
    let signed = case.ledger().iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0;
    case.store.change(LEDGER, |bytes| bytes.truncate(signed));
    assert!(matches!(case.refused(), LedgerError::Damaged { line: 2, .. }));
}

#[test]
fn damage_is_told_apart_and_never_repaired() {
    let case = Case::new();
    let good = case.ledger();
    let lines: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
    case.store.change(LEDGER, |bytes| *bytes = lines[0].to_vec());
    assert!(matches!(case.refused(), LedgerError::Truncated { signed: 2, entries: 1 }));
    case.store.change(LEDGER, |bytes| *bytes = [lines[0], b"junk\n", lines[2]].concat());
    assert!(matches!(case.refused(), LedgerError::Damaged { line: 2, .. }));
    let other = String::from_utf8(good.clone()).unwrap().replace("\"pause_ms\":1", "\"pause_ms\":9");
    case.store.change(LEDGER, |bytes| *bytes = other.into_bytes());
    assert!(matches!(case.refused(), LedgerError::Root { size: 2, .. }));
    case.store.change(LEDGER, |bytes| *bytes = [lines[0], lines[2]].concat());
    assert!(matches!(case.refused(), LedgerError::Replay(_)));
    case.store.change(LEDGER, Vec::clear);
    assert!(matches!(case.refused(), LedgerError::Empty));
    case.store.change(LEDGER, |bytes| *bytes = good.clone());
    let checkpoint = case.store.files.lock().unwrap().remove(CHECKPOINT).unwrap();
    assert!(matches!(case.refused(), LedgerError::NoCheckpoint { entries: 3 }));
    case.store.write(CHECKPOINT, &checkpoint[1..]).unwrap();
    assert!(matches!(case.refused(), LedgerError::Checkpoint(_)));
    case.store.write(CHECKPOINT, &checkpoint).unwrap();
    assert_eq!(case.ledger(), good);
    case.open().unwrap();
}

#[test]
fn entries_resealed_with_another_key_are_refused() {
    let case = Case::new();
    let head = read(case.ledger().as_slice(), case.store.read(CHECKPOINT).unwrap().as_deref(), drop).unwrap();
    let incident = IncidentId::new("inc-1").unwrap();
    let checkpoint = Checkpoint { origin: origin(&incident), size: 3, root: head.tree.root() };
    let signature = Key(2).sign(checkpoint.body().as_bytes());
    let note = checkpoint.encode(&VerifierKey::new(&incident, Key(2).public()), &signature);
    case.store.write(CHECKPOINT, note.as_bytes()).unwrap();
    assert!(matches!(case.refused(), LedgerError::Checkpoint(_)));
}

#[test]
fn another_machine_can_read_but_not_go_on() {
    let case = Case::new();
    let error = Journal::open(case.store.clone(), case.clock.clone(), Arc::new(Key(2))).err().unwrap();
    assert!(matches!(error, JournalError::OtherMachine { .. }));
}

#[test]
fn a_clock_set_back_does_not_turn_time_back() {
    let case = Case::new();
    case.clock.0.store(1_700_000_000, Ordering::SeqCst);
    let journal = case.open().unwrap();
    journal.record(proof(3)).unwrap();
    let entries = journal.entries().unwrap();
    assert_eq!(entries[3].time, entries[2].time);
}

#[test]
fn a_failed_append_stops_everything_until_reopened() {
    let case = Case::new();
    let journal = case.open().unwrap();
    case.store.full.store(true, Ordering::SeqCst);
    assert!(matches!(journal.record(proof(3)), Err(JournalError::Store(_))));
    case.store.full.store(false, Ordering::SeqCst);
    assert!(matches!(journal.record(proof(3)), Err(JournalError::Poisoned)));
    assert!(matches!(journal.checkpoint(), Err(JournalError::Poisoned)));
    drop(journal);
    assert_eq!(case.open().unwrap().record(proof(3)).unwrap(), 3);
}

#[test]
fn an_illegal_event_or_one_that_would_not_read_back_is_not_written() {
    let case = Case::new();
    let journal = case.open().unwrap();
    let before = case.ledger();
    let outcome = Event::StepOutcome {
        step: "x".parse().unwrap(),
        attempt: 1,
        outcome: crate::domain::Outcome::Done,
        elapsed_ms: 1,
        detail: String::new(),
    };
    assert!(matches!(journal.record(outcome), Err(JournalError::Replay(_))));
    let long = Event::PauseProof { refused: true, pause_ms: 1, detail: "x".repeat(5 << 20) };
    assert!(matches!(journal.record(long), Err(JournalError::Encode(_))));
    assert_eq!(case.ledger(), before);
    assert_eq!(journal.record(proof(3)).unwrap(), 3);
}

#[test]
fn a_refused_event_leaves_the_state_as_it_was() {
    let case = Case::new();
    let journal = case.open().unwrap();
    let before = journal.state();
    let staged = |generation| Event::CredentialStaged {
        credential: crate::domain::CredentialId::new("key").unwrap(),
        generation,
        old: None,
        new: Some(Key(1).fingerprints().fingerprint("x")),
        token: "t".into(),
    };
    let proven = Event::CredentialProof {
        credential: crate::domain::CredentialId::new("key").unwrap(),
        generation: 7,
        new_accepted: true,
        old_refused: true,
        strength: "server".into(),
        detail: String::new(),
    };
    let resumed = Event::IncidentResumed {
        record: Digest::of(b""),
        operator: "somebody new".into(),
        monitor_until: case.clock.now(),
    };
    for illegal in [staged(2), proven, resumed] {
        assert!(matches!(journal.record(illegal), Err(JournalError::Replay(_))));
        assert_eq!(journal.state(), before);
    }
    journal.record(staged(1)).unwrap();
    assert_ne!(journal.state(), before);
    let folded = IncidentState::replay(&journal.entries().unwrap()).unwrap();
    assert_eq!(journal.state(), folded, "kept in place, it is what the ledger says");
}

#[test]
fn a_first_entry_that_was_never_signed_is_signed_before_a_second_is_written() {
    let case = Case::new();
    let first = case.ledger().iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for tail in [&b""[..], b"{\"v\":1"] {
        case.store.files.lock().unwrap().remove(CHECKPOINT);
        case.store.change(LEDGER, |bytes| {
            bytes.truncate(first);
            bytes.extend_from_slice(tail);
        });
        let journal = case.open().unwrap();
        let checkpoint = case.store.read(CHECKPOINT).unwrap().unwrap();
        journal.record(proof(1)).unwrap();
        drop(journal);
        // Killed before the next signature.
        case.store.write(CHECKPOINT, &checkpoint).unwrap();
        case.open().unwrap();
    }
}

/// What each of as many threads is told when all record at once; a panic counts as a refusal.
fn all_at_once(journal: &Journal, threads: u64) -> Vec<Result<u64, JournalError>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|n| scope.spawn(move || journal.record(proof(n)))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(Err(JournalError::Exists))).collect()
    })
}

#[test]
fn those_who_wait_share_a_sync_and_each_is_told_after_it() {
    let case = Case::new();
    let journal = case.open().unwrap();
    case.store.slow.store(true, Ordering::SeqCst);
    let before = case.store.appends.load(Ordering::SeqCst);
    let mut told: Vec<u64> = all_at_once(&journal, 40).into_iter().map(Result::unwrap).collect();
    for (n, seq) in told.iter().enumerate() {
        let entry = &journal.entries().unwrap()[usize::try_from(*seq).unwrap()];
        assert_eq!(entry.event, proof(n as u64), "each is told of its own entry");
    }
    told.sort_unstable();
    assert_eq!(told, (3..43).collect::<Vec<_>>());
    let appends = case.store.appends.load(Ordering::SeqCst) - before;
    assert!((1..20).contains(&appends), "{appends} appends for 40 records");
    assert_eq!(case.ledger().split(|byte| *byte == b'\n').count(), 44);
    assert_eq!(journal.state(), IncidentState::replay(&journal.entries().unwrap()).unwrap());
    drop(journal);
    assert_eq!(case.open().unwrap().entries().unwrap().len(), 43);
}

#[test]
fn nobody_is_told_of_an_entry_that_is_not_on_disk() {
    let case = Case::new();
    let journal = case.open().unwrap();
    let before = journal.state();
    case.store.full.store(true, Ordering::SeqCst);
    let told = all_at_once(&journal, 20);
    assert!(told.iter().all(|one| matches!(one, Err(JournalError::Store(_) | JournalError::Poisoned))), "{told:?}");
    assert!(told.iter().any(|one| matches!(one, Err(JournalError::Store(_)))), "somebody says why");
    assert_eq!(journal.state(), before);
}

#[test]
fn a_writer_that_dies_leaves_nobody_waiting() {
    let case = Case::new();
    let journal = case.open().unwrap();
    case.store.panics.store(true, Ordering::SeqCst);
    let told = all_at_once(&journal, 20);
    assert!(told.iter().all(Result::is_err), "{told:?}");
    case.store.panics.store(false, Ordering::SeqCst);
    assert!(matches!(journal.record(proof(3)), Err(JournalError::Poisoned)));
}

#[test]
fn of_a_batch_only_the_illegal_event_is_refused() {
    let case = Case::new();
    let journal = case.open().unwrap();
    let staged = |generation| Event::CredentialStaged {
        credential: crate::domain::CredentialId::new("key").unwrap(),
        generation,
        old: None,
        new: None,
        token: "t".into(),
    };
    let ended = journal.write(vec![(7, staged(1)), (8, staged(3)), (9, staged(2))]);
    assert!(
        matches!(ended[&7], Ok(3)) && matches!(ended[&8], Err(JournalError::Replay(_))) && matches!(ended[&9], Ok(4))
    );
    assert_eq!(journal.state(), IncidentState::replay(&journal.entries().unwrap()).unwrap());
}
