use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::audit::{ALLOWED_SIGNERS, ENVELOPE, LATER_POLICIES, opened_copy, roster_policy};
use super::{CHECKPOINT, Journal, LEDGER};
use crate::domain::{Digest, Timestamp};
use crate::gate::{
    Ballot, Conflicts, POLICIES, Purpose, Quorum, RECORD, Roster, SignatureFile, Statement, allowed_signers, count,
    dsse, is_open, with_cause,
};
use crate::ledger::{ApprovalState, GateCheck, Verified, VerifierKey, compare};
use crate::policy::credentials::CredentialsPolicy;
use crate::policy::resume::ResumePolicy;
use crate::ports::CaseStore;

/// Name of the lock file, which is bound to nothing.
const LOCK: &str = "lock";

/// What [`verify_case`] found.
#[derive(Debug, Clone)]
pub struct CaseVerdict {
    /// Every check.
    pub checks: Vec<GateCheck>,
    /// Files in the folder that nothing binds: nobody can say who wrote them.
    pub unbound: Vec<String>,
}

impl CaseVerdict {
    /// Whether every check passed.
    pub fn holds(&self) -> bool {
        is_open(&self.checks)
    }
}

type Ruling = Result<String, String>;

/// Verifies a case from its folder alone: no policies, no network, no key but the public one in the first entry.
/// Nothing is changed.
pub fn verify_case(store: &Arc<dyn CaseStore>) -> CaseVerdict {
    verify_case_against(store, &[])
}

/// Verifies a case, and that its ledger goes on from copies of its checkpoint that somebody kept elsewhere.
pub fn verify_case_against(store: &Arc<dyn CaseStore>, kept: &[Vec<u8>]) -> CaseVerdict {
    let verified = match Journal::verify(store) {
        Ok(verified) => verified,
        Err(error) => {
            return CaseVerdict {
                checks: vec![GateCheck::ruled("ledger", Err(with_cause(&error)))],
                unbound: Vec::new(),
            };
        }
    };
    let record = verified.state.record.is_some().then(|| read_record(store.as_ref()));
    let case = Case { store: store.as_ref(), verified: &verified, record };
    let mut checks = vec![
        GateCheck::ruled("ledger", case.ledger()),
        GateCheck::ruled("checkpoint", case.checkpoint()),
        GateCheck::ruled("files", case.files()),
        GateCheck::ruled("policies", case.policies()),
    ];
    if !kept.is_empty() {
        checks.push(GateCheck::ruled("kept-checkpoint", case.kept(kept)));
    }
    match &case.record {
        None => {}
        Some(Ok((bytes, statement))) => {
            checks.push(GateCheck::ruled("record", case.record(bytes, statement)));
            checks.push(GateCheck::ruled("envelope", case.envelope(bytes)));
            checks.push(GateCheck::ruled("approvals", case.approvals(bytes, statement)));
        }
        Some(Err(reason)) => checks.push(GateCheck::ruled("record", Err(reason.clone()))),
    }
    let unbound = match case.unbound() {
        Ok(unbound) => unbound,
        Err(reason) => {
            checks.push(GateCheck::ruled("folder", Err(reason)));
            Vec::new()
        }
    };
    CaseVerdict { checks, unbound }
}

struct Case<'a> {
    store: &'a dyn CaseStore,
    verified: &'a Verified,
    record: Option<Result<(Vec<u8>, Statement), String>>,
}

fn read_record(store: &dyn CaseStore) -> Result<(Vec<u8>, Statement), String> {
    let bytes = store.read(RECORD).map_err(|fault| fault.chain())?;
    let bytes = bytes.ok_or_else(|| format!("{RECORD} is missing"))?;
    let statement = Statement::parse(&bytes).map_err(|error| with_cause(&error))?;
    Ok((bytes, statement))
}

