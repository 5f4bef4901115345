//! `drill`: the whole breach, from the alarm to the resume.

use serde_json::Value;

use crate::support::{embedded, finished_drill, folder, run};

#[test]
fn every_phase_passes_and_every_mark_is_found() {
    let folder = folder();
    let ran = run(folder.path(), &["drill", "--seed", "7", "--format", "json"]).expect(0);
    assert_eq!(ran.stderr, "");
    let phases = ran.of_type("phase");
    assert!(phases.len() > 10, "{phases:?}");
    assert!(phases.iter().all(|phase| phase["passed"] == Value::Bool(true)), "{phases:?}");
    let marks = ran.of_type("planted");
    assert!(marks.len() > 10, "{marks:?}");
    assert!(marks.iter().all(|mark| mark["found"] == Value::Bool(true)), "{marks:?}");
    let told = ran.of_type("told");
    let of = |contact: &str| told.iter().find(|one| one["contact"] == contact).unwrap()["moments"].clone();
    assert_eq!(of("on-call"), serde_json::json!(["incident_opened", "contained", "resumed"]));
    assert_eq!(of("approvers"), serde_json::json!(["approval_needed", "resumed"]));
    let records = ran.records();
    let summary = records.last().unwrap();
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["passed"], Value::Bool(true));
    assert_eq!(summary["found"], summary["planted"]);
    assert_eq!(summary["planted"], marks.len());
    assert_eq!(summary["failed_phases"], 0);
    assert_eq!(summary["kept"], false);
    assert!(!std::path::Path::new(summary["case"].as_str().unwrap()).exists(), "what is not kept is removed");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_kept_case_verifies_and_nothing_is_open() {
    let (_folder, root, case) = finished_drill();
    let case = case.display().to_string();
    let verified = embedded(&root, &["--format", "json", "audit", "verify", &case]).expect(0);
    let checks = verified.of_type("check");
    let names: Vec<_> = checks.iter().filter_map(|check| check["check"].as_str()).collect();
    for name in ["ledger", "checkpoint", "files", "policies", "record", "envelope", "approvals"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let summary = verified.of_type("summary").remove(0);
    assert_eq!(summary["holds"], Value::Bool(true));
    assert_eq!(summary["unbound"], Value::Array(Vec::new()));
    // Resumed: no incident is open any more, and the closed one can still be looked at.
    let none = embedded(&root, &["audit", "verify"]).expect(2);
    assert!(none.stderr.contains("there is no open incident") && none.stderr.contains("hint:"), "{}", none.stderr);
    let listed = embedded(&root, &["--format", "json", "incident", "list"]).expect(0);
    assert_eq!(listed.records().len(), 1, "{}", listed.stdout);
}

#[test]
fn the_other_disasters_are_rehearsed_up_to_the_resume() {
    for scenario in ["database", "server", "corruption"] {
        let folder = folder();
        let ran = run(folder.path(), &["drill", "--scenario", scenario, "--seed", "7", "--format", "json"]);
        let phases = ran.of_type("phase");
        let failed: Vec<_> = phases.iter().filter(|phase| phase["passed"] != Value::Bool(true)).collect();
        assert!(failed.is_empty(), "{scenario}: {failed:?}");
        assert_eq!(ran.code, Some(0), "{scenario}: {}{}", ran.stdout, ran.stderr);
        let summary = ran.of_type("summary").remove(0);
        // The newest backup is 50 minutes old.
        assert_eq!((&summary["lost_minutes"], &summary["within_rpo"]), (&50.into(), &true.into()), "{summary}");
    }
}
