//! Reading many secrets by few requests: who asks at the same time is answered by one `BatchGetSecretValue`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::types::SecretValueEntry;
use secrecy::SecretString;
use tokio::sync::oneshot;

use super::labels::CURRENT;
use super::name_of;
use crate::ports::{Fault, FaultKind};

/// How long the first who asks waits for others.
const GATHER: Duration = Duration::from_millis(2);
/// Secrets in one request (the API reference of `BatchGetSecretValue`).
const AT_ONCE: usize = 20;

/// A secret's current text. `None`: this way does not tell, so the secret is to be asked for by itself.
type Answer = Result<Option<SecretString>, (FaultKind, String)>;
type Waiting = Vec<(String, oneshot::Sender<Answer>)>;

/// Who waits for a value.
#[derive(Default)]
pub(super) struct Batch {
    waiting: Mutex<Waiting>,
    /// The account does not allow it, or the service does not know it.
    off: AtomicBool,
}

/// Lets everybody who waits go on by themselves if the one who asks for all is stopped.
struct Leader<'a>(&'a Batch);

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.0.waiting().clear();
    }
}

impl Batch {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current text of a secret, asked for together with those that others want now. `None`: ask for it by itself.
    pub async fn text(&self, client: &Client, secret: &str) -> Result<Option<SecretString>, Fault> {
        if self.off.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (sender, receiver) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting();
            waiting.push((secret.to_owned(), sender));
            waiting.len() == 1
        };
        if first {
            let all = {
                let _leader = Leader(self);
                tokio::time::sleep(GATHER).await;
                std::mem::take(&mut *self.waiting())
            };
            self.answer(client, all).await;
        }
        match receiver.await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err((kind, message))) => Err(Fault::new(kind, message)),
            Err(_) => Ok(None),
        }
    }

    /// Asks for all, and tells each what was said of it.
    async fn answer(&self, client: &Client, all: Waiting) {
        let mut by_secret: BTreeMap<String, Vec<oneshot::Sender<Answer>>> = BTreeMap::new();
        for (secret, sender) in all {
            by_secret.entry(secret).or_default().push(sender);
        }
        // One by itself is asked for by the request that says more.
        if by_secret.len() < 2 {
            return;
        }
        let secrets: Vec<String> = by_secret.keys().cloned().collect();
        let asked = secrets.chunks(AT_ONCE).map(async |some| (some, self.ask(client, some).await));
        for (some, said) in futures_util::future::join_all(asked).await {
            for secret in some {
                for sender in by_secret.remove(secret).unwrap_or_default() {
                    let _ = sender.send(match &said {
                        Ok(texts) => Ok(texts.get(name_of(secret)).cloned()),
                        Err(fault) => Err((fault.kind, fault.to_string())),
                    });
                }
            }
        }
    }

    /// The texts that are labelled as current, by name.
    async fn ask(&self, client: &Client, secrets: &[String]) -> Result<BTreeMap<String, SecretString>, Fault> {
        let asked = client.batch_get_secret_value().set_secret_id_list(Some(secrets.to_vec())).send().await;
        match asked.map_err(|error| crate::adapters::aws::fault("read secrets in Secrets Manager", &error)) {
            Ok(said) => Ok(said.secret_values.unwrap_or_default().into_iter().filter_map(current).collect()),
            // Nobody answered, or too many ask: each by itself would fare no better.
            Err(fault) if is_of_the_way(fault.kind) => Err(fault),
            Err(_) => {
                self.off.store(true, Ordering::Relaxed);
                Ok(BTreeMap::new())
            }
        }
    }
}

/// Whether a fault lies in the way to the service, rather than in what was asked of it.
fn is_of_the_way(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::Unavailable | FaultKind::OutcomeUnknown | FaultKind::Throttled)
}

/// Name and text of an answer that says itself that it is the current version.
fn current(entry: SecretValueEntry) -> Option<(String, SecretString)> {
    entry.version_stages().iter().any(|label| label == CURRENT).then_some(())?;
    Some((entry.name?, SecretString::from(entry.secret_string?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(labels: &[&str], text: Option<&str>) -> SecretValueEntry {
        let entry = SecretValueEntry::builder().name("prod/a").set_secret_string(text.map(String::from));
        entry.set_version_stages(Some(labels.iter().map(|label| (*label).to_owned()).collect())).build()
    }

    #[test]
    fn only_a_current_text_is_believed() {
        assert!(current(entry(&[CURRENT], Some("x"))).is_some());
        assert!(current(entry(&["AWSPREVIOUS"], Some("x"))).is_none());
        assert!(current(entry(&[], Some("x"))).is_none());
        assert!(current(entry(&[CURRENT], None)).is_none(), "a binary one");
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_the_one_who_asks_is_stopped() {
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(aws_sdk_secretsmanager::config::BehaviorVersion::latest());
        let client = Client::from_conf(config.build());
        let batch = Batch::default();
        let mut first = Box::pin(batch.text(&client, "a"));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut second = Box::pin(batch.text(&client, "b"));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert!(second.await.unwrap().is_none());
        assert!(batch.waiting().is_empty());
    }
}
