//! The live table of steps as text: a pure function of what is known, the time, and the size of the terminal.

use std::time::Duration;

use super::printer::{Style, paint};
use crate::domain::{Outcome, Phase, StepId, clean};

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// Not begun.
    Waiting,
    /// Begun at that moment of the command.
    Running(Duration),
    /// Ended so, after so long.
    Ended(Outcome, Duration),
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The step.
    pub id: StepId,
    /// Its phase.
    pub phase: Phase,
    /// What it acts on.
    pub target: String,
    /// How it stands.
    pub stand: Stand,
}

/// Everything that is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Headline: the command and the incident.
    pub title: String,
    /// What the whole is measured against.
    pub objective: Option<Duration>,
    /// When the incident was opened, before this command began.
    pub before: Duration,
    /// Steps in the order of the plan.
    pub rows: Vec<Row>,
}

/// Size of the terminal, and whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Columns.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// Colours.
    pub color: bool,
}

const PHASES: [Phase; 5] = [Phase::Pause, Phase::Evidence, Phase::Rotate, Phase::Recover, Phase::Resume];
/// Columns in front of a step's target, and behind it for the time.
const LEFT: usize = 14;
const RIGHT: usize = 10;

/// The words and the style of a step's state, and how much it matters: the smallest is shown first.
fn state(stand: Stand) -> (&'static str, Style, u8) {
    match stand {
        Stand::Ended(Outcome::Failed, _) => ("FAILED", Style::Bad, 0),
        Stand::Ended(Outcome::Unknown, _) => ("UNKNOWN", Style::Bad, 0),
        Stand::Ended(Outcome::Skipped, _) => ("skipped", Style::Bad, 2),
        Stand::Ended(Outcome::Manual, _) => ("by hand", Style::Warn, 3),
        Stand::Running(_) => ("running", Style::Strong, 1),
        Stand::Waiting => ("waiting", Style::Dim, 5),
        Stand::Ended(Outcome::Done, _) => ("done", Style::Good, 4),
        Stand::Ended(Outcome::Already, _) => ("already", Style::Good, 4),
    }
}

/// Seconds; beyond two minutes, minutes too; beyond two hours, hours and minutes.
fn time(spent: Duration) -> String {
    match spent.as_secs() {
        0..120 => format!("{:.1} s", spent.as_secs_f64()),
        seconds @ 120..7200 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        seconds => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Cut to so many columns; characters stand for columns, since targets come from policies.
fn fit(text: &str, width: usize) -> String {
    let text = clean(text);
    if text.chars().count() <= width {
        return text.into_owned();
    }
    text.chars().take(width.saturating_sub(3)).chain("...".chars()).take(width).collect()
}

struct Counts {
    done: usize,
    failed: usize,
    manual: usize,
    running: usize,
    waiting: usize,
    all: usize,
}

fn count<'a>(rows: impl Iterator<Item = &'a Row>) -> Counts {
    let mut counts = Counts { done: 0, failed: 0, manual: 0, running: 0, waiting: 0, all: 0 };
    for row in rows {
        counts.all += 1;
        *match row.stand {
            Stand::Ended(Outcome::Done | Outcome::Already, _) => &mut counts.done,
            Stand::Ended(Outcome::Manual, _) => &mut counts.manual,
            Stand::Ended(..) => &mut counts.failed,
            Stand::Running(_) => &mut counts.running,
            Stand::Waiting => &mut counts.waiting,
        } += 1;
    }
    counts
}

fn phase_line(phase: Phase, counts: &Counts, frame: Frame) -> String {
    let style = if counts.failed > 0 {
        Style::Bad
    } else if counts.manual > 0 {
        Style::Warn
    } else if counts.done == counts.all {
        Style::Good
    } else {
        Style::Strong
    };
    let mut text = format!("{}/{} done", counts.done, counts.all);
    for (number, word) in [(counts.failed, "failed"), (counts.manual, "by hand"), (counts.running, "running")] {
        if number > 0 {
            text.push_str(&format!(", {number} {word}"));
        }
    }
    let name = paint(frame.color, Style::Strong, &format!("{phase:<9}"));
    format!("  {name} {}", paint(frame.color, style, &fit(&text, frame.width.saturating_sub(12))))
}

fn row_line(row: &Row, now: Duration, frame: Frame) -> String {
    let (word, style, _) = state(row.stand);
    let spent = match row.stand {
        Stand::Waiting => String::new(),
        Stand::Running(since) => time(now.saturating_sub(since)),
        Stand::Ended(_, spent) => time(spent),
    };
    let room = frame.width.saturating_sub(LEFT + RIGHT + 1);
    let word = paint(frame.color, style, &format!("{word:<9}"));
    format!("    {word} {:<room$}{spent:>RIGHT$}", fit(&row.target, room)).trim_end().to_owned()
}

fn head_line(table: &Table, now: Duration, frame: Frame) -> String {
    let spent = time(table.before + now);
    let clock = match table.objective {
        Some(objective) => format!("{spent} of {} min", objective.as_secs() / 60),
        None => spent,
    };
    let late = table.objective.is_some_and(|objective| table.before + now > objective);
    let room = frame.width.saturating_sub(clock.chars().count() + 2);
    let title = format!("{:<room$}", fit(&table.title, room));
    let style = if late { Style::Bad } else { Style::Dim };
    format!("{} {}", paint(frame.color, Style::Strong, &title), paint(frame.color, style, &clock))
}

/// The lines of a frame: one for each phase, and below it as many of its steps as fit, those that matter most first. At most
/// `height - 1` lines of at most `width - 1` columns, so that no terminal scrolls or wraps.
pub fn render(table: &Table, now: Duration, frame: Frame) -> Vec<String> {
    let phases: Vec<Phase> =
        PHASES.into_iter().filter(|phase| table.rows.iter().any(|row| row.phase == *phase)).collect();
    let frame = Frame { width: frame.width.max(20) - 1, ..frame };
    let room = frame.height.saturating_sub(1).saturating_sub(1 + phases.len());
    let shown = chosen(table, room);
    let mut lines = vec![head_line(table, now, frame)];
    for phase in phases {
        let counts = count(table.rows.iter().filter(|row| row.phase == phase));
        lines.push(phase_line(phase, &counts, frame));
        for (_, row) in table.rows.iter().enumerate().filter(|(index, row)| row.phase == phase && shown.contains(index))
        {
            lines.push(row_line(row, now, frame));
        }
    }
    lines.truncate(frame.height.saturating_sub(1).max(1));
    lines
}

/// Indices of the rows that are shown. Those that ended well are collapsed into their phase's line unless all rows fit.
fn chosen(table: &Table, room: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..table.rows.len()).collect();
    if order.len() > room {
        order.retain(|index| state(table.rows[*index].stand).2 != 4);
        // Stable: within one state the plan's order stays.
        order.sort_by_key(|index| state(table.rows[*index].stand).2);
        order.truncate(room);
    }
    order
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
