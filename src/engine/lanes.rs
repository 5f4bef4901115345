use std::collections::BTreeMap;

use crate::domain::{Action, Plan, StepId, StepSpec};
use crate::policy::credentials::{CredentialsPolicy, StorePolicy};

/// Steps in flight at once in one lane.
const IN_A_LANE: usize = 24;

/// Which steps compete for the same servers. Each kind of issuer and store has a lane of its own, so that many credentials of a
/// system that is slow or down never hold up those of another; proofs, which mostly wait, have one beside it.
pub(super) struct Lanes {
    of: BTreeMap<StepId, String>,
    flying: BTreeMap<String, usize>,
}

impl Lanes {
    /// The lanes of a plan's steps.
    pub fn new(plan: &Plan, policy: &CredentialsPolicy) -> Self {
        let of = plan.steps.iter().map(|spec| (spec.id.clone(), lane(spec, policy))).collect();
        Self { of, flying: BTreeMap::new() }
    }

    fn flying(&mut self, step: &StepId) -> &mut usize {
        let lane = self.of.get(step).cloned().unwrap_or_default();
        self.flying.entry(lane).or_default()
    }

    /// Takes a place in the step's lane, if there is one.
    pub fn enter(&mut self, step: &StepId) -> bool {
        let flying = self.flying(step);
        let room = *flying < IN_A_LANE;
        *flying += usize::from(room);
        room
    }

    /// Gives the place back.
    pub fn leave(&mut self, step: &StepId) {
        let flying = self.flying(step);
        *flying = flying.saturating_sub(1);
    }
}

fn lane(spec: &StepSpec, policy: &CredentialsPolicy) -> String {
    let known =
        spec.action.credential().and_then(|id| policy.credentials.iter().find(|credential| credential.id == *id));
    let Some(credential) = known else { return spec.phase.to_string() };
    let mut lane = credential.issuer.kind().to_owned();
    for slot in &credential.kept {
        let store = match slot {
            StorePolicy::SecretsManager { .. } => " secrets_manager",
            StorePolicy::Dotenv { .. } | StorePolicy::File { .. } => " file",
        };
        if !lane.contains(store) {
            lane.push_str(store);
        }
    }
    if matches!(spec.action, Action::ProveCredential { .. }) {
        lane.push_str(" proof");
    }
    lane
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::{Containment, containment};
    use crate::policy::Policies;
    use crate::policy::shipped::SHIPPED;

    #[test]
    fn a_full_lane_leaves_the_others_free() {
        let mut texts: BTreeMap<String, String> =
            SHIPPED.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        let credentials = texts.get_mut("credentials.yml").unwrap();
        for number in 0..40 {
            credentials.push_str(&format!(
                "  - {{ id: s{number}, issuer: {{ kind: self_made }}, kept: [{{ store: secrets_manager, secret: s{number} }}], proof: {{ kind: store }} }}\n"
            ));
        }
        credentials.push_str("  - { id: role, issuer: { kind: postgres_role, role: app }, kept: [{ store: dotenv, key: A, part: url_password }] }\n");
        let policies = Policies::from_texts(texts).unwrap();
        let plan = containment(&policies, &Containment::default());
        let mut lanes = Lanes::new(&plan, &policies.credentials);
        let step = |id: &str| plan.steps.iter().find(|spec| spec.id.as_str() == id).unwrap().id.clone();
        for number in 0..40 {
            assert_eq!(lanes.enter(&step(&format!("rotate.s{number}.1.store.0"))), number < IN_A_LANE);
        }
        assert!(lanes.enter(&step("rotate.role.1.stage")), "another system's");
        assert!(lanes.enter(&step("rotate.s0.1.prove")), "a proof");
        assert!(lanes.enter(&step("evidence.stores")) && lanes.enter(&step("pause.guard")));
        assert!(!lanes.enter(&step("rotate.s39.1.stage")));
        lanes.leave(&step("rotate.s0.1.store.0"));
        assert!(lanes.enter(&step("rotate.s39.1.stage")));
    }
}
