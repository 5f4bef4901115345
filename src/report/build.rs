use std::collections::BTreeSet;

use super::actors::Actors;
use super::model::{
    Approval, Check, CredentialLine, Decision, Exception, FindingLine, Head, Moment, Monitoring, Objectives, Report,
    ScanLine, Step, Subject,
};
use super::scope::Scope;
use super::words::words;
use crate::domain::{Digest, Finding, Outcome, Timestamp, counted};
use crate::ledger::{Entry, Event, IncidentState};

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The state that the ledger says.
    pub state: &'a IncidentState,
    /// Its entries.
    pub entries: &'a [Entry],
    /// RFC 6962 root over them.
    pub root: Digest,
    /// All findings of the case.
    pub findings: &'a [Finding],
    /// Recovery time objective, minutes.
    pub rto_minutes: u64,
    /// Recovery point objective, minutes.
    pub rpo_minutes: u64,
    /// When the report is made.
    pub made: Timestamp,
}

/// Makes the report. The ledger must have its first entry; without one there is nothing to report.
pub fn build(facts: &Facts<'_>) -> Option<Report> {
    let state = facts.state;
    let (Some(incident), Some(opened)) = (&state.incident, state.opened) else { return None };
    let objectives = objectives(facts, opened);
    let scope = Scope::of(facts.findings.iter().filter(|finding| !is_benign(state, &finding.id)));
    let actors = Actors::of(facts.findings.iter().filter(|finding| !is_benign(state, &finding.id)));
    let mut report = Report {
        version: 1,
        made: facts.made,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        incident: Subject {
            id: incident.to_string(),
            status: if state.resumed.is_some() { "resumed" } else { "open" },
            reason: state.reason.clone(),
            operator: state.operator.clone(),
            operators: state.operators.clone(),
            compromised: state.compromised.iter().map(ToString::to_string).collect(),
            opened,
            resumed: state.resumed.map(|(at, _)| at),
        },
        summary: Vec::new(),
        objectives,
        timeline: timeline(facts),
        scope,
        actors,
        credentials: credentials(state),
        steps: steps(state),
        exceptions: exceptions(state),
        findings: findings(facts),
        scans: scans(state),
        uncovered: uncovered(state),
        backup: state.backup.clone(),
        backups: backups(facts.entries),
        attested: state.attested.clone(),
        approvals: approvals(state),
        record: state.record.map(|(digest, ..)| digest),
        gate: state.gate.clone().map(|(opened, checks)| Check { opened, checks }),
        monitoring: monitoring(state, facts.made),
        notices: state
            .notices
            .iter()
            .map(|((contact, moment), outcome)| (contact.clone(), moment.to_string(), outcome.to_string()))
            .collect(),
        ledger: Head { entries: state.entries, root: facts.root, machine_key: state.machine_key.clone() },
        files: state.files.values().cloned().collect(),
    };
    report.summary = summary(&report);
    Some(report)
}

fn is_benign(state: &IncidentState, id: &str) -> bool {
    state.dispositions.get(id).is_some_and(|decision| decision.verdict == "benign")
}

fn since(opened: Timestamp, time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond() - opened.as_millisecond()).unwrap_or(0)
}

/// The moments that matter, found by replaying the entries. What does not replay was refused before.
fn objectives(facts: &Facts<'_>, opened: Timestamp) -> Objectives {
    let mut state = IncidentState::default();
    let mut contained = None;
    let mut milestones: Vec<(String, u64)> = Vec::new();
    for entry in facts.entries {
        if state.apply(entry).is_err() {
            break;
        }
        let name = match &entry.event {
            Event::PauseProof { refused: true, .. } => Some("trading stopped, proven".to_owned()),
            Event::BackupChosen { path: Some(_), .. } => Some("clean backup chosen".to_owned()),
            Event::AuditPrepared { .. } => Some("audit record made".to_owned()),
            Event::IncidentResumed { .. } => Some("trading let in again".to_owned()),
            _ => None,
        };
        let mut add = |name: String| {
            if milestones.iter().all(|(known, _)| *known != name) {
                milestones.push((name, since(opened, entry.time)));
            }
        };
        name.into_iter().for_each(&mut add);
        if contained.is_none() && matches!(entry.event, Event::CredentialProof { .. } | Event::PauseProof { .. }) {
            let dead = state.credentials.values().all(|known| known.old_refused && known.new_accepted);
            if state.pause.proven && dead && !state.credentials.is_empty() {
                contained = Some(entry.time);
                add("every old value proven dead".to_owned());
            }
        }
    }
    Objectives {
        rto_minutes: facts.rto_minutes,
        rpo_minutes: facts.rpo_minutes,
        pause_proven: facts.state.pause.proven,
        pause_ms: facts.state.pause.pause_ms,
        pause_detail: facts.state.pause.detail.clone(),
        contained,
        contained_ms: contained.map(|time| since(opened, time)),
        resumed_ms: facts.state.resumed.map(|(time, _)| since(opened, time)),
        milestones,
    }
}

