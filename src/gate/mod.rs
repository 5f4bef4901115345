//! The resume gate: pure decisions, each written once.

mod sshkey;
mod sshsig;
#[cfg(test)]
pub(crate) mod testing;
mod wire;

pub use sshkey::{KeyError, MAX_KEY_LINE, PublicKey};
pub use sshsig::{MAX_SIGNATURE_BYTES, NAMESPACE, SignatureError, SshSignature};
