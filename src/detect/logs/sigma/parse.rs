use serde_json::{Map, Value};

use super::condition::{self, Expr};
use super::correlation::{self, Correlation};
use super::matcher::Node;
use super::modifier;
use crate::detect::logs::logsource::Fieldnames;
use crate::detect::logs::placeholders::Placeholders;
use crate::domain::{Level, RuleRef};

/// Largest rule file, in bytes.
const MAX_FILE: usize = 4 << 20;
/// Most documents in one file.
const MAX_DOCUMENTS: usize = 1_000;
/// Most selections in one rule.
const MAX_SELECTIONS: usize = 1_000;

/// What a rule says about the logs that it is for; lower case, empty where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogSource {
    /// `aws`, `linux`, ...
    pub product: String,
    /// `webserver`, `proxy`, ...
    pub category: String,
    /// `cloudtrail`, `sshd`, ...
    pub service: String,
}

/// A compiled rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Id, title and level. A rule without a level counts as medium, one without an id is known by its title.
    pub rule: RuleRef,
    /// The logs that it is for.
    pub logsource: LogSource,
    /// File that it comes from.
    pub file: String,
    /// Line on which it starts, from 1.
    pub line: u64,
    /// Its name, by which correlations and filters refer to it.
    pub name: Option<String>,
    /// What its log source calls fields.
    pub(in crate::detect::logs) fieldnames: Fieldnames,
    /// Whether a correlation is built on it: then it is run whatever its level.
    pub(in crate::detect::logs) fed: bool,
    /// Fields that correlations need of the events that match.
    pub(in crate::detect::logs) feeds: Vec<String>,
    /// Whether it only feeds correlations, and gives no findings of its own.
    pub(in crate::detect::logs) quiet: bool,
    pub(super) selections: Vec<Node>,
    pub(super) condition: Expr,
    /// Whether it asks for commands: then it is asked about each by itself.
    pub(super) by_command: bool,
}

impl Rule {
    /// Adds a filter: its condition must hold too.
    pub(in crate::detect::logs) fn add(&mut self, filter: &Filter) {
        let shift = self.selections.len();
        self.selections.extend(filter.selections.iter().cloned());
        self.by_command |= filter.selections.iter().any(Node::asks_for_commands);
        let own = std::mem::replace(&mut self.condition, Expr::And(Vec::new()));
        self.condition = Expr::And(vec![own, filter.condition.shifted(shift)]);
    }
}

/// A rule that is not run, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Skipped {
    /// Its id or title where they can be read, its file otherwise.
    pub rule: String,
    /// File.
    pub file: String,
    /// Line of the fault, from 1.
    pub line: u64,
    /// `file:line: reason`.
    pub reason: String,
}

/// What a document of a rule file is.
#[derive(Debug, Clone)]
pub enum Document {
    /// A rule on events.
    Rule(Box<Rule>),
    /// A rule on the events that other rules match.
    Correlation(Box<Correlation>),
    /// A filter on other rules.
    Filter(Box<Filter>),
}

/// A filter (Sigma Filters Specification): its condition must hold too where one of its rules matches.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Title or id.
    pub name: String,
    /// File that it comes from.
    pub file: String,
    /// Line on which it starts, from 1.
    pub line: u64,
    /// Ids or names of the rules; empty for every rule of the log source.
    pub rules: Vec<String>,
    /// The logs that it is for.
    pub logsource: LogSource,
    pub(super) selections: Vec<Node>,
    pub(super) condition: Expr,
}

/// Reads the text of a rule file: every document becomes a rule or the reason why it is skipped.
pub fn parse_file(file: &str, text: &str, placeholders: &Placeholders) -> Vec<Result<Document, Skipped>> {
    let whole = |reason: String| vec![Err(skipped(file, file, 1, &reason))];
    if text.len() > MAX_FILE {
        return whole(format!("the file is larger than {MAX_FILE} bytes"));
    }
    let documents = documents(text);
    if documents.len() > MAX_DOCUMENTS {
        return whole(format!("the file holds more than {MAX_DOCUMENTS} documents"));
    }
    if documents.is_empty() {
        return whole("the file holds no rule".into());
    }
    documents.into_iter().map(|(line, text)| parse_document(file, line, text, placeholders)).collect()
}

