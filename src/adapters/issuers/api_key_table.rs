use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Database, Executor, IntoArguments, Row as _};

use super::http_probe;
use crate::domain::guard::quote_identifier;
use crate::domain::{Digest, Probe};
use crate::policy::credentials::{ApiKeyColumns, CredentialPolicy, HashScheme, IssuerPolicy};
use crate::ports::{Fault, FaultKind, Issuer};

/// Where the key table is.
#[derive(Clone)]
pub enum KeyDatabase {
    /// PostgreSQL, as a role that may change the table.
    Postgres(Box<PgConnectOptions>),
    /// A SQLite file.
    Sqlite(PathBuf),
}

/// An API key table: one row a key, with a hash or the value, revoked by a time or a flag.
///
/// `key_id` in the policy names the row that holds the key when the incident begins. The new key is a row of its own with the
/// id `<key_id>-<first 8 hex digits of the new value's digest>`, so that issuing it again changes nothing; whatever else
/// the old row says (account, scopes) is copied.
pub struct ApiKeyTable {
    database: KeyDatabase,
}

/// The table as policy and catalog describe it.
struct Shape {
    table: String,
    key_id: String,
    hash: HashScheme,
    columns: Vec<Field>,
    id: String,
    value: String,
    revoked_at: Option<Field>,
    active: Option<Field>,
}

#[derive(Clone)]
struct Field {
    name: String,
    data_type: String,
}

impl ApiKeyTable {
    /// The table in that database.
    pub fn new(database: KeyDatabase) -> Self {
        Self { database }
    }

    async fn session(&self) -> Result<Session, Fault> {
        let failed = |error: sqlx::Error| fault("failed to reach the database of the key table", &error);
        match &self.database {
            KeyDatabase::Postgres(options) => {
                let options = options.as_ref().clone().application_name("portcullis");
                let connected = tokio::time::timeout(Duration::from_secs(5), options.connect()).await;
                let connection = connected
                    .map_err(|_| Fault::new(FaultKind::Unavailable, "the database did not answer within 5 s"))?
                    .map_err(failed)?;
                Ok(Session::Postgres(Box::new(connection)))
            }
            KeyDatabase::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(false)
                    .busy_timeout(Duration::from_secs(5))
                    .disable_statement_logging();
                Ok(Session::Sqlite(Box::new(options.connect().await.map_err(failed)?)))
            }
        }
    }
}

/// A connection of either kind, with the few statements that are needed. Values are always bound.
enum Session {
    Postgres(Box<sqlx::PgConnection>),
    Sqlite(Box<sqlx::SqliteConnection>),
}

async fn all<'c, D>(
    connection: &'c mut D::Connection,
    sql: String,
    binds: &[String],
) -> Result<Vec<Vec<Option<String>>>, Fault>
where
    D: Database,
    for<'e> &'e mut D::Connection: Executor<'e, Database = D>,
    D::Arguments: IntoArguments<D>,
    for<'q> String: sqlx::Encode<'q, D> + sqlx::Type<D>,
    for<'r> Option<String>: sqlx::Decode<'r, D> + sqlx::Type<D>,
    usize: sqlx::ColumnIndex<D::Row>,
{
    let mut query = sqlx::query::<D>(AssertSqlSafe(sql));
    for bind in binds {
        query = query.bind(bind.clone());
    }
    let rows = query.fetch_all(connection).await.map_err(|error| fault("failed to use the key table", &error))?;
    rows.iter()
        .map(|row| {
            (0..row.len())
                .map(|index| {
                    row.try_get::<Option<String>, _>(index)
                        .map_err(|error| fault("failed to read the key table", &error))
                })
                .collect()
        })
        .collect()
}

impl Session {
    /// Rows as text; `?1`-style placeholders become `$1` on PostgreSQL.
    async fn all(&mut self, sql: &str, binds: &[String]) -> Result<Vec<Vec<Option<String>>>, Fault> {
        match self {
            Self::Postgres(connection) => all::<sqlx::Postgres>(connection, sql.replace('?', "$"), binds).await,
            Self::Sqlite(connection) => all::<sqlx::Sqlite>(connection, sql.to_owned(), binds).await,
        }
    }

    async fn end(self) {
        match self {
            Self::Postgres(connection) => drop(connection.close().await),
            Self::Sqlite(connection) => drop(connection.close().await),
        }
    }

