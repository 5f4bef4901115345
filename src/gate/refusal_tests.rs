//! What the gate must refuse, one test each, named after its number in the list that `docs/THREAT_MODEL.md` gives and after the
//! weakness of another program that it repeats. Each is also shown to pass once its one fault is mended, so that none refuses
//! for another reason.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::fixture::{Fixture, at, credential, key_line, proof, texts};
use super::testing::{Form, Signer, armor};
use super::*;
use crate::domain::{Digest, IncidentId, Outcome, Phase, Probe};
use crate::ledger::merkle::{ProofError, Tree, leaf_hash, verify_consistency, verify_inclusion};
use crate::ledger::{
    Checkpoint, CheckpointError, Entry, Event, IncidentState, KeptError, LedgerError, Verdict, VerifierKey, compare,
    origin, read,
};
use crate::policy::Policies;

/// Names of the checks that refuse.
fn refusing(input: &GateInput) -> Vec<String> {
    let checks = may_resume(input);
    let names: Vec<String> =
        checks.iter().filter(|check| check.verdict == Verdict::Refuse).map(|check| check.check.clone()).collect();
    assert_eq!(is_open(&checks), names.is_empty());
    names
}

/// The gate refuses for exactly these checks, and opens once the fault is mended.
#[track_caller]
fn refuses(fault: &GateInput, checks: &[&str], mended: &GateInput) {
    assert_eq!(refusing(fault), checks);
    assert_eq!(refusing(mended), Vec::<String>::new());
}

fn with(change: impl FnOnce(&mut Fixture)) -> GateInput {
    let mut fixture = Fixture::new();
    change(&mut fixture);
    fixture.input()
}

fn whole() -> GateInput {
    Fixture::new().input()
}

/// The whole case, with bob's approval made in another form.
fn signed_as(form: &Form) -> GateInput {
    let mut input = whole();
    input.approvals[1].bytes = Signer::ed25519(2).sign(input.record.as_ref().unwrap(), form);
    input
}

/// The same policies all along, with that replacement in `resume.yml`.
fn roster(from: &str, to: &str) -> Fixture {
    let mut all = texts("");
    let text = all["resume.yml"].replace(from, to);
    assert_ne!(text, all["resume.yml"], "{from}");
    all.insert("resume.yml".into(), text);
    Fixture::new().with_policies(&all)
}

fn policies(text: &str) -> Result<Policies, crate::policy::PolicyError> {
    let mut all = texts("");
    all.insert("resume.yml".into(), text.into());
    Policies::from_texts(all)
}

/// A case in which bob signs with a hardware key in that form.
fn hardware(application: &str, flags: u8, more: &str) -> GateInput {
    let form = Form { hardware: Some((application.into(), flags)), ..Form::default() };
    let line = Signer::ed25519(2).line(&Form { hardware: Some(("ssh:".into(), 1)), ..Form::default() });
    let fixture =
        roster(&format!("name: bob, keys: [\"{}\"]", key_line(2)), &format!("name: bob, keys: [\"{line}\"]{more}"));
    let mut input = fixture.input();
    input.approvals[1].bytes = Signer::ed25519(2).sign(input.record.as_ref().unwrap(), &form);
    input
}

#[test]
fn r01_the_same_signature_twice_cve_2020_6174() {
    refuses(&with(|case| case.signers = vec![1, 1]), &["quorum"], &with(|case| case.signers = vec![1, 2]));
}

#[test]
fn r02_one_key_under_two_key_ids_ghsa_3633_5h82_39pq() {
    let same = roster(&key_line(2), &format!("{} bob@example.com", key_line(1)));
    assert!(matches!(Roster::new(&policies_of(&same).resume), Err(RosterError::SharedKey { .. })));
    // No record can be made with such a roster; put in place afterwards, it decides nothing.
    let mut fault = whole();
    fault.policies = Arc::new(policies_of(&same));
    assert!(refusing(&fault).contains(&"quorum".to_owned()));
    // The same key twice with one person is one person.
    let twice = roster(
        &format!("[\"{}\"] }}\n  - {{ name: bob", key_line(1)),
        &format!("[\"{0}\", \"{0} again\"] }}\n  - {{ name: bob", key_line(1)),
    );
    let mut alone = twice.clone();
    alone.signers = vec![1, 1];
    refuses(&alone.input(), &["quorum"], &twice.input());
}

