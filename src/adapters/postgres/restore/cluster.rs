//! Throw-away PostgreSQL clusters: a folder, a unix socket, no network; gone with the value.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use crate::adapters::scratch::ScratchFolder;
use crate::ports::{Fault, FaultKind};

/// Bound on the start of a cluster.
const START: Duration = Duration::from_secs(30);
/// Space that is always left on the disk, in bytes.
const LEFT: u64 = 512 << 20;
/// The unprivileged role of a scratch cluster, which owns what is restored.
pub(super) const CAGED: &str = "caged";
/// The database of a scratch cluster.
const DATABASE: &str = "scratch";

/// A cluster of its own.
pub(super) struct Cluster {
    server: Child,
    password: String,
    folder: ScratchFolder,
}

fn unavailable(what: &str, error: std::io::Error) -> Fault {
    Fault::with(FaultKind::Unavailable, what.to_owned(), error)
}

/// Folder of `initdb` and `postgres`: as policy says, else the newest of Debian's, else what `PATH` has.
fn programs(named: Option<&str>) -> Result<PathBuf, Fault> {
    let has = |folder: &Path| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    if let Some(named) = named {
        let folder = PathBuf::from(named);
        let missing = || {
            Fault::new(
                FaultKind::NotFound,
                format!("{named} holds no initdb and postgres (recovery.yml: postgres_bin)"),
            )
        };
        return has(&folder).then_some(folder).ok_or_else(missing);
    }
    let version = |folder: &Path| folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()).unwrap_or(0);
    let mut debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    debian.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    let debian = debian.into_iter().map(|folder| folder.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian.chain(std::env::split_paths(&path)).find(|folder| has(folder)).ok_or_else(|| {
        let message = "PostgreSQL's server programs were not found: install them (Debian: postgresql), or name their folder as postgres_bin in recovery.yml";
        Fault::new(FaultKind::NotFound, message)
    })
}

/// PostgreSQL refuses to run as root: the user that Debian makes for it, else nobody.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find_map(|fields| {
            (fields.first() == Some(&name))
                .then(|| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))?
        })
    };
    find("postgres").or_else(|| find("nobody")).or(Some((65534, 65534)))
}

/// A program of PostgreSQL with an empty environment, as the unprivileged user.
fn command(program: &Path, user: Option<(u32, u32)>) -> Command {
    // Where there is `setpriv`, the server ends with us, however we end.
    let setpriv = Path::new("/usr/bin/setpriv");
    let mut command = if setpriv.is_file() && program.ends_with("postgres") {
        let mut command = Command::new(setpriv);
        command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir("/").stdin(Stdio::null());
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    command
}

impl Cluster {
    /// Makes and starts one below `folder` (the machine's folder for temporary files if absent). Blocks for about a second.
    pub(super) fn start(bin: Option<&str>, folder: Option<&Path>, password: String) -> Result<Self, Fault> {
        let bin = programs(bin)?;
        let user = unprivileged();
        let folder = ScratchFolder::make(folder)?;
        let secret = folder.path().join("password");
        let own = |path: &Path| user.map_or(Ok(()), |(user, group)| chown(path, Some(user), Some(group)));
        let prepared = fs::write(&secret, &password)
            .and_then(|()| fs::set_permissions(&secret, Permissions::from_mode(0o600)))
            .and_then(|()| own(&secret))
            .and_then(|()| own(folder.path()));
        prepared.map_err(|error| unavailable("failed to prepare a scratch folder", error))?;
        let data = folder.path().join("data");
        let made = command(&bin.join("initdb"), user)
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-E", "UTF8", "--locale=C", "-N", "--auth=scram-sha-256"])
            .arg(format!("--pwfile={}", secret.display()))
            .output()
            .map_err(|error| unavailable("failed to start initdb", error))?;
        if !made.status.success() {
            let words = String::from_utf8_lossy(&made.stderr);
            let last = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("").to_owned();
            return Err(Fault::new(FaultKind::Unavailable, format!("initdb could not make a scratch cluster: {last}")));
        }
        let log =
            File::create(folder.path().join("log")).map_err(|error| unavailable("failed to make a log", error))?;
        let errors = log.try_clone().map_err(|error| unavailable("failed to make a log", error))?;
        let mut server = command(&bin.join("postgres"), user);
        server.arg("-D").arg(&data).arg("-k").arg(folder.path());
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
            "wal_level=minimal",
            "max_wal_senders=0",
            "autovacuum=off",
            "archive_mode=off",
            "shared_buffers=64MB",
            "max_connections=16",
            "max_wal_size=4GB",
            "checkpoint_timeout=1h",
            "unix_socket_permissions=0700",
            "log_min_messages=error",
        ] {
            server.arg("-c").arg(setting);
        }
        let server = server
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| unavailable("failed to start a scratch cluster", error))?;
        Ok(Self { server, password, folder })
    }

    fn options(&self, role: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.folder.path())
            .port(5432)
            .username(role)
            .password(&self.password)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
            .statement_cache_capacity(0)
            .disable_statement_logging()
    }

    /// Waits until it answers, and makes its database, owned by a role without any privilege. Returns how its superuser logs in there.
    pub(super) async fn open(&mut self) -> Result<PgConnectOptions, Fault> {
        let began = Instant::now();
        let mut connection = loop {
            match self.options("postgres", "postgres").connect().await {
                Ok(connection) => break connection,
                Err(error) => {
                    let ended = self.server.try_wait().ok().flatten().is_some();
                    if ended || began.elapsed() > START {
                        return Err(super::super::fault("the scratch cluster did not start", &error));
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        };
        let failed = |error: sqlx::Error| super::super::fault("failed to prepare the scratch cluster", &error);
        let role = format!(
            "CREATE ROLE {CAGED} LOGIN PASSWORD '{}' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION",
            self.password
        );
        connection.execute(AssertSqlSafe(role)).await.map_err(failed)?;
        let database = format!("CREATE DATABASE {DATABASE} OWNER {CAGED} TEMPLATE template0");
        connection.execute(AssertSqlSafe(database)).await.map_err(failed)?;
        let _ = connection.close().await;
        Ok(self.options("postgres", DATABASE))
    }

    /// How the unprivileged role logs in.
    pub(super) fn caged(&self) -> PgConnectOptions {
        self.options(CAGED, DATABASE)
    }

    /// Whether there is room for more.
    pub(super) fn room(folder: &Path) -> Result<(), Fault> {
        let Ok(space) = rustix::fs::statvfs(folder) else { return Ok(()) };
        if space.f_bavail.saturating_mul(space.f_frsize) < LEFT {
            let message = format!("the disk of {} is almost full, so the restore was ended", folder.display());
            return Err(Fault::new(FaultKind::Unavailable, message));
        }
        Ok(())
    }

    /// The folder that it lies in.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // At once: nothing of it is kept.
        if let Some(pid) = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::QUIT);
        }
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            if !matches!(self.server.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
