//! Lines that a container's runtime carries: docker's `json-file` (`{"log":"..\n","stream":"stdout","time":".."}`), CRI's and
//! Kubernetes' (`2026-11-24T01:02:03Z stdout F ..`, `[pod/api/app] ..`), docker compose's (`api-1  | ..`); and JSON behind words
//! of any kind. The line inside can be of any format.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::{Format, Parse, access, nginx, postgres, proxies, syslog, text_event, time, wrap};
use crate::domain::Timestamp;

/// Longest name of a container or a pod, in bytes.
const MAX_NAME: usize = 256;

/// Parses one line; `None` for broken JSON.
pub(super) fn parse(record: &str) -> Option<(Map<String, Value>, Format)> {
    if !record.starts_with('{') {
        return Some(behind_words(record, wrap::DEPTH));
    }
    let mut outer: Map<String, Value> = serde_json::from_str(record).ok()?;
    if !is_container(&outer) {
        return Some(wrap::event(outer, wrap::DEPTH));
    }
    let log = outer.shift_remove("log")?;
    let (mut event, format) = inner(log.as_str()?.trim_end_matches(['\n', '\r']), wrap::DEPTH - 1);
    for (name, value) in outer {
        // The line's own time and stream count more.
        event.entry(name).or_insert(value);
    }
    Some((event, format))
}

/// Whether a JSON object is a line of a container's, as docker and those who collect its lines write it.
pub(super) fn is_container(outer: &Map<String, Value>) -> bool {
    let beside = |name: &str| outer.contains_key(name);
    outer.get("log").is_some_and(Value::is_string)
        && (outer.len() == 1 || ["time", "stream", "kubernetes", "container_name"].into_iter().any(beside))
}

/// Whether something carries the line.
pub(super) fn carries(line: &str) -> bool {
    let line = line.trim_end();
    !line.starts_with('{') && (carrier(line).is_some() || object(line).is_some())
}

/// The line behind the words of what carries it, and what these say of its time.
fn carrier(line: &str) -> Option<(&str, Option<&str>)> {
    let is_name = |name: &str| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
            && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && name.len() <= MAX_NAME
    };
    if let Some((name, rest)) = line.split_once(" | ").or_else(|| line.split_once(" |\t"))
        && is_name(name.trim_end())
    {
        return Some((rest, None));
    }
    if let Some((name, rest)) = line.strip_prefix("[pod/").and_then(|line| line.split_once("] "))
        && is_name(name)
    {
        return Some((rest, None));
    }
    let (time, rest) = line.split_once(' ').filter(|(time, _)| time.as_bytes().get(10) == Some(&b'T'))?;
    let rest = rest.strip_prefix("stdout ").or_else(|| rest.strip_prefix("stderr "))?;
    let rest = rest.strip_prefix("F ").or_else(|| rest.strip_prefix("P "))?;
    Some((rest, Some(time)))
}

/// The JSON object with which a line ends.
fn object(line: &str) -> Option<&str> {
    let object = &line[line.find('{')?..];
    serde_json::from_str::<IgnoredAny>(object).ok().map(|_| object)
}

fn behind_words(record: &str, depth: usize) -> (Map<String, Value>, Format) {
    let line = record.trim_end();
    if let Some((rest, time)) = carrier(line) {
        // Kubernetes may put the time before or behind the name.
        let (mut event, format) = match depth.checked_sub(1) {
            Some(depth) if carries(rest) => behind_words(rest, depth),
            _ => inner(rest, depth),
        };
        event.extend(time.filter(|_| !event.contains_key("time")).map(|time| ("time".to_owned(), time.into())));
        return (event, format);
    }
    let Some(object) = object(line) else { return inner(line, depth) };
    let (mut event, format) = wrap::event(serde_json::from_str(object).unwrap_or_default(), depth);
    let before = line[..line.len() - object.len()].trim_end();
    let words = syslog::parse(before).unwrap_or_else(|| {
        let ends = before.match_indices(' ').map(|(at, _)| at).chain([before.len()]).take(2);
        let times = ends.map(|end| before[..end].trim_matches(['[', ']']));
        let time = times.filter(|text| time::parse(text, Timestamp::UNIX_EPOCH).is_some()).last();
        Map::from_iter(time.map(|time| ("time".to_owned(), Value::from(time))))
    });
    for (name, value) in words.into_iter().filter(|(name, _)| name != "message") {
        event.entry(name).or_insert(value);
    }
    if !before.is_empty() && !event.contains_key("msg") {
        event.entry("message").or_insert_with(|| before.into());
    }
    (event, format)
}

