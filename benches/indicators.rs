//! What indicators cost: the same bytes scanned with the shipped rules and 0, 10,000 and 1,000,000 indicators, in turn, on one
//! thread. Prints MB of log a second of processor time, the ratio to none, and the memory that the indicators take:
//! `cargo bench --bench indicators`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

use std::fmt::Write as _;

use portcullis::detect::indicators::Reader;
use portcullis::detect::logs::{Ruleset, ScanOptions, scan_reader};
use portcullis::policy::shipped::SHIPPED;

/// Bytes of each log.
const LOG: usize = 128 << 20;
/// Rounds; the best of each counts.
const ROUNDS: usize = 5;

/// Numbers that look like chance and are the same on every run (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn letters(&mut self, alphabet: &[u8], count: usize) -> String {
        (0..count).map(|_| char::from(alphabet[usize::try_from(self.next(alphabet.len() as u64)).unwrap()])).collect()
    }

    fn address(&mut self) -> String {
        format!("{}.{}.{}.{}", 11 + self.next(80), self.next(256), self.next(256), 1 + self.next(254))
    }
}

const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const HEX: &[u8] = b"0123456789abcdef";

/// CloudTrail as JSON lines: quiet events, which no rule is about.
fn cloudtrail() -> String {
    let mut dice = Dice(7);
    let names =
        ["DescribeInstances", "HeadObject", "GetObject", "DescribeVolumes", "GetMetricData", "ListTagsForResource"];
    let services = ["ec2", "s3", "monitoring", "rds"];
    let mut text = String::new();
    while text.len() < LOG {
        let (name, service) =
            (names[usize::try_from(dice.next(6)).unwrap()], services[usize::try_from(dice.next(4)).unwrap()]);
        let (key, id, request) = (dice.letters(UPPER, 16), dice.letters(HEX, 12), dice.letters(HEX, 12));
        let (second, address, user) = (dice.next(60), dice.address(), dice.letters(LOWER, 8));
        writeln!(
            text,
            "{{\"eventVersion\":\"1.09\",\"userIdentity\":{{\"type\":\"IAMUser\",\"principalId\":\"AIDA{key}\",\"arn\":\
             \"arn:aws:iam::123456789012:user/{user}\",\"accountId\":\"123456789012\",\"accessKeyId\":\"AKIA{key}\",\"userName\":\
             \"{user}\"}},\"eventTime\":\"2026-11-24T01:02:{second:02}Z\",\"eventSource\":\"{service}.amazonaws.com\",\"eventName\":\
             \"{name}\",\"awsRegion\":\"eu-central-1\",\"sourceIPAddress\":\"{address}\",\"userAgent\":\"aws-sdk-java/2.25.11 \
             Linux/5.10.220 OpenJDK_64-Bit_Server_VM/17.0.11\",\"requestParameters\":{{\"bucketName\":\"trades-{user}\",\"Host\":\
             \"trades-{user}.s3.eu-central-1.amazonaws.com\"}},\"responseElements\":null,\"requestID\":\"c8f99ffe-e27c-41ab-84a4-\
             {request}\",\"eventID\":\"48c0979a-5d65-43f7-aa41-{id}\",\"readOnly\":true,\"eventType\":\"AwsApiCall\",\"managementEvent\":\
             true,\"recipientAccountId\":\"123456789012\",\"eventCategory\":\"Management\",\"tlsDetails\":{{\"tlsVersion\":\"TLSv1.3\",\
             \"cipherSuite\":\"TLS_AES_128_GCM_SHA256\",\"clientProvidedHostHeader\":\"{service}.eu-central-1.amazonaws.com\"}}}}"
        )
        .unwrap();
    }
    text
}

/// nginx's combined format.
fn access() -> String {
    let mut dice = Dice(11);
    let mut text = String::new();
    while text.len() < LOG {
        let (address, second, path, size) = (dice.address(), dice.next(60), dice.letters(LOWER, 9), dice.next(90_000));
        writeln!(
            text,
            "{address} - - [24/Nov/2026:01:02:{second:02} +0000] \"GET /api/v1/orders/{path}?page=3 HTTP/1.1\" 200 {size} \
             \"https://trade.example.com/orders\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/131.0.0.0 Safari/537.36\""
        )
        .unwrap();
    }
    text
}

/// A list as people have them: addresses and networks, domains, digests, key ids and wallets, a few texts.
fn list(count: usize) -> String {
    let mut dice = Dice(13);
    let mut text = String::new();
    for number in 0..count {
        let line = match number % 20 {
            // Out of the range of the logs' addresses: what is measured is the looking.
            0..=7 => format!("{}.{}.{}.{}", 130 + dice.next(30), dice.next(256), dice.next(256), dice.next(256)),
            8 => format!("{}.{}.{}.0/24", 130 + dice.next(30), dice.next(256), dice.next(256)),
            9 => format!("2a02:{:x}:{:x}::{:x}", dice.next(65_536), dice.next(65_536), 1 + dice.next(65_535)),
            10..=13 => format!("{}.example-{}.net", dice.letters(LOWER, 6), dice.letters(LOWER, 5)),
            14..=16 => dice.letters(HEX, 64),
            17 => format!("AKIA{}", dice.letters(UPPER, 16)),
            18 => format!("0x{}", dice.letters(HEX, 40)),
            _ if number % 200 == 19 => format!("string:{} {}", dice.letters(LOWER, 7), dice.letters(LOWER, 7)),
            _ => format!("https://{}.example.org/{}", dice.letters(LOWER, 8), dice.letters(LOWER, 6)),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Clock ticks (hundredths of a second) of processor time that this process has used.
fn processor_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<u64> = after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    fields.iter().sum()
}

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

fn rules(count: usize) -> Ruleset {
    let rules = Ruleset::from_texts(SHIPPED.iter().filter(|(path, _)| path.starts_with("logs/")).copied());
    let list = list(count);
    let before = resident();
    let mut reader = Reader::default();
    reader.read("list", list.as_bytes());
    let indicators = reader.finish();
    if count > 0 {
        let held = resident().saturating_sub(before) >> 20;
        println!("{} indicators ({} refused) take {held} MB", indicators.len(), indicators.files()[0].refused);
    }
    rules.with_indicators(indicators)
}

fn main() {
    let sets = [0, 10_000, 1_000_000].map(|count| (count, rules(count)));
    for (name, log) in [("CloudTrail", cloudtrail()), ("access log", access())] {
        let mut best = [u64::MAX; 3];
        for _ in 0..ROUNDS {
            for (at, (_, rules)) in sets.iter().enumerate() {
                let before = processor_ticks();
                let mut found = 0_u64;
                let coverage = scan_reader(rules, "log", log.as_bytes(), &ScanOptions::default(), &mut |_| found += 1);
                best[at] = best[at].min((processor_ticks() - before).max(1));
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
