//! What a record must say of a case, field by field: approvers sign it in the place of the ledger.

use serde_json::json;

use super::*;
use crate::domain::{Action, ChecklistItem, Fingerprint, FingerprintKey, Outcome};
use crate::gate::fixture::{
    Fixture, at, attested, binding, credential, finding, findings_bytes, pause, policies, proof, staged, step, texts,
};
use crate::ledger::merkle::leaf_hash;
use crate::ledger::{Entry, Event};

/// A case in which that happened; the first of the events is entry 1, and each was written at second 10.
fn case(before: Vec<Event>) -> Fixture {
    Fixture { before, ..Fixture::new() }
}

fn predicate(case: &Fixture) -> Predicate {
    Statement::parse(&case.input().record.unwrap()).unwrap().predicate
}

fn fingerprint(value: &str) -> Fingerprint {
    FingerprintKey::new(b"k").fingerprint(value)
}

fn disposed(ids: &[&str], verdict: &str, note: &str, operator: &str) -> Event {
    Event::FindingDisposed {
        findings: ids.iter().map(ToString::to_string).collect(),
        verdict: verdict.into(),
        note: note.into(),
        operator: operator.into(),
    }
}

#[test]
fn the_incident_its_ledger_and_its_policies() {
    let mut case = case(vec![
        pause(true),
        Event::IncidentWidened {
            compromised: vec![credential("broker")],
            reason: "seen in a log".into(),
            operator: "erin".into(),
        },
    ]);
    case.machine_key = "machine".into();
    let input = case.input();
    let statement = Statement::parse(input.record.as_ref().unwrap()).unwrap();
    let mut tree = Tree::new();
    for line in &input.lines[..3] {
        tree.push(line);
    }
    let subject = Subject { name: "portcullis/inc-1".into(), digest: [(ROOT_DIGEST.into(), tree.root())].into() };
    assert_eq!((statement.kind.as_str(), statement.subject), (STATEMENT_TYPE, vec![subject]));
    assert_eq!(statement.predicate_type, PREDICATE_TYPE);
    let said = statement.predicate;
    let incident = Incident {
        id: "inc-1".parse().unwrap(),
        opened: at(0),
        reason: "test".into(),
        operator: "dana".into(),
        nonce: "ab".repeat(16),
    };
    assert_eq!(said.incident, incident);
    assert_eq!((said.issued, said.expires), (at(100), at(100 + 240 * 60)));
    let head = LedgerHead { size: 3, root: tree.root(), newest: at(10), machine_key: "machine".into() };
    assert_eq!(said.ledger, head);
    assert_eq!(said.quorum, Requirement { threshold: 2, roles: [("security".into(), 1)].into() });
    assert_eq!((said.operators, said.executor.as_deref()), (vec!["dana".into(), "erin".into()], Some("dana")));
    assert_eq!(said.compromised, [credential("jwt"), credential("broker")]);
    assert_eq!(said.policies, policies(&texts("")).digests());
    assert_eq!((said.policies_changed, said.break_glass), (Vec::new(), None));
}

#[test]
fn policies_that_were_added_changed_or_removed() {
    let mut case = case(Vec::new());
    case.opened_with.insert("logs/gone.yml".into(), "title: gone\n".into());
    case.opened_with.insert("logs/same.yml".into(), "title: same\n".into());
    case.prepared_with.insert("logs/same.yml".into(), "title: same\n".into());
    case.prepared_with.insert("logs/new.yml".into(), "title: new\n".into());
    case.prepared_with.insert("logs/login.yml".into(), "title: another\n".into());
    let said = predicate(&case);
    assert_eq!(said.policies_changed, ["logs/gone.yml", "logs/login.yml", "logs/new.yml"]);
    assert_eq!(said.policies, policies(&case.prepared_with).digests());
}

#[test]
fn the_whole_history_of_the_pause() {
    assert_eq!(
        predicate(&case(Vec::new())).pause,
        Pause {
            proven: false,
            since: None,
            pause_ms: None,
            detail: String::new(),
            proofs: Vec::new(),
            interruptions: Vec::new()
        }
    );
    let restore = step("restore", Phase::Recover, Action::RestoreBackup { path: "b".into() }, None);
    let mut before = vec![pause(false), pause(true), pause(false), pause(true)];
    before.extend(restore);
    before.push(Event::PauseProof { refused: true, pause_ms: 7, detail: "P0002".into() });
    let proofs = [(1, false), (2, true), (3, false), (4, true), (6, true)];
    assert_eq!(
        predicate(&case(before.clone())).pause,
        Pause {
            proven: true,
            since: Some(at(10)),
            pause_ms: Some(40),
            detail: "P0002".into(),
            proofs: proofs.map(|(entry, refused)| PauseProof { entry, refused }).into(),
            interruptions: vec![
                Interruption { entry: 3, what: "a trade passed".into() },
                Interruption { entry: 5, what: "restored: it".into() },
            ],
        }
    );
    before.pop();
    assert!(!predicate(&case(before)).pause.proven, "what was restored may let trades by");
}

