//! Faults on purpose, between the engine and the world: every effect is counted and can be made to fail, to lose its
//! reply, or to be the last thing that the process does.

mod asynchronous;
mod files;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use plan::{FAULTS_VARIABLE, FaultPlan};

use crate::engine::Deployment;
use crate::ports::{Fault, FaultKind};

/// Counts effects and carries out a plan.
pub(super) struct Injector {
    plan: FaultPlan,
    effects: AtomicU64,
}

impl Injector {
    /// Fails if the place can't be reached.
    fn reach(&self, place: &str) -> Result<(), Fault> {
        if self.plan.fails(place) {
            return Err(Fault::new(FaultKind::Unavailable, format!("{place} can't be reached (injected)")));
        }
        Ok(())
    }

    /// Before an effect: its number.
    fn before(&self, place: &str) -> Result<u64, Fault> {
        self.reach(place)?;
        let number = self.effects.fetch_add(1, Ordering::SeqCst) + 1;
        if self.plan.kill_before == Some(number) {
            die();
        }
        Ok(number)
    }

    /// After an effect.
    fn after<T>(&self, number: u64, result: Result<T, Fault>) -> Result<T, Fault> {
        if let Some(path) = &self.plan.count {
            let count = self.effects.load(Ordering::SeqCst);
            std::fs::write(path, count.to_string())
                .map_err(|error| Fault::with(FaultKind::Invalid, "failed to write the number of effects", error))?;
        }
        if self.plan.kill_after == Some(number) {
            die();
        }
        if self.plan.lose_reply == Some(number) {
            return Err(Fault::new(FaultKind::OutcomeUnknown, "the reply was lost (injected)"));
        }
        result
    }

    async fn effect<T>(&self, place: &str, effect: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let number = self.before(place)?;
        let result = effect.await;
        self.after(number, result)
    }

    fn effect_now<T>(&self, place: &str, effect: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        let number = self.before(place)?;
        let result = effect();
        self.after(number, result)
    }
}

/// Ends the process as a power cut would: nothing is flushed, no destructor runs.
fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // Not reached: the signal can't be held up.
    std::process::abort()
}

/// The deployment with faults in front of every port that has effects.
pub fn inject(deployment: Deployment, plan: FaultPlan) -> Deployment {
    let injector = Arc::new(Injector { plan, effects: AtomicU64::new(0) });
    let issuers: BTreeMap<_, _> = deployment
        .issuers
        .iter()
        .map(|(id, inner)| (id.clone(), asynchronous::issuer(&injector, id.as_str(), Arc::clone(inner))))
        .collect();
    Deployment {
        cases: files::cases(&injector, deployment.cases),
        vault: files::vault(&injector, deployment.vault),
        guard: deployment.guard.map(|guard| asynchronous::guard(&injector, guard)),
        switches: deployment.switches.into_iter().map(|inner| asynchronous::switch(&injector, inner)).collect(),
        issuers,
        secrets_manager: asynchronous::store(&injector, "secretsmanager", deployment.secrets_manager),
        dotenv: asynchronous::store(&injector, "dotenv", deployment.dotenv),
        services: deployment.services.into_iter().map(|inner| asynchronous::service(&injector, inner)).collect(),
        backups: deployment.backups.map(|backups| files::backups(&injector, backups)),
        ..deployment
    }
}
