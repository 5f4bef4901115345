//! A ledger of a million entries: verified as `audit verify` does, appended to as fast as the disk syncs, a proof of one entry,
//! and the memory that all of it takes. Ratios are against the bare disk (append, by turns) and against bare SHA-256 over the
//! same bytes on one core (verify), in the same run.
//!
//! `cargo bench --bench ledger` (`PORTCULLIS_BENCH_ENTRIES=100000` for a smaller one)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::adapters::case_files::CaseFiles;
use portcullis::adapters::system::SystemClock;
use portcullis::domain::{Action, FingerprintKey, IncidentId, Outcome, Phase, Timestamp};
use portcullis::engine::{Journal, verify_case};
use portcullis::ledger::merkle::{Tree, verify_inclusion};
use portcullis::ledger::{Checkpoint, Entry, Event, VerifierKey, origin};
use portcullis::ports::{CaseFolders, CaseStore, Clock, MachineKey};
use ring::signature::{Ed25519KeyPair, KeyPair};

const APPENDS: u64 = 2_000;
/// Bars: verify in ms, proof in ms, largest resident memory in MiB.
const BARS: [f64; 3] = [1500.0, 1.0, 64.0];
/// Second of the first entry.
const START: i64 = 1_700_000_000;

struct Machine(Ed25519KeyPair);

impl Machine {
    fn new() -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap())
    }
}

impl MachineKey for Machine {
    fn public(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().unwrap()
    }
    fn fingerprints(&self) -> FingerprintKey {
        FingerprintKey::new(b"bench")
    }
}

fn incident() -> IncidentId {
    "inc-1".parse().unwrap()
}

fn time(seq: u64) -> Timestamp {
    Timestamp::from_second(START + i64::try_from(seq / 100).unwrap()).unwrap()
}

/// Intents and outcomes of a hundred steps that are tried again and again, proofs of the pause, and hours of a watch.
fn event(seq: u64) -> Event {
    let step = || format!("rotate.credential-{}.store", seq / 4 % 100).parse().unwrap();
    let attempt = u32::try_from(seq / 400 + 1).unwrap();
    match seq % 4 {
        1 => Event::StepIntent {
            step: step(),
            phase: Phase::Rotate,
            target: "secret trading/credential".into(),
            action: Action::RestartService { service: "backend".into() },
            attempt,
        },
        2 => Event::StepOutcome {
            step: step(),
            attempt,
            outcome: Outcome::Done,
            elapsed_ms: 12,
            detail: "written and read back".into(),
        },
        3 => Event::PauseProof { refused: true, pause_ms: 12, detail: "P0001: trading is paused".into() },
        _ => Event::WatchCovered {
            from: time(seq),
            to: time(seq + 4),
            events: seq,
            trades: 3,
            alerts: 0,
            gaps: Vec::new(),
        },
    }
}

fn opened(key: &VerifierKey) -> Event {
    Event::IncidentOpened {
        incident: incident(),
        reason: "bench".into(),
        operator: "bench".into(),
        compromised: Vec::new(),
        nonce: "00".repeat(16),
        machine_key: key.to_string(),
        policies: std::collections::BTreeMap::new(),
        version: "0".into(),
    }
}

/// Writes a case of that many entries with its checkpoint.
fn write(folder: &Path, entries: u64) {
    let machine = Machine::new();
    let key = VerifierKey::new(&incident(), machine.public());
    let mut file = BufWriter::new(File::create(folder.join("ledger.jsonl")).unwrap());
    let mut tree = Tree::new();
    for seq in 0..entries {
        let event = if seq == 0 { opened(&key) } else { event(seq) };
        let line = Entry { seq, time: time(seq), event }.encode().unwrap();
        tree.push(&line);
        file.write_all(&line).unwrap();
        file.write_all(b"\n").unwrap();
    }
    // Or the first append would carry all of it to the disk.
    file.into_inner().unwrap().sync_all().unwrap();
    let head = Checkpoint { origin: origin(&incident()), size: entries, root: tree.root() };
    let note = head.encode(&key, &machine.sign(head.body().as_bytes()));
    std::fs::write(folder.join("checkpoint"), note).unwrap();
}

