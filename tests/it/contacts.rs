//! People are told beside the steps: by real servers on loopback, slow and dead ones among them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ring::hmac;
use serde_json::Value;

use crate::support::{Ran, finish, folder, program};

/// A request that came in.
#[derive(Debug, Clone)]
struct Seen {
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

type Log<T> = Arc<Mutex<Vec<T>>>;

/// An HTTP server that keeps what it is sent and answers each path with the status that its first part names, after `delay`.
fn http(delay: Duration) -> (String, Log<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen: Log<Seen> = Arc::default();
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || drop(answer(&log, stream, delay)));
        }
    });
    (url, seen)
}

fn answer(log: &Log<Seen>, mut stream: TcpStream, delay: Duration) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: u64 = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body)?;
    let path = first.split(' ').nth(1).unwrap_or("/").to_owned();
    let status = path.split('/').nth(1).filter(|part| part.len() == 3).unwrap_or("202").to_owned();
    log.lock().unwrap().push(Seen { path, headers, body });
    std::thread::sleep(delay);
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// A mail server that keeps each mail's envelope and text.
fn smtp() -> (u16, Log<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mails: Log<String> = Arc::default();
    let log = Arc::clone(&mails);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || drop(talk(&log, stream)));
        }
    });
    (port, mails)
}

fn talk(log: &Log<String>, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut mail = String::new();
    write!(stream, "220 test\r\n")?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let word = line.trim_end().to_ascii_uppercase();
        if word.starts_with("MAIL") || word.starts_with("RCPT") {
            mail.push_str(&line);
        }
        if word == "DATA" {
            write!(stream, "354 go on\r\n")?;
            loop {
                let mut text = String::new();
                reader.read_line(&mut text)?;
                if text == ".\r\n" {
                    break;
                }
                mail.push_str(&text);
            }
            log.lock().unwrap().push(std::mem::take(&mut mail));
        }
        write!(stream, "{}\r\n", if word == "QUIT" { "221 bye" } else { "250 ok" })?;
    }
}

/// A port at which nobody listens.
fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

const SECRETS: [(&str, &str); 4] = [
    ("HOOK_KEY", "hunter2-hmac-key"),
    ("HOOK_TOKEN", "hunter2-bearer-token"),
    ("PAGER_KEY", "hunter2-routing-key"),
    ("SLACK_URL", ""),
];

/// A deployment on SQLite with one self-made credential, and those contacts.
fn deployment(root: &Path, contacts: &str) {
    for (path, text) in portcullis::policy::shipped::SHIPPED {
        let path = root.join("policies").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
    write("policies/contacts.yml", &format!("version: 1\ncontacts:\n{contacts}"));
    write(
        "policies/credentials.yml",
        "version: 1\ncredentials:\n  - id: jwt\n    issuer: { kind: self_made }\n    kept: [{ store: dotenv, path: .env, key: JWT_SECRET }]\n    proof: { kind: store }\n",
    );
    write("policies/pause.yml", "version: 1\nswitches:\n  - { kind: file, name: flag, path: PAUSED }\n");
    write("policies/recovery.yml", "version: 1\n");
    let database = sqlx::sqlite::SqliteConnectOptions::new().filename(root.join("trading.db")).create_if_missing(true);
    crate::support::wait(sqlx::ConnectOptions::connect(&database)).unwrap();
    write(".env", "DATABASE_URL=file:./trading.db\nJWT_SECRET=hunter2-jwt-secret-of-tests\n");
}

fn run(root: &Path, slack: &str, words: &[&str]) -> Ran {
    let mut command = program(root);
    for (name, value) in SECRETS {
        command.env(name, if name == "SLACK_URL" { slack } else { value });
    }
    let ran = finish(command.args(words));
    // Headers and bodies carry them; nothing that is printed or kept may.
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    ran
}

const ALL: &str = "[incident_opened, step_failed, contained, not_contained, approval_needed, resumed]";

fn all_channels(url: &str, mail: u16) -> String {
    format!(
        "  - name: hook\n    on: {ALL}\n    channel: {{ kind: webhook, url: \"{url}/202/hook\", bearer_env: HOOK_TOKEN, hmac_env: HOOK_KEY }}\n  \
         - name: pager\n    on: {ALL}\n    channel: {{ kind: pagerduty, routing_key_env: PAGER_KEY, severity: error, url: \"{url}/202/pager\" }}\n  \
         - name: desk\n    on: {ALL}\n    channel: {{ kind: slack, url_env: SLACK_URL }}\n  \
         - name: board\n    on: {ALL}\n    channel: {{ kind: smtp, host: 127.0.0.1, port: {mail}, tls: none, from: p@example.com, to: [b@example.com] }}\n"
    )
}

fn notices(root: &Path) -> Vec<Value> {
    let ledger = std::fs::read_to_string(crate::support::case_folder(root).join("ledger.jsonl")).unwrap();
    assert!(!ledger.contains("hunter2"), "{ledger}");
    let entries = ledger.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone());
    entries.filter(|event| event["kind"] == "notice.sent").collect()
}

