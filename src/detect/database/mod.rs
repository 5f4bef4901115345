//! Persistence left in a database: rules over the objects of its catalog.
//!
//! A finding says what the object is, how it could be used, and the statement that would remove it. Objects of Portcullis
//! itself are known by their exact definition; names that a deployment expects are given by `policies/database.yml`.

mod known;
mod reach;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::detect::backup::{Dialect, Survey};
use crate::domain::{DatabaseObject, Finding, FindingKind, Level, ObjectList, RuleRef, Source, finding_id};
use crate::policy::PolicyError;

pub use known::{Baseline, Migrations, Since};

/// Longest definition that a finding repeats, in bytes.
const MAX_DEFINITION: usize = 4096;

/// `policies/database.yml`: what is expected, by class and name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabasePolicy {
    /// Schema version: 1.
    pub version: u32,
    /// Names that are expected, by class (`trigger`, `function`, `role`, `extension`, ...).
    #[serde(default)]
    pub expected: BTreeMap<String, Vec<String>>,
}

impl DatabasePolicy {
    /// The policy among the texts of a policies folder; an empty one if there is none.
    pub fn from_texts(texts: &BTreeMap<String, String>) -> Result<Self, PolicyError> {
        const FILE: &str = "database.yml";
        let Some(text) = texts.get(FILE) else { return Ok(Self::default()) };
        let policy: Self = crate::policy::parse(FILE, text)?;
        if policy.version != 1 {
            return Err(PolicyError::whole(FILE, format!("version is {}, this program reads 1", policy.version)));
        }
        Ok(policy)
    }

    fn expects(&self, object: &DatabaseObject) -> bool {
        self.expected.get(&object.class).is_some_and(|names| names.contains(&object.name))
    }
}

/// What a rule says of an object.
struct Verdict {
    rule: &'static str,
    title: &'static str,
    level: Level,
    /// How it could be used.
    how: String,
    /// The statement that would remove it; empty where a person has to decide.
    remove: String,
}

/// Number of rules.
pub const RULES: usize = rules::COUNT;

/// What excuses objects, besides policy.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What was there when `install` looked.
    pub baseline: Option<Baseline>,
    /// What the migrations make.
    pub migrations: Migrations,
}

/// Everything in the list that could be persistence. `dialect` is `postgres` or `sqlite`.
pub fn findings(list: &ObjectList, dialect: &str, policy: &DatabasePolicy) -> Vec<Finding> {
    findings_since(list, dialect, policy, &Known::default()).0
}

/// The same, less what is known; and how many objects were excused.
pub fn findings_since(
    list: &ObjectList,
    dialect: &str,
    policy: &DatabasePolicy,
    known: &Known,
) -> (Vec<Finding>, usize) {
    let mut found = Vec::new();
    let mut excused = 0;
    let functions = known_functions(list, policy, known);
    for object in list.objects.iter().filter(|object| !policy.expects(object)) {
        if only_known_functions(object, &functions) {
            excused += 1;
            continue;
        }
        let Some(verdict) = rules::judge(object, dialect) else { continue };
        let since = known.baseline.as_ref().map(|baseline| baseline.since(object));
        // What is critical is said though it was there: the intruder may have been before `install`.
        let old = since == Some(Since::Unchanged) && verdict.level < Level::Critical;
        if old || known.migrations.make(object) {
            excused += 1;
            continue;
        }
        let mut finding = finding(object, verdict);
        let word = match since {
            None => None,
            Some(Since::Unchanged) => Some("unchanged"),
            Some(Since::Changed) => Some("changed"),
            Some(Since::New) => Some("new"),
        };
        if let Some(word) = word {
            finding.matched.insert("since_install".into(), word.into());
        }
        found.push(finding);
    }
    let gone = known.baseline.iter().flat_map(|baseline| baseline.gone(list));
    found.extend(gone.filter_map(|(class, name)| gone_finding(&class, name)));
    (found, excused)
}

