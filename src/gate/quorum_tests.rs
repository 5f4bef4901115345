use std::fmt::Write as _;

use super::super::KeyError;
use super::super::testing::{Form, Signer};
use super::*;

const RECORD: &[u8] = b"{}\n";

fn policy(more: &str, people: &[(&str, Vec<String>, &str)]) -> ResumePolicy {
    let mut text = format!("version: 1\n{more}\napprovers:\n");
    for (name, keys, more) in people {
        let _ = writeln!(text, "  - name: {name}\n    keys: {keys:?}");
        if !more.is_empty() {
            let _ = writeln!(text, "    {more}");
        }
    }
    crate::policy::parse("resume.yml", &text).unwrap()
}

fn key(seed: u8) -> String {
    Signer::ed25519(seed).line(&Form::default())
}

fn three(more: &str) -> ResumePolicy {
    policy(
        more,
        &[
            ("alice", vec![key(1), key(11)], "roles: [security]"),
            ("bob", vec![key(2)], "roles: [trading]"),
            ("carol", vec![key(3)], ""),
        ],
    )
}

fn credentials(owner: &str) -> CredentialsPolicy {
    let text = format!(
        "version: 1\ncredentials:\n  - id: db\n    issuer: {{ kind: postgres_role, role: app }}\n    owner: {owner}\n"
    );
    crate::policy::parse("credentials.yml", &text).unwrap()
}

fn signed(seeds: &[u8]) -> Vec<SignatureFile> {
    seeds.iter().map(|seed| file(Signer::ed25519(*seed).sign(RECORD, &Form::default()))).collect()
}

fn file(bytes: Vec<u8>) -> SignatureFile {
    SignatureFile { path: "approvals/x.sig".into(), bytes }
}

fn ballot(files: &[SignatureFile]) -> Ballot<'_> {
    Ballot { record: RECORD, files, purpose: Purpose::Resume, at: Timestamp::from_second(1_800_000_000).unwrap() }
}

fn counted(policy: &ResumePolicy, files: &[SignatureFile]) -> Quorum {
    let credentials = credentials("dora");
    let conflicts = Conflicts { operators: &[], compromised: &[], credentials: &credentials };
    count(policy, &conflicts, &ballot(files)).unwrap()
}

#[test]
fn two_people_are_a_quorum_of_two() {
    let quorum = counted(&three("threshold: 2"), &signed(&[1, 2]));
    assert!(quorum.is_met(), "{quorum:?}");
    assert_eq!(quorum.people.keys().collect::<Vec<_>>(), ["alice", "bob"]);
}

#[test]
fn one_person_counts_once_however_they_sign() {
    let policy = three("threshold: 2");
    let sha256 = Form { hash: "sha256", ..Form::default() };
    // The same signature twice; one key, two signatures that differ; one person, two keys.
    for files in [
        signed(&[1, 1]),
        vec![signed(&[1]).remove(0), file(Signer::ed25519(1).sign(RECORD, &sha256))],
        signed(&[1, 11]),
    ] {
        let quorum = counted(&policy, &files);
        assert_eq!(quorum.missing, ["1 of 2 people approved"]);
    }
    let machine_too = [signed(&[1]), signed(&[99])].concat();
    assert!(!counted(&policy, &machine_too).is_met(), "a key that is not on the roster counts for nobody");
}

#[test]
fn roles_are_needed_too() {
    let policy = three("threshold: 2\nroles_required: { security: 1 }");
    assert_eq!(counted(&policy, &signed(&[2, 3])).missing, ["0 of 1 people of role `security` approved"]);
    assert!(counted(&policy, &signed(&[1, 3])).is_met());
}

#[test]
fn operators_and_owners_of_what_leaked_do_not_count() {
    let policy = three("threshold: 2");
    let operators = ["dana".to_owned(), " Bob".to_owned()];
    let compromised = [CredentialId::new("db").unwrap()];
    let owned = credentials("alice");
    let at = |policy: &ResumePolicy, operators: &[String], compromised: &[CredentialId]| {
        let conflicts = Conflicts { operators, compromised, credentials: &owned };
        count(policy, &conflicts, &ballot(&signed(&[1, 2]))).unwrap()
    };
    assert!(at(&policy, &[], &[]).is_met());
    let quorum = at(&policy, &operators, &[]);
    assert!(quorum.refused[0].1.contains("bob acted in this incident"), "{quorum:?}");
    assert!(!quorum.is_met());
    let quorum = at(&policy, &[], &compromised);
    assert!(quorum.refused[0].1.contains("alice owns the compromised credential `db`"), "{quorum:?}");
    assert!(!quorum.is_met());
    let lax = three("threshold: 2\noperators_may_approve: true\nowners_of_compromised_may_approve: true");
    assert!(at(&lax, &operators, &compromised).is_met());
}