#[test]
fn each_credential_with_its_rotation_and_its_proof() {
    let mut case = case(vec![
        staged("db", 1),
        proof("db", true, true, "server"),
        staged("jwt", 1),
        proof("jwt", true, false, "store"),
        staged("old-key", 1),
    ]);
    case.compromised = vec!["stolen"];
    let lines = case.input().lines;
    let leaf = |entry: usize| Some(leaf_hash(&lines[entry]));
    let untouched = |issuer: &str| Credential {
        issuer: issuer.into(),
        generation: 0,
        old: None,
        new: None,
        new_accepted: false,
        old_refused: false,
        strength: String::new(),
        entry: None,
        detail: String::new(),
        rotation_leaf: None,
        proof_leaf: None,
    };
    let rotated = |issuer: &str, entry: usize| Credential {
        generation: 1,
        old: Some(fingerprint("old")),
        new: Some(fingerprint("new")),
        rotation_leaf: leaf(entry),
        ..untouched(issuer)
    };
    let proven = |issuer: &str, entry: usize, old_refused: bool, strength: &str| Credential {
        new_accepted: true,
        old_refused,
        strength: strength.into(),
        entry: Some(entry as u64),
        detail: "28P01".into(),
        proof_leaf: leaf(entry),
        ..rotated(issuer, entry - 1)
    };
    let expected = [
        ("db", proven("postgres_role", 2, true, "server")),
        ("jwt", proven("self_made", 4, false, "store")),
        ("broker", untouched("manual")),
        ("old-key", rotated("gone", 5)),
        ("stolen", untouched("gone")),
    ];
    assert_eq!(predicate(&case).credentials, expected.map(|(id, said)| (credential(id), said)).into());
    // A second rotation is not proven by the proof of the first.
    case.before.push(staged("db", 2));
    let again = predicate(&case).credentials[&credential("db")].clone();
    let line = &case.input().lines[6];
    let expected = Credential { generation: 2, rotation_leaf: Some(leaf_hash(line)), ..rotated("postgres_role", 5) };
    assert_eq!(again, expected);
}

#[test]
fn the_last_run_of_each_scan_with_what_it_covered() {
    let ran = |scan: &str, findings: u64, highest: Option<Level>, complete: bool, files: u64| Event::ScanCompleted {
        scan: scan.into(),
        findings,
        highest,
        first_malicious: None,
        complete,
        coverage: [
            ("files".to_owned(), json!(files)),
            ("bytes".to_owned(), json!(u64::MAX)),
            ("rules_skipped".to_owned(), json!([{ "rule": "r", "share": 0.25, "why": null }])),
        ]
        .into_iter()
        .collect(),
        file: binding("findings.jsonl", b""),
    };
    let case = case(vec![
        ran("logs", 9, Some(Level::Critical), true, 1),
        ran("trades", 2, None, true, 5),
        ran("logs", 3, Some(Level::Medium), false, 4),
    ]);
    // What is not exact in every reader of JSON is text.
    let covered = |files: u64| json!({ "files": files, "bytes": "18446744073709551615", "rules_skipped": [{ "rule": "r", "share": "0.25", "why": null }] });
    let scans = json!({
        "logs": { "entry": 3, "findings": 3, "highest": "medium", "complete": false, "coverage": covered(4) },
        "trades": { "entry": 2, "findings": 2, "highest": null, "complete": true, "coverage": covered(5) },
    });
    assert_eq!(serde_json::to_value(predicate(&case).scans).unwrap(), scans);
}

