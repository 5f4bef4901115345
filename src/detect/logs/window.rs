//! The sliding window of one correlation and group: what is in it, and whether the condition holds.

use std::collections::HashMap;

use super::sigma::{Correlation, Kind};

/// What is in the window. There is one for each group, and groups are many: it holds what its correlation needs, no more.
pub(super) enum Window {
    /// How many events.
    Count(usize),
    /// How many events have these values, by a hash of them.
    Values(HashMap<u64, usize, foldhash::fast::RandomState>),
    /// How many events are of the rule at each place.
    Rules(Box<[usize]>),
    /// Rules in their order.
    Chains(Box<[Chain]>),
    /// Numbers in order, and their sum.
    Numbers(Vec<f64>, f64),
}

/// What is known of the rule at one place of an order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain {
    /// The latest start of a chain of events that ends here.
    start: Option<i64>,
    /// When that was last set, and what it was before: one event is no chain of a rule that is named twice.
    before: (i64, Option<i64>),
    /// It is the rule of the place before.
    repeated: bool,
}

impl Window {
    pub(super) fn new(correlation: &Correlation) -> Self {
        let rules = &correlation.rules;
        match correlation.kind {
            Kind::EventCount => Self::Count(0),
            Kind::ValueCount => Self::Values(HashMap::default()),
            Kind::Temporal => Self::Rules(vec![0; rules.len()].into()),
            Kind::TemporalOrdered => {
                let repeated = |at: usize| at > 0 && rules[at] == rules[at - 1];
                let chain = |at| Chain { start: None, before: (i64::MIN, None), repeated: repeated(at) };
                Self::Chains((0..rules.len()).map(chain).collect())
            }
            Kind::ValueSum | Kind::ValueAvg | Kind::ValuePercentile(_) => Self::Numbers(Vec::new(), 0.0),
        }
    }

    /// An event comes in, with a hash of its values or the bits of its number.
    pub(super) fn enter(&mut self, place: usize, value: Option<u64>, time: i64) {
        match self {
            Self::Count(events) => *events += 1,
            Self::Values(values) => {
                if let Some(value) = value {
                    *values.entry(value).or_default() += 1;
                }
            }
            Self::Rules(rules) => rules[place] += 1,
            Self::Chains(chains) => {
                let begun = match place.checked_sub(1) {
                    None => Some(time),
                    Some(last) if chains[place].repeated && chains[last].before.0 == time => chains[last].before.1,
                    Some(last) => chains[last].start,
                };
                let chain = &mut chains[place];
                if chain.before.0 < time {
                    chain.before = (time, chain.start);
                }
                chain.start = chain.start.max(begun);
            }
            Self::Numbers(numbers, sum) => {
                if let Some(number) = value.map(f64::from_bits) {
                    *sum += number;
                    let at = numbers.partition_point(|other| *other < number);
                    numbers.insert(at, number);
                }
            }
        }
    }

    /// An event goes out.
    pub(super) fn leave(&mut self, place: usize, value: Option<u64>) {
        match self {
            Self::Count(events) => *events -= 1,
            Self::Values(values) => {
                if let Some(value) = value
                    && let Some(count) = values.get_mut(&value)
                {
                    *count -= 1;
                    if *count == 0 {
                        values.remove(&value);
                    }
                }
            }
            Self::Rules(rules) => rules[place] -= 1,
            Self::Chains(_) => {}
            Self::Numbers(numbers, sum) => {
                if let Some(number) = value.map(f64::from_bits) {
                    *sum -= number;
                    let at = numbers.partition_point(|other| *other < number);
                    numbers.remove(at);
                    if numbers.is_empty() {
                        // What rounding left behind goes with the last number.
                        *sum = 0.0;
                    }
                }
            }
        }
    }

    /// The number that the condition is about, if it holds for the window that starts at `since`.
    pub(super) fn holds(&self, correlation: &Correlation, since: i64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "counts of events are far below 2^52")]
        let count = |count: usize| count as f64;
        let value = match self {
            Self::Count(events) => count(*events),
            Self::Values(values) => count(values.len()),
            Self::Rules(rules) => {
                if correlation.condition.is_empty() && rules.contains(&0) {
                    return None;
                }
                count(rules.iter().filter(|events| **events > 0).count())
            }
            Self::Chains(chains) => {
                let complete = chains.last().and_then(|last| last.start).is_some_and(|start| start >= since);
                return complete.then(|| count(chains.len()));
            }
            Self::Numbers(numbers, _) if numbers.is_empty() => return None,
            Self::Numbers(numbers, sum) => match correlation.kind {
                Kind::ValueAvg => sum / count(numbers.len()),
                Kind::ValuePercentile(percentile) => percentile_of(numbers, percentile),
                _ => *sum,
            },
        };
        correlation.meets(value).then_some(value)
    }

    /// The correlation fired: a chain counts once.
    pub(super) fn fired(&mut self) {
        if let Self::Chains(chains) = self {
            for chain in chains {
                (chain.start, chain.before.1) = (None, None);
            }
        }
    }
}

/// The percentile of numbers in order, between neighbours by their distance (as PostgreSQL's `percentile_cont`).
fn percentile_of(numbers: &[f64], percentile: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of events are far below 2^52")]
    let place = percentile / 100.0 * (numbers.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the number of numbers")]
    let below = place.floor() as usize;
    let (low, high) = (numbers[below], numbers[(below + 1).min(numbers.len() - 1)]);
    low + (high - low) * (place - place.floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_neighbours() {
        assert!((percentile_of(&[1.0, 2.0, 10.0], 50.0) - 2.0).abs() < 1e-9);
        assert!((percentile_of(&[1.0, 3.0], 50.0) - 2.0).abs() < 1e-9);
        assert!((percentile_of(&[1.0, 3.0], 100.0) - 3.0).abs() < 1e-9);
        assert!((percentile_of(&[7.0], 95.0) - 7.0).abs() < 1e-9);
    }
}
