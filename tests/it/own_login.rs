//! The role as which the program itself works: its password is replaced while it works, and a run that has only the old one finds
//! the new one. And a pooler in front of the server, whose clients don't outlive the old password.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::peers::{Postgres, psql};
use crate::support::{Ran, finish, program};

const OLD: &str = "old-password-of-the-only-role";

/// A deployment whose only role owns everything and may change itself, kept in `.env`.
fn deployment(postgres: &Postgres, role: &str, issuer: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| fs::write(root.path().join(path), text).unwrap();
    fs::create_dir(root.path().join("policies")).unwrap();
    put("policies/pause.yml", "version: 1\nswitches: [{ kind: file, name: flag, path: PAUSED }]\n");
    put("policies/recovery.yml", "version: 1\n");
    put("policies/resume.yml", portcullis_resume());
    let credentials = format!(
        "version: 1\ncredentials:\n  - id: database\n    issuer: {issuer}\n    kept: [{{ store: dotenv, path: .env, key: DATABASE_URL, part: url_password }}]\n"
    );
    put("policies/credentials.yml", &credentials);
    put(".env", &format!("DATABASE_URL={}\n", address(postgres, role, OLD)));
    root
}

fn portcullis_resume() -> &'static str {
    let shipped = portcullis::policy::shipped::SHIPPED.iter().find(|(path, _)| *path == "resume.yml");
    shipped.unwrap().1
}

fn address(postgres: &Postgres, role: &str, password: &str) -> String {
    format!("postgres://{role}:{password}@{}/{}", postgres.place, postgres.name)
}

/// A role that can neither create databases nor be superuser.
fn role(postgres: &Postgres, name: &str, more: &str) -> String {
    let role = format!("{name}_{}", postgres.name);
    postgres.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD '{OLD}' {more}"));
    role
}

fn run(root: &Path, url: &str, words: &[&str]) -> Ran {
    finish(program(root).env("DATABASE_URL", url).args(words))
}

#[test]
fn the_only_role_replaces_itself_and_is_found_again() {
    let Some(postgres) = Postgres::fresh("own") else { return };
    let role = role(&postgres, "only", "CREATEROLE");
    let root = deployment(&postgres, &role, &format!("{{ kind: postgres_role, role: {role} }}"));
    let stale = address(&postgres, &role, OLD);
    let lockdown = ["--format", "json", "lockdown", "--yes", "--reason", "rehearsal", "--compromised", "database"];
    let ran = run(root.path(), &stale, &lockdown).expect(0);
    assert!(ran.of_type("summary")[0]["contained"].as_bool().unwrap(), "{}", ran.stdout);
    let refused = psql(&stale, "SELECT 1").unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
    // The environment still has the old one: `.env` is asked, and if that is lost, what was sealed.
    run(root.path(), &stale, &["keys", "prove", "database"]).expect(0);
    fs::write(root.path().join(".env"), format!("DATABASE_URL={stale}\n")).unwrap();
    let ran = run(root.path(), &stale, &["keys", "prove", "database"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    // Revoking it alone would lock the program out.
    let ran = run(root.path(), &stale, &["--format", "json", "keys", "revoke", "database", "--yes"]);
    assert!(!ran.stdout.contains(OLD) && !ran.stderr.contains(OLD));
    let new = psql(&stale, "SELECT 1");
    assert!(new.is_err(), "the old password stays dead");
}

/// A pgbouncer in front of the server; ended when dropped.
struct Pooler {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pooler {
    /// It asks the server for the roles' verifiers (`auth_query`); `None` where none is installed.
    fn start(postgres: &Postgres) -> Option<Self> {
        let binary = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).exists());
        let Some(binary) = binary else {
            assert!(std::env::var_os("PORTCULLIS_TEST_REQUIRE_PEERS").is_none(), "pgbouncer is not installed");
            println!("skipped: pgbouncer is not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (host, server) = postgres.place.rsplit_once(':').unwrap();
        let (_, rest) = postgres.url.split_once("://postgres:").unwrap();
        let password = rest.split('@').next().unwrap();
        let users = folder.path().join("userlist.txt");
        fs::write(&users, format!("\"postgres\" \"{password}\"\n\"console\" \"console-password\"\n")).unwrap();
        let config = format!(
            "[databases]\n{name} = host={host} port={server} dbname={name}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_user = postgres\nauth_file = {}\nadmin_users = console\nignore_startup_parameters = extra_float_digits\n",
            users.display(),
            name = postgres.name,
        );
        let path = folder.path().join("pgbouncer.ini");
        fs::write(&path, config).unwrap();
        let mut command = Command::new(binary);
        if rustix::process::getuid().is_root() {
            // It refuses to run as root.
            open_to_all(folder.path());
            command.uid(id_of("-u")).gid(id_of("-g"));
        }
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = command.arg("-q").arg(&path).stderr(log).spawn().unwrap();
        let pooler = Self { child, port, folder };
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "{}", fs::read_to_string(pooler.folder.path().join("log")).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(pooler)
    }

    fn url(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port)
    }
}

/// The server's own user, or any that is not root.
fn id_of(which: &str) -> u32 {
    let output = Command::new("id").args([which, "postgres"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(65534)
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn clients_of_a_pooler_do_not_outlive_the_old_password() {
    let Some(postgres) = Postgres::fresh("pooled") else { return };
    let role = role(&postgres, "behind", "");
    let Some(pooler) = Pooler::start(&postgres) else { return };
    let through = pooler.url(&role, OLD, &postgres.name);
    assert_eq!(psql(&through, "SELECT 1").as_deref(), Ok("1"));
    let issuer = format!(
        "{{ kind: postgres_role, role: {role}, pgbouncer: [{{ url_env: POOLER_URL, databases: [{}] }}] }}",
        postgres.name
    );
    let root = deployment(&postgres, &role, &issuer);
    // A client that logged in before, and would go on for ever.
    let mut client = Command::new("psql")
        .args(["-X", "-q", "-d", &through, "-c", "SELECT pg_sleep(60)"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let console = pooler.url("console", "console-password", "pgbouncer");
    let mut command = program(root.path());
    command.env("DATABASE_URL", &through).env("PORTCULLIS_DATABASE_URL", &postgres.url).env("POOLER_URL", &console);
    let ran =
        finish(command.args(["--format", "json", "keys", "rotate", "database", "--yes", "--reason", "rehearsal"]));
    let revoked = ran.of_type("step").into_iter().find(|step| step["id"].as_str().unwrap().ends_with(".revoke"));
    let detail = revoked.unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("all clients of") && detail.contains("cut off"), "{detail}");
    let began = Instant::now();
    assert!(!client.wait().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(20), "the client was cut off");
    assert!(!ran.stdout.contains("console-password") && !ran.stderr.contains("console-password"));
}
