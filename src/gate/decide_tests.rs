use super::super::fixture::{
    Fixture, at, attested, credential, finding, findings_bytes, key_line, pause, proof, scan, staged, step, texts,
};
use super::super::testing::{Form, Signer};
use super::*;
use crate::domain::{Action, Level, Outcome, Phase};
use crate::ledger::Event;

/// Names of the checks that refuse.
fn refusing(input: &GateInput) -> Vec<String> {
    let checks = may_resume(input);
    assert_eq!(is_open(&checks), checks.iter().all(|check| check.verdict == Verdict::Pass));
    checks.into_iter().filter(|check| check.verdict == Verdict::Refuse).map(|check| check.check).collect()
}

fn with(change: impl FnOnce(&mut Fixture)) -> GateInput {
    let mut fixture = Fixture::new();
    change(&mut fixture);
    fixture.input()
}

fn without(fixture: &mut Fixture, kind: &str) {
    fixture.before.retain(|event| event.kind() != kind);
}

fn reason(input: &GateInput, check: &str) -> String {
    may_resume(input).into_iter().find(|found| found.check == check).unwrap().reason
}

#[test]
fn a_whole_case_may_resume() {
    let checks = may_resume(&Fixture::new().input());
    assert!(is_open(&checks), "{checks:#?}");
    let names: Vec<&str> = checks.iter().map(|check| check.check.as_str()).collect();
    for name in ["record", "quorum", "credential.db", "credential.jwt", "credential.broker", "scan.logs", "database"] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(!is_open(&[]), "no check is no permission");
    // Findings, record, two approvals, and five policies.
    assert_eq!(reason(&Fixture::new().input(), "files"), "9 files as they were bound");
}

#[test]
fn the_record_must_be_there_and_be_the_one_that_the_ledger_names() {
    let mut input = Fixture::new().input();
    input.record = None;
    let refused = refusing(&input);
    for check in ["record", "incident", "time", "prefix", "content", "policies", "quorum"] {
        assert!(refused.contains(&check.to_owned()), "{check}: {refused:?}");
    }
    let mut input = Fixture::new().input();
    input.record.as_mut().unwrap().push(b' ');
    assert!(refusing(&input).contains(&"record".to_owned()));
    let mut input = Fixture::new().input();
    input.lines.truncate(input.lines.len() - 3);
    assert!(refusing(&input).contains(&"record".to_owned()), "a ledger without audit.prepared");
}

#[test]
fn reformatted_duplicated_and_unknown_fields_are_refused() {
    let input = Fixture::new().input();
    let text = String::from_utf8(input.record.clone().unwrap()).unwrap();
    for (from, to) in [
        ("\"steps\": ", "\"steps\":  "),
        ("\"steps\": ", "\"steps\": 1,\n    \"steps\": "),
        ("\"steps\": ", "\"more\": 1,\n    \"steps\": "),
        ("\"files\": 3", "\"files\": 9007199254740993"),
        ("\"files\": 3", "\"files\": 0.5"),
        ("resume/v1", "resume/v2"),
        ("in-toto.io/Statement/v1", "in-toto.io/Statement/v0.1"),
        ("customers-told\": \"dana\"", "customers-told\": \"x\",\n      \"customers-told\": \"dana\""),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        assert!(Statement::parse(changed.as_bytes()).is_err(), "{to}");
        let mut input = input.clone();
        input.record = Some(changed.into_bytes());
        assert!(refusing(&input).contains(&"record".to_owned()));
    }
    assert!(Statement::parse(&vec![b' '; super::super::statement::MAX_RECORD_BYTES + 1]).is_err());
    assert!(text.contains("\"ratio\": \"0.5\""), "numbers that are not exact everywhere are text");
}

#[test]
fn another_incident_or_nonce_is_refused() {
    let other = with(|case| case.forge = |record| record.predicate.incident.id = "inc-2".parse().unwrap());
    assert_eq!(refusing(&other), ["incident", "content"]);
    let replayed = with(|case| case.forge = |record| record.predicate.incident.nonce = "cd".repeat(16));
    assert_eq!(refusing(&replayed), ["incident", "content"]);
}

#[test]
fn time_must_be_right() {
    // Valid for 240 minutes from second 100.
    assert_eq!(refusing(&with(|case| case.now = 100 + 240 * 60 - 1)), Vec::<String>::new());
    assert_eq!(refusing(&with(|case| case.now = 100 + 240 * 60)), ["time"]);
    assert_eq!(refusing(&with(|case| case.now = 99)), ["time"]);
    assert_eq!(refusing(&with(|case| case.now = 100)), Vec::<String>::new());
    let mut future = Fixture::new();
    future.forge = |record| record.predicate.issued = at(1000);
    assert!(reason(&future.input(), "time").contains("issued in the future"));
}