fn policies_of(fixture: &Fixture) -> Policies {
    fixture::policies(&fixture.now_with)
}

#[test]
fn r03_two_valid_signatures_of_one_key_ghsa_5q2r_92f9_4m49() {
    let mut fault = with(|case| case.signers = vec![1, 1]);
    let form = Form { hash: "sha256", ..Form::default() };
    fault.approvals[1].bytes = Signer::ed25519(1).sign(fault.record.as_ref().unwrap(), &form);
    assert_ne!(fault.approvals[0].bytes, fault.approvals[1].bytes);
    let mut mended = fault.clone();
    mended.approvals[1].bytes = Signer::ed25519(2).sign(fault.record.as_ref().unwrap(), &form);
    refuses(&fault, &["quorum"], &mended);
}

#[test]
fn r04_one_person_with_two_keys() {
    let mut case =
        roster(&format!("keys: [\"{}\"]", key_line(1)), &format!("keys: [\"{}\", \"{}\"]", key_line(1), key_line(11)));
    let mended = case.input();
    case.signers = vec![1, 11];
    refuses(&case.input(), &["quorum"], &mended);
}

#[test]
fn r05_a_threshold_of_zero_negative_or_missing_cve_2026_23992() {
    let text = texts("")["resume.yml"].clone();
    for bad in ["threshold: 0\n", "threshold: -1\n", "threshold: 4294967296\n", "threshold: two\n", ""] {
        assert!(policies(&text.replace("threshold: 2\n", bad)).is_err(), "{bad}");
    }
    policies(&text).unwrap();
    // Were it to come by another way, the gate decides nothing with it.
    let mut fault = whole();
    let mut policies = (*fault.policies).clone();
    policies.resume.threshold = 0;
    fault.policies = Arc::new(policies);
    fault.approvals.clear();
    assert!(refusing(&fault).contains(&"quorum".to_owned()));
    assert_eq!(Roster::new(&fault.policies.resume).unwrap_err(), RosterError::NoThreshold);
    assert_eq!(refusing(&whole()), Vec::<String>::new());
}

#[test]
fn r06_a_threshold_above_the_roster_and_an_empty_roster() {
    let with_threshold = |threshold: u32| {
        let mut input = whole();
        let mut policies = (*input.policies).clone();
        policies.resume.threshold = threshold;
        input.policies = Arc::new(policies);
        input
    };
    assert_eq!(refusing(&with_threshold(4)), ["content", "quorum", "refusals"]);
    let mut fault = whole();
    let mut policies = (*fault.policies).clone();
    policies.resume.approvers.clear();
    fault.policies = Arc::new(policies);
    assert_eq!(refusing(&fault), ["quorum", "refusals"]);
    assert_eq!(refusing(&with_threshold(2)), Vec::<String>::new());
}

#[test]
fn r07_a_wrong_predicate_type_or_payload_type_cve_2022_35929_cve_2026_39395() {
    let fault = with(|case| case.forge = |record| record.predicate_type = "https://slsa.dev/provenance/v1".into());
    assert!(refusing(&fault).contains(&"record".to_owned()));
    // The type of a record that waives checks, on one that waives none, and the other way round.
    let fault = with(|case| case.forge = |record| record.predicate_type = statement::BREAK_GLASS_TYPE.into());
    assert!(refusing(&fault).contains(&"record".to_owned()));
    let record = whole().record.unwrap();
    let (envelope, public) = enveloped(&record, 5);
    dsse::verify(&envelope, &record, &public).unwrap();
    let text = String::from_utf8(envelope).unwrap().replace("vnd.in-toto+json", "vnd.in-toto");
    assert!(matches!(dsse::verify(text.as_bytes(), &record, &public), Err(dsse::EnvelopeError::PayloadType(_))));
    assert_eq!(refusing(&whole()), Vec::<String>::new());
}

