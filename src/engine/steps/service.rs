use std::sync::Arc;

use async_trait::async_trait;

use super::{Effect, Seen, StepError};
use crate::engine::Run;
use crate::ports::{Fault, FaultKind, Service};

fn service<'a>(run: &'a Run, name: &str) -> Result<&'a Arc<dyn Service>, Fault> {
    run.deployment
        .service(name)
        .ok_or_else(|| Fault::new(FaultKind::NotFound, format!("credentials.yml declares no service `{name}`")))
}

/// The service uses what the stores now hold.
pub(super) struct Restart {
    pub run: Arc<Run>,
    pub service: String,
}

#[async_trait]
impl Effect for Restart {
    async fn observe(&self) -> Result<Seen, Fault> {
        // A restart too many is harmless, one too few leaves an old value in use.
        Ok(Seen::Needed)
    }

    async fn act(&self) -> Result<String, StepError> {
        Ok(service(&self.run, &self.service)?.restart().await?)
    }

    async fn verify(&self) -> Result<(), Fault> {
        service(&self.run, &self.service)?.health().await.map(|_| ())
    }
}

/// The service is stopped.
pub(super) struct Stop {
    pub run: Arc<Run>,
    pub service: String,
}

#[async_trait]
impl Effect for Stop {
    async fn observe(&self) -> Result<Seen, Fault> {
        // Stopping what is stopped changes nothing.
        Ok(Seen::Needed)
    }

    async fn act(&self) -> Result<String, StepError> {
        Ok(service(&self.run, &self.service)?.stop().await?)
    }

    async fn verify(&self) -> Result<(), Fault> {
        Ok(())
    }
}
