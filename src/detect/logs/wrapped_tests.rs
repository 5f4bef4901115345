//! Events that others carry, through the whole scan: the same findings as without what carries them, at the right places, with
//! and without the filter.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{Finding, Source};

const RULES: &str = r"
title: stop
id: r-stop
logsource: {product: aws, service: cloudtrail}
detection: {s: {eventName: StopLogging, userIdentity.type: IAMUser, requestParameters|contains: 'prod/trail'}, condition: s}
---
title: web
id: r-web
logsource: {category: webserver}
detection: {s: {c-uri|contains: '/etc/passwd', cs-method: GET, c-ip: 192.0.2.7}, condition: s}
---
title: ssh
id: r-ssh
logsource: {product: linux, service: sshd}
detection: {s: {program: sshd, message|startswith: 'Accepted password for root'}, condition: s}
";

fn scan_it(input: &[u8], prefilter: bool) -> (Vec<Finding>, Coverage) {
    let rules = Ruleset::from_texts([("r.yml", RULES)]);
    assert_eq!(rules.skipped(), []);
    let mut found = Vec::new();
    let options = ScanOptions { prefilter, ..ScanOptions::default() };
    let coverage = scan_reader(&rules, "in", input, &options, &mut |finding| found.push(finding));
    (found, coverage)
}

fn trail(name: &str, quote: &str) -> Value {
    json!({
        "eventVersion": "1.08", "eventSource": "cloudtrail.amazonaws.com", "eventName": name, "eventTime": "2026-11-24T01:00:00Z",
        "userIdentity": {"type": "IAMUser", "userName": "eve"}, "userAgent": quote, "requestParameters": {"name": "prod/trail"},
    })
}

