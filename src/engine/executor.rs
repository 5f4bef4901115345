use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::steps::{self, Seen};
use super::{Deployment, Journal, JournalError};
use crate::domain::{Action, Outcome, Plan, StepId, StepReport, StepSpec};
use crate::ledger::Event;
use crate::ports::{Clock, Fault, FaultKind};

/// Steps in flight at once.
const PARALLEL: usize = 16;
/// Bound on one observation.
const OBSERVE: Duration = Duration::from_secs(15);

/// What happens while a plan is carried out.
#[derive(Debug, Clone)]
pub enum StepEvent {
    /// A step began.
    Started(StepSpec),
    /// A step ended.
    Ended(StepReport),
}

/// What all steps of a run share.
pub struct Run {
    /// The ports.
    pub deployment: Deployment,
    /// The case's ledger.
    pub journal: Arc<Journal>,
    /// The clock's reading when the command began: the pause is measured from here.
    pub began: Duration,
}

impl Run {
    /// A run that began now.
    pub fn new(deployment: Deployment, journal: Arc<Journal>) -> Arc<Self> {
        let began = deployment.clock.elapsed();
        Arc::new(Self { deployment, journal, began })
    }

    /// Appends an event off the async threads: it waits for the disk.
    pub(super) async fn record(self: &Arc<Self>, event: Event) -> Result<u64, JournalError> {
        let run = Arc::clone(self);
        match tokio::task::spawn_blocking(move || run.journal.record(event)).await {
            Ok(recorded) => recorded,
            Err(error) => Err(Fault::with(FaultKind::OutcomeUnknown, "the ledger's writer died", error).into()),
        }
    }
}

/// Carries out a plan: each step as soon as those it comes after have ended, failures never stopping others. Returns the
/// reports in the order of the plan; an error only if the ledger can't be written, since nothing may be done unrecorded.
pub async fn execute(
    run: &Arc<Run>,
    plan: &Plan,
    progress: &(dyn Fn(StepEvent) + Send + Sync),
) -> Result<Vec<StepReport>, JournalError> {
    let mut waiting: Vec<&StepSpec> = plan.steps.iter().collect();
    let planned: BTreeSet<&StepId> = plan.steps.iter().map(|spec| &spec.id).collect();
    let mut ended: BTreeMap<StepId, StepReport> = BTreeMap::new();
    let mut flying: JoinSet<Result<StepReport, JournalError>> = JoinSet::new();
    let mut broken = None;
    loop {
        let mut index = 0;
        while broken.is_none() && index < waiting.len() && flying.len() < PARALLEL {
            let spec = waiting[index];
            // What is not part of this plan is not waited for: it was planned, and judged, elsewhere.
            let ready = spec.after.iter().chain(&spec.needs).all(|id| ended.contains_key(id) || !planned.contains(id));
            if !ready {
                index += 1;
                continue;
            }
            waiting.remove(index);
            progress(StepEvent::Started(spec.clone()));
            let unmet = spec.needs.iter().find_map(|id| ended.get(id).filter(|report| !report.outcome.is_success()));
            let unmet = unmet.map(|report| format!("needs {}, which is {}", report.id, report.outcome));
            flying.spawn(one(Arc::clone(run), spec.clone(), unmet));
        }
        let Some(joined) = flying.join_next().await else { break };
        match joined {
            Ok(Ok(report)) => {
                progress(StepEvent::Ended(report.clone()));
                ended.insert(report.id.clone(), report);
            }
            Ok(Err(error)) => broken = broken.or(Some(error)),
            Err(error) => {
                let fault = Fault::with(FaultKind::OutcomeUnknown, "a step died", error);
                broken = broken.or(Some(fault.into()));
            }
        }
    }
    match broken {
        Some(error) => Err(error),
        None => Ok(plan.steps.iter().filter_map(|spec| ended.remove(&spec.id)).collect()),
    }
}

/// One step: intent, observation, effect, verification, outcome.
async fn one(run: Arc<Run>, spec: StepSpec, unmet: Option<String>) -> Result<StepReport, JournalError> {
    let attempt = run.journal.state().steps.get(&spec.id).map_or(0, |state| state.attempts) + 1;
    let clock = Arc::clone(&run.deployment.clock);
    let began = clock.elapsed();
    run.record(Event::StepIntent {
        step: spec.id.clone(),
        phase: spec.phase,
        target: spec.target.clone(),
        action: spec.action.clone(),
        attempt,
    })
    .await?;
    let (outcome, detail) = match unmet {
        Some(reason) => (Outcome::Skipped, reason),
        None => act(&run, &spec).await?,
    };
    let elapsed_ms = millis(clock.as_ref(), began);
    run.record(Event::StepOutcome { step: spec.id.clone(), attempt, outcome, elapsed_ms, detail: detail.clone() })
        .await?;
    Ok(StepReport { id: spec.id, phase: spec.phase, target: spec.target, outcome, elapsed_ms, detail })
}

fn millis(clock: &dyn Clock, began: Duration) -> u64 {
    u64::try_from(clock.elapsed().saturating_sub(began).as_millis()).unwrap_or(u64::MAX)
}

async fn act(run: &Arc<Run>, spec: &StepSpec) -> Result<(Outcome, String), JournalError> {
    if let Action::Manual { instructions, .. } = &spec.action {
        let state = run.journal.state();
        return Ok(match state.attested.get(spec.id.as_str()) {
            Some(person) => (Outcome::Already, format!("attested by {person}")),
            None => (
                Outcome::Manual,
                format!("{instructions} - then: portcullis checklist --attest {} --note TEXT", spec.id),
            ),
        });
    }
    let effect = match steps::build(run, &spec.action) {
        Ok(effect) => effect,
        Err(fault) => return Ok((Outcome::Failed, fault.chain())),
    };
    let first = tokio::time::timeout(OBSERVE, effect.observe()).await;
    if let Ok(Ok(Seen::Satisfied(detail))) = first {
        return Ok((Outcome::Already, detail));
    }
    let bound = Duration::from_millis(spec.timeout_ms);
    let acted = tokio::time::timeout(bound, effect.act()).await;
    let (kind, words) = match acted {
        Ok(Ok(detail)) => {
            return Ok(match tokio::time::timeout(OBSERVE, effect.verify()).await {
                Ok(Ok(())) => (Outcome::Done, detail),
                Ok(Err(fault)) if fault.kind == FaultKind::Unavailable => {
                    (Outcome::Unknown, format!("{detail}, but it could not be verified: {}", fault.chain()))
                }
                Ok(Err(fault)) => (Outcome::Failed, fault.chain()),
                Err(_) => (Outcome::Unknown, format!("{detail}, but verifying it took too long")),
            });
        }
        Ok(Err(steps::StepError::Journal(error))) => return Err(error),
        Ok(Err(steps::StepError::Fault(fault))) => (fault.kind, fault.chain()),
        Err(_) => (FaultKind::OutcomeUnknown, format!("took longer than {} s", bound.as_secs())),
    };
    if kind != FaultKind::OutcomeUnknown {
        return Ok((Outcome::Failed, words));
    }
    // A reply was lost: the world itself knows whether it happened.
    Ok(match tokio::time::timeout(OBSERVE, effect.observe()).await {
        Ok(Ok(Seen::Satisfied(detail))) => (Outcome::Done, format!("{detail} (seen after a lost reply)")),
        _ => (Outcome::Unknown, words),
    })
}
