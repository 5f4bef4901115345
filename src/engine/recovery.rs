//! Recovery steps: a backup put back, and the result validated.

use std::sync::Arc;

use super::Run;
use super::steps::Effect;
use crate::domain::Action;
use crate::ports::{Fault, FaultKind};

/// The effect of a recovery action.
pub(super) fn build(_run: Arc<Run>, _action: &Action) -> Result<Box<dyn Effect>, Fault> {
    Err(Fault::new(FaultKind::Invalid, "not wired"))
}
