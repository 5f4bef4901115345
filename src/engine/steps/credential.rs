use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use super::{Effect, Seen, StepError, credential_policy};
use crate::domain::url_password::{password_of, with_password};
use crate::domain::{Action, CredentialId, Probe, ed25519_pem, key_pair};
use crate::engine::Run;
use crate::ledger::{CredentialState, Event};
use crate::playbook::cancel_id;
use crate::policy::credentials::{CredentialPolicy, ProofPolicy, StorePolicy, ValuePart};
use crate::ports::{Fault, FaultKind, Issuer};

/// Pause between two questions while a change spreads.
const BETWEEN_PROBES: Duration = Duration::from_millis(500);

/// How long a store is given to show what was written to it.
const SETTLE: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// One rotation of one credential.
pub(super) struct Rotation {
    pub run: Arc<Run>,
    pub policy: CredentialPolicy,
}

/// Whether two secret values are the same.
pub(super) fn same(left: &SecretString, right: &SecretString) -> bool {
    left.expose_secret() == right.expose_secret()
}

impl Rotation {
    pub fn new(run: Arc<Run>, id: &CredentialId) -> Result<Self, Fault> {
        let policy = credential_policy(&run, id)?;
        Ok(Self { run, policy })
    }

    pub fn state(&self) -> CredentialState {
        self.run.journal.with_state(|state| state.credentials.get(&self.policy.id).cloned()).unwrap_or_default()
    }

    pub fn issuer(&self) -> Result<&Arc<dyn Issuer>, Fault> {
        self.run.deployment.issuers.get(&self.policy.id).ok_or_else(|| {
            let message = format!("credential `{}` has no issuer that can be reached as configured", self.policy.id);
            Fault::new(FaultKind::Invalid, message)
        })
    }

    pub(super) fn sealed_name(&self, generation: u32, which: &str) -> Result<String, Fault> {
        let incident = self.run.journal.with_state(|state| state.incident.clone());
        let incident = incident.ok_or_else(|| Fault::new(FaultKind::Corrupt, "the ledger names no incident"))?;
        Ok(format!("{incident}/{}/{generation}/{which}", self.policy.id))
    }

    pub(super) fn sealed(&self, which: &str) -> Result<Option<SecretString>, Fault> {
        let generation = self.state().generation;
        if generation == 0 {
            return Ok(None);
        }
        self.run.deployment.vault.open(&self.sealed_name(generation, which)?)
    }

    /// The staged new value.
    pub fn new_value(&self) -> Result<SecretString, Fault> {
        self.sealed("new")?
            .ok_or_else(|| Fault::new(FaultKind::NotFound, format!("no new value was staged for `{}`", self.policy.id)))
    }

    /// The old value, if it could be read when the new one was staged.
    pub fn old_value(&self) -> Result<Option<SecretString>, Fault> {
        self.sealed("old")
    }

    pub fn slot(&self, store: usize) -> Result<&StorePolicy, Fault> {
        self.policy.kept.get(store).ok_or_else(|| {
            Fault::new(FaultKind::Invalid, format!("credential `{}` has no store number {store}", self.policy.id))
        })
    }

    /// The credential's value in a store: the whole text, or the part that policy names.
    pub async fn stored(&self, slot: &StorePolicy) -> Result<Option<SecretString>, Fault> {
        self.value_in(slot, self.run.deployment.store(slot).read(slot).await?)
    }

    fn value_in(&self, slot: &StorePolicy, text: Option<SecretString>) -> Result<Option<SecretString>, Fault> {
        let Some(text) = text else { return Ok(None) };
        match slot.part() {
            ValuePart::UrlPassword => password_of(&text).map(Some).ok_or_else(|| self.no_password(slot)),
            ValuePart::Whole | ValuePart::KeyId | ValuePart::KeySecret | ValuePart::PublicKey => Ok(Some(text)),
        }
    }

    /// Whether a store gives that value. One far away may show a write only after a moment.
    pub async fn shows(&self, slot: &StorePolicy, value: &SecretString) -> Result<bool, Fault> {
        let wanted = self.part_of(slot, value)?;
        let mut waits = SETTLE.into_iter();
        loop {
            if self.stored(slot).await?.is_some_and(|stored| same(&stored, &wanted)) {
                return Ok(true);
            }
            let Some(wait) = waits.next() else { return Ok(false) };
            tokio::time::sleep(wait).await;
        }
    }

