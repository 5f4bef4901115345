use std::sync::Arc;

use async_trait::async_trait;

use super::{Effect, Seen, StepError};
use crate::domain::{Canary, SwitchState};
use crate::engine::Run;
use crate::ledger::Event;
use crate::playbook::GUARD;
use crate::ports::{Fault, FaultKind, Guard, PauseSwitch};

fn guard(run: &Run) -> Result<&Arc<dyn Guard>, Fault> {
    run.deployment.guard.as_ref().ok_or_else(|| {
        Fault::new(FaultKind::Invalid, "pause.yml names a guard, but DATABASE_URL is not set, so it can't be reached")
    })
}

fn switch<'a>(run: &'a Run, name: &str) -> Result<&'a Arc<dyn PauseSwitch>, Fault> {
    run.deployment
        .switch(name)
        .ok_or_else(|| Fault::new(FaultKind::NotFound, format!("pause.yml declares no switch `{name}`")))
}

/// What a switch is now; `None` if it can't be observed.
async fn state(run: &Run, name: &str) -> Result<Option<bool>, Fault> {
    if name == GUARD {
        let report = guard(run)?.inspect().await?;
        return Ok(Some(report.installed && report.paused));
    }
    Ok(match switch(run, name)?.observe().await? {
        SwitchState::Engaged => Some(true),
        SwitchState::Released => Some(false),
        SwitchState::Unobservable => None,
    })
}

pub(super) struct Engage {
    pub run: Arc<Run>,
    pub switch: String,
}

#[async_trait]
impl Effect for Engage {
    async fn observe(&self) -> Result<Seen, Fault> {
        // The guard is engaged even if the flag is set: only engaging drains older transactions.
        if self.switch == GUARD {
            return Ok(Seen::Needed);
        }
        match state(&self.run, &self.switch).await? {
            Some(true) => Ok(Seen::Satisfied("was engaged".into())),
            _ => Ok(Seen::Needed),
        }
    }

    async fn act(&self) -> Result<String, StepError> {
        let done = if self.switch == GUARD {
            guard(&self.run)?.engage().await?
        } else {
            switch(&self.run, &self.switch)?.engage().await?
        };
        Ok(done)
    }

    async fn verify(&self) -> Result<(), Fault> {
        match state(&self.run, &self.switch).await? {
            Some(false) => Err(Fault::new(FaultKind::Conflict, "engaged, but it shows itself released")),
            _ => Ok(()),
        }
    }
}

pub(super) struct Release {
    pub run: Arc<Run>,
    pub switch: String,
}

#[async_trait]
impl Effect for Release {
    async fn observe(&self) -> Result<Seen, Fault> {
        // A guard that was altered is not engaged, but its flag and what it withheld are still there.
        if self.switch == GUARD {
            let report = guard(&self.run)?.inspect().await?;
            let held = report.paused || report.withheld > 0;
            return Ok(if held { Seen::Needed } else { Seen::Satisfied("was released".into()) });
        }
        match state(&self.run, &self.switch).await? {
            Some(false) => Ok(Seen::Satisfied("was released".into())),
            _ => Ok(Seen::Needed),
        }
    }

    async fn act(&self) -> Result<String, StepError> {
        let done = if self.switch == GUARD {
            guard(&self.run)?.release().await?
        } else {
            switch(&self.run, &self.switch)?.release().await?
        };
        Ok(done)
    }

    async fn verify(&self) -> Result<(), Fault> {
        match state(&self.run, &self.switch).await? {
            Some(true) => Err(Fault::new(FaultKind::Conflict, "released, but it shows itself engaged")),
            _ => Ok(()),
        }
    }
}

/// A trade tried as the application, and rolled back.
pub(super) struct Prove {
    pub run: Arc<Run>,
    /// Whether the guard must refuse it.
    pub refused: bool,
}

#[async_trait]
impl Effect for Prove {
    async fn observe(&self) -> Result<Seen, Fault> {
        // A proof is only worth what it says now.
        Ok(Seen::Needed)
    }

    async fn act(&self) -> Result<String, StepError> {
        let canary = guard(&self.run)?.canary().await?;
        let (refused, words) = match canary {
            Canary::Refused { reason } => (true, reason),
            Canary::Passed { detail } => (false, detail),
        };
        let spent = self.run.deployment.clock.elapsed().saturating_sub(self.run.began);
        let pause_ms = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
        self.run.record(Event::PauseProof { refused, pause_ms, detail: words.clone() }).await?;
        match (self.refused, refused) {
            (true, true) => Ok(format!("refused: {words}")),
            (false, false) => Ok(words),
            (true, false) => Err(Fault::new(FaultKind::Conflict, format!("a trade is NOT refused: {words}")).into()),
            (false, true) => Err(Fault::new(FaultKind::Conflict, format!("a trade is still refused: {words}")).into()),
        }
    }

    async fn verify(&self) -> Result<(), Fault> {
        Ok(())
    }
}
