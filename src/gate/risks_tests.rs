use crate::domain::{ChecklistItem, Level};
use crate::gate::Statement;
use crate::gate::fixture::{Fixture, finding, pause, texts};
use crate::ledger::Event;

/// What a record says may still go wrong.
fn risks(change: impl FnOnce(&mut Fixture)) -> Vec<String> {
    let mut fixture = Fixture::new();
    change(&mut fixture);
    let record = fixture.input().record.unwrap();
    Statement::parse(&record).unwrap().predicate.residual_risks
}

/// The same with those words in place of others in `resume.yml`, all along.
fn with_policy(from: &str, to: &str) -> Vec<String> {
    let mut all = texts("");
    let text = all["resume.yml"].replace(from, to);
    assert_ne!(text, all["resume.yml"]);
    all.insert("resume.yml".into(), text);
    risks(|case| *case = case.clone().with_policies(&all))
}

const STORE: &str = "`jwt` is replaced in its stores only: no server was seen to refuse the old value";
const HAND: &str = "`broker` is replaced by hand: that the old value is dead rests on a person's word";
const OPEN: &str = "1 findings below high that nobody decided on";
const ALONE: &str = "no witness outside the case folder holds its checkpoints";

fn besides(seen: Vec<String>) -> Vec<String> {
    seen.into_iter().filter(|risk| ![STORE, HAND, OPEN, ALONE].contains(&risk.as_str())).collect()
}

#[test]
fn proofs_that_are_weak_open_findings_and_a_missing_witness_are_said() {
    assert_eq!(risks(|_| {}), [STORE, HAND, OPEN, ALONE]);
    let decided = risks(|case| {
        case.before.push(Event::FindingDisposed {
            findings: vec!["f2".into()],
            verdict: "benign".into(),
            note: String::new(),
            operator: "dana".into(),
        });
    });
    assert_eq!(decided, [STORE, HAND, ALONE]);
    // A finding from the level on that blocks is no residual risk: it blocks.
    let high = risks(|case| {
        case.findings = vec![finding("f1", Level::High), finding("f3", Level::High)];
        let all = case.findings.clone();
        for event in &mut case.before {
            if let Event::ScanCompleted { scan, .. } = event {
                *event = crate::gate::fixture::scan(&scan.clone(), true, &all);
            }
        }
    });
    assert_eq!(high, [STORE, HAND, ALONE]);
}

#[test]
fn scans_that_were_not_made_not_whole_or_without_all_rules_are_said() {
    let missing = risks(|case| {
        case.before.retain(|event| !matches!(event, Event::ScanCompleted { scan, .. } if scan == "trades"));
    });
    assert_eq!(besides(missing), ["scan trades was not made"]);
    let change = |event: &mut Event, whole: bool, skipped: usize| {
        if let Event::ScanCompleted { scan, complete, coverage, .. } = event
            && scan == "logs"
        {
            *complete = whole;
            coverage.insert("rules_skipped".into(), vec!["x"; skipped].into());
        }
    };
    let seen =
        |whole, skipped| besides(risks(|case| case.before.iter_mut().for_each(|event| change(event, whole, skipped))));
    assert_eq!(seen(true, 0), Vec::<String>::new());
    assert_eq!(seen(false, 0), ["scan logs did not cover all that was asked for"]);
    assert_eq!(seen(true, 2), ["scan logs skipped 2 rules"]);
}

#[test]
fn a_pause_that_was_off_or_that_nothing_proves_is_said() {
    let off = besides(risks(|case| case.before.extend([pause(false), pause(true)])));
    let [risk] = off.as_slice() else { panic!("{off:?}") };
    assert!(risk.starts_with("the pause may have been off since entry ") && risk.contains("a trade passed"), "{risk}");
    let mut all = texts("");
    all.insert("pause.yml".into(), "version: 1\nswitches: [{ kind: file, name: flag, path: p }]\n".into());
    let none = besides(risks(|case| *case = case.clone().with_policies(&all)));
    assert_eq!(none, ["no guard is declared: no refused trade proves the pause"]);
}

#[test]
fn what_policy_lets_people_do_is_said() {
    let one = besides(with_policy("threshold: 2", "threshold: 1"));
    assert_eq!(one, ["one person alone approves"]);
    let own = besides(with_policy("threshold: 2", "threshold: 2\noperators_may_approve: true"));
    assert_eq!(own, ["policy lets people approve their own work"]);
    let owners = besides(with_policy("threshold: 2", "threshold: 2\nowners_of_compromised_may_approve: true"));
    assert_eq!(owners, ["policy lets owners of leaked credentials approve"]);
    let witness = "threshold: 2\nwitnesses: [{ kind: directory, name: nas, path: copies }]";
    assert_eq!(with_policy("threshold: 2", witness), [STORE, HAND, OPEN]);
}

#[test]
fn what_the_checklist_leaves_open_is_said() {
    let item = |item: &str, done: bool| ChecklistItem {
        item: item.into(),
        done,
        detail: "ask the broker".into(),
        attested_by: None,
    };
    let items = vec![item("positions", false), item("customers-told", true)];
    let open = risks(|case| case.before.push(Event::ChecklistReviewed { items, operator: "dana".into() }));
    assert_eq!(besides(open), ["the checklist is open at `positions`: ask the broker"]);
}
