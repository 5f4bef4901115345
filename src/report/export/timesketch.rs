use serde_json::{Value, json};

use crate::domain::{Timestamp, clean};
use crate::report::markdown::place;
use crate::report::model::Report;

/// Findings and entries of the ledger as a Timesketch timeline (JSON lines with `message`, `datetime`, `timestamp_desc`).
pub fn timesketch(report: &Report) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::new();
    let mut put = |event: &Value| -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut out, event)?;
        out.push(b'\n');
        Ok(())
    };
    for line in &report.findings {
        let finding = &line.finding;
        let (time, described) = match finding.time {
            Some(time) => (time, "Event Time"),
            None => (report.incident.opened, "Incident Opened (the finding has no time)"),
        };
        let message = format!("{} in {}", finding.rule.title, place(&finding.source));
        put(&json!({
            "message": clean(&message),
            "timestamp": time.as_microsecond(),
            "datetime": datetime(time),
            "timestamp_desc": described,
            "data_type": "portcullis:finding",
            "level": finding.rule.level,
            "rule": clean(&finding.rule.title),
            "finding_id": finding.id,
            "verdict": line.decision.as_ref().map_or("undecided", |decision| decision.verdict.as_str()),
            "matched": Value::Object(finding.matched.clone()).to_string(),
            "tag": [finding.rule.level],
        }))?;
    }
    for moment in report.timeline.iter().filter(|moment| !moment.finding) {
        put(&json!({
            "message": clean(&moment.words),
            "timestamp": moment.time.as_microsecond(),
            "datetime": datetime(moment.time),
            "timestamp_desc": "Response",
            "data_type": "portcullis:entry",
            "kind": moment.kind,
        }))?;
    }
    Ok(out)
}

/// ISO 8601 with six digits and an offset, as the importer writes it itself.
fn datetime(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
}
