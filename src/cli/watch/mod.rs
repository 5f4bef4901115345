//! `watch`: enhanced monitoring. Logs, the trade table, the guard and the catalog are looked at again and again with the rules of
//! the scans; alerts are printed, kept in the case, told to the contacts, and can drop the gate.

mod account;
mod alerts;
mod correlated;
mod eyes;
mod guarded;
mod memory;
mod metrics;
mod trading;

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::sought::SoughtArgs;
use super::{Context, Exit, Failure};
use crate::domain::{Level, Timestamp};
use crate::ui::{Printer, Record, Style, clean};

/// How often files are looked at.
const BEAT: Duration = Duration::from_millis(200);

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Where it was stopped it goes on: what was written meanwhile is read, and the time in between is named in the ledger.
It holds no lock: every other command works while it runs.

Examples:
  portcullis watch --for 24h --auto-pause critical
  portcullis watch /var/log/nginx logs/app.log --listen 127.0.0.1:9469
  portcullis watch --for 1h --min-level high --format json")]
pub struct WatchArgs {
    /// Log files and folders [default: `logs` of policies/monitoring.yml]
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Stop after that time: 90s, 30m, 24h [default: until interrupted]
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    duration: Option<Duration>,
    /// Drop the gate at an alert of this level or above
    #[arg(long, value_name = "LEVEL")]
    auto_pause: Option<Level>,
    /// Lowest level that is an alert [default: `alert_from` of policies/monitoring.yml]
    #[arg(long, value_name = "LEVEL")]
    min_level: Option<Level>,
    /// Read files that are there already from their start
    #[arg(long)]
    from_start: bool,
    #[command(flatten)]
    sought: SoughtArgs,
    /// Serve /metrics (Prometheus) and /healthz there
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

/// Reads a span of time: a number with s, m, h or d.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a span of time: write 90s, 30m, 24h or 2d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).filter(|all| (1..=31_536_000).contains(all)).map(Duration::from_secs).ok_or_else(wrong)
}

/// How the watch ended.
#[derive(Debug, Default, Serialize)]
struct WatchSummary {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    events: u64,
    trades: u64,
    alerts: u64,
    pauses: u64,
    files: usize,
    gaps: Vec<String>,
}

impl Record for WatchSummary {
    const TYPE: &'static str = "summary";
    fn text(&self, printer: &Printer) -> String {
        let style = if self.alerts > 0 { Style::Bad } else { Style::Strong };
        let mut text = printer
            .paint(style, format!("{} alerts in {} events and {} trades", self.alerts, self.events, self.trades));
        if self.pauses > 0 {
            text.push_str(&format!("\n  {}", printer.paint(Style::Bad, "the gate was dropped")));
        }
        for gap in &self.gaps {
            text.push_str(&format!("\n  {} {}", printer.paint(Style::Warn, "not watched:"), clean(gap)));
        }
        text
    }
}

/// Watches until the time is over or somebody stops it.
pub async fn run(args: WatchArgs, ctx: &Context) -> Result<Exit, Failure> {
    let mut stop = std::pin::pin!(stopped());
    let mut watch = eyes::Watch::begin(&args, ctx).await?;
    let shared = watch.numbers();
    if let Some(address) = args.listen {
        metrics::listen(address, shared).await?;
    }
    watch.announce();
    let end = args.duration.map(|duration| tokio::time::Instant::now() + duration);
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = beat.tick() => watch.look().await,
            () = watch.told() => watch.traded().await,
            () = &mut stop => break,
        }
        if end.is_some_and(|end| tokio::time::Instant::now() >= end) {
            break;
        }
    }
    let summary = Box::pin(watch.finish()).await;
    let exit = if summary.alerts > 0 {
        Exit::Findings
    } else if summary.gaps.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    };
    ctx.printer.emit(&summary);
    Ok(exit)
}

/// Ends when somebody interrupts or terminates the process.
///
/// The handlers stand when this returns, not only when it is waited for.
pub(super) fn stopped() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async move {
        match signals {
            (Ok(mut interrupt), Ok(mut terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            // Without handlers the signals end the process as ever.
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_bounded() {
        assert_eq!(span("24h").unwrap(), Duration::from_hours(24));
        assert_eq!(span("90s").unwrap(), Duration::from_secs(90));
        for wrong in ["", "h", "0s", "1w", "-1h", "99999999999999999999d", "400d", "1.5h", "é"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
