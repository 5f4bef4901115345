//! Log sources and placeholders of a deployment.

use std::fs;

use crate::support::{finish, folder, program, run};

const RULE: &str = "\
title: An administrator logs in
id: admin
logsource:
  product: acme
  service: auth
detection:
  s:
    User|expand: '%admins%'
  condition: s
";

const SOURCES: &str = "\
version: 1
sources:
  - product: acme
    service: auth
    files: ['auth/*.json']
    fields: { User: [actor.email] }
";

#[test]
fn a_deployment_says_where_rules_are_run_and_what_names_stand_for() {
    let temporary = folder();
    let root = temporary.path();
    fs::create_dir_all(root.join("policies/logs")).unwrap();
    fs::write(root.join("policies/logs/admin.yml"), RULE).unwrap();
    for name in ["auth", "shop"] {
        fs::create_dir_all(root.join("in").join(name)).unwrap();
        fs::write(root.join(format!("in/{name}/a.json")), "{\"actor\":{\"email\":\"svc-root@acme\"}}\n").unwrap();
    }
    let scan = || run(root, &["--format", "json", "scan", "logs", "in"]);
    let without = scan().expect(2);
    assert!(without.stderr.contains("`%admins%`") && without.stderr.contains("placeholders.yml"), "{}", without.stderr);

    let placeholders = root.join("policies/logs/placeholders.yml");
    fs::write(&placeholders, "version: 1\nplaceholders:\n  admins: [alice, 'svc-*@acme']\n").unwrap();
    assert!(scan().expect(0).of_type("finding").is_empty(), "no source calls the field so yet");
    let sources = root.join("policies/logs/sources.yml");
    fs::write(&sources, SOURCES).unwrap();
    let found = scan().expect(3).of_type("finding");
    let paths: Vec<_> = found.iter().map(|finding| finding["source"]["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["in/auth/a.json"]);

    fs::write(&sources, SOURCES.replace("fields:", "field:")).unwrap();
    let refused = scan().expect(2);
    assert!(
        refused.stderr.contains("sources.yml:6:5: unknown key `field`; did you mean `fields`"),
        "{}",
        refused.stderr
    );
}

/// Whoever only has the logs needs nothing else; a folder that was named must be there.
#[test]
fn without_policies_the_rules_of_the_program_are_used_and_that_is_said() {
    let temporary = folder();
    let root = temporary.path();
    let line = "192.0.2.7 - - [24/Nov/2026:01:02:03 +0000] \"GET /x?q=1%20union%20select%20password HTTP/1.1\" 200 5\n";
    fs::write(root.join("access.log"), line).unwrap();
    let scan = |environment: &[(&str, &str)]| {
        let words = ["--format", "json", "scan", "logs", "access.log"];
        finish(program(root).envs(environment.iter().copied()).args(words))
    };
    let bare = scan(&[]).expect(3);
    assert!(bare.stderr.contains("policies: the rules that come with the program are used"), "{}", bare.stderr);
    let named = scan(&[("PORTCULLIS_POLICIES", "rules-of-ours")]).expect(2);
    assert!(named.stderr.contains("no rule could be read from ./rules-of-ours/logs"), "{}", named.stderr);

    run(root, &["init"]).expect(0);
    let own = scan(&[]).expect(3);
    let ids =
        |findings: Vec<serde_json::Value>| findings.iter().map(|finding| finding["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(own.of_type("finding")), ids(bare.of_type("finding")));
    assert!(!own.stderr.contains("come with the program"), "{}", own.stderr);
}
