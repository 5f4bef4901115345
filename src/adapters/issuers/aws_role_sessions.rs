use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_iam::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::aws_sessions::{ServerTime, cut_after, cut_of, revoke_older};
use crate::adapters::aws::{Aws, Identity, Said, fault};
use crate::domain::{Probe, Timestamp};
use crate::policy::aws::{AwsRoleSessionsPolicy, ProbeAction};
use crate::policy::credentials::CredentialPolicy;
use crate::ports::{Fault, FaultKind, Issuer};

/// The name that AWS's own console gives this policy, so that people recognise it.
const DENY_POLICY: &str = "AWSRevokeOlderSessions";
/// Name and life of the sessions by which the end of the others is shown.
const SESSION: (&str, i32) = ("portcullis-probe", 900);
/// How often a session is asked for that is younger than the policy.
const TRIES: u32 = 8;

/// Sessions of an IAM role: those issued before the revocation are denied everything.
pub struct AwsRoleSessions {
    aws: Arc<Aws>,
    policy: AwsRoleSessionsPolicy,
}

/// A session, as it is sealed; fields as AWS names them.
#[allow(clippy::struct_field_names)]
#[derive(Serialize, Deserialize, zeroize::ZeroizeOnDrop)]
struct Session {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

impl Session {
    fn seal(&self) -> Result<SecretString, Fault> {
        let text = serde_json::to_string(self).map(Zeroizing::new);
        let text = text.map_err(|_| Fault::new(FaultKind::Invalid, "failed to encode a session"))?;
        Ok(SecretString::from(text.as_str()))
    }

    fn open(value: &SecretString) -> Result<Self, Fault> {
        serde_json::from_str(value.expose_secret())
            .map_err(|_| Fault::new(FaultKind::Corrupt, "the sealed value is no session of a role"))
    }
}

impl AwsRoleSessions {
    /// Sessions of the role that the policy names.
    pub fn new(aws: Arc<Aws>, policy: AwsRoleSessionsPolicy) -> Self {
        Self { aws, policy }
    }

    async fn iam(&self) -> Client {
        Client::new(&self.aws.config().await)
    }

    /// A new session, and when AWS says that it was issued.
    async fn assume(&self) -> Result<(Session, Timestamp), Fault> {
        let time = ServerTime::default();
        let client = aws_sdk_sts::Client::new(&self.aws.config().await);
        let request = client.assume_role().role_arn(&self.policy.role_arn).role_session_name(SESSION.0);
        let assumed = request.duration_seconds(SESSION.1).customize().interceptor(time.clone()).send().await;
        let assumed = assumed.map_err(|error| fault(&format!("assume role {}", self.policy.role_arn), &error))?;
        let given = assumed.credentials.ok_or_else(|| Fault::new(FaultKind::Corrupt, "STS sent no session"))?;
        let session = Session {
            access_key_id: given.access_key_id,
            secret_access_key: given.secret_access_key,
            session_token: given.session_token,
            expiration: given.expiration.to_string(),
        };
        Ok((session, time.now()))
    }

    /// The time before which our policy on the role ends sessions; `None` if it is not there.
    async fn cut(&self) -> Result<Option<Timestamp>, Fault> {
        let role = self.policy.role_name();
        let got = self.iam().await.get_role_policy().role_name(role).policy_name(DENY_POLICY).send().await;
        match got {
            Ok(got) => Ok(cut_of(&got.policy_document)),
            Err(error) => match fault(&format!("read policy {DENY_POLICY} of role {role}"), &error) {
                gone if gone.kind == FaultKind::NotFound => Ok(None),
                fault => Err(fault),
            },
        }
    }

