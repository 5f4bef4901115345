use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use super::credential::{Rotation, same};
use super::{Effect, Seen, StepError};
use crate::domain::Probe;
use crate::ledger::Event;
use crate::policy::credentials::ProofPolicy;
use crate::ports::{Fault, FaultKind};

/// How often the old value is tried where a change takes time to be seen everywhere: a refusal must last, since caches and
/// instances differ.
const TRIES: u32 = 3;
/// How often where it is seen at once: the revocation asked before, and was refused too.
const TRIES_AT_ONCE: u32 = 2;
/// Pause between two tries.
const BETWEEN: Duration = Duration::from_millis(250);

/// New value accepted, old value refused, by the server that honours them.
pub(super) struct Prove(pub Rotation);

/// What was seen.
struct Shown {
    new_accepted: bool,
    old_refused: bool,
    strength: &'static str,
    words: String,
}

impl Prove {
    async fn show(&self) -> Result<Shown, Fault> {
        let new = self.0.new_value()?;
        let old = self.0.old_value()?;
        if self.0.policy.proof == Some(ProofPolicy::Store) {
            return self.show_stores(&new, old.as_ref()).await;
        }
        let (new_accepted, new_words) = match self.0.settled(&new, |probe| *probe == Probe::Accepted).await? {
            Probe::Accepted => (true, "new value accepted".to_owned()),
            Probe::Refused { reason } => (false, format!("new value REFUSED ({reason})")),
            Probe::Meaningless { reason } => (false, format!("new value unproven ({reason})")),
        };
        let (old_refused, old_words) = match &old {
            Some(old) => self.show_dead(old).await?,
            None => (false, "old value unproven (it is not known)".into()),
        };
        Ok(Shown { new_accepted, old_refused, strength: "server", words: format!("{new_words}, {old_words}") })
    }

    /// Refused several times in a row, spread over the time that a change takes to be seen everywhere. Where that is any, one
    /// more such time is given: answers may differ until then.
    async fn show_dead(&self, old: &SecretString) -> Result<(bool, String), Fault> {
        let spread = self.0.policy.issuer.propagation();
        let (tries, most) = if spread.is_zero() { (TRIES_AT_ONCE, TRIES_AT_ONCE) } else { (TRIES, TRIES * 2 - 1) };
        let between = BETWEEN.max(spread / (tries - 1));
        let (mut refusals, mut words) = (0, String::new());
        for number in 0..most {
            if number > 0 {
                tokio::time::sleep(between).await;
            }
            match self.0.probe(old).await? {
                Probe::Refused { reason } => {
                    refusals += 1;
                    let lasted = (between * (tries - 1)).as_secs_f64();
                    words = format!("old value refused {tries} times in {lasted:.1} s ({reason})");
                }
                Probe::Accepted => (refusals, words) = (0, "old value STILL HONOURED".into()),
                Probe::Meaningless { reason } => (refusals, words) = (0, format!("old value unproven ({reason})")),
            }
            // No run of refusals can be long enough any more, or one is.
            if refusals == tries || refusals + (most - 1 - number) < tries {
                break;
            }
        }
        if refusals > 0 && refusals < tries {
            words = "old value unproven (it is refused only now and then)".into();
        }
        Ok((refusals == tries, words))
    }

    /// Policy accepts that only the stores can be asked: all hold the new value, none can still give the old one.
    async fn show_stores(&self, new: &SecretString, old: Option<&SecretString>) -> Result<Shown, Fault> {
        let mut fresh = true;
        let mut gone = !old.is_some_and(|old| same(old, new));
        let mut words = Vec::new();
        for slot in &self.0.policy.kept {
            let store = self.0.run.deployment.store(slot);
            let place = store.describe(slot);
            if self.0.shows(slot, new).await? {
                words.push(format!("{place} holds the new value"));
            } else {
                fresh = false;
                words.push(format!("{place} does NOT hold the new value"));
            }
            if store.has_previous(slot).await? {
                gone = false;
                words.push(format!("{place} can STILL GIVE the old one"));
            }
        }
        words.push("only the stores were asked, as policy accepts".into());
        Ok(Shown { new_accepted: fresh, old_refused: fresh && gone, strength: "store", words: words.join(", ") })
    }
}

#[async_trait]
impl Effect for Prove {
    async fn observe(&self) -> Result<Seen, Fault> {
        // A proof is only worth what it says now.
        Ok(Seen::Needed)
    }

    async fn act(&self) -> Result<String, StepError> {
        let shown = self.show().await?;
        let generation = self.0.state().generation;
        let event = Event::CredentialProof {
            credential: self.0.policy.id.clone(),
            generation,
            new_accepted: shown.new_accepted,
            old_refused: shown.old_refused,
            strength: shown.strength.to_owned(),
            detail: shown.words.clone(),
        };
        self.0.run.record(event).await?;
        if shown.new_accepted && shown.old_refused {
            return Ok(shown.words);
        }
        Err(Fault::new(FaultKind::Conflict, format!("not proven: {}", shown.words)).into())
    }

    async fn verify(&self) -> Result<(), Fault> {
        Ok(())
    }
}
