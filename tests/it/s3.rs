//! Logs in S3, on moto: pages, ranges, cuts, changes, shards. A proxy before moto breaks what a network breaks.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::peers::address;
use crate::support::{Ran, finish, folder, program, run};

const RULE: &str = "title: r\nid: r\ndetection:\n  k:\n    - needle\n  condition: k\n";

/// A bucket on moto, and a proxy before it.
pub struct Bucket {
    /// `host:port` of moto.
    pub moto: String,
    pub name: String,
    pub proxy: String,
    pub faults: Arc<Faults>,
}

/// What the proxy does to answers to reads of an object whose key holds that word.
#[derive(Default)]
pub struct Faults {
    word: Mutex<String>,
    /// Answers that are still cut, and after how many bytes.
    cuts: AtomicUsize,
    after: AtomicUsize,
    /// An object that is written anew at the first cut.
    change: Mutex<Option<(String, Vec<u8>)>>,
    /// Requests with `Range`.
    pub ranges: AtomicUsize,
    /// Listings.
    pages: AtomicUsize,
}

/// Puts an object (or a bucket, or a setting of one); the answer.
pub fn put(moto: &str, path: &str, body: &[u8]) -> String {
    put_with(moto, path, "", body)
}

/// The same with more header lines, each with its end.
pub fn put_with(moto: &str, path: &str, more: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(moto).unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: {moto}\r\ncontent-length: {}\r\nconnection: close\r\n{more}\
         authorization: AWS4-HMAC-SHA256 Credential=a/20261124/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    answer
}

impl Bucket {
    pub fn make(name: &str) -> Option<Self> {
        let moto = address("PORTCULLIS_TEST_MOTO_URL")?.trim_start_matches("http://").to_owned();
        let name = format!("{name}-{}", std::process::id());
        put(&moto, &format!("/{name}"), b"");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = listener.local_addr().unwrap().to_string();
        let faults = Arc::new(Faults::default());
        let (behind, told, bucket) = (moto.clone(), faults.clone(), name.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (behind, faults, bucket) = (behind.clone(), told.clone(), bucket.clone());
                std::thread::spawn(move || pass(stream, &behind, &bucket, &faults));
            }
        });
        Some(Self { moto, name, proxy, faults })
    }

    pub fn put(&self, key: &str, body: &[u8]) -> String {
        put(&self.moto, &format!("/{}/{key}", self.name), body)
    }

    /// What the program needs to know to ask through the proxy.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ACCESS_KEY_ID", "a".into()),
            ("AWS_SECRET_ACCESS_KEY", "b".into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ENDPOINT_URL", format!("http://{}", self.proxy)),
        ]
    }

    pub fn cut(&self, word: &str, cuts: usize, after: usize) {
        word.clone_into(&mut self.faults.word.lock().unwrap());
        self.faults.cuts.store(cuts, Ordering::SeqCst);
        self.faults.after.store(after, Ordering::SeqCst);
    }

    fn scan(&self, root: &Path, prefix: &str, more: &[&str]) -> Ran {
        let mut command = program(root);
        command
            .envs(self.environment())
            .args(["--format", "json", "scan", "logs", &format!("s3://{}/{prefix}", self.name), "--rules", "r.yml"])
            .args(more);
        finish(&mut command)
    }
}

/// One request to moto and its answer, perhaps cut.
fn pass(mut client: TcpStream, moto: &str, bucket: &str, faults: &Faults) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let first = text.lines().next().unwrap_or_default();
    faults.pages.fetch_add(usize::from(first.contains("list-type=2")), Ordering::SeqCst);
    faults.ranges.fetch_add(usize::from(text.to_ascii_lowercase().contains("\r\nrange:")), Ordering::SeqCst);
    let mut server = TcpStream::connect(moto).unwrap();
    // Small pages, so that a few objects make many.
    let asked = text.replacen("list-type=2", "list-type=2&max-keys=20", 1);
    server.write_all(asked.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
    let length =
        text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let _ = std::io::copy(&mut (&mut client).take(length.unwrap_or(0)), &mut server);
    let mut answer = Vec::new();
    let _ = server.read_to_end(&mut answer);
    let word = faults.word.lock().unwrap().clone();
    let meant = !word.is_empty() && first.contains(&word) && !first.contains("list-type");
    let cut = meant && faults.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    if cut {
        answer.truncate(faults.after.load(Ordering::SeqCst));
        if let Some((key, body)) = faults.change.lock().unwrap().take() {
            put(moto, &format!("/{bucket}/{key}"), &body);
        }
    }
    let _ = client.write_all(&answer);
    let _ = client.shutdown(Shutdown::Both);
}

