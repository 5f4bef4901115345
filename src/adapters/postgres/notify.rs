//! Hearing what the database tells by `NOTIFY`.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::mpsc::{Sender, channel};

use super::{fault, place};
use crate::adapters::login::Login;
use crate::ports::{Fault, FaultKind, Told};

/// Between a connection that was lost and the next.
const AGAIN: Duration = Duration::from_secs(5);

/// Listens on a channel on a connection of its own. It is told once at the beginning of each connection too: nobody knows what
/// was told before.
pub(super) fn listen(login: Login, on: String) -> Told {
    let (sender, told) = channel(1);
    tokio::spawn(async move {
        while !sender.is_closed() {
            if let Err(fault) = hear(&login, &on, &sender).await {
                let _ = sender.send(Err(fault)).await;
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
    told
}

/// Hands on what is told until the connection is lost or nobody wants to know.
async fn hear(login: &Login, on: &str, told: &Sender<Result<(), Fault>>) -> Result<(), Fault> {
    let options = login.options().application_name("portcullis");
    let place = place(&options);
    let failed = |error: sqlx::Error| fault(&format!("failed to listen on {on} at {place}"), &error);
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(AGAIN).connect_lazy_with(options);
    let mut listener = PgListener::connect_with(&pool).await.map_err(failed)?;
    listener.listen(on).await.map_err(failed)?;
    let _ = told.send(Ok(())).await;
    loop {
        let heard = tokio::select! {
            () = told.closed() => return Ok(()),
            heard = listener.try_recv() => heard.map_err(failed)?,
        };
        if heard.is_none() {
            return Err(Fault::new(FaultKind::Unavailable, format!("the connection that listened on {on} was lost")));
        }
        // Full: it will be seen that there is something, which is all that is told.
        let _ = told.try_send(Ok(()));
    }
}
