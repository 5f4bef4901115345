use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CredentialId, StepId};

/// Phases, in the words of NIST SP 800-61r3 and the trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Stopping trade.
    Pause,
    /// Capturing what is about to change.
    Evidence,
    /// Replacing and killing credentials.
    Rotate,
    /// Putting a clean state back.
    Recover,
    /// Letting trade in again.
    Resume,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pause => "pause",
            Self::Evidence => "evidence",
            Self::Rotate => "rotate",
            Self::Recover => "recover",
            Self::Resume => "resume",
        })
    }
}

/// What one step does. Everything that the engine needs beyond the policy is here: nothing is left to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Engage the switch of that name (`guard` is the database guard).
    EngageSwitch {
        /// Name in `pause.yml`.
        switch: String,
    },
    /// Try a trade as the application and require that the guard refuses it.
    ProvePause,
    /// Release the switch of that name. Only `resume` plans this.
    ReleaseSwitch {
        /// Name in `pause.yml`.
        switch: String,
    },
    /// Try a trade as the application and require that the guard lets it by.
    ProveResume,
    /// Capture evidence under that name.
    CollectEvidence {
        /// Name of the collector, for instance `sessions`, `roles`, `guard`, `env-digests`.
        what: String,
    },
    /// Cancel the open orders that were placed with the credential, while its key still works.
    CancelOrders {
        /// The credential.
        credential: CredentialId,
    },
    /// Read the current value from its stores, make the new one, seal both: nothing outside our home changes.
    StageCredential {
        /// The credential.
        credential: CredentialId,
        /// Counts its rotations within the incident, from 1: one that is staged already is not staged again.
        generation: u32,
    },
    /// Make the issuer honour the new value.
    IssueCredential {
        /// The credential.
        credential: CredentialId,
    },
    /// Write the new value to the n-th store of its policy.
    StoreCredential {
        /// The credential.
        credential: CredentialId,
        /// Index into `kept`.
        store: usize,
    },
    /// Drop the old value from the n-th store (Secrets Manager's previous and pending versions).
    RetireStored {
        /// The credential.
        credential: CredentialId,
        /// Index into `kept`.
        store: usize,
    },
    /// Restart or signal a service, so that it uses what the stores now hold.
    RestartService {
        /// Name in `credentials.yml`.
        service: String,
    },
    /// Make the issuer refuse the old value and end its sessions.
    RevokeCredential {
        /// The credential.
        credential: CredentialId,
    },
    /// New value accepted, old value refused, by the server that honours them.
    ProveCredential {
        /// The credential.
        credential: CredentialId,
    },
    /// A person must do it and attest it.
    Manual {
        /// The credential it is about, if any.
        credential: Option<CredentialId>,
        /// What to do, in the policy's words.
        instructions: String,
    },
    /// Stop a service.
    StopService {
        /// Name in `credentials.yml`.
        service: String,
    },
    /// Put the backup back.
    RestoreBackup {
        /// Path of the backup.
        path: String,
    },
    /// Put rows that are not in the backup back, through the pause.
    ReplayRows {
        /// Digest of the list in the case's evidence.
        list: super::Digest,
    },
    /// Check that the restored database is whole.
    ValidateRestore {
        /// Path of the backup that was restored.
        path: String,
    },
}

impl Action {
    /// The credential that it is about.
    pub fn credential(&self) -> Option<&CredentialId> {
        match self {
            Self::CancelOrders { credential }
            | Self::StageCredential { credential, .. }
            | Self::IssueCredential { credential }
            | Self::StoreCredential { credential, .. }
            | Self::RetireStored { credential, .. }
            | Self::RevokeCredential { credential }
            | Self::ProveCredential { credential } => Some(credential),
            Self::Manual { credential, .. } => credential.as_ref(),
            Self::EngageSwitch { .. }
            | Self::ProvePause
            | Self::ReleaseSwitch { .. }
            | Self::ProveResume
            | Self::CollectEvidence { .. }
            | Self::RestartService { .. }
            | Self::StopService { .. }
            | Self::RestoreBackup { .. }
            | Self::ReplayRows { .. }
            | Self::ValidateRestore { .. } => None,
        }
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// Unique within the incident, the same on every run of the same plan.
    pub id: StepId,
    /// Phase.
    pub phase: Phase,
    /// What it acts on, for people.
    pub target: String,
    /// What it does.
    pub action: Action,
    /// Steps that must have ended (in any way) before this one starts.
    pub after: Vec<StepId>,
    /// Steps that must have ended well before this one may start; else this one is `skipped`, with the reason.
    pub needs: Vec<StepId>,
    /// Bound on the whole step, in milliseconds.
    pub timeout_ms: u64,
}

/// What a planner returns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Steps; order is only for display, `after` and `needs` rule.
    pub steps: Vec<StepSpec>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Acted, and verified.
    Done,
    /// Observed to be so already; nothing was done.
    Already,
    /// Did not happen.
    Failed,
    /// May or may not have happened (a reply was lost, or time ran out).
    Unknown,
    /// A person has to do it.
    Manual,
    /// Not tried, since a step that it needs did not end well.
    Skipped,
}

impl Outcome {
    /// Whether the step's goal is reached.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Done | Self::Already)
    }

    /// The name as outputs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Already => "already",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Manual => "manual",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a step went: the `step` record of `--format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step.
    pub id: StepId,
    /// Its phase.
    pub phase: Phase,
    /// What it acted on.
    pub target: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Milliseconds from intent to outcome.
    pub elapsed_ms: u64,
    /// What was seen, in words. Never a secret.
    pub detail: String,
}
