use std::io::{self, BufRead};

use serde::de::IgnoredAny;

use super::{Chunk, MAX_RECORD};

/// Keys (lower case) of an outer object whose array holds the records.
const WRAPPERS: [&str; 5] = ["records", "events", "logevents", "configurationitems", "logrecords"];
/// Keys of arrays whose objects hold arrays of records again.
const NESTED: [&str; 4] = ["streams", "responses", "resourcelogs", "scopelogs"];
/// Where in a stream the first record of a wrapper is, at most.
const MAX_START: u64 = 4 << 10;
/// Most bytes of what is said of all pairs that is kept with each.
const MAX_LABELS: usize = 4 << 10;
/// Most bytes of an outer object that are looked through for such a key.
const MAX_WRAPPER: usize = 64 << 10;

/// Splits JSON documents into their records without reading them whole: the elements of arrays, the elements of
/// `{"Records":[..]}`, and objects that stand alone. What is no object is given as a chunk that will not parse.
pub struct JsonRecords<R> {
    reader: R,
    line: u64,
    offset: u64,
    /// Open arrays of records.
    arrays: Vec<Open>,
    /// Whether an outer object was entered.
    entered: bool,
    /// Depth inside the rest of an outer object after its array of records; 0 outside.
    trailing: usize,
}

/// An open array of records.
#[derive(Default)]
struct Open {
    /// How many objects of its outer record end behind it; 0 for one that stands alone.
    trailing: usize,
    /// Whether its objects hold arrays of records again.
    nested: bool,
    /// Where its elements are arrays themselves, as Loki's pairs are: what is said of all of them.
    pairs: Option<Vec<u8>>,
}

/// The record being read.
#[derive(Default)]
struct Capture {
    bytes: Vec<u8>,
    depth: usize,
    quoted: bool,
    escaped: bool,
    too_long: bool,
    line: u64,
    offset: u64,
}

enum Next {
    More,
    Record,
    Wrapper(Open),
}

impl<R: BufRead> JsonRecords<R> {
    /// Starts at line 1 and the given byte.
    pub fn new(reader: R, offset: u64) -> Self {
        Self { reader, line: 1, offset, arrays: Vec::new(), entered: false, trailing: 0 }
    }

    /// Whether an outer object was entered near the start, and its records are pairs.
    pub(super) fn entered(&self) -> (bool, bool) {
        (self.entered, self.arrays.last().is_some_and(|open| open.pairs.is_some()))
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.offset
    }

