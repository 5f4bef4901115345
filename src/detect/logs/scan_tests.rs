use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::domain::Source;

const RULES: &str = "\
title: stop
id: r-stop
level: high
logsource:
  product: aws
  service: cloudtrail
detection:
  s:
    eventName: StopLogging
  condition: s
---
title: word
id: r-word
level: low
detection:
  k:
    - Needle
    - 'x?z'
  condition: k
";

fn run(input: &[u8], options: &ScanOptions) -> (Vec<Finding>, Coverage) {
    let rules = Ruleset::from_texts([("r.yml", RULES)]);
    assert_eq!(rules.skipped(), []);
    let mut found = Vec::new();
    let coverage = scan_reader(&rules, "in.log", input, options, &mut |finding| found.push(finding));
    (found, coverage)
}

fn places(found: &[Finding]) -> Vec<(String, u64, u64)> {
    let place = |finding: &Finding| match &finding.source {
        Source::File { record, line, .. } => (finding.rule.id.clone(), *record, line.unwrap_or(0)),
        Source::Table { .. } => unreachable!(),
    };
    found.iter().map(place).collect()
}

const STOP: &str =
    r#"{"eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging","eventTime":"2026-11-24T01:00:00Z"}"#;
const OTHER: &str = r#"{"eventSource":"x","eventName":"Other","eventTime":"2026-11-24T01:00:00Z"}"#;

#[test]
fn every_form_of_json_gives_the_same_events() {
    for text in [
        format!("{OTHER}\n\n{STOP}\n"),
        format!("[{OTHER},{STOP}]"),
        format!("{{\"Records\":[{OTHER},{STOP}]}}"),
        serde_json::to_string_pretty(&serde_json::from_str::<Value>(&format!("[{OTHER},{STOP}]")).unwrap()).unwrap(),
    ] {
        let (found, coverage) = run(text.as_bytes(), &ScanOptions::default());
        assert_eq!(places(&found).iter().map(|p| (p.0.as_str(), p.1)).collect::<Vec<_>>(), [("r-stop", 1)], "{text}");
        assert_eq!((coverage.events, coverage.broken), (2, 0));
        assert_eq!(found[0].time.unwrap().to_string(), "2026-11-24T01:00:00Z");
        assert_eq!(Value::Object(found[0].matched.clone()), serde_json::json!({"eventName": "StopLogging"}));
    }
}

#[test]
fn escaped_json_does_not_hide_from_the_filter() {
    let hidden = STOP.replace("StopLogging", "Stop\\u004cogging");
    assert_eq!(run(hidden.as_bytes(), &ScanOptions::default()).0.len(), 1);
}

#[test]
fn hostile_input_is_counted_and_never_fatal() {
    let mut input = format!("{STOP}\n{{broken\n").into_bytes();
    input.extend_from_slice(b"{\"k\":\"\xff\xfe needle\"}\n\0\0\0\n");
    input.extend(std::iter::repeat_n(b'[', 100_000));
    input.push(b'\n');
    input.extend_from_slice(STOP.as_bytes());
    let (found, coverage) = run(&input, &ScanOptions::default());
    assert_eq!(places(&found), [("r-stop".into(), 0, 1), ("r-word".into(), 1, 3), ("r-stop".into(), 2, 6)]);
    assert_eq!((coverage.events, coverage.broken, coverage.first_broken), (3, 3, Some(2)));
    assert_eq!(coverage.unreadable, None);
}

#[test]
fn a_cut_gz_gives_what_came_before_and_says_so() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    for _ in 0..3_000 {
        writeln!(encoder, "{STOP}").unwrap();
    }
    let whole = encoder.finish().unwrap();
    let (found, coverage) = run(&whole[..whole.len() - 9], &ScanOptions::default());
    assert!(found.len() >= 2_000, "{}", found.len());
    assert!(coverage.unreadable.unwrap().contains("failed after"));
}

