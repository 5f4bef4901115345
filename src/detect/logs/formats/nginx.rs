//! nginx's error log: what went wrong, and where a request was at fault, whose and which. Fields have the names of access logs.

use serde_json::{Map, Value};

use super::access::request_fields;

/// Parses `2026/11/24 01:02:03 [error] 7#7: *1 what, client: .., server: .., request: "GET / HTTP/1.1", host: ".."`.
pub(super) fn parse(line: &str) -> Option<Map<String, Value>> {
    let said = line.get(line.find("] ").filter(|_| begins(line.as_bytes()))? + 2..)?;
    said.split_once(": ").filter(|(process, _)| process.contains('#'))?;
    let mut event = Map::new();
    if let Some((_, rest)) = said.split_once(", client: ") {
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

/// Whether a line begins with the time and the level.
fn begins(line: &[u8]) -> bool {
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
