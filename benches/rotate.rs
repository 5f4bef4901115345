//! A lockdown of 100 credentials (60 secrets in Secrets Manager, 20 PostgreSQL roles, 20 rows of a key table) against a careful script
//! that does the same with boto3 and psycopg on eight threads, on the same moto and the same PostgreSQL; then once more where
//! the region allows 50 writes a second. Prints wall times, their ratio, and this program's peak memory. Ends with 1 if a
//! lockdown did not end well.
//!
//! `cargo bench --bench rotate` (tests/run.sh installs moto into target/peers once)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs, dead_code)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

mod cluster;
#[allow(unused_imports)]
#[path = "../tests/it/proxy/mod.rs"]
mod proxy;

use cluster::Cluster;

const ROUNDS: usize = 5;
const SECRETS: usize = 60;
const ROLES: usize = 20;
const KEYS: usize = 20;
const PASSWORD: &str = "bench-superuser";
/// Writes that a region allows a second.
const LIMIT: f64 = 50.0;
/// Bars: ratio to the script, ratio to the limit's own floor, peak memory in MB.
const BARS: [f64; 3] = [1.0, 1.15, 64.0];

/// A process that is ended with its owner.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn venv(program: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/venv/bin").join(program)
}

fn moto() -> (Server, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(venv("moto_server"));
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server(command.spawn().expect("moto is installed by tests/run.sh"));
    let until = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "moto starts");
        std::thread::sleep(Duration::from_millis(50));
    }
    (server, format!("http://127.0.0.1:{port}"))
}

/// What is to be rotated in one round.
struct Job {
    folder: tempfile::TempDir,
    name: String,
    json: String,
}

impl Job {
    fn new(round: &str, port: u16, aws: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = |what: &str, count: usize| -> Vec<String> {
            (0..count).map(|number| format!("{what}_{round}_{number}")).collect()
        };
        let json = serde_json::json!({
            "aws": aws, "postgres": { "port": port, "password": PASSWORD }, "env": folder.path().join(".env"),
            "secrets": names("secret", SECRETS), "roles": names("role", ROLES), "keys": names("key", KEYS),
        });
        let job = Self { folder, name: round.to_owned(), json: json.to_string() };
        job.python("seed");
        job
    }

