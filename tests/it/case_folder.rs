//! A small finished case on disk, made with real `ssh-keygen` keys; then every byte of it is damaged in turn.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::adapters::case_files::{CaseFiles, open_read_only};
use portcullis::adapters::machine_key::MachineKeyFile;
use portcullis::domain::{Finding, FindingKind, IncidentId, Level, RuleRef, Source, Timestamp};
use portcullis::engine::audit::{self, AuditError};
use portcullis::engine::findings::record_scan;
use portcullis::engine::{CaseVerdict, Journal, Opening, open_incident, verify_case};
use portcullis::gate::{NAMESPACE, dsse};
use portcullis::ledger::{Event, GateCheck, Verdict};
use portcullis::policy::Policies;
use portcullis::ports::{CaseFolders, CaseStore, Clock, Fault, MachineKey, Random};
use serde_json::Map;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

impl Random for Fixed {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        buffer.fill(7);
        Ok(())
    }
}

struct Finished {
    home: tempfile::TempDir,
    incident: IncidentId,
    policies: Policies,
    machine: Arc<dyn MachineKey>,
}

fn keygen(folder: &Path, args: &[&str], input: &[u8]) -> std::process::Output {
    use std::io::Write;
    let mut child = Command::new("ssh-keygen")
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn policies(home: &Path) -> Policies {
    let mut approvers = String::new();
    for (name, kind) in [("alice", "ed25519"), ("bob", "ecdsa"), ("dana", "ed25519")] {
        let made = keygen(home, &["-q", "-t", kind, "-N", "", "-C", name, "-f", name], b"");
        assert!(made.status.success(), "{made:?}");
        let key = std::fs::read_to_string(home.join(format!("{name}.pub"))).unwrap();
        let _ = writeln!(approvers, "  - {{ name: {name}, keys: [\"{}\"] }}", key.trim());
    }
    let credentials = "version: 1\ncredentials:\n  - { id: mail, issuer: { kind: manual, instructions: call } }\n";
    let texts = BTreeMap::from([
        ("credentials.yml".to_owned(), credentials.to_owned()),
        ("pause.yml".to_owned(), "version: 1\nguard: {}\n".to_owned()),
        ("recovery.yml".to_owned(), "version: 1\n".to_owned()),
        ("resume.yml".to_owned(), format!("version: 1\nthreshold: 2\napprovers:\n{approvers}")),
    ]);
    Policies::from_texts(texts).unwrap()
}

fn finding() -> Finding {
    Finding {
        id: "f1".into(),
        kind: FindingKind::Log,
        rule: RuleRef { id: "r".into(), title: "rule".into(), level: Level::High },
        time: None,
        source: Source::File { path: "app.log".into(), record: 0, line: None, offset: None },
        matched: Map::new(),
        event: Map::new(),
    }
}

fn by() -> audit::Preparing<'static> {
    audit::Preparing { operator: "dana", waive: None }
}

impl Finished {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let policies = policies(home.path());
        let machine: Arc<dyn MachineKey> = Arc::new(MachineKeyFile::open_or_create(home.path()).unwrap());
        let clock: Arc<dyn Clock> = Arc::new(Fixed);
        let opening = Opening { reason: "test".into(), operator: "dana".into(), compromised: Vec::new() };
        let cases = CaseFiles::new(home.path());
        let journal = open_incident(&cases, &clock, &machine, &Fixed, &policies, opening).unwrap();
        let incident = journal.state().incident.unwrap();
        let file = journal.write_file("evidence/sessions.jsonl", b"{\"user\":\"app\"}\n").unwrap();
        journal.record(Event::EvidenceCollected { name: "sessions".into(), file }).unwrap();
        record_scan(&journal, "logs", &[finding()], Map::new(), true).unwrap();
        audit::prepare(&journal, &policies, machine.as_ref(), Fixed.now(), &by()).unwrap();
        let case = Self { home, incident, policies, machine };
        for name in ["alice", "bob"] {
            let signature = case.sign(name);
            audit::approve(&journal, &case.policies, name, &signature, Fixed.now()).unwrap();
        }
        case
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("incidents").join(self.incident.as_str())
    }

    fn sign(&self, name: &str) -> Vec<u8> {
        let record = self.home.path().join("to-sign.json");
        std::fs::copy(self.folder().join("audit-record.json"), &record).unwrap();
        let signature = self.home.path().join("to-sign.json.sig");
        let _ = std::fs::remove_file(&signature);
        let made = keygen(self.home.path(), &["-q", "-Y", "sign", "-f", name, "-n", NAMESPACE, "to-sign.json"], b"");
        assert!(made.status.success(), "{made:?}");
        std::fs::read(signature).unwrap()
    }

    fn open(&self) -> Journal {
        let store = CaseFiles::new(self.home.path()).open(&self.incident, false).unwrap();
        Journal::open(store, Arc::new(Fixed), self.machine.clone()).unwrap()
    }

    fn verify(&self) -> CaseVerdict {
        verify_case(&open_read_only(&self.folder()).unwrap())
    }

    fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.folder().join(path)).unwrap()
    }
}

