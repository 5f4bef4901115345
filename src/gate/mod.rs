//! The resume gate: pure decisions, each written once.

mod allowed_signers;
mod approval;
mod build;
mod conditions;
mod decide;
#[cfg(test)]
mod differential_tests;
pub mod dsse;
#[cfg(test)]
pub(crate) mod fixture;
mod later;
#[cfg(test)]
mod model_tests;
mod quorum;
#[cfg(test)]
mod refusal_tests;
mod risks;
mod roster;
mod sshkey;
mod sshsig;
mod standing;
pub mod statement;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod vector_tests;
mod wire;

pub use allowed_signers::allowed_signers;
pub use build::{BuildError, Facts, build};
pub use decide::{GateInput, Live, LiveCredential, POLICIES, RECORD, is_open, may_resume};
pub use quorum::{Ballot, Conflicts, MAX_APPROVALS, Quorum, SignatureFile, count, refusers, with_cause};
pub use roster::{ApprovalError, Approved, Required, Roster, RosterError};
pub use sshkey::{KeyError, MAX_KEY_LINE, PublicKey};
pub use sshsig::{
    BREAK_GLASS_NAMESPACE, MAX_SIGNATURE_BYTES, NAMESPACE, Purpose, REFUSAL_NAMESPACE, SignatureError, SshSignature,
    agent_request, armored,
};
pub use standing::{attested_after, last_restore, scan_stands, watch_runs};
pub use statement::{RecordError, Statement};
