//! AWS Secrets Manager: staged writes with a journaled token, described before anything is repeated.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::adapters::aws::{self, Aws};
use crate::policy::credentials::StorePolicy;
use crate::ports::{Fault, FaultKind, SecretStore};

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";
/// Between two writes, once one was refused for its rate: 47 a second, below the 50 that a region allows.
const WRITE_GAP: Duration = Duration::from_millis(21);
/// How long a write that is refused for its rate is tried again: less than the bound of a step.
const THROTTLED_WITHIN: Duration = Duration::from_secs(25);
/// The longest rest of all writes after one was refused for its rate.
const LONGEST_REST: Duration = Duration::from_millis(800);

/// Secrets Manager of the account and region that the environment names.
pub struct SecretsManager {
    aws: Arc<Aws>,
    pace: Mutex<Pace>,
    /// Fields of one JSON secret are read, changed and written as a whole: one at a time.
    writers: std::sync::Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

/// When the next write may be sent. A breach is no time to wait for a limit that nobody has met: writes go out at once until AWS
/// refuses one for its rate (such a refusal changes nothing), and keep below the region's limit from then on.
#[derive(Debug, Default)]
struct Pace {
    limited: bool,
    next: Option<Instant>,
}

impl Pace {
    /// Takes the next place.
    fn place(&mut self, now: Instant) -> Instant {
        let at = self.next.map_or(now, |next| next.max(now));
        if self.limited {
            self.next = Some(at + WRITE_GAP);
        }
        at
    }

    /// Others write in the region too: after a refusal all our writes rest, each time twice as long.
    fn rest(&mut self, now: Instant, refusals: u32) {
        self.limited = true;
        let until = now + (WRITE_GAP * 2_u32.saturating_pow(refusals.min(6))).min(LONGEST_REST);
        self.next = Some(self.next.map_or(until, |next| next.max(until)));
    }
}

/// One secret with the labels of its versions.
struct Described {
    versions: Vec<(String, Vec<String>)>,
}

impl Described {
    fn with(&self, label: &str) -> Option<&str> {
        self.versions.iter().find(|(_, labels)| labels.iter().any(|one| one == label)).map(|(id, _)| id.as_str())
    }

    fn has(&self, version: &str) -> bool {
        self.versions.iter().any(|(id, _)| id == version)
    }
}

impl SecretsManager {
    /// The account and region of `aws`.
    pub fn new(aws: Arc<Aws>) -> Self {
        Self { aws, pace: Mutex::default(), writers: std::sync::Mutex::default() }
    }

    /// A client that signs as this run does now: its own key may have been replaced since the last request.
    async fn client(&self) -> Client {
        Client::new(&self.aws.config().await)
    }

    /// Waits until a write fits the rate.
    async fn pace(&self) {
        let at = self.pace.lock().await.place(Instant::now());
        tokio::time::sleep_until(at).await;
    }

    /// Writers of one secret wait for each other.
    fn writer(&self, secret: &str) -> Arc<Mutex<()>> {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(writers.entry(secret.to_owned()).or_default())
    }

    async fn describe_secret(&self, secret: &str) -> Result<Described, Fault> {
        let described = self.client().await.describe_secret().secret_id(secret).send().await;
        let described = described.map_err(|error| fault("describe", secret, &error))?;
        let versions = described.version_ids_to_stages.unwrap_or_default().into_iter().collect();
        Ok(Described { versions })
    }

    /// The current text of a secret, and its version.
    async fn text(&self, secret: &str) -> Result<Option<(SecretString, String)>, Fault> {
        let got = self.client().await.get_secret_value().secret_id(secret).version_stage(CURRENT).send().await;
        match got {
            Ok(value) => {
                let version = value.version_id.unwrap_or_default();
                let text = value.secret_string.map(SecretString::from).ok_or_else(|| {
                    Fault::new(FaultKind::Invalid, format!("secret {secret} is binary, only text can be rotated"))
                })?;
                Ok(Some((text, version)))
            }
            Err(error) => {
                let fault = fault("read", secret, &error);
                if fault.kind == FaultKind::NotFound { Ok(None) } else { Err(fault) }
            }
        }
    }

