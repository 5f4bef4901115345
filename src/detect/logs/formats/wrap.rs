//! Records that others carry: an event in an object (`detail` of `EventBridge`, `_source` of Elasticsearch, `result` of Splunk),
//! a line in a text (`message` of `CloudWatch` and Filebeat, `log` of Fluent Bit, `CloudTrailEvent` of `lookup-events`), and
//! Loki's pairs of time and line. What is carried is an event of its own format; what carries it adds its fields.

use serde_json::{Map, Value};

use super::{Format, docker, syslog};

/// How deep one may carry another.
pub(super) const DEPTH: usize = 4;
/// Texts that may be lines or objects, best first.
const TEXTS: [&str; 13] = [
    "CloudTrailEvent",
    "eventJson",
    "log",
    "_raw",
    "message",
    "@message",
    "textPayload",
    "line",
    "event",
    "body",
    "msg",
    "Message",
    "event.original",
];
/// Objects that are events, and a name beside them or in them without which they are something else.
const OBJECTS: [(&str, &[&str]); 7] = [
    ("detail", &["detail-type"]),
    ("_source", &["_index", "_id", "_type"]),
    ("result", &["preview", "lastrow", "_raw"]),
    ("jsonPayload", &["logName", "insertId", "resource"]),
    ("event", &["sourcetype"]),
    ("attributes", &["service", "host", "status"]),
    ("data", &["specversion"]),
];

/// Reads one record: a JSON object, or a pair of Loki's.
pub(super) fn parse(record: &str) -> Option<(Map<String, Value>, Format)> {
    if record.starts_with('[') {
        return pair(&serde_json::from_str::<Vec<Value>>(record).ok()?);
    }
    Some(event(serde_json::from_str(record).ok()?, DEPTH))
}

/// The event in an event, or the event itself.
pub(super) fn event(outer: Map<String, Value>, depth: usize) -> (Map<String, Value>, Format) {
    open(outer, depth).unwrap_or_else(|outer| (said(outer), Format::JsonLines))
}

/// A JSON event with what its message says in words.
pub(super) fn said(mut event: Map<String, Value>) -> Map<String, Value> {
    syslog::put_who_of_fields(&mut event);
    event
}

/// Whether a record carries another.
pub(super) fn carries(record: &[u8]) -> bool {
    // What AWS delivers carries nothing: most files need no second look.
    if record.starts_with(b"{\"eventVersion\"") {
        return false;
    }
    record.starts_with(b"[") || serde_json::from_slice(record).is_ok_and(|outer| open(outer, DEPTH).is_ok())
}

/// The event in an event with what carries it; the event itself if it carries none.
pub(super) fn open(
    mut outer: Map<String, Value>,
    depth: usize,
) -> Result<(Map<String, Value>, Format), Map<String, Value>> {
    let Some(depth) = depth.checked_sub(1) else { return Err(outer) };
    for (name, beside) in OBJECTS {
        let Some(Value::Object(inner)) = outer.get(name) else { continue };
        if beside.iter().any(|other| outer.contains_key(*other) || inner.contains_key(*other))
            && let Some(Value::Object(inner)) = outer.shift_remove(name)
        {
            let (inner, format) = event(inner, depth);
            return Ok((joined(inner, outer), format));
        }
    }
    for name in TEXTS {
        let Some(text) = outer.get(name).or_else(|| nested(&outer, name)).and_then(text_of) else { continue };
        if let Some((inner, format)) = docker::known(text, depth) {
            outer.shift_remove(name);
            return Ok((joined(inner, outer), format));
        }
    }
    Err(outer)
}

/// A value one object further in.
fn nested<'a>(outer: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let (object, inner) = name.split_once('.')?;
    outer.get(object)?.get(inner)
}

/// A text, also as OpenTelemetry writes it.
fn text_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("stringValue")?.as_str())
}

/// What is carried counts more than what carries it.
fn joined(mut inner: Map<String, Value>, outer: Map<String, Value>) -> Map<String, Value> {
    for (name, value) in outer {
        inner.entry(name).or_insert(value);
    }
    inner
}

