use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

mod hash;

use super::http_probe;
use super::session::{Field, KeyDatabase, Session};
use crate::domain::guard::quote_identifier;
use crate::domain::{Digest, Probe, counted};
use crate::policy::credentials::{ApiKeyColumns, CredentialPolicy, HashScheme, IssuerPolicy};
use crate::ports::{Fault, FaultKind, Issuer};

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
    id: Field,
    value: String,
    revoked_at: Option<Field>,
    active: Option<Field>,
}

/// Rows with salted hashes that are tried for a value.
const MOST_ROWS: usize = 1000;

impl ApiKeyTable {
    /// The table in that database.
    pub fn new(database: KeyDatabase) -> Self {
        Self { database }
    }

    async fn session(&self) -> Result<Session, Fault> {
        Session::open(&self.database).await
    }
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
        id: id_field,
        value: value_field.name,
        revoked_at: revoked,
        active,
        columns: fields,
    })
}

impl Shape {
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

    /// The id of the new key's row: the same whenever it is issued again. `None` where the database counts ids itself.
    fn new_id(&self, new: &SecretString) -> Option<String> {
        let digest = Digest::of(new.expose_secret().as_bytes()).to_string();
        match self.id.data_type.as_str() {
            // RFC 9562, version 8: bits of our own choice.
            "uuid" => Some(format!(
                "{}-{}-8{}-8{}-{}",
                &digest[..8],
                &digest[8..12],
                &digest[12..15],
                &digest[15..18],
                &digest[18..30]
            )),
            kind if kind.contains("int") => None,
            _ => Some(format!("{}-{}", self.key_id, &digest[..8])),
        }
    }

    /// Ids of the rows that hold a value. Salted hashes can't be searched for: each row is tried.
    async fn holding(&self, session: &mut Session, value: &SecretString, among: &str) -> Result<Vec<String>, Fault> {
        let (id, held) = (self.id_text(), quote_identifier(&self.value));
        let table = &self.table;
        if let Some(exact) = hash::searchable(self.hash, value) {
            let sql = format!("SELECT {id} FROM {table} WHERE {held} = ?1 AND ({among})");
            let rows = session.all(&sql, &[exact]).await?;
            return Ok(rows.into_iter().filter_map(|mut row| row.swap_remove(0)).collect());
        }
        let sql = format!("SELECT {id}, {held} FROM {table} WHERE ({among}) LIMIT {}", MOST_ROWS + 1);
        let rows = session.all(&sql, &[]).await?;
        if rows.len() > MOST_ROWS {
            let message = format!(
                "more than {MOST_ROWS} rows of the key table would have to be tried; a `proof` by request is needed"
            );
            return Err(Fault::new(FaultKind::Invalid, message));
        }
        hash::matching(rows, value).await
    }

    /// Columns that say when a key was made, used or revoked, and whether it is active; never the one that holds the key.
    fn times(&self) -> Vec<String> {
        let telling =
            ["created", "lastused", "usedat", "lastseen", "revoked", "disabled", "expires", "active", "enabled"];
        let normal =
            |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        let tells = |field: &&Field| {
            let name = normal(&field.name);
            field.name != self.value && field.name != self.id.name && telling.iter().any(|part| name.contains(part))
        };
        self.columns.iter().filter(tells).map(|field| field.name.clone()).collect()
    }

    fn id_text(&self) -> String {
        format!("CAST({} AS TEXT)", quote_identifier(&self.id.name))
    }

    /// Ids of the row that policy names and of the rows that earlier rotations made of it.
    async fn ours(&self, session: &mut Session) -> Result<Vec<String>, Fault> {
        let id = self.id_text();
        let like = format!("length({id}) = length(?1) + 9 AND substr({id}, 1, length(?1) + 1) = ?1 || '-'");
        let sql = format!("SELECT {id} FROM {} WHERE {id} = ?1 OR ({like})", self.table);
        let rows = session.all(&sql, std::slice::from_ref(&self.key_id)).await?;
        Ok(rows.into_iter().filter_map(|mut row| row.swap_remove(0)).collect())
    }