#[test]
fn what_was_signed_must_be_a_prefix_of_the_ledger() {
    let forged = with(|case| {
        case.forge = |record| {
            let root = Digest::of(b"another log");
            record.predicate.ledger.root = root;
            record.subject[0].digest.insert("rfc6962-sha256".into(), root);
        }
    });
    assert!(refusing(&forged).contains(&"prefix".to_owned()));
    let subject = with(|case| {
        case.forge = |record| {
            record.subject[0].digest.insert("rfc6962-sha256".into(), Digest::of(b"x"));
        }
    });
    assert_eq!(refusing(&subject), ["record", "content"]);
    let mut changed = Fixture::new().input();
    let other = String::from_utf8(changed.lines[1].clone()).unwrap().replace("\"pause_ms\":40", "\"pause_ms\":41");
    changed.lines[1] = other.into_bytes();
    let refused = refusing(&changed);
    assert!(refused.contains(&"prefix".to_owned()) && refused.contains(&"content".to_owned()), "{refused:?}");
    let mut cut = Fixture::new().input();
    cut.lines.remove(3);
    assert_eq!(refusing(&cut), ["ledger"]);
}

#[test]
fn a_record_that_says_something_else_than_the_ledger_is_refused() {
    let lies: [fn(&mut Statement); 5] = [
        |record| record.predicate.exceptions.clear(),
        |record| record.predicate.findings.open.clear(),
        |record| record.predicate.operators.clear(),
        |record| record.predicate.quorum.threshold = 1,
        |record| record.predicate.expires = at(10_000_000),
    ];
    for lie in lies {
        assert_eq!(refusing(&with(|case| case.forge = lie)), ["content"]);
    }
}

#[test]
fn entries_after_the_record_may_not_change_what_was_signed() {
    let evaluated = |opened| Event::GateEvaluated { opened, record: None, checks: Vec::new(), operator: "eve".into() };
    let harmless = vec![
        evaluated(false),
        Event::PlanMade { command: "resume".into(), steps: 1, sha256: Digest::of(b""), operator: "eve".into() },
        pause(true),
        Event::NoticeSent {
            contact: "approvers".into(),
            channel: "smtp".into(),
            moment: crate::domain::Moment::ApprovalNeeded,
            outcome: crate::domain::Delivery::Sent,
            detail: String::new(),
        },
    ];
    assert_eq!(refusing(&with(|case| case.after = harmless)), Vec::<String>::new());
    for event in [
        attested("more"),
        staged("db", 2),
        pause(false),
        scan("logs", true, &Fixture::new().findings),
        Event::PlanMade { command: "restore".into(), steps: 1, sha256: Digest::of(b""), operator: "eve".into() },
        Event::FindingDisposed {
            findings: vec!["f2".into()],
            verdict: "benign".into(),
            note: String::new(),
            operator: "dana".into(),
        },
    ] {
        let kind = event.kind();
        let refused = refusing(&with(|case| case.after = vec![event]));
        assert!(refused.contains(&"entries-after-record".to_owned()), "{kind}: {refused:?}");
    }
}

#[test]
fn policies_may_not_change_but_rules_may_be_added_before_the_record() {
    let edited = texts("operators_may_approve: true\n");
    assert!(refusing(&with(|case| case.now_with = edited.clone())).contains(&"policies".to_owned()));
    let all_along = with(|case| {
        case.prepared_with = edited.clone();
        case.now_with = edited.clone();
    });
    assert_eq!(refusing(&all_along), Vec::<String>::new(), "the quorum of before agrees too");
    let mut alone = all_along;
    alone.opened_resume = None;
    assert_eq!(refusing(&alone), ["policies"], "without the copy nobody can say what that quorum was");
    let mut more = texts("");
    more.insert("logs/more.yml".into(), "title: more\n".into());
    let added = with(|case| {
        case.prepared_with = more.clone();
        case.now_with = more.clone();
    });
    assert_eq!(refusing(&added), Vec::<String>::new());
    assert_eq!(reason(&added, "policies"), "5 files as they were when the incident was opened, 1 added");
    let statement = Statement::parse(added.record.as_deref().unwrap()).unwrap();
    assert_eq!(statement.predicate.policies_changed, ["logs/more.yml"], "approvers see it");
    assert!(refusing(&with(|case| case.now_with = more)).contains(&"policies".to_owned()));
    let mut fewer = texts("");
    fewer.remove("logs/login.yml");
    let removed = with(|case| {
        case.prepared_with = fewer.clone();
        case.now_with = fewer;
    });
    assert_eq!(refusing(&removed), Vec::<String>::new());
    assert_eq!(
        reason(&removed, "policies"),
        "logs/login.yml changed, and approved by the quorum of before too (alice, bob); 4 files as they were when the incident was opened, 0 added"
    );
}

