use std::io::{self, BufRead, Cursor, Read};

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::formats::{self, Chunk, Format, JsonRecords, Lines, time};
use super::logsource::Class;
use super::ruleset::Ruleset;
use super::sigma::Record;
use super::{Decoded, decode};
use crate::domain::{Finding, FindingKind, Level, Source, Timestamp, finding_id};

/// Bytes that are looked at to find the format.
const HEAD: usize = 64 << 10;
/// Longest value kept in a finding, in bytes.
const MAX_VALUE: usize = 2 << 10;
/// Largest event kept in a finding, in bytes of its JSON text.
const MAX_EVENT: usize = 64 << 10;

/// What to look for, beside the rules.
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// Events before it are left out. Events without a time never are.
    pub since: Option<Timestamp>,
    /// Events at or after it are left out. Events without a time never are.
    pub until: Option<Timestamp>,
    /// Rules below it are not run.
    pub min_level: Level,
    /// Year of times that name none (RFC 3164).
    pub default_year: i16,
    /// Whether raw bytes are filtered first; findings are the same without.
    pub prefilter: bool,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self { since: None, until: None, min_level: Level::Informational, default_year: 1970, prefilter: true }
    }
}

/// What of one stream was covered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The format that was found.
    pub format: Option<Format>,
    /// Bytes read, after decompression.
    pub bytes: u64,
    /// Events read.
    pub events: u64,
    /// Lines or records that could not be read as events of the format.
    pub broken: u64,
    /// Line of the first of these.
    pub first_broken: Option<u64>,
    /// Events without a time that were kept although a time range was asked for.
    pub undated: u64,
    /// Findings given to the sink.
    pub findings: u64,
    /// Why reading ended before the end of the stream, or why nothing was read.
    pub unreadable: Option<String>,
}

/// Scans one stream. `path` is the name that findings carry.
pub fn scan_reader<'a>(
    rules: &Ruleset,
    path: &str,
    reader: impl Read + 'a,
    options: &ScanOptions,
    sink: &mut dyn FnMut(Finding),
) -> Coverage {
    let mut scan = Scan { rules, path, options, sink, marks: Vec::new(), coverage: Coverage::default() };
    let ended = match decode(reader) {
        Ok(Decoded::Stream(stream)) => scan.stream(stream),
        Ok(Decoded::Unsupported(kind)) => {
            scan.coverage.unreadable = Some(format!("{kind} is not read by this version: decompress it first"));
            Ok(())
        }
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        let read = scan.coverage.bytes;
        scan.coverage.unreadable = Some(format!("reading failed after {read} bytes: {error}"));
    }
    scan.coverage
}

struct Scan<'s, 'f> {
    rules: &'s Ruleset,
    path: &'s str,
    options: &'s ScanOptions,
    sink: &'f mut dyn FnMut(Finding),
    marks: Vec<bool>,
    coverage: Coverage,
}

impl Scan<'_, '_> {
    fn stream(&mut self, mut stream: Box<dyn BufRead + '_>) -> io::Result<()> {
        let mut head = Vec::new();
        let failed = stream.by_ref().take(HEAD as u64).read_to_end(&mut head).err();
        let format = formats::detect(&head, head.len() < HEAD && failed.is_none());
        self.coverage.format = Some(format);
        let start = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let mut head = Cursor::new(head);
        head.set_position(start);
        // A stream that failed once is not asked again, but what came before is scanned.
        let rest: Box<dyn BufRead> = match failed {
            Some(error) => Box::new(io::BufReader::new(FailingReader(Some(error)))),
            None => stream,
        };
        let whole = head.chain(rest);
        if format == Format::JsonDocument { self.document(whole) } else { self.lines(whole, format) }
    }

    fn lines(&mut self, stream: impl BufRead, format: Format) -> io::Result<()> {
        let mut lines = Lines::new(stream);
        loop {
            let next = lines.next_line();
            self.coverage.bytes = lines.bytes();
            let Some(chunk) = next? else { return Ok(()) };
            self.chunk(chunk, format);
        }
    }

