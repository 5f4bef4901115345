use proptest::prelude::*;

use super::super::shard::{Size, pieces};
use super::super::{Blocks, Correlator, Head, Ordered, Ruleset, ScanOptions, scan};
use super::*;

const RULES: &str = "\
title: needle
id: r-needle
detection:
  k:
    - needle
  condition: k
---
title: deep
id: r-deep
level: high
detection:
  k:
    'f|contains': stop
  condition: k
---
title: often
id: r-often
correlation:
  type: event_count
  rules:
    - r-needle
  group-by:
    - f
  timespan: 5m
  condition:
    gte: 2
---
title: both
id: r-both
correlation:
  type: temporal
  rules:
    - r-needle
    - r-deep
  timespan: 1h
  generate: true
";

/// What a whole scan comes to.
#[derive(Debug, PartialEq)]
struct Whole {
    findings: Vec<Finding>,
    said: Vec<(String, Coverage)>,
    notes: Vec<String>,
}

type Files = [(String, Vec<u8>)];

fn unsharded(rules: &Ruleset, files: &Files, options: &ScanOptions) -> Whole {
    let mut whole = Whole { findings: Vec::new(), said: Vec::new(), notes: Vec::new() };
    let mut correlator = Correlator::default();
    for (path, bytes) in files {
        let mut blocks = Blocks::new(bytes.as_slice(), options);
        let mut ordered = Ordered::new(path, blocks.format());
        while let Some(block) = blocks.next_block() {
            let scanned = scan(rules, &block, options);
            ordered.take(rules, scanned, &mut |f| whole.findings.push(f), &mut |fed| correlator.add(&fed));
        }
        whole.said.push((path.clone(), ordered.finish(blocks.failed())));
    }
    whole.notes = correlator.finish(rules, &mut |f| whole.findings.push(f));
    whole
}

/// The lines of one shard, as they are written.
fn sharded(rules: &Ruleset, files: &Files, options: &ScanOptions, shard: Shard, cut: u64) -> Vec<String> {
    let sizes: Vec<Size> =
        files.iter().map(|(_, bytes)| Size { bytes: bytes.len() as u64 * 1_000, packed: false }).collect();
    let head = |file: usize| {
        let bytes = &files[file].1;
        Head::of(&bytes[..bytes.len().min(Head::BYTES)], options)
    };
    let mut lines = Vec::new();
    let mut write = |line: Line| lines.push(serde_json::to_string(&line).unwrap());
    for piece in pieces(shard, &sizes, cut * 1_000, |file| head(file).is_some()) {
        let (path, bytes) = &files[piece.file];
        // As if a byte were a thousand: small files are then worth sharing.
        let range = Range { from: piece.range.from / 1_000, to: piece.range.to.map(|to| to / 1_000) };
        write(Line::Piece { file: piece.file as u64, path: path.clone(), range });
        let rest = &bytes[usize::try_from(range.begin()).unwrap()..];
        let mut blocks = match head(piece.file) {
            Some(head) if range != Range::ALL => Blocks::part(rest, &head, &range),
            _ => Blocks::new(rest, options),
        };
        let mut ordered = Ordered::new(path, blocks.format());
        while let Some(block) = blocks.next_block() {
            let (mut found, mut fed) = (Vec::new(), Vec::new());
            ordered.take(rules, scan(rules, &block, options), &mut |f| found.push(f), &mut |one| fed.push(one));
            for finding in found {
                write(Line::Finding(Box::new(finding)));
            }
            for event in fed {
                write(Line::Event(Box::new(event)));
            }
        }
        write(Line::Coverage(Box::new(ordered.finish(blocks.failed()))));
    }
    lines
}

fn merged(rules: &Ruleset, shards: &[Option<Vec<String>>], files: usize) -> Result<Whole, Mismatch> {
    let mut merge = Merge::default();
    let mut correlator = Correlator::default();
    let mut findings = Vec::new();
    for lines in shards {
        let Some(lines) = lines else {
            merge.skip();
            continue;
        };
        for line in lines {
            match merge.take(serde_json::from_str(line).unwrap())? {
                Some(Merged::Finding(finding)) => findings.push(finding),
                Some(Merged::Event(event)) => correlator.add(&event),
                None => {}
            }
        }
    }
    let Covered { files: said, mut gaps } = merge.finish(files as u64)?;
    let mut notes = correlator.finish(rules, &mut |finding| findings.push(finding));
    notes.append(&mut gaps);
    Ok(Whole { findings, said, notes })
}

/// A line of one of the forms that logs have.
fn line(form: usize, word: &str, n: usize) -> String {
    let at = format!("2026-11-24T01:{:02}:{:02}Z", n / 3 % 60, n % 60);
    match form {
        0 | 1 => format!("{{\"time\":\"{at}\",\"f\":\"{word}\",\"n\":{n}.1e-3}}\n"),
        2 => {
            format!("1.2.3.4 - - [24/Nov/2026:01:{:02}:03 +0000] \"GET /{word} HTTP/1.1\" 200 5 \"-\" \"x\"\n", n % 60)
        }
        3 => format!("Nov 24 01:{:02}:03 host prog[1]: f={word}\n", n % 60),
        4 => format!("2026-11-24 01:{:02}:03 UTC [5] eve@db LOG:  statement: {word}\n\tneedle {n}\n\n", n % 60),
        5 => format!("{at},\"{word}\n{n}\",x\n"),
        6 => format!("__REALTIME_TIMESTAMP=1764000{n:03}000000\nMESSAGE={word}\nN=1\n\n"),
        7 => format!("time={at} level=info f={word} n={n}\n"),
        _ => format!("{word} {n}\n"),
    }
}

