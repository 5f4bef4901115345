//! nginx's error log: what went wrong, and where a request was at fault, whose and which. Fields have the names of access logs.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::access::request_fields;

/// Whether most of the lines that begin as one of the log may are ones. What an application said, traces for instance, goes on
/// over lines of its own.
pub(super) fn are_lines(lines: &[&str]) -> bool {
    let own = lines.iter().filter(|line| begins(line.as_bytes())).count();
    let dated = lines.iter().filter(|line| line.bytes().next().is_some_and(|byte| byte.is_ascii_digit())).count();
    own * 2 > dated && (own > 1 || lines.first().is_some_and(|line| begins(line.as_bytes())))
}

/// Parses a line and those that go on it: `2026/11/24 01:02:03 [error] 7#7: *1 what, client: .., server: .., request: "GET / HTTP/1.1", host: ".."`.
pub(super) fn parse(line: &str) -> Option<Map<String, Value>> {
    let said = line.get(line.find("] ").filter(|_| begins(line.as_bytes()))? + 2..)?;
    said.split_once(": ").filter(|(process, _)| process.contains('#'))?;
    let mut event = Map::new();
    if let Some(rest) = client(said) {
        let client = rest.split(',').next().unwrap_or_default();
        event.insert("c-ip".into(), client.into());
        if let Some((_, rest)) = rest.split_once(", request: \"") {
            request_fields(request(rest), &mut event);
        }
        if let Some((_, referer)) = rest.split_once("\", referrer: \"") {
            event.insert("cs-referer".into(), referer.trim_end_matches('"').into());
        }
    }
    event.insert("message".into(), line.into());
    Some(event)
}

/// What follows `, client: `; before it may stand what an application said.
fn client(said: &str) -> Option<&str> {
    const WORD: &str = ", client: ";
    let mut places = said.match_indices(WORD).map(|(at, _)| &said[at + WORD.len()..]);
    let named = |rest: &&str| {
        rest.split_once(", server: ").is_some_and(|(client, _)| client == "unix:" || client.parse::<IpAddr>().is_ok())
    };
    places.clone().find(named).or_else(|| places.next())
}

/// Whether a line begins with the time and the level.
pub(super) fn begins(line: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000/00/00 00:00:00 [";
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    line.len() > SHAPE.len() && line.iter().zip(SHAPE).all(fits)
}

/// The request: what stands in it is written as it came, quotes as well, so that what follows it tells its end.
fn request(rest: &str) -> &str {
    let ends = ["\", subrequest: ", "\", upstream: ", "\", host: ", "\", referrer: "];
    let end = ends.iter().filter_map(|end| rest.find(end)).min();
    end.map_or(rest.trim_end_matches('"'), |end| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_application_said_stands_before_whose_request_it_was() {
        let record = "2026/11/24 01:02:03 [error] 7#7: *12 FastCGI sent in stderr: \"PHP message: no file, client: of /x\nStack \
                      trace:\n#0 /srv/a.php(3): f()\n#1 {main}\n  thrown\" while reading response header from upstream, client: \
                      2001:db8::9, server: shop.example, request: \"GET /x, client: 1.2.3.4, server: s HTTP/1.1\"";
        let event = parse(record).unwrap();
        assert_eq!(event["c-ip"], "2001:db8::9");
        assert_eq!(event["c-uri"], "/x, client: 1.2.3.4, server: s");
        let lines: Vec<&str> = record.split('\n').collect();
        assert!(are_lines(&lines) && are_lines(&[&lines[1..], &lines, &lines].concat()));
        assert!(!are_lines(&lines[1..]) && !are_lines(&[&lines[1..], &lines].concat()));
        assert!(!are_lines(&["2026/11/24 01:02:03 [error] 7#7: x", "2026-11-24 x", "2026-11-24 y"]));
    }

    #[test]
    fn lines_with_and_without_a_request_become_fields() {
        let line = "2026/11/24 01:02:03 [error] 7#7: *12 open() \"/srv/.env\" failed (2: No such file or directory), client: \
                    203.0.113.9, server: shop.example, request: \"GET /.env?a=\"b HTTP/1.1\", upstream: \"http://10.0.0.5/\", \
                    host: \"shop.example\", referrer: \"https://x.example/\"";
        let event = parse(line).unwrap();
        for (field, want) in [
            ("c-ip", "203.0.113.9"),
            ("cs-method", "GET"),
            ("c-uri", "/.env?a=\"b"),
            ("cs-uri-query", "a=\"b"),
            ("cs-referer", "https://x.example/"),
            ("message", line),
        ] {
            assert_eq!(event.get(field), Some(&Value::from(want)), "{field}");
        }
        let notice = parse("2026/11/24 01:02:03 [notice] 1#1: signal process started").unwrap();
        assert_eq!(notice.keys().collect::<Vec<_>>(), ["message"]);
        for other in [
            "2026/11/24 01:02:03 [error] no process, client: 203.0.113.9",
            "2026-11-24 01:02:03 [error] 7#7: x",
            "2026/11/24 01:02:03 error 7#7: x",
            "2026/11/24 01:02:03 [",
            "",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
