//! Services of the deployment: commands that restart and stop them, an address that says whether they are healthy.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use super::{command, http};
use crate::policy::credentials::ServicePolicy;
use crate::ports::{Fault, FaultKind, Service};

/// Bound on a restart or stop command.
const BOUND: Duration = Duration::from_mins(1);

/// A service that is steered by commands.
#[derive(Debug, Clone)]
pub struct CommandService {
    root: PathBuf,
    policy: ServicePolicy,
}

impl CommandService {
    /// Commands run in `root`.
    pub fn new(root: impl Into<PathBuf>, policy: ServicePolicy) -> Self {
        Self { root: root.into(), policy }
    }

    fn missing(&self, what: &str) -> Fault {
        Fault::new(FaultKind::Invalid, format!("service `{}` has no {what} in credentials.yml", self.policy.name))
    }
}

#[async_trait]
impl Service for CommandService {
    fn name(&self) -> &str {
        &self.policy.name
    }

    async fn restart(&self) -> Result<String, Fault> {
        let argv = self.policy.restart.as_ref().ok_or_else(|| self.missing("restart command"))?;
        let done = command::succeed(&self.root, argv, BOUND).await?;
        match &self.policy.health {
            Some(_) => Ok(format!("{done}, {}", self.health().await?)),
            None => Ok(format!("{done}; no health address, so it was not checked")),
        }
    }

    async fn stop(&self) -> Result<String, Fault> {
        let argv = self.policy.stop.as_ref().ok_or_else(|| self.missing("stop command"))?;
        command::succeed(&self.root, argv, BOUND).await
    }

    async fn health(&self) -> Result<String, Fault> {
        match &self.policy.health {
            Some(url) => http::healthy(url, Duration::from_secs(self.policy.healthy_within_s)).await,
            None => Ok("no health address".into()),
        }
    }
}
