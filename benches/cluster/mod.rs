//! A private PostgreSQL cluster on loopback for a benchmark.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};

/// A cluster of its own, stopped and removed when dropped.
pub struct Cluster {
    folder: tempfile::TempDir,
    /// On loopback.
    pub port: u16,
    bin: PathBuf,
}

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        return command;
    }
    Command::new(program)
}

fn done(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("the program can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[allow(dead_code)]
impl Cluster {
    /// Starts one; `auth` is the method of its `pg_hba.conf`, `password` the superuser's.
    pub fn start(auth: &str, password: &str) -> Self {
        let mut found: Vec<_> = fs::read_dir("/usr/lib/postgresql")
            .expect("PostgreSQL's server is installed (Debian: postgresql)")
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .filter(|bin| bin.join("initdb").exists())
            .collect();
        found.sort();
        let bin = found.pop().expect("PostgreSQL's server is installed (Debian: postgresql)");
        let folder = tempfile::Builder::new().prefix("portcullis-bench.").tempdir_in("/tmp").unwrap();
        if rustix::process::geteuid().is_root() {
            done(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = folder.path().join("data");
        let secret = folder.path().join("password");
        fs::write(&secret, password).unwrap();
        if rustix::process::geteuid().is_root() {
            done(Command::new("chown").arg("postgres").arg(&secret));
        }
        let mut initdb = as_postgres(&bin.join("initdb"));
        done(
            initdb
                .arg("-D")
                .arg(&data)
                .args(["-U", "postgres", "-E", "UTF8", "--locale=C", "-N"])
                .arg(format!("--auth={auth}"))
                .arg(format!("--pwfile={}", secret.display()))
                .current_dir("/tmp"),
        );
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={} -c synchronous_commit=off -c autovacuum=off",
            folder.path().display()
        );
        let mut start = as_postgres(&bin.join("pg_ctl"));
        start
            .arg("-D")
            .arg(&data)
            .args(["-w", "-l"])
            .arg(folder.path().join("log"))
            .arg("-o")
            .arg(options)
            .arg("start");
        // Its output would stay open with the server.
        let started =
            start.current_dir("/tmp").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(started.unwrap().success(), "PostgreSQL starts");
        Self { folder, port, bin }
    }

    /// Seconds of the processors that the server used, with all its processes, those that have ended too.
    pub fn cpu(&self) -> f64 {
        let pid = fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap_or_default();
        let pid = pid.lines().next().unwrap_or_default().to_owned();
        // After the name: 1 is the parent, 11 to 14 the ticks of the process and of its children that have ended.
        let fields = |pid: &str| -> Option<Vec<String>> {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some(stat.rsplit(')').next()?.split_whitespace().map(String::from).collect())
        };
        let ticks = |fields: &[String], from: usize, to: usize| -> f64 {
            fields.get(from..to).into_iter().flatten().filter_map(|text| text.parse::<f64>().ok()).sum()
        };
        let own = fields(&pid).map_or(0.0, |fields| ticks(&fields, 11, 15));
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let children =
            processes.filter_map(|entry| fields(entry.file_name().to_str()?).filter(|fields| fields[1] == pid));
        (own + children.map(|fields| ticks(&fields, 11, 13)).sum::<f64>()) / 100.0
    }

    /// Options for a role of it, without a password.
    pub fn options(&self, role: &str) -> PgConnectOptions {
        PgConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username(role)
            .database("postgres")
            .ssl_mode(sqlx::postgres::PgSslMode::Disable)
            .disable_statement_logging()
    }

    /// A connection as that role.
    pub async fn open(&self, role: &str) -> PgConnection {
        self.options(role).connect().await.expect("the private cluster answers")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = as_postgres(&self.bin.join("pg_ctl"));
        let _ = stop
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-m", "immediate", "stop"])
            .current_dir("/tmp")
            .output();
    }
}