impl Case<'_> {
    fn ledger(&self) -> Ruling {
        if let Some(tail) = &self.verified.tail {
            return Err(format!(
                "{} bytes follow the last whole entry, as after a crash; the next command on this incident puts them aside",
                tail.bytes.len()
            ));
        }
        Ok(format!("{} entries replay, root {}", self.verified.tree.size(), self.verified.tree.root()))
    }

    fn checkpoint(&self) -> Ruling {
        let (signed, entries) = (self.verified.signed, self.verified.tree.size());
        if signed != entries {
            return Err(format!(
                "it covers {signed} of {entries} entries; the next command on this incident signs the rest"
            ));
        }
        Ok(format!("signed by {}", self.verified.state.machine_key))
    }

    fn kept(&self, notes: &[Vec<u8>]) -> Ruling {
        let key: VerifierKey = self.verified.state.machine_key.parse().map_err(|error| with_cause(&error))?;
        let newest = compare(&self.verified.tree, &key, notes).map_err(|error| with_cause(&error))?;
        Ok(format!("the ledger goes on from the kept head over {} entries", newest.unwrap_or(0)))
    }

    fn digest_of(&self, path: &str) -> Result<Digest, String> {
        match self.store.read(path) {
            Ok(Some(bytes)) => Ok(Digest::of(&bytes)),
            Ok(None) => Err(format!("{path} is missing")),
            Err(fault) => Err(fault.chain()),
        }
    }

    fn compare(&self, files: &BTreeMap<String, Digest>) -> Ruling {
        let mut bad = Vec::new();
        for (path, digest) in files {
            match self.digest_of(path) {
                Ok(found) if found == *digest => {}
                Ok(_) => bad.push(format!("{path} was changed")),
                Err(reason) => bad.push(reason),
            }
        }
        if bad.is_empty() { Ok(format!("{} files as they were bound", files.len())) } else { Err(bad.join(", ")) }
    }

    fn bound_files(&self) -> BTreeMap<String, Digest> {
        self.verified.state.files.values().map(|file| (file.path.clone(), file.sha256)).collect()
    }

    fn opened_policies(&self) -> BTreeMap<String, Digest> {
        let policies = self.verified.state.policies.iter();
        policies.map(|(name, digest)| (format!("{POLICIES}/{name}"), *digest)).collect()
    }

    fn later_policies(&self) -> BTreeMap<String, Digest> {
        let Some(Ok((_, statement))) = &self.record else { return BTreeMap::new() };
        let opened = &self.verified.state.policies;
        let later = statement.predicate.policies.iter().filter(|(name, digest)| opened.get(*name) != Some(*digest));
        later.map(|(name, digest)| (format!("{LATER_POLICIES}/{name}"), *digest)).collect()
    }

    fn files(&self) -> Ruling {
        self.compare(&self.bound_files())
    }

    fn policies(&self) -> Ruling {
        let mut all = self.opened_policies();
        all.extend(self.later_policies());
        self.compare(&all)
    }

    fn record(&self, bytes: &[u8], statement: &Statement) -> Ruling {
        let Some((digest, size, root)) = &self.verified.state.record else { return Err("there is none".into()) };
        let head = &statement.predicate.ledger;
        if Digest::of(bytes) != *digest {
            return Err(format!("{RECORD} is not the file that the ledger names"));
        }
        let same = head.size == *size
            && head.root == *root
            && statement.root() == Some(root)
            && self.verified.tree.root_at(*size).as_ref() == Some(root)
            && Some(&statement.predicate.incident.id) == self.verified.state.incident.as_ref()
            && statement.predicate.incident.nonce == self.verified.state.nonce;
        if !same {
            return Err("the record is about another ledger, or another state of this one".into());
        }
        Ok(format!("sha256 {digest}, over the first {size} entries"))
    }

    fn envelope(&self, record: &[u8]) -> Ruling {
        let file = self.store.read(ENVELOPE).map_err(|fault| fault.chain())?;
        let file = file.ok_or_else(|| format!("{ENVELOPE} is missing; portcullis audit export writes it again"))?;
        let key: VerifierKey = self.verified.state.machine_key.parse().map_err(|error| with_cause(&error))?;
        dsse::verify(&file, record, key.public()).map_err(|error| with_cause(&error))?;
        Ok("the machine's signature over the record verifies".into())
    }

    fn approvals(&self, record: &[u8], statement: &Statement) -> Ruling {
        let policy = roster_policy(self.store, statement)?;
        let roster = Roster::new(&policy).map_err(|error| with_cause(&error))?;
        let signers = self.store.read(ALLOWED_SIGNERS).map_err(|fault| fault.chain())?;
        if signers.as_deref() != Some(allowed_signers(&roster).as_bytes()) {
            return Err(format!("{ALLOWED_SIGNERS} is not the roster; portcullis audit export writes it again"));
        }
        let purpose = statement.purpose();
        let files = self.signatures(record, &roster, &self.verified.state.approvals, purpose)?;
        let refusals = self.signatures(record, &roster, &self.verified.state.refusals, Purpose::Refuse)?;
        let refusers: Vec<&str> =
            self.verified.state.refusals.iter().map(|refusal| refusal.approver.as_str()).collect();
        let resumed = self.verified.state.resumed.is_some();
        if !refusals.is_empty() && resumed {
            return Err(format!("trading was resumed although {} refused", refusers.join(", ")));
        }
        let words = self.quorum(record, statement, &policy, &files)?;
        Ok(if refusals.is_empty() { words } else { format!("REFUSED by {}; {words}", refusers.join(", ")) })
    }

    /// The signature files that the ledger names: each must be by the person that it names, valid when it was recorded.
    fn signatures(
        &self,
        record: &[u8],
        roster: &Roster<'_>,
        named: &[ApprovalState],
        purpose: Purpose,
    ) -> Result<Vec<SignatureFile>, String> {
        let mut files = Vec::new();
        for approval in named {
            let path = &approval.path;
            let bytes = self.store.read(path).map_err(|fault| fault.chain())?;
            let bytes = bytes.ok_or_else(|| format!("{path} is missing"))?;
            let approved = roster
                .verify(record, &bytes, purpose, approval.at)
                .map_err(|error| format!("{path}: {}", with_cause(&error)))?;
            if approved.name != approval.approver || approved.key != approval.key {
                return Err(format!("{path} is by {}, the ledger says {}", approved.name, approval.approver));
            }
            files.push(SignatureFile { path: path.clone(), bytes });
        }
        Ok(files)
    }

    /// The moment that a quorum is judged at: that of the resume, or of the newest entry.
    fn moment(&self) -> Timestamp {
        let state = &self.verified.state;
        state.resumed.map(|(at, _)| at).or(state.newest).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn quorum(&self, record: &[u8], statement: &Statement, policy: &ResumePolicy, files: &[SignatureFile]) -> Ruling {
        let credentials = super::audit::credentials_policy(self.store, statement)?;
        let quorum = self.counted(record, statement, (policy, &credentials), files)?;
        let people = quorum.people.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let resumed = self.verified.state.resumed.is_some();
        if !quorum.is_met() {
            let missing = quorum.missing.join(", ");
            if resumed {
                return Err(format!("trading was resumed without a quorum: {missing}"));
            }
            return Ok(format!("{} good approvals, not yet a quorum: {missing}", files.len()));
        }
        let Some((old, owners)) = self.changed_since_opening(statement)? else {
            return Ok(format!("approved by {people}"));
        };
        let before = self.counted(record, statement, (&old, &owners), files)?;
        if before.is_met() {
            return Ok(format!("approved by {people}, a quorum of the policies of before their change too"));
        }
        let missing = before.missing.join(", ");
        if resumed {
            return Err(format!("trading was resumed under changed policies without the quorum of before: {missing}"));
        }
        Ok(format!("approved by {people}; policies were changed, and the quorum of before is missing: {missing}"))
    }

    fn counted(
        &self,
        record: &[u8],
        statement: &Statement,
        (policy, credentials): (&ResumePolicy, &CredentialsPolicy),
        files: &[SignatureFile],
    ) -> Result<Quorum, String> {
        let executors = &self.verified.state.executors;
        let operators: Vec<String> = statement.predicate.operators.iter().chain(executors).cloned().collect();
        let compromised = &statement.predicate.compromised;
        let conflicts = Conflicts { operators: &operators, compromised, credentials };
        let ballot = Ballot { record, files, purpose: statement.purpose(), at: self.moment() };
        count(policy, &conflicts, &ballot).map_err(|error| with_cause(&error))
    }

    /// The policies that the incident was opened with, if a file of them was changed since and they could decide.
    fn changed_since_opening(
        &self,
        statement: &Statement,
    ) -> Result<Option<(ResumePolicy, CredentialsPolicy)>, String> {
        let opened = &self.verified.state.policies;
        let now = &statement.predicate.policies;
        let changed: Vec<&String> = opened.keys().filter(|name| now.get(*name) != opened.get(*name)).collect();
        if changed.is_empty() {
            return Ok(None);
        }
        let old: ResumePolicy = opened_copy(self.store, opened, "resume.yml")?;
        let completed = changed.iter().all(|name| *name == "resume.yml") && Roster::new(&old).is_err();
        let owners = opened_copy(self.store, opened, "credentials.yml")?;
        Ok((!completed).then_some((old, owners)))
    }

    fn unbound(&self) -> Result<Vec<String>, String> {
        let mut known: BTreeSet<String> = [LEDGER, CHECKPOINT, LOCK].map(String::from).into();
        known.extend(self.bound_files().into_keys());
        known.extend(self.opened_policies().into_keys());
        if self.verified.state.record.is_some() {
            known.extend([ENVELOPE, ALLOWED_SIGNERS].map(String::from));
            known.extend(self.later_policies().into_keys());
        }
        let all = self.store.walk().map_err(|fault| fault.chain())?;
        Ok(all.into_iter().filter(|path| !known.contains(path)).collect())
    }
}