fn refused(verdict: &CaseVerdict) -> Vec<&GateCheck> {
    verdict.checks.iter().filter(|check| check.verdict == Verdict::Refuse).collect()
}

/// The case folder in memory, with one file replaced.
struct Damaged {
    files: Arc<BTreeMap<String, Vec<u8>>>,
    path: String,
    bytes: Vec<u8>,
}

impl CaseStore for Damaged {
    fn location(&self) -> &Path {
        Path::new("memory")
    }
    fn read_ledger(&self) -> Result<Vec<u8>, Fault> {
        Ok(self.read("ledger.jsonl")?.unwrap())
    }
    fn append_ledger(&self, _line: &[u8]) -> Result<(), Fault> {
        panic!("verifying changes nothing")
    }
    fn truncate_ledger(&self, _bytes: u64) -> Result<(), Fault> {
        panic!("verifying changes nothing")
    }
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Fault> {
        if path == self.path {
            return Ok(Some(self.bytes.clone()));
        }
        Ok(self.files.get(path).cloned())
    }
    fn write(&self, _path: &str, _bytes: &[u8]) -> Result<(), Fault> {
        panic!("verifying changes nothing")
    }
    fn list(&self, _path: &str) -> Result<Vec<String>, Fault> {
        Ok(Vec::new())
    }
    fn walk(&self) -> Result<Vec<String>, Fault> {
        Ok(self.files.keys().cloned().collect())
    }
}

#[test]
fn a_whole_case_verifies_and_names_what_nothing_binds() {
    let case = Finished::new();
    let verdict = case.verify();
    assert!(verdict.holds(), "{verdict:#?}");
    assert_eq!(verdict.unbound, Vec::<String>::new());
    std::fs::write(case.folder().join("evidence/planted.txt"), "x").unwrap();
    let verdict = case.verify();
    assert!(verdict.holds());
    assert_eq!(verdict.unbound, ["evidence/planted.txt"]);
    for path in ["findings.jsonl", "approvals/alice.sig", "audit-record.json", "audit-record.dsse.json", "checkpoint"] {
        let kept = case.read(path);
        std::fs::remove_file(case.folder().join(path)).unwrap();
        assert!(!case.verify().holds(), "{path} is missing");
        std::os::unix::fs::symlink("/etc/hostname", case.folder().join(path)).unwrap();
        assert!(!case.verify().holds(), "{path} is a link");
        std::fs::remove_file(case.folder().join(path)).unwrap();
        std::fs::write(case.folder().join(path), kept).unwrap();
    }
    assert!(case.verify().holds());
}

#[test]
fn no_byte_of_a_bound_file_can_be_changed_unseen() {
    let case = Finished::new();
    let store = open_read_only(&case.folder()).unwrap();
    let paths: Vec<String> = store.walk().unwrap().into_iter().filter(|path| path != "lock").collect();
    let files: Arc<BTreeMap<String, Vec<u8>>> =
        Arc::new(paths.iter().map(|path| (path.clone(), case.read(path))).collect());
    for needed in ["ledger.jsonl", "checkpoint", "findings.jsonl", "allowed_signers", "policies/resume.yml"] {
        assert!(files.contains_key(needed), "{needed}");
    }
    let whole = Damaged { files: files.clone(), path: String::new(), bytes: Vec::new() };
    assert!(verify_case(&(Arc::new(whole) as Arc<dyn CaseStore>)).holds());
    let work: Vec<(String, usize)> =
        files.iter().flat_map(|(path, bytes)| (0..bytes.len()).map(|place| (path.clone(), place))).collect();
    let queue = Mutex::new(work.chunks(64));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(chunk) = queue.lock().unwrap().next() else { break };
                    for (path, place) in chunk {
                        let mut bytes = files[path].clone();
                        bytes[*place] ^= 1 << (place % 8);
                        let damaged = Damaged { files: files.clone(), path: path.clone(), bytes };
                        let verdict = verify_case(&(Arc::new(damaged) as Arc<dyn CaseStore>));
                        assert!(!verdict.holds(), "{path} byte {place}");
                    }
                }
            });
        }
    });
}

