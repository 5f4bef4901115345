//! What other implementations make of what we sign, and we of what they sign.

use ring::signature::{Ed25519KeyPair, KeyPair};
use signed_note::{Note, StandardVerifier, VerifierList};
use ssh_key::{HashAlg, SshSig};
use tlog_tiles::{Hash, check_record, check_tree, record_hash};

use super::testing::{Form, Signer};
use super::{KeyError, NAMESPACE, PublicKey, Purpose, SignatureError, SshSignature, dsse as ours, wire};
use crate::domain::Digest;
use crate::ledger::merkle::{Tree, leaf_hash, verify_consistency, verify_inclusion};
use crate::ledger::{Checkpoint, VerifierKey};

const RECORD: &[u8] = b"{\"record\": 1}\n";

#[test]
fn ssh_key_verifies_what_we_sign_and_we_what_it_signs() {
    let hardware = Form { hardware: Some(("ssh:".into(), 1)), ..Form::default() };
    for signer in [Signer::ed25519(1), Signer::p256()] {
        for form in [Form::default(), Form { hash: "sha256", ..Form::default() }, hardware.clone()] {
            let file = signer.sign(RECORD, &form);
            let key = ssh_key::PublicKey::from_openssh(&signer.line(&form)).unwrap();
            let theirs = SshSig::from_pem(&file).unwrap();
            key.verify(NAMESPACE, RECORD, &theirs).unwrap();
            assert!(key.verify(NAMESPACE, b"other", &theirs).is_err());
            let ours = SshSignature::parse(&file, Purpose::Resume).unwrap();
            assert_eq!(ours.key().fingerprint(), key.fingerprint(HashAlg::Sha256).to_string());
            ours.verify(RECORD, false).unwrap();
        }
    }
    let pair = ssh_key::private::Ed25519Keypair::from_seed(&[3; 32]);
    let private = ssh_key::PrivateKey::from(pair);
    for hash in [HashAlg::Sha256, HashAlg::Sha512] {
        let pem = private.sign(NAMESPACE, hash, RECORD).unwrap().to_pem(ssh_key::LineEnding::LF).unwrap();
        let ours = SshSignature::parse(pem.as_bytes(), Purpose::Resume).unwrap();
        ours.verify(RECORD, false).unwrap();
        assert_eq!(ours.key().line(), Signer::ed25519(3).line(&Form::default()));
    }
    // Where we are stricter: a hardware key that nobody touched.
    let untouched = Form { hardware: Some(("ssh:".into(), 0)), ..Form::default() };
    let signer = Signer::ed25519(1);
    let file = signer.sign(RECORD, &untouched);
    let key = ssh_key::PublicKey::from_openssh(&signer.line(&untouched)).unwrap();
    key.verify(NAMESPACE, RECORD, &SshSig::from_pem(&file).unwrap()).unwrap();
    let ours = SshSignature::parse(&file, Purpose::Resume).unwrap();
    assert_eq!(ours.verify(RECORD, false), Err(SignatureError::NoPresence));
}

fn machine() -> (Ed25519KeyPair, [u8; 32]) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public = pair.public_key().as_ref().try_into().unwrap();
    (pair, public)
}

#[test]
fn signed_note_verifies_our_checkpoints() {
    let (pair, public) = machine();
    let key = VerifierKey::new(&"inc-1".parse().unwrap(), public);
    let head = Checkpoint { origin: key.name().into(), size: 12, root: Digest::of(b"x") };
    let note = head.encode(&key, &pair.sign(head.body().as_bytes()).as_ref().try_into().unwrap());
    let verifiers = || VerifierList::new(vec![Box::new(StandardVerifier::new(&key.to_string()).unwrap())]);
    let theirs = Note::from_bytes(note.as_bytes()).unwrap();
    assert_eq!(theirs.text(), head.body().as_bytes());
    let (verified, unverified) = theirs.verify(&verifiers()).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));
    let forged = note.replace("\n12\n", "\n13\n");
    assert!(Note::from_bytes(forged.as_bytes()).unwrap().verify(&verifiers()).is_err());
}

#[test]
fn tlog_tiles_verifies_our_proofs() {
    let hash = |digest: &Digest| Hash(digest.0);
    let hashes = |proof: &[Digest]| proof.iter().map(hash).collect::<Vec<_>>();
    let mut tree = Tree::new();
    for number in 0_u64..40 {
        let leaf = number.to_be_bytes();
        assert_eq!(record_hash(&leaf).0, leaf_hash(&leaf).0);
        tree.push(&leaf);
    }
    for size in 1..=40 {
        let root = tree.root_at(size).unwrap();
        for index in 0..size {
            let leaf = leaf_hash(&index.to_be_bytes());
            let proof = tree.inclusion(index, size).unwrap();
            check_record(&hashes(&proof), size, hash(&root), index, hash(&leaf)).unwrap();
            verify_inclusion(&leaf, index, size, &proof, &root).unwrap();
            let mut bad = hashes(&proof);
            if let Some(first) = bad.first_mut() {
                first.0[0] ^= 1;
                assert!(check_record(&bad, size, hash(&root), index, hash(&leaf)).is_err());
            }
        }
        for old in 1..=size {
            let (old_root, proof) = (tree.root_at(old).unwrap(), tree.consistency(old, size).unwrap());
            check_tree(&hashes(&proof), size, hash(&root), old, hash(&old_root)).unwrap();
            verify_consistency((old, &old_root), (size, &root), &proof).unwrap();
        }
    }
}

