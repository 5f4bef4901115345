//! The one form of a record: what every reader of JSON understands alike, and nothing longer or of another type.

use serde_json::json;

use super::*;
use crate::gate::fixture::Fixture;

fn record() -> Statement {
    Statement::parse(&Fixture::new().input().record.unwrap()).unwrap()
}

#[test]
fn the_longest_record_is_written_and_read_and_no_longer_one() {
    let mut longest = record();
    let room = MAX_RECORD_BYTES - longest.encode().unwrap().len();
    longest.predicate.incident.reason.push_str(&"x".repeat(room));
    let bytes = longest.encode().unwrap();
    assert_eq!((bytes.len(), MAX_RECORD_BYTES), (MAX_RECORD_BYTES, 8 * 1024 * 1024));
    assert_eq!(Statement::parse(&bytes).unwrap(), longest);
    let mut longer = longest;
    longer.predicate.incident.reason.push_str("xx");
    assert!(matches!(longer.encode(), Err(RecordError::TooLong)));
    assert!(matches!(Statement::parse(&vec![b' '; MAX_RECORD_BYTES + 1]), Err(RecordError::TooLong)));
    assert!(matches!(Statement::parse(&vec![b' '; MAX_RECORD_BYTES]), Err(RecordError::Malformed { .. })));
}

#[test]
fn a_record_of_another_type_is_named_by_that_type() {
    let found = |change: fn(&mut Statement)| {
        let mut record = record();
        change(&mut record);
        match Statement::parse(&record.encode().unwrap()) {
            Err(RecordError::Type(found)) => found,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        found(|record| record.kind = "https://in-toto.io/Statement/v0.1".into()),
        "https://in-toto.io/Statement/v0.1"
    );
    assert_eq!(
        found(|record| record.predicate_type = "https://slsa.dev/provenance/v1".into()),
        "https://slsa.dev/provenance/v1"
    );
    assert_eq!(found(|record| record.predicate_type = BREAK_GLASS_TYPE.into()), BREAK_GLASS_TYPE);
}

#[test]
fn a_record_is_about_one_root_and_nothing_beside() {
    let mut record = record();
    let root = record.predicate.ledger.root;
    assert_eq!(record.root(), Some(&root));
    record.subject[0].digest.insert("sha256".into(), Digest::of(b"a file"));
    assert_eq!(record.root(), None, "two digests");
    record.subject[0].digest.remove(ROOT_DIGEST);
    assert_eq!(record.root(), None, "one digest, of another kind");
    record.subject[0].digest = [(ROOT_DIGEST.to_owned(), root)].into();
    record.subject.push(record.subject[0].clone());
    assert_eq!(record.root(), None, "two subjects");
    record.subject.clear();
    assert_eq!(record.root(), None);
}

#[test]
fn integers_below_two_to_the_53_stay_numbers_and_all_others_become_text() {
    let most: i64 = 9_007_199_254_740_991;
    for number in [0, 1, -1, -5, most, -most] {
        assert_eq!(made_exact(&json!(number)), json!(number));
        assert!(exact(&json!(number)), "{number}");
    }
    for (number, text) in [
        (json!(most + 1), "9007199254740992"),
        (json!(-most - 1), "-9007199254740992"),
        (json!(most + 2), "9007199254740993"),
        (json!(u64::MAX), "18446744073709551615"),
        (json!(i64::MIN), "-9223372036854775808"),
        (json!(0.5), "0.5"),
        (json!(3.0), "3.0"),
    ] {
        assert!(!exact(&number) && !exact(&json!([number])) && !exact(&json!({ "a": number })), "{number}");
        let expected = json!({ "a": [text, null, true, "7"] });
        assert_eq!(made_exact(&json!({ "a": [number, null, true, "7"] })), expected);
    }
}
