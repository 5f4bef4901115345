//! Keys and signatures for tests, made without leaving the process.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, SHA512, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use super::wire::put;

/// A signer of any of the four kinds.
pub(crate) enum Signer {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

/// What is signed beside the message, each part open to damage.
#[derive(Clone)]
pub(crate) struct Form {
    pub version: u32,
    pub namespace: String,
    pub reserved: Vec<u8>,
    pub hash: &'static str,
    pub hardware: Option<(String, u8)>,
    pub trailing: Vec<u8>,
    pub inner_trailing: Vec<u8>,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            version: 1,
            namespace: super::NAMESPACE.into(),
            reserved: Vec::new(),
            hash: "sha512",
            hardware: None,
            trailing: Vec::new(),
            inner_trailing: Vec::new(),
        }
    }
}

impl Signer {
    pub(crate) fn ed25519(seed: u8) -> Self {
        Self::Ed25519(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    pub(crate) fn p256() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap())
    }

    fn algorithm(&self, hardware: bool) -> &'static str {
        match (self, hardware) {
            (Self::Ed25519(_), false) => "ssh-ed25519",
            (Self::Ed25519(_), true) => "sk-ssh-ed25519@openssh.com",
            (Self::P256(_), false) => "ecdsa-sha2-nistp256",
            (Self::P256(_), true) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    fn blob(&self, form: &Form) -> Vec<u8> {
        let mut blob = Vec::new();
        put(&mut blob, self.algorithm(form.hardware.is_some()).as_bytes());
        match self {
            Self::Ed25519(pair) => put(&mut blob, pair.public_key().as_ref()),
            Self::P256(pair) => {
                put(&mut blob, b"nistp256");
                put(&mut blob, pair.public_key().as_ref());
            }
        }
        if let Some((application, _)) = &form.hardware {
            put(&mut blob, application.as_bytes());
        }
        blob
    }

    /// The public key as a line of a `.pub` file.
    pub(crate) fn line(&self, form: &Form) -> String {
        format!("{} {}", self.algorithm(form.hardware.is_some()), STANDARD.encode(self.blob(form)))
    }

    pub(crate) fn sign(&self, message: &[u8], form: &Form) -> Vec<u8> {
        let hash = match form.hash {
            "sha256" => digest(&SHA256, message),
            _ => digest(&SHA512, message),
        };
        let mut signed = b"SSHSIG".to_vec();
        for part in [form.namespace.as_bytes(), &form.reserved, form.hash.as_bytes(), hash.as_ref()] {
            put(&mut signed, part);
        }
        if let Some((application, flags)) = &form.hardware {
            let inner = digest(&SHA256, &signed);
            signed = digest(&SHA256, application.as_bytes()).as_ref().to_vec();
            signed.push(*flags);
            signed.extend_from_slice(&7u32.to_be_bytes());
            signed.extend_from_slice(inner.as_ref());
        }
        let body = match self {
            Self::Ed25519(pair) => pair.sign(&signed).as_ref().to_vec(),
            Self::P256(pair) => {
                let fixed = pair.sign(&SystemRandom::new(), &signed).unwrap();
                let mut body = Vec::new();
                for half in fixed.as_ref().chunks(32) {
                    let start = half.iter().position(|byte| *byte != 0).unwrap_or(31);
                    let mut number = half[start..].to_vec();
                    if number[0] & 0x80 != 0 {
                        number.insert(0, 0);
                    }
                    put(&mut body, &number);
                }
                body
            }
        };
        let mut inner = Vec::new();
        put(&mut inner, self.algorithm(form.hardware.is_some()).as_bytes());
        put(&mut inner, &body);
        if let Some((_, flags)) = &form.hardware {
            inner.push(*flags);
            inner.extend_from_slice(&7u32.to_be_bytes());
        }
        inner.extend_from_slice(&form.inner_trailing);
        let mut blob = b"SSHSIG".to_vec();
        blob.extend_from_slice(&form.version.to_be_bytes());
        for part in [&self.blob(form), form.namespace.as_bytes(), &form.reserved, form.hash.as_bytes(), &inner] {
            put(&mut blob, part);
        }
        blob.extend_from_slice(&form.trailing);
        armor(&blob)
    }
}

/// The armored form, as OpenSSH breaks its lines.
pub(crate) fn armor(blob: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(blob);
    let mut out = "-----BEGIN SSH SIGNATURE-----\n".to_owned();
    for line in text.as_bytes().chunks(70) {
        out.push_str(std::str::from_utf8(line).unwrap());
        out.push('\n');
    }
    out.push_str("-----END SSH SIGNATURE-----\n");
    out.into_bytes()
}
