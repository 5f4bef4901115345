//! Every rule that comes with the program, on an event that it must find and on one that it must not.

use super::shipped_cases::{AGENTS, CASES, REQUESTS, correlated};
use super::*;
use crate::policy::shipped::SHIPPED;

/// The rule files by name.
fn shipped() -> Vec<(&'static str, &'static str)> {
    let is_rule = |(path, text): &&(&str, &str)| path.starts_with("logs/") && !Terms::are_in(path, text);
    SHIPPED.iter().filter(is_rule).copied().collect()
}

/// Findings of one shipped file in a text.
fn found_by(name: &str, text: &str) -> Vec<crate::domain::Finding> {
    let path = format!("logs/{name}.yml");
    let file = shipped().into_iter().find(|(is, _)| *is == path).unwrap_or_else(|| panic!("no {path}"));
    let rules = Ruleset::from_texts([file]);
    assert_eq!(rules.skipped(), [], "{name}");
    let mut found = Vec::new();
    let coverage = scan_reader(&rules, "x", text.as_bytes(), &ScanOptions::default(), &mut |f| found.push(f));
    assert_eq!((coverage.events, coverage.broken), (text.lines().count() as u64, 0), "{name}");
    found
}

#[test]
fn every_shipped_rule_finds_its_event_and_spares_the_other() {
    let correlated = correlated();
    assert_eq!(shipped().len(), CASES.len() + correlated.len());
    let single = CASES.iter().map(|(name, yes, no)| (*name, (*yes).to_owned(), (*no).to_owned()));
    for (name, positive, negative) in single.chain(correlated) {
        assert!(!found_by(name, &positive).is_empty(), "{name} misses {positive}");
        assert_eq!(found_by(name, &negative), [], "{name} finds {negative}");
    }
}

#[test]
fn attacks_are_found_however_they_are_written_and_what_looks_like_them_is_not() {
    let line = |request: &str, agent: &str| {
        format!("192.0.2.7 - - [24/Nov/2026:01:02:03 +0000] \"GET {request} HTTP/1.1\" 200 5 \"-\" \"{agent}\"")
    };
    let mut wrong = Vec::new();
    let mut check = |name: &str, line: String, wanted: bool| {
        if found_by(name, &line).is_empty() == wanted {
            wrong.push(format!("{name} {} {line}", if wanted { "misses" } else { "finds" }));
        }
    };
    for (name, yes, no) in REQUESTS {
        yes.iter().for_each(|request| check(name, line(request, "x"), true));
        no.iter().for_each(|request| check(name, line(request, "x"), false));
    }
    AGENTS.0.iter().for_each(|agent| check("scanner-user-agent", line("/", agent), true));
    AGENTS.1.iter().for_each(|agent| check("scanner-user-agent", line("/", agent), false));
    assert_eq!(wrong, [] as [&str; 0]);
}

#[test]
fn a_guessed_password_is_worse_than_guessing() {
    let (_, text, _) = correlated().into_iter().find(|(name, ..)| *name == "ssh-brute-force").unwrap();
    let found = found_by("ssh-brute-force", &text);
    let last = found.last().unwrap();
    assert_eq!((last.rule.level, &last.matched["src_ip"]), (crate::domain::Level::Critical, &"1.2.3.4".into()));
}

/// A rule that nothing in raw bytes can rule out makes every event of every log be parsed.
#[test]
fn the_shipped_rules_are_quick() {
    let rules = Ruleset::from_texts(shipped());
    assert_eq!(rules.skipped(), []);
    for format in formats::Format::ALL {
        let slow: Vec<&str> = rules.unfiltered(format).map(|rule| rule.file.as_str()).collect();
        assert_eq!(slow, [] as [&str; 0], "{format:?}");
    }
}

#[test]
fn the_shipped_rules_say_what_they_are() {
    for (path, text) in shipped() {
        let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        assert!(ids.clone().count() > 0 && ids.clone().all(|id| id.len() == 36), "{path}");
        for document in text.split("\n---\n") {
            for part in ["title: ", "description: ", "level: ", "  - attack.t1", "falsepositives:"] {
                assert!(document.contains(part), "{path} has no {part}");
            }
        }
    }
}
