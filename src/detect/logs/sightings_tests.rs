use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::detect::indicators::Reader;
use crate::domain::{Finding, Level, Source};

const LIST: &str = "203.0.113.7 # the drop\n2001:db8::/32\nevil.example\nkey-id:key_12\nstring:night/fall\n\
    sha256:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5\n# level: low\nuser-agent:evil-bot\n";

fn rules() -> Ruleset {
    let mut reader = Reader::default();
    reader.read("list.txt", LIST.as_bytes());
    let indicators = reader.finish();
    assert_eq!(indicators.refused(), []);
    Ruleset::from_texts([("r.yml", "title: r\nid: r\ndetection:\n  s:\n    event: needle\n  condition: s\n")])
        .with_indicators(indicators)
}

fn scan_all(rules: &Ruleset, text: &[u8], options: &ScanOptions) -> (Vec<Finding>, Coverage) {
    let mut found = Vec::new();
    let coverage = scan_reader(rules, "in.log", text, options, &mut |finding| found.push(finding));
    (found, coverage)
}

/// The findings, the same with and without the filter of raw bytes.
fn found(text: &str) -> Vec<Finding> {
    let rules = rules();
    let (with, _) = scan_all(&rules, text.as_bytes(), &ScanOptions::default());
    let plain = ScanOptions { prefilter: false, ..ScanOptions::default() };
    assert_eq!(with, scan_all(&rules, text.as_bytes(), &plain).0, "{text}");
    with
}

#[test]
fn a_finding_says_what_was_seen_where_and_by_which_list() {
    let text = "{\"a\":1}\n{\"time\":\"2026-11-24T01:02:03Z\",\"user\":{\"ips\":[\"203.0.113.7\"]},\"msg\":\"to EVIL.example\"}\n";
    let found = found(text);
    let values: Vec<_> = found.iter().map(|finding| (finding.rule.id.as_str(), finding.rule.title.as_str())).collect();
    assert_eq!(
        values,
        [
            ("indicator:ip", "Indicator seen: address 203.0.113.7"),
            ("indicator:domain", "Indicator seen: domain evil.example")
        ]
    );
    assert_eq!(
        Value::Object(found[0].matched.clone()),
        json!({"indicator": "203.0.113.7", "type": "ip", "seen": "203.0.113.7", "field": "user.ips", "at": 55,
            "list": "list.txt:1", "description": "the drop"})
    );
    assert_eq!(text.get(55..66), Some("203.0.113.7"));
    assert_eq!(found[0].rule.level, Level::High);
    assert_eq!(found[0].time.unwrap().to_string(), "2026-11-24T01:02:03Z");
    let Source::File { record, line, offset, .. } = &found[0].source else { panic!("not a file") };
    assert_eq!((*record, *line, *offset), (1, Some(2), Some(8)));
    assert_ne!(found[0].id, found[1].id);
}

#[test]
fn every_format_is_looked_through() {
    for (text, want) in [
        ("203.0.113.7 - - [24/Nov/2026:01:02:03 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"evil-bot/1\"\n", 2),
        ("Nov 24 01:02:03 web sshd[7]: Failed password for root from 203.0.113.7 port 5 ssh2\n", 1),
        ("2026-11-24 01:02:03 UTC [5] LOG:  connection received: host=2001:db8::5 port=5\n\tand key_12\n", 2),
        ("[{\"a\":\"\\u0032\\u0030\\u0033.0.113.7\"},\n{\"b\":\"x\\n203.0.113.7\"}]", 2),
        (
            "{\"log\":\"{\\\"m\\\":\\\"night\\\\/fall\\\"}\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-24T01:02:03Z\"}\n",
            1,
        ),
        ("{\"m\":\"night\\/fall\"}\n{\"m\":\"night/fall\"}\n", 2),
        ("level=info ip=203.0.113.7 msg=\"key_12 used\" a=b\nlevel=info ip=203.0.113.8 a=b\n", 2),
        ("time,ip,what\n2026-11-24T01:02:03Z,203.0.113.7,\"said \"\"x\"\", key_12\"\n", 2),
        ("nothing known about this line of text: 203.0.113.7, evil.example\n", 2),
        ("key_123 11.203.0.113.7 notevil.example\n", 0),
    ] {
        assert_eq!(found(text).len(), want, "{text}");
    }
}

#[test]
fn level_and_time_narrow_indicators_too() {
    let text = "{\"time\":\"2026-11-24T01:00:00Z\",\"ua\":\"evil-bot\",\"ip\":\"203.0.113.7\"}\n";
    let count = |options: &ScanOptions| scan_all(&rules(), text.as_bytes(), options).0.len();
    assert_eq!(count(&ScanOptions::default()), 2);
    assert_eq!(count(&ScanOptions { min_level: Level::High, ..ScanOptions::default() }), 1);
    assert_eq!(count(&ScanOptions { since: "2026-11-24T01:00:01Z".parse().ok(), ..ScanOptions::default() }), 0);
    assert_eq!(count(&ScanOptions { until: "2026-11-24T01:00:01Z".parse().ok(), ..ScanOptions::default() }), 2);
}

#[test]
fn events_without_an_indicator_are_not_parsed() {
    let text = "{\"ip\":\"203.0.113.8\",\"host\":\"good.example\"}\n".repeat(100);
    let (found, coverage) = scan_all(&rules(), text.as_bytes(), &ScanOptions::default());
    assert_eq!((found.len(), coverage.events, coverage.parsed), (0, 100, 0));
}

/// JSON of a text in which some letters are escaped.
fn spelt(text: &str, how: u8) -> String {
    let mut out = String::from("\"");
    for (at, letter) in text.chars().enumerate() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '/' if how & 1 == 1 => out.push_str("\\/"),
            letter if how & 2 == 2 && at % 5 == 3 && u32::from(letter) < 0x1_0000 => {
                out.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            letter => out.push(letter),
        }
    }
    out + "\""
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn the_filter_loses_nothing(
        parts in proptest::collection::vec(prop_oneof![
            proptest::sample::select(vec![
                "203.0.113.7", "2001:db8::5", "evil.example", "key_12", "night/fall", "evil-bot",
                "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5",
            ]).prop_map(str::to_owned),
            "[a-f0-9 .:/%_\\\\\"\n\t\u{e9}-]{0,3}",
        ], 0..8),
        how: u8, form in 0_u8..5
    ) {
        let text = parts.concat();
        let line = text.replace(['\n', '\t'], " ");
        let whole = match form {
            0 => format!("{{\"m\":{},\"n\":[{{\"x\":{}}}]}}\n", spelt(&text, how), spelt(&line, how >> 2)),
            1 => format!("[{{\"m\":{}}},\n{{\"k\":{}}}]", spelt(&text, how), spelt(&line, how >> 2)),
            2 => format!("{{\"log\":{},\"stream\":\"stdout\",\"time\":\"2026-11-24T01:02:03Z\"}}\n",
                spelt(&format!("{{\"m\":{}}}\n", spelt(&text, how)), how >> 2)),
            3 => format!("Nov 24 01:02:03 web app[7]: {line}\n"),
            _ => format!("level=info m=\"{}\" a=b\nlevel=info b=c d=e\n", line.replace('\\', "\\\\").replace('"', "\\\"")),
        };
        found(&whole);
    }
}
