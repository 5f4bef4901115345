use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::domain::IncidentId;

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn key(seed: u8) -> VerifierKey {
    VerifierKey::new(&IncidentId::new("inc-1").unwrap(), pair(seed).public_key().as_ref().try_into().unwrap())
}

fn tree(entries: &[&str]) -> Tree {
    let mut tree = Tree::new();
    for entry in entries {
        tree.push(entry.as_bytes());
    }
    tree
}

fn note(tree: &Tree, size: u64, seed: u8) -> Vec<u8> {
    let key = key(seed);
    let head = Checkpoint { origin: key.name().to_owned(), size, root: tree.root_at(size).unwrap() };
    head.encode(&key, &pair(seed).sign(head.body().as_bytes()).as_ref().try_into().unwrap()).into_bytes()
}

fn cosigner() -> CosignerKey {
    CosignerKey { name: "w.example/1".into(), public: pair(9).public_key().as_ref().try_into().unwrap() }
}

fn cosigned(note: &[u8], time: u64) -> Vec<u8> {
    let text = std::str::from_utf8(note).unwrap();
    let body = &text[..=text.find("\n\n").unwrap()];
    let mut blob = cosigner().id().to_vec();
    blob.extend_from_slice(&time.to_be_bytes());
    blob.extend_from_slice(pair(9).sign(format!("cosignature/v1\ntime {time}\n{body}").as_bytes()).as_ref());
    format!("{text}{DASH}w.example/1 {}\n", STANDARD.encode(blob)).into_bytes()
}

#[test]
fn a_ledger_that_went_on_fits_every_copy() {
    let now = tree(&["a", "b", "c", "d"]);
    assert_eq!(compare(&now, &key(1), &[]), Ok(None));
    let copies = [note(&now, 3, 1), note(&now, 1, 1), note(&now, 4, 1)];
    assert_eq!(compare(&now, &key(1), &copies), Ok(Some(4)));
}

#[test]
fn truncation_fork_and_rewrite_have_their_own_names() {
    let now = tree(&["a", "b", "c", "d"]);
    let cut = tree(&["a", "b"]);
    assert_eq!(
        compare(&cut, &key(1), &[note(&now, 4, 1), note(&now, 2, 1)]),
        Err(KeptError::Truncated { kept: 4, entries: 2 })
    );
    let other = tree(&["a", "x", "c", "d", "e"]);
    let (kept, found) = (now.root_at(3).unwrap(), other.root_at(3).unwrap());
    assert_eq!(
        compare(&other, &key(1), &[note(&now, 3, 1)]),
        Err(KeptError::Forked { size: 3, kept, found }),
        "the same key"
    );
    // Longer copies don't hide a fork behind a truncation.
    let short = tree(&["a", "x", "c"]);
    assert!(matches!(
        compare(&short, &key(1), &[note(&now, 4, 1), note(&now, 3, 1)]),
        Err(KeptError::Forked { size: 3, .. })
    ));
    assert_eq!(
        compare(&other, &key(2), &[note(&now, 3, 1)]),
        Err(KeptError::Rewritten { key: key(2).to_string() }),
        "another key"
    );
}

#[test]
fn a_copy_that_says_nothing_is_refused() {
    let now = tree(&["a", "b"]);
    let good = note(&now, 2, 1);
    let refused = |bytes: Vec<u8>| compare(&now, &key(1), &[bytes]).unwrap_err();
    let mut flipped = good.clone();
    let last = flipped.len() - 10;
    flipped[last] ^= 1;
    assert!(matches!(refused(flipped), KeptError::Copy(_) | KeptError::Rewritten { .. }));
    assert!(matches!(refused(Vec::new()), KeptError::Copy(CheckpointError::Malformed(_))));
    assert!(matches!(refused(vec![b'\n'; MAX_CHECKPOINT_BYTES + 1]), KeptError::Copy(CheckpointError::Malformed(_))));
    let said = |length: usize| refused(vec![b'x'; length]);
    let malformed = |why| KeptError::Copy(CheckpointError::Malformed(why));
    assert_eq!(said(MAX_CHECKPOINT_BYTES + 1), malformed("it is too long"));
    assert_eq!(said(MAX_CHECKPOINT_BYTES), malformed("there is no empty line"));
    let elsewhere = String::from_utf8(good.clone()).unwrap().replace("inc-1", "inc-2").into_bytes();
    assert!(matches!(refused(elsewhere), KeptError::Copy(CheckpointError::Origin { .. })));
    let text = String::from_utf8(good.clone()).unwrap();
    let unsigned = text.split("\n\n").next().unwrap();
    let stranger = format!("{unsigned}\n\n{DASH}other AAAAAAAA\n").into_bytes();
    assert_eq!(refused(stranger), KeptError::Copy(CheckpointError::Unsigned));
    let many = format!("{text}{}", format!("{DASH}x AAAA\n").repeat(MAX_SIGNATURES)).into_bytes();
    assert!(matches!(refused(many), KeptError::Copy(CheckpointError::Malformed(_))));
    let full = format!("{text}{}", format!("{DASH}x AAAA\n").repeat(MAX_SIGNATURES - 1)).into_bytes();
    assert_eq!(compare(&now, &key(1), &[full]), Ok(Some(2)));
    assert!(matches!(refused(good[..good.len() - 1].to_vec()), KeptError::Copy(_)));
}

#[test]
fn a_cosignature_verifies_only_over_its_own_note_and_time() {
    let now = tree(&["a", "b"]);
    let both = cosigned(&note(&now, 2, 1), 1_700_000_000);
    assert_eq!(
        compare(&now, &key(1), std::slice::from_ref(&both)),
        Ok(Some(2)),
        "the machine's signature is seen beside it"
    );
    cosigner().verify(&both).unwrap();
    let missing = Err(KeptError::Cosignature("w.example/1".into()));
    assert_eq!(cosigner().verify(&note(&now, 2, 1)), missing);
    let (one, text) = (cosigned(&note(&now, 1, 1), 5), String::from_utf8(both).unwrap());
    let line = String::from_utf8(one).unwrap().lines().last().unwrap().to_owned();
    let swapped = format!("{}\n{line}\n", text.trim_end().rsplit_once('\n').unwrap().0);
    assert_eq!(cosigner().verify(swapped.as_bytes()), missing);
    let other = CosignerKey { name: "w.example/1".into(), public: *key(3).public() };
    assert_eq!(other.verify(text.as_bytes()), missing);
}

#[test]
fn a_witness_key_reads_only_as_what_it_is() {
    let mut blob = vec![COSIGNATURE_TYPE];
    blob.extend_from_slice(&cosigner().public);
    let text = format!("w.example/1+{}+{}", hex::encode(cosigner().id()), STANDARD.encode(&blob));
    let read: CosignerKey = text.parse().unwrap();
    assert_eq!((read.name(), &read), ("w.example/1", &cosigner()));
    let wrong = [
        text.replace("w.example", "v.example"),
        text.replacen('+', "-", 1),
        format!("+{}", text.split_once('+').unwrap().1),
        key(1).to_string(),
        text[..text.len() - 4].to_owned(),
        format!("{text}!"),
    ];
    for text in wrong {
        assert!(text.parse::<CosignerKey>().is_err(), "{text}");
    }
}
