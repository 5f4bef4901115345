//! Copies of checkpoints outside the case folder: what is kept there, and what a cut, forked or rewritten ledger meets.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::domain::Digest;
use portcullis::ledger::merkle::verify_consistency;
use portcullis::ledger::{Checkpoint, VerifierKey};
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::support::{case_folder, copy as copy_folder, deployment, embedded, folder};

const NAME: &str = "w.example/1";

/// A C2SP witness: signs a checkpoint that continues what it saw, and nothing else.
struct Witness {
    pair: Ed25519KeyPair,
    keys: HashMap<String, VerifierKey>,
    seen: HashMap<String, (u64, Digest)>,
}

impl Witness {
    fn key(&self) -> String {
        let mut blob = vec![4];
        blob.extend_from_slice(self.pair.public_key().as_ref());
        let id = Digest::of(&[NAME.as_bytes(), b"\n", &blob].concat());
        format!("{NAME}+{}+{}", hex::encode(&id.0[..4]), STANDARD.encode(blob))
    }

    /// Status and body.
    fn add(&mut self, request: &str) -> (u16, String) {
        let (head, note) = request.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
        let proof: Vec<Digest> = lines.map(|line| Digest(STANDARD.decode(line).unwrap().try_into().unwrap())).collect();
        let origin = note.lines().next().unwrap().to_owned();
        let Some(key) = self.keys.get(&origin) else { return (404, String::new()) };
        let Ok(checkpoint) = Checkpoint::verify(note.as_bytes(), key) else { return (403, String::new()) };
        let seen = self.seen.get(&origin).copied();
        if seen.map_or(0, |seen| seen.0) != old {
            return (409, format!("{}\n", seen.unwrap().0));
        }
        if let Some((size, root)) = seen
            && verify_consistency((size, &root), (checkpoint.size, &checkpoint.root), &proof).is_err()
        {
            return (422, String::new());
        }
        self.seen.insert(origin, (checkpoint.size, checkpoint.root));
        let body = note.split_once("\n\n").unwrap().0;
        let time = 1_800_000_000_u64;
        let signature = self.pair.sign(format!("cosignature/v1\ntime {time}\n{body}\n").as_bytes());
        let id = self.key().split('+').nth(1).map(|id| hex::decode(id).unwrap()).unwrap();
        let blob = [id.as_slice(), &time.to_be_bytes(), signature.as_ref()].concat();
        (200, format!("\u{2014} {NAME} {}\n", STANDARD.encode(blob)))
    }
}

fn answer(stream: &mut TcpStream, witness: &Mutex<Witness>) {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let text = loop {
        let read = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        if body.len() >= length.unwrap().parse::<usize>().unwrap() {
            assert!(head.starts_with("POST /below/add-checkpoint "), "{head}");
            break body.to_owned();
        }
    };
    let (status, body) = witness.lock().unwrap().add(&text);
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).unwrap();
}

fn serve() -> (String, Arc<Mutex<Witness>>) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let witness = Arc::new(Mutex::new(Witness { pair, keys: HashMap::new(), seen: HashMap::new() }));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/below", listener.local_addr().unwrap());
    let shared = Arc::clone(&witness);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&mut stream.unwrap(), &shared);
        }
    });
    (url, witness)
}

