use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use secrecy::SecretString;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use super::lanes::Lanes;
use super::retry::{self, Next, Patience};
use super::steps::{self, Effect, Seen, StepError};
use super::{Deployment, Journal, JournalError};
use crate::domain::{Action, Outcome, Plan, StepId, StepReport, StepSpec};
use crate::ledger::Event;
use crate::policy::credentials::StorePolicy;
use crate::ports::{Clock, Fault, FaultKind};

/// Bound on one observation.
const OBSERVE: Duration = Duration::from_secs(6);

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
    before: Mutex<BTreeMap<String, Arc<OnceCell<Option<SecretString>>>>>,
}

impl Run {
    /// A run that began now.
    pub fn new(deployment: Deployment, journal: Arc<Journal>) -> Arc<Self> {
        let began = deployment.clock.elapsed();
        Arc::new(Self { deployment, journal, began, before: Mutex::default() })
    }

    /// What a store held when it was first read in this run: evidence and staging ask for the same, and neither may see what the
    /// run itself has written.
    pub(super) async fn before(&self, slot: &StorePolicy) -> Result<Option<SecretString>, Fault> {
        let cell = {
            let mut all = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(format!("{slot:?}")).or_default())
        };
        cell.get_or_try_init(|| self.deployment.store(slot).read(slot)).await.cloned()
    }

    /// Appends an event off the async threads: it waits for the disk.
    pub(super) async fn record(self: &Arc<Self>, event: Event) -> Result<u64, JournalError> {
        let run = Arc::clone(self);
        match tokio::task::spawn_blocking(move || run.journal.record(event)).await {
            Ok(recorded) => recorded,
            Err(error) => Err(Fault::with(FaultKind::OutcomeUnknown, "the ledger's writer died", error).into()),
        }
    }

    /// Seals a value off the async threads: it waits for the disk.
    pub(super) async fn seal(self: &Arc<Self>, name: String, value: SecretString) -> Result<(), Fault> {
        let vault = Arc::clone(&self.deployment.vault);
        match tokio::task::spawn_blocking(move || vault.seal(&name, &value)).await {
            Ok(sealed) => sealed,
            Err(error) => Err(Fault::with(FaultKind::OutcomeUnknown, "sealing a value died", error)),
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
    let mut lanes = Lanes::new(plan, &run.deployment.policies.credentials);
    let mut broken = None;
    loop {
        let mut index = 0;
        while broken.is_none() && index < waiting.len() {
            let spec = waiting[index];
            // What is not part of this plan is not waited for: it was planned, and judged, elsewhere.
            let ready = spec.after.iter().chain(&spec.needs).all(|id| ended.contains_key(id) || !planned.contains(id));
            if !ready || !lanes.enter(&spec.id) {
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
                lanes.leave(&report.id);
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
    let attempt = run.journal.with_state(|state| state.steps.get(&spec.id).map_or(0, |step| step.attempts)) + 1;
    let clock = Arc::clone(&run.deployment.clock);
    let began = clock.elapsed();
    let intent = Event::StepIntent {
        step: spec.id.clone(),
        phase: spec.phase,
        target: spec.target.clone(),
        action: spec.action.clone(),
        attempt,
    };
    // Before the effect, but in a rehearsal that leaves that out.
    let late = run.deployment.left_out.intent.then(|| intent.clone());
    if late.is_none() {
        run.record(intent).await?;
    }
    let (outcome, detail) = match unmet {
        Some(reason) => (Outcome::Skipped, reason),
        None => act(&run, &spec, attempt == 1).await?,
    };
    if let Some(intent) = late {
        run.record(intent).await?;
    }
    let elapsed_ms = millis(clock.as_ref(), began);
    run.record(Event::StepOutcome { step: spec.id.clone(), attempt, outcome, elapsed_ms, detail: detail.clone() })
        .await?;
    Ok(StepReport { id: spec.id, phase: spec.phase, target: spec.target, outcome, elapsed_ms, detail })
}

fn millis(clock: &dyn Clock, began: Duration) -> u64 {
    u64::try_from(clock.elapsed().saturating_sub(began).as_millis()).unwrap_or(u64::MAX)
}

/// The step without its frame in the ledger. Whatever goes wrong in it is its own outcome: only the ledger stops a run.
async fn act(run: &Arc<Run>, spec: &StepSpec, first: bool) -> Result<(Outcome, String), JournalError> {
    if let Action::Manual { instructions, .. } = &spec.action {
        let attested = run.journal.with_state(|state| state.attested.get(spec.id.as_str()).cloned());
        return Ok(match attested {
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
    let blind = run.deployment.left_out.look.as_ref().is_some_and(|step| spec.id.as_str().starts_with(step.as_str()));
    let blind = blind || (first && effect.starts_from_nothing());
    let carrier = Carrier { run, effect: effect.as_ref(), bound: Duration::from_millis(spec.timeout_ms), blind };
    match AssertUnwindSafe(carrier.carry()).catch_unwind().await {
        Ok(ended) => ended,
        // What it had done by then nobody knows. The panic's own words may hold anything: they are not passed on.
        Err(_) => Ok((Outcome::Unknown, "the step died of an error in this program; run the command again".into())),
    }
}

/// Carries one effect through observation, act and verification.
struct Carrier<'a> {
    run: &'a Run,
    effect: &'a dyn Effect,
    bound: Duration,
    /// Acts without looking first: there is nothing to see yet, or a rehearsal leaves it out (see [`super::LeftOut`]).
    blind: bool,
}

impl Carrier<'_> {
    async fn carry(&self) -> Result<(Outcome, String), JournalError> {
        let first = if self.blind { Ok(Seen::Needed) } else { self.look().await };
        let unseen = match first {
            Ok(Seen::Satisfied(detail)) => return Ok((Outcome::Already, detail)),
            Ok(Seen::Needed) => None,
            // What can't be seen may still be done: in a breach it is tried.
            Err(fault) => Some(fault.chain()),
        };
        let (outcome, mut detail) = self.act().await?;
        if let Some(unseen) = unseen.filter(|unseen| !outcome.is_success() && *unseen != detail) {
            detail.push_str(&format!("; before that it could not be observed: {unseen}"));
        }
        Ok((outcome, detail))
    }

    /// Acts, again where the fault allows it, and verifies.
    async fn act(&self) -> Result<(Outcome, String), JournalError> {
        let mut patience = Patience::new(self.run.deployment.random.as_ref(), self.bound);
        loop {
            let fault = match tokio::time::timeout(patience.left(), self.effect.act()).await {
                Ok(Ok(detail)) => return Ok(self.verified(detail).await),
                Ok(Err(StepError::Journal(error))) => return Err(error),
                Ok(Err(StepError::Fault(fault))) => fault,
                Err(_) => {
                    Fault::new(FaultKind::OutcomeUnknown, format!("took longer than {:.1} s", self.bound.as_secs_f32()))
                }
            };
            let end = match retry::next(fault.kind) {
                Next::Stop => return Ok((Outcome::Failed, fault.chain())),
                Next::Again => Outcome::Failed,
                Next::Look => match self.look().await {
                    Ok(Seen::Satisfied(detail)) => {
                        return Ok((Outcome::Done, format!("{detail} (seen after a lost reply)")));
                    }
                    Ok(Seen::Needed) => Outcome::Unknown,
                    Err(blind) => {
                        return Ok((
                            Outcome::Unknown,
                            format!("{}; then it could not be observed: {}", fault.chain(), blind.chain()),
                        ));
                    }
                },
            };
            if !patience.wait().await {
                return Ok((end, fault.chain()));
            }
        }
    }

    async fn verified(&self, detail: String) -> (Outcome, String) {
        let mut patience = Patience::new(self.run.deployment.random.as_ref(), self.look_bound());
        loop {
            let fault = match tokio::time::timeout(patience.left(), self.effect.verify()).await {
                Ok(Ok(())) => return (Outcome::Done, detail),
                Err(_) => return (Outcome::Unknown, format!("{detail}, but verifying it took too long")),
                Ok(Err(fault)) => fault,
            };
            // A look has no effect, so that even a lost reply may be asked for again.
            if retry::next(fault.kind) == Next::Stop {
                return (Outcome::Failed, fault.chain());
            }
            if !patience.wait().await {
                return (Outcome::Unknown, format!("{detail}, but it could not be verified: {}", fault.chain()));
            }
        }
    }

    /// One observation. The engine does not wait for a better one: the act follows in any case.
    async fn look(&self) -> Result<Seen, Fault> {
        match tokio::time::timeout(self.look_bound(), self.effect.observe()).await {
            Ok(seen) => seen,
            Err(_) => Err(Fault::new(FaultKind::Unavailable, "observing it took too long")),
        }
    }

    fn look_bound(&self) -> Duration {
        OBSERVE.min(self.bound)
    }
}

#[cfg(test)]
#[path = "executor_tests.rs"]
mod tests;
