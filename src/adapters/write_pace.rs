//! How fast writes may follow one another where only a refusal says what the limit is: at will until the first one, then at the
//! limit that is documented, a little slower after each further refusal, and slowly faster while nothing is refused.

use std::time::Duration;

use tokio::time::Instant;

/// The longest rest of all writes after one was refused.
const LONGEST_REST: Duration = Duration::from_millis(800);
/// Writes are never further apart than this.
const LONGEST_GAP: Duration = Duration::from_millis(500);
/// Below this the pace is none.
const SHORTEST_GAP: Duration = Duration::from_millis(1);
/// Refusals of writes that were sent before the pace changed say nothing of the new pace.
const STALE: Duration = Duration::from_millis(300);
/// Gaps that went unused and may be made up for.
const CREDIT: u32 = 2;
/// Of a gap, what each write that went through takes off: at 50 a second, 2 % faster a second.
const EASE: u32 = 2500;

/// The pace of all writes to one place.
#[derive(Debug)]
pub(super) struct Pace {
    /// The gap after the first refusal.
    limit: Duration,
    gap: Option<Duration>,
    next: Option<Instant>,
    changed: Option<Instant>,
}

impl Pace {
    /// No pace yet; `limit` is the gap between two writes that the place documents.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, gap: None, next: None, changed: None }
    }

    /// When the next write may start; each call is one write.
    pub(super) fn slot(&mut self, now: Instant) -> Instant {
        let gap = self.gap.unwrap_or_default();
        let earliest = now.checked_sub(gap * CREDIT).unwrap_or(now);
        let base = self.next.map_or(now, |next| next.max(earliest));
        self.next = Some(base + gap);
        base.max(now)
    }

    /// A write was refused, for the `refusals`th time: the pace slows down, and all writes rest, each time twice as long.
    pub(super) fn refused(&mut self, now: Instant, refusals: u32) {
        if self.changed.is_none_or(|changed| now.saturating_duration_since(changed) > STALE) {
            self.gap = Some(self.gap.map_or(self.limit, |gap| (gap * 11 / 10).min(LONGEST_GAP)));
            self.changed = Some(now);
        }
        let rest = (self.limit * 2_u32.saturating_pow(refusals.clamp(1, 7) - 1)).min(LONGEST_REST);
        self.next = Some(self.next.map_or(now + rest, |next| next.max(now + rest)));
    }

    /// A write went through.
    pub(super) fn taken(&mut self) {
        self.gap = self.gap.map(|gap| gap.saturating_sub(gap / EASE)).filter(|gap| *gap > SHORTEST_GAP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    fn after(pace: &mut Pace, now: Instant, writes: usize) -> Vec<Duration> {
        (0..writes).map(|_| pace.slot(now) - now).collect()
    }

    #[test]
    fn nothing_waits_before_a_refusal_and_all_keep_the_limit_after_it() {
        let (mut pace, now) = (Pace::new(LIMIT), Instant::now());
        assert_eq!(after(&mut pace, now, 50), [Duration::ZERO; 50]);
        // Thirty were in flight: they are refused together and slow the pace down once.
        for _ in 0..30 {
            pace.refused(now, 1);
        }
        assert_eq!(after(&mut pace, now, 4), [20, 40, 60, 80].map(Duration::from_millis));
    }

    #[test]
    fn a_write_that_is_refused_again_and_again_makes_all_rest_longer_within_bounds() {
        let mut rests = Vec::new();
        for refusals in 1..=9 {
            let (mut pace, now) = (Pace::new(LIMIT), Instant::now());
            pace.refused(now, refusals);
            rests.push((pace.slot(now) - now).as_millis());
        }
        assert_eq!(rests, [20, 40, 80, 160, 320, 640, 800, 800, 800]);
    }

    #[test]
    fn the_gap_grows_by_a_tenth_a_refusal_and_shrinks_slowly() {
        let (mut pace, mut now) = (Pace::new(LIMIT), Instant::now());
        for _ in 0..3 {
            pace.refused(now, 1);
            now += STALE * 2;
        }
        assert_eq!(pace.gap, Some(Duration::from_micros(24_200)));
        for _ in 0..500 {
            pace.taken();
        }
        let eased = pace.gap.unwrap();
        assert!(eased > Duration::from_millis(19) && eased < Duration::from_millis(21), "{eased:?}");
        for _ in 0..200 {
            pace.refused(now, 1);
            now += STALE * 2;
        }
        assert_eq!(pace.gap, Some(LONGEST_GAP));
        for _ in 0..50_000 {
            pace.taken();
        }
        assert_eq!(pace.gap, None, "in the end there is no pace again");
    }

    #[test]
    fn a_little_of_what_went_unused_is_made_up_for() {
        let (mut pace, now) = (Pace::new(LIMIT), Instant::now());
        pace.refused(now, 1);
        assert_eq!(pace.slot(now) - now, LIMIT);
        let later = now + Duration::from_secs(1);
        assert_eq!(after(&mut pace, later, 4), [0, 0, 0, 20].map(Duration::from_millis));
    }
}