#[test]
fn every_channel_hears_of_an_incident_and_of_its_containment() {
    let (folder, (url, seen), (mail, mails)) = (folder(), http(Duration::ZERO), smtp());
    deployment(folder.path(), &all_channels(&url, mail));
    let slack = format!("{url}/200/services/hunter2-slack");
    let ran = run(folder.path(), &slack, &["lockdown", "--reason", "<!here> key \x1b[2J seen", "--yes"]).expect(0);
    for name in ["hook (webhook)", "pager (pagerduty)", "desk (slack)", "board (smtp)"] {
        assert!(ran.stdout.contains(name), "{}", ran.stdout);
    }
    let seen = seen.lock().unwrap().clone();
    let of = |part: &str| seen.iter().filter(|one| one.path.contains(part)).collect::<Vec<_>>();
    let (hook, pager, desk) = (of("hook"), of("pager"), of("slack"));
    assert_eq!((hook.len(), pager.len(), desk.len(), mails.lock().unwrap().len()), (2, 2, 2, 2), "{seen:?}");
    for one in &hook {
        assert_eq!(one.headers["authorization"], "Bearer hunter2-bearer-token");
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"hunter2-hmac-key");
        let tag = hex::decode(one.headers["x-portcullis-signature"].strip_prefix("sha256=").unwrap()).unwrap();
        hmac::verify(&key, one.body.as_bytes(), &tag).unwrap();
        let notice: Value = serde_json::from_str(&one.body).unwrap();
        assert!(notice["incident"].as_str().unwrap().starts_with("inc-") && notice["next"].is_string(), "{notice}");
    }
    let events: Vec<Value> = pager.iter().map(|one| serde_json::from_str(&one.body).unwrap()).collect();
    let actions: Vec<_> = events.iter().map(|event| event["event_action"].as_str().unwrap()).collect();
    assert!(actions.contains(&"trigger") && actions.contains(&"acknowledge"), "{actions:?}");
    assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
    assert_eq!(events[0]["routing_key"], "hunter2-routing-key");
    assert!(desk.iter().all(|one| !one.body.contains("<!here>") && !one.body.contains("\\u001b")), "{desk:?}");
    let mails = mails.lock().unwrap().join("\n");
    assert!(mails.contains("RCPT TO:<b@example.com>") && mails.contains("Contained: trading is stopped"), "{mails}");
    let kept = notices(folder.path());
    assert_eq!(kept.len(), 8, "{kept:?}");
    assert!(kept.iter().all(|event| event["outcome"] == "sent"), "{kept:?}");
}

#[test]
fn slow_and_dead_channels_delay_nothing_and_are_named() {
    let (folder, (url, _)) = (folder(), http(Duration::from_mins(1)));
    let mut contacts = String::new();
    let mut add = |name: &str, channel: &str| {
        write!(contacts, "  - name: {name}\n    on: [incident_opened]\n    channel: {{ {channel} }}\n").unwrap();
    };
    add("slow", &format!("kind: webhook, url: \"{url}/202/x\""));
    add("dead", &format!("kind: webhook, url: \"http://127.0.0.1:{}/x\"", dead_port()));
    add("desk", "kind: slack, url_env: SLACK_URL");
    add(
        "board",
        &format!(
            "kind: smtp, host: 127.0.0.1, port: {}, tls: none, from: p@example.com, to: [b@example.com]",
            dead_port()
        ),
    );
    deployment(folder.path(), &contacts);
    let began = Instant::now();
    let words = ["--format", "json", "lockdown", "--reason", "x", "--yes"];
    let ran = run(folder.path(), "http://127.0.0.1:1/hunter2-slack", &words).expect(0);
    let took = began.elapsed();
    let steps: u64 = ran.of_type("step").iter().map(|step| step["elapsed_ms"].as_u64().unwrap()).max().unwrap();
    assert!(steps < 1_000, "no step waits for a notice: {steps} ms");
    assert!(took < Duration::from_secs(6), "the command waits three seconds at most: {took:?}");
    let summary = ran.of_type("summary").remove(0);
    assert_eq!((&summary["contained"], &summary["failed"]), (&Value::Bool(true), &Value::from(0)));
    let told = summary["told"].as_array().unwrap();
    let outcome = |name: &str| told.iter().find(|one| one["contact"] == name).unwrap()["outcome"].clone();
    assert_eq!(["slow", "dead", "desk", "board"].map(outcome), ["unknown", "failed", "failed", "failed"]);
    assert_eq!(notices(folder.path()).len(), 4);
    // What could not be told is told by the next run, since the ledger says that it was not.
    let again = run(folder.path(), "http://127.0.0.1:1/hunter2-slack", &words).expect(0);
    assert_eq!(again.of_type("summary").remove(0)["told"].as_array().unwrap().len(), 4);
    assert!(again.stderr.contains("continues incident inc-") && again.stderr.contains(" ago: "), "{}", again.stderr);
}

