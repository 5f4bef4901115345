//! Switches on what they switch: a real Redis, programs that record how they were called. Real Compose is in `compose.rs`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::peers::address;
use crate::support::{Ran, deployment, finish, folder, program};

/// A deployment whose only way to pause is that switch.
pub struct Scene {
    /// Its folder.
    pub root: tempfile::TempDir,
    /// Its environment.
    pub env: Vec<(&'static str, String)>,
}

impl Scene {
    /// Makes it.
    pub fn new(switch: &str) -> Self {
        let root = folder();
        deployment(root.path(), 7);
        fs::write(root.path().join("policies/pause.yml"), format!("version: 1\nswitches:\n  - {switch}\n")).unwrap();
        Self { root, env: Vec::new() }
    }

    fn run(&self, words: &[&str]) -> Ran {
        let mut command = program(self.root.path());
        command.env("DATABASE_URL", "file:./trading.db").args(words).envs(self.env.clone());
        finish(&mut command)
    }

    /// Puts a program of that name in front of the others.
    fn put(&mut self, name: &str, script: &str) {
        let bin = self.root.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.env.retain(|(key, _)| *key != "PATH");
        self.env.push(("PATH", format!("{}:/usr/bin:/bin", bin.display())));
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.root.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What `pause status` says of the switch.
    pub fn status(&self) -> String {
        let ran = self.run(&["--format", "json", "pause", "status"]);
        ran.of_type("switch")[0]["state"].as_str().unwrap().to_owned()
    }

    /// Pauses; the switch's outcome and detail.
    pub fn pause(&self) -> (String, String) {
        let ran = self.run(&["--format", "json", "pause", "on", "--yes"]);
        let steps = ran.of_type("step");
        let step = steps.iter().find(|step| step["id"] == "pause.it").unwrap_or_else(|| panic!("{ran:?}"));
        (step["outcome"].as_str().unwrap().to_owned(), step["detail"].as_str().unwrap().to_owned())
    }
}

/// Asks Redis by its own protocol.
fn redis(url: &str, words: &[&str]) -> String {
    let rest = url.strip_prefix("redis://:").unwrap();
    let (password, place) = rest.split_once('@').unwrap();
    let place = place.split('/').next().unwrap();
    let mut stream = std::net::TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    for words in [&["AUTH", password][..], words] {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        stream.write_all(text.as_bytes()).unwrap();
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.trim_start_matches("+OK\r\n").trim().to_owned()
}

#[test]
fn a_key_in_redis_pauses_and_is_observed() {
    let Some(url) = address("PORTCULLIS_TEST_REDIS_URL") else { return };
    let key = format!("trading:paused:{}", std::process::id());
    let mut scene = Scene::new(&format!(
        "{{ kind: redis, name: it, url_env: REDIS_URL, key: '{key}', value: 'on', engaged_when: equals }}"
    ));
    scene.env.push(("REDIS_URL", url.clone()));
    assert_eq!(scene.status(), "released");
    // Somebody else's value is not a pause that the application knows.
    redis(&url, &["SET", &key, "off"]);
    assert_eq!(scene.status(), "released");
    let (outcome, detail) = scene.pause();
    assert_eq!((outcome.as_str(), scene.status().as_str()), ("done", "engaged"), "{detail}");
    assert_eq!(redis(&url, &["GET", &key]), "$2\r\non");
    assert_eq!(redis(&url, &["TTL", &key]), ":-1", "a pause has no end of its own");
    assert_eq!(scene.pause().0, "already");
    redis(&url, &["DEL", &key]);
    assert_eq!(scene.status(), "released");
    // Trouble is named without the address, which holds a password.
    let password = url.split_once("://:").unwrap().1.split_once('@').unwrap().0.to_owned();
    for (bad, expected) in [
        (url.replace(&password, "wrong-password"), "refused"),
        ("redis://:pass-word@127.0.0.1:1/0".to_owned(), "the connection was refused"),
        ("http://pass-word".to_owned(), "is not valid"),
    ] {
        scene.env = vec![("REDIS_URL", bad)];
        let (outcome, detail) = scene.pause();
        assert_eq!(outcome, "failed", "{detail}");
        assert!(detail.contains(expected), "`{detail}` should say `{expected}`");
        assert!(
            !detail.contains("pass-word") && !detail.contains("wrong-password") && !detail.contains(&password),
            "{detail}"
        );
    }
}

#[test]
fn a_redis_that_does_not_answer_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let scene = Scene::new(&format!("{{ kind: redis, name: it, url: '{url}', key: paused }}"));
    let began = Instant::now();
    let (outcome, detail) = scene.pause();
    assert!(outcome == "failed" || outcome == "unknown", "{outcome} {detail}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

/// Records each call, and keeps which services run in files.
const DOCKER: &str = r#"echo "$(basename "$0") $*" >> calls
[ "$1" = compose ] && shift
while :; do case "$1" in --file|--project-name) shift 2;; *) break;; esac; done
case "$1" in
  version) exit "${NO_PLUGIN:-0}";;
  config) printf 'bot\napi\ndb\n';;
  ps) ls run;;
  stop) shift; for s; do rm -f "run/$s"; done;;
  start) shift; for s; do touch "run/$s"; done;;
  *) exit 64;;
