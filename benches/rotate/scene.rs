//! One deployment with its credentials, and what the servers say of it afterwards.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::proxy::http::{Message, ask};
use crate::servers::Servers;

/// How many credentials of each kind: secrets, roles, keys.
pub type Size = [usize; 3];

/// A deployment before the breach, with names of its own on shared servers.
pub struct Scene<'a> {
    servers: &'a Servers,
    name: String,
    size: Size,
    root: tempfile::TempDir,
}

/// How a run ended.
pub struct Ran {
    /// From the start of the process to its end.
    pub wall: f64,
    /// Highest resident size in MB.
    pub memory: f64,
    /// Exit code.
    pub code: Option<i32>,
    /// What it said.
    pub said: String,
}

fn old(kind: &str, number: usize) -> String {
    format!("old-{kind}-value-{number}-of-the-bench")
}

fn digest(value: &str) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, value.as_bytes()))
}

async fn moto(servers: &Servers, action: &str, body: &Value) -> Value {
    let headers = [
        ("host", "moto"),
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", &format!("secretsmanager.{action}")),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0",
        ),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let request = Message { first: "POST / HTTP/1.1".into(), headers, body: body.to_string().into_bytes() };
    let reply = ask(servers.aws.trim_start_matches("http://"), &request).await.expect("moto answers");
    serde_json::from_slice(&reply.body).expect("moto answers in JSON")
}

impl<'a> Scene<'a> {
    /// Makes it.
    pub async fn new(servers: &'a Servers, name: &str, size: Size) -> Scene<'a> {
        let scene = Self { servers, name: name.to_owned(), size, root: tempfile::tempdir_in("/tmp").unwrap() };
        for number in 0..size[0] {
            let (id, value) = (scene.secret(number), old("secret", number));
            moto(servers, "CreateSecret", &json!({"Name": id, "SecretString": value})).await;
        }
        let mut sql = String::from(
            "CREATE TABLE IF NOT EXISTS \"ApiKey\" (\"id\" text PRIMARY KEY, \"accountId\" text, \"keyHash\" text UNIQUE, \"revokedAt\" timestamp(3), \"createdAt\" timestamp(3) DEFAULT now());\n",
        );
        let mut env = String::from("# the bench\n");
        for number in 0..size[1] {
            let (role, password) = (scene.role(number), old("role", number));
            sql.push_str(&format!("CREATE ROLE {role} LOGIN PASSWORD '{password}';\n"));
            env.push_str(&format!("ROLE_{number}={}\n", scene.url(&role, &password)));
        }
        for number in 0..size[2] {
            let (id, value) = (scene.key(number), old(&format!("key-{name}"), number));
            let hash = digest(&value);
            sql.push_str(&format!(
                "INSERT INTO \"ApiKey\" (\"id\", \"accountId\", \"keyHash\") VALUES ('{id}', 'a', '{hash}');\n"
            ));
            env.push_str(&format!("KEY_{number}={value}\n"));
        }
        scene.superuser().await.execute(AssertSqlSafe(sql)).await.expect("roles and keys are made");
        fs::write(scene.env(), env).unwrap();
        scene.write_policies();
        scene
    }

    fn write_policies(&self) {
        let policies = self.root.path().join("policies");
        for (path, text) in portcullis::policy::shipped::SHIPPED {
            let path = policies.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut text = String::from("version: 1\ncredentials:\n");
        for number in 0..self.size[0] {
            let secret = self.secret(number);
            text.push_str(&format!(
                "  - {{ id: secret-{number}, issuer: {{ kind: self_made }}, kept: [{{ store: secrets_manager, secret: {secret} }}], proof: {{ kind: store }} }}\n"
            ));
        }
        for number in 0..self.size[1] {
            let role = self.role(number);
            text.push_str(&format!(
                "  - {{ id: role-{number}, issuer: {{ kind: postgres_role, role: {role} }}, kept: [{{ store: dotenv, key: ROLE_{number}, part: url_password }}] }}\n"
            ));
        }
        for number in 0..self.size[2] {
            let key = self.key(number);
            text.push_str(&format!(
                "  - {{ id: key-{number}, issuer: {{ kind: api_key_table, key_id: {key} }}, kept: [{{ store: dotenv, key: KEY_{number} }}] }}\n"
            ));
        }
        fs::write(policies.join("credentials.yml"), text).unwrap();
        // No guard: a file is what a pause is here.
        let pause = "version: 1\nswitches:\n  - { kind: file, name: flag, path: PAUSED }\n";
        fs::write(policies.join("pause.yml"), pause).unwrap();
        fs::write(policies.join("recovery.yml"), "version: 1\n").unwrap();
    }

    fn secret(&self, number: usize) -> String {
        format!("bench/{}/{number}", self.name)
    }

    fn role(&self, number: usize) -> String {
        format!("{}_{number}", self.name)
    }

    fn key(&self, number: usize) -> String {
        format!("{}-k{number}", self.name)
    }

    fn url(&self, role: &str, password: &str) -> String {
        format!("postgresql://{role}:{password}@{}/postgres", self.servers.postgres)
    }

    fn env(&self) -> PathBuf {
        self.root.path().join(".env")
    }

    async fn superuser(&self) -> PgConnection {
        PgConnection::connect(&self.servers.superuser()).await.expect("the private server answers")
    }

    /// Runs a program to its end in the deployment's folder.
    fn run(&self, command: &mut Command, aws: &str) -> Ran {
        command
            .current_dir(self.root.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL", aws)
            .env("PORTCULLIS_DATABASE_URL", self.servers.superuser())
            .env("PORTCULLIS_OPERATOR", "bench")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let began = Instant::now();
        let child = command.spawn().expect("the program starts");
        let (over, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let status = format!("/proc/{}/status", child.id());
        let watch = {
            let (over, peak) = (Arc::clone(&over), Arc::clone(&peak));
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let text = fs::read_to_string(&status).unwrap_or_default();
                    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                    let size = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
                    peak.fetch_max(size, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(5));
                }
            })
        };
        let output = child.wait_with_output().expect("the program ends");
        let wall = began.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        watch.join().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        let kilobytes = u32::try_from(peak.load(Ordering::Relaxed)).unwrap();
        Ran { wall, memory: f64::from(kilobytes) / 1024.0, code: output.status.code(), said }
    }

    /// `portcullis lockdown`.
    pub fn lockdown(&self, aws: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["--format", "json", "lockdown", "--reason", "bench", "--yes"]);
        self.run(&mut command, aws)
    }