/// Three lines each, of which the second is to be found.
fn lines() -> [(&'static str, Vec<String>); 3] {
    let web = |uri: &str| {
        format!("192.0.2.7 - - [24/Nov/2026:01:00:00 +0000] \"GET {uri} HTTP/1.1\" 200 5 \"-\" \"a \\\"b\"")
    };
    let ssh =
        |user: &str| format!("Nov 24 01:00:00 web sshd[7]: Accepted password for {user} from 192.0.2.7 port 5 ssh2");
    [
        ("r-stop", ["Other", "StopLogging", "Third"].map(|name| trail(name, "a \"b\" \\ \n").to_string()).into()),
        ("r-web", ["/a", "/x?f=../etc/passwd", "/b"].map(web).into()),
        ("r-ssh", ["eve", "root", "bob"].map(ssh).into()),
    ]
}

fn json_lines(lines: &[String], wrap: impl Fn(&String) -> Value) -> String {
    rows(lines, |line| wrap(line).to_string())
}

/// One line for each.
fn rows(lines: &[String], row: impl Fn(&String) -> String) -> String {
    lines.iter().map(row).collect::<Vec<_>>().join("\n") + "\n"
}

fn list(lines: &[String], wrap: impl Fn(&String) -> Value) -> Value {
    lines.iter().map(wrap).collect()
}

/// The lines in all that carries lines, by name.
fn carried(lines: &[String]) -> Vec<(&'static str, String)> {
    let message = |line: &String| json!({"id": "3", "timestamp": 1_700_000_000_000_u64, "message": line});
    let hit = |line: &String| json!({"_index": "logs", "_id": "1", "_source": {"@timestamp": "2026-11-24T01:00:00Z", "message": line}});
    let raw = |line: &String| json!({"preview": false, "offset": 1, "result": {"_raw": line, "_time": "2026-11-24T01:00:00.000+00:00"}});
    let entry = |line: &String| json!({"insertId": "x", "logName": "projects/p/logs/l", "textPayload": line, "timestamp": "2026-11-24T01:00:00Z"});
    let values = list(lines, |line| json!(["1700000000000000000", line]));
    let streams = json!([{"stream": {"app": "web", "x": "}\"]"}, "values": values}, {"stream": {}, "values": []}]);
    let subscription = json!({"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "g", "logStream": "s",
        "subscriptionFilters": ["f"], "logEvents": list(lines, message)});
    let events = json!({"events": list(lines, message), "searchedLogStreams": []});
    let search =
        json!({"took": 5, "_shards": {"total": 1}, "hits": {"total": {"value": 3}, "hits": list(lines, hit)}, "x": []});
    let loki = json!({"status": "success", "data": {"resultType": "streams", "result": streams, "stats": {"a": []}}});
    let splunk =
        json!({"preview": false, "fields": [{"name": "_raw"}], "results": list(lines, |line| json!({"_raw": line}))});
    let otel = json!({"resourceLogs": [{"resource": {}, "scopeLogs": [{"logRecords": list(lines, |line| {
        json!({"timeUnixNano": "1700000000000000000", "body": {"stringValue": line}})
    })}]}]});
    let csv = rows(lines, |line| format!("2026-11-24 01:00:00,\"{}\"", line.replace('"', "\"\"")));
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    vec![
        ("filter-log-events", pretty(&events)),
        ("filter-log-events on one line", events.to_string()),
        ("subscription", subscription.to_string()),
        (
            "subscriptions side by side",
            format!("{subscription}{{\"messageType\":\"CONTROL_MESSAGE\",\"logEvents\":[]}}"),
        ),
        ("search", pretty(&search)),
        ("search on one line", search.to_string()),
        ("hits", json_lines(lines, hit)),
        ("Splunk export", json_lines(lines, raw)),
        ("Splunk results", splunk.to_string()),
        ("GCP", pretty(&list(lines, entry))),
        ("GCP lines", json_lines(lines, entry)),
        ("GCP entries", json!({"entries": list(lines, entry)}).to_string()),
        ("Loki answer", loki.to_string()),
        ("Loki answer, pretty", pretty(&loki)),
        ("Loki push", json!({"streams": streams}).to_string()),
        (
            "Grafana",
            list(lines, |line| json!({"line": line, "timestamp": "1700000000000000000", "fields": {}})).to_string(),
        ),
        ("OpenTelemetry", otel.to_string()),
        (
            "Filebeat",
            json_lines(
                lines,
                |line| json!({"@timestamp": "2026-11-24T01:00:00Z", "message": line, "agent": {"type": "filebeat"}}),
            ),
        ),
        (
            "Fluent Bit",
            json_lines(lines, |line| json!({"date": 1_700_000_000.5, "log": line, "kubernetes": {"pod": "x"}})),
        ),
        (
            "Fluent Bit, CRI",
            json_lines(lines, |line| json!({"date": 1, "log": format!("2026-11-24T01:00:00.5Z stdout F {line}")})),
        ),
        ("ECS", json_lines(lines, |line| json!({"event": {"original": line}, "ecs": {"version": "8"}}))),
        (
            "in a container",
            json_lines(
                lines,
                |line| json!({"log": format!("{}\n", json!({"message": line})), "stream": "stdout", "time": "2026-11-24T01:00:00Z"}),
            ),
        ),
        ("CSV", format!("@timestamp,@message\n{csv}")),
    ]
}

/// CloudTrail's events in what carries them only.
fn trails(lines: &[String]) -> Vec<(&'static str, String)> {
    let parsed = |line: &String| serde_json::from_str::<Value>(line).unwrap();
    let looked_up =
        |line: &String| json!({"EventId": "1", "EventName": "x", "Username": "eve", "CloudTrailEvent": line});
    let event = |line: &String| json!({"version": "0", "id": "1", "detail-type": "AWS API Call via CloudTrail", "source": "aws.x", "detail": parsed(line)});
    let looked_up = json!({"Events": list(lines, looked_up), "NextToken": "x"});
    let lake = rows(lines, |line| {
        let event = parsed(line);
        let text = |name: &str| event[name].as_str().unwrap().replace('"', "\"\"");
        let (source, name, time, agent) =
            (text("eventSource"), text("eventName"), text("eventTime"), text("userAgent"));
        format!("{source},{name},{time},\"{{type=IAMUser, username=eve}}\",\"{{name=prod/trail}}\",\"{agent}\"")
    });
    vec![
        ("lookup-events", serde_json::to_string_pretty(&looked_up).unwrap()),
        ("lookup-events on one line", looked_up.to_string()),
        ("EventBridge", json_lines(lines, event)),
        (
            "EventBridge in CloudWatch",
            json!({"logEvents": list(lines, |line| json!({"message": event(line).to_string()}))}).to_string(),
        ),
        ("source", json_lines(lines, |line| json!({"_index": "x", "_source": parsed(line)}))),
        (
            "HEC",
            lines.iter().map(|line| json!({"time": 1, "sourcetype": "x", "event": parsed(line)}).to_string()).collect(),
        ),
        (
            "eventJson",
            format!("eventTime,eventJson\n{}", rows(lines, |line| format!("x,\"{}\"", line.replace('"', "\"\"")))),
        ),
        ("Lake", format!("eventsource,eventname,eventtime,useridentity,requestparameters,useragent\n{lake}")),
    ]
}

#[test]
fn what_is_carried_is_found_where_it_stands() {
    for (rule, lines) in lines() {
        let more = if rule == "r-stop" { trails(&lines) } else { Vec::new() };
        for (name, text) in carried(&lines).into_iter().chain(more) {
            let (found, coverage) = scan_it(text.as_bytes(), true);
            let rules: Vec<&str> = found.iter().map(|finding| finding.rule.id.as_str()).collect();
            assert_eq!(rules, [rule], "{name}: {text}");
            assert_eq!((coverage.events, coverage.broken), (3, 0), "{name}: {coverage:?} {text}");
            assert_eq!(coverage.bytes, text.len() as u64, "{name}");
            assert!(found[0].time.is_some(), "{name}");
            let Source::File { record, offset, line, .. } = &found[0].source else { unreachable!() };
            let (record, offset) = (*record, usize::try_from(offset.unwrap()).unwrap());
            assert_eq!(record, 1, "{name}");
            assert_eq!(text[..offset].matches('\n').count() as u64 + 1, line.unwrap(), "{name}");
            // The record begins there, and the one before it ends.
            let all: Vec<usize> = ["Other", "StopLogging", "GET /a", "etc/passwd", "for eve", "for root"]
                .iter()
                .filter_map(|word| text.find(word))
                .collect();
            assert!(all.iter().any(|at| *at < offset) && all.iter().any(|at| *at > offset), "{name}: {offset}");
            assert_eq!(scan_it(text.as_bytes(), false).0, found, "{name}");
        }
    }
}

#[test]
fn a_cut_file_gives_what_came_before() {
    let (_, lines) = lines().into_iter().next().unwrap();
    for (name, text) in carried(&lines).into_iter().chain(trails(&lines)) {
        let end = text.find("Third").unwrap();
        let (found, _) = scan_it(&text.as_bytes()[..end], true);
        assert_eq!(found.len(), 1, "{name}");
    }
}

proptest! {
    #[test]
    fn the_filter_hides_nothing_that_is_carried(
        words in proptest::collection::vec("(StopLogging|Stop|/etc/passwd|\"|\\\\|\u{e9}|/|root| |\n){0,4}", 1..4),
        form in 0..40_usize,
    ) {
        let lines: Vec<String> = words
            .iter()
            .flat_map(|word| {
                let plain = word.replace(['\n', '"', '\\'], "");
                [
                    trail("StopLogging", word).to_string(),
                    trail(word, "x").to_string(),
                    format!("192.0.2.7 - - [24/Nov/2026:01:00:00 +0000] \"GET /?f={plain} HTTP/1.1\" 200 5 \"-\" \"x\""),
                    format!("Nov 24 01:00:00 web sshd[7]: Accepted password for {plain} from 192.0.2.7 port 5 ssh2"),
                ]
            })
            .collect();
        let forms = carried(&lines);
        let (name, text) = &forms[form % forms.len()];
        let (with, without) = (scan_it(text.as_bytes(), true), scan_it(text.as_bytes(), false));
        prop_assert_eq!(with.0, without.0, "{}: {}", name, text);
        prop_assert_eq!((with.1.events, with.1.broken), (without.1.events, without.1.broken), "{}: {}", name, text);
    }
}
