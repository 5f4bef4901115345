use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::wire::Reader;
use crate::domain::{Digest, ed25519};

/// Longest public key line that is read, in bytes.
pub const MAX_KEY_LINE: usize = 2048;

/// Why a public key can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a public key line.
    #[error("it is not a line `TYPE BASE64 [COMMENT]` as OpenSSH writes public keys")]
    Line,
    /// A private key was given.
    #[error("it is a private key: give the .pub file, and treat this key as leaked if it left its owner's machine")]
    Private,
    /// A kind that can't approve.
    #[error(
        "keys of type `{0}` can't approve: use ssh-ed25519, ecdsa-sha2-nistp256, sk-ssh-ed25519@openssh.com or sk-ecdsa-sha2-nistp256@openssh.com"
    )]
    Kind(String),
    /// The binary part is damaged or belongs to another type.
    #[error("its base64 part is not a key of that type")]
    Blob,
    /// A point of small order: anybody can sign for it.
    #[error("it is a weak Ed25519 key (a point of small order), for which anybody can sign")]
    Weak,
    /// A hardware key of a web site or another program.
    #[error("it is a hardware key for `{0}`, not for ssh (its application must start with `ssh:`)")]
    Application(String),
}

/// The kinds of key that can approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Ed25519 { point: [u8; 32] },
    P256 { point: Vec<u8> },
}

/// An OpenSSH public key that can approve.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    blob: Vec<u8>,
    pub(super) algorithm: &'static str,
    pub(super) kind: Kind,
    /// Application of a hardware key (`sk-` types), which then signs flags and a counter too.
    pub(super) application: Option<String>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm, self.fingerprint())
    }
}