    async fn fields(&mut self, table: &str) -> Result<Vec<Field>, Fault> {
        let sql = match self {
            Self::Postgres(_) => {
                "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = \
                 (SELECT c.oid FROM pg_class c WHERE c.relname = ?1 AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)) \
                 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum"
            }
            Self::Sqlite(_) => "SELECT name, lower(type) FROM pragma_table_info(?1) ORDER BY cid",
        };
        let rows = self.all(sql, &[table.to_owned()]).await?;
        let fields = rows.into_iter().filter_map(|row| {
            let mut cells = row.into_iter();
            Some(Field { name: cells.next()??, data_type: cells.next()?.unwrap_or_default() })
        });
        Ok(fields.collect())
    }

    /// An expression for "now" that fits the column.
    fn now(&self, field: &Field) -> String {
        match self {
            Self::Postgres(_) if field.data_type.contains("without time zone") => "(now() AT TIME ZONE 'UTC')".into(),
            Self::Postgres(_) if field.data_type.starts_with("bool") => "true".into(),
            Self::Postgres(_) => "now()".into(),
            // Prisma keeps DATETIME as milliseconds.
            Self::Sqlite(_) if field.data_type.contains("text") => "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')".into(),
            Self::Sqlite(_) => "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)".into(),
        }
    }

    fn no(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "false",
            Self::Sqlite(_) => "0",
        }
    }
}

fn fault(what: &str, error: &sqlx::Error) -> Fault {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let kind = match (error, code.as_deref()) {
        (sqlx::Error::Io(_) | sqlx::Error::Tls(_), _) => FaultKind::Unavailable,
        (_, Some("28P01" | "28000" | "42501" | "8")) => FaultKind::Denied,
        (_, Some("42P01" | "3D000")) => FaultKind::NotFound,
        (_, Some("55P03" | "40001" | "40P01" | "5" | "23505" | "1555")) => FaultKind::Conflict,
        _ => FaultKind::Invalid,
    };
    // The server's message, not its detail: that one repeats values.
    let words = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    Fault::new(kind, format!("{what}: {words}"))
}

fn find(fields: &[Field], wanted: Option<&String>, usual: &[&str]) -> Option<Field> {
    let normal = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    if let Some(wanted) = wanted {
        return fields.iter().find(|field| field.name == *wanted).cloned();
    }
    usual.iter().find_map(|usual| fields.iter().find(|field| normal(&field.name) == *usual).cloned())
}

async fn shape(session: &mut Session, credential: &CredentialPolicy) -> Result<Shape, Fault> {
    let IssuerPolicy::ApiKeyTable { table, key_id, hash, columns } = &credential.issuer else {
        return Err(Fault::new(FaultKind::Invalid, "this credential is not in an API key table"));
    };
    let fields = session.fields(table).await?;
    if fields.is_empty() {
        return Err(Fault::new(
            FaultKind::NotFound,
            format!("there is no table `{table}` (credentials.yml: issuer.table)"),
        ));
    }
    let ApiKeyColumns { id, hash: value, revoked_at, active } = columns;
    let missing = |what: &str| {
        let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
        let message =
            format!("no column of `{table}` looks like {what} (issuer.columns names one): {}", names.join(", "));
        Fault::new(FaultKind::Invalid, message)
    };
    let values =
        ["keyhash", "hash", "hashedkey", "keydigest", "secrethash", "tokenhash", "key", "apikey", "secret", "token"];
    let id_field = find(&fields, id.as_ref(), &["id", "keyid", "apikeyid"]).ok_or_else(|| missing("an id"))?;
    let value_field = find(&fields, value.as_ref(), &values).ok_or_else(|| missing("a key or its hash"))?;
    let revoked = find(&fields, revoked_at.as_ref(), &["revokedat", "disabledat", "deactivatedat", "deletedat"]);
    let active = find(&fields, active.as_ref(), &["active", "isactive", "enabled", "isenabled"]);
    if revoked.is_none() && active.is_none() {
        return Err(missing("a time of revocation or an active flag"));
    }
    Ok(Shape {
        table: quote_identifier(table),
        key_id: key_id.clone(),
        hash: *hash,
        id: id_field.name,
        value: value_field.name,
        revoked_at: revoked,
        active,
        columns: fields,
    })
}

