//! Looks at the trade table: often with what can be said of a row by itself, less often with everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::eyes::{PATIENCE, Watch};
use crate::cli::scan_trades;
use crate::detect::trades::policy::{Check, TradePolicy};
use crate::domain::Timestamp;
use crate::engine::scan_trades as trades;
use crate::policy::monitoring::MonitoringPolicy;
use crate::ports::{Fault, Told};

/// Looks with windows are so much rarer, at most.
const RARER: u32 = 10;
/// Looks of one kind take at most one part of so many of the time.
const SHARE: u32 = 3;
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
    /// It has its answer, and ends.
    done: Arc<AtomicBool>,
    task: JoinHandle<Result<trades::TradeScanResult, String>>,
}

impl Under {
    fn is_over(&self) -> bool {
        self.done.load(Ordering::Acquire) || self.task.is_finished()
    }
}

/// What a database tells; never anything where it tells nothing.
async fn hear(told: Option<&mut Told>) -> Option<Result<(), Fault>> {
    match told {
        Some(told) => told.recv().await,
        None => std::future::pending().await,
    }
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
    /// Some look has its answer.
    ended: Arc<Notify>,
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
        Self {
            rows: looked(rows, often),
            windows: looked(policies, often * RARER),
            told,
            ended: Arc::default(),
            news: false,
        }
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
    /// Ends when a look has its answer, or the database has told of new trades.
    pub(super) async fn told(&mut self) {
        let ended = Arc::clone(&self.trading.ended);
        let heard = tokio::select! {
            () = ended.notified() => return,
            heard = hear(self.trading.told.as_mut()) => heard,
        };
        let Some(heard) = heard else {
            self.trading.told = None;
            return;
        };
        self.trading.news |= heard.is_ok();
        self.failing("notices of new trades", heard.err().map(|fault| fault.chain()));
    }

    /// Takes what looks at the trades found, and begins those whose time has come. They run beside everything else.
    pub(super) async fn trades(&mut self) {
        for look in [Look::Rows, Look::Windows] {
            if self.trading.of(look).under.as_ref().is_some_and(Under::is_over)
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

    /// The same as soon as there is something to take or to begin, told at once.
    pub(super) async fn traded(&mut self) {
        self.trades().await;
        self.act().await;
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
        let done = Arc::new(AtomicBool::new(false));
        let (over, ended) = (Arc::clone(&done), Arc::clone(&self.trading.ended));
        let task = tokio::spawn(async move {
            let run = trades::run(database.as_ref(), &policies, &request);
            let answer = match tokio::time::timeout(PATIENCE, run).await {
                Ok(answer) => answer.map_err(|fault| fault.chain()),
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            };
            over.store(true, Ordering::Release);
            ended.notify_one();
            answer
        });
        self.trading.of(look).under = Some(Under { began: Instant::now(), now, done, task });
    }

    /// Takes what a look found; the more it cost, the later is the next.
    async fn looked(&mut self, look: Look, under: Under) {
        let ended = under.task.await.unwrap_or_else(|error| Err(format!("a look died: {error}")));
        let looked = self.trading.of(look);
        let cost = under.began.elapsed();
        looked.next = Some(Instant::now() + looked.wanted.max(cost * SHARE).saturating_sub(cost));
        looked.rest = Some(Instant::now() + BREATH.max(cost * (SHARE - 1)));
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
