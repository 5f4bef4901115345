use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::adapters::web::{self, Reply, Request};
use crate::cli::{Exit, Failure};

/// Seconds after which a watch that did not look is not healthy.
const STALE_S: i64 = 30;

/// Numbers that the watch counts and the endpoint shows.
#[derive(Debug, Default)]
pub struct Numbers {
    /// Log events.
    pub events: AtomicU64,
    /// Trades.
    pub trades: AtomicU64,
    /// Alerts by level, lowest first.
    pub alerts: [AtomicU64; 5],
    /// Times that the gate was dropped.
    pub pauses: AtomicU64,
    /// Files followed.
    pub files: AtomicU64,
    /// Gaps named.
    pub gaps: AtomicU64,
    /// Alerts that wait for the case.
    pub waiting: AtomicU64,
    /// Whether the guard was engaged when it was looked at last: 1, 0, or 2 if it can't be told.
    pub guard: AtomicU64,
    /// Unix second of the last look.
    pub looked: AtomicI64,
    /// Why it is not healthy, if it is not.
    pub problem: RwLock<Option<String>>,
}

/// Serves the numbers; returns at once.
pub async fn listen(address: SocketAddr, numbers: Arc<Numbers>) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|error| {
        Failure::from_error(Exit::Usage, format!("failed to listen on {address}"), &error)
            .hint("give another address: --listen 127.0.0.1:9469")
    })?;
    let answer = move |request: &Request| match request.path.as_str() {
        "/metrics" => Reply::whole(200, "text/plain; version=0.0.4; charset=utf-8", metrics(&numbers)),
        "/healthz" => healthy(&numbers),
        _ => Reply::whole(404, "text/plain; charset=utf-8", "not found: /metrics, /healthz\n".to_owned()),
    };
    tokio::spawn(web::serve(listener, Arc::new(answer)));
    Ok(())
}

fn healthy(numbers: &Numbers) -> Reply {
    let problem = numbers.problem.read().unwrap_or_else(PoisonError::into_inner).clone();
    let since = jiff::Timestamp::now().as_second() - numbers.looked.load(Ordering::Relaxed);
    match problem {
        Some(problem) => Reply::whole(503, "text/plain; charset=utf-8", format!("{}\n", crate::ui::clean(&problem))),
        None if since > STALE_S => {
            Reply::whole(503, "text/plain; charset=utf-8", format!("it last looked {since} s ago\n"))
        }
        None => Reply::whole(200, "text/plain; charset=utf-8", "ok\n".to_owned()),
    }
}

/// Prometheus text format 0.0.4.
fn metrics(numbers: &Numbers) -> String {
    let mut out = String::new();
    let mut add = |name: &str, kind: &str, help: &str, value: i64| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    let get = |number: &AtomicU64| i64::try_from(number.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
    add("portcullis_watch_events_total", "counter", "Log events looked at.", get(&numbers.events));
    add("portcullis_watch_trades_total", "counter", "Trades looked at.", get(&numbers.trades));
    add("portcullis_watch_gaps_total", "counter", "Things that were not watched.", get(&numbers.gaps));
    add("portcullis_watch_auto_pauses_total", "counter", "Times that the gate was dropped.", get(&numbers.pauses));
    add("portcullis_watch_files", "gauge", "Log files that are followed.", get(&numbers.files));
    add("portcullis_watch_alerts_waiting", "gauge", "Alerts not in the ledger yet.", get(&numbers.waiting));
    add("portcullis_watch_guard_engaged", "gauge", "1 paused, 0 trading, 2 not known.", get(&numbers.guard));
    let looked = numbers.looked.load(Ordering::Relaxed);
    add("portcullis_watch_last_look_timestamp_seconds", "gauge", "When it last looked.", looked);
    let name = "portcullis_watch_alerts_total";
    let _ = writeln!(out, "# HELP {name} Alerts.\n# TYPE {name} counter");
    for (level, count) in crate::domain::Level::ALL.iter().zip(&numbers.alerts) {
        let _ = writeln!(out, "{name}{{level=\"{level}\"}} {}", get(count));
    }
    out
}