impl Shape {
    fn held(&self, value: &SecretString) -> String {
        match self.hash {
            HashScheme::Sha256 => Digest::of(value.expose_secret().as_bytes()).to_string(),
            HashScheme::Plain => value.expose_secret().to_owned(),
        }
    }

    /// Condition under which a row is alive.
    fn alive(&self, session: &Session) -> String {
        let mut parts = Vec::new();
        if let Some(revoked) = &self.revoked_at {
            let column = quote_identifier(&revoked.name);
            parts.push(format!("{column} IS NULL"));
        }
        if let Some(active) = &self.active {
            parts.push(format!("{} <> {}", quote_identifier(&active.name), session.no()));
        }
        parts.join(" AND ")
    }

    /// Assignments that kill a row; an earlier time of revocation stays.
    fn kill(&self, session: &Session) -> String {
        let mut parts = Vec::new();
        if let Some(revoked) = &self.revoked_at {
            let column = quote_identifier(&revoked.name);
            parts.push(format!("{column} = coalesce({column}, {})", session.now(revoked)));
        }
        if let Some(active) = &self.active {
            parts.push(format!("{} = {}", quote_identifier(&active.name), session.no()));
        }
        parts.join(", ")
    }

    fn new_id(&self, new: &SecretString) -> String {
        let digest = Digest::of(new.expose_secret().as_bytes()).to_string();
        format!("{}-{}", self.key_id, &digest[..8])
    }
}

#[async_trait]
impl Issuer for ApiKeyTable {
    async fn probe(&self, credential: &CredentialPolicy, value: &SecretString) -> Result<Probe, Fault> {
        if let Some(asked) = http_probe::probe(credential.proof.as_ref(), value).await {
            return asked;
        }
        let mut session = self.session().await?;
        let shape = shape(&mut session, credential).await?;
        let (column, alive) = (quote_identifier(&shape.value), shape.alive(&session));
        let sql = format!("SELECT CAST(count(*) AS TEXT) FROM {} WHERE {column} = ?1 AND {alive}", shape.table);
        let rows = session.all(&sql, &[shape.held(value)]).await?;
        session.end().await;
        let live = rows.first().and_then(|row| row.first()?.as_deref()).is_some_and(|count| count != "0");
        Ok(if live {
            Probe::Accepted
        } else {
            Probe::Refused { reason: "no live row of the key table holds it".into() }
        })
    }