fn file(form: usize, words: &[(String, usize)], mark: bool, cut_off: bool) -> Vec<u8> {
    let mut text = String::from(if mark { "\u{feff}" } else { "" });
    match form {
        1 => text.push('['),
        5 => text.push_str("time,f,other\n"),
        _ => {}
    }
    for (at, (word, n)) in words.iter().enumerate() {
        if form == 1 && at > 0 {
            text.push(',');
        }
        text.push_str(&line(form, word, *n));
    }
    let mut bytes = text.into_bytes();
    if cut_off {
        bytes.truncate(bytes.len().saturating_sub(7));
    }
    bytes
}

const WORD: &str = "(needle|NEEDLE|stop|stopneedle|hay|\\{|\\}|\\\\|\\\\u006eeedle|x{300}|)";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_number_of_shards_gives_what_one_scan_gives(
        files in proptest::collection::vec((
            0..9_usize,
            proptest::collection::vec((proptest::string::string_regex(WORD).unwrap(), 0..200_usize), 0..40),
            any::<bool>(),
            any::<bool>(),
        ), 0..6),
        count in 1..8_u32,
        cut in prop_oneof![1..20_u64, 20..900_u64],
        lost in 0..8_u32,
    ) {
        let rules = Ruleset::from_texts([("r.yml", RULES)]);
        prop_assert_eq!(rules.skipped(), []);
        let options = ScanOptions { written: "2026-11-25T00:00:00Z".parse().unwrap(), ..ScanOptions::default() };
        let named: Vec<(String, Vec<u8>)> = files
            .iter()
            .enumerate()
            .map(|(at, (form, words, mark, cut_off))| (format!("{at}.log"), file(*form, words, *mark, *cut_off)))
            .collect();
        let whole = unsharded(&rules, &named, &options);
        let mut shards: Vec<Option<Vec<String>>> = (1..=count)
            .map(|index| {
                // Each shard compiles the rules anew, and sees other bytes first.
                let rules = Ruleset::from_texts([("r.yml", RULES)]);
                Some(sharded(&rules, &named, &options, Shard::new(index.into(), count.into()).unwrap(), cut))
            })
            .collect();
        let mut together = merged(&rules, &shards, named.len()).unwrap();
        for (whole, merged) in whole.said.iter().zip(&mut together.said) {
            // How many events were parsed depends on what the filter chose to look for, and is shown nowhere.
            merged.1.parsed = whole.1.parsed;
        }
        prop_assert_eq!(&whole, &together);

        // Without one of them it is never taken for whole, and the rest is still there.
        let lost = (lost % count) as usize;
        let taken = shards[lost].take().unwrap();
        let covers = |line: &String| matches!(serde_json::from_str(line), Ok(Line::Coverage(c)) if c.bytes > 0);
        let covered = taken.iter().any(covers);
        let part = merged(&rules, &shards, named.len()).unwrap();
        let single = |whole: &Whole| whole.findings.iter().filter(|f| f.event.get("events").is_none()).count();
        prop_assert!(single(&part) <= single(&whole));
        prop_assert!(!covered || part.said != whole.said);
        shards.remove(lost);
        prop_assert!(taken.is_empty() || merged(&rules, &shards, named.len()).is_err());
    }
}

fn header(shard: &str) -> Header {
    Header {
        version: VERSION,
        program: "1.0.0".into(),
        shard: shard.parse().unwrap(),
        rules: "aa".into(),
        options: Options { since: None, until: None, min_level: Level::Low, input_format: None },
        inputs: Inputs { files: 2, bytes: 9, sha256: "0123456789abcdef".into() },
        unreadable: Vec::new(),
    }
}

#[test]
fn missing_shards_are_named() {
    let named = |shards: &[&str]| shards.iter().map(|s| (format!("f{s}"), header(s))).collect::<Vec<_>>();
    assert_eq!(missing(&named(&["2/3", "1/3", "3/3"])), Ok(vec![]));
    assert_eq!(missing(&named(&["3/5", "1/5"])), Ok(vec![2, 4, 5]));
    let refused = |shards: &[(String, Header)]| missing(shards).unwrap_err().0;
    assert!(refused(&[]).contains("no shard"));
    assert!(refused(&named(&["1/3", "2/3", "2/3"])).contains("shard 2/3 is there twice: f2/3 and f2/3"));
    assert!(refused(&named(&["1/3", "2/4"])).contains("f2/4 was made with a split into another number of shards"));
}

#[test]
fn outputs_of_other_scans_are_refused_by_name() {
    type Change = (&'static str, fn(&mut Header));
    let changes: [Change; 6] = [
        ("form 2", |h| h.version = 2),
        ("another version of the program", |h| h.program = "1.0.1".into()),
        ("other rules", |h| h.rules = "bb".into()),
        ("other options", |h| h.options.since = Some(Timestamp::UNIX_EPOCH)),
        ("other inputs than one: 3 files, 9 bytes, 0123456789ab against 2 files", |h| h.inputs.files = 3),
        ("other inputs", |h| h.unreadable = vec![Unreadable { path: "x".into(), reason: "gone".into() }]),
    ];
    for (words, change) in changes {
        let mut other = header("2/2");
        change(&mut other);
        let error = missing(&[("one".into(), header("1/2")), ("two".into(), other)]).unwrap_err().0;
        assert!(error.starts_with("two") && error.contains(words), "{error}");
    }
}
