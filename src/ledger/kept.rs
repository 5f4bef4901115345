//! Copies of checkpoints that were kept outside the case folder, held against the ledger of now: each is a promise about the
//! past, and a ledger that was cut, forked or rewritten since breaks it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::checkpoint::{DASH, key_id, parse_key};
use super::merkle::Tree;
use super::{Checkpoint, CheckpointError, MAX_CHECKPOINT_BYTES, VerifierKey};
use crate::domain::Digest;

/// Signature type of a cosignature in a C2SP signed note (tlog-cosignature).
const COSIGNATURE_TYPE: u8 = 4;

/// Most signature lines of a note that are looked at.
const MAX_SIGNATURES: usize = 16;

/// What became of the ledger since a copy of its checkpoint was kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeptError {
    /// The copy itself can't be used.
    #[error("a kept copy can't be used")]
    Copy(#[source] CheckpointError),
    /// Entries are gone.
    #[error("TRUNCATED: the kept checkpoint covers {kept} entries, the ledger has {entries}")]
    Truncated {
        /// Entries that the copy covers.
        kept: u64,
        /// Entries of the ledger.
        entries: u64,
    },
    /// The same key signed two histories.
    #[error(
        "FORKED: the machine's key signed another history too; of {size} entries the kept checkpoint has root {kept}, the ledger {found}"
    )]
    Forked {
        /// Entries that the copy covers.
        size: u64,
        /// Root of the copy.
        kept: Digest,
        /// Root of the ledger's first entries.
        found: Digest,
    },
    /// Another key sealed the history.
    #[error(
        "REWRITTEN: the kept checkpoint is signed by another key than the ledger names now ({key}); the ledger was sealed anew"
    )]
    Rewritten {
        /// Key that the ledger names.
        key: String,
    },
    /// A witness's own signature is missing or bad.
    #[error("the copy has no valid cosignature by {0}")]
    Cosignature(String),
}

/// One signature line of a note.
struct Line<'a> {
    name: &'a str,
    text: &'a str,
    blob: Vec<u8>,
}

/// A note with any number of signatures: its body with the last line feed, and the lines.
fn lines(note: &[u8]) -> Result<(&str, Vec<Line<'_>>), CheckpointError> {
    if note.len() > MAX_CHECKPOINT_BYTES {
        return Err(CheckpointError::Malformed("it is too long"));
    }
    let text = std::str::from_utf8(note).map_err(|_| CheckpointError::Malformed("it is not UTF-8"))?;
    let at = text.find("\n\n").ok_or(CheckpointError::Malformed("there is no empty line"))?;
    let (body, signatures) = (&text[..=at], &text[at + 2..]);
    let signatures = signatures.strip_suffix('\n').ok_or(CheckpointError::Malformed("its last line has no end"))?;
    let mut found = Vec::new();
    for text in signatures.split('\n') {
        let line = text.strip_prefix(DASH).and_then(|line| line.split_once(' '));
        let (name, blob) = line.ok_or(CheckpointError::Malformed("a signature line is not of the documented form"))?;
        let blob = STANDARD.decode(blob).map_err(|_| CheckpointError::Malformed("a signature is not base64"))?;
        found.push(Line { name, text, blob });
        if found.len() > MAX_SIGNATURES {
            return Err(CheckpointError::Malformed("it has too many signatures"));
        }
    }
    Ok((body, found))
}

/// The checkpoint in a kept copy, which others may have signed beside the machine.
fn machine_checkpoint(note: &[u8], key: &VerifierKey) -> Result<Checkpoint, KeptError> {
    let (body, found) = lines(note).map_err(KeptError::Copy)?;
    let origin = body.split('\n').next().unwrap_or_default();
    if origin != key.name() {
        let found = origin.chars().take(80).collect();
        return Err(KeptError::Copy(CheckpointError::Origin { found, expected: key.name().to_owned() }));
    }
    let ours: Vec<&Line<'_>> = found.iter().filter(|line| line.name == key.name()).collect();
    let Some(line) = ours.iter().find(|line| line.blob.starts_with(&key.id())) else {
        // Somebody signed for this log, but not the key that the ledger names now.
        return Err(if ours.is_empty() {
            KeptError::Copy(CheckpointError::Unsigned)
        } else {
            KeptError::Rewritten { key: key.to_string() }
        });
    };
    let alone = format!("{body}\n{}\n", line.text);
    Checkpoint::verify(alone.as_bytes(), key).map_err(KeptError::Copy)
}

/// Holds kept copies of checkpoints against the ledger. The number of entries that the newest of them covers; none if there
/// is no copy.
pub fn compare(tree: &Tree, key: &VerifierKey, notes: &[Vec<u8>]) -> Result<Option<u64>, KeptError> {
    let mut kept = notes.iter().map(|note| machine_checkpoint(note, key)).collect::<Result<Vec<_>, _>>()?;
    kept.sort_by_key(|checkpoint| checkpoint.size);
    for checkpoint in &kept {
        let Some(found) = tree.root_at(checkpoint.size) else {
            return Err(KeptError::Truncated { kept: checkpoint.size, entries: tree.size() });
        };
        if found != checkpoint.root {
            return Err(KeptError::Forked { size: checkpoint.size, kept: checkpoint.root, found });
        }
    }
    Ok(kept.last().map(|checkpoint| checkpoint.size))
}

/// A witness's verifier key: C2SP signed-note, of type 4 (tlog-cosignature).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignerKey {
    name: String,
    public: [u8; 32],
}

impl std::str::FromStr for CosignerKey {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let (name, public) = parse_key(text, COSIGNATURE_TYPE, "the key is not of a witness (type 4)")?;
        Ok(Self { name, public })
    }
}

impl CosignerKey {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> [u8; 4] {
        key_id(&self.name, COSIGNATURE_TYPE, &self.public)
    }

    /// Whether this witness signed the note: a time of 8 bytes and an Ed25519 signature over that time and the body.
    pub fn verify(&self, note: &[u8]) -> Result<(), KeptError> {
        let (body, found) = lines(note).map_err(KeptError::Copy)?;
        let signed = found.iter().filter(|line| line.name == self.name).any(|line| {
            let Some(rest) = line.blob.strip_prefix(&self.id()) else { return false };
            let Some((time, signature)) = rest.split_first_chunk::<8>() else { return false };
            let message = format!("cosignature/v1\ntime {}\n{body}", u64::from_be_bytes(*time));
            UnparsedPublicKey::new(&ED25519, self.public).verify(message.as_bytes(), signature).is_ok()
        });
        if signed { Ok(()) } else { Err(KeptError::Cosignature(self.name.clone())) }
    }
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
