//! Many values of one field at once: one pass over a text instead of one for each value.

use std::collections::HashSet;

use aho_corasick::AhoCorasick;
use serde_json::Value;

use super::pattern::Test;
use super::text::Simple;

/// Fewer values than this are tried one by one.
const FEWEST: usize = 4;

/// The values of a field of which one must hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Many {
    /// Texts (lower-case ASCII) that are looked for anywhere in a value.
    anywhere: Option<AhoCorasick>,
    /// Whole values (lower-case ASCII).
    whole: HashSet<String>,
    longest: usize,
    /// The tests that are neither, by their numbers.
    others: Vec<usize>,
    /// Whether an absent or null value fits.
    null: bool,
    /// Whether every test is about a value alone.
    plain: bool,
}

/// The one text that a test is about, if it is as simple as that.
fn simple(test: &Test) -> Option<Simple<'_>> {
    if let Test::Text(pattern) = test { pattern.simple() } else { None }
}

impl Many {
    pub(super) fn new(tests: &[Test]) -> Self {
        let plain = !tests.iter().any(|test| matches!(test, Test::Exists(_) | Test::FieldRef(..)));
        let mut many = Self { plain, null: tests.iter().any(|test| matches!(test, Test::Null)), ..Self::default() };
        let anywhere: Vec<_> = tests.iter().filter_map(simple).filter_map(Simple::anywhere).collect();
        if anywhere.len() >= FEWEST {
            many.anywhere = AhoCorasick::builder().ascii_case_insensitive(true).build(anywhere).ok();
        }
        for (number, test) in tests.iter().enumerate() {
            match simple(test) {
                Some(Simple::Anywhere(_)) if many.anywhere.is_some() => {}
                Some(Simple::Whole(text)) if tests.len() >= FEWEST => {
                    many.longest = many.longest.max(text.len());
                    many.whole.insert(text.to_owned());
                }
                _ => many.others.push(number),
            }
        }
        many
    }

    /// Whether every test is about a value alone, so that the values can be asked once for all tests.
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether an absent field fits.
    pub(super) fn null(&self) -> bool {
        self.null
    }

    /// Whether one of the tests holds for a value that is there.
    pub(super) fn hold(&self, tests: &[Test], value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| self.hold(tests, item)) || (items.is_empty() && self.null),
            Value::Null => self.null,
            Value::String(text) => self.hold_text(tests, text),
            other => self.hold_text(tests, &other.to_string()),
        }
    }

    fn hold_text(&self, tests: &[Test], text: &str) -> bool {
        if !text.is_ascii() {
            // Case outside ASCII has rules of its own.
            return tests.iter().any(|test| test.holds_text(text));
        }
        let whole = || text.len() <= self.longest && self.whole.contains(text.to_ascii_lowercase().as_str());
        (!self.whole.is_empty() && whole())
            || self.anywhere.as_ref().is_some_and(|texts| texts.is_match(text))
            || self.others.iter().any(|number| tests[*number].holds_text(text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::modifier::compile;
    use super::*;

    proptest! {
        #[test]
        fn all_at_once_gives_what_one_by_one_gives(
            values in proptest::collection::vec("[abB*?.\u{e9}]{0,4}", 1..9),
            anchor in prop_oneof![Just("f"), Just("f|contains"), Just("f|startswith"), Just("f|endswith"), Just("f|cased")],
            texts in proptest::collection::vec("[abAB.\u{e9}\u{c9}]{0,6}", 0..4),
            null in any::<bool>(),
        ) {
            let mut wanted: Vec<Value> = values.into_iter().map(Value::from).collect();
            if null {
                wanted.push(Value::Null);
            }
            let Ok(field) = compile(anchor, &Value::Array(wanted)) else { return Ok(()) };
            let many = Many::new(&field.tests);
            for value in texts.iter().map(|text| json!(text)).chain([json!(texts), json!(null), json!({"b": "a"}), json!(1)]) {
                let single = field.tests.iter().any(|test| test.holds(&value));
                prop_assert_eq!(many.hold(&field.tests, &value), single, "{:?} {}", field.tests, value);
            }
        }
    }
}