#[test]
fn a_roster_that_could_decide_nothing_may_be_completed_in_view_of_the_approvers() {
    let mut nobody = texts("");
    let text = nobody["resume.yml"].split("approvers:").next().unwrap().to_owned();
    nobody.insert("resume.yml".into(), format!("{text}approvers: []\n"));
    let completed = with(|case| case.opened_with = nobody.clone());
    assert_eq!(refusing(&completed), Vec::<String>::new());
    assert_eq!(
        reason(&completed, "policies"),
        "4 files as they were when the incident was opened, 0 added; resume.yml was completed since, as nobody could have approved before"
    );
    let statement = Statement::parse(completed.record.as_deref().unwrap()).unwrap();
    assert_eq!(statement.predicate.policies_changed, ["resume.yml"]);
    let mut forged = completed;
    forged.opened_resume = Some(b"version: 1\nthreshold: 1\napprovers: []\n".to_vec());
    assert_eq!(refusing(&forged), ["policies"], "the copy must be the one that the ledger names");
    let usable = with(|case| {
        let other = nobody["resume.yml"].replace(
            "approvers: []",
            &format!(
                "approvers: [{{ name: eve, roles: [security], keys: [\"{}\"] }}, {{ name: mallory, keys: [\"{}\"] }}]",
                key_line(8),
                key_line(9)
            ),
        );
        case.opened_with.insert("resume.yml".into(), other);
    });
    assert_eq!(refusing(&usable), ["policies"]);
}

#[test]
fn a_quorum_is_needed_at_the_moment_of_acting() {
    assert_eq!(refusing(&with(|case| case.signers = vec![1])), ["quorum"]);
    assert_eq!(refusing(&with(|case| case.signers = vec![2, 3])), ["quorum"], "nobody of security");
    assert_eq!(refusing(&with(|case| case.signers = vec![1, 3])), Vec::<String>::new());
    assert_eq!(
        refusing(&with(|case| {
            case.signers = vec![1, 3];
            case.compromised = vec!["db"];
        })),
        ["quorum"],
        "carol owns what leaked"
    );
    let bob_acted = Event::ItemAttested { item: "x".into(), note: String::new(), operator: "bob".into() };
    assert_eq!(refusing(&with(|case| case.before.push(bob_acted))), ["quorum"]);
    // Revoked after signing: the policy differs too, and the approval does not count.
    let revoked =
        texts("").into_iter().map(|(path, text)| (path, text.replace("name: bob,", "name: bob, revoked: true,")));
    let revoked = with(|case| case.now_with = revoked.collect());
    assert_eq!(refusing(&revoked), ["content", "policies", "quorum"]);
    assert!(reason(&revoked, "quorum").contains("bob is revoked"));
    let mut swapped = Fixture::new().input();
    swapped.approvals[0].bytes = swapped.approvals[1].bytes.clone();
    assert_eq!(refusing(&swapped), ["quorum"]);
}

#[test]
fn bound_files_must_be_as_they_were() {
    for path in ["findings.jsonl", "approvals/0.sig", "audit-record.json", "policies/resume.yml"] {
        let mut changed = Fixture::new().input();
        changed.files.insert(path.into(), Some(Digest::of(b"swapped")));
        assert_eq!(refusing(&changed), ["files"], "{path}");
        changed.files.insert(path.into(), None);
        assert!(reason(&changed, "files").contains("is missing"));
        changed.files.remove(path);
        assert_eq!(refusing(&changed), ["files"], "{path}");
    }
}

