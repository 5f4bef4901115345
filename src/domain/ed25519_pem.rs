//! Ed25519 keys as PEM (RFC 7468): private ones as PKCS #8, public ones as `SubjectPublicKeyInfo` (both RFC 8410).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// What stands before the 32 bytes of the seed.
const PRIVATE: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// What stands before the 32 bytes of the public key.
const PUBLIC: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
/// First line of a private key.
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";

/// The private key of that seed.
pub fn private(seed: &[u8; 32]) -> SecretString {
    let mut der = Zeroizing::new(PRIVATE.to_vec());
    der.extend_from_slice(seed);
    let body = Zeroizing::new(STANDARD.encode(der.as_slice()));
    SecretString::from(format!("{BEGIN}\n{}\n-----END PRIVATE KEY-----\n", body.as_str()))
}

/// The key that signs; `None` if the text is no such private key.
pub fn signer(pem: &SecretString) -> Option<Ed25519KeyPair> {
    let body = pem.expose_secret().trim().strip_prefix(BEGIN)?.strip_suffix("-----END PRIVATE KEY-----")?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    let der = Zeroizing::new(STANDARD.decode(body.as_str()).ok()?);
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok()
}

/// The public half.
pub fn public(pem: &SecretString) -> Option<SecretString> {
    let mut der = PUBLIC.to_vec();
    der.extend_from_slice(signer(pem)?.public_key().as_ref());
    let body = STANDARD.encode(der);
    Some(SecretString::from(format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn openssl(arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl is needed");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn openssl_reads_the_key_and_finds_the_same_public_half() {
        let pem = private(&[7; 32]);
        let theirs = openssl(&["pkey", "-pubout"], pem.expose_secret().as_bytes());
        assert_eq!(theirs, public(&pem).unwrap().expose_secret());
    }

    #[test]
    fn what_is_no_key_gives_none() {
        for text in ["", "secret", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            assert!(public(&SecretString::from(text)).is_none(), "{text}");
        }
    }
}
