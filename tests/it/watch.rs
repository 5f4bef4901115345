//! `watch`: what is added to logs is alerted once, through rotation and restarts; a critical alert drops the gate; the time is
//! accounted for in the ledger.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::support::{embedded, finished_drill, program};

const PROBE: &str = "203.0.113.99 - - [24/Nov/2026:23:44:47 +0000] \"GET /api/trades?symbol=A'%20UNION%20SELECT%201-- HTTP/1.1\" 200 162 \"-\" \"curl/8.5.0\"\n";

struct Watching {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Watching {
    fn start(root: &Path, words: &[&str]) -> Self {
        let mut command = program(root);
        command.arg("--embedded").arg(root).args(["--format", "json", "watch", "--min-level", "high"]).args(words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Its first word says that everything was looked at once; the rest is read so that the pipe can't fill.
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("watching") {
            line.clear();
            assert_ne!(err.read_line(&mut line).unwrap(), 0, "it ended before it began");
        }
        std::thread::spawn(move || err.read_to_end(&mut Vec::new()));
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The next record of its output.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        assert_ne!(self.out.read_line(&mut line).unwrap(), 0, "it ended");
        serde_json::from_str(&line).unwrap_or(Value::Null)
    }

    /// The next finding whose rule has that word in its title.
    fn finding(&mut self, word: &str) -> Value {
        loop {
            let record = self.next();
            if record["type"] == "finding" && record["rule"]["title"].as_str().unwrap().contains(word) {
                return record;
            }
            assert_ne!(record["type"], "summary", "it ended without `{word}`");
        }
    }

    /// Asks it to stop; its summary and exit code.
    fn stop(mut self) -> (Value, Option<i32>) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let summary = loop {
            let record = self.next();
            if record["type"] == "summary" && record.get("pauses").is_some() {
                break record;
            }
        };
        (summary, self.child.wait().unwrap().code())
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn kinds(case: &Path) -> Vec<String> {
    let ledger = std::fs::read_to_string(case.join("ledger.jsonl")).unwrap();
    let kind = |line: &str| serde_json::from_str::<Value>(line).unwrap()["event"]["kind"].as_str().unwrap().to_owned();
    ledger.lines().map(kind).collect()
}

#[test]
fn alerts_come_once_through_rotation_and_restarts_and_drop_the_gate() {
    let (_folder, root, case) = finished_drill();
    let logs = root.join("logs");
    let access = logs.join("access.log");
    let folder = logs.display().to_string();
    // The line that gave the key away is still in a log: after the rotation it holds a dead value.
    let app = std::fs::read_to_string(logs.join("app.log")).unwrap();
    let secrets = embedded(&root, &["--format", "json", "scan", "secrets", &folder]);
    let found = secrets.of_type("finding").remove(0);
    let line = usize::try_from(found["source"]["line"].as_u64().unwrap()).unwrap();
    let leak = app.lines().nth(line - 1).unwrap().to_owned();

    let mut watching = Watching::start(&root, &[&folder, "--auto-pause", "critical"]);
    let before = std::fs::read_to_string(&access).unwrap().lines().count() as u64;
    append(&access, PROBE);
    let first = watching.finding("SQL injection");
    assert_eq!(first["source"]["record"].as_u64().unwrap(), before, "the number that a scan gives it");
    std::fs::rename(&access, logs.join("access.log.1")).unwrap();
    append(&access, PROBE);
    let second = watching.finding("SQL injection");
    assert_ne!(first["id"], second["id"]);
    append(&logs.join("app.log"), &format!("{leak}\n"));
    let dead = watching.finding("dead value");
    assert_eq!(dead["rule"]["level"], "critical");
    // The pause is proven before it goes on.
    let (summary, code) = watching.stop();
    assert_eq!((summary["pauses"].as_u64(), code), (Some(1), Some(3)), "{summary}");
    assert_eq!(summary["alerts"].as_u64().unwrap(), 3, "{summary}");

    let list = embedded(&root, &["--format", "json", "incident", "list"]).expect(0);
    let open: Vec<_> = list.of_type("incident").into_iter().filter(|one| one["status"] == "open").collect();
    assert_eq!(open.len(), 1, "{}", list.stdout);
    assert_eq!((&open[0]["paused"], open[0]["reason"].as_str().unwrap().starts_with("watch:")), (&true.into(), true));
    let kinds = kinds(&case);
    for kind in ["watch.started", "watch.covered", "scan.completed"] {
        assert!(kinds.iter().any(|known| known == kind), "{kind}: {kinds:?}");
    }
    embedded(&root, &["audit", "verify", &case.display().to_string()]).expect(0);

    // Nobody watches for a while; what was written then is read, what was told is not told again.
    append(&access, PROBE);
    let mut watching = Watching::start(&root, &[&folder]);
    append(&access, "quiet\n");
    watching.finding("SQL injection");
    let (summary, _) = watching.stop();
    assert_eq!(summary["alerts"].as_u64().unwrap(), 1, "{summary}");
}

/// A correlation over what the shipped rules find: three probes from one address within a minute.
const PROBING: &str = "title: Probing\nid: probe\nname: probe\nstatus: stable\nlogsource:\n  category: webserver\nlevel: low\ndetection:\n  probe:\n    cs-uri-query|contains: 'probe='\n  condition: probe\n---\ntitle: Many probes from one address\nid: probes\nlevel: critical\ncorrelation:\n  type: event_count\n  rules: [probe]\n  group-by: [c-ip]\n  timespan: 1m\n  condition:\n    gte: 3\n";

#[test]
fn correlations_hold_over_looks_and_restarts() {
    let (_folder, root, _case) = finished_drill();
    let access = root.join("logs/access.log");
    let rules = root.join("rules");
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("probing.yml"), PROBING).unwrap();
    let (logs, rules) = (root.join("logs").display().to_string(), rules.display().to_string());
    let words = [logs.as_str(), "--rules", rules.as_str()];
    let probe = |second: u32| {
        append(
            &access,
            &format!(
                "203.0.113.7 - - [24/Nov/2026:23:50:{second:02} +0000] \"GET /api/trades?probe={second} HTTP/1.1\" 200 2 \"-\" \"x\"\n"
            ),
        );
    };
    let watching = Watching::start(&root, &words);
    probe(1);
    probe(2);
    std::thread::sleep(std::time::Duration::from_millis(700));
    let (summary, _) = watching.stop();
    assert_eq!((summary["alerts"].as_u64(), &summary["gaps"]), (Some(0), &serde_json::json!([])), "{summary}");
    let mut watching = Watching::start(&root, &words);
    probe(3);
    let found = watching.finding("Many probes");
    assert_eq!(
        (&found["matched"]["c-ip"], &found["matched"]["value"]),
        (&"203.0.113.7".into(), &3.0.into()),
        "{found}"
    );
    probe(4);
    std::thread::sleep(std::time::Duration::from_millis(700));
    let (summary, _) = watching.stop();
    assert_eq!(summary["alerts"].as_u64(), Some(1), "it still holds, and is told once: {summary}");
    let scanned =
        embedded(&root, &["--format", "json", "scan", "logs", &logs, "--rules", &rules, "--min-level", "high"]);
    let ids: Vec<_> = scanned.of_type("finding").into_iter().map(|finding| finding["id"].clone()).collect();
    assert_eq!(ids, [found["id"].clone()], "a scan gives the same");
}

#[test]
fn its_numbers_are_served_and_nothing_to_watch_is_said() {
    let (_folder, root, _case) = finished_drill();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let folder = root.join("logs").display().to_string();
    let watching = Watching::start(&root, &[&folder, "--listen", &address]);
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    };
    let metrics = get("/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200") && metrics.contains("portcullis_watch_alerts_total{level=\"high\"} "));
    assert!(get("/secret").starts_with("HTTP/1.1 404"));
    watching.stop();
    let wrong = embedded(&root, &["watch", &folder, "--for", "soon"]).expect(2);
    assert!(wrong.stderr.contains("24h"), "{}", wrong.stderr);
}
