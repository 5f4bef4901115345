//! Lists of indicators on the command line, and the actors that findings are joined into.

use std::fs;

use crate::support::{deployment, embedded, folder, run};

const RULES: &str = "title: r\nid: r\ndetection:\n  s:\n    event: needle\n  condition: s\n";
const LOG: &str = "{\"time\":\"2026-11-24T01:02:03Z\",\"ip\":\"203.0.113.7\",\"event\":\"x\"}\n\
    {\"time\":\"2026-11-24T01:02:04Z\",\"ip\":\"11.203.0.113\",\"event\":\"needle\"}\n\
    {\"time\":\"2026-11-24T01:02:05Z\",\"url\":\"https://a.evil.example/x\",\"event\":\"y\"}\n";

#[test]
fn lists_are_looked_for_beside_the_rules_and_bad_lines_are_named() {
    let folder = folder();
    let root = folder.path();
    fs::write(root.join("rules.yml"), RULES).unwrap();
    fs::write(root.join("app.log"), LOG).unwrap();
    fs::create_dir_all(root.join("policies/indicators")).unwrap();
    fs::write(root.join("policies/indicators/EXAMPLE"), "event").unwrap();
    let scan = |more: &[&str]| {
        let words = [&["--format", "json", "scan", "logs", "app.log", "--rules", "rules.yml"], more].concat();
        run(root, &words)
    };
    let plain = scan(&[]).expect(3);
    assert_eq!(plain.of_type("finding").len(), 1);
    assert!(plain.of_type("summary")[0].get("indicators").is_none(), "{}", plain.stdout);

    fs::write(root.join("policies/indicators/a.txt"), "203.0.113.7 # the drop\n10.0.0.1\n").unwrap();
    fs::write(root.join("b.csv"), "type,value,level\ndomain,evil.example,critical\n").unwrap();
    let found = scan(&[]).expect(3);
    let rules: Vec<_> = found.of_type("finding").iter().map(|f| f["rule"]["id"].clone()).collect();
    assert_eq!(rules, ["indicator:ip", "r"]);
    let first = &found.of_type("finding")[0];
    assert_eq!(first["matched"]["indicator"], "203.0.113.7");
    assert_eq!(first["matched"]["description"], "the drop");
    assert!(first["matched"]["list"].as_str().unwrap().ends_with("indicators/a.txt:1"), "{first}");
    let summary = &found.of_type("summary")[0];
    assert_eq!((&summary["indicators"], &summary["rules"]), (&1.into(), &1.into()));
    assert!(summary["indicators_refused"][0]["rule"].as_str().unwrap().ends_with("a.txt:2"), "{summary}");
    assert!(summary["indicators_refused"][0]["reason"].as_str().unwrap().contains("private address"));

    let named = scan(&["--indicators", "b.csv"]).expect(3);
    let rules: Vec<_> = named.of_type("finding").iter().map(|f| f["rule"].clone()).collect();
    assert_eq!((rules.len(), &rules[1]["id"], &rules[1]["level"]), (2, &"indicator:domain".into(), &"critical".into()));
    let text = run(root, &["scan", "logs", "app.log", "--rules", "rules.yml"]).expect(3).stdout;
    assert!(text.contains("1 rule, 1 indicator") && text.contains("a.txt:2:"), "{text}");

    let gone = scan(&["--indicators", "gone.txt"]).expect(2);
    assert!(gone.stderr.contains("gone.txt"), "{}", gone.stderr);
    let folder = root.join("policies/indicators");
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(root.join("policies/logs")).unwrap();
    let without_rules = run(root, &["--format", "json", "scan", "logs", "app.log", "--indicators", "b.csv"]).expect(3);
    assert_eq!(without_rules.of_type("finding").len(), 1, "indicators alone are enough");
}

