//! Secret values sealed under the machine's key, in `$PORTCULLIS_HOME/sealed/`.
//!
//! A file holds 4 bytes `PCV1`, 12 bytes of random nonce, and the value under ChaCha20-Poly1305 (RFC 8439) with the
//! file's name as additional data, so that one sealed value can't be put in the place of another.

use std::path::{Path, PathBuf};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::confined::{Confined, is_temporary};
use crate::ports::{Fault, FaultKind, Vault};

const MAGIC: &[u8; 4] = b"PCV1";

/// Sealed values below one folder.
pub struct SealedFiles {
    folder: PathBuf,
    key: LessSafeKey,
    random: SystemRandom,
}

impl std::fmt::Debug for SealedFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedFiles({})", self.folder.display())
    }
}

impl SealedFiles {
    /// Values below `<home>/sealed`, under a key derived from the machine's
    /// (`MachineKeyFile::sealing_key`). Fails only if the key has the wrong length.
    pub fn new(home: &Path, key: &[u8; 32]) -> Result<Self, Fault> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key)
            .map_err(|_| Fault::new(FaultKind::Invalid, "the sealing key does not have 32 bytes"))?;
        Ok(Self { folder: home.join("sealed"), key: LessSafeKey::new(key), random: SystemRandom::new() })
    }

    /// The folder, if it was made already.
    fn existing(&self) -> Result<Option<Confined>, Fault> {
        match Confined::open(&self.folder, false) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.kind == FaultKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Vault for SealedFiles {
    fn seal(&self, name: &str, value: &SecretString) -> Result<(), Fault> {
        let folder = Confined::open(&self.folder, true)?;
        let mut nonce = [0; NONCE_LEN];
        self.random
            .fill(&mut nonce)
            .map_err(|_| Fault::new(FaultKind::Unavailable, "the system gives no random bytes"))?;
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&nonce);
        let mut body = Zeroizing::new(value.expose_secret().as_bytes().to_vec());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(name.as_bytes()), &mut body)
            .map_err(|_| Fault::new(FaultKind::Invalid, format!("the value of `{name}` is too long to seal")))?;
        file.extend_from_slice(&body);
        file.extend_from_slice(tag.as_ref());
        folder.write(name, &file)
    }

    fn open(&self, name: &str) -> Result<Option<SecretString>, Fault> {
        let Some(folder) = self.existing()? else { return Ok(None) };
        let Some(file) = folder.read(name)? else { return Ok(None) };
        let damaged = || Fault::new(FaultKind::Corrupt, format!("the sealed value `{name}` is damaged"));
        let sealed = file.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut body = Zeroizing::new(body.to_vec());
        let value = self.key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut body).map_err(|_| damaged())?;
        let value = std::str::from_utf8(value).map_err(|_| damaged())?;
        Ok(Some(SecretString::from(value)))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        let Some(folder) = self.existing()? else { return Ok(Vec::new()) };
        let mut names = folder.walk()?;
        // What a killed run was still writing is no sealed value.
        names.retain(|name| name.starts_with(prefix) && !is_temporary(name));
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_and_are_not_in_the_file() {
        let home = tempfile::tempdir().unwrap();
        let vault = SealedFiles::new(home.path(), &[1; 32]).unwrap();
        assert!(vault.open("inc/db/1/old").unwrap().is_none());
        assert!(vault.list("").unwrap().is_empty());
        vault.seal("inc/db/1/old", &SecretString::from("hunter2-hunter2")).unwrap();
        vault.seal("inc/db/1/new", &SecretString::from("")).unwrap();
        vault.seal("other/db/1/new", &SecretString::from("x")).unwrap();
        assert_eq!(vault.open("inc/db/1/old").unwrap().unwrap().expose_secret(), "hunter2-hunter2");
        assert_eq!(vault.open("inc/db/1/new").unwrap().unwrap().expose_secret(), "");
        assert_eq!(vault.list("inc/").unwrap(), ["inc/db/1/new", "inc/db/1/old"]);
        let file = std::fs::read(home.path().join("sealed/inc/db/1/old")).unwrap();
        assert!(!file.windows(7).any(|window| window == b"hunter2"));
        std::fs::write(home.path().join("sealed/inc/db/1/.new.4711.tmp"), "torn").unwrap();
        assert_eq!(vault.list("inc/").unwrap(), ["inc/db/1/new", "inc/db/1/old"]);
        assert!(vault.seal("../x", &SecretString::from("x")).is_err());
    }

    #[test]
    fn a_changed_byte_another_name_or_another_key_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let vault = SealedFiles::new(home.path(), &[1; 32]).unwrap();
        vault.seal("a", &SecretString::from("value")).unwrap();
        let path = home.path().join("sealed/a");
        let good = std::fs::read(&path).unwrap();
        std::fs::copy(&path, home.path().join("sealed/b")).unwrap();
        assert_eq!(vault.open("b").unwrap_err().kind, FaultKind::Corrupt);
        let other = SealedFiles::new(home.path(), &[2; 32]).unwrap();
        assert_eq!(other.open("a").unwrap_err().kind, FaultKind::Corrupt);
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(vault.open("a").unwrap_err().kind, FaultKind::Corrupt, "byte {place}");
        }
        std::fs::write(&path, &good[..10]).unwrap();
        assert_eq!(vault.open("a").unwrap_err().kind, FaultKind::Corrupt);
    }
}
