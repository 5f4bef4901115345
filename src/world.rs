//! Composition root: the only room that names concrete adapters.

use std::path::Path;
use std::sync::Arc;

use crate::engine::Deployment;
use crate::policy::Policies;
use crate::ports::{Fault, FaultKind};
use crate::settings::Settings;

/// The deployment that policies and environment describe.
pub async fn live(_root: &Path, _settings: &Settings, _policies: Arc<Policies>) -> Result<Deployment, Fault> {
    Err(Fault::new(FaultKind::Invalid, "not wired yet"))
}

/// The embedded deployment in `root`.
pub fn embedded(_root: &Path, _settings: &Settings, _policies: Arc<Policies>) -> Result<Deployment, Fault> {
    Err(Fault::new(FaultKind::Invalid, "not wired yet"))
}
