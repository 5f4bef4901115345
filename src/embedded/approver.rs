use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA512, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use crate::gate::NAMESPACE;
use crate::ports::{Fault, FaultKind, Random};

const ALGORITHM: &[u8] = b"ssh-ed25519";
const MAGIC: &[u8] = b"SSHSIG";

/// A person of the rehearsal with a throw-away Ed25519 key, who signs as `ssh-keygen -Y sign` does.
pub struct RehearsedApprover {
    name: String,
    pair: Ed25519KeyPair,
}

/// A length of four bytes, then the bytes (RFC 4251, section 5).
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    // Everything that is put here is shorter than a kilobyte.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

impl RehearsedApprover {
    /// A person with a new key.
    pub fn new(name: &str, random: &dyn Random) -> Result<Self, Fault> {
        let mut seed = Zeroizing::new([0; 32]);
        random.fill(&mut *seed)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed)
            .map_err(|_| Fault::new(FaultKind::Invalid, "the seed makes no Ed25519 key"))?;
        Ok(Self { name: name.to_owned(), pair })
    }

    /// The name, as in `resume.yml`.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        put(&mut blob, ALGORITHM);
        put(&mut blob, self.pair.public_key().as_ref());
        blob
    }

    /// The public key as a line of a `.pub` file (RFC 8709).
    pub fn public_line(&self) -> String {
        format!("ssh-ed25519 {} {}@rehearsal", STANDARD.encode(self.blob()), self.name)
    }

    /// An armoured signature over a message in the resume namespace (OpenSSH, `PROTOCOL.sshsig`).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let hash = digest(&SHA512, message);
        let mut signed = MAGIC.to_vec();
        for part in [NAMESPACE.as_bytes(), b"", b"sha512", hash.as_ref()] {
            put(&mut signed, part);
        }
        let mut signature = Vec::new();
        put(&mut signature, ALGORITHM);
        put(&mut signature, self.pair.sign(&signed).as_ref());
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&1_u32.to_be_bytes());
        for part in [&self.blob()[..], NAMESPACE.as_bytes(), b"", b"sha512", &signature] {
            put(&mut file, part);
        }
        let mut out = String::from("-----BEGIN SSH SIGNATURE-----\n");
        for (index, letter) in STANDARD.encode(file).chars().enumerate() {
            if index > 0 && index % 70 == 0 {
                out.push('\n');
            }
            out.push(letter);
        }
        out.push_str("\n-----END SSH SIGNATURE-----\n");
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::Seeded;
    use crate::gate::SshSignature;

    #[test]
    fn the_gate_reads_and_verifies_its_signatures() {
        let approver = RehearsedApprover::new("ada", &Seeded::new(3)).unwrap();
        let file = approver.sign(b"record");
        let signature = SshSignature::parse(&file, crate::gate::Purpose::Resume).unwrap();
        signature.verify(b"record", false).unwrap();
        assert!(signature.verify(b"other", false).is_err());
        assert_eq!(
            signature.key().fingerprint(),
            crate::gate::PublicKey::parse(&approver.public_line()).unwrap().fingerprint()
        );
    }
}
