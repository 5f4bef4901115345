use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, SHA512, digest};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

use super::sshkey::{KeyError, Kind, PublicKey};
use super::wire::{Reader, put};

/// Namespace of approvals: a signature made for anything else (`git`, `file`) never counts.
pub const NAMESPACE: &str = "portcullis-resume-v1";

/// Longest signature file that is read, in bytes.
pub const MAX_SIGNATURE_BYTES: usize = 8 * 1024;

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
    #[error("it was made for the namespace `{0}`, not for `{NAMESPACE}`")]
    Namespace(String),
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
    /// A hardware key signed without PIN or fingerprint, which policy demands.
    #[error("the hardware key did not verify its user (PIN or fingerprint), which policy demands")]
    NoVerification,
}

/// A parsed SSH signature (OpenSSH's PROTOCOL.sshsig). Parsing alone proves nothing: see [`SshSignature::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSignature {
    key: PublicKey,
    namespace: String,
    hash: &'static ring::digest::Algorithm,
    body: Vec<u8>,
    flags: u8,
    counter: u32,
}

impl SshSignature {
    /// Reads the armored form, strictly: nothing before or behind it, no field that this program does not check.
    pub fn parse(file: &[u8]) -> Result<Self, SignatureError> {
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
        if namespace != NAMESPACE.as_bytes() {
            return Err(SignatureError::Namespace(lossy(namespace)));
        }
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
        Ok(Self { key, namespace: NAMESPACE.to_owned(), hash, body, flags, counter })
    }

    /// The key that the file claims; only the roster says whose it is.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Verifies it over the exact bytes. A hardware key must have been touched, and, if `verification` is asked for,
    /// must have verified its user.
    pub fn verify(&self, message: &[u8], verification: bool) -> Result<(), SignatureError> {
        let hash = if self.hash == &SHA256 { "sha256" } else { "sha512" };
        let mut signed = MAGIC.to_vec();
        put(&mut signed, self.namespace.as_bytes());
        put(&mut signed, b"");
        put(&mut signed, hash.as_bytes());
        put(&mut signed, digest(self.hash, message).as_ref());
        if let Some(application) = &self.key.application {
            let inner = digest(&SHA256, &signed);
            signed = digest(&SHA256, application.as_bytes()).as_ref().to_vec();
            signed.push(self.flags);
            signed.extend_from_slice(&self.counter.to_be_bytes());
            signed.extend_from_slice(inner.as_ref());
        }
        let verified = match &self.key.kind {
            Kind::Ed25519 { point } => UnparsedPublicKey::new(&ED25519, point).verify(&signed, &self.body),
            Kind::P256 { point } => {
                let mut numbers = Reader::new(&self.body);
                let (Some(r), Some(s), Some(())) = (numbers.scalar(), numbers.scalar(), numbers.end()) else {
                    return Err(SignatureError::Blob);
                };
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(&signed, &[r, s].concat())
            }
        };
        verified.map_err(|_| SignatureError::Invalid)?;
        if self.key.is_hardware() {
            if self.flags & PRESENT == 0 {
                return Err(SignatureError::NoPresence);
            }
            if verification && self.flags & VERIFIED == 0 {
                return Err(SignatureError::NoVerification);
            }
        }
        Ok(())
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_debug().take(60).collect()
}

#[cfg(test)]
#[path = "sshsig_tests.rs"]
mod tests;
