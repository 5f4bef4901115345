//! Looks at the trade table: often with what can be said of a row by itself, less often with everything.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::eyes::{PATIENCE, Watch};
use crate::cli::scan_trades;
use crate::detect::trades::policy::{Check, TradePolicy};
use crate::domain::Timestamp;
use crate::engine::scan_trades as trades;
use crate::policy::monitoring::MonitoringPolicy;

/// Looks with windows are so much rarer, at most.
const RARER: u32 = 10;

/// What a look asks of the trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Each new row by itself, and against keys, accounts and pauses.
    Rows,
    /// Everything that does not need the whole history.
    Windows,
}

impl Look {
    /// Under which a failure is named.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rows => "trades",
            Self::Windows => "windows of trades",
        }
    }

    /// A trade that is committed late is seen if it is not older than this.
    fn late(self) -> SignedDuration {
        match self {
            Self::Rows => SignedDuration::from_secs(30),
            Self::Windows => SignedDuration::from_mins(10),
        }
    }
}

/// The state of one kind of look.
struct Looked {
    policies: Vec<TradePolicy>,
    since: Option<Timestamp>,
    wanted: Duration,
    pause: Duration,
}

/// What is known of the trades.
pub(super) struct Trading {
    rows: Looked,
    windows: Looked,
}

impl Trading {
    /// Nothing before `now` was looked at.
    pub(super) fn new(policies: Vec<TradePolicy>, now: Timestamp, policy: &MonitoringPolicy) -> Self {
        let often = Duration::from_millis(policy.trades_every_ms.max(100));
        let looked = |policies, wanted| Looked { policies, since: Some(now), wanted, pause: wanted };
        let alone = |policy: &&TradePolicy| matches!(policy.check, Check::Row { .. } | Check::Lookup { .. });
        let rows = policies.iter().filter(alone).cloned().collect();
        Self { rows: looked(rows, often), windows: looked(policies, often * RARER) }
    }

    /// Where an earlier watch ended.
    pub(super) fn go_on(&mut self, since: Option<Timestamp>) {
        for looked in [&mut self.rows, &mut self.windows] {
            looked.since = since.or(looked.since);
        }
    }

    /// Trades before this were looked at in every way.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.rows.since.min(self.windows.since)
    }

    /// Time until the next look of that kind.
    pub(super) fn pause(&self, look: Look) -> Duration {
        self.of(look).pause
    }

    fn of(&self, look: Look) -> &Looked {
        match look {
            Look::Rows => &self.rows,
            Look::Windows => &self.windows,
        }
    }

    fn of_mut(&mut self, look: Look) -> &mut Looked {
        match look {
            Look::Rows => &mut self.rows,
            Look::Windows => &mut self.windows,
        }
    }
}

impl Watch<'_> {
    /// Runs trade policies over the trades since the last look; the more a look costs, the rarer it is.
    pub(super) async fn trades(&mut self, look: Look) {
        let Some(database) = self.deployment.database.clone() else { return };
        let looked = self.trading.of_mut(look);
        if looked.policies.is_empty() {
            return;
        }
        let (began, now) = (Instant::now(), self.deployment.clock.now());
        let since = looked.since.and_then(|since| since.checked_sub(look.late()).ok());
        let request = match scan_trades::request(&self.deployment, None) {
            // New trades and their windows; checks over the whole history are for `scan trades`.
            Ok(request) => trades::TradeScan { since, window_only: since.is_some(), ..request },
            Err(failure) => return self.failing(look.name(), Some(failure.message)),
        };
        let policies = std::mem::take(&mut self.trading.of_mut(look).policies);
        let ended = tokio::time::timeout(PATIENCE, trades::run(database.as_ref(), &policies, &request)).await;
        let looked = self.trading.of_mut(look);
        looked.policies = policies;
        looked.pause = looked.wanted.max(began.elapsed() * 5);
        match ended {
            Ok(Ok(result)) => {
                looked.since = Some(now);
                self.failing(look.name(), None);
                if look == Look::Windows {
                    self.numbers.trades.fetch_add(result.rows, Ordering::Relaxed);
                    self.stretch.trades += result.rows;
                    self.summary.trades = result.rows;
                }
                self.found(result.findings);
            }
            Ok(Err(fault)) => self.failing(look.name(), Some(fault.chain())),
            Err(_) => self.failing(look.name(), Some(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }
}