/// An envelope over the record by the key of that seed.
fn enveloped(record: &[u8], seed: u8) -> (Vec<u8>, [u8; 32]) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
    let signature = pair.sign(&dsse::pae(record));
    (dsse::envelope(record, &public, &signature.as_ref().try_into().unwrap()), public)
}

#[test]
fn r08_a_signature_made_for_git_or_a_file() {
    for namespace in ["git", "file", "portcullis-resume-v2", "", REFUSAL_NAMESPACE, BREAK_GLASS_NAMESPACE] {
        refuses(
            &signed_as(&Form { namespace: namespace.into(), ..Form::default() }),
            &["quorum"],
            &signed_as(&Form::default()),
        );
    }
}

#[test]
fn r09_a_hardware_key_without_a_touch_cve_2026_39831() {
    refuses(&hardware("ssh:", 0, ""), &["quorum"], &hardware("ssh:", 1, ""));
    refuses(&hardware("ssh:", 4, ""), &["quorum"], &hardware("ssh:", 5, ""));
}

#[test]
fn r10_a_hardware_key_without_user_verification_where_policy_demands_it() {
    let policy = ", require_user_verification: true";
    refuses(&hardware("ssh:", 1, policy), &["quorum"], &hardware("ssh:", 5, policy));
    // An ordinary key verifies nobody: it can't stand in for one that must.
    let keys = format!("name: bob, keys: [\"{}\"]", key_line(2));
    refuses(
        &roster(&keys, &format!("{keys}{policy}")).input(),
        &["quorum"],
        &roster(&keys, &format!("{keys} ")).input(),
    );
}

#[test]
fn r11_a_hardware_key_of_another_application() {
    refuses(&hardware("https://bank.example", 1, ""), &["quorum"], &hardware("ssh:", 1, ""));
    refuses(&hardware("ssh:other", 1, ""), &["quorum"], &hardware("ssh:", 1, ""));
    let web = Signer::ed25519(2).line(&Form { hardware: Some(("https://bank.example".into(), 1)), ..Form::default() });
    assert!(matches!(PublicKey::parse(&web), Err(KeyError::Application(_))));
}

#[test]
fn r12_sshsig_with_reserved_bytes_another_version_trailing_bytes_or_sha1() {
    let changes: [fn(&mut Form); 7] = [
        |form| form.reserved = vec![0],
        |form| form.version = 0,
        |form| form.version = 2,
        |form| form.trailing = vec![0],
        |form| form.inner_trailing = vec![0],
        |form| form.hash = "sha1",
        |form| form.hash = "SHA512",
    ];
    for change in changes {
        let mut form = Form::default();
        change(&mut form);
        refuses(&signed_as(&form), &["quorum"], &signed_as(&Form::default()));
    }
}

#[test]
fn r13_a_key_of_small_order() {
    let line = |point: [u8; 32]| {
        let mut blob = Vec::new();
        wire::put(&mut blob, b"ssh-ed25519");
        wire::put(&mut blob, &point);
        format!("ssh-ed25519 {}", STANDARD.encode(blob))
    };
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(PublicKey::parse(&line(identity)), Err(KeyError::Weak));
    let good: [u8; 32] =
        Ed25519KeyPair::from_seed_unchecked(&[2; 32]).unwrap().public_key().as_ref().try_into().unwrap();
    assert_eq!(PublicKey::parse(&line(good)).unwrap().line(), key_line(2));
    // With it on the roster nothing is decided, though its "signature" would satisfy the equation for every message.
    let mut fault = whole();
    fault.policies = Arc::new(policies_of(&roster(&key_line(2), &line(identity))));
    assert!(refusing(&fault).contains(&"quorum".to_owned()));
    assert_eq!(refusing(&whole()), Vec::<String>::new());
}

