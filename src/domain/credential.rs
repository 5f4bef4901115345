use std::fmt;

use ring::hmac;
use serde::{Deserialize, Serialize};

/// What the server that honours a credential said to a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "probe", rename_all = "lowercase", deny_unknown_fields)]
pub enum Probe {
    /// The value is honoured.
    Accepted,
    /// The value is refused, for the reason that matters (not merely "could not reach").
    Refused {
        /// The server's own code or words.
        reason: String,
    },
    /// The probe can't tell: for instance a `trust` line in `pg_hba.conf` lets any password in.
    Meaningless {
        /// Why.
        reason: String,
    },
}

/// A keyed hash of a secret value with its first characters: says "the same value" without saying which.
/// Made by [`FingerprintKey::fingerprint`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The text, for instance `fp:3f2a9c01d4e5b6a7`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key under which fingerprints are made: without it, a fingerprint can't be matched by guessing values.
pub struct FingerprintKey(hmac::Key);

impl FingerprintKey {
    /// From key bytes (derived from the machine's key).
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// HMAC-SHA-256 (RFC 2104), cut to 64 bits.
    pub fn fingerprint(&self, value: &str) -> Fingerprint {
        let tag = hmac::sign(&self.0, value.as_bytes());
        Fingerprint(format!("fp:{}", hex::encode(&tag.as_ref()[..8])))
    }
}