    /// The script.
    pub fn script(&self) -> Ran {
        let named = |kind: &str, names: Vec<String>| -> Vec<Value> {
            let numbered = names.into_iter().enumerate();
            numbered.map(|(number, name)| json!({"name": name, "key": format!("{kind}_{number}")})).collect()
        };
        let told = json!({
            "secrets": (0..self.size[0]).map(|number| self.secret(number)).collect::<Vec<_>>(),
            "roles": named("ROLE", (0..self.size[1]).map(|number| self.role(number)).collect()),
            "keys": named("KEY", (0..self.size[2]).map(|number| self.key(number)).collect()),
            "env": self.env(),
            "database": self.servers.superuser(),
        });
        let path = self.root.path().join("told.json");
        fs::write(&path, told.to_string()).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/rotate_peer.py");
        self.run(Command::new(&self.servers.python).arg(script).arg(path), &self.servers.aws)
    }

    /// What is not as it should be, by the word of the servers.
    pub async fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for number in 0..self.size[0] {
            let id = self.secret(number);
            // By its label: without one, moto gives the first version for ever.
            let asked = json!({"SecretId": id, "VersionStage": "AWSCURRENT"});
            let current = moto(self.servers, "GetSecretValue", &asked).await;
            let described = moto(self.servers, "DescribeSecret", &json!({"SecretId": id})).await;
            let versions = described["VersionIdsToStages"].as_object().expect("versions").values();
            let labels: Vec<&str> = versions.filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect();
            if current["SecretString"] == old("secret", number) || labels != ["AWSCURRENT"] {
                wrong.push(format!("{id}: {labels:?}"));
            }
        }
        let env = fs::read_to_string(self.env()).unwrap();
        let kept = |key: String| {
            let found = env.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
            found.unwrap_or_default().trim_matches('"').to_owned()
        };
        for number in 0..self.size[1] {
            let role = self.role(number);
            let new = PgConnection::connect(&kept(format!("ROLE_{number}"))).await;
            let dead = PgConnection::connect(&self.url(&role, &old("role", number))).await;
            if new.is_err() || dead.is_ok() {
                wrong.push(format!("{role}: new works {}, old works {}", new.is_ok(), dead.is_ok()));
            }
        }
        let mut superuser = self.superuser().await;
        for number in 0..self.size[2] {
            let sql = "SELECT coalesce(string_agg(\"keyHash\", ','), '') FROM \"ApiKey\" WHERE \"revokedAt\" IS NULL AND (\"id\" = $1 OR \"id\" LIKE $1 || '-%')";
            let live: String = sqlx::query_scalar(sql).bind(self.key(number)).fetch_one(&mut superuser).await.unwrap();
            let kept = digest(&kept(format!("KEY_{number}")));
            if live != kept || live == digest(&old(&format!("key-{}", self.name), number)) {
                wrong.push(format!("{}: live {live}, kept {kept}", self.key(number)));
            }
        }
        wrong
    }
}