esac
"#;

fn with_docker(switch: &str) -> Scene {
    let mut scene = Scene::new(switch);
    fs::create_dir(scene.root.path().join("run")).unwrap();
    for service in ["bot", "api", "db"] {
        fs::write(scene.root.path().join("run").join(service), "").unwrap();
    }
    scene.put("docker", DOCKER);
    scene.put("docker-compose", DOCKER);
    scene
}

#[test]
fn compose_stops_what_is_named_and_nothing_else() {
    let scene = with_docker(
        "{ kind: compose, name: it, services: [bot, api], file: deploy/compose.yml, project: prod, timeout_s: 10 }",
    );
    assert_eq!(scene.status(), "released");
    let (outcome, detail) = scene.pause();
    assert_eq!(outcome, "done", "{detail}");
    assert_eq!(scene.status(), "engaged");
    let left: Vec<_> = fs::read_dir(scene.root.path().join("run")).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left, ["db"]);
    let stop = "docker compose --file deploy/compose.yml --project-name prod stop bot api";
    assert!(scene.calls().contains(&stop.to_owned()), "{:#?}", scene.calls());
    // One of two running again is no pause.
    fs::write(scene.root.path().join("run/api"), "").unwrap();
    assert_eq!(scene.status(), "released");
    assert_eq!(scene.pause().0, "done");
}

#[test]
fn compose_1_is_used_where_the_plugin_is_missing() {
    let mut scene = with_docker("{ kind: compose, name: it, services: [bot] }");
    scene.env.push(("NO_PLUGIN", "1".to_owned()));
    let (outcome, detail) = scene.pause();
    assert_eq!(outcome, "done", "{detail}");
    assert!(scene.calls().contains(&"docker-compose stop bot".to_owned()), "{:#?}", scene.calls());
}

#[test]
fn a_service_that_compose_does_not_know_is_no_pause() {
    let scene = with_docker("{ kind: compose, name: it, services: [bto], version: v2 }");
    assert_eq!(scene.status(), "unknown");
    let (outcome, detail) = scene.pause();
    assert!(outcome == "failed" && detail.contains("knows no service `bto`"), "{outcome} {detail}");
}

/// Records each call, and keeps whether the unit runs in a file.
const SYSTEMCTL: &str = r#"echo "systemctl $*" >> calls
for last; do :; done
for verb in "$@"; do case "$verb" in
  show)
    if [ "$last" != bot.service ]; then printf 'LoadState=not-found\nActiveState=inactive\n'; exit 0; fi
    if [ -e stopped ]; then printf 'LoadState=loaded\nActiveState=inactive\n'; else printf 'LoadState=loaded\nActiveState=active\n'; fi; exit 0;;
  stop) touch stopped; exit 0;;
  start) rm -f stopped; exit 0;;
esac; done
exit 64
"#;

#[test]
fn a_unit_of_systemd_is_stopped_and_observed() {
    let mut scene = Scene::new("{ kind: systemd, name: it, unit: bot.service, user: true }");
    scene.put("systemctl", SYSTEMCTL);
    assert_eq!(scene.status(), "released");
    let (outcome, detail) = scene.pause();
    assert_eq!((outcome.as_str(), scene.status().as_str()), ("done", "engaged"), "{detail}");
    let stop = "systemctl --user --no-ask-password stop -- bot.service";
    assert!(scene.calls().contains(&stop.to_owned()), "{:#?}", scene.calls());
    assert_eq!(scene.pause().0, "already");
    let mut scene = Scene::new("{ kind: systemd, name: it, unit: typo.service }");
    scene.put("systemctl", SYSTEMCTL);
    let (outcome, detail) = scene.pause();
    assert!(outcome == "failed" && detail.contains("knows no unit typo.service"), "{outcome} {detail}");
    assert!(!scene.calls().iter().any(|call| call.contains("--user")), "{:#?}", scene.calls());
}

