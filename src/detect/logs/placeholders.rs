//! Values for the placeholders of Sigma's `expand`: `policies/logs/placeholders.yml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::logsource::Version;
use crate::policy::{self, PolicyError};

/// Path of the file below the policies folder.
pub const PLACEHOLDERS: &str = "logs/placeholders.yml";
/// Most values that one value of a rule may become.
const MAX_VALUES: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "version")]
    _version: Version,
    #[serde(default)]
    placeholders: BTreeMap<String, Vec<String>>,
}

/// Values by the name that stands between two `%`.
#[derive(Debug, Clone, Default)]
pub struct Placeholders(BTreeMap<String, Vec<String>>);

impl Placeholders {
    /// Reads the text of the file.
    pub fn read(file: &str, text: &str) -> Result<Self, PolicyError> {
        let file: File = policy::parse(file, text)?;
        Ok(Self(file.placeholders))
    }

    /// The text with each of its placeholders replaced by each of its values; why there are none.
    pub(super) fn expand(&self, text: &str) -> Result<Vec<String>, String> {
        let mut all = vec![String::new()];
        let mut rest = text;
        while let Some((before, name, after)) = next(rest) {
            let values = self.0.get(name).filter(|values| !values.is_empty()).ok_or_else(|| {
                format!("`expand` needs values for `%{name}%`, and none are in policies/{PLACEHOLDERS}")
            })?;
            if all.len() * values.len() > MAX_VALUES {
                return Err(format!("`{text}` becomes more than {MAX_VALUES} values"));
            }
            all = all
                .iter()
                .flat_map(|start| values.iter().map(move |value| format!("{start}{before}{value}")))
                .collect();
            rest = after;
        }
        for one in &mut all {
            one.push_str(rest);
        }
        Ok(all)
    }
}

/// The first placeholder, and what stands before and after it.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let named = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    };
    for (start, _) in text.match_indices('%') {
        let inner = &text[start + 1..];
        if let Some((name, after)) = inner.split_once('%')
            && named(name)
        {
            return Some((&text[..start], name, after));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_takes_the_place() {
        let text = "version: 1\nplaceholders:\n  a: [x, 'y*']\n  b: [1, two]\n  none: []\n";
        let placeholders = Placeholders::read("p.yml", text).unwrap();
        let expand = |text: &str| placeholders.expand(text);
        assert_eq!(expand("%a%").unwrap(), ["x", "y*"]);
        assert_eq!(expand("-%a%-%b%-").unwrap(), ["-x-1-", "-x-two-", "-y*-1-", "-y*-two-"]);
        assert_eq!(expand("100% sure%").unwrap(), ["100% sure%"]);
        assert_eq!(expand("50% %a%").unwrap(), ["50% x", "50% y*"]);
        for name in ["%none%", "%other%"] {
            let error = expand(name).unwrap_err();
            assert!(error.contains(name) && error.contains("placeholders.yml"), "{error}");
        }
        let wrong = Placeholders::read("p.yml", "version: 1\nplaceholder: {}\n").unwrap_err().to_string();
        assert!(wrong.starts_with("p.yml:2:1: ") && wrong.contains("did you mean `placeholders`"), "{wrong}");
    }
}
