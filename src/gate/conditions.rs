//! Checks of the gate on the state of the incident and of the world.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::build::open_findings;
use super::decide::{Case, LiveCredential, Ruling, ensure};
use super::quorum::with_cause;
use super::standing::{attested_after, last_restore, scan_stands, watch_runs};
use crate::domain::{Action, Canary, CredentialId, Outcome, Phase, Probe, StepId, SwitchState, counted};
use crate::ledger::{CosignerKey, StepState, VerifierKey, compare};
use crate::policy::credentials::{CredentialPolicy, IssuerPolicy, ProofPolicy};
use crate::policy::pause::GUARD;
use crate::policy::resume::WitnessPolicy;

/// How many items a reason names before it only counts them.
const NAMED: usize = 8;

impl Case<'_> {
    pub(super) fn pause(&self) -> Ruling {
        if let Some(lifted) = self.lifted(GUARD) {
            return Ok(format!("being lifted since the gate opened in entry {}", lifted.opened));
        }
        if self.input.policies.pause.guard.is_none() {
            let who = self.state.attested.get("pause").ok_or(
                "no guard is declared, so that no refused trade can prove the pause; a person must attest item `pause`",
            )?;
            return Ok(format!("no guard is declared; attested by {who}"));
        }
        // The release of another switch takes nothing of what was proven of the guard.
        let proven = self.state.pause.proven || (self.goes_on() && self.covered()?.pause.proven);
        ensure(proven, || {
            "the ledger holds no proof of the pause since the last restore or release; make one with: portcullis pause on"
                .into()
        })?;
        match &self.input.live.canary {
            Some(Ok(Canary::Refused { reason })) => Ok(format!("a trade tried now is refused: {reason}")),
            Some(Ok(Canary::Passed { detail })) => {
                Err(format!("a trade tried now gets by: {detail}; run: portcullis pause on"))
            }
            Some(Err(error)) => Err(format!("no trade could be tried now: {error}")),
            None => Err("no trade could be tried now: no database is configured".into()),
        }
    }

    /// No switch may have been released by another hand.
    pub(super) fn switches(&self) -> Ruling {
        let (mut bad, mut lifted, mut unseen) = (Vec::new(), 0, 0);
        let switches = &self.input.policies.pause.switches;
        for switch in switches {
            let name = switch.name();
            match self.input.live.switches.get(name) {
                Some(Ok(SwitchState::Engaged)) => {}
                Some(Ok(SwitchState::Unobservable)) => unseen += 1,
                Some(Ok(SwitchState::Released)) if self.lifted(name).is_some() => lifted += 1,
                Some(Ok(SwitchState::Released)) => bad.push(format!("{name} was released by another hand")),
                Some(Err(error)) => bad.push(format!("{name} could not be looked at: {error}")),
                None => bad.push(format!("{name} was not looked at")),
            }
        }
        ensure(bad.is_empty(), || format!("{}; run: portcullis pause on", bad.join(", ")))?;
        let engaged = switches.len() - unseen - lifted;
        let lifted = if lifted > 0 { format!(", {lifted} released by a resume that goes on") } else { String::new() };
        Ok(format!("{engaged} engaged, {unseen} that can't be looked at{lifted}"))
    }

    /// What a witness holds must be what the ledger still says, and cover the record.
    pub(super) fn witness(&self, policy: &WitnessPolicy) -> Ruling {
        let name = policy.name();
        let answer = self.input.live.witnesses.get(name).ok_or("it was not asked")?;
        let notes = answer.as_ref().map_err(|error| format!("it could not be asked: {error}"))?;
        let key: VerifierKey = self.state.machine_key.parse().map_err(|error| with_cause(&error))?;
        let kept = compare(&self.tree, &key, notes).map_err(|error| with_cause(&error))?;
        if let WitnessPolicy::C2sp { key, .. } = policy {
            let key: CosignerKey = key.parse().map_err(|error| with_cause(&error))?;
            let newest = notes.last().ok_or("it gave no cosignature")?;
            key.verify(newest).map_err(|error| with_cause(&error))?;
        }
        let covered = self.statement()?.predicate.ledger.size;
        let kept = kept.unwrap_or(0);
        ensure(kept >= covered, || format!("it holds {kept} entries, the record covers {covered}"))?;
        Ok(format!("holds the first {kept} entries of the ledger, which fits"))
    }

    /// Every credential of the policy, of the ledger, and every one named as compromised.
    pub(super) fn credential_ids(&self) -> BTreeSet<CredentialId> {
        let policy = self.input.policies.credentials.credentials.iter().map(|credential| &credential.id);
        policy.chain(self.state.credentials.keys()).chain(&self.state.compromised).cloned().collect()
    }

    pub(super) fn credential(&self, id: &CredentialId) -> Ruling {
        let policy = self.input.policies.credentials.credentials.iter().find(|credential| credential.id == *id);
        let policy = policy.ok_or_else(|| format!("credentials.yml does not name `{id}`"))?;
        if matches!(policy.issuer, IssuerPolicy::Manual { .. }) {
            return self.manual_credential(policy);
        }
        let again = || format!("run: portcullis keys rotate {id}");
        let known = self.state.credentials.get(id).ok_or_else(|| format!("it was not rotated; {}", again()))?;
        ensure(known.generation > 0, || format!("it was not rotated; {}", again()))?;
        let entry =
            known.proof_seq.ok_or_else(|| format!("nothing proves it dead; run: portcullis keys prove {id}"))?;
        ensure(known.old_refused, || format!("the old value is not proven dead: {}; {}", known.detail, again()))?;
        ensure(known.new_accepted, || format!("the new value is not proven alive: {}; {}", known.detail, again()))?;
        if let Some(restored) = self.last_restore() {
            ensure(entry > restored, || {
                format!(
                    "a backup was put back after the proof, and may have brought it back; run: portcullis keys prove {id}"
                )
            })?;
        }
        match known.strength.as_str() {
            "server" => {
                let live = self.input.live.credentials.get(id).cloned().unwrap_or_default();
                ask_again(&live, known.old.is_some())?;
                Ok(format!("old value refused, new one accepted by its server, in entry {entry} and now"))
            }
            "store" if policy.proof == Some(ProofPolicy::Store) => {
                Ok(format!("replaced in its stores (entry {entry}); policy accepts that no server is asked"))
            }
            other => Err(format!("its proof is of strength `{other}`, which policy does not accept here")),
        }
    }

    fn manual_credential(&self, policy: &CredentialPolicy) -> Ruling {
        let id = &policy.id;
        let by_proof = self.state.credentials.get(id).is_some_and(|known| {
            known.strength == "attested" && known.old_refused && known.proof_seq > self.last_restore()
        });
        let step = |(step, state): (&StepId, &StepState)| {
            let about =
                matches!(&state.action, Action::Manual { credential: Some(credential), .. } if credential == id);
            self.state.attested.get(step.as_str()).filter(|_| about).cloned()
        };
        let who = self.state.attested.get(id.as_str()).cloned().or_else(|| self.state.steps.iter().find_map(step));
        match (who, by_proof) {
            (Some(who), _) => Ok(format!("replaced by hand, attested by {who}")),
            (None, true) => Ok("replaced by hand, attested".into()),
            (None, false) => Err(format!(
                "only a person can replace it, and none attests that they did; run: portcullis checklist --attest {id}"
            )),
        }
    }

    pub(super) fn steps(&self) -> Ruling {
        let bad: Vec<String> = self
            .state
            .steps
            .iter()
            .filter(|(id, step)| !self.is_settled(id, step))
            .map(|(id, step)| format!("{id} ({})", step.outcome.map_or("never ended", Outcome::as_str)))
            .collect();
        ensure(bad.is_empty(), || {
            format!("{} not ended well: {}; run the command again, or attest what people did", bad.len(), named(&bad))
        })?;
        Ok(format!("{} steps ended well or are attested", self.state.steps.len()))
    }

    fn is_settled(&self, id: &StepId, step: &StepState) -> bool {
        // The resume's own steps are judged by the resume.
        if step.phase == Phase::Resume || step.outcome.is_some_and(Outcome::is_success) {
            return true;
        }
        let by_credential = match &step.action {
            Action::Manual { credential: Some(credential), .. } => {
                self.state.attested.contains_key(credential.as_str())
            }
            _ => false,
        };
        if step.outcome == Some(Outcome::Manual) {
            return by_credential || self.state.attested.contains_key(id.as_str());
        }
        // What evidence could not be captured then can't be captured now: people must know it, and say so.
        // Orders that this program could not cancel are cancelled by people. What was said of an earlier try is not about this one.
        let by_people = matches!(step.action, Action::CancelOrders { .. }) || step.phase == Phase::Evidence;
        by_people && attested_after(&self.entries, id.as_str(), step.seq).is_some()
    }

    pub(super) fn restore(&self) -> Ruling {
        let Some(restored) = self.last_restore() else { return Ok("nothing was restored".into()) };
        let validated = self.state.steps.values().any(|step| {
            matches!(step.action, Action::ValidateRestore { .. })
                && step.outcome.is_some_and(Outcome::is_success)
                && step.seq > restored
        });
        ensure(validated, || "a backup was put back, and not validated since; run: portcullis restore".into())?;
        Ok(format!("restored up to entry {restored}, validated since"))
    }

    fn last_restore(&self) -> Option<u64> {
        last_restore(&self.entries)
    }

    pub(super) fn scan(&self, name: &str) -> Ruling {
        scan_stands(&self.entries, &self.state, name)
    }

    pub(super) fn findings(&self) -> Ruling {
        let from = self.input.policies.resume.findings_block_from;
        let open: Vec<String> = open_findings(&self.state, &self.input.findings, from)
            .iter()
            .map(|finding| format!("{} ({})", finding.id, finding.rule.level))
            .collect();
        ensure(open.is_empty(), || {
            format!(
                "{} at {from} or above that nobody decided on: {}; run: portcullis incident dispose",
                counted(open.len(), "finding", "findings"),
                named(&open)
            )
        })?;
        let all = counted(self.input.findings.len(), "finding", "findings");
        Ok(format!("{all}, none open at {from} or above"))
    }

    /// What the last database scan found must be gone, or be benign: a decision alone does not remove a trigger.
    pub(super) fn persistence(&self) -> Ruling {
        let Some(scan) = self.state.scans.get("database") else { return Ok("no database scan was made".into()) };
        let from = self.input.policies.resume.findings_block_from;
        let present = scan.coverage.get("present").and_then(serde_json::Value::as_array);
        let present: BTreeSet<&str> = present.into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
        let left: Vec<String> = self
            .input
            .findings
            .iter()
            .filter(|finding| finding.rule.level >= from && present.contains(finding.id.as_str()))
            .filter(|finding| self.state.dispositions.get(&finding.id).is_none_or(|known| known.verdict != "benign"))
            .map(|finding| format!("{} ({})", finding.id, finding.rule.title))
            .collect();
        ensure(left.is_empty(), || {
            format!("still in the database: {}; remove it or restore, then: portcullis scan database", named(&left))
        })?;
        Ok(format!("{} objects found by the last database scan, none above {from} that is not benign", present.len()))
    }

    pub(super) fn attestations(&self) -> Ruling {
        let required = &self.input.policies.resume.required_attestations;
        let missing: Vec<String> =
            required.iter().filter(|item| !self.state.attested.contains_key(*item)).cloned().collect();
        ensure(missing.is_empty(), || format!("nobody attests {}; run: portcullis checklist", named(&missing)))?;
        Ok(format!("{} required items are attested", required.len()))
    }

    pub(super) fn monitoring(&self) -> Ruling {
        watch_runs(&self.entries, self.input.now)
    }

    pub(super) fn database(&self) -> Ruling {
        match &self.input.live.database {
            Some(Ok(version)) => Ok(version.clone()),
            Some(Err(error)) => Err(format!("the database does not answer: {error}")),
            None if self.input.policies.pause.guard.is_none() => Ok("none is configured".into()),
            None => Err("pause.yml declares a guard, but no database is configured".into()),
        }
    }
}

