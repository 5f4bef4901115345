use serde::de::IgnoredAny;

use super::{Format, access, syslog};

/// Lines that are looked at.
const LINES: usize = 20;

/// Finds the format from the first bytes of a stream; `whole` says that they are all of it.
pub fn detect(head: &[u8], whole: bool) -> Format {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = String::from_utf8_lossy(head);
    let mut lines: Vec<&str> = text.split('\n').collect();
    if !whole && lines.len() > 1 {
        lines.pop();
    }
    let lines: Vec<&str> = lines.into_iter().map(str::trim).filter(|line| !line.is_empty()).take(LINES).collect();
    let Some(first) = lines.first() else { return Format::Text };
    if first.starts_with('{') || first.starts_with('[') {
        let objects = lines.iter().filter(|line| is_object(line)).count();
        let wrapped = first.starts_with('{') && starts_wrapper(first);
        if first.starts_with('{') && !wrapped && (objects > 0 || (!whole && lines.len() == 1)) {
            return Format::JsonLines;
        }
        let next = lines.get(1).map_or("", |line| line);
        let json_array =
            first.starts_with('[') && matches!(first[1..].trim_start().chars().next(), None | Some('{' | ']'));
        let opened = first.strip_prefix('{').map(str::trim_start);
        let pretty = opened.is_some_and(|rest| rest.is_empty() || rest.starts_with('"') || next.starts_with('"'));
        if json_array || pretty || wrapped {
            return Format::JsonDocument;
        }
    }
    let most = |fits: &dyn Fn(&str) -> bool| lines.iter().filter(|line| fits(line)).count() * 2 > lines.len();
    if most(&|line| access::parse(line).is_some()) {
        Format::Access
    } else if most(&|line| syslog::parse(line).is_some()) {
        Format::Syslog
    } else if most(&is_object) {
        Format::JsonLines
    } else {
        Format::Text
    }
}

fn is_object(line: &str) -> bool {
    line.starts_with('{') && serde_json::from_str::<IgnoredAny>(line).is_ok()
}

/// Whether the object holds an array of records at its first level, near its start.
fn starts_wrapper(line: &str) -> bool {
    let compact: String = line.chars().take(400).filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    super::json::WRAPPERS.iter().any(|key| {
        let at = compact.find(&format!("\"{key}\":["));
        at.is_some_and(|at| compact[..at].matches('{').count() == compact[..at].matches('}').count() + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_known_by_its_content() {
        for (text, want) in [
            ("{\"a\":1}\n{\"a\":2}\n", Format::JsonLines),
            ("{\"a\":1}", Format::JsonLines),
            ("[{\"a\":1}]", Format::JsonDocument),
            ("[\n  {\n \"a\": 1\n}\n]", Format::JsonDocument),
            ("{\n  \"a\": 1\n}\n", Format::JsonDocument),
            ("{\"Records\":[{\"a\":1}]}\n", Format::JsonDocument),
            ("{\"Records\":[{\"a\":{\"b\":{}}}]}", Format::JsonDocument),
            ("{\"Records\": [\n{\"a\":1}\n]}\n", Format::JsonDocument),
            ("1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5\n", Format::Access),
            ("Mar 27 13:06:56 host sshd[1291]: Server listening\n", Format::Syslog),
            ("<34>1 2003-10-11T22:14:15.003Z host su - ID47 - failed\n", Format::Syslog),
            ("2026-11-24 01:02:03 UTC [5] LOG:  statement: select 1\n", Format::Text),
            ("[error] something\n", Format::Text),
            ("broken {\n{\"a\":1}\n{\"a\":1}\n", Format::JsonLines),
            ("", Format::Text),
        ] {
            assert_eq!(detect(text.as_bytes(), true), want, "{text}");
        }
    }
}
