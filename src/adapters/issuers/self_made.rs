use async_trait::async_trait;
use secrecy::SecretString;

use super::http_probe;
use super::session::{KeyDatabase, Session};
use crate::domain::Probe;
use crate::domain::guard::quote_identifier;
use crate::policy::credentials::{ClearPolicy, CredentialPolicy, IssuerPolicy};
use crate::ports::{Fault, FaultKind, Issuer};

/// A value that the deployment made for itself: whoever holds the store's value honours it, so there is nobody to tell. What
/// was derived from it and would outlive it (refresh tokens, sessions) is cleared when the old value is revoked.
pub struct SelfMade {
    database: Option<KeyDatabase>,
}

impl SelfMade {
    /// Clears tables in that database, where policy names some.
    pub fn new(database: Option<KeyDatabase>) -> Self {
        Self { database }
    }
}

fn clears(credential: &CredentialPolicy) -> &[ClearPolicy] {
    match &credential.issuer {
        IssuerPolicy::SelfMade { clear } => clear,
        _ => &[],
    }
}

/// Clears one table; says how many rows that were.
async fn clear(session: &mut Session, policy: &ClearPolicy) -> Result<String, Fault> {
    let ClearPolicy { table, revoked_at } = policy;
    let fields = session.fields(table).await?;
    if fields.is_empty() {
        let message = format!("there is no table `{table}` (credentials.yml: issuer.clear)");
        return Err(Fault::new(FaultKind::NotFound, message));
    }
    let Some(column) = revoked_at else {
        let rows = session.all(&format!("DELETE FROM {} RETURNING '1'", quote_identifier(table)), &[]).await?;
        return Ok(format!("{} rows of {table} deleted", rows.len()));
    };
    let field = fields.iter().find(|field| field.name == *column).ok_or_else(|| {
        Fault::new(FaultKind::NotFound, format!("`{table}` has no column `{column}` (credentials.yml: issuer.clear)"))
    })?;
    let (now, column) = (session.now(field), quote_identifier(column));
    let sql = format!("UPDATE {} SET {column} = {now} WHERE {column} IS NULL RETURNING '1'", quote_identifier(table));
    Ok(format!("{} rows of {table} revoked", session.all(&sql, &[]).await?.len()))
}

#[async_trait]
impl Issuer for SelfMade {
    async fn probe(&self, credential: &CredentialPolicy, value: &SecretString) -> Result<Probe, Fault> {
        http_probe::probe(credential, value).await.unwrap_or_else(|| {
            Ok(Probe::Meaningless { reason: "policy names no request by which the service could be asked".into() })
        })
    }

    async fn issue(&self, _: &CredentialPolicy, _: &SecretString, _: Option<&SecretString>) -> Result<(), Fault> {
        Ok(())
    }

    async fn revoke(
        &self,
        credential: &CredentialPolicy,
        _: Option<&SecretString>,
        _: Option<&SecretString>,
    ) -> Result<String, Fault> {
        let clears = clears(credential);
        if clears.is_empty() {
            return Ok("the services that held it were restarted with the new value".into());
        }
        let database = self.database.as_ref().ok_or_else(|| {
            Fault::new(FaultKind::Invalid, "issuer.clear names tables, but no database is configured (DATABASE_URL)")
        })?;
        let mut session = Session::open(database).await?;
        let mut words = Vec::new();
        for policy in clears {
            words.push(clear(&mut session, policy).await?);
        }
        session.end().await;
        Ok(words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions as _, Connection as _};

    use super::*;

    fn policy(clear: &str) -> CredentialPolicy {
        let text = format!(
            "version: 1\ncredentials:\n  - id: jwt\n    issuer: {{ kind: self_made, clear: [{clear}] }}\n    kept: [{{ store: dotenv, key: K }}]\n    proof: {{ kind: store }}\n"
        );
        let policy: crate::policy::credentials::CredentialsPolicy =
            crate::policy::parse("credentials.yml", &text).unwrap();
        policy.credentials.into_iter().next().unwrap()
    }

    #[tokio::test]
    async fn what_was_derived_from_the_old_value_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        let sql = "CREATE TABLE \"Session\" (id TEXT); INSERT INTO \"Session\" VALUES ('a'), ('b');
            CREATE TABLE RefreshToken (id TEXT, revokedAt DATETIME); INSERT INTO RefreshToken VALUES ('a', NULL), ('b', 5);";
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        let issuer = SelfMade::new(Some(KeyDatabase::Sqlite(path)));
        let both = policy("{ table: Session }, { table: RefreshToken, revoked_at: revokedAt }");
        let words = issuer.revoke(&both, None, None).await.unwrap();
        assert_eq!(words, "2 rows of Session deleted, 1 rows of RefreshToken revoked");
        let words = issuer.revoke(&both, None, None).await.unwrap();
        assert_eq!(words, "0 rows of Session deleted, 0 rows of RefreshToken revoked");
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM RefreshToken WHERE revokedAt = 5")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(kept, 1, "an earlier time of revocation stays");
        connection.close().await.unwrap();
        for missing in ["{ table: Nope }", "{ table: RefreshToken, revoked_at: nope }"] {
            assert_eq!(issuer.revoke(&policy(missing), None, None).await.unwrap_err().kind, FaultKind::NotFound);
        }
    }
}