/// Lines of which every thousandth is one that is looked for.
fn log(lines: usize) -> String {
    let mut text = String::new();
    for n in 0..lines {
        let word = if n % 1_000 == 7 { "needle" } else { "hay" };
        text.push_str(&format!("{{\"n\":{n},\"time\":\"2026-11-24T01:02:03Z\",\"k\":\"{word}\"}}\n"));
    }
    text
}

/// The findings' places below the prefix.
fn places(ran: &Ran, prefix: &str) -> Vec<String> {
    let place = |finding: &serde_json::Value| {
        let source = &finding["source"];
        let path = source["path"].as_str().unwrap().trim_start_matches(prefix);
        format!("{path} {} {} {}", source["record"], source["line"], source["offset"])
    };
    ran.of_type("finding").iter().map(place).collect()
}

#[test]
fn objects_are_read_as_files_are_through_cuts_and_in_shards() {
    let Some(bucket) = Bucket::make("logs") else { return };
    let temporary = folder();
    let root = temporary.path();
    fs::write(root.join("r.yml"), RULE).unwrap();
    fs::create_dir_all(root.join("in/a b")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(log(5_000).as_bytes()).unwrap();
    let gz = encoder.finish().unwrap();
    for (name, key, body) in [
        ("a b/c+d.json.gz", "a%20b/c%2Bd.json.gz", gz.as_slice()),
        ("big.json", "big.json", log(60_000).as_bytes()),
        ("empty.log", "empty.log", b""),
        ("\u{e9}&<.log", "%C3%A9%26%3C.log", b"a needle\n"),
    ] {
        fs::write(root.join("in").join(name), body).unwrap();
        bucket.put(&format!("in/{key}"), body);
    }
    bucket.put("other/x.log", b"a needle\n");
    let local = run(root, &["--format", "json", "scan", "logs", "in", "--rules", "r.yml"]).expect(3);
    let prefix = format!("s3://{}/", bucket.name);
    let scanned = bucket.scan(root, "in/", &[]).expect(3);
    assert_eq!(places(&scanned, &prefix), places(&local, ""));
    assert_eq!(bucket.faults.ranges.load(Ordering::SeqCst), 0);

    // Cut in the middle, before the answer and within its head.
    for (cuts, after) in [(3, 700_000), (2, 0), (2, 40)] {
        bucket.cut("big.json", cuts, after);
        let cut = bucket.scan(root, "in/", &[]).expect(3);
        assert_eq!(places(&cut, &prefix), places(&local, ""), "{cuts} cuts after {after}");
        assert_eq!(bucket.faults.cuts.load(Ordering::SeqCst), 0);
    }
    assert!(bucket.faults.ranges.load(Ordering::SeqCst) >= 3);

    // Cut for good: named.
    bucket.cut("big.json", 1_000, 40);
    let broken = bucket.scan(root, "in/", &[]).expect(3);
    assert!(broken.stdout.contains("big.json\",\"reason\":\"it can't be reached"), "{}", broken.stdout);
    bucket.cut("", 0, 0);

    for index in ["1/3", "2/3", "3/3"] {
        bucket.scan(root, "in/", &["--shard", index, "--output", "out"]).expect(0);
    }
    assert!(bucket.faults.ranges.load(Ordering::SeqCst) >= 5, "big.json is shared");
    let merged = run(root, &["--format", "json", "scan", "merge", "out", "--rules", "r.yml"]).expect(3);
    assert_eq!(merged.of_type("finding"), scanned.of_type("finding"));
}

#[test]
fn an_object_that_changes_while_it_is_read_is_named() {
    let Some(bucket) = Bucket::make("changing") else { return };
    let temporary = folder();
    let root = temporary.path();
    fs::write(root.join("r.yml"), RULE).unwrap();
    let before = log(20_000);
    bucket.put("a.json", before.as_bytes());
    *bucket.faults.change.lock().unwrap() = Some(("a.json".into(), before.replace("hay", "yah").into_bytes()));
    bucket.cut("a.json", 1, 500_000);
    let ran = bucket.scan(root, "", &[]).expect(3);
    assert!(ran.stdout.contains("the object was changed after it was listed"), "{}", ran.stdout);
    let gone = bucket.scan(root, "none/", &[]).expect(5);
    assert!(gone.stdout.contains("no object has a key that begins so"), "{}", gone.stdout);
}

#[test]
fn listings_of_many_pages_are_read_to_their_end() {
    let Some(bucket) = Bucket::make("pages") else { return };
    let temporary = folder();
    let root = temporary.path();
    fs::write(root.join("r.yml"), RULE).unwrap();
    for n in 0..45 {
        bucket.put(&format!("{n:04}.log"), b"a needle\n");
    }
    let ran = bucket.scan(root, "", &[]).expect(3);
    let found = places(&ran, "");
    assert!(found.len() == 45 && found.is_sorted(), "{}", found.len());
    assert_eq!(bucket.faults.pages.load(Ordering::SeqCst), 3);
}
