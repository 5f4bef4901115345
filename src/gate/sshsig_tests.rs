use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::super::testing::{Form, Signer, armor};
use super::*;

const MESSAGE: &[u8] = b"{\"record\":1}\n";

fn check(signer: &Signer, form: &Form, verification: bool) -> Result<(), SignatureError> {
    SshSignature::parse(&signer.sign(MESSAGE, form), Purpose::Resume)?.verify(MESSAGE, verification)
}

fn hardware(application: &str, flags: u8) -> Form {
    Form { hardware: Some((application.into(), flags)), ..Form::default() }
}

#[test]
fn all_four_kinds_verify_and_only_over_their_own_bytes() {
    for signer in [Signer::ed25519(1), Signer::p256()] {
        for form in [Form::default(), Form { hash: "sha256", ..Form::default() }, hardware("ssh:", 1)] {
            check(&signer, &form, false).unwrap();
            let signature = SshSignature::parse(&signer.sign(MESSAGE, &form), Purpose::Resume).unwrap();
            assert_eq!(signature.verify(b"other", false), Err(SignatureError::Invalid));
            assert_eq!(signature.key().line(), signer.line(&form));
        }
    }
}

#[test]
fn other_purposes_versions_and_hashes_are_refused() {
    let signer = Signer::ed25519(1);
    let refused = |change: fn(&mut Form)| {
        let mut form = Form::default();
        change(&mut form);
        check(&signer, &form, false).unwrap_err()
    };
    assert_eq!(
        refused(|form| form.namespace = "git".into()),
        SignatureError::Namespace { found: "git".into(), expected: NAMESPACE }
    );
    assert_eq!(
        refused(|form| form.namespace = "file".into()),
        SignatureError::Namespace { found: "file".into(), expected: NAMESPACE }
    );
    assert_eq!(refused(|form| form.reserved = vec![0]), SignatureError::Reserved);
    assert_eq!(refused(|form| form.version = 2), SignatureError::Version(2));
    assert_eq!(refused(|form| form.version = 0), SignatureError::Version(0));
    assert_eq!(refused(|form| form.hash = "sha1"), SignatureError::Hash("sha1".into()));
    assert_eq!(refused(|form| form.trailing = vec![0]), SignatureError::Blob);
    assert_eq!(refused(|form| form.inner_trailing = vec![0]), SignatureError::Blob);
}

#[test]
fn a_hardware_key_must_be_touched_and_verify_its_user_where_asked() {
    for signer in [Signer::ed25519(1), Signer::p256()] {
        assert_eq!(check(&signer, &hardware("ssh:", 0), false), Err(SignatureError::NoPresence));
        assert_eq!(check(&signer, &hardware("ssh:", VERIFIED), false), Err(SignatureError::NoPresence));
        assert_eq!(check(&signer, &hardware("ssh:", PRESENT), true), Err(SignatureError::NoVerification));
        assert_eq!(check(&signer, &hardware("ssh:", PRESENT | VERIFIED), true), Ok(()));
        assert!(matches!(
            check(&signer, &hardware("https://x", PRESENT), false),
            Err(SignatureError::Key(KeyError::Application(_)))
        ));
    }
}

#[test]
fn s_must_be_canonical() {
    let Signer::Ed25519(_) = Signer::ed25519(1) else { panic!() };
    let file = Signer::ed25519(1).sign(MESSAGE, &Form::default());
    let mut signature = SshSignature::parse(&file, Purpose::Resume).unwrap();
    // The order of the group, little-endian: S + L satisfies the equation too, and must not pass.
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut carry = 0u16;
    for (byte, add) in signature.body[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    assert_eq!(signature.verify(MESSAGE, false), Err(SignatureError::Invalid));
}

#[test]
fn the_armor_is_strict() {
    let good = String::from_utf8(Signer::ed25519(1).sign(MESSAGE, &Form::default())).unwrap();
    for bad in [
        String::new(),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}{good}"),
        good.replace('\n', "\r\n"),
        good.replace(BEGIN, "-----BEGIN PGP SIGNATURE-----"),
        good.replace("=\n", "\n"),
        "x".repeat(MAX_SIGNATURE_BYTES + 1),
        format!("{BEGIN}\n{END}\n"),
        format!("{BEGIN}\n"),
    ] {
        if bad != good {
            assert!(SshSignature::parse(bad.as_bytes(), Purpose::Resume).is_err(), "{bad:?}");
        }
    }
}

