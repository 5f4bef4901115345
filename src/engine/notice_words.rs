//! What notices say. Words of servers may be among them; values of credentials never are.

use super::Deployment;
use crate::domain::{Outcome, StepReport, Words};
use crate::ledger::IncidentState;

/// An incident was opened.
pub fn opened(deployment: &Deployment, state: &IncidentState) -> Words {
    let policies = &deployment.policies;
    let mut what = vec![format!("why: {}", state.reason)];
    if let Some(database) = &deployment.database {
        what.push(format!("database: {}", database.describe()));
    }
    if state.compromised.is_empty() {
        what.push("no credential is named as compromised yet".to_owned());
    } else {
        let named: Vec<_> = state.compromised.iter().map(ToString::to_string).collect();
        what.push(format!("compromised: {}", named.join(", ")));
    }
    let services: Vec<_> = policies.credentials.services.iter().map(|service| service.name.as_str()).collect();
    if !services.is_empty() {
        what.push(format!("may be restarted: {}", services.join(", ")));
    }
    Words {
        headline: "Breach response began: trading is being stopped".to_owned(),
        what,
        next: "do not deploy or change credentials by hand; follow it with: portcullis incident show".to_owned(),
    }
}

/// A lockdown ended.
pub fn ended(contained: bool, state: &IncidentState, reports: &[StepReport]) -> Words {
    let bad = reports.iter().filter(|report| !report.outcome.is_success());
    let mut what = vec![match (state.pause.proven, state.pause.pause_ms) {
        (true, Some(ms)) => format!("trading stopped after {ms} ms, proven by a refused trade"),
        _ => "it is NOT proven that trading is stopped".to_owned(),
    }];
    what.extend(bad.map(|report| {
        let what = if report.outcome == Outcome::Manual { "for a person" } else { report.outcome.as_str() };
        format!("{what}: {}: {}", report.target, report.detail)
    }));
    let (headline, next) = if contained {
        (
            "Contained: trading is stopped, the old credentials are dead",
            "find what was done: portcullis scan logs PATH, scan trades, scan secrets PATH, scan database",
        )
    } else {
        (
            "NOT contained yet: the lockdown ended with steps missing",
            "mend what failed, then the same command again: it does only what is missing",
        )
    };
    Words { headline: headline.to_owned(), what, next: next.to_owned() }
}

/// The audit record waits for signatures.
pub fn approval_needed(threshold: u32, sha256: &str, expires: &str) -> Words {
    Words {
        headline: format!("The audit record waits for {threshold} signatures"),
        what: vec![format!("fingerprint of audit-record.json: {sha256}"), format!("valid until {expires}")],
        next: "get the file, compare the fingerprint by voice, read it, sign it with ssh-keygen -Y sign".to_owned(),
    }
}

/// Trading was let in again.
pub fn resumed(monitor_until: &str) -> Words {
    Words {
        headline: "Trading was let in again".to_owned(),
        what: vec![format!("enhanced monitoring until {monitor_until}")],
        next: "watch, and write down what was learnt".to_owned(),
    }
}

/// A test.
pub fn test() -> Words {
    Words {
        headline: "This is a test of portcullis: nothing happened".to_owned(),
        what: vec!["in an incident a notice like this says what happened".to_owned()],
        next: "nothing; tell the sender that it arrived".to_owned(),
    }
}
