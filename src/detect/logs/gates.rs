//! Rules for some kinds of events only: their literals are looked for only in records that can be such events, which the names of
//! fields show that all of these have.

use super::block::Span;
use super::need::Need;
use crate::detect::grams::{Grams, Sample};

/// Bytes of a sample that count as one record.
const RECORD: usize = 1 << 10;

/// A search for some of the literals, with the numbers of these.
#[derive(Debug, Default)]
pub(super) struct Searched {
    grams: Grams,
    pub(super) numbers: Vec<usize>,
}

impl Searched {
    pub(super) fn new(literals: &[&[u8]], chosen: impl Fn(usize) -> bool, sample: &Sample) -> Self {
        let numbers: Vec<usize> = (0..literals.len()).filter(|number| chosen(*number)).collect();
        let texts = numbers.iter().map(|number| literals[*number].to_vec()).collect();
        Self { grams: Grams::new(texts, sample), numbers }
    }

    pub(super) fn find(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        if !self.numbers.is_empty() {
            self.grams.find(text, |at, literal| found(at, self.numbers[literal]));
        }
    }

    /// What it is likely to cost for each byte of text, in picoseconds.
    pub(super) fn cost(&self) -> u64 {
        self.grams.cost()
    }
}

/// The search for all literals in whole records.
#[derive(Debug)]
pub(super) struct Gates {
    /// Literals that are looked for everywhere, and texts that open gates: these have the numbers behind those of the literals.
    open: Searched,
    literals: usize,
    /// The gate that each of the texts opens.
    opens: Vec<usize>,
    /// What is looked for behind each gate.
    behind: Vec<Searched>,
    cost: u64,
}

/// A gate that may be put before some of the literals.
struct Gate {
    /// Its number among what records must hold.
    number: usize,
    /// Texts of which each record that can pass holds one.
    keys: Vec<String>,
    behind: Searched,
    /// What it is likely to cost to look behind it, for each byte of all text, in picoseconds.
    cost: u64,
}

impl Gates {
    /// Prepares the search for literals. `behind` says for each by which of `needs` a record must be for it to matter, if by one;
    /// whether it is worth while to look at that first is guessed by the sample.
    pub(super) fn new(literals: &[&[u8]], behind: &[Option<usize>], needs: &[Need<String>], sample: &Sample) -> Self {
        Self::with(literals, behind, needs, sample, |with, without| with < without)
    }

    /// The same; `worth` is asked what the search costs with another gate and without.
    fn with(
        literals: &[&[u8]],
        behind: &[Option<usize>],
        needs: &[Need<String>],
        sample: &Sample,
        worth: impl Fn(u64, u64) -> bool,
    ) -> Self {
        let gate = |(number, need): (usize, &Need<String>)| {
            let keys = need.one_of(&|key| sample.cost(key.as_bytes()))?;
            let behind = Searched::new(literals, |literal| behind[literal] == Some(number), sample);
            let cost = behind.cost() * share(&keys, sample) / 100;
            Some(Gate { number, keys, behind, cost })
        };
        let mut gates: Vec<Gate> = Vec::new();
        let mut open = Searched::new(literals, |_| true, sample);
        let mut cost = open.cost();
        for gate in needs.iter().enumerate().filter_map(gate) {
            gates.push(gate);
            let with = opened(literals, behind, &gates, sample);
            let costs = with.cost() + gates.iter().map(|gate| gate.cost).sum::<u64>();
            if worth(costs, cost) {
                (open, cost) = (with, costs);
            } else {
                gates.pop();
            }
        }
        let opens = gates.iter().enumerate().flat_map(|(at, gate)| gate.keys.iter().map(move |_| at)).collect();
        let behind = gates.into_iter().map(|gate| gate.behind).collect();
        Self { open, literals: literals.len(), opens, behind, cost }
    }

    /// What it is likely to cost for each byte of text, in picoseconds.
    pub(super) fn cost(&self) -> u64 {
        self.cost
    }

    /// Whether a literal is looked for in all records.
    pub(super) fn everywhere(&self, literal: usize) -> bool {
        self.open.numbers.binary_search(&literal).is_ok()
    }

    /// The literals, each with its place, in order. Records are lines where `spans` doesn't say otherwise.
    pub(super) fn find(&self, bytes: &[u8], spans: Option<&[Span]>) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        let mut keys: Vec<Vec<usize>> = vec![Vec::new(); self.behind.len()];
        self.open.find(bytes, |at, number| match number.checked_sub(self.literals) {
            None => found.push((at, number)),
            Some(key) => keys[self.opens[key]].push(at),
        });
        for (gate, mut keys) in self.behind.iter().zip(keys) {
            keys.sort_unstable();
            for (from, to) in records(bytes, spans, &keys) {
                gate.find(&bytes[from..to], |at, literal| found.push((from + at, literal)));
            }
        }
        found.sort_unstable();
        found
    }
}

/// The search for all literals that are behind no gate, and for the keys of all gates.
fn opened(literals: &[&[u8]], behind: &[Option<usize>], gates: &[Gate], sample: &Sample) -> Searched {
    let keys = gates.iter().flat_map(|gate| &gate.keys).map(String::as_bytes);
    let all: Vec<&[u8]> = literals.iter().copied().chain(keys).collect();
    let is_behind =
        |number: usize| behind.get(number).is_some_and(|behind| gates.iter().any(|gate| *behind == Some(gate.number)));
    Searched::new(&all, |number| !is_behind(number), sample)
}

/// Of 100 records of a sample, about so many that hold one of the texts.
fn share(keys: &[String], sample: &Sample) -> u64 {
    let texts: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    let all = sample.text().len().div_ceil(RECORD);
    let mut there = vec![false; all];
    Searched::new(&texts, |_| true, sample).find(sample.text(), |at, _| there[at / RECORD] = true);
    let there = there.into_iter().filter(|there| *there).count();
    (there * 100).checked_div(all).map_or(100, |share| share as u64)
}

/// The records that hold one of some places, in order; neighbours as one.
fn records(bytes: &[u8], spans: Option<&[Span]>, places: &[usize]) -> Vec<(usize, usize)> {
    let mut all: Vec<(usize, usize)> = Vec::new();
    for place in places {
        let last = all.last_mut();
        if last.as_ref().is_some_and(|(_, end)| place < end) {
            continue;
        }
        let (start, end) = if let Some(spans) = spans {
            let span = spans.get(spans.partition_point(|span| span.end <= *place));
            span.map_or((0, bytes.len()), |span| (span.start, span.end))
        } else {
            let start = memchr::memrchr(b'\n', &bytes[..*place]).map_or(0, |at| at + 1);
            (start, memchr::memchr(b'\n', &bytes[*place..]).map_or(bytes.len(), |at| place + at + 1))
        };
        match last {
            Some((_, to)) if *to == start => *to = end,
            _ => all.push((start, end)),
        }
    }
    all
}

#[cfg(test)]
#[path = "gates_tests.rs"]
mod tests;
