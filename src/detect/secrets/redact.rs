use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::Needles;
use super::needles::Mark;
use crate::domain::Finding;

/// What stands at the end of a text that was cut, before the number of bytes.
const CUT: &str = "... [";
/// Fewest bytes at a cut that count as the beginning of a value.
const BEGINNING: usize = 4;

/// Takes secrets out of findings: the credentials' values in every form, and whatever looks like a key. Evidence says that
/// one stood there, never which.
pub struct Redactor {
    needles: Option<Needles>,
    values: Vec<SecretString>,
}

impl Redactor {
    /// Values with the credential that each belongs to.
    pub fn new(values: &[(&str, &str)]) -> Self {
        let kept = values.iter().map(|(_, value)| SecretString::from(*value)).collect();
        // More values than one search can hold: the forms of keys are still known.
        let needles = Needles::new(values).or_else(|_| Needles::new(&[])).ok();
        Self { needles, values: kept }
    }

    /// Takes them out of everything that a finding repeats of its event.
    pub fn redact(&self, finding: &mut Finding) {
        if let Some(needles) = &self.needles {
            self.map(needles, &mut finding.matched);
            self.map(needles, &mut finding.event);
        }
    }

    fn map(&self, needles: &Needles, map: &mut Map<String, Value>) {
        for (name, value) in map.iter_mut() {
            self.value(needles, name, value);
        }
    }

    fn value(&self, needles: &Needles, name: &str, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(clean) = self.text(needles, name, text) {
                    *text = clean;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(needles, name, item)),
            Value::Object(map) => self.map(needles, map),
            _ => {}
        }
    }

    /// The text without what is secret in it; `None` if it has nothing.
    fn text(&self, needles: &Needles, name: &str, text: &str) -> Option<String> {
        let (mut out, mut at, mut changed) = (String::new(), 0, false);
        let body = text.rfind(CUT).filter(|cut| text[*cut..].ends_with(" bytes cut]")).map(|cut| &text[..cut]);
        let end = body.map_or(text.len(), |body| body.len() - self.torn(body));
        // Where the name of a field says what it is, its value alone would not.
        let named = format!("{name}={text}");
        let before = name.len() + 1;
        for mark in needles.find(named.as_bytes()) {
            let ((start, stop), words) = (mark.range(), words(&mark));
            let (Some(words), Some(stop)) = (words, stop.checked_sub(before)) else { continue };
            let start = start.saturating_sub(before);
            if stop <= at || start >= end {
                continue;
            }
            if start >= at {
                out.push_str(text.get(at..start).unwrap_or_default());
                out.push_str(&words);
            }
            changed = true;
            at = (stop..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        }
        if at < end {
            out.push_str(text.get(at..end).unwrap_or_default());
        }
        if let Some(body) = body {
            changed |= end < body.len();
            out.push_str(&text[body.len()..]);
        }
        changed.then_some(out)
    }

    /// Bytes at the end of a cut text that could be the first part of a secret.
    fn torn(&self, text: &str) -> usize {
        let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-.%~\\".contains(byte);
        let word = text.bytes().rev().take_while(inside).count();
        let known = |value: &SecretString| {
            let value = value.expose_secret();
            let longest = value.len().min(text.len());
            (BEGINNING..longest).rev().find(|length| {
                value.is_char_boundary(*length) && text.as_bytes().ends_with(&value.as_bytes()[..*length])
            })
        };
        self.values.iter().filter_map(known).chain([word]).max().unwrap_or(0)
    }
}

/// What stands in the place of a secret; nothing where the text is none.
fn words(mark: &Mark<'_>) -> Option<String> {
    match mark {
        Mark::Value { credential, .. } => Some(format!("(value of {credential})")),
        Mark::Shape(seen) => seen.secret.then(|| format!("({})", seen.id)),
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

    fn clean(name: &str, text: &str) -> String {
        let redactor = Redactor::new(&[("db", "pass/word+42")]);
        let mut value = Value::from(text);
        redactor.value(redactor.needles.as_ref().unwrap(), name, &mut value);
        value.as_str().unwrap().to_owned()
    }

    #[test]
    fn other_forms_and_unknown_keys_are_taken_out_and_names_of_keys_stay() {
        let random = "q7Zp2XvK9mRt4LwB8nYc3HdF6sJg1TaE";
        for (name, text, want) in [
            ("message", "GET /?p=pass%2Fword%2B42&x=1".to_owned(), "GET /?p=(value of db)&x=1"),
            ("line", format!("a sk_{}{random} é pass/word+42.", "live_"), "a (stripe-key) é (value of db)."),
            ("apiSecret", random.to_owned(), "(named-secret)"),
            ("apiKeyId", random.to_owned(), random),
            ("accessKeyId", format!("{}{}", "AKIA", "Q3EGRIZJ5T7KXW2M"), "AKIAQ3EGRIZJ5T7KXW2M"),
            ("message", "nothing here".to_owned(), "nothing here"),
            ("password", "correct horse".to_owned(), "correct horse"),
        ] {
            assert_eq!(clean(name, &text), want, "{text}");
        }
    }

    #[test]
    fn half_a_secret_at_a_cut_is_taken_out_too() {
        assert_eq!(clean("m", "x pass/wor... [9 bytes cut]"), "x ... [9 bytes cut]");
        assert_eq!(clean("m", "x, \"y\"... [9 bytes cut]"), "x, \"y\"... [9 bytes cut]");
        assert_eq!(clean("m", "pass/word+42 x abc... [2 bytes cut]"), "(value of db) x ... [2 bytes cut]");
    }
}
