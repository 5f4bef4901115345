use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::domain::{Phase, SwitchState};
use crate::engine::{Opening, lockdown};
use crate::policy::Policies;
use crate::policy::shipped::SHIPPED;
use crate::ports::PauseSwitch;
use crate::settings::Settings;

/// What a switch does when it is asked, in order; the last stays.
#[derive(Clone, Copy)]
enum Does {
    Shows(SwitchState),
    Engages,
    Fails(FaultKind),
    Hangs,
    Panics,
}
use Does::{Engages, Fails, Hangs, Panics, Shows};

const OFF: Does = Shows(SwitchState::Released);
const ON: Does = Shows(SwitchState::Engaged);

struct Scripted {
    name: &'static str,
    looks: Mutex<VecDeque<Does>>,
    acts: Mutex<VecDeque<Does>>,
    /// What was asked of all switches of a test, in order.
    heard: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    async fn play(&self, what: &str, script: &Mutex<VecDeque<Does>>) -> Result<SwitchState, Fault> {
        self.heard.lock().unwrap().push(format!("{what} {}", self.name));
        let does = {
            let mut script = script.lock().unwrap();
            if script.len() > 1 { script.pop_front() } else { script.front().copied() }
        };
        match does.expect("a script") {
            Shows(state) => Ok(state),
            Engages => Ok(SwitchState::Engaged),
            Fails(kind) => Err(Fault::new(kind, format!("{what} failed"))),
            Hangs => std::future::pending().await,
            Panics => panic!("on purpose"),
        }
    }
}

#[async_trait]
impl PauseSwitch for Scripted {
    fn name(&self) -> &str {
        self.name
    }
    fn describe(&self) -> String {
        self.name.into()
    }
    async fn observe(&self) -> Result<SwitchState, Fault> {
        self.play("look", &self.looks).await
    }
    async fn engage(&self) -> Result<String, Fault> {
        self.play("act", &self.acts).await.map(|_| "engaged".into())
    }
    async fn release(&self) -> Result<String, Fault> {
        self.play("act", &self.acts).await.map(|_| "released".into())
    }
}