#[test]
fn witnesses_hold_the_ledger_to_its_past() {
    let (url, shared) = serve();
    let folder = folder();
    let root = folder.path().join("d");
    deployment(&root, 5);
    let policy = root.join("policies/resume.yml");
    let text = std::fs::read_to_string(&policy).unwrap();
    let key = shared.lock().unwrap().key();
    std::fs::write(
        &policy,
        format!(
            "{text}\nwitnesses:\n  - {{ kind: directory, name: nas, path: copies }}\n  - {{ kind: c2sp, name: net, url: \"{url}\", key: \"{key}\" }}\n"
        ),
    )
    .unwrap();
    embedded(&root, &["--yes", "pause", "on"]).expect(0);
    let case = case_folder(&root);
    let first: serde_json::Value =
        serde_json::from_str(std::fs::read_to_string(case.join("ledger.jsonl")).unwrap().lines().next().unwrap())
            .unwrap();
    let machine: VerifierKey = first["event"]["machine_key"].as_str().unwrap().parse().unwrap();
    shared.lock().unwrap().keys.insert(machine.name().to_owned(), machine);
    embedded(&root, &["audit", "prepare"]).expect(0);
    let copies = root.join("copies").join(case.file_name().unwrap());
    let kept = || std::fs::read_dir(&copies).unwrap().count();
    assert!(kept() >= 1);
    let gate = |word: &str| {
        let ran = embedded(&root, &["--format", "json", "audit", "show", "--gate"]).expect(4);
        let of = |name: &str| ran.of_type("gate").into_iter().find(|check| check["check"] == name).unwrap();
        ["witness.nas", "witness.net"].map(|name| {
            let check = of(name);
            let reason = check["reason"].as_str().unwrap().to_owned();
            assert!(reason.contains(word), "{check}");
            check["verdict"].as_str().unwrap().to_owned()
        })
    };
    assert_eq!(gate("which fits"), ["pass", "pass"]);
    let older = folder.path().join("older");
    copy_folder(&case, &older).unwrap();
    embedded(&root, &["checklist", "--attest", "documented", "--note", "x"]);
    embedded(&root, &["audit", "prepare"]).expect(0);
    assert_eq!(gate("which fits"), ["pass", "pass"]);
    // The first copy is one that an approver might have kept.
    let copy = std::fs::read_dir(&copies).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let words = ["audit", "verify", "--checkpoint", copy.to_str().unwrap()];
    assert!(embedded(&root, &words).expect(0).stdout.contains("goes on from the kept head"));
    let other = folder.path().join("other");
    deployment(&other, 6);
    embedded(&other, &["--yes", "pause", "on"]).expect(0);
    embedded(&other, &words).expect(6);

    // Cut back to an older pair of ledger and checkpoint, which is itself sound.
    let newest = std::fs::read_dir(&copies).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    assert_ne!(copy, newest);
    std::fs::remove_dir_all(&case).unwrap();
    copy_folder(&older, &case).unwrap();
    assert_eq!(gate("TRUNCATED"), ["refuse", "refuse"]);
    let verified = embedded(&root, &["audit", "verify", "--checkpoint", newest.to_str().unwrap()]).expect(6);
    assert!(verified.stdout.contains("TRUNCATED"), "{}", verified.stdout);
    // It goes on from there: the machine's key has signed two histories.
    for note in ["a", "b", "c", "d"] {
        embedded(&root, &["checklist", "--attest", "monitoring", "--note", note]);
    }
    embedded(&root, &["audit", "prepare"]).expect(0);
    assert_eq!(gate("FORKED"), ["refuse", "refuse"]);
}

#[test]
fn a_lockdown_leaves_its_head_with_the_witnesses_and_waits_for_none_that_is_gone() {
    let folder = folder();
    let root = folder.path().join("d");
    deployment(&root, 5);
    let policy = root.join("policies/resume.yml");
    let text = std::fs::read_to_string(&policy).unwrap();
    // A file stands where the second one's folder should be.
    std::fs::write(root.join("gone"), "").unwrap();
    let witnesses = "\nwitnesses:\n  - { kind: directory, name: nas, path: copies }\n  - { kind: directory, name: usb, path: gone }\n";
    std::fs::write(&policy, format!("{text}{witnesses}")).unwrap();
    let ran = embedded(&root, &["--format", "json", "--yes", "lockdown", "--reason", "x"]);
    let last = ran.records().pop().unwrap();
    assert_eq!(last["type"], "summary", "nothing is said behind the summary: {last}");
    assert!(ran.stderr.contains("the witness usb holds no copy of this"), "{}", ran.stderr);
    let case = case_folder(&root);
    let kept = std::fs::read_dir(root.join("copies").join(case.file_name().unwrap())).unwrap();
    let kept: Vec<_> = kept.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(kept.contains(&std::fs::read(case.join("checkpoint")).unwrap()), "the head of the end");
    let entries = std::fs::read_to_string(case.join("ledger.jsonl")).unwrap().lines().count();
    let copy = String::from_utf8(kept.into_iter().max().unwrap()).unwrap();
    assert_eq!(copy.lines().nth(1), Some(entries.to_string().as_str()));
}

#[test]
fn a_switch_turned_by_another_hand_is_noticed() {
    let folder = folder();
    let root = folder.path().join("d");
    deployment(&root, 5);
    std::fs::write(
        root.join("policies/pause.yml"),
        "version: 1\nguard: {}\nswitches: [{ kind: file, name: flag, path: PAUSED }]\n",
    )
    .unwrap();
    let status = || embedded(&root, &["--format", "json", "pause", "status"]);
    let noticed = |ran: &crate::support::Ran| {
        let flag = ran.of_type("switch").into_iter().find(|switch| switch["switch"] == "flag").unwrap();
        flag["noticed"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(noticed(&status().expect(0)), "");
    std::fs::write(root.join("PAUSED"), "").unwrap();
    assert!(noticed(&status().expect(3)).contains("no open incident says that it engaged it"));
    std::fs::remove_file(root.join("PAUSED")).unwrap();
    embedded(&root, &["--yes", "pause", "on"]).expect(0);
    assert_eq!(noticed(&status().expect(0)), "");
    std::fs::remove_file(root.join("PAUSED")).unwrap();
    assert!(noticed(&status().expect(3)).contains("RELEASED BY ANOTHER HAND"));
    let ran = embedded(&root, &["--format", "json", "audit", "show", "--gate"]).expect(4);
    let check = ran.of_type("gate").into_iter().find(|check| check["check"] == "switches").unwrap();
    assert!(check["reason"].as_str().unwrap().contains("flag was released by another hand"), "{check}");
    embedded(&root, &["--yes", "pause", "on"]).expect(0);
    assert_eq!(noticed(&status().expect(0)), "");
}
