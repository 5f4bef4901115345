//! AWS Secrets Manager: staged writes with a journaled token, looked at before anything is repeated.

mod batch;
mod labels;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard as StdMutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use batch::Batch;
use labels::{CURRENT, Described, PENDING, Seen};

use crate::adapters::aws::{self, Aws};
use crate::adapters::write_pace::Pace;
use crate::policy::credentials::StorePolicy;
use crate::ports::{Fault, FaultKind, SecretStore};

/// Between two writes once AWS said that there are too many: the 50 a second that a region allows.
const WRITE_GAP: Duration = Duration::from_millis(20);
/// How long a write that is refused for its rate is tried again: less than the bound of a step.
const THROTTLED_WITHIN: Duration = Duration::from_secs(25);

/// Secrets Manager of the account and region that the environment names.
pub struct SecretsManager {
    aws: Arc<Aws>,
    pace: StdMutex<Pace>,
    /// Fields of one JSON secret are read, changed and written as a whole: one at a time for each secret.
    whole: Locks,
    /// Who looks first lists a secret; who comes meanwhile waits for what is listed.
    listing: Locks,
    seen: Seen,
    reads: Batch,
    clients: StdMutex<Option<(u64, Clients)>>,
}

/// One for what may be repeated, one for what may not.
#[derive(Clone)]
struct Clients {
    reader: Client,
    writer: Client,
}

/// One lock for each secret.
#[derive(Default)]
struct Locks(StdMutex<BTreeMap<String, Arc<Mutex<()>>>>);

impl Locks {
    /// Nobody else of this run has that secret's lock for as long as the guard lives.
    async fn of(&self, secret: &str) -> OwnedMutexGuard<()> {
        let one = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(name_of(secret).to_owned()).or_default())
        };
        one.lock_owned().await
    }
}

impl SecretsManager {
    /// The account and region of `aws`.
    pub fn new(aws: Arc<Aws>) -> Self {
        Self {
            aws,
            pace: StdMutex::new(Pace::new(WRITE_GAP)),
            whole: Locks::default(),
            listing: Locks::default(),
            seen: Seen::default(),
            reads: Batch::default(),
            clients: StdMutex::default(),
        }
    }

    /// Clients that sign as this run does now: its own key may have been replaced since the last request. Made once for each key,
    /// since making one costs more than a request.
    async fn clients(&self) -> Clients {
        let made = || self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the configuration: one that is handed over meanwhile is then looked for by the next request.
        let key = self.aws.handed_over();
        if let Some((_, clients)) = made().as_ref().filter(|(of, _)| *of == key) {
            return clients.clone();
        }
        let config = self.aws.config().await;
        let writer = aws_sdk_secretsmanager::config::Builder::from(&config).retry_config(RetryConfig::disabled());
        let clients = Clients { reader: Client::new(&config), writer: Client::from_conf(writer.build()) };
        *made() = Some((key, clients.clone()));
        clients
    }

    async fn client(&self) -> Client {
        self.clients().await.reader
    }

    /// For writes, which the SDK must not repeat: whether they are is decided here, by the pace and after a look.
    async fn writer(&self) -> Client {
        self.clients().await.writer
    }

    fn pace(&self) -> StdMutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn describe_secret(&self, secret: &str) -> Result<Described, Fault> {
        let described = self.client().await.describe_secret().secret_id(secret).send().await;
        let described = described.map_err(|error| fault("describe", secret, &error))?;
        let versions = described.version_ids_to_stages.unwrap_or_default().into_iter().collect();
        Ok(Described { versions })
    }

    /// All versions, as evidence; the labels are kept for the write.
    async fn list(&self, secret: &str) -> Result<Vec<Value>, Fault> {
        let client = self.client().await;
        let listing =
            client.list_secret_version_ids().secret_id(secret).include_deprecated(true).max_results(100).send();
        let listed = listing.await.map_err(|error| fault("list the versions of", secret, &error))?;
        let notes: Vec<Value> = listed.versions().iter().map(labels::note).collect();
        // A list of more than one page does not tell which versions there are.
        if listed.next_token().unwrap_or_default().is_empty() {
            let labels = |version: &aws_sdk_secretsmanager::types::SecretVersionsListEntry| {
                (version.version_id().unwrap_or_default().to_owned(), version.version_stages().to_vec())
            };
            let labels = Described { versions: listed.versions().iter().map(labels).collect() };
            self.seen.listed(name_of(secret), labels, &notes, Instant::now());
        }
        Ok(notes)
    }

    /// All versions before this run wrote, asked for once.
    async fn listed(&self, secret: &str) -> Result<Vec<Value>, Fault> {
        let _looking = self.listing.of(secret).await;
        match self.seen.notes(name_of(secret), Instant::now()) {
            Some(notes) => Ok(notes),
            None => self.list(secret).await,
        }
    }

