use std::sync::Arc;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_sdk_iam::Client;
use aws_sdk_iam::types::StatusType;
use secrecy::SecretString;

use super::aws_sessions::{ServerTime, cut_after, revoke_older};
use crate::adapters::aws::{Aws, Identity, Said, fault};
use crate::domain::{Probe, key_pair};
use crate::policy::aws::AwsIamUserPolicy;
use crate::policy::credentials::CredentialPolicy;
use crate::ports::{Fault, FaultKind, Issuer};

/// Name of the inline policy that ends sessions made with keys of the user.
const DENY_POLICY: &str = "PortcullisRevokeOlderSessions";
/// How often a full quota is made room in: somebody may be making keys against us.
const ROUNDS: u32 = 3;

/// Access keys of an IAM user: a new one is made by AWS, every other one is disabled and deleted.
pub struct AwsIamUser {
    aws: Arc<Aws>,
    policy: AwsIamUserPolicy,
}

impl AwsIamUser {
    /// Keys of the user that the policy names.
    pub fn new(aws: Arc<Aws>, policy: AwsIamUserPolicy) -> Self {
        Self { aws, policy }
    }

    async fn client(&self) -> Client {
        Client::new(&self.aws.config().await)
    }

    /// The same for making a key, which the SDK must not repeat: a lost reply leaves a key, and the next try removes it first.
    async fn maker(&self) -> Client {
        let config = aws_sdk_iam::config::Builder::from(&self.aws.config().await);
        Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
    }

    /// Ids of all keys of the user.
    async fn keys(&self) -> Result<Vec<String>, Fault> {
        let user = &self.policy.user;
        let listed = self.client().await.list_access_keys().user_name(user).send().await;
        let listed = listed.map_err(|error| fault(&format!("list the access keys of user {user}"), &error))?;
        Ok(listed.access_key_metadata.into_iter().filter_map(|key| key.access_key_id).collect())
    }

    /// Disables a key; one that is gone is as good.
    async fn disable(&self, id: &str) -> Result<(), Fault> {
        let user = &self.policy.user;
        let request = self.client().await.update_access_key().user_name(user).access_key_id(id);
        gone_is_fine(
            request.status(StatusType::Inactive).send().await,
            &format!("disable access key {id} of user {user}"),
        )
    }

    async fn delete(&self, id: &str) -> Result<(), Fault> {
        let user = &self.policy.user;
        let request = self.client().await.delete_access_key().user_name(user).access_key_id(id);
        gone_is_fine(request.send().await, &format!("delete access key {id} of user {user}"))
    }

    async fn remove(&self, id: &str) -> Result<(), Fault> {
        self.disable(id).await?;
        self.delete(id).await
    }

    /// Makes room for one key: what is neither `old` nor the key that signs was left by a lost reply or by an intruder.
    /// If those two fill the quota, the old one has to go.
    async fn make_room(&self, old: Option<&str>, signing: Option<&str>) -> Result<(), Fault> {
        let (kept, others): (Vec<String>, Vec<String>) =
            self.keys().await?.into_iter().partition(|id| Some(id.as_str()) == old || Some(id.as_str()) == signing);
        for id in &others {
            tracing::warn!("access key {id} of user {} is in no store: it is disabled and deleted", self.policy.user);
            self.remove(id).await?;
        }
        if kept.len() < 2 {
            return Ok(());
        }
        for id in kept.iter().filter(|id| Some(id.as_str()) != signing) {
            tracing::warn!("user {} has no room for a new access key: {id} is deleted first", self.policy.user);
            self.remove(id).await?;
        }
        Ok(())
    }

    /// Signs with the new key from now on, as soon as it is honoured.
    async fn take_over(&self, new: &SecretString) -> Result<(), Fault> {
        let (id, secret) = pair(new)?;
        let identity = Identity { id, secret: &secret, token: None };
        let pause = std::time::Duration::from_millis(500);
        for _ in 0..=self.policy.settle_s * 2 {
            if matches!(self.aws.ask_sts(&identity).await?, Said::Knows { .. }) {
                self.aws.hand_over(&identity);
                return Ok(());
            }
            tokio::time::sleep(pause).await;
        }
        let message =
            format!("access key {id}, which replaces the one that this program works with, is not honoured yet");
        Err(Fault::new(FaultKind::Conflict, message))
    }

