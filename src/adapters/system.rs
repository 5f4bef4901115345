//! The machine's clock and randomness.

use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};

use crate::domain::Timestamp;
use crate::ports::{Clock, Fault, FaultKind, Random};

/// The system's clock.
#[derive(Debug)]
pub struct SystemClock {
    began: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { began: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        // Milliseconds are what the ledger writes and what people read.
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

/// The operating system's random numbers.
#[derive(Debug)]
pub struct OsRandom(SystemRandom);

impl Default for OsRandom {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Random for OsRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        self.0
            .fill(buffer)
            .map_err(|_| Fault::new(FaultKind::Unavailable, "the operating system gave no random numbers"))
    }
}