    /// The labels of a secret that is about to be changed: as this run knows them, or asked for. The first look lists, which serves
    /// the evidence too; whoever may not list may describe.
    async fn labels(&self, secret: &str) -> Result<Described, Fault> {
        let name = name_of(secret);
        if !self.seen.is_written(name) {
            // If not, it is described.
            let _ = self.listed(secret).await;
        }
        match self.seen.take(name, Instant::now()) {
            Some(known) => Ok(known),
            None => self.describe_secret(secret).await,
        }
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

    /// The current text of a secret: together with others as long as this run has not written to it, by itself afterwards, since
    /// that answer is a proof.
    async fn value(&self, secret: &str) -> Result<Option<SecretString>, Fault> {
        if !self.seen.is_written(name_of(secret)) {
            let client = self.client().await;
            if let Some(text) = self.reads.text(&client, secret).await? {
                return Ok(Some(text));
            }
        }
        Ok(self.text(secret).await?.map(|(text, _)| text))
    }

    /// Sends a write when it is its turn, again while it is refused for its rate: others write in the region too.
    async fn paced<T, F: Future<Output = Result<T, Fault>>>(&self, write: impl Fn() -> F) -> Result<T, Fault> {
        let (began, mut refused) = (Instant::now(), 0);
        loop {
            let slot = self.pace().slot(Instant::now());
            tokio::time::sleep_until(slot).await;
            match write().await {
                Err(fault) if fault.kind == FaultKind::Throttled => {
                    refused += 1;
                    self.pace().refused(Instant::now(), refused);
                    if began.elapsed() >= THROTTLED_WITHIN {
                        return Err(fault);
                    }
                }
                ended => {
                    self.pace().taken();
                    return ended;
                }
            }
        }
    }

    /// Writes a pending version; the version that the answer names.
    async fn put(&self, secret: &str, text: &SecretString, token: &str) -> Result<Option<String>, Fault> {
        let client = self.writer().await;
        self.paced(async || {
            let put = client
                .put_secret_value()
                .secret_id(secret)
                .client_request_token(token)
                .secret_string(text.expose_secret())
                .version_stages(PENDING);
            put.send().await.map(|put| put.version_id).map_err(|error| fault("write", secret, &error))
        })
        .await
    }

    /// What the secret is to say with that value: all of it, or its JSON with one field changed.
    async fn text_with(&self, secret: &str, field: Option<&str>, value: &SecretString) -> Result<SecretString, Fault> {
        let Some(field) = field else { return Ok(value.clone()) };
        let (text, _) = self
            .text(secret)
            .await?
            .ok_or_else(|| Fault::new(FaultKind::NotFound, format!("secret {secret} has no current version")))?;
        let mut object = object(secret, &text)?;
        object.insert(field.to_owned(), Value::String(value.expose_secret().to_owned()));
        Ok(SecretString::from(Value::Object(object).to_string()))
    }

    /// Moves a label. A reply may be lost and the request repeated, which is refused then, since the label is no longer where it
    /// was: whether it is where it should be, the secret itself says.
    async fn move_label(&self, secret: &str, label: &str, from: Option<&str>, to: Option<&str>) -> Result<(), Fault> {
        let client = self.writer().await;
        let moved = self.paced(async || {
            let update = client
                .update_secret_version_stage()
                .secret_id(secret)
                .version_stage(label)
                .set_remove_from_version_id(from.map(String::from))
                .set_move_to_version_id(to.map(String::from));
            update.send().await.map(drop).map_err(|error| fault("move a label of", secret, &error))
        });
        let Err(fault) = moved.await else { return Ok(()) };
        if !matches!(fault.kind, FaultKind::Invalid | FaultKind::Conflict | FaultKind::OutcomeUnknown) {
            return Err(fault);
        }
        match self.describe_secret(secret).await {
            Ok(described) if described.with(label) == to => Ok(()),
            _ => Err(fault),
        }
    }
}

/// The name of a secret that may be given by its ARN, which ends with the name and six random characters.
fn name_of(secret: &str) -> &str {
    let Some(name) = secret.strip_prefix("arn:").and_then(|arn| arn.splitn(6, ':').nth(5)) else { return secret };
    name.rsplit_once('-').filter(|(_, random)| random.len() == 6).map_or(name, |(name, _)| name)
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
        let Some(text) = self.value(secret).await? else { return Ok(None) };
        let Some(field) = field else { return Ok(Some(text)) };
        match object(secret, &text)?.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(value)) => Ok(Some(SecretString::from(value.as_str()))),
            Some(_) => Err(Fault::new(FaultKind::Invalid, format!("field {field} of secret {secret} is not a text"))),
        }
    }

    async fn write(&self, slot: &StorePolicy, value: &SecretString, token: &str) -> Result<(), Fault> {
        let (secret, field) = parts(slot)?;
        let _writing = self.whole.of(secret).await;
        let mut described = self.labels(secret).await?;
        let mut pending = described.with(PENDING) == Some(token);
        // Never repeat a write whose version exists: it could take AWSCURRENT away from the promoted one.
        if !described.has(token) {
            let text = self.text_with(secret, field, value).await?;
            pending = true;
            // Promoting a version that is not there would leave the secret without a current one.
            if self.put(secret, &text, token).await?.as_deref() != Some(token) {
                described = self.describe_secret(secret).await?;
                if !described.has(token) {
                    let message =
                        format!("secret {secret} does not show the version that was written: nothing was promoted");
                    return Err(Fault::new(FaultKind::Conflict, message));
                }
            }
        }
        let current = described.with(CURRENT);
        if current != Some(token) {
            self.move_label(secret, CURRENT, current, Some(token)).await?;
        }
        if pending {
            self.move_label(secret, PENDING, Some(token), None).await?;
        }
        if current != Some(token) {
            self.seen.left(name_of(secret), described.promoted(token), Instant::now());
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
        let _writing = self.whole.of(secret).await;
        let described = self.labels(secret).await?;
        let current = described.with(CURRENT).map(String::from);
        for (version, labels) in described.versions.iter().filter(|(id, _)| Some(id) != current.as_ref()) {
            for label in labels {
                self.move_label(secret, label, Some(version), None).await?;
            }
        }
        Ok(())
    }

    async fn versions(&self, slot: &StorePolicy) -> Result<Vec<Value>, Fault> {
        self.listed(parts(slot)?.0).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_same_by_name_and_by_arn() {
        let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/db-1-AbCdEf";
        assert_eq!(name_of(arn), "prod/db-1");
        assert_eq!(name_of("prod/db-1"), "prod/db-1");
        assert_eq!(name_of("arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/db"), "prod/db");
    }
}
