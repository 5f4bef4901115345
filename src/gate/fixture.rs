//! A small case that may resume, for tests: every part of it open to damage.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Map, json};

use super::testing::{Form, Signer};
use super::{Facts, GateInput, Live, LiveCredential, Purpose, SignatureFile, Statement, build};
use crate::domain::{
    Action, Canary, CredentialId, Digest, Finding, FindingKind, FingerprintKey, Level, Outcome, Phase, Probe, RuleRef,
    Source, StepId, Timestamp,
};
use crate::ledger::merkle::Tree;
use crate::ledger::{Entry, Event, FileBinding, IncidentState};
use crate::policy::Policies;

pub(crate) const START: i64 = 1_800_000_000;

/// Makes events from the bytes of a record.
pub(crate) type Later = dyn Fn(&[u8]) -> Vec<Event> + Send + Sync;

/// The parts of a case; [`Fixture::input`] puts them together.
#[derive(Clone)]
pub(crate) struct Fixture {
    /// Policy texts when the incident was opened.
    pub opened_with: BTreeMap<String, String>,
    /// Policy texts when the record is made.
    pub prepared_with: BTreeMap<String, String>,
    /// Policy texts at the gate.
    pub now_with: BTreeMap<String, String>,
    /// Events between the first and the record.
    pub before: Vec<Event>,
    /// Events between the record and the approvals, made from its bytes.
    pub early: Option<Arc<Later>>,
    /// Events after the approvals.
    pub after: Vec<Event>,
    pub findings: Vec<Finding>,
    /// Seeds of the keys that sign.
    pub signers: Vec<u8>,
    pub compromised: Vec<&'static str>,
    pub live: Live,
    /// Seconds after the start.
    pub prepared_at: i64,
    pub now: i64,
    /// Damage to the record before it is written and signed.
    pub forge: fn(&mut Statement),
    pub machine_key: String,
    /// Seeds of the keys that refuse.
    pub refusers: Vec<u8>,
    /// Why checks are waived, and which.
    pub waive: Option<(String, Vec<String>)>,
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

pub(crate) fn key_line(seed: u8) -> String {
    Signer::ed25519(seed).line(&Form::default())
}

pub(crate) fn texts(resume: &str) -> BTreeMap<String, String> {
    let credentials = "\
version: 1
services: [{ name: backend }]
credentials:
  - { id: db, issuer: { kind: postgres_role, role: app }, kept: [{ store: dotenv, key: DB }], owner: carol }
  - { id: jwt, issuer: { kind: self_made }, kept: [{ store: dotenv, key: JWT }], proof: { kind: store } }
  - { id: broker, issuer: { kind: manual, instructions: call them } }
";
    let resume = format!(
        "version: 1\nthreshold: 2\nroles_required: {{ security: 1 }}\nrequired_attestations: [customers-told]\n{resume}approvers:\n  - {{ name: alice, roles: [security], keys: [\"{}\"] }}\n  - {{ name: bob, keys: [\"{}\"] }}\n  - {{ name: carol, keys: [\"{}\"] }}\n",
        key_line(1),
        key_line(2),
        key_line(3)
    );
    BTreeMap::from([
        ("credentials.yml".into(), credentials.into()),
        ("pause.yml".into(), "version: 1\nguard: {}\n".into()),
        ("recovery.yml".into(), "version: 1\n".into()),
        ("resume.yml".into(), resume),
        ("logs/login.yml".into(), "title: login\n".into()),
    ])
}

pub(crate) fn finding(id: &str, level: Level) -> Finding {
    Finding {
        id: id.into(),
        kind: FindingKind::Log,
        rule: RuleRef { id: "r".into(), title: "rule".into(), level },
        time: None,
        source: Source::File { path: "app.log".into(), record: 0, line: None, offset: None },
        matched: Map::new(),
        event: Map::new(),
    }
}

pub(crate) fn findings_bytes(findings: &[Finding]) -> Vec<u8> {
    findings.iter().flat_map(|finding| [serde_json::to_vec(finding).unwrap(), b"\n".to_vec()].concat()).collect()
}

pub(crate) fn binding(path: &str, bytes: &[u8]) -> FileBinding {
    FileBinding { path: path.into(), bytes: bytes.len() as u64, sha256: Digest::of(bytes) }
}

pub(crate) fn step(id: &str, phase: Phase, action: Action, outcome: Option<Outcome>) -> Vec<Event> {
    let step: StepId = id.parse().unwrap();
    let mut events = vec![Event::StepIntent { step: step.clone(), phase, target: "it".into(), action, attempt: 1 }];
    if let Some(outcome) = outcome {
        events.push(Event::StepOutcome { step, attempt: 1, outcome, elapsed_ms: 1, detail: "seen".into() });
    }
    events
}

pub(crate) fn credential(id: &str) -> CredentialId {
    id.parse().unwrap()
}

pub(crate) fn staged(id: &str, generation: u32) -> Event {
    let fingerprint = |value: &str| FingerprintKey::new(b"k").fingerprint(value);
    Event::CredentialStaged {
        credential: credential(id),
        generation,
        old: Some(fingerprint("old")),
        new: Some(fingerprint("new")),
        token: "t".into(),
    }
}

pub(crate) fn proof(id: &str, accepted: bool, refused: bool, strength: &str) -> Event {
    Event::CredentialProof {
        credential: credential(id),
        generation: 1,
        new_accepted: accepted,
        old_refused: refused,
        strength: strength.into(),
        detail: "28P01".into(),
    }
}

pub(crate) fn scan(name: &str, complete: bool, findings: &[Finding]) -> Event {
    let mut coverage = Map::new();
    coverage.insert("files".into(), json!(3));
    coverage.insert("ratio".into(), json!(0.5));
    Event::ScanCompleted {
        scan: name.into(),
        findings: findings.len() as u64,
        highest: None,
        first_malicious: None,
        complete,
        coverage,
        file: binding("findings.jsonl", &findings_bytes(findings)),
    }
}

pub(crate) fn attested(item: &str) -> Event {
    Event::ItemAttested { item: item.into(), note: "done".into(), operator: "dana".into() }
}

pub(crate) fn pause(refused: bool) -> Event {
    Event::PauseProof { refused, pause_ms: 40, detail: "P0001".into() }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let findings = vec![finding("f1", Level::High), finding("f2", Level::Low)];
        let refused = || Some(Ok(Probe::Refused { reason: "28P01".into() }));
        let live = Live {
            canary: Some(Ok(Canary::Refused { reason: "P0001".into() })),
            database: Some(Ok("PostgreSQL 16".into())),
            credentials: BTreeMap::from([(
                credential("db"),
                LiveCredential { old: refused(), new: Some(Ok(Probe::Accepted)) },
            )]),
            ..Live::default()
        };
        let mut before = vec![pause(true)];
        let rotate = Action::RevokeCredential { credential: credential("db") };
        before.extend(step("rotate.db.revoke", Phase::Rotate, rotate, Some(Outcome::Done)));
        let manual = Action::Manual { credential: Some(credential("broker")), instructions: "call".into() };
        before.extend(step("rotate.broker.manual", Phase::Rotate, manual, Some(Outcome::Manual)));
        before.extend([staged("db", 1), proof("db", true, true, "server")]);
        before.extend([staged("jwt", 1), proof("jwt", true, true, "store")]);
        for name in ["logs", "trades", "secrets", "database"] {
            before.push(scan(name, true, &findings));
        }
        before.push(Event::FindingDisposed {
            findings: vec!["f1".into()],
            verdict: "confirmed".into(),
            note: "seen".into(),
            operator: "dana".into(),
        });
        before.extend([attested("customers-told"), attested("broker")]);
        Self {
            opened_with: texts(""),
            prepared_with: texts(""),
            now_with: texts(""),
            before,
            early: None,
            after: Vec::new(),
            findings,
            signers: vec![1, 2],
            compromised: vec!["jwt"],
            live,
            prepared_at: 100,
            now: 200,
            forge: |_| {},
            machine_key: "m".into(),
            refusers: Vec::new(),
            waive: None,
        }
    }

