//! Log sources and placeholders of a deployment.

use std::fs;

use crate::support::{folder, run};

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
