use std::collections::BTreeMap;

use super::{CANCEL, GUARD, Order, cancel_id, rotate, step, step_id};
use crate::domain::{Action, CredentialId, Phase, Plan, StepId, StepSpec};
use crate::policy::Policies;
use crate::policy::credentials::{CredentialPolicy, CredentialsPolicy, IssuerPolicy, ServicePolicy};
use crate::policy::pause::PausePolicy;

/// What the planner of a lockdown is told beyond the policies.
#[derive(Debug, Clone, Default)]
pub struct Containment {
    /// Credentials named as compromised.
    pub compromised: Vec<CredentialId>,
    /// Rotations staged so far, by credential: a rerun goes on with the current one.
    pub generations: BTreeMap<CredentialId, u32>,
    /// The PostgreSQL role as which this program works: rotated last.
    pub own_role: Option<String>,
}

/// The whole lockdown: pause and evidence at once, then every credential in parallel, the program's own last.
pub fn containment(policies: &Policies, told: &Containment) -> Plan {
    let mut steps = pause(policies).steps;
    // A slow exchange delays the death of its own key only.
    let switches = steps.iter().filter(|spec| !spec.id.as_str().starts_with(CANCEL));
    let paused: Vec<StepId> = switches.map(|spec| spec.id.clone()).collect();
    for what in ["database", "guard", "stores", "credentials", "files"] {
        let there = match what {
            "guard" => policies.pause.guard.is_some(),
            "database" => policies.pause.guard.is_some() || policies.credentials.use_a_database(),
            _ => true,
        };
        if !there {
            continue;
        }
        let action = Action::CollectEvidence { what: what.to_owned() };
        steps.push(step(&format!("evidence.{what}"), Phase::Evidence, what, action, 30));
    }
    let all = policies.credentials.credentials.iter();
    let (own_keys, rest): (Vec<_>, Vec<_>) = all.partition(|credential| credential.issuer.is_own_key());
    let (own, others): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|credential| is_own(credential, told.own_role.as_deref()));
    for credential in others {
        steps.extend(rotate(credential, generation(told, credential), order(told, credential), &paused));
    }
    // The program's own role last: every other step still works with the old password. Its own AWS key after that, since it
    // may be what opens the store of the role's password.
    for credential in own.into_iter().chain(own_keys) {
        let before: Vec<StepId> = steps.iter().map(|spec| spec.id.clone()).collect();
        steps.extend(rotate(credential, generation(told, credential), order(told, credential), &before));
    }
    add_restarts(&mut steps, &policies.credentials.services, &policies.credentials.credentials);
    Plan { steps }
}

/// Which comes first for a credential. The program's own role is never revoked first: that would lock the program out before it
/// can set the new password, and setting it kills the old one at once.
pub fn order_of(credential: &CredentialPolicy, compromised: &[CredentialId], own_role: Option<&str>) -> Order {
    if compromised.contains(&credential.id) && !is_own(credential, own_role) {
        Order::RevokeFirst
    } else {
        Order::Overlap
    }
}

fn is_own(credential: &CredentialPolicy, own: Option<&str>) -> bool {
    matches!(&credential.issuer, IssuerPolicy::PostgresRole { role, .. } if Some(role.as_str()) == own)
}

fn generation(told: &Containment, credential: &CredentialPolicy) -> u32 {
    told.generations.get(&credential.id).copied().unwrap_or(0).max(1)
}

fn order(told: &Containment, credential: &CredentialPolicy) -> Order {
    order_of(credential, &told.compromised, told.own_role.as_deref())
}

/// The pause alone: all switches and the cancelling of open orders in parallel; the proof after the guard.
pub fn pause(policies: &Policies) -> Plan {
    let mut steps = switches(&policies.pause);
    for credential in policies.credentials.credentials.iter().filter(|credential| credential.issuer.cancels()) {
        let action = match &credential.issuer {
            // It is about orders, not about the credential: whoever attests it does not attest that the key is replaced.
            IssuerPolicy::Manual { cancel: Some(cancel), .. } => {
                Action::Manual { credential: None, instructions: cancel.clone() }
            }
            _ => Action::CancelOrders { credential: credential.id.clone() },
        };
        let words = format!("open orders of {} cancelled", credential.id);
        let mut spec = step("x", Phase::Pause, words, action, 40);
        spec.id = cancel_id(&credential.id);
        steps.push(spec);
    }
    Plan { steps }
}

