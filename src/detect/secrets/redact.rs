use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::{Map, Value};

use crate::domain::Finding;

/// Shortest value that is taken out: shorter ones would hide half of every text.
const SHORTEST: usize = 8;

/// Takes known secret values out of findings: evidence says that a credential stood there, never its value.
pub struct Redactor {
    search: Option<AhoCorasick>,
    names: Vec<String>,
}

impl Redactor {
    /// Values with the credential that each belongs to.
    pub fn new(values: &[(&str, &str)]) -> Self {
        let (names, values): (Vec<String>, Vec<&str>) = values
            .iter()
            .filter(|(_, value)| value.len() >= SHORTEST)
            .map(|(id, value)| (format!("(value of {id})"), *value))
            .unzip();
        let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&values).ok();
        Self { search: search.filter(|_| !values.is_empty()), names }
    }

    /// Takes them out of everything that a finding repeats of its event.
    pub fn redact(&self, finding: &mut Finding) {
        if let Some(search) = &self.search {
            self.map(search, &mut finding.matched);
            self.map(search, &mut finding.event);
        }
    }

    fn map(&self, search: &AhoCorasick, map: &mut Map<String, Value>) {
        for (_, value) in map.iter_mut() {
            self.value(search, value);
        }
    }

    fn value(&self, search: &AhoCorasick, value: &mut Value) {
        match value {
            Value::String(text) if search.is_match(text.as_str()) => *text = search.replace_all(text, &self.names),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(search, item)),
            Value::Object(map) => self.map(search, map),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{FindingKind, Level, RuleRef, Source};

    #[test]
    fn known_values_are_taken_out_at_any_depth() {
        let Value::Object(event) =
            json!({"message": "key tk_live_secret used", "deep": [{"k": "tk_live_secret"}], "n": 1})
        else {
            panic!("an object");
        };
        let mut finding = Finding {
            id: "f".into(),
            kind: FindingKind::Log,
            rule: RuleRef { id: "r".into(), title: "r".into(), level: Level::Low },
            time: None,
            source: Source::File { path: "p".into(), record: 0, line: None, offset: None },
            matched: event.clone(),
            event,
        };
        Redactor::new(&[("trading", "tk_live_secret"), ("short", "used")]).redact(&mut finding);
        let text = serde_json::to_string(&finding).unwrap();
        assert!(!text.contains("tk_live_secret") && text.contains("key (value of trading) used"), "{text}");
        let before = finding.clone();
        Redactor::new(&[]).redact(&mut finding);
        assert_eq!(finding, before);
    }
}
