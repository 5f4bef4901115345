//! Which event may follow which.

use super::state::IncidentState;
use super::{Entry, Event};

impl IncidentState {
    /// Whether the event follows from the state.
    pub(super) fn follows(&self, entry: &Entry) -> Result<(), String> {
        let fits = |fits: bool, reason: &dyn Fn() -> String| if fits { Ok(()) } else { Err(reason()) };
        match &entry.event {
            Event::StepIntent { step, attempt, .. } => {
                let attempts = self.steps.get(step).map_or(0, |state| state.attempts);
                fits(*attempt == attempts + 1, &|| format!("try {attempt} of `{step}` follows try {attempts}"))
            }
            Event::StepOutcome { step, attempt, .. } => {
                let state = self.steps.get(step).ok_or_else(|| format!("`{step}` has no intent"))?;
                let flying = state.attempts == *attempt && state.outcome.is_none();
                fits(flying, &|| format!("try {attempt} of `{step}` is not in flight"))
            }
            Event::CredentialStaged { credential, generation, .. } => {
                let known = self.credentials.get(credential).map_or(0, |state| state.generation);
                fits(*generation == known + 1, &|| format!("generation {generation} of `{credential}` follows {known}"))
            }
            Event::CredentialCreated { credential, generation, .. } => {
                let known = self.credentials.get(credential).filter(|known| known.new.is_none());
                fits(known.is_some_and(|known| known.generation == *generation), &|| {
                    format!("generation {generation} of `{credential}` waits for no new value")
                })
            }
            Event::CredentialProof { credential, generation, .. } => {
                let known = self.credentials.get(credential).map_or(0, |state| state.generation);
                fits(*generation == known, &|| format!("proof of generation {generation}, current is {known}"))
            }
            Event::FindingDisposed { verdict, .. } => {
                fits(matches!(verdict.as_str(), "benign" | "confirmed" | "unknown"), &|| {
                    format!("`{}` is not a disposition", verdict.escape_debug())
                })
            }
            Event::AuditPrepared { tree_size, .. } => {
                fits(*tree_size <= self.entries, &|| format!("it covers {tree_size} entries of {}", self.entries))
            }
            Event::ApprovalRecorded { record, .. } | Event::RefusalRecorded { record, .. } => {
                let current = self.record.as_ref().map(|current| current.0);
                fits(current == Some(*record), &|| "it is about another record than the current one".into())
            }
            Event::IncidentResumed { .. } => {
                fits(self.gate.as_ref().is_some_and(|gate| gate.0), &|| "the gate did not open".into())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
