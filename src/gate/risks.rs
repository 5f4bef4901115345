use super::Facts;
use super::build::is_open;
use crate::policy::credentials::IssuerPolicy;

/// What may still go wrong although every check passes: said to the approvers before they sign. Follows from the same facts
/// as the rest of the record, so that it can be made again and compared.
pub(super) fn residual(facts: &Facts<'_>) -> Vec<String> {
    let mut risks = Vec::new();
    proofs(facts, &mut risks);
    scans(facts, &mut risks);
    people(facts, &mut risks);
    risks
}

fn proofs(facts: &Facts<'_>, risks: &mut Vec<String>) {
    let Facts { state, policies, .. } = *facts;
    for credential in &policies.credentials.credentials {
        let id = &credential.id;
        let by_hand = matches!(credential.issuer, IssuerPolicy::Manual { .. });
        let strength = state.credentials.get(id).map_or("", |known| known.strength.as_str());
        if by_hand {
            risks.push(format!("`{id}` is replaced by hand: that the old value is dead rests on a person's word"));
        } else if strength == "store" {
            risks.push(format!("`{id}` is replaced in its stores only: no server was seen to refuse the old value"));
        }
    }
    if policies.pause.guard.is_none() {
        risks.push("no guard is declared: no refused trade proves the pause".into());
    }
    for (entry, what) in &state.pause.interruptions {
        risks.push(format!("the pause may have been off since entry {entry} until it was proven again ({what})"));
    }
}

fn scans(facts: &Facts<'_>, risks: &mut Vec<String>) {
    let Facts { state, policies, .. } = *facts;
    for (name, scan) in &state.scans {
        if !scan.complete {
            risks.push(format!("scan {name} did not cover all that was asked for"));
        }
        let skipped = scan.coverage.get("rules_skipped").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
        if skipped > 0 {
            risks.push(format!("scan {name} skipped {skipped} rules"));
        }
    }
    for name in ["logs", "trades", "secrets", "database"] {
        if !state.scans.contains_key(name) {
            risks.push(format!("scan {name} was not made"));
        }
    }
    let from = policies.resume.findings_block_from;
    let below =
        facts.findings.iter().filter(|finding| finding.rule.level < from && is_open(state, &finding.id)).count();
    if below > 0 {
        risks.push(format!("{below} findings below {from} that nobody decided on"));
    }
}

fn people(facts: &Facts<'_>, risks: &mut Vec<String>) {
    for open in facts.state.checklist.iter().filter(|item| !item.done) {
        risks.push(format!("the checklist is open at `{}`: {}", open.item, open.detail));
    }
    let policy = &facts.policies.resume;
    if policy.threshold == 1 && facts.waive.is_none() {
        risks.push("one person alone approves".into());
    }
    if policy.operators_may_approve {
        risks.push("policy lets people approve their own work".into());
    }
    if policy.owners_of_compromised_may_approve {
        risks.push("policy lets owners of leaked credentials approve".into());
    }
    if policy.witnesses.is_empty() {
        risks.push("no witness outside the case folder holds its checkpoints".into());
    }
}

#[cfg(test)]
#[path = "risks_tests.rs"]
mod tests;
