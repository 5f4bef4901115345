//! How key tables hold values: as they are, as SHA-256, or as a salted hash made by a library.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret, SecretString};

use crate::domain::Digest;
use crate::policy::credentials::HashScheme;
use crate::ports::{Fault, FaultKind};

/// Cost of a bcrypt hash that is made here (OWASP asks for at least 10).
const BCRYPT_COST: u32 = 12;

/// What a row holds of the value, if that is the same every time.
pub(super) fn searchable(scheme: HashScheme, value: &SecretString) -> Option<String> {
    match scheme {
        HashScheme::Sha256 => Some(Digest::of(value.expose_secret().as_bytes()).to_string()),
        HashScheme::Plain => Some(value.expose_secret().to_owned()),
        HashScheme::Bcrypt | HashScheme::Argon2 => None,
    }
}

/// What a new row is to hold. Slow hashes are made off the async threads.
pub(super) async fn made(scheme: HashScheme, value: &SecretString) -> Result<String, Fault> {
    if let Some(text) = searchable(scheme, value) {
        return Ok(text);
    }
    let value = value.clone();
    off_thread(move || {
        let secret = value.expose_secret();
        let hashed = match scheme {
            // Cut at 72 bytes without a word by bcrypt itself: two such values could not be told apart.
            HashScheme::Bcrypt => bcrypt::non_truncating_hash(secret, BCRYPT_COST).ok(),
            _ => Argon2::default().hash_password(secret.as_bytes()).ok().map(|hash| hash.to_string()),
        };
        hashed.ok_or_else(|| {
            Fault::new(FaultKind::Invalid, "failed to hash the new value (bcrypt takes at most 72 bytes)")
        })
    })
    .await
}

/// Ids of the rows (id, hash) whose hash is one of the value. The hash itself says how it was made.
pub(super) async fn matching(rows: Vec<Vec<Option<String>>>, value: &SecretString) -> Result<Vec<String>, Fault> {
    let value = value.clone();
    off_thread(move || {
        let secret = value.expose_secret();
        let matching = rows.into_iter().filter_map(|row| {
            let mut cells = row.into_iter();
            let (id, hash) = (cells.next()??, cells.next()??);
            verifies(secret, &hash).then_some(id)
        });
        Ok(matching.collect())
    })
    .await
}

fn verifies(secret: &str, hash: &str) -> bool {
    if hash.starts_with("$2") {
        return bcrypt::verify(secret, hash).unwrap_or(false);
    }
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok())
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Fault::with(FaultKind::Invalid, "failed to hash", error)),
    }
}
