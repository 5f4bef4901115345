//! What the ledger says of an incident: nothing that an entry tells is lost, and nothing else is made of it.

use serde_json::{Map, json};

use super::*;
use crate::domain::FingerprintKey;
use crate::ledger::{FileBinding, Verdict};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn opened() -> Event {
    Event::IncidentOpened {
        incident: "inc-1".parse().unwrap(),
        reason: "keys in a public repository".into(),
        operator: "dana".into(),
        compromised: vec!["db".parse().unwrap()],
        nonce: "ab".repeat(16),
        machine_key: "machine".into(),
        policies: [("resume.yml".to_owned(), Digest::of(b"policy"))].into(),
        version: "0".into(),
    }
}

/// The state after these events: the first of them is entry 1, and entry n was written at second n.
fn after(events: Vec<Event>) -> IncidentState {
    let events = std::iter::once(opened()).chain(events);
    let entries: Vec<Entry> =
        (0_u32..).zip(events).map(|(seq, event)| Entry { seq: seq.into(), time: at(seq.into()), event }).collect();
    IncidentState::replay(&entries).unwrap()
}

fn file(path: &str, content: &str) -> FileBinding {
    FileBinding { path: path.into(), bytes: content.len() as u64, sha256: Digest::of(content.as_bytes()) }
}

fn intent(step: &str, action: Action, attempt: u32) -> Event {
    Event::StepIntent {
        step: step.parse().unwrap(),
        phase: Phase::Rotate,
        target: format!("of {step}"),
        action,
        attempt,
    }
}

fn outcome(step: &str, attempt: u32, outcome: Outcome) -> Event {
    let detail = format!("try {attempt}");
    Event::StepOutcome { step: step.parse().unwrap(), attempt, outcome, elapsed_ms: u64::from(attempt) * 10, detail }
}

fn restart() -> Action {
    Action::RestartService { service: "backend".into() }
}

fn proof(refused: bool, pause_ms: u64, detail: &str) -> Event {
    Event::PauseProof { refused, pause_ms, detail: detail.into() }
}

fn prepared(content: &str, operator: Option<&str>) -> Event {
    Event::AuditPrepared {
        file: file("audit-record.json", content),
        tree_size: 1,
        root: Digest::of(b"root"),
        operator: operator.map(Into::into),
    }
}

fn approved(content: &str) -> Event {
    let (approver, key) = ("alice".into(), "SHA256:a".into());
    Event::ApprovalRecorded { approver, key, record: Digest::of(content.as_bytes()), file: file("approvals/a", "sig") }
}

fn refused(content: &str) -> Event {
    let (approver, key) = ("bob".into(), "SHA256:b".into());
    Event::RefusalRecorded { approver, key, record: Digest::of(content.as_bytes()), file: file("refusals/b", "no") }
}

#[test]
fn an_incident_is_what_its_first_entry_says_and_only_grows_wider() {
    let widened = |compromised: &[&str], operator: &str| Event::IncidentWidened {
        compromised: compromised.iter().map(|id| id.parse().unwrap()).collect(),
        reason: "more was found".into(),
        operator: operator.into(),
    };
    let state = after(vec![widened(&["jwt", "db"], "erin"), widened(&["jwt", "broker"], "dana")]);
    assert_eq!(state.incident, Some("inc-1".parse().unwrap()));
    assert_eq!((state.reason.as_str(), state.operator.as_str()), ("keys in a public repository", "dana"));
    assert_eq!((state.nonce, state.machine_key.as_str()), ("ab".repeat(16), "machine"));
    assert_eq!(state.policies, [("resume.yml".to_owned(), Digest::of(b"policy"))].into());
    assert_eq!((state.opened, state.newest, state.entries), (Some(at(0)), Some(at(2)), 3));
    let named: Vec<&str> = state.compromised.iter().map(CredentialId::as_str).collect();
    assert_eq!(named, ["db", "jwt", "broker"], "each once, in the order in which they were named");
    assert_eq!(state.operators, ["dana", "erin"]);
}

#[test]
fn everybody_who_acted_is_an_operator_and_who_only_looked_is_none() {
    let dispose = Event::FindingDisposed {
        findings: vec!["f".into()],
        verdict: "benign".into(),
        note: String::new(),
        operator: "disposes".into(),
    };
    let plan =
        Event::PlanMade { command: "restore".into(), steps: 1, sha256: Digest::of(b""), operator: "plans".into() };
    let attest = Event::ItemAttested { item: "told".into(), note: String::new(), operator: "attests".into() };
    let acted = after(vec![plan, dispose, attest, prepared("record", Some("prepares")), prepared("record", None)]);
    assert_eq!(acted.operators, ["dana", "plans", "disposes", "attests", "prepares"]);
    assert_eq!(acted.attested, [("told".into(), "attests".into())].into());
    let watch = Event::WatchStarted { until: None, auto_pause: None, watched: Vec::new(), operator: "watches".into() };
    let review = Event::ChecklistReviewed { items: Vec::new(), operator: "reviews".into() };
    let report = Event::ReportWritten {
        form: "html".into(),
        entries: 1,
        root: Digest::of(b""),
        file: file("report.html", "r"),
        operator: "reads".into(),
    };
    let asked = Event::GateEvaluated { opened: true, record: None, checks: Vec::new(), operator: "asks".into() };
    assert_eq!(after(vec![watch, review, report, asked]).operators, ["dana"]);
}

