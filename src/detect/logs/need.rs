//! What a record's raw bytes must hold for a rule to match: looked at before the record is parsed.
//!
//! The search for grams finds records that hold one literal of a rule. Most of them lack another one that the rule needs as well,
//! which a search of the single record shows in a fraction of the time that parsing it takes.

use std::collections::HashMap;

use memchr::memmem::Finder;

/// What must hold, over texts (lower-case ASCII) or their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Need<T> {
    /// Nothing is known that must.
    Nothing,
    /// The text stands in the record, in any case.
    Has(T),
    /// All of them.
    All(Vec<Need<T>>),
    /// At least one of them.
    Any(Vec<Need<T>>),
}

impl<T> Need<T> {
    /// All of these; what needs nothing says nothing.
    pub(super) fn all(parts: impl Iterator<Item = Self>) -> Self {
        let mut parts: Vec<Self> = parts.filter(|part| !matches!(part, Self::Nothing)).collect();
        match parts.len() {
            0 => Self::Nothing,
            1 => parts.remove(0),
            _ => Self::All(parts),
        }
    }

    /// One of these; if one needs nothing, neither do they.
    pub(super) fn any(parts: impl Iterator<Item = Self>) -> Self {
        let mut known = Vec::new();
        for part in parts {
            match part {
                Self::Nothing => return Self::Nothing,
                Self::Any(inner) => known.extend(inner),
                part => known.push(part),
            }
        }
        match known.len() {
            1 => known.remove(0),
            _ => Self::Any(known),
        }
    }

    /// The same over what is known of texts; where nothing is, nothing is needed.
    pub(super) fn known<U>(self, known: &impl Fn(T) -> Option<U>) -> Need<U> {
        match self {
            Self::Nothing => Need::Nothing,
            Self::Has(text) => known(text).map_or(Need::Nothing, Need::Has),
            Self::All(parts) => Need::all(parts.into_iter().map(|part| part.known(known))),
            Self::Any(parts) => Need::any(parts.into_iter().map(|part| part.known(known))),
        }
    }

    fn map<U>(self, number: &mut impl FnMut(T) -> U) -> Need<U> {
        match self {
            Self::Nothing => Need::Nothing,
            Self::Has(text) => Need::Has(number(text)),
            Self::All(parts) => Need::All(parts.into_iter().map(|part| part.map(number)).collect()),
            Self::Any(parts) => Need::Any(parts.into_iter().map(|part| part.map(number)).collect()),
        }
    }

    /// Texts of which one stands wherever the need is met, if such are known; of several sets the one that costs least.
    pub(super) fn one_of(&self, cost: &dyn Fn(&T) -> u64) -> Option<Vec<T>>
    where
        T: Clone,
    {
        let price = |set: &Vec<T>| set.iter().map(cost).sum::<u64>();
        match self {
            Self::Nothing => None,
            Self::Has(text) => Some(vec![text.clone()]),
            Self::All(parts) => parts.iter().filter_map(|part| part.one_of(cost)).min_by_key(price),
            Self::Any(parts) => {
                let sets: Option<Vec<_>> = parts.iter().map(|part| part.one_of(cost)).collect();
                Some(sets?.concat())
            }
        }
    }

    /// How many texts are looked for at most.
    fn size(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Has(_) => 1,
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::size).sum(),
        }
    }

    /// Cheap parts first: they often decide.
    fn sorted(self) -> Self {
        let sort = |parts: Vec<Self>| {
            let mut parts: Vec<_> = parts.into_iter().map(Self::sorted).collect();
            parts.sort_by_key(Self::size);
            parts
        };
        match self {
            Self::All(parts) => Self::All(sort(parts)),
            Self::Any(parts) => Self::Any(sort(parts)),
            other => other,
        }
    }
}

/// The needs of all rules of a filter.
#[derive(Debug, Default)]
pub(super) struct Needs {
    rules: Vec<Need<usize>>,
    finders: Vec<Finder<'static>>,
    /// Numbers of the literals that the search for grams reports, by its own numbers; those of others are not here.
    searched: Vec<usize>,
    is_searched: Vec<bool>,
}

