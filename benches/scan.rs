//! What the log scan costs: MB of log a second of one core's processor time, beside ripgrep with 100 literals on one thread over
//! the same bytes in the same run (if `rg` is there), and beside inflating alone, with what is used here and with `gzip -dc`.
//! Then the program itself: two cores beside one (by the clock; `taskset` pins them), and the most memory that it held, with a
//! million indicators too: `cargo bench --bench scan`.
//!
//! With `PORTCULLIS_SHARED_DATA` the rules of others that lie in that folder are run, and its `CloudTrail` captures and access log
//! are scanned too, repeated; without it the shipped rules. Rules are made up to 100. `PORTCULLIS_BENCH_MB` is the size of each log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis::adapters::policy_files;
use portcullis::detect::logs::{Ruleset, ScanOptions, scan_reader};
use portcullis::policy::shipped::SHIPPED;

mod logs;

/// Rounds; the best of each counts.
const ROUNDS: usize = 5;
/// Rules, and literals for ripgrep.
const RULES: usize = 100;

/// Most memory that the program may hold, in MB, and least that two cores are to be faster than one, in hundredths.
const MEMORY: u64 = 64;
const TWO_CORES: u128 = 180;
/// Indicators with which its memory is looked at too.
const MILLION: usize = 1_000_000;

/// The rules that come with the program.
fn shipped() -> Vec<(String, String)> {
    let shipped = SHIPPED.iter().filter(|(path, _)| path.starts_with("logs/"));
    shipped.map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

/// Rule files below a folder of the shared data, or the shipped ones, and as many made-up ones as are missing.
fn rules(folder: Option<&Path>, field: &str, source: &str) -> Vec<(String, String)> {
    let mut texts: Vec<(String, String)> = if let Some(folder) = folder {
        policy_files::read(folder).expect("rules of others").into_iter().collect()
    } else {
        shipped()
    };
    let made = |number: &usize| {
        let name = literal(*number);
        let text = format!(
            "title: made {number}\nid: made-{number}\nlogsource: {source}\ndetection:\n  s:\n    {field}: {name}\n  condition: s\n"
        );
        (format!("made/{number}.yml"), text)
    };
    let count = ruleset(&texts).rules().len();
    texts.extend((0..RULES.saturating_sub(count)).map(|number| made(&number)));
    texts
}

fn ruleset(texts: &[(String, String)]) -> Ruleset {
    Ruleset::from_texts(texts.iter().map(|(path, text)| (path.as_str(), text.as_str())))
}

/// Words of rules that could be names of events, as many as ripgrep is given; made-up ones fill up what is missing.
fn words(folder: Option<&Path>) -> Vec<String> {
    let texts = folder.map(|folder| policy_files::read(folder).expect("rules of others")).unwrap_or_default();
    let detections = texts.values().filter_map(|text| text.split_once("detection:").map(|(_, detection)| detection));
    let words = detections.flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric()));
    let name = |word: &&str| word.len() > 8 && word.bytes().filter(u8::is_ascii_uppercase).count() > 1;
    let mut words: Vec<String> = words.filter(name).map(str::to_owned).collect();
    words.sort();
    words.dedup();
    // Texts that stand in most events say nothing about a search.
    words.retain(|word| {
        !["AssumedRole", "AwsServiceEvent", "ConsoleLogin", "GetCallerIdentity"].contains(&word.as_str())
    });
    words.extend((0..RULES).map(literal));
    words.truncate(RULES);
    words
}

/// A name that no log holds.
fn literal(number: usize) -> String {
    let verbs = ["Delete", "Disable", "Modify", "Detach", "Revoke"];
    let nouns = ["Shield", "Ledger", "Vault", "Beacon", "Custody", "Margin", "Escrow", "Signer", "Quorum", "Treasury"];
    format!("{}{}{}", verbs[number % 5], nouns[number / 5 % 10], ["Policy", "Binding"][number / 50 % 2])
}

/// MB a second for so many bytes in the best of the rounds, by ticks of processor time.
fn speed(bytes: u64, mut round: impl FnMut() -> u64) -> u64 {
    let best = (0..ROUNDS).map(|_| round()).min().unwrap_or(1).max(1);
    bytes / 10_000 / best
}