    /// The statement that adds the new key's row as a copy of the old one, and what is bound in it.
    fn insertion(&self, session: &Session, new: &SecretString, held: String) -> (String, Vec<String>) {
        let mut binds = vec![self.key_id.clone(), held];
        let id = self.new_id(new);
        let mut columns = Vec::new();
        for field in &self.columns {
            let column = quote_identifier(&field.name);
            let is = |other: &Option<Field>| other.as_ref().is_some_and(|other| other.name == field.name);
            let source = if field.name == self.id.name {
                if id.is_none() {
                    continue;
                }
                format!("CAST(?3 AS {})", if self.id.data_type == "uuid" { "uuid" } else { "TEXT" })
            } else if field.name == self.value {
                "?2".to_owned()
            } else if is(&self.revoked_at) {
                "NULL".to_owned()
            } else if is(&self.active) {
                session.yes().to_owned()
            } else if field.name.to_ascii_lowercase().starts_with("created") {
                session.now(field)
            } else {
                column.clone()
            };
            columns.push((column, source));
        }
        let (names, sources): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let unless = match &id {
            Some(_) => format!(" AND NOT EXISTS (SELECT 1 FROM {} WHERE {} = ?3)", self.table, self.id_text()),
            None => String::new(),
        };
        binds.extend(id);
        // One statement: the new row is there whole, or not at all.
        let sql = format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {table} WHERE {} = ?1{unless} RETURNING {}",
            names.join(", "),
            sources.join(", "),
            self.id_text(),
            self.id_text(),
            table = self.table,
        );
        (sql, binds)
    }
}

#[async_trait]
impl Issuer for ApiKeyTable {
    async fn probe(&self, credential: &CredentialPolicy, value: &SecretString) -> Result<Probe, Fault> {
        if let Some(asked) = http_probe::probe(credential, value).await {
            return asked;
        }
        let mut session = self.session().await?;
        let shape = shape(&mut session, credential).await?;
        let alive = shape.alive(&session);
        let holding = shape.holding(&mut session, value, &alive).await?;
        session.end().await;
        Ok(if holding.is_empty() {
            Probe::Refused { reason: "no live row of the key table holds it".into() }
        } else {
            Probe::Accepted
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
        if shape.holding(&mut session, new, "1 = 1").await?.is_empty() {
            let held = hash::made(shape.hash, new).await?;
            let (sql, binds) = shape.insertion(&session, new, held);
            let inserted = session.all(&sql, &binds).await?;
            if inserted.is_empty() && shape.holding(&mut session, new, "1 = 1").await?.is_empty() {
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
        let mut dead = shape.ours(&mut session).await?;
        if let Some(old) = old {
            dead.extend(shape.holding(&mut session, old, "1 = 1").await?);
        }
        if dead.is_empty() {
            let message =
                format!("the key table has neither a row with id `{}` nor one with the old value", shape.key_id);
            return Err(Fault::new(FaultKind::NotFound, message));
        }
        if let Some(new) = new {
            let keep = shape.holding(&mut session, new, "1 = 1").await?;
            dead.retain(|id| !keep.contains(id));
        }
        dead.sort();
        dead.dedup();
        let places: Vec<_> = (1..=dead.len()).map(|number| format!("?{number}")).collect();
        let killed = if dead.is_empty() {
            0
        } else {
            let (set, id) = (shape.kill(&session), shape.id_text());
            let sql = format!("UPDATE {} SET {set} WHERE {id} IN ({}) RETURNING {id}", shape.table, places.join(", "));
            session.all(&sql, &dead).await?.len()
        };
        session.end().await;
        Ok(format!("{} of the key table revoked", counted(killed, "row", "rows")))
    }

    /// When the rows of the key were made, last used and revoked, as far as the table says it.
    async fn evidence(&self, credential: &CredentialPolicy) -> Result<Option<serde_json::Value>, Fault> {
        let mut session = self.session().await?;
        let shape = shape(&mut session, credential).await?;
        let told = shape.times();
        let columns = told.iter().map(|name| format!("CAST({} AS TEXT)", quote_identifier(name)));
        let columns: Vec<_> = std::iter::once(shape.id_text()).chain(columns).collect();
        let like = format!("{} LIKE ?1 || '-%'", shape.id_text());
        let sql =
            format!("SELECT {} FROM {} WHERE {} = ?1 OR {like}", columns.join(", "), shape.table, shape.id_text());
        let rows = session.all(&sql, std::slice::from_ref(&shape.key_id)).await?;
        session.end().await;
        let row = |row: Vec<Option<String>>| {
            let names = std::iter::once("id").chain(told.iter().map(String::as_str));
            serde_json::Value::Object(
                names.map(String::from).zip(row.into_iter().map(serde_json::Value::from)).collect(),
            )
        };
        Ok(Some(rows.into_iter().map(row).collect()))
    }
}

#[cfg(test)]
mod tests;
