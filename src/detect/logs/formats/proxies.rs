//! Access logs of load balancers and proxies that are not in the common form: AWS's ALB and classic ELB, `HAProxy`'s HTTP log
//! (alone or behind syslog's words), Envoy's and Istio's. Fields have the names of access logs.

use std::borrow::Cow;
use std::net::IpAddr;

use serde_json::{Map, Value};

use super::access::{quoted, request_fields};

/// Parses one line.
pub(super) fn parse(line: &str) -> Option<Map<String, Value>> {
    match line.bytes().next()? {
        b'[' => envoy(line),
        _ => balancer(line).or_else(|| haproxy(line)),
    }
}

/// `type time name client:port target:port times.. status status received sent "request" "agent" ..`; the classic one's has no
/// type.
fn balancer(line: &str) -> Option<Map<String, Value>> {
    let (first, after) = line.split_once(' ')?;
    let rest = if matches!(first, "http" | "https" | "h2" | "grpcs" | "ws" | "wss") { after } else { line };
    let mut words = rest.splitn(12, ' ');
    let time = words.next().filter(|time| is_time(time))?;
    let name = words.next()?;
    let client = host_of(words.next()?)?;
    let mut words = words.skip(4);
    let status = words.next()?;
    let mut words = words.skip(2);
    let sent = words.next()?;
    let (request, rest) = quoted(words.next()?)?;
    let mut event = base(client, time, request, status, sent);
    event.insert("elb".into(), name.into());
    if let Some((agent, _)) = quoted(rest) {
        put(&mut event, "cs-user-agent", agent);
    }
    Some(event)
}

/// `client:port [time] frontend backend/server times status bytes cookies.. state counts queues {captures} "request"`.
fn haproxy(line: &str) -> Option<Map<String, Value>> {
    let open = line.match_indices(" [").map(|(at, _)| at + 1).find(|at| {
        let is = |ahead: usize, byte: u8| line.as_bytes().get(at + ahead) == Some(&byte);
        is(3, b'/') && is(7, b'/') && is(12, b':')
    })?;
    let client = host_of(line[..open].trim_end().rsplit(' ').next()?)?;
    let (time, rest) = line[open + 1..].split_once("] ")?;
    let (before, request) = rest.split_once('"')?;
    let words: Vec<&str> = before.split(' ').collect();
    let [frontend, server, times, status, bytes, ..] = words[..] else { return None };
    if !(server.contains('/') && times.matches('/').count() >= 2) {
        return None;
    }
    // A long request is cut, and its quote with it.
    let request = request.rsplit_once('"').map_or(request, |(request, _)| request);
    let time = time.split_once('.').map_or(time, |(time, _)| time);
    let mut event = base(client, &format!("{time} +0000"), request, status, bytes);
    event.insert("frontend".into(), frontend.into());
    let captured = before.find('{').and_then(|at| before.rfind('}').and_then(|end| before.get(at..end)));
    for part in captured.unwrap_or_default().split(['{', '}', '|']).filter(|part| part.contains('/')) {
        put(&mut event, if part.starts_with("http") { "cs-referer" } else { "cs-user-agent" }, part);
    }
    Some(event)
}

/// `[time] "request" status flags .. "forwarded for" "agent" "id" "authority" "upstream" ..`.
fn envoy(line: &str) -> Option<Map<String, Value>> {
    let (time, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let (request, rest) = quoted(rest).filter(|_| is_time(time))?;
    let mut words = rest.trim_start().splitn(2, ' ');
    let (status, mut rest) = (words.next()?, words.next()?);
    status.parse::<u16>().ok()?;
    let mut texts = Vec::new();
    while let Some(at) = rest.find('"') {
        let (text, after) = quoted(&rest[at..])?;
        texts.push(text);
        rest = after;
    }
    let [.., forwarded, agent, _, authority, _] = texts[..] else { return None };
    let peer = rest.split_ascii_whitespace().nth(3).and_then(host_of);
    let client = Some(forwarded.split(',').next().unwrap_or_default().trim()).filter(|ip| ip.parse::<IpAddr>().is_ok());
    let mut event = base(client.or(peer).unwrap_or_default(), time, request, status, "-");
    put(&mut event, "cs-user-agent", agent);
    put(&mut event, "cs-host", authority);
    Some(event)
}

fn base(client: &str, time: &str, request: &str, status: &str, bytes: &str) -> Map<String, Value> {
    let mut event = Map::new();
    put(&mut event, "c-ip", client);
    put(&mut event, "time", time);
    request_fields(&relative(request), &mut event);
    for (name, number) in [("sc-status", status), ("sc-bytes", bytes)] {
        event.extend(number.parse::<u64>().map(|number| (name.to_owned(), Value::from(number))));
    }
    event
}

fn put(event: &mut Map<String, Value>, name: &str, text: &str) {
    if !matches!(text, "" | "-") {
        event.insert(name.into(), text.into());
    }
}

/// The request with the path alone: a balancer writes the whole address.
fn relative(request: &str) -> Cow<'_, str> {
    let whole = request.split_once(' ').filter(|(_, rest)| rest.starts_with("http") || rest.starts_with("ws"));
    let path = whole.and_then(|(method, rest)| {
        let (_, host) = rest.split_once("://")?;
        Some(format!("{method} {}", &host[host.find('/')?..]))
    });
    path.map_or(Cow::Borrowed(request), Cow::Owned)
}