#[test]
fn a_test_names_what_arrives_and_what_does_not() {
    let (folder, (url, seen), (mail, _)) = (folder(), http(Duration::ZERO), smtp());
    deployment(folder.path(), &all_channels(&url, mail));
    let slack = format!("{url}/404/hunter2-slack");
    let ran = run(folder.path(), &slack, &["--format", "json", "contacts", "test"]).expect(5);
    let told = ran.of_type("told");
    let outcome = |name: &str| told.iter().find(|one| one["contact"] == name).unwrap()["outcome"].clone();
    assert_eq!(["hook", "pager", "desk", "board"].map(outcome), ["sent", "sent", "failed", "sent"]);
    let pager: Vec<_> = seen.lock().unwrap().iter().filter(|one| one.path.contains("pager")).cloned().collect();
    assert!(pager.len() == 2 && pager[1].body.contains("resolve"), "a test leaves nothing open: {pager:?}");
    run(folder.path(), &slack, &["contacts", "test", "board"]).expect(0);
    let wrong = run(folder.path(), &slack, &["contacts", "test", "bord"]).expect(2);
    assert!(wrong.stderr.contains("did you mean `board`?"), "{}", wrong.stderr);
    let listed = finish(program(folder.path()).args(["contacts", "list"])).expect(5);
    assert!(
        listed.stdout.contains("not set  PAGER_KEY") && listed.stdout.contains("approval_needed"),
        "{}",
        listed.stdout
    );
    assert!(!folder.path().join(".portcullis/incidents").exists(), "a test opens no incident");
}

#[test]
fn a_lockdown_without_a_terminal_needs_a_yes_and_says_what_it_would_do() {
    let folder = folder();
    deployment(folder.path(), "");
    std::fs::write(folder.path().join("policies/contacts.yml"), "version: 1\n").unwrap();
    let ran = run(folder.path(), "x", &["lockdown", "--reason", "x", "--compromised", "jwt"]).expect(2);
    for words in [
        "stops      trading, by switch flag",
        "replaces   1 credentials: jwt",
        "leaked     jwt",
        "tells      nobody",
        "--yes",
    ] {
        assert!(ran.stderr.contains(words), "`{words}` in {}", ran.stderr);
    }
    assert!(ran.stderr.lines().count() <= 14, "{}", ran.stderr);
    assert!(!folder.path().join("PAUSED").exists() && ran.stdout.is_empty(), "{}", ran.stdout);
}

#[test]
fn with_database_and_aws_both_down_it_goes_on_and_says_what_to_do() {
    let folder = folder();
    deployment(folder.path(), "");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join("policies").join(name), text).unwrap();
    write("contacts.yml", "version: 1\n");
    write(
        "pause.yml",
        "version: 1\nguard: { table: Trade }\nswitches:\n  - { kind: file, name: flag, path: PAUSED }\n",
    );
    write(
        "credentials.yml",
        "version: 1\nservices:\n  - { name: backend, stop: [stop-the, back-end] }\ncredentials:\n  - id: jwt\n    issuer: { kind: self_made }\n    \
         kept: [{ store: dotenv, path: .env, key: JWT_SECRET }]\n    proof: { kind: store }\n  - id: hook\n    issuer: { kind: self_made }\n    \
         kept: [{ store: secrets_manager, secret: prod/hook }]\n    proof: { kind: store }\n",
    );
    let ran = finish(
        program(folder.path())
            .env("DATABASE_URL", "postgres://u:hunter2-password@127.0.0.1:1/trading")
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", dead_port()))
            .env("AWS_ACCESS_KEY_ID", "x")
            .env("AWS_SECRET_ACCESS_KEY", "hunter2-aws")
            .env("AWS_REGION", "us-east-1")
            .args(["lockdown", "--reason", "x", "--yes"]),
    )
    .expect(5);
    for words in [
        "NOT CONTAINED YET",
        "NOT PAUSED",
        "stop-the back-end",
        "lockdown --reason 'go on'",
        "AWS can't be reached",
        "127.0.0.1:1/trading",
    ] {
        assert!(ran.stdout.contains(words), "`{words}` in {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{}{}", ran.stdout, ran.stderr);
    assert!(folder.path().join("PAUSED").exists(), "the other switch is engaged all the same");
    let kept = std::fs::read_to_string(folder.path().join(".env")).unwrap();
    assert!(!kept.contains("hunter2-jwt"), "what needs neither is replaced all the same");
    // Evidence that could be had is kept; what could not is named in its place.
    let evidence = crate::support::case_folder(folder.path()).join("evidence");
    let texts = crate::support::files(&evidence);
    let all: String = texts.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert!(all.contains("\"path\":\".env\"") && all.contains("\"unreadable\""), "{all}");
}