fn timeline(facts: &Facts<'_>) -> Vec<Moment> {
    let found = facts.findings.iter().filter_map(|finding| {
        let words = format!("{} ({})", finding.rule.title, finding.id.get(..8).unwrap_or(&finding.id));
        Some(Moment { time: finding.time?, kind: finding.rule.level.to_string(), finding: true, words })
    });
    let entries = facts.entries.iter().filter_map(|entry| {
        let kind = entry.event.kind().to_owned();
        Some(Moment { time: entry.time, kind, finding: false, words: words(&entry.event)? })
    });
    let mut all: Vec<Moment> = found.chain(entries).collect();
    all.sort_by_key(|moment| moment.time);
    all
}

fn credentials(state: &IncidentState) -> Vec<CredentialLine> {
    let ids: BTreeSet<_> = state.credentials.keys().chain(&state.compromised).collect();
    ids.into_iter()
        .map(|id| {
            let known = state.credentials.get(id).cloned().unwrap_or_default();
            CredentialLine {
                id: id.to_string(),
                compromised: state.compromised.contains(id),
                generation: known.generation,
                old: known.old.map(|print| print.to_string()),
                new: known.new.map(|print| print.to_string()),
                old_refused: known.old_refused,
                new_accepted: known.new_accepted,
                strength: known.strength,
                entry: known.proof_seq,
                detail: known.detail,
            }
        })
        .collect()
}

fn outcome(outcome: Option<Outcome>) -> String {
    outcome.map_or("in flight".to_owned(), |outcome| outcome.to_string())
}

fn steps(state: &IncidentState) -> Vec<Step> {
    let mut steps: Vec<Step> = state
        .steps
        .iter()
        .map(|(id, step)| Step {
            id: id.to_string(),
            phase: step.phase.to_string(),
            target: step.target.clone(),
            outcome: outcome(step.outcome),
            attempts: step.attempts,
            elapsed_ms: step.elapsed_ms,
            entry: step.seq,
        })
        .collect();
    steps.sort_by_key(|step| step.entry);
    steps
}

fn exceptions(state: &IncidentState) -> Vec<Exception> {
    let bad = state.steps.iter().filter(|(_, step)| !step.outcome.is_some_and(Outcome::is_success));
    bad.map(|(id, step)| Exception {
        step: id.to_string(),
        outcome: outcome(step.outcome),
        detail: step.detail.clone(),
        attested: state.attested.get(id.as_str()).cloned(),
    })
    .collect()
}

fn findings(facts: &Facts<'_>) -> Vec<FindingLine> {
    let mut lines: Vec<FindingLine> = facts
        .findings
        .iter()
        .map(|finding| {
            let decision = facts.state.dispositions.get(&finding.id).map(|known| Decision {
                verdict: known.verdict.clone(),
                note: known.note.clone(),
                operator: known.operator.clone(),
            });
            FindingLine { finding: finding.clone(), decision }
        })
        .collect();
    lines.sort_by(|a, b| {
        let key = |line: &FindingLine| (line.finding.rule.title.clone(), line.finding.time, line.finding.id.clone());
        b.finding.rule.level.cmp(&a.finding.rule.level).then_with(|| key(a).cmp(&key(b)))
    });
    lines
}

fn scans(state: &IncidentState) -> Vec<ScanLine> {
    let line = |(name, scan): (&String, &crate::ledger::ScanState)| ScanLine {
        name: name.clone(),
        findings: scan.findings,
        highest: scan.highest,
        complete: scan.complete,
        coverage: scan.coverage.clone(),
    };
    state.scans.iter().map(line).collect()
}

/// What summaries of scans say was left out, whatever its form: texts, or objects of texts that may say that the policies do not ask for it.
fn uncovered(state: &IncidentState) -> Vec<String> {
    let mut words = Vec::new();
    for (name, scan) in &state.scans {
        if !scan.complete {
            words.push(format!("{name}: not everything that was asked for was read"));
        }
        for key in ["rules_skipped", "unreadable", "uncovered"] {
            let items = scan.coverage.get(key).and_then(serde_json::Value::as_array);
            for item in items.into_iter().flatten() {
                let text = item.as_str().map_or_else(|| fields(item), ToOwned::to_owned);
                words.push(format!("{name}, {}: {text}", key.replace('_', " ")));
            }
        }
    }
    words
}

