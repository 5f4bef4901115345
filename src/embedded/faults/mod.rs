//! Faults on purpose, between the engine and the world: every effect is counted and can be made to fail, to lose its
//! reply, or to be the last thing that the process does.

mod asynchronous;
mod disk;
mod files;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use plan::{FAULTS_VARIABLE, FaultPlan};

use crate::engine::{Deployment, LeftOut};
use crate::ports::{Fault, FaultKind};

/// Counts effects and carries out a plan.
pub(super) struct Injector {
    plan: FaultPlan,
    effects: AtomicU64,
    /// Nothing has any effect any more.
    halted: AtomicBool,
    disk: Option<Arc<disk::Notes>>,
}

impl Injector {
    fn new(plan: FaultPlan, disk: Option<Arc<disk::Notes>>) -> Arc<Self> {
        Arc::new(Self { plan, effects: AtomicU64::new(0), halted: AtomicBool::new(false), disk })
    }

    /// Fails if the place can't be reached.
    fn reach(&self, place: &str) -> Result<(), Fault> {
        if self.halted.load(Ordering::SeqCst) {
            return Err(halted());
        }
        if self.plan.fails(place) {
            return Err(Fault::new(FaultKind::Unavailable, format!("{place} can't be reached (injected)")));
        }
        Ok(())
    }

    /// Before an effect: its number.
    fn before(&self, place: &str, what: &str) -> Result<u64, Fault> {
        self.reach(place)?;
        let number = self.effects.fetch_add(1, Ordering::SeqCst) + 1;
        if self.plan.kill_before == Some(number) {
            die();
        }
        if self.plan.halt_before.is_some_and(|last| number >= last) {
            self.halted.store(true, Ordering::SeqCst);
            return Err(halted());
        }
        if let Some(path) = &self.plan.log {
            let mut line = File::options().create(true).append(true).open(path);
            line.as_mut()
                .map_err(|error| io::Error::new(error.kind(), error.to_string()))
                .and_then(|file| file.write_all(format!("{number} {place} {what}\n").as_bytes()))
                .map_err(|error| Fault::with(FaultKind::Invalid, "failed to write the log of effects", error))?;
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
        if self.plan.halt_after == Some(number) {
            self.halted.store(true, Ordering::SeqCst);
        }
        if self.halted.load(Ordering::SeqCst) {
            return Err(halted());
        }
        if self.plan.lose_reply == Some(number) {
            return Err(Fault::new(FaultKind::OutcomeUnknown, "the reply was lost (injected)"));
        }
        result
    }

    /// An effect on what lies beyond this machine, or would.
    async fn effect<T>(
        &self,
        place: &str,
        what: &str,
        effect: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let number = self.before(place, what)?;
        let result = effect.await;
        if let Some(disk) = &self.disk {
            disk.snapshot(number).await?;
        }
        self.after(number, result)
    }

    fn effect_now<T>(&self, place: &str, what: &str, effect: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        let number = self.before(place, what)?;
        let result = effect();
        self.after(number, result)
    }
}

/// What a halted process would answer, if it could.
fn halted() -> Fault {
    Fault::new(FaultKind::Denied, "halted (injected)")
}

/// Ends the process as a power cut would: nothing is flushed, no destructor runs.
fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // Not reached: the signal can't be held up.
    std::process::abort()
}

/// The deployment with faults in front of every port that has effects.
pub fn inject(deployment: Deployment, plan: FaultPlan) -> Result<Deployment, Fault> {
    let disk = disk::Notes::begin(&deployment.root, &plan)?;
    let left_out = LeftOut { look: plan.skip_look.clone(), intent: plan.skip_intent };
    let injector = Injector::new(plan, disk);
    let issuers: BTreeMap<_, _> = deployment
        .issuers
        .iter()
        .map(|(id, inner)| (id.clone(), asynchronous::issuer(&injector, id.as_str(), Arc::clone(inner))))
        .collect();
    Ok(Deployment {
        left_out,
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
    })
}
