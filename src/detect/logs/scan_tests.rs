use std::io::Write;

use proptest::prelude::*;
use serde_json::{Value, json};

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
fn letters_with_a_third_form_do_not_hide_from_the_filter() {
    let rule = "title: x\nid: x\ndetection:\n  s:\n    message|re|i: 'make (role|user|task)'\n  condition: s\n";
    let rules = Ruleset::from_texts([("r.yml", rule)]);
    let log = "make role\nmake u\u{17f}er\nMAKE TAS\u{212a}\nmake uer\nMake User\nmake ta\u{17f}k\n";
    for prefilter in [true, false] {
        let options = ScanOptions { prefilter, ..ScanOptions::default() };
        let mut found = Vec::new();
        scan_reader(&rules, "x", log.as_bytes(), &options, &mut |finding| found.push(finding));
        assert_eq!(places(&found).iter().map(|place| place.1).collect::<Vec<_>>(), [0, 1, 2, 4, 5], "{prefilter}");
    }
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

/// A JSON text of `value` in which the characters that `mask` chooses are escaped, as any writer may do.
fn escaped(value: &str, mask: u64) -> String {
    let mut out = String::from("\"");
    for (at, c) in value.chars().enumerate() {
        let chosen = mask >> (at % 64) & 1 == 1;
        match c {
            '/' if chosen => out.push_str("\\/"),
            '"' | '\\' if !chosen => out.extend(['\\', c]),
            c if chosen || c.is_control() || matches!(c, '"' | '\\') => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let hex = if mask.is_multiple_of(2) { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") };
                    out.push_str(&hex);
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A request in which the letters and digits that `mask` chooses are written as `%61`.
fn hidden(text: &str, mask: u64) -> String {
    let write = |(at, c): (usize, char)| match c {
        c if c.is_ascii_alphanumeric() && mask >> (at % 64) & 1 == 1 => format!("%{:02x}", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().enumerate().map(write).collect()
}

/// The event in one of the forms that logs have.
fn encoded(form: usize, f: &str, g: &str, mask: u64) -> String {
    let plain = |text: &str| text.replace(['"', '\n', '\t'], "");
    let event = format!("{{\"f\":{},\"g\":{{\"h\":[{}, 1e2]}}}}", escaped(f, mask), escaped(g, mask.rotate_left(7)));
    match form {
        0 => format!("{event}\n"),
        1 => format!("[{event}]"),
        2 => format!("{{\"Records\": [ {event} ]}}"),
        3 => format!(
            "{{\"log\":{},\"stream\":\"stdout\",\"time\":\"2026-11-24T01:02:03Z\"}}\n",
            escaped(&format!("{event}\n"), mask >> 1)
        ),
        4 => format!(
            "1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] \"GET /{} HTTP/1.1\" 200 5 \"-\" \"{}\"\n",
            hidden(&plain(f), mask),
            plain(g)
        ),
        5 => format!("Nov 24 01:02:03 host prog[1]: {} {}\n", plain(f), plain(g)),
        6 => format!("2026-11-24 01:02:03 UTC [5] eve@db LOG:  statement: {}\n\t{}\n", plain(f), plain(g)),
        7 => format!(
            "time=1 f=\"{}\" g=\"{}\" h=1\n",
            f.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"),
            plain(g)
        ),
        8 => format!(
            "1.2.3.4 - \"u\" [24/Nov/2026:01:02:03 +0000] \"{}\" 200 5 \"{}\" \"{}\" {}\n",
            plain(f),
            f.replace(['\n', '\t'], ""),
            g.replace(['\n', '\t'], ""),
            plain(g)
        ),
        10 => format!("api-1  | {event}\n"),
        11 => format!("2026-11-24T01:02:03Z stdout F prog {} {}\n", plain(f), plain(g)),
        12 => format!(
            "www.x:443 1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] \"GET /{} HTTP/1.1\" 200 5 \"-\" \"{}\"\n",
            plain(f),
            plain(g)
        ),
        14 => format!(
            "{{\"request_method\":\"GET\",\"request_uri\":{},\"f\":{}}}\n",
            escaped(&hidden(f, mask), mask >> 9),
            escaped(g, mask)
        ),
        9 => format!("f,g,h\n\"{}\",\"{}\",1\n", f.replace('"', "\"\""), plain(g)),
        _ => format!("{} {}\n", plain(f), plain(g)),
    }
}

fn words(pattern: &str) -> proptest::string::RegexGeneratorStrategy<String> {
    proptest::string::string_regex(pattern).unwrap()
}

const WORD: &str = "(needle|NEEDLE|nee|dle|Stop/Log|a\\\\b|\"q\"|\u{212a}ey|\u{17f}ame|\u{e9}t\u{c9}|1e2|100.0|union select|\\.\\./|,|:| |x1|\\{|\\[)";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn the_filter_changes_nothing(
        modifier in proptest::sample::select(vec!["", "|contains", "|startswith", "|endswith", "|cased", "|re", "|re|i", "|contains|all", "|neq"]),
        field in proptest::sample::select(vec![
            "f", "g.h", "g", "message", "c-uri", "cs-method", "cs-user-agent", "c-useragent", "cs-referer", "c-uri-extension",
            "statement", "",
        ]),
        values in proptest::collection::vec(words(&format!("({WORD}|[*?]){{1,3}}")), 2..4),
        condition in proptest::sample::select(vec!["s", "s and t", "s or t", "not s and t", "1 of them", "all of them"]),
        source in proptest::sample::select(vec!["", "logsource: {category: webserver}\n"]),
        form in 0..15_usize,
        events in proptest::collection::vec((words(&format!("{WORD}{{0,4}}")), words(&format!("{WORD}{{0,4}}")), any::<u64>(), any::<bool>()), 1..4),
    ) {
        let quoted = |value: &String| format!("'{}'", value.replace('\'', "''"));
        let values: Vec<String> = if modifier.contains("re") {
            values.iter().map(|value| regex::escape(value).replace("\\*", ".*").replace("\\?", ".?")).collect()
        } else {
            values
        };
        let list: Vec<String> = values.iter().map(quoted).collect();
        let text = format!(
            "title: t\nid: t\n{source}detection:\n  s:\n    '{field}{modifier}':\n      - {}\n  t:\n    'f|contains': {}\n  condition: {condition}\n",
            list.join("\n      - "),
            quoted(&values[0]),
        );
        let rules = Ruleset::from_texts([("t.yml", text.as_str())]);
        let mut input = String::new();
        for (f, g, mask, escape) in &events {
            input.push_str(&encoded(form, f, g, if *escape { *mask } else { 0 }));
        }
        let run = |prefilter| {
            let mut found = Vec::new();
            let options = ScanOptions { prefilter, ..ScanOptions::default() };
            let coverage = scan_reader(&rules, "in", input.as_bytes(), &options, &mut |finding| found.push(finding));
            (found, coverage.events, coverage.lines)
        };
        prop_assert_eq!(run(true), run(false), "{}\n{}", text, input);
    }

    #[test]
    fn any_bytes_in_any_format_are_survived(
        form in 0..15_usize,
        wanted in proptest::option::of(0..Format::ALL.len()),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..12),
        tail in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut bytes = encoded(form, "needle \"x\"", "Stop/Log", 0x5555).repeat(3).into_bytes();
        for (at, byte, what) in edits {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.drain(at..bytes.len().min(at + usize::from(byte)))),
                _ => bytes.insert(at, b"\"\n{[]}\\\0"[usize::from(byte) % 8]),
            }
            if bytes.is_empty() {
                bytes.push(b'x');
            }
        }
        bytes.extend(tail);
        let format = wanted.map(|at| Wanted::Named(Format::ALL[at]));
        let (found, coverage) = run(&bytes, &ScanOptions { format, ..ScanOptions::default() });
        prop_assert!(coverage.bytes <= bytes.len() as u64);
        let _ = found;
        if bytes.len() > 6 {
            // The same as a stream of every compression, cut or not: an error at most.
            for magic in [&[0x1f, 0x8b][..], &[0x28, 0xb5, 0x2f, 0xfd], b"BZh9", &[0xfd, b'7', b'z', b'X', b'Z', 0]] {
                let _ = run(&[magic, &bytes].concat(), &ScanOptions::default());
            }
        }
    }
}

/// JSON of web requests has no names of its own: servers, proxies and frameworks each have theirs.
#[test]
fn web_rules_find_requests_in_json_of_every_server() {
    const RULE: &str = "title: t\nid: t\nlogsource: {category: webserver}\ndetection:\n  s:\n    c-uri|contains: union%20select\n    \
                        cs-method: GET\n    sc-status: 200\n    cs-user-agent|contains: sqlmap\n    c-ip: 192.0.2.7\n  condition: s\n";
    let uri = "/x?id=1%20union%20select%201";
    for event in [
        json!({"remote_addr": "192.0.2.7", "request_method": "GET", "request_uri": uri, "status": "200", "http_user_agent": "sqlmap"}),
        json!({"request": {"remote_ip": "192.0.2.7", "method": "GET", "uri": uri, "headers": {"User-Agent": ["sqlmap"]}}, "status": 200}),
        json!({"ClientHost": "192.0.2.7", "RequestMethod": "GET", "RequestPath": uri, "DownstreamStatus": 200, "request_User-Agent": "sqlmap"}),
        json!({"req": {"remoteAddress": "192.0.2.7", "method": "GET", "url": uri, "headers": {"user-agent": "sqlmap"}}, "res": {"statusCode": 200}}),
        json!({"source": {"ip": "192.0.2.7"}, "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
            "url": {"original": uri}, "user_agent": {"original": "sqlmap"}}),
        json!({"httpRequest": {"remoteIp": "192.0.2.7", "requestMethod": "GET", "requestUrl": uri, "status": 200, "userAgent": "sqlmap"}}),
        json!({"ip": "192.0.2.7", "method": "GET", "path": uri, "status": 200, "userAgent": "sqlmap"}),
    ] {
        let rules = Ruleset::from_texts([("r.yml", RULE)]);
        let mut found = 0;
        scan_reader(&rules, "x", event.to_string().as_bytes(), &ScanOptions::default(), &mut |_| found += 1);
        assert_eq!(found, 1, "{event}");
    }
}

/// Letters of a request may be written as `%61` wherever someone likes: what the rule looks for is still found, whatever carries
/// the line, and the event is kept as it was written.
#[test]
fn letters_that_a_request_hides_are_read() {
    const RULES: &str = "title: t\nid: t\nlogsource: {category: webserver}\ndetection:\n  s:\n    c-uri|contains: select%20name\n  \
                         w:\n    - /etc/passwd\n  condition: s or w\n---\ntitle: o\nid: o\ndetection:\n  s:\n    f: plain\n  \
                         condition: s\n";
    let rules = Ruleset::from_texts([("r.yml", RULES)]);
    let line =
        |uri: &str| format!("192.0.2.7 - - [24/Nov/2026:01:02:03 +0000] \"GET {uri} HTTP/1.1\" 200 5 \"-\" \"x\"");
    let docker =
        |uri: &str| json!({"log": line(uri) + "\n", "stream": "stdout", "time": "2026-11-24T01:02:03Z"}).to_string();
    let web = |uri: &str| json!({"request_method": "GET", "request_uri": uri, "status": 200}).to_string();
    let other = |uri: &str| json!({"eventName": "x", "k": uri}).to_string();
    for (uri, found) in [
        ("/x?id=1%20%73elect%20name", 1),
        ("/x?id=1%20%53%45LECT%20n%61me", 1),
        ("/x?f=/e%74c/pass%77d", 1),
        ("/x?f=/e%2574c/passwd", 0),
        ("/x?f=%61%62%63", 0),
    ] {
        for (text, found) in [(line(uri), found), (docker(uri), found), (web(uri), found), (other(uri), 0)] {
            for prefilter in [true, false] {
                let options = ScanOptions { prefilter, ..ScanOptions::default() };
                let mut all = Vec::new();
                let coverage = scan_reader(&rules, "x", text.as_bytes(), &options, &mut |finding| all.push(finding));
                assert_eq!((all.len(), coverage.broken), (found, 0), "{text}");
                assert!(
                    all.iter().all(|finding| !finding.event.contains_key("c-uri") || finding.event["c-uri"] == uri),
                    "{text}"
                );
            }
        }
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