/// The event of a line whose format is not known beforehand.
pub(super) fn inner(line: &str, depth: usize) -> (Map<String, Value>, Format) {
    known(line, depth).unwrap_or_else(|| (text_event(line), Format::Text))
}

/// The event of a line of one of the known forms.
pub(super) fn known(line: &str, depth: usize) -> Option<(Map<String, Value>, Format)> {
    /// Shorter than any line of these.
    const SHORTEST: usize = 16;
    let line = line.trim_end();
    if line.trim_start().starts_with('{')
        && let Ok(event) = serde_json::from_str(line)
    {
        return Some(wrap::event(event, depth));
    }
    if line.len() < SHORTEST {
        return None;
    }
    let forms: [(Parse, Format); 5] = [
        (access::parse, Format::Access),
        (proxies::parse, Format::Custom),
        (nginx::parse, Format::NginxError),
        (postgres::parse, Format::PostgresText),
        (syslog::parse, Format::Syslog),
    ];
    if let Some(depth) = depth.checked_sub(1).filter(|_| carrier(line).is_some_and(|(_, time)| time.is_some())) {
        return Some(behind_words(line, depth));
    }
    forms.into_iter().find_map(|(parse, format)| parse(line).map(|event| (event, format)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_line_inside_is_parsed_by_its_own_format() {
        let line = r#"{"log":"{\"event\":\"x\"}\n","stream":"stdout","time":"2026-11-24T01:02:03.1Z"}"#;
        let (event, format) = parse(line).unwrap();
        assert_eq!((&event["event"], &event["stream"], format), (&"x".into(), &"stdout".into(), Format::JsonLines));
        let line =
            r#"{"log":"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] \"GET /x HTTP/1.1\" 200 5\n","stream":"stdout"}"#;
        let (event, format) = parse(line).unwrap();
        assert_eq!((&event["c-uri"], format), (&"/x".into(), Format::Access));
        assert_eq!(parse(r#"{"log":"hello\n"}"#).unwrap().0["message"], "hello");
        assert_eq!(parse("{}").unwrap().0.len(), 0);
        assert!(parse("{\"log\":").is_none());
    }

    #[test]
    fn every_runtime_carries_lines_of_any_format() {
        let json = r#"{"event":"login.failed","user":"eve"}"#;
        let access = r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /x HTTP/1.1" 200 5"#;
        let sshd = "Nov 24 01:02:03 web sshd[7]: Accepted password for eve from 1.2.3.4 port 5 ssh2";
        for before in [
            "api-1  | ",
            "api-1     | 2026-11-24T01:02:03.5Z ",
            "2026-11-24T01:02:03.123456789Z stdout F ",
            "[pod/api-7d4b/api] ",
            "[pod/api-7d4b/api] 2026-11-24T01:02:03.5Z ",
            "2026-11-24T01:02:03.5Z ",
            "Nov 24 01:02:03 web api[7]: ",
            "2026-11-24 01:02:03 INFO ",
            "api-7d4b api ",
        ] {
            let line = format!("{before}{json}");
            assert!(carries(&line), "{line}");
            let (event, format) = parse(&line).unwrap();
            assert_eq!((&event["event"], format), (&"login.failed".into(), Format::JsonLines), "{line}");
            let dated = before.contains("01:02:03");
            assert_eq!(event.contains_key("time"), dated, "{line}");
        }
        for before in ["api-1  | ", "2026-11-24T01:02:03.123456789Z stderr F ", "[pod/api-7d4b/api] "] {
            assert!(carries(&format!("{before}{access}")) && carries(&format!("{before}words")));
            let (event, format) = parse(&format!("{before}{access}\n")).unwrap();
            assert_eq!((&event["c-ip"], format), (&"1.2.3.4".into(), Format::Access), "{before}");
            let (event, format) = parse(&format!("{before}{sshd}")).unwrap();
            assert_eq!((&event["program"], format), (&"sshd".into(), Format::Syslog), "{before}");
            assert_eq!(parse(&format!("{before}words")).unwrap().0["message"], "words");
        }
        let (event, _) = parse(&format!("Nov 24 01:02:03 web api[7]: {json}")).unwrap();
        assert_eq!((&event["host"], &event["program"]), (&"web".into(), &"api".into()));
        for line in ["words", "a | b | c words", json, access, sshd, "x {y}", "id = 5 | name = 6"] {
            assert_eq!(carries(line), line.starts_with("a | b"), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(api-1 |\\| |\\[pod/|a\\] |2026-11-24T01:02:03Z |stdout |F |\\{\"a\":1\\}|\\{|\"|\u{e9}| ){0,10}") {
            let _ = (parse(&line), carries(&line));
        }
    }
}