#[test]
fn r14_a_signature_whose_s_is_not_canonical() {
    let mut fault = whole();
    let text = String::from_utf8(fault.approvals[1].bytes.clone()).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let mut blob = STANDARD.decode(body).unwrap();
    // S + L, the order of the group, satisfies the equation too (RFC 8032, section 5.1.7 forbids it). S is the file's end.
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let start = blob.len() - 32;
    let mut carry = 0u16;
    for (byte, add) in blob[start..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    fault.approvals[1].bytes = armor(&blob);
    refuses(&fault, &["quorum"], &whole());
}

#[test]
fn r15_a_key_id_that_is_trusted_or_swapped() {
    // Alice's signature in bob's file counts for alice alone.
    let mut fault = whole();
    fault.approvals[1].bytes = fault.approvals[0].bytes.clone();
    refuses(&fault, &["quorum"], &whole());
    // The key inside is bob's, the signature is by another: the name that it gives itself is not believed.
    let record = fault.record.clone().unwrap();
    let splice = |signer: u8| {
        let text = String::from_utf8(Signer::ed25519(signer).sign(&record, &Form::default())).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let mut blob = STANDARD.decode(body).unwrap();
        // Magic, version, length of the key, length of its type, the type, length of the point.
        let named: [u8; 32] =
            Ed25519KeyPair::from_seed_unchecked(&[2; 32]).unwrap().public_key().as_ref().try_into().unwrap();
        let at = 6 + 4 + 4 + 4 + "ssh-ed25519".len() + 4;
        blob[at..at + 32].copy_from_slice(&named);
        armor(&blob)
    };
    let (mut fault, mut mended) = (whole(), whole());
    fault.approvals[1].bytes = splice(9);
    mended.approvals[1].bytes = splice(2);
    refuses(&fault, &["quorum"], &mended);
    let (envelope, public) = enveloped(&record, 5);
    let (_, other) = enveloped(&record, 6);
    let ids = [public, other].map(|key| Digest::of(&key).to_string());
    let swapped = String::from_utf8(envelope.clone()).unwrap().replace(&ids[0], &ids[1]);
    assert!(dsse::verify(swapped.as_bytes(), &record, &public).is_err());
    dsse::verify(&envelope, &record, &public).unwrap();
}

fn tree(count: u8) -> Tree {
    let mut tree = Tree::new();
    for number in 0..count {
        tree.push(&[number]);
    }
    tree
}

#[test]
fn r16_an_inclusion_proof_of_another_record_cve_2026_22703_cve_2022_23649() {
    let tree = tree(7);
    let (root, proof) = (tree.root(), tree.inclusion(3, 7).unwrap());
    verify_inclusion(&leaf_hash(&[3]), 3, 7, &proof, &root).unwrap();
    assert_eq!(verify_inclusion(&leaf_hash(&[4]), 3, 7, &proof, &root), Err(ProofError::Mismatch));
    assert!(verify_inclusion(&leaf_hash(&[3]), 4, 7, &proof, &root).is_err());
    assert!(verify_inclusion(&leaf_hash(&[3]), 3, 9, &proof, &root).is_err());
    // A record whose entry in the ledger is of another record.
    let mut fault = whole();
    fault.record = with(|case| case.prepared_at = 101).record;
    assert!(refusing(&fault).contains(&"record".to_owned()));
    assert_eq!(refusing(&whole()), Vec::<String>::new());
}

/// A ledger with its checkpoint, by the machine key of that seed.
fn ledger(seed: u8, reason: &str) -> (Vec<Vec<u8>>, Vec<u8>) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let incident: IncidentId = "inc-1".parse().unwrap();
    let key = VerifierKey::new(&incident, pair.public_key().as_ref().try_into().unwrap());
    let mut case = Fixture::new();
    case.before.truncate(4);
    let Event::IncidentOpened { incident, operator, compromised, nonce, policies, version, .. } = case.opened() else {
        panic!()
    };
    let machine_key = key.to_string();
    let opened = Event::IncidentOpened {
        incident,
        reason: reason.into(),
        operator,
        compromised,
        nonce,
        machine_key,
        policies,
        version,
    };
    let mut tree = Tree::new();
    let mut lines = Vec::new();
    for (seq, event) in (0..).zip([opened].into_iter().chain(case.before)) {
        let line = Entry { seq, time: at(0), event }.encode().unwrap();
        tree.push(&line);
        lines.push(line);
    }
    let head = Checkpoint { origin: key.name().into(), size: tree.size(), root: tree.root() };
    let signature = pair.sign(head.body().as_bytes());
    (lines, head.encode(&key, &signature.as_ref().try_into().unwrap()).into_bytes())
}