#[test]
fn the_pause_must_be_proven_and_hold_now() {
    let refused = |change: fn(&mut Fixture)| refusing(&with(change));
    assert_eq!(refused(|case| without(case, "pause.proof")), ["pause"]);
    assert_eq!(refused(|case| case.before.push(pause(false))), ["pause"]);
    assert_eq!(refused(|case| case.live.canary = Some(Ok(Canary::Passed { detail: "in".into() }))), ["pause"]);
    assert_eq!(refused(|case| case.live.canary = Some(Err("down".into()))), ["pause"]);
    assert_eq!(refused(|case| case.live.canary = None), ["pause"]);
    let mut guardless = texts("");
    guardless.insert("pause.yml".into(), "version: 1\nswitches: [{ kind: file, name: flag, path: p }]\n".into());
    let mut fixture = Fixture::new().with_policies(&guardless);
    fixture.live.switches.insert("flag".into(), Ok(SwitchState::Engaged));
    assert_eq!(refusing(&fixture.input()), ["pause"]);
    let mut attesting = fixture;
    attesting.before.push(attested("pause"));
    assert_eq!(refusing(&attesting.input()), Vec::<String>::new());
}

fn replace_proof(case: &mut Fixture, id: &str, new: Option<Event>) {
    let about = |event: &Event| matches!(event, Event::CredentialProof { credential, .. } if credential.as_str() == id);
    let place = case.before.iter().position(about).unwrap();
    case.before.splice(place..=place, new);
}

#[test]
fn every_credential_must_be_proven_dead() {
    let refused = |id: &str, new: Option<Event>| refusing(&with(|case| replace_proof(case, id, new)));
    assert_eq!(refused("db", None), ["credential.db"]);
    assert_eq!(refused("db", Some(proof("db", true, false, "server"))), ["credential.db"]);
    assert_eq!(refused("db", Some(proof("db", false, true, "server"))), ["credential.db"]);
    assert_eq!(refused("db", Some(proof("db", true, true, "store"))), ["credential.db"], "policy asks the server");
    assert_eq!(refused("db", Some(proof("db", true, true, "attested"))), ["credential.db"]);
    assert_eq!(refused("jwt", Some(proof("jwt", true, true, "store"))), Vec::<String>::new());
    assert_eq!(refusing(&with(|case| case.before.push(staged("db", 2)))), ["credential.db"], "a new value, unproven");
    let unknown = with(|case| case.compromised = vec!["ghost"]);
    assert_eq!(refusing(&unknown), ["credential.ghost"]);
    let not_rotated = with(|case| {
        case.before.retain(|event| match event {
            Event::CredentialProof { credential, .. } | Event::CredentialStaged { credential, .. } => {
                credential.as_str() != "db"
            }
            _ => true,
        });
    });
    assert_eq!(refusing(&not_rotated), ["credential.db"]);
}

#[test]
fn servers_are_asked_again_at_the_gate() {
    let refused = |change: fn(&mut LiveCredential)| {
        refusing(&with(|case| change(case.live.credentials.get_mut(&credential("db")).unwrap())))
    };
    assert_eq!(refused(|live| live.old = Some(Ok(Probe::Accepted))), ["credential.db"]);
    assert_eq!(refused(|live| live.old = Some(Ok(Probe::Meaningless { reason: "trust".into() }))), ["credential.db"]);
    assert_eq!(refused(|live| live.old = Some(Err("down".into()))), ["credential.db"]);
    assert_eq!(refused(|live| live.old = None), ["credential.db"]);
    assert_eq!(refused(|live| live.new = None), ["credential.db"]);
    assert_eq!(refused(|live| live.new = Some(Ok(Probe::Refused { reason: "x".into() }))), ["credential.db"]);
    assert_eq!(refused(|live| live.new = Some(Err("down".into()))), ["credential.db"]);
}

#[test]
fn what_only_people_can_replace_must_be_attested() {
    let silent = |case: &mut Fixture| {
        case.before.retain(|event| !matches!(event, Event::ItemAttested { item, .. } if item == "broker"));
    };
    assert_eq!(refusing(&with(silent)), ["credential.broker", "steps"]);
    let by_step = with(|case| {
        silent(case);
        case.before.push(attested("rotate.broker.manual"));
    });
    assert_eq!(refusing(&by_step), Vec::<String>::new());
    let by_proof = |strength: &str, refused: bool, restore: bool| {
        refusing(&with(|case| {
            silent(case);
            case.before.push(attested("rotate.broker.manual"));
            // A word for the credential, not for its step.
            case.before.retain(|event| !event.kind().starts_with("step.") || !format!("{event:?}").contains("broker"));
            let said = Event::CredentialProof {
                credential: credential("broker"),
                generation: 0,
                new_accepted: true,
                old_refused: refused,
                strength: strength.into(),
                detail: String::new(),
            };
            case.before.push(said);
            if restore {
                case.before.extend(step("x", Phase::Recover, Action::RestoreBackup { path: "b".into() }, None));
            }
        }))
        .contains(&"credential.broker".to_owned())
    };
    assert!(!by_proof("attested", true, false));
    assert!(by_proof("attested", false, false) && by_proof("server", true, false) && by_proof("", false, false));
    assert!(by_proof("attested", true, true), "a backup was put back since");
}