    async fn issue(
        &self,
        credential: &CredentialPolicy,
        new: &SecretString,
        _: Option<&SecretString>,
    ) -> Result<(), Fault> {
        let mut session = self.session().await?;
        let shape = shape(&mut session, credential).await?;
        let (id, value) = (quote_identifier(&shape.id), quote_identifier(&shape.value));
        // One statement: the new row is there whole, or not at all.
        let mut names = Vec::new();
        let mut sources = Vec::new();
        for field in &shape.columns {
            let column = quote_identifier(&field.name);
            let is = |other: &Option<Field>| other.as_ref().is_some_and(|other| other.name == field.name);
            sources.push(if field.name == shape.id {
                "?1".to_owned()
            } else if field.name == shape.value {
                "?2".to_owned()
            } else if is(&shape.revoked_at) {
                "NULL".to_owned()
            } else if is(&shape.active) {
                if matches!(session, Session::Postgres(_)) { "true".to_owned() } else { "1".to_owned() }
            } else if field.name.to_ascii_lowercase().starts_with("created") {
                session.now(field)
            } else {
                column.clone()
            });
            names.push(column);
        }
        let sql = format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {table} WHERE {id} = ?3 AND NOT EXISTS (SELECT 1 FROM {table} WHERE {value} = ?2) RETURNING {id}",
            names.join(", "),
            sources.join(", "),
            table = shape.table,
        );
        let binds = [shape.new_id(new), shape.held(new), shape.key_id.clone()];
        let inserted = session.all(&sql, &binds).await?;
        if inserted.is_empty() {
            let there = format!("SELECT {id} FROM {} WHERE {value} = ?1", shape.table);
            if session.all(&there, &binds[1..2]).await?.is_empty() {
                let message =
                    format!("the key table has no row with id `{}` (credentials.yml: issuer.key_id)", shape.key_id);
                return Err(Fault::new(FaultKind::NotFound, message));
            }
        }
        session.end().await;
        Ok(())
    }

    async fn revoke(
        &self,
        credential: &CredentialPolicy,
        old: Option<&SecretString>,
        new: Option<&SecretString>,
    ) -> Result<String, Fault> {
        let mut session = self.session().await?;
        let shape = shape(&mut session, credential).await?;
        let (id, value) = (quote_identifier(&shape.id), quote_identifier(&shape.value));
        let keep = new.map_or_else(String::new, |new| shape.held(new));
        let old = old.map_or_else(String::new, |old| shape.held(old));
        let sql = format!(
            "UPDATE {} SET {} WHERE ({id} = ?1 OR {value} = ?2) AND {value} <> ?3 RETURNING {id}",
            shape.table,
            shape.kill(&session)
        );
        let rows = session.all(&sql, &[shape.key_id.clone(), old, keep]).await?;
        session.end().await;
        if rows.is_empty() {
            let message =
                format!("the key table has neither a row with id `{}` nor one with the old value", shape.key_id);
            return Err(Fault::new(FaultKind::NotFound, message));
        }
        Ok(format!("{} rows of the key table revoked", rows.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CredentialId;

    fn policy() -> CredentialPolicy {
        let text = "version: 1\ncredentials:\n  - id: key\n    issuer: { kind: api_key_table, key_id: k1 }\n    kept: [{ store: dotenv, key: KEY }]\n";
        let policy: crate::policy::credentials::CredentialsPolicy =
            crate::policy::parse("credentials.yml", text).unwrap();
        assert_eq!(policy.credentials[0].id, CredentialId::new("key").unwrap());
        policy.credentials.into_iter().next().unwrap()
    }

    async fn table(sql: &str) -> (tempfile::TempDir, ApiKeyTable) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let mut connection =
            SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        (folder, ApiKeyTable::new(KeyDatabase::Sqlite(path)))
    }

    #[tokio::test]
    async fn a_key_is_replaced_and_killed_and_repeating_changes_nothing() {
        let old = SecretString::from("sk_old");
        let hash = Digest::of(b"sk_old");
        let (_folder, table) = table(&format!(
            "CREATE TABLE ApiKey (id TEXT PRIMARY KEY, accountId TEXT, keyHash TEXT UNIQUE, revokedAt DATETIME, createdAt DATETIME);
             INSERT INTO ApiKey VALUES ('k1', 'acc', '{hash}', NULL, 1), ('k2', 'acc', 'x', NULL, 1);"
        ))
        .await;
        let policy = policy();
        let new = SecretString::from("sk_new");
        assert_eq!(table.probe(&policy, &old).await.unwrap(), Probe::Accepted);
        assert!(matches!(table.probe(&policy, &new).await.unwrap(), Probe::Refused { .. }));
        for _ in 0..2 {
            table.issue(&policy, &new, Some(&old)).await.unwrap();
            table.revoke(&policy, Some(&old), Some(&new)).await.unwrap();
        }
        assert_eq!(table.probe(&policy, &new).await.unwrap(), Probe::Accepted);
        assert!(matches!(table.probe(&policy, &old).await.unwrap(), Probe::Refused { .. }));
        let mut session = table.session().await.unwrap();
        let rows = session
            .all("SELECT id, accountId, CAST(revokedAt IS NULL AS TEXT) FROM ApiKey ORDER BY id", &[])
            .await
            .unwrap();
        let alive: Vec<_> = rows.iter().map(|row| row[2].clone().unwrap()).collect();
        assert_eq!(alive, ["0", "1", "1"], "{rows:?}");
        assert_eq!(rows[1][1].as_deref(), Some("acc"));
    }

    #[tokio::test]
    async fn a_missing_row_or_column_is_said() {
        let (_folder, table) = table("CREATE TABLE ApiKey (id TEXT, keyHash TEXT, revokedAt DATETIME)").await;
        let value = SecretString::from("hunter2");
        let fault = table.issue(&policy(), &value, None).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::NotFound);
        assert!(fault.chain().contains("k1") && !fault.chain().contains("hunter2"));
        let (_folder, table) = self::table("CREATE TABLE ApiKey (id TEXT, keyHash TEXT)").await;
        let fault = table.issue(&policy(), &value, None).await.unwrap_err();
        assert!(fault.chain().contains("revocation"), "{}", fault.chain());
    }
}