    async fn deny_sessions(&self, time: &ServerTime) -> Result<(), Fault> {
        let user = &self.policy.user;
        let document = revoke_older(DENY_POLICY, cut_after(time.now()));
        let request = self.client().await.put_user_policy().user_name(user).policy_name(DENY_POLICY);
        let put = request.policy_document(document).send().await;
        put.map(|_| ()).map_err(|error| fault(&format!("put policy {DENY_POLICY} on user {user}"), &error))
    }

    /// The server's time, read off a reply of its own.
    async fn time(&self) -> Result<ServerTime, Fault> {
        let (time, user) = (ServerTime::default(), &self.policy.user);
        let request = self.client().await.list_access_keys().user_name(user).customize().interceptor(time.clone());
        request.send().await.map_err(|error| fault(&format!("list the access keys of user {user}"), &error))?;
        Ok(time)
    }
}

fn gone_is_fine<O, E>(done: Result<O, aws_sdk_iam::error::SdkError<E>>, what: &str) -> Result<(), Fault>
where
    E: aws_sdk_iam::error::ProvideErrorMetadata + std::error::Error + 'static,
{
    match done {
        Ok(_) => Ok(()),
        Err(error) => match fault(what, &error) {
            gone if gone.kind == FaultKind::NotFound => Ok(()),
            fault => Err(fault),
        },
    }
}

fn pair(value: &SecretString) -> Result<(&str, SecretString), Fault> {
    key_pair::id_of(value)
        .zip(key_pair::secret_of(value))
        .ok_or_else(|| Fault::new(FaultKind::Corrupt, "the value is no access key id with a secret"))
}

/// What two services together say of a key.
fn judge(sts: Said, second: Said) -> Probe {
    match (sts, second) {
        (Said::Refuses(one), Said::Refuses(two)) => Probe::Refused { reason: format!("{one}; {two}") },
        (Said::Knows { .. }, _) => Probe::Accepted,
        (Said::Refuses(one), Said::Knows { .. }) => {
            Probe::Meaningless { reason: format!("{one}, but still known to Secrets Manager: propagation") }
        }
    }
}

#[async_trait]
impl Issuer for AwsIamUser {
    async fn probe(&self, _: &CredentialPolicy, value: &SecretString) -> Result<Probe, Fault> {
        let (id, secret) = pair(value)?;
        let identity = Identity { id, secret: &secret, token: None };
        Ok(judge(self.aws.ask_sts(&identity).await?, self.aws.ask_secrets_manager(&identity).await?))
    }

    async fn ready(&self, _: &CredentialPolicy) -> Result<Option<String>, Fault> {
        let (user, keys) = (&self.policy.user, self.keys().await?);
        let signing = self.aws.signing_id().await;
        if !self.policy.own && keys.iter().any(|id| Some(id) == signing.as_ref()) {
            let message =
                format!("this program works with a key of user {user}: say `own: true`, or give it its own user");
            return Err(Fault::new(FaultKind::Invalid, message));
        }
        if keys.len() > 1 {
            let message = format!(
                "user {user} has {} access keys ({}): all but the kept one will die",
                keys.len(),
                keys.join(", ")
            );
            return Err(Fault::new(FaultKind::Conflict, message));
        }
        Ok(Some(format!("user {user} has {} access key", keys.len())))
    }

    async fn create(&self, _: &CredentialPolicy, old: Option<&SecretString>) -> Result<SecretString, Fault> {
        let user = &self.policy.user;
        let signing = self.aws.signing_id().await;
        let old = old.and_then(key_pair::id_of);
        let mut last = None;
        for _ in 0..ROUNDS {
            self.make_room(old, signing.as_deref()).await?;
            let made = self.maker().await.create_access_key().user_name(user).send().await;
            match made.map_err(|error| fault(&format!("create an access key of user {user}"), &error)) {
                Ok(made) => {
                    let key =
                        made.access_key.ok_or_else(|| Fault::new(FaultKind::OutcomeUnknown, "IAM sent no key"))?;
                    return Ok(key_pair::join(&key.access_key_id, &SecretString::from(key.secret_access_key)));
                }
                Err(fault) if fault.kind == FaultKind::Conflict => last = Some(fault),
                Err(fault) => return Err(fault),
            }
        }
        Err(last.unwrap_or_else(|| Fault::new(FaultKind::Conflict, format!("user {user} takes no new access key"))))
    }