#[test]
fn a_proof_without_a_rotation_is_none() {
    let input = with(|case| {
        case.before.retain(|event| match event {
            Event::CredentialStaged { credential, .. } | Event::CredentialProof { credential, .. } => {
                credential.as_str() != "db"
            }
            _ => true,
        });
        let mut event = proof("db", true, true, "server");
        let Event::CredentialProof { generation, .. } = &mut event else { panic!() };
        *generation = 0;
        case.before.push(event);
    });
    assert_eq!(refusing(&input), ["credential.db"]);
    assert!(reason(&input, "credential.db").starts_with("it was not rotated"));
}

#[test]
fn no_step_may_be_failed_unknown_skipped_or_in_flight() {
    let action = || Action::RestartService { service: "backend".into() };
    for outcome in [Some(Outcome::Failed), Some(Outcome::Unknown), Some(Outcome::Skipped), None] {
        let refused = refusing(&with(|case| {
            case.before.extend(step("restart", Phase::Rotate, action(), outcome));
            case.before.push(attested("restart"));
        }));
        assert_eq!(refused, ["steps"], "{outcome:?}, even if somebody attests it");
    }
    for outcome in [Outcome::Done, Outcome::Already] {
        let passed = with(|case| case.before.extend(step("restart", Phase::Rotate, action(), Some(outcome))));
        assert_eq!(refusing(&passed), Vec::<String>::new());
    }
    let evidence = |attest: bool| {
        refusing(&with(|case| {
            let collect = Action::CollectEvidence { what: "sessions".into() };
            case.before.extend(step("evidence.sessions", Phase::Evidence, collect, Some(Outcome::Failed)));
            if attest {
                case.before.push(attested("evidence.sessions"));
            }
        }))
    };
    assert_eq!(evidence(false), ["steps"]);
    assert_eq!(evidence(true), Vec::<String>::new());
}

/// Orders may have been placed since somebody said that all were cancelled: it was said of an earlier try.
#[test]
fn what_people_said_before_a_step_was_tried_again_is_not_about_that_try() {
    let cancel = || Action::CancelOrders { credential: credential("broker") };
    let tried = |attempt: u32, outcome: Outcome| {
        let mut events = step("pause.cancel", Phase::Pause, cancel(), Some(outcome));
        for event in &mut events {
            let (Event::StepIntent { attempt: this, .. } | Event::StepOutcome { attempt: this, .. }) = event else {
                panic!("{event:?}")
            };
            *this = attempt;
        }
        events
    };
    let said = || vec![attested("pause.cancel")];
    let case = |parts: &[Vec<Event>]| refusing(&with(|case| case.before.extend(parts.concat())));
    let (first, again) = (tried(1, Outcome::Failed), tried(2, Outcome::Failed));
    assert_eq!(case(&[first.clone(), said()]), Vec::<String>::new());
    assert_eq!(case(&[first.clone(), said(), again.clone()]), ["steps"]);
    assert_eq!(case(&[first.clone(), said(), again, said()]), Vec::<String>::new());
    assert_eq!(case(&[first, tried(2, Outcome::Done)]), Vec::<String>::new());
    // Nobody's word settles a step that people can't do.
    let failed = step("rotate.x", Phase::Rotate, Action::RestartService { service: "x".into() }, Some(Outcome::Failed));
    assert_eq!(case(&[failed, vec![attested("rotate.x")]]), ["steps"]);
}

#[test]
fn after_a_restore_everything_is_shown_again() {
    let restore = Action::RestoreBackup { path: "b".into() };
    let validate = Action::ValidateRestore { path: "b".into() };
    let restored =
        with(|case| case.before.extend(step("restore", Phase::Recover, restore.clone(), Some(Outcome::Done))));
    assert_eq!(
        refusing(&restored),
        [
            "pause",
            "credential.db",
            "credential.jwt",
            "restore",
            // Logs and files are as they were: only what lies in the database is scanned again.
            "scan.trades",
            "scan.database"
        ]
    );
    let mended = with(|case| {
        let findings = case.findings.clone();
        case.before.extend(step("restore", Phase::Recover, restore.clone(), Some(Outcome::Done)));
        case.before.extend(step("validate", Phase::Recover, validate.clone(), Some(Outcome::Done)));
        case.before.extend([pause(true), proof("db", true, true, "server"), proof("jwt", true, true, "store")]);
        case.before.extend(["logs", "trades", "secrets", "database"].map(|name| scan(name, true, &findings)));
    });
    assert_eq!(refusing(&mended), Vec::<String>::new());
}

