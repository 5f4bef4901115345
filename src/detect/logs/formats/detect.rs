use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::{
    Chunk, Format, JsonRecords, Layout, Wanted, access, csv, docker, logfmt, nginx, postgres, proxies, syslog, wrap,
};

/// Whether a line is of a format.
type Fits = fn(&str) -> bool;

/// Lines that are looked at.
const LINES: usize = 20;
/// Records of a JSON document that are looked into.
const RECORDS: usize = 3;

/// Finds the format from the first bytes of a stream, and reads its header; `whole` says that they are all of it.
pub fn layout(head: &[u8], whole: bool, wanted: Option<&Wanted>) -> Layout {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = String::from_utf8_lossy(head);
    match wanted {
        Some(Wanted::Form(form)) => Layout { form: Some(form.clone()), ..Layout::plain(Format::Custom) },
        Some(Wanted::Named(Format::Csv)) => header(&text).unwrap_or_else(|| Layout::plain(Format::Csv)),
        Some(Wanted::Named(format)) => Layout::plain(*format),
        None => by_content(&text, whole),
    }
}

fn by_content(text: &str, whole: bool) -> Layout {
    let mut lines: Vec<&str> = text.split('\n').collect();
    if !whole && lines.len() > 1 {
        lines.pop();
    }
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.trim().is_empty()).take(LINES).collect();
    let Some(first) = lines.first().map(|line| line.trim()) else { return Layout::plain(Format::Text) };
    if let Some(format) = json(text, &lines, first, whole) {
        return Layout::plain(format);
    }
    if first.starts_with("__CURSOR=") || first.starts_with("__REALTIME_TIMESTAMP=") {
        return Layout::plain(Format::Journal);
    }
    if let Some(fields) = lines.iter().find_map(|line| line.strip_prefix("#Fields:")) {
        let columns = fields.split_ascii_whitespace().map(str::to_owned).collect();
        return Layout { columns, ..Layout::plain(Format::Custom) };
    }
    if nginx::are_lines(&lines) {
        return Layout::plain(Format::NginxError);
    }
    let counted = lines.iter().filter(|line| !line.starts_with('\t')).count();
    let most = |fits: Fits| lines.iter().filter(|line| fits(line)).count() * 2 > counted;
    if postgres::parse_csv(&first_row(text)).is_some_and(|event| event.contains_key("error_severity")) {
        return Layout::plain(Format::PostgresCsv);
    }
    let named: [(Format, Fits); 7] = [
        (Format::Docker, docker::carries),
        (Format::Access, |line| access::parse(line.trim()).is_some()),
        (Format::Custom, |line| proxies::parse(line.trim()).is_some()),
        (Format::PostgresText, |line| postgres::parse(line).is_some()),
        (Format::Syslog, |line| syslog::parse(line.trim()).is_some()),
        (Format::JsonLines, |line| is_object(line.trim())),
        (Format::Logfmt, |line| {
            let (pairs, words) = logfmt::pairs(line);
            pairs >= 3 && pairs * 3 >= words && line.split('=').next().is_some_and(|key| !key.contains(' '))
        }),
    ];
    if let Some((format, _)) = named.into_iter().find(|(_, fits)| most(*fits)) {
        return Layout::plain(format);
    }
    header(text).filter(|csv| is_csv(csv, text, whole)).unwrap_or_else(|| Layout::plain(Format::Text))
}

fn json(text: &str, lines: &[&str], first: &str, whole: bool) -> Option<Format> {
    if !first.starts_with('{') && !first.starts_with('[') {
        return None;
    }
    let mut records = JsonRecords::new(text.as_bytes(), 0);
    let (mut carried, mut wrapped, mut pairs, mut beside, mut line) = (false, false, false, false, 0);
    for number in 0..RECORDS {
        let record = records.next_record().ok().flatten();
        if number == 0 {
            (wrapped, pairs) = records.entered();
        }
        let Some(Chunk { line: at, bytes: Some(record), .. }) = record else { break };
        carried |= wrap::carries(&record);
        // Objects side by side on one line, as Firehose writes them.
        beside |= at == line && record.starts_with(b"{");
        line = at;
    }
    let objects = lines.iter().filter(|line| is_object(line.trim())).count();
    if first.starts_with('{') && !(wrapped || beside) && (objects > 0 || (!whole && lines.len() == 1)) {
        let docker = lines.iter().filter(|line| docker_line(line)).count();
        let carried = carried || docker * 2 > objects || spread(text).any(|line| wrap::carries(line.trim().as_bytes()));
        return Some(if carried { Format::Docker } else { Format::JsonLines });
    }
    let next = lines.get(1).map_or("", |line| line.trim());
    let json_array = first.starts_with('[') && matches!(first[1..].trim_start().chars().next(), None | Some('{' | ']'));
    let opened = first.strip_prefix('{').map(str::trim_start);
    let pretty = opened.is_some_and(|rest| rest.is_empty() || rest.starts_with('"') || next.starts_with('"'));
    let format = if carried || pairs { Format::Wrapped } else { Format::JsonDocument };
    (json_array || pretty || wrapped || beside).then_some(format)
}

/// Some lines from all of a text that have what carries others.
fn spread(text: &str) -> impl Iterator<Item = &str> {
    const PARTS: usize = 16;
    let names = ["\"message\"", "\"log\"", "\"_raw\"", "\"detail\"", "\"_source\"", "\"textPayload\"", "\"event\""];
    let part = move |part: usize| {
        let from = (text.len() * part / PARTS..text.len()).find(|at| text.is_char_boundary(*at))?;
        text[from..].split('\n').nth(1)
    };
    (0..PARTS).filter_map(part).filter(move |line| names.iter().any(|name| line.contains(name)))
}