#[test]
fn a_step_is_known_by_its_last_try_and_whether_any_succeeded() {
    let step = |events: Vec<Event>| after(events).steps[&"a".parse().unwrap()].clone();
    let known = |attempts, seq, detail: &str, outcome, elapsed_ms, succeeded| StepState {
        phase: Phase::Rotate,
        target: "of a".into(),
        action: restart(),
        attempts,
        outcome,
        succeeded,
        detail: detail.into(),
        seq,
        elapsed_ms,
    };
    let mut events = vec![intent("a", restart(), 1)];
    assert_eq!(step(events.clone()), known(1, 1, "", None, 0, false));
    events.push(outcome("a", 1, Outcome::Failed));
    assert_eq!(step(events.clone()), known(1, 2, "try 1", Some(Outcome::Failed), 10, false));
    events.extend([intent("a", restart(), 2), outcome("a", 2, Outcome::Done)]);
    assert_eq!(step(events.clone()), known(2, 4, "try 2", Some(Outcome::Done), 20, true));
    events.push(intent("a", restart(), 3));
    assert_eq!(step(events.clone()), known(3, 5, "", None, 0, true));
    events.push(outcome("a", 3, Outcome::Unknown));
    assert_eq!(step(events), known(3, 6, "try 3", Some(Outcome::Unknown), 30, true));
}

#[test]
fn a_credential_is_known_by_its_current_rotation_alone() {
    let fingerprint = |value: &str| FingerprintKey::new(b"k").fingerprint(value);
    let id = || "db".parse::<CredentialId>().unwrap();
    let staged = |generation: u32, new: Option<&str>, token: &str| Event::CredentialStaged {
        credential: id(),
        generation,
        old: Some(fingerprint("old")),
        new: new.map(fingerprint),
        token: token.into(),
    };
    let proven = |generation: u32, new_accepted: bool, old_refused: bool| Event::CredentialProof {
        credential: id(),
        generation,
        new_accepted,
        old_refused,
        strength: "server".into(),
        detail: "28P01".into(),
    };
    let known = |events: Vec<Event>| after(events).credentials[&id()].clone();
    let rotated = |generation: u32, new: &str, token: &str, seq: u64| CredentialState {
        generation,
        old: Some(fingerprint("old")),
        new: Some(fingerprint(new)),
        token: token.into(),
        staged_seq: Some(seq),
        ..CredentialState::default()
    };
    let mut events = vec![staged(1, Some("new"), "t1")];
    assert_eq!(known(events.clone()), rotated(1, "new", "t1", 1));
    events.push(proven(1, true, false));
    let words = |state: CredentialState| CredentialState { strength: "server".into(), detail: "28P01".into(), ..state };
    let half = CredentialState { new_accepted: true, proof_seq: Some(2), ..rotated(1, "new", "t1", 1) };
    assert_eq!(known(events.clone()), words(half));
    events.push(proven(1, false, true));
    let other = CredentialState { old_refused: true, proof_seq: Some(3), ..rotated(1, "new", "t1", 1) };
    assert_eq!(known(events.clone()), words(other), "the last proof counts");
    events.push(staged(2, None, "t2"));
    let waits = CredentialState { new: None, ..rotated(2, "", "t2", 4) };
    assert_eq!(known(events.clone()), waits, "the proof was of the rotation before");
    events.push(Event::CredentialCreated { credential: id(), generation: 2, new: fingerprint("made") });
    assert_eq!(known(events), rotated(2, "made", "t2", 4));
}

