//! A dump of the live database by `pg_dump`, from a snapshot whose position in the log is known.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};

use super::super::{connect, fault};
use crate::ports::{Fault, FaultKind};

/// The first of the passwords that the server takes; absent where none is needed.
async fn working(
    options: &PgConnectOptions,
    passwords: &[SecretString],
) -> Result<(PgConnection, Option<SecretString>), Fault> {
    for password in passwords {
        match connect(&options.clone().password(password.expose_secret())).await {
            Err(fault) if fault.kind == FaultKind::Denied => {}
            other => return other.map(|connection| (connection, Some(password.clone()))),
        }
    }
    connect(options).await.map(|connection| (connection, None))
}

/// A field of a password file (libpq's format): colons and backslashes are escaped.
fn field(text: &str) -> String {
    text.replace('\\', "\\\\").replace(':', "\\:")
}

/// Writes the dump; returns the position in the write-ahead log at the moment of its snapshot, where the role may know it.
pub(super) async fn dump(
    options: &PgConnectOptions,
    passwords: &[SecretString],
    bin: Option<&str>,
    out: &mut (dyn Write + Send),
) -> Result<Option<String>, Fault> {
    let failed = |error: sqlx::Error| fault("failed to take a snapshot for the backup", &error);
    let (mut connection, password) = working(options, passwords).await?;
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(failed)?;
    let snapshot: String =
        sqlx::query_scalar("SELECT pg_export_snapshot()").fetch_one(&mut connection).await.map_err(failed)?;
    let position =
        "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text";
    let position: Option<String> = sqlx::query_scalar(position).fetch_one(&mut connection).await.map_err(failed)?;
    let unavailable = |what: &str, error: std::io::Error| Fault::with(FaultKind::Unavailable, what.to_owned(), error);
    let host =
        options.get_socket().map_or_else(|| options.get_host().to_owned(), |socket| socket.display().to_string());
    let (port, user) = (options.get_port().to_string(), options.get_username().to_owned());
    let database = options.get_database().unwrap_or(&user).to_owned();
    let program = bin.map_or("pg_dump".to_owned(), |bin| format!("{bin}/pg_dump"));
    let folder = tempfile::tempdir().map_err(|error| unavailable("failed to make a folder for the password", error))?;
    let mut command = Command::new(&program);
    command
        .args(["--no-password", "--encoding=UTF8", &format!("--snapshot={snapshot}")])
        .env("PGHOST", &host)
        .env("PGPORT", &port)
        .env("PGUSER", &user)
        .env("PGDATABASE", &database)
        .env("PGAPPNAME", "portcullis")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(password) = password {
        // A file that only we can read: arguments can be seen by others.
        let path = folder.path().join("pgpass");
        let line = SecretString::from(format!("*:*:*:{}:{}\n", field(&user), field(password.expose_secret())));
        std::fs::write(&path, line.expose_secret())
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)))
            .map_err(|error| unavailable("failed to write the password for pg_dump", error))?;
        command.env("PGPASSFILE", path);
    }
    let mut child = command.spawn().map_err(|error| {
        Fault::with(FaultKind::NotFound, format!("failed to start `{program}` (Debian: postgresql-client)"), error)
    })?;
    let copied = child.stdout.take().map(|mut text| copy(&mut text, out)).transpose();
    if copied.is_err() {
        let _ = child.kill();
    }
    let ended = child.wait_with_output().map_err(|error| unavailable("failed to wait for pg_dump", error))?;
    copied.map_err(|error| unavailable("failed to write the backup", error))?;
    let _ = connection.close().await;
    if !ended.status.success() {
        let words = String::from_utf8_lossy(&ended.stderr);
        let last: String = words
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or("")
            .chars()
            .filter(|c| !c.is_control())
            .take(300)
            .collect();
        return Err(Fault::new(FaultKind::Invalid, format!("pg_dump failed: {last}")));
    }
    Ok(position)
}

fn copy(from: &mut dyn Read, to: &mut dyn Write) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => to.write_all(&buffer[..read])?,
        }
    }
}
