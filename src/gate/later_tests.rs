use std::sync::Arc;

use crate::domain::{Action, Canary, Digest, Outcome, Phase, StepId, SwitchState};
use crate::gate::fixture::{Fixture, at, binding, pause, step, texts};
use crate::gate::testing::{Form, Signer};
use crate::gate::{GateInput, RECORD, Statement, is_open, may_resume};
use crate::ledger::{Event, GateCheck, Verdict};

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

/// Digest of the record that every undamaged case has.
fn record() -> Digest {
    Digest::of(Fixture::new().input().record.as_ref().unwrap())
}

fn said(record: Digest, verdict: Verdict) -> Event {
    let checks = vec![GateCheck { check: "quorum".into(), verdict, reason: "said so".into() }];
    Event::GateEvaluated { opened: true, record: Some(record), checks, operator: "dana".into() }
}

fn opened(record: Digest) -> Event {
    said(record, Verdict::Pass)
}

fn released(switch: &str) -> Vec<Event> {
    let action = Action::ReleaseSwitch { switch: switch.into() };
    step(&format!("resume.9.{switch}"), Phase::Resume, action, None)
}

/// A case with a switch beside the guard, both found released.
fn lifted(change: impl FnOnce(&mut Fixture, Digest)) -> GateInput {
    let mut policies = texts("");
    let pause = "version: 1\nguard: {}\nswitches: [{ kind: file, name: flag, path: p }]\n";
    policies.insert("pause.yml".into(), pause.into());
    let mut case = Fixture::new().with_policies(&policies);
    case.live.canary = Some(Ok(Canary::Passed { detail: "row accepted".into() }));
    case.live.switches.insert("flag".into(), Ok(SwitchState::Released));
    let record = Digest::of(case.input().record.as_ref().unwrap());
    change(&mut case, record);
    case.input()
}

#[test]
fn a_resume_that_was_cut_short_goes_on_under_the_gate_that_opened() {
    let both = |record| [vec![opened(record)], released("flag"), released("guard")].concat();
    let going_on = lifted(|case, record| case.after = both(record));
    assert_eq!(refusing(&going_on), Vec::<String>::new());
    // Cut short again, or after its trade: it still goes on.
    let twice = lifted(|case, record| {
        case.after = both(record);
        case.after.extend([opened(record), pause(false)]);
    });
    assert_eq!(refusing(&twice), Vec::<String>::new());
    // Cut short before the guard's turn: the guard must still hold, and nothing else may be released.
    let flag = |case: &mut Fixture, record| case.after = [vec![opened(record)], released("flag")].concat();
    assert_eq!(refusing(&lifted(flag)), ["pause"]);
    let held = |case: &mut Fixture| case.live.canary = Some(Ok(Canary::Refused { reason: "P0001".into() }));
    let before_the_guard = lifted(|case, record| {
        flag(case, record);
        held(case);
    });
    assert_eq!(refusing(&before_the_guard), Vec::<String>::new());
    let other_switch = lifted(|case, record| case.after = [vec![opened(record)], released("guard")].concat());
    assert_eq!(refusing(&other_switch), ["switches"]);
    // Its own trade comes after the guard's release, never before.
    let early = lifted(|case, record| case.after = [vec![opened(record), pause(false)], released("guard")].concat());
    assert!(refusing(&early).contains(&CHECK.to_owned()));
    let nothing_released = lifted(|case, record| case.after = vec![opened(record)]);
    assert_eq!(refusing(&nothing_released), ["pause", "switches"]);
    let never_proven = lifted(|case, _| {
        case.before.retain(|event| !matches!(event, Event::PauseProof { .. }));
        held(case);
        let record = Digest::of(case.input().record.as_ref().unwrap());
        flag(case, record);
    });
    assert_eq!(refusing(&never_proven), ["pause"]);
}

/// Whoever holds the machine's key can write that the gate opened, and that a switch is being released since. Then a pause that
/// was broken by another hand would pass for one that a resume lifts.
#[test]
fn a_forged_opening_lifts_nothing() {
    let forged = [CHECK, "pause", "switches"];
    let all = |event| [vec![event], released("flag"), released("guard")].concat();
    let never_opened = lifted(|case, _| case.after = [released("flag"), released("guard")].concat());
    assert_eq!(refusing(&never_opened), forged);
    let other_record = lifted(|case, _| case.after = all(opened(Digest::of(b"other"))));
    assert_eq!(refusing(&other_record), forged);
    let against_its_checks = lifted(|case, record| case.after = all(said(record, Verdict::Refuse)));
    assert_eq!(refusing(&against_its_checks), forged);
    let shut = lifted(|case, record| {
        case.after = all(opened(record));
        let Event::GateEvaluated { opened, .. } = &mut case.after[0] else { panic!() };
        *opened = false;
    });
    assert_eq!(refusing(&shut), forged);
    // A release that nobody allowed takes the proof away, though a trade is refused still.
    let still_held = lifted(|case, _| {
        case.live.canary = Some(Ok(Canary::Refused { reason: "P0001".into() }));
        case.live.switches.insert("flag".into(), Ok(SwitchState::Engaged));
        case.after = released("flag");
    });
    assert_eq!(refusing(&still_held), [CHECK, "pause"]);
    // Written before the signatures that would have opened it, although these come afterwards.
    let before_anybody = lifted(|case, record| case.early = Some(Arc::new(move |_| all(opened(record)))));
    assert_eq!(refusing(&before_anybody), forged);
    let before_the_last = lifted(|case, record| {
        case.early = Some(Arc::new(move |bytes| [vec![approved(record, bytes, 1)], all(opened(record))].concat()));
    });
    assert_eq!(refusing(&before_the_last), forged);
    let after_the_last = lifted(|case, record| {
        case.early = Some(Arc::new(move |bytes| {
            [vec![approved(record, bytes, 1), approved(record, bytes, 2)], all(opened(record))].concat()
        }));
    });
    assert_eq!(refusing(&after_the_last), Vec::<String>::new(), "then the quorum was on record");
    // An approval that was written into the ledger, but is another file than the one that counts now.
    let other_file = lifted(|case, record| {
        case.early = Some(Arc::new(move |bytes| {
            [vec![approved(record, bytes, 1), approved(record, b"other", 2)], all(opened(record))].concat()
        }));
    });
    assert_eq!(refusing(&other_file), forged);
}

