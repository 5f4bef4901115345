use super::NAMED;
use crate::domain::{Action, Level, Outcome, Phase};
use crate::gate::fixture::{Fixture, attested, finding, pause, proof, scan, staged, step, texts};
use crate::gate::{GateInput, may_resume};
use crate::ledger::{Event, Verdict};
use crate::policy::resume::ResumePolicy;

fn with(change: impl FnOnce(&mut Fixture)) -> GateInput {
    let mut fixture = Fixture::new();
    change(&mut fixture);
    fixture.input()
}

/// Verdict and reason of one check.
fn ruling(input: &GateInput, check: &str) -> (Verdict, String) {
    let found = may_resume(input).into_iter().find(|found| found.check == check);
    let found = found.unwrap_or_else(|| panic!("there is no check {check}"));
    (found.verdict, found.reason)
}

#[test]
fn a_restore_is_validated_by_its_validation_after_it_and_by_nothing_else() {
    let restore = || step("restore", Phase::Recover, Action::RestoreBackup { path: "b".into() }, Some(Outcome::Done));
    let validate =
        |outcome| step("validate", Phase::Recover, Action::ValidateRestore { path: "b".into() }, Some(outcome));
    let other = || step("x", Phase::Recover, Action::RestartService { service: "s".into() }, Some(Outcome::Done));
    let said = |parts: &[Vec<Event>]| ruling(&with(|case| case.before.extend(parts.concat())), "restore").0;
    assert_eq!(said(&[restore(), validate(Outcome::Done)]), Verdict::Pass);
    assert_eq!(said(&[restore()]), Verdict::Refuse);
    assert_eq!(said(&[restore(), other()]), Verdict::Refuse);
    assert_eq!(said(&[restore(), validate(Outcome::Failed)]), Verdict::Refuse);
    assert_eq!(said(&[validate(Outcome::Done), restore()]), Verdict::Refuse);
    assert_eq!(said(&[validate(Outcome::Done), restore(), other()]), Verdict::Refuse);
}

#[test]
fn a_deployment_without_a_database_needs_none() {
    let mut policies = texts("");
    policies.insert("pause.yml".into(), "version: 1\nswitches: [{ kind: file, name: flag, path: p }]\n".into());
    let mut case = Fixture::new().with_policies(&policies);
    case.live.database = None;
    assert_eq!(ruling(&case.input(), "database"), (Verdict::Pass, "none is configured".into()));
    let guarded = with(|case| case.live.database = None);
    assert_eq!(ruling(&guarded, "database").0, Verdict::Refuse);
}

#[test]
fn a_value_that_was_never_known_is_not_asked_about() {
    let unknown = |known_before: bool| {
        with(|case| {
            case.before.retain(|event| match event {
                Event::CredentialStaged { credential, .. } | Event::CredentialProof { credential, .. } => {
                    credential.as_str() != "db"
                }
                _ => true,
            });
            let mut event = staged("db", 1);
            if let (Event::CredentialStaged { old, .. }, false) = (&mut event, known_before) {
                *old = None;
            }
            case.before.extend([event, proof("db", true, true, "server")]);
            for live in case.live.credentials.values_mut() {
                live.old = None;
            }
        })
    };
    assert_eq!(ruling(&unknown(false), "credential.db").0, Verdict::Pass);
    assert_eq!(ruling(&unknown(true), "credential.db").0, Verdict::Refuse);
}

#[test]
fn a_reason_names_the_first_and_counts_the_others() {
    let open = |count: usize| {
        let input = with(|case| {
            case.findings.extend((0..count).map(|n| finding(&format!("new{n}"), Level::Critical)));
            let findings = case.findings.clone();
            case.before.push(scan("logs", true, &findings));
        });
        ruling(&input, "findings")
    };
    let (verdict, reason) = open(NAMED);
    assert_eq!(verdict, Verdict::Refuse);
    assert!(reason.contains("new0 (critical), new1 (critical)") && reason.contains("new7 (critical);"), "{reason}");
    let (_, reason) = open(NAMED + 2);
    assert!(reason.contains("new7 (critical) and 2 more;") && !reason.contains("new8"), "{reason}");
}

#[test]
fn a_watch_that_fell_silent_runs_no_more() {
    let mut policies = texts("");
    policies.insert("monitoring.yml".into(), "version: 1\nrequired_for_resume: true\n".into());
    let watched = |started: bool, now: i64| {
        let mut case = Fixture::new().with_policies(&policies);
        let event = Event::WatchStarted { until: None, auto_pause: None, watched: Vec::new(), operator: "dana".into() };
        // Written at second 100.
        case.after.extend(started.then_some(event));
        case.now = now;
        ruling(&case.input(), "monitoring")
    };
    assert!(watched(false, 200).1.starts_with("no watch was started"));
    let (verdict, reason) = watched(true, 100 + 15 * 60 - 1);
    assert!(verdict == Verdict::Pass && reason.starts_with("a watch runs, its last word in entry "), "{reason}");
    let (verdict, reason) = watched(true, 100 + 15 * 60);
    assert!(verdict == Verdict::Refuse && reason.starts_with("the last word of a watch is 15 min old"), "{reason}");
    let asked = may_resume(&Fixture::new().input()).iter().any(|check| check.check == "monitoring");
    assert!(!asked, "where policy does not ask for one");
}

#[test]
fn a_scan_says_whether_it_was_whole_or_who_took_it_as_it_is() {
    assert!(ruling(&Fixture::new().input(), "scan.logs").1.starts_with("complete, "));
    let partial = with(|case| {
        let findings = case.findings.clone();
        case.before.push(scan("logs", false, &findings));
        case.before.push(attested("scan.logs"));
        case.before.push(pause(true));
    });
    assert!(ruling(&partial, "scan.logs").1.starts_with("not complete, accepted by dana, "));
}

#[test]
fn what_people_say_of_one_thing_is_not_said_of_another() {
    let partial = |item: &str| {
        with(|case| {
            let findings = case.findings.clone();
            case.before.extend([scan("logs", false, &findings), attested(item)]);
        })
    };
    assert_eq!(ruling(&partial("scan.logs"), "scan.logs").0, Verdict::Pass);
    for other in ["scan.trades", "logs", "customers-told"] {
        assert_eq!(ruling(&partial(other), "scan.logs").0, Verdict::Refuse, "{other}");
    }
    let lost = |item: &str| {
        with(|case| {
            let collect = Action::CollectEvidence { what: "sessions".into() };
            case.before.extend(step("evidence.sessions", Phase::Evidence, collect, Some(Outcome::Failed)));
            case.before.push(attested(item));
        })
    };
    assert_eq!(ruling(&lost("evidence.sessions"), "steps").0, Verdict::Pass);
    for other in ["evidence.roles", "sessions", "customers-told"] {
        assert_eq!(ruling(&lost(other), "steps").0, Verdict::Refuse, "{other}");
    }
}

#[test]
fn names_of_approvers_are_file_names() {
    let named = |name: &str| {
        let text = texts("")["resume.yml"].replace("alice", name);
        let policy: ResumePolicy = crate::policy::parse("resume.yml", &text).unwrap();
        crate::gate::Roster::new(&policy).is_ok()
    };
    for good in ["a", "alice@corp.example", "9-a_b", &"a".repeat(64)] {
        assert!(named(good), "{good}");
    }
    for bad in ["\".x\"", "\"-x\"", "\"@\"", "\"a/b\"", "\"\"", &"a".repeat(65), "\"a b\""] {
        assert!(!named(bad), "{bad}");
    }
}