fn fields(item: &serde_json::Value) -> String {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    match item.as_object() {
        Some(fields) => {
            let texts: Vec<_> =
                fields.iter().filter(|(name, _)| *name != "optional").map(|(_, value)| text(value)).collect();
            let optional = fields.get("optional").is_some_and(|optional| *optional == true);
            texts.join(": ") + if optional { " (not required)" } else { "" }
        }
        None => item.to_string(),
    }
}

fn backups(entries: &[Entry]) -> Vec<serde_json::Value> {
    let last = entries.iter().rev().find_map(|entry| match &entry.event {
        Event::BackupChosen { verdicts, .. } => Some(verdicts.clone()),
        _ => None,
    });
    last.unwrap_or_default()
}

fn approvals(state: &IncidentState) -> Vec<Approval> {
    let line = |approval: &crate::ledger::ApprovalState| Approval {
        approver: approval.approver.clone(),
        key: approval.key.clone(),
        path: approval.path.clone(),
    };
    state.approvals.iter().map(line).collect()
}

fn monitoring(state: &IncidentState, made: Timestamp) -> Monitoring {
    let unwatched =
        state.resumed.map(|(from, until)| state.watched.unwatched(from, until.min(made))).unwrap_or_default();
    Monitoring {
        due_until: state.resumed.map(|(_, until)| until),
        watched: state.watched.stretches.clone(),
        unwatched,
        gaps: state.watched.gaps.clone(),
    }
}

/// A span in words: `840 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`.
pub(super) fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// A decimal with its thousands apart: `1 195 319.78` with no-break spaces.
pub(super) fn grouped(number: &str) -> String {
    let (sign, rest) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, cents) = rest.split_once('.').map_or((rest, None), |(whole, cents)| (whole, Some(cents)));
    let mut out = sign.to_owned();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    if let Some(cents) = cents {
        out.extend([".", cents]);
    }
    out
}

fn summary(report: &Report) -> Vec<String> {
    let objectives = &report.objectives;
    let mut words = Vec::new();
    words.push(match (objectives.pause_ms, objectives.contained_ms) {
        (Some(pause), Some(contained)) => format!(
            "Trading was stopped after {}, proven by a refused trade; every old value was proven dead {} after the alarm, against an objective of {} min.",
            span(pause),
            span(contained),
            objectives.rto_minutes
        ),
        (Some(pause), None) => format!(
            "Trading was stopped after {}, proven by a refused trade. It is NOT proven that every old value is dead.",
            span(pause)
        ),
        (None, _) => "It was NEVER proven that trading stopped.".to_owned(),
    });
    let open = report
        .findings
        .iter()
        .filter(|line| line.decision.as_ref().is_none_or(|decision| decision.verdict == "unknown"))
        .count();
    let scope = &report.scope;
    words.push(format!(
        "{}, {open} undecided; named by those that are not benign: {}, {}, {}.",
        counted(report.findings.len(), "finding", "findings"),
        counted(scope.accounts.len(), "account", "accounts"),
        counted(scope.identities.len(), "identity", "identities"),
        counted(scope.addresses.len(), "address", "addresses"),
    ));
    let money = &report.scope.money;
    if money.rows > 0 {
        let unknown =
            if money.unknown > 0 { format!("; the worth of {} can't be told", money.unknown) } else { String::new() };
        words.push(format!(
            "{} concerned, worth {} in the table's own unit{unknown}.",
            counted(money.rows, "row of the trade table is", "rows of the trade table are"),
            grouped(&money.total)
        ));
    }
    if !report.uncovered.is_empty() {
        let things = counted(report.uncovered.len(), "thing was", "things were");
        words.push(format!("{things} not covered: see Coverage."));
    }
    if !report.exceptions.is_empty() {
        words.push(format!("{} not end well.", counted(report.exceptions.len(), "step did", "steps did")));
    }
    words.push(match report.incident.resumed {
        Some(time) => {
            format!(
                "Trading was let in again at {time}, on {}.",
                counted(report.approvals.len(), "approval", "approvals")
            )
        }
        None => "Trading is still stopped: the gate has not opened.".to_owned(),
    });
    words
}
