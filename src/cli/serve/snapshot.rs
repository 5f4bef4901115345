//! What the page shows: the case as it is now, read without its lock.

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::report::incident_or_newest;
use crate::domain::{Level, counted};
use crate::engine::audit::bound_findings;
use crate::engine::findings::FINDINGS;
use crate::engine::{Deployment, Journal};
use crate::ledger::Verdict;
use crate::report::{Facts, Report, build};
use crate::ui::clean_json;

/// Moments that are shown, the newest.
const MOMENTS: usize = 200;

/// The page's data as one line of JSON.
pub fn of(ctx: &Context, deployment: &Deployment) -> String {
    let value = look(ctx, deployment).unwrap_or_else(|problem| json!({ "problem": problem }));
    clean_json(&value.to_string()).into_owned()
}

fn look(ctx: &Context, deployment: &Deployment) -> Result<Value, String> {
    let words = |failure: crate::cli::Failure| format!("{} {}", failure.message, failure.causes.join(": "));
    let incident = incident_or_newest(ctx, deployment).map_err(words)?;
    let store = deployment.cases.peek(&incident).map_err(|fault| fault.chain())?;
    let (verified, entries) = Journal::verify_entries(&store).map_err(|error| crate::gate::with_cause(&error))?;
    // A scan that writes at this moment changes the file before it changes the ledger: then what was there is shown next time.
    let (findings, _) = bound_findings(store.as_ref(), verified.state.files.get(FINDINGS)).unwrap_or_default();
    let facts = Facts {
        state: &verified.state,
        entries: &entries,
        root: verified.tree.root(),
        findings: &findings,
        rto_minutes: deployment.policies.recovery.rto_minutes,
        rpo_minutes: deployment.policies.recovery.rpo_minutes,
        // The same case gives the same text, so that nothing is sent when nothing happened.
        made: verified.state.newest.unwrap_or_default(),
    };
    let report = build(&facts).ok_or("the ledger has no first entry")?;
    Ok(shown(&report, deployment))
}

fn shown(report: &Report, deployment: &Deployment) -> Value {
    let timeline: Vec<Value> = report
        .timeline
        .iter()
        .rev()
        .take(MOMENTS)
        .map(|one| json!({"time": one.time, "kind": one.kind, "finding": one.finding, "words": one.words}))
        .collect();
    let levels: Vec<Value> = Level::ALL
        .into_iter()
        .rev()
        .filter_map(|level| {
            let of: Vec<_> = report.findings.iter().filter(|line| line.finding.rule.level == level).collect();
            let open = of.iter().filter(|line| line.decision.as_ref().is_none_or(|d| d.verdict == "unknown")).count();
            (!of.is_empty()).then(|| json!({"level": level, "findings": of.len(), "open": open}))
        })
        .collect();
    json!({
        "incident": report.incident,
        "objectives": report.objectives,
        "credentials": report.credentials,
        "scans": report.scans.iter().map(|scan| json!({"name": scan.name, "findings": scan.findings, "complete": scan.complete})).collect::<Vec<_>>(),
        "levels": levels,
        "blocking": blocking(report, deployment),
        "approvals": report.approvals.iter().map(|one| &one.approver).collect::<Vec<_>>(),
        "threshold": deployment.policies.resume.threshold,
        "monitoring": report.monitoring,
        "timeline": timeline,
        "entries": report.ledger.entries,
    })
}

/// What stands between now and the resume, by the ledger. The gate asks the world too.
fn blocking(report: &Report, deployment: &Deployment) -> Vec<String> {
    if report.incident.resumed.is_some() {
        return Vec::new();
    }
    let resume = &deployment.policies.resume;
    let mut words = Vec::new();
    if !report.objectives.pause_proven {
        words.push("the pause is not proven: portcullis pause on".to_owned());
    }
    for credential in &deployment.policies.credentials.credentials {
        let line = report.credentials.iter().find(|line| line.id == credential.id.as_str());
        let attested = report.attested.contains_key(credential.id.as_str());
        if !attested && !line.is_some_and(|line| line.old_refused && line.new_accepted) {
            words.push(format!("{}: the old value is not proven dead", credential.id));
        }
    }
    for name in &resume.required_scans {
        match report.scans.iter().find(|scan| scan.name == *name) {
            None => words.push(format!("scan {name} was not made: portcullis scan {name}")),
            Some(scan) if !scan.complete && !report.attested.contains_key(&format!("scan.{name}")) => {
                words.push(format!("scan {name} is not complete"));
            }
            Some(_) => {}
        }
    }
    let from = resume.findings_block_from;
    let open = report.findings.iter().filter(|line| {
        line.finding.rule.level >= from && line.decision.as_ref().is_none_or(|decision| decision.verdict == "unknown")
    });
    let open = open.count();
    if open > 0 {
        let open = counted(open, "finding", "findings");
        words.push(format!("{open} at {from} or above, undecided: portcullis incident dispose"));
    }
    for item in resume.required_attestations.iter().filter(|item| !report.attested.contains_key(*item)) {
        words.push(format!("nobody attests {item}: portcullis checklist"));
    }
    if report.record.is_none() {
        words.push("there is no audit record: portcullis audit prepare".to_owned());
    } else if report.approvals.len() < resume.threshold as usize {
        words.push(format!("{} of {} approvals: portcullis approve", report.approvals.len(), resume.threshold));
    }
    let refused = report.gate.iter().flat_map(|gate| &gate.checks).filter(|check| check.verdict == Verdict::Refuse);
    words.extend(refused.map(|check| format!("the gate said of {}: {}", check.check, check.reason)));
    words
}