#[test]
fn a_pause_counts_from_its_first_proof_and_until_anything_may_have_ended_it() {
    let release = || Action::ReleaseSwitch { switch: "flag".into() };
    let restore = || Action::RestoreBackup { path: "b".into() };
    let early = after(vec![proof(false, 5, "let by"), intent("a", release(), 1)]).pause;
    let words = "let by".to_owned();
    let expected = PauseState { detail: words, history: vec![(1, false)], ..PauseState::default() };
    assert_eq!(early, expected, "what was never paused is not interrupted");
    let mut events = vec![proof(true, 40, "P0001"), proof(true, 50, "P0002")];
    let mut expected = PauseState {
        proven: true,
        since: Some(at(1)),
        pause_ms: Some(40),
        detail: "P0002".into(),
        history: vec![(1, true), (2, true)],
        interruptions: Vec::new(),
    };
    assert_eq!(after(events.clone()).pause, expected);
    for (event, what) in [
        (intent("a", release(), 1), "released: of a"),
        (intent("b", restore(), 1), "restored: of b"),
        (intent("c", restart(), 1), ""),
        (proof(false, 60, "let by"), "a trade passed"),
    ] {
        let mut events = events.clone();
        events.push(event);
        let pause = after(events).pause;
        assert_eq!(pause.proven, what.is_empty(), "{what}");
        let interruptions: Vec<_> = pause.interruptions.iter().map(|(seq, what)| (*seq, what.as_str())).collect();
        assert_eq!(interruptions, if what.is_empty() { Vec::new() } else { vec![(3, what)] });
    }
    events.extend([proof(false, 60, "let by"), proof(true, 70, "P0003")]);
    expected.detail = "P0003".into();
    expected.history.extend([(3, false), (4, true)]);
    expected.interruptions.push((3, "a trade passed".into()));
    assert_eq!(after(events).pause, expected);
}

#[test]
fn scans_decisions_and_the_backup_are_the_last_ones_and_the_first_harm_the_earliest() {
    let scan = |name: &str, findings: u64, first: Option<i64>, content: &str| Event::ScanCompleted {
        scan: name.into(),
        findings,
        highest: Some(Level::High),
        first_malicious: first.map(at),
        complete: findings == 2,
        coverage: Map::from_iter([("files".to_owned(), json!(findings))]),
        file: file("findings.jsonl", content),
    };
    let dispose = |findings: &[&str], verdict: &str, operator: &str| Event::FindingDisposed {
        findings: findings.iter().map(ToString::to_string).collect(),
        verdict: verdict.into(),
        note: format!("by {operator}"),
        operator: operator.into(),
    };
    let backup =
        |path: Option<&str>| Event::BackupChosen { path: path.map(Into::into), sha256: None, verdicts: Vec::new() };
    let state = after(vec![
        scan("logs", 1, Some(-5), "one"),
        scan("trades", 3, Some(-9), "two"),
        scan("logs", 2, Some(-7), "three"),
        scan("secrets", 4, None, "four"),
        dispose(&["f1", "f2"], "confirmed", "dana"),
        dispose(&["f2"], "benign", "erin"),
        backup(Some("old.dump")),
        backup(Some("b.dump")),
    ]);
    let ran = |findings: u64, seq: u64| ScanState {
        findings,
        highest: Some(Level::High),
        complete: findings == 2,
        coverage: Map::from_iter([("files".to_owned(), json!(findings))]),
        seq,
    };
    let scans = [("logs", ran(2, 3)), ("secrets", ran(4, 4)), ("trades", ran(3, 2))];
    assert_eq!(state.scans, scans.map(|(name, scan)| (name.to_owned(), scan)).into());
    assert_eq!(state.first_malicious, Some(at(-9)));
    assert_eq!(state.files, [("findings.jsonl".to_owned(), file("findings.jsonl", "four"))].into());
    let decided = |verdict: &str, operator: &str| Disposition {
        verdict: verdict.into(),
        note: format!("by {operator}"),
        operator: operator.into(),
    };
    let expected = [("f1", decided("confirmed", "dana")), ("f2", decided("benign", "erin"))];
    assert_eq!(state.dispositions, expected.map(|(id, decided)| (id.to_owned(), decided)).into());
    assert_eq!(state.backup.as_deref(), Some("b.dump"));
    assert_eq!(after(vec![backup(Some("b.dump")), backup(None)]).backup, None, "none could be chosen");
}