    /// What a store holds of a value: all of it, or its part of a pair.
    pub fn part_of(&self, slot: &StorePolicy, value: &SecretString) -> Result<SecretString, Fault> {
        let part = match slot.part() {
            ValuePart::Whole | ValuePart::UrlPassword => return Ok(value.clone()),
            ValuePart::KeyId => key_pair::id_of(value).map(SecretString::from),
            ValuePart::KeySecret => key_pair::secret_of(value),
            ValuePart::PublicKey => ed25519_pem::public(value),
        };
        part.ok_or_else(|| {
            let message = format!("the value of `{}` has no such part as {slot} is to hold", self.policy.id);
            Fault::new(FaultKind::Corrupt, message)
        })
    }

    /// The text that the store must hold for that value.
    async fn text_with(&self, slot: &StorePolicy, value: &SecretString) -> Result<SecretString, Fault> {
        match slot.part() {
            ValuePart::Whole | ValuePart::KeyId | ValuePart::KeySecret | ValuePart::PublicKey => {
                self.part_of(slot, value)
            }
            ValuePart::UrlPassword => {
                let text = self.run.deployment.store(slot).read(slot).await?;
                text.and_then(|text| with_password(&text, value)).ok_or_else(|| self.no_password(slot))
            }
        }
    }

    fn no_password(&self, slot: &StorePolicy) -> Fault {
        let place = self.run.deployment.store(slot).describe(slot);
        Fault::new(FaultKind::Invalid, format!("{place} holds no connection URL with a password"))
    }

    /// The idempotency token of a write: the journaled one, told apart by store.
    fn token(&self, store: usize) -> String {
        let token = self.state().token;
        if store == 0 { token } else { format!("{token}-{store}") }
    }

    /// What the issuer says to a value once its change has had time to be seen everywhere: the first answer that `wanted`
    /// takes, or the last one.
    pub async fn settled(&self, value: &SecretString, wanted: fn(&Probe) -> bool) -> Result<Probe, Fault> {
        let clock = &self.run.deployment.clock;
        let (began, within) = (clock.elapsed(), self.policy.issuer.propagation());
        loop {
            let probe = self.probe(value).await?;
            if wanted(&probe) || clock.elapsed().saturating_sub(began) >= within {
                return Ok(probe);
            }
            tokio::time::sleep(BETWEEN_PROBES).await;
        }
    }

    /// What the issuer says to a value.
    pub async fn probe(&self, value: &SecretString) -> Result<Probe, Fault> {
        self.issuer()?.probe(&self.policy, value).await
    }
}

impl Rotation {
    /// The first store's value, and a note where stores disagree or could not be read.
    pub(super) async fn current(&self) -> Result<(Option<SecretString>, Vec<String>), Fault> {
        let mut notes = Vec::new();
        if self.policy.kept.is_empty() {
            return Ok((self.issuer()?.current(&self.policy).await?, notes));
        }
        // A public half says nothing of the value.
        let slots = self.policy.kept.iter().filter(|slot| slot.part() != ValuePart::PublicKey);
        let (ids, values): (Vec<_>, Vec<_>) = slots.partition(|slot| slot.part() == ValuePart::KeyId);
        let value = self.agreed(&values, &mut notes).await?;
        if ids.is_empty() {
            return Ok((value, notes));
        }
        let id = self.agreed(&ids, &mut notes).await?;
        let pair = id.zip(value).map(|(id, secret)| key_pair::join(id.expose_secret(), &secret));
        Ok((pair, notes))
    }

    /// The value that the first of the slots to hold one held before this run changed any.
    async fn agreed(&self, slots: &[&StorePolicy], notes: &mut Vec<String>) -> Result<Option<SecretString>, Fault> {
        let mut value: Option<SecretString> = None;
        let mut last = None;
        for slot in slots {
            let place = self.run.deployment.store(slot).describe(slot);
            let found = self.run.before(slot).await.and_then(|text| self.value_in(slot, text));
            match found {
                Ok(Some(found)) => match &value {
                    None => value = Some(found),
                    Some(known) if same(known, &found) => {}
                    Some(_) => notes.push(format!("{place} holds another value")),
                },
                Ok(None) => notes.push(format!("{place} holds none")),
                Err(fault) => {
                    notes.push(format!("{place} could not be read: {}", fault.chain()));
                    last = Some(fault);
                }
            }
        }
        match (value, last) {
            // If no store answers, none could take the new value either: better later than locked out.
            (None, Some(fault)) => Err(fault),
            (value, _) => Ok(value),
        }
    }
}

