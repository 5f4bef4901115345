use crate::domain::counted;
use crate::ledger::Event;

/// An entry in words; steps show their outcome only.
pub fn words(event: &Event) -> Option<String> {
    Some(match event {
        Event::StepIntent { .. } | Event::CredentialStaged { .. } | Event::CredentialCreated { .. } => return None,
        Event::IncidentOpened { reason, operator, .. } => format!("{operator}: {reason}"),
        Event::IncidentWidened { compromised, .. } => {
            format!("compromised too: {}", compromised.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        Event::PlanMade { command, steps, operator, .. } => format!("{operator}: {command}, {steps} steps"),
        Event::StepOutcome { step, outcome, detail, .. } => format!("{outcome} {step}: {detail}"),
        Event::CredentialProof { credential, detail, .. } => format!("{credential}: {detail}"),
        Event::PauseProof { refused, detail, .. } => {
            format!("a trade is {}: {detail}", if *refused { "refused" } else { "NOT refused" })
        }
        Event::EvidenceCollected { name, .. } => name.clone(),
        Event::ScanCompleted { scan, findings, .. } => format!("{scan}: {}", counted(*findings, "finding", "findings")),
        Event::FindingDisposed { findings, verdict, note, operator } => {
            format!("{operator}: {} findings {verdict}: {note}", findings.len())
        }
        Event::BackupChosen { path, .. } => path.clone().unwrap_or_else(|| "none passed".into()),
        Event::ItemAttested { item, note, operator } => format!("{operator}: {item}: {note}"),
        Event::ChecklistReviewed { items, operator } => {
            let open = items.iter().filter(|item| !item.done).count();
            format!("{operator}: {} items, {open} open", items.len())
        }
        Event::AuditPrepared { file, .. } => file.sha256.to_string(),
        Event::ApprovalRecorded { approver, key, .. } => format!("{approver} with {key}"),
        Event::RefusalRecorded { approver, key, .. } => format!("REFUSED by {approver} with {key}"),
        Event::GateEvaluated { opened, operator, .. } => {
            format!("{operator}: the gate {}", if *opened { "opened" } else { "stayed shut" })
        }
        Event::IncidentResumed { operator, monitor_until, .. } => {
            format!("{operator}: monitoring until {monitor_until}")
        }
        Event::NoticeSent { contact, channel, moment, outcome, detail } => {
            format!("{contact} ({channel}) {outcome}: {moment}; {detail}")
        }
        Event::ReportWritten { form, file, .. } => format!("{form}: {}", file.path),
        Event::WatchStarted { operator, until, .. } => match until {
            Some(until) => format!("{operator}: until {until}"),
            None => format!("{operator}: until stopped"),
        },
        Event::WatchCovered { from, to, events, trades, alerts, gaps } => {
            let gaps = if gaps.is_empty() { String::new() } else { format!("; not watched: {}", gaps.join(", ")) };
            format!("{from} to {to}: {events} events, {trades} trades, {alerts} alerts{gaps}")
        }
        Event::TailQuarantined { file } => file.path.clone(),
    })
}
