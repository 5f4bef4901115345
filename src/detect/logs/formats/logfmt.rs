//! `key=value key="quoted value"`, as Go services and auditd write it.

use serde_json::{Map, Value};

/// Most pairs of one line.
const MAX_PAIRS: usize = 2_000;

/// Parses one line; text between the pairs is kept as `message` where no pair has that name.
pub(super) fn parse(line: &str) -> Option<Map<String, Value>> {
    let mut event = Map::new();
    let mut free: Vec<&str> = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() && event.len() < MAX_PAIRS {
        let end = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        if let Some(after) = after.strip_prefix('=').filter(|_| is_key(key)) {
            let (value, after) = value(after);
            event.insert(key.to_owned(), value.into());
            rest = after.trim_start();
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            free.push(&rest[..end]);
            rest = rest[end..].trim_start();
        }
    }
    if event.is_empty() {
        return None;
    }
    // auditd: `type=EXECVE msg=audit(1364481363.243:24287): ..`
    let audit = event.get("msg").and_then(Value::as_str).and_then(|msg| msg.strip_prefix("audit("));
    if let Some((seconds, _)) = audit.and_then(|stamp| stamp.split_once(':')) {
        let time = Value::from(seconds.to_owned());
        event.entry("time").or_insert(time);
    }
    if !free.is_empty() && !event.contains_key("message") && !event.contains_key("msg") {
        event.insert("message".into(), free.join(" ").into());
    }
    Some(event)
}

/// How many of a line's words are pairs, and how many words there are.
pub(super) fn pairs(line: &str) -> (usize, usize) {
    let words = line.split_whitespace();
    let is_pair = |word: &&str| word.split_once('=').is_some_and(|(key, _)| is_key(key));
    (words.clone().filter(is_pair).count(), words.count())
}

fn is_key(key: &str) -> bool {
    key.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'@'))
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'@' | b'/'))
}

/// The value at the start of a text, and what follows.
fn value(text: &str) -> (String, &str) {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut out = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            'n' if escaped => out.push('\n'),
            't' if escaped => out.push('\t'),
            '"' | '\'' | '\\' if escaped => out.push(c),
            _ if escaped => out.extend(['\\', c]),
            '\\' => {
                escaped = true;
                continue;
            }
            c if c == quote => return (out, &text[at + 1..]),
            c => out.push(c),
        }
        escaped = false;
    }
    (out, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_become_fields() {
        let event =
            parse(r#"time=2026-11-24T01:02:03Z level=warn msg="login \"failed\"" user=eve empty="" n=5"#).unwrap();
        assert_eq!((&event["msg"], &event["user"]), (&"login \"failed\"".into(), &"eve".into()));
        assert_eq!((&event["empty"], &event["n"]), (&"".into(), &"5".into()));
        let audit = parse(r#"type=EXECVE msg=audit(1364481363.243:24287): argc=2 a0="cat" a1="/etc/shadow""#).unwrap();
        assert_eq!((&audit["a0"], &audit["time"]), (&"cat".into(), &"1364481363.243".into()));
        assert!(parse("no pairs here").is_none());
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(a=|b|\"|'|\\\\|=| |\u{e9}|\\n){0,30}") {
            let _ = parse(&line);
        }
    }
}