fn scan(rules: &Ruleset, path: &Path) -> (u64, u64, u64) {
    let (mut found, mut events) = (0, 0);
    let bytes = inflated(path);
    let speed = speed(bytes, || {
        found = 0;
        let before = logs::processor_ticks().0;
        let file = File::open(path).unwrap();
        let coverage = scan_reader(rules, "log", file, &ScanOptions::default(), &mut |_| found += 1);
        events = coverage.events;
        logs::processor_ticks().0 - before
    });
    (speed, found, events)
}

/// Bytes of a log once it is inflated.
fn inflated(path: &Path) -> u64 {
    if path.extension().is_none_or(|ending| ending != "gz") {
        return fs::metadata(path).unwrap().len();
    }
    std::io::copy(
        &mut flate2::bufread::MultiGzDecoder::new(std::io::BufReader::new(File::open(path).unwrap())),
        &mut std::io::sink(),
    )
    .unwrap()
}

/// The speed of another program on so many bytes; nothing if it is not there.
fn peer(program: &str, arguments: &[&str], paths: &[&Path], bytes: u64) -> Option<u64> {
    let run = || Command::new(program).args(arguments).args(paths).stdout(Stdio::null()).status().ok();
    run()?;
    Some(speed(bytes, || {
        let before = logs::processor_ticks().1;
        run();
        logs::processor_ticks().1 - before
    }))
}

fn ripgrep(path: &Path, literals: &Path) -> Option<u64> {
    let bytes = fs::metadata(path).unwrap().len();
    peer("rg", &["--no-config", "-j1", "-a", "-c", "-F", "-f"], &[literals, path], bytes)
}

fn inflating(path: &Path) -> u64 {
    speed(inflated(path), || {
        let before = logs::processor_ticks().0;
        let mut reader = flate2::bufread::MultiGzDecoder::new(std::io::BufReader::with_capacity(
            64 << 10,
            File::open(path).unwrap(),
        ));
        let mut buffer = vec![0; 256 << 10];
        while reader.read(&mut buffer).unwrap() > 0 {}
        logs::processor_ticks().0 - before
    })
}