/// Time and line, and perhaps objects that say more.
fn pair(values: &[Value]) -> Option<(Map<String, Value>, Format)> {
    let [time, line, more @ ..] = values else { return None };
    let (mut event, format) = docker::inner(line.as_str()?.trim_end(), DEPTH - 1);
    event.entry("time").or_insert_with(|| time.clone());
    for value in more {
        let Value::Object(object) = value else { continue };
        for (name, value) in object {
            let labels = value.as_object().filter(|_| matches!(name.as_str(), "stream" | "labels" | "metric"));
            let one = || Map::from_iter([(name.clone(), value.clone())]);
            event = joined(event, labels.cloned().unwrap_or_else(one));
        }
    }
    Some((event, format))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ACCESS: &str = r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /x HTTP/1.1" 200 5 "-" "curl/8""#;

    #[test]
    fn every_carrier_gives_what_it_carries() {
        let trail = json!({"eventSource": "x.amazonaws.com", "eventName": "Stop", "eventTime": "2026-11-24T01:00:00Z"});
        let text = trail.to_string();
        for record in [
            json!({"EventId": "1", "EventName": "Other", "CloudTrailEvent": text}),
            json!({"version": "0", "detail-type": "AWS API Call via CloudTrail", "source": "aws.x", "detail": trail}),
            json!({"id": "1", "timestamp": 1_700_000_000_000_u64, "message": text}),
            json!({"_index": "i", "_source": {"@timestamp": "2026-11-24T01:00:00Z", "message": text}}),
            json!({"_index": "i", "_source": trail}),
            json!({"preview": false, "result": {"_raw": text, "host": "h"}}),
            json!({"sourcetype": "aws:cloudtrail", "event": trail}),
            json!({"logName": "l", "jsonPayload": trail}),
            json!({"timeUnixNano": "1", "body": {"stringValue": text}}),
            json!({"event": {"original": text}, "aws": {}}),
            json!(["1700000000000000000", text, {"stream": {"app": "x"}}]),
            json!({"message": json!({"log": json!({"message": text}).to_string()}).to_string()}),
        ] {
            let (event, format) = parse(&record.to_string()).unwrap();
            assert_eq!((event.get("eventName"), format), (Some(&"Stop".into()), Format::JsonLines), "{record}");
            assert_eq!(event["eventTime"], "2026-11-24T01:00:00Z");
            assert!(carries(record.to_string().as_bytes()), "{record}");
        }
        let (event, format) = parse(&json!({"log": ACCESS, "kubernetes": {"pod": "web"}}).to_string()).unwrap();
        assert_eq!(
            (&event["c-uri"], event["kubernetes"]["pod"].as_str(), format),
            (&"/x".into(), Some("web"), Format::Access)
        );
        let (event, _) = parse(&json!(["1700000000000000000", "words", {"stream": {"app": "x"}}]).to_string()).unwrap();
        assert_eq!((&event["message"], &event["app"]), (&"words".into(), &"x".into()));
    }

    #[test]
    fn what_carries_nothing_stays_as_it_is() {
        for record in [
            json!({"message": "words", "level": "info"}),
            json!({"detail": {"a": 1}}),
            json!({"event": "login.failed", "user": "eve"}),
            json!({"eventVersion": "1.08", "eventSource": "x", "eventName": "y", "requestParameters": {"message": ACCESS}}),
            json!({"error_severity": "LOG", "message": "statement: select 1"}),
        ] {
            let (event, format) = parse(&record.to_string()).unwrap();
            assert_eq!((Value::Object(event), format), (record.clone(), Format::JsonLines));
            assert!(!carries(record.to_string().as_bytes()), "{record}");
        }
    }

    #[test]
    fn one_carries_another_only_so_deep() {
        let mut text = json!({"a": 1}).to_string();
        for _ in 0..DEPTH + 2 {
            text = json!({"message": text}).to_string();
        }
        let (event, _) = parse(&text).unwrap();
        assert!(event["message"].as_str().is_some_and(|text| text.contains("message")));
    }

    proptest! {
        #[test]
        fn no_record_panics(text in "(\\{|\\}|\\[|\\]|\"message\":|\"a\":1|\"x\"|,|\\\\\"){0,14}") {
            let _ = (parse(&text), carries(text.as_bytes()));
        }
    }
}
