//! The private servers that `tests/run.sh` starts.

use std::process::Command;

/// The address in that variable; without it the test is skipped, unless peers are required.
pub fn address(variable: &str) -> Option<String> {
    if let Ok(address) = std::env::var(variable) {
        return Some(address);
    }
    assert!(
        std::env::var_os("PORTCULLIS_TEST_REQUIRE_PEERS").is_none(),
        "{variable} is not set, but peers are required"
    );
    println!("skipped: {variable} is not set (tests/run.sh starts the servers)");
    None
}

/// What can't be had everywhere: without it the test is skipped, and says so.
pub fn optional(variable: &str) -> Option<String> {
    let found = std::env::var(variable).ok();
    if found.is_none() {
        println!("skipped: {variable} is not set (tests/run.sh says why it can't be had)");
    }
    found
}

/// A PostgreSQL server with a database of the test's own.
pub struct Postgres {
    /// Superuser's address of the test's database.
    pub url: String,
    /// `host:port`.
    pub place: String,
    /// Name of the database, also the suffix of the test's roles.
    pub name: String,
}

impl Postgres {
    /// Makes a database of that name.
    pub fn fresh(name: &str) -> Option<Self> {
        let server = address("PORTCULLIS_TEST_DATABASE_URL")?;
        let name = format!("{name}_{}", std::process::id());
        psql(&server, &format!("CREATE DATABASE {name}")).expect("a database can be made");
        let (base, _) = server.rsplit_once('/').expect("the address names a database");
        let (_, place) = base.rsplit_once('@').expect("the address names a user");
        Some(Self { url: format!("{base}/{name}"), place: place.to_owned(), name })
    }

    /// Runs SQL as the superuser.
    pub fn sql(&self, sql: &str) -> String {
        psql(&self.url, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs SQL as a role.
    pub fn sql_as(&self, role: &str, password: &str, sql: &str) -> Result<String, String> {
        psql(&format!("postgres://{role}:{password}@{}/{}", self.place, self.name), sql)
    }
}

/// What the server answers, or its error.
pub fn psql(url: &str, sql: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
        .env("PGCONNECT_TIMEOUT", "10")
        .output()
        .expect("psql can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
