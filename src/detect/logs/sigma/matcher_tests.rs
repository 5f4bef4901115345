use serde_json::json;

use super::*;
use crate::detect::logs::placeholders::Placeholders;
use crate::detect::logs::sigma::{Document, parse_file};

fn rule(detection: &str) -> Rule {
    match parse_file("r.yml", &format!("title: t\ndetection:\n{detection}"), &Placeholders::default())
        .remove(0)
        .unwrap()
    {
        Document::Rule(rule) => *rule,
        other => panic!("{other:?}"),
    }
}

/// Shows an event to a test.
fn seen<T>(event: &Value, test: impl FnOnce(&Record<'_>) -> T) -> T {
    test(&Record {
        fields: event.as_object().unwrap(),
        raw: None,
        format: Format::JsonLines,
        names: Names::shipped(),
        own: None,
        commands: &OnceCell::new(),
    })
}

fn hits(detection: &str, event: &Value) -> bool {
    seen(event, |record| rule(detection).matches(record))
}

fn explained(detection: &str, event: &Value) -> Value {
    Value::Object(seen(event, |record| rule(detection).explain(record)))
}

#[test]
fn null_absent_and_empty_differ_as_they_should() {
    let null = "  a:\n    x: null\n  condition: a\n";
    assert!(hits(null, &json!({})) && hits(null, &json!({"x": null})) && !hits(null, &json!({"x": ""})));
    let empty = "  a:\n    x: ''\n  condition: a\n";
    assert!(!hits(empty, &json!({})) && !hits(empty, &json!({"x": null})) && hits(empty, &json!({"x": ""})));
    let exists = "  a:\n    x|exists: true\n  condition: a\n";
    assert!(hits(exists, &json!({"x": null})) && !hits(exists, &json!({})));
    let missing = "  a:\n    x|exists: false\n  condition: a\n";
    assert!(hits(missing, &json!({})) && !hits(missing, &json!({"x": 1})));
}

#[test]
fn an_explanation_has_the_values_that_fit() {
    let list = "  a:\n    x.y|contains: [one, two, three, four, five]\n    z: null\n  condition: a\n";
    let explained = |event: &Value| explained(list, event);
    assert_eq!(explained(&json!({"x": {"y": "a Two b"}})), json!({"x.y": "a Two b", "z": null}));
    assert_eq!(explained(&json!({"x": {"y": ["b", "five"]}, "z": null})), json!({"x.y": ["b", "five"], "z": null}));
    let several = json!({"x": [{"y": "three"}, {"y": "none"}, {"y": "one"}]});
    assert_eq!(explained(&several), json!({"x.y": "three", "z": null}));
    assert_eq!(explained(&json!({"x": {"y": "six"}, "z": 1})), json!({}));
}

#[test]
fn paths_go_through_maps_arrays_and_dotted_keys() {
    let path = "  a:\n    x.y: v\n  condition: a\n";
    assert!(hits(path, &json!({"x": {"y": "V"}})));
    assert!(hits(path, &json!({"x.y": "v"})));
    assert!(hits(path, &json!({"x": [{"y": "n"}, {"y": ["n", "v"]}]})));
    assert!(!hits(path, &json!({"x": {"z": "v"}})));
    assert!(hits("  a:\n    x.y.z: v\n  condition: a\n", &json!({"x": {"y.z": "v"}})));
}

#[test]
fn objects_match_as_their_text() {
    let rule =
        "  a:\n    requestParameters|contains|all:\n      - '\"cidrIp\":\"0.0.0.0/0\"'\n      - tcp\n  condition: a\n";
    assert!(hits(rule, &json!({"requestParameters": {"p": "tcp", "r": [{"cidrIp": "0.0.0.0/0"}]}})));
    assert!(!hits(rule, &json!({"requestParameters": {"p": "udp", "r": [{"cidrIp": "0.0.0.0/0"}]}})));
}

#[test]
fn keywords_are_looked_for_in_every_value() {
    let any = "  k:\n    - UNION SELECT\n    - 'cat*passwd'\n  condition: k\n";
    assert!(hits(any, &json!({"deep": {"q": ["x union select 1"]}})));
    assert!(hits(any, &json!({"c": "run cat /etc/passwd now"})));
    assert!(!hits(any, &json!({"union select": "key only"})));
    let all = "  k:\n    '|all':\n      - one\n      - two\n  condition: k\n";
    assert!(hits(all, &json!({"a": "one", "b": "two"})) && !hits(all, &json!({"a": "one"})));
}

#[test]
fn lists_of_maps_filters_and_counts() {
    let rule =
        "  s:\n    - a: 1\n      b: 2\n    - c: 3\n  filter_x:\n    d: 4\n  condition: s and not 1 of filter_*\n";
    assert!(hits(rule, &json!({"a": 1, "b": 2})) && hits(rule, &json!({"c": 3})) && !hits(rule, &json!({"a": 1})));
    assert!(!hits(rule, &json!({"c": 3, "d": 4})));
    let two = "  s1:\n    a: 1\n  s2:\n    b: 1\n  s3:\n    c: 1\n  condition: 2 of s*\n";
    assert!(hits(two, &json!({"a": 1, "c": 1})) && !hits(two, &json!({"a": 1})));
    let list = "  s1:\n    a: 1\n  s2:\n    b: 1\n  condition:\n    - s1\n    - s2\n";
    assert!(hits(list, &json!({"b": 1})) && !hits(list, &json!({"c": 1})));
}

#[test]
fn fieldref_and_neq() {
    let same = "  a:\n    x|fieldref: y\n  condition: a\n";
    assert!(hits(same, &json!({"x": "A", "y": "a"})) && !hits(same, &json!({"x": "A", "y": "b"})));
    assert!(!hits(same, &json!({"x": "A"})));
    let other = "  a:\n    x|neq: v\n  condition: a\n";
    assert!(hits(other, &json!({"x": "w"})) && !hits(other, &json!({"x": "v"})));
}

#[test]
fn what_matched_is_explained_and_what_filters_is_not() {
    let event = json!({"eventName": "StopLogging", "user": "eve", "other": 1});
    let detection =
        "  s:\n    eventName: stoplogging\n    errorCode: null\n  f:\n    user: bob\n  condition: s and not f\n";
    assert_eq!(explained(detection, &event), json!({"eventName": "StopLogging", "errorCode": null}));
}

#[test]
fn commands_are_those_of_the_statement() {
    let drops = "  a:\n    commands|re|i: '^drop table trades'\n  condition: a\n";
    assert!(hits(drops, &json!({"statement": "begin; /* x */ DROP\nTABLE trades"})));
    assert!(hits(drops, &json!({"record": {"query": "drop table trades"}})), "by any name of the statement's");
    assert!(!hits(drops, &json!({"statement": "select '; drop table trades'"})));
    assert!(!hits(drops, &json!({"statement": 5})) && !hits(drops, &json!({})));
    assert!(hits(drops, &json!({"commands": "drop table trades", "statement": "select 1"})), "an event's own field");
}

#[test]
fn one_command_is_no_excuse_for_another() {
    let detection =
        "  a:\n    commands|re|i: '^truncate '\n  b:\n    commands|contains: tmp_\n  condition: a and not b\n";
    assert!(hits(detection, &json!({"statement": "truncate trades; truncate tmp_a"})));
    assert!(hits(detection, &json!({"statement": "select 'tmp_a'; truncate trades"})));
    assert!(!hits(detection, &json!({"statement": "truncate tmp_a; truncate tmp_b"})));
    let event = json!({"statement": "truncate tmp_a; truncate trades; truncate orders"});
    assert_eq!(explained(detection, &event), json!({"commands": "truncate trades"}));
}

#[test]
fn literals_are_only_claimed_where_they_are_required() {
    let own = Fieldnames::new();
    let site = Site::new(Format::Csv, false, Names::shipped(), &own);
    let literals = |detection: &str| {
        let literals = rule(detection).required_literals(&site, &|set| set.len() as u64);
        literals.map(|literals| literals.into_iter().map(|(_, text)| text).collect::<Vec<_>>())
    };
    assert_eq!(literals("  a:\n    x: StopLogging\n  condition: a\n"), Some(vec!["stoplogging".into()]));
    assert_eq!(literals("  a:\n    x:\n      - StopLogging\n      - 17\n  condition: a\n"), None);
    assert_eq!(literals("  a:\n    x: StopLogging\n  condition: not a\n"), None);
    assert_eq!(literals("  a:\n    x|neq: StopLogging\n  condition: a\n"), None);
    assert_eq!(literals("  a:\n    x: StopLogging\n  b:\n    y: 3\n  condition: a or b\n"), None);
    assert_eq!(
        literals("  a:\n    x: StopLogging\n  b:\n    y: 3\n  condition: a and b\n"),
        Some(vec!["stoplogging".into()])
    );
}
