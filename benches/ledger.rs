//! A ledger of a million entries: append as fast as the disk syncs, verified whole, a proof of one entry, and the memory that
//! takes. Ratios are against the bare disk (append) and against bare SHA-256 over the same bytes (verify), in the same run.
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
use portcullis::adapters::machine_key::MachineKeyFile;
use portcullis::adapters::system::SystemClock;
use portcullis::domain::{IncidentId, Timestamp};
use portcullis::engine::Journal;
use portcullis::ledger::merkle::{Tree, verify_inclusion};
use portcullis::ledger::{Checkpoint, Entry, Event, Streamed, VerifierKey, origin};
use portcullis::ports::{CaseFolders, Clock, MachineKey};

const APPENDS: usize = 300;
/// Bars: verify in ms, proof in ms, resident memory in MiB.
const BARS: [f64; 3] = [1500.0, 1.0, 64.0];

fn opened(incident: &IncidentId, key: &VerifierKey) -> Event {
    Event::IncidentOpened {
        incident: incident.clone(),
        reason: "bench".into(),
        operator: "bench".into(),
        compromised: Vec::new(),
        nonce: "00".repeat(16),
        machine_key: key.to_string(),
        policies: std::collections::BTreeMap::new(),
        version: "0".into(),
    }
}

fn event() -> Event {
    Event::GateEvaluated { opened: false, record: None, checks: Vec::new(), operator: "bench".into() }
}

/// Resident memory in MiB, of `/proc/self/status`.
fn resident(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn append(folder: &Path) {
    let mut file = File::create(folder.join("bare")).unwrap();
    let line = [b'x'; 160];
    let began = Instant::now();
    for _ in 0..APPENDS {
        file.write_all(&line).unwrap();
        file.sync_data().unwrap();
    }
    let bare = began.elapsed();
    let machine: Arc<dyn MachineKey> = Arc::new(MachineKeyFile::open_or_create(folder).unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let incident: IncidentId = "inc-1".parse().unwrap();
    let store = CaseFiles::new(folder).open(&incident, true).unwrap();
    let key = VerifierKey::new(&incident, machine.public());
    let journal = Journal::create(store, clock, machine, opened(&incident, &key)).unwrap();
    let began = Instant::now();
    for _ in 0..APPENDS {
        journal.record(event()).unwrap();
    }
    let ours = began.elapsed();
    let rate = |time: Duration| f64::from(u32::try_from(APPENDS).unwrap()) / time.as_secs_f64();
    println!(
        "append: {:.0}/s, the bare disk {:.0}/s: ratio {:.2}",
        rate(ours),
        rate(bare),
        ours.as_secs_f64() / bare.as_secs_f64()
    );
}

/// Writes a ledger of that many entries with its checkpoint.
fn write(path: &Path, entries: u64) -> String {
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let incident: IncidentId = "inc-1".parse().unwrap();
    let public = ring::signature::KeyPair::public_key(&pair).as_ref().try_into().unwrap();
    let key = VerifierKey::new(&incident, public);
    let mut file = BufWriter::new(File::create(path).unwrap());
    let mut tree = Tree::new();
    for seq in 0..entries {
        let event = if seq == 0 { opened(&incident, &key) } else { event() };
        let time = Timestamp::from_second(1_800_000_000 + i64::try_from(seq / 100).unwrap()).unwrap();
        let line = Entry { seq, time, event }.encode().unwrap();
        tree.push(&line);
        file.write_all(&line).unwrap();
        file.write_all(b"\n").unwrap();
    }
    file.flush().unwrap();
    let head = Checkpoint { origin: origin(&incident), size: entries, root: tree.root() };
    head.encode(&key, &pair.sign(head.body().as_bytes()).as_ref().try_into().unwrap())
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

fn main() -> ExitCode {
    let entries = std::env::var("PORTCULLIS_BENCH_ENTRIES").map_or(1_000_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    append(folder.path());
    let path = folder.path().join("ledger.jsonl");
    let checkpoint = write(&path, entries);
    println!("{entries} entries, {} MiB", std::fs::metadata(&path).unwrap().len() >> 20);
    let bare = hashed(&path);
    let before = resident("VmRSS");
    let began = Instant::now();
    let verified = Streamed::read(File::open(&path).unwrap(), Some(checkpoint.as_bytes())).unwrap();
    let whole = began.elapsed();
    println!(
        "verify: {:.0} ms, bare SHA-256 of the file {:.0} ms: ratio {:.1}; {:.0} MiB resident ({before:.0} before)",
        whole.as_secs_f64() * 1000.0,
        bare.as_secs_f64() * 1000.0,
        whole.as_secs_f64() / bare.as_secs_f64(),
        resident("VmRSS")
    );
    let memory = resident("VmRSS");
    let index = entries / 3;
    let began = Instant::now();
    let proof = verified.tree.inclusion(index, entries).unwrap();
    let proven = began.elapsed();
    let leaf = verified.tree.leaf(index).unwrap();
    let began = Instant::now();
    verify_inclusion(leaf, index, entries, &proof, &verified.tree.root()).unwrap();
    println!(
        "proof: {:.3} ms, verified in {:.3} ms",
        proven.as_secs_f64() * 1000.0,
        began.elapsed().as_secs_f64() * 1000.0
    );
    let seen = [whole.as_secs_f64() * 1000.0, proven.as_secs_f64() * 1000.0, memory];
    let held = seen.iter().zip(BARS).all(|(seen, bar)| *seen <= bar);
    println!("bars {BARS:?}, seen {seen:.3?}: {}", if held { "held" } else { "MISSED" });
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