#[test]
fn required_scans_must_be_there_and_whole() {
    let missing = with(|case| {
        case.before.retain(|event| !matches!(event, Event::ScanCompleted { scan, .. } if scan == "trades"));
    });
    assert_eq!(refusing(&missing), ["scan.trades"]);
    let partial = with(|case| case.before.push(scan("logs", false, &case.findings.clone())));
    assert_eq!(refusing(&partial), ["scan.logs"]);
    let attested = || Event::ItemAttested { item: "scan.logs".into(), note: "n".into(), operator: "dana".into() };
    let accepted = with(|case| {
        case.before.push(scan("logs", false, &case.findings.clone()));
        case.before.push(attested());
    });
    assert!(refusing(&accepted).is_empty(), "a person accepts, by name, what was not covered");
    let too_early = with(|case| {
        case.before.push(attested());
        case.before.push(scan("logs", false, &case.findings.clone()));
    });
    assert_eq!(refusing(&too_early), ["scan.logs"]);
}

#[test]
fn open_findings_block() {
    assert_eq!(refusing(&with(|case| without(case, "finding.disposed"))), ["findings"]);
    let unknown = Event::FindingDisposed {
        findings: vec!["f1".into()],
        verdict: "unknown".into(),
        note: String::new(),
        operator: "dana".into(),
    };
    assert_eq!(refusing(&with(|case| case.before.push(unknown))), ["findings"]);
    let more = with(|case| {
        case.findings.push(finding("f3", Level::Critical));
        let findings = case.findings.clone();
        case.before.push(scan("logs", true, &findings));
    });
    assert_eq!(refusing(&more), ["findings"]);
    assert!(!findings_bytes(&more.findings).is_empty());
}

#[test]
fn what_is_still_in_the_database_blocks_until_it_is_gone_or_benign() {
    let present = |verdict: &'static str| {
        with(move |case| {
            let mut event = scan("database", true, &case.findings.clone());
            if let Event::ScanCompleted { coverage, .. } = &mut event {
                coverage.insert("present".into(), serde_json::json!(["f1"]));
            }
            case.before.push(event);
            case.before.push(Event::FindingDisposed {
                findings: vec!["f1".into()],
                verdict: verdict.into(),
                note: String::new(),
                operator: "dana".into(),
            });
        })
    };
    assert_eq!(refusing(&present("confirmed")), ["persistence"]);
    assert!(refusing(&present("benign")).is_empty());
}

#[test]
fn attestations_and_the_database_are_needed() {
    let silent = with(|case| {
        case.before.retain(|event| !matches!(event, Event::ItemAttested { item, .. } if item == "customers-told"));
    });
    assert_eq!(refusing(&silent), ["attestations"]);
    assert_eq!(refusing(&with(|case| case.live.database = Some(Err("down".into())))), ["database"]);
    assert_eq!(refusing(&with(|case| case.live.database = None)), ["database"]);
}

#[test]
fn one_signed_refusal_keeps_the_gate_shut() {
    let refused = with(|case| case.refusers = vec![3]);
    assert_eq!(refusing(&refused), ["refusals"]);
    assert!(reason(&refused, "refusals").contains("refused by carol"));
    let both = with(|case| case.refusers = vec![2]);
    assert_eq!(refusing(&both), ["refusals"], "whoever approved may still refuse");
    assert_eq!(refusing(&with(|case| case.refusers = vec![9])), Vec::<String>::new(), "a stranger can't");
    let mut approval = Fixture::new().input();
    approval.refusals.clone_from(&approval.approvals);
    assert_eq!(refusing(&approval), Vec::<String>::new(), "an approval is no refusal");
    // One of very many files could be a refusal: nobody looks, so nobody knows.
    let junk = |count| vec![SignatureFile { path: "refusals/x.sig".into(), bytes: Vec::new() }; count];
    approval.refusals = junk(256);
    assert_eq!(refusing(&approval), Vec::<String>::new());
    approval.refusals = junk(257);
    assert_eq!(refusing(&approval), ["refusals"]);
    let again = with(|case| {
        case.before.push(Event::AuditPrepared {
            file: super::super::fixture::binding("audit-record.json", b"old"),
            tree_size: 1,
            root: Digest::of(b""),
            operator: None,
        });
        case.before.push(Event::RefusalRecorded {
            approver: "carol".into(),
            key: "SHA256:x".into(),
            record: Digest::of(b"old"),
            file: super::super::fixture::binding("refusals/carol.sig", b"s"),
        });
    });
    assert_eq!(refusing(&again), Vec::<String>::new(), "it is about one record");
    let statement = Statement::parse(again.record.as_deref().unwrap()).unwrap();
    assert_eq!(statement.predicate.refused[0].approver, "carol", "and the next one shows it");
}