const TYPES: [&str; 4] =
    ["ssh-ed25519", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"];

impl PublicKey {
    /// Reads a line as in a `.pub` file: type, base64, and a comment that is ignored. Options in front are refused.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        if line.contains("PRIVATE KEY") {
            return Err(KeyError::Private);
        }
        let line = line.trim();
        if line.len() > MAX_KEY_LINE || line.contains(['\n', '\r', '\0']) {
            return Err(KeyError::Line);
        }
        let mut words = line.split_ascii_whitespace();
        let (Some(kind), Some(blob)) = (words.next(), words.next()) else { return Err(KeyError::Line) };
        if !TYPES.contains(&kind) {
            return Err(KeyError::Kind(kind.escape_debug().take(60).collect()));
        }
        let blob = STANDARD.decode(blob).map_err(|_| KeyError::Blob)?;
        let key = Self::from_blob(&blob)?;
        if key.algorithm == kind { Ok(key) } else { Err(KeyError::Blob) }
    }

    /// Reads the binary form (RFC 4253 section 6.6, RFC 5656, RFC 8709, and OpenSSH's PROTOCOL.u2f).
    pub fn from_blob(blob: &[u8]) -> Result<Self, KeyError> {
        let mut reader = Reader::new(blob);
        let name = reader.string().ok_or(KeyError::Blob)?;
        let Some(algorithm) = TYPES.into_iter().find(|known| known.as_bytes() == name) else {
            return Err(KeyError::Kind(String::from_utf8_lossy(name).escape_debug().take(60).collect()));
        };
        let kind = Self::read_kind(algorithm, &mut reader)?;
        let application = if algorithm.starts_with("sk-") {
            let application = reader.string().ok_or(KeyError::Blob)?;
            let application = std::str::from_utf8(application).map_err(|_| KeyError::Blob)?;
            if !application.starts_with("ssh:") {
                return Err(KeyError::Application(application.escape_debug().take(60).collect()));
            }
            Some(application.to_owned())
        } else {
            None
        };
        reader.end().ok_or(KeyError::Blob)?;
        Ok(Self { blob: blob.to_vec(), algorithm, kind, application })
    }

    fn read_kind(algorithm: &str, reader: &mut Reader<'_>) -> Result<Kind, KeyError> {
        if algorithm.contains("ed25519") {
            let point = reader.string().and_then(|bytes| bytes.try_into().ok()).ok_or(KeyError::Blob)?;
            if ed25519::is_weak(&point) {
                return Err(KeyError::Weak);
            }
            if !ed25519::is_reduced(&point) {
                return Err(KeyError::Blob);
            }
            return Ok(Kind::Ed25519 { point });
        }
        if reader.string() != Some(b"nistp256") {
            return Err(KeyError::Blob);
        }
        // Uncompressed point (SEC 1): 0x04, x, y. That it lies on the curve is checked by every verification.
        let point = reader.string().filter(|point| point.len() == 65 && point[0] == 4).ok_or(KeyError::Blob)?;
        Ok(Kind::P256 { point: point.to_vec() })
    }

    /// Fingerprint as OpenSSH shows it: `SHA256:` and unpadded base64.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Digest::of(&self.blob).0))
    }

    /// The binary form.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Type and base64, without a comment.
    pub fn line(&self) -> String {
        format!("{} {}", self.algorithm, STANDARD.encode(&self.blob))
    }

    /// Whether it is a hardware key.
    pub fn is_hardware(&self) -> bool {
        self.application.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::put;
    use super::*;

    const ED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio comment here";

    fn ed25519(point: &[u8]) -> Vec<u8> {
        let mut blob = Vec::new();
        put(&mut blob, b"ssh-ed25519");
        put(&mut blob, point);
        blob
    }

    #[test]
    fn a_key_line_reads_and_writes_back_without_its_comment() {
        let key = PublicKey::parse(ED).unwrap();
        assert_eq!(key.line(), ED.rsplit_once(" comment").unwrap().0);
        assert!(key.fingerprint().starts_with("SHA256:"));
        assert_eq!(key.fingerprint().len(), 50);
        assert_eq!(format!("{key:?}"), format!("PublicKey(ssh-ed25519 {})", key.fingerprint()));
    }

    #[test]
    fn the_longest_line_is_read_and_no_longer_one() {
        let line = |length: usize| format!("{ED}{}", "x".repeat(length - ED.len()));
        assert_eq!(PublicKey::parse(&line(MAX_KEY_LINE)), PublicKey::parse(ED));
        assert_eq!(PublicKey::parse(&line(MAX_KEY_LINE + 1)), Err(KeyError::Line));
    }

    #[test]
    fn weak_keys_are_refused_with_either_sign() {
        for y in [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        ] {
            let mut point = hex::decode(y).unwrap();
            assert_eq!(PublicKey::from_blob(&ed25519(&point)), Err(KeyError::Weak), "{y}");
            point[31] ^= 0x80;
            assert_eq!(PublicKey::from_blob(&ed25519(&point)), Err(KeyError::Weak), "{y} negative");
        }
    }

    #[test]
    fn what_is_not_such_a_key_is_refused() {
        let mut trailing = ed25519(&[9; 32]);
        assert!(PublicKey::from_blob(&trailing).is_ok());
        trailing.push(0);
        assert_eq!(PublicKey::from_blob(&trailing), Err(KeyError::Blob));
        assert_eq!(PublicKey::from_blob(&ed25519(&[9; 31])), Err(KeyError::Blob));
        assert_eq!(PublicKey::from_blob(&[]), Err(KeyError::Blob));
        assert_eq!(PublicKey::parse(""), Err(KeyError::Line));
        assert_eq!(PublicKey::parse("ssh-ed25519"), Err(KeyError::Line));
        assert_eq!(PublicKey::parse("-----BEGIN OPENSSH PRIVATE KEY-----"), Err(KeyError::Private));
        assert!(matches!(PublicKey::parse("ssh-rsa AAAA"), Err(KeyError::Kind(_))));
        assert!(matches!(PublicKey::parse(&format!("no-pty {ED}")), Err(KeyError::Kind(_))));
        assert_eq!(PublicKey::parse(&ED.replacen("ssh-ed25519", TYPES[1], 1)), Err(KeyError::Blob));
        assert_eq!(PublicKey::parse(&format!("{ED}{}", "x".repeat(3000))), Err(KeyError::Line));
    }

    #[test]
    fn a_point_is_uncompressed_and_on_the_curve_that_its_type_names() {
        let read = |curve: &[u8], first: u8, length: usize| {
            let mut blob = Vec::new();
            put(&mut blob, TYPES[1].as_bytes());
            put(&mut blob, curve);
            let mut point = vec![7; length];
            point[0] = first;
            put(&mut blob, &point);
            PublicKey::from_blob(&blob).map(|key| key.algorithm)
        };
        assert_eq!(read(b"nistp256", 4, 65), Ok(TYPES[1]));
        for (curve, first, length) in
            [("nistp256", 2, 65), ("nistp256", 4, 64), ("nistp256", 4, 66), ("nistp256", 2, 33), ("nistp384", 4, 65)]
        {
            assert_eq!(read(curve.as_bytes(), first, length), Err(KeyError::Blob), "{curve} {first} {length}");
        }
    }

    #[test]
    fn a_hardware_key_must_be_for_ssh() {
        let mut blob = Vec::new();
        put(&mut blob, b"sk-ssh-ed25519@openssh.com");
        put(&mut blob, &[9; 32]);
        let mut web = blob.clone();
        put(&mut blob, b"ssh:");
        put(&mut web, b"https://example.com");
        assert!(PublicKey::from_blob(&blob).unwrap().is_hardware());
        assert!(matches!(PublicKey::from_blob(&web), Err(KeyError::Application(_))));
    }
}
