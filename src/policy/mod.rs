//! Policies: text to typed values. No I/O: `adapters::policy_files` reads the files, this room reads their text.

use std::collections::BTreeMap;

use crate::domain::Digest;

pub mod api;
pub mod aws;
mod check;
pub mod contacts;
pub mod credentials;
mod error;
pub mod evidence;
pub mod monitoring;
pub mod pause;
pub mod prisma;
pub mod recovery;
pub mod resume;
pub mod shipped;
pub mod starter;
pub mod switch;
pub mod template;

pub use error::PolicyError;
pub(crate) use error::nearest;

/// Reads a YAML policy of type `T` from the text of `file` (a name for messages).
pub fn parse<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, PolicyError> {
    error::parse(file, text)
}

/// The policies of a deployment, with their texts, so that copies and digests can be kept in the case folder.
#[derive(Debug, Clone)]
pub struct Policies {
    /// `credentials.yml`.
    pub credentials: credentials::CredentialsPolicy,
    /// `pause.yml`.
    pub pause: pause::PausePolicy,
    /// `resume.yml`.
    pub resume: resume::ResumePolicy,
    /// `recovery.yml`.
    pub recovery: recovery::RecoveryPolicy,
    /// `contacts.yml`; nobody, if there is none.
    pub contacts: contacts::ContactsPolicy,
    /// `evidence.yml`; empty, if there is none.
    pub evidence: evidence::EvidencePolicy,
    /// `monitoring.yml`; its defaults, if there is none.
    pub monitoring: monitoring::MonitoringPolicy,
    /// Text of every policy file by path below the policies folder (`credentials.yml`, `trades/unknown-key.yml`, ...).
    pub texts: BTreeMap<String, String>,
}

impl Policies {
    /// Reads the texts; all four main files must be there.
    pub fn from_texts(texts: BTreeMap<String, String>) -> Result<Self, PolicyError> {
        let policies = Self {
            credentials: main_file(&texts, "credentials.yml")?,
            pause: main_file(&texts, "pause.yml")?,
            resume: main_file(&texts, "resume.yml")?,
            recovery: main_file(&texts, "recovery.yml")?,
            contacts: optional_file(&texts, contacts::FILE)?,
            evidence: optional_file(&texts, evidence::FILE)?,
            monitoring: optional_file(&texts, monitoring::FILE)?,
            texts,
        };
        check::check(&policies)?;
        Ok(policies)
    }

    /// Digest of every policy file.
    pub fn digests(&self) -> BTreeMap<String, Digest> {
        self.texts.iter().map(|(path, text)| (path.clone(), Digest::of(text.as_bytes()))).collect()
    }
}

fn main_file<T: serde::de::DeserializeOwned>(texts: &BTreeMap<String, String>, file: &str) -> Result<T, PolicyError> {
    let text = texts.get(file).ok_or_else(|| PolicyError::whole(file, "the file does not exist"))?;
    parse(file, text)
}

fn optional_file<T>(texts: &BTreeMap<String, String>, file: &str) -> Result<T, PolicyError>
where
    T: serde::de::DeserializeOwned + Default,
{
    texts.get(file).map_or_else(|| Ok(T::default()), |text| parse(file, text))
}
