//! Common and combined log format (Apache `mod_log_config`; nginx's `combined`), with W3C names for the fields.

use std::net::IpAddr;
use std::ops::Range;

use serde_json::{Map, Value};

/// All fields that an event may have.
pub(in crate::detect::logs) const FIELDS: [&str; 13] = [
    "c-ip",
    "cs-username",
    "time",
    "cs-method",
    "c-uri",
    "cs-uri-stem",
    "cs-uri-query",
    "cs-version",
    "sc-status",
    "sc-bytes",
    "cs-referer",
    "cs-user-agent",
    "extra",
];
/// Those of which a value stands between quotes, byte for byte.
pub(in crate::detect::logs) const QUOTED: [&str; 2] = ["cs-referer", "cs-user-agent"];

/// Parses one line; further fields after the combined ones are kept as `extra`.
pub(super) fn parse(line: &str) -> Option<Map<String, Value>> {
    let open = date(line.as_bytes())?;
    let (mut ip, mut user) = who(&line[..open])?;
    let (time, mut rest) = line[open + 1..].split_once(']')?;
    let mut stored = None;
    if !rest.trim_start().starts_with('"') {
        // S3's: `owner bucket [time] address requester id operation key "request" ..`.
        let (before, after) = rest.split_at(rest.find(" \"")?);
        let mut words = before.trim_start().splitn(3, ' ');
        (ip, user) = (words.next()?, words.next()?);
        words.next().filter(|words| words.contains('.') && words.split(' ').count() == 3)?;
        (stored, rest) = (Some(before.trim_start()), after);
    }
    if ip.is_empty() || ip.contains('"') || time.len() < 11 {
        return None;
    }
    let (request, rest) = quoted(rest)?;
    let mut words = rest.trim_start().splitn(3, ' ');
    let status: u64 = words.next()?.parse().ok()?;
    let bytes = words.next().unwrap_or("-");
    let mut rest = words.next().unwrap_or_default();
    if stored.is_some() {
        // Sizes and times stand between.
        rest = rest.find('"').map_or("", |at| &rest[at..]);
    }

    let mut event = Map::new();
    event.insert("c-ip".into(), ip.into());
    if user != "-" && !user.is_empty() {
        event.insert("cs-username".into(), user.into());
    }
    event.insert("time".into(), time.into());
    request_fields(request, &mut event);
    event.insert("sc-status".into(), status.into());
    if let Ok(bytes) = bytes.parse::<u64>() {
        event.insert("sc-bytes".into(), bytes.into());
    }
    if let Some((referer, rest)) = quoted(rest) {
        event.insert("cs-referer".into(), dash(referer));
        if let Some((agent, rest)) = quoted(rest) {
            event.insert("cs-user-agent".into(), dash(agent));
            if !rest.trim().is_empty() {
                event.insert("extra".into(), rest.trim().into());
                if let Some(client) = forwarded(ip, rest) {
                    event.insert("c-ip".into(), client.into());
                }
            }
        }
    }
    event.extend(stored.map(|stored| ("extra".to_owned(), Value::from(stored))));
    Some(event)
}

/// Fields that are read from the request.
pub(in crate::detect::logs) const REQUEST: [&str; 5] =
    ["cs-method", "c-uri", "cs-uri-stem", "cs-uri-query", "cs-version"];

/// The request of a line, with its quotes; what follows it holds the other quoted texts. Nothing where the line can't be
/// parsed.
pub(in crate::detect::logs) fn request(line: &[u8]) -> Option<Range<usize>> {
    let after = |byte: u8, from: usize| memchr::memchr(byte, line.get(from..)?).map(|at| from + at + 1);
    let open = date(line)?;
    let start = [b']', b'"'].into_iter().try_fold(open, |from, byte| after(byte, from))? - 1;
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', line.get(at..)?)? + 1;
        if line[at - 1] == b'"' {
            return Some(start..at);
        }
        // What a backslash escapes ends nothing.
        at += 1;
    }
}

/// Whether a line looks like one of the log: a date in brackets, then a quote.
pub(super) fn outline(line: &[u8]) -> bool {
    date(line).is_some_and(|at| memchr::memchr(b'"', &line[at..]).is_some())
}

/// Where the date's bracket is. Whatever carried the line may have put others before it.
fn date(line: &[u8]) -> Option<usize> {
    let is_date = |at: &usize| line.get(at + 3) == Some(&b'/') && line.get(at + 7) == Some(&b'/');
    let open = memchr::memchr_iter(b'[', line).find(is_date)?;
    memchr::memchr_iter(b' ', &line[..open]).nth(1).map(|_| open)
}

