//! The commands that touch credentials and switches, as functions that the command line and the drill share.

use std::sync::Arc;

use super::{Deployment, Journal, JournalError, Opening, Run, StepEvent, execute, open_incident};
use crate::domain::{CredentialId, Digest, Outcome, Plan, StepReport};
use crate::ledger::{Event, IncidentState};
use crate::playbook::{Containment, containment};
use crate::ports::{Fault, FaultKind};

/// Hears what happens while a plan is carried out.
pub type Progress<'a> = &'a (dyn Fn(StepEvent) + Send + Sync);

/// The plan of a lockdown, given what the ledger knows.
pub fn plan_lockdown(deployment: &Deployment, state: Option<&IncidentState>, compromised: &[CredentialId]) -> Plan {
    let mut told = Containment { own_role: deployment.own_role.clone(), ..Containment::default() };
    if let Some(state) = state {
        told.compromised.clone_from(&state.compromised);
        told.generations = state.credentials.iter().map(|(id, known)| (id.clone(), known.generation)).collect();
    }
    for id in compromised {
        if !told.compromised.contains(id) {
            told.compromised.push(id.clone());
        }
    }
    containment(&deployment.policies, &told)
}

/// Opens an incident on a deployment.
pub fn open(deployment: &Deployment, opening: Opening) -> Result<Journal, JournalError> {
    open_incident(
        deployment.cases.as_ref(),
        &deployment.clock,
        &deployment.machine,
        deployment.random.as_ref(),
        &deployment.policies,
        opening,
    )
}

/// Names more credentials as compromised in an incident that is open.
pub fn widen(journal: &Journal, opening: &Opening) -> Result<(), JournalError> {
    let known = journal.state().compromised;
    let new: Vec<_> = opening.compromised.iter().filter(|id| !known.contains(id)).cloned().collect();
    if new.is_empty() {
        return Ok(());
    }
    let (reason, operator) = (opening.reason.clone(), opening.operator.clone());
    journal.record(Event::IncidentWidened { compromised: new, reason, operator }).map(|_| ())
}

/// Writes the plan into the ledger, carries it out, and signs the ledger.
pub async fn carry_out(
    deployment: &Deployment,
    journal: &Arc<Journal>,
    command: &str,
    operator: &str,
    plan: &Plan,
    progress: Progress<'_>,
) -> Result<Vec<StepReport>, JournalError> {
    let run = Run::new(deployment.clone(), Arc::clone(journal));
    let json = serde_json::to_vec(plan)
        .map_err(|error| Fault::with(FaultKind::Invalid, "failed to encode the plan", error))?;
    journal.record(Event::PlanMade {
        command: command.to_owned(),
        steps: plan.steps.len() as u64,
        sha256: Digest::of(&json),
        operator: operator.to_owned(),
    })?;
    let reports = execute(&run, plan, progress).await?;
    journal.checkpoint()?;
    Ok(reports)
}

/// How many steps ended in each way that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// All.
    pub steps: usize,
    /// Failed, unknown or skipped.
    pub failed: usize,
    /// Left to a person.
    pub manual: usize,
}

impl Tally {
    /// Counts reports.
    pub fn of(reports: &[StepReport]) -> Self {
        let count = |outcomes: &[Outcome]| reports.iter().filter(|report| outcomes.contains(&report.outcome)).count();
        Self {
            steps: reports.len(),
            failed: count(&[Outcome::Failed, Outcome::Unknown, Outcome::Skipped]),
            manual: count(&[Outcome::Manual]),
        }
    }
}

/// Whether the ledger says that the breach is contained: the pause proven, every credential that is not a person's proven
/// dead and replaced.
pub fn contained(deployment: &Deployment, state: &IncidentState) -> bool {
    let paused = deployment.policies.pause.guard.is_none() || state.pause.proven;
    let dead = deployment.policies.credentials.credentials.iter().all(|credential| {
        let manual = matches!(credential.issuer, crate::policy::credentials::IssuerPolicy::Manual { .. });
        manual || state.credentials.get(&credential.id).is_some_and(|known| known.new_accepted && known.old_refused)
    });
    paused && dead
}
