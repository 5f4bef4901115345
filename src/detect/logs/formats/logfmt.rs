//! `key=value key="quoted value"`, as Go services and auditd write it.

use std::ops::Range;

use serde_json::{Map, Value};

/// Most pairs of one line.
const MAX_PAIRS: usize = 2_000;

/// Parses one line; text between the pairs is kept as `message` where no pair has that name, with the white space that stands
/// in it: a text that a rule looks for there stands in the line too. A pair within it is a line break.
pub(super) fn parse(line: &str) -> Option<Map<String, Value>> {
    let mut event = Map::new();
    let mut free: Vec<Range<usize>> = Vec::new();
    let mut after_pair = true;
    let line = line.trim();
    let mut rest = line;
    while !rest.is_empty() && event.len() < MAX_PAIRS {
        let end = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        if let Some(after) = after.strip_prefix('=').filter(|_| is_key(key)) {
            let (value, after) = value(after);
            event.insert(key.to_owned(), value.into());
            rest = after.trim_start();
            after_pair = true;
        } else {
            let start = line.len() - rest.len();
            let end = start + rest.find(char::is_whitespace).unwrap_or(rest.len());
            match free.last_mut().filter(|_| !after_pair) {
                Some(before) => before.end = end,
                None => free.push(start..end),
            }
            rest = line[end..].trim_start();
            after_pair = false;
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
        let parts: Vec<&str> = free.into_iter().map(|part| &line[part]).collect();
        event.insert("message".into(), parts.join("\n").into());
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
    use crate::detect::logs::formats::Format;
    use crate::detect::logs::{Ruleset, ScanOptions, scan_reader};

    #[test]
    fn pairs_become_fields() {
        let event =
            parse(r#"time=2026-11-24T01:02:03Z level=warn msg="login \"failed\"" user=eve empty="" n=5"#).unwrap();
        assert_eq!((&event["msg"], &event["user"]), (&"login \"failed\"".into(), &"eve".into()));
        assert_eq!((&event["empty"], &event["n"]), (&"".into(), &"5".into()));
        let audit = parse(r#"type=EXECVE msg=audit(1364481363.243:24287): argc=2 a0="cat" a1="/etc/shadow""#).unwrap();
        assert_eq!((&audit["a0"], &audit["time"]), (&"cat".into(), &"1364481363.243".into()));
        assert!(parse("no pairs here").is_none());
        let free = parse("two  words\tmore a=b  at the end c=d").unwrap();
        assert_eq!(free["message"], "two  words\tmore\nat the end");
    }

    #[test]
    fn the_filter_of_raw_bytes_sees_the_text_between_pairs() {
        let rule = "title: r\nid: r\ndetection:\n  s:\n    message|contains: 'two words'\n  condition: s\n";
        let rules = Ruleset::from_texts([("r.yml", rule)]);
        let found = |line: &str, prefilter: bool| {
            let options = ScanOptions { prefilter, ..ScanOptions::default() };
            let text = format!("level=info a=b c=d e=f\n{line}\n");
            let coverage = scan_reader(&rules, "in.log", text.as_bytes(), &options, &mut |_| ());
            assert_eq!(coverage.format, Some(Format::Logfmt), "{line}");
            coverage.findings
        };
        for (line, want) in [
            ("level=info a=b c=d e=f two words", 1),
            ("level=info a=b c=d e=f two\twords", 0),
            ("level=info a=b c=d e=f two  words", 0),
            ("level=info a=b c=d two e=f words", 0),
        ] {
            assert_eq!((found(line, true), found(line, false)), (want, want), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(a=|b|\"|'|\\\\|=| |\u{e9}|\\n){0,30}") {
            let _ = parse(&line);
        }
    }
}
