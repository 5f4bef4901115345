//! Charts as inline SVG: numbers and names of ours only, colours by class so that they follow the page.

use super::page::Page;
use crate::domain::{Level, Timestamp, counted};
use crate::report::build::span;
use crate::report::model::Report;

const WIDTH: f64 = 800.0;
const LEFT: f64 = 8.0;
/// Columns of the chart of findings.
const COLUMNS: usize = 60;
const BARS: f64 = 120.0;

fn fill(level: Level) -> &'static str {
    match level {
        Level::Informational => "f-informational",
        Level::Low => "f-low",
        Level::Medium => "f-medium",
        Level::High => "f-high",
        Level::Critical => "f-critical",
    }
}

#[expect(clippy::cast_precision_loss, reason = "pixels")]
fn part(value: i64, whole: i64) -> f64 {
    (value as f64 / whole.max(1) as f64).clamp(0.0, 1.0)
}

#[expect(clippy::cast_precision_loss, reason = "pixels")]
fn scaled(value: u64, whole: u64) -> f64 {
    (value as f64 / whole.max(1) as f64).clamp(0.0, 1.0)
}

fn rect(page: &mut Page, class: &'static str, [x, y, width, height]: [f64; 4]) {
    let round = |value: f64| (value * 10.0).round() / 10.0;
    page.raw("<rect class=\"").raw(class).raw("\" x=\"").number(round(x)).raw("\" y=\"").number(round(y));
    page.raw("\" width=\"").number(round(width)).raw("\" height=\"").number(round(height)).raw("\"/>");
}

fn label(page: &mut Page, class: &'static str, anchor: &'static str, x: f64, y: f64, words: &str) {
    page.raw("<text class=\"").raw(class).raw("\" text-anchor=\"").raw(anchor).raw("\" x=\"").number(x.round());
    page.raw("\" y=\"").number(y.round()).raw("\">").text(words).raw("</text>");
}

fn open(page: &mut Page, height: f64, id: &'static str, title: &'static str, words: &str) {
    page.raw("<svg viewBox=\"0 0 800 ").number(height.round()).raw("\" role=\"img\" aria-labelledby=\"").raw(id);
    page.raw("\"><title id=\"").raw(id).raw("\">").raw(title).raw(". ").text(words).raw("</title>");
}

/// Findings over time, stacked by level.
pub fn findings(page: &mut Page, report: &Report) {
    let timed: Vec<(Timestamp, Level)> =
        report.findings.iter().filter_map(|line| Some((line.finding.time?, line.finding.rule.level))).collect();
    let (Some(first), Some(last)) = (timed.iter().map(|one| one.0).min(), timed.iter().map(|one| one.0).max()) else {
        page.raw("<p>No finding has a time of its own.</p>\n");
        return;
    };
    let (start, whole) = (first.as_millisecond(), last.as_millisecond() - first.as_millisecond());
    let mut columns = vec![[0_u64; 5]; COLUMNS];
    for (time, level) in &timed {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to COLUMNS - 1")]
        let column = (part(time.as_millisecond() - start, whole) * 59.0) as usize;
        columns[column.min(COLUMNS - 1)][*level as usize] += 1;
    }
    let highest = columns.iter().map(|column| column.iter().sum::<u64>()).max().unwrap_or(1);
    let words = format!(
        "{} between {first} and {last}, at most {highest} in one column",
        counted(timed.len(), "finding", "findings")
    );
    page.raw("<figure>");
    open(page, BARS + 50.0, "chart-findings", "Findings over time", &words);
    label(page, "small", "start", LEFT, 16.0, &counted(highest, "finding", "findings"));
    let width = (WIDTH - 2.0 * LEFT) / 60.0;
    let mut x = LEFT;
    for column in &columns {
        let mut y = BARS + 20.0;
        for level in Level::ALL {
            let count = column[level as usize];
            if count > 0 {
                let height = (scaled(count, highest) * BARS).max(2.0);
                y -= height;
                rect(page, fill(level), [x + 0.5, y, width - 1.0, height]);
            }
        }
        x += width;
    }
    rect(page, "bar", [LEFT, BARS + 20.0, WIDTH - 2.0 * LEFT, 1.0]);
    label(page, "small", "start", LEFT, BARS + 40.0, &minute(first));
    label(page, "small", "end", WIDTH - LEFT, BARS + 40.0, &minute(last));
    page.raw("</svg><figcaption>Findings over time, by the events’ own clocks (UTC).");
    for level in Level::ALL.into_iter().rev() {
        let count = timed.iter().filter(|one| one.1 == level).count();
        if count > 0 {
            page.raw(" ").styled(class(level), format!("■ {level} {count}"));
        }
    }
    page.raw("</figcaption></figure>\n");
}

/// The class of a level's text.
pub fn class(level: Level) -> &'static str {
    match level {
        Level::Informational => "l-informational",
        Level::Low => "l-low",
        Level::Medium => "l-medium",
        Level::High => "l-high",
        Level::Critical => "l-critical",
    }
}

fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Milestones since the alarm, against the objective.
pub fn response(page: &mut Page, report: &Report) {
    let milestones = &report.objectives.milestones;
    let Some((_, longest)) = milestones.iter().max_by_key(|one| one.1) else {
        page.raw("<p>No milestone was reached.</p>\n");
        return;
    };
    let objective = report.objectives.rto_minutes.saturating_mul(60_000);
    // The objective is drawn where it can be seen: not if everything took a thousandth of it.
    let whole = (if objective <= longest.saturating_mul(5) { objective.max(*longest) } else { *longest }).max(1);
    let mut height = 26.0;
    let mut rows: Vec<(f64, f64, String)> = Vec::new();
    for (name, ms) in milestones {
        rows.push((
            height,
            scaled(*ms, whole) * (WIDTH - 2.0 * LEFT),
            format!("{name}: {} after the alarm", span(*ms)),
        ));
        height += 44.0;
    }
    let words: Vec<&str> = rows.iter().map(|row| row.2.as_str()).collect();
    page.raw("<figure>");
    open(page, height, "chart-response", "Milestones after the alarm", &words.join("; "));
    for (y, width, words) in &rows {
        label(page, "", "start", LEFT, *y, words);
        rect(page, "bar", [LEFT, y + 8.0, width.max(2.0), 12.0]);
    }
    if objective <= whole {
        let x = LEFT + scaled(objective, whole) * (WIDTH - 2.0 * LEFT);
        page.raw("<line class=\"objective\" x1=\"").number(x.round()).raw("\" x2=\"").number(x.round());
        page.raw("\" y1=\"0\" y2=\"").number(height.round()).raw("\"/>");
    }
    page.raw("</svg><figcaption>Milestones after the alarm; the objective is ").count(report.objectives.rto_minutes);
    page.raw(if objective <= whole { " min (dashed line)." } else { " min, far to the right." });
    page.raw("</figcaption></figure>\n");
}