    /// Uses the same policies all the way.
    pub(crate) fn with_policies(mut self, texts: &BTreeMap<String, String>) -> Self {
        self.opened_with.clone_from(texts);
        self.prepared_with.clone_from(texts);
        self.now_with.clone_from(texts);
        self
    }

    pub(crate) fn opened(&self) -> Event {
        Event::IncidentOpened {
            incident: "inc-1".parse().unwrap(),
            reason: "test".into(),
            operator: "dana".into(),
            compromised: self.compromised.iter().map(|id| credential(id)).collect(),
            nonce: "ab".repeat(16),
            machine_key: self.machine_key.clone(),
            policies: policies(&self.opened_with).digests(),
            version: "0".into(),
        }
    }

    pub(crate) fn input(&self) -> GateInput {
        let mut writer = Writer::default();
        writer.push(self.opened(), 0);
        for event in &self.before {
            writer.push(event.clone(), 10);
        }
        let prepared = policies(&self.prepared_with);
        let facts = Facts {
            state: &writer.state,
            tree: &writer.tree,
            policies: &prepared,
            findings: &self.findings,
            issued: at(self.prepared_at),
            executor: Some("dana"),
            waive: self.waive.as_ref().map(|(reason, checks)| (reason.as_str(), checks.as_slice())),
        };
        let mut statement = build(&facts).unwrap();
        (self.forge)(&mut statement);
        let record = statement.encode().unwrap();
        let head = &statement.predicate.ledger;
        writer.push(
            Event::AuditPrepared {
                file: binding("audit-record.json", &record),
                tree_size: head.size,
                root: head.root,
                operator: Some("dana".into()),
            },
            self.prepared_at,
        );
        for event in self.early.iter().flat_map(|early| early(&record)) {
            writer.push(event, self.prepared_at);
        }
        let approvals = sign(&mut writer, &self.signers, "approvals", statement.purpose(), &record, self.prepared_at);
        let refusals = sign(&mut writer, &self.refusers, "refusals", Purpose::Refuse, &record, self.prepared_at);
        for event in &self.after {
            writer.push(event.clone(), self.prepared_at);
        }
        let mut files: BTreeMap<String, Option<Digest>> =
            writer.state.files.values().map(|file| (file.path.clone(), Some(file.sha256))).collect();
        for (name, digest) in &writer.state.policies {
            files.insert(format!("policies/{name}"), Some(*digest));
        }
        GateInput {
            now: at(self.now),
            lines: writer.lines,
            record: Some(record),
            executor: None,
            approvals,
            refusals,
            files,
            findings: self.findings.clone(),
            opened_resume: Some(self.opened_with["resume.yml"].clone().into_bytes()),
            opened_credentials: Some(self.opened_with["credentials.yml"].clone().into_bytes()),
            policies: Arc::new(policies(&self.now_with)),
            live: self.live.clone(),
        }
    }
}

