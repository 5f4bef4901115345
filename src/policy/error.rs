use std::fmt;

use serde::de::DeserializeOwned;
use serde_saphyr::Error as YamlError;

/// A policy that can't be read: names file, line, column and, for an unknown key, the nearest known one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// File.
    pub file: String,
    /// Line from 1; 0 where the whole file is meant.
    pub line: u64,
    /// Column from 1.
    pub column: u64,
    /// What is wrong, and what to write instead where that is known.
    pub message: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{}: {}", self.file, self.message);
        }
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for PolicyError {}

impl PolicyError {
    /// A fault of the file as a whole.
    pub fn whole(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, message: message.into() }
    }
}

/// Reads one YAML document.
pub(super) fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, PolicyError> {
    serde_saphyr::from_str(text).map_err(|error| from_yaml(file, &error))
}

fn from_yaml(file: &str, error: &YamlError) -> PolicyError {
    let error = error.without_snippet();
    let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
    let message = match error {
        YamlError::SerdeUnknownField { field, expected, .. } => unknown("key", field, expected),
        YamlError::SerdeUnknownVariant { variant, expected, .. } => unknown("value", variant, expected),
        other => first_line(&other.to_string()),
    };
    PolicyError { file: file.to_owned(), line, column, message }
}

fn unknown(what: &str, given: &str, expected: &[&str]) -> String {
    let given: String = given.escape_debug().take(60).collect();
    match nearest(&given, expected) {
        Some(near) => format!("unknown {what} `{given}`; did you mean `{near}`? (known: {})", expected.join(", ")),
        None if expected.is_empty() => format!("unknown {what} `{given}`; none is known here"),
        None => format!("unknown {what} `{given}` (known: {})", expected.join(", ")),
    }
}

/// The known name nearest to `given`, if one is near enough to be what was meant.
pub(crate) fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(&given.to_lowercase(), &name.to_lowercase()), *name))
        .filter(|(score, _)| *score >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// The parser's own words without the place, which stands in front of them.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim_end();
    let place = line.rfind(" at line ").filter(|_| line.contains(", column "));
    line[..place.unwrap_or(line.len())].to_owned()
}
