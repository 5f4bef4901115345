//! How this program logs in to PostgreSQL. All adapters of a run share it, so that the role's own password can be rotated while
//! they work: the new one takes over in flight, and after a crash in between the sealed one is found.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};

/// Bound on one connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Gives passwords that may work where the configured one is refused: newest first.
pub type Others = dyn Fn() -> Vec<SecretString> + Send + Sync;

/// A log-in that can be handed over.
#[derive(Clone)]
pub struct Login {
    inner: Arc<Inner>,
}

struct Inner {
    options: RwLock<PgConnectOptions>,
    others: Box<Others>,
}

/// Of sqlx's errors, the one that says "another password is needed".
fn refused(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("28P01")
}

async fn open(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let options = options.clone().application_name("portcullis").disable_statement_logging();
    match tokio::time::timeout(CONNECT, options.connect()).await {
        Ok(connected) => connected,
        Err(_) => Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer within 5 s"))),
    }
}

impl Login {
    /// As configured; `others` is asked only where that is refused.
    pub fn new(options: PgConnectOptions, others: Box<Others>) -> Self {
        Self { inner: Arc::new(Inner { options: RwLock::new(options), others }) }
    }

    /// The options in force.
    pub fn options(&self) -> PgConnectOptions {
        self.inner.options.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether that role is ours.
    pub fn is(&self, role: &str) -> bool {
        self.options().get_username() == role
    }

    /// From now on the role logs in with this password.
    pub fn hand_over(&self, password: &SecretString) {
        let mut options = self.inner.options.write().unwrap_or_else(PoisonError::into_inner);
        *options = options.clone().password(password.expose_secret());
    }

    /// Connects within 5 s.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let error = match open(&self.options()).await {
            Err(error) if refused(&error) => error,
            connected => return connected,
        };
        for password in (self.inner.others)() {
            match open(&self.options().password(password.expose_secret())).await {
                Ok(connection) => {
                    self.hand_over(&password);
                    return Ok(connection);
                }
                Err(error) if refused(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(error)
    }
}
