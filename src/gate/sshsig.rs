use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, SHA512, digest};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

use super::sshkey::{KeyError, Kind, PublicKey};
use super::wire::{Reader, put};

/// Namespace of approvals: a signature made for anything else (`git`, `file`) never counts.
pub const NAMESPACE: &str = "portcullis-resume-v1";

/// Namespace of approvals of a break-glass record.
pub const BREAK_GLASS_NAMESPACE: &str = "portcullis-break-glass-v1";

/// Namespace of refusals.
pub const REFUSAL_NAMESPACE: &str = "portcullis-refuse-v1";

/// What a signature was made for. Each purpose has a namespace of its own, so that none passes for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// To let trading resume on a record.
    Resume,
    /// To let trading resume on a record that waives checks.
    BreakGlass,
    /// To refuse the record.
    Refuse,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Resume, Self::BreakGlass, Self::Refuse];

    /// Its SSHSIG namespace.
    pub fn namespace(self) -> &'static str {
        match self {
            Self::Resume => NAMESPACE,
            Self::BreakGlass => BREAK_GLASS_NAMESPACE,
            Self::Refuse => REFUSAL_NAMESPACE,
        }
    }
}

/// Longest signature file that is read, in bytes.
pub const MAX_SIGNATURE_BYTES: usize = 8 * 1024;

/// Letters a line of the armored form, as OpenSSH breaks it.
const ARMOR_WIDTH: usize = 70;

const MAGIC: &[u8] = b"SSHSIG";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";

/// User presence and user verification in the flags of a hardware key's signature (FIDO CTAP2, section 6.1).
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;

/// Why a signature is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Longer than [`MAX_SIGNATURE_BYTES`].
    #[error("it is longer than {MAX_SIGNATURE_BYTES} bytes")]
    TooLong,
    /// Not the armored form.
    #[error("it is not an armored SSH signature, as `ssh-keygen -Y sign` writes it")]
    Armor,
    /// The binary part is damaged.
    #[error("its binary part is damaged or has something behind its end")]
    Blob,
    /// A version other than 1.
    #[error("it has version {0}, only 1 is known")]
    Version(u32),
    /// Made for another purpose.
    #[error("it was made for the namespace `{found}`, not for `{expected}`")]
    Namespace {
        /// Namespace that it names.
        found: String,
        /// Namespace that was asked for.
        expected: &'static str,
    },
    /// The reserved field is not empty.
    #[error("its reserved field is not empty")]
    Reserved,
    /// A weak or unknown hash.
    #[error("it hashes with `{0}`: only sha256 and sha512 are accepted")]
    Hash(String),
    /// The key inside can't approve.
    #[error("its key can't approve")]
    Key(#[from] KeyError),
    /// Signature and key are of different types.
    #[error("its signature is not of its key's type")]
    Algorithm,
    /// It is not a signature over these bytes.
    #[error("it is not a signature over this record")]
    Invalid,
    /// A hardware key signed without being touched.
    #[error("the hardware key signed without anybody touching it")]
    NoPresence,
    /// Signed without PIN or fingerprint on a hardware key, which policy demands.
    #[error("no hardware key verified its user (PIN or fingerprint), which policy demands")]
    NoVerification,
}

/// A parsed SSH signature (OpenSSH's PROTOCOL.sshsig). Parsing alone proves nothing: see [`SshSignature::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSignature {
    key: PublicKey,
    purpose: Purpose,
    hash: &'static ring::digest::Algorithm,
    body: Vec<u8>,
    flags: u8,
    counter: u32,
}

impl SshSignature {
    /// Reads the armored form, strictly: nothing before or behind it, no field that this program does not check.
    pub fn parse(file: &[u8], purpose: Purpose) -> Result<Self, SignatureError> {
        let signature = Self::parse_any(file)?;
        if signature.purpose == purpose {
            return Ok(signature);
        }
        let found = signature.purpose.namespace().to_owned();
        Err(SignatureError::Namespace { found, expected: purpose.namespace() })
    }

    /// Reads it whatever purpose it was made for, if it is one of ours.
    pub fn parse_any(file: &[u8]) -> Result<Self, SignatureError> {
        if file.len() > MAX_SIGNATURE_BYTES {
            return Err(SignatureError::TooLong);
        }
        let text = std::str::from_utf8(file).map_err(|_| SignatureError::Armor)?;
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        if lines.next() != Some(BEGIN) || lines.next_back() != Some(END) {
            return Err(SignatureError::Armor);
        }
        let blob = STANDARD.decode(lines.collect::<String>()).map_err(|_| SignatureError::Armor)?;
        Self::parse_blob(&blob)
    }

