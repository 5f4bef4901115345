//! `incident report`: every form of a whole drill, bound to the ledger, read by the parsers of other programs.

use std::process::Command;

use serde_json::Value;

use crate::peers::address;
use crate::support::{deployment, embedded, finished_drill, folder};

const FORMS: &str = "html,markdown,json,csv,stix,ocsf,timesketch";

/// Reads STIX with the OASIS validator and OCSF with the models of the schema.
const VALIDATE: &str = r#"
import json, sys
from stix2validator import ValidationOptions, validate_file
from py_ocsf_models.events.findings.detection_finding import DetectionFinding
case = sys.argv[1]
result = validate_file(case + "/findings.stix.json", ValidationOptions(version="2.1"))
for part in result.object_results or []:
    for error in part.errors or []:
        print("stix:", error)
    for warning in part.warnings or []:
        print("stix:", warning)
assert result.is_valid
events = [json.loads(line) for line in open(case + "/findings.ocsf.jsonl")]
for event in events:
    DetectionFinding.model_validate(event)
print(len(events), "ocsf")
"#;

#[test]
fn every_form_is_written_bound_and_valid() {
    let (_folder, root, case) = finished_drill();
    let said = embedded(&root, &["--format", "json", "incident", "report", "--as", FORMS]).expect(0);
    let reports = said.of_type("report");
    assert_eq!(reports.len(), 7, "{}", said.stdout);
    // The case is closed, and still verifies with the reports in it.
    let path = case.display().to_string();
    let verified = embedded(&root, &["audit", "verify", &path]).expect(0);
    assert!(!verified.stdout.contains("bound to nothing"), "{}", verified.stdout);
    std::fs::write(case.join("report.html"), "another").unwrap();
    embedded(&root, &["audit", "verify", &path]).expect(6);

    let report: Value = serde_json::from_slice(&std::fs::read(case.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["incident"]["status"], "resumed");
    assert_eq!(report["objectives"]["pause_proven"], false, "the resume lifted it");
    assert!(report["objectives"]["contained_ms"].is_u64(), "{}", report["objectives"]);
    assert!(report["scope"]["accounts"].as_array().unwrap().iter().any(|one| one["name"] == "acct_08"));
    assert_eq!(report["approvals"].as_array().unwrap().len(), 3);
    let findings = report["findings"].as_array().unwrap().len();
    let lines = |name: &str| std::fs::read_to_string(case.join(name)).unwrap().lines().count();
    assert_eq!((lines("findings.csv"), lines("findings.ocsf.jsonl")), (findings + 1, findings));
    timesketch(&std::fs::read_to_string(case.join("timeline.timesketch.jsonl")).unwrap());

    let Some(python) = address("PORTCULLIS_TEST_PYTHON") else { return };
    let ran = Command::new(python).args(["-c", VALIDATE, &path]).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}");
    assert!(said.contains(&format!("{findings} ocsf")) && !said.contains("stix:"), "{said}");
}

/// What the importer requires of each line: a message, a time with an offset, a description; and `timestamp` in microseconds.
fn timesketch(text: &str) {
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let time: jiff::Timestamp = event["datetime"].as_str().unwrap().parse().unwrap();
        assert_eq!(event["timestamp"].as_i64().unwrap(), time.as_microsecond());
        assert!(["message", "timestamp_desc"].iter().all(|key| !event[*key].as_str().unwrap().is_empty()), "{line}");
    }
}

#[test]
fn a_report_can_go_elsewhere_and_says_what_it_cannot_do() {
    let (folder, root, _case) = finished_drill();
    let copy = folder.path().join("copy.html").display().to_string();
    embedded(&root, &["incident", "report", "--as", "html", "--copy", &copy]).expect(0);
    let page = std::fs::read_to_string(&copy).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("default-src 'none'"));
    let out = embedded(&root, &["incident", "report", "--as", "markdown", "--copy", "-"]).expect(0);
    assert!(out.stdout.starts_with("# Incident report inc-"), "{}", out.stdout);
    let several = embedded(&root, &["incident", "report", "--copy", &copy]).expect(2);
    assert!(several.stderr.contains("hint:"), "{}", several.stderr);
    let unknown = embedded(&root, &["incident", "report", "--as", "pdf"]).expect(2);
    assert!(unknown.stderr.contains("use html, markdown"), "{}", unknown.stderr);
}

#[test]
fn five_thousand_findings_make_a_report_below_five_megabytes() {
    let folder = folder();
    let root = folder.path();
    let _deployment = deployment(root, 7);
    embedded(root, &["--yes", "pause", "on", "--reason", "probes"]).expect(0);
    let line = |number: u32| {
        let (host, minute) = (number % 250, number / 60 % 60);
        format!(
            "203.0.113.{host} - - [29/Nov/2026:18:{minute:02}:{:02} +0000] \"GET /api/orders?id={number}%27%20UNION%20SELECT%20password%20FROM%20users-- HTTP/1.1\" 200 12 \"-\" \"probe {number}\"\n",
            number % 60
        )
    };
    std::fs::write(root.join("logs/probes.log"), (0..5_000).map(line).collect::<String>()).unwrap();
    embedded(root, &["scan", "logs", "logs/probes.log"]).expect(3);
    let page = root.join("page.html");
    embedded(root, &["incident", "report", "--as", "html", "--copy", &page.display().to_string()]).expect(0);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
    // Each is there with what it matched.
    let named = regex::Regex::new(r"id=(\d+)%27").unwrap();
    let named: std::collections::BTreeSet<u32> =
        named.captures_iter(&page).map(|one| one[1].parse().unwrap()).collect();
    assert_eq!(named, (0..5_000).collect());
}
