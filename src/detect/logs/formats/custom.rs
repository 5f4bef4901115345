//! An access log's own form: nginx's `log_format` (`$remote_addr ..`) or Apache's `LogFormat` (`%h %l ..`).

use std::str::FromStr;

use serde_json::{Map, Value};

use super::access;

/// Most variables of a form.
const MAX_PARTS: usize = 200;

/// A form: what stands before each variable, the variable's field, and what stands at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFormat {
    parts: Vec<(String, String)>,
    end: String,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut before = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            let (name, after) = match c {
                '$' => nginx(rest)?,
                '%' if rest.starts_with('%') => {
                    before.push('%');
                    rest = &rest[1..];
                    continue;
                }
                '%' => apache(rest)?,
                '\\' if rest.starts_with('"') => continue,
                c => {
                    before.push(c);
                    continue;
                }
            };
            if before.is_empty() && !parts.is_empty() {
                return Err(format!("`{text}`: two variables stand side by side, so their values can't be told apart"));
            }
            parts.push((std::mem::take(&mut before), name));
            rest = after;
        }
        if parts.is_empty() || parts.len() > MAX_PARTS {
            return Err(format!("`{text}` is no log_format: 1 to {MAX_PARTS} variables are expected"));
        }
        Ok(Self { parts, end: before })
    }
}

fn nginx(text: &str) -> Result<(String, &str), String> {
    let braced = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let (name, rest) = braced.unwrap_or_else(|| {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        text.split_at(end)
    });
    if name.is_empty() {
        return Err("a `$` in the log_format is followed by no name".into());
    }
    let field = match name {
        "remote_addr" => "c-ip",
        "remote_user" => "cs-username",
        "time_local" | "time_iso8601" | "msec" => "time",
        "request" => "request",
        "request_uri" => "c-uri",
        "uri" => "cs-uri-stem",
        "args" | "query_string" => "cs-uri-query",
        "request_method" => "cs-method",
        "status" => "sc-status",
        "body_bytes_sent" | "bytes_sent" => "sc-bytes",
        "http_referer" => "cs-referer",
        "http_user_agent" => "cs-user-agent",
        "http_host" | "host" => "cs-host",
        "http_cookie" => "cs-cookie",
        "http_x_forwarded_for" => "x-forwarded-for",
        other => other,
    };
    Ok((field.to_owned(), rest))
}

fn apache(text: &str) -> Result<(String, &str), String> {
    let text = text.trim_start_matches(['<', '>', '!', ',']).trim_start_matches(|c: char| c.is_ascii_digit());
    let text = text.trim_start_matches(['<', '>']);
    if let Some((name, rest)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        let kind = rest.chars().next().ok_or("a `%{..}` in the log_format has no letter")?;
        let field = match (name.to_ascii_lowercase().as_str(), kind) {
            ("referer", _) => "cs-referer".to_owned(),
            ("user-agent", _) => "cs-user-agent".to_owned(),
            ("host", _) => "cs-host".to_owned(),
            ("cookie", _) => "cs-cookie".to_owned(),
            (_, 't') => "time".to_owned(),
            (other, _) => other.to_owned(),
        };
        return Ok((field, &rest[kind.len_utf8()..]));
    }
    let letter = text.chars().next().ok_or("a `%` ends the log_format")?;
    let field = match letter {
        'h' | 'a' => "c-ip",
        'l' => "ident",
        'u' => "cs-username",
        't' => "time",
        'r' => "request",
        's' => "sc-status",
        'b' | 'B' | 'O' => "sc-bytes",
        'U' => "cs-uri-stem",
        'q' => "cs-uri-query",
        'm' => "cs-method",
        'v' | 'V' => "cs-host",
        'D' | 'T' => "time-taken",
        other => return Ok((format!("%{other}"), &text[other.len_utf8()..])),
    };
    Ok((field.to_owned(), &text[1..]))
}

