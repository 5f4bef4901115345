//! One deployment on real peers behind the proxies, and what the peers themselves say of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::back_end::BackEnd;
use crate::peers::{Postgres, address};
use crate::proxy::aws::AwsProxy;
use crate::proxy::http::{HttpProxy, Message, ask};
use crate::proxy::postgres::PostgresProxy;
use crate::support::{Ran, finish, wait};

const OLD_PASSWORD: &str = "old-database-password-1";
const OLD_JWT: &str = "old-jwt-secret-with-enough-length";
const OLD_KEY: &str = "tk_live_old_trading_key_123456";
const OLD_WEBHOOK: &str = "old-webhook-secret-in-aws";
const OLD_BILLING: &str = "old-billing-secret-in-aws";

/// What a lockdown has to bring about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A trade is refused.
    Guard,
    /// The file switch.
    File,
    /// The back end's own pause.
    Http,
    /// The scheduler.
    Command,
    /// The old password is refused.
    Database,
    /// `.env` holds another signing key.
    Jwt,
    /// The old trading key is revoked.
    Key,
    /// A field of a JSON secret.
    Webhook,
    /// A secret that is one text.
    Billing,
}

pub struct Scene {
    pub root: tempfile::TempDir,
    pub postgres: PostgresProxy,
    pub aws: AwsProxy,
    pub service: HttpProxy,
    database: Postgres,
    back_end: BackEnd,
    role: String,
    moto: String,
    /// Somebody whom file permissions stop, where the tests run as root.
    stranger: AtomicBool,
}

/// `nobody` and `nogroup`.
const STRANGER: u32 = 65534;

fn hash(value: &str) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, value.as_bytes()))
}

