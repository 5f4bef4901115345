use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::domain::{Digest, DigestContext, IncidentId, ed25519};

/// Longest checkpoint that is read, in bytes.
pub const MAX_CHECKPOINT_BYTES: usize = 4096;

/// Signature type of Ed25519 in a C2SP signed note.
const ED25519_TYPE: u8 = 1;

/// Start of a signature line: an em dash and a space.
pub(super) const DASH: &str = "\u{2014} ";

/// Why a checkpoint or a verifier key can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not of the documented form.
    #[error("it is not a signed note with a checkpoint: {0}")]
    Malformed(&'static str),
    /// Of another log.
    #[error("it belongs to `{found}`, not to `{expected}`")]
    Origin {
        /// Origin line of the checkpoint.
        found: String,
        /// Origin that was asked for.
        expected: String,
    },
    /// No signature by the key that the ledger names.
    #[error("it has no signature by the machine key that the ledger names")]
    Unsigned,
    /// The signature does not verify.
    #[error("its signature does not verify")]
    Signature,
    /// The verifier key is not of the form `name+hash+key`.
    #[error("the verifier key is not of the form name+hash+key: {0}")]
    Key(&'static str),
}

/// Origin of a case's ledger: `portcullis/<incident>`; also the name of the key that signs its checkpoints.
pub fn origin(incident: &IncidentId) -> String {
    format!("portcullis/{incident}")
}

/// A C2SP signed-note verifier key for Ed25519: `name+hash+base64(0x01 || key)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// The machine's key for one incident.
    pub fn new(incident: &IncidentId, public: [u8; 32]) -> Self {
        Self { name: origin(incident), public }
    }

    /// Name: the origin of the ledger that it signs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Raw public key (RFC 8032).
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// First 4 bytes of SHA-256 over name, line feed, signature type and key.
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, ED25519_TYPE, &self.public)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519_TYPE];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let (name, public) = parse_key(text, ED25519_TYPE, "the key is not an Ed25519 key")?;
        Ok(Self { name, public })
    }
}

/// First 4 bytes of SHA-256 over name, line feed, signature type and key (C2SP signed-note).
pub(super) fn key_id(name: &str, kind: u8, public: &[u8; 32]) -> [u8; 4] {
    let mut context = DigestContext::new();
    for part in [name.as_bytes(), b"\n", &[kind], public] {
        context.update(part);
    }
    let hash = context.finish().0;
    [hash[0], hash[1], hash[2], hash[3]]
}

/// Name and public key of a verifier key `name+hash+base64(type || key)` of that signature type; `other` says what a key of
/// another type is not.
pub(super) fn parse_key(text: &str, kind: u8, other: &'static str) -> Result<(String, [u8; 32]), CheckpointError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(CheckpointError::Key("two `+` are needed"));
    };
    let key = STANDARD.decode(key).map_err(|_| CheckpointError::Key("the key is not base64"))?;
    let (_, key) = key.split_first().filter(|(first, _)| **first == kind).ok_or(CheckpointError::Key(other))?;
    let public = key.try_into().map_err(|_| CheckpointError::Key("the key is not 32 bytes long"))?;
    if ed25519::is_weak(&public) || !ed25519::is_reduced(&public) {
        return Err(CheckpointError::Key("it is a weak Ed25519 key, for which anybody can sign"));
    }
    if name.is_empty() || hex::encode(key_id(name, kind, &public)) != id {
        return Err(CheckpointError::Key("the hash does not belong to the key"));
    }
    Ok((name.to_owned(), public))
}

/// Head of a ledger: how many entries, and the RFC 6962 root over them (C2SP tlog-checkpoint).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// `portcullis/<incident>`.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root over them.
    pub root: Digest,
}

impl Checkpoint {
    /// The bytes that are signed: three lines.
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// The signed note: body, empty line, one signature line.
    pub fn encode(&self, key: &VerifierKey, signature: &[u8; 64]) -> String {
        let mut blob = key.id().to_vec();
        blob.extend_from_slice(signature);
        format!("{}\n{DASH}{} {}\n", self.body(), key.name, STANDARD.encode(blob))
    }