#[test]
fn doctor_names_what_a_switch_lacks_in_peacetime() {
    let http = "{ kind: http, name: it, engage: { url: 'http://127.0.0.1:1/p' }, release: { url: 'http://127.0.0.1:1/r' }, bearer_env: TOKEN }";
    let mut scene = Scene::new(http);
    let said = |scene: &Scene| {
        let ran = scene.run(&["--format", "json", "doctor"]);
        let items = ran.of_type("doctor");
        let item = items.iter().find(|item| item["check"] == "switch it").unwrap().clone();
        (item["ready"].as_bool().unwrap(), item["detail"].as_str().unwrap().to_owned())
    };
    assert_eq!(said(&scene), (false, "not set: TOKEN".to_owned()));
    scene.env.push(("TOKEN", "t".to_owned()));
    let (ready, detail) = said(&scene);
    assert!(ready && detail.contains("can't be observed"), "{detail}");
    assert_eq!(scene.status(), "unobservable");
}

#[test]
fn what_cannot_be_right_is_said_at_its_line() {
    let cases = [
        ("{ kind: compose, name: it, services: [--all] }", "would be read as an option"),
        ("{ kind: compose, name: it, services: [] }", "nothing would be stopped"),
        ("{ kind: compose, name: it, services: [a], project: '-p' }", "would be read as an option"),
        ("{ kind: compose, name: it, services: [a], file: '-x' }", "begin with `-`"),
        ("{ kind: compose, name: it, services: [a], version: v3 }", "known: auto, v1, v2"),
        ("{ kind: systemd, name: it, unit: '-H attacker' }", "holds a space"),
        ("{ kind: systemd, name: it, unit: --force }", "would be read as an option"),
        ("{ kind: redis, name: it, key: p }", "exactly one of `url` and `url_env`"),
        ("{ kind: redis, name: it, key: p, url: 'redis://:hunter2@db' }", "may hold no password"),
        ("{ kind: redis, name: it, key: p, url_env: 'redis://db' }", "never the secret"),
        ("{ kind: command, name: it, engage: [], release: [x] }", "one is empty"),
        ("{ kind: command, name: it, engage: [x], release: [x], timeout_s: 0 }", "timeout_s is 1 to 300"),
        ("{ kind: file, name: prove, path: P }", "the name of a step"),
        ("{ kind: file, name: cancel.x, path: P }", "the name of a step"),
        ("{ kind: http, name: it, engage: { url: 'http://h/{env:T}' }, release: { url: 'https://h/' } }", "https://"),
        (
            "{ kind: http, name: it, engage: { url: 'https://h/{env:T}' }, release: { url: 'https://h/' } }",
            "may hold no secret",
        ),
        (
            "{ kind: http, name: it, engage: { url: 'https://{id}/' }, release: { url: 'https://h/' } }",
            "are for http_api",
        ),
        (
            "{ kind: http, name: it, engage: { url: 'https://h/{nonse}' }, release: { url: 'https://h/' } }",
            "did you mean `{nonce}`",
        ),
        (
            "{ kind: http, name: it, engage: { url: 'https://h/', method: GET }, release: { url: 'https://h/' } }",
            "POST, PUT, PATCH or DELETE",
        ),
        (
            "{ kind: http, name: it, engage: { url: 'https://h/' }, release: { url: 'https://h/' }, headers: { x: '{signature}' } }",
            "needs `sign`",
        ),
        (
            "{ kind: http, name: it, engage: { url: 'https://h/' }, release: { url: 'https://h/' }, sign: { over: '{body}' } }",
            "secret_env",
        ),
        (
            "{ kind: http, name: it, engage: { url: 'https://h/' }, release: { url: 'https://h/' }, status: { url: 'https://h/', paused: { at: /x } } }",
            "`at` and `is`, or `code`",
        ),
    ];
    let scene = Scene::new("");
    for (switch, expected) in cases {
        let policy = format!("version: 1\nswitches:\n  - {switch}\n");
        fs::write(scene.root.path().join("policies/pause.yml"), policy).unwrap();
        let ran = scene.run(&["pause", "status"]).expect(2);
        assert!(ran.stderr.contains(expected), "`{}` should say `{expected}`", ran.stderr);
        assert!(ran.stderr.contains("pause.yml:3:"), "names the line: {}", ran.stderr);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
}