fn glass(case: &mut Fixture, waived: &[&str]) {
    let mut all = texts("break_glass: { threshold: 3, roles_required: { trading: 0 }, delay_minutes: 30 }\n");
    let text = all["resume.yml"].replace("{ name: carol,", "{ name: carol, roles: [trading],");
    all.insert("resume.yml".into(), text);
    *case = case.clone().with_policies(&all);
    case.signers = vec![1, 2, 3];
    case.waive = Some(("customers can't close positions".into(), waived.iter().map(ToString::to_string).collect()));
    case.now = 100 + 30 * 60;
}

#[test]
fn break_glass_waives_what_it_names_after_its_delay_with_more_people() {
    let broken = |case: &mut Fixture| {
        without(case, "pause.proof");
        case.live.database = Some(Err("down".into()));
    };
    let open = with(|case| {
        broken(case);
        glass(case, &["pause", "database"]);
    });
    assert_eq!(refusing(&open), Vec::<String>::new());
    assert!(reason(&open, "pause").starts_with("WAIVED by break-glass: the ledger holds no proof"));
    assert!(reason(&open, "break-glass").contains("customers can't close positions"));
    let statement = Statement::parse(open.record.as_deref().unwrap()).unwrap();
    assert_eq!(statement.predicate_type, super::super::statement::BREAK_GLASS_TYPE);
    assert_eq!(statement.predicate.quorum.threshold, 3);
    let shut = |change: fn(&mut Fixture)| {
        refusing(&with(|case| {
            broken(case);
            glass(case, &["pause", "database"]);
            change(case);
        }))
    };
    assert_eq!(shut(|case| case.now -= 1), ["break-glass"], "the delay");
    assert_eq!(shut(|case| case.signers = vec![1, 2]), ["quorum"], "the higher quorum");
    assert_eq!(shut(|case| case.refusers = vec![3]), ["refusals"]);
    assert_eq!(shut(|case| case.now = 100 + (30 + 240) * 60), ["time"], "valid from the delay's end");
    let partly = with(|case| {
        broken(case);
        glass(case, &["pause"]);
    });
    assert_eq!(refusing(&partly), ["database"], "only what it names");
    let by_another_name = with(|case| {
        broken(case);
        glass(case, &["pause", "database"]);
        case.forge = |record| record.predicate.break_glass.as_mut().unwrap().waived = vec!["quorum".into()];
    });
    assert!(refusing(&by_another_name).contains(&"break-glass".to_owned()));
    let early = with(|case| {
        broken(case);
        glass(case, &["pause", "database"]);
        case.now = 200;
        case.forge = |record| record.predicate.break_glass.as_mut().unwrap().not_before = at(150);
    });
    assert_eq!(refusing(&early), ["content"]);
    let ordinary = Signer::ed25519(2).sign(open.record.as_ref().unwrap(), &Form::default());
    let mut mixed = open;
    mixed.approvals[1].bytes = ordinary;
    assert_eq!(refusing(&mixed), ["quorum"], "an approval of a resume is none of this");
}

