use super::{GUARD, step, step_id};
use crate::domain::{Action, Phase, Plan};
use crate::policy::pause::PausePolicy;

/// Lets trading in again: the other switches in reverse order, the guard last, then the proof that a trade passes.
pub fn resume(policy: &PausePolicy, round: u32) -> Plan {
    let mut steps = Vec::new();
    let mut before = Vec::new();
    for switch in policy.switches.iter().rev() {
        let action = Action::ReleaseSwitch { switch: switch.name().to_owned() };
        let id = format!("resume.{round}.{}", switch.name());
        let mut spec = step(&id, Phase::Resume, format!("switch {}", switch.name()), action, 60);
        spec.needs.clone_from(&before);
        before = vec![spec.id.clone()];
        steps.push(spec);
    }
    if policy.guard.is_some() {
        let action = Action::ReleaseSwitch { switch: GUARD.to_owned() };
        let id = format!("resume.{round}.guard");
        let mut release = step(&id, Phase::Resume, "guard", action, 20);
        release.needs = before;
        steps.push(release);
        let mut prove = step(
            &format!("resume.{round}.prove"),
            Phase::Resume,
            "canary trade passes the guard",
            Action::ProveResume,
            15,
        );
        prove.needs = vec![step_id(&id)];
        steps.push(prove);
    }
    Plan { steps }
}
