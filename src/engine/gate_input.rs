use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use secrecy::SecretString;

use super::audit::{AuditError, bound_findings};
use super::findings::FINDINGS;
use super::{CHECKPOINT, Deployment, Journal};
use crate::domain::{Canary, CredentialId, Digest, IncidentId, Probe};
use crate::gate::{GateInput, Live, LiveCredential, POLICIES, RECORD, SignatureFile};
use crate::ledger::IncidentState;
use crate::policy::credentials::CredentialPolicy;
use crate::ports::{Fault, Head, Issuer};

/// Bound on each question to the world.
const PATIENCE: Duration = Duration::from_secs(15);

/// Gathers everything that the gate decides on: reads every bound file once, tries a trade, asks the issuers again.
/// The case stays open for writing (under its lock) for as long as the journal lives, so hold it until after acting.
/// What can't be read or reached is in the input as such, and refuses there.
pub async fn gather(
    journal: &Journal,
    deployment: &Deployment,
    executor: Option<&str>,
) -> Result<GateInput, AuditError> {
    let state = journal.state();
    let store = journal.store();
    let mut paths: BTreeSet<String> = state.files.keys().cloned().collect();
    paths.extend(state.policies.keys().map(|name| format!("{POLICIES}/{name}")));
    let signatures: BTreeSet<&str> = state.approvals.iter().map(|approval| approval.path.as_str()).collect();
    let refused: BTreeSet<&str> = state.refusals.iter().map(|refusal| refusal.path.as_str()).collect();
    let (mut files, mut approvals, mut refusals) = (BTreeMap::new(), Vec::new(), Vec::new());
    let (mut record, mut opened_resume, mut opened_credentials) = (None, None, None);
    let [resume, owners] = ["resume.yml", "credentials.yml"].map(|name| format!("{POLICIES}/{name}"));
    for path in paths {
        // A file that can't be read (a link was put in its place) is as good as missing.
        let bytes = store.read(&path).ok().flatten();
        files.insert(path.clone(), bytes.as_deref().map(Digest::of));
        let Some(bytes) = bytes else { continue };
        if signatures.contains(path.as_str()) {
            approvals.push(SignatureFile { path, bytes });
        } else if refused.contains(path.as_str()) {
            refusals.push(SignatureFile { path, bytes });
        } else if path == RECORD {
            record = Some(bytes);
        } else if path == resume {
            opened_resume = Some(bytes);
        } else if path == owners {
            opened_credentials = Some(bytes);
        }
    }
    let findings = match bound_findings(store.as_ref(), state.files.get(FINDINGS)) {
        Ok((findings, _)) => findings,
        // Refused by the `files` check, by name.
        Err(AuditError::Changed(_)) => {
            files.insert(FINDINGS.into(), None);
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    let mut live = ask(deployment, &state).await;
    live.witnesses = witnessed(journal, deployment).await;
    Ok(GateInput {
        now: deployment.clock.now(),
        lines: journal.lines()?,
        record,
        executor: executor.map(String::from),
        approvals,
        refusals,
        files,
        findings,
        opened_resume,
        opened_credentials,
        policies: deployment.policies.clone(),
        live,
    })
}

async fn ask(deployment: &Deployment, state: &IncidentState) -> Live {
    let database = async {
        let database = deployment.database.as_ref()?;
        Some(in_time(database.ping()).await)
    };
    let canary = async {
        let guard = deployment.guard.as_ref()?;
        Some(in_time::<Canary>(guard.canary()).await)
    };
    let credentials = async {
        let Some(incident) = &state.incident else { return BTreeMap::new() };
        let asked = deployment.policies.credentials.credentials.iter().filter_map(|policy| {
            let issuer = deployment.issuers.get(&policy.id)?;
            let known = state.credentials.get(&policy.id).filter(|known| known.strength == "server")?;
            Some(ask_issuer(deployment, incident, policy, issuer.as_ref(), known.generation))
        });
        join_all(asked).await.into_iter().collect()
    };
    let switches = async {
        let asked = deployment.switches.iter().map(async |switch| {
            let seen = in_time(switch.observe()).await;
            (switch.name().to_owned(), seen)
        });
        join_all(asked).await.into_iter().collect()
    };
    let (database, canary, credentials, switches) = tokio::join!(database, canary, credentials, switches);
    Live { canary, database, credentials, switches, witnesses: BTreeMap::new() }
}

/// Gives every witness the head of now, and takes what each holds.
pub async fn witnessed(journal: &Journal, deployment: &Deployment) -> BTreeMap<String, Result<Vec<Vec<u8>>, String>> {
    let signed = journal.checkpoint().map(|()| journal.store().read(CHECKPOINT));
    let Ok(Ok(Some(note))) = signed else { return BTreeMap::new() };
    let Some(incident) = journal.with_state(|state| state.incident.clone()) else { return BTreeMap::new() };
    let (size, _) = journal.head();
    let consistency = |old: u64| journal.with_tree(|tree| tree.consistency(old, size));
    let head = Head { incident: &incident, size, note: &note, consistency: &consistency };
    let asked = deployment.witnesses.iter().map(async |witness| {
        let copies = in_time(witness.witness(&head)).await;
        (witness.name().to_owned(), copies)
    });
    join_all(asked).await.into_iter().collect()
}

async fn ask_issuer(
    deployment: &Deployment,
    incident: &IncidentId,
    policy: &CredentialPolicy,
    issuer: &dyn Issuer,
    generation: u32,
) -> (CredentialId, LiveCredential) {
    let sealed = |which: &str| deployment.vault.open(&format!("{incident}/{}/{generation}/{which}", policy.id));
    let probe = async |value: Result<Option<SecretString>, Fault>| -> Option<Result<Probe, String>> {
        match value {
            Ok(Some(value)) => Some(in_time(issuer.probe(policy, &value)).await),
            Ok(None) => None,
            Err(fault) => Some(Err(fault.chain())),
        }
    };
    let live = LiveCredential { old: probe(sealed("old")).await, new: probe(sealed("new")).await };
    (policy.id.clone(), live)
}

async fn in_time<T>(question: impl Future<Output = Result<T, Fault>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(answer) => answer.map_err(|fault| fault.chain()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