/// Whether a line is one of docker's `json-file`.
fn docker_line(line: &str) -> bool {
    let object: Option<Map<String, Value>> =
        line.contains("\"log\"").then(|| serde_json::from_str(line.trim()).ok()).flatten();
    object.is_some_and(|object| docker::is_container(&object))
}

/// The first row of CSV, with the line ends in its quotes.
fn first_row(text: &str) -> String {
    let mut quoted = false;
    let end = text.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b'\n' && !quoted
    });
    text[..end.unwrap_or(text.len())].to_owned()
}

/// The columns that the first row names.
fn header(text: &str) -> Option<Layout> {
    let row = first_row(text);
    // VPC flow logs have blanks between; a second line of such words would be one of text.
    let flows = row.starts_with("version account-id ");
    let separators = [b',', b'\t', b';'].into_iter().filter(|_| !flows).chain(flows.then_some(b' '));
    let separator = separators.max_by_key(|by| row.bytes().filter(|byte| byte == by).count())?;
    let columns: Vec<String> = csv::fields(&row, separator).into_iter().map(|name| name.trim().to_owned()).collect();
    Some(Layout { columns, separator, ..Layout::plain(Format::Csv) })
}

/// Whether names stand in the first row and as many fields in the others.
fn is_csv(layout: &Layout, text: &str, whole: bool) -> bool {
    let mut rows = Vec::new();
    let mut rest = text;
    while !rest.is_empty() && rows.len() < LINES {
        let row = first_row(rest);
        rest = rest.get(row.len() + 1..).unwrap_or_default();
        // A row that the end of the text cuts says nothing.
        if !row.trim().is_empty() && (whole || !rest.is_empty() || rows.len() < 2) {
            rows.push(row);
        }
    }
    let named = |name: &String| {
        name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'@'))
            && name.len() <= 64
            && name.bytes().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b' ' | b'/' | b'(' | b')' | b'@' | b':')
            })
    };
    let width = |row: &&String| csv::fields(row, layout.separator).len() == layout.columns.len();
    let carried = |name: &String| matches!(name.as_str(), "@message" | "message" | "_raw" | "eventJson" | "eventjson");
    (layout.columns.len() > 2 || layout.columns.iter().any(carried))
        && layout.columns.iter().all(named)
        && rows.len() > 1
        && rows.iter().skip(1).filter(width).count() * 2 >= rows.len() - 1
}

fn is_object(line: &str) -> bool {
    line.starts_with('{') && serde_json::from_str::<IgnoredAny>(line).is_ok()
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
            (
                "h2 2026-11-24T01:02:03.1Z app/x 1.2.3.4:5 - -1 -1 -1 404 - 0 57 \"GET https://a:443/ HTTP/1.1\" \"x\" -\n",
                Format::Custom,
            ),
            (
                "Nov 24 01:02:03 lb haproxy[7]: 1.2.3.4:5 [24/Nov/2026:01:02:03.655] f b/s 1/0/3/6/9 200 27 - - ---- 1/1/1/1/0 0/0 \"GET / HTTP/1.1\"\n",
                Format::Custom,
            ),
            ("{\"Records\":[]}", Format::JsonDocument),
            ("{\"a\":1}{\"a\":2}\n{\"a\":3}", Format::JsonDocument),
            (
                r#"{"messageType":"DATA_MESSAGE","logEvents":[{"id":"1","message":"{\"eventName\":\"x\"}"}]}"#,
                Format::Wrapped,
            ),
            (r#"{"streams":[{"stream":{"app":"x"},"values":[["1","words"]]}]}"#, Format::Wrapped),
            (r#"[{"textPayload":"{\"a\":1}","insertId":"x"}]"#, Format::Wrapped),
            (r#"{"message":"{\"a\":1}"}"#, Format::Docker),
            (r#"{"version":"0","detail-type":"x","detail":{"a":1}}"#, Format::Docker),
            (r#"{"message":"words"}"#, Format::JsonLines),
            ("@timestamp,@message\n2026-11-24 01:02:03,x\n", Format::Csv),
            ("version account-id interface-id\n2 1 eni-1\n", Format::Csv),
            ("{\"Records\": [\n{\"a\":1}\n]}\n", Format::JsonDocument),
            ("1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5\n", Format::Access),
            ("Mar 27 13:06:56 host sshd[1291]: Server listening\n", Format::Syslog),
            ("<34>1 2003-10-11T22:14:15.003Z host su - ID47 - failed\n", Format::Syslog),
            ("2026-11-24 01:02:03 UTC [5] LOG:  statement: select 1\n", Format::PostgresText),
            ("2026-11-24 01:02:03 UTC [5] LOG:  statement: select\n\t1,\n\t2\n\tfrom x\n", Format::PostgresText),
            ("{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-24T01:02:03Z\"}\n", Format::Docker),
            ("time=2026-11-24T01:02:03Z level=info msg=x\n", Format::Logfmt),
            ("type=SYSCALL msg=audit(1364481363.243:24287): arch=c000003e syscall=2\n", Format::Logfmt),
            ("time,user,action\n1,eve,x\n2,bob,y\n", Format::Csv),
            ("a sentence, with commas, in it\nanother, one\n", Format::Text),
            ("__CURSOR=s=1\nMESSAGE=x\n\n", Format::Journal),
            ("#Version: 1.0\n#Fields: date time c-ip\n2026-11-24 01:02:03 1.2.3.4\n", Format::Custom),
            ("[error] something\n", Format::Text),
            ("broken {\n{\"a\":1}\n{\"a\":1}\n", Format::JsonLines),
            ("", Format::Text),
        ] {
            assert_eq!(layout(text.as_bytes(), true, None).format, want, "{text}");
        }
    }
}
