use super::IncidentState;
use crate::domain::{Action, Outcome};

impl IncidentState {
    /// What the ledger says of a switch: engaged, released, or never touched.
    pub fn engaged(&self, switch: &str) -> Option<bool> {
        let last = |release: bool| {
            let about = |action: &Action| match action {
                Action::EngageSwitch { switch: named } => !release && named == switch,
                Action::ReleaseSwitch { switch: named } => release && named == switch,
                _ => false,
            };
            let steps = self.steps.values().filter(|step| about(&step.action));
            steps.filter(|step| step.outcome.is_some_and(Outcome::is_success)).map(|step| step.seq).max()
        };
        match (last(false), last(true)) {
            (None, None) => None,
            (engaged, released) => Some(engaged > released),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Phase, Timestamp};
    use crate::ledger::{Entry, Event};

    #[test]
    fn the_last_word_on_a_switch_counts() {
        let mut state = IncidentState::default();
        let event = Event::IncidentOpened {
            incident: "inc-1".parse().unwrap(),
            reason: String::new(),
            operator: "dana".into(),
            compromised: Vec::new(),
            nonce: String::new(),
            machine_key: String::new(),
            policies: std::collections::BTreeMap::new(),
            version: String::new(),
        };
        let write = |state: &mut IncidentState, event| {
            state.apply(&Entry { seq: state.entries, time: Timestamp::UNIX_EPOCH, event }).unwrap();
        };
        write(&mut state, event);
        let mut number = 0;
        let mut step = |state: &mut IncidentState, action: Action, outcome: Outcome| {
            number += 1;
            let step: crate::domain::StepId = format!("s.{number}").parse().unwrap();
            let (phase, target, elapsed_ms, detail) = (Phase::Pause, String::new(), 0, String::new());
            write(state, Event::StepIntent { step: step.clone(), phase, target, action, attempt: 1 });
            write(state, Event::StepOutcome { step, attempt: 1, outcome, elapsed_ms, detail });
        };
        let engage = || Action::EngageSwitch { switch: "flag".into() };
        let release = || Action::ReleaseSwitch { switch: "flag".into() };
        step(&mut state, engage(), Outcome::Failed);
        assert_eq!(state.engaged("flag"), None);
        step(&mut state, engage(), Outcome::Done);
        assert_eq!((state.engaged("flag"), state.engaged("other")), (Some(true), None));
        step(&mut state, release(), Outcome::Failed);
        assert_eq!(state.engaged("flag"), Some(true));
        step(&mut state, release(), Outcome::Done);
        assert_eq!((state.engaged("flag"), state.engaged("other")), (Some(false), None));
        step(&mut state, engage(), Outcome::Already);
        assert_eq!(state.engaged("flag"), Some(true));
        // What is said of one switch says nothing of another.
        step(&mut state, Action::ReleaseSwitch { switch: "other".into() }, Outcome::Done);
        assert_eq!((state.engaged("flag"), state.engaged("other")), (Some(true), Some(false)));
    }
}
