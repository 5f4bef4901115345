//! Keys of an exchange: open orders are cancelled before the key that placed them dies; the exchange itself tells what happened.

use std::fs;
use std::path::{Path, PathBuf};

use crate::exchange::{Exchange, SWITCH_KEY};
use crate::support::{Ran, deployment, finish, folder, program};

const OLD_SECRET: &str = "old-exchange-secret-1";

struct Scene {
    root: tempfile::TempDir,
    exchange: Exchange,
    said: String,
}

/// How the requests of the exchange are declared; `list` and `auth` are put in.
fn policy(url: &str, more: &str) -> String {
    format!(
        "version: 1
services: [{{ name: backend }}]
credentials:
  - id: exchange
    kept:
      - {{ store: dotenv, key: EXCHANGE_KEY, part: key_id }}
      - {{ store: dotenv, key: EXCHANGE_SECRET, part: key_secret }}
    issuer:
      kind: http_api
      console: the keys page of the exchange
      timeout_s: 3
      sign: {{ over: '{{timestamp_ms}}{{method}}{{target}}{{body}}' }}
      create: {{ method: POST, url: '{url}/keys', headers: &signed {{ x-key: '{{id}}', x-time: '{{timestamp_ms}}', x-sign: '{{signature}}' }}, body: '{{\"label\":\"bot\"}}' }}
      created_id: /data/id
      created_secret: /data/secret
      revoke: {{ method: DELETE, url: '{url}/keys/{{target_id}}', headers: *signed }}
      test: {{ method: GET, url: '{url}/account?full=1', headers: *signed }}
      cancel: {{ method: DELETE, url: '{url}/orders', headers: *signed }}
{more}"
    )
}

const LIST: &str = "      list: { request: { method: GET, url: 'URL/keys', headers: *signed }, entries: /data, id: /id, only: { at: /label, is: bot } }\n";

impl Scene {
    fn new(list: bool) -> Self {
        let root = folder();
        deployment(root.path(), 7);
        let exchange = Exchange::start("k1", OLD_SECRET);
        fs::write(root.path().join(".env"), format!("EXCHANGE_KEY=k1\nEXCHANGE_SECRET={OLD_SECRET}\n")).unwrap();
        let more = if list { LIST.replace("URL", &exchange.url) } else { String::new() };
        fs::write(root.path().join("policies/credentials.yml"), policy(&exchange.url, &more)).unwrap();
        let url = &exchange.url;
        fs::write(
            root.path().join("policies/pause.yml"),
            format!(
                "version: 1
guard: {{ table: Trade }}
switches:
  - kind: http
    name: back-end
    engage: {{ url: '{url}/backend/pause', body: '{{\"by\":\"portcullis\"}}' }}
    release: {{ url: '{url}/backend/unpause' }}
    status: {{ url: '{url}/backend/status', paused: {{ at: /trading/paused, is: true }} }}
    headers: {{ x-time: '{{timestamp_ms}}', x-sign: '{{signature}}' }}
    bearer_env: SWITCH_BEARER
    sign: {{ secret_env: SWITCH_KEY, over: '{{timestamp_ms}}{{method}}{{target}}{{body}}' }}
    timeout_s: 3
"
            ),
        )
        .unwrap();
        Self { root, exchange, said: String::new() }
    }

    fn run(&mut self, words: &[&str]) -> Ran {
        let mut command = program(self.root.path());
        command.args(words).env("DATABASE_URL", "file:./trading.db").env("SWITCH_KEY", SWITCH_KEY);
        let ran = finish(command.env("SWITCH_BEARER", "switch-bearer"));
        self.said.push_str(&ran.stdout);
        self.said.push_str(&ran.stderr);
        ran
    }

    fn lockdown(&mut self, words: &[&str]) -> Ran {
        let given = ["--format", "json", "lockdown", "--reason", "test", "--yes"];
        self.run(&[&given, words].concat())
    }

    fn env(&self, key: &str) -> String {
        let text = fs::read_to_string(self.root.path().join(".env")).unwrap();
        text.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).unwrap().to_owned()
    }

    /// The exchange honours the stored key and no other, nothing is open, and no secret was written or said.
    #[track_caller]
    fn one_key_is_left(&self) {
        let (id, secret) = (self.env("EXCHANGE_KEY"), self.env("EXCHANGE_SECRET"));
        assert_ne!(id, "k1");
        assert_eq!(self.exchange.status_for(&id, &secret), 200);
        assert_eq!(self.exchange.status_for("k1", OLD_SECRET), 401);
        let state = self.exchange.state();
        assert_eq!(state.keys.keys().collect::<Vec<_>>(), [&id], "{:?}", state.events);
        for secret in [OLD_SECRET, &secret, SWITCH_KEY, "switch-bearer"] {
            assert!(!self.said.contains(secret), "{}", self.said);
            for file in crate::support::files(&self.root.path().join(".portcullis")) {
                assert!(!holds(&file, secret), "{} holds a secret", file.display());
            }
        }
    }
}

