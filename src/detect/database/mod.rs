//! Persistence left in a database: rules over the objects of its catalog.
//!
//! A finding says what the object is, how it could be used, and the statement that would remove it. Objects of Portcullis
//! itself are known by their exact definition; names that a deployment expects are given by `policies/database.yml`.

mod rules;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::domain::{DatabaseObject, Finding, FindingKind, Level, ObjectList, RuleRef, Source, finding_id};
use crate::policy::PolicyError;

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

/// Everything in the list that could be persistence. `dialect` is `postgres` or `sqlite`.
pub fn findings(list: &ObjectList, dialect: &str, policy: &DatabasePolicy) -> Vec<Finding> {
    list.objects
        .iter()
        .filter(|object| !policy.expects(object))
        .filter_map(|object| rules::judge(object, dialect).map(|verdict| finding(object, verdict)))
        .collect()
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
