//! Many literals at once in raw bytes, without regard to ASCII case.
//!
//! A few literals of a length class are searched for one by one, by two of their bytes, or a few dozen at once, by four. Of the
//! others a few neighbouring grams (4
//! bytes, or 3 of the shortest) are put into a bitmap, and only every `stride`-th gram of the text is looked up: a literal that
//! is long enough holds one of the noted grams at such a place wherever it stands. What these let through is compared in full.

mod few;
mod pair;
mod plan;
mod sweep;

use std::collections::HashMap;

use foldhash::fast::FixedState;
use memchr::memmem::Finder;

use self::few::Few;
use self::pair::Pair;
use self::plan::{Plan, plan};
use self::sweep::{Group, fold, is_same, rarest};

/// Shortest literal that can be looked for, in bytes.
pub(in crate::detect) const SHORTEST: usize = 2;
/// Bytes of text that are looked through for everything before the next ones are.
const PIECE: usize = 16 << 10;

/// How often grams occur in a sample of the text, so that rare ones can be chosen.
#[derive(Debug, Default)]
pub(in crate::detect) struct Sample {
    counts: HashMap<u32, u32, FixedState>,
    /// The text in lower case.
    text: Vec<u8>,
}

impl Sample {
    /// Counts the grams of a text.
    pub(in crate::detect) fn new(text: &[u8]) -> Self {
        let mut counts: HashMap<u32, u32, FixedState> = HashMap::default();
        for gram in text.windows(4) {
            *counts.entry(fold(gram, 4)).or_default() += 1;
        }
        Self { counts, text: text.to_ascii_lowercase() }
    }

    fn count(&self, gram: u32) -> u32 {
        self.counts.get(&gram).copied().unwrap_or(0)
    }

    /// The text, in lower case.
    pub(in crate::detect) fn text(&self) -> &[u8] {
        &self.text
    }

    /// What it is likely to cost to look for a literal: texts that hold it must be parsed, grams of others that it shares are
    /// compared, and a short one takes a search of its own or slows that for the others down.
    pub(in crate::detect) fn cost(&self, literal: &[u8]) -> u64 {
        let least = literal.windows(4).map(|gram| u64::from(self.count(fold(gram, 4)))).min();
        let least = least.unwrap_or_else(|| Finder::new(literal).find_iter(&self.text).count() as u64);
        let stride = [8, 4, 2].into_iter().find(|stride| literal.len() >= stride + 3).unwrap_or(1);
        let compared = if literal.len() < 4 {
            0
        } else {
            rarest(literal, 4, stride, |gram| u64::from(self.count(gram))).1 / stride as u64
        };
        let short = match literal.len() {
            ..=3 => 1_500,
            4..=6 => 700,
            7..=10 => 60,
            _ => 0,
        };
        least * 100 + compared + short + 1_000 / (literal.len() as u64 + 1) + 1
    }
}

/// The search for all literals.
#[derive(Debug, Default)]
pub(in crate::detect) struct Grams {
    groups: Vec<Group>,
    /// Literals that are looked for one by one, by their numbers.
    single: Vec<(usize, Pair)>,
    few: Option<Box<Few>>,
    literals: Vec<Vec<u8>>,
    cost: u64,
}

impl Grams {
    /// What it is likely to cost for each byte of text, in picoseconds.
    pub(in crate::detect) fn cost(&self) -> u64 {
        self.cost
    }

    /// Prepares the search. Literals are lower-case ASCII of at least [`SHORTEST`] bytes.
    pub(in crate::detect) fn new(literals: Vec<Vec<u8>>, sample: &Sample) -> Self {
        let Plan { sweeps, single, few, cost } = plan(&literals, sample);
        let group = |sweep: plan::Sweep| Group::new(&literals, &sweep.literals, sweep.width, sweep.stride, sample);
        let groups = sweeps.into_iter().map(group).collect();
        let single = single.into_iter().map(|at| (at, Pair::new(&literals[at], sample.text()))).collect();
        Self { groups, single, few, literals, cost }
    }

    /// Calls `found` with the place and the number of each literal, in no order.
    pub(in crate::detect) fn find(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        // In pieces that stay in the nearest cache until all has been looked for in them.
        for start in (0..text.len()).step_by(PIECE) {
            for group in &self.groups {
                group.find(text, start..start + PIECE, |at, gram| {
                    for (literal, place) in group.literals_of(gram) {
                        let (literal, want) = (*literal as usize, &self.literals[*literal as usize]);
                        let start = at.wrapping_sub(*place as usize);
                        let is = text.get(start..start.wrapping_add(want.len()));
                        if is.is_some_and(|is| is_same(is, want)) {
                            found(start, literal);
                        }
                    }
                });
            }
            if let Some(few) = &self.few {
                few.find(text, start..start + PIECE, &self.literals, &mut found);
            }
            for (number, pair) in &self.single {
                let literal = &self.literals[*number];
                pair.find(text, start..start + PIECE, literal, |at| found(at, *number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(literals: &[&str], text: &[u8]) -> Vec<(usize, usize)> {
        let literals = literals.iter().map(|literal| literal.as_bytes().to_vec()).collect();
        let mut out = Vec::new();
        Grams::new(literals, &Sample::new(text)).find(text, |at, literal| out.push((at, literal)));
        out.sort_unstable();
        out
    }

    #[test]
    fn literals_of_every_length_are_found_in_any_case() {
        let literals = ["abc", "abcd", "cdefg", "stoplogging", "logging"];
        assert_eq!(found(&literals, b"xxStopLoggING ABCDefg"), [(2, 3), (6, 4), (14, 0), (14, 1), (16, 2)]);
        assert_eq!(found(&literals, b"ab"), []);
        assert_eq!(found(&[], b"anything"), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn the_search_agrees_with_a_plain_one(
            literals in proptest::collection::vec("[ab.]{3,12}", 1..12), text in "[abAB.@x]{0,150}"
        ) {
            let names: Vec<&str> = literals.iter().map(String::as_str).collect();
            let lower = text.to_lowercase();
            let mut want = Vec::new();
            for (number, literal) in literals.iter().enumerate() {
                want.extend((0..lower.len()).filter(|at| lower[*at..].starts_with(literal)).map(|at| (at, number)));
            }
            want.sort_unstable();
            prop_assert_eq!(found(&names, text.as_bytes()), want);
        }
    }
}
