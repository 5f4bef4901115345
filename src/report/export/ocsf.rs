use serde_json::{Value, json};

use crate::domain::{FindingKind, Level, clean};
use crate::report::markdown::place;
use crate::report::model::{FindingLine, Report};

/// Version of the schema that is written.
const SCHEMA: &str = "1.3.0";

/// The name of a kind as our outputs write it.
pub(super) fn kind(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Log => "log",
        FindingKind::Trade => "trade",
        FindingKind::Secret => "secret",
        FindingKind::Database => "database",
    }
}

/// Findings as OCSF Detection Findings (class 2004), one JSON object a line. What has no time of its own is given that of the
/// incident's opening, and says so.
pub fn ocsf(report: &Report) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::new();
    for line in &report.findings {
        serde_json::to_writer(&mut out, &event(report, line))?;
        out.push(b'\n');
    }
    Ok(out)
}

fn event(report: &Report, line: &FindingLine) -> Value {
    let finding = &line.finding;
    let (severity_id, severity) = match finding.rule.level {
        Level::Informational => (1, "Informational"),
        Level::Low => (2, "Low"),
        Level::Medium => (3, "Medium"),
        Level::High => (4, "High"),
        Level::Critical => (5, "Critical"),
    };
    let (status_id, status) = match line.decision.as_ref().map(|decision| decision.verdict.as_str()) {
        Some("benign") => (3, "Suppressed"),
        Some("confirmed") => (2, "In Progress"),
        _ => (1, "New"),
    };
    let time = finding.time.unwrap_or(report.incident.opened).as_millisecond();
    let mut message = format!("{} in {}", finding.rule.title, place(&finding.source));
    if finding.time.is_none() {
        message.push_str(" (no time of its own: the incident's opening stands for it)");
    }
    let words = clean(&message).into_owned();
    json!({
        "activity_id": 1, "activity_name": "Create",
        "category_uid": 2, "category_name": "Findings",
        "class_uid": 2004, "class_name": "Detection Finding",
        "type_uid": 200_401, "type_name": "Detection Finding: Create",
        "severity_id": severity_id, "severity": severity,
        "status_id": status_id, "status": status,
        "time": time,
        "message": words,
        "metadata": {
            "version": SCHEMA,
            "product": {"name": "Portcullis", "vendor_name": "Portcullis", "version": report.program},
            "uid": finding.id,
            "correlation_uid": report.incident.id,
        },
        "finding_info": {
            "uid": finding.id,
            "title": clean(&finding.rule.title),
            "desc": words,
            "types": [kind(finding.kind)],
            "created_time": time,
            "analytic": {"name": clean(&finding.rule.title), "uid": finding.rule.id, "type_id": 1, "type": "Rule"},
        },
        "evidences": [{"data": {"matched": finding.matched, "event": finding.event}}],
    })
}