/// Open orders cancelled, while the key that placed them still works.
pub(super) struct Cancel(pub Rotation);

#[async_trait]
impl Effect for Cancel {
    async fn observe(&self) -> Result<Seen, Fault> {
        // Only the exchange knows what is open; cancelling nothing changes nothing.
        Ok(Seen::Needed)
    }

    async fn act(&self) -> Result<String, StepError> {
        let (value, _) = self.0.current().await?;
        let value = value.ok_or_else(|| {
            Fault::new(FaultKind::NotFound, format!("no store holds a value of `{}`", self.0.policy.id))
        })?;
        self.0.issuer()?.cancel(&self.0.policy, &value).await.map_err(|fault| {
            let step = cancel_id(&self.0.policy.id);
            let words = format!(
                "open orders may STILL STAND: {}; cancel them by hand at the exchange, then: \
                 portcullis checklist --attest {step} --note TEXT",
                fault.chain()
            );
            Fault::new(fault.kind, words).into()
        })
    }

    async fn verify(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// The issuer honours the new value.
pub(super) struct Issue(pub Rotation);

impl Issue {
    /// Whether an earlier run may have had a key made, was cut off before it was sealed, and nothing can tell.
    fn may_have_strayed(&self) -> bool {
        let state = self.0.run.journal.state();
        let own = |action: &Action| matches!(action, Action::IssueCredential { credential } if *credential == self.0.policy.id);
        self.0.policy.issuer.may_leave_keys()
            && self.0.state().new.is_none()
            && state.steps.values().any(|step| own(&step.action) && step.attempts > 1)
    }

    /// Asks the issuer for the new value, once: what it gave is sealed before anything else, then written into the ledger.
    async fn create(&self, old: Option<&SecretString>) -> Result<(), StepError> {
        let Rotation { run, policy } = &self.0;
        let state = self.0.state();
        let new = if let Some(new) = self.0.sealed("new")? {
            new
        } else {
            let new = self.0.issuer()?.create(policy, old).await?;
            run.seal(self.0.sealed_name(state.generation, "new")?, new.clone()).await?;
            new
        };
        if state.new.is_none() {
            let new = run.deployment.machine.fingerprints().fingerprint(new.expose_secret());
            let credential = policy.id.clone();
            run.record(Event::CredentialCreated { credential, generation: state.generation, new }).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Effect for Issue {
    /// Only the vault knows the new value before.
    fn starts_from_nothing(&self) -> bool {
        true
    }

    async fn observe(&self) -> Result<Seen, Fault> {
        if self.0.state().new.is_none() {
            return Ok(Seen::Needed);
        }
        match self.0.probe(&self.0.new_value()?).await? {
            Probe::Accepted => Ok(Seen::Satisfied("the new value was honoured".into())),
            Probe::Refused { .. } | Probe::Meaningless { .. } => Ok(Seen::Needed),
        }
    }

    async fn act(&self) -> Result<String, StepError> {
        let old = self.0.old_value()?;
        let stray = self.may_have_strayed();
        if self.0.policy.issuer.makes_values() {
            self.create(old.as_ref()).await?;
        }
        let new = self.0.new_value()?;
        self.0.issuer()?.issue(&self.0.policy, &new, old.as_ref()).await?;
        let note =
            if stray { "; an earlier try may have left a key that no store holds: look for it there" } else { "" };
        Ok(format!("the new value is honoured{note}"))
    }

    async fn verify(&self) -> Result<(), Fault> {
        let new = self.0.new_value()?;
        match self.0.settled(&new, |probe| !matches!(probe, Probe::Refused { .. })).await? {
            // What a meaningless probe means is for the proof to say.
            Probe::Accepted | Probe::Meaningless { .. } => Ok(()),
            Probe::Refused { reason } => {
                Err(Fault::new(FaultKind::Conflict, format!("the new value is refused: {reason}")))
            }
        }
    }
}

/// A store holds the new value.
pub(super) struct Store {
    pub rotation: Rotation,
    pub store: usize,
}

#[async_trait]
impl Effect for Store {
    /// Only the vault and the issuer know the new value before.
    fn starts_from_nothing(&self) -> bool {
        true
    }

    async fn observe(&self) -> Result<Seen, Fault> {
        let new = self.rotation.new_value()?;
        let slot = self.rotation.slot(self.store)?;
        let stored = self.rotation.stored(slot).await?;
        Ok(match stored {
            Some(stored) if same(&stored, &self.rotation.part_of(slot, &new)?) => {
                Seen::Satisfied("held the new value".into())
            }
            _ => Seen::Needed,
        })
    }

    async fn act(&self) -> Result<String, StepError> {
        let slot = self.rotation.slot(self.store)?;
        let text = self.rotation.text_with(slot, &self.rotation.new_value()?).await?;
        let store = self.rotation.run.deployment.store(slot);
        store.write(slot, &text, &self.rotation.token(self.store)).await?;
        Ok("holds the new value".into())
    }

    /// Where the stores are the proof and nothing is restarted on what they hold, the proof asks the same a moment later.
    async fn verify(&self) -> Result<(), Fault> {
        let policy = &self.rotation.policy;
        if policy.proof == Some(ProofPolicy::Store) && policy.used_by.is_empty() {
            return Ok(());
        }
        if self.rotation.shows(self.rotation.slot(self.store)?, &self.rotation.new_value()?).await? {
            return Ok(());
        }
        Err(Fault::new(FaultKind::Conflict, "written, but the store does not give the new value"))
    }
}

/// Only the current version of a stored secret can be had by a label.
pub(super) struct Retire {
    pub rotation: Rotation,
    pub store: usize,
}

#[async_trait]
impl Effect for Retire {
    /// The act itself looks which labels there are.
    fn starts_from_nothing(&self) -> bool {
        true
    }

    async fn observe(&self) -> Result<Seen, Fault> {
        let slot = self.rotation.slot(self.store)?;
        let previous = self.rotation.run.deployment.store(slot).has_previous(slot).await?;
        Ok(if previous { Seen::Needed } else { Seen::Satisfied("no other version has a label".into()) })
    }

    async fn act(&self) -> Result<String, StepError> {
        let slot = self.rotation.slot(self.store)?;
        self.rotation.run.deployment.store(slot).retire_previous(slot).await?;
        Ok("labels of other versions taken away".into())
    }

    /// Where the stores are the proof, the proof asks the same of each a moment later.
    async fn verify(&self) -> Result<(), Fault> {
        if self.rotation.policy.proof == Some(ProofPolicy::Store) {
            return Ok(());
        }
        match self.observe().await? {
            Seen::Satisfied(_) => Ok(()),
            Seen::Needed => Err(Fault::new(FaultKind::Conflict, "the store can still give an earlier version")),
        }
    }
}

/// The issuer refuses the old value, and its sessions are gone.
pub(super) struct Revoke(pub Rotation);

#[async_trait]
impl Effect for Revoke {
    async fn observe(&self) -> Result<Seen, Fault> {
        // A refused value says nothing of its sessions: they are ended once, by us.
        let is_ours = |action: &Action| matches!(action, Action::RevokeCredential { credential } if *credential == self.0.policy.id);
        let journal = &self.0.run.journal;
        let revoked =
            journal.with_state(|state| state.steps.values().any(|step| is_ours(&step.action) && step.succeeded));
        let Some(old) = self.0.old_value()?.filter(|_| revoked) else { return Ok(Seen::Needed) };
        match self.0.probe(&old).await? {
            Probe::Refused { reason } => Ok(Seen::Satisfied(format!("was revoked: {reason}"))),
            _ => Ok(Seen::Needed),
        }
    }

    async fn act(&self) -> Result<String, StepError> {
        let (old, new) = (self.0.old_value()?, self.0.sealed("new")?);
        Ok(self.0.issuer()?.revoke(&self.0.policy, old.as_ref(), new.as_ref()).await?)
    }

    async fn verify(&self) -> Result<(), Fault> {
        let Some(old) = self.0.old_value()? else { return Ok(()) };
        match self.0.settled(&old, |probe| matches!(probe, Probe::Refused { .. })).await? {
            Probe::Accepted => Err(Fault::new(FaultKind::Conflict, "revoked, but the old value is still honoured")),
            Probe::Refused { .. } | Probe::Meaningless { .. } => Ok(()),
        }
    }
}
