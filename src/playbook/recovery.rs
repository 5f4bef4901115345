use super::{GUARD, step, step_id};
use crate::domain::{Action, CredentialId, Digest, Phase, Plan, StepId, StepSpec};
use crate::policy::Policies;
use crate::policy::credentials::IssuerPolicy;

/// Puts a backup back: services stopped, restored, the guard engaged and proven again, validated, services started,
/// and every credential that this incident has replaced proven again (a backup brings revoked ones back to life; those are first
/// revoked again).
pub fn recovery(policies: &Policies, backup: &str, round: u32, replaced: &[CredentialId]) -> Plan {
    let mut steps: Vec<StepSpec> = Vec::new();
    let named = |service: &String| policies.credentials.services.iter().find(|known| known.name == *service);
    let mut before: Vec<StepId> = Vec::new();
    for service in policies.recovery.services.iter().filter_map(named).filter(|service| service.stop.is_some()) {
        let action = Action::StopService { service: service.name.clone() };
        let spec = step(
            &format!("restore.{round}.stop.{}", service.name),
            Phase::Recover,
            format!("service {} stopped", service.name),
            action,
            90,
        );
        before.push(spec.id.clone());
        steps.push(spec);
    }
    let mut restore = step(
        &format!("restore.{round}.restore"),
        Phase::Recover,
        format!("backup {backup}"),
        Action::RestoreBackup { path: backup.to_owned() },
        1800,
    );
    restore.after = before;
    let restored = restore.id.clone();
    steps.push(restore);
    let mut last = vec![restored.clone()];
    if policies.pause.guard.is_some() {
        // Whatever became of the restore, the pause must hold.
        let mut engage = step(
            &format!("restore.{round}.guard"),
            Phase::Recover,
            "guard",
            Action::EngageSwitch { switch: GUARD.into() },
            30,
        );
        engage.after = vec![restored.clone()];
        let mut prove =
            step(&format!("restore.{round}.prove"), Phase::Recover, "canary trade refused", Action::ProvePause, 15);
        prove.after = vec![engage.id.clone()];
        last = vec![prove.id.clone()];
        steps.extend([engage, prove]);
    }
    let validate = Action::ValidateRestore { path: backup.to_owned() };
    let mut spec = step(&format!("restore.{round}.validate"), Phase::Recover, "restored database", validate, 1800);
    spec.after = last;
    spec.needs = vec![restored.clone()];
    let validated = spec.id.clone();
    let mut started = vec![validated.clone()];
    steps.push(spec);
    for service in policies.recovery.services.iter().filter_map(named).filter(|service| service.restart.is_some()) {
        let action = Action::RestartService { service: service.name.clone() };
        let id = step_id(&format!("restore.{round}.start.{}", service.name));
        let mut spec = step(
            "x",
            Phase::Recover,
            format!("service {} started", service.name),
            action,
            service.healthy_within_s + 60,
        );
        spec.id = id;
        spec.after = vec![validated.clone()];
        started.push(spec.id.clone());
        steps.push(spec);
    }
    steps.extend(credentials(policies, round, replaced, &started));
    Plan { steps }
}

/// Puts the listed rows back through the pause.
pub fn replay(list: Digest, round: u32) -> Plan {
    let action = Action::ReplayRows { list };
    Plan { steps: vec![step(&format!("replay.{round}"), Phase::Recover, "legitimate trades put back", action, 600)] }
}

/// Trading is paused, but the service is asked for the proofs, so it runs again. Every credential is proven anew.
fn credentials(policies: &Policies, round: u32, replaced: &[CredentialId], started: &[StepId]) -> Vec<StepSpec> {
    let mut steps = Vec::new();
    for credential in policies.credentials.credentials.iter().filter(|one| replaced.contains(&one.id)) {
        let id = &credential.id;
        let again = ("proof", "new accepted, old refused", Action::ProveCredential { credential: id.clone() });
        let acts = match credential.issuer {
            IssuerPolicy::Manual { .. } => continue,
            IssuerPolicy::ApiKeyTable { .. } => vec![
                ("issue", "new value honoured", Action::IssueCredential { credential: id.clone() }),
                ("revoke", "old value revoked", Action::RevokeCredential { credential: id.clone() }),
                again,
            ],
            _ => vec![again],
        };
        let mut last = started.to_vec();
        for (verb, words, action) in acts {
            let mut spec =
                step(&format!("restore.{round}.{id}.{verb}"), Phase::Recover, format!("{id} {words}"), action, 60);
            spec.after = std::mem::replace(&mut last, vec![spec.id.clone()]);
            steps.push(spec);
        }
    }
    steps
}
