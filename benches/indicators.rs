//! What indicators cost: the same bytes scanned with the shipped rules and 0, 10,000 and 1,000,000 indicators, in turn, on one
//! thread. Prints MB of log a second of processor time, the ratio to none, and the memory that the indicators take:
//! `cargo bench --bench indicators`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

use portcullis::detect::indicators::Reader;
use portcullis::detect::logs::{Ruleset, ScanOptions, scan_reader};
use portcullis::policy::shipped::SHIPPED;

mod logs;

use logs::{processor_ticks, resident};

/// Bytes of each log.
const LOG: usize = 128 << 20;
/// Rounds; the best of each counts.
const ROUNDS: usize = 5;

fn rules(count: usize) -> Ruleset {
    let rules = Ruleset::from_texts(SHIPPED.iter().filter(|(path, _)| path.starts_with("logs/")).copied());
    let list = logs::indicators(count);
    let before = resident().0;
    let mut reader = Reader::default();
    reader.read("list", list.as_bytes());
    let indicators = reader.finish();
    if count > 0 {
        let held = resident().0.saturating_sub(before) >> 20;
        println!("{} indicators ({} refused) take {held} MB", indicators.len(), indicators.files()[0].refused);
    }
    rules.with_indicators(indicators)
}

fn main() {
    let sets = [0, 10_000, 1_000_000].map(|count| (count, rules(count)));
    for (name, log) in [("CloudTrail", logs::cloudtrail(LOG)), ("access log", logs::access(LOG))] {
        let mut best = [u64::MAX; 3];
        for _ in 0..ROUNDS {
            for (at, (_, rules)) in sets.iter().enumerate() {
                let before = processor_ticks().0;
                let mut found = 0_u64;
                let coverage = scan_reader(rules, "log", log.as_bytes(), &ScanOptions::default(), &mut |_| found += 1);
                best[at] = best[at].min((processor_ticks().0 - before).max(1));
                assert_eq!((found, coverage.broken), (0, 0), "the log holds what is looked for");
            }
        }
        for (at, (count, _)) in sets.iter().enumerate() {
            let speed = log.len() as u64 / 10_000 / best[at];
            let hundredths = best[at] * 100 / best[0];
            println!(
                "{name}: {count:>9} indicators {speed:>6} MB/s, {}.{:02} x none",
                hundredths / 100,
                hundredths % 100
            );
        }
    }
}