#[test]
fn revoked_people_and_strangers_do_not_count() {
    let people = [("alice", vec![key(1)], ""), ("bob", vec![key(2)], "revoked: true"), ("carol", vec![key(3)], "")];
    let policy = policy("threshold: 2", &people);
    let quorum = counted(&policy, &signed(&[1, 2, 42]));
    assert_eq!(quorum.missing, ["1 of 2 people approved"]);
    assert_eq!(quorum.refused[0].1, "bob is revoked");
    assert!(quorum.refused[1].1.contains("belongs to nobody"));
    assert!(counted(&policy, &signed(&[1, 3])).is_met());
}

#[test]
fn user_verification_is_asked_of_those_whom_policy_names() {
    let form = |flags| Form { hardware: Some(("ssh:".into(), flags)), ..Form::default() };
    let line = Signer::p256();
    let people = [("alice", vec![line.line(&form(1))], "require_user_verification: true")];
    let policy = policy("threshold: 1", &people);
    let quorum = counted(&policy, &[file(line.sign(RECORD, &form(1)))]);
    assert!(quorum.refused[0].1.contains("verified its user"), "{quorum:?}");
    assert!(counted(&policy, &[file(line.sign(RECORD, &form(5)))]).is_met());
}

#[test]
fn a_signature_over_other_bytes_does_not_count() {
    let other = file(Signer::ed25519(1).sign(b"{ }\n", &Form::default()));
    let quorum = counted(&three("threshold: 1"), &[other]);
    assert_eq!(quorum.refused[0].1, "the signature is refused: it is not a signature over this record");
}

#[test]
fn a_roster_that_decides_nothing_safely_is_refused() {
    let refused = |policy: &ResumePolicy| Roster::new(policy).unwrap_err();
    assert_eq!(refused(&three("threshold: 0")), RosterError::NoThreshold);
    assert_eq!(refused(&three("threshold: 4")), RosterError::TooHigh { threshold: 4, people: 3 });
    assert!(matches!(
        refused(&three("threshold: 1\nroles_required: { legal: 1 }")),
        RosterError::Role { needed: 1, people: 0, .. }
    ));
    let empty = crate::policy::parse("resume.yml", "version: 1\nthreshold: 1\napprovers: []\n").unwrap();
    assert_eq!(refused(&empty), RosterError::Empty);
    let shared = policy("threshold: 2", &[("alice", vec![key(1)], ""), ("bob", vec![key(1)], "")]);
    assert!(matches!(refused(&shared), RosterError::SharedKey { .. }));
    let twice = policy("threshold: 2", &[("alice", vec![key(1)], ""), ("Alice", vec![key(2)], "")]);
    assert!(matches!(refused(&twice), RosterError::Twice(_)));
    let path = policy("threshold: 1", &[("../alice", vec![key(1)], "")]);
    assert!(matches!(refused(&path), RosterError::Name(_)));
    let weak = format!("ssh-ed25519 {}", "AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let weak = policy("threshold: 1", &[("alice", vec![weak], "")]);
    assert!(matches!(refused(&weak), RosterError::Key { source: KeyError::Weak, number: 1, .. }));
    let unenrolled = policy("threshold: 1", &[("alice", vec![], "")]);
    assert!(matches!(refused(&unenrolled), RosterError::TooHigh { people: 0, .. }));
    let negative: Result<ResumePolicy, _> =
        crate::policy::parse("resume.yml", "version: 1\nthreshold: -1\napprovers: []\n");
    assert!(negative.is_err());
    let missing: Result<ResumePolicy, _> = crate::policy::parse("resume.yml", "version: 1\napprovers: []\n");
    assert!(missing.is_err());
}

#[test]
fn thousands_of_files_are_refused_without_looking_at_them() {
    let files = vec![file(vec![b'x'; 100_000]); 5000];
    let quorum = counted(&three("threshold: 1"), &files);
    assert!(!quorum.is_met());
    assert!(quorum.refused.is_empty(), "none was even parsed");
}

#[test]
fn an_owner_with_blanks_around_the_name_is_the_same_person() {
    let policy = three("threshold: 2");
    let owned = credentials("\" carol \"");
    let compromised: Vec<CredentialId> = owned.credentials.iter().map(|credential| credential.id.clone()).collect();
    let conflicts = Conflicts { operators: &[], compromised: &compromised, credentials: &owned };
    assert!(matches!(conflicts.check(&policy, "carol"), Err(ApprovalError::Owner(..))));
}