fn joined(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect()
}

#[test]
fn r17_a_truncated_log_cve_2023_31438() {
    let (lines, checkpoint) = ledger(7, "test");
    read(joined(&lines).as_slice(), Some(&checkpoint), drop).unwrap();
    let cut = read(joined(&lines[..3]).as_slice(), Some(&checkpoint), drop);
    assert!(matches!(cut, Err(LedgerError::Truncated { signed: 5, entries: 3 })), "{cut:?}");
    assert!(matches!(read(joined(&lines).as_slice(), None, drop), Err(LedgerError::NoCheckpoint { .. })));
    // The record covers more than the ledger has left.
    let mut fault = whole();
    fault.lines.truncate(4);
    assert!(refusing(&fault).contains(&"record".to_owned()));
    assert_eq!(refusing(&whole()), Vec::<String>::new());
}

#[test]
fn r18_old_entries_sealed_anew_with_another_key_cve_2023_31439() {
    let (lines, kept) = ledger(7, "test");
    let (forged, checkpoint) = ledger(8, "other");
    // By itself the forged ledger is sound; a copy that somebody kept says otherwise.
    let verified = read(joined(&forged).as_slice(), Some(&checkpoint), drop).unwrap();
    let key: VerifierKey = verified.state.machine_key.parse().unwrap();
    assert!(matches!(compare(&verified.tree, &key, std::slice::from_ref(&kept)), Err(KeptError::Rewritten { .. })));
    let verified = read(joined(&lines).as_slice(), Some(&kept), drop).unwrap();
    let key: VerifierKey = verified.state.machine_key.parse().unwrap();
    assert_eq!(compare(&verified.tree, &key, &[kept]), Ok(Some(5)));
    // What was signed is no prefix of it.
    let mut fault = whole();
    let text =
        String::from_utf8(fault.lines[0].clone()).unwrap().replace("\"machine_key\":\"m\"", "\"machine_key\":\"n\"");
    fault.lines[0] = text.into_bytes();
    refuses(&fault, &["prefix", "content"], &whole());
}

#[test]
fn r19_the_middle_of_a_proof_that_nobody_checks_cve_2022_36111() {
    let tree = tree(13);
    let (root, old) = (tree.root(), tree.root_at(6).unwrap());
    for (proof, inclusion) in [(tree.inclusion(5, 13).unwrap(), true), (tree.consistency(6, 13).unwrap(), false)] {
        let verify = |proof: &[Digest]| {
            if inclusion {
                verify_inclusion(&leaf_hash(&[5]), 5, 13, proof, &root)
            } else {
                verify_consistency((6, &old), (13, &root), proof)
            }
        };
        verify(&proof).unwrap();
        for place in 0..proof.len() {
            let mut bad = proof.clone();
            bad[place].0[7] ^= 1;
            assert_eq!(verify(&bad), Err(ProofError::Mismatch), "hash {place}");
            let mut short = proof.clone();
            short.remove(place);
            assert!(verify(&short).is_err());
        }
        assert!(verify(&[proof.clone(), vec![root]].concat()).is_err());
    }
}

