//! DSSE envelopes: the audit record as other tools check it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::domain::Digest;

/// `payloadType` of an in-toto Statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Why an envelope is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not of the documented form, or written in another way than this program writes it.
    #[error("it is not a DSSE envelope as this program writes it")]
    Malformed,
    /// Another type.
    #[error("its payload type is `{0}`, not `{PAYLOAD_TYPE}`")]
    PayloadType(String),
    /// Another payload.
    #[error("its payload is not the audit record")]
    Payload,
    /// Signed by another key, or not at all.
    #[error("it is not signed by the machine key that the ledger names")]
    Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    keyid: String,
    sig: String,
}

/// The bytes that are signed: DSSE's pre-authentication encoding, version 1.
pub fn pae(payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// An envelope over the record with one signature over [`pae`]. It lets other tools check what the machine exported;
/// it never counts towards the quorum.
pub fn envelope(record: &[u8], public: &[u8; 32], signature: &[u8; 64]) -> Vec<u8> {
    let envelope = Envelope {
        payload: STANDARD.encode(record),
        payload_type: PAYLOAD_TYPE.into(),
        signatures: vec![EnvelopeSignature { keyid: Digest::of(public).to_string(), sig: STANDARD.encode(signature) }],
    };
    // Strings only: this can't fail.
    let mut bytes = serde_json::to_vec(&envelope).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Whether the file is an envelope over exactly this record by this key.
pub fn verify(file: &[u8], record: &[u8], public: &[u8; 32]) -> Result<(), EnvelopeError> {
    let read: Envelope = serde_json::from_slice(file).map_err(|_| EnvelopeError::Malformed)?;
    if read.payload_type != PAYLOAD_TYPE {
        return Err(EnvelopeError::PayloadType(read.payload_type.escape_debug().take(80).collect()));
    }
    if read.payload != STANDARD.encode(record) {
        return Err(EnvelopeError::Payload);
    }
    let [signature] = read.signatures.as_slice() else { return Err(EnvelopeError::Signature) };
    let signature = STANDARD
        .decode(&signature.sig)
        .ok()
        .and_then(|bytes| <[u8; 64]>::try_from(bytes).ok())
        .ok_or(EnvelopeError::Signature)?;
    UnparsedPublicKey::new(&ED25519, public).verify(&pae(record), &signature).map_err(|_| EnvelopeError::Signature)?;
    if envelope(record, public, &signature) == file { Ok(()) } else { Err(EnvelopeError::Malformed) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    fn pair(seed: u8) -> (Ed25519KeyPair, [u8; 32]) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        (pair, public)
    }

    fn signed(record: &[u8]) -> (Vec<u8>, [u8; 32]) {
        let (pair, public) = pair(5);
        (envelope(record, &public, &pair.sign(&pae(record)).as_ref().try_into().unwrap()), public)
    }

    #[test]
    fn the_encoding_is_the_specifications() {
        assert_eq!(pae(b"hello"), b"DSSEv1 28 application/vnd.in-toto+json 5 hello");
    }

    #[test]
    fn no_changed_byte_passes() {
        let (file, public) = signed(b"{\"a\":1}");
        verify(&file, b"{\"a\":1}", &public).unwrap();
        for place in 0..file.len() {
            let mut bad = file.clone();
            bad[place] ^= 1;
            assert!(verify(&bad, b"{\"a\":1}", &public).is_err(), "byte {place}");
        }
        assert_eq!(verify(&file, b"{\"a\":2}", &public), Err(EnvelopeError::Payload));
        assert_eq!(verify(&file, b"{\"a\":1}", &pair(6).1), Err(EnvelopeError::Signature));
        let text = String::from_utf8(file).unwrap();
        let other = text.replace("vnd.in-toto", "vnd.other");
        assert!(matches!(verify(other.as_bytes(), b"{\"a\":1}", &public), Err(EnvelopeError::PayloadType(_))));
    }

    #[test]
    fn openssl_verifies_the_signature() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let (file, public) = signed(b"record");
        let read: Envelope = serde_json::from_slice(&file).unwrap();
        let mut der = hex::decode("302a300506032b6570032100").unwrap();
        der.extend_from_slice(&public);
        std::fs::write(at("key.der"), der).unwrap();
        std::fs::write(at("pae"), pae(b"record")).unwrap();
        std::fs::write(at("sig"), STANDARD.decode(&read.signatures[0].sig).unwrap()).unwrap();
        let output = Command::new("openssl")
            .args(["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", &at("key.der"), "-rawin"])
            .args(["-in", &at("pae"), "-sigfile", &at("sig")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
