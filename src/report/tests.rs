use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::domain::{Digest, Finding, FindingKind, IncidentId, Level, RuleRef, Source, Timestamp, finding_id};
use crate::ledger::{Entry, Event, IncidentState};

/// Text that tries everything: tags, attributes, scripts, terminal escapes, a reversed name.
const HOSTILE: &str =
    "<script>alert(1)</script>\"' onload=x ]]> --> ${7*7} \u{1b}[2J\u{202e}gpj.exe [a](javascript:b) |=cmd()";

pub(super) fn report(findings: usize) -> Report {
    let at = |second: i64| Timestamp::from_second(1_795_500_000 + second).unwrap();
    let opened = Event::IncidentOpened {
        incident: IncidentId::new("inc-1").unwrap(),
        reason: HOSTILE.into(),
        operator: HOSTILE.into(),
        compromised: vec![],
        nonce: String::new(),
        machine_key: HOSTILE.into(),
        policies: BTreeMap::new(),
        version: String::new(),
    };
    let proof = Event::PauseProof { refused: true, pause_ms: 41, detail: HOSTILE.into() };
    let decided = Event::FindingDisposed {
        findings: vec!["0".repeat(32)],
        verdict: "benign".into(),
        note: HOSTILE.into(),
        operator: HOSTILE.into(),
    };
    let entries: Vec<Entry> = [opened, proof, decided]
        .into_iter()
        .zip(0..)
        .map(|(event, seq)| Entry { seq, time: at(i64::try_from(seq).unwrap()), event })
        .collect();
    let found: Vec<Finding> = (0..findings).map(finding).collect();
    let state = IncidentState::replay(&entries).unwrap();
    let facts = Facts {
        state: &state,
        entries: &entries,
        root: Digest::of(b""),
        findings: &found,
        rto_minutes: 15,
        rpo_minutes: 60,
        made: at(100),
    };
    build(&facts).unwrap()
}

fn finding(number: usize) -> Finding {
    let serde_json::Value::Object(key) = json!({ "id": number.to_string() }) else { unreachable!() };
    let serde_json::Value::Object(fields) = json!({ "user": HOSTILE, "ip": "203.0.113.9", HOSTILE: HOSTILE }) else {
        unreachable!()
    };
    let source = if number.is_multiple_of(2) {
        Source::Table { table: HOSTILE.into(), key }
    } else {
        Source::File {
            path: format!("logs/{HOSTILE}.log"),
            record: number as u64,
            line: Some(number as u64),
            offset: None,
        }
    };
    Finding {
        id: finding_id(FindingKind::Log, "r", &source),
        kind: FindingKind::Log,
        rule: RuleRef {
            id: HOSTILE.into(),
            title: format!("{HOSTILE} {}", number % 40),
            level: Level::ALL[number % 5],
        },
        time: (!number.is_multiple_of(7))
            .then(|| Timestamp::from_second(1_795_400_000 + i64::try_from(number).unwrap() * 13).unwrap()),
        source,
        matched: fields.clone(),
        event: fields,
    }
}

#[test]
fn hostile_text_is_shown_and_never_obeyed() {
    let page = html(&report(60));
    let lower = page.to_lowercase();
    assert!(!lower.contains("<script") && !lower.contains("javascript:b\""), "no script, no link");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "it is shown as text");
    assert!(!page.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'));
    assert!(!page.contains("href=\"http") && !page.contains("src="), "nothing is loaded");
    let paper = markdown(&report(60));
    let unescaped = paper.replace("\\<", "").replace("\\]", "");
    assert!(!unescaped.contains('<') && !unescaped.contains("]("), "{paper}");
    let rows = String::from_utf8(Form::Csv.render(&report(60)).unwrap()).unwrap();
    assert_eq!(rows.split("\r\n").count(), 62, "a row a finding, the head, and the end");
}

#[test]
fn every_form_is_the_same_for_the_same_facts_and_of_bounded_size() {
    for form in Form::ALL {
        let bytes = form.render(&report(200)).unwrap();
        assert_eq!(bytes, form.render(&report(200)).unwrap(), "{form:?}");
        assert!(!bytes.is_empty());
        assert_eq!(form.as_str().parse::<Form>().unwrap(), form);
    }
    let page = html(&report(5_000));
    assert!(page.len() < 5 << 20, "{} bytes", page.len());
    assert!(page.matches("<tr><td>").count() > 5_000, "every finding is written out");
}

#[test]
fn what_is_left_out_is_said() {
    let page = html(&report(10_050));
    assert!(page.contains("50 more findings are not written out here"));
}
