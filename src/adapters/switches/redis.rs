use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, RedisError, cmd};
use secrecy::{ExposeSecret, SecretString};

use crate::adapters::http::{Variables, missing};
use crate::domain::SwitchState;
use crate::policy::pause::{EngagedWhen, REDIS_BOUND_S, RedisSwitchPolicy};
use crate::ports::{Fault, FaultKind, PauseSwitch};

/// A switch that is a key in Redis or Valkey.
pub struct RedisSwitch {
    policy: RedisSwitchPolicy,
    variables: Variables,
}

impl RedisSwitch {
    /// Its address is looked up by `variables` when it is needed.
    pub fn new(policy: RedisSwitchPolicy, variables: Variables) -> Self {
        Self { policy, variables }
    }

    fn address(&self) -> Result<SecretString, Fault> {
        match (&self.policy.url, &self.policy.url_env) {
            (Some(url), _) => Ok(SecretString::from(url.as_str())),
            (None, Some(name)) => (self.variables)(name).ok_or_else(|| {
                Fault::new(FaultKind::Invalid, format!("switch `{}` needs {name}: set it", self.policy.name))
            }),
            (None, None) => Err(Fault::new(FaultKind::Invalid, "neither url nor url_env is given")),
        }
    }

    /// What errors call the server: its address, if the policy itself names it.
    fn place(&self) -> String {
        match (&self.policy.url, &self.policy.url_env) {
            (Some(url), _) => url.clone(),
            (None, Some(name)) => format!("Redis at {name}"),
            (None, None) => "Redis".into(),
        }
    }

    /// One command on a connection of its own, within the bound.
    async fn run<T: FromRedisValue>(&self, words: &[&str]) -> Result<T, Fault> {
        let bound = Duration::from_secs(REDIS_BOUND_S);
        match tokio::time::timeout(bound, self.run_unbounded(words)).await {
            Ok(answer) => answer,
            // Setting or deleting the same key again changes nothing.
            Err(_) => Err(Fault::new(
                FaultKind::Unavailable,
                format!("failed to reach {}: no answer within {REDIS_BOUND_S} s", self.place()),
            )),
        }
    }

    async fn run_unbounded<T: FromRedisValue>(&self, words: &[&str]) -> Result<T, Fault> {
        let address = self.address()?;
        let client = Client::open(address.expose_secret()).map_err(|_| {
            let words = format!("the address of {} is not valid: redis://... or rediss://...", self.place());
            Fault::new(FaultKind::Invalid, words)
        })?;
        let mut connection = self.connect(&client).await.map_err(|error| self.fault("reach", &error))?;
        let mut command = cmd(words.first().copied().unwrap_or_default());
        for word in words.iter().skip(1) {
            command.arg(*word);
        }
        command.query_async(&mut connection).await.map_err(|error| self.fault("ask", &error))
    }

    async fn connect(&self, client: &Client) -> Result<MultiplexedConnection, RedisError> {
        let bound = Some(Duration::from_secs(REDIS_BOUND_S));
        let config = AsyncConnectionConfig::new().set_connection_timeout(bound).set_response_timeout(bound);
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// In words of our own: those of the library may repeat the address.
    fn fault(&self, what: &str, error: &RedisError) -> Fault {
        let (kind, words) = match error.kind() {
            ErrorKind::AuthenticationFailed => (FaultKind::Denied, "its password or user is refused"),
            ErrorKind::InvalidClientConfig => (FaultKind::Invalid, "its address or TLS can't be used"),
            _ if matches!(error.code(), Some("NOAUTH" | "NOPERM" | "WRONGPASS")) => {
                (FaultKind::Denied, "it asks for a password or a right that the address does not have")
            }
            _ if matches!(error.code(), Some("READONLY")) => {
                (FaultKind::Invalid, "it is a replica that takes no writes: name the primary")
            }
            _ if matches!(error.code(), Some("WRONGTYPE")) => (FaultKind::Corrupt, "the key holds something else"),
            _ if error.is_timeout() => (FaultKind::Unavailable, "no answer in time"),
            _ if error.is_connection_refusal() => (FaultKind::Unavailable, "the connection was refused"),
            _ => (FaultKind::Unavailable, "the connection broke or it gave an error"),
        };
        Fault::new(kind, format!("failed to {what} {}: {words}", self.place()))
    }
}

#[async_trait]
impl PauseSwitch for RedisSwitch {
    fn name(&self) -> &str {
        &self.policy.name
    }

    fn describe(&self) -> String {
        format!("key {} in {}", self.policy.key, self.place())
    }

    fn missing(&self) -> Vec<String> {
        let named: Vec<&str> = self.policy.url_env.as_deref().into_iter().collect();
        missing(&named, &self.variables)
    }

    async fn observe(&self) -> Result<SwitchState, Fault> {
        let engaged = match self.policy.engaged_when {
            EngagedWhen::Exists => self.run::<i64>(&["EXISTS", &self.policy.key]).await? > 0,
            EngagedWhen::Equals => {
                let held: Option<Vec<u8>> = self.run(&["GET", &self.policy.key]).await?;
                held.as_deref() == Some(self.policy.value.as_bytes())
            }
        };
        Ok(if engaged { SwitchState::Engaged } else { SwitchState::Released })
    }

    async fn engage(&self) -> Result<String, Fault> {
        // Without an expiry: only `resume` ends the pause.
        let () = self.run(&["SET", &self.policy.key, &self.policy.value]).await?;
        Ok(format!("key {} set in {}", self.policy.key, self.place()))
    }

    async fn release(&self) -> Result<String, Fault> {
        let gone: i64 = self.run(&["DEL", &self.policy.key]).await?;
        let words = if gone > 0 { "deleted" } else { "was gone" };
        Ok(format!("key {} {words} in {}", self.policy.key, self.place()))
    }
}
