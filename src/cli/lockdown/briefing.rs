//! What a lockdown will do, in a few lines, before it is confirmed.

use std::time::Duration;

use crate::cli::steps::since_opened;
use crate::domain::{Action, CredentialId, IncidentId, Outcome, Plan};
use crate::engine::Deployment;
use crate::ledger::IncidentState;
use crate::ui::clean;

/// Columns of a list of names; what does not fit is counted.
const WIDTH: usize = 62;

/// The part of an incident's name by which people speak of it.
pub(super) fn short_name(incident: &IncidentId) -> &str {
    incident.as_str().rsplit('-').next().unwrap_or_default()
}

/// Names in one line.
fn list(names: &[&str]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        let name = clean(name);
        let more = format!(" and {} more", names.len() - index);
        if index > 0 && text.chars().count() + name.chars().count() + 2 + more.len() > WIDTH {
            return text + &more;
        }
        if index > 0 {
            text.push_str(", ");
        }
        text.extend(name.chars().take(WIDTH));
    }
    text
}

/// `12 min`, `40 s`, `3 h`.
fn span(spent: Duration) -> String {
    match spent.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// Steps of the plan of which the ledger does not say that they ended well.
fn left(plan: &Plan, state: &IncidentState) -> usize {
    let done = |id| state.steps.get(id).and_then(|step| step.outcome).is_some_and(Outcome::is_success);
    plan.steps.iter().filter(|spec| !done(&spec.id)).count()
}

/// At most twelve lines.
pub(super) fn lines(
    deployment: &Deployment,
    plan: &Plan,
    known: Option<&IncidentState>,
    compromised: &[CredentialId],
) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some((state, incident)) = known.and_then(|state| Some((state, state.incident.as_ref()?))) {
        let ago = span(since_opened(deployment, state));
        let steps = match left(plan, state) {
            0 => "each step is looked at again".to_owned(),
            1 => "1 step left".to_owned(),
            several => format!("{several} steps left"),
        };
        lines.push(format!("continues incident {incident}, opened {ago} ago: {steps}"));
    } else {
        lines.push("lockdown".to_owned());
    }
    let database = deployment.database.as_ref().map(|database| database.describe());
    let database = database.as_deref().unwrap_or("none is configured (DATABASE_URL is not set)");
    lines.push(format!("  database   {}", clean(database)));
    let stops = targets(plan, |action| matches!(action, Action::EngageSwitch { .. }));
    lines.push(format!("  stops      trading, by {}", list(&stops)));
    lines.extend(credentials(plan, known, compromised));
    let restarts = plan.steps.iter().filter_map(|spec| match &spec.action {
        Action::RestartService { service } => Some(service.as_str()),
        _ => None,
    });
    let restarts: Vec<_> = restarts.collect();
    lines.push(format!("  restarts   {}", if restarts.is_empty() { "nothing".to_owned() } else { list(&restarts) }));
    let contacts = deployment.policies.contacts.contacts.iter();
    let told: Vec<_> = contacts.map(|contact| contact.name.as_str()).collect();
    lines.push(match told.as_slice() {
        [] => "  tells      nobody (policies/contacts.yml names no contact)".to_owned(),
        told => format!("  tells      {}", list(told)),
    });
    lines
}

fn targets(plan: &Plan, is: impl Fn(&Action) -> bool) -> Vec<&str> {
    plan.steps.iter().filter(|spec| is(&spec.action)).map(|spec| spec.target.as_str()).collect()
}

fn credentials(plan: &Plan, known: Option<&IncidentState>, compromised: &[CredentialId]) -> Vec<String> {
    let staged = plan.steps.iter().filter_map(|spec| match &spec.action {
        Action::StageCredential { credential, .. } => Some(credential.as_str()),
        _ => None,
    });
    let staged: Vec<_> = staged.collect();
    let by_hand = plan.steps.iter().filter_map(|spec| match &spec.action {
        Action::Manual { credential: Some(credential), .. } => Some(credential.as_str()),
        _ => None,
    });
    let by_hand: Vec<_> = by_hand.collect();
    let before = known.map(|state| state.compromised.as_slice()).unwrap_or_default();
    let mut leaked: Vec<&str> = before.iter().chain(compromised).map(CredentialId::as_str).collect();
    leaked.sort_unstable();
    leaked.dedup();
    let mut lines = vec![format!("  replaces   {} credentials: {}", staged.len(), list(&staged))];
    lines.push(match leaked.as_slice() {
        [] => "  leaked     none is named; name what has leaked with --compromised ID".to_owned(),
        leaked => format!("  leaked     {} (killed before it is replaced)", list(leaked)),
    });
    if !by_hand.is_empty() {
        lines.push(format!("  by hand    {} (you, afterwards)", list(&by_hand)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_stays_in_its_line(names in prop::collection::vec("[a-z-]{1,90}", 1..40)) {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let text = list(&names);
            prop_assert!(text.chars().count() <= WIDTH + 14, "{}", text);
            prop_assert!(text.starts_with(&names[0][..names[0].len().min(WIDTH)]));
        }
    }

    #[test]
    fn an_incident_is_spoken_of_by_its_end() {
        assert_eq!(short_name(&IncidentId::new("inc-20261124T030000Z-71dc").unwrap()), "71dc");
        assert_eq!([span(Duration::from_secs(61)), span(Duration::from_mins(12))], ["61 s", "12 min"]);
    }
}
