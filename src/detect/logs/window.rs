//! The sliding window of one correlation and group: what is in it, and whether the condition holds.

use std::collections::HashMap;

use super::sigma::{Correlation, Kind};

/// What is in the window.
pub(super) struct Window {
    kind: Kind,
    events: usize,
    /// How many events have these values, by a hash of them.
    values: HashMap<u64, usize, foldhash::fast::RandomState>,
    /// How many events are of the rule at each place.
    rules: Vec<usize>,
    sum: f64,
    /// Numbers in order, for percentiles.
    numbers: Vec<f64>,
    /// For each place in the order, the latest start of a chain of events that ends there.
    chains: Vec<Option<i64>>,
    /// When that was last set, and what it was before: one event is no chain of a rule that is named twice.
    before: Vec<(i64, Option<i64>)>,
    repeated: Vec<bool>,
}

impl Window {
    pub(super) fn new(correlation: &Correlation) -> Self {
        let rules = correlation.rules.len();
        Self {
            kind: correlation.kind,
            events: 0,
            values: HashMap::default(),
            rules: vec![0; rules],
            sum: 0.0,
            numbers: Vec::new(),
            chains: vec![None; rules],
            before: vec![(i64::MIN, None); rules],
            repeated: (0..rules).map(|at| at > 0 && correlation.rules[at] == correlation.rules[at - 1]).collect(),
        }
    }

    /// An event comes in, with a hash of its values or the bits of its number.
    pub(super) fn enter(&mut self, place: usize, value: Option<u64>, time: i64) {
        self.rules[place] += 1;
        match self.kind {
            Kind::EventCount => self.events += 1,
            Kind::ValueCount => {
                if let Some(value) = value {
                    *self.values.entry(value).or_default() += 1;
                }
            }
            Kind::Temporal => {}
            Kind::TemporalOrdered => {
                let begun = match place.checked_sub(1) {
                    None => Some(time),
                    Some(last) if self.repeated[place] && self.before[last].0 == time => self.before[last].1,
                    Some(last) => self.chains[last],
                };
                if self.before[place].0 < time {
                    self.before[place] = (time, self.chains[place]);
                }
                self.chains[place] = self.chains[place].max(begun);
            }
            Kind::ValueSum | Kind::ValueAvg | Kind::ValuePercentile(_) => {
                if let Some(number) = value.map(f64::from_bits) {
                    self.events += 1;
                    self.sum += number;
                    let at = self.numbers.partition_point(|other| *other < number);
                    self.numbers.insert(at, number);
                }
            }
        }
    }

    /// An event goes out.
    pub(super) fn leave(&mut self, place: usize, value: Option<u64>) {
        self.rules[place] -= 1;
        match self.kind {
            Kind::EventCount => self.events -= 1,
            Kind::ValueCount => {
                if let Some(value) = value
                    && let Some(count) = self.values.get_mut(&value)
                {
                    *count -= 1;
                    if *count == 0 {
                        self.values.remove(&value);
                    }
                }
            }
            Kind::Temporal | Kind::TemporalOrdered => {}
            Kind::ValueSum | Kind::ValueAvg | Kind::ValuePercentile(_) => {
                if let Some(number) = value.map(f64::from_bits) {
                    self.events -= 1;
                    self.sum -= number;
                    let at = self.numbers.partition_point(|other| *other < number);
                    self.numbers.remove(at);
                    if self.numbers.is_empty() {
                        // What rounding left behind goes with the last number.
                        self.sum = 0.0;
                    }
                }
            }
        }
    }

    /// The number that the condition is about, if it holds for the window that starts at `since`.
    pub(super) fn holds(&self, correlation: &Correlation, since: i64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "counts of events are far below 2^52")]
        let count = |count: usize| count as f64;
        let value = match self.kind {
            Kind::EventCount => count(self.events),
            Kind::ValueCount => count(self.values.len()),
            Kind::Temporal => count(self.rules.iter().filter(|events| **events > 0).count()),
            Kind::TemporalOrdered => {
                let complete = self.chains.last().copied().flatten().is_some_and(|start| start >= since);
                return complete.then(|| count(self.rules.len()));
            }
            _ if self.numbers.is_empty() => return None,
            Kind::ValueSum => self.sum,
            Kind::ValueAvg => self.sum / count(self.events),
            Kind::ValuePercentile(percentile) => percentile_of(&self.numbers, percentile),
        };
        let holds = if self.kind == Kind::Temporal && correlation.condition.is_empty() {
            self.rules.iter().all(|events| *events > 0)
        } else {
            correlation.meets(value)
        };
        holds.then_some(value)
    }

    /// The correlation fired: a chain counts once.
    pub(super) fn fired(&mut self) {
        self.chains.fill(None);
        self.before.iter_mut().for_each(|before| before.1 = None);
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
