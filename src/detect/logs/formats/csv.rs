//! CSV (RFC 4180): quoted fields may hold separators, quotes (doubled) and line ends. Also lines of words with a header
//! (W3C extended log format).

use std::io::{self, BufRead};

use serde_json::{Map, Value};

use super::lines::{Chunk, Lines, Split};

/// Splits a stream into rows.
pub(super) struct Rows<R> {
    lines: Lines<R>,
    header: bool,
}

impl<R: BufRead> Rows<R> {
    /// `header` says that the first row is none.
    pub(super) fn new(reader: R, offset: u64, header: bool) -> Self {
        Self { lines: Lines::new(reader, offset), header }
    }
}

impl<R: BufRead> Split for Rows<R> {
    fn next_record(&mut self) -> io::Result<Option<Chunk>> {
        loop {
            let (line, offset) = (self.lines.line + 1, self.lines.offset);
            let mut bytes = Vec::new();
            let (mut too_long, mut seen, mut open) = (false, 0, false);
            while self.lines.add_line(&mut bytes, &mut too_long)? {
                let quotes = memchr::memchr_iter(b'"', bytes.get(seen..).unwrap_or_default()).count();
                seen = bytes.len();
                open ^= quotes % 2 == 1;
                if !open || too_long {
                    break;
                }
            }
            if self.lines.offset == offset {
                return Ok(None);
            }
            if !std::mem::take(&mut self.header) {
                return Ok(Some(Chunk { line, offset, bytes: (!too_long).then_some(bytes) }));
            }
        }
    }

    fn bytes(&self) -> u64 {
        self.lines.offset
    }

    fn lines(&self) -> u64 {
        self.lines.line
    }
}

/// The fields of one row.
pub(super) fn fields(row: &str, separator: u8) -> Vec<String> {
    let mut out = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = row.trim_end_matches(['\n', '\r']).chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            c if !quoted && u32::from(c) == u32::from(separator) => out.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    out.push(field);
    out
}

/// A row as an event; empty fields are absent, fields without a name are numbered.
pub(super) fn parse(row: &str, columns: &[String], separator: u8) -> Option<Map<String, Value>> {
    let fields = fields(row, separator);
    if fields.len() > columns.len() + 64 {
        return None;
    }
    Some(named(fields, columns))
}

fn named(fields: Vec<String>, columns: &[String]) -> Map<String, Value> {
    let name = |at: usize| columns.get(at).cloned().unwrap_or_else(|| format!("column{}", at + 1));
    let kept = fields.into_iter().enumerate().filter(|(_, field)| !field.is_empty());
    kept.map(|(at, field)| (name(at), field.into())).collect()
}

/// A line of words (W3C extended log format): `-` is an absent value; date and time are joined.
pub(super) fn words(line: &str, columns: &[String]) -> Option<Map<String, Value>> {
    let words: Vec<String> =
        line.split_ascii_whitespace().map(|word| if word == "-" { String::new() } else { word.to_owned() }).collect();
    if words.len() != columns.len() {
        return None;
    }
    let mut event = named(words, columns);
    if let (Some(Value::String(date)), Some(Value::String(time))) = (event.get("date"), event.get("time")) {
        let joined = format!("{date}T{time}Z");
        event.insert("time".into(), joined.into());
    }
    // The two parts of the address: what rules look for in it stands in one of them.
    if let (Some(stem), Some(query)) = (event.get("cs-uri-stem"), event.get("cs-uri-query")) {
        let parts = Value::from(vec![stem.clone(), query.clone()]);
        event.entry("c-uri").or_insert(parts);
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_hold_separators_and_line_ends() {
        assert_eq!(fields("a,\"b \"\"x\"\", c\nd\",,e\r\n", b','), ["a", "b \"x\", c\nd", "", "e"]);
        let mut rows = Rows::new(&b"h1,h2\n1,\"two\nlines\"\n3,4\n"[..], 0, true);
        let mut got = Vec::new();
        while let Some(chunk) = rows.next_record().unwrap() {
            got.push((chunk.line, String::from_utf8(chunk.bytes.unwrap()).unwrap()));
        }
        assert_eq!(got, [(2, "1,\"two\nlines\"\n".into()), (4, "3,4\n".into())]);
    }

    proptest! {
        #[test]
        fn any_field_comes_back(texts in proptest::collection::vec("[a\",\n ]{0,6}", 1..5)) {
            let row: Vec<String> = texts.iter().map(|text| format!("\"{}\"", text.replace('"', "\"\""))).collect();
            prop_assert_eq!(fields(&row.join(","), b','), texts);
        }
    }
}
