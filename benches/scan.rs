//! Throughput of the log scan and of the ledger's tree, on generated data: `cargo bench`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use portcullis::detect::logs::{Ruleset, ScanOptions, scan_reader};
use portcullis::ledger::merkle::Tree;
use portcullis::policy::shipped::SHIPPED;

/// Lines of an application log of which every hundredth is a trade by a script.
fn app_log(lines: usize) -> String {
    let mut text = String::new();
    for number in 0..lines {
        let agent = if number % 100 == 0 { "curl/8.5" } else { "trading-sdk/2.4.1" };
        text.push_str(&format!(
            "{{\"time\":\"2026-11-24T01:{:02}:{:02}Z\",\"level\":\"info\",\"event\":\"trade.created\",\"tradeId\":{number},\"apiKeyId\":\"key_1\",\"userAgent\":\"{agent}\",\"value\":\"120.00\"}}\n",
            number / 60 % 60,
            number % 60
        ));
    }
    text
}

fn scan(criterion: &mut Criterion) {
    let rules = Ruleset::from_texts(SHIPPED.iter().filter(|(path, _)| path.starts_with("logs/")).copied());
    let log = app_log(20_000);
    let mut group = criterion.benchmark_group("scan logs");
    group.throughput(Throughput::Bytes(log.len() as u64));
    for prefilter in [true, false] {
        let options = ScanOptions { prefilter, ..ScanOptions::default() };
        group.bench_function(if prefilter { "raw bytes filtered first" } else { "every event parsed" }, |bencher| {
            bencher.iter(|| {
                let mut found = 0_u64;
                let reader = Box::new(std::io::Cursor::new(log.clone().into_bytes()));
                black_box(scan_reader(&rules, "app.log", reader, &options, &mut |_| found += 1));
                found
            });
        });
    }
    group.finish();
}

fn tree(criterion: &mut Criterion) {
    let lines: Vec<Vec<u8>> = (0..10_000).map(|number| format!("{{\"entry\":{number}}}").into_bytes()).collect();
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(lines.len() as u64));
    group.bench_function("root over 10,000 entries", |bencher| {
        bencher.iter(|| {
            let mut tree = Tree::default();
            for line in &lines {
                tree.push(line);
            }
            black_box(tree.root())
        });
    });
    group.finish();
}

criterion_group!(benches, scan, tree);
criterion_main!(benches);
