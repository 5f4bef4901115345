use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use super::back_end::{Answer, BackEnd, Login, sign_token};
use crate::domain::Probe;
use crate::policy::credentials::{CredentialPolicy, IssuerPolicy};
use crate::ports::{Clock, Fault, Issuer};

/// An issuer of the embedded deployment: changes are made by the same adapter as in a real one, and whether a value is honoured is
/// asked of the back end.
pub struct EmbeddedIssuer {
    back_end: Arc<BackEnd>,
    clock: Arc<dyn Clock>,
    changes: Arc<dyn Issuer>,
}

impl EmbeddedIssuer {
    /// Asks `back_end`, and leaves changes to `changes`.
    pub fn new(back_end: Arc<BackEnd>, clock: Arc<dyn Clock>, changes: Arc<dyn Issuer>) -> Self {
        Self { back_end, clock, changes }
    }
}

#[async_trait]
impl Issuer for EmbeddedIssuer {
    async fn probe(&self, credential: &CredentialPolicy, value: &SecretString) -> Result<Probe, Fault> {
        let answer = match &credential.issuer {
            IssuerPolicy::ApiKeyTable { .. } => self.back_end.who_am_i(Login::ApiKey(value)).await?,
            IssuerPolicy::SelfMade { .. } => {
                let token = sign_token(value, "canary", self.clock.now() + Duration::from_mins(1));
                self.back_end.who_am_i(Login::Token(&token)).await?
            }
            _ => {
                let reason = "the embedded deployment has no such issuer".to_owned();
                return Ok(Probe::Meaningless { reason });
            }
        };
        Ok(match answer {
            Answer::Created { .. } => Probe::Accepted,
            Answer::Refused { reason, .. } => Probe::Refused { reason },
        })
    }

    async fn issue(
        &self,
        credential: &CredentialPolicy,
        new: &SecretString,
        old: Option<&SecretString>,
    ) -> Result<(), Fault> {
        self.changes.issue(credential, new, old).await
    }

    async fn revoke(
        &self,
        credential: &CredentialPolicy,
        old: Option<&SecretString>,
        new: Option<&SecretString>,
    ) -> Result<String, Fault> {
        self.changes.revoke(credential, old, new).await
    }

    async fn evidence(&self, credential: &CredentialPolicy) -> Result<Option<serde_json::Value>, Fault> {
        self.changes.evidence(credential).await
    }
}
