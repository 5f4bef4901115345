use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::{Format, Layout, Wanted, access, csv, docker, logfmt, postgres, syslog};

/// Whether a line is of a format.
type Fits = fn(&str) -> bool;

/// Lines that are looked at.
const LINES: usize = 20;

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
    if let Some(format) = json(&lines, first, whole) {
        return Layout::plain(format);
    }
    if first.starts_with("__CURSOR=") || first.starts_with("__REALTIME_TIMESTAMP=") {
        return Layout::plain(Format::Journal);
    }
    if let Some(fields) = lines.iter().find_map(|line| line.strip_prefix("#Fields:")) {
        let columns = fields.split_ascii_whitespace().map(str::to_owned).collect();
        return Layout { columns, ..Layout::plain(Format::Custom) };
    }
    let counted = lines.iter().filter(|line| !line.starts_with('\t')).count();
    let most = |fits: Fits| lines.iter().filter(|line| fits(line)).count() * 2 > counted;
    if postgres::parse_csv(&first_row(text)).is_some_and(|event| event.contains_key("error_severity")) {
        return Layout::plain(Format::PostgresCsv);
    }
    let named: [(Format, Fits); 6] = [
        (Format::Docker, docker::carries),
        (Format::Access, |line| access::parse(line.trim()).is_some()),
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
    header(text).filter(|csv| is_csv(csv, &lines)).unwrap_or_else(|| Layout::plain(Format::Text))
}

fn json(lines: &[&str], first: &str, whole: bool) -> Option<Format> {
    if !first.starts_with('{') && !first.starts_with('[') {
        return None;
    }
    let objects = lines.iter().filter(|line| is_object(line.trim())).count();
    let wrapped = first.starts_with('{') && starts_wrapper(first);
    if first.starts_with('{') && !wrapped && (objects > 0 || (!whole && lines.len() == 1)) {
        let docker = lines.iter().filter(|line| docker_line(line)).count();
        return Some(if docker * 2 > objects { Format::Docker } else { Format::JsonLines });
    }
    let next = lines.get(1).map_or("", |line| line.trim());
    let json_array = first.starts_with('[') && matches!(first[1..].trim_start().chars().next(), None | Some('{' | ']'));
    let opened = first.strip_prefix('{').map(str::trim_start);
    let pretty = opened.is_some_and(|rest| rest.is_empty() || rest.starts_with('"') || next.starts_with('"'));
    (json_array || pretty || wrapped).then_some(Format::JsonDocument)
}

/// Whether a line is one of docker's `json-file`.
fn docker_line(line: &str) -> bool {
    let object: Option<Map<String, Value>> = serde_json::from_str(line.trim()).ok();
    object.is_some_and(|object| {
        object.get("log").is_some_and(Value::is_string) && object.contains_key("time") && object.len() <= 4
    })
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
    let separator = [b',', b'\t', b';'].into_iter().max_by_key(|by| row.bytes().filter(|byte| byte == by).count())?;
    let columns: Vec<String> = csv::fields(&row, separator).into_iter().map(|name| name.trim().to_owned()).collect();
    Some(Layout { columns, separator, ..Layout::plain(Format::Csv) })
}

/// Whether names stand in the first row and as many fields in the others.
fn is_csv(layout: &Layout, lines: &[&str]) -> bool {
    let named = |name: &String| {
        name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && name.len() <= 64
            && name.bytes().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b' ' | b'/' | b'(' | b')' | b'@' | b':')
            })
    };
    let width = |line: &&&str| csv::fields(line, layout.separator).len() == layout.columns.len();
    layout.columns.len() > 2
        && layout.columns.iter().all(named)
        && lines.len() > 1
        && lines.iter().skip(1).filter(width).count() * 2 >= lines.len() - 1
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