/// The address before its port.
fn host_of(word: &str) -> Option<&str> {
    let (host, port) = word.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    let host = host.trim_matches(['[', ']']);
    host.parse::<IpAddr>().is_ok().then_some(host)
}

/// Whether a word is a time of ISO 8601 with `T` and `Z`.
fn is_time(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[13] == b':' && word.ends_with('Z')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_proxy_says_who_asked_for_what() {
        for (line, time) in [
            (
                r#"https 2026-11-24T01:02:03.186641Z app/shop/50dc6c495c0c9188 192.0.2.7:2817 10.0.0.1:80 0.086 0.048 0.037 404 404 0 57 "GET https://www.example.com:443/a?id=1 HTTP/1.1" "curl/8" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:x "Root=1-5" "www.example.com" "arn:y" 1 2026-11-24T01:02:03.1Z "forward" "-" "-" "10.0.0.1:80" "404" "-" "-""#,
                "2026-11-24T01:02:03.186641Z",
            ),
            (
                r#"2026-11-24T01:02:03.945958Z my-elb 192.0.2.7:2817 10.0.0.1:80 0.000073 0.001048 0.000057 404 404 0 29 "GET http://www.example.com:80/a?id=1 HTTP/1.1" "curl/8" - -"#,
                "2026-11-24T01:02:03.945958Z",
            ),
            (
                r#"Nov 24 01:02:03 lb haproxy[14389]: 192.0.2.7:33317 [24/Nov/2026:01:02:03.655] http-in static/srv1 10/0/30/69/109 404 2750 - - ---- 1/1/1/1/0 0/0 {shop.example|curl/8} {} "GET /a?id=1 HTTP/1.1""#,
                "24/Nov/2026:01:02:03 +0000",
            ),
            (
                r#"[2026-11-24T01:02:03.310Z] "GET /a?id=1 HTTP/2" 404 - 154 0 226 100 "192.0.2.7,10.0.0.1" "curl/8" "cc21d9b0" "shop" "tcp://10.0.2.1:80""#,
                "2026-11-24T01:02:03.310Z",
            ),
            (
                r#"[2026-11-24T01:02:03.409Z] "GET /a?id=1 HTTP/1.1" 404 - via_upstream - "-" 0 135 4 4 "-" "curl/8" "84961386" "shop:8000" "127.0.0.1:80" inbound|8000|| 127.0.0.1:41854 10.44.1.27:80 192.0.2.7:37652 outbound_.8000_._.shop default"#,
                "2026-11-24T01:02:03.409Z",
            ),
        ] {
            let event = parse(line).unwrap_or_else(|| panic!("{line}"));
            for (name, want) in [
                ("c-ip", Value::from("192.0.2.7")),
                ("cs-method", "GET".into()),
                ("c-uri", "/a?id=1".into()),
                ("cs-uri-query", "id=1".into()),
                ("sc-status", 404.into()),
                ("cs-user-agent", "curl/8".into()),
                ("time", time.into()),
            ] {
                assert_eq!(event.get(name), Some(&want), "{name} {line}");
            }
            assert!(super::super::time::of_event(&event, "2026-12-01T00:00:00Z".parse().unwrap()).is_some(), "{line}");
        }
    }

    #[test]
    fn other_lines_are_none_of_theirs() {
        for line in [
            "",
            "2026-11-24T01:02:03Z host app: said \"x\"",
            "Nov 24 01:02:03 web sshd[7]: Accepted password for eve from 1.2.3.4 port 5 ssh2",
            r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /x HTTP/1.1" 200 5"#,
            "Nov 24 01:02:03 lb haproxy[7]: Proxy http-in started.",
            "[2026-11-24T01:02:03Z] \"x\" y",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(\\[|2026-11-24T01:02:03Z|24/Nov/2026:01:02:03|\\] |1.2.3.4:5|a/b|1/2/3| |\"|\\{|\\}|\\||http|://|\u{e9}|-|200){0,24}") {
            let _ = parse(&line);
        }
    }
}
