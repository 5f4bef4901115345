use std::io::{self, BufRead, BufReader, Cursor, Read};

use serde_json::{Map, Value};

use super::Needles;
use super::git::{self, Stored};
use super::needles::Mark;
use crate::detect::logs::{Decoded, decode};
use crate::domain::{Finding, FindingKind, Level, RuleRef, Source, finding_id};

/// Bytes looked through at a time.
const CHUNK: usize = 1 << 20;
/// Fewest bytes of a secret beside what all of its form begin with, for those to be shown.
const HIDDEN: usize = 12;

/// What of one stream was covered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretCoverage {
    /// Bytes read, after decompression.
    pub bytes: u64,
    /// Findings given to the sink.
    pub findings: u64,
    /// Why reading ended before the end, or why nothing was read.
    pub unreadable: Option<String>,
    /// What of it was not looked through whole, in words.
    pub partly: Option<String>,
}

/// Looks through one stream, also a gzip one, a pack of git or a loose object. `record` of a finding is the running number
/// of the occurrence in the stream, from 0, in the order of the text.
pub fn scan_secrets<'a>(
    needles: &Needles,
    path: &str,
    reader: impl Read + Send + 'a,
    sink: &mut dyn FnMut(Finding),
) -> SecretCoverage {
    let mut scan = Scan::new(needles, path, sink, CHUNK);
    if let Err(error) = scan.whole(reader) {
        let read = scan.coverage.bytes;
        scan.coverage.unreadable = Some(format!("reading failed after {read} bytes: {error}"));
    }
    scan.coverage
}

struct Scan<'s, 'f> {
    needles: &'s Needles,
    path: &'s str,
    sink: &'f mut dyn FnMut(Finding),
    coverage: SecretCoverage,
    line: u64,
    chunk: usize,
    /// Where in a pack the object lies that is being looked through.
    object: Option<u64>,
}

impl<'s, 'f> Scan<'s, 'f> {
    fn new(needles: &'s Needles, path: &'s str, sink: &'f mut dyn FnMut(Finding), chunk: usize) -> Self {
        Self { needles, path, sink, coverage: SecretCoverage::default(), line: 1, chunk, object: None }
    }

    fn whole<'a>(&mut self, mut reader: impl Read + Send + 'a) -> io::Result<()> {
        let mut head = Vec::new();
        reader.by_ref().take(git::HEAD).read_to_end(&mut head)?;
        let stored = git::stored(&head, self.path);
        let whole = Cursor::new(head).chain(reader);
        match stored {
            Some(Stored::Pack) => {
                let mut whole = BufReader::with_capacity(256 << 10, whole);
                let unresolved = git::pack(&mut whole, &mut |at, object| {
                    self.object = Some(at);
                    self.line = 1;
                    self.stream(object)
                });
                self.object = None;
                let unresolved = unresolved?;
                if unresolved > 0 {
                    let words = "objects are stored as changes of others that were not at hand: only what they add was";
                    self.coverage.partly = Some(format!("{unresolved} {words} searched (git repack -adf mends it)"));
                }
                Ok(())
            }
            Some(Stored::Loose) => self.stream(&mut git::loose(BufReader::new(whole))),
            None => match decode(whole)? {
                Decoded::Stream(mut stream) => self.stream(&mut stream),
                Decoded::Unsupported(kind) => {
                    let reason = format!("{kind} is not read by this version: decompress it first");
                    self.coverage.unreadable = Some(reason);
                    Ok(())
                }
            },
        }
    }

    fn stream(&mut self, stream: &mut dyn BufRead) -> io::Result<()> {
        // Twice: what decides between two forms that overlap must be in the window too.
        let overlap = 2 * self.needles.longest() + 64;
        let mut window: Vec<u8> = Vec::new();
        // Bytes at the start of the window whose occurrences were already given, and its place in the stream.
        let (mut done, mut base) = (0, 0_u64);
        loop {
            let before = window.len();
            let failed = stream.take(self.chunk as u64).read_to_end(&mut window).err();
            self.coverage.bytes += (window.len() - before) as u64;
            let last = failed.is_some() || window.len() == before;
            // What starts near the end could go on in the next chunk: it is left to the next round.
            let limit = if last { window.len() } else { window.len().saturating_sub(overlap).max(done) };
            self.give(&window, done, limit, base);
            if let Some(error) = failed {
                return Err(error);
            }
            if last {
                return Ok(());
            }
            // Some bytes before stay, for the look at what stands before a key.
            let keep_from = limit.saturating_sub(overlap);
            self.line += newlines(&window[..keep_from]);
            base += keep_from as u64;
            done = limit - keep_from;
            window.drain(..keep_from);
        }
    }

    /// Gives the occurrences that start in `from..to`.
    fn give(&mut self, window: &[u8], from: usize, to: usize, base: u64) {
        let needles = self.needles;
        let (mut line, mut counted) = (self.line, 0);
        let mut last: Option<Mark<'_>> = None;
        for mark in needles.find(window) {
            let (start, _) = mark.range();
            if !(from..to).contains(&start) || last.as_ref().is_some_and(|last| same(last, &mark)) {
                continue;
            }
            line += newlines(&window[counted..start]);
            counted = start;
            self.finding(&mark, window, line, base + start as u64);
            last = Some(mark);
        }
    }

    fn finding(&mut self, mark: &Mark<'_>, window: &[u8], line: u64, offset: u64) {
        let mut matched = Map::new();
        let rule = match mark {
            Mark::Value { credential, encoding, .. } => {
                matched.insert("credential".into(), (*credential).into());
                matched.insert("encoding".into(), (*encoding).into());
                RuleRef {
                    id: format!("secret.value.{credential}"),
                    title: format!("Value of {credential} found"),
                    level: Level::Critical,
                }
            }
            Mark::Shape(seen) => {
                matched.insert("shape".into(), seen.id.into());
                let length = seen.end - seen.start;
                if seen.known > 0 && length >= seen.known + HIDDEN {
                    let known = &window[seen.start..seen.start + seen.known];
                    matched.insert("starts_with".into(), String::from_utf8_lossy(known).into());
                }
                matched.insert("length".into(), length.into());
                let (title, level) = (seen.title.to_owned(), seen.level);
                RuleRef { id: format!("secret.shape.{}", seen.id), title, level }
            }
        };
        matched.insert("offset".into(), offset.into());
        let mut event = Map::from_iter([("offset".to_owned(), Value::from(offset))]);
        if let Some(at) = self.object {
            matched.insert("pack_offset".into(), at.into());
            event.insert("pack_offset".into(), at.into());
        }
        let source =
            Source::File { path: self.path.to_owned(), record: self.coverage.findings, line: Some(line), offset: None };
        self.coverage.findings += 1;
        let id = finding_id(FindingKind::Secret, &rule.id, &source);
        (self.sink)(Finding { id, kind: FindingKind::Secret, rule, time: None, source, matched, event });
    }
}