    async fn rest(&self, refusals: u32) {
        self.pace.lock().await.rest(Instant::now(), refusals);
    }

    async fn put(&self, secret: &str, text: &SecretString, token: &str) -> Result<(), Fault> {
        let client = self.client().await;
        let mut tries = Tries::new();
        loop {
            self.pace().await;
            let put = client
                .put_secret_value()
                .secret_id(secret)
                .client_request_token(token)
                .secret_string(text.expose_secret())
                .version_stages(PENDING);
            match put.send().await.map_err(|error| fault("write", secret, &error)) {
                Err(fault) if tries.again(&fault) => self.rest(tries.refused).await,
                ended => return ended.map(drop),
            }
        }
    }

    /// Moves a label. A reply may be lost and the request repeated, which is refused then, since the label is no longer where it
    /// was: whether it is where it should be, the secret itself says.
    async fn move_label(&self, secret: &str, label: &str, from: Option<&str>, to: Option<&str>) -> Result<(), Fault> {
        let client = self.client().await;
        let mut tries = Tries::new();
        let fault = loop {
            self.pace().await;
            let update = client
                .update_secret_version_stage()
                .secret_id(secret)
                .version_stage(label)
                .set_remove_from_version_id(from.map(String::from))
                .set_move_to_version_id(to.map(String::from));
            match update.send().await.map_err(|error| fault("move a label of", secret, &error)) {
                Ok(_) => return Ok(()),
                Err(fault) if tries.again(&fault) => self.rest(tries.refused).await,
                Err(fault) => break fault,
            }
        };
        if !matches!(fault.kind, FaultKind::Invalid | FaultKind::Conflict | FaultKind::OutcomeUnknown) {
            return Err(fault);
        }
        match self.describe_secret(secret).await {
            Ok(described) if described.with(label) == to => Ok(()),
            _ => Err(fault),
        }
    }
}

/// How often one write was refused for its rate, and since when it is tried.
struct Tries {
    began: Instant,
    refused: u32,
}

impl Tries {
    fn new() -> Self {
        Self { began: Instant::now(), refused: 0 }
    }

    /// Whether the write is tried again after that fault.
    fn again(&mut self, fault: &Fault) -> bool {
        self.refused += 1;
        fault.kind == FaultKind::Throttled && self.began.elapsed() < THROTTLED_WITHIN
    }
}

fn fault<E>(what: &str, secret: &str, error: &SdkError<E>) -> Fault
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    aws::fault(&format!("{what} secret {secret} in Secrets Manager"), error)
}

fn parts(slot: &StorePolicy) -> Result<(&str, Option<&str>), Fault> {
    match slot {
        StorePolicy::SecretsManager { secret, field, .. } => Ok((secret, field.as_deref())),
        _ => Err(Fault::new(FaultKind::Invalid, "this slot is not in Secrets Manager")),
    }
}

/// The JSON object that a secret's text is; the text itself never gets into an error.
fn object(secret: &str, text: &SecretString) -> Result<serde_json::Map<String, Value>, Fault> {
    serde_json::from_str(text.expose_secret()).map_err(|_| {
        Fault::new(FaultKind::Invalid, format!("secret {secret} is not a JSON object, but policy names a field of it"))
    })
}

#[async_trait]
impl SecretStore for SecretsManager {
    fn describe(&self, slot: &StorePolicy) -> String {
        slot.to_string()
    }

