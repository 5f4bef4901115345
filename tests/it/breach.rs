//! The breach on real servers, by the commands of docs/RUNBOOK.md one after another: PostgreSQL, AWS Secrets Manager as moto
//! and as ministack, ssh-keygen, openssl. What is claimed is asked of the servers themselves.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::back_end::BackEnd;
use crate::peers::{Postgres, address};

const OLD_PASSWORD: &str = "old-database-password-1";
const OLD_JWT: &str = "old-jwt-secret-with-enough-length";
const OLD_KEY: &str = "tk_live_old_trading_key_123456";
const OLD_WEBHOOK: &str = "old-webhook-secret-in-aws";

struct Scene {
    root: tempfile::TempDir,
    postgres: Postgres,
    role: String,
    aws: String,
    secret: String,
    said: String,
}

/// Runs `aws`-like requests against the peer, signed by nobody: neither peer checks.
fn secrets_manager(aws: &str, action: &str, body: &serde_json::Value) -> serde_json::Value {
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "-X", "POST", aws])
        .args(["-H", "content-type: application/x-amz-json-1.1", "-H", &format!("x-amz-target: secretsmanager.{action}")])
        .args(["-H", "authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0"])
        .args(["-d", &body.to_string()])
        .output()
        .expect("curl can be started");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{action}: {}", String::from_utf8_lossy(&output.stdout)))
}

impl Scene {
    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Runs `portcullis`; what it says is kept, to be searched for secrets.
    fn portcullis(&mut self, words: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(words)
            .current_dir(self.root.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("PORTCULLIS_DATABASE_URL", &self.postgres.url)
            .env("PORTCULLIS_OPERATOR", "dana")
            .env("ADMIN_TOKEN", "admin-token-for-tests")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL", &self.aws)
            .output()
            .expect("portcullis can be started");
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        let _ = writeln!(self.said, "$ portcullis {}\n{text}", words.join(" "));
        (status.code().unwrap_or(-1), text)
    }

    fn expect(&mut self, code: i32, words: &[&str]) -> String {
        let (seen, text) = self.portcullis(words);
        assert_eq!(seen, code, "portcullis {}\n{text}", words.join(" "));
        text
    }

    fn env(&self, key: &str) -> String {
        let text = fs::read_to_string(self.path(".env")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).unwrap();
        line.trim_matches('"').to_owned()
    }

    fn case(&self) -> PathBuf {
        let mut entries = fs::read_dir(self.path(".portcullis/incidents")).unwrap();
        entries.next().unwrap().unwrap().path()
    }

    fn trade_as_app(&self, password: &str) -> Result<String, String> {
        let sql = "INSERT INTO \"Trade\" VALUES ('t-' || gen_random_uuid(), 'acc', 'k1', 'BTC', 1, 100, 100, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')";
        self.postgres.sql_as(&self.role, password, sql)
    }
}

fn hash(value: &str) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, value.as_bytes()))
}

fn ssh_key(root: &Path, name: &str, kind: &str) -> String {
    let path = root.join(name);
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-C", name, "-f"]).arg(&path).status().unwrap();
    assert!(made.success());
    fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned()
}