fn ask_again(live: &LiveCredential, old_known: bool) -> Result<(), String> {
    match &live.old {
        Some(Ok(Probe::Refused { .. })) => {}
        Some(Ok(Probe::Accepted)) => return Err("its server accepts the old value again".into()),
        Some(Ok(Probe::Meaningless { reason })) => return Err(format!("its server can't tell: {reason}")),
        Some(Err(error)) => return Err(format!("its server could not be asked about the old value: {error}")),
        None if !old_known => {}
        None => return Err("the sealed old value is gone, so that its server could not be asked again".into()),
    }
    match &live.new {
        Some(Ok(Probe::Accepted)) => Ok(()),
        Some(Ok(Probe::Refused { reason })) => Err(format!("its server refuses the new value: {reason}")),
        Some(Ok(Probe::Meaningless { reason })) => Err(format!("its server can't tell: {reason}")),
        Some(Err(error)) => Err(format!("its server could not be asked about the new value: {error}")),
        None => Err("the sealed new value is gone, so that its server could not be asked again".into()),
    }
}

fn named(items: &[String]) -> String {
    let mut text = items.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if items.len() > NAMED {
        let _ = write!(text, " and {} more", items.len() - NAMED);
    }
    text
}

#[cfg(test)]
#[path = "conditions_tests.rs"]
mod tests;