fn hashed(path: &Path) -> Duration {
    let began = Instant::now();
    let mut context = portcullis::domain::DigestContext::new();
    let mut file = File::open(path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        context.update(&buffer[..read]);
    }
    black_box(context.finish());
    began.elapsed()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A field of `/proc/self/status` in MiB.
fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// How long an append takes beside a bare write and sync of as many bytes, by turns.
fn append(journal: &Journal, bare: &Path, entries: u64) {
    let mut file = File::options().create(true).append(true).open(bare).unwrap();
    let (mut ours, mut disk) = (Duration::ZERO, Duration::ZERO);
    for seq in entries..entries + APPENDS {
        let event = event(seq);
        let mut line = Entry { seq, time: time(seq), event: event.clone() }.encode().unwrap();
        line.push(b'\n');
        let began = Instant::now();
        file.write_all(&line).unwrap();
        file.sync_all().unwrap();
        disk += began.elapsed();
        let began = Instant::now();
        journal.record(event).unwrap();
        ours += began.elapsed();
    }
    let rate = |time: Duration| f64::from(u32::try_from(APPENDS).unwrap()) / time.as_secs_f64();
    let ratio = ours.as_secs_f64() / disk.as_secs_f64();
    println!("append behind them: {:.0}/s, the bare disk {:.0}/s: ratio {ratio:.2}", rate(ours), rate(disk));
}

/// Milliseconds for the proof of one entry.
fn prove(journal: &Journal, entries: u64) -> f64 {
    let index = entries / 3;
    journal.with_tree(|tree| {
        let began = Instant::now();
        let proof = tree.inclusion(index, entries).unwrap();
        let proven = ms(began.elapsed());
        let root = tree.root_at(entries).unwrap();
        let began = Instant::now();
        verify_inclusion(tree.leaf(index).unwrap(), index, entries, &proof, &root).unwrap();
        println!("inclusion proof: {proven:.3} ms, verified in {:.3} ms", ms(began.elapsed()));
        proven
    })
}

fn main() -> ExitCode {
    let entries = std::env::var("PORTCULLIS_BENCH_ENTRIES").map_or(1_000_000, |text| text.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let cases = CaseFiles::new(home.path());
    let case = home.path().join("incidents/inc-1");
    std::fs::create_dir_all(&case).unwrap();
    write(&case, entries);
    println!("{entries} entries, {} MiB", std::fs::metadata(case.join("ledger.jsonl")).unwrap().len() >> 20);

    let bare = hashed(&case.join("ledger.jsonl"));
    let store: Arc<dyn CaseStore> = cases.peek(&incident()).unwrap();
    let began = Instant::now();
    let verdict = verify_case(&store);
    let whole = began.elapsed();
    assert!(verdict.holds(), "{:?}", verdict.checks);
    println!(
        "audit verify: {:.0} ms, bare SHA-256 of the file {:.0} ms: ratio {:.1}; at most {:.0} MiB resident",
        ms(whole),
        ms(bare),
        whole.as_secs_f64() / bare.as_secs_f64(),
        memory("VmHWM")
    );

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let began = Instant::now();
    let journal = Journal::open(cases.open(&incident(), false).unwrap(), clock, Arc::new(Machine::new())).unwrap();
    println!("opened for writing: {:.0} ms, {:.0} MiB resident", ms(began.elapsed()), memory("VmRSS"));
    append(&journal, &home.path().join("bare"), entries);
    let proven = prove(&journal, entries);
    let seen = [ms(whole), proven, memory("VmHWM")];
    let held = seen.iter().zip(BARS).all(|(seen, bar)| *seen <= bar);
    println!("bars {BARS:?}, seen {seen:.3?}: {}", if held { "held" } else { "MISSED" });
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
