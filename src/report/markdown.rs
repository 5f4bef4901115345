use std::fmt::Write as _;

use super::build::span;
use super::model::Report;
use crate::domain::{Source, clean};

/// Names in one cell.
const SHORT: usize = 8;
/// Findings listed in Markdown; all are in `findings.jsonl` and in the other forms.
const LISTED: usize = 500;
/// Moments listed.
const MOMENTS: usize = 1_000;

/// Text that Markdown shows and does not obey: on one line, every ASCII sign that could mean something escaped
/// (`CommonMark` 2.4), so that no link, image, table cell or HTML begins in it.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let text = clean(text);
    for (at, c) in text.char_indices() {
        if matches!(
            c,
            '\\' | '`'
                | '*'
                | '_'
                | '{'
                | '}'
                | '['
                | ']'
                | '('
                | ')'
                | '#'
                | '+'
                | '!'
                | '|'
                | '<'
                | '>'
                | '~'
                | '&'
                | '='
                | '@'
                | '$'
                | '"'
                | '\''
        ) {
            out.push('\\');
        }
        // Bare addresses become links in many renderers; a colon before a blank or a digit is in none.
        if c == ':' && !matches!(text.as_bytes().get(at + 1), None | Some(b' ' | b'0'..=b'9')) {
            out.push_str("&#58;");
        } else {
            out.push(c);
        }
    }
    out
}

fn table(out: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        out.push_str("None.\n\n");
        return;
    }
    let _ = writeln!(out, "| {} |\n|{}", head.join(" | "), " --- |".repeat(head.len()));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| plain(cell)).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out.push('\n');
}

/// The report as Markdown.
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    let incident = &report.incident;
    let _ = writeln!(out, "# Incident report {}\n", plain(&incident.id));
    let _ = writeln!(
        out,
        "{}, opened {} by {}, made {}.\n",
        incident.status,
        incident.opened,
        plain(&incident.operator),
        report.made
    );
    let _ = writeln!(out, "Reason: {}\n", plain(&incident.reason));
    out.push_str("## Summary\n\n");
    for sentence in &report.summary {
        let _ = writeln!(out, "- {}", plain(sentence));
    }
    out.push_str("\n## Containment\n\n");
    table(
        &mut out,
        &["Milestone", "After the alarm"],
        report.objectives.milestones.iter().map(|(name, ms)| vec![name.clone(), span(*ms)]),
    );
    out.push_str("## Credentials\n\n");
    table(
        &mut out,
        &["Credential", "Compromised", "Old value", "New value", "Proof", "Words"],
        report.credentials.iter().map(|line| {
            let old = if line.old_refused { "dead" } else { "NOT proven dead" };
            let new = if line.new_accepted { "accepted" } else { "NOT proven accepted" };
            let named = if line.compromised { "yes" } else { "no" };
            vec![line.id.clone(), named.into(), old.into(), new.into(), line.strength.clone(), line.detail.clone()]
        }),
    );
    out.push_str("## Scope\n\n");
    for (title, seen) in [
        ("Identities", &report.scope.identities),
        ("Accounts", &report.scope.accounts),
        ("Addresses", &report.scope.addresses),
    ] {
        let _ = writeln!(out, "### {title}\n");
        table(
            &mut out,
            &["Name", "Findings", "Highest"],
            seen.iter().take(LISTED).map(|s| vec![s.name.clone(), s.findings.to_string(), s.highest.to_string()]),
        );
    }
    out.push_str("### Actors\n\n");
    table(
        &mut out,
        &["Actor", "Known by", "First", "Last", "Findings", "Reached", "Joined by"],
        report.actors.actors.iter().take(LISTED).map(|actor| {
            let time = |time: Option<crate::domain::Timestamp>| time.map_or(String::new(), |time| time.to_string());
            let (first, last) = (time(actor.first), time(actor.last));
            let (known, reached, why) = (actor.known_by(SHORT), actor.reached.words(SHORT), actor.reasons(SHORT));
            vec![actor.id.clone(), known, first, last, actor.findings.to_string(), reached, why]
        }),
    );
    let money = &report.scope.money;
    let _ = writeln!(
        out,
        "{} rows of the trade table, worth {}; {} of unknown worth.\n",
        money.rows,
        plain(&money.total),
        money.unknown
    );
    findings(&mut out, report);
    coverage(&mut out, report);
    decisions(&mut out, report);
    out
}