#[test]
fn evidence_notices_the_checklist_the_watch_and_every_file_are_kept() {
    let notice = |contact: &str, moment: Moment, outcome: Delivery| Event::NoticeSent {
        contact: contact.into(),
        channel: "smtp".into(),
        moment,
        outcome,
        detail: String::new(),
    };
    let item = |done: bool| ChecklistItem { item: "told".into(), done, detail: String::new(), attested_by: None };
    let review = |done: bool| Event::ChecklistReviewed { items: vec![item(done)], operator: "erin".into() };
    let covered = |from: i64, to: i64, gap: &str| Event::WatchCovered {
        from: at(from),
        to: at(to),
        events: 1,
        trades: 1,
        alerts: 0,
        gaps: vec![gap.into()],
    };
    let state = after(vec![
        Event::EvidenceCollected { name: "roles".into(), file: file("evidence/roles.json", "{}") },
        Event::TailQuarantined { file: file("tails/1", "torn") },
        Event::ReportWritten {
            form: "html".into(),
            entries: 1,
            root: Digest::of(b""),
            file: file("report.html", "r"),
            operator: "erin".into(),
        },
        notice("cto", Moment::IncidentOpened, Delivery::Failed),
        notice("cto", Moment::IncidentOpened, Delivery::Sent),
        notice("cto", Moment::Contained, Delivery::Unknown),
        review(false),
        review(true),
        covered(0, 60, "a file vanished"),
        covered(600, 660, "the database did not answer"),
    ]);
    assert_eq!(state.evidence, ["roles".to_owned()].into());
    let paths: Vec<&str> = state.files.keys().map(String::as_str).collect();
    assert_eq!(paths, ["evidence/roles.json", "report.html", "tails/1"]);
    assert_eq!(state.files["tails/1"], file("tails/1", "torn"));
    let notices = [(Moment::IncidentOpened, Delivery::Sent), (Moment::Contained, Delivery::Unknown)];
    assert_eq!(state.notices, notices.map(|(moment, outcome)| (("cto".to_owned(), moment), outcome)).into());
    assert_eq!(state.checklist, [item(true)]);
    assert_eq!(state.watched.stretches, [(at(0), at(60)), (at(600), at(660))]);
    assert_eq!(state.watched.gaps, ["a file vanished", "the database did not answer"]);
}

#[test]
fn signatures_belong_to_the_record_of_their_time_and_refusals_outlive_it() {
    let signed = |approver: &str, content: &str, path: &str, sig: &str, second: i64| ApprovalState {
        approver: approver.into(),
        key: format!("SHA256:{}", &approver[..1]),
        record: Digest::of(content.as_bytes()),
        path: path.into(),
        sha256: Digest::of(sig.as_bytes()),
        at: at(second),
    };
    let mut events = vec![prepared("first", Some("dana")), approved("first"), refused("first")];
    let state = after(events.clone());
    let (approval, refusal) =
        (signed("alice", "first", "approvals/a", "sig", 2), signed("bob", "first", "refusals/b", "no", 3));
    assert_eq!(state.record, Some((Digest::of(b"first"), 1, Digest::of(b"root"))));
    assert_eq!(state.record_seq, Some(1));
    assert_eq!((&state.approvals, &state.refusals), (&vec![approval], &vec![refusal.clone()]));
    assert_eq!(state.refused, [(3, refusal.clone())]);
    let paths: Vec<&str> = state.files.keys().map(String::as_str).collect();
    assert_eq!(paths, ["approvals/a", "audit-record.json", "refusals/b"]);
    events.push(prepared("second", None));
    let state = after(events);
    assert_eq!(state.record.unwrap().0, Digest::of(b"second"));
    assert_eq!((state.record_seq, state.approvals, state.refusals), (Some(4), Vec::new(), Vec::new()));
    assert_eq!(state.refused, [(3, refusal)], "who refused an earlier record is not forgotten");
    assert_eq!(state.files["audit-record.json"], file("audit-record.json", "second"));
}

#[test]
fn the_gate_and_the_resume_are_the_last_ones_and_name_who_opened_it() {
    let evaluated = |opened: bool, operator: &str| {
        let verdict = if opened { Verdict::Pass } else { Verdict::Refuse };
        let checks = vec![GateCheck { check: "quorum".into(), verdict, reason: format!("asked by {operator}") }];
        Event::GateEvaluated { opened, record: None, checks, operator: operator.into() }
    };
    let resumed = |until: i64| Event::IncidentResumed {
        record: Digest::of(b"record"),
        operator: "erin".into(),
        monitor_until: at(until),
    };
    let state = after(vec![evaluated(false, "dana")]);
    assert_eq!((state.executors, state.resumed), (Vec::new(), None));
    let state = after(vec![
        evaluated(true, "erin"),
        evaluated(true, "frank"),
        evaluated(true, "erin"),
        resumed(700),
        evaluated(false, "dana"),
    ]);
    assert_eq!(state.executors, ["erin", "frank"]);
    assert_eq!(state.resumed, Some((at(4), at(700))));
    let (opened, checks) = state.gate.unwrap();
    assert_eq!((opened, checks[0].verdict, checks[0].reason.as_str()), (false, Verdict::Refuse, "asked by dana"));
}

#[test]
fn what_is_refused_changes_nothing_and_says_where_and_why() {
    let mut state = after(vec![proof(true, 40, "P0001")]);
    let before = state.clone();
    let bad = Entry { seq: 7, time: at(9), event: proof(false, 1, "") };
    let error = state.apply(&bad).unwrap_err();
    assert_eq!((error.seq, error.kind, error.reason.as_str()), (7, "pause.proof", "expected position 2"));
    assert_eq!(state, before);
}
