use std::sync::Arc;

use super::{Journal, JournalError};
use crate::domain::{CredentialId, IncidentId};
use crate::gate::POLICIES;
use crate::ledger::Event;
use crate::policy::Policies;
use crate::ports::{CaseFolders, Clock, Fault, MachineKey, Random};

/// What an incident starts with.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Why, in the operator's words.
    pub reason: String,
    /// Who.
    pub operator: String,
    /// Credentials named as compromised.
    pub compromised: Vec<CredentialId>,
}

/// Opens an incident: its case folder, copies of the policies in force, and the signed first entry of its ledger.
pub fn open_incident(
    cases: &dyn CaseFolders,
    clock: &Arc<dyn Clock>,
    machine: &Arc<dyn MachineKey>,
    random: &dyn Random,
    policies: &Policies,
    opening: Opening,
) -> Result<Journal, JournalError> {
    let mut bytes = [0; 18];
    random.fill(&mut bytes)?;
    let (nonce, tail) = bytes.split_at(16);
    let name = format!("inc-{}-{}", clock.now().strftime("%Y%m%dT%H%M%SZ"), hex::encode(tail));
    let incident = IncidentId::new(name)
        .map_err(|error| Fault::with(crate::ports::FaultKind::Invalid, "failed to name the incident", error))?;
    let store = cases.open(&incident, true)?;
    let copies: Vec<_> =
        policies.texts.iter().map(|(path, text)| (format!("{POLICIES}/{path}"), text.as_bytes())).collect();
    store.write_all(&copies)?;
    let opened = Event::IncidentOpened {
        incident,
        reason: opening.reason,
        operator: opening.operator,
        compromised: opening.compromised,
        nonce: hex::encode(nonce),
        // The journal puts in the key that it signs with.
        machine_key: String::new(),
        policies: policies.digests(),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    Journal::create(store, clock.clone(), machine.clone(), opened)
}
