//! What a scan found, by rule: what a person reads first when there are more findings than a screen holds.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::{Finding, Level, Timestamp};
use crate::ui::{Printer, Style, clean};

/// How a level looks.
pub fn level_style(level: Level) -> Style {
    match level {
        Level::Critical | Level::High => Style::Bad,
        Level::Medium => Style::Warn,
        Level::Low | Level::Informational => Style::Dim,
    }
}

/// So many findings are read one by one as well.
const FEW: u64 = 10;

/// The findings of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfRule {
    /// Its id.
    pub rule: String,
    /// Its title.
    pub title: String,
    /// The highest level that it gave.
    pub level: Level,
    /// How many there are.
    pub findings: u64,
    /// The time of the earliest; absent where none has a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// The time of the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
}

/// Counts findings by rule.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<String, OfRule>);

impl Tally {
    /// Counts a finding; says how many its rule has now.
    pub fn add(&mut self, finding: &Finding) -> u64 {
        let rule = &finding.rule;
        let one = self.0.entry(rule.id.clone()).or_insert_with(|| OfRule {
            rule: rule.id.clone(),
            title: rule.title.clone(),
            level: rule.level,
            findings: 0,
            first: None,
            last: None,
        });
        one.findings += 1;
        one.level = one.level.max(rule.level);
        if let Some(time) = finding.time {
            one.first = Some(one.first.map_or(time, |first| first.min(time)));
            one.last = Some(one.last.map_or(time, |last| last.max(time)));
        }
        one.findings
    }

    /// The rules that found something, the worst first, then those with the most findings.
    pub fn rules(&self) -> Vec<OfRule> {
        let mut rules: Vec<OfRule> = self.0.values().cloned().collect();
        rules.sort_by_key(|one| (std::cmp::Reverse((one.level, one.findings)), one.rule.clone()));
        rules
    }
}

/// Titles up to so many letters stand in a column.
const TITLE: usize = 48;

/// A line for each rule; nothing where the findings are few enough to be read themselves.
pub fn text(rules: &[OfRule], printer: &Printer) -> String {
    let all: u64 = rules.iter().map(|one| one.findings).sum();
    if all <= FEW {
        return String::new();
    }
    let digits = rules.iter().map(|one| one.findings).max().unwrap_or(0).to_string().len();
    let titles: Vec<String> = rules.iter().map(|one| clean(&one.title).into_owned()).collect();
    let widest = titles.iter().map(|title| title.chars().count()).max().unwrap_or(0).min(TITLE);
    let line = |(one, title): (&OfRule, &String)| {
        let level = printer.paint(level_style(one.level), format!("{:<13}", one.level));
        let when = match (one.first, one.last) {
            (Some(first), Some(last)) if first == last => format!("  {first}"),
            (Some(first), Some(last)) => format!("  {first} .. {last}"),
            _ => String::new(),
        };
        let line = format!("\n  {level} {:>digits$}  {title:<widest$}{when}", one.findings);
        line.trim_end().to_owned()
    };
    rules.iter().zip(&titles).map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::domain::{FindingKind, RuleRef, Source};

    fn finding(rule: &str, level: Level, second: Option<i64>) -> Finding {
        Finding {
            id: String::new(),
            kind: FindingKind::Log,
            rule: RuleRef { id: rule.into(), title: format!("Title of {rule}"), level },
            time: second.map(|second| Timestamp::from_millisecond(second * 1000).unwrap()),
            source: Source::Table { table: "Trade".into(), key: Map::new() },
            matched: Map::new(),
            event: Map::new(),
        }
    }

    fn counted(found: &[Finding]) -> Vec<OfRule> {
        let mut tally = Tally::default();
        for finding in found {
            tally.add(finding);
        }
        tally.rules()
    }

    #[test]
    fn the_worst_come_first_with_their_number_and_times() {
        let found: Vec<Finding> = (0..12)
            .map(|n| finding("many", Level::Low, Some(100 - n)))
            .chain([finding("bad", Level::Critical, None), finding("worse", Level::Critical, Some(5))])
            .chain([finding("worse", Level::High, None)])
            .collect();
        let rules = counted(&found);
        let told: Vec<_> = rules.iter().map(|one| (one.rule.as_str(), one.level, one.findings)).collect();
        assert_eq!(told, [("worse", Level::Critical, 2), ("bad", Level::Critical, 1), ("many", Level::Low, 12)]);
        let printer = Printer::new(crate::ui::Format::Text, crate::ui::ColorChoice::Never, true);
        let lines = text(&rules, &printer);
        let lines: Vec<_> = lines.lines().collect();
        let expected = [
            "",
            "  critical       2  Title of worse  1970-01-01T00:00:05Z",
            "  critical       1  Title of bad",
            "  low           12  Title of many   1970-01-01T00:01:29Z .. 1970-01-01T00:01:40Z",
        ];
        assert_eq!(lines, expected);
        assert_eq!(text(&counted(&found[..10]), &printer), "");
    }
}