fn scene(name: &str, aws_variable: &str) -> Option<Scene> {
    let aws = address(aws_variable)?;
    let postgres = Postgres::fresh(name)?;
    let root = tempfile::tempdir().unwrap();
    let role = format!("app_{}", postgres.name);
    let secret = format!("prod/{}/webhook", postgres.name);
    postgres.sql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{OLD_PASSWORD}';
         CREATE TABLE \"Account\" (\"id\" text PRIMARY KEY, \"tradeLimit\" numeric(18,2));
         CREATE TABLE \"ApiKey\" (\"id\" text PRIMARY KEY, \"accountId\" text, \"keyHash\" text UNIQUE, \"revokedAt\" timestamp(3), \"createdAt\" timestamp(3) DEFAULT now());
         CREATE TABLE \"Trade\" (\"id\" text PRIMARY KEY, \"accountId\" text NOT NULL, \"apiKeyId\" text, \"symbol\" text NOT NULL, \"quantity\" numeric(18,8) NOT NULL,
           \"price\" numeric(18,8) NOT NULL, \"value\" numeric(18,2) NOT NULL, \"createdAt\" timestamp(3) NOT NULL, \"updatedAt\" timestamp(3) NOT NULL);
         INSERT INTO \"Account\" VALUES ('acc', 1000);
         INSERT INTO \"ApiKey\" (\"id\", \"accountId\", \"keyHash\", \"createdAt\") VALUES ('k1', 'acc', '{}', '2026-11-01');
         INSERT INTO \"Trade\" SELECT 'n' || n, 'acc', 'k1', 'BTC', 1, 100, 100, timestamp '2026-11-20' + n * interval '10 min', timestamp '2026-11-20' + n * interval '10 min' FROM generate_series(1, 200) n;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};",
        hash(OLD_KEY)
    ));
    back_up(root.path(), &postgres);
    postgres.sql(
        "INSERT INTO \"Trade\" VALUES ('evil-1', 'acc', 'ghost', 'BTC', 1, 100, 100, '2026-11-24 01:00', '2026-11-24 01:00'), ('evil-2', 'acc', 'k1', 'BTC', 99, 100, 9900, '2026-11-24 01:01', '2026-11-24 01:01');",
    );
    secrets_manager(
        &aws,
        "CreateSecret",
        &serde_json::json!({"Name": secret, "SecretString": serde_json::json!({"user": "hook", "value": OLD_WEBHOOK, "n": 7}).to_string(), "ClientRequestToken": "00000000-0000-4000-8000-000000000001"}),
    );
    let url = format!(
        "postgresql://{role}:{OLD_PASSWORD}@{}/{}?schema=public&connection_limit=5",
        postgres.place, postgres.name
    );
    fs::write(
        root.path().join(".env"),
        format!("# back end\nDATABASE_URL=\"{url}\"\nJWT_SECRET={OLD_JWT}\nTRADING_KEY={OLD_KEY}\n"),
    )
    .unwrap();
    fs::create_dir(root.path().join("logs")).unwrap();
    fs::write(
        root.path().join("logs/app.log"),
        format!(
            "{{\"time\":\"2026-11-24T01:00:00Z\",\"level\":\"info\",\"event\":\"trade.created\",\"tradeId\":\"evil-1\",\"apiKeyId\":\"k1\",\"userAgent\":\"curl/8.5\",\"authorization\":\"{OLD_KEY}\"}}\n\
             {{\"time\":\"2026-11-24T01:00:02Z\",\"level\":\"debug\",\"msg\":\"key {OLD_KEY} used\"}}\n"
        ),
    )
    .unwrap();
    write_policies(root.path(), &postgres, &role, &secret);
    Some(Scene { root, postgres, role, aws, secret, said: String::new() })
}