    async fn issue(&self, _: &CredentialPolicy, _: &SecretString, _: Option<&SecretString>) -> Result<(), Fault> {
        Ok(())
    }

    async fn revoke(
        &self,
        _: &CredentialPolicy,
        old: Option<&SecretString>,
        new: Option<&SecretString>,
    ) -> Result<String, Fault> {
        let (old, fresh) = (old.and_then(key_pair::id_of), new.and_then(key_pair::id_of));
        let (user, mut doomed) = (&self.policy.user, self.keys().await?);
        doomed.retain(|id| Some(id.as_str()) != fresh);
        // The leaked one first.
        doomed.sort_by_key(|id| Some(id.as_str()) != old);
        let signing = self.aws.signing_id().await.filter(|id| doomed.contains(id));
        if let (Some(_), Some(new)) = (&signing, new) {
            self.take_over(new).await?;
        }
        let spared = signing.filter(|_| new.is_none());
        doomed.retain(|id| Some(id) != spared.as_ref());
        for id in &doomed {
            self.disable(id).await?;
        }
        self.deny_sessions(&self.time().await?).await?;
        for id in &doomed {
            self.delete(id).await?;
        }
        if let Some(id) = spared {
            let message = format!(
                "access key {id} of user {user} is the one that this program works with, and has no successor yet: it lives. \
                 Say `own: true` in credentials.yml and rotate it"
            );
            return Err(Fault::new(FaultKind::Conflict, message));
        }
        let keys =
            if doomed.is_empty() { "no other key was left".into() } else { format!("deleted {}", doomed.join(", ")) };
        Ok(format!("user {user}: {keys}; sessions made before are denied ({DENY_POLICY})"))
    }

    /// Every key of the user: made when, active or not, last used when, where and on what.
    async fn evidence(&self, _: &CredentialPolicy) -> Result<Option<serde_json::Value>, Fault> {
        let (client, user) = (self.client().await, &self.policy.user);
        let listed = client.list_access_keys().user_name(user).send().await;
        let listed = listed.map_err(|error| fault(&format!("list the access keys of user {user}"), &error))?;
        let mut keys = Vec::new();
        for key in listed.access_key_metadata {
            let Some(id) = key.access_key_id else { continue };
            let asked = client.get_access_key_last_used().access_key_id(&id).send().await;
            let last_used = match asked {
                Ok(said) => said.access_key_last_used.map(|last| {
                    serde_json::json!({"time": last.last_used_date.map(|time| time.to_string()), "service": last.service_name, "region": last.region})
                }),
                Err(error) => {
                    let fault = fault(&format!("ask when access key {id} was last used"), &error);
                    Some(serde_json::json!({ "unreadable": fault.chain() }))
                }
            };
            keys.push(serde_json::json!({
                "key": id,
                "status": key.status.map(|status| status.to_string()),
                "made": key.create_date.map(|time| time.to_string()),
                "last_used": last_used,
            }));
        }
        Ok(Some(keys.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_dead_only_if_both_services_say_so() {
        let knows = || Said::Knows { denied: None, explicit_deny: false };
        let denied = || Said::Knows { denied: Some("Secrets Manager: AccessDenied".into()), explicit_deny: true };
        let refuses = || Said::Refuses("InvalidClientTokenId".into());
        assert!(matches!(judge(refuses(), refuses()), Probe::Refused { .. }));
        assert_eq!(judge(knows(), denied()), Probe::Accepted);
        assert_eq!(judge(knows(), refuses()), Probe::Accepted);
        let Probe::Meaningless { reason } = judge(refuses(), denied()) else { panic!("it may still be known") };
        assert!(reason.contains("propagation"), "{reason}");
    }
}
