use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use memchr::memmem::Finder;

use super::block::Span;
use super::ends::{End, ends};
use super::formats::{Format, Layout};
use super::gates::Gates;
use super::link;
use super::logsource::{Class, Names, Sources};
use super::need::{Need, Needs};
use super::percent;
use super::placeholders::Placeholders;
use super::scan::ScanOptions;
use super::segments::Segments;
use super::sigma::{Correlation, Document, Family, Literal, Part, Rule, Site, Skipped, parse_file};
use crate::detect::grams::Sample;
use crate::detect::indicators::{Indicators, Match};

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
    /// The log source of each rule, and what sources say.
    source_of: Vec<Option<usize>>,
    terms: Terms,
    /// The filter of raw bytes for each format, made from the first block that is seen of it.
    filters: [OnceLock<Filter>; Format::ALL.len()],
    /// What is looked for beside the rules.
    indicators: Option<Box<Indicators>>,
}

/// What rules are read with.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Where rules are run, and what fields are called there.
    pub sources: Sources,
    /// Values for placeholders.
    pub placeholders: Placeholders,
}

impl Terms {
    /// Whether a file holds terms, not rules.
    pub fn are_in(path: &str, text: &str) -> bool {
        let named = |file: &str| path == file || path.ends_with(&format!("/{file}"));
        let rule = |line: &str| line.starts_with("detection:") || line.starts_with("correlation:");
        ["sources.yml", "placeholders.yml"].into_iter().any(named) && !text.lines().any(rule)
    }
}

impl Default for Terms {
    /// The sources that come with the program; no placeholder has values.
    fn default() -> Self {
        Self { sources: Sources::shipped(), placeholders: Placeholders::default() }
    }
}

/// What to look for in the raw bytes of one format.
#[derive(Debug)]
pub(super) struct Filter {
    search: Search,
    /// The rules of each literal.
    pub(super) owners: Vec<Vec<usize>>,
    /// Rules for this format.
    pub(super) all: Vec<usize>,
    /// Those without a literal that their events must hold: they are run on every event.
    pub(super) unfiltered: Vec<usize>,
    /// What else the record of a candidate must hold, by rule.
    pub(super) needs: Needs,
    /// Ways to write what is looked for differently: letters as `\u0041`, and slashes as `\/`.
    escapes: Vec<Finder<'static>>,
    /// Whether rules are for web requests, which write letters as `%61` too.
    web: bool,
    /// Rules in all.
    pub(super) rules: usize,
}