/// The documents of a YAML stream that say something, with the line (from 1) on which each starts.
fn documents(text: &str) -> Vec<(u64, &str)> {
    let mut out = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 1, 0);
    let mut take = |from: usize, to: usize, line: u64| {
        let document = &text[from..to];
        let says =
            |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#') && line.trim_end() != "...";
        if document.lines().any(says) {
            out.push((line, document));
        }
    };
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            take(start, at, start_line);
            (start, start_line) = (at + 3, number);
        }
        at += line.len();
    }
    take(start, text.len(), start_line);
    out
}

fn skipped(rule: &str, file: &str, line: u64, reason: &str) -> Skipped {
    Skipped { rule: rule.to_owned(), file: file.to_owned(), line, reason: format!("{file}:{line}: {reason}") }
}

/// A fault, with a text that stands on its line where that is known.
struct Fault {
    near: String,
    reason: String,
}

fn fault(near: &str, reason: impl Into<String>) -> Fault {
    Fault { near: near.to_owned(), reason: reason.into() }
}

fn parse_document(file: &str, first_line: u64, text: &str, placeholders: &Placeholders) -> Result<Document, Skipped> {
    // Only `true` and `false` are booleans: `no`, `on` and `y` are words that events hold.
    let options = serde_saphyr::options! { strict_booleans: true, leading_zero_numbers_as_strings: true };
    let document: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let error = error.without_snippet();
        let line = error.location().map_or(1, |place| place.line().max(1));
        let message = error.to_string();
        skipped(file, file, first_line + line - 1, message.lines().next().unwrap_or_default())
    })?;
    let Value::Object(document) = document else {
        return Err(skipped(file, file, first_line, "a rule is a map of keys"));
    };
    let name = ["id", "title"].iter().find_map(|key| document.get(*key)?.as_str()).unwrap_or(file).to_owned();
    let line_of = |near: &str| {
        let at = text.lines().position(|line| !near.is_empty() && line.contains(near));
        first_line + at.unwrap_or(0) as u64
    };
    let line = line_of("title");
    compile(&document, file, placeholders)
        .map(|mut parsed| {
            match &mut parsed {
                Document::Rule(rule) => rule.line = line,
                Document::Correlation(correlation) => correlation.line = line,
                Document::Filter(filter) => filter.line = line,
            }
            parsed
        })
        .map_err(|fault| skipped(&name, file, line_of(&fault.near), &fault.reason))
}

fn compile(document: &Map<String, Value>, file: &str, placeholders: &Placeholders) -> Result<Document, Fault> {
    let text = |key: &str| document.get(key).and_then(Value::as_str);
    if document.contains_key("action") {
        return Err(fault("action", "`action` (global rules of Sigma 1) is not part of Sigma 2"));
    }
    let title = text("title").ok_or_else(|| fault("title", "the rule has no title"))?;
    let level = match document.get("level") {
        None => Level::Medium,
        Some(level) => level.as_str().unwrap_or("?").parse().map_err(|reason: String| fault("level", reason))?,
    };
    let rule = RuleRef { id: text("id").unwrap_or(title).to_owned(), title: title.to_owned(), level };
    if document.contains_key("correlation") {
        let parsed = correlation::parse(document, rule, file).map_err(|(near, reason)| fault(&near, reason))?;
        return Ok(Document::Correlation(Box::new(parsed)));
    }
    let logsource = logsource(document.get("logsource"));
    let file = file.to_owned();
    if let Some(body) = document.get("filter") {
        let body = body.as_object().ok_or_else(|| fault("filter", "`filter` must be a map"))?;
        let rules = match body.get("rules") {
            Some(Value::Array(rules)) => rules.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(any)) if any.eq_ignore_ascii_case("any") => Vec::new(),
            Some(Value::String(one)) => vec![one.clone()],
            _ => return Err(fault("filter", "the filter names no `rules`")),
        };
        let (selections, condition) = detection(body, placeholders)?;
        let name = title.to_owned();
        return Ok(Document::Filter(Box::new(Filter { name, file, line: 1, rules, logsource, selections, condition })));
    }
    let body = document.get("detection").and_then(Value::as_object);
    let body = body.ok_or_else(|| fault("detection", "the rule has no detection"))?;
    let (selections, condition) = detection(body, placeholders)?;
    let name = text("name").map(str::to_owned);
    Ok(Document::Rule(Box::new(Rule {
        rule,
        name,
        logsource,
        file,
        line: 1,
        fieldnames: Fieldnames::default(),
        fed: false,
        feeds: Vec::new(),
        quiet: false,
        by_command: selections.iter().any(Node::asks_for_commands),
        selections,
        condition,
    })))
}