/// Where the quorum was lowered during the incident, the record needs that of before too: an opening that was written when only
/// that of now had approved is no opening, although the others approve afterwards.
#[test]
fn an_opening_without_the_quorum_of_before_lifts_nothing() {
    let lowered = |first: &'static [u8]| {
        lifted(|case, _| {
            let text = case.now_with["resume.yml"].replace("threshold: 2", "threshold: 1");
            assert_ne!(text, case.now_with["resume.yml"]);
            for policies in [&mut case.prepared_with, &mut case.now_with] {
                policies.insert("resume.yml".into(), text.clone());
            }
            let record = Digest::of(case.input().record.as_ref().unwrap());
            case.early = Some(Arc::new(move |bytes| {
                let approvals = first.iter().map(|seed| approved(record, bytes, *seed));
                approvals.chain([opened(record)]).chain(released("flag")).chain(released("guard")).collect()
            }));
        })
    };
    assert_eq!(refusing(&lowered(&[1])), [CHECK, "pause", "switches"]);
    assert_eq!(refusing(&lowered(&[1, 2])), Vec::<String>::new());
}

/// An approval of the record, as the case records it once more after these events; the file is that person's signature over
/// `signed`.
fn approved(record: Digest, signed: &[u8], seed: u8) -> Event {
    let bytes = Signer::ed25519(seed).sign(signed, &Form::default());
    let file = binding(&format!("approvals/{}.sig", seed - 1), &bytes);
    Event::ApprovalRecorded { approver: "x".into(), key: "SHA256:x".into(), record, file }
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
    // A resume's own steps may follow once the gate opened.
    let resumed = |phase, action: Action| {
        with(|case| {
            case.after = vec![opened(record())];
            case.after.extend(step("resume.9.guard", phase, action, Some(Outcome::Failed)));
        })
    };
    for action in [release(), Action::ProveResume] {
        assert!(!refusing(&resumed(Phase::Resume, action.clone())).contains(&CHECK.to_owned()));
        assert!(refusing(&resumed(Phase::Rotate, action.clone())).contains(&CHECK.to_owned()));
        let unasked = with(|case| case.after = step("resume.9.guard", Phase::Resume, action, Some(Outcome::Failed)));
        assert!(refusing(&unasked).contains(&CHECK.to_owned()));
    }
}

#[test]
fn switches_are_counted_by_what_they_are() {
    use SwitchState::{Engaged, Released, Unobservable};
    let said = |states: &[(&str, SwitchState)], released_too: bool| {
        let mut policies = texts("");
        let names: Vec<String> =
            states.iter().map(|(name, _)| format!("{{ kind: file, name: {name}, path: {name} }}")).collect();
        let pause = format!("version: 1\nguard: {{}}\nswitches: [{}]\n", names.join(", "));
        policies.insert("pause.yml".into(), pause);
        let mut case = Fixture::new().with_policies(&policies);
        case.live.switches.extend(states.iter().map(|(name, state)| ((*name).to_owned(), Ok(*state))));
        if released_too {
            let record = Digest::of(case.input().record.as_ref().unwrap());
            case.after = [vec![opened(record)], released("c"), released("d")].concat();
        }
        let checks = may_resume(&case.input());
        let check = checks.into_iter().find(|check| check.check == "switches").unwrap();
        assert_eq!(check.verdict, Verdict::Pass, "{}", check.reason);
        check.reason
    };
    assert_eq!(said(&[("a", Engaged), ("b", Unobservable)], false), "1 engaged, 1 that can't be looked at");
    let five = [("a", Engaged), ("b", Unobservable), ("c", Released), ("d", Released), ("e", Unobservable)];
    assert_eq!(said(&five, true), "1 engaged, 2 that can't be looked at, 2 released by a resume that goes on");
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
    let checks = may_resume(&harmless);
    let words = checks.iter().find(|check| check.check == CHECK).map(|check| check.reason.as_str());
    assert_eq!(words, Some("5 entries since, none of which changes what was signed"), "two approvals among them");
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
