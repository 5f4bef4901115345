//! How findings and summaries are shown, and how they get into the case.

use bigdecimal::BigDecimal;
use serde::Serialize;
use serde_json::{Map, Value};

use super::tally::{self, OfRule, Tally, level_style};
use super::{Context, Exit, Failure, journal_failure};
use crate::detect::secrets::Redactor;
use crate::domain::{Finding, Source, counted};
use crate::engine::{Deployment, Journal, findings, known_values};
use crate::ui::{Format, Printer, Record, Style, clean};
use secrecy::ExposeSecret;

/// A finding's record.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct FindingRecord<'a>(pub &'a Finding);

impl Record for FindingRecord<'_> {
    const TYPE: &'static str = "finding";
    fn text(&self, printer: &Printer) -> String {
        let finding = self.0;
        let level = printer.paint(level_style(finding.rule.level), format!("{:<13}", finding.rule.level));
        let time = finding.time.map_or("-".to_owned(), |time| time.to_string());
        let place = match &finding.source {
            Source::File { path, line: Some(line), .. } => format!("{path}:{line}"),
            Source::File { path, record, .. } => format!("{path} record {record}"),
            Source::Table { table, key } => {
                let key: Vec<_> = key.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
                format!("{table} {}", key.join(" "))
            }
        };
        let mut text =
            format!("  {level} {time:<24} {}\n                {}", clean(&finding.rule.title), clean(&place));
        let why: Vec<_> = finding.matched.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect();
        let why = why.join("; ");
        let shown: String = clean(&why).chars().take(300).collect();
        if !shown.is_empty() {
            text.push_str(&format!("\n                {}", printer.paint(Style::Dim, shown)));
        }
        text
    }
}

/// Findings of one rule that a terminal is given: nobody reads more there.
const ON_A_TERMINAL: u64 = 50;

/// Prints findings as they come: into a file or a pipe all of them, on a terminal the first of each rule, and at the end how many more there are.
#[derive(Debug)]
pub struct Shown {
    bounded: bool,
    tally: Tally,
}

impl Shown {
    /// None was shown yet.
    pub fn new(printer: &Printer) -> Self {
        let bounded = printer.watched().out && printer.format() == Format::Text;
        Self { bounded, tally: Tally::default() }
    }

    /// Prints a finding, or counts it.
    pub fn give(&mut self, printer: &Printer, finding: &Finding) {
        if self.counts(finding) {
            printer.emit(&FindingRecord(finding));
        }
    }

    /// Whether it is one of those that are printed.
    fn counts(&mut self, finding: &Finding) -> bool {
        let number = self.tally.add(finding);
        !self.bounded || number <= ON_A_TERMINAL
    }

    /// Says what was not printed, and how to see it; gives the findings by rule.
    pub fn end(self, printer: &Printer) -> Vec<OfRule> {
        let rules = self.tally.rules();
        let more = rules.iter().filter(|one| one.findings > ON_A_TERMINAL);
        if self.bounded && more.count() > 0 {
            printer.say(
                "  (a terminal is shown the first 50 of each rule: send the output into a file or a pager for all)",
            );
        }
        rules
    }
}

/// A time that a scan took: milliseconds as long as they are few.
pub fn took(ms: u64) -> String {
    if ms < 10_000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1000, ms % 1000 / 100) }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // Ten, not 10.0: sums and counts of correlations are of one type.
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap_or_default().to_string(),
        other => other.to_string(),
    }
}

/// The `summary` of a scan.
#[derive(Debug, Serialize)]
pub struct ScanSummary {
    #[serde(flatten)]
    scan: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    by_rule: Vec<OfRule>,
}

