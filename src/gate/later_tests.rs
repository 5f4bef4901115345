use crate::domain::{Action, Digest, Outcome, Phase, StepId};
use crate::gate::fixture::{Fixture, at, binding, step, texts};
use crate::gate::{GateInput, RECORD, Statement, is_open, may_resume};
use crate::ledger::{Event, Verdict};

const CHECK: &str = "entries-after-record";

fn with(change: impl FnOnce(&mut Fixture)) -> GateInput {
    let mut fixture = Fixture::new();
    change(&mut fixture);
    fixture.input()
}

fn refusing(input: &GateInput) -> Vec<String> {
    let checks = may_resume(input);
    let refused = checks.iter().filter(|check| check.verdict == Verdict::Refuse);
    let names: Vec<String> = refused.map(|check| check.check.clone()).collect();
    assert_eq!(is_open(&checks), names.is_empty());
    names
}

fn report(path: &str, bytes: &[u8]) -> Event {
    let file = binding(path, bytes);
    Event::ReportWritten { form: "html".into(), entries: 1, root: Digest::of(b""), file, operator: "eve".into() }
}

/// Whoever holds the machine's key writes what they like after the signatures. These entries would settle a step that had
/// failed, or a restore that nobody validated.
#[test]
fn a_step_that_was_signed_as_it_was_cannot_be_settled_afterwards() {
    let restart = || Action::RestartService { service: "backend".into() };
    let failed = |case: &mut Fixture| {
        case.before.extend(step("rotate.restart", Phase::Rotate, restart(), Some(Outcome::Failed)));
    };
    assert_eq!(refusing(&with(failed)), ["steps"]);
    let again = |phase, action| {
        let step: StepId = "rotate.restart".parse().unwrap();
        let outcome = Outcome::Done;
        vec![
            Event::StepIntent { step: step.clone(), phase, target: "it".into(), action, attempt: 2 },
            Event::StepOutcome { step, attempt: 2, outcome, elapsed_ms: 1, detail: String::new() },
        ]
    };
    let release = || Action::ReleaseSwitch { switch: "guard".into() };
    for (phase, action) in [(Phase::Resume, restart()), (Phase::Resume, release()), (Phase::Rotate, restart())] {
        let forged = with(|case| {
            failed(case);
            case.after = again(phase, action.clone());
        });
        assert!(refusing(&forged).contains(&CHECK.to_owned()), "{phase:?} {action:?}");
    }
    // A new step of the resume that is none: it would pass for the validation of a restore.
    let validate = Action::ValidateRestore { path: "b".into() };
    let forged = with(|case| case.after = step("resume.9.x", Phase::Resume, validate, Some(Outcome::Done)));
    assert_eq!(refusing(&forged), [CHECK]);
    // One that ended only after the record was not seen by those who signed.
    let late = with(|case| {
        case.before.extend(step("rotate.restart", Phase::Rotate, restart(), None));
        case.after = vec![Event::StepOutcome {
            step: "rotate.restart".parse().unwrap(),
            attempt: 1,
            outcome: Outcome::Done,
            elapsed_ms: 1,
            detail: String::new(),
        }];
    });
    assert_eq!(refusing(&late), [CHECK]);
    // The resume's own steps may follow.
    for action in [release(), Action::ProveResume] {
        let own = with(|case| case.after = step("resume.9.guard", Phase::Resume, action, Some(Outcome::Failed)));
        assert!(!refusing(&own).contains(&CHECK.to_owned()));
        let other_phase = with(|case| case.after = step("x", Phase::Rotate, release(), Some(Outcome::Done)));
        assert!(refusing(&other_phase).contains(&CHECK.to_owned()));
    }
}

#[test]
fn no_later_entry_puts_another_file_in_the_place_of_one_that_was_signed() {
    let quarantine = |path: &str| Event::TailQuarantined { file: binding(path, b"other") };
    for event in [
        report("findings.jsonl", b"other"),
        report(RECORD, b"other"),
        report("approvals/0.sig", b"other"),
        report("refusals/0.sig", b"other"),
        quarantine("findings.jsonl"),
        quarantine("approvals/0.sig"),
    ] {
        let input = with(|case| case.after = vec![event.clone()]);
        assert!(refusing(&input).contains(&CHECK.to_owned()), "{event:?}");
    }
    let approved = |path: &str, record: Digest| Event::ApprovalRecorded {
        approver: "x".into(),
        key: "SHA256:x".into(),
        record,
        file: binding(path, b"other"),
    };
    let refused = |path: &str, record: Digest| Event::RefusalRecorded {
        approver: "x".into(),
        key: "SHA256:x".into(),
        record,
        file: binding(path, b"other"),
    };
    let record = Digest::of(with(|_| {}).record.as_ref().unwrap());
    for event in [
        approved("findings.jsonl", record),
        approved("refusals/0.sig", record),
        refused("findings.jsonl", record),
        // It would count as the approval's file, and the refusal would be gone.
        refused("approvals/0.sig", record),
    ] {
        let input = with(|case| case.after = vec![event.clone()]);
        assert!(refusing(&input).contains(&CHECK.to_owned()), "{event:?}");
    }
    // Reports and tails may come, and a report again.
    let harmless = with(|case| {
        case.before.push(report("report.html", b"first"));
        case.after = vec![report("report.html", b"second"), report("report.md", b"x"), quarantine("quarantine/1.bin")];
    });
    assert_eq!(refusing(&harmless), Vec::<String>::new());
}

#[test]
fn the_record_and_its_entry_name_the_same_executor_and_file() {
    let forged = with(|case| case.forge = |record| record.predicate.executor = Some("carol".into()));
    assert_eq!(refusing(&forged), [CHECK]);
}

/// An issue dated back would shorten the delay of a break-glass record, during which anybody may refuse it.
#[test]
fn a_record_is_not_dated_back_or_ahead_of_its_entry() {
    // The newest entry that it covers is of second 10, its own of second 100.
    let dated = |forge: fn(&mut Statement)| refusing(&with(|case| case.forge = forge));
    assert_eq!(dated(|record| date(record, 10)), Vec::<String>::new());
    assert_eq!(dated(|record| date(record, 100)), Vec::<String>::new());
    assert_eq!(dated(|record| date(record, 9)), ["time"]);
    assert_eq!(dated(|record| date(record, 101)), ["time"]);
    let delayed = |now, forge: fn(&mut Statement)| {
        let mut case = Fixture::new().with_policies(&texts("break_glass: { threshold: 3, delay_minutes: 30 }\n"));
        case.signers = vec![1, 2, 3];
        case.waive = Some(("customers wait".into(), vec!["database".into()]));
        (case.now, case.forge) = (now, forge);
        refusing(&case.input())
    };
    let end = 100 + 30 * 60;
    assert_eq!(delayed(end, |_| {}), Vec::<String>::new());
    assert_eq!(delayed(end - 1, |_| {}), ["break-glass"]);
    let back: fn(&mut Statement) = |record| {
        date(record, 10);
        record.predicate.expires = at(10 + (30 + 240) * 60);
        record.predicate.break_glass.as_mut().unwrap().not_before = at(10 + 30 * 60);
    };
    assert_eq!(delayed(end - 1, back), ["break-glass"], "the delay runs from the entry");
    assert_eq!(delayed(end, back), Vec::<String>::new());
}

fn date(record: &mut Statement, seconds: i64) {
    record.predicate.issued = at(seconds);
    record.predicate.expires = at(seconds + 240 * 60);
}