    /// Reads a signed note and verifies its one signature by `key`. Any second spelling of the same note is refused.
    pub fn verify(note: &[u8], key: &VerifierKey) -> Result<Self, CheckpointError> {
        if note.len() > MAX_CHECKPOINT_BYTES {
            return Err(CheckpointError::Malformed("it is too long"));
        }
        let text = std::str::from_utf8(note).map_err(|_| CheckpointError::Malformed("it is not UTF-8"))?;
        let (head, signatures) = text.split_once("\n\n").ok_or(CheckpointError::Malformed("there is no empty line"))?;
        let mut lines = head.split('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Malformed("the body does not have three lines"));
        };
        if origin != key.name {
            let found = origin.chars().take(80).collect();
            return Err(CheckpointError::Origin { found, expected: key.name.clone() });
        }
        let root = STANDARD
            .decode(root)
            .ok()
            .and_then(|root| root.try_into().ok())
            .map(Digest)
            .ok_or(CheckpointError::Malformed("the root is not 32 bytes in base64"))?;
        let size = size.parse().map_err(|_| CheckpointError::Malformed("the size is not a number"))?;
        let checkpoint = Self { origin: origin.to_owned(), size, root };
        let blob = signatures
            .strip_prefix(DASH)
            .and_then(|line| line.strip_suffix('\n'))
            .and_then(|line| line.split_once(' '))
            .filter(|(name, _)| *name == key.name)
            .ok_or(CheckpointError::Unsigned)?
            .1;
        let blob = STANDARD.decode(blob).map_err(|_| CheckpointError::Unsigned)?;
        let signature: &[u8; 64] =
            blob.strip_prefix(&key.id()).and_then(|rest| rest.try_into().ok()).ok_or(CheckpointError::Unsigned)?;
        UnparsedPublicKey::new(&ED25519, key.public)
            .verify(checkpoint.body().as_bytes(), signature)
            .map_err(|_| CheckpointError::Signature)?;
        // What was verified is our spelling of the body; the file must be exactly that.
        if checkpoint.encode(key, signature).as_bytes() != note {
            return Err(CheckpointError::Malformed("it is written in another way than this program writes it"));
        }
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn signed(incident: &str, size: u64) -> (VerifierKey, String) {
        let pair = pair();
        let incident = IncidentId::new(incident).unwrap();
        let key = VerifierKey::new(&incident, pair.public_key().as_ref().try_into().unwrap());
        let checkpoint = Checkpoint { origin: origin(&incident), size, root: Digest::of(b"x") };
        let signature: [u8; 64] = pair.sign(checkpoint.body().as_bytes()).as_ref().try_into().unwrap();
        let note = checkpoint.encode(&key, &signature);
        (key, note)
    }

    #[test]
    fn a_verifier_key_of_the_go_note_package_reads_back() {
        // The example key of the signed-note specification's reference implementation.
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key: VerifierKey = text.parse().unwrap();
        assert_eq!(key.name(), "PeterNeumann");
        assert_eq!(key.to_string(), text);
        assert!(text.replace("c74f", "c74e").parse::<VerifierKey>().is_err());
        assert!("a+b".parse::<VerifierKey>().is_err());
    }

    #[test]
    fn a_key_for_which_anybody_can_sign_is_none() {
        let incident = IncidentId::new("inc-1").unwrap();
        let mut one = [0; 32];
        one[0] = 1;
        let mut not_reduced = [0xff; 32];
        not_reduced[0] = 0xf0;
        for point in [one, [0; 32], not_reduced] {
            let parsed = VerifierKey::new(&incident, point).to_string().parse::<VerifierKey>();
            assert!(matches!(parsed, Err(CheckpointError::Key(why)) if why.contains("weak")), "{point:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_looked_at() {
        let (key, _) = signed("inc-1", 12);
        let said = |length: usize| Checkpoint::verify(&vec![b'x'; length], &key).unwrap_err();
        assert_eq!(said(MAX_CHECKPOINT_BYTES + 1), CheckpointError::Malformed("it is too long"));
        assert_eq!(said(MAX_CHECKPOINT_BYTES), CheckpointError::Malformed("there is no empty line"));
        assert_eq!(key.public(), pair().public_key().as_ref());
    }

    #[test]
    fn a_signed_note_reads_back_and_belongs_to_one_incident() {
        let (key, note) = signed("inc-1", 12);
        let checkpoint = Checkpoint::verify(note.as_bytes(), &key).unwrap();
        assert_eq!(checkpoint.size, 12);
        assert!(note.starts_with("portcullis/inc-1\n12\n"));
        let (other, _) = signed("inc-2", 12);
        assert!(matches!(Checkpoint::verify(note.as_bytes(), &other), Err(CheckpointError::Origin { .. })));
    }

    #[test]
    fn no_changed_byte_and_no_second_spelling_passes() {
        let (key, note) = signed("inc-1", 12);
        for place in 0..note.len() {
            for bit in 0..8 {
                let mut changed = note.clone().into_bytes();
                changed[place] ^= 1 << bit;
                assert!(Checkpoint::verify(&changed, &key).is_err(), "byte {place} bit {bit}");
            }
        }
        for changed in [
            note.replace("\n12\n", "\n012\n"),
            note.replace("\n12\n", "\n+12\n"),
            format!("{note}\n"),
            format!("{note}{DASH}x AAAA\n"),
            note.replacen('\n', "\r\n", 1),
            note[..note.len() - 1].to_owned(),
            String::new(),
        ] {
            assert!(Checkpoint::verify(changed.as_bytes(), &key).is_err(), "{changed:?}");
        }
    }
}
