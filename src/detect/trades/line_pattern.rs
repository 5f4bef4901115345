use std::borrow::Cow;

use regex::Regex;
use serde::{Deserialize, Deserializer};

use super::other::Fields;

/// Names of groups, and the name of a field that means the same.
const GROUPS: [(&str, &str); 8] = [
    ("id", "tradeId"),
    ("account", "account"),
    ("instrument", "symbol"),
    ("side", "side"),
    ("quantity", "quantity"),
    ("price", "price"),
    ("value", "value"),
    ("time", "timestamp"),
];

/// A regular expression for log lines of trades of a deployment's own form: its named groups say what is what.
#[derive(Debug, Clone)]
pub struct LinePattern(Regex);

impl PartialEq for LinePattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for LinePattern {}

impl<'de> Deserialize<'de> for LinePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl LinePattern {
    /// Reads one; it must name an amount, and either the trade's id or its account, instrument and time.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pattern = Regex::new(text).map_err(|error| {
            let last = error.to_string();
            format!(
                "not a regular expression: {}",
                last.lines().last().unwrap_or_default().trim_start_matches("error: ")
            )
        })?;
        let names: Vec<&str> = pattern.capture_names().flatten().collect();
        if let Some(other) = names.iter().find(|name| !GROUPS.iter().any(|(known, _)| known == *name)) {
            let known = GROUPS.map(|(known, _)| known).join(", ");
            return Err(format!("`{other}` is no name of a group; known are {known}"));
        }
        let has = |name: &str| names.contains(&name);
        if !["quantity", "price", "value"].into_iter().any(has) {
            return Err("no group is named quantity, price or value: there is nothing to compare".into());
        }
        if !has("id") && !["account", "instrument", "time"].into_iter().all(has) {
            return Err("name a group id, or three: account, instrument and time".into());
        }
        Ok(Self(pattern))
    }

    /// The fields of a line of this form.
    pub fn fields<'a>(&self, line: &'a str) -> Option<Fields<'a>> {
        let found = self.0.captures(line)?;
        let field = |(group, field): (&str, &'static str)| {
            Some((Cow::Borrowed(field), Cow::Borrowed(found.name(group)?.as_str())))
        };
        Some(GROUPS.into_iter().filter_map(field).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::other::role_of;
    use super::super::roles::Role;
    use super::*;

    #[test]
    fn a_pattern_says_what_is_what() {
        let pattern = LinePattern::parse(
            r"^(?<time>\S+) FILL (?<id>\d+) (?<side>B|S) (?<quantity>[\d.]+)@(?<price>[\d.]+)( (?<value>\d+))?$",
        );
        let fields = pattern.unwrap().fields("2026-11-24T10:00:00Z FILL 7 B 1.5@20").unwrap();
        let told: Vec<_> = fields.iter().map(|(name, text)| (role_of(name), text.as_ref())).collect();
        assert_eq!(
            told,
            [
                (Some(Role::Id), "7"),
                (Some(Role::Side), "B"),
                (Some(Role::Quantity), "1.5"),
                (Some(Role::Price), "20"),
                (Some(Role::ExecutedAt), "2026-11-24T10:00:00Z"),
            ]
        );
        for (group, field) in GROUPS {
            assert!(role_of(field).is_some(), "{group}");
        }
    }

    #[test]
    fn a_pattern_that_says_too_little_is_told_why() {
        for (text, why) in [
            ("(", "unclosed group"),
            (r"(?<id>\d+)", "nothing to compare"),
            (r"(?<quantity>\d+) (?<account>\w+)", "account, instrument and time"),
            (r"(?<id>\d+) (?<qty>\d+)", "`qty` is no name of a group"),
        ] {
            let error = LinePattern::parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