    fn parse_blob(blob: &[u8]) -> Result<Self, SignatureError> {
        let mut reader = Reader::new(blob);
        if reader.take(MAGIC.len()) != Some(MAGIC) {
            return Err(SignatureError::Blob);
        }
        let version = reader.number().ok_or(SignatureError::Blob)?;
        if version != 1 {
            return Err(SignatureError::Version(version));
        }
        let mut field = || reader.string().ok_or(SignatureError::Blob);
        let (key, namespace, reserved, hash, signature) = (field()?, field()?, field()?, field()?, field()?);
        reader.end().ok_or(SignatureError::Blob)?;
        let key = PublicKey::from_blob(key)?;
        let purpose = Purpose::ALL.into_iter().find(|known| known.namespace().as_bytes() == namespace);
        let Some(purpose) = purpose else {
            return Err(SignatureError::Namespace { found: lossy(namespace), expected: NAMESPACE });
        };
        if !reserved.is_empty() {
            return Err(SignatureError::Reserved);
        }
        let hash = match hash {
            b"sha256" => &SHA256,
            b"sha512" => &SHA512,
            other => return Err(SignatureError::Hash(lossy(other))),
        };
        let mut inner = Reader::new(signature);
        if inner.string() != Some(key.algorithm.as_bytes()) {
            return Err(SignatureError::Algorithm);
        }
        let body = inner.string().ok_or(SignatureError::Blob)?.to_vec();
        let (flags, counter) = if key.is_hardware() {
            (inner.byte().ok_or(SignatureError::Blob)?, inner.number().ok_or(SignatureError::Blob)?)
        } else {
            (0, 0)
        };
        inner.end().ok_or(SignatureError::Blob)?;
        Ok(Self { key, purpose, hash, body, flags, counter })
    }

    /// The key that the file claims; only the roster says whose it is.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What it was made for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Verifies it over the exact bytes. A hardware key must have been touched. If `verification` is asked for, it must be by
    /// a hardware key that verified its user.
    pub fn verify(&self, message: &[u8], verification: bool) -> Result<(), SignatureError> {
        let mut signed = to_be_signed(self.purpose, self.hash, message);
        if let Some(application) = &self.key.application {
            let inner = digest(&SHA256, &signed);
            signed = digest(&SHA256, application.as_bytes()).as_ref().to_vec();
            signed.push(self.flags);
            signed.extend_from_slice(&self.counter.to_be_bytes());
            signed.extend_from_slice(inner.as_ref());
        }
        is_signed(&self.key.kind, &signed, &self.body)?;
        if self.key.is_hardware() && self.flags & PRESENT == 0 {
            return Err(SignatureError::NoPresence);
        }
        // An ordinary key verifies nobody, so that it can't stand in for one that must.
        if verification && self.flags & VERIFIED == 0 {
            return Err(SignatureError::NoVerification);
        }
        Ok(())
    }
}

/// Whether the body of an SSH signature (RFC 8709 section 6, RFC 5656 section 3.1.2) is one over these bytes by that key.
pub(super) fn is_signed(kind: &Kind, signed: &[u8], body: &[u8]) -> Result<(), SignatureError> {
    let verified = match kind {
        Kind::Ed25519 { point } => UnparsedPublicKey::new(&ED25519, point).verify(signed, body),
        Kind::P256 { point } => {
            let mut numbers = Reader::new(body);
            let (Some(r), Some(s), Some(())) = (numbers.scalar(), numbers.scalar(), numbers.end()) else {
                return Err(SignatureError::Blob);
            };
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, &[r, s].concat())
        }
    };
    verified.map_err(|_| SignatureError::Invalid)
}

/// The bytes that a key signs for a message (OpenSSH's PROTOCOL.sshsig).
fn to_be_signed(purpose: Purpose, hash: &'static ring::digest::Algorithm, message: &[u8]) -> Vec<u8> {
    let name: &[u8] = if hash == &SHA256 { b"sha256" } else { b"sha512" };
    let mut signed = MAGIC.to_vec();
    for part in [purpose.namespace().as_bytes(), b"", name, digest(hash, message).as_ref()] {
        put(&mut signed, part);
    }
    signed
}

/// What an agent is asked to sign for a message, with SHA-512.
pub fn agent_request(purpose: Purpose, message: &[u8]) -> Vec<u8> {
    to_be_signed(purpose, &SHA512, message)
}

/// The armored file around what an agent answered to [`agent_request`].
pub fn armored(key: &PublicKey, purpose: Purpose, signature: &[u8]) -> Vec<u8> {
    let mut blob = MAGIC.to_vec();
    blob.extend_from_slice(&1u32.to_be_bytes());
    for part in [key.blob(), purpose.namespace().as_bytes(), b"", b"sha512", signature] {
        put(&mut blob, part);
    }
    let text = STANDARD.encode(&blob);
    let mut out = format!("{BEGIN}\n");
    for (place, letter) in text.chars().enumerate() {
        if place > 0 && place % ARMOR_WIDTH == 0 {
            out.push('\n');
        }
        out.push(letter);
    }
    out.push('\n');
    out.push_str(END);
    out.push('\n');
    out.into_bytes()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_debug().take(60).collect()
}

#[cfg(test)]
#[path = "sshsig_tests.rs"]
mod tests;