struct Bench {
    _home: tempfile::TempDir,
    deployment: Deployment,
    journal: Arc<Journal>,
    heard: Arc<Mutex<Vec<String>>>,
    steps: Vec<StepSpec>,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let texts = SHIPPED.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        let policies = Arc::new(Policies::from_texts(texts).unwrap());
        let home_folder = home.path().join("home");
        let settings = Settings { database_url: None, home: home_folder, ..Settings::from_env().unwrap() };
        let mut deployment = crate::world::live(home.path(), &settings, policies).unwrap();
        deployment.switches.clear();
        let opening = Opening { reason: "test".into(), operator: "dana".into(), compromised: Vec::new() };
        let journal = Arc::new(lockdown::open(&deployment, opening).unwrap());
        Self { _home: home, deployment, journal, heard: Arc::default(), steps: Vec::new() }
    }

    /// One more step, that engages a switch with that script.
    fn step(&mut self, name: &'static str, looks: &[Does], acts: &[Does]) -> &mut StepSpec {
        let of = |script: &[Does]| Mutex::new(script.iter().copied().collect());
        let switch = Scripted { name, looks: of(looks), acts: of(acts), heard: Arc::clone(&self.heard) };
        self.deployment.switches.push(Arc::new(switch));
        self.steps.push(StepSpec {
            id: StepId::new(name).unwrap(),
            phase: Phase::Pause,
            target: name.into(),
            action: Action::EngageSwitch { switch: name.into() },
            after: Vec::new(),
            needs: Vec::new(),
            timeout_ms: 5_000,
        });
        self.steps.last_mut().unwrap()
    }

    async fn run(&self) -> BTreeMap<String, (Outcome, String)> {
        let run = Run::new(self.deployment.clone(), Arc::clone(&self.journal));
        let reports = execute(&run, &Plan { steps: self.steps.clone() }, &|_| {}).await.unwrap();
        assert_eq!(
            reports.iter().map(|report| &report.id).collect::<Vec<_>>(),
            self.steps.iter().map(|spec| &spec.id).collect::<Vec<_>>(),
            "every step has its report, in the order of the plan"
        );
        for report in &reports {
            let state = self.journal.state();
            assert_eq!(state.steps[&report.id].outcome, Some(report.outcome), "the ledger says the same");
        }
        reports.into_iter().map(|report| (report.id.to_string(), (report.outcome, report.detail))).collect()
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

/// One step with that script: how it ended, and what the switch was asked.
async fn one_step(looks: &[Does], acts: &[Does]) -> (Outcome, String, String) {
    let mut bench = Bench::new();
    bench.step("s", looks, acts).timeout_ms = 2_000;
    let (outcome, detail) = bench.run().await.remove("s").unwrap();
    let heard: Vec<_> = bench.heard().iter().map(|heard| heard.replace(" s", "")).collect();
    (outcome, detail, heard.join(" "))
}

fn ids(names: &[&str]) -> Vec<StepId> {
    names.iter().map(|name| StepId::new(*name).unwrap()).collect()
}

#[tokio::test]
async fn steps_run_after_those_they_come_after_and_only_if_what_they_need_is_well() {
    let mut bench = Bench::new();
    // In the plan before what it comes after: the order is in `after`, not in the list.
    bench.step("last", &[OFF, ON], &[Engages]).after = ids(&["middle", "broken", "not-in-this-plan"]);
    bench.step("middle", &[OFF, ON], &[Engages]).needs = ids(&["first"]);
    bench.step("first", &[OFF, ON], &[Engages]);
    bench.step("broken", &[OFF], &[Fails(FaultKind::Denied)]);
    bench.step("starved", &[OFF, ON], &[Engages]).needs = ids(&["broken"]);
    bench.step("twice", &[OFF, ON], &[Engages]).needs = ids(&["starved"]);
    let ended = bench.run().await;
    for done in ["first", "middle", "last"] {
        assert_eq!(ended[done].0, Outcome::Done, "{done}");
    }
    assert_eq!(ended["broken"], (Outcome::Failed, "act failed".into()));
    assert_eq!(ended["starved"], (Outcome::Skipped, "needs broken, which is failed".into()));
    assert_eq!(ended["twice"], (Outcome::Skipped, "needs starved, which is skipped".into()));
    let heard = bench.heard();
    let at = |what: &str| heard.iter().position(|heard| heard == what).unwrap_or_else(|| panic!("{what}: {heard:?}"));
    assert!(at("act first") < at("look middle") && at("act middle") < at("look last"));
    assert!(at("act broken") < at("look last"));
    assert!(!heard.iter().any(|heard| heard.ends_with("starved") || heard.ends_with("twice")), "{heard:?}");
}

#[tokio::test]
async fn an_intent_is_in_the_ledger_before_anything_is_done_and_the_outcome_after() {
    let mut bench = Bench::new();
    bench.step("s", &[OFF, ON], &[Engages]);
    let before = bench.journal.entries().unwrap().len();
    bench.run().await;
    let entries = bench.journal.entries().unwrap();
    let kinds: Vec<_> = entries[before..].iter().map(|entry| entry.event.kind()).collect();
    assert_eq!(kinds, ["step.intent", "step.outcome"]);
}

#[tokio::test]
async fn what_is_so_already_is_not_done() {
    assert_eq!(one_step(&[ON], &[Panics]).await, (Outcome::Already, "was engaged".into(), "look".into()));
}

#[tokio::test]
async fn a_failed_look_does_not_stop_the_act_and_is_told_if_that_fails_too() {
    let (outcome, _, heard) = one_step(&[Fails(FaultKind::Denied), ON], &[Engages]).await;
    assert_eq!((outcome, heard.as_str()), (Outcome::Done, "look act look"));
    let (outcome, detail, _) = one_step(&[Fails(FaultKind::Denied)], &[Fails(FaultKind::Invalid)]).await;
    assert_eq!(outcome, Outcome::Failed);
    assert_eq!(detail, "act failed; before that it could not be observed: look failed");
    let (outcome, _, heard) = one_step(&[Hangs, ON], &[Engages]).await;
    assert_eq!((outcome, heard.as_str()), (Outcome::Done, "look act look"), "a look has a bound of its own");
}

#[tokio::test]
async fn an_act_that_takes_too_long_is_unknown_unless_the_world_shows_it() {
    let (outcome, detail, heard) = one_step(&[OFF], &[Hangs]).await;
    assert_eq!((outcome, heard.as_str()), (Outcome::Unknown, "look act look"));
    assert_eq!(detail, "took longer than 2.0 s");
    let (outcome, detail, _) = one_step(&[OFF, ON], &[Hangs]).await;
    assert_eq!((outcome, detail.as_str()), (Outcome::Done, "was engaged (seen after a lost reply)"));
}

#[tokio::test]
async fn after_a_lost_reply_the_world_is_asked_before_anything_is_done_again() {
    let lost = Fails(FaultKind::OutcomeUnknown);
    let (outcome, detail, heard) = one_step(&[OFF, ON], &[lost, Panics]).await;
    assert_eq!((outcome, heard.as_str()), (Outcome::Done, "look act look"));
    assert_eq!(detail, "was engaged (seen after a lost reply)");
    let (outcome, _, heard) = one_step(&[OFF, OFF, ON], &[lost, Engages]).await;
    assert_eq!((outcome, heard.as_str()), (Outcome::Done, "look act look act look"));
    let (outcome, detail, heard) = one_step(&[OFF, Fails(FaultKind::Unavailable)], &[lost, Panics]).await;
    assert_eq!((outcome, heard.as_str()), (Outcome::Unknown, "look act look"), "blind, nothing is done twice");
    assert_eq!(detail, "act failed; then it could not be observed: look failed");
    let (outcome, _, heard) = one_step(&[OFF], &[lost]).await;
    assert_eq!((outcome, heard.as_str()), (Outcome::Unknown, "look act look act look act look act look"));
}

#[tokio::test]
async fn what_was_told_to_wait_is_tried_again_within_its_time() {
    for kind in [FaultKind::Throttled, FaultKind::Unavailable] {
        let (outcome, _, heard) = one_step(&[OFF, ON], &[Fails(kind), Fails(kind), Engages]).await;
        assert_eq!((outcome, heard.as_str()), (Outcome::Done, "look act act act look"));
        let (outcome, detail, heard) = one_step(&[OFF], &[Fails(kind)]).await;
        assert_eq!((outcome, heard.as_str()), (Outcome::Failed, "look act act act act"));
        assert_eq!(detail, "act failed");
    }
    for kind in [FaultKind::Denied, FaultKind::Conflict, FaultKind::Invalid, FaultKind::NotFound, FaultKind::Corrupt] {
        let (outcome, _, heard) = one_step(&[OFF], &[Fails(kind)]).await;
        assert_eq!((outcome, heard.as_str()), (Outcome::Failed, "look act"), "{kind:?}");
    }
    let mut bench = Bench::new();
    bench.step("s", &[OFF], &[Fails(FaultKind::Throttled)]).timeout_ms = 90;
    assert_eq!(bench.run().await["s"].0, Outcome::Failed);
    assert_eq!(bench.heard(), ["look s", "act s"], "no wait that outlasts the step");
}

#[tokio::test]
async fn a_verification_that_cannot_be_had_is_unknown_and_not_failed() {
    for kind in [FaultKind::Throttled, FaultKind::Unavailable, FaultKind::OutcomeUnknown] {
        let (outcome, detail, heard) = one_step(&[OFF, Fails(kind)], &[Engages]).await;
        assert_eq!((outcome, heard.as_str()), (Outcome::Unknown, "look act look look look look"), "{kind:?}");
        assert_eq!(detail, "engaged, but it could not be verified: look failed");
        let (outcome, _, heard) = one_step(&[OFF, Fails(kind), ON], &[Engages]).await;
        assert_eq!((outcome, heard.as_str()), (Outcome::Done, "look act look look"), "{kind:?}");
    }
    let (outcome, detail, _) = one_step(&[OFF], &[Engages]).await;
    assert_eq!((outcome, detail.as_str()), (Outcome::Failed, "engaged, but it shows itself released"));
    let (outcome, detail, _) = one_step(&[OFF, Hangs], &[Engages]).await;
    assert_eq!((outcome, detail.as_str()), (Outcome::Unknown, "engaged, but verifying it took too long"));
}

#[tokio::test]
async fn a_step_that_panics_stops_no_other() {
    let mut bench = Bench::new();
    bench.step("dies", &[OFF], &[Panics]);
    bench.step("lives", &[OFF, ON], &[Engages]).after = ids(&["dies"]);
    bench.step("starves", &[OFF, ON], &[Engages]).needs = ids(&["dies"]);
    let ended = bench.run().await;
    assert_eq!(ended["dies"].0, Outcome::Unknown);
    assert!(!ended["dies"].1.contains("on purpose"), "a panic's words may hold anything");
    assert_eq!(ended["lives"].0, Outcome::Done);
    assert_eq!(ended["starves"].0, Outcome::Skipped);
}

/// A case folder whose ledger takes no more.
struct Full(Arc<dyn crate::ports::CaseStore>);

impl crate::ports::CaseStore for Full {
    fn location(&self) -> &std::path::Path {
        self.0.location()
    }
    fn read_ledger(&self) -> Result<Vec<u8>, Fault> {
        self.0.read_ledger()
    }
    fn append_ledger(&self, _line: &[u8]) -> Result<(), Fault> {
        Err(Fault::new(FaultKind::Unavailable, "the disk is full"))
    }
    fn truncate_ledger(&self, bytes: u64) -> Result<(), Fault> {
        self.0.truncate_ledger(bytes)
    }
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.0.read(path)
    }
    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Fault> {
        self.0.write(path, bytes)
    }
    fn list(&self, path: &str) -> Result<Vec<String>, Fault> {
        self.0.list(path)
    }
    fn walk(&self) -> Result<Vec<String>, Fault> {
        self.0.walk()
    }
}

#[tokio::test]
async fn nothing_is_done_that_cannot_be_recorded() {
    let mut bench = Bench::new();
    bench.step("a", &[OFF, ON], &[Engages]);
    bench.step("b", &[OFF, ON], &[Engages]).after = ids(&["a"]);
    let full: Arc<dyn crate::ports::CaseStore> = Arc::new(Full(Arc::clone(bench.journal.store())));
    let (clock, machine) = (Arc::clone(&bench.deployment.clock), Arc::clone(&bench.deployment.machine));
    let journal = Arc::new(Journal::open(full, clock, machine).unwrap());
    let before = journal.state();
    let run = Run::new(bench.deployment.clone(), Arc::clone(&journal));
    let error = execute(&run, &Plan { steps: bench.steps.clone() }, &|_| {}).await.unwrap_err();
    assert!(matches!(error, JournalError::Store(_) | JournalError::Poisoned), "{error}");
    assert_eq!(bench.heard(), Vec::<String>::new());
    assert_eq!(journal.state(), before, "what was not written is not in the state");
}
