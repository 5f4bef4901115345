use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;
use crate::detect::logs::formats::Format;
use crate::detect::logs::logsource::Class;
use crate::detect::logs::{Coverage, Ruleset, ScanOptions, scan_reader};
use crate::domain::Finding;

/// Names by which classes are told, and some that look like them.
const NAMES: [&str; 22] = [
    "eventSource",
    "eventName",
    "method",
    "verb",
    "http_method",
    "url",
    "uri",
    "path",
    "request",
    "request_uri",
    "c-uri",
    "httpRequest",
    "req",
    "http",
    "MESSAGE",
    "_COMM",
    "SYSLOG_IDENTIFIER",
    "error_severity",
    "logger",
    "Method",
    "requests",
    "RequestPath",
];

fn holds(need: &Need<String>, lower: &str) -> bool {
    match need {
        Need::Nothing => true,
        Need::Has(text) => lower.contains(text),
        Need::All(parts) => parts.iter().all(|part| holds(part, lower)),
        Need::Any(parts) => parts.iter().any(|part| holds(part, lower)),
    }
}

/// An object of some of the names, some of them in another object.
fn event(fields: &[(usize, u8, usize)]) -> Map<String, Value> {
    let mut event = Map::new();
    for (name, kind, inner) in fields {
        let value = match kind {
            0 => Value::from("postgres"),
            1 => serde_json::json!({NAMES[*inner]: "x' or '1"}),
            2 => serde_json::json!([{NAMES[*inner]: 1}]),
            _ => Value::from("x' or '1"),
        };
        event.insert(NAMES[*name].into(), value);
    }
    event
}

fn fields() -> impl Strategy<Value = Vec<(usize, u8, usize)>> {
    proptest::collection::vec((0..NAMES.len(), 0..5_u8, 0..NAMES.len()), 0..6)
}

const RULES: &str = "\
title: web
id: web
logsource: {category: webserver}
detection:
  s:
    '|contains': [\"' or\", xx1, xx2, xx3, xx4, xx5, xx6, xx7, xx8, xx9, xy1, xy2, xy3, xy4, xy5, xy6, xy7, xy8, xy9]
  condition: s
---
title: any of the web
id: any
logsource: {category: webserver}
detection:
  s:
    c-uri|exists: true
  condition: s
---
title: cloud
id: cloud
logsource: {product: aws, service: cloudtrail}
detection:
  s:
    '|contains': [\"' or '1\", a long one of cloudtrail]
  condition: s
---
title: database
id: database
logsource: {product: acme, service: database}
detection:
  s:
    '|contains': [postgres, \"or '1\"]
  condition: s
";
const SOURCES: &str = "version: 1\nsources:\n  - {product: acme, service: database, events: [postgres, syslog]}\n";

fn rules() -> Ruleset {
    let sources = crate::detect::logs::Sources::with_own("sources.yml", SOURCES).unwrap();
    let terms = crate::detect::logs::Terms { sources, placeholders: crate::detect::logs::Placeholders::default() };
    Ruleset::with_terms([("r.yml", RULES)], terms)
}

fn scanned(rules: &Ruleset, input: &str, prefilter: bool) -> (Vec<Finding>, Coverage) {
    let mut found = Vec::new();
    let options = ScanOptions { prefilter, ..ScanOptions::default() };
    let coverage = scan_reader(rules, "in", input.as_bytes(), &options, &mut |finding| found.push(finding));
    (found, Coverage { parsed: 0, ..coverage })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn an_event_of_a_class_holds_what_the_class_needs(fields in fields()) {
        let event = event(&fields);
        let class = Class::of(Format::JsonLines, &event);
        let text = Value::Object(event).to_string();
        prop_assert!(holds(&class.need(), &text.to_ascii_lowercase()), "{:?}: {}", class, text);
    }

    #[test]
    fn literals_behind_a_gate_are_found_in_records_with_its_key_and_the_others_everywhere(
        lines in proptest::collection::vec("(a1|b2|open|c3|shut| ){0,6}", 0..12), spans in any::<bool>(),
    ) {
        let text = lines.join("\n");
        let (mut at, mut records) = (0, Vec::new());
        for (line, record) in (1..).zip(text.split_inclusive('\n')) {
            records.push(Span { start: at, end: at + record.len(), line, offset: at as u64 });
            at += record.len();
        }
        let literals: [&[u8]; 3] = [b"a1", b"b2", b"c3"];
        let behind = [Some(0), None, Some(1)];
        let needs = [Need::Has("open".to_owned()), Need::Any(vec![Need::Has("shut".to_owned()), Need::Has("b2".to_owned())])];
        let gates = Gates::with(&literals, &behind, &needs, &Sample::default(), |_, _| true);
        prop_assert!(gates.everywhere(1) && !gates.everywhere(0) && !gates.everywhere(2));
        let mut want = Vec::new();
        for record in &records {
            let is = &text[record.start..record.end];
            for (number, literal) in ["a1", "b2", "c3"].into_iter().enumerate() {
                if behind[number].is_none_or(|gate| holds(&needs[gate], is)) {
                    want.extend(is.match_indices(literal).map(|(at, _)| (record.start + at, number)));
                }
            }
        }
        want.sort_unstable();
        prop_assert_eq!(gates.find(text.as_bytes(), spans.then_some(&records)), want);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn a_gate_hides_nothing_from_the_rules_behind_it(
        events in proptest::collection::vec((fields(), 0..4_u8), 1..8), first in 0..3_u8, array in any::<bool>(),
    ) {
        // What stands at the start decides which gates there are.
        let start = match first {
            0 => r#"{"eventSource":"s","eventName":"n","a":"b"}"#,
            1 => r#"{"method":"GET","url":"/","a":"b"}"#,
            _ => r#"{"k":"v","a":"b"}"#,
        };
        let mut texts = vec![start.to_owned(); 40];
        for (fields, written) in &events {
            let text = Value::Object(event(fields)).to_string();
            texts.push(match written {
                0 => text.replace("\"me", "\"\\u006de"),
                1 => text.replace("\":", "\" : "),
                // Not JSON, although it looks like it.
                2 => text.replacen(':', "::", 1),
                _ => text,
            });
        }
        let input = if array { format!("[{}]", texts.join(",")) } else { texts.join("\n") };
        let rules = rules();
        prop_assert_eq!(rules.skipped(), []);
        prop_assert_eq!(scanned(&rules, &input, true), scanned(&rules, &input, false), "{}", input);
    }
}

#[test]
fn a_gate_is_put_up_where_few_records_pass_it() {
    let literals: Vec<Vec<u8>> = (100..200).map(|number| format!("x{number}").into_bytes()).collect();
    let literals: Vec<&[u8]> = literals.iter().map(Vec::as_slice).collect();
    let gates = |sample: &str| {
        let sample = Sample::new(sample.repeat(100).as_bytes());
        Gates::new(&literals, &vec![Some(0); literals.len()], &[Class::WebJson.need()], &sample).behind.len()
    };
    assert_eq!(gates("{\"eventSource\":\"s\",\"requestParameters\":{\"path\":\"b\"}}\n"), 1);
    assert_eq!(gates("{\"request_uri\":\"/\",\"eventName\":\"n\"}\n"), 0);
}
