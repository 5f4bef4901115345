//! When something is tried again, and after how long: the one place that decides it.

use std::time::Duration;

use tokio::time::Instant;

use crate::ports::{FaultKind, Random};

/// Tries of one effect or one observation.
const TRIES: u32 = 4;
/// The first wait; each later one is twice as long.
const FIRST: Duration = Duration::from_millis(200);

/// What a fault allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing happened, and it may be otherwise in a moment.
    Again,
    /// It may have happened: the world is asked before anything is done again.
    Look,
    /// Trying again gives the same answer.
    Stop,
}

/// Decides by the kind of the fault.
pub(super) fn next(kind: FaultKind) -> Next {
    match kind {
        FaultKind::Throttled | FaultKind::Unavailable => Next::Again,
        FaultKind::OutcomeUnknown => Next::Look,
        FaultKind::NotFound | FaultKind::Denied | FaultKind::Conflict | FaultKind::Corrupt | FaultKind::Invalid => {
            Next::Stop
        }
    }
}

/// The patience that is left for one thing.
pub(super) struct Patience<'a> {
    random: &'a dyn Random,
    deadline: Instant,
    tries: u32,
}

impl<'a> Patience<'a> {
    /// Patience until `bound` from now.
    pub(super) fn new(random: &'a dyn Random, bound: Duration) -> Self {
        Self { random, deadline: Instant::now() + bound, tries: 1 }
    }

    /// Time that is left.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits before the next try; `false`, at once, if there is to be none.
    pub(super) async fn wait(&mut self) -> bool {
        let wait = jittered(self.random, FIRST * 2_u32.pow(self.tries - 1));
        if self.tries >= TRIES || wait >= self.left() {
            return false;
        }
        self.tries += 1;
        tokio::time::sleep(wait).await;
        true
    }
}

/// Between half of it and all of it: those who were told to slow down at once do not come back at once.
fn jittered(random: &dyn Random, wait: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness the whole wait: that is never too short.
    if random.fill(&mut byte).is_err() {
        return wait;
    }
    wait / 2 + wait * u32::from(byte[0]) / 512
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Fault;

    struct Byte(Option<u8>);

    impl Random for Byte {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
            let byte = self.0.ok_or_else(|| Fault::new(FaultKind::Unavailable, "none"))?;
            buffer.fill(byte);
            Ok(())
        }
    }

    #[test]
    fn a_wait_is_between_half_and_the_whole() {
        let wait = Duration::from_millis(512);
        assert_eq!(jittered(&Byte(Some(0)), wait), Duration::from_millis(256));
        assert_eq!(jittered(&Byte(Some(255)), wait), Duration::from_millis(511));
        assert_eq!(jittered(&Byte(None), wait), wait);
    }

    #[tokio::test]
    async fn patience_ends_with_the_tries_or_with_the_time() {
        let random = Byte(Some(0));
        let mut patience = Patience::new(&random, Duration::from_mins(1));
        let began = Instant::now();
        let mut tries = 1;
        while patience.wait().await {
            tries += 1;
        }
        assert_eq!(tries, TRIES);
        assert!(began.elapsed() >= Duration::from_millis(700), "100 + 200 + 400 ms");
        let mut short = Patience::new(&random, Duration::from_millis(150));
        assert!(short.wait().await && !short.wait().await, "the second wait would outlast the time");
        assert!(!Patience::new(&random, Duration::ZERO).wait().await);
    }

    #[test]
    fn only_what_had_no_effect_is_tried_again_unseen() {
        use FaultKind::*;
        for kind in [NotFound, Denied, Conflict, Throttled, Unavailable, OutcomeUnknown, Corrupt, Invalid] {
            let expected = match kind {
                Throttled | Unavailable => Next::Again,
                OutcomeUnknown => Next::Look,
                _ => Next::Stop,
            };
            assert_eq!(next(kind), expected, "{kind:?}");
        }
    }
}
