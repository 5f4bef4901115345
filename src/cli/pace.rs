//! How fast a restore is, and how long it will take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Context;
use crate::engine::Deployment;
use crate::ports::RestoreProgress;
use crate::ui::Progress;

/// Rate since the first bytes.
#[derive(Debug, Default)]
pub struct Pace {
    began: Option<(Duration, u64)>,
}

impl Pace {
    /// What is done, how much of the file was read, the rate of its text, and the time to go; `None` before anything began.
    pub fn words(&mut self, progress: &RestoreProgress, now: Duration) -> Option<String> {
        let (read, size, text, phase) = progress.now();
        if phase.is_empty() {
            return None;
        }
        if phase != "rows" || size == 0 || text == 0 {
            return Some(phase);
        }
        let (since, before) = *self.began.get_or_insert((now, read));
        let (spent, done) = (now.saturating_sub(since).as_secs_f64(), read.saturating_sub(before));
        if spent < 1.0 || done == 0 {
            return Some(phase);
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
        let (rate, left) = (text as f64 / spent / 1e6, spent / done as f64 * size.saturating_sub(read) as f64);
        Some(format!("{phase} {} %, {rate:.0} MB/s, about {left:.0} s to go", read * 100 / size))
    }
}

/// A bar for the reading of a backup, taken away at the end.
pub struct Bar {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Context {
    /// Shows how far the reading of backups is, on a terminal.
    pub fn progress(&self, deployment: &Deployment, what: &str) -> Bar {
        let stop = Arc::new(AtomicBool::new(false));
        let Some(backups) = deployment.backups.as_ref().filter(|_| self.printer.watched().table) else {
            return Bar { stop, thread: None };
        };
        let (progress, ended, what) = (backups.progress(), Arc::clone(&stop), what.to_owned());
        let thread = std::thread::spawn(move || {
            let (mut bar, mut size, mut shown) = (Progress::spinner(&what), 0, 0);
            while !ended.load(Ordering::Relaxed) {
                let (read, now, ..) = progress.now();
                if now != size {
                    bar.finish();
                    (bar, size, shown) = (Progress::bytes(now, &what), now, 0);
                }
                bar.advance(read.saturating_sub(shown));
                shown = shown.max(read);
                std::thread::sleep(Duration::from_millis(100));
            }
            bar.finish();
        });
        Bar { stop, thread: Some(thread) }
    }
}

impl Bar {
    /// Takes it away.
    pub fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