#[test]
fn r20_a_swapped_log_identity_cve_2022_39199() {
    let (lines, checkpoint) = ledger(7, "test");
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let other: IncidentId = "inc-2".parse().unwrap();
    let key = VerifierKey::new(&other, pair.public_key().as_ref().try_into().unwrap());
    let mut tree = Tree::new();
    for line in &lines {
        tree.push(line);
    }
    let head = Checkpoint { origin: origin(&other), size: tree.size(), root: tree.root() };
    let foreign = head.encode(&key, &pair.sign(head.body().as_bytes()).as_ref().try_into().unwrap());
    let refused = read(joined(&lines).as_slice(), Some(foreign.as_bytes()), drop);
    assert!(matches!(refused, Err(LedgerError::Checkpoint(CheckpointError::Origin { .. }))), "{refused:?}");
    read(joined(&lines).as_slice(), Some(&checkpoint), drop).unwrap();
    let fault = with(|case| case.forge = |record| record.subject[0].name = "portcullis/inc-2".into());
    refuses(&fault, &["content"], &whole());
}

#[test]
fn r21_a_policy_version_that_is_skipped_or_rolled_back_cve_2025_2885() {
    let text = texts("")["resume.yml"].clone();
    for version in ["0", "2", "99"] {
        assert!(policies(&text.replace("version: 1\n", &format!("version: {version}\n"))).is_err(), "{version}");
    }
    // The file of before put back after the record was made with that of now, and the other way round.
    let (old, new) = (texts(""), texts("record_valid_minutes: 120\n"));
    let made = |prepared: &std::collections::BTreeMap<String, String>,
                now: &std::collections::BTreeMap<String, String>| {
        with(|case| {
            case.prepared_with.clone_from(prepared);
            case.now_with.clone_from(now);
        })
    };
    for (prepared, now) in [(&new, &old), (&old, &new)] {
        assert!(refusing(&made(prepared, now)).contains(&"policies".to_owned()));
    }
    assert_eq!(refusing(&made(&new, &new)), Vec::<String>::new(), "old and new quorum agree to the change");
}

#[test]
fn r22_state_that_is_kept_before_it_was_verified_cve_2020_15163_cve_2025_2888() {
    let (lines, checkpoint) = ledger(7, "test");
    let mut state = IncidentState::default();
    for line in &lines {
        state.apply(&Entry::decode(line).unwrap()).unwrap();
    }
    let before = state.clone();
    let event = Event::StepOutcome {
        step: "never.begun".parse().unwrap(),
        attempt: 1,
        outcome: Outcome::Done,
        elapsed_ms: 1,
        detail: String::new(),
    };
    assert!(state.apply(&Entry { seq: 5, time: at(0), event }).is_err());
    assert!(state.apply(&Entry { seq: 9, time: at(0), event: fixture::pause(false) }).is_err());
    assert!(state.apply(&Entry { seq: 5, time: at(-1), event: fixture::pause(false) }).is_err());
    assert_eq!(state, before, "a refused entry leaves nothing behind");
    // A ledger that does not verify gives no state at all.
    let mut forged = lines.clone();
    forged.swap(1, 2);
    assert!(read(joined(&forged).as_slice(), Some(&checkpoint), drop).is_err());
    assert_eq!(read(joined(&lines).as_slice(), Some(&checkpoint), drop).unwrap().state, before);
}

#[test]
fn r23_a_policy_that_was_edited_after_signing() {
    let edited = texts("findings_block_from: critical\n");
    let fault = with(|case| case.now_with = edited.clone());
    assert!(refusing(&fault).contains(&"policies".to_owned()));
    let mut logs = texts("");
    logs.insert("logs/login.yml".into(), "title: nothing\n".into());
    refuses(&with(|case| case.now_with = logs.clone()), &["content", "policies"], &whole());
    // Edited before signing, it needs the quorum of before too: here the new file makes eve a quorum with alice.
    let more = format!("approvers:\n  - {{ name: eve, keys: [\"{}\"] }}\n", key_line(8));
    let mut taken = texts("");
    let text = taken["resume.yml"].replace("approvers:\n", &more);
    taken.insert("resume.yml".into(), text);
    let changed = |signers: Vec<u8>| {
        with(|case| {
            case.prepared_with.clone_from(&taken);
            case.now_with.clone_from(&taken);
            case.signers = signers;
        })
    };
    refuses(&changed(vec![1, 8]), &["policies"], &changed(vec![1, 2]));
}

