//! The machine's Ed25519 key in `$PORTCULLIS_HOME/machine.key`: PKCS#8 version 1 (RFC 8410) in PEM, mode 0600.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::confined::Confined;
use crate::domain::FingerprintKey;
use crate::ports::{Fault, FaultKind, MachineKey};

const NAME: &str = "machine.key";
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "\n-----END PRIVATE KEY-----\n";

/// DER in front of the 32 bytes of the seed (RFC 8410, section 7): version 0, id-Ed25519, two octet strings.
const PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The machine's key, in memory.
pub struct MachineKeyFile {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for MachineKeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MachineKeyFile({})", hex::encode(self.public()))
    }
}

impl MachineKeyFile {
    /// Reads the key below `home`; `NotFound` if there is none, `Denied` if group or others could read it.
    pub fn open(home: &Path) -> Result<Self, Fault> {
        let path = home.join(NAME);
        let folder = Confined::open(home, false)?;
        let Some(bytes) = folder.read(NAME)?.map(Zeroizing::new) else {
            return Err(Fault::new(FaultKind::NotFound, format!("there is no machine key at {}", path.display())));
        };
        let found =
            std::fs::symlink_metadata(&path).map_err(|error| super::confined::fault("look at", &path, error))?;
        if found.mode() & 0o077 != 0 {
            let message = format!(
                "{} can be read by others (mode {:o}): it must be 0600, and may have leaked",
                path.display(),
                found.mode() & 0o777
            );
            return Err(Fault::new(FaultKind::Denied, message));
        }
        Self::parse(&bytes).ok_or_else(|| {
            Fault::new(FaultKind::Corrupt, format!("{} is not an Ed25519 key in PKCS#8 PEM", path.display()))
        })
    }

    /// Reads the key below `home`, and makes it (with the folder) if there is none.
    pub fn open_or_create(home: &Path) -> Result<Self, Fault> {
        let folder = Confined::open(home, true)?;
        if folder.read(NAME)?.is_none() {
            let mut seed = Zeroizing::new([0; 32]);
            SystemRandom::new()
                .fill(&mut *seed)
                .map_err(|_| Fault::new(FaultKind::Unavailable, "the system gives no random bytes"))?;
            let mut der = Zeroizing::new(PREFIX.to_vec());
            der.extend_from_slice(&*seed);
            let text = Zeroizing::new(format!("{BEGIN}{}{END}", *Zeroizing::new(STANDARD.encode(&*der))));
            // Two processes at once: the file that was there first stays.
            folder.write_new(NAME, text.as_bytes())?;
        }
        Self::open(home)
    }

    fn parse(pem: &[u8]) -> Option<Self> {
        let body = std::str::from_utf8(pem).ok()?.strip_prefix(BEGIN)?.strip_suffix(END)?;
        let der = Zeroizing::new(STANDARD.decode(body).ok()?);
        let seed = Zeroizing::new(<[u8; 32]>::try_from(der.strip_prefix(&PREFIX)?).ok()?);
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).ok()?;
        Some(Self { pair, seed })
    }

    /// Key under which values are sealed (see [`super::vault`]); derived, so that there is one secret to keep.
    pub fn sealing_key(&self) -> Zeroizing<[u8; 32]> {
        self.derive(b"portcullis sealed values v1")
    }

    /// HKDF (RFC 5869) with SHA-256 over the seed.
    fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let secret = Salt::new(HKDF_SHA256, b"portcullis machine key").extract(&*self.seed);
        // Can't fail: 32 bytes is one block of SHA-256, and the length asked for is that of the buffer.
        if let Ok(okm) = secret.expand(&[purpose], HKDF_SHA256) {
            let _ = okm.fill(&mut *key);
        }
        key
    }
}

impl MachineKey for MachineKeyFile {
    fn public(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        key
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }

    fn fingerprints(&self) -> FingerprintKey {
        FingerprintKey::new(&*self.derive(b"portcullis fingerprints v1"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_reads_back() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().join("new");
        assert_eq!(MachineKeyFile::open_or_create(Path::new("/proc/nowhere")).unwrap_err().kind, FaultKind::NotFound);
        let first = MachineKeyFile::open_or_create(&home).unwrap();
        let second = MachineKeyFile::open_or_create(&home).unwrap();
        assert_eq!(first.public(), second.public());
        assert_eq!(first.sealing_key(), second.sealing_key());
        assert_ne!(*first.sealing_key(), [0; 32]);
        assert_ne!(first.sealing_key(), first.derive(b"other"));
        let value = "hunter2";
        assert_eq!(first.fingerprints().fingerprint(value), second.fingerprints().fingerprint(value));
        assert!(!format!("{first:?}").contains(&hex::encode(*first.seed)));
    }

    #[test]
    fn openssl_reads_it_and_verifies_its_signatures() {
        let home = tempfile::tempdir().unwrap();
        let key = MachineKeyFile::open_or_create(home.path()).unwrap();
        let at = |name: &str| home.path().join(name).display().to_string();
        std::fs::write(at("message"), b"hello").unwrap();
        std::fs::write(at("signature"), key.sign(b"hello")).unwrap();
        let run = |args: &[&str]| Command::new("openssl").args(args).output().unwrap();
        let public = run(&["pkey", "-in", &at("machine.key"), "-pubout", "-out", &at("public.pem")]);
        assert!(public.status.success(), "{public:?}");
        let (public, message, signature) = (at("public.pem"), at("message"), at("signature"));
        let verify = run(&[
            "pkeyutl", "-verify", "-pubin", "-inkey", &public, "-rawin", "-in", &message, "-sigfile", &signature,
        ]);
        assert!(verify.status.success(), "{verify:?}");
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_damaged_is_refused() {
        let home = tempfile::tempdir().unwrap();
        MachineKeyFile::open_or_create(home.path()).unwrap();
        let path = home.path().join(NAME);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(MachineKeyFile::open(home.path()).unwrap_err().kind, FaultKind::Denied);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        MachineKeyFile::open(home.path()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for damaged in [text.replace("MC4C", "MC4B"), text.replace("PRIVATE", "PUBLIC"), text[..80].to_owned()] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(MachineKeyFile::open(home.path()).unwrap_err().kind, FaultKind::Corrupt);
        }
    }
}