fn holds(file: &Path, secret: &str) -> bool {
    memchr::memmem::find(&fs::read(file).unwrap(), secret.as_bytes()).is_some()
}

/// The outcome of a step in a run, and its detail.
fn step(ran: &Ran, id: &str) -> (String, String) {
    let steps = ran.of_type("step");
    let step = steps.iter().find(|step| step["id"] == id).unwrap_or_else(|| panic!("{id} is in {}", ran.stdout));
    (step["outcome"].as_str().unwrap().to_owned(), step["detail"].as_str().unwrap().to_owned())
}

#[test]
fn orders_are_cancelled_before_the_key_dies_and_one_key_is_left() {
    let mut scene = Scene::new(true);
    scene.lockdown(&[]).expect(0);
    let events = scene.exchange.state().events.clone();
    let at =
        |event: &str| events.iter().position(|seen| seen == event).unwrap_or_else(|| panic!("{event}: {events:?}"));
    assert!(at("cancel by k1") < at("delete k1 by k2"), "{events:?}");
    assert!(at("create k2 by k1") < at("delete k1 by k2"), "{events:?}");
    assert_eq!(scene.exchange.state().orders, 0);
    assert!(scene.exchange.state().paused, "the signed switch was engaged");
    scene.one_key_is_left();
    // Again: nothing is made anew; orders are cancelled with the key that lives now.
    scene.lockdown(&[]).expect(0);
    let events = scene.exchange.state().events.clone();
    assert_eq!(events.iter().filter(|event| event.starts_with("create")).count(), 1, "{events:?}");
    assert_eq!(events.last().unwrap(), "cancel by k2");
    scene.one_key_is_left();
}

#[test]
fn a_leaked_key_makes_its_successor_and_dies_before_that_is_stored() {
    let mut scene = Scene::new(false);
    let ran = scene.lockdown(&["--compromised", "exchange"]).expect(0);
    let order: Vec<String> = ran.of_type("step").iter().map(|step| step["id"].as_str().unwrap().to_owned()).collect();
    assert!(order.contains(&"pause.cancel.exchange".to_owned()), "{order:?}");
    assert_eq!(scene.exchange.state().events, ["cancel by k1", "create k2 by k1", "delete k1 by k2"]);
    scene.one_key_is_left();
}

/// With a key that may make others, the leaked one need not live a moment longer.
#[test]
fn a_leaked_key_dies_first_where_another_key_makes_its_successor() {
    let mut scene = Scene::new(false);
    scene.exchange.state().keys.insert("main".into(), ("main-secret-of-the-account".into(), "main".into()));
    let path = scene.root.path().join("policies/credentials.yml");
    let mut text = fs::read_to_string(&path).unwrap();
    for request in ["create: { ", "revoke: { "] {
        text = text.replace(request, &format!("{request}auth: {{ env: MAIN_KEY }}, "));
    }
    fs::write(path, text).unwrap();
    let env = scene.root.path().join(".env");
    let with = fs::read_to_string(&env).unwrap() + "MAIN_KEY=main:main-secret-of-the-account\n";
    fs::write(env, with).unwrap();
    scene.lockdown(&["--compromised", "exchange"]).expect(0);
    let events = scene.exchange.state().events.clone();
    assert_eq!(events, ["cancel by k1", "delete k1 by main", "create k2 by main"]);
    scene.exchange.state().keys.remove("main");
    scene.one_key_is_left();
    assert!(!scene.said.contains("main-secret"), "{}", scene.said);
}

#[test]
fn a_key_whose_making_was_answered_by_silence_is_found_and_deleted() {
    let mut scene = Scene::new(true);
    scene.exchange.state().keys.insert("intruder".into(), ("x".into(), "bot".into()));
    scene.exchange.state().keys.insert("other".into(), ("x".into(), "another program".into()));
    scene.exchange.state().lose = 1;
    scene.lockdown(&[]).expect(0);
    assert!(scene.exchange.state().keys.remove("other").is_some(), "keys of others are left alone");
    let events = scene.exchange.state().events.clone();
    assert!(events.contains(&"delete intruder by k1".to_owned()), "{events:?}");
    assert!(events.contains(&"delete k2 by k1".to_owned()), "{events:?}");
    scene.one_key_is_left();
}

