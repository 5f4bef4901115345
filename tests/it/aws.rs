//! Access keys and role sessions of AWS, on moto and on a ministack that checks keys. What is claimed is asked of the peers.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_iam::config::{BehaviorVersion, Credentials, Region};
use portcullis::domain::Timestamp;
use serde_json::{Value, json};

use crate::peers::address;
use crate::proxy::aws::AwsProxy;
use crate::proxy::{Fault, Rule};
use crate::support::{Ran, finish, folder, program, wait};

/// A ministack of the test's own, which refuses keys that are none.
struct Strict {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Strict {
    fn start() -> Option<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/venv/bin/ministack");
        if !program.exists() {
            println!("skipped: {} is missing (tests/run.sh installs it)", program.display());
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let folder = folder();
        let child = Command::new(program)
            .envs([("GATEWAY_PORT", port.as_str()), ("PORT", port.as_str()), ("AUTH", "true")])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let place = format!("127.0.0.1:{port}");
        let strict = Self { child, url: format!("http://{place}"), _folder: folder };
        let began = Instant::now();
        while TcpStream::connect(&place).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "ministack does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(strict)
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A user with a key that is kept in `.env` and in Secrets Manager.
struct Scene {
    root: tempfile::TempDir,
    url: String,
    user: String,
    old: (String, String),
}

fn iam(url: &str) -> aws_sdk_iam::Client {
    let config = aws_sdk_iam::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_iam::Client::from_conf(config)
}

fn secrets(url: &str) -> aws_sdk_secretsmanager::Client {
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_secretsmanager::Client::from_conf(config)
}

const ALLOW_ALL: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

fn new_key(url: &str, user: &str) -> (String, String) {
    let made = wait(iam(url).create_access_key().user_name(user).send()).unwrap().access_key.unwrap();
    (made.access_key_id, made.secret_access_key)
}

impl Scene {
    /// The user is named after the test, since all share one moto.
    fn new(url: &str, name: &str, own: bool) -> Self {
        let user = format!("{name}-{}", std::process::id());
        wait(iam(url).create_user().user_name(&user).send()).unwrap();
        let allow = iam(url).put_user_policy().user_name(&user).policy_name("work").policy_document(ALLOW_ALL);
        wait(allow.send()).unwrap();
        let old = new_key(url, &user);
        let text = json!({"id": old.0, "secret": old.1, "note": "kept"}).to_string();
        wait(secrets(url).create_secret().name(format!("prod/{user}")).secret_string(text).send()).unwrap();
        let root = folder();
        fs::write(root.path().join(".env"), format!("DESK_ID={}\nDESK_SECRET={}\nOTHER=1\n", old.0, old.1)).unwrap();
        let scene = Self { root, url: url.to_owned(), user, old };
        scene.policies(&format!(
            "  - id: desk\n    issuer: {{ kind: aws_iam_user, user: {0}, own: {own}, settle_s: 1 }}\n    kept:\n      \
             - {{ store: dotenv, key: DESK_ID, part: key_id }}\n      - {{ store: dotenv, key: DESK_SECRET, part: key_secret }}\n      \
             - {{ store: secrets_manager, secret: prod/{0}, field: id, part: key_id }}\n      \
             - {{ store: secrets_manager, secret: prod/{0}, field: secret, part: key_secret }}\n",
            scene.user
        ));
        scene
    }

    fn policies(&self, credentials: &str) {
        write_policies(self.root.path(), credentials);
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.run_as(("test", "test"), words)
    }

    fn run_as(&self, key: (&str, &str), words: &[&str]) -> Ran {
        portcullis(self.root.path(), &self.url, key, words)
    }

    fn keys(&self) -> Vec<String> {
        let listed = wait(iam(&self.url).list_access_keys().user_name(&self.user).send()).unwrap();
        listed.access_key_metadata.into_iter().filter_map(|key| key.access_key_id).collect()
    }

    /// What `.env` and Secrets Manager hold; they must agree.
    fn kept(&self) -> (String, String) {
        let text = fs::read_to_string(self.root.path().join(".env")).unwrap();
        let env: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let plain = |key: &str| env[key].trim_matches('"').to_owned();
        let get = secrets(&self.url).get_secret_value().secret_id(format!("prod/{}", self.user));
        // Without a label moto gives another version than the current one.
        let got = wait(get.version_stage("AWSCURRENT").send()).unwrap();
        let secret: Value = serde_json::from_str(&got.secret_string.unwrap()).unwrap();
        assert_eq!((secret["id"].as_str(), secret["note"].as_str()), (Some(plain("DESK_ID").as_str()), Some("kept")));
        assert_eq!(secret["secret"].as_str().unwrap(), plain("DESK_SECRET"));
        (plain("DESK_ID"), plain("DESK_SECRET"))
    }

    /// One key, in all stores, and a policy that ends sessions made before now.
    fn is_replaced(&self) {
        let kept = self.kept();
        assert_eq!(self.keys(), [kept.0.as_str()], "exactly one key is left, and the stores hold it");
        assert!(kept.0 != self.old.0 && kept.1 != self.old.1);
        let get = iam(&self.url).get_user_policy().user_name(&self.user).policy_name("PortcullisRevokeOlderSessions");
        is_deny(&wait(get.send()).unwrap().policy_document);
    }

    fn says_no_secret(&self, ran: &Ran) {
        let kept = self.kept();
        for secret in [&self.old.1, &kept.1] {
            assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret));
            for file in crate::support::files(&self.root.path().join(".portcullis/incidents")) {
                assert!(!String::from_utf8_lossy(&fs::read(&file).unwrap()).contains(secret), "{}", file.display());
            }
        }
    }
}

fn write_policies(root: &Path, credentials: &str) {
    let policies: PathBuf = root.join("policies");
    for (path, text) in portcullis::policy::shipped::SHIPPED {
        let path = policies.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::write(policies.join("credentials.yml"), format!("version: 1\ncredentials:\n{credentials}")).unwrap();
    let pause = "version: 1\nswitches:\n  - { kind: file, name: flag, path: PAUSED }\n";
    fs::write(policies.join("pause.yml"), pause).unwrap();
    fs::write(policies.join("recovery.yml"), "version: 1\n").unwrap();
}

fn portcullis(root: &Path, url: &str, key: (&str, &str), words: &[&str]) -> Ran {
    let mut command = program(root);
    command.args(words).args(["--yes"]).envs([
        ("AWS_ACCESS_KEY_ID", key.0),
        ("AWS_SECRET_ACCESS_KEY", key.1),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", url),
    ]);
    finish(&mut command)
}

fn is_deny(encoded: &str) {
    let plain = Command::new("python3")
        .args(["-c", "import sys, urllib.parse; print(urllib.parse.unquote(sys.argv[1]))", encoded])
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&plain.stdout).unwrap();
    let statement = &document["Statement"][0];
    assert_eq!((&statement["Effect"], &statement["Action"]), (&json!("Deny"), &json!(["*"])), "{document}");
    assert_eq!(statement["Resource"], json!(["*"]));
    let cut = statement["Condition"]["DateLessThan"]["aws:TokenIssueTime"].as_str().unwrap();
    let cut: Timestamp = cut.parse().unwrap();
    let away = (cut.as_second() - Timestamp::now().as_second()).abs();
    assert!(away < 120, "{cut} is about now");
}

#[test]
fn a_key_is_replaced_and_one_that_no_store_holds_dies_too() {
    let Some(url) = address("PORTCULLIS_TEST_MOTO_URL") else { return };
    let scene = Scene::new(&url, "orphan", false);
    // What a lost reply leaves, or an intruder; it fills the quota as well.
    let orphan = new_key(&url, &scene.user);
    let ready = scene.run(&["doctor"]);
    assert!(ready.stdout.contains("has 2 access keys"), "{}", ready.stdout);
    let ran = scene.run(&["keys", "rotate", "desk"]);
    scene.is_replaced();
    assert!(!scene.keys().contains(&orphan.0));
    scene.says_no_secret(&ran);
    // moto honours keys that do not exist: the proof must not say that the old one is dead.
    assert_ne!(ran.code, Some(0), "{}", ran.stdout);
    assert!(ran.stdout.contains("still honoured") || ran.stdout.contains("STILL HONOURED"), "{}", ran.stdout);
}

#[test]
fn a_key_is_proven_dead_where_keys_are_checked() {
    let Some(strict) = Strict::start() else { return };
    let scene = Scene::new(&strict.url, "checked", false);
    let ran = scene.run(&["keys", "rotate", "desk"]).expect(0);
    assert!(ran.stdout.contains("old value refused 3 times"), "{}", ran.stdout);
    scene.is_replaced();
    scene.says_no_secret(&ran);
    scene.run(&["keys", "prove", "desk"]).expect(0);
}

#[test]
fn a_compromised_key_dies_first_and_a_second_run_changes_nothing() {
    let Some(strict) = Strict::start() else { return };
    let scene = Scene::new(&strict.url, "leaked", false);
    let words = ["lockdown", "--reason", "key in a paste", "--compromised", "desk"];
    let ran = scene.run(&words);
    scene.is_replaced();
    assert!(ran.stdout.contains("old value refused 3 times"), "{}\n{}", ran.stdout, ran.stderr);
    let kept = scene.kept();
    scene.run(&words);
    assert_eq!(scene.kept(), kept, "nothing is replaced twice");
    scene.is_replaced();
}

#[test]
fn the_key_that_the_program_works_with_is_replaced_by_its_successor() {
    let Some(strict) = Strict::start() else { return };
    let scene = Scene::new(&strict.url, "own", true);
    let (id, secret) = scene.old.clone();
    let ran = scene.run_as((&id, &secret), &["keys", "rotate", "desk"]).expect(0);
    scene.is_replaced();
    scene.says_no_secret(&ran);
    // The environment still has the dead key: the one in `.env` stands in.
    scene.run_as((&id, &secret), &["keys", "prove", "desk"]).expect(0);
}

#[test]
fn a_key_that_the_program_works_with_unsaid_outlives_no_successor() {
    let Some(strict) = Strict::start() else { return };
    let scene = Scene::new(&strict.url, "unsaid", false);
    let (id, secret) = scene.old.clone();
    let ready = scene.run_as((&id, &secret), &["doctor"]);
    assert!(ready.stdout.contains("own: true"), "{}", ready.stdout);
    let ran = scene.run_as((&id, &secret), &["keys", "revoke", "desk"]);
    assert_ne!(ran.code, Some(0));
    assert!(ran.stdout.contains("has no successor yet"), "{}", ran.stdout);
    assert_eq!(scene.keys(), [id.as_str()], "the program did not lock itself out");
}

/// A role whose sessions are ended; returns what was said.
fn end_sessions(url: &str, name: &str) -> (Ran, String) {
    let role = format!("{name}-{}", std::process::id());
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;
    let made = wait(iam(url).create_role().role_name(&role).assume_role_policy_document(trust).send()).unwrap();
    let arn = made.role.unwrap().arn;
    let allow = iam(url).put_role_policy().role_name(&role).policy_name("work").policy_document(ALLOW_ALL);
    wait(allow.send()).unwrap();
    let root = folder();
    let issuer = format!("{{ kind: aws_role_sessions, role_arn: '{arn}', settle_s: 1 }}");
    write_policies(root.path(), &format!("  - id: desk\n    issuer: {issuer}\n"));
    let ran = portcullis(root.path(), url, ("test", "test"), &["keys", "rotate", "desk"]);
    let get = iam(url).get_role_policy().role_name(&role).policy_name("AWSRevokeOlderSessions");
    is_deny(&wait(get.send()).unwrap().policy_document);
    (ran, role)
}

#[test]
fn sessions_of_a_role_are_denied_and_the_proof_says_what_it_saw() {
    let Some(url) = address("PORTCULLIS_TEST_MOTO_URL") else { return };
    // moto enforces no policy: the old session lives on, and that is said.
    let (ran, role) = end_sessions(&url, "desk-moto");
    assert_ne!(ran.code, Some(0), "{role}: {}", ran.stdout);
    assert!(ran.stdout.contains("STILL HONOURED"), "{}", ran.stdout);
}

#[test]
fn sessions_of_a_role_are_proven_dead_where_the_time_of_issue_counts() {
    let Some(url) = address("PORTCULLIS_TEST_MOTO_URL") else { return };
    let proxy = AwsProxy::start(&url);
    let (ran, role) = end_sessions(&proxy.url, "desk-cut-off");
    assert_eq!(ran.code, Some(0), "{role}: {}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("old value refused 3 times"), "{}", ran.stdout);
}

/// A lockdown with a leaked key while IAM takes its time and fails once as said.
fn under(url: &str, name: &str, rule: Option<Rule>) {
    let proxy = AwsProxy::start(url);
    proxy.propagate(Duration::from_millis(700));
    let scene = Scene::new(&proxy.url, name, false);
    if let Some(rule) = rule {
        proxy.control.add(rule.times(1));
    }
    let ran = scene.run(&["lockdown", "--reason", "key in a paste", "--compromised", "desk"]);
    scene.is_replaced();
    scene.says_no_secret(&ran);
    assert!(ran.stdout.contains("old value refused 3 times"), "{name}: {}\n{}", ran.stdout, ran.stderr);
    scene.run(&["keys", "prove", "desk"]).expect(0);
}

#[test]
fn a_leaked_key_dies_whatever_call_to_iam_fails() {
    let Some(url) = address("PORTCULLIS_TEST_MOTO_URL") else { return };
    let cases = [
        ("slow", None),
        ("made-twice", Some(Rule::on(&["CreateAccessKey"], Fault::CutAfter))),
        ("create-throttled", Some(Rule::on(&["CreateAccessKey"], Fault::Throttle))),
        ("deny-cut", Some(Rule::on(&["PutUserPolicy"], Fault::CutBefore))),
        ("off-lost", Some(Rule::on(&["UpdateAccessKey"], Fault::CutAfter))),
        ("deletion-lost", Some(Rule::on(&["DeleteAccessKey"], Fault::CutAfter))),
        ("deletion-broken", Some(Rule::on(&["DeleteAccessKey"], Fault::Broken))),
    ];
    std::thread::scope(|scope| {
        let url = &url;
        let runs: Vec<_> =
            cases.into_iter().map(|(name, rule)| (name, scope.spawn(move || under(url, name, rule)))).collect();
        let failed: Vec<_> = runs.into_iter().filter_map(|(name, run)| run.join().is_err().then_some(name)).collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
}
