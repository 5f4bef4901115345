use async_trait::async_trait;
use secrecy::SecretString;

use super::http_probe;
use crate::domain::Probe;
use crate::policy::credentials::CredentialPolicy;
use crate::ports::{Fault, Issuer};

/// A value that the deployment made for itself: whoever holds the store's value honours it, so there is nobody to tell.
#[derive(Debug, Default)]
pub struct SelfMade;

#[async_trait]
impl Issuer for SelfMade {
    async fn probe(&self, credential: &CredentialPolicy, value: &SecretString) -> Result<Probe, Fault> {
        http_probe::probe(credential.proof.as_ref(), value).await.unwrap_or_else(|| {
            Ok(Probe::Meaningless { reason: "policy names no request by which the service could be asked".into() })
        })
    }

    async fn issue(&self, _: &CredentialPolicy, _: &SecretString, _: Option<&SecretString>) -> Result<(), Fault> {
        Ok(())
    }

    async fn revoke(
        &self,
        _: &CredentialPolicy,
        _: Option<&SecretString>,
        _: Option<&SecretString>,
    ) -> Result<String, Fault> {
        Ok("the services that held it were restarted with the new value".into())
    }
}
