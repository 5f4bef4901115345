use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Progress on standard error; silent unless it is a terminal.
#[derive(Debug, Clone)]
pub struct Progress {
    bar: ProgressBar,
}

/// Whole rows a second.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is shown, and never negative")]
fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
}

/// Rows of an unknown number, once there are any.
fn done(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    if state.pos() > 0 {
        let _ = write!(out, ", {} rows, ", HumanCount(state.pos()));
        rate(state, out);
    }
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
        let bar = Self::bar(None).with_style(ProgressStyle::default_spinner());
        bar.set_message(what.to_owned());
        Self { bar }
    }

    /// So many rows of that many in what is done now; 0 if that is not known. Rate and time to go are those of what is done now.
    pub fn at(&self, what: &str, position: u64, total: u64) {
        if self.bar.message() != what || self.bar.length() != Some(total).filter(|total| *total > 0) {
            let template = if total > 0 {
                "{msg} [{bar:24}] {human_pos}/{human_len} rows, {rate}, eta {eta}"
            } else {
                "{spinner} {msg}{done}"
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style.progress_chars("=> ").with_key("rate", rate).with_key("done", done));
            }
            if total > 0 {
                self.bar.set_length(total);
            } else {
                self.bar.unset_length();
            }
            if self.bar.message() != what {
                self.bar.set_message(what.to_owned());
                self.bar.reset();
            }
        }
        self.bar.set_position(position);
        self.bar.tick();
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
