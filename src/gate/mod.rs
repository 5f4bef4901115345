//! The resume gate: pure decisions, each written once.

mod allowed_signers;
pub mod dsse;
mod quorum;
mod sshkey;
mod sshsig;
#[cfg(test)]
pub(crate) mod testing;
mod wire;

pub use allowed_signers::allowed_signers;
pub use quorum::{
    ApprovalError, Approved, Conflicts, MAX_APPROVALS, Quorum, Roster, RosterError, SignatureFile, count, with_cause,
};
pub use sshkey::{KeyError, MAX_KEY_LINE, PublicKey};
pub use sshsig::{MAX_SIGNATURE_BYTES, NAMESPACE, SignatureError, SshSignature};