/// The address and the user before the date: `address ident user`, perhaps behind the name of a virtual host or what carried
/// the line. Of several addresses, as a proxy hands them on, the first is the client's.
fn who(head: &str) -> Option<(&str, &str)> {
    let mut at = 0;
    let placed = head.split(' ').map(|word| {
        let from = at;
        at += word.len() + 1;
        (from, word)
    });
    let words: Vec<(usize, &str)> = placed.filter(|(_, word)| !word.is_empty()).collect();
    let address = |(_, word): &(usize, &str)| word.trim_end_matches(',').parse::<IpAddr>().is_ok();
    let named = || words.windows(2).position(|pair| pair[1].1 == "-");
    let first = words.iter().position(address).or_else(named).unwrap_or(0);
    let last = (first..words.len()).find(|at| !words[*at].1.ends_with(','))?;
    let user = words.get(last + 2).map_or("", |(from, _)| head[*from..].trim_end());
    Some((words[first].1.trim_end_matches(','), user))
}

/// The client of a proxy inside, as the header behind the combined fields hands it on: the last address from outside, which the
/// proxy saw. Those before it are what the client says.
fn forwarded<'a>(proxy: &str, rest: &'a str) -> Option<&'a str> {
    let is_inside = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    };
    proxy.parse().ok().filter(is_inside)?;
    let addresses = quoted(rest)?.0.rsplit(',').map(str::trim);
    addresses
        .map_while(|word| Some((word, word.parse::<IpAddr>().ok()?)))
        .find(|(_, ip)| !is_inside(ip))
        .map(|(word, _)| word)
}

fn dash(text: &str) -> Value {
    if text == "-" { Value::Null } else { text.into() }
}

/// The fields of a request line.
pub(super) fn request_fields(request: &str, event: &mut Map<String, Value>) {
    let split = request.split_once(' ').and_then(|(method, rest)| {
        let (uri, version) = rest.rsplit_once(' ').filter(|(_, last)| last.starts_with("HTTP/")).unwrap_or((rest, ""));
        method.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_')).then_some((method, uri, version))
    });
    // Probes send anything; it is kept where rules look for it.
    let (method, uri, version) = split.unwrap_or(("", request, ""));
    if !method.is_empty() {
        event.insert("cs-method".into(), method.into());
    }
    event.insert("c-uri".into(), uri.into());
    if let Some((stem, query)) = uri.split_once('?') {
        event.insert("cs-uri-stem".into(), stem.into());
        event.insert("cs-uri-query".into(), query.into());
    }
    if !version.is_empty() {
        event.insert("cs-version".into(), version.into());
    }
}