impl Ruleset {
    /// Compiles rule files, given as `(name for messages, text)`, with the log sources that come with the program.
    pub fn from_texts<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::with_terms(files, Terms::default())
    }

    /// Compiles rule files. Of rules with one id the first is kept.
    pub fn with_terms<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>, terms: Terms) -> Self {
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
        for (file, text) in files.into_iter().filter(|(file, text)| !Terms::are_in(file, text)) {
            for parsed in parse_file(file, text, &terms.placeholders) {
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
        Self::new(rules, correlations, skipped, terms)
    }

    fn new(mut rules: Vec<Rule>, correlations: Vec<(Correlation, bool)>, skipped: Vec<Skipped>, terms: Terms) -> Self {
        let sources = &terms.sources;
        let source_of: Vec<_> = rules.iter().map(|rule| sources.of(&rule.logsource)).collect();
        let fits = source_of.iter().map(|source| Class::ALL.map(|class| sources.has_class(*source, class))).collect();
        for (rule, source) in rules.iter_mut().zip(&source_of) {
            rule.fieldnames = sources.fields(*source);
        }
        Self { rules, correlations, skipped, fits, source_of, terms, filters: Default::default(), indicators: None }
    }

    /// What formats call fields.
    pub(super) fn names(&self) -> &Names {
        self.terms.sources.names()
    }

    /// Which log sources a file is of, where sources name files: for [`ScanOptions::sources`].
    pub fn sources_of(&self, path: &str) -> Option<Arc<[bool]>> {
        self.terms.sources.of_file(path)
    }

    /// The same with indicators, which are looked for in the same pass.
    #[must_use]
    pub fn with_indicators(self, indicators: Indicators) -> Self {
        // What filters know of texts holds for the indicators that they were made with.
        let filters = Default::default();
        Self { indicators: (!indicators.is_empty()).then(|| Box::new(indicators)), filters, ..self }
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

    /// Whether a rule is for events of a class in the file at hand.
    pub(super) fn fits(&self, rule: usize, class: Class, options: &ScanOptions) -> bool {
        let file = || match (&options.sources, self.source_of[rule]) {
            (Some(sources), Some(source)) => sources[source],
            _ => true,
        };
        self.fits[rule][class as usize] && file()
    }

    /// The rules that have to be run on every event of a format, since nothing in raw bytes says that they can't match.
    pub fn unfiltered(&self, format: Format) -> impl Iterator<Item = &Rule> {
        let known = move |index: &usize| {
            let cost = |set: &[Literal]| set.len() as u64;
            self.rules[*index].required_literals(&self.site(*index, format), &cost).is_some()
                || self.gate(*index, format) != Need::Nothing
        };
        self.of_format(format).filter(move |index| !known(index)).map(|index| &self.rules[index])
    }

    /// The rules that are run on events of a format.
    fn of_format(&self, format: Format) -> impl Iterator<Item = usize> {
        let possible = Class::possible(format);
        (0..self.rules.len()).filter(move |rule| {
            possible.iter().any(|class| self.fits[*rule][*class as usize])
                && self.terms.sources.has_format(self.source_of[*rule], format)
        })
    }

    /// Whether one of the rules is run on web requests in files of a format.
    fn reads_percent(&self, format: Format) -> bool {
        let mut classes = Class::possible(format).iter().filter(|class| class.is_web());
        classes.any(|class| self.of_format(format).any(|rule| self.fits[rule][*class as usize]))
    }

    /// What the raw record of each event holds on which a rule is run: fields of events that it is for.
    fn gate(&self, rule: usize, format: Format) -> Need<String> {
        if Family::of(format) != Family::Json {
            return Need::Nothing;
        }
        let classes = Class::possible(format).iter().filter(|class| self.fits[rule][**class as usize]);
        Need::any(classes.map(|class| class.need()))
    }

    /// Where a rule is run in files of a format.
    fn site(&self, rule: usize, format: Format) -> Site<'_> {
        Site::new(format, self.fits[rule][Class::Text as usize], self.names(), &self.rules[rule].fieldnames)
    }

    /// The filter for a format; `sample` is a piece of the stream.
    pub(super) fn filter(&self, layout: &Layout, sample: &[u8]) -> &Filter {
        self.filters[layout.format as usize].get_or_init(|| {
            let sites: Vec<_> = (0..self.rules.len()).map(|rule| self.site(rule, layout.format)).collect();
            let gates: Vec<_> = (0..self.rules.len()).map(|rule| self.gate(rule, layout.format)).collect();
            let all = self.of_format(layout.format).collect();
            let sample = &sample[..sample.len().min(SAMPLE)];
            let web = self.reads_percent(layout.format);
            let filter =
                Filter::new((&self.rules, &sites, &gates), all, Family::of(layout.format), sample, self.indicators());
            Filter { web, ..filter }
        })
    }
}

/// How literals are looked for.
#[derive(Debug)]
enum Search {
    Whole(Box<Gates>),
    /// By the parts of lines.
    Parts(Box<Segments>),
}

impl Search {
    /// The one that is likely to cost less; by parts, indicators cost less too.
    fn or_parts(self, segments: Segments) -> Self {
        /// What it is likely to save for each byte of text, in picoseconds.
        const INDICATORS: u64 = 300;
        let saved = if segments.seeks() { INDICATORS } else { 0 };
        match self {
            Self::Whole(gates) if gates.cost() + saved > segments.cost() => Self::Parts(Box::new(segments)),
            other => other,
        }
    }
}

/// What stands in the bytes of a block.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Literals by their numbers, each with its place or another in its record, in order.
    pub(super) literals: Vec<(usize, usize)>,
    /// Where something may be written differently than it is looked for, in order.
    pub(super) escapes: Vec<usize>,
    /// Where lines end, where records are lines.
    pub(super) ends: Vec<End>,
    /// Where indicators may stand, if they were looked for.
    pub(super) seen: Option<Vec<Match>>,
}

impl Filter {
    /// What stands in the bytes, where records are lines or `spans` says where they are.
    pub(super) fn find(&self, bytes: &[u8], spans: Option<&[Span]>, indicators: Option<&Indicators>) -> Found {
        match &self.search {
            Search::Whole(gates) => {
                let literals = gates.find(bytes, spans);
                let (ends, backslash) = if spans.is_none() { ends(bytes) } else { (Vec::new(), true) };
                Found { literals, escapes: self.written(bytes, backslash), ends, seen: None }
            }
            Search::Parts(segments) => {
                Found { escapes: self.written(bytes, false), ..segments.find(bytes, indicators) }
            }
        }
    }