#[test]
fn without_a_list_a_lost_reply_is_unknown_and_says_what_to_look_for() {
    let mut scene = Scene::new(false);
    scene.exchange.state().lose = 1;
    let ran = scene.lockdown(&[]).expect(5);
    let (outcome, detail) = step(&ran, "rotate.exchange.1.issue");
    assert_eq!(outcome, "unknown");
    assert!(detail.contains("the keys page of the exchange") && detail.contains("newest key"), "{detail}");
    assert_eq!(scene.exchange.state().events.iter().filter(|event| event.starts_with("create")).count(), 1);
    assert_eq!(scene.exchange.status_for("k1", OLD_SECRET), 200, "the old key lives until its successor does");
    // A person deleted the stray key; the next run goes on, and still names the doubt.
    scene.exchange.state().keys.remove("k2");
    let ran = scene.lockdown(&[]).expect(0);
    let (outcome, detail) = step(&ran, "rotate.exchange.1.issue");
    assert!(outcome == "done" && detail.contains("an earlier try may have left a key"), "{outcome} {detail}");
    scene.one_key_is_left();
}

#[test]
fn an_answer_without_a_secret_leaves_no_key_behind() {
    let mut scene = Scene::new(true);
    scene.exchange.state().garble = 1;
    let ran = scene.lockdown(&[]).expect(5);
    let (outcome, detail) = step(&ran, "rotate.exchange.1.issue");
    assert!(outcome == "failed" && detail.contains("it was deleted (k2)"), "{outcome} {detail}");
    assert_eq!(scene.exchange.state().keys.keys().collect::<Vec<_>>(), ["k1"]);
    scene.lockdown(&[]).expect(0);
    scene.one_key_is_left();
}

#[test]
fn a_key_dies_even_if_its_orders_could_not_be_cancelled_and_a_person_is_told() {
    let mut scene = Scene::new(true);
    scene.exchange.state().cancel_fails = Some(400);
    let ran = scene.lockdown(&["--compromised", "exchange"]).expect(5);
    let (outcome, detail) = step(&ran, "pause.cancel.exchange");
    assert_eq!(outcome, "failed");
    assert!(detail.contains("may STILL STAND") && detail.contains("--attest pause.cancel.exchange"), "{detail}");
    scene.one_key_is_left();
    scene.run(&["checklist", "--attest", "pause.cancel.exchange", "--note", "cancelled by hand"]);
    assert!(scene.said.contains("pause.cancel.exchange"));
    scene.run(&["audit", "prepare"]);
    let gate = scene.run(&["audit", "show", "--gate"]).stdout;
    let settled = gate.lines().any(|line| line.trim_start().starts_with("pass   steps"));
    assert!(settled, "what people did is settled: {gate}");
    assert!(gate.contains("exception    failed open orders of exchange"), "whoever signs is told: {gate}");
}

#[test]
fn a_switch_that_answers_well_but_shows_itself_released_has_failed() {
    let mut scene = Scene::new(true);
    scene.exchange.state().lies = true;
    let ran = scene.run(&["--format", "json", "pause", "on", "--yes"]).expect(5);
    let (outcome, detail) = step(&ran, "pause.back-end");
    assert!(outcome == "failed" && detail.contains("it shows itself released"), "{outcome} {detail}");
    let (outcome, _) = step(&ran, "pause.cancel.exchange");
    assert_eq!(outcome, "done", "one decision stops all of it");
    scene.exchange.state().lies = false;
    scene.run(&["pause", "on", "--yes"]).expect(0);
    let status = scene.run(&["pause", "status"]).stdout;
    assert!(status.contains("engaged") && !status.contains("unobservable"), "{status}");
}

#[test]
fn orders_that_only_a_person_can_cancel_are_asked_for_at_once() {
    let mut scene = Scene::new(false);
    let path: PathBuf = scene.root.path().join("policies/credentials.yml");
    fs::write(
        path,
        "version: 1\nservices: [{ name: backend }]\ncredentials:\n  - { id: venue, issuer: { kind: manual, instructions: change the key, cancel: call the desk } }\n",
    )
    .unwrap();
    let ran = scene.lockdown(&[]);
    let (outcome, detail) = step(&ran, "pause.cancel.venue");
    assert!(outcome == "manual" && detail.starts_with("call the desk"), "{outcome} {detail}");
    scene.run(&["checklist", "--attest", "pause.cancel.venue", "--note", "desk confirmed"]);
    scene.run(&["audit", "prepare"]);
    let gate = scene.run(&["audit", "show", "--gate"]).stdout;
    assert!(gate.contains("checklist --attest venue"), "cancelled orders do not make a key replaced: {gate}");
}
