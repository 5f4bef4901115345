use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Progress on standard error; silent unless it is a terminal.
#[derive(Debug, Clone)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Bytes out of a known total, with rate and time to go.
    pub fn bytes(total: u64, what: &str) -> Self {
        let bar = Self::bar(Some(total));
        if let Ok(style) = ProgressStyle::with_template(
            "{msg} [{bar:24}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} eta {eta}",
        ) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        Self { bar }
    }

    /// Rows, with rate and time to go once their number is known.
    pub fn rows(what: &str) -> Self {
        let bar = Self::bar(None);
        bar.set_message(what.to_owned());
        Self { bar }
    }

    /// So many of that many; 0 if that is not known.
    pub fn at(&self, position: u64, total: u64) {
        if total > 0 && self.bar.length() != Some(total) {
            if let Ok(style) =
                ProgressStyle::with_template("{msg} [{bar:24}] {human_pos}/{human_len} rows {per_sec} eta {eta}")
            {
                self.bar.set_style(style.progress_chars("=> "));
            }
            self.bar.set_length(total);
        }
        self.bar.set_position(position);
    }

    /// Something of unknown length.
    pub fn spinner(what: &str) -> Self {
        let bar = Self::bar(None);
        bar.set_message(what.to_owned());
        if std::io::stderr().is_terminal() {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self { bar }
    }

    fn bar(total: Option<u64>) -> ProgressBar {
        let target =
            if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        ProgressBar::with_draw_target(total, target)
    }

    /// That many more.
    pub fn advance(&self, by: u64) {
        self.bar.inc(by);
    }

    /// Other words.
    pub fn say(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// Prints above the line, so that the two don't mix.
    pub fn above(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