impl Needs {
    /// `rules` by their numbers; `searched` are the literals that the search for grams finds, and whether it finds them wherever
    /// they stand.
    pub(super) fn new(rules: impl Iterator<Item = Need<String>>, searched: &[(&[u8], bool)]) -> Self {
        let mut numbers: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut finders = Vec::new();
        let mut number = |text: Vec<u8>| {
            *numbers.entry(text).or_insert_with_key(|text| {
                finders.push(Finder::new(text).into_owned());
                finders.len() - 1
            })
        };
        let everywhere: Vec<bool> = searched.iter().map(|(_, everywhere)| *everywhere).collect();
        let searched: Vec<usize> = searched.iter().map(|(text, _)| number(text.to_vec())).collect();
        let rules = rules.map(|need| need.map(&mut |text: String| number(text.into_bytes())).sorted()).collect();
        let mut is_searched = vec![false; finders.len()];
        for (number, everywhere) in searched.iter().zip(everywhere) {
            is_searched[*number] |= everywhere;
        }
        Self { rules, finders, searched, is_searched }
    }
}

impl Needs {
    /// Whether one of the texts holds a byte.
    pub(super) fn have(&self, byte: u8) -> bool {
        self.finders.iter().any(|finder| finder.needle().contains(&byte))
    }
}

/// What is known of one record.
#[derive(Debug)]
pub(super) struct Look<'a> {
    needs: &'a Needs,
    /// The record in lower case.
    lower: Vec<u8>,
    /// For each text the record for which it was looked for, and whether it is there.
    known: Vec<(u64, bool)>,
    record: u64,
    /// Whether the search for grams is run.
    searched: bool,
}

impl<'a> Look<'a> {
    /// `searched` says whether the search for grams is run, so that what it does not report is not there.
    pub(super) fn new(needs: &'a Needs, searched: bool) -> Self {
        Self { needs, lower: Vec::new(), known: vec![(0, false); needs.finders.len()], record: 0, searched }
    }

    /// Goes on to a record, of which the search for grams found these literals.
    pub(super) fn at(&mut self, raw: &[u8], found: impl Iterator<Item = usize>) {
        self.record += 1;
        self.lower.clear();
        self.lower.extend_from_slice(raw);
        self.lower.make_ascii_lowercase();
        for literal in found {
            self.known[self.needs.searched[literal]] = (self.record, true);
        }
    }

    /// Whether the record holds what a rule needs.
    pub(super) fn possible(&mut self, rule: usize) -> bool {
        let needs = self.needs;
        self.holds(&needs.rules[rule])
    }

    fn holds(&mut self, need: &Need<usize>) -> bool {
        match need {
            Need::Nothing => true,
            Need::Has(text) => self.has(*text),
            Need::All(parts) => parts.iter().all(|part| self.holds(part)),
            // What the search found is known: that is asked first.
            Need::Any(parts) => {
                let found =
                    |part: &Need<usize>| matches!(part, Need::Has(text) if self.known[*text] == (self.record, true));
                parts.iter().any(found) || parts.iter().any(|part| self.holds(part))
            }
        }
    }

    fn has(&mut self, text: usize) -> bool {
        let (record, there) = self.known[text];
        if record == self.record {
            return there;
        }
        // What the search looks for and did not find is not there.
        let silent = self.searched && self.needs.is_searched[text];
        let there = !silent && self.needs.finders[text].find(&self.lower).is_some();
        self.known[text] = (self.record, there);
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(text: &str) -> Need<String> {
        Need::Has(text.into())
    }

    #[test]
    fn what_needs_nothing_takes_alternatives_with_it() {
        let nothing = || Need::Nothing;
        assert_eq!(Need::all([has("a"), nothing()].into_iter()), has("a"));
        assert_eq!(Need::any([has("a"), nothing()].into_iter()), nothing());
        assert_eq!(Need::<String>::all(std::iter::empty()), nothing());
        let inner = Need::any([has("b"), has("c")].into_iter());
        assert_eq!(Need::any([has("a"), inner].into_iter()), Need::Any(vec![has("a"), has("b"), has("c")]));
    }

    #[test]
    fn a_record_is_possible_only_with_all_that_a_rule_needs() {
        let rules = [
            Need::all([has("alpha"), Need::any([has("beta"), has("gamma")].into_iter())].into_iter()),
            Need::Nothing,
            has("alpha"),
        ];
        let needs = Needs::new(rules.into_iter(), &[(b"alpha", true)]);
        let mut look = Look::new(&needs, true);
        let mut possible = |raw: &str, found: &[usize]| {
            look.at(raw.as_bytes(), found.iter().copied());
            [0, 1, 2].map(|rule| look.possible(rule))
        };
        assert_eq!(possible("ALPHA and Gamma", &[0]), [true, true, true]);
        assert_eq!(possible("alpha alone", &[0]), [false, true, true]);
        // The search reports what it looks for: what it did not report is not there.
        assert_eq!(possible("beta", &[]), [false, true, false]);
    }
}
