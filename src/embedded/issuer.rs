use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use super::back_end::{Answer, BackEnd, Login, key_hash, sign_token};
use super::database;
use crate::domain::{CredentialId, Probe, Timestamp};
use crate::policy::credentials::{CredentialPolicy, IssuerPolicy};
use crate::ports::{Clock, Fault, FaultKind, Issuer};

/// Who honours the credentials of the embedded deployment: its back end, over its key table and its JWT key.
pub struct EmbeddedIssuer {
    root: PathBuf,
    back_end: Arc<BackEnd>,
    clock: Arc<dyn Clock>,
}

impl EmbeddedIssuer {
    /// The issuer of all credentials of the deployment in `root`.
    pub fn new(root: &Path, back_end: Arc<BackEnd>, clock: Arc<dyn Clock>) -> Self {
        Self { root: root.to_owned(), back_end, clock }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Id of the row of a rotated key: the same value gives the same row, so that repeating changes nothing.
fn rotated_id(first: &str, hash: &str) -> String {
    format!("{first}-{}", hash.get(..8).unwrap_or(hash))
}

fn row<'a>(credential: &'a CredentialPolicy, id: &CredentialId) -> Result<&'a str, Fault> {
    match &credential.issuer {
        IssuerPolicy::ApiKeyTable { key_id, .. } => Ok(key_id),
        _ => Err(Fault::new(FaultKind::Invalid, format!("nobody issues `{id}`: it is made by the deployment itself"))),
    }
}

#[async_trait]
impl Issuer for EmbeddedIssuer {
    async fn probe(&self, credential: &CredentialPolicy, value: &SecretString) -> Result<Probe, Fault> {
        let answer = match &credential.issuer {
            IssuerPolicy::ApiKeyTable { .. } => self.back_end.who_am_i(Login::ApiKey(value)).await?,
            IssuerPolicy::SelfMade => {
                let token = sign_token(value, "canary", self.now() + Duration::from_secs(60));
                self.back_end.who_am_i(Login::Token(&token)).await?
            }
            IssuerPolicy::PostgresRole { .. } | IssuerPolicy::Manual { .. } => {
                let reason = "the embedded deployment has no such issuer".to_owned();
                return Ok(Probe::Meaningless { reason });
            }
        };
        Ok(match answer {
            Answer::Created { .. } => Probe::Accepted,
            Answer::Refused { reason, .. } => Probe::Refused { reason },
        })
    }

    async fn issue(
        &self,
        credential: &CredentialPolicy,
        new: &SecretString,
        _old: Option<&SecretString>,
    ) -> Result<(), Fault> {
        let first = row(credential, &credential.id)?;
        let hash = key_hash(new);
        let mut connection = database::open(&self.root, false).await?;
        let done = sqlx::query(
            "INSERT INTO \"ApiKey\" (id, accountId, keyHash, revokedAt, createdAt) \
             SELECT ?1, accountId, ?2, NULL, ?3 FROM \"ApiKey\" WHERE id = ?4 \
             ON CONFLICT (keyHash) DO UPDATE SET revokedAt = NULL",
        )
        .bind(rotated_id(first, &hash))
        .bind(&hash)
        .bind(self.now().as_millisecond())
        .bind(first)
        .execute(&mut connection)
        .await
        .map_err(|error| database::fault("write a key to", &error))?;
        database::close(connection).await?;
        if done.rows_affected() == 0 {
            return Err(Fault::new(FaultKind::NotFound, format!("the key table has no row `{first}`")));
        }
        Ok(())
    }

    async fn revoke(
        &self,
        credential: &CredentialPolicy,
        old: Option<&SecretString>,
        new: Option<&SecretString>,
    ) -> Result<String, Fault> {
        let first = row(credential, &credential.id)?;
        let mut connection = database::open(&self.root, false).await?;
        // Where the old value is not known, every row of this key but the new one dies.
        let done = sqlx::query(
            "UPDATE \"ApiKey\" SET revokedAt = ?1 WHERE revokedAt IS NULL AND keyHash IS NOT ?2 \
             AND (keyHash = ?3 OR id = ?4 OR substr(id, 1, length(?4) + 1) = ?4 || '-')",
        )
        .bind(self.now().as_millisecond())
        .bind(new.map(key_hash))
        .bind(old.map(key_hash))
        .bind(first)
        .execute(&mut connection)
        .await
        .map_err(|error| database::fault("revoke a key in", &error))?;
        database::close(connection).await?;
        Ok(format!("{} rows of the key table revoked", done.rows_affected()))
    }
}