/// Names of functions that policy expects or a migration makes.
fn known_functions<'a>(list: &'a ObjectList, policy: &DatabasePolicy, known: &Known) -> BTreeSet<&'a str> {
    let functions = list.objects.iter().filter(|object| object.class == "function");
    functions
        .filter(|object| policy.expects(object) || known.migrations.make(object))
        .map(|object| object.name.as_str())
        .collect()
}

/// Whether an object only calls such functions, or only has the name of something else because one of them has.
fn only_known_functions(object: &DatabaseObject, functions: &BTreeSet<&str>) -> bool {
    match object.class.as_str() {
        "call" => object
            .definition
            .strip_prefix("calls ")
            .is_some_and(|called| called.split("; ").all(|one| functions.contains(one))),
        "shadow" => functions.contains(object.name.as_str()),
        _ => false,
    }
}

/// Something that protects and is no longer there.
fn gone_finding(class: &str, name: String) -> Option<Finding> {
    if !["trigger", "event_trigger", "policy", "check", "rule"].contains(&class) {
        return None;
    }
    let object = DatabaseObject { class: class.to_owned(), name, owner: None, definition: String::new() };
    let verdict = Verdict {
        rule: "db-object-gone",
        title: "Something that was there at install is gone",
        level: Level::Medium,
        how: "a trigger, check or policy that held or recorded something no longer does".into(),
        remove: String::new(),
    };
    Some(finding(&object, verdict))
}

/// What a dump holds that a dump of this back end need not: statements off the allow-list that no migration makes.
pub fn dump_findings(path: &str, survey: &Survey, migrations: &Migrations, dialect: Dialect) -> Vec<Finding> {
    let of = |(record, suspicion): (u64, &crate::detect::backup::Suspicion)| {
        let source = Source::File { path: path.to_owned(), record, line: Some(suspicion.line), offset: None };
        let mut matched = Map::new();
        matched.insert("how".into(), "comes back with the restore, and may run during it".into());
        matched.insert("what".into(), suspicion.what.clone().into());
        matched
            .insert("remove".into(), "restore with portcullis restore, which leaves it out or refuses the dump".into());
        let event = [("statement".to_owned(), cut(&suspicion.text).into())].into_iter().collect();
        Finding {
            id: finding_id(FindingKind::Database, "db-dump-statement", &source),
            kind: FindingKind::Database,
            rule: RuleRef {
                id: "db-dump-statement".into(),
                title: "Statement that a dump need not have".into(),
                level: Level::High,
            },
            time: None,
            source,
            matched,
            event,
        }
    };
    let numbered = (0..).zip(&survey.suspicions);
    numbered.filter(|(_, suspicion)| !migrations.made_statement(&suspicion.whole, dialect)).map(of).collect()
}

fn finding(object: &DatabaseObject, verdict: Verdict) -> Finding {
    let mut key = Map::new();
    key.insert("name".into(), object.name.clone().into());
    let source = Source::Table { table: object.class.clone(), key };
    let mut matched = Map::new();
    matched.insert("how".into(), verdict.how.into());
    if !verdict.remove.is_empty() {
        matched.insert("remove".into(), verdict.remove.into());
    }
    let mut event = Map::new();
    event.insert("class".into(), object.class.clone().into());
    event.insert("name".into(), object.name.clone().into());
    event.insert("owner".into(), object.owner.clone().map_or(Value::Null, Value::String));
    event.insert("definition".into(), cut(&object.definition).into());
    Finding {
        id: finding_id(FindingKind::Database, verdict.rule, &source),
        kind: FindingKind::Database,
        rule: RuleRef { id: verdict.rule.into(), title: verdict.title.into(), level: verdict.level },
        time: None,
        source,
        matched,
        event,
    }
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_DEFINITION {
        return text.to_owned();
    }
    let end = (0..=MAX_DEFINITION).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{} (cut, {} bytes)", &text[..end], text.len())
}

#[cfg(test)]
mod tests;
