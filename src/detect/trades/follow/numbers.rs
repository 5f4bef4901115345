//! The latest numbers of one account or instrument, and what is usual among them.

/// Weight of a price in the slow mean of an account's prices of an instrument.
const SLOW: f32 = 0.02;

/// The latest numbers of one account or instrument.
#[derive(Default)]
pub(super) struct Numbers {
    pub(super) ring: Vec<f32>,
    /// Where the oldest lies, once the ring is full.
    pub(super) next: usize,
    pub(super) count: usize,
    /// The median when it was last computed, if it was.
    pub(super) median: f64,
    settled: bool,
    /// None in the ring is larger.
    pub(super) most: f32,
    /// Outliers one after the other: after a few of them they are the new habit.
    pub(super) held: usize,
    /// Slow mean of the prices; 0 where none is known.
    price: f32,
}

impl Numbers {
    #[expect(clippy::cast_possible_truncation, reason = "medians need no more, and there are many accounts")]
    pub(super) fn add(&mut self, number: f64, most: usize) {
        let number = number as f32;
        self.count += 1;
        let mut left = f32::MIN;
        if self.ring.len() < most {
            self.ring.push(number);
        } else if let Some(oldest) = self.ring.get_mut(self.next) {
            left = std::mem::replace(oldest, number);
            self.next = if self.next + 1 < most { self.next + 1 } else { 0 };
        }
        if number >= self.most {
            self.most = number;
        } else if left >= self.most {
            // The largest has left the ring.
            self.most = self.ring.iter().copied().fold(0.0, f32::max);
        }
    }

    /// How much cheaper a price is than those before it: at most one.
    pub(super) fn cheaper(&self, price: Option<f64>) -> f64 {
        let before = f64::from(self.price);
        price.filter(|price| *price > 0.0 && before > *price).map_or(1.0, |price| price / before)
    }

    #[expect(clippy::cast_possible_truncation, reason = "a slow mean needs no more")]
    pub(super) fn follow(&mut self, price: Option<f64>) {
        if let Some(price) = price.filter(|price| *price > 0.0) {
            let price = price as f32;
            self.price = if self.price > 0.0 { self.price + SLOW * (price - self.price) } else { price };
        }
    }

    /// Whether it can be farther from the median than that. A quarter of the way from the last median that was computed is near: while
    /// all numbers are, the median itself can't have moved further.
    pub(super) fn strays(&self, number: f64, percent: Option<f64>) -> bool {
        let Some(percent) = percent.filter(|_| self.settled) else {
            return true;
        };
        (number - self.median).abs() * 400.0 > percent * self.median.abs()
    }

    /// Median and median absolute deviation of the ring.
    pub(super) fn middle(&mut self, sorted: &mut Vec<f32>) -> (f64, f64) {
        sorted.clear();
        sorted.extend_from_slice(&self.ring);
        let median = middle(sorted);
        for number in sorted.iter_mut() {
            *number = (*number - median).abs();
        }
        let deviation = middle(sorted);
        (self.median, self.settled) = (f64::from(median), true);
        (self.median, f64::from(deviation))
    }
}

fn middle(numbers: &mut [f32]) -> f32 {
    if numbers.is_empty() {
        return 0.0;
    }
    let at = numbers.len() / 2;
    *numbers.select_nth_unstable_by(at, f32::total_cmp).1
}
