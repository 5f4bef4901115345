use crate::detect::logs::{Ruleset, ScanOptions, scan_reader};
use crate::domain::{Finding, Source};

const BASE: &str = "\
title: Failed login
id: r-failed
name: failed
level: low
detection:
  s:
    event: failed
  condition: s
---
title: Login
id: r-login
name: login
level: low
detection:
  s:
    event: login
  condition: s
---
";

/// Ids, records and groups of what is found in events given as `seconds event user address number`.
fn found(correlations: &str, events: &[&str]) -> Vec<(String, u64, String)> {
    let text = format!("{BASE}{correlations}");
    let rules = Ruleset::from_texts([("c.yml", text.as_str())]);
    assert_eq!(rules.skipped(), []);
    let mut log = String::new();
    for event in events {
        let words: Vec<&str> = event.split(' ').collect();
        let time = 1_700_000_000 + words[0].parse::<i64>().unwrap();
        let [event, user, ip, number] = words[1..] else { panic!("{event}") };
        log.push_str(&format!(
            "{{\"ts\":{time},\"event\":\"{event}\",\"user\":\"{user}\",\"ip\":\"{ip}\",\"n\":{number}}}\n"
        ));
    }
    let mut out: Vec<Finding> = Vec::new();
    scan_reader(&rules, "x.log", log.as_bytes(), &ScanOptions::default(), &mut |finding| out.push(finding));
    let place = |finding: &Finding| match &finding.source {
        Source::File { record, .. } => *record,
        Source::Table { .. } => unreachable!(),
    };
    let group =
        |finding: &Finding| finding.matched.get("user").and_then(|user| user.as_str()).unwrap_or("-").to_owned();
    out.iter().map(|finding| (finding.rule.id.clone(), place(finding), group(finding))).collect()
}

fn one(kind: &str, rules: &str, condition: &str) -> String {
    format!(
        "title: c\nid: c\nlevel: high\ncorrelation:\n  type: {kind}\n  rules: [{rules}]\n  group-by: [user]\n  timespan: 10s\n{condition}"
    )
}

fn fired(kind: &str, rules: &str, condition: &str, events: &[&str]) -> Vec<u64> {
    let found = found(&one(kind, rules, condition), events);
    assert!(found.iter().all(|(id, ..)| id == "c"), "{found:?}");
    found.into_iter().map(|(_, record, _)| record).collect()
}

#[test]
fn windows_slide_and_groups_stand_alone() {
    let three = "  condition:\n    gte: 3\n";
    // Across the border of any fixed window.
    assert_eq!(fired("event_count", "failed", three, &["8 failed a x 1", "12 failed a x 1", "17 failed a x 1"]), [2]);
    assert_eq!(
        fired("event_count", "failed", three, &["0 failed a x 1", "5 failed b x 1", "6 failed a x 1"]),
        [] as [u64; 0]
    );
    assert_eq!(
        fired("event_count", "failed", three, &["0 failed a x 1", "5 failed a x 1", "11 failed a x 1"]),
        [] as [u64; 0]
    );
    // Once for a burst, again for the next.
    let burst = [
        "0 failed a x 1",
        "1 failed a x 1",
        "2 failed a x 1",
        "3 failed a x 1",
        "90 failed a x 1",
        "91 failed a x 1",
        "92 failed a x 1",
    ];
    assert_eq!(fired("event_count", "failed", three, &burst), [2, 6]);
}

#[test]
fn the_order_of_lines_does_not_count() {
    let three = "  condition:\n    gte: 3\n";
    assert_eq!(fired("event_count", "failed", three, &["17 failed a x 1", "8 failed a x 1", "12 failed a x 1"]), [0]);
}