    async fn time(&self) -> Result<Timestamp, Fault> {
        let (time, role) = (ServerTime::default(), self.policy.role_name());
        let request = self.iam().await.list_role_policies().role_name(role).customize().interceptor(time.clone());
        request.send().await.map_err(|error| fault(&format!("list the policies of role {role}"), &error))?;
        Ok(time.now())
    }
}

/// What a real request says of a session.
fn judge(said: Said) -> Probe {
    match said {
        Said::Refuses(reason) => Probe::Refused { reason },
        Said::Knows { denied: None, .. } => Probe::Accepted,
        Said::Knows { denied: Some(code), explicit_deny: true } => {
            Probe::Refused { reason: format!("{code} with an explicit deny") }
        }
        Said::Knows { denied: Some(code), .. } => Probe::Meaningless {
            reason: format!(
                "{code} without an explicit deny: the role may not do what it is asked, choose another probe_action"
            ),
        },
    }
}

#[async_trait]
impl Issuer for AwsRoleSessions {
    async fn probe(&self, _: &CredentialPolicy, value: &SecretString) -> Result<Probe, Fault> {
        let session = Session::open(value)?;
        let secret = SecretString::from(session.secret_access_key.as_str());
        let token = SecretString::from(session.session_token.as_str());
        let identity = Identity { id: &session.access_key_id, secret: &secret, token: Some(&token) };
        Ok(judge(match self.policy.probe_action {
            ProbeAction::ListSecrets => self.aws.ask_secrets_manager(&identity).await?,
            ProbeAction::ListAccountAliases => self.aws.ask_iam(&identity).await?,
        }))
    }

    async fn current(&self, credential: &CredentialPolicy) -> Result<Option<SecretString>, Fault> {
        match self.assume().await {
            Ok((session, _)) => session.seal().map(Some),
            // Sessions can be ended without one to show it by.
            Err(fault) => {
                tracing::warn!("{}: no session to show their end by: {}", credential.id, fault.chain());
                Ok(None)
            }
        }
    }

    async fn ready(&self, _: &CredentialPolicy) -> Result<Option<String>, Fault> {
        self.cut().await?;
        self.assume().await?;
        Ok(Some(format!("role {} can be assumed", self.policy.role_name())))
    }

    async fn create(&self, _: &CredentialPolicy, _: Option<&SecretString>) -> Result<SecretString, Fault> {
        let cut = self.cut().await?;
        for _ in 0..TRIES {
            let (session, issued) = self.assume().await?;
            if cut.is_none_or(|cut| issued > cut) {
                return session.seal();
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let message = format!("sessions of role {} are still issued before its policy's time", self.policy.role_name());
        Err(Fault::new(FaultKind::Conflict, message))
    }

    async fn issue(&self, _: &CredentialPolicy, _: &SecretString, _: Option<&SecretString>) -> Result<(), Fault> {
        Ok(())
    }

    async fn revoke(
        &self,
        _: &CredentialPolicy,
        _: Option<&SecretString>,
        new: Option<&SecretString>,
    ) -> Result<String, Fault> {
        let role = self.policy.role_name();
        // A session made after the revocation must live: the time is not moved past it.
        if new.is_some()
            && let Some(cut) = self.cut().await?
        {
            return Ok(format!("role {role}: sessions issued before {cut} were denied"));
        }
        let cut = cut_after(self.time().await?);
        let document = revoke_older(DENY_POLICY, cut);
        let request = self.iam().await.put_role_policy().role_name(role).policy_name(DENY_POLICY);
        let put = request.policy_document(document).send().await;
        put.map_err(|error| fault(&format!("put policy {DENY_POLICY} on role {role}"), &error))?;
        Ok(format!("role {role}: sessions issued before {cut} are denied ({DENY_POLICY})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_back_and_anything_else_refused() {
        let session = Session {
            access_key_id: "ASIA1".into(),
            secret_access_key: "s".into(),
            session_token: "t\"".into(),
            expiration: "2026-11-24T16:00:00Z".into(),
        };
        let opened = Session::open(&session.seal().unwrap()).unwrap();
        assert_eq!((opened.session_token.as_str(), opened.access_key_id.as_str()), ("t\"", "ASIA1"));
        let Err(fault) = Session::open(&SecretString::from("ASIA1:hidden")) else { panic!("no session") };
        assert!(!fault.chain().contains("hidden"));
    }

    #[test]
    fn only_an_explicit_deny_shows_the_end_of_a_session() {
        let denied = |explicit_deny| Said::Knows { denied: Some("AccessDenied".into()), explicit_deny };
        assert!(matches!(judge(denied(true)), Probe::Refused { .. }));
        assert!(matches!(judge(denied(false)), Probe::Meaningless { .. }));
        assert_eq!(judge(Said::Knows { denied: None, explicit_deny: false }), Probe::Accepted);
        assert!(matches!(judge(Said::Refuses("ExpiredToken".into())), Probe::Refused { .. }));
    }
}