#[test]
fn findings_and_what_people_decided_of_them() {
    let levels =
        [("h1", Level::High), ("h2", Level::High), ("h3", Level::High), ("l1", Level::Low), ("l2", Level::Low)];
    let findings: Vec<Finding> = levels.iter().map(|(id, level)| finding(id, *level)).collect();
    let mut case = case(vec![
        crate::gate::fixture::scan("logs", true, &findings),
        disposed(&["h1", "h2"], "confirmed", "first look", "dana"),
        disposed(&["h2", "l1"], "unknown", "ask again", "erin"),
        disposed(&["no-more"], "benign", "a test", "dana"),
    ]);
    case.findings.clone_from(&findings);
    let decided = |level: Option<Level>, verdict: &str, note: &str, operator: &str| Decided {
        level,
        rule: level.map(|_| "rule".into()),
        verdict: verdict.into(),
        note: note.into(),
        operator: operator.into(),
    };
    let expected = Findings {
        sha256: Some(Digest::of(&findings_bytes(&findings))),
        levels: [(Level::High, 3), (Level::Low, 2)].into(),
        open: [(Level::High, 2), (Level::Low, 2)].into(),
        decided: [
            ("h1".into(), decided(Some(Level::High), "confirmed", "first look", "dana")),
            ("h2".into(), decided(Some(Level::High), "unknown", "ask again", "erin")),
            ("l1".into(), decided(Some(Level::Low), "unknown", "ask again", "erin")),
            ("no-more".into(), decided(None, "benign", "a test", "dana")),
        ]
        .into(),
    };
    assert_eq!(predicate(&case).findings, expected);
    case.before.clear();
    case.findings.clear();
    assert_eq!(predicate(&case).findings, Findings::default(), "nothing was scanned");
}

#[test]
fn the_recovery_and_every_step_that_did_not_end_well() {
    let restore = || Action::RestoreBackup { path: "b".into() };
    let restart = || Action::RestartService { service: "s".into() };
    let mut before = vec![Event::BackupChosen { path: Some("b.dump".into()), sha256: None, verdicts: Vec::new() }];
    // The names are in another order than the entries.
    before.extend(step("z.restore", Phase::Recover, restore(), Some(Outcome::Done)));
    before.extend(step("a.validate", Phase::Recover, restart(), Some(Outcome::Failed)));
    before.extend(step("z.by-hand", Phase::Rotate, restart(), Some(Outcome::Manual)));
    before.extend(step("b.skipped", Phase::Pause, restart(), Some(Outcome::Skipped)));
    before.extend(step("a.unknown", Phase::Rotate, restart(), Some(Outcome::Unknown)));
    before.extend(step("a.well", Phase::Rotate, restart(), Some(Outcome::Already)));
    before.extend(step("a.in-flight", Phase::Recover, restart(), None));
    before.push(attested("z.by-hand"));
    let said = predicate(&case(before));
    let recovery = json!({
        "backup": "b.dump",
        "first_malicious": null,
        "steps": [
            { "step": "z.restore", "entry": 3, "outcome": "done", "detail": "seen" },
            { "step": "a.validate", "entry": 5, "outcome": "failed", "detail": "seen" },
            { "step": "a.in-flight", "entry": 14, "outcome": null, "detail": "" },
        ],
    });
    assert_eq!(serde_json::to_value(said.recovery).unwrap(), recovery);
    let exception = |step: &str, phase: &str, entry: u64, outcome: Option<&str>, attested: Option<&str>| {
        let detail = outcome.map_or("", |_| "seen");
        json!({
            "step": step, "phase": phase, "target": "it", "entry": entry, "outcome": outcome, "detail": detail,
            "attested": attested,
        })
    };
    let exceptions = [
        exception("a.validate", "recover", 5, Some("failed"), None),
        exception("z.by-hand", "rotate", 7, Some("manual"), Some("dana")),
        exception("b.skipped", "pause", 9, Some("skipped"), None),
        exception("a.unknown", "rotate", 11, Some("unknown"), None),
        exception("a.in-flight", "recover", 14, None, None),
    ];
    assert_eq!(serde_json::to_value(said.exceptions).unwrap(), json!(exceptions));
    assert_eq!((said.steps, said.attested), (7, [("z.by-hand".into(), "dana".into())].into()));
}