#[test]
fn ssh_keygen_signs_what_we_accept_and_accepts_what_we_sign() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("record.json"), MESSAGE).unwrap();
    for (kind, ours) in [("ed25519", Signer::ed25519(3)), ("ecdsa", Signer::p256())] {
        let key = at(kind);
        run(folder.path(), &["-q", "-t", kind, "-N", "", "-C", "alice", "-f", key.to_str().unwrap()], &[]);
        let _ = std::fs::remove_file(at("record.json.sig"));
        run(folder.path(), &["-q", "-Y", "sign", "-f", key.to_str().unwrap(), "-n", NAMESPACE, "record.json"], &[]);
        let signature = SshSignature::parse(&std::fs::read(at("record.json.sig")).unwrap(), Purpose::Resume).unwrap();
        signature.verify(MESSAGE, false).unwrap();
        let line = std::fs::read_to_string(at(&format!("{kind}.pub"))).unwrap();
        assert_eq!(signature.key(), &PublicKey::parse(&line).unwrap());
        let shown = Command::new("ssh-keygen").arg("-lf").arg(&key).output().unwrap();
        assert!(String::from_utf8_lossy(&shown.stdout).contains(&signature.key().fingerprint()));

        for form in [Form::default(), hardware("ssh:", 1)] {
            std::fs::write(at("ours.sig"), ours.sign(MESSAGE, &form)).unwrap();
            std::fs::write(at("allowed"), format!("bob namespaces=\"{NAMESPACE}\" {}\n", ours.line(&form))).unwrap();
            let words = ["-Y", "verify", "-f", "allowed", "-I", "bob", "-n", NAMESPACE, "-s", "ours.sig"];
            run(folder.path(), &words, MESSAGE);
        }
    }
}

fn run(folder: &Path, args: &[&str], input: &[u8]) {
    use std::io::Write;
    let mut child = Command::new("ssh-keygen")
        .args(args)
        .current_dir(folder)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn no_changed_bit_of_the_binary_form_verifies() {
    for signer in [Signer::ed25519(1), Signer::p256()] {
        let file = signer.sign(MESSAGE, &hardware("ssh:", 1));
        let text = String::from_utf8(file).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let blob = STANDARD.decode(body).unwrap();
        let key = signer.line(&hardware("ssh:", 1));
        for place in 0..blob.len() {
            let mut bad = blob.clone();
            bad[place] ^= 1;
            let passes = SshSignature::parse(&armor(&bad), Purpose::Resume)
                .is_ok_and(|signature| signature.key().line() == key && signature.verify(MESSAGE, false).is_ok());
            assert!(!passes, "byte {place}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn nothing_makes_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
        let _ = SshSignature::parse(&bytes, Purpose::Resume);
        let _ = SshSignature::parse(&armor(&bytes), Purpose::Resume);
        let good = Signer::ed25519(1).sign(MESSAGE, &Form::default());
        prop_assert!(SshSignature::parse(&good[..cut.min(good.len() - 2)], Purpose::Resume).is_err());
        let _ = PublicKey::from_blob(&bytes);
    }
}

#[test]
fn what_is_longer_than_any_signature_is_not_looked_at() {
    let said = |length: usize| SshSignature::parse_any(&vec![b'x'; length]).unwrap_err();
    assert_eq!(MAX_SIGNATURE_BYTES, 8192);
    assert_eq!(said(MAX_SIGNATURE_BYTES), SignatureError::Armor);
    assert_eq!(said(MAX_SIGNATURE_BYTES + 1), SignatureError::TooLong);
}

#[test]
fn what_an_agent_signs_becomes_the_file_that_ssh_keygen_writes() {
    let signer = Signer::ed25519(5);
    let key = PublicKey::parse(&signer.line(&Form::default())).unwrap();
    let Signer::Ed25519(pair) = &signer else { panic!("it is an Ed25519 key") };
    for purpose in Purpose::ALL {
        let mut answer = Vec::new();
        put(&mut answer, b"ssh-ed25519");
        put(&mut answer, pair.sign(&agent_request(purpose, MESSAGE)).as_ref());
        let file = armored(&key, purpose, &answer);
        let form = Form { namespace: purpose.namespace().into(), ..Form::default() };
        assert_eq!(file, signer.sign(MESSAGE, &form));
        let read = SshSignature::parse_any(&file).unwrap();
        assert_eq!((read.key(), read.purpose()), (&key, purpose));
    }
}
