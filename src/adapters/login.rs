//! How this program logs in to PostgreSQL. All adapters of a run share it, so that the role's own password can be rotated while
//! they work: the new one takes over in flight, and after a crash in between the sealed one is found.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bound on one connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Bound on the question whether a connection that was kept still works.
const PING: Duration = Duration::from_secs(1);
/// Connections that are kept for the next step.
const KEPT: usize = 8;
/// So long a step waits for a connection that another is about to give back, before it opens one of its own.
const TURN: Duration = Duration::from_millis(300);

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
    kept: [Mutex<Vec<PgConnection>>; 2],
    turns: Arc<Semaphore>,
}

/// What a connection that is kept was used for: what was set on it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nothing was set.
    Plain,
    /// The server logs no statement of it.
    Silent,
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
        Err(_) => Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer within 3 s"))),
    }
}

impl Login {
    /// As configured; `others` is asked only where that is refused.
    pub fn new(options: PgConnectOptions, others: Box<Others>) -> Self {
        let turns = Arc::new(Semaphore::new(KEPT));
        Self { inner: Arc::new(Inner { options: RwLock::new(options), others, kept: Default::default(), turns }) }
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

    fn kept(&self, kept: Kept) -> MutexGuard<'_, Vec<PgConnection>> {
        self.inner.kept[usize::from(kept == Kept::Silent)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn to use a connection, held while it is used. Steps come in crowds, and a log-in costs the server more than most of
    /// what they do: few connections serve them all, unless they hang.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.inner.turns).acquire_owned();
        tokio::time::timeout(TURN, turn).await.ok()?.ok()
    }

    /// A connection that was kept and still answers.
    pub(super) async fn again(&self, kept: Kept) -> Option<PgConnection> {
        loop {
            let mut connection = self.kept(kept).pop()?;
            if matches!(tokio::time::timeout(PING, connection.ping()).await, Ok(Ok(()))) {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next step. Only one on which nothing was left open or unfinished may come here.
    pub(super) async fn keep(&self, kept: Kept, connection: PgConnection) {
        let full = {
            let mut all = self.kept(kept);
            if all.len() < KEPT {
                all.push(connection);
                return;
            }
            connection
        };
        let _ = full.close().await;
    }

    /// Closes what was kept: before our own role's sessions are ended, or its password changes.
    pub(super) async fn close_kept(&self) {
        for kept in [Kept::Plain, Kept::Silent] {
            let all = std::mem::take(&mut *self.kept(kept));
            for connection in all {
                let _ = connection.close().await;
            }
        }
    }

    /// Connects within 3 s.
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
