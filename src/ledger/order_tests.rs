use crate::domain::{Action, CredentialId, Digest, FingerprintKey, Outcome, Phase, StepId, Timestamp};
use crate::ledger::{Entry, Event, FileBinding, IncidentState};

fn opened() -> Event {
    Event::IncidentOpened {
        incident: "inc-1".parse().unwrap(),
        reason: String::new(),
        operator: "dana".into(),
        compromised: Vec::new(),
        nonce: String::new(),
        machine_key: String::new(),
        policies: std::collections::BTreeMap::new(),
        version: String::new(),
    }
}

fn step() -> StepId {
    "a.step".parse().unwrap()
}

fn intent(attempt: u32) -> Event {
    let action = Action::RestartService { service: "backend".into() };
    Event::StepIntent { step: step(), phase: Phase::Rotate, target: String::new(), action, attempt }
}

fn outcome(attempt: u32) -> Event {
    Event::StepOutcome { step: step(), attempt, outcome: Outcome::Done, elapsed_ms: 0, detail: String::new() }
}

fn credential() -> CredentialId {
    "db".parse().unwrap()
}

fn staged(generation: u32, new: bool) -> Event {
    let new = new.then(|| FingerprintKey::new(b"k").fingerprint("new"));
    Event::CredentialStaged { credential: credential(), generation, old: None, new, token: "t".into() }
}

fn created(generation: u32) -> Event {
    let new = FingerprintKey::new(b"k").fingerprint("made");
    Event::CredentialCreated { credential: credential(), generation, new }
}

fn proof(generation: u32) -> Event {
    Event::CredentialProof {
        credential: credential(),
        generation,
        new_accepted: true,
        old_refused: true,
        strength: "server".into(),
        detail: String::new(),
    }
}

fn disposed(verdict: &str) -> Event {
    Event::FindingDisposed {
        findings: vec!["f".into()],
        verdict: verdict.into(),
        note: String::new(),
        operator: "dana".into(),
    }
}

fn file(path: &str) -> FileBinding {
    FileBinding { path: path.into(), bytes: 1, sha256: Digest::of(b"record") }
}

fn prepared(tree_size: u64) -> Event {
    Event::AuditPrepared { file: file("audit-record.json"), tree_size, root: Digest::of(b""), operator: None }
}

fn approved(record: &[u8]) -> Event {
    let record = Digest::of(record);
    Event::ApprovalRecorded { approver: "ada".into(), key: "k".into(), record, file: file("approvals/ada.sig") }
}

fn refused(record: &[u8]) -> Event {
    let record = Digest::of(record);
    Event::RefusalRecorded { approver: "ada".into(), key: "k".into(), record, file: file("refusals/ada.sig") }
}

fn evaluated(opened: bool) -> Event {
    Event::GateEvaluated { opened, record: None, checks: Vec::new(), operator: "dana".into() }
}

fn resumed() -> Event {
    let monitor_until = Timestamp::UNIX_EPOCH;
    Event::IncidentResumed { record: Digest::of(b"record"), operator: "dana".into(), monitor_until }
}

fn entry(state: &IncidentState, event: Event) -> Entry {
    Entry { seq: state.entries, time: Timestamp::from_second(100).unwrap(), event }
}

/// Whether the last of these events may follow the others, all of which must.
fn follows(events: &[Event]) -> bool {
    let mut state = IncidentState::default();
    let first = entry(&state, opened());
    state.apply(&first).unwrap();
    let (last, before) = events.split_last().unwrap();
    for event in before {
        let next = entry(&state, event.clone());
        state.apply(&next).unwrap();
    }
    let (next, unchanged) = (entry(&state, last.clone()), state.clone());
    let fits = state.apply(&next).is_ok();
    assert!(fits || state == unchanged, "what is refused changes nothing");
    fits
}

#[test]
fn a_step_is_tried_in_order_and_ends_once() {
    assert!(follows(&[intent(1)]));
    assert!(!follows(&[intent(0)]));
    assert!(!follows(&[intent(2)]));
    assert!(!follows(&[intent(1), intent(1)]));
    assert!(follows(&[intent(1), intent(2)]));
    assert!(!follows(&[outcome(1)]));
    assert!(follows(&[intent(1), outcome(1)]));
    assert!(!follows(&[intent(1), outcome(2)]));
    assert!(!follows(&[intent(1), outcome(1), outcome(1)]));
    assert!(!follows(&[intent(1), intent(2), outcome(1)]));
    assert!(follows(&[intent(1), outcome(1), intent(2), outcome(2)]));
}

#[test]
fn a_credential_is_rotated_generation_by_generation() {
    assert!(follows(&[staged(1, true)]));
    assert!(!follows(&[staged(0, true)]));
    assert!(!follows(&[staged(2, true)]));
    assert!(!follows(&[staged(1, true), staged(1, true)]));
    assert!(follows(&[staged(1, true), staged(2, true)]));
    assert!(!follows(&[created(1)]));
    assert!(follows(&[staged(1, false), created(1)]));
    assert!(!follows(&[staged(1, false), created(2)]));
    assert!(!follows(&[staged(1, true), created(1)]), "it has its value");
    assert!(follows(&[proof(0)]), "a key that was only proven dead");
    assert!(!follows(&[proof(1)]));
    assert!(follows(&[staged(1, true), proof(1)]));
    assert!(!follows(&[staged(1, true), staged(2, true), proof(1)]), "a proof of the value before");
}

#[test]
fn only_dispositions_that_are_known_are_taken() {
    for verdict in ["benign", "confirmed", "unknown"] {
        assert!(follows(&[disposed(verdict)]), "{verdict}");
    }
    for verdict in ["", "Benign", "ok"] {
        assert!(!follows(&[disposed(verdict)]), "{verdict}");
    }
}

#[test]
fn signatures_are_about_the_current_record_and_a_resume_about_an_open_gate() {
    assert!(follows(&[prepared(1)]));
    assert!(follows(&[prepared(0)]));
    assert!(!follows(&[prepared(2)]), "it covers more than there is");
    for signed in [approved, refused] {
        assert!(follows(&[prepared(1), signed(b"record")]));
        assert!(!follows(&[prepared(1), signed(b"other")]));
        assert!(!follows(&[signed(b"record")]));
    }
    assert!(!follows(&[resumed()]));
    assert!(!follows(&[evaluated(false), resumed()]));
    assert!(!follows(&[evaluated(true), evaluated(false), resumed()]));
    assert!(follows(&[evaluated(true), resumed()]));
}

#[test]
fn positions_and_times_only_go_on_and_an_incident_is_opened_once() {
    let mut state = IncidentState::default();
    let at = |seq, second, event| Entry { seq, time: Timestamp::from_second(second).unwrap(), event };
    assert!(state.apply(&at(0, 100, disposed("benign"))).is_err(), "nothing was opened");
    assert!(state.apply(&at(1, 100, opened())).is_err());
    state.apply(&at(0, 100, opened())).unwrap();
    assert!(state.apply(&at(1, 100, opened())).is_err());
    assert!(state.apply(&at(0, 100, disposed("benign"))).is_err());
    assert!(state.apply(&at(2, 100, disposed("benign"))).is_err());
    assert!(state.apply(&at(1, 99, disposed("benign"))).is_err(), "before the entry before it");
    state.apply(&at(1, 100, disposed("benign"))).unwrap();
    assert_eq!((state.entries, state.newest), (2, Timestamp::from_second(100).ok()));
}