impl Record for ScanSummary {
    const TYPE: &'static str = "summary";
    fn text(&self, printer: &Printer) -> String {
        let number = |name: &str| self.scan.get(name).and_then(Value::as_u64);
        let mut parts = Vec::new();
        let (one, many, rule, rules) = match self.scan.get("scan").and_then(Value::as_str) {
            Some("trades") => ("row", "rows", "policy", "policies"),
            Some("database") => ("object", "objects", "check", "checks"),
            _ => ("event", "events", "rule", "rules"),
        };
        for (name, one, many) in
            [("files", "file", "files"), ("bytes", "byte", "bytes"), ("events", one, many), ("rules", rule, rules)]
        {
            if let Some(count) = number(name) {
                parts.push(counted(count, one, many));
            }
        }
        let found = number("findings").unwrap_or(0);
        let style = if found == 0 { Style::Good } else { Style::Bad };
        let head = printer.paint(style, counted(found, "finding", "findings"));
        let ms = number("elapsed_ms").map_or(String::new(), |ms| format!(" in {}", took(ms)));
        let mut text = format!("\n{head} in {}{ms}", parts.join(", "));
        text.push_str(&tally::text(&self.by_rule, printer));
        text.extend(self.scan.get("money_at_risk").and_then(at_risk));
        for (required, reason, whose) in gaps(self.scan.get("uncovered").and_then(Value::as_array)) {
            let (word, style) =
                if required { ("NOT COVERED", Style::Warn) } else { ("left out, not required", Style::Dim) };
            text.push_str(&format!("\n  {} {}", printer.paint(style, format!("{word}:")), clean(&reason)));
            text.push_str(&format!("\n      {}", clean(&whose.join(", "))));
        }
        for (name, word) in [
            ("unreadable", "NOT READ"),
            ("rules_skipped", "rule skipped"),
            ("unmapped_columns", "column without a role"),
        ] {
            for item in self.scan.get(name).and_then(Value::as_array).into_iter().flatten() {
                let words = match item {
                    Value::Object(fields) => fields.values().map(plain).collect::<Vec<_>>().join(": "),
                    other => plain(other),
                };
                text.push_str(&format!("\n  {} {}", printer.paint(Style::Warn, format!("{word}:")), clean(&words)));
            }
        }
        text
    }
}

/// Accounts that are named under the money at risk; the JSON has more.
const ACCOUNTS: usize = 5;

/// What the trades with a finding at `high` or above are worth, in all and by account; nothing if there is none.
fn at_risk(money: &Value) -> Option<String> {
    let total = money.get("total").map(plain).filter(|total| total != "0")?;
    let amount = |worth: &Value| plain(worth).parse::<BigDecimal>().unwrap_or_default();
    let mut accounts: Vec<(&String, &Value)> = money.get("accounts")?.as_object()?.iter().collect();
    accounts.sort_by_key(|(_, worth)| std::cmp::Reverse(amount(worth)));
    let unnamed = money.get("accounts_not_named").and_then(Value::as_u64).unwrap_or(0);
    let count = accounts.len() as u64 + unnamed;
    let mut text = format!("\n  money at risk: {} in {}", clean(&total), counted(count, "account", "accounts"));
    for (account, worth) in accounts.iter().take(ACCOUNTS) {
        text.push_str(&format!("\n      {:<24} {}", clean(account), clean(&plain(worth))));
    }
    if count > ACCOUNTS as u64 {
        text.push_str(&format!("\n      and {} more", count - ACCOUNTS as u64));
    }
    Some(text)
}

/// Reasons why something was not covered, each once, with what it kept from being evaluated; what the policies require comes first.
fn gaps(items: Option<&Vec<Value>>) -> Vec<(bool, String, Vec<String>)> {
    let mut found: Vec<(bool, String, Vec<String>)> = Vec::new();
    for item in items.into_iter().flatten() {
        let text = |name: &str| item.get(name).map(plain);
        let required = item.get("optional") != Some(&Value::Bool(true));
        let (whose, reason) = match (text("policy"), text("reason")) {
            (Some(policy), Some(reason)) => (policy, reason),
            _ => (String::new(), plain(item)),
        };
        match found.iter_mut().find(|one| one.0 == required && one.1 == reason) {
            Some(known) => known.2.push(whose),
            None => found.push((required, reason, vec![whose])),
        }
    }
    found.sort_by_key(|one| !one.0);
    found
}

/// Opens the case that findings belong to: `--incident`, or the open one; `None` if there is none.
pub fn case(ctx: &Context, deployment: &Deployment) -> Result<Option<Journal>, Failure> {
    if ctx.incident.is_none() && ctx.open_incidents(deployment)?.is_empty() {
        return Ok(None);
    }
    ctx.open_case(deployment).map(Some)
}

/// Prints findings and summary, and records them if there is a case. The exit code says what was found.
pub async fn conclude(
    ctx: &Context,
    deployment: &Deployment,
    journal: Option<&Journal>,
    scan: &str,
    mut found: Vec<Finding>,
    summary: Map<String, Value>,
    complete: bool,
) -> Result<Exit, Failure> {
    let redactor = redactor(deployment).await;
    for finding in &mut found {
        redactor.redact(finding);
    }
    let mut shown = Shown::new(&ctx.printer);
    for finding in &found {
        shown.give(&ctx.printer, finding);
    }
    let by_rule = shown.end(&ctx.printer);
    keep(ctx, journal, scan, &found, by_rule, summary, complete)
}