/// The policies of those texts, read once: the model asks for the same ones very often.
pub(crate) fn policies(texts: &BTreeMap<String, String>) -> Policies {
    static READ: Mutex<BTreeMap<BTreeMap<String, String>, Policies>> = Mutex::new(BTreeMap::new());
    let mut read = READ.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    read.entry(texts.clone()).or_insert_with(|| Policies::from_texts(texts.clone()).unwrap()).clone()
}

fn sign(
    writer: &mut Writer,
    seeds: &[u8],
    folder: &str,
    purpose: Purpose,
    record: &[u8],
    seconds: i64,
) -> Vec<SignatureFile> {
    let mut files = Vec::new();
    for (number, seed) in seeds.iter().enumerate() {
        let form = Form { namespace: purpose.namespace().into(), ..Form::default() };
        let bytes = Signer::ed25519(*seed).sign(record, &form);
        let path = format!("{folder}/{number}.sig");
        let (approver, key, file) = ("x".into(), "SHA256:x".into(), binding(&path, &bytes));
        let record = Digest::of(record);
        let event = match purpose {
            Purpose::Refuse => Event::RefusalRecorded { approver, key, record, file },
            _ => Event::ApprovalRecorded { approver, key, record, file },
        };
        writer.push(event, seconds);
        files.push(SignatureFile { path, bytes });
    }
    files
}

#[derive(Default)]
struct Writer {
    lines: Vec<Vec<u8>>,
    state: IncidentState,
    tree: Tree,
}

impl Writer {
    fn push(&mut self, event: Event, seconds: i64) {
        let entry = Entry { seq: self.state.entries, time: at(seconds), event };
        let line = entry.encode().unwrap();
        self.state.apply(&entry).unwrap();
        self.tree.push(&line);
        self.lines.push(line);
    }
}
