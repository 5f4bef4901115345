use aho_corasick::{AhoCorasick, MatchKind};

use super::logsource::{Class, classes};
use super::sigma::{Rule, Skipped, parse_file};

/// Rules, ready to be run, and the ones that can't be.
#[derive(Debug, Default)]
pub struct Ruleset {
    rules: Vec<Rule>,
    skipped: Vec<Skipped>,
    by_class: Vec<Vec<usize>>,
    /// Rules without a required literal: they are run on every event.
    unfiltered: Vec<bool>,
    filter: Option<AhoCorasick>,
    /// The rule of each pattern of the filter.
    owners: Vec<usize>,
}

impl Ruleset {
    /// Compiles rule files, given as `(name for messages, text)`. Of rules with one id the first is kept.
    pub fn from_texts<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut rules: Vec<Rule> = Vec::new();
        let mut skipped = Vec::new();
        let mut ids = std::collections::HashMap::new();
        for (file, text) in files {
            for parsed in parse_file(file, text) {
                match parsed {
                    Ok(rule) => {
                        if let Some(first) = ids.insert(rule.rule.id.clone(), format!("{file}:{}", rule.line)) {
                            let reason = format!("{file}:{}: the id was already used at {first}", rule.line);
                            ids.insert(rule.rule.id.clone(), first);
                            skipped.push(Skipped { rule: rule.rule.id, file: file.into(), line: rule.line, reason });
                        } else {
                            rules.push(rule);
                        }
                    }
                    Err(fault) => skipped.push(fault),
                }
            }
        }
        Self::new(rules, skipped)
    }

    fn new(rules: Vec<Rule>, skipped: Vec<Skipped>) -> Self {
        let by_class = Class::ALL.map(|class| {
            (0..rules.len()).filter(|index| classes(&rules[*index].logsource).contains(&class)).collect::<Vec<_>>()
        });
        let mut patterns = Vec::new();
        let mut owners = Vec::new();
        let mut unfiltered = vec![false; rules.len()];
        for (index, rule) in rules.iter().enumerate() {
            match rule.required_literals() {
                Some(literals) => {
                    owners.extend(literals.iter().map(|_| index));
                    patterns.extend(literals);
                }
                None => unfiltered[index] = true,
            }
        }
        // Overlapping search needs the standard kind; a literal inside another must be seen too.
        let filter =
            AhoCorasick::builder().match_kind(MatchKind::Standard).ascii_case_insensitive(true).build(&patterns).ok();
        if filter.is_none() {
            unfiltered.fill(true);
        }
        Self { rules, skipped, by_class: by_class.into(), unfiltered, filter, owners }
    }

    /// The rules that are run.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules that are not, and why.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Indices of the rules for a class of events.
    pub(super) fn of_class(&self, class: Class) -> &[usize] {
        Class::ALL.iter().position(|c| *c == class).map_or(&[], |at| &self.by_class[at])
    }

    /// Marks the rules that could match a record with these raw bytes; whether there is any.
    pub(super) fn candidates(&self, raw: &[u8], marks: &mut Vec<bool>) -> bool {
        // Escapes and letters outside ASCII can hide a literal: then every rule is a candidate.
        let Some(filter) = self.filter.as_ref().filter(|_| raw.is_ascii() && !raw.contains(&b'\\')) else {
            marks.clear();
            marks.resize(self.rules.len(), true);
            return !self.rules.is_empty();
        };
        marks.clear();
        marks.extend_from_slice(&self.unfiltered);
        for found in filter.find_overlapping_iter(raw) {
            marks[self.owners[found.pattern().as_usize()]] = true;
        }
        marks.contains(&true)
    }
}
