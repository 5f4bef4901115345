//! The credentials' own values: what is searched for where it should not be, and taken out of every finding.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret, SecretString};

use super::Deployment;
use crate::domain::Digest;
use crate::domain::key_pair;
use crate::domain::url_password::password_of;
use crate::policy::credentials::ValuePart;

/// The values of all credentials with their ids: current ones from their stores, old and staged ones from the vault. What
/// could not be had is added to `uncovered`.
pub async fn known_values(deployment: &Deployment, uncovered: &mut Vec<String>) -> Vec<(String, SecretString)> {
    let mut out: Vec<(String, SecretString)> = Vec::new();
    for credential in &deployment.policies.credentials.credentials {
        for slot in &credential.kept {
            let store = deployment.store(slot);
            match store.read(slot).await {
                Ok(Some(value)) => {
                    // A connection URL leaks as a whole, its password also alone.
                    if slot.part() == ValuePart::UrlPassword
                        && let Some(password) = password_of(&value)
                    {
                        out.push((credential.id.to_string(), password));
                    }
                    // A key's id and its public half are no secrets: they stand in logs, and are what those are searched for.
                    if matches!(slot.part(), ValuePart::KeyId | ValuePart::PublicKey) {
                        continue;
                    }
                    out.push((credential.id.to_string(), value));
                }
                Ok(None) => uncovered.push(format!("{}: {} holds no value", credential.id, store.describe(slot))),
                Err(fault) => uncovered.push(format!("{}: {}: {}", credential.id, store.describe(slot), fault.chain())),
            }
        }
    }
    match deployment.vault.list("") {
        Ok(names) => {
            for name in names {
                let credential = name.split('/').nth(1).unwrap_or(&name).to_owned();
                match deployment.vault.open(&name) {
                    // The secret of a pair leaks alone.
                    Ok(Some(value)) => out.push((credential.clone(), alone(deployment, &credential, value))),
                    Ok(None) => {}
                    Err(fault) => uncovered.push(format!("sealed value {name}: {}", fault.chain())),
                }
            }
        }
        Err(fault) => uncovered.push(format!("sealed values: {}", fault.chain())),
    }
    // One value in several stores is found once.
    let mut seen = BTreeSet::new();
    out.retain(|(id, value)| seen.insert((id.clone(), Digest::of(value.expose_secret().as_bytes()))));
    out
}

fn alone(deployment: &Deployment, id: &str, value: SecretString) -> SecretString {
    let credentials = &deployment.policies.credentials.credentials;
    let pair = credentials.iter().any(|credential| credential.id.as_str() == id && credential.is_pair());
    if !pair {
        return value;
    }
    key_pair::secret_of(&value).unwrap_or(value)
}
