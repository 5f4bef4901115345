//! A whole breach, rehearsed: the same command lines that a person types, run on an embedded deployment.

mod records;
mod script;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use records::{DrillSummary, MarkRecord, Measured, PhaseRecord};
use script::{Outcome, Stage};

use super::recover::put_back;
use super::{Context, Exit, Failure, fault_failure};
use crate::adapters::system::{OsRandom, SystemClock};
use crate::domain::Timestamp;
use crate::embedded::{EmbeddedDeployment, Intruder, RehearsedApprover, Seeded};
use crate::ports::{Clock, Fault, Random};
use crate::ui::Printer;

/// People of the rehearsal who sign the resume.
const PEOPLE: [&str; 3] = ["ada", "bo", "cyd"];

/// Arguments of `drill`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A deployment is built in a folder, an intruder plays a breach in it, and the commands that you would type are run against
it, up to the signed resume. What the intruder planted is held against what was found.

Examples:
  portcullis drill
  portcullis drill --scenario server
  portcullis drill --keep --seed 7     (keeps the folder; look around with: portcullis --embedded FOLDER incident show)")]
pub struct DrillArgs {
    /// Which disaster
    #[arg(long, value_enum, default_value_t)]
    scenario: Scenario,
    /// Keep the deployment and its case folder
    #[arg(long)]
    keep: bool,
    /// Make the same deployment again: its keys are then no secrets
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// The four disasters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Scenario {
    /// Somebody was in
    #[default]
    Breach,
    /// The database is gone
    Database,
    /// The server is gone, with its configuration
    Server,
    /// Data are wrong
    Corruption,
}

impl Scenario {
    fn phases(self) -> &'static [script::Phase] {
        match self {
            Self::Breach => script::PHASES,
            Self::Database => script::DATABASE,
            Self::Server => script::SERVER,
            Self::Corruption => script::CORRUPTION,
        }
    }
}

/// The folder of the rehearsal, gone at the end unless it is kept.
enum Folder {
    Kept(PathBuf),
    Passing(tempfile::TempDir),
}

impl Folder {
    fn new(keep: bool, now: Timestamp) -> Result<Self, Failure> {
        if keep {
            return Ok(Self::Kept(PathBuf::from(format!("portcullis-drill-{}", now.strftime("%Y%m%dT%H%M%SZ")))));
        }
        tempfile::Builder::new()
            .prefix("portcullis-drill-")
            .tempdir()
            .map(Self::Passing)
            .map_err(|error| Failure::from_error(Exit::Failed, "failed to make a folder for the drill", &error))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Passing(folder) => folder.path(),
        }
    }
}

fn cast(random: &dyn Random) -> Result<Vec<RehearsedApprover>, Fault> {
    PEOPLE.iter().map(|name| RehearsedApprover::new(name, random)).collect()
}

/// The context in which the rehearsed commands run: the embedded deployment's, confirmed, and silent.
fn stage_context(ctx: &Context, root: &Path) -> Context {
    let mut settings = ctx.settings.clone();
    settings.policies = "policies".into();
    settings.home = ".portcullis".into();
    settings.operator = "drill-operator".into();
    Context {
        settings,
        printer: Printer::silent(),
        yes: true,
        incident: None,
        root: root.to_owned(),
        embedded: true,
        phase: false,
    }
}

/// Rehearses a breach.
pub async fn run(args: DrillArgs, ctx: &Context) -> Result<Exit, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let random: Box<dyn Random> = match args.seed {
        Some(seed) => Box::new(Seeded::new(seed)),
        None => Box::new(OsRandom::default()),
    };
    let began = Instant::now();
    let now = clock.now();
    let folder = Folder::new(args.keep, now)?;
    let failed = |fault: Fault| fault_failure("failed to build the rehearsed deployment", &fault);
    let people = cast(random.as_ref()).map_err(failed)?;
    let roster: Vec<_> = people
        .iter()
        .map(|person| (person.name().to_owned(), vec!["security".to_owned()], person.public_line()))
        .collect();
    let victim = EmbeddedDeployment::create(folder.path(), random.as_ref(), clock, &roster).await.map_err(failed)?;
    let attacked = args.scenario == Scenario::Breach;
    let planted =
        if attacked { Intruder::new(&victim, now).attack().await.map_err(failed)?.planted } else { Vec::new() };
    ctx.printer.emit(&PhaseRecord::built(began.elapsed(), &victim.root.display().to_string(), attacked));

    let inner = stage_context(ctx, folder.path());
    let stage = Stage { ctx: &inner, victim: &victim, people: &people };
    let mut alarm = Instant::now();
    let mut failures = 0;
    for phase in args.scenario.phases() {
        let phase_began = Instant::now();
        let outcome = stage.play(phase).await;
        if matches!(phase.act, script::Act::Strike(_)) {
            // What came before is peacetime.
            alarm = Instant::now();
        }
        failures += usize::from(!outcome.passed);
        ctx.printer.emit(&PhaseRecord::played(phase, outcome, phase_began.elapsed(), alarm.elapsed()));
    }
    let took = alarm.elapsed();
    let found = stage.findings();
    let marks: Vec<_> = planted.iter().map(|planted| MarkRecord::new(planted, &found)).collect();
    for mark in &marks {
        ctx.printer.emit(mark);
    }
    for told in stage.told() {
        ctx.printer.emit(&told);
    }
    let deployment = inner.deployment()?;
    let state_of = put_back(&inner, &deployment).await;
    let lost_minutes = state_of.map(|state_of| now.duration_since(state_of).as_secs() / 60);
    let measured = Measured { failures, took, lost_minutes };
    let policy = &deployment.policies.recovery;
    let summary = DrillSummary::new(&marks, &measured, policy, (stage.case_folder(), args.keep));
    ctx.printer.emit(&summary);
    Ok(if summary.passed() { Exit::Done } else { Exit::Failed })
}

impl Outcome {
    fn passed(detail: impl Into<String>) -> Self {
        Self { passed: true, detail: detail.into() }
    }

    fn failed(detail: impl Into<String>) -> Self {
        Self { passed: false, detail: detail.into() }
    }
}
