//! Private servers on loopback: PostgreSQL with passwords, and moto as AWS. Stopped by pid when dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The superuser's password.
const PASSWORD: &str = "superuser-of-the-bench";

/// Both servers.
pub struct Servers {
    folder: tempfile::TempDir,
    bin: PathBuf,
    moto: Child,
    /// `127.0.0.1:PORT` of PostgreSQL.
    pub postgres: String,
    /// `http://127.0.0.1:PORT` of moto.
    pub aws: String,
    /// The interpreter that has boto3 and psycopg.
    pub python: PathBuf,
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

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn postgres_bin() -> PathBuf {
    let found = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL's server is installed (Debian: postgresql)");
    let mut found: Vec<_> = found.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    found.retain(|bin| bin.join("initdb").exists());
    found.sort();
    found.pop().expect("PostgreSQL's server is installed (Debian: postgresql)")
}

/// The virtual environment that `tests/run.sh` uses too, with what the script needs besides. Always asked by its interpreter:
/// its scripts name the folder in which they were made.
fn python() -> PathBuf {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/venv");
    let python = venv.join("bin/python");
    if !python.exists() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    }
    let has = Command::new(&python).args(["-c", "import moto.server, boto3, psycopg"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        done(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "-q",
            "moto[server]==5.2.1",
            "psycopg[binary]==3.3.9",
        ]));
    }
    python
}

impl Servers {
    /// Starts both.
    pub fn start() -> Self {
        let python = python();
        let bin = postgres_bin();
        let folder = tempfile::Builder::new().prefix("portcullis-bench.").tempdir_in("/tmp").unwrap();
        let word = folder.path().join("word");
        fs::write(&word, PASSWORD).unwrap();
        if rustix::process::geteuid().is_root() {
            done(Command::new("chown").args(["-R", "postgres"]).arg(folder.path()));
        }
        let (port, data) = (free_port(), folder.path().join("data"));
        let mut initdb = as_postgres(&bin.join("initdb"));
        initdb.arg("-D").arg(&data).arg(format!("--pwfile={}", word.display()));
        done(
            initdb
                .args(["-U", "postgres", "--auth=scram-sha-256", "-E", "UTF8", "--locale=C", "-N"])
                .current_dir("/tmp"),
        );
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={} -c max_connections=200",
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
        start.current_dir("/tmp").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(start.status().unwrap().success(), "PostgreSQL starts");
        let aws = format!("127.0.0.1:{}", free_port());
        let mut moto = Command::new(&python);
        moto.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", aws.rsplit(':').next().unwrap()]);
        let moto = moto.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("moto starts");
        let began = Instant::now();
        while std::net::TcpStream::connect(&aws).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "moto answers");
            std::thread::sleep(Duration::from_millis(50));
        }
        let postgres = format!("127.0.0.1:{port}");
        Self { folder, bin, moto, postgres, aws: format!("http://{aws}"), python }
    }

    /// The superuser's address.
    pub fn superuser(&self) -> String {
        format!("postgres://postgres:{PASSWORD}@{}/postgres", self.postgres)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.moto.kill();
        let _ = self.moto.wait();
        let mut stop = as_postgres(&self.bin.join("pg_ctl"));
        let _ = stop
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-m", "immediate", "stop"])
            .current_dir("/tmp")
            .output();
    }
}