    fn python(&self, what: &str) -> Duration {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/rotate_peer.py");
        let began = Instant::now();
        let mut child = Command::new(venv("python")).arg(script).arg(what).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(self.json.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{what} of the script");
        began.elapsed()
    }

    fn policies(&self) {
        let mut text = "version: 1\ncredentials:\n".to_owned();
        for number in 0..SECRETS {
            text += &format!(
                "  - {{ id: s{number}, issuer: {{ kind: self_made }}, kept: [{{ store: secrets_manager, secret: secret_{}_{number} }}], proof: {{ kind: store }} }}\n",
                self.name
            );
        }
        for number in 0..ROLES {
            let role = format!("role_{}_{number}", self.name);
            text += &format!(
                "  - {{ id: r{number}, issuer: {{ kind: postgres_role, role: {role} }}, kept: [{{ store: dotenv, key: {} }}] }}\n",
                role.to_uppercase()
            );
        }
        for number in 0..KEYS {
            let key = format!("key_{}_{number}", self.name);
            text += &format!(
                "  - {{ id: k{number}, issuer: {{ kind: api_key_table, key_id: {key} }}, kept: [{{ store: dotenv, key: {} }}] }}\n",
                key.to_uppercase()
            );
        }
        let policies = self.folder.path().join("policies");
        fs::create_dir(&policies).unwrap();
        let shipped = |name: &str| {
            portcullis::policy::shipped::SHIPPED.iter().find(|(path, _)| *path == name).unwrap().1.to_owned()
        };
        let pause = "version: 1\nswitches: [{ kind: file, name: flag, path: PAUSED }]\n".to_owned();
        for (name, text) in [
            ("credentials.yml", text),
            ("pause.yml", pause),
            ("recovery.yml", "version: 1\n".to_owned()),
            ("resume.yml", shipped("resume.yml")),
        ] {
            fs::write(policies.join(name), text).unwrap();
        }
    }

    /// Wall time, peak memory in MB, and whether it ended well.
    fn lockdown(&self, port: u16, aws: &str) -> (Duration, f64, bool) {
        self.policies();
        let began = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command
            .args(["lockdown", "--yes", "--reason", "bench"])
            .current_dir(self.folder.path())
            .env_clear()
            .env("DATABASE_URL", format!("postgres://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"))
            .env("AWS_ENDPOINT_URL", aws)
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "example")
            .stdin(Stdio::null())
            .stdout(fs::File::create(self.folder.path().join("out")).unwrap())
            .stderr(fs::File::create(self.folder.path().join("err")).unwrap());
        let mut child = command.spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0.0_f64;
        let ended = loop {
            if let Ok(text) = fs::read_to_string(&status) {
                let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
                peak = peak.max(kib.unwrap_or(0.0) / 1024.0);
            }
            if let Some(ended) = child.try_wait().unwrap() {
                break ended;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let spent = began.elapsed();
        if !ended.success() {
            println!("{}", fs::read_to_string(self.folder.path().join("out")).unwrap());
            println!("{}", fs::read_to_string(self.folder.path().join("err")).unwrap());
        }
        (spent, peak, ended.success())
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn verdict(value: f64, bar: f64) -> &'static str {
    if value <= bar { "within the bar" } else { "OVER the bar" }
}

fn install_psycopg() {
    let there = Command::new(venv("python")).args(["-c", "import psycopg, boto3"]).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        return;
    }
    let done = Command::new(venv("pip")).args(["install", "-q", "psycopg[binary]", "boto3"]).status();
    assert!(done.expect("tests/run.sh makes the venv").success(), "psycopg can be installed");
}

fn main() -> ExitCode {
    install_psycopg();
    let cluster = Cluster::start("scram-sha-256", PASSWORD);
    let (_moto, aws) = moto();
    let (mut ours, mut theirs, mut peak, mut well) = (Vec::new(), Vec::new(), 0.0_f64, true);
    for round in 0..ROUNDS {
        let (spent, memory, contained) =
            Job::new(&format!("a{round}"), cluster.port, &aws).lockdown(cluster.port, &aws);
        let script = Job::new(&format!("b{round}"), cluster.port, &aws).python("rotate");
        println!("round {round}: portcullis {:.2} s, script {:.2} s", spent.as_secs_f64(), script.as_secs_f64());
        ours.push(spent.as_secs_f64());
        theirs.push(script.as_secs_f64());
        (peak, well) = (peak.max(memory), well && contained);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = ours / theirs;
    println!("100 credentials, median of {ROUNDS}: portcullis {ours:.2} s, script {theirs:.2} s");
    println!("ratio {ratio:.2} (bar {}): {}", BARS[0], verdict(ratio, BARS[0]));
    let proxy = proxy::aws::AwsProxy::start(&aws);
    let job = Job::new("limited", cluster.port, &aws);
    proxy.limit_writes(LIMIT, LIMIT / 10.0);
    let (spent, memory, contained) = job.lockdown(cluster.port, &proxy.url);
    (peak, well) = (peak.max(memory), well && contained);
    #[allow(clippy::cast_precision_loss)]
    let floor = proxy.counts().writes as f64 / LIMIT;
    let over = spent.as_secs_f64() / floor;
    println!("at {LIMIT} writes a second: {:.2} s, the limit alone takes {floor:.2} s", spent.as_secs_f64());
    println!("ratio {over:.2} (bar {}): {}", BARS[1], verdict(over, BARS[1]));
    println!("peak memory {peak:.1} MB (bar {}): {}", BARS[2], verdict(peak, BARS[2]));
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