fn switches(policy: &PausePolicy) -> Vec<StepSpec> {
    let mut steps = Vec::new();
    if let Some(guard) = &policy.guard {
        let action = Action::EngageSwitch { switch: GUARD.to_owned() };
        steps.push(step(
            "pause.guard",
            Phase::Pause,
            format!("guard on {}", guard.table),
            action,
            10 + guard.drain_ms.div_ceil(1000),
        ));
    }
    for switch in &policy.switches {
        let action = Action::EngageSwitch { switch: switch.name().to_owned() };
        steps.push(step(
            &format!("pause.{}", switch.name()),
            Phase::Pause,
            format!("switch {}", switch.name()),
            action,
            // A try that is ended at its bound leaves time to look what became of it.
            switch.bound_s() + switch.bound_s().min(10),
        ));
    }
    if policy.guard.is_some() {
        // After the guard only: a slow switch must not delay the acknowledgement.
        let mut prove = step("pause.prove", Phase::Pause, "canary trade refused", Action::ProvePause, 6);
        prove.after = vec![step_id("pause.guard")];
        steps.push(prove);
    }
    steps
}

/// A plan of those steps with the restarts that they ask for.
pub fn with_restarts(mut steps: Vec<StepSpec>, policy: &CredentialsPolicy) -> Plan {
    add_restarts(&mut steps, &policy.services, &policy.credentials);
    Plan { steps }
}

/// One restart for each service that uses a credential of the plan, after all of those are stored.
fn add_restarts(steps: &mut Vec<StepSpec>, services: &[ServicePolicy], credentials: &[CredentialPolicy]) {
    for service in services.iter().filter(|service| service.restart.is_some()) {
        let users: Vec<&CredentialId> = credentials
            .iter()
            .filter(|credential| credential.used_by.contains(&service.name))
            .map(|credential| &credential.id)
            .collect();
        let stored: Vec<StepId> = steps
            .iter()
            .filter(|spec| matches!(&spec.action, Action::StoreCredential { credential, .. } if users.contains(&credential)))
            .map(|spec| spec.id.clone())
            .collect();
        if stored.is_empty() {
            continue;
        }
        let action = Action::RestartService { service: service.name.clone() };
        let id = format!("restart.{}", service.name);
        let mut spec = step(
            &id,
            Phase::Rotate,
            format!("service {} restarted", service.name),
            action,
            service.healthy_within_s + 60,
        );
        spec.after = stored;
        steps.push(spec);
    }
    forget_unknown(steps);
}