impl LogFormat {
    /// Parses one line.
    pub(super) fn parse(&self, line: &str) -> Option<Map<String, Value>> {
        let mut event = Map::new();
        let mut rest = line;
        for (at, (before, name)) in self.parts.iter().enumerate() {
            rest = rest.strip_prefix(before.as_str())?;
            let stop = self.parts.get(at + 1).map_or(self.end.as_str(), |(before, _)| before);
            let end = if stop.is_empty() { rest.len() } else { value_end(rest, stop)? };
            let (value, after) = rest.split_at(end);
            rest = after;
            put(name, value, &mut event);
        }
        rest.starts_with(self.end.as_str()).then_some(event)
    }
}

/// Where the value ends before `stop`; an escaped quote doesn't end it, nor does white space inside brackets.
fn value_end(text: &str, stop: &str) -> Option<usize> {
    let from = if text.starts_with('[') { text.find(']')? } else { 0 };
    text[from..].match_indices(stop).map(|(at, _)| from + at).find(|at| {
        let escapes = text[..*at].bytes().rev().take_while(|b| *b == b'\\').count();
        !stop.starts_with('"') || escapes % 2 == 0
    })
}

fn put(name: &str, value: &str, event: &mut Map<String, Value>) {
    match name {
        _ if value.is_empty() || value == "-" => {}
        "request" => access::request_fields(value, event),
        "time" => {
            event.insert(name.into(), value.trim_start_matches('[').trim_end_matches(']').into());
        }
        "sc-status" | "sc-bytes" => {
            let number = value.parse::<u64>().map_or_else(|_| value.into(), Value::from);
            event.insert(name.into(), number);
        }
        "c-uri" => {
            event.insert(name.into(), value.into());
            if let Some((stem, query)) = value.split_once('?') {
                event.insert("cs-uri-stem".into(), stem.into());
                event.insert("cs-uri-query".into(), query.into());
            }
        }
        _ => {
            event.insert(name.into(), value.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nginx_and_apache_forms_are_read() {
        let form: LogFormat =
            r#"$host $remote_addr [$time_local] "$request" $status $request_time "$http_user_agent""#.parse().unwrap();
        let event = form
            .parse(r#"shop.example 1.2.3.4 [24/Nov/2026:01:02:03 +0000] "GET /a?b=1 HTTP/1.1" 200 0.004 "x \"y\"""#)
            .unwrap();
        for (field, want) in [
            ("cs-host", Value::from("shop.example")),
            ("c-ip", "1.2.3.4".into()),
            ("time", "24/Nov/2026:01:02:03 +0000".into()),
            ("cs-uri-query", "b=1".into()),
            ("sc-status", 200.into()),
            ("request_time", "0.004".into()),
            ("cs-user-agent", r#"x \"y\""#.into()),
        ] {
            assert_eq!(event.get(field), Some(&want), "{field}");
        }
        let form: LogFormat = r#"%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\""#.parse().unwrap();
        let event = form
            .parse(r#"shop:443 1.2.3.4 - bob [24/Nov/2026:01:02:03 +0000] "POST /x HTTP/2.0" 403 12 "-" "curl""#)
            .unwrap();
        assert_eq!((&event["cs-username"], &event["time"]), (&"bob".into(), &"24/Nov/2026:01:02:03 +0000".into()));
        assert_eq!((&event["sc-status"], &event["cs-user-agent"]), (&403.into(), &"curl".into()));
        assert!("$a$b".parse::<LogFormat>().is_err() && "plain".parse::<LogFormat>().is_err());
    }

    proptest! {
        #[test]
        fn no_form_and_no_line_panics(form in "(\\$|\\{|\\}|%|>|a|\"|\\\\| |\u{e9}){0,12}", line in "[a\"\\\\ \\[\\]]{0,20}") {
            if let Ok(form) = form.parse::<LogFormat>() {
                let _ = form.parse(&line);
            }
        }
    }
}