/// The hourly backup before the breach, by `pg_dump`, and the deployment's own restore script.
fn back_up(root: &Path, postgres: &Postgres) {
    for folder in ["backups", "scripts"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    let script = format!(
        "#!/bin/sh\nset -e\npsql -X -q -v ON_ERROR_STOP=1 -d '{0}' -c 'DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC'\ngunzip -c \"$1\" | psql -X -q -v ON_ERROR_STOP=1 -d '{0}' >/dev/null\n",
        postgres.url
    );
    let path = root.join("scripts/restore.sh");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let dump = Command::new("sh")
        .args(["-c", "pg_dump -d \"$1\" | gzip > \"$2\"", "sh", &postgres.url])
        .arg(root.join("backups/db_backup_20261123_230000.sql.gz"))
        .output()
        .unwrap();
    assert!(dump.status.success() && dump.stderr.is_empty(), "{}", String::from_utf8_lossy(&dump.stderr));
}

fn write_policies(root: &Path, postgres: &Postgres, role: &str, secret: &str) {
    let back_end = BackEnd::start(root, &postgres.url);
    let url = &back_end.url;
    let (alice, bob) = (ssh_key(root, "alice", "ed25519"), ssh_key(root, "bob", "ecdsa"));
    let policies = root.join("policies");
    for (path, text) in portcullis::policy::shipped::SHIPPED {
        let path = policies.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::write(
        policies.join("credentials.yml"),
        format!(
            "version: 1\nservices:\n  - {{ name: backend, restart: [curl, -sS, -X, POST, '{url}/restart'], health: '{url}/health', healthy_within_s: 10 }}\n\
             credentials:\n\
             \x20 - {{ id: database, issuer: {{ kind: postgres_role, role: {role} }}, kept: [{{ store: dotenv, key: DATABASE_URL, part: url_password }}], used_by: [backend] }}\n\
             \x20 - {{ id: jwt, issuer: {{ kind: self_made }}, kept: [{{ store: dotenv, key: JWT_SECRET }}], used_by: [backend], proof: {{ kind: http, url: '{url}/me', header: authorization, template: 'Bearer {{jwt}}', claims: '{{\"sub\":\"canary\"}}' }} }}\n\
             \x20 - {{ id: trading-key, issuer: {{ kind: api_key_table, key_id: k1 }}, kept: [{{ store: dotenv, key: TRADING_KEY }}], generate: {{ length: 40, prefix: tk_live_ }}, proof: {{ kind: http, url: '{url}/orders', header: x-api-key, template: '{{value}}' }} }}\n\
             \x20 - {{ id: webhook, issuer: {{ kind: self_made }}, kept: [{{ store: secrets_manager, secret: {secret}, field: value }}], proof: {{ kind: store }} }}\n"
        ),
    )
    .unwrap();
    fs::write(
        policies.join("pause.yml"),
        format!(
            "version: 1\nguard: {{ table: Trade }}\nswitches:\n  - {{ kind: file, name: flag, path: PAUSED }}\n\
             \x20 - {{ kind: http, name: backend-api, engage: {{ url: '{url}/admin/pause' }}, release: {{ url: '{url}/admin/unpause' }}, bearer_env: ADMIN_TOKEN }}\n\
             \x20 - {{ kind: command, name: scheduler, engage: [touch, scheduler.stopped], release: [rm, scheduler.stopped], status: [test, -e, scheduler.stopped] }}\n"
        ),
    )
    .unwrap();
    fs::write(policies.join("recovery.yml"), "version: 1\nrestore: [./scripts/restore.sh, '{file}']\n").unwrap();
    fs::write(policies.join("database.yml"), "version: 1\nexpected:\n  role: [nobody-is-expected-here]\n").unwrap();
    fs::write(
        policies.join("resume.yml"),
        format!("version: 1\nthreshold: 2\nroles_required: {{ security: 1 }}\napprovers:\n  - {{ name: alice, roles: [security], keys: [\"{alice}\"] }}\n  - {{ name: bob, keys: [\"{bob}\"] }}\n"),
    )
    .unwrap();
}

/// From the alarm to the resume.
fn breach(name: &str, aws_variable: &str) {
    let Some(mut scene) = scene(name, aws_variable) else { return };
    scene.expect(0, &["install"]);
    // After the baseline was taken: what was there before is taken for the deployment's own.
    scene.postgres.sql(
        "CREATE FUNCTION public.spy() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN NEW; END $$;
         CREATE TRIGGER spy AFTER INSERT ON \"Trade\" FOR EACH ROW EXECUTE FUNCTION public.spy();",
    );
    scene.trade_as_app(OLD_PASSWORD).expect("the application trades in peacetime");
    let plan = scene.expect(0, &["lockdown", "--reason", "key in a paste", "--compromised", "trading-key", "--plan"]);
    assert!(plan.contains("nothing was touched"), "{plan}");
    assert!(
        !scene.path(".portcullis/incidents").exists()
            || fs::read_dir(scene.path(".portcullis/incidents")).unwrap().next().is_none()
    );

    scene.expect(0, &["lockdown", "--reason", "key in a paste", "--compromised", "trading-key", "--yes"]);
    contained(&scene);
    // Again: it converges, and changes no value.
    let env = fs::read_to_string(scene.path(".env")).unwrap();
    scene.expect(0, &["lockdown", "--reason", "again", "--yes"]);
    assert_eq!(fs::read_to_string(scene.path(".env")).unwrap(), env);

    let found = scene.expect(3, &["scan", "trades", "--format", "json"]);
    assert!(found.contains("\"unknown-key\"") && found.contains("\"over-limit\""), "{found}");
    scene.expect(3, &["scan", "logs", "logs"]);
    scene.expect(3, &["scan", "secrets", "logs"]);
    let found = scene.expect(3, &["scan", "database"]);
    assert!(found.contains("spy"), "{found}");
    refused_then_mended(&mut scene);
    approve_and_resume(&mut scene);
    no_secret_anywhere(&scene);
}

/// What the servers themselves say after the lockdown.
fn contained(scene: &Scene) {
    let new_url = scene.env("DATABASE_URL");
    let (_, rest) = new_url.split_once("://").unwrap();
    let password = rest.split_once(':').unwrap().1.split_once('@').unwrap().0.to_owned();
    assert!(new_url.ends_with("?schema=public&connection_limit=5"));
    let refused = scene.postgres.sql_as(&scene.role, OLD_PASSWORD, "SELECT 1").unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
    scene.postgres.sql_as(&scene.role, &password, "SELECT 1").expect("the new password logs in");
    let paused = scene.trade_as_app(&password).unwrap_err();
    // The right is gone; the trigger stands behind it.
    assert!(paused.contains("permission denied for table Trade"), "{paused}");
    let live = scene.postgres.sql("SELECT string_agg(\"keyHash\", ',') FROM \"ApiKey\" WHERE \"revokedAt\" IS NULL");
    assert_eq!(live, hash(&scene.env("TRADING_KEY")));
    let secret = secrets_manager(
        &scene.aws,
        "GetSecretValue",
        &serde_json::json!({"SecretId": scene.secret, "VersionStage": "AWSCURRENT"}),
    );
    let value: serde_json::Value = serde_json::from_str(secret["SecretString"].as_str().unwrap()).unwrap();
    assert_ne!(value["value"], OLD_WEBHOOK);
    assert_eq!((&value["user"], &value["n"]), (&"hook".into(), &7.into()), "the other fields stay");
    let described = secrets_manager(&scene.aws, "DescribeSecret", &serde_json::json!({"SecretId": scene.secret}));
    let labels: Vec<_> = described["VersionIdsToStages"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|labels| labels.as_array().unwrap())
        .collect();
    assert_eq!(labels, ["AWSCURRENT"], "no other version has a label: {described}");
    assert!(scene.path("PAUSED").exists() && scene.path("scheduler.stopped").exists());
}

fn refused_then_mended(scene: &mut Scene) {
    let refused = scene.expect(4, &["resume", "--yes"]);
    assert!(refused.contains("portcullis audit prepare"), "each refusal names the next command: {refused}");
    scene.expect(0, &["incident", "dispose", "--open", "--as", "confirmed", "--note", "looked at"]);
    // Deciding on a trigger does not remove it.
    scene.expect(0, &["audit", "prepare"]);
    let refused = scene.expect(4, &["audit", "show", "--gate"]);
    assert!(refused.contains("still in the database"), "{refused}");
    let plan = scene.expect(0, &["restore", "--clean", "--plan"]);
    assert!(plan.contains("db_backup_20261123_230000") && plan.contains("before the first malicious event"), "{plan}");
    scene.expect(0, &["restore", "--clean", "--yes"]);
    assert_eq!(scene.postgres.sql("SELECT count(*) FROM \"Trade\" WHERE \"id\" LIKE 'evil%'"), "0");
    // A backup brings the old key back to life, and has no guard: both were seen to.
    contained(scene);
    let (code, text) = scene.portcullis(&["scan", "database"]);
    assert!(code == 0 || code == 3, "{text}");
    scene.portcullis(&["incident", "dispose", "--open", "--as", "benign", "--note", "private test server"]);
    scene.portcullis(&["scan", "trades"]);
}

fn approve_and_resume(scene: &mut Scene) {
    // Local settings of the private cluster (trust lines, other tests' roles) are benign here.
    scene.portcullis(&[
        "incident",
        "dispose",
        "--at-most",
        "critical",
        "--as",
        "benign",
        "--note",
        "private test server",
    ]);
    // Ids of this table are texts, so deleted rows can't be seen: a person accepts that, by name.
    let refused = scene.expect(4, &["audit", "show", "--gate"]);
    assert!(refused.contains("--attest scan.trades"), "{refused}");
    scene.expect(5, &["checklist", "--attest", "scan.trades", "--note", "ids are texts; counted against the exchange"]);
    scene.expect(0, &["audit", "prepare"]);
    let record = scene.case().join("audit-record.json");
    for name in ["alice", "bob"] {
        let key = scene.path(name);
        let signed = Command::new("ssh-keygen")
            .args(["-Y", "sign", "-n", "portcullis-resume-v1", "-f"])
            .arg(&key)
            .arg(&record)
            .output()
            .unwrap();
        assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
        let signature = scene.path(&format!("{name}.sig"));
        fs::rename(record.with_extension("json.sig"), &signature).unwrap();
        let signature = signature.display().to_string();
        scene.expect(0, &["approve", "--approver", name, "--signature", &signature]);
        verified_by_others(scene, name);
    }
    scene.expect(0, &["audit", "verify"]);
    scene.expect(0, &["resume", "--yes"]);
    let new_url = scene.env("DATABASE_URL");
    let password =
        new_url.split_once("://").unwrap().1.split_once(':').unwrap().1.split_once('@').unwrap().0.to_owned();
    scene.trade_as_app(&password).expect("the application trades again after the resume");
    assert!(!scene.path("PAUSED").exists() && !scene.path("scheduler.stopped").exists());
    let case = scene.case().display().to_string();
    scene.expect(0, &["audit", "verify", &case]);
    let list = scene.expect(0, &["incident", "list"]);
    assert!(list.contains("resumed"), "{list}");
    assert!(scene.expect(0, &["--incident", &list_id(&list), "incident", "timeline"]).contains("incident.resumed"));
}

fn list_id(list: &str) -> String {
    list.split_whitespace().find(|word| word.starts_with("inc-")).unwrap().to_owned()
}

/// `ssh-keygen` accepts the approval, `openssl` the DSSE envelope.
fn verified_by_others(scene: &Scene, name: &str) {
    let case = scene.case();
    let record = fs::read(case.join("audit-record.json")).unwrap();
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-n", "portcullis-resume-v1", "-I", name, "-f"])
        .arg(case.join("allowed_signers"))
        .arg("-s")
        .arg(case.join(format!("approvals/{name}.sig")))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&record).unwrap();
    assert!(child.wait().unwrap().success(), "ssh-keygen accepts the approval of {name}");

    let envelope: serde_json::Value =
        serde_json::from_slice(&fs::read(case.join("audit-record.dsse.json")).unwrap()).unwrap();
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    assert_eq!(payload, record);
    let kind = envelope["payloadType"].as_str().unwrap();
    let mut pae = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    pae.extend(payload);
    let signature = STANDARD.decode(envelope["signatures"][0]["sig"].as_str().unwrap()).unwrap();
    let (pae_path, sig_path) = (scene.path("pae.bin"), scene.path("sig.bin"));
    fs::write(&pae_path, pae).unwrap();
    fs::write(&sig_path, signature).unwrap();
    let verified = Command::new("openssl")
        .args(["pkeyutl", "-verify", "-rawin", "-inkey"])
        .arg(scene.path(".portcullis/machine.key"))
        .arg("-in")
        .arg(&pae_path)
        .arg("-sigfile")
        .arg(&sig_path)
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

/// No secret, old or new, in the case, in what was printed, or in the server's log (which logs every statement).
fn no_secret_anywhere(scene: &Scene) {
    let url = scene.env("DATABASE_URL");
    let password = url.split_once("://").unwrap().1.split_once(':').unwrap().1.split_once('@').unwrap().0.to_owned();
    let mut places = vec![("what was printed".to_owned(), scene.said.clone().into_bytes())];
    let mut folders = vec![scene.path(".portcullis")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                places.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()));
            }
        }
    }
    let secrets =
        [OLD_JWT, OLD_KEY, OLD_WEBHOOK, &scene.env("JWT_SECRET"), &scene.env("TRADING_KEY"), OLD_PASSWORD, &password];
    for (place, bytes) in &places {
        for secret in secrets {
            assert!(!holds(bytes, secret), "{place} holds a secret");
        }
    }
    if let Some(log) = std::env::var_os("PORTCULLIS_TEST_SERVER_LOG") {
        let log = fs::read(log).unwrap();
        // The test's own CREATE ROLE is in the log: only what Portcullis did must not be.
        assert!(
            !holds(&log, &password) && !holds(&log, "SCRAM-SHA-256$"),
            "the server's log holds the new password or its verifier"
        );
    }
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    memchr::memmem::find(bytes, secret.as_bytes()).is_some()
}

#[test]
fn contained_investigated_approved_and_resumed_on_postgresql_and_moto() {
    breach("breach_moto", "PORTCULLIS_TEST_MOTO_URL");
}

#[test]
fn contained_investigated_approved_and_resumed_on_postgresql_and_ministack() {
    breach("breach_mini", "PORTCULLIS_TEST_MINISTACK_URL");
}