    /// Whether a literal that was not found stands nowhere in the record.
    pub(super) fn is_thorough(&self) -> bool {
        matches!(self.search, Search::Whole(_))
    }

    /// Where something may be written differently than it is looked for, in order.
    pub(super) fn escapes(&self, bytes: &[u8]) -> Vec<usize> {
        self.written(bytes, true)
    }

    /// The same; `backslash` says whether there may be one.
    fn written(&self, bytes: &[u8], backslash: bool) -> Vec<usize> {
        let backslash = backslash && !self.escapes.is_empty() && memchr::memchr(b'\\', bytes).is_some();
        let escapes = self.escapes.iter().filter(|_| backslash).flat_map(|escape| escape.find_iter(bytes));
        let mut found: Vec<usize> =
            escapes.chain(self.web.then(|| percent::places(bytes)).into_iter().flatten()).collect();
        if self.escapes.len() + usize::from(self.web) > 1 {
            found.sort_unstable();
        }
        found
    }

    fn new(
        (rules, sites, gates): (&[Rule], &[Site<'_>], &[Need<String>]),
        all: Vec<usize>,
        family: Family,
        sample: &[u8],
        indicators: Option<&Indicators>,
    ) -> Self {
        let sample = Sample::new(sample);
        let cost = |set: &[Literal]| set.iter().map(|(_, literal)| sample.cost(literal.as_bytes())).sum::<u64>();
        let mut owners: BTreeMap<Literal, Vec<usize>> = BTreeMap::new();
        let mut unfiltered = Vec::new();
        for index in &all {
            // Of a rule without a literal at least the events are known that it is for.
            let keys = || {
                let keys = gates[*index].one_of(&|key| sample.cost(key.as_bytes()))?;
                Some(keys.into_iter().map(|key| (Part::Whole, key)).collect())
            };
            match rules[*index].required_literals(&sites[*index], &cost).or_else(keys) {
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
            owners.into_iter().map(|((part, literal), owners)| ((part, literal.into_bytes()), owners)).unzip();
        let texts: Vec<&[u8]> = literals.iter().map(|(_, text)| text.as_slice()).collect();
        let mut search = Search::Whole(Box::new(gated(&texts, &owners, gates, &sample)));
        if literals.iter().any(|(part, _)| *part != Part::Whole) {
            search = search.or_parts(Segments::new(&literals, &sample, indicators));
        }
        let everywhere = |number: usize| !matches!(&search, Search::Whole(gates) if !gates.everywhere(number));
        let searched: Vec<_> = texts.iter().enumerate().map(|(number, text)| (*text, everywhere(number))).collect();
        let need = |((rule, site), gate): ((&Rule, &Site<'_>), &Need<String>)| {
            Need::all([rule.need(site), gate.clone()].into_iter())
        };
        let needs = Needs::new(rules.iter().zip(sites).zip(gates).map(need), &searched);
        let escapes: &[&str] = match family {
            Family::Raw | Family::Quoted => &[],
            Family::Json if needs.have(b'/') => &["\\u", "\\/"],
            Family::Json | Family::Escaped | Family::Words => &["\\u"],
        };
        Self {
            needs,
            search,
            owners,
            all,
            unfiltered,
            escapes: escapes.iter().map(Finder::new).collect(),
            web: false,
            rules: rules.len(),
        }
    }
}

/// The search for literals in whole records: those of which all rules are for the same events are looked for in these only.
fn gated(texts: &[&[u8]], owners: &[Vec<usize>], gates: &[Need<String>], sample: &Sample) -> Gates {
    let mut needs: Vec<Need<String>> = Vec::new();
    let behind = |owners: &Vec<usize>| {
        let (first, others) = owners.split_first()?;
        let gate = &gates[*first];
        if *gate == Need::Nothing || others.iter().any(|rule| gates[*rule] != *gate) {
            return None;
        }
        let known = needs.iter().position(|need| need == gate);
        Some(known.unwrap_or_else(|| {
            needs.push(gate.clone());
            needs.len() - 1
        }))
    };
    let behind: Vec<Option<usize>> = owners.iter().map(behind).collect();
    Gates::new(texts, &behind, &needs, sample)
}