fn logsource(value: Option<&Value>) -> LogSource {
    let part = |key: &str| value.and_then(|v| v.get(key)?.as_str()).unwrap_or_default().to_lowercase();
    LogSource { product: part("product"), category: part("category"), service: part("service") }
}

/// The selections and the condition of a rule's detection, or of a filter.
fn detection(detection: &Map<String, Value>, placeholders: &Placeholders) -> Result<(Vec<Node>, Expr), Fault> {
    if detection.contains_key("timeframe") {
        return Err(fault("timeframe", "`timeframe` (aggregations of Sigma 1) is not evaluated by this version"));
    }
    if detection.len() > MAX_SELECTIONS {
        return Err(fault("detection", format!("the rule has more than {MAX_SELECTIONS} selections")));
    }
    let mut names = Vec::new();
    let mut selections = Vec::new();
    for (name, value) in detection.iter().filter(|(name, _)| !matches!(name.as_str(), "condition" | "rules")) {
        selections.push(node(name, value, placeholders)?);
        names.push(name.clone());
    }
    let conditions: Vec<&str> = match detection.get("condition") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if conditions.is_empty() {
        return Err(fault("detection", "the detection has no condition"));
    }
    let parsed = conditions.iter().map(|text| condition::parse(text, &names)).collect::<Result<Vec<_>, _>>();
    Ok((selections, Expr::Or(parsed.map_err(|reason| fault("condition", reason))?)))
}

/// A selection: a map (all of its fields), a list of maps (any of them), or keywords.
fn node(name: &str, value: &Value, placeholders: &Placeholders) -> Result<Node, Fault> {
    let compile = |key: &str, value: &Value| modifier::compile(key, value, placeholders).map(Node::Field);
    match value {
        Value::Object(fields) if fields.is_empty() => Err(fault(name, format!("selection `{name}` is empty"))),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| compile(key, value).map_err(|reason| fault(key, reason)))
            .collect::<Result<_, _>>()
            .map(Node::All),
        Value::Array(items) if items.is_empty() => Err(fault(name, format!("selection `{name}` is empty"))),
        Value::Array(items) => {
            items.iter().map(|item| node(name, item, placeholders)).collect::<Result<_, _>>().map(Node::Any)
        }
        Value::Null => Err(fault(name, format!("selection `{name}` is empty"))),
        keyword => compile("", keyword).map_err(|reason| fault(name, reason)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "title: t\ndetection:\n  a:\n    x: 1\n  condition: a\n";

    #[test]
    fn each_document_stands_alone() {
        let text = format!("---\n{GOOD}---\ntitle: c\ncorrelation:\n  type: event_sum\n---\n{GOOD}");
        let all = parse_file("r.yml", &text, &Placeholders::default());
        assert_eq!(all.len(), 3);
        assert!(all[0].is_ok() && all[2].is_ok());
        let skipped = all[1].as_ref().unwrap_err();
        assert_eq!(skipped.line, 10);
        assert!(skipped.reason.contains("r.yml:10: `event_sum` is not a type"), "{}", skipped.reason);
    }

    #[test]
    fn a_fault_is_named_with_its_line() {
        for (text, line, want) in [
            ("title: t\ndetection:\n  a:\n    x|expand: '%y%'\n  condition: a\n", 4, "expand"),
            ("title: t\ndetection:\n  a:\n    x: 1\n  condition: b\n", 5, "doesn't define"),
            ("title: t\ndetection:\n  a: [unclosed\n", 3, ""),
            ("title: t\nlevel: huge\ndetection:\n  a:\n    x: 1\n  condition: a\n", 2, "not a level"),
            ("- 1\n", 1, "map"),
        ] {
            let skipped = parse_file("r.yml", text, &Placeholders::default()).remove(0).unwrap_err();
            assert!(skipped.reason.contains(want), "{}", skipped.reason);
            assert!(skipped.line.abs_diff(line) <= 1, "{} for {text}", skipped.line);
        }
    }

    #[test]
    fn yaml_bombs_are_refused_in_time() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            text = format!("{text}a{i}: &a{i} [{refs}]\n");
        }
        assert!(parse_file("r.yml", &text, &Placeholders::default()).remove(0).is_err());
        assert!(parse_file("r.yml", &"[".repeat(100_000), &Placeholders::default()).remove(0).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(title: t\n|detection:\n|  a:\n|    x\\|re: '.*'\n|  condition: a\n|---\n|- |\\[|.){0,20}") {
            let _ = parse_file("r.yml", &text, &Placeholders::default());
        }
    }
}
