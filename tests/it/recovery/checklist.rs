//! The checklist as approvers read it: in the audit record, with what was seen, what a person answers for, and what a restore made stale.

use std::fs;

use portcullis::embedded::{RehearsedApprover, Seeded};
use portcullis::policy::starter;
use serde_json::Value;

use super::{CREDENTIALS, Scene, gz};

/// A service without a health address.
const SERVICE: &str = "services:\n  - name: backend\n    restart: [\"true\"]\n";

impl Scene {
    /// The checklist of the audit record, made anew.
    fn recorded(&self) -> Vec<Value> {
        self.run(&["audit", "prepare"]).expect(0);
        let incidents = self.root.path().join(".portcullis/incidents");
        let case = fs::read_dir(incidents).unwrap().next().unwrap().unwrap().path();
        let record: Value = serde_json::from_slice(&fs::read(case.join("audit-record.json")).unwrap()).unwrap();
        record["predicate"]["checklist"].as_array().unwrap().clone()
    }
}

/// Whether an item is done, what it says and who answers for it.
fn item<'a>(list: &'a [Value], name: &str) -> (bool, &'a str, Option<&'a str>) {
    let item = list.iter().find(|item| item["item"] == name).unwrap_or_else(|| panic!("{name}: {list:?}"));
    (item["done"] == true, item["detail"].as_str().unwrap(), item["attested_by"].as_str())
}

#[test]
fn the_record_says_what_was_seen_attested_and_made_stale_by_a_restore() {
    let Some(scene) = Scene::new("checklist") else { return };
    let policy = CREDENTIALS.replacen("credentials:", &format!("{SERVICE}credentials:"), 1);
    fs::write(scene.root.path().join("policies/credentials.yml"), policy).unwrap();
    let random = Seeded::new(7);
    let people = ["ada", "bo", "cyd"].map(|name| {
        let person = RehearsedApprover::new(name, &random).unwrap();
        (name.to_owned(), vec!["security".to_owned()], person.public_line())
    });
    let resume = scene.root.path().join("policies/resume.yml");
    fs::write(&resume, starter::resume(&fs::read_to_string(&resume).unwrap(), &people)).unwrap();
    let path = scene.write("db_backup_20261121_010000.sql.gz", &gz(scene.dump().as_bytes()));
    scene.open();
    let list = scene.recorded();
    let (done, words, _) = item(&list, "scan trades");
    assert!(!done && words.contains("it was not made"), "{words}");
    scene.run(&["scan", "trades"]);
    scene.run(&["scan", "database"]);
    let list = scene.recorded();
    assert!(item(&list, "scan trades").0 && item(&list, "scan database").0, "{list:?}");
    assert!(item(&list, "database").0 && item(&list, "database integrity").0, "{list:?}");
    // A service that nobody can ask is for a person, and so is what only people know.
    let (done, words, by) = item(&list, "service.backend");
    assert!(!done && by.is_none() && words.contains("no health address"), "{words}");
    scene.run(&["checklist", "--attest", "service.backend", "--note", "asked by hand"]).expect(5);
    scene.run(&["checklist", "--attest", "recent-trades", "--note", "looked"]).expect(5);
    let list = scene.recorded();
    assert_eq!(item(&list, "service.backend").2, Some("tester"));
    assert!(item(&list, "service.backend").0 && item(&list, "recent-trades").0, "{list:?}");
    assert!(!item(&list, "monitoring").0 && !item(&list, "runbooks").0, "{list:?}");
    // What was scanned and looked at before the restore says nothing of what was restored.
    scene.run(&["restore", &path, "--yes"]).expect(0);
    let list = scene.recorded();
    let (done, words, _) = item(&list, "scan trades");
    assert!(!done && words.contains("a backup was put back since"), "{words}");
    assert!(!item(&list, "scan database").0 && !item(&list, "recent-trades").0, "{list:?}");
    scene.run(&["scan", "trades"]);
    assert!(item(&scene.recorded(), "scan trades").0);
    // Only what is asked for can be attested.
    let ran = scene.run(&["checklist", "--attest", "service.backnd", "--note", "x"]).expect(2);
    assert!(ran.stderr.contains("service.backend"), "{}", ran.stderr);
}