#[test]
fn the_dsse_crate_verifies_our_envelope_and_we_its_own() {
    let (pair, public) = machine();
    assert_eq!(::dsse::pae(ours::PAYLOAD_TYPE, RECORD), ours::pae(RECORD));
    let signature = pair.sign(&ours::pae(RECORD)).as_ref().try_into().unwrap();
    let file = ours::envelope(RECORD, &public, &signature);
    let read = ::dsse::Envelope::from_json(&file).unwrap();
    let verifier = ::dsse::Ed25519Verifier::from_bytes(&public).unwrap();
    let seen = ::dsse::verify(&read, &[&verifier], 1).unwrap();
    assert_eq!((seen.payload.as_slice(), seen.payload_type.as_str()), (RECORD, ours::PAYLOAD_TYPE));
    let signer = ::dsse::Ed25519Signer::from_bytes(&[7; 32]).unwrap().with_key_id(Digest::of(&public).to_string());
    let mut theirs = ::dsse::sign(ours::PAYLOAD_TYPE, RECORD, &signer).unwrap().to_json().unwrap();
    theirs.push(b'\n');
    ours::verify(&theirs, RECORD, &public).unwrap();
}

/// Edges of Ed25519 on which implementations differ. Vectors 0 to 5 of "Taming the many `EdDSAs`" (Chalkias et al., 2020,
/// appendix C) have keys or nonces of small order; we take none whose key is weak.
#[test]
fn keys_that_are_not_reduced_or_of_small_order_are_refused() {
    let key = |point: &str| {
        let mut blob = Vec::new();
        wire::put(&mut blob, b"ssh-ed25519");
        wire::put(&mut blob, &hex::decode(point).unwrap());
        PublicKey::from_blob(&blob)
    };
    for point in [
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0100000000000000000000000000000000000000000000000000000000000080",
    ] {
        assert_eq!(key(point), Err(KeyError::Weak), "{point}");
    }
    for low in 0xef..=0xff_u8 {
        for top in ["7f", "ff"] {
            let point = format!("{low:02x}{}{top}", "ff".repeat(30));
            assert_eq!(key(&point), Err(KeyError::Blob), "{point}");
        }
    }
    assert!(key(&format!("eb{}7f", "ff".repeat(30))).is_ok(), "p - 2 is reduced");
    assert!(key(&format!("ff{}7e", "ff".repeat(30))).is_ok());
    assert!(key(&format!("ff{}fe{}7f", "ff".repeat(14), "ff".repeat(15))).is_ok());
}

mod parsers {
    use proptest::prelude::*;

    use super::super::{Purpose, SshSignature, Statement, dsse};
    use super::{Form, Signer};
    use crate::ledger::{CosignerKey, Entry, VerifierKey, compare, read, replay};

    /// Text that looks like what is parsed more often than chance would have it.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let words = prop::sample::select(vec![
            "{",
            "}",
            "\"",
            ":",
            ",",
            "[",
            "]",
            "\n",
            "\n\n",
            "\u{2014} ",
            "portcullis/inc-1",
            "12",
            "AAAA",
            "==",
            "+",
            "\"v\":1",
            "\"kind\"",
            "pause.proof",
            "1e999",
            "-0",
            "\\u0000",
            "null",
            "\u{0}",
            "-----BEGIN SSH SIGNATURE-----",
            "-----END SSH SIGNATURE-----",
            "U1NIU0lH",
            "\"_type\"",
            "https://in-toto.io/Statement/v1",
        ]);
        let words = proptest::collection::vec(words, 0..40).prop_map(|words| words.concat().into_bytes());
        prop_oneof![words, proptest::collection::vec(any::<u8>(), 0..200)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(
            std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(256)
        ))]
        #[test]
        fn nothing_makes_a_parser_panic(bytes in text(), at in 0usize..600, value in any::<u8>()) {
            let _ = SshSignature::parse_any(&bytes);
            let _ = Statement::parse(&bytes);
            let _ = Entry::decode(&bytes);
            let _ = replay(bytes.as_slice(), drop);
            let _ = read(bytes.as_slice(), Some(&bytes), drop);
            let _ = dsse::verify(&bytes, b"record", &[1; 32]);
            let words = String::from_utf8_lossy(&bytes);
            let _ = words.parse::<VerifierKey>();
            let _ = words.parse::<CosignerKey>();
            let key = VerifierKey::new(&"inc-1".parse().unwrap(), [1; 32]);
            let _ = compare(&crate::ledger::merkle::Tree::new(), &key, std::slice::from_ref(&bytes));
            // A good file with one byte changed never passes as another good one.
            let good = Signer::ed25519(1).sign(b"record", &Form::default());
            let mut bad = good.clone();
            let place = at % bad.len();
            bad[place] = value;
            if bad != good && let Ok(signature) = SshSignature::parse(&bad, Purpose::Resume) {
                prop_assert!(signature.verify(b"record", false).is_err() || signature.key().line() != Signer::ed25519(1).line(&Form::default()));
            }
        }
    }
}
