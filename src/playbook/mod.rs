//! Planners: policy and observed world in, plan out. Pure.

mod containment;
mod recovery;
mod resume;
mod rotation;

pub use containment::{Containment, containment, order_of, pause, with_restarts};
pub use recovery::{recovery, replay};
pub use resume::resume;
pub use rotation::{Order, prove, revoke, rotate};

use crate::domain::{Action, CredentialId, Phase, StepId, StepSpec};

pub use crate::policy::pause::GUARD;

/// What ids of steps that cancel open orders begin with.
const CANCEL: &str = "pause.cancel.";

/// The step that cancels the open orders of a credential.
pub fn cancel_id(credential: &CredentialId) -> StepId {
    step_id(&format!("{CANCEL}{credential}"))
}

/// A step whose id is made of parts that are valid in ids already.
fn step(id: &str, phase: Phase, target: impl Into<String>, action: Action, timeout_s: u64) -> StepSpec {
    StepSpec {
        id: step_id(id),
        phase,
        target: target.into(),
        action,
        after: Vec::new(),
        needs: Vec::new(),
        timeout_ms: timeout_s * 1000,
    }
}

/// A step id from policy names, in which characters that ids don't have become `-`.
fn step_id(text: &str) -> StepId {
    let mut id: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .take(160)
        .collect();
    if !id.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        id.insert(0, '0');
        id.truncate(160);
    }
    StepId::new(id).unwrap_or_else(|_| unreachable_id())
}

/// Never reached: the text above was made to fit. A fixed id keeps the function total.
fn unreachable_id() -> StepId {
    StepId::new("step").unwrap_or_else(|_| unreachable_id())
}