#[test]
fn truncated_and_longer_files_are_seen() {
    let case = Finished::new();
    let lines = case.read("ledger.jsonl");
    for path in ["ledger.jsonl", "checkpoint", "findings.jsonl", "audit-record.json", "approvals/bob.sig"] {
        let kept = case.read(path);
        std::fs::write(case.folder().join(path), &kept[..kept.len() - 1]).unwrap();
        assert!(!case.verify().holds(), "{path} cut");
        std::fs::write(case.folder().join(path), [&kept[..], b"\n"].concat()).unwrap();
        assert!(!case.verify().holds(), "{path} longer");
        std::fs::write(case.folder().join(path), kept).unwrap();
    }
    let cut = lines.iter().rposition(|byte| *byte == b'\n').unwrap();
    let cut = lines[..cut].iter().rposition(|byte| *byte == b'\n').unwrap();
    std::fs::write(case.folder().join("ledger.jsonl"), &lines[..=cut]).unwrap();
    let verdict = case.verify();
    assert!(refused(&verdict)[0].reason.contains("the ledger was cut"), "{verdict:?}");
}

#[test]
fn other_tools_accept_what_is_exported() {
    let case = Finished::new();
    let record = case.read("audit-record.json");
    for name in ["alice", "bob"] {
        let signature = format!("approvals/{name}.sig");
        let args = ["-Y", "verify", "-f", "allowed_signers", "-I", name, "-n", NAMESPACE, "-s", &signature];
        let verified = keygen(&case.folder(), &args, &record);
        assert!(verified.status.success(), "{verified:?}");
        assert!(!keygen(&case.folder(), &args, b"other").status.success());
    }
    let envelope: serde_json::Value = serde_json::from_slice(&case.read("audit-record.dsse.json")).unwrap();
    let decode = |value: &serde_json::Value| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap()
    };
    assert_eq!(decode(&envelope["payload"]), record);
    let at = |name: &str| case.home.path().join(name).display().to_string();
    std::fs::write(at("pae"), dsse::pae(&record)).unwrap();
    std::fs::write(at("sig"), decode(&envelope["signatures"][0]["sig"])).unwrap();
    let run = |args: &[&str]| Command::new("openssl").args(args).output().unwrap().status.success();
    assert!(run(&["pkey", "-in", &at("machine.key"), "-pubout", "-out", &at("machine.pem")]));
    let (key, pae, sig) = (at("machine.pem"), at("pae"), at("sig"));
    assert!(run(&["pkeyutl", "-verify", "-pubin", "-inkey", &key, "-rawin", "-in", &pae, "-sigfile", &sig]));
}

#[test]
fn an_approval_is_recorded_only_if_it_counts() {
    let case = Finished::new();
    let alice = case.sign("alice");
    let dana = case.sign("dana");
    let journal = case.open();
    let entries = journal.entries().unwrap().len();
    let refused =
        |name: &str, file: &[u8]| audit::approve(&journal, &case.policies, name, file, Fixed.now()).unwrap_err();
    assert!(matches!(refused("bob", &alice), AuditError::OtherPerson { .. }));
    assert!(matches!(refused("dana", &dana), AuditError::Approval(_)), "dana opened the incident");
    assert!(matches!(refused("alice", b"junk"), AuditError::Approval(_)));
    audit::approve(&journal, &case.policies, "alice", &case.read("approvals/alice.sig"), Fixed.now()).unwrap();
    assert_eq!(journal.entries().unwrap().len(), entries, "the same approval again changes nothing");
    audit::prepare(&journal, &case.policies, case.machine.as_ref(), Fixed.now(), &by()).unwrap();
    assert_eq!(journal.state().approvals, [], "a new record needs new approvals");
    assert!(matches!(refused("alice", &alice), AuditError::Approval(_)), "signed the old record");
    drop(journal);
    assert!(case.verify().holds());
}

#[test]
fn a_record_is_not_made_over_changed_findings() {
    let case = Finished::new();
    std::fs::write(case.folder().join("findings.jsonl"), "").unwrap();
    let error = audit::prepare(&case.open(), &case.policies, case.machine.as_ref(), Fixed.now(), &by()).unwrap_err();
    assert!(matches!(error, AuditError::Changed(path) if path == "findings.jsonl"));
}
