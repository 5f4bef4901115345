//! RFC 3164 (`Mar 27 13:06:56 host prog[1]: text`), its form with an ISO 8601 time, and RFC 5424.

use serde_json::{Map, Value};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Parses one line.
pub(super) fn parse(line: &str) -> Option<Map<String, Value>> {
    let (priority, rest) = priority(line);
    let mut event = Map::with_capacity(10);
    if let Some(priority) = priority {
        event.insert("facility".into(), (priority / 8).into());
        event.insert("severity".into(), (priority % 8).into());
        if let Some(rest) = rest.strip_prefix("1 ") {
            return rfc5424(rest, event);
        }
    }
    let (time, rest) = timestamp(rest)?;
    event.insert("time".into(), time.into());
    // FreeBSD can say facility and level before the host.
    let levelled = rest
        .split_once(' ')
        .filter(|(first, after)| is_level(first) && after.split(' ').next().is_some_and(|word| !word.ends_with(':')));
    let rest = levelled.map_or(rest, |(_, after)| after);
    let (first, after) = rest.split_once(' ')?;
    // Some leave the host out, and some say facility and level before the program.
    let rest = if has_pid(first) || is_level(first) {
        rest
    } else if first.is_empty() || first.ends_with(':') {
        return None;
    } else {
        event.insert("host".into(), first.into());
        after
    };
    let rest = rest.split_once(' ').filter(|(word, _)| is_level(word)).map_or(rest, |(_, rest)| rest);
    // Other logs have a date and a space too: only a process tells.
    if time.as_bytes()[10] == b' ' && time.as_bytes()[4] == b'-' && !rest.split(' ').next().is_some_and(has_pid) {
        return None;
    }
    let tag = rest.split_once(": ").or_else(|| rest.strip_suffix(':').map(|tag| (tag, "")));
    match tag.filter(|(tag, _)| tag.len() <= 128 && !tag.is_empty() && !tag.contains(char::is_whitespace)) {
        Some((tag, message)) => {
            put_program(tag, &mut event);
            put_who(tag.split('[').next().unwrap_or(tag), message, &mut event);
            event.insert("message".into(), message.into());
        }
        None => {
            event.insert("message".into(), rest.into());
        }
    }
    Some(event)
}

/// Who, and from where, as the message of an event says it that names the program in a field of its own: journald's JSON, what
/// Filebeat and Fluentd make of syslog.
pub(super) fn put_who_of_fields(event: &mut Map<String, Value>) {
    const PROGRAMS: [&str; 6] = ["SYSLOG_IDENTIFIER", "_COMM", "program", "programname", "ident", "appname"];
    const MESSAGES: [&str; 3] = ["MESSAGE", "message", "msg"];
    let text = |names: &[&str]| names.iter().find_map(|name| event.get(*name).and_then(Value::as_str));
    let Some(program) = text(&PROGRAMS) else { return };
    if let (program, Some(message)) = (program.to_owned(), text(&MESSAGES).map(str::to_owned)) {
        put_who(&program, &message, event);
    }
}