#[test]
fn r24_now_is_the_expiry_or_before_the_issue_or_the_clock_was_set_back() {
    let expiry = 100 + 240 * 60;
    refuses(&with(|case| case.now = expiry), &["time"], &with(|case| case.now = expiry - 1));
    let mut future = Fixture::new();
    future.prepared_at = 300;
    future.now = 299;
    let fault = future.input();
    future.now = 300;
    refuses(&fault, &["time"], &future.input());
    refuses(&with(|case| case.now = 99), &["time"], &with(|case| case.now = 100));
}

#[test]
fn r25_another_incidents_record_and_a_replayed_nonce() {
    let other = with(|case| case.forge = |record| record.predicate.incident.id = "inc-2".parse().unwrap());
    refuses(&other, &["incident", "content"], &whole());
    let replayed = with(|case| case.forge = |record| record.predicate.incident.nonce = "cd".repeat(16));
    refuses(&replayed, &["incident", "content"], &whole());
}

#[test]
fn r26_json_that_two_readers_would_read_in_two_ways() {
    let good = whole();
    let text = String::from_utf8(good.record.clone().unwrap()).unwrap();
    for (from, to) in [
        ("\"steps\": ", "\"steps\":  "),
        ("\"steps\": ", "\"steps\": 1,\n    \"steps\": "),
        ("\"steps\": ", "\"more\": 1,\n    \"steps\": "),
        ("\"files\": 3", "\"files\": 9007199254740993"),
        ("\"files\": 3", "\"files\": 0.5"),
        ("\"files\": 3", "\"files\": 3.0"),
        ("\"files\": 3", "\"files\": 3e0"),
        ("\"reason\": \"test\"", "\"reason\": \"\\u0074est\""),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let mut fault = good.clone();
        // Even if the ledger named it and the people signed it.
        let digest = Digest::of(changed.as_bytes());
        let old = Digest::of(text.as_bytes()).to_string();
        for line in &mut fault.lines {
            *line = String::from_utf8(line.clone()).unwrap().replace(&old, &digest.to_string()).into_bytes();
        }
        fault.record = Some(changed.clone().into_bytes());
        fault.files.insert(RECORD.into(), Some(digest));
        for (file, seed) in fault.approvals.iter_mut().zip([1, 2]) {
            file.bytes = Signer::ed25519(seed).sign(changed.as_bytes(), &Form::default());
        }
        assert!(refusing(&fault).contains(&"record".to_owned()), "{to}");
    }
    assert_eq!(refusing(&good), Vec::<String>::new());
}

#[test]
fn r27_an_approver_who_acted_or_whose_own_key_leaked() {
    let acted = |operator: &str| {
        let event = Event::ItemAttested { item: "x".into(), note: String::new(), operator: operator.into() };
        with(|case| case.before.push(event))
    };
    refuses(&acted("bob"), &["quorum"], &acted("erin"));
    refuses(&acted(" BOB "), &["quorum"], &acted("erin"));
    let asked_by = |executor: &str| {
        let mut input = whole();
        input.executor = Some(executor.into());
        input
    };
    refuses(&asked_by("Alice"), &["quorum"], &asked_by("dana"));
    let owner = |compromised: &'static str| {
        with(|case| {
            case.signers = vec![1, 3];
            case.compromised = vec![compromised];
        })
    };
    refuses(&owner("db"), &["quorum"], &owner("jwt"));
}