#[test]
fn the_earliest_malicious_event_and_the_checklist_as_it_was_last_gone_through() {
    let scan = |second: Option<i64>| Event::ScanCompleted {
        scan: "logs".into(),
        findings: 0,
        highest: None,
        first_malicious: second.map(at),
        complete: true,
        coverage: Map::new(),
        file: binding("findings.jsonl", b""),
    };
    let item = |item: &str, done: bool| ChecklistItem {
        item: item.into(),
        done,
        detail: format!("{item}: {done}"),
        attested_by: done.then(|| "erin".into()),
    };
    let reviewed = |items: &[ChecklistItem]| Event::ChecklistReviewed { items: items.into(), operator: "erin".into() };
    let said = predicate(&case(vec![
        scan(Some(-50)),
        scan(Some(-80)),
        scan(Some(-60)),
        scan(None),
        reviewed(&[item("customers-told", false)]),
        reviewed(&[item("customers-told", true), item("regulator-told", false)]),
    ]));
    assert_eq!(said.recovery.first_malicious, Some(at(-80)));
    assert_eq!(said.checklist, [item("customers-told", true), item("regulator-told", false)]);
}

/// The ledger of a case that was only opened, and its tree.
fn opened() -> (IncidentState, Tree) {
    let (mut state, mut tree) = (IncidentState::default(), Tree::new());
    let entry = Entry { seq: 0, time: at(0), event: Fixture::new().opened() };
    state.apply(&entry).unwrap();
    tree.push(&entry.encode().unwrap());
    (state, tree)
}

#[test]
fn no_record_without_a_first_entry_or_its_leaf() {
    let policies = policies(&texts(""));
    let made = |state: &IncidentState, tree: &Tree| {
        build(&Facts { state, tree, policies: &policies, findings: &[], issued: at(1), executor: None, waive: None })
    };
    let (state, tree) = opened();
    assert_eq!(made(&IncidentState::default(), &tree), Err(BuildError::Empty));
    assert_eq!(made(&state, &Tree::new()), Err(BuildError::Empty));
    assert_eq!(made(&state, &tree).unwrap().predicate.executor, None);
}

#[test]
fn a_record_is_valid_for_as_long_as_policy_says_and_never_for_no_or_endless_time() {
    let (state, tree) = opened();
    let expires = |minutes: u64| {
        let mut policies = policies(&texts(""));
        policies.resume.record_valid_minutes = minutes;
        let policies = &policies;
        let facts =
            Facts { state: &state, tree: &tree, policies, findings: &[], issued: at(1), executor: None, waive: None };
        build(&facts).map(|statement| statement.predicate.expires)
    };
    assert_eq!(expires(1), Ok(at(61)));
    for minutes in [0, u64::MAX, u64::try_from(i64::MAX).unwrap(), u64::try_from(i64::MAX / 60).unwrap()] {
        assert_eq!(expires(minutes), Err(BuildError::Validity), "{minutes}");
    }
}

#[test]
fn a_record_that_waives_checks_says_which_why_from_when_and_by_whose_leave() {
    let glass = "break_glass: { threshold: 3, roles_required: { security: 1 }, delay_minutes: 30 }\n";
    let mut case = Fixture::new().with_policies(&texts(glass));
    case.waive = Some(("customers can't close positions".into(), vec!["steps".into(), "pause".into(), "steps".into()]));
    let said = predicate(&case);
    let expected = BreakGlass {
        reason: "customers can't close positions".into(),
        waived: vec!["pause".into(), "steps".into()],
        not_before: at(100 + 30 * 60),
    };
    assert_eq!(said.break_glass, Some(expected));
    assert_eq!(said.quorum, Requirement { threshold: 3, roles: [("security".into(), 1)].into() });
    assert_eq!(said.expires, at(100 + (30 + 240) * 60), "valid from the delay's end");
}

#[test]
fn a_refusal_of_an_earlier_record_stays_in_every_later_one() {
    let refused = Fixture { refusers: vec![3], ..Fixture::new() }.input();
    let entries: Vec<Entry> = refused.lines.iter().map(|line| Entry::decode(line).unwrap()).collect();
    let (state, tree) = (IncidentState::replay(&entries).unwrap(), {
        let mut tree = Tree::new();
        for line in &refused.lines {
            tree.push(line);
        }
        tree
    });
    let policies = policies(&texts(""));
    let facts = Facts {
        state: &state,
        tree: &tree,
        policies: &policies,
        findings: &refused.findings,
        issued: at(300),
        executor: None,
        waive: None,
    };
    let record = Digest::of(refused.record.as_ref().unwrap());
    let entry = entries.iter().find(|entry| entry.event.kind() == "refusal.recorded").unwrap().seq;
    let Event::RefusalRecorded { approver, .. } = &entries[usize::try_from(entry).unwrap()].event else { panic!() };
    let expected = [Refused { approver: approver.clone(), record, entry }];
    assert_eq!(build(&facts).unwrap().predicate.refused, expected);
}