#[test]
fn time_and_level_narrow_the_findings() {
    let at = |text: &str| Some(text.parse().unwrap());
    let input = format!("{STOP}\n{{\"k\":\"needle\"}}\n");
    let late = ScanOptions { since: at("2026-11-24T01:00:01Z"), ..ScanOptions::default() };
    let (found, coverage) = run(input.as_bytes(), &late);
    assert_eq!(places(&found), [("r-word".into(), 1, 2)]);
    assert_eq!(coverage.undated, 1);
    let early = ScanOptions { until: at("2026-11-24T01:00:00Z"), min_level: Level::High, ..ScanOptions::default() };
    assert_eq!(run(input.as_bytes(), &early).0, []);
}

#[test]
fn long_values_are_cut() {
    let input = format!("{{\"k\":\"needle {}\"}}\n", "\u{e9}".repeat(5_000));
    let (found, _) = run(input.as_bytes(), &ScanOptions::default());
    let text = found[0].event["k"].as_str().unwrap();
    assert!(text.len() < 2_100 && text.ends_with("bytes cut]"), "{}", text.len());
}

#[test]
fn an_id_stays_the_same_and_differs_by_event() {
    let twice = format!("{STOP}\n{STOP}\n");
    let (first, _) = run(twice.as_bytes(), &ScanOptions::default());
    let (second, _) = run(twice.as_bytes(), &ScanOptions::default());
    assert_eq!(first, second);
    assert_ne!(first[0].id, first[1].id);
}

proptest! {
    #[test]
    fn the_filter_changes_nothing(words in proptest::collection::vec(
        "(needle|NEEDLE|xyz|\\\\u006eeedle|\u{212a}|stoplogging|nee|dle|\"|,|[{}]| ){0,6}", 0..6)) {
        let mut input = Vec::new();
        for word in &words {
            writeln!(input, "{{\"eventSource\":\"s\",\"eventName\":\"{word}\"}}").unwrap();
        }
        let without = ScanOptions { prefilter: false, ..ScanOptions::default() };
        let (filtered, plain) = (run(&input, &ScanOptions::default()), run(&input, &without));
        prop_assert_eq!(filtered, plain);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = run(&bytes, &ScanOptions::default());
    }
}

/// A check against rules and logs that others made, in the folder that `PORTCULLIS_SHARED_DATA` names.
#[test]
fn rules_and_logs_of_others() {
    let Some(folder) = std::env::var_os("PORTCULLIS_SHARED_DATA").map(std::path::PathBuf::from) else {
        println!("PORTCULLIS_SHARED_DATA is not set: nothing was checked");
        return;
    };
    let texts = crate::adapters::policy_files::read(&folder.join("sigma/rules")).unwrap();
    let rules = Ruleset::from_texts(texts.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    for skipped in rules.skipped() {
        println!("skipped {}", skipped.reason);
    }
    assert_eq!(rules.rules().len() + rules.skipped().len(), texts.len());
    assert!(rules.skipped().len() <= texts.len() / 50);
    let scan = |path: &std::path::Path| {
        let mut found = Vec::new();
        let file = std::fs::File::open(path).unwrap();
        let options = ScanOptions { written: "2026-11-24T00:00:00Z".parse().unwrap(), ..ScanOptions::default() };
        let coverage = scan_reader(&rules, &path.display().to_string(), file, &options, &mut |f| found.push(f));
        let mut titles: Vec<_> = found.iter().map(|f| f.rule.title.clone()).collect();
        titles.sort();
        titles.dedup();
        println!("{}: {coverage:?}\n    {titles:?}", path.display());
        assert_eq!(coverage.unreadable, None);
        (found, coverage)
    };
    let mut silent = 0;
    let captures: Vec<_> =
        std::fs::read_dir(folder.join("cloudtrail/stratus")).unwrap().map(|e| e.unwrap().path()).collect();
    for path in captures.iter().filter(|path| path.extension().is_some_and(|ending| ending == "json")) {
        let (found, coverage) = scan(path);
        assert!(coverage.events > 0 && coverage.broken == 0);
        silent += u64::from(found.is_empty());
    }
    println!("captures without a finding: {silent}");
    for name in ["apache_access.log.gz", "auth.log.gz"] {
        let (_, coverage) = scan(&folder.join("text/elastic-examples").join(name));
        assert!(coverage.broken * 100 < coverage.events, "{name}");
    }
}