/// How long the program takes for a log on some cores, and the most memory that it held; nothing if `taskset` is not there.
fn program(cores: &str, rules: &Path, list: Option<&Path>, log: &Path) -> Option<(Duration, u64)> {
    let mut command = Command::new("taskset");
    command.args(["-c", cores, env!("CARGO_BIN_EXE_portcullis"), "scan", "logs", "--rules"]).arg(rules);
    if let Some(list) = list {
        command.arg("--indicators").arg(list);
    }
    command.arg(log).current_dir(log.parent().unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn().ok()?;
    let mut memory = 0;
    loop {
        memory = logs::resident_of(&child.id().to_string()).1.max(memory);
        if child.try_wait().unwrap().is_some() {
            return Some((begun.elapsed(), memory));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The program on a log: two cores beside one, and its memory.
fn whole(folder: &Path, texts: &[(String, String)], log: &Path) {
    let rules = folder.join("rules");
    for (path, text) in texts {
        let file = rules.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let run = |cores: &str| {
        let runs: Option<Vec<_>> = (0..ROUNDS).map(|_| program(cores, &rules, None, log)).collect();
        let runs = runs?;
        Some((runs.iter().map(|run| run.0).min()?.as_millis(), runs.iter().map(|run| run.1).max()?))
    };
    let Some(((one, _), (two, memory))) = run("0").zip(run("0,1")) else {
        println!("the program: taskset is not there");
        return;
    };
    let ratio = one * 100 / two.max(1);
    println!(
        "the program: {one} ms on one core, {two} ms on two: {}.{:02} x (bar: {}.{:02} x)",
        ratio / 100,
        ratio % 100,
        TWO_CORES / 100,
        TWO_CORES % 100
    );
    // What the machine gives: a process on each core, with half of the lines each.
    let text = fs::read(log).unwrap();
    let middle = text.len() / 2 + memchr::memchr(b'\n', &text[text.len() / 2..]).unwrap_or(0);
    let halves = [("0", &text[..middle]), ("1", &text[middle..])].map(|(core, half)| {
        let path = folder.join(format!("half{core}.jsonl"));
        fs::write(&path, half).unwrap();
        (core, path)
    });
    let apart = || {
        std::thread::scope(|scope| {
            let runs = halves.each_ref().map(|(core, half)| scope.spawn(|| program(core, &rules, None, half)));
            runs.map(|run| run.join().unwrap().map_or(Duration::ZERO, |run| run.0)).into_iter().max()
        })
    };
    let apart = (0..ROUNDS).filter_map(|_| apart()).min().map_or(0, |time| time.as_millis());
    println!("    two programs, each on one core with half of it: {apart} ms");
    let list = folder.join("list");
    fs::write(&list, logs::indicators(MILLION)).unwrap();
    let with = program("0,1", &rules, Some(&list), log).map_or(0, |run| run.1);
    println!("    its memory: {} MB, with a million indicators {} MB (bar: {MEMORY} MB)", memory >> 20, with >> 20);
}

/// Lines repeated up to a size.
fn repeated(lines: &str, size: usize) -> String {
    lines.repeat(size / lines.len().max(1) + 1)
}

/// The captures of others as JSON lines.
fn captures(folder: &Path) -> String {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    let mut lines = String::new();
    for path in paths {
        let read: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let records = read.get("Records").unwrap_or(&read);
        for record in records.as_array().map_or(std::slice::from_ref(records), Vec::as_slice) {
            lines.push_str(&format!("{record}\n"));
        }
    }
    lines
}

fn main() {
    let size = std::env::var("PORTCULLIS_BENCH_MB").ok().and_then(|size| size.parse().ok()).unwrap_or(256_usize) << 20;
    let shared = std::env::var_os("PORTCULLIS_SHARED_DATA").map(PathBuf::from);
    let folder = tempfile::tempdir().unwrap();
    let literals = folder.path().join("literals");
    let below = |path: &str| shared.as_ref().map(|shared| shared.join(path));
    fs::write(&literals, words(below("sigma/rules/cloud/aws/cloudtrail").as_deref()).join("\n") + "\n").unwrap();
    let cloud =
        rules(below("sigma/rules/cloud/aws/cloudtrail").as_deref(), "eventName", "{product: aws, service: cloudtrail}");
    let web = rules(below("sigma/rules/web").as_deref(), "c-uri|contains", "{category: webserver}");
    let log = folder.path().join("whole.jsonl");
    fs::write(&log, logs::cloudtrail(size).repeat(4)).unwrap();
    whole(folder.path(), &cloud, &log);
    fs::remove_file(&log).unwrap();
    let shipped = shipped();
    let mut bodies = vec![
        ("CloudTrail, quiet", &cloud, logs::cloudtrail(size)),
        ("access log, quiet", &web, logs::access(size)),
        ("CloudTrail, quiet, shipped rules", &shipped, logs::cloudtrail(size)),
        ("access log, quiet, shipped rules", &shipped, logs::access(size)),
        ("sshd, shipped rules", &shipped, logs::sshd(size / 8)),
        ("PostgreSQL, shipped rules", &shipped, logs::postgres(size / 8)),
    ];
    if let Some(shared) = &shared {
        bodies.push(("CloudTrail captures", &cloud, repeated(&captures(&shared.join("cloudtrail/stratus")), size)));
        let mut access = String::new();
        let file = File::open(shared.join("text/elastic-examples/apache_access.log.gz")).unwrap();
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut access).unwrap();
        bodies.push(("Apache access log", &web, repeated(&access, size)));
    }
    for (name, texts, text) in bodies {
        let rules = &ruleset(texts);
        let path = folder.path().join("log");
        fs::write(&path, &text).unwrap();
        let (speed, found, events) = scan(rules, &path);
        let rg = ripgrep(&path, &literals);
        let beside = rg.map_or_else(
            || "ripgrep is not there".to_owned(),
            |rg| format!("ripgrep {rg} MB/s, {}.{:02} x of it", speed / rg.max(1), speed * 100 / rg.max(1) % 100),
        );
        println!("{name}: {} rules {speed} MB/s, {found} findings in {events} events; {beside}", rules.rules().len());
        let packed = folder.path().join("log.gz");
        let mut encoder = flate2::write::GzEncoder::new(File::create(&packed).unwrap(), flate2::Compression::default());
        encoder.write_all(&text.as_bytes()[..text.len() / 4]).unwrap();
        encoder.finish().unwrap();
        let (speed, alone) = (scan(rules, &packed).0, inflating(&packed));
        println!(
            "    gzip: {speed} MB/s, inflating alone {alone} MB/s: {}.{:02} x its time",
            alone / speed,
            alone * 100 / speed % 100
        );
        if let Some(gzip) = peer("gzip", &["-dc"], &[&packed], inflated(&packed)) {
            println!("    gzip -dc alone {gzip} MB/s: {}.{:02} x its speed", speed / gzip, speed * 100 / gzip % 100);
        }
    }
    println!("most memory, the logs that were made included: {} MB", logs::resident().1 >> 20);
}
