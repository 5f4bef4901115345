use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use memchr::memmem::Finder;

use super::formats::{Format, Layout};
use super::link;
use super::logsource::{Class, classes};
use super::need::Needs;
use super::sigma::{Correlation, Document, Family, Rule, Skipped, parse_file};
use crate::detect::grams::{Grams, Sample};
use crate::detect::indicators::Indicators;

/// Bytes of a stream that are counted to choose what to look for.
const SAMPLE: usize = 128 << 10;

/// Rules, ready to be run, and the ones that can't be.
#[derive(Debug, Default)]
pub struct Ruleset {
    rules: Vec<Rule>,
    correlations: Vec<(Correlation, bool)>,
    skipped: Vec<Skipped>,
    /// For each rule whether it is run on events of each class, in the order of [`Class::ALL`].
    fits: Vec<[bool; Class::ALL.len()]>,
    /// The filter of raw bytes for each format, made from the first block that is seen of it.
    filters: [OnceLock<Filter>; Format::ALL.len()],
    /// What is looked for beside the rules.
    indicators: Option<Box<Indicators>>,
}

/// What to look for in the raw bytes of one format.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) grams: Grams,
    /// The rules of each literal.
    pub(super) owners: Vec<Vec<usize>>,
    /// Rules for this format.
    pub(super) all: Vec<usize>,
    /// Those without a literal that their events must hold: they are run on every event.
    pub(super) unfiltered: Vec<usize>,
    /// What else the record of a candidate must hold, by rule.
    pub(super) needs: Needs,
    /// Whether letters can stand as `\u0041`, and the search for it.
    pub(super) escaped: bool,
    pub(super) escape: Finder<'static>,
    /// Rules in all.
    pub(super) rules: usize,
}

impl Ruleset {
    /// Compiles rule files, given as `(name for messages, text)`. Of rules with one id the first is kept.
    pub fn from_texts<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut rules: Vec<Rule> = Vec::new();
        let mut correlations = Vec::new();
        let mut filters = Vec::new();
        let mut skipped = Vec::new();
        let mut ids = HashMap::new();
        let mut fresh = |id: &str, file: &str, line: u64, skipped: &mut Vec<Skipped>| {
            if let Some(first) = ids.get(id) {
                let reason = format!("{file}:{line}: the id was already used at {first}");
                skipped.push(Skipped { rule: id.to_owned(), file: file.into(), line, reason });
                return false;
            }
            ids.insert(id.to_owned(), format!("{file}:{line}"));
            true
        };
        for (file, text) in files {
            for parsed in parse_file(file, text) {
                match parsed {
                    Ok(Document::Rule(rule)) => {
                        if fresh(&rule.rule.id, file, rule.line, &mut skipped) {
                            rules.push(*rule);
                        }
                    }
                    Ok(Document::Correlation(correlation)) => {
                        if fresh(&correlation.rule.id, file, correlation.line, &mut skipped) {
                            correlations.push(*correlation);
                        }
                    }
                    Ok(Document::Filter(filter)) => filters.push(*filter),
                    Err(fault) => skipped.push(fault),
                }
            }
        }
        for filter in &filters {
            link::add_filter(filter, &mut rules, &mut skipped);
        }
        let correlations = link::link(correlations, &mut rules, &mut skipped);
        Self::new(rules, correlations, skipped)
    }

    fn new(rules: Vec<Rule>, correlations: Vec<(Correlation, bool)>, skipped: Vec<Skipped>) -> Self {
        let fits = rules.iter().map(|rule| {
            let classes = classes(&rule.logsource);
            Class::ALL.map(|class| classes.contains(&class))
        });
        Self { fits: fits.collect(), rules, correlations, skipped, filters: Default::default(), indicators: None }
    }

    /// The same with indicators, which are looked for in the same pass.
    #[must_use]
    pub fn with_indicators(self, indicators: Indicators) -> Self {
        Self { indicators: (!indicators.is_empty()).then(|| Box::new(indicators)), ..self }
    }

    /// The indicators that are looked for; none if there are none.
    pub fn indicators(&self) -> Option<&Indicators> {
        self.indicators.as_deref()
    }

    /// The correlations, each after those that it is built on; with each whether it gives no findings of its own.
    pub fn correlations(&self) -> impl Iterator<Item = (&Correlation, bool)> {
        self.correlations.iter().map(|(correlation, quiet)| (correlation, *quiet))
    }

    /// The id of the rule or correlation that a correlation refers to by id or name, and all that it is known by.
    pub(super) fn referred(&self, reference: &str) -> Option<(&str, Vec<&str>)> {
        let rules = self.rules.iter().map(|rule| (&rule.rule.id, &rule.name));
        let correlations = self.correlations.iter().map(|(correlation, _)| (&correlation.rule.id, &correlation.name));
        let (id, name) = rules.chain(correlations).find(|(id, name)| link::is(reference, id, name.as_deref()))?;
        Some((id, [Some(id.as_str()), name.as_deref()].into_iter().flatten().collect()))
    }

    /// The rules that are run.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules that are not, and why.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Whether a rule is for events of a class.
    pub(super) fn fits(&self, rule: usize, class: Class) -> bool {
        self.fits[rule][class as usize]
    }

    /// The rules that have to be run on every event of a format, since nothing in raw bytes says that they can't match.
    pub fn unfiltered(&self, format: Format) -> impl Iterator<Item = &Rule> {
        let family = Family::of(format);
        let known = move |rule: &Rule| rule.required_literals(family, &|set| set.len() as u64).is_some();
        self.of_format(format).map(|index| &self.rules[index]).filter(move |rule| !known(rule))
    }

    /// The rules that are run on events of a format.
    fn of_format(&self, format: Format) -> impl Iterator<Item = usize> {
        let possible = Class::possible(format);
        (0..self.rules.len()).filter(move |rule| possible.iter().any(|class| self.fits(*rule, *class)))
    }

    /// The filter for a format; `sample` is a piece of the stream.
    pub(super) fn filter(&self, layout: &Layout, sample: &[u8]) -> &Filter {
        self.filters[layout.format as usize].get_or_init(|| {
            let all = self.of_format(layout.format).collect();
            Filter::new(&self.rules, all, Family::of(layout.format), &sample[..sample.len().min(SAMPLE)])
        })
    }
}

impl Filter {
    fn new(rules: &[Rule], all: Vec<usize>, family: Family, sample: &[u8]) -> Self {
        let sample = Sample::new(sample);
        let cost = |set: &[String]| set.iter().map(|literal| sample.cost(literal.as_bytes())).sum::<u64>();
        let mut owners: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut unfiltered = Vec::new();
        for index in &all {
            match rules[*index].required_literals(family, &cost) {
                Some(literals) => {
                    for literal in literals {
                        let owners = owners.entry(literal).or_default();
                        if owners.last() != Some(index) {
                            owners.push(*index);
                        }
                    }
                }
                None => unfiltered.push(*index),
            }
        }
        let (literals, owners): (Vec<_>, Vec<_>) =
            owners.into_iter().map(|(literal, owners)| (literal.into_bytes(), owners)).unzip();
        let needs = Needs::new(rules.iter().map(|rule| rule.need(family)), &literals);
        Self {
            needs,
            grams: Grams::new(literals, &sample),
            owners,
            all,
            unfiltered,
            escaped: family == Family::Escaped,
            escape: Finder::new(b"\\u"),
            rules: rules.len(),
        }
    }
}
