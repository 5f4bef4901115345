//! Checks of the gate on people: who approves, who refuses, under which policy, and what they waive.

use std::collections::BTreeSet;

use super::build::{changed, may_be_waived};
use super::decide::{Case, HINT_PREPARE, POLICIES, RESUME, Ruling, ensure};
use super::quorum::{Ballot, Conflicts, MAX_APPROVALS, Quorum, SignatureFile, count, refusers, with_cause};
use super::{Purpose, Roster};
use crate::domain::Digest;
use crate::ledger::{GateCheck, Verdict};
use crate::policy::credentials::CredentialsPolicy;
use crate::policy::resume::ResumePolicy;

/// Name of the policy that says who owns which credential.
const CREDENTIALS: &str = "credentials.yml";

impl Case<'_> {
    /// What approvals of this record must be made for.
    fn purpose(&self) -> Purpose {
        self.statement().map_or(Purpose::Resume, super::Statement::purpose)
    }

    /// Everybody who acted, and whoever asks the gate now.
    fn operators(&self) -> Vec<String> {
        self.state.operators.iter().chain(&self.input.executor).cloned().collect()
    }

    /// What these of the signatures amount to now, under these policies.
    pub(super) fn counted(
        &self,
        policy: &ResumePolicy,
        credentials: &CredentialsPolicy,
        files: &[SignatureFile],
    ) -> Result<Quorum, String> {
        let record = self.input.record.as_deref().ok_or("there is no record that could be approved")?;
        let operators = self.operators();
        let conflicts = Conflicts { operators: &operators, compromised: &self.state.compromised, credentials };
        let ballot = Ballot { record, files, purpose: self.purpose(), at: self.input.now };
        count(policy, &conflicts, &ballot).map_err(|error| with_cause(&error))
    }

    pub(super) fn quorum(&self) -> Ruling {
        let policies = &self.input.policies;
        let quorum = self.counted(&policies.resume, &policies.credentials, &self.input.approvals)?;
        let people: Vec<&str> = quorum.people.keys().map(String::as_str).collect();
        let refused: Vec<String> = quorum.refused.iter().map(|(path, why)| format!("{path}: {why}")).collect();
        let refused = if refused.is_empty() { String::new() } else { format!("; not counted: {}", refused.join(", ")) };
        ensure(quorum.is_met(), || {
            format!("{}{refused}; see who can sign with: portcullis approve", quorum.missing.join(", "))
        })?;
        Ok(format!("approved by {}{refused}", people.join(", ")))
    }

    pub(super) fn refusals(&self) -> Ruling {
        let Some(record) = self.input.record.as_deref() else { return Ok("there is no record to refuse".into()) };
        let roster = Roster::new(&self.input.policies.resume).map_err(|error| with_cause(&error))?;
        let ballot = Ballot { record, files: &self.input.refusals, purpose: Purpose::Refuse, at: self.input.now };
        // Past the bound nobody can say that none of them counts.
        ensure(ballot.files.len() <= MAX_APPROVALS, || {
            format!("{} files of refusals: more than {MAX_APPROVALS} are not looked at", ballot.files.len())
        })?;
        let people: BTreeSet<String> = refusers(&roster, &ballot).into_iter().map(|person| person.name).collect();
        let names: Vec<String> = people.into_iter().collect();
        ensure(names.is_empty(), || {
            format!("refused by {}; mend what they object to, then {HINT_PREPARE}", names.join(", "))
        })?;
        Ok("nobody refuses this record".into())
    }

    /// Policies that are not what they were when the incident was opened, but for a roster that could decide nothing then.
    fn edited(&self) -> Vec<String> {
        let opened = &self.state.policies;
        let mut edited = changed(opened, &self.input.policies.digests());
        edited.retain(|name| opened.contains_key(name));
        if edited.iter().any(|name| name == RESUME) && self.could_nobody_approve() {
            edited.retain(|name| name != RESUME);
        }
        edited
    }

    /// Whether these of the signatures are enough for the policies of now and, where those were changed during the incident, for
    /// those of before.
    pub(super) fn are_enough(&self, files: &[SignatureFile]) -> bool {
        let policies = &self.input.policies;
        let met = self.counted(&policies.resume, &policies.credentials, files).is_ok_and(|quorum| quorum.is_met());
        let edited = self.edited();
        met && (edited.is_empty() || self.old_quorum(&edited, files).is_ok())
    }

    pub(super) fn policies(&self) -> Ruling {
        let now = self.input.policies.digests();
        let opened = &self.state.policies;
        let edited = self.edited();
        let signed = &self.statement()?.predicate.policies;
        let since = changed(signed, &now);
        ensure(since.is_empty(), || {
            format!("changed since the record was made: {}; {HINT_PREPARE}", since.join(", "))
        })?;
        let agreed = if edited.is_empty() { None } else { Some(self.old_quorum(&edited, &self.input.approvals)?) };
        let added = now.keys().filter(|name| !opened.contains_key(*name)).count();
        let completed = agreed.is_none() && now.get(RESUME) != opened.get(RESUME);
        let mut words = match &agreed {
            Some(people) => {
                format!("{} changed, and approved by the quorum of before too ({people}); ", edited.join(", "))
            }
            None => String::new(),
        };
        let same = opened.len() - edited.len() - usize::from(completed);
        words.push_str(&format!("{same} files as they were when the incident was opened, {added} added"));
        if completed {
            words.push_str("; resume.yml was completed since, as nobody could have approved before");
        }
        Ok(words)
    }

    /// A change of policy during an incident needs the quorum of before beside that of now (as a root of TUF does).
    fn old_quorum(&self, edited: &[String], files: &[SignatureFile]) -> Result<String, String> {
        let back = || {
            format!(
                "changed since the incident was opened: {}; put the copies in the case folder's {POLICIES}/ back",
                edited.join(", ")
            )
        };
        let copy = |bytes: &Option<Vec<u8>>, name: &str| -> Result<String, String> {
            let bytes = bytes.as_ref().filter(|bytes| self.state.policies.get(name) == Some(&Digest::of(bytes)));
            let bytes = bytes.ok_or_else(|| format!("{}; the copy of {name} can't be used", back()))?;
            Ok(String::from_utf8_lossy(bytes).into_owned())
        };
        let unusable = |error: crate::policy::PolicyError| format!("{}: {error}", back());
        let text = copy(&self.input.opened_resume, RESUME)?;
        let resume: ResumePolicy = crate::policy::parse(RESUME, &text).map_err(unusable)?;
        let text = copy(&self.input.opened_credentials, CREDENTIALS)?;
        let credentials: CredentialsPolicy = crate::policy::parse(CREDENTIALS, &text).map_err(unusable)?;
        let quorum = self.counted(&resume, &credentials, files).map_err(|why| format!("{}: {why}", back()))?;
        ensure(quorum.is_met(), || {
            format!(
                "{}, or have the record approved by the quorum of before too: {}",
                back(),
                quorum.missing.join(", ")
            )
        })?;
        Ok(quorum.people.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
    }

    /// Whether the roster that the incident was opened with could decide nothing, for instance since nobody was enrolled.
    /// Then it may be completed: the record names the change, and the approvers see it.
    fn could_nobody_approve(&self) -> bool {
        let Some(bytes) = &self.input.opened_resume else { return false };
        if self.state.policies.get(RESUME) != Some(&Digest::of(bytes)) {
            return false;
        }
        let text = String::from_utf8_lossy(bytes);
        crate::policy::parse::<ResumePolicy>(RESUME, &text).is_ok_and(|policy| Roster::new(&policy).is_err())
    }

    /// A record that waives checks: only of those that may be waived, and only after the delay. Absent for any other record.
    pub(super) fn break_glass(&self) -> Option<Ruling> {
        let glass = self.statement().ok()?.predicate.break_glass.as_ref()?;
        let fixed = glass.waived.iter().find(|check| !may_be_waived(check));
        let ruling = ensure(fixed.is_none(), || "it waives what must always pass".into()).and_then(|()| {
            // The delay runs from the entry that names the record: until then nobody could have refused it.
            let issued = self.statement()?.predicate.issued;
            let recorded = self.recorded()?.time;
            let until = recorded.checked_add(glass.not_before.duration_since(issued));
            let until = until.map_err(|_| "its delay leads beyond the end of time".to_owned())?;
            ensure(self.input.now >= until, || {
                format!("its delay lasts until {until}; until then anybody on the roster may refuse it")
            })?;
            Ok(format!("checks are waived: {}; reason: {}", glass.waived.join(", "), glass.reason))
        });
        Some(ruling)
    }

    /// Lets checks pass that the record waives, and says so in each. Who signed it, and that it is genuine, are checks of
    /// their own, which are never waived.
    pub(super) fn waive(&self, checks: &mut [GateCheck]) {
        let Some(glass) = self.statement().ok().and_then(|statement| statement.predicate.break_glass.as_ref()) else {
            return;
        };
        let waived = |check: &GateCheck| glass.waived.contains(&check.check) && may_be_waived(&check.check);
        for check in checks.iter_mut().filter(|check| check.verdict == Verdict::Refuse && waived(check)) {
            check.verdict = Verdict::Pass;
            check.reason = format!("WAIVED by break-glass: {}", check.reason);
        }
    }
}
