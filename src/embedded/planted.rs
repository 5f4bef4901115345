use serde::Serialize;
use serde_json::Value;

use crate::domain::{Finding, FindingKind, Source};

/// Something that the intruder left, and what a scan must say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planted {
    /// What was done.
    pub what: &'static str,
    /// Where it lies, for people.
    pub place: String,
    /// The finding that must appear.
    pub expect: Expect,
}

/// A finding that must appear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "expect", rename_all = "lowercase")]
pub enum Expect {
    /// A finding of that rule on a row from `first` to `last`.
    Row {
        /// Rule id.
        rule: &'static str,
        /// First id.
        first: i64,
        /// Last id.
        last: i64,
    },
    /// A finding of `deleted-rows` for exactly that range of ids.
    Gap {
        /// First missing id.
        first: i64,
        /// Last missing id.
        last: i64,
    },
    /// A finding on one of the lines of a file.
    Line {
        /// `log` or `secret`.
        kind: FindingKind,
        /// File name.
        file: &'static str,
        /// First line, from 1.
        first: u64,
        /// Last line.
        last: u64,
    },
    /// A finding that names a database object.
    Object {
        /// Its name.
        name: &'static str,
    },
}

impl Planted {
    /// The scan that must find it, as `resume.yml` names it.
    pub fn scan(&self) -> &'static str {
        match &self.expect {
            Expect::Row { .. } | Expect::Gap { .. } => "trades",
            Expect::Line { kind: FindingKind::Secret, .. } => "secrets",
            Expect::Line { .. } => "logs",
            Expect::Object { .. } => "database",
        }
    }

    /// Whether that finding is of what was left, by whichever rule.
    pub fn covers(&self, finding: &Finding) -> bool {
        match (&self.expect, &finding.source) {
            (Expect::Row { first, last, .. }, Source::Table { key, .. }) => {
                finding.kind == FindingKind::Trade
                    && row_id(key.get("id")).is_some_and(|id| (*first..=*last).contains(&id))
            }
            _ => self.is_found_by(finding),
        }
    }

    /// Whether that finding is the one that must appear.
    pub fn is_found_by(&self, finding: &Finding) -> bool {
        match (&self.expect, &finding.source) {
            (Expect::Row { rule, first, last }, Source::Table { key, .. }) => {
                finding.kind == FindingKind::Trade
                    && finding.rule.id == *rule
                    && row_id(key.get("id")).is_some_and(|id| (*first..=*last).contains(&id))
            }
            (Expect::Gap { first, last }, Source::Table { .. }) => {
                let edge = |name: &str| finding.matched.get(name).and_then(Value::as_i64);
                finding.kind == FindingKind::Trade
                    && edge("first_missing") == Some(*first)
                    && edge("last_missing") == Some(*last)
            }
            (Expect::Line { kind, file, first, last }, Source::File { path, line, .. }) => {
                finding.kind == *kind
                    && path.rsplit('/').next() == Some(*file)
                    && line.is_some_and(|line| (*first..=*last).contains(&line))
            }
            (Expect::Object { name }, Source::Table { table, key }) => {
                let named = |value: &Value| value.as_str().is_some_and(|text| text.contains(name));
                finding.kind == FindingKind::Database && (table.contains(name) || key.values().any(named))
            }
            _ => false,
        }
    }
}

fn row_id(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::domain::{Level, RuleRef};

    fn finding(kind: FindingKind, rule: &str, source: Source) -> Finding {
        Finding {
            id: String::new(),
            kind,
            rule: RuleRef { id: rule.into(), title: String::new(), level: Level::High },
            time: None,
            source,
            matched: Map::new(),
            event: Map::new(),
        }
    }

    fn row(rule: &str, id: &Value) -> Finding {
        let key = [("id".to_owned(), id.clone())].into_iter().collect();
        finding(FindingKind::Trade, rule, Source::Table { table: "Trade".into(), key })
    }

    #[test]
    fn only_the_right_finding_counts() {
        let planted =
            Planted { what: "x", place: String::new(), expect: Expect::Row { rule: "burst", first: 5, last: 7 } };
        assert!(planted.is_found_by(&row("burst", &json!("6"))));
        for other in [row("burst", &json!("8")), row("over-limit", &json!("6")), row("burst", &json!(null))] {
            assert!(!planted.is_found_by(&other));
        }
        let line = |path: &str, line| {
            finding(
                FindingKind::Log,
                "r",
                Source::File { path: path.into(), record: 0, line: Some(line), offset: None },
            )
        };
        let expect = Expect::Line { kind: FindingKind::Log, file: "access.log", first: 3, last: 3 };
        let planted = Planted { what: "x", place: String::new(), expect };
        assert!(planted.is_found_by(&line("/tmp/d/logs/access.log", 3)));
        assert!(!planted.is_found_by(&line("/tmp/d/logs/access.log", 4)));
        assert!(!planted.is_found_by(&line("/tmp/d/logs/app.log", 3)));
    }
}
