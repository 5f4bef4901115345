use serde::{Deserialize, Serialize};

/// What a pause switch was seen to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SwitchState {
    /// Trading is stopped by this switch.
    Engaged,
    /// Trading is not stopped by this switch.
    Released,
    /// The switch can't be observed (a command without a `status`).
    Unobservable,
}

/// What happened to a trade that was tried, and rolled back, as the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "canary", rename_all = "lowercase", deny_unknown_fields)]
pub enum Canary {
    /// The guard refused it: the pause holds.
    Refused {
        /// The database's own code and words.
        reason: String,
    },
    /// It got past the guard: trading is possible.
    Passed {
        /// What was seen, for instance `row accepted and rolled back` or `stopped only by a NOT NULL constraint`.
        detail: String,
    },
}