/// Takes the values of the deployment's credentials out of findings.
pub async fn redactor(deployment: &Deployment) -> Redactor {
    let values = known_values(deployment, &mut Vec::new()).await;
    let pairs: Vec<_> = values.iter().map(|(id, value)| (id.as_str(), value.expose_secret())).collect();
    Redactor::new(&pairs)
}

/// Records findings that were printed already, if there is a case, and prints the summary. The exit code says what was found.
pub fn keep(
    ctx: &Context,
    journal: Option<&Journal>,
    scan: &str,
    found: &[Finding],
    by_rule: Vec<OfRule>,
    summary: Map<String, Value>,
    complete: bool,
) -> Result<Exit, Failure> {
    if let Some(journal) = journal {
        findings::record_scan(journal, scan, found, summary.clone(), complete)
            .map_err(|error| journal_failure(&error))?;
        journal.checkpoint().map_err(|error| journal_failure(&error))?;
    }
    ctx.printer.emit(&ScanSummary { scan: summary, by_rule });
    Ok(if !found.is_empty() {
        Exit::Findings
    } else if complete {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Level;

    #[test]
    fn a_reason_is_said_once_and_what_is_required_first() {
        let items = json!([
            {"policy": "wash", "reason": "no account", "optional": true},
            {"policy": "burst", "reason": "no key"},
            {"policy": "closed-account", "reason": "no account", "optional": true},
            {"policy": "revoked-key", "reason": "no key"},
        ]);
        let said: Vec<_> = gaps(items.as_array())
            .into_iter()
            .map(|(required, reason, whose)| (required, reason, whose.join(" ")))
            .collect();
        let expected = [(true, "no key", "burst revoked-key"), (false, "no account", "wash closed-account")];
        assert_eq!(said, expected.map(|(required, reason, whose)| (required, reason.to_owned(), whose.to_owned())));
        assert_eq!(gaps(None), []);
    }

    #[test]
    fn money_at_risk_is_said_with_the_accounts_that_have_most_of_it() {
        let accounts: Map<String, Value> = (1..=7).map(|n| (format!("a{n}"), json!(format!("{}", n * 9)))).collect();
        let money = json!({"total": "252.5", "accounts": accounts, "accounts_not_named": 3});
        let text = at_risk(&money).unwrap();
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let expected =
            ["", "money at risk: 252.5 in 10 accounts", "a7 63", "a6 54", "a5 45", "a4 36", "a3 27", "and 5 more"];
        assert_eq!(lines, expected);
        assert_eq!(at_risk(&json!({"total": "0", "accounts": {}, "accounts_not_named": 0})), None);
    }

    #[test]
    fn numbers_of_things_have_no_fraction() {
        assert_eq!(
            [json!(10.0), json!(2.5), json!(7), json!("10.0"), json!(null)].map(|value| plain(&value)),
            ["10", "2.5", "7", "10.0", "null"]
        );
    }

    #[test]
    fn long_scans_took_seconds() {
        assert_eq!([0, 9_999, 10_000, 75_960].map(took), ["0 ms", "9999 ms", "10.0 s", "75.9 s"]);
    }

    #[test]
    fn a_terminal_is_shown_some_of_each_rule() {
        let finding = |rule: &str| Finding {
            id: String::new(),
            kind: crate::domain::FindingKind::Trade,
            rule: crate::domain::RuleRef { id: rule.into(), title: format!("Title of {rule}"), level: Level::High },
            time: None,
            source: Source::Table { table: "Trade".into(), key: Map::new() },
            matched: Map::new(),
            event: Map::new(),
        };
        let count = |bounded| {
            let mut shown = Shown { bounded, tally: Tally::default() };
            let printed = [("few", 50), ("many", 1_060)]
                .map(|(rule, of)| (0..of).filter(|_| shown.counts(&finding(rule))).count());
            let rules = shown.tally.rules().into_iter().map(|one| (one.rule, one.findings));
            (printed, rules.collect::<Vec<_>>())
        };
        let all = vec![("many".to_owned(), 1_060), ("few".to_owned(), 50)];
        assert_eq!(count(true), ([50, 50], all.clone()));
        assert_eq!(count(false), ([50, 1_060], all));
    }
}