/// Whether a word is `program[123]:`.
fn has_pid(word: &str) -> bool {
    let pid = word.strip_suffix("]:").and_then(|tag| tag.rsplit_once('[')).map(|(_, pid)| pid);
    pid.is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a word is facility and level: `auth.info`, `<auth.info>`.
fn is_level(word: &str) -> bool {
    const FACILITIES: [&str; 12] =
        ["auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp"];
    const LEVELS: [&str; 11] =
        ["emerg", "panic", "alert", "crit", "err", "error", "warning", "warn", "notice", "info", "debug"];
    let known = |name: &str| FACILITIES.contains(&name) || name.strip_prefix("local").is_some_and(|n| n.len() == 1);
    let bare = word.strip_prefix('<').and_then(|word| word.strip_suffix('>'));
    bare.unwrap_or(word).split_once('.').is_some_and(|(name, level)| known(name) && LEVELS.contains(&level))
}

/// Whether a line looks like one of the log: a priority, or a time in one of the forms of [`timestamp`].
pub(super) fn outline(line: &[u8]) -> bool {
    let is = |at: usize, byte: u8| line.get(at) == Some(&byte);
    let clock = |at: usize| is(at, b':') && is(at + 3, b':');
    match line.first() {
        Some(b'<') => true,
        Some(b'0'..=b'9') => is(4, b'-') && (is(10, b'T') || is(10, b' ')) || is(4, b' ') && clock(14),
        Some(b'A'..=b'Z') => is(3, b' ') && (clock(9) || is(11, b' ') && clock(14) || is(7, b' ') && clock(13)),
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

/// Who, and from where, as sshd, dropbear and sudo say it in words. What the event says of them by itself stays.
pub(super) fn put_who(program: &str, message: &str, event: &mut Map<String, Value>) {
    let (user, from) = if program.starts_with("sshd") {
        sshd_who(message)
    } else if program == "dropbear" {
        dropbear_who(message)
    } else if program == "sudo" {
        (message.split_once(" : ").map_or("", |(user, _)| user.trim_start()), "")
    } else {
        return;
    };
    let word = |text: &str| text.split(' ').next().filter(|word| !word.is_empty()).map(str::to_owned);
    // A user may be called anything: only what looks like an address is taken for one.
    let from = word(from).filter(|from| from.parse::<std::net::IpAddr>().is_ok());
    for (name, value) in [("user", word(user)), ("src_ip", from)] {
        if let Some(value) = value {
            event.entry(name).or_insert_with(|| value.into());
        }
    }
}

/// The user between quotes and the address before the port: `Bad password attempt for 'root' from 1.2.3.4:5`.
fn dropbear_who(message: &str) -> (&str, &str) {
    let Some((before, after)) = message.rsplit_once(" from ") else { return ("", "") };
    let user = before.split_once('\'').and_then(|(_, rest)| rest.split_once('\'')).map_or("", |(user, _)| user);
    (user, after.rsplit_once(':').map_or(after, |(address, _)| address).trim_matches(['[', ']']))
}

/// What begins with the user and with the address: `Failed password for invalid user eve from 1.2.3.4 port 5 ssh2`,
/// `Connection closed by authenticating user eve 1.2.3.4 port 5 [preauth]`, `authentication failure; .. rhost=1.2.3.4  user=eve`.
fn sshd_who(message: &str) -> (&str, &str) {
    // `drop connection #3 from [1.2.3.4]:5 on [192.0.2.7]:22 past MaxStartups`
    if let Some((_, after)) = message.strip_prefix("drop connection #").and_then(|rest| rest.split_once(" from [")) {
        return ("", after.split_once(']').map_or("", |(address, _)| address));
    }
    let message = message.strip_prefix("Disconnected from ").unwrap_or(message);
    if let Some((before, after)) = message.rsplit_once(" from ") {
        let named = before.split_once(" for ").map(|(_, user)| user);
        let named = named.or_else(|| before.strip_prefix("Invalid user ")).or_else(|| before.strip_prefix("User "));
        let named = named.unwrap_or_default();
        let unknown = ["invalid user ", "illegal user "].into_iter().find_map(|words| named.strip_prefix(words));
        return (unknown.unwrap_or(named), after);
    }
    if let Some((_, after)) = message.split_once(" rhost=") {
        return (after.split_once(" user=").map_or("", |(_, user)| user), after);
    }
    let Some((before, _)) = message.rsplit_once(" port ") else { return ("", "") };
    let (before, from) = before.rsplit_once(' ').unwrap_or(("", before));
    (before.split_once("user ").map_or("", |(_, user)| user), from)
}

fn priority(line: &str) -> (Option<u64>, &str) {
    let split = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    match split.and_then(|(number, rest)| Some((number.parse().ok().filter(|n| *n < 192)?, rest))) {
        Some((number, rest)) => (Some(number), rest),
        None => (None, line),
    }
}

/// The time at the start and what follows the space after it: `Nov 23 04:05:06` (perhaps with a fraction, or the year behind it or
/// before the time of day, or a weekday first), `2026 Nov 23 04:05:06`, or ISO 8601.
pub(super) fn timestamp(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let month = |from: usize| text.get(from..).is_some_and(|rest| MONTHS.iter().any(|month| rest.starts_with(month)));
    let is = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    let clock = |at: usize| is(at - 3, b' ') && is(at, b':') && is(at + 3, b':');
    let digits = |from: usize| bytes.get(from..from + 4).is_some_and(|year| year.iter().all(u8::is_ascii_digit));
    let day = |text: &str| matches!(text.get(..4), Some("Mon " | "Tue " | "Wed " | "Thu " | "Fri " | "Sat " | "Sun "));
    let end = if day(text) && month(4) && clock(13) {
        20 + if digits(20) { 4 } else { return timestamp(&text[4..]) }
    } else if month(0) && is(3, b' ') && clock(9) {
        let fraction = if is(15, b'.') { bytes[16..].iter().take_while(|b| b.is_ascii_digit()).count() + 1 } else { 0 };
        if digits(16) && is(20, b' ') { 20 } else { 15 + fraction }
    } else if (month(0) && digits(7) || digits(0) && month(5)) && clock(14) {
        20
    } else {
        let shaped = text.len() >= 19 && is(4, b'-') && (is(10, b'T') || is(10, b' ')) && is(13, b':');
        11 + text.get(11..)?.find(' ').filter(|_| shaped)?
    };
    Some((text.get(..end)?, text.get(end..)?.strip_prefix(' ')?))
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
    let program = event.get("program").and_then(Value::as_str).unwrap_or_default().to_owned();
    put_who(&program, message, &mut event);
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

    #[test]
    fn times_of_every_writer_are_read() {
        for (before, time, host) in [
            ("Nov 23 04:05:06 web sshd[7]: ", "Nov 23 04:05:06", Some("web")),
            ("Nov  3 04:05:06.123 web sshd[7]: ", "Nov  3 04:05:06.123", Some("web")),
            ("<38>Nov 23 2026 04:05:06 web sshd[7]: ", "Nov 23 2026 04:05:06", Some("web")),
            ("Nov 23 04:05:06 2026 web sshd[7]: ", "Nov 23 04:05:06 2026", Some("web")),
            ("2026 Nov 23 04:05:06 web sshd[7]: ", "2026 Nov 23 04:05:06", Some("web")),
            ("Mon Nov 23 04:05:06 2026 auth.info sshd[7]: ", "Mon Nov 23 04:05:06 2026", None),
            ("2026-11-23 04:05:06.5 web sshd[7]: ", "2026-11-23 04:05:06.5", Some("web")),
            ("2026-11-23T04:05:06+0100 web sshd[7]: ", "2026-11-23T04:05:06+0100", Some("web")),
            ("Nov 23 04:05:06 sshd[7]: ", "Nov 23 04:05:06", None),
            ("Nov 23 04:05:06 web authpriv.info sshd[7]: ", "Nov 23 04:05:06", Some("web")),
            ("Nov 23 04:05:06 <auth.info> web sshd[7]: ", "Nov 23 04:05:06", Some("web")),
            ("Nov 23 04:05:06 web.info sshd[7]: ", "Nov 23 04:05:06", Some("web.info")),
        ] {
            let line = format!("{before}Accepted password for eve from 1.2.3.4 port 5 ssh2");
            let event = parse(&line).unwrap_or_else(|| panic!("{line}"));
            assert!(outline(line.as_bytes()), "{line}");
            assert_eq!((&event["time"], event.get("host")), (&time.into(), host.map(Value::from).as_ref()), "{line}");
            assert_eq!((&event["program"], &event["src_ip"]), (&"sshd".into(), &"1.2.3.4".into()), "{line}");
            let written = "2026-12-01T00:00:00Z".parse().unwrap();
            assert!(super::super::time::of_event(&event, written).is_some(), "{line}");
        }
        for line in
            ["2026-11-23 04:05:06 INFO com.acme.Shop: started", "Nov 23 04:05:06 ERROR: x", "Nov 23", "2026 Nov"]
        {
            assert!(parse(line).is_none(), "{line}");
        }
    }

    #[test]
    fn whom_sshd_refused_is_known_by_each_of_its_messages() {
        for (message, user) in [
            ("Failed none for invalid user eve from 1.2.3.4 port 5 ssh2", "eve"),
            ("error: maximum authentication attempts exceeded for eve from 1.2.3.4 port 5 ssh2 [preauth]", "eve"),
            ("message repeated 5 times: [ Failed password for eve from 1.2.3.4 port 5 ssh2]", "eve"),
            ("error: PAM: Authentication failure for illegal user eve from 1.2.3.4", "eve"),
            ("User eve from 1.2.3.4 not allowed because not listed in AllowUsers", "eve"),
            ("Connection closed by authenticating user eve 1.2.3.4 port 5 [preauth]", "eve"),
            ("Connection reset by invalid user 6.6.6.6 port 7 1.2.3.4 port 5 [preauth]", "6.6.6.6"),
            ("Disconnected from user eve 1.2.3.4 port 5", "eve"),
            ("error: PAM: Authentication error for illegal user eve from 1.2.3.4", "eve"),
            ("Disconnecting authenticating user eve 1.2.3.4 port 5: Too many authentication failures [preauth]", "eve"),
            (
                "pam_unix(sshd:auth): authentication failure; logname= uid=0 tty=ssh ruser= rhost=1.2.3.4  user=eve",
                "eve",
            ),
        ] {
            let event = parse(&format!("Mar 27 13:06:56 h sshd-session[1]: {message}")).unwrap();
            assert_eq!((&event["user"], &event["src_ip"]), (&user.into(), &"1.2.3.4".into()), "{message}");
        }
        let event = parse("Mar 27 13:06:56 h sshd[1]: Disconnected from 1.2.3.4 port 5").unwrap();
        assert_eq!((event.get("user"), &event["src_ip"]), (None, &"1.2.3.4".into()));
        let of = |line: &str| {
            let event = parse(line).unwrap();
            [event.get("user"), event.get("src_ip")].map(|value| value.and_then(Value::as_str).map(str::to_owned))
        };
        let eve = [Some("eve".to_owned()), Some("1.2.3.4".to_owned())];
        assert_eq!(of("<38>1 2026-11-24T01:02:03Z h sshd 7 - - Failed password for eve from 1.2.3.4 port 5 ssh2"), eve);
        assert_eq!(of("Mar 27 13:06:56 h dropbear[1]: Bad password attempt for 'eve' from 1.2.3.4:5"), eve);
        let refused = "Mar 27 13:06:56 h dropbear[1]: Login attempt for nonexistent user from 1.2.3.4:5";
        assert_eq!(of(refused), [None, Some("1.2.3.4".to_owned())]);
        let dropped =
            "Mar 27 13:06:56 h sshd[1]: drop connection #3 from [1.2.3.4]:5 on [192.0.2.7]:22 past MaxStartups";
        assert_eq!(of(dropped), [None, Some("1.2.3.4".to_owned())]);
        let mut entry = Map::from_iter([("SYSLOG_IDENTIFIER".to_owned(), Value::from("sshd"))]);
        entry.insert("MESSAGE".to_owned(), "Accepted password for eve from 1.2.3.4 port 5 ssh2".into());
        put_who_of_fields(&mut entry);
        assert_eq!((&entry["user"], &entry["src_ip"]), (&"eve".into(), &"1.2.3.4".into()));
        let event = parse("Mar 27 13:06:56 h sshd[1]: Server listening on 0.0.0.0 port 22.").unwrap();
        assert_eq!(event.get("user"), None);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(<[0-9]{1,3}>|1 |Mon |Mar 27 |2026 |2026-03-27|13:06:56 |.5 |\\[|\\]|\"|\\\\|: |\u{e9}|[a-z]+ ){0,12}") {
            let _ = parse(&line);
        }
    }
}
