//! The steps: each observes first, acts only if needed, and verifies.

mod credential;
mod evidence;
mod pause;
mod proof;
mod service;
mod stage;

use std::sync::Arc;

use async_trait::async_trait;

use super::{JournalError, Run};
use crate::domain::{Action, CredentialId};
use crate::policy::credentials::CredentialPolicy;
use crate::ports::{Fault, FaultKind};

/// What an observation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// The step's goal is reached; nothing is to be done.
    Satisfied(String),
    /// It has to act.
    Needed,
}

/// Why an effect did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    /// The world refused or failed: the step's outcome.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The ledger failed: the run ends.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// One step's way to touch the world.
#[async_trait]
pub(super) trait Effect: Send + Sync {
    /// Whether a step that never began can't have reached its goal, so that looking before its first act shows nothing. Whether it
    /// began, the ledger knows: the intent is on disk before the act.
    fn starts_from_nothing(&self) -> bool {
        false
    }
    /// Looks whether there is anything to do.
    async fn observe(&self) -> Result<Seen, Fault>;
    /// Does it; says what was done.
    async fn act(&self) -> Result<String, StepError>;
    /// Looks whether it is so now.
    async fn verify(&self) -> Result<(), Fault> {
        match self.observe().await? {
            Seen::Satisfied(_) => Ok(()),
            Seen::Needed => Err(Fault::new(FaultKind::Conflict, "done, but the world does not show it")),
        }
    }
}

/// The effect of an action.
pub(super) fn build(run: &Arc<Run>, action: &Action) -> Result<Box<dyn Effect>, Fault> {
    let run = Arc::clone(run);
    Ok(match action {
        Action::EngageSwitch { switch } => Box::new(pause::Engage { run, switch: switch.clone() }),
        Action::ReleaseSwitch { switch } => Box::new(pause::Release { run, switch: switch.clone() }),
        Action::ProvePause => Box::new(pause::Prove { run, refused: true }),
        Action::ProveResume => Box::new(pause::Prove { run, refused: false }),
        Action::CollectEvidence { what } => Box::new(evidence::Collect { run, what: what.clone() }),
        Action::CancelOrders { credential } => {
            Box::new(credential::Cancel(credential::Rotation::new(run, credential)?))
        }
        Action::StageCredential { credential, generation } => {
            Box::new(stage::Stage { rotation: credential::Rotation::new(run, credential)?, generation: *generation })
        }

        Action::IssueCredential { credential } => {
            Box::new(credential::Issue(credential::Rotation::new(run, credential)?))
        }
        Action::StoreCredential { credential, store } => {
            Box::new(credential::Store { rotation: credential::Rotation::new(run, credential)?, store: *store })
        }
        Action::RetireStored { credential, store } => {
            Box::new(credential::Retire { rotation: credential::Rotation::new(run, credential)?, store: *store })
        }
        Action::RevokeCredential { credential } => {
            Box::new(credential::Revoke(credential::Rotation::new(run, credential)?))
        }
        Action::ProveCredential { credential } => Box::new(proof::Prove(credential::Rotation::new(run, credential)?)),
        Action::RestartService { service } => Box::new(service::Restart { run, service: service.clone() }),
        Action::StopService { service } => Box::new(service::Stop { run, service: service.clone() }),
        Action::RestoreBackup { .. } | Action::ValidateRestore { .. } | Action::ReplayRows { .. } => {
            super::recovery::build(run, action)?
        }
        Action::Manual { .. } => return Err(Fault::new(FaultKind::Invalid, "a manual step has no effect of its own")),
    })
}

/// The credential's policy.
fn credential_policy(run: &Run, id: &CredentialId) -> Result<CredentialPolicy, Fault> {
    let credentials = &run.deployment.policies.credentials.credentials;
    credentials
        .iter()
        .find(|credential| credential.id == *id)
        .cloned()
        .ok_or_else(|| Fault::new(FaultKind::NotFound, format!("credentials.yml declares no credential `{id}`")))
}