/// The next quoted text (a backslash escapes a quote) and what follows it.
pub(super) fn quoted(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start().strip_prefix('"')?;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\\' if !escaped => escaped = true,
            b'"' if !escaped => return Some((&text[..at], &text[at + 1..])),
            _ => escaped = false,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn combined_lines_become_fields() {
        let line = r#"203.0.113.9 - bob [24/Nov/2026:01:02:03 +0000] "POST /admin/x?id=1%27 HTTP/1.1" 403 12 "-" "cu\"rl/8" 0.1"#;
        let event = parse(line).unwrap();
        for (field, want) in [
            ("c-ip", Value::from("203.0.113.9")),
            ("cs-username", "bob".into()),
            ("cs-method", "POST".into()),
            ("c-uri", "/admin/x?id=1%27".into()),
            ("cs-uri-query", "id=1%27".into()),
            ("sc-status", 403.into()),
            ("cs-referer", Value::Null),
            ("cs-user-agent", r#"cu\"rl/8"#.into()),
            ("extra", "0.1".into()),
        ] {
            assert_eq!(event.get(field), Some(&want), "{field}");
        }
    }

    #[test]
    fn a_probe_that_is_no_request_is_kept() {
        let event = parse(r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "\x16\x03\x01" 400 0"#).unwrap();
        assert_eq!(event["c-uri"], r"\x16\x03\x01");
        assert!(parse("not an access line").is_none());
    }

    #[test]
    fn the_client_is_known_whatever_stands_before_it() {
        for (before, ip, user) in [
            ("203.0.113.9 - bob", "203.0.113.9", "bob"),
            ("client.example.com - -", "client.example.com", ""),
            ("client.example.com - two words", "client.example.com", "two words"),
            ("www.example.com:443 203.0.113.9 - -", "203.0.113.9", ""),
            ("www.example.com client.example.com - bob", "client.example.com", "bob"),
            ("203.0.113.9, 10.0.0.1 - -", "203.0.113.9", ""),
            ("2001:db8::1 - -", "2001:db8::1", ""),
            ("<190>Nov 23 04:00:00 web nginx: 203.0.113.9 - -", "203.0.113.9", ""),
            ("Nov 23 04:00:00 web nginx[7]: 203.0.113.9 - -", "203.0.113.9", ""),
            ("[pod/web/nginx] 203.0.113.9 - -", "203.0.113.9", ""),
        ] {
            let line = format!("{before} [24/Nov/2026:01:02:03 +0000] \"GET /x HTTP/1.1\" 200 5 \"-\" \"x\"");
            let event = parse(&line).unwrap_or_else(|| panic!("{line}"));
            assert!(outline(line.as_bytes()));
            assert_eq!(&line[request(line.as_bytes()).unwrap()], "\"GET /x HTTP/1.1\"");
            assert_eq!((&event["c-ip"], &event["c-uri"]), (&ip.into(), &"/x".into()), "{line}");
            assert_eq!(event.get("cs-username").and_then(Value::as_str).unwrap_or_default(), user, "{line}");
        }
    }

    #[test]
    fn what_s3_served_is_read() {
        let line = r#"79a59df9 shop-bucket [06/Feb/2026:00:00:38 +0000] 192.0.2.3 arn:aws:iam::1:user/eve 3E57427F REST.GET.OBJECT a/b.txt "GET /shop-bucket/a/b.txt?x=1 HTTP/1.1" 404 - 113 - 7 - "-" "S3Console/0.4" - x= SigV4"#;
        let event = parse(line).unwrap();
        assert!(outline(line.as_bytes()));
        for (field, want) in [
            ("c-ip", "192.0.2.3"),
            ("cs-username", "arn:aws:iam::1:user/eve"),
            ("c-uri", "/shop-bucket/a/b.txt?x=1"),
            ("cs-user-agent", "S3Console/0.4"),
            ("time", "06/Feb/2026:00:00:38 +0000"),
        ] {
            assert_eq!(event[field], want, "{field}");
        }
        assert_eq!(&line[request(line.as_bytes()).unwrap()], "\"GET /shop-bucket/a/b.txt?x=1 HTTP/1.1\"");
        assert!(parse("a b [06/Feb/2026:00:00:38 +0000] some other words \"GET / HTTP/1.1\" 200 5").is_none());
    }

    #[test]
    fn the_client_of_a_proxy_inside_is_the_last_address_from_outside() {
        for (proxy, header, client) in [
            ("10.0.1.4", "203.0.113.9", "203.0.113.9"),
            ("10.0.1.4", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
            ("127.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
            ("10.0.1.4", "2001:db8::9", "2001:db8::9"),
            ("192.168.0.3", "10.0.0.9", "192.168.0.3"),
            ("10.0.1.4", "-", "10.0.1.4"),
            ("10.0.1.4", "203.0.113.9, unknown", "10.0.1.4"),
            ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
        ] {
            let line = format!(
                "{proxy} - - [24/Nov/2026:01:02:03 +0000] \"GET /x HTTP/1.1\" 200 5 \"-\" \"curl/8.5\" \"{header}\""
            );
            assert_eq!(parse(&line).unwrap()["c-ip"], client, "{line}");
        }
        let time = "10.0.1.4 - - [24/Nov/2026:01:02:03 +0000] \"GET /x HTTP/1.1\" 200 5 \"-\" \"curl/8.5\" 0.012 \"203.0.113.9\"";
        assert_eq!(parse(time).unwrap()["c-ip"], "10.0.1.4");
    }

    proptest! {
        #[test]
        fn a_line_has_known_fields_and_quotes_where_it_is_said(
            line in r#"[-0-9a-z"\\ \[\]/:?]{0,60}"#,
            tail in r#"("[a-z"\\ -]{0,6}"?[a-z ]{0,3}){0,4}"#,
        ) {
            for line in [line.clone(), format!("1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] \"{line}\" 200 5 {tail}")] {
                for (name, value) in parse(&line).unwrap_or_default() {
                    prop_assert!(FIELDS.contains(&name.as_str()));
                    let request = request(line.as_bytes()).expect("a line that is parsed has a request");
                    let text = value.as_str().unwrap_or_default();
                    prop_assert!(!REQUEST.contains(&name.as_str()) || line[request.clone()].contains(text));
                    prop_assert!(!QUOTED.contains(&name.as_str()) || line[request.end..].contains(text));
                    if let Some(text) = value.as_str().filter(|_| QUOTED.contains(&name.as_str())) {
                        prop_assert!(line.contains(&format!("\"{text}\"")), "{}: {}", name, line);
                    }
                }
            }
        }
    }
}
