use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::detect::logs::{ScanOptions, scan_feeding, scan_reader};

const RULES: &str = "\
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
title: many
id: c-many
name: many
level: high
correlation:
  type: event_count
  rules: [failed]
  group-by: [user]
  timespan: 10s
  condition:
    gte: 3
---
title: guessed
id: c-guessed
level: critical
correlation:
  type: temporal_ordered
  rules: [many, login]
  group-by: [user]
  timespan: 10s
---
title: few addresses
id: c-few
level: high
correlation:
  type: value_count
  rules: [failed, login]
  group-by: [user]
  timespan: 7s
  condition:
    field: ip
    gte: 2
";

fn line((second, failed, user, ip): (i64, bool, u8, u8)) -> String {
    let (event, time) = (if failed { "failed" } else { "login" }, 1_700_000_000 + second);
    format!("{{\"ts\":{time},\"event\":\"{event}\",\"user\":\"u{user}\",\"ip\":\"10.0.0.{ip}\"}}\n")
}

/// What one scan of everything gives.
fn whole(rules: &Ruleset, lines: &[String]) -> BTreeSet<Told> {
    let mut all = BTreeSet::new();
    scan_reader(rules, "x.log", lines.concat().as_bytes(), &ScanOptions::default(), &mut |finding| {
        if finding.rule.id.starts_with("c-") {
            all.insert(told(&finding));
        }
    });
    all
}

/// Events of some lines, with the places that they have in the whole.
fn fed(rules: &Ruleset, before: u64, lines: &[String]) -> Vec<Fed> {
    let mut all = Vec::new();
    scan_feeding(rules, "x.log", lines.concat().as_bytes(), &ScanOptions::default(), &mut |_| {}, &mut |mut fed| {
        if let crate::domain::Source::File { record, line, .. } = &mut fed.source {
            *record += before;
            *line = line.map(|line| line + before);
        }
        all.push(fed);
    });
    all
}

/// What is given while the lines come in, so many at a time; after `cut` pieces it is ended and begun anew.
fn live(rules: &Ruleset, lines: &[String], at_a_time: usize, cut: usize) -> BTreeSet<Told> {
    let (mut live, mut all, mut before) = (Live::new(rules), BTreeSet::new(), 0);
    for (number, piece) in lines.chunks(at_a_time).enumerate() {
        if number == cut {
            let mut next = Live::new(rules);
            live.kept().cloned().for_each(|fed| next.remember(fed));
            live = next;
        }
        for one in fed(rules, before, piece) {
            live.add(one);
        }
        before += piece.len() as u64;
        live.evaluate(rules, &mut |finding| {
            all.insert(told(&finding));
        });
    }
    all
}

proptest! {
    #[test]
    fn what_comes_in_piece_by_piece_gives_what_the_whole_gives(
        mut events in prop::collection::vec((0_i64..120, any::<bool>(), 0_u8..2, 0_u8..3), 0..80),
        at_a_time in 1_usize..9,
        cut in 0_usize..12,
    ) {
        let rules = Ruleset::from_texts([("r.yml", RULES)]);
        prop_assert_eq!(rules.skipped(), &[]);
        events.sort_by_key(|event| event.0);
        let lines: Vec<String> = events.into_iter().map(line).collect();
        prop_assert_eq!(whole(&rules, &lines), live(&rules, &lines, at_a_time, cut));
    }
}

#[test]
fn old_events_are_forgotten_and_chains_reach_further() {
    let rules = Ruleset::from_texts([("r.yml", RULES)]);
    let mut live = Live::new(&rules);
    assert_eq!(live.reach, 20_000_000_000, "a chain of two windows of 10 s");
    let lines: Vec<String> = (0..1000).map(|second| line((second, true, 0, 0))).collect();
    for (number, piece) in lines.chunks(10).enumerate() {
        for one in fed(&rules, number as u64 * 10, piece) {
            live.add(one);
        }
        live.evaluate(&rules, &mut |_| {});
        assert!(live.kept.len() <= 51, "{}", live.kept.len());
    }
    let none = Ruleset::from_texts([("r.yml", RULES.split("---").next().unwrap())]);
    let mut live = Live::new(&none);
    assert!(fed(&rules, 0, &lines[..3]).into_iter().all(|one| !live.add(one)), "nothing needs them");
}

#[test]
fn what_is_not_counted_is_said_once() {
    let rules = Ruleset::from_texts([("r.yml", RULES)]);
    let mut live = Live::new(&rules);
    let mut one = fed(&rules, 0, &[line((0, true, 0, 0))]).remove(0);
    for _ in 0..=MOST {
        live.add(one.clone());
    }
    one.time = None;
    assert!(!live.add(one));
    let notes = live.evaluate(&rules, &mut |_| {});
    assert!(notes.len() == 2 && notes[0].contains("without a time") && notes[1].contains("forgotten"), "{notes:?}");
    assert_eq!(live.evaluate(&rules, &mut |_| {}), Vec::<String>::new());
}
