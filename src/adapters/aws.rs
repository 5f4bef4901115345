//! What all clients of AWS share: how they are made, as whom they sign, and what their errors stand for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_iam::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;

use crate::domain::key_pair;
use crate::ports::{Fault, FaultKind};

/// Names a value that may stand in where the environment's key is missing or refused.
pub type StandIns = Box<dyn Fn() -> Vec<SecretString> + Send + Sync>;

/// The account and region that the environment names, asked as one identity that can be handed over while the program runs.
pub struct Aws {
    base: OnceCell<SdkConfig>,
    /// A key of our own that replaced the one of the environment.
    successor: RwLock<Option<Credentials>>,
    handed_over: AtomicU64,
    stand_ins: StandIns,
}

/// A key or a session as which a request is signed.
pub struct Identity<'a> {
    /// Access key id.
    pub id: &'a str,
    /// Secret access key.
    pub secret: &'a SecretString,
    /// Session token, where it is a session.
    pub token: Option<&'a SecretString>,
}

impl Identity<'_> {
    fn credentials(&self) -> Credentials {
        Credentials::new(
            self.id,
            self.secret.expose_secret(),
            self.token.map(|token| token.expose_secret().to_owned()),
            None,
            "portcullis",
        )
    }
}

/// What a service said to a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It knew the key; the request was answered, or refused for want of a permission.
    Knows {
        /// The service's code where the request was refused.
        denied: Option<String>,
        /// Whether a policy says no to it by name.
        explicit_deny: bool,
    },
    /// It does not know the key, or not any more.
    Refuses(String),
}

/// Codes by which AWS says that a key is none: for query, JSON and REST protocols.
const NO_SUCH_KEY: [&str; 7] = [
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "ExpiredToken",
    "ExpiredTokenException",
];

impl Aws {
    /// Keys that `stand_ins` gives are tried, in their order, where the environment has none that works.
    pub fn new(stand_ins: StandIns) -> Arc<Self> {
        Arc::new(Self {
            base: OnceCell::new(),
            successor: RwLock::new(None),
            handed_over: AtomicU64::new(0),
            stand_ins,
        })
    }

    async fn base(&self) -> &SdkConfig {
        self.base
            .get_or_init(|| async {
                let http = aws_smithy_http_client::Builder::new()
                    .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
                    .build_https();
                let timeouts = TimeoutConfig::builder()
                    .connect_timeout(Duration::from_secs(3))
                    .operation_attempt_timeout(Duration::from_secs(5))
                    .operation_timeout(Duration::from_secs(20))
                    .build();
                let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
                    .http_client(http)
                    .timeout_config(timeouts)
                    .retry_config(RetryConfig::standard().with_max_attempts(3))
                    .load()
                    .await;
                self.stand_in(config).await
            })
            .await
    }

    /// The environment's identity, or the first stand-in that works where it is missing or refused: a run that was cut off
    /// after it had replaced this program's own key goes on with the new one.
    async fn stand_in(&self, config: SdkConfig) -> SdkConfig {
        let others = (self.stand_ins)();
        if others.is_empty() || works(&config).await != Some(false) {
            return config;
        }
        for value in &others {
            let Some(other) = with_pair(&config, value) else { continue };
            if works(&other).await == Some(true) {
                tracing::warn!("AWS is asked with the key that was kept: the environment has none that is honoured");
                return other;
            }
        }
        config
    }

    /// The configuration as which requests are signed now.
    pub async fn config(&self) -> SdkConfig {
        let base = self.base().await;
        let successor = self.successor.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        match successor {
            Some(credentials) => signed(base, credentials),
            None => base.clone(),
        }
    }

    /// The configuration for asking as somebody else.
    pub async fn config_as(&self, identity: &Identity<'_>) -> SdkConfig {
        signed(self.base().await, identity.credentials())
    }

    /// From now on every client of this run signs with that key.
    pub fn hand_over(&self, identity: &Identity<'_>) {
        *self.successor.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(identity.credentials());
        self.handed_over.fetch_add(1, Ordering::SeqCst);
    }

    /// How often another key took over: a client that was made before signs with one that may be dead.
    pub fn handed_over(&self) -> u64 {
        self.handed_over.load(Ordering::SeqCst)
    }

    /// The id of the key that signs now; `None` if there is none.
    pub async fn signing_id(&self) -> Option<String> {
        use aws_sdk_iam::config::ProvideCredentials as _;
        let provider = self.config().await.credentials_provider()?;
        let found = tokio::time::timeout(Duration::from_secs(10), provider.provide_credentials()).await;
        found.ok()?.ok().map(|credentials| credentials.access_key_id().to_owned())
    }

    /// What STS says to that identity. A deny does not reach this request, so it shows a live key, not a useful one.
    pub async fn ask_sts(&self, identity: &Identity<'_>) -> Result<Said, Fault> {
        let client = aws_sdk_sts::Client::new(&self.config_as(identity).await);
        said("STS", client.get_caller_identity().send().await)
    }

    /// What Secrets Manager says to that identity.
    pub async fn ask_secrets_manager(&self, identity: &Identity<'_>) -> Result<Said, Fault> {
        let client = aws_sdk_secretsmanager::Client::new(&self.config_as(identity).await);
        said("Secrets Manager", client.list_secrets().max_results(1).send().await)
    }

