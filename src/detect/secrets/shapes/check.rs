//! Check sums inside keys: what fails one was never a key.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use crate::domain::Digest;

/// What a key must stand up to beside its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing; anything may stand before it.
    Any,
    /// No letter, digit or `_` before it.
    Word,
    /// As `Word`; the text is a name, not a secret.
    Public,
    /// The last six digits are the CRC-32 of those before, in base 62.
    GitHub,
    /// Base58 with four bytes of doubled SHA-256 at its end (BIP 32 and before).
    Base58,
    /// Bech32 (BIP 173), as age writes its keys.
    Bech32,
    /// The first part is a JSON object with an `alg` (RFC 7515).
    Jwt,
    /// Base64 of a name, a colon and a password (RFC 7617).
    Basic,
    /// Base64 of 64 bytes.
    Base64,
}

impl Check {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "any" => Self::Any,
            "word" => Self::Word,
            "public" => Self::Public,
            "github" => Self::GitHub,
            "base58" => Self::Base58,
            "bech32" => Self::Bech32,
            "jwt" => Self::Jwt,
            "basic" => Self::Basic,
            "base64" => Self::Base64,
            _ => return None,
        })
    }

    /// Whether the start must be the start of a word.
    pub(super) fn wants_word(self) -> bool {
        !matches!(self, Self::Any | Self::Base64)
    }

    pub(super) fn holds(self, key: &[u8]) -> bool {
        match self {
            Self::Any | Self::Word | Self::Public => true,
            Self::GitHub => github(key),
            Self::Base58 => base58(key).is_some_and(|bytes| {
                let (body, sum) = bytes.split_at(bytes.len().saturating_sub(4));
                Digest::of(&Digest::of(body).0).0[..4] == *sum
            }),
            Self::Bech32 => bech32(key),
            Self::Jwt => jwt(key),
            Self::Basic => lenient().decode(key).is_ok_and(|text| {
                let colon = text.iter().position(|byte| *byte == b':');
                colon.is_some_and(|at| at + 1 < text.len()) && text.iter().all(|byte| *byte >= b' ')
            }),
            Self::Base64 => STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 64),
        }
    }
}

fn lenient() -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&ALPHABET, config)
}

/// Tokens of GitHub and npm since 2021: a prefix, 30 random characters, a check sum of six. Other lengths have none.
fn github(key: &[u8]) -> bool {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let Some(at) = key.iter().position(|byte| *byte == b'_') else { return false };
    let body = &key[at + 1..];
    if body.len() != 36 {
        return true;
    }
    let mut crc = flate2::Crc::new();
    crc.update(&body[..30]);
    let mut rest = crc.sum();
    let mut sum = [b'0'; 6];
    for digit in sum.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    body[30..] == sum
}

fn base58(text: &[u8]) -> Option<Vec<u8>> {
    const DIGITS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bytes: Vec<u8> = Vec::new();
    for letter in text {
        let mut carry = DIGITS.iter().position(|digit| digit == letter)?;
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        while carry > 0 {
            bytes.insert(0, carry.to_le_bytes()[0]);
            carry >>= 8;
        }
    }
    Some(bytes)
}

/// The check sum of BIP 173 over the human-readable part and the data.
fn bech32(text: &[u8]) -> bool {
    const DIGITS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let text = text.to_ascii_lowercase();
    let Some(at) = text.iter().rposition(|byte| *byte == b'1') else { return false };
    let (name, data) = (&text[..at], &text[at + 1..]);
    let digits: Option<Vec<u32>> = data
        .iter()
        .map(|byte| DIGITS.iter().position(|digit| digit == byte).and_then(|at| u32::try_from(at).ok()))
        .collect();
    let Some(digits) = digits else { return false };
    let high = name.iter().map(|byte| u32::from(byte >> 5));
    let low = name.iter().map(|byte| u32::from(byte & 31));
    let mut sum = 1_u32;
    for value in high.chain([0]).chain(low).chain(digits) {
        let top = sum >> 25;
        sum = ((sum & 0x01ff_ffff) << 5) ^ value;
        for (bit, generator) in GENERATOR.iter().enumerate() {
            if top >> bit & 1 == 1 {
                sum ^= generator;
            }
        }
    }
    sum == 1
}

fn jwt(key: &[u8]) -> bool {
    let head = key.split(|byte| *byte == b'.').next().unwrap_or(&[]);
    let head = URL_SAFE_NO_PAD.decode(head).ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    head.is_some_and(|head| head.get("alg").is_some_and(Value::is_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_sums_hold_and_a_changed_letter_breaks_them() {
        // A token that GitHub published as an example, and test vector 1 of BIP 32.
        let token = format!("{}zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17", "ghp_");
        let extended = format!(
            "{}9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
            "xprv"
        );
        let words = "12345:secret";
        let basic = STANDARD.encode(words);
        for (check, text) in [
            (Check::GitHub, token.as_str()),
            (Check::Base58, extended.as_str()),
            // BIP 173's own.
            (Check::Bech32, "A12UEL5L"),
            (Check::Bech32, "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"),
            (Check::Basic, basic.as_str()),
        ] {
            assert!(check.holds(text.as_bytes()), "{check:?} {text}");
            let mut other = text.as_bytes().to_vec();
            let last = other.len() - 1;
            other[last] = if other[last] == b'8' { b'9' } else { b'8' };
            other[last - 3] = b'8';
            assert!(check == Check::Basic || !check.holds(&other), "{check:?} {text}");
        }
        assert!(!Check::Basic.holds(STANDARD.encode("no colon here").as_bytes()));
    }
}
