use super::{cancel_id, step, step_id};
use crate::domain::{Action, Phase, StepId, StepSpec};
use crate::policy::credentials::{CredentialPolicy, HashScheme, IssuerPolicy, StorePolicy};

/// Which comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Compromised: the old value is killed before the new one is made to work.
    RevokeFirst,
    /// The new value works before the old one is killed.
    Overlap,
}

/// Words for what a step acts on.
fn target(credential: &CredentialPolicy, what: &str) -> String {
    format!("{} {what}", credential.id)
}

struct Builder<'a> {
    credential: &'a CredentialPolicy,
    generation: u32,
    steps: Vec<StepSpec>,
}

impl<'a> Builder<'a> {
    fn new(credential: &'a CredentialPolicy, generation: u32) -> Self {
        Self { credential, generation, steps: Vec::new() }
    }

    fn id(&self, verb: &str) -> StepId {
        step_id(&format!("rotate.{}.{}.{verb}", self.credential.id, self.generation))
    }

    fn add(&mut self, verb: &str, words: &str, action: Action, timeout_s: u64) -> &mut StepSpec {
        let mut spec = step("x", Phase::Rotate, target(self.credential, words), action, timeout_s);
        spec.id = self.id(verb);
        self.steps.push(spec);
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    fn has_issuer(&self) -> bool {
        self.credential.issuer.acts()
    }

    /// Seconds for one change at the issuer. A database that does not answer within 10 hangs, and others wait for its steps; salted
    /// hashes and other people's servers are given `others`.
    fn asking_s(&self, others: u64) -> u64 {
        match &self.credential.issuer {
            IssuerPolicy::PostgresRole { .. }
            | IssuerPolicy::ApiKeyTable { hash: HashScheme::Sha256 | HashScheme::Plain, .. } => 10,
            _ => others,
        }
    }

    fn stage(&mut self, after: &[StepId]) {
        let action = Action::StageCredential { credential: self.credential.id.clone(), generation: self.generation };
        self.add("stage", "new value sealed", action, 15).after = after.to_vec();
    }

    fn revoke(&mut self, after: Vec<StepId>, needs: Vec<StepId>) {
        let credential = self.credential.id.clone();
        let spec = self.add("revoke", "old value revoked", Action::RevokeCredential { credential }, self.asking_s(30));
        spec.after = after;
        spec.needs = needs;
        // Orders can only be cancelled while a key lives; but one that failed to cancel them dies all the same.
        if self.credential.issuer.cancels() {
            self.after_last(cancel_id(&self.credential.id));
        }
    }

    fn after_last(&mut self, id: StepId) {
        if let Some(spec) = self.steps.last_mut() {
            spec.after.push(id);
        }
    }

    fn issue(&mut self, after: Vec<StepId>) {
        let (credential, stage) = (self.credential.id.clone(), self.id("stage"));
        let spec = self.add("issue", "new value honoured", Action::IssueCredential { credential }, self.asking_s(30));
        spec.after = after;
        spec.needs = vec![stage];
    }

    /// Stores, restarts, retires; returns what the proof comes after.
    fn spread(&mut self, needs: &StepId) -> Vec<StepId> {
        let mut stored = Vec::new();
        for (store, slot) in self.credential.kept.iter().enumerate() {
            let credential = self.credential.id.clone();
            let words = format!("in {slot}");
            let spec = self.add(&format!("store.{store}"), &words, Action::StoreCredential { credential, store }, 45);
            spec.needs = vec![needs.clone()];
            stored.push(spec.id.clone());
        }
        let mut done = stored.clone();
        done.extend(self.credential.used_by.iter().map(|service| step_id(&format!("restart.{service}"))));
        for (store, slot) in self.credential.kept.iter().enumerate() {
            if let StorePolicy::SecretsManager { .. } = slot {
                let credential = self.credential.id.clone();
                let words = format!("previous version in {slot}");
                let after = done.clone();
                let spec = self.add(&format!("retire.{store}"), &words, Action::RetireStored { credential, store }, 45);
                spec.after = after;
                spec.needs = vec![stored[store].clone()];
            }
        }
        done.extend(
            self.steps
                .iter()
                .filter(|spec| matches!(spec.action, Action::RetireStored { .. }))
                .map(|spec| spec.id.clone()),
        );
        done
    }

    fn prove(&mut self, after: Vec<StepId>) {
        let timeout_s = if self.credential.issuer.propagation().is_zero() { self.asking_s(15) + 2 } else { 60 };
        let credential = self.credential.id.clone();
        self.add("prove", "new accepted, old refused", Action::ProveCredential { credential }, timeout_s).after = after;
    }

    fn manual(&mut self, instructions: &str, after: &[StepId]) {
        let action =
            Action::Manual { credential: Some(self.credential.id.clone()), instructions: instructions.to_owned() };
        self.add("manual", "by hand", action, 5).after = after.to_vec();
    }
}

/// Steps that replace a credential, kill the old value and prove it, without the restarts of services.
pub fn rotate(credential: &CredentialPolicy, generation: u32, order: Order, after: &[StepId]) -> Vec<StepSpec> {
    let mut builder = Builder::new(credential, generation);
    if let IssuerPolicy::Manual { instructions, .. } = &credential.issuer {
        builder.manual(instructions, after);
        return builder.steps;
    }
    builder.stage(after);
    let stage = builder.id("stage");
    if !builder.has_issuer() {
        let done = builder.spread(&stage);
        builder.prove(done);
        return builder.steps;
    }
    let (issue, revoke) = (builder.id("issue"), builder.id("revoke"));
    if let IssuerPolicy::SelfMade { .. } = credential.issuer {
        // Whoever holds the store's value honours it: nobody is told of the new one, and what was derived from the old one
        // is cleared once the services have forgotten it.
        let mut done = builder.spread(&stage);
        builder.revoke(done.clone(), vec![stage]);
        done.push(builder.id("revoke"));
        builder.prove(done);
        return builder.steps;
    }
    let order = match () {
        // Sessions can only be ended; new ones are then made at will.
        () if credential.kept.is_empty() => Order::RevokeFirst,
        // Only its successor can kill the key that this program signs with.
        () if credential.issuer.is_own_key() => Order::Overlap,
        () => order,
    };
    let mut done = if order == Order::RevokeFirst && credential.issuer.needs_living_key() {
        // Only the old key can make the new one: it makes it, and dies at once, before anybody is told of the new one. It dies
        // even if it made none.
        builder.issue(Vec::new());
        builder.revoke(vec![issue.clone()], Vec::new());
        builder.spread(&issue)
    } else if order == Order::RevokeFirst {
        // Even if no new value could be staged, the old one must die.
        builder.revoke(vec![stage], Vec::new());
        builder.issue(vec![revoke.clone()]);
        builder.spread(&issue)
    } else {
        builder.issue(Vec::new());
        let spread = builder.spread(&issue);
        builder.revoke(spread.clone(), vec![issue.clone()]);
        spread
    };
    done.extend([issue, revoke]);
    builder.prove(done);
    builder.steps
}

/// Steps that only kill the current value: for a credential that must die before it can be replaced.
pub fn revoke(credential: &CredentialPolicy, generation: u32) -> Vec<StepSpec> {
    let mut builder = Builder::new(credential, generation);
    match &credential.issuer {
        IssuerPolicy::Manual { instructions, .. } => builder.manual(instructions, &[]),
        _ if builder.has_issuer() => {
            builder.stage(&[]);
            let stage = builder.id("stage");
            builder.revoke(vec![stage], Vec::new());
        }
        // Nobody but the stores honours it: killing it is replacing it.
        _ => return rotate(credential, generation, Order::RevokeFirst, &[]),
    }
    builder.steps
}

/// The proof alone.
pub fn prove(credential: &CredentialPolicy, generation: u32) -> Vec<StepSpec> {
    let mut builder = Builder::new(credential, generation);
    match &credential.issuer {
        IssuerPolicy::Manual { instructions, .. } => builder.manual(instructions, &[]),
        _ => builder.prove(Vec::new()),
    }
    builder.steps
}
