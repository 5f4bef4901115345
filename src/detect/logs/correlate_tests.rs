use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::detect::logs::{Aside, Correlator, Fed, Ruleset, ScanOptions, scan_reader};
use crate::domain::{Finding, Source, Timestamp};

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

/// What is put aside, in memory; after so many pieces there is no more room.
struct Shelf(Vec<u8>, usize);

impl Aside for Shelf {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<u64> {
        self.1 = self.1.checked_sub(1).ok_or_else(|| std::io::Error::other("the disk is full"))?;
        let start = self.0.len() as u64;
        self.0.extend_from_slice(bytes);
        Ok(start)
    }
    fn read(&self, start: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        let start = usize::try_from(start).unwrap();
        bytes.copy_from_slice(&self.0[start..start + bytes.len()]);
        Ok(())
    }
}

const KINDS: &str = "\
title: often
id: often
name: often
level: high
correlation: {type: event_count, rules: [failed], group-by: [user], timespan: 10s, condition: {gte: 3}}
---
title: seldom
id: seldom
level: high
correlation: {type: event_count, rules: [failed, login], group-by: [user], timespan: 10s, condition: {lt: 3}}
---
title: from many
id: from-many
level: high
correlation: {type: value_count, rules: [failed], group-by: [user], timespan: 20s, condition: {field: ip, gte: 2}}
---
title: much
id: much
level: high
correlation: {type: value_sum, rules: [failed], timespan: 10s, condition: {field: n, gt: 25}}
---
title: then
id: then
level: high
correlation: {type: temporal_ordered, rules: [often, failed, login], group-by: [user], timespan: 30s, generate: true}
";

fn fed(time: i64, rule: &str, user: &str, ip: &str, number: i64, record: u64) -> Fed {
    let values = [("user", user.to_owned()), ("ip", ip.to_owned()), ("n", number.to_string())];
    Fed {
        rule: rule.into(),
        time: Timestamp::from_second(1_700_000_000 + time).ok(),
        source: Source::File { path: "x.log".into(), record, line: None, offset: Some(record * 10) },
        values: values.map(|(name, value)| (name.to_owned(), value)).into(),
    }
}

fn evaluated(mut correlator: Correlator, events: &[Fed]) -> (Vec<Finding>, Vec<String>) {
    let text = format!("{BASE}{KINDS}");
    let rules = Ruleset::from_texts([("c.yml", text.as_str())]);
    assert_eq!(rules.skipped(), []);
    for event in events {
        correlator.add(event);
    }
    let mut found = Vec::new();
    let notes = correlator.finish(&rules, &mut |finding| found.push(finding));
    (found, notes)
}

/// How often a window of ten seconds begins to hold three failures of a user, counted anew at each event.
fn often(events: &[Fed]) -> Vec<u64> {
    let mut by_user: BTreeMap<&str, Vec<&Fed>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.rule == "r-failed") {
        by_user.entry(&event.values["user"]).or_default().push(event);
    }
    let record = |fed: &Fed| match fed.source {
        Source::File { record, .. } => record,
        Source::Table { .. } => unreachable!(),
    };
    let mut all = Vec::new();
    for mut events in by_user.into_values() {
        events.sort_by_key(|event| (event.time, record(event)));
        let mut held = false;
        for (end, last) in events.iter().enumerate() {
            let since = last.time.unwrap().as_second() - 10;
            let before = events[..end].iter().filter(|event| event.time.unwrap().as_second() >= since).count();
            held &= before >= 3;
            if before + 1 >= 3 && !held {
                all.push((last.time, record(last)));
            }
            held = before + 1 >= 3;
        }
    }
    all.sort_unstable();
    all.into_iter().map(|(_, record)| record).collect()
}

proptest! {
    #[test]
    fn what_lies_aside_counts_as_what_is_kept(
        given in proptest::collection::vec((0_i64..120, any::<bool>(), 0..3_u8, 0..3_u8, 0..20_i64), 0..120),
        waiting in 0..2_000_usize,
    ) {
        let events: Vec<Fed> = (0..).zip(&given).map(|(record, (time, failed, user, ip, number))| {
            fed(*time, if *failed { "r-failed" } else { "r-login" }, &format!("u{user}"), &format!("i{ip}"), *number, record)
        }).collect();
        let (kept, notes) = evaluated(Correlator::default(), &events);
        prop_assert_eq!(notes, Vec::<String>::new());
        let (aside, notes) = evaluated(Correlator::with_aside(Box::new(Shelf(Vec::new(), usize::MAX)), waiting), &events);
        prop_assert_eq!(notes, Vec::<String>::new());
        prop_assert_eq!(&kept, &aside);
        let (some, notes) = evaluated(Correlator::with_aside(Box::new(Shelf(Vec::new(), 1)), waiting), &events);
        prop_assert_eq!(&kept, &some);
        prop_assert_eq!(notes, Vec::<String>::new(), "nothing is missing");
        let records = kept.iter().filter(|finding| finding.rule.id == "often").map(|finding| match finding.source {
            Source::File { record, .. } => record,
            Source::Table { .. } => unreachable!(),
        });
        prop_assert_eq!(records.collect::<Vec<_>>(), often(&events));
    }
}

#[test]
fn groups_without_events_are_forgotten_and_nothing_else() {
    // One user fails twice, then ten thousand others log in and out of the window, then he fails again and again.
    let mut events = vec![fed(0, "r-failed", "a", "x", 1, 0), fed(1, "r-failed", "a", "x", 1, 1)];
    events.extend((0..10_000).map(|number| fed(100 + number / 10, "r-failed", &format!("u{number}"), "x", 1, 2)));
    events.extend((0..3).map(|number| fed(5000 + number, "r-failed", "a", "x", 1, 20_000)));
    let (found, notes) = evaluated(Correlator::default(), &events);
    assert_eq!(notes, [] as [String; 0]);
    let of = |rule: &str| found.iter().filter(|finding| finding.rule.id == rule).count();
    assert_eq!(of("often"), 1);
    // It held all the time for each of them, so it began once.
    assert_eq!(of("seldom"), 10_001);
}

#[test]
fn a_full_disk_bounds_what_is_counted_and_is_said() {
    let mut correlator = Correlator::with_aside(Box::new(Shelf(Vec::new(), 0)), 0);
    let mut event = fed(0, "r-login", "a", "x", 1, 0);
    event.values.clear();
    (0..400_002).for_each(|_| correlator.add(&event));
    let (_, notes) = evaluated(correlator, &[]);
    assert_eq!(notes, ["correlations: 2 events beyond the first 400000 were not counted (the disk is full)"]);
}