    async fn read(&self, slot: &StorePolicy) -> Result<Option<SecretString>, Fault> {
        let (secret, field) = parts(slot)?;
        let Some((text, _)) = self.text(secret).await? else { return Ok(None) };
        let Some(field) = field else { return Ok(Some(text)) };
        match object(secret, &text)?.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(value)) => Ok(Some(SecretString::from(value.as_str()))),
            Some(_) => Err(Fault::new(FaultKind::Invalid, format!("field {field} of secret {secret} is not a text"))),
        }
    }

    async fn write(&self, slot: &StorePolicy, value: &SecretString, token: &str) -> Result<(), Fault> {
        let (secret, field) = parts(slot)?;
        let writer = self.writer(secret);
        let _writing = writer.lock().await;
        let described = self.describe_secret(secret).await?;
        if described.with(CURRENT) == Some(token) {
            return Ok(());
        }
        // Never repeat a write whose version exists: it could take AWSCURRENT away from the promoted one.
        if !described.has(token) {
            let text = match field {
                None => value.clone(),
                Some(field) => {
                    let (text, _) = self.text(secret).await?.ok_or_else(|| {
                        Fault::new(FaultKind::NotFound, format!("secret {secret} has no current version"))
                    })?;
                    let mut object = object(secret, &text)?;
                    object.insert(field.to_owned(), Value::String(value.expose_secret().to_owned()));
                    SecretString::from(Value::Object(object).to_string())
                }
            };
            self.put(secret, &text, token).await?;
        }
        let described = self.describe_secret(secret).await?;
        // Promoting a version that is not there would leave the secret without a current one.
        if !described.has(token) {
            let message = format!("secret {secret} does not show the version that was written: nothing was promoted");
            return Err(Fault::new(FaultKind::Conflict, message));
        }
        let current = described.with(CURRENT).map(String::from);
        self.move_label(secret, CURRENT, current.as_deref(), Some(token)).await?;
        if self.describe_secret(secret).await?.with(PENDING) == Some(token) {
            self.move_label(secret, PENDING, Some(token), None).await?;
        }
        Ok(())
    }

    async fn has_previous(&self, slot: &StorePolicy) -> Result<bool, Fault> {
        let described = self.describe_secret(parts(slot)?.0).await?;
        let current = described.with(CURRENT).map(String::from);
        Ok(described.versions.iter().any(|(id, labels)| Some(id) != current.as_ref() && !labels.is_empty()))
    }

    async fn retire_previous(&self, slot: &StorePolicy) -> Result<(), Fault> {
        let (secret, _) = parts(slot)?;
        // Two fields of one secret are retired by two steps: a label is taken away once.
        let writer = self.writer(secret);
        let _writing = writer.lock().await;
        let described = self.describe_secret(secret).await?;
        let current = described.with(CURRENT).map(String::from);
        for (version, labels) in described.versions.iter().filter(|(id, _)| Some(id) != current.as_ref()) {
            for label in labels {
                self.move_label(secret, label, Some(version), None).await?;
            }
        }
        Ok(())
    }

    async fn versions(&self, slot: &StorePolicy) -> Result<Vec<Value>, Fault> {
        let (secret, _) = parts(slot)?;
        let client = self.client().await;
        let listed =
            client.list_secret_version_ids().secret_id(secret).include_deprecated(true).max_results(100).send();
        let listed = listed.await.map_err(|error| fault("list the versions of", secret, &error))?;
        let date = |date: Option<&aws_sdk_secretsmanager::primitives::DateTime>| {
            date.and_then(|date| crate::domain::Timestamp::from_second(date.secs()).ok()).map(|time| time.to_string())
        };
        let note = |version: &aws_sdk_secretsmanager::types::SecretVersionsListEntry| {
            serde_json::json!({
                "version": version.version_id(),
                "labels": version.version_stages(),
                "made": date(version.created_date()),
                "last_used": date(version.last_accessed_date()),
            })
        };
        Ok(listed.versions().iter().map(note).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn writes_wait_only_once_one_was_refused_for_its_rate() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert!((0..100).all(|_| pace.place(now) == now), "nobody has met a limit");
        pace.rest(now, 1);
        let first = pace.place(now);
        assert_eq!(first - now, WRITE_GAP * 2);
        let last = (0..50).map(|_| pace.place(now)).last().unwrap();
        assert!(last - first >= Duration::from_secs(1), "50 writes take more than a second");
        pace.rest(now, 100);
        assert!(pace.place(now) - now >= LONGEST_REST);
        pace.rest(last, 1);
        assert!(pace.place(last) >= last + WRITE_GAP);
    }
}
