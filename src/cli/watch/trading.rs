//! Looks at the trade table: often with what can be said of a row by itself, less often with everything.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tokio::task::JoinHandle;

use super::eyes::{PATIENCE, Watch};
use crate::cli::scan_trades;
use crate::detect::trades::policy::{Check, TradePolicy};
use crate::domain::Timestamp;
use crate::engine::scan_trades as trades;
use crate::policy::monitoring::MonitoringPolicy;
use crate::ports::Told;

/// Looks with windows are so much rarer, at most.
const RARER: u32 = 10;
/// Between two looks that the database asked for.
const BREATH: Duration = Duration::from_millis(100);

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

/// A look under way.
struct Under {
    began: Instant,
    now: Timestamp,
    task: JoinHandle<Result<trades::TradeScanResult, String>>,
}

/// The state of one kind of look.
struct Looked {
    policies: Arc<Vec<TradePolicy>>,
    since: Option<Timestamp>,
    wanted: Duration,
    /// When the next one is due.
    next: Option<Instant>,
    /// Before that none begins, even if the database tells of new rows: looks shall not be its work.
    rest: Option<Instant>,
    under: Option<Under>,
}

impl Looked {
    /// Whether one is to begin now; `news`: the database told of new rows.
    fn is_due(&self, news: bool) -> bool {
        let now = Instant::now();
        let over = |time: Option<Instant>| time.is_none_or(|time| time <= now);
        self.under.is_none() && (over(self.next) || (news && over(self.rest)))
    }
}

/// What is known of the trades.
pub(super) struct Trading {
    rows: Looked,
    windows: Looked,
    told: Option<Told>,
    /// The database told of new rows since the last look began.
    news: bool,
}

impl Trading {
    /// Nothing before `now` was looked at.
    pub(super) fn new(
        policies: Vec<TradePolicy>,
        now: Timestamp,
        policy: &MonitoringPolicy,
        told: Option<Told>,
    ) -> Self {
        let often = Duration::from_millis(policy.trades_every_ms.max(100));
        let looked = |policies, wanted| Looked {
            policies: Arc::new(policies),
            since: Some(now),
            wanted,
            next: None,
            rest: None,
            under: None,
        };
        let alone = |policy: &&TradePolicy| matches!(policy.check, Check::Row { .. } | Check::Lookup { .. });
        let rows = policies.iter().filter(alone).cloned().collect();
        Self { rows: looked(rows, often), windows: looked(policies, often * RARER), told, news: false }
    }

    /// Whether the database may tell of new rows.
    pub(super) fn is_told(&self) -> bool {
        self.told.is_some()
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

    fn of(&mut self, look: Look) -> &mut Looked {
        match look {
            Look::Rows => &mut self.rows,
            Look::Windows => &mut self.windows,
        }
    }
}

impl Drop for Trading {
    fn drop(&mut self) {
        for looked in [&self.rows, &self.windows] {
            if let Some(under) = &looked.under {
                under.task.abort();
            }
        }
    }
}

impl Watch<'_> {
    /// Ends when the database has told of new trades; never where it tells nothing.
    pub(super) async fn told(&mut self) {
        let Some(told) = &mut self.trading.told else { return std::future::pending().await };
        let Some(heard) = told.recv().await else {
            self.trading.told = None;
            return;
        };
        self.trading.news |= heard.is_ok();
        self.failing("notices of new trades", heard.err().map(|fault| fault.chain()));
    }

    /// Takes what looks at the trades found, and begins those whose time has come. They run beside everything else.
    pub(super) async fn trades(&mut self) {
        for look in [Look::Rows, Look::Windows] {
            if self.trading.of(look).under.as_ref().is_some_and(|under| under.task.is_finished())
                && let Some(under) = self.trading.of(look).under.take()
            {
                self.looked(look, under).await;
            }
            let news = look == Look::Rows && self.trading.news;
            if self.trading.of(look).is_due(news) {
                self.begin_look(look);
            }
        }
    }

    /// Looks at the trades up to now, before it ends.
    pub(super) async fn last_trades(&mut self) {
        for look in [Look::Rows, Look::Windows] {
            for last in [false, true] {
                if last {
                    self.begin_look(look);
                }
                if let Some(under) = self.trading.of(look).under.take() {
                    self.looked(look, under).await;
                }
            }
        }
    }

    /// Begins to run policies over the trades since the last look.
    fn begin_look(&mut self, look: Look) {
        let Some(database) = self.deployment.database.clone() else { return };
        let now = self.deployment.clock.now();
        let looked = self.trading.of(look);
        if looked.policies.is_empty() {
            return;
        }
        looked.next = Some(Instant::now() + looked.wanted);
        looked.rest = Some(Instant::now() + BREATH);
        let (policies, since) = (Arc::clone(&looked.policies), looked.since);
        if look == Look::Rows {
            self.trading.news = false;
        }
        let since = since.and_then(|since| since.checked_sub(look.late()).ok());
        let request = match scan_trades::request(&self.deployment, None) {
            // New trades and their windows; checks over the whole history are for `scan trades`.
            Ok(request) => trades::TradeScan { since, window_only: since.is_some(), ..request },
            Err(failure) => return self.failing(look.name(), Some(failure.message)),
        };
        let task = tokio::spawn(async move {
            let run = trades::run(database.as_ref(), &policies, &request);
            match tokio::time::timeout(PATIENCE, run).await {
                Ok(ended) => ended.map_err(|fault| fault.chain()),
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            }
        });
        self.trading.of(look).under = Some(Under { began: Instant::now(), now, task });
    }

    /// Takes what a look found; the more it cost, the later is the next.
    async fn looked(&mut self, look: Look, under: Under) {
        let ended = under.task.await.unwrap_or_else(|error| Err(format!("a look died: {error}")));
        let looked = self.trading.of(look);
        let cost = under.began.elapsed();
        looked.next = Some(Instant::now() + looked.wanted.max(cost * 5).saturating_sub(cost));
        looked.rest = Some(Instant::now() + BREATH.max(cost * 4));
        match ended {
            Ok(result) => {
                looked.since = Some(under.now);
                self.failing(look.name(), None);
                if look == Look::Windows {
                    self.numbers.trades.fetch_add(result.rows, Ordering::Relaxed);
                    self.stretch.trades += result.rows;
                    self.summary.trades = result.rows;
                }
                self.found(result.findings);
            }
            Err(reason) => self.failing(look.name(), Some(reason)),
        }
    }
}