#[test]
fn shards_with_indicators_merge_to_the_same() {
    let folder = folder();
    let root = folder.path();
    fs::write(root.join("rules.yml"), RULES).unwrap();
    fs::write(root.join("list.txt"), "203.0.113.7\nevil.example\n").unwrap();
    fs::create_dir(root.join("logs")).unwrap();
    for name in ["a.log", "b.log", "c.log"] {
        fs::write(root.join("logs").join(name), LOG).unwrap();
    }
    let sought = ["--rules", "rules.yml", "--indicators", "list.txt"];
    let one = run(root, &[&["--format", "json", "scan", "logs", "logs"][..], &sought].concat()).expect(3);
    for shard in ["1/2", "2/2"] {
        run(root, &[&["scan", "logs", "logs", "--shard", shard, "--output", "out"][..], &sought].concat()).expect(0);
    }
    let merged = run(root, &[&["--format", "json", "scan", "merge", "out"][..], &sought].concat()).expect(3);
    assert_eq!(merged.of_type("finding"), one.of_type("finding"));
    assert_eq!(one.of_type("finding").len(), 9);
    let plain = |ran: &crate::support::Ran| {
        let mut summary = ran.of_type("summary")[0].clone();
        summary["elapsed_ms"] = 0.into();
        summary
    };
    assert_eq!(plain(&merged), plain(&one));
    let other = run(root, &["scan", "merge", "out", "--rules", "rules.yml"]).expect(2);
    assert!(other.stderr.contains("other rules or indicators"), "{}", other.stderr);
}

#[test]
fn the_timeline_says_who_did_it_and_when_it_began() {
    let folder = folder();
    let root = folder.path();
    let _deployment = deployment(root, 5);
    embedded(root, &["--yes", "lockdown", "--reason", "test"]);
    let log = "{\"time\":\"2026-11-24T01:02:03Z\",\"ip\":\"203.0.113.7\",\"user\":\"eve\",\"event\":\"x\"}\n\
        {\"time\":\"2026-11-24T01:05:00Z\",\"ip\":\"198.51.100.9\",\"user\":\"eve\",\"account\":\"acc_1\",\"event\":\"needle\"}\n";
    fs::write(root.join("odd.log"), log).unwrap();
    fs::write(root.join("rules.yml"), RULES.replace("detection:", "level: low\ndetection:")).unwrap();
    fs::write(root.join("list.txt"), "203.0.113.7\n").unwrap();
    let words = ["scan", "logs", "odd.log", "--rules", "rules.yml", "--indicators", "list.txt"];
    embedded(root, &words).expect(3);
    let told = embedded(root, &["--format", "json", "incident", "timeline"]).expect(0);
    let actors = told.of_type("actor");
    assert_eq!(actors.len(), 1, "{}", told.stdout);
    assert_eq!(actors[0]["reached"]["accounts"], serde_json::json!(["acc_1"]));
    assert_eq!((&actors[0]["id"], &actors[0]["findings"]), (&"actor-1".into(), &2.into()));
    assert_eq!(actors[0]["joined"].as_array().unwrap().len(), 2);
    let moments = told.of_type("moment");
    assert!(moments.iter().any(|moment| moment["actor"] == "actor-1" && moment["what"] == "finding"));
    let summary = &told.of_type("summary")[0];
    assert_eq!(summary["first_malicious"], "2026-11-24T01:02:03Z");
    assert_eq!(summary["last_malicious"], "2026-11-24T01:02:03Z");
    let text = embedded(root, &["incident", "timeline"]).expect(0).stdout;
    assert!(text.contains("first malicious event 2026-11-24T01:02:03Z"), "{text}");
    assert!(text.contains("known by   user eve, address 198.51.100.9, address 203.0.113.7"), "{text}");

    // What somebody called benign is no actor's, and no reason to take an older backup.
    let id = told.of_type("moment").iter().find_map(|m| m["finding"].as_str().map(str::to_owned)).unwrap();
    embedded(root, &["incident", "dispose", &id, "--as", "benign", "--note", "ours"]).expect(0);
    let told = embedded(root, &["--format", "json", "incident", "timeline"]).expect(0);
    assert_eq!(told.of_type("summary")[0]["first_malicious"], serde_json::Value::Null);
    assert_eq!(told.of_type("summary")[0]["benign"], 1);
    embedded(root, &["incident", "report", "--as", "html,json,markdown"]).expect(0);
    let case = fs::read_dir(root.join(".portcullis/incidents")).unwrap().next().unwrap().unwrap().path();
    let page = fs::read_to_string(case.join("report.html")).unwrap();
    assert!(page.contains("actor-1") && page.contains("user eve"));
}
