//! Which stretches of time were watched.

use crate::domain::Timestamp;

/// Stretches shorter than this between two watched ones are the watch's own beat, not a gap.
const BEAT_MS: i64 = 5_000;

/// The watched stretches of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watched {
    /// Stretches in order, neighbours joined.
    pub stretches: Vec<(Timestamp, Timestamp)>,
    /// What was not watched within them, in words.
    pub gaps: Vec<String>,
}

impl Watched {
    pub(super) fn add(&mut self, from: Timestamp, to: Timestamp, gaps: &[String]) {
        self.gaps.extend(gaps.iter().cloned());
        match self.stretches.last_mut() {
            Some(last) if from.as_millisecond() - last.1.as_millisecond() <= BEAT_MS => last.1 = last.1.max(to),
            _ => self.stretches.push((from, to)),
        }
    }

    /// Stretches of `from..to` that nobody watched.
    pub fn unwatched(&self, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let mut missing = Vec::new();
        let mut at = from;
        for (start, end) in &self.stretches {
            if *end <= at || *start >= to {
                continue;
            }
            if start.as_millisecond() - at.as_millisecond() > BEAT_MS {
                missing.push((at, *start));
            }
            at = at.max(*end);
        }
        if to.as_millisecond() - at.as_millisecond() > BEAT_MS {
            missing.push((at, to));
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn every_minute_is_watched_or_missing() {
        let mut watched = Watched::default();
        assert_eq!(watched.unwatched(at(0), at(100)), [(at(0), at(100))]);
        watched.add(at(10), at(20), &[]);
        watched.add(at(22), at(40), &["app.log vanished".into()]);
        watched.add(at(60), at(90), &[]);
        assert_eq!(watched.stretches, [(at(10), at(40)), (at(60), at(90))]);
        assert_eq!(watched.unwatched(at(0), at(100)), [(at(0), at(10)), (at(40), at(60)), (at(90), at(100))]);
        assert_eq!(watched.unwatched(at(10), at(44)), []);
        assert_eq!(watched.gaps, ["app.log vanished"]);
    }

    #[test]
    fn a_pause_as_long_as_the_beat_is_watched_and_a_longer_one_is_not() {
        let ms = |ms: i64| Timestamp::from_millisecond(ms).unwrap();
        let mut watched = Watched::default();
        watched.add(ms(10_000), ms(20_000), &[]);
        watched.add(ms(25_000), ms(30_000), &[]);
        assert_eq!(watched.stretches, [(ms(10_000), ms(30_000))]);
        watched.add(ms(35_001), ms(40_000), &[]);
        assert_eq!(watched.stretches, [(ms(10_000), ms(30_000)), (ms(35_001), ms(40_000))]);
        assert_eq!(watched.unwatched(ms(5_000), ms(34_999)), []);
        assert_eq!(watched.unwatched(ms(5_000), ms(35_000)), []);
        assert_eq!(watched.unwatched(ms(4_999), ms(45_000)), [(ms(4_999), ms(10_000)), (ms(30_000), ms(35_001))]);
        assert_eq!(watched.unwatched(ms(36_000), ms(45_001)), [(ms(40_000), ms(45_001))]);
    }
}