    fn document(&mut self, stream: impl BufRead) -> io::Result<()> {
        let mut records = JsonRecords::new(stream);
        loop {
            let next = records.next_record();
            self.coverage.bytes = records.bytes();
            let Some(chunk) = next? else { return Ok(()) };
            self.chunk(chunk, Format::JsonDocument);
        }
    }

    fn broken(&mut self, line: u64) {
        self.coverage.broken += 1;
        self.coverage.first_broken.get_or_insert(line);
    }

    fn chunk(&mut self, chunk: Chunk, format: Format) {
        let Some(bytes) = chunk.bytes else { return self.broken(chunk.line) };
        let text = String::from_utf8(bytes).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned());
        let mut marks = std::mem::take(&mut self.marks);
        let any = if self.options.prefilter {
            self.rules.candidates(text.as_bytes(), &mut marks)
        } else {
            marks.clear();
            marks.resize(self.rules.rules().len(), true);
            true
        };
        self.text(&text, chunk.line, format, any.then_some(&marks));
        self.marks = marks;
    }

    fn text(&mut self, text: &str, line: u64, format: Format, candidates: Option<&Vec<bool>>) {
        let json = matches!(format, Format::JsonLines | Format::JsonDocument);
        if json && candidates.is_none() {
            if text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok() {
                self.coverage.events += 1;
            } else {
                self.broken(line);
            }
            return;
        }
        let (fields, format) = match formats::parse_line(format, text) {
            Some(fields) => (fields, format),
            None => {
                self.broken(line);
                if json {
                    return;
                }
                // A line that the format doesn't explain is still looked through as text.
                (formats::text_event(text), Format::Text)
            }
        };
        let number = self.coverage.events;
        self.coverage.events += 1;
        if let Some(candidates) = candidates {
            let record = Record { fields: &fields, raw: (!json).then_some(text), format };
            self.event(&record, number, line, candidates);
        }
    }

    fn event(&mut self, record: &Record<'_>, number: u64, line: u64, candidates: &[bool]) {
        let ranged = self.options.since.is_some() || self.options.until.is_some();
        let mut when = None;
        for index in self.rules.of_class(Class::of(record.format, record.fields)) {
            let rule = &self.rules.rules()[*index];
            if !candidates[*index] || rule.rule.level < self.options.min_level || !rule.matches(record) {
                continue;
            }
            if when.is_none() {
                let time = time::of_event(record.fields, self.options.default_year);
                if time.is_some_and(|time| {
                    self.options.since.is_some_and(|since| time < since)
                        || self.options.until.is_some_and(|until| time >= until)
                }) {
                    return;
                }
                self.coverage.undated += u64::from(ranged && time.is_none());
                when = Some(time);
            }
            let source = Source::File { path: self.path.to_owned(), record: number, line: Some(line) };
            self.coverage.findings += 1;
            (self.sink)(Finding {
                id: finding_id(FindingKind::Log, &rule.rule.id, &source),
                kind: FindingKind::Log,
                rule: rule.rule.clone(),
                time: when.flatten(),
                source,
                matched: bounded(rule.explain(record)),
                event: bounded(record.fields.clone()),
            });
        }
    }
}

/// Gives the error that ended a stream, once.
struct FailingReader(Option<io::Error>);

impl Read for FailingReader {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// The fields with long texts cut; a marker stands for fields that are too many.
fn bounded(mut fields: Map<String, Value>) -> Map<String, Value> {
    fields.values_mut().for_each(cut);
    let mut size = 0;
    let mut left_out = 0;
    fields.retain(|name, value| {
        size += name.len() + value.to_string().len();
        let keep = size <= MAX_EVENT;
        left_out += u64::from(!keep);
        keep
    });
    if left_out > 0 {
        fields.insert("_left_out".into(), format!("{left_out} fields, the event is too large").into());
    }
    fields
}

fn cut(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > MAX_VALUE => {
            let end = (0..=MAX_VALUE).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            let more = text.len() - end;
            text.truncate(end);
            text.push_str(&format!("... [{more} bytes cut]"));
        }
        Value::Array(items) => items.iter_mut().for_each(cut),
        Value::Object(map) => map.values_mut().for_each(cut),
        _ => {}
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
