use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::state::StateFile;
use crate::policy::credentials::StorePolicy;
use crate::ports::{Fault, FaultKind, SecretStore};

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// One version of a secret with its labels.
#[derive(Serialize, Deserialize)]
struct Version {
    value: String,
    stages: Vec<String>,
}

/// Versions by `ClientRequestToken`, as Secrets Manager names them, by secret.
type Secrets = BTreeMap<String, BTreeMap<String, Version>>;

/// Stands in for AWS Secrets Manager: versions, their labels, and tokens that make a write repeatable, kept in a file.
pub struct EmbeddedSecretsManager {
    state: StateFile,
}

impl EmbeddedSecretsManager {
    /// The secrets of the embedded deployment in `root`.
    pub fn new(root: &Path) -> Self {
        Self { state: StateFile::new(root, "secrets-manager.json") }
    }

    /// Makes a secret, as whoever set the deployment up did.
    pub fn create(&self, name: &str, value: &SecretString, token: &str) -> Result<(), Fault> {
        self.state.update(|secrets: &mut Secrets| {
            let version = Version { value: value.expose_secret().to_owned(), stages: vec![CURRENT.into()] };
            secrets.insert(name.to_owned(), BTreeMap::from([(token.to_owned(), version)]));
            Ok(())
        })
    }
}

fn names(slot: &StorePolicy) -> Result<(&str, Option<&str>), Fault> {
    match slot {
        StorePolicy::SecretsManager { secret, field, .. } => Ok((secret, field.as_deref())),
        _ => Err(Fault::new(FaultKind::Invalid, "this slot is not in Secrets Manager")),
    }
}

fn missing(secret: &str) -> Fault {
    Fault::new(FaultKind::NotFound, format!("there is no secret `{secret}` (ResourceNotFoundException)"))
}

fn not_json(secret: &str) -> Fault {
    Fault::new(FaultKind::Corrupt, format!("the secret `{secret}` is not a JSON object"))
}

fn labelled<'a>(versions: &'a BTreeMap<String, Version>, label: &str) -> Option<&'a Version> {
    versions.values().find(|version| version.stages.iter().any(|stage| stage == label))
}

/// The text of the whole secret with the value in its place.
fn with_value(secret: &str, field: Option<&str>, current: Option<&Version>, value: &str) -> Result<String, Fault> {
    let Some(field) = field else { return Ok(value.to_owned()) };
    let mut object: Map<String, Value> = match current {
        Some(version) => serde_json::from_str(&version.value).map_err(|_| not_json(secret))?,
        None => Map::new(),
    };
    object.insert(field.to_owned(), value.into());
    Ok(Value::Object(object).to_string())
}

#[async_trait]
impl SecretStore for EmbeddedSecretsManager {
    fn describe(&self, slot: &StorePolicy) -> String {
        slot.to_string()
    }

    async fn read(&self, slot: &StorePolicy) -> Result<Option<SecretString>, Fault> {
        let (secret, field) = names(slot)?;
        let secrets: Secrets = self.state.read()?.unwrap_or_default();
        let Some(version) = secrets.get(secret).and_then(|versions| labelled(versions, CURRENT)) else {
            return Ok(None);
        };
        let Some(field) = field else { return Ok(Some(SecretString::from(version.value.as_str()))) };
        let object: Map<String, Value> = serde_json::from_str(&version.value).map_err(|_| not_json(secret))?;
        Ok(object.get(field).and_then(Value::as_str).map(SecretString::from))
    }