    /// Line ends read so far.
    pub fn lines(&self) -> u64 {
        self.line - 1
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return Ok(other?.first().copied()),
            }
        }
    }

    fn skip(&mut self, byte: u8) {
        self.reader.consume(1);
        self.offset += 1;
        self.line += u64::from(byte == b'\n');
    }

    /// The next record.
    pub fn next_record(&mut self) -> io::Result<Option<Chunk>> {
        while let Some(byte) = self.peek()? {
            match byte {
                b'{' => {
                    if let Some(chunk) = self.capture()? {
                        return Ok(Some(chunk));
                    }
                }
                b'[' if self.arrays.last().is_some_and(|open| open.pairs.is_some()) => {
                    if let Some(mut chunk) = self.capture()? {
                        self.label(&mut chunk);
                        return Ok(Some(chunk));
                    }
                }
                b'[' if self.arrays.len() < 64 => {
                    self.skip(byte);
                    self.arrays.push(Open::default());
                }
                b']' if !self.arrays.is_empty() => {
                    self.skip(byte);
                    self.trailing = self.arrays.pop().map_or(0, |open| open.trailing);
                    if self.trailing > 0 {
                        self.pass_trailing()?;
                    }
                }
                b',' | 0xef | 0xbb | 0xbf => self.skip(byte),
                byte if byte.is_ascii_whitespace() => self.skip(byte),
                _ => return self.stray().map(Some),
            }
        }
        if self.arrays.is_empty() {
            return Ok(None);
        }
        // The file was cut inside an array: said once, as a record that can't be read.
        self.arrays.clear();
        Ok(Some(Chunk { line: self.line, offset: self.offset, bytes: None }))
    }

    /// Adds to a pair what is said of all of them.
    fn label(&self, chunk: &mut Chunk) {
        let labels = self.arrays.last().and_then(|open| open.pairs.as_deref()).unwrap_or_default();
        if let Some(bytes) = chunk.bytes.as_mut().filter(|bytes| bytes.ends_with(b"]") && !labels.is_empty()) {
            bytes.pop();
            bytes.push(b',');
            bytes.extend_from_slice(labels);
            bytes.push(b']');
        }
    }

    /// Something that is no object: up to the end of its line or element.
    fn stray(&mut self) -> io::Result<Chunk> {
        let mut chunk = Chunk { line: self.line, offset: self.offset, bytes: Some(Vec::new()) };
        while let Some(byte) = self.peek()? {
            if byte == b'\n' || (!self.arrays.is_empty() && matches!(byte, b',' | b']')) {
                break;
            }
            if let Some(bytes) = chunk.bytes.as_mut().filter(|bytes| bytes.len() < 1024) {
                bytes.push(byte);
            }
            self.skip(byte);
        }
        Ok(chunk)
    }

    /// The rest of an outer object after its array of records.
    fn pass_trailing(&mut self) -> io::Result<()> {
        let (mut quoted, mut escaped) = (false, false);
        while let Some(byte) = self.peek()? {
            self.skip(byte);
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'{' | b'[' if !quoted => self.trailing += 1,
                b'}' | b']' if !quoted => {
                    self.trailing -= 1;
                    if self.trailing == 0 {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// One object; `None` if it turned out to be an outer one, whose array was entered.
    fn capture(&mut self) -> io::Result<Option<Chunk>> {
        let outer = self.arrays.last().is_none_or(|open| open.nested);
        let mut capture = Capture { line: self.line, offset: self.offset, ..Capture::default() };
        loop {
            let available = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if available.is_empty() {
                // Cut in the middle of an object.
                return Ok(Some(capture.into_chunk()));
            }
            let (used, next) = capture.feed(available, outer);
            self.line += memchr::memchr_iter(b'\n', &available[..used]).count() as u64;
            self.reader.consume(used);
            self.offset += used as u64;
            match next {
                Next::More => {}
                Next::Record => return Ok(Some(capture.into_chunk())),
                Next::Wrapper(open) => {
                    self.entered |= capture.offset < MAX_START && self.offset < MAX_START;
                    self.arrays.push(open);
                    return Ok(None);
                }
            }
        }
    }
}

impl Capture {
    /// Takes what belongs to the record; how many bytes these are, and what comes next.
    fn feed(&mut self, available: &[u8], outer: bool) -> (usize, Next) {
        let (mut at, mut kept) = (0, 0);
        while let Some(byte) = available.get(at) {
            if self.quoted {
                if self.escaped {
                    self.escaped = false;
                    at += 1;
                    continue;
                }
                // Most bytes are inside quotes, where only two of them matter.
                let Some(ahead) = memchr::memchr2(b'"', b'\\', &available[at..]) else { break };
                at += ahead + 1;
                self.escaped = available[at - 1] == b'\\';
                self.quoted = self.escaped;
                continue;
            }
            at += 1;
            match byte {
                b'"' => self.quoted = true,
                b'[' if outer && matches!(self.depth, 1 | 2) => {
                    self.keep(&available[kept..at - 1]);
                    kept = at - 1;
                    if let Some(open) = self.opens_records() {
                        return (at, Next::Wrapper(open));
                    }
                    self.depth += 1;
                }
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        self.keep(&available[kept..at]);
                        return (at, Next::Record);
                    }
                }
                _ => {}
            }
        }
        self.keep(&available[kept..]);
        (available.len(), Next::More)
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.bytes.len() + bytes.len() > MAX_RECORD {
            self.too_long = true;
            self.bytes = Vec::new();
        }
        if !self.too_long {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// The array of records that opens here, if what was read ends in `"Records":` or another such key.
    fn opens_records(&self) -> Option<Open> {
        if self.too_long || self.bytes.len() > MAX_WRAPPER {
            return None;
        }
        let before = self.bytes.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end().strip_suffix(b"\"")?;
        let key = &before[memchr::memrchr(b'"', before)? + 1..];
        let start = &before[..before.len() - key.len() - 1];
        let is = |want: &str| key.eq_ignore_ascii_case(want.as_bytes());
        let has = |text: &str| memchr::memmem::find(before, text.as_bytes()).is_some();
        let open = Open { trailing: self.depth, ..Open::default() };
        match self.depth {
            1 if WRAPPERS.into_iter().any(is) => Some(open),
            1 if NESTED.into_iter().any(is) => Some(Open { nested: true, ..open }),
            // Names that other objects have too: by what stands before them.
            1 if is("results") && has("\"preview\"") => Some(open),
            1 if is("entries") && (has("\"labels\"") || start.trim_ascii() == b"{") => Some(open),
            1 if is("values") && has("\"stream\"") => Some(Open { pairs: Some(labels(start)), ..open }),
            // Not those of a call, which stand behind what else there is to say of it.
            2 if key == b"Records" && alone(start) => Some(open),
            2 if is("hits") && has("\"hits\"") => Some(open),
            2 if is("result") && has("\"streams\"") => Some(Open { nested: true, ..open }),
            _ => None,
        }
    }

    fn into_chunk(self) -> Chunk {
        Chunk { line: self.line, offset: self.offset, bytes: (!self.too_long).then_some(self.bytes) }
    }
}

/// Whether a text is the start of an object in an object, and nothing stands before either: `{"data":{`.
fn alone(start: &[u8]) -> bool {
    let inner = start.trim_ascii().strip_prefix(b"{").and_then(|rest| rest.trim_ascii().strip_prefix(b"\""));
    let Some((end, inner)) = inner.and_then(|rest| Some((memchr::memchr(b'"', rest)?, rest))) else { return false };
    let behind = inner[end + 1..].trim_ascii().strip_prefix(b":");
    behind.is_some_and(|behind| behind.trim_ascii() == b"{")
}

/// The start of an object, closed, if it is short enough to be kept.
fn labels(start: &[u8]) -> Vec<u8> {
    let start = start.trim_ascii_end();
    let mut out = start.strip_suffix(b",").unwrap_or(start).to_vec();
    out.push(b'}');
    if out.len() > MAX_LABELS || serde_json::from_slice::<IgnoredAny>(&out).is_err() { Vec::new() } else { out }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn records(text: &str) -> Vec<(u64, Option<Value>)> {
        let mut records = JsonRecords::new(text.as_bytes(), 0);
        let mut out = Vec::new();
        while let Some(chunk) = records.next_record().unwrap() {
            out.push((chunk.line, chunk.bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok())));
        }
        out
    }

    #[test]
    fn arrays_wrappers_and_objects_give_their_records() {
        let one = json!({"a": "]}\"{"});
        let two = json!({"b": [{"c": 1}]});
        for text in [
            format!("[{one},{two}]"),
            format!("[\n{one}\n,\n{two}\n]\n"),
            format!("{one}\n{two}"),
            format!("{{\"Records\":[{one},{two}]}}"),
            format!("{{\"meta\":{{\"x\":[1]}},\"Records\" : [{one}],\"n\":[\"}}\"]}}\n{{\"records\":[{two}]}}"),
        ] {
            let got: Vec<_> = records(&text).into_iter().map(|(_, value)| value.unwrap()).collect();
            assert_eq!(got, [one.clone(), two.clone()], "{text}");
        }
        assert_eq!(records("[\n {\"a\":1},\n {\"a\":2}]").iter().map(|r| r.0).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn records_deeper_in_are_found() {
        let one = json!({"message": "a]}", "hits": [1]});
        let two = json!({"values": [["1", "x"]]});
        for text in [
            json!({"took": 1, "hits": {"total": 2, "hits": [one, two]}, "x": [{"y": "}"}]}).to_string(),
            json!({"responses": [{"hits": {"n": 1, "hits": [one]}}, {"hits": {"n": 1, "hits": [two]}}]}).to_string(),
            json!({"preview": false, "fields": [{"a": 1}], "results": [one, two]}).to_string(),
            json!({"entries": [one, two]}).to_string(),
            json!({"resourceLogs": [{"a": {}, "scopeLogs": [{"logRecords": [one]}, {"logRecords": [two]}]}]})
                .to_string(),
            serde_json::to_string_pretty(&json!({"configurationItems": [one, two], "b": 1})).unwrap(),
        ] {
            let got: Vec<_> = records(&text).into_iter().map(|(_, value)| value.unwrap()).collect();
            assert_eq!(got, [one.clone(), two.clone()], "{text}");
        }
        let streams = json!([{"stream": {"app": "x"}, "values": [["1", "a"], ["2", "b", {"m": "n"}]]}, {"stream": {}, "values": [["3", "c"]]}]);
        for text in [
            json!({"streams": streams}),
            json!({"status": "success", "data": {"resultType": "streams", "result": streams, "stats": {"a": [1]}}}),
        ] {
            for text in [text.to_string(), serde_json::to_string_pretty(&text).unwrap()] {
                let got: Vec<_> = records(&text).into_iter().map(|(_, value)| value.unwrap()).collect();
                let stream = json!({"stream": {"app": "x"}});
                let want = [
                    json!(["1", "a", stream]),
                    json!(["2", "b", {"m": "n"}, stream]),
                    json!(["3", "c", {"stream": {}}]),
                ];
                assert_eq!(got, want, "{text}");
            }
        }
        for whole in
            [json!({"cache": {"hits": [1, 2]}}), json!({"results": [{"a": 1}]}), json!({"a": 1, "entries": [{"b": 1}]})]
        {
            assert_eq!(records(&whole.to_string())[0].1, Some(whole));
        }
    }

    #[test]
    fn an_object_with_an_array_is_not_taken_for_a_wrapper() {
        assert_eq!(records("[{\"Records\":[{\"a\":1}]}]").len(), 1);
        assert_eq!(records(r#"{ "data" : { "Records" : [{"a":1},{"b":2}], "n": 1 } }"#).len(), 2);
        assert_eq!(records(r#"{"data":{"Records":[{"a":1}]},"x":{"y":[1]}}{"c":3}"#).len(), 2);
        // What a call was told is no event.
        let told = r#"{"eventName":"PutRecords","requestParameters":{"records":[{"a":1},{"b":2}]}}"#;
        assert_eq!(records(told).len(), 1);
        assert_eq!(records(r#"{"a":1,"data":{"Records":[{"a":1},{"b":2}]}}"#).len(), 1);
        assert_eq!(records("{\"list\":[{\"a\":1}]}").len(), 1);
    }

    #[test]
    fn what_is_cut_or_stray_is_said_and_the_rest_is_read() {
        let cut = records("[{\"a\":1},{\"a\":2},{\"a\"");
        assert_eq!(cut.iter().filter(|r| r.1.is_some()).count(), 2);
        assert!(cut.iter().any(|r| r.1.is_none()));
        let stray = records("[{\"a\":1}, garbage, {\"a\":2}]");
        assert_eq!(stray.iter().filter(|r| r.1.as_ref().is_some_and(Value::is_object)).count(), 2);
    }

    proptest! {
        #[test]
        fn no_text_panics_or_hangs(text in "[\\[\\]{}\":,a\\\\ \n]{0,60}") {
            prop_assert!(records(&text).len() <= text.len() + 1);
        }

        #[test]
        fn any_array_of_objects_is_split_into_its_elements(values in proptest::collection::vec("[ -~]{0,12}", 0..5)) {
            let objects: Vec<Value> = values.iter().map(|value| json!({"k": value, "n": [{"x": value}]})).collect();
            let text = serde_json::to_string_pretty(&objects).unwrap();
            let got: Vec<_> = records(&text).into_iter().map(|(_, value)| value.unwrap()).collect();
            prop_assert_eq!(got, objects);
        }
    }
}