fn findings(out: &mut String, report: &Report) {
    out.push_str("## Findings\n\n");
    table(
        out,
        &["Level", "Time", "Rule", "Where", "Decision"],
        report.findings.iter().take(LISTED).map(|line| {
            let finding = &line.finding;
            let time = finding.time.map_or(String::new(), |time| time.to_string());
            let decision = line
                .decision
                .as_ref()
                .map_or("undecided".to_owned(), |d| format!("{} ({}): {}", d.verdict, d.operator, d.note));
            vec![finding.rule.level.to_string(), time, finding.rule.title.clone(), place(&finding.source), decision]
        }),
    );
    if let Some(more) = report.findings.len().checked_sub(LISTED).filter(|more| *more > 0) {
        let _ = writeln!(out, "{more} more are in `findings.jsonl`.\n");
    }
}

/// Where a finding lies, in words.
pub(super) fn place(source: &Source) -> String {
    match source {
        Source::File { path, line: Some(line), .. } => format!("{path}:{line}"),
        Source::File { path, record, .. } => format!("{path} record {record}"),
        Source::Table { table, key } => {
            let text = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), ToOwned::to_owned);
            format!("{table} {}", key.values().map(text).collect::<Vec<_>>().join(", "))
        }
    }
}

fn coverage(out: &mut String, report: &Report) {
    out.push_str("## Coverage\n\n");
    table(
        out,
        &["Scan", "Findings", "Complete"],
        report.scans.iter().map(|scan| {
            let complete = if scan.complete { "yes" } else { "NO" };
            vec![scan.name.clone(), scan.findings.to_string(), complete.into()]
        }),
    );
    out.push_str("Not covered:\n\n");
    for words in &report.uncovered {
        let _ = writeln!(out, "- {}", plain(words));
    }
    if report.uncovered.is_empty() {
        out.push_str("- nothing that the scans know of\n");
    }
    out.push_str("\n## Steps that did not end well\n\n");
    table(
        out,
        &["Step", "Outcome", "Detail", "Attested by"],
        report.exceptions.iter().map(|one| {
            vec![one.step.clone(), one.outcome.clone(), one.detail.clone(), one.attested.clone().unwrap_or_default()]
        }),
    );
}

fn decisions(out: &mut String, report: &Report) {
    out.push_str("## Recovery\n\n");
    let _ = writeln!(out, "{}\n", plain(report.backup.as_deref().unwrap_or("No backup was put back.")));
    out.push_str("## Approvals\n\n");
    table(out, &["Approver", "Key"], report.approvals.iter().map(|one| vec![one.approver.clone(), one.key.clone()]));
    out.push_str("## The gate\n\n");
    let checks = report.gate.iter().flat_map(|gate| &gate.checks);
    table(
        out,
        &["Check", "Verdict", "Reason"],
        checks.map(|check| {
            let verdict = if check.verdict == crate::ledger::Verdict::Pass { "pass" } else { "REFUSE" };
            vec![check.check.clone(), verdict.into(), check.reason.clone()]
        }),
    );
    out.push_str("## Timeline\n\n");
    let skipped = report.timeline.len().saturating_sub(MOMENTS);
    table(
        out,
        &["Time", "Kind", "What"],
        report.timeline.iter().skip(skipped).map(|m| vec![m.time.to_string(), m.kind.clone(), m.words.clone()]),
    );
    if skipped > 0 {
        let _ = writeln!(out, "The {skipped} moments before these are in `report.json`.\n");
    }
    let _ = writeln!(
        out,
        "## Ledger\n\n{} entries, RFC 6962 root `{}`, machine key `{}`.\n\nVerify the case folder with `portcullis audit verify`.",
        report.ledger.entries,
        report.ledger.root,
        plain(&report.ledger.machine_key)
    );
}