#[test]
fn values_are_counted_and_computed_with() {
    let distinct = "  condition:\n    field: ip\n    gte: 2\n";
    assert_eq!(fired("value_count", "failed", distinct, &["0 failed a x 1", "1 failed a x 1", "2 failed a y 1"]), [2]);
    let number = |comparison: &str| format!("  condition:\n    field: n\n    {comparison}\n");
    let events = ["0 failed a x 10", "1 failed a x 20", "2 failed a x 90"];
    assert_eq!(fired("value_sum", "failed", &number("gt: 100"), &events), [2]);
    assert_eq!(fired("value_avg", "failed", &number("gte: 40"), &events), [2]);
    assert_eq!(fired("value_median", "failed", &number("gte: 20"), &events), [2]);
    assert_eq!(fired("value_percentile", "failed", &number("percentile: 95\n    gt: 80"), &events), [2]);
    assert_eq!(fired("value_sum", "failed", &number("gt: 29\n    lt: 100"), &events), [1]);
}

#[test]
fn rules_come_together_in_any_order_or_in_theirs() {
    let both =
        ["0 login a x 1", "3 failed a x 1", "20 failed b x 1", "40 login b x 1", "60 failed c x 1", "61 login c x 1"];
    assert_eq!(fired("temporal", "failed, login", "", &both), [1, 5]);
    assert_eq!(fired("temporal_ordered", "failed, login", "", &both), [5]);
    assert_eq!(
        fired("temporal_ordered", "failed, failed, login", "", &["0 failed a x 1", "1 login a x 1"]),
        [] as [u64; 0]
    );
    assert_eq!(
        fired("temporal_ordered", "failed, failed, login", "", &["0 failed a x 1", "1 failed a x 1", "2 login a x 1"]),
        [2]
    );
}

#[test]
fn correlations_chain_and_generate() {
    let chain = "\
title: many failed
id: many
name: many
level: medium
correlation:
  type: event_count
  rules: [failed]
  group-by: [user]
  timespan: 10s
  condition:
    gte: 2
---
title: brute force
id: brute
level: critical
correlation:
  type: temporal_ordered
  rules: [many, login]
  group-by: [user]
  timespan: 1m
";
    let events = ["0 failed a x 1", "1 failed a x 1", "2 login b x 1", "30 login a x 1"];
    assert_eq!(found(chain, &events), [("brute".into(), 3, "a".into())]);
    let loud = chain.replace("  timespan: 1m\n", "  timespan: 1m\n  generate: true\n");
    let ids: Vec<String> = found(&loud, &events).into_iter().map(|(id, ..)| id).collect();
    assert_eq!(ids, ["r-login", "r-login", "many", "brute"]);
}

#[test]
fn aliases_join_fields_of_different_names() {
    let text = "\
title: same address
id: alias
level: high
correlation:
  type: temporal
  rules: [failed, login]
  group-by: [who]
  timespan: 10s
  aliases:
    who:
      failed: user
      login: ip
";
    assert_eq!(found(text, &["0 failed a x 1", "1 login b a 1", "2 login c b 1"]).len(), 1);
}

#[test]
fn what_cannot_be_linked_is_named() {
    let text = format!("{BASE}{}", one("event_count", "nobody", "  condition:\n    gte: 3\n"));
    let rules = Ruleset::from_texts([("c.yml", text.as_str())]);
    assert!(
        rules.skipped()[0].reason.starts_with("c.yml:19: the correlation refers to `nobody`"),
        "{:?}",
        rules.skipped()
    );
    let ring = "\
title: a
id: a
correlation: {type: temporal, rules: [b], timespan: 1s}
---
title: b
id: b
correlation: {type: temporal, rules: [a], timespan: 1s}
";
    assert_eq!(Ruleset::from_texts([("c.yml", ring)]).skipped().len(), 2);
}

#[test]
fn filters_are_added_to_the_rules_that_they_name() {
    let text = "\
title: not the administrator
filter:
  rules: [r-failed]
  selection:
    user|startswith: adm_
  condition: not selection
";
    let ids = found(text, &["0 failed a x 1", "1 failed adm_x x 1", "2 login adm_x x 1"]);
    assert_eq!(
        ids.iter().map(|(id, record, _)| (id.as_str(), *record)).collect::<Vec<_>>(),
        [("r-failed", 0), ("r-login", 2)]
    );
}