    async fn write(&self, slot: &StorePolicy, value: &SecretString, token: &str) -> Result<(), Fault> {
        let (secret, field) = names(slot)?;
        self.state.update(|secrets: &mut Secrets| {
            let versions = secrets.get_mut(secret).ok_or_else(|| missing(secret))?;
            let text = with_value(secret, field, labelled(versions, CURRENT), value.expose_secret())?;
            match versions.get(token) {
                Some(there) if there.value != text => {
                    let message =
                        format!("the token was used for another value of `{secret}` (ResourceExistsException)");
                    return Err(Fault::new(FaultKind::Conflict, message));
                }
                Some(there) if there.stages.iter().any(|stage| stage == CURRENT) => return Ok(()),
                _ => {}
            }
            for version in versions.values_mut() {
                let was_current = version.stages.iter().any(|stage| stage == CURRENT);
                version.stages.retain(|stage| stage != CURRENT && stage != PREVIOUS);
                if was_current {
                    version.stages.push(PREVIOUS.into());
                }
            }
            versions.insert(token.to_owned(), Version { value: text, stages: vec![CURRENT.into()] });
            Ok(())
        })
    }

    async fn has_previous(&self, slot: &StorePolicy) -> Result<bool, Fault> {
        let (secret, _) = names(slot)?;
        let secrets: Secrets = self.state.read()?.unwrap_or_default();
        let versions = secrets.get(secret).ok_or_else(|| missing(secret))?;
        Ok(versions
            .values()
            .any(|version| !version.stages.is_empty() && !version.stages.iter().any(|stage| stage == CURRENT)))
    }

    async fn retire_previous(&self, slot: &StorePolicy) -> Result<(), Fault> {
        let (secret, _) = names(slot)?;
        self.state.update(|secrets: &mut Secrets| {
            let versions = secrets.get_mut(secret).ok_or_else(|| missing(secret))?;
            for version in versions.values_mut() {
                if !version.stages.iter().any(|stage| stage == CURRENT) {
                    version.stages.clear();
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(field: Option<&str>) -> StorePolicy {
        StorePolicy::SecretsManager {
            secret: "prod/webhook".into(),
            field: field.map(String::from),
            part: crate::policy::credentials::ValuePart::Whole,
        }
    }

    fn store() -> (tempfile::TempDir, EmbeddedSecretsManager) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("embedded")).unwrap();
        let store = EmbeddedSecretsManager::new(folder.path());
        (folder, store)
    }

    async fn value(store: &EmbeddedSecretsManager, slot: &StorePolicy) -> String {
        store.read(slot).await.unwrap().unwrap().expose_secret().to_owned()
    }

    #[tokio::test]
    async fn a_write_moves_the_labels_once_and_only_once() {
        let (folder, store) = store();
        let slot = slot(None);
        assert_eq!(store.write(&slot, &"x".into(), "t").await.unwrap_err().kind, FaultKind::NotFound);
        store.create("prod/webhook", &"old".into(), "t0").unwrap();
        assert!(!store.has_previous(&slot).await.unwrap());
        for _ in 0..2 {
            store.write(&slot, &"new".into(), "t1").await.unwrap();
            assert_eq!(value(&store, &slot).await, "new");
            assert!(store.has_previous(&slot).await.unwrap());
        }
        assert_eq!(store.write(&slot, &"other".into(), "t1").await.unwrap_err().kind, FaultKind::Conflict);
        // Another process, that is: another value over the same file.
        let again = EmbeddedSecretsManager::new(folder.path());
        again.retire_previous(&slot).await.unwrap();
        assert!(!store.has_previous(&slot).await.unwrap());
        assert_eq!(value(&store, &slot).await, "new");
    }

    #[tokio::test]
    async fn the_other_fields_of_a_json_secret_stay() {
        let (_folder, store) = store();
        store.create("prod/webhook", &r#"{"user":"app","password":"old"}"#.into(), "t0").unwrap();
        store.write(&slot(Some("password")), &"new".into(), "t1").await.unwrap();
        assert_eq!(value(&store, &slot(Some("password"))).await, "new");
        assert_eq!(value(&store, &slot(Some("user"))).await, "app");
        assert_eq!(value(&store, &slot(None)).await, r#"{"user":"app","password":"new"}"#);
    }
}