#[test]
fn what_makes_a_record_genuine_is_never_waived() {
    let fixed = [
        "ledger",
        "record",
        "incident",
        "time",
        "prefix",
        "entries-after-record",
        "content",
        "policies",
        "files",
        "quorum",
        "refusals",
        "break-glass",
        "credential.",
        "scan.",
        "witness.",
        "",
        "paus",
    ];
    for check in fixed {
        assert!(!super::super::build::may_be_waived(check), "{check}");
    }
    let free = [
        "pause",
        "switches",
        "steps",
        "restore",
        "findings",
        "persistence",
        "attestations",
        "database",
        "credential.db",
        "scan.logs",
        "witness.w",
    ];
    for check in free {
        assert!(super::super::build::may_be_waived(check), "{check}");
    }
    let policies = with(|case| glass(case, &["pause"])).policies;
    let fixture = Fixture::new();
    let (mut state, mut tree) = (IncidentState::default(), Tree::new());
    let entry = Entry { seq: 0, time: at(0), event: fixture.opened() };
    state.apply(&entry).unwrap();
    tree.push(&entry.encode().unwrap());
    let made = |policies: &Policies, reason: &str, checks: &[&str]| {
        let checks: Vec<String> = checks.iter().map(ToString::to_string).collect();
        let waive = Some((reason, checks.as_slice()));
        let facts = Facts { state: &state, tree: &tree, policies, findings: &[], issued: at(1), executor: None, waive };
        build(&facts).map(|statement| statement.predicate.break_glass.unwrap().waived)
    };
    assert_eq!(made(&policies, "why", &["steps", "pause", "steps"]).unwrap(), ["pause", "steps"]);
    assert!(made(&policies, "why", &["quorum"]).is_err());
    assert!(made(&policies, "why", &[]).is_err());
    assert!(made(&policies, " ", &["pause"]).is_err());
    assert!(made(&Fixture::new().input().policies, "why", &["pause"]).is_err(), "policy knows no break-glass");
}

#[test]
fn a_switch_released_by_another_hand_is_noticed() {
    let mut all = texts("");
    let switches = "version: 1\nguard: {}\nswitches: [{ kind: file, name: flag, path: p }]\n";
    all.insert("pause.yml".into(), switches.into());
    let seen = |state: Option<Result<SwitchState, String>>| {
        let mut fixture = Fixture::new().with_policies(&all);
        fixture.live.switches.extend(state.map(|state| ("flag".to_owned(), state)));
        fixture
    };
    assert_eq!(refusing(&seen(Some(Ok(SwitchState::Engaged))).input()), Vec::<String>::new());
    assert_eq!(refusing(&seen(Some(Ok(SwitchState::Unobservable))).input()), Vec::<String>::new());
    let released = seen(Some(Ok(SwitchState::Released)));
    assert_eq!(refusing(&released.input()), ["switches"]);
    assert!(reason(&released.input(), "switches").contains("flag was released by another hand"));
    assert_eq!(refusing(&seen(Some(Err("down".into()))).input()), ["switches"]);
    assert_eq!(refusing(&seen(None).input()), ["switches"]);
}

#[test]
fn a_witness_must_hold_what_was_signed() {
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public = ring::signature::KeyPair::public_key(&pair).as_ref().try_into().unwrap();
    let key = crate::ledger::VerifierKey::new(&"inc-1".parse().unwrap(), public);
    let all = texts("witnesses: [{ kind: directory, name: nas, path: p }]\n");
    let mut fixture = Fixture::new().with_policies(&all);
    fixture.machine_key = key.to_string();
    let input = fixture.input();
    let mut tree = Tree::new();
    input.lines.iter().for_each(|line| tree.push(line));
    let note = |size: u64, root: Digest| {
        let head = crate::ledger::Checkpoint { origin: key.name().into(), size, root };
        head.encode(&key, &pair.sign(head.body().as_bytes()).as_ref().try_into().unwrap()).into_bytes()
    };
    let asked = |answer: Option<Result<Vec<Vec<u8>>, String>>| {
        let mut input = input.clone();
        input.live.witnesses.extend(answer.map(|answer| ("nas".to_owned(), answer)));
        input
    };
    let good = |size: u64| note(size, tree.root_at(size).unwrap());
    let covered = Statement::parse(input.record.as_deref().unwrap()).unwrap().predicate.ledger.size;
    assert_eq!(refusing(&asked(Some(Ok(vec![good(covered)])))), Vec::<String>::new());
    assert_eq!(refusing(&asked(Some(Ok(vec![good(2), good(tree.size())])))), Vec::<String>::new());
    assert_eq!(refusing(&asked(None)), ["witness.nas"]);
    assert_eq!(refusing(&asked(Some(Err("down".into())))), ["witness.nas"]);
    assert_eq!(refusing(&asked(Some(Ok(Vec::new())))), ["witness.nas"]);
    let behind = asked(Some(Ok(vec![good(covered - 1)])));
    assert!(reason(&behind, "witness.nas").contains("the record covers"));
    let ahead = asked(Some(Ok(vec![note(tree.size() + 1, tree.root())])));
    assert!(reason(&ahead, "witness.nas").contains("TRUNCATED"));
    let forked = asked(Some(Ok(vec![note(covered, Digest::of(b"other"))])));
    assert!(reason(&forked, "witness.nas").contains("FORKED"));
}