impl Scene {
    /// A deployment of its own, before the breach.
    pub fn new(name: &str) -> Option<Self> {
        let moto = address("PORTCULLIS_TEST_MOTO_URL")?;
        let database = Postgres::fresh(&format!(
            "fault_{}",
            name.replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_ascii_lowercase()
        ))?;
        let root = tempfile::tempdir().unwrap();
        let role = format!("r_{}", &hash(&database.name)[..12]);
        database.sql(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{OLD_PASSWORD}';
             CREATE TABLE \"ApiKey\" (\"id\" text PRIMARY KEY, \"accountId\" text, \"keyHash\" text UNIQUE, \"revokedAt\" timestamp(3), \"createdAt\" timestamp(3) DEFAULT now());
             CREATE TABLE \"Trade\" (\"id\" text PRIMARY KEY, \"value\" numeric(18,2) NOT NULL);
             INSERT INTO \"ApiKey\" (\"id\", \"accountId\", \"keyHash\") VALUES ('k1', 'acc', '{}');
             GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {role};",
            hash(OLD_KEY)
        ));
        let postgres = PostgresProxy::start(&database.place);
        let url = format!("postgresql://{role}:{OLD_PASSWORD}@{}/{}", postgres.place, database.name);
        fs::write(
            root.path().join(".env"),
            format!("DATABASE_URL=\"{url}\"\nTRADING_KEY={OLD_KEY}\nJWT_SECRET={OLD_JWT}\n"),
        )
        .unwrap();
        let back_end = BackEnd::start(root.path(), &database.url);
        let service = HttpProxy::start(&back_end.url);
        let aws = AwsProxy::start(&moto);
        let scene =
            Self { root, postgres, aws, service, database, back_end, role, moto, stranger: AtomicBool::new(false) };
        for (which, text) in
            [("webhook", json!({"value": OLD_WEBHOOK, "n": 7}).to_string()), ("billing", OLD_BILLING.into())]
        {
            let token = format!("00000000-0000-4000-8000-{}", &hash(which)[..12]);
            scene.moto(
                "CreateSecret",
                &json!({"Name": scene.secret(which), "SecretString": text, "ClientRequestToken": token}),
            );
        }
        scene.write_policies();
        scene.lockdown_words(&["install"]).expect(0);
        Some(scene)
    }

    fn secret(&self, which: &str) -> String {
        format!("prod/{}/{which}", self.database.name)
    }

    fn write_policies(&self) {
        let policies = self.root.path().join("policies");
        for (path, text) in portcullis::policy::shipped::SHIPPED {
            let path = policies.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let (url, role) = (&self.service.url, &self.role);
        fs::write(
            policies.join("credentials.yml"),
            format!(
                "version: 1\nservices:\n  - {{ name: backend, restart: [curl, -sS, -f, --max-time, '3', -X, POST, '{url}/restart'], health: '{url}/health', healthy_within_s: 2 }}\n\
                 credentials:\n\
                 \x20 - {{ id: database, issuer: {{ kind: postgres_role, role: {role} }}, kept: [{{ store: dotenv, key: DATABASE_URL, part: url_password }}], used_by: [backend] }}\n\
                 \x20 - {{ id: jwt, issuer: {{ kind: self_made }}, kept: [{{ store: dotenv, key: JWT_SECRET }}], used_by: [backend], proof: {{ kind: http, url: '{url}/me', header: authorization, template: 'Bearer {{jwt}}' }} }}\n\
                 \x20 - {{ id: key, issuer: {{ kind: api_key_table, key_id: k1 }}, kept: [{{ store: dotenv, key: TRADING_KEY }}] }}\n\
                 \x20 - {{ id: webhook, issuer: {{ kind: self_made }}, kept: [{{ store: secrets_manager, secret: {}, field: value }}], proof: {{ kind: store }} }}\n\
                 \x20 - {{ id: billing, issuer: {{ kind: self_made }}, kept: [{{ store: secrets_manager, secret: {} }}], proof: {{ kind: store }} }}\n",
                self.secret("webhook"),
                self.secret("billing"),
            ),
        )
        .unwrap();
        self.write_switches("[touch, scheduler.stopped]");
        fs::write(policies.join("resume.yml"), "version: 1\nthreshold: 1\napprovers: []\n").unwrap();
    }

    /// `pause.yml` with that command as the scheduler's switch.
    pub fn write_switches(&self, engage: &str) {
        let url = &self.service.url;
        fs::write(
            self.root.path().join("policies/pause.yml"),
            format!(
                "version: 1\nguard: {{ table: Trade }}\nswitches:\n  - {{ kind: file, name: flag, path: PAUSED }}\n\
                 \x20 - {{ kind: http, name: backend-api, engage: {{ url: '{url}/admin/pause' }}, release: {{ url: '{url}/admin/unpause' }}, bearer_env: ADMIN_TOKEN }}\n\
                 \x20 - {{ kind: command, name: scheduler, engage: {engage}, release: [rm, scheduler.stopped], status: [test, -e, scheduler.stopped], timeout_s: 2 }}\n"
            ),
        )
        .unwrap();
    }

    fn lockdown_words(&self, words: &[&str]) -> Ran {
        let admin = self.database.url.replace(&self.database.place, &self.postgres.place);
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        if self.stranger.load(Ordering::Relaxed) {
            command.uid(STRANGER).gid(STRANGER);
        }
        finish(
            command
                .args(["--format", "json"])
                .args(words)
                .current_dir(self.root.path())
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap())
                .env("PORTCULLIS_DATABASE_URL", &admin)
                .env("PORTCULLIS_OPERATOR", "dana")
                .env("ADMIN_TOKEN", "admin-token-for-tests")
                .env("AWS_ACCESS_KEY_ID", "test")
                .env("AWS_SECRET_ACCESS_KEY", "test")
                .env("AWS_REGION", "us-east-1")
                .env("AWS_ENDPOINT_URL", &self.aws.url),
        )
    }

    /// From now on the program runs as somebody whom file permissions stop.
    pub fn become_stranger(&self) {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        self.stranger.store(true, Ordering::Relaxed);
        let mut folders = vec![self.root.path().to_owned()];
        while let Some(path) = folders.pop() {
            std::os::unix::fs::lchown(&path, Some(STRANGER), Some(STRANGER)).unwrap();
            if path.is_dir() && !path.is_symlink() {
                folders.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
    }

    /// A path in the deployment.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Sets the permissions of a path.
    pub fn allow(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A lockdown.
    pub fn lockdown(&self) -> Ran {
        self.lockdown_words(&["lockdown", "--reason", "fault", "--yes"])
    }

    fn moto(&self, action: &str, body: &Value) -> Value {
        let headers = [
            ("host", "moto"),
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", &format!("secretsmanager.{action}")),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0",
            ),
        ];
        let request = Message {
            first: "POST / HTTP/1.1".into(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: body.to_string().into_bytes(),
        };
        // Many scenes share one moto, whose dictionaries are walked while others write: now and then it answers 500.
        let mut last = String::new();
        for _ in 0..5 {
            match wait(ask(self.moto.trim_start_matches("http://"), &request)) {
                Some(reply) => match serde_json::from_slice(&reply.body) {
                    Ok(value) => return value,
                    Err(_) => last = format!("{} {}", reply.first, String::from_utf8_lossy(&reply.body)),
                },
                None => "no reply".clone_into(&mut last),
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        panic!("moto does not answer {action}: {last}")
    }

    /// Whether only a new version of the secret can be had by a label.
    fn replaced(&self, which: &str, old: &str) -> bool {
        let id = self.secret(which);
        let current = self.moto("GetSecretValue", &json!({"SecretId": id, "VersionStage": "AWSCURRENT"}));
        let described = self.moto("DescribeSecret", &json!({"SecretId": id}));
        let versions = described["VersionIdsToStages"].as_object().unwrap().values();
        let labels: Vec<&str> = versions.flat_map(|v| v.as_array().unwrap()).filter_map(Value::as_str).collect();
        !current["SecretString"].as_str().unwrap().contains(old) && labels == ["AWSCURRENT"]
    }

    fn env(&self, key: &str) -> String {
        let text = fs::read_to_string(self.root.path().join(".env")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).unwrap_or_default();
        line.trim_matches('"').to_owned()
    }

    /// What is contained, by the word of the peers, not of the program.
    pub fn contained(&self) -> BTreeSet<Part> {
        let live = self.database.sql("SELECT count(*) FROM \"ApiKey\" WHERE \"revokedAt\" IS NULL AND \"id\" = 'k1'");
        // As a superuser: the application alone would be stopped by its missing rights, whatever the guard says.
        let trade = "BEGIN; INSERT INTO \"Trade\" VALUES ('x', 1); ROLLBACK";
        let refused = crate::peers::psql(&self.database.url, trade).is_err_and(|e| e.contains("paused by portcullis"));
        let login = self.database.sql_as(&self.role, OLD_PASSWORD, "SELECT 1");
        let is = |name: &str| self.root.path().join(name).exists();
        let new_jwt = !["", OLD_JWT].contains(&self.env("JWT_SECRET").as_str());
        [
            (Part::Guard, refused),
            (Part::File, is("PAUSED")),
            (Part::Http, self.back_end.is_paused()),
            (Part::Command, is("scheduler.stopped")),
            (Part::Database, login.is_err_and(|error| error.contains("password authentication failed"))),
            (Part::Jwt, new_jwt),
            (Part::Key, live == "0"),
            (Part::Webhook, self.replaced("webhook", OLD_WEBHOOK)),
            (Part::Billing, self.replaced("billing", OLD_BILLING)),
        ]
        .into_iter()
        .filter_map(|(part, so)| so.then_some(part))
        .collect()
    }

    /// No value, old or new, is in what was said.
    pub fn no_secret_in(&self, ran: &Ran) -> Result<(), String> {
        let url = self.env("DATABASE_URL");
        let new = url.split('@').next().and_then(|head| head.rsplit(':').next()).unwrap_or_default().to_owned();
        let (jwt, key) = (self.env("JWT_SECRET"), self.env("TRADING_KEY"));
        for secret in
            [OLD_PASSWORD, OLD_JWT, OLD_KEY, OLD_WEBHOOK, OLD_BILLING, &new, &jwt, &key, "admin-token-for-tests"]
        {
            if secret.len() > 8 && (ran.stdout.contains(secret) || ran.stderr.contains(secret)) {
                return Err("a secret was printed".into());
            }
        }
        Ok(())
    }
}
