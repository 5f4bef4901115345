//! Docker's `json-file` log driver: `{"log":"..\n","stream":"stdout","time":".."}`; the line inside can be of any format.

use serde_json::{Map, Value};

use super::{Format, Parse, access, postgres, syslog, text_event};

/// Parses one line.
pub(super) fn parse(record: &str) -> Option<(Map<String, Value>, Format)> {
    let mut outer: Map<String, Value> = serde_json::from_str(record).ok()?;
    let log = outer.remove("log")?;
    let line = log.as_str()?.trim_end_matches(['\n', '\r']);
    let (mut event, format) = inner(line);
    for (name, value) in outer {
        // The line's own time and stream count more.
        event.entry(name).or_insert(value);
    }
    Some((event, format))
}

/// The event of a line whose format is not known beforehand.
pub(super) fn inner(line: &str) -> (Map<String, Value>, Format) {
    if line.trim_start().starts_with('{')
        && let Ok(event) = serde_json::from_str(line)
    {
        return (event, Format::JsonLines);
    }
    let forms: [(Parse, Format); 3] =
        [(access::parse, Format::Access), (postgres::parse, Format::PostgresText), (syslog::parse, Format::Syslog)];
    let parsed = forms.into_iter().find_map(|(parse, format)| parse(line).map(|event| (event, format)));
    parsed.unwrap_or_else(|| (text_event(line), Format::Text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_inside_is_parsed_by_its_own_format() {
        let line = r#"{"log":"{\"event\":\"x\"}\n","stream":"stdout","time":"2026-11-24T01:02:03.1Z"}"#;
        let (event, format) = parse(line).unwrap();
        assert_eq!((&event["event"], &event["stream"], format), (&"x".into(), &"stdout".into(), Format::JsonLines));
        let line =
            r#"{"log":"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] \"GET /x HTTP/1.1\" 200 5\n","stream":"stdout"}"#;
        let (event, format) = parse(line).unwrap();
        assert_eq!((&event["c-uri"], format), (&"/x".into(), Format::Access));
        assert_eq!(parse(r#"{"log":"hello\n"}"#).unwrap().0["message"], "hello");
        assert!(parse("{}").is_none());
    }
}
