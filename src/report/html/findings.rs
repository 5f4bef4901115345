use super::charts;
use super::page::{Cell, Page};
use crate::report::markdown::place;
use crate::report::model::{FindingLine, Report};

/// Findings written out; the rest is counted, and is in `findings.jsonl`.
const LISTED: usize = 10_000;
/// Rules whose findings are shown at once; the others open at a click.
const OPEN: usize = 3;
/// Longest list of matched fields, in characters.
const MATCHED: usize = 300;

/// Findings by rule, the worst first.
pub fn findings(page: &mut Page, report: &Report) {
    page.section("findings", "Findings");
    if report.findings.is_empty() {
        page.raw("<p>None. What was scanned is listed under Coverage.</p>\n");
        return;
    }
    page.table("Findings by level", &["Level", "Findings", "Confirmed", "Benign", "Undecided"], |rows| {
        for level in crate::domain::Level::ALL.into_iter().rev() {
            let of: Vec<&FindingLine> =
                report.findings.iter().filter(|line| line.finding.rule.level == level).collect();
            if of.is_empty() {
                continue;
            }
            let count = |verdict: &str| {
                of.iter().filter(|line| line.decision.as_ref().is_some_and(|d| d.verdict == verdict)).count() as u64
            };
            let (confirmed, benign) = (count("confirmed"), count("benign"));
            rows.row(&[
                Cell::Styled(charts::class(level), level.as_str()),
                Cell::Count(of.len() as u64),
                Cell::Count(confirmed),
                Cell::Count(benign),
                Cell::Count(of.len() as u64 - confirmed - benign),
            ]);
        }
    });
    let listed = &report.findings[..report.findings.len().min(LISTED)];
    let mut groups: Vec<&[FindingLine]> = Vec::new();
    let same = |a: &FindingLine, b: &FindingLine| a.finding.rule == b.finding.rule;
    groups.extend(listed.chunk_by(same));
    for (number, group) in groups.iter().enumerate() {
        rule(page, group, number < OPEN && listed.len() <= 500);
    }
    if report.findings.len() > LISTED {
        page.raw("<p class=\"warn\">").count((report.findings.len() - LISTED) as u64);
        page.raw(" more findings are not written out here; they are in <code>findings.jsonl</code>.</p>\n");
    }
}

fn rule(page: &mut Page, group: &[FindingLine], open: bool) {
    let Some(first) = group.first() else { return };
    page.raw(if open { "<details class=\"rule\" open><summary>" } else { "<details class=\"rule\"><summary>" });
    let level = first.finding.rule.level;
    page.raw("<span class=\"level ").raw(charts::class(level)).raw("\">").text(level.as_str()).raw("</span> ");
    page.text(&first.finding.rule.title)
        .raw(" <span class=\"dim\">(")
        .count(group.len() as u64)
        .raw(")</span></summary>\n");
    page.table(
        &format!("Findings of: {}", first.finding.rule.title),
        &["Time", "Where", "Matched", "Decision", "Id"],
        |rows| {
            for line in group {
                let finding = &line.finding;
                let time = finding.time.map_or("none of its own".to_owned(), super::sections::short);
                let decision = line
                    .decision
                    .as_ref()
                    .map_or_else(|| "undecided".to_owned(), |d| format!("{} by {}: {}", d.verdict, d.operator, d.note));
                let decided = line.decision.as_ref().is_some_and(|d| d.verdict != "unknown");
                rows.row(&[
                    Cell::Time(&time),
                    Cell::Mono(&place(&finding.source)),
                    Cell::Text(&matched(line)),
                    Cell::Styled(if decided { "dim" } else { "warn" }, &decision),
                    Cell::Mono(finding.id.get(..12).unwrap_or(&finding.id)),
                ]);
            }
        },
    );
    page.raw("</details>\n");
}

fn matched(line: &FindingLine) -> String {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let words: Vec<String> =
        line.finding.matched.iter().map(|(key, value)| format!("{key}: {}", text(value))).collect();
    let words = words.join("; ");
    match words.char_indices().nth(MATCHED) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}
