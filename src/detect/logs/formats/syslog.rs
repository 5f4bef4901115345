//! RFC 3164 (`Mar 27 13:06:56 host prog[1]: text`), its form with an ISO 8601 time, and RFC 5424.

use serde_json::{Map, Value};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Parses one line.
pub(super) fn parse(line: &str) -> Option<Map<String, Value>> {
    let (priority, rest) = priority(line);
    let mut event = Map::new();
    if let Some(priority) = priority {
        event.insert("facility".into(), (priority / 8).into());
        event.insert("severity".into(), (priority % 8).into());
        if let Some(rest) = rest.strip_prefix("1 ") {
            return rfc5424(rest, event);
        }
    }
    let (time, rest) = timestamp(rest)?;
    let (host, rest) = rest.split_once(' ')?;
    if host.is_empty() || host.ends_with(':') {
        return None;
    }
    event.insert("time".into(), time.into());
    event.insert("host".into(), host.into());
    let tag = rest.split_once(": ").or_else(|| rest.strip_suffix(':').map(|tag| (tag, "")));
    match tag.filter(|(tag, _)| tag.len() <= 128 && !tag.is_empty() && !tag.contains(char::is_whitespace)) {
        Some((tag, message)) => {
            put_program(tag, &mut event);
            put_who(message, &mut event);
            event.insert("message".into(), message.into());
        }
        None => {
            event.insert("message".into(), rest.into());
        }
    }
    Some(event)
}

/// Whether a line looks like one of the log: a priority, a month or a year.
pub(super) fn outline(line: &[u8]) -> bool {
    match line.first() {
        Some(b'<') => true,
        Some(b'0'..=b'9') => line.get(4) == Some(&b'-') && line.get(10) == Some(&b'T'),
        Some(b'A'..=b'Z') => line.get(3) == Some(&b' ') && line.get(9) == Some(&b':') && line.get(12) == Some(&b':'),
        _ => false,
    }
}

fn put_program(tag: &str, event: &mut Map<String, Value>) {
    match tag.strip_suffix(']').and_then(|tag| tag.rsplit_once('[')) {
        Some((program, pid)) => {
            event.insert("program".into(), program.into());
            event.insert("pid".into(), pid.into());
        }
        None => {
            event.insert("program".into(), tag.into());
        }
    }
}

/// Who, and from where, as sshd and sudo say it in words: `Failed password for invalid user eve from 1.2.3.4 port 5 ssh2`.
fn put_who(message: &str, event: &mut Map<String, Value>) {
    let program = event.get("program").and_then(Value::as_str).unwrap_or_default();
    let word = |text: &str| text.split(' ').next().filter(|word| !word.is_empty()).map(str::to_owned);
    let (user, from) = if program.starts_with("sshd") {
        let Some((before, after)) = message.rsplit_once(" from ") else { return };
        let named = before.split_once(" for ").map(|(_, user)| user).or_else(|| before.strip_prefix("Invalid user "));
        (named.and_then(|user| word(user.strip_prefix("invalid user ").unwrap_or(user))), word(after))
    } else if program == "sudo" {
        (message.split_once(" : ").and_then(|(user, _)| word(user.trim_start())), None)
    } else {
        return;
    };
    // A user may be called anything: only what looks like an address is taken for one.
    let from = from.filter(|from| from.parse::<std::net::IpAddr>().is_ok());
    event.extend(user.map(|user| ("user".to_owned(), Value::from(user))));
    event.extend(from.map(|from| ("src_ip".to_owned(), Value::from(from))));
}

fn priority(line: &str) -> (Option<u64>, &str) {
    let split = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    match split.and_then(|(number, rest)| Some((number.parse().ok().filter(|n| *n < 192)?, rest))) {
        Some((number, rest)) => (Some(number), rest),
        None => (None, line),
    }
}

/// The time at the start and what follows the space after it.
fn timestamp(text: &str) -> Option<(&str, &str)> {
    if MONTHS.iter().any(|month| text.starts_with(month)) {
        let (time, rest) = (text.get(..15)?, text.get(15..)?);
        let bytes = time.as_bytes();
        let fits = bytes[3] == b' ' && bytes[6] == b' ' && bytes[9] == b':' && bytes[12] == b':';
        return fits.then(|| rest.strip_prefix(' ').map(|rest| (time, rest)))?;
    }
    let (time, rest) = text.split_once(' ')?;
    let bytes = time.as_bytes();
    let fits = bytes.len() >= 19 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[13] == b':';
    fits.then_some((time, rest))
}

fn rfc5424(text: &str, mut event: Map<String, Value>) -> Option<Map<String, Value>> {
    let mut rest = text;
    for name in ["time", "host", "program", "pid", "msgid"] {
        let (word, after) = rest.split_once(' ')?;
        if word != "-" {
            event.insert(name.into(), word.into());
        }
        rest = after;
    }
    let (data, message) = if let Some(after) = rest.strip_prefix('-') { ("", after) } else { structured(rest)? };
    if !data.is_empty() {
        event.insert("structured_data".into(), data.into());
    }
    let message = message.trim_start_matches(' ').trim_start_matches('\u{feff}');
    event.insert("message".into(), message.into());
    Some(event)
}

/// The structured data (`[id key="value"]..`) and what follows it.
fn structured(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with('[') {
        return None;
    }
    let (mut quoted, mut escaped) = (false, false);
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b']' if !quoted && bytes.get(at + 1) != Some(&b'[') => return Some((&text[..=at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_forms_are_read() {
        let event = parse("Mar 27 13:06:56 ip-10 sshd[1291]: Accepted password for root").unwrap();
        assert_eq!((&event["program"], &event["pid"]), (&"sshd".into(), &"1291".into()));
        assert_eq!(event["message"], "Accepted password for root");
        let event = parse("2026-11-24T01:02:03.5+00:00 web sudo: alice : TTY=pts/0").unwrap();
        assert_eq!((&event["host"], &event["program"]), (&"web".into(), &"sudo".into()));
        let line = "<165>1 2003-10-11T22:14:15.003Z host app - ID47 [a k=\"]\"][b] text here";
        let event = parse(line).unwrap();
        assert_eq!((&event["severity"], &event["structured_data"]), (&5.into(), &"[a k=\"]\"][b]".into()));
        assert_eq!(event["message"], "text here");
        let line = "Mar 27 13:06:56 h sshd[1]: Failed password for invalid user eve from 1.2.3.4 port 5 ssh2";
        let event = parse(line).unwrap();
        assert_eq!((&event["user"], &event["src_ip"]), (&"eve".into(), &"1.2.3.4".into()));
        let event = parse("Mar 27 13:06:56 h sudo:    bob : TTY=pts/0 ; USER=root ; COMMAND=/bin/ls").unwrap();
        assert_eq!((&event["user"], event.get("src_ip")), (&"bob".into(), None));
        let event = parse("Mar 27 13:06:56 h sshd[1]: Invalid user from from from ::1 port 5").unwrap();
        assert_eq!((&event["user"], &event["src_ip"]), (&"from".into(), &"::1".into()));
        assert!(parse("Marvellous news for everybody").is_none());
        assert!(parse("Mar 27 13:06:5\u{e9} x y: z").is_none());
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(<[0-9]{1,3}>|1 |Mar 27 |13:06:56 |\\[|\\]|\"|\\\\|: |\u{e9}|[a-z]+ ){0,12}") {
            let _ = parse(&line);
        }
    }
}
