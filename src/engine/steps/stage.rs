use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use super::credential::Rotation;
use super::{Effect, Seen, StepError};
use crate::domain::{ed25519_pem, key_pair};
use crate::engine::Run;
use crate::ledger::Event;
use crate::policy::credentials::{CredentialPolicy, GenerateKind};
use crate::ports::{Fault, FaultKind};

/// Old and new value sealed; nothing outside our home is changed.
pub(super) struct Stage {
    pub rotation: Rotation,
    pub generation: u32,
}

#[async_trait]
impl Effect for Stage {
    async fn observe(&self) -> Result<Seen, Fault> {
        let staged = self.rotation.state().generation >= self.generation
            && (self.rotation.policy.issuer.makes_values() || self.rotation.sealed("new")?.is_some());
        Ok(if staged { Seen::Satisfied("was staged".into()) } else { Seen::Needed })
    }

    async fn act(&self) -> Result<String, StepError> {
        let Rotation { run, policy } = &self.rotation;
        let (old, mut notes) = self.rotation.current().await?;
        if old.is_none() && !policy.kept.is_empty() {
            return Err(missing(policy, &notes).into());
        }
        let new = if policy.issuer.makes_values() { None } else { Some(generate(run, policy)?) };
        let generation = self.rotation.state().generation + 1;
        if let Some(old) = &old {
            run.seal(self.rotation.sealed_name(generation, "old")?, old.clone()).await?;
        }
        if let Some(new) = &new {
            run.seal(self.rotation.sealed_name(generation, "new")?, new.clone()).await?;
        }
        let prints = run.deployment.machine.fingerprints();
        let event = Event::CredentialStaged {
            credential: policy.id.clone(),
            generation,
            old: old.as_ref().map(|old| prints.fingerprint(old.expose_secret())),
            new: new.as_ref().map(|new| prints.fingerprint(new.expose_secret())),
            token: token(run)?,
        };
        run.record(event).await?;
        if old.is_none() {
            notes.push("the old value is not known, so its death can't be shown by itself".into());
        }
        let sealed = if new.is_some() { "old and new value sealed" } else { "old value sealed" };
        notes.insert(0, sealed.into());
        Ok(notes.join("; "))
    }
}

/// Without the old value its death could never be shown, by no later run either: better not begun than never ended.
fn missing(policy: &CredentialPolicy, notes: &[String]) -> Fault {
    let message = format!(
        "no store gives the value of `{}` that is to be replaced ({}); put it back where it belongs, then run the command again",
        policy.id,
        notes.join(", ")
    );
    Fault::new(FaultKind::NotFound, message)
}

/// A value that the policy asks for: random characters behind its prefix, and for a pair an id in front.
fn generate(run: &Run, policy: &CredentialPolicy) -> Result<SecretString, Fault> {
    let secret = match policy.generate.kind {
        GenerateKind::Text => characters(run, &policy.generate.prefix, policy.generate.length)?,
        GenerateKind::Ed25519Pem => {
            let mut seed = zeroize::Zeroizing::new([0; 32]);
            run.deployment.random.fill(seed.as_mut_slice())?;
            ed25519_pem::private(&seed)
        }
    };
    if !policy.is_pair() {
        return Ok(secret);
    }
    let id = characters(run, "", 16)?;
    Ok(key_pair::join(id.expose_secret(), &secret))
}

/// `length` characters of `A-Za-z0-9`, each equally likely, behind a prefix.
fn characters(run: &Run, prefix: &str, length: usize) -> Result<SecretString, Fault> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = zeroize::Zeroizing::new(String::with_capacity(prefix.len() + length));
    text.push_str(prefix);
    let mut left = length;
    while left > 0 {
        let mut bytes = zeroize::Zeroizing::new([0_u8; 64]);
        run.deployment.random.fill(bytes.as_mut_slice())?;
        for byte in bytes.iter() {
            // 248 = 4 * 62: bytes above it would favour the first letters.
            if left > 0 && *byte < 248 {
                text.push(char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
                left -= 1;
            }
        }
    }
    Ok(SecretString::from(text.as_str()))
}

/// 128 random bits in the form of a UUID, as Secrets Manager's tokens are written.
fn token(run: &Run) -> Result<String, Fault> {
    let mut bytes = [0; 16];
    run.deployment.random.fill(&mut bytes)?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}