/// A service without a restart command has no step: nothing may wait for it.
fn forget_unknown(steps: &mut [StepSpec]) {
    let known: Vec<StepId> = steps.iter().map(|spec| spec.id.clone()).collect();
    for spec in steps {
        spec.after.retain(|id| known.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::policy::shipped::SHIPPED;

    fn policies() -> Policies {
        let mut texts: BTreeMap<String, String> =
            SHIPPED.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        let credentials = texts.get_mut("credentials.yml").unwrap();
        credentials.push_str(
            "  - id: own\n    issuer: { kind: postgres_role, role: admin }\n    kept: [{ store: secrets_manager, secret: own }]\n  \
             - id: key\n    issuer: { kind: api_key_table, key_id: k1 }\n    kept: [{ store: secrets_manager, secret: key }]\n  \
             - id: own-key\n    issuer: { kind: aws_iam_user, user: breaker, own: true }\n    kept: [{ store: dotenv, key: A, part: key_id }, { store: dotenv, key: B, part: key_secret }]\n  \
             - id: desk\n    issuer: { kind: aws_role_sessions, role_arn: \"arn:aws:iam::1:role/desk\" }\n  \
             - id: exchange\n    issuer: { kind: manual, instructions: call them }\n",
        );
        Policies::from_texts(texts).unwrap()
    }

    fn plan(compromised: &[&str]) -> Plan {
        let told = Containment {
            compromised: compromised.iter().map(|id| CredentialId::new(*id).unwrap()).collect(),
            own_role: Some("admin".into()),
            ..Containment::default()
        };
        containment(&policies(), &told)
    }

    /// Everything that a step comes after, over any number of steps.
    fn before(plan: &Plan, id: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut todo = vec![id.to_owned()];
        while let Some(id) = todo.pop() {
            let spec =
                plan.steps.iter().find(|spec| spec.id.as_str() == id).unwrap_or_else(|| panic!("{id} is planned"));
            for earlier in spec.after.iter().chain(&spec.needs) {
                if found.insert(earlier.to_string()) {
                    todo.push(earlier.to_string());
                }
            }
        }
        found
    }

    #[test]
    fn every_dependency_exists_and_nothing_waits_for_itself() {
        for compromised in [&[][..], &["database", "jwt", "key", "own", "own-key", "desk"][..]] {
            let plan = plan(compromised);
            let ids: BTreeSet<_> = plan.steps.iter().map(|spec| spec.id.to_string()).collect();
            assert_eq!(ids.len(), plan.steps.len(), "ids are unique");
            for spec in &plan.steps {
                assert!(!before(&plan, spec.id.as_str()).contains(spec.id.as_str()), "{} waits for itself", spec.id);
            }
        }
    }

    #[test]
    fn the_pause_waits_for_nothing_and_every_rotation_for_it() {
        let plan = plan(&[]);
        for spec in &plan.steps {
            match spec.phase {
                Phase::Pause if spec.id.as_str() == "pause.prove" => assert_eq!(spec.after, [step_id("pause.guard")]),
                Phase::Pause | Phase::Evidence => assert!(spec.after.is_empty() && spec.needs.is_empty()),
                _ => assert!(before(&plan, spec.id.as_str()).contains("pause.guard"), "{}", spec.id),
            }
        }
    }

    #[test]
    fn compromised_credentials_die_before_the_new_value_works() {
        let first = plan(&["database"]);
        assert!(before(&first, "rotate.database.1.issue").contains("rotate.database.1.revoke"));
        let last = plan(&[]);
        assert!(before(&last, "rotate.database.1.revoke").contains("rotate.database.1.issue"));
        assert!(before(&last, "rotate.database.1.revoke").contains("restart.backend"));
        // A failed staging must not keep a leaked value alive.
        let revoke = first.steps.iter().find(|spec| spec.id.as_str() == "rotate.database.1.revoke").unwrap();
        assert!(revoke.needs.is_empty());
    }

    #[test]
    fn only_its_successor_kills_the_key_that_this_program_signs_with() {
        let plan = plan(&["own-key", "desk"]);
        assert!(before(&plan, "rotate.own-key.1.revoke").contains("rotate.own-key.1.store.1"));
        assert!(before(&plan, "rotate.desk.1.issue").contains("rotate.desk.1.revoke"));
    }

    #[test]
    fn each_proof_comes_after_all_of_its_credential() {
        for compromised in [&[][..], &["database", "key"][..]] {
            let plan = plan(compromised);
            for id in ["database", "jwt", "key", "own", "own-key", "desk"] {
                let prefix = format!("rotate.{id}.1.");
                let earlier = before(&plan, &format!("{prefix}prove"));
                for spec in plan.steps.iter().filter(|spec| spec.id.as_str().starts_with(&prefix)) {
                    assert!(spec.id.as_str().ends_with("prove") || earlier.contains(spec.id.as_str()), "{}", spec.id);
                }
            }
        }
    }

    #[test]
    fn the_own_role_is_last_and_a_person_is_asked_where_only_a_person_can() {
        let plan = plan(&[]);
        let own = before(&plan, "rotate.own.1.stage");
        assert!(own.contains("rotate.key.1.prove") && own.contains("rotate.database.1.prove"));
        let own_key = before(&plan, "rotate.own-key.1.stage");
        assert!(own_key.contains("rotate.own.1.prove") && own_key.contains("rotate.desk.1.prove"));
        let manual = plan.steps.iter().find(|spec| spec.id.as_str() == "rotate.exchange.1.manual").unwrap();
        assert!(matches!(&manual.action, Action::Manual { instructions, .. } if instructions == "call them"));
    }
}
