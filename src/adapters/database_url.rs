//! `DATABASE_URL` as Prisma writes it, for either dialect.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::ports::{Fault, FaultKind};

/// Where a deployment's database is.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// PostgreSQL, with Prisma's own parameters taken out.
    Postgres {
        /// Options for connections.
        options: Box<PgConnectOptions>,
        /// Prisma's `schema` parameter.
        schema: Option<String>,
    },
    /// A SQLite file.
    Sqlite(PathBuf),
}

/// Parameters that the PostgreSQL client understands; Prisma's own (`schema`, `connection_limit`, `pgbouncer`, ...) are not
/// among them.
const KNOWN: [&str; 15] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "application_name",
];

/// A relative SQLite path starts at `root`; before Prisma 7 it started at the folder of the schema, usually `prisma/`: taken where
/// only that file is there.
fn sqlite_file(root: &Path, path: &str) -> PathBuf {
    let (here, beside) = (root.join(path), root.join("prisma").join(path));
    if !here.exists() && beside.exists() { beside } else { here }
}

impl DatabaseUrl {
    /// Reads an address; relative SQLite paths start at `root`. The text itself never gets into an error.
    pub fn parse(url: &SecretString, root: &Path) -> Result<Self, Fault> {
        let text = url.expose_secret().trim();
        if let Some(path) = text.strip_prefix("file:").or_else(|| text.strip_prefix("sqlite:")) {
            let path = path.split('?').next().unwrap_or(path);
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(Fault::new(FaultKind::Invalid, "the database address names no file"));
            }
            return Ok(Self::Sqlite(sqlite_file(root, path)));
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            let message = "the database address is neither postgres://, postgresql://, file: nor sqlite:";
            return Err(Fault::new(FaultKind::Invalid, message));
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut kept = Vec::new();
        let mut schema = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if key == "schema" {
                schema = Some(value.to_owned());
            } else if KNOWN.contains(&key) {
                kept.push(pair);
            }
        }
        let stripped =
            SecretString::from(if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) });
        // The parser's own error may repeat the address.
        let options = PgConnectOptions::from_str(stripped.expose_secret())
            .map_err(|_| {
                Fault::new(FaultKind::Invalid, "the PostgreSQL address can't be parsed (its text is not shown)")
            })?
            .disable_statement_logging()
            .statement_cache_capacity(0);
        Ok(Self::Postgres { options: Box::new(options), schema })
    }

    /// The user of a PostgreSQL address.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Postgres { options, .. } => Some(options.get_username()),
            Self::Sqlite(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DatabaseUrl, Fault> {
        DatabaseUrl::parse(&SecretString::from(text), Path::new("/srv/app"))
    }

    #[test]
    fn prismas_forms_are_understood() {
        let DatabaseUrl::Postgres { options, schema } =
            parse("postgresql://app:p%40ss@db:6432/trading?schema=trade&connection_limit=5&pgbouncer=true").unwrap()
        else {
            panic!("PostgreSQL");
        };
        assert_eq!((options.get_host(), options.get_port(), options.get_username()), ("db", 6432, "app"));
        assert_eq!(schema.as_deref(), Some("trade"));
        for text in ["file:./dev.db", "file:dev.db?connection_limit=1", "sqlite:dev.db", "sqlite://dev.db"] {
            let DatabaseUrl::Sqlite(path) = parse(text).unwrap() else { panic!("SQLite") };
            assert_eq!(path.file_name().unwrap(), "dev.db");
            assert!(path.starts_with("/srv/app"));
        }
    }

    #[test]
    fn a_file_beside_the_schema_is_found_where_there_is_no_other() {
        let root = tempfile::tempdir().unwrap();
        let path = |text: &str| match DatabaseUrl::parse(&SecretString::from(text), root.path()).unwrap() {
            DatabaseUrl::Sqlite(path) => path.strip_prefix(root.path()).unwrap().to_owned(),
            DatabaseUrl::Postgres { .. } => panic!("SQLite"),
        };
        assert_eq!(path("file:dev.db"), Path::new("dev.db"));
        std::fs::create_dir(root.path().join("prisma")).unwrap();
        std::fs::write(root.path().join("prisma/dev.db"), "").unwrap();
        assert_eq!(path("file:dev.db"), Path::new("prisma/dev.db"));
        std::fs::write(root.path().join("dev.db"), "").unwrap();
        assert_eq!(path("file:dev.db"), Path::new("dev.db"));
    }

    #[test]
    fn a_bad_address_is_not_repeated() {
        for text in ["mysql://app:hunter2@db/x", "postgres://app:hunter2@db:notaport/x", "hunter2", "file:"] {
            let Err(fault) = parse(text) else { panic!("{text} is refused") };
            assert!(!fault.chain().contains("hunter2"), "{}", fault.chain());
        }
    }
}