    /// What IAM says to that identity.
    pub async fn ask_iam(&self, identity: &Identity<'_>) -> Result<Said, Fault> {
        let client = aws_sdk_iam::Client::new(&self.config_as(identity).await);
        said("IAM", client.list_account_aliases().max_items(1).send().await)
    }
}

fn signed(config: &SdkConfig, credentials: Credentials) -> SdkConfig {
    config
        .to_builder()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        // The cache of the environment's identity must not answer for this one.
        .identity_cache(aws_config::identity::IdentityCache::no_cache())
        .build()
}

fn with_pair(config: &SdkConfig, value: &SecretString) -> Option<SdkConfig> {
    let (id, secret) = (key_pair::id_of(value)?, key_pair::secret_of(value)?);
    Some(signed(config, Identity { id, secret: &secret, token: None }.credentials()))
}

/// Whether an identity is honoured; `None` where nobody can say.
async fn works(config: &SdkConfig) -> Option<bool> {
    match aws_sdk_sts::Client::new(config).get_caller_identity().send().await {
        Ok(_) => Some(true),
        Err(error) if is_no_key(error.code().unwrap_or_default()) || has_no_identity(&error) => Some(false),
        Err(_) => None,
    }
}

fn is_no_key(code: &str) -> bool {
    NO_SUCH_KEY.contains(&code)
}

fn has_no_identity<E>(error: &SdkError<E>) -> bool {
    matches!(error, SdkError::DispatchFailure(failure) if failure.is_user() || failure.is_other())
}

/// What an answer says of the key that signed the question.
fn said<O, E>(service: &str, answer: Result<O, SdkError<E>>) -> Result<Said, Fault>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Err(error) = answer else { return Ok(Said::Knows { denied: None, explicit_deny: false }) };
    let code = error.code().unwrap_or_default();
    if is_no_key(code) {
        return Ok(Said::Refuses(format!("{service}: {code}")));
    }
    if ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"].contains(&code) {
        let explicit_deny = error.message().is_some_and(|message| message.contains("explicit deny"));
        return Ok(Said::Knows { denied: Some(format!("{service}: {code}")), explicit_deny });
    }
    Err(fault(&format!("ask {service} about the key"), &error))
}

/// The fault that an error of the SDK stands for; `what` fits "failed to ...". Its text holds codes and messages of the
/// service, never a value.
pub fn fault<E>(what: &str, error: &SdkError<E>) -> Fault
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let code = error.code().unwrap_or_default();
    let words = match error {
        // What was signed is quoted in these.
        SdkError::ServiceError(_) if is_no_key(code) => format!("{code}: AWS does not honour the key that signed"),
        SdkError::ServiceError(_) => format!("{code}: {}", error.message().unwrap_or("no message")),
        SdkError::DispatchFailure(_) if has_no_identity(error) => {
            "no credentials or region for AWS were found, or they are not usable".to_owned()
        }
        SdkError::DispatchFailure(_) => "AWS can't be reached".to_owned(),
        SdkError::TimeoutError(_) => "AWS did not answer in time".to_owned(),
        _ => "the answer can't be read".to_owned(),
    };
    Fault::new(kind(error, code), format!("failed to {what}: {words}"))
}

fn kind<E>(error: &SdkError<E>, code: &str) -> FaultKind {
    match error {
        SdkError::ConstructionFailure(_) => FaultKind::Invalid,
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => FaultKind::OutcomeUnknown,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => FaultKind::OutcomeUnknown,
        SdkError::DispatchFailure(_) => FaultKind::Unavailable,
        _ => kind_of_code(code),
    }
}

fn kind_of_code(code: &str) -> FaultKind {
    match code {
        code if is_no_key(code) => FaultKind::Denied,
        "ResourceNotFoundException" | "NoSuchEntity" | "NoSuchEntityException" => FaultKind::NotFound,
        "AccessDenied" | "AccessDeniedException" => FaultKind::Denied,
        "Throttling" | "ThrottlingException" | "LimitExceededException" | "RequestLimitExceeded" | "SlowDown" => {
            FaultKind::Throttled
        }
        // IAM's quota is full, or somebody else is changing the same user.
        "LimitExceeded"
        | "ConcurrentModification"
        | "EntityTemporarilyUnmodifiable"
        | "ResourceExistsException"
        | "PreconditionNotMetException" => FaultKind::Conflict,
        "InternalServiceError" | "InternalServiceErrorException" | "InternalFailure" | "ServiceFailure" => {
            FaultKind::OutcomeUnknown
        }
        _ => FaultKind::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        for (code, kind) in [
            ("InvalidClientTokenId", FaultKind::Denied),
            ("NoSuchEntity", FaultKind::NotFound),
            ("LimitExceeded", FaultKind::Conflict),
            ("LimitExceededException", FaultKind::Throttled),
            ("ServiceFailure", FaultKind::OutcomeUnknown),
            ("Unheard", FaultKind::Invalid),
        ] {
            assert_eq!(kind_of_code(code), kind, "{code}");
        }
    }

    #[test]
    fn a_pair_signs_and_anything_else_does_not() {
        let config = SdkConfig::builder().build();
        assert!(with_pair(&config, &SecretString::from("AKIA1:s")).is_some());
        assert!(with_pair(&config, &SecretString::from("whole")).is_none());
    }
}
