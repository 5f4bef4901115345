//! A limit of writes a second, as a token bucket.

use std::time::Instant;

/// The bucket.
#[derive(Debug)]
pub struct Bucket {
    rate: f64,
    size: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// `rate` tokens a second, at most `size` at once; full.
    pub fn new(rate: f64, size: f64) -> Self {
        Self { rate, size, level: size, at: Instant::now() }
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let spent = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.level = (self.level + spent * self.rate).min(self.size);
        if self.level < 1.0 {
            return false;
        }
        self.level -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_more_than_the_rate_gets_through() {
        let mut bucket = Bucket::new(50.0, 5.0);
        let start = bucket.at;
        let taken = (0..1000).filter(|n| bucket.take(start + Duration::from_millis(*n))).count();
        assert!((54..=55).contains(&taken), "{taken}");
    }
}