#[test]
fn r28_an_approver_revoked_or_run_out_between_signing_and_acting() {
    let at_gate = |more: &str| {
        let mut input = whole();
        let text = texts("")["resume.yml"].replace("name: bob,", &format!("name: bob,{more}"));
        // Only the roster that is counted with, so that nothing but the quorum can refuse.
        let mut policies = (*input.policies).clone();
        policies.resume = crate::policy::parse("resume.yml", &text).unwrap();
        input.policies = Arc::new(policies);
        input
    };
    let (now, later) = (at(200), at(201));
    refuses(&at_gate(" revoked: true,"), &["quorum"], &at_gate(" revoked: false,"));
    refuses(
        &at_gate(&format!(" valid_until: \"{now}\",")),
        &["quorum"],
        &at_gate(&format!(" valid_until: \"{later}\",")),
    );
    refuses(
        &at_gate(&format!(" valid_from: \"{later}\",")),
        &["quorum"],
        &at_gate(&format!(" valid_from: \"{now}\",")),
    );
}

#[test]
fn r29_a_link_or_another_file_between_verifying_and_acting() {
    for path in ["findings.jsonl", "approvals/0.sig", "audit-record.json", "policies/resume.yml"] {
        let mut fault = whole();
        // A link can't be read, so that it is as good as missing.
        fault.files.insert(path.into(), None);
        refuses(&fault, &["files"], &whole());
        fault.files.insert(path.into(), Some(Digest::of(b"another")));
        refuses(&fault, &["files"], &whole());
    }
}

#[test]
fn r30_a_key_that_is_not_proven_dead_a_skipped_step_a_database_that_is_not_well() {
    let alive = with(|case| case.before.push(proof("db", true, false, "server")));
    refuses(&alive, &["credential.db"], &with(|case| case.before.push(proof("db", true, true, "server"))));
    let mut again = whole();
    again.live.credentials.get_mut(&credential("db")).unwrap().old = Some(Ok(Probe::Accepted));
    refuses(&again, &["credential.db"], &whole());
    let step = |outcome| {
        with(|case| {
            let action = crate::domain::Action::RestartService { service: "backend".into() };
            case.before.extend(fixture::step("restart", Phase::Rotate, action, Some(outcome)));
        })
    };
    refuses(&step(Outcome::Skipped), &["steps"], &step(Outcome::Done));
    refuses(&step(Outcome::Unknown), &["steps"], &step(Outcome::Already));
    let database = |answer: Result<String, String>| with(|case| case.live.database = Some(answer));
    refuses(&database(Err("refused".into())), &["database"], &database(Ok("PostgreSQL 16".into())));
}

#[test]
fn r31_ten_thousand_junk_signatures_cve_2020_6173() {
    let mut fault = whole();
    let junk = |number: usize| SignatureFile { path: format!("approvals/{number}.sig"), bytes: vec![b'x'; 8000] };
    fault.approvals.extend((2..10_000).map(junk));
    let start = std::time::Instant::now();
    assert_eq!(refusing(&fault), ["quorum"]);
    assert!(start.elapsed().as_secs() < 1, "{:?}", start.elapsed());
    let mut many = whole();
    many.approvals.extend((2..MAX_APPROVALS).map(junk));
    assert_eq!(refusing(&many), Vec::<String>::new(), "junk beside a quorum is only not counted");
}

#[test]
fn r32_one_person_by_sshsig_and_by_dsse() {
    let mut fault = with(|case| case.signers = vec![1]);
    let record = fault.record.clone().unwrap();
    let (envelope, _) = enveloped(&record, 2);
    fault.approvals.push(SignatureFile { path: "approvals/alice.dsse.json".into(), bytes: enveloped(&record, 1).0 });
    fault.approvals.push(SignatureFile { path: "approvals/bob.dsse.json".into(), bytes: envelope });
    let mut mended = fault.clone();
    mended.approvals[2].bytes = Signer::ed25519(2).sign(&record, &Form::default());
    refuses(&fault, &["quorum"], &mended);
}