/// Whether two occurrences in order are one secret seen under two encodings (as base64 and base64url, whole and inner).
fn same(last: &Mark<'_>, mark: &Mark<'_>) -> bool {
    let overlaps = mark.range().0 < last.range().1;
    match (last, mark) {
        (Mark::Value { credential: a, .. }, Mark::Value { credential: b, .. }) => overlaps && a == b,
        (Mark::Shape(a), Mark::Shape(b)) => overlaps && a.id == b.id,
        _ => false,
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use base64::Engine as _;
    use proptest::prelude::*;

    use super::*;

    const VALUE: &str = "S3cr/et+\"value\"&42";

    fn run(input: &[u8], chunk: usize) -> (Vec<Finding>, SecretCoverage) {
        let needles = Needles::new(&[("db", VALUE), ("pin", "1234")]).unwrap();
        assert_eq!(needles.too_short(), ["pin"]);
        let mut found = Vec::new();
        let mut sink = |finding| found.push(finding);
        let mut scan = Scan::new(&needles, "f", &mut sink, chunk);
        let Decoded::Stream(mut stream) = decode(input).unwrap() else { panic!("not decoded") };
        scan.stream(&mut stream).unwrap();
        let coverage = scan.coverage;
        (found, coverage)
    }

    fn encoded() -> Vec<(&'static str, String)> {
        let base64 = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
        vec![
            ("plain", VALUE.to_owned()),
            ("base64", base64(format!("user:{VALUE}"))),
            ("base64", base64(format!("u:{VALUE}xyz"))),
            ("base64", base64(format!("abc{VALUE}."))),
            ("hex", hex::encode(VALUE)),
            ("url", "S3cr%2Fet%2B%22value%22%2642".into()),
            ("json", serde_json::to_string(VALUE).unwrap()),
        ]
    }

    #[test]
    fn values_are_found_in_every_encoding_and_never_shown() {
        for (encoding, text) in encoded() {
            let input = format!("first\nsecond {text} after\n");
            let (found, _) = run(input.as_bytes(), CHUNK);
            assert_eq!(found.len(), 1, "{encoding} {text}: {found:?}");
            assert_eq!(found[0].matched["encoding"], encoding, "{text}");
            assert!(matches!(&found[0].source, Source::File { line: Some(2), record: 0, .. }));
            let json = serde_json::to_string(&found).unwrap();
            assert!(!json.contains("S3cr") && !json.contains(&text), "{json}");
        }
    }

    #[test]
    fn shapes_show_four_characters() {
        let key = format!("{}{}", "AKIA", "Q3EGRIZJ5T7KXW2M");
        let (found, _) = run(format!("id {key}").as_bytes(), CHUNK);
        assert_eq!(found[0].matched["starts_with"], "AKIA");
        assert!(!serde_json::to_string(&found).unwrap().contains("Q3EG"));
    }

    #[test]
    fn gz_is_looked_through() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writeln!(encoder, "x {VALUE}").unwrap();
        assert_eq!(run(&encoder.finish().unwrap(), CHUNK).0.len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn where_chunks_end_changes_nothing(gaps in proptest::collection::vec(0_usize..6_000, 1..6), chunk in 1_000_usize..9_000) {
            let mut input = Vec::new();
            for (gap, (_, text)) in gaps.iter().zip(encoded()) {
                input.extend(std::iter::repeat_n(b".\n", *gap).flatten());
                input.extend_from_slice(text.as_bytes());
                input.push(b'\n');
            }
            let (whole, cut) = (run(&input, CHUNK), run(&input, chunk));
            prop_assert_eq!(whole.0.len(), gaps.len());
            prop_assert_eq!(whole, cut);
        }
    }
}
