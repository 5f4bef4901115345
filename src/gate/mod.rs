//! The resume gate: pure decisions, each written once.

mod allowed_signers;
mod build;
mod conditions;
mod decide;
pub mod dsse;
#[cfg(test)]
pub(crate) mod fixture;
mod quorum;
mod sshkey;
mod sshsig;
pub mod statement;
#[cfg(test)]
pub(crate) mod testing;
mod wire;

pub use allowed_signers::allowed_signers;
pub use build::{BuildError, Facts, build};
pub use decide::{GateInput, Live, LiveCredential, POLICIES, RECORD, is_open, may_resume};
pub use quorum::{
    ApprovalError, Approved, Conflicts, MAX_APPROVALS, Quorum, Roster, RosterError, SignatureFile, count, with_cause,
};
pub use sshkey::{KeyError, MAX_KEY_LINE, PublicKey};
pub use sshsig::{MAX_SIGNATURE_BYTES, NAMESPACE, SignatureError, SshSignature};
pub use statement::{RecordError, Statement};
