//! The four recoveries, each one command: what is wrong, services stopped, state put back, validated, services started, healthy; measured
//! against the objectives, and ended in the checklist.

mod args;
mod plan;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;

pub use self::args::RecoverCommand;
use self::args::is_careful;
use super::config_bundle::KeyArgs;
use super::restore::RestoreArgs;
use super::scan_trades::records;
use super::{Cli, Context, Exit, Failure, checklist, journal_failure, lockdown, restore};
use crate::domain::Timestamp;
use crate::engine::lockdown::open;
use crate::engine::{Deployment, Journal, Opening};
use crate::ports::Clock;
use crate::ui::{Printer, Record, Style, clean};

/// What was found at the start: the seed of every procedure.
#[derive(Debug, Serialize)]
struct Symptom {
    what: String,
    well: bool,
    detail: String,
}

impl Record for Symptom {
    const TYPE: &'static str = "symptom";
    fn text(&self, printer: &Printer) -> String {
        let word =
            if self.well { printer.paint(Style::Good, "well   ") } else { printer.paint(Style::Bad, "NOT well") };
        format!("  {word} {:<20} {}", clean(&self.what), clean(&self.detail))
    }
}

/// A phase begins: what follows on the screen belongs to it.
#[derive(Debug, Serialize)]
struct PhaseRecord {
    phase: &'static str,
    number: usize,
    phases: usize,
    words: &'static str,
}

impl Record for PhaseRecord {
    const TYPE: &'static str = "phase";
    fn text(&self, printer: &Printer) -> String {
        let head = format!("{}/{} {}", self.number, self.phases, self.phase);
        format!("\n{}  {}", printer.paint(Style::Strong, head), self.words)
    }
}

/// How a recovery went, against the objectives.
#[derive(Debug, Serialize)]
struct Recovered {
    scenario: &'static str,
    /// Phases that did not end well.
    failed: Vec<String>,
    took_ms: u64,
    rto_minutes: u64,
    within_rto: bool,
    /// Age of the state that was put back when the recovery began; absent if nothing was.
    lost_minutes: Option<i64>,
    rpo_minutes: u64,
    within_rpo: bool,
    /// Whether this incident's pause was proven, last of all.
    paused: bool,
    /// How the program is called here.
    #[serde(skip)]
    program: String,
}

impl Record for Recovered {
    const TYPE: &'static str = "recovered";
    fn text(&self, printer: &Printer) -> String {
        let (style, word) =
            if self.failed.is_empty() { (Style::Good, "RECOVERED") } else { (Style::Bad, "NOT RECOVERED") };
        let against =
            |fits: bool| if fits { printer.paint(Style::Good, "within") } else { printer.paint(Style::Bad, "OVER") };
        let seconds = Duration::from_millis(self.took_ms).as_secs_f64();
        let mut text = format!("\n{}  {}", printer.paint(style, word), self.scenario);
        if self.failed.is_empty() {
            let rto = format!("{} the objective (RTO) of {} min", against(self.within_rto), self.rto_minutes);
            text.push_str(&format!(" in {seconds:.1} s, {rto}"));
        } else {
            text.push_str(&format!(" after {seconds:.1} s (objective {} min)", self.rto_minutes));
        }
        match self.lost_minutes {
            Some(minutes) => text.push_str(&format!(
                "\n  state of {minutes} min before, {} the objective (RPO) of {} min",
                against(self.within_rpo),
                self.rpo_minutes
            )),
            None => text.push_str("\n  no backup was put back"),
        }
        for phase in &self.failed {
            text.push_str(&format!("\n  failed     {}", clean(phase)));
        }
        text.push_str(if self.paused {
            "\n  trading is paused until portcullis resume"
        } else {
            "\n  trading is NOT paused by this incident"
        });
        text.push_str("\nnext:");
        for (words, why) in self.next() {
            text.push_str(&format!("\n  {} {words}\n      {}", self.program, printer.paint(Style::Dim, why)));
        }
        text
    }
}

impl Recovered {
    /// What to type next, and why.
    fn next(&self) -> Vec<(String, &'static str)> {
        let mut next = Vec::new();
        if !self.paused {
            next.push(("pause on".to_owned(), "if nobody may trade on this state"));
        }
        if self.failed.is_empty() {
            next.push(("checklist".to_owned(), "what is still open of the list above"));
            next.push(("audit prepare".to_owned(), "the record that approvers sign before the resume"));
        } else {
            next.push((format!("recover {}", self.scenario), "once more, after what failed is mended"));
        }
        next
    }
}

/// A recovery under way.
struct Recovery<'a> {
    ctx: &'a Context,
    scenario: &'static str,
    /// One clock from the start to the end: another counts from its own start.
    clock: Arc<dyn Clock>,
    began: Duration,
    at: Timestamp,
    phases: Vec<(&'static str, &'static str)>,
    /// How many phases have begun.
    begun: usize,
    failed: Vec<String>,
    /// Whether a backup was put back.
    restored: bool,
}

/// The phases of a scenario, each with what it is for.
fn phases(scenario: &str, bundle: bool) -> Vec<(&'static str, &'static str)> {
    let configuration = ("configuration", ".env, certificates and keys from the bundle");
    let scans =
        [("scan trades", "what somebody did in the trades"), ("scan database", "what was left in the database")];
    let careful = is_careful(scenario);
    let mut phases = Vec::new();
    phases.extend(bundle.then_some(configuration));
    phases.push(("symptoms", "what is wrong"));
    if scenario == "breach" {
        phases.push(("lockdown", "trading stopped, keys replaced"));
        phases.extend(scans);
    }
    phases.push((
        "restore",
        if careful { "the newest backup that is shown to be clean" } else { "the newest backup that verifies" },
    ));
    if careful {
        phases.extend(scans);
    }
    phases.push(("checklist", "what is seen, and what is left for people"));
    phases
}

/// Carries a recovery out.
pub async fn run(command: RecoverCommand, ctx: &Context) -> Result<Exit, Failure> {
    // A slip of the pen is told now, not in the middle.
    records(ctx, &command.common().logs, &[])?;
    if command.common().plan {
        return plan::show(&command, ctx).await;
    }
    let scenario = command.scenario();
    if !ctx
        .confirm(&format!("This recovers from: {scenario}. Services are stopped and the live database is replaced."))?
    {
        let failure = Failure::new(Exit::Usage, "not confirmed; nothing was touched");
        return Err(failure.hint("see the phases, the backup and every step with: --plan"));
    }
    // Asked once: the phases are its consequences.
    let inner = Context {
        settings: ctx.settings.clone(),
        printer: ctx.printer.again(),
        yes: true,
        incident: ctx.incident.clone(),
        root: ctx.root.clone(),
        embedded: ctx.embedded,
        phase: true,
    };
    let clock = ctx.deployment()?.clock;
    let (began, at, phases) = (clock.elapsed(), clock.now(), phases(scenario, command.bundle().is_some()));
    let mut recovery =
        Recovery { ctx: &inner, scenario, clock, began, at, phases, begun: 0, failed: Vec::new(), restored: false };
    recovery.play(command).await?;
    recovery.end().await
}

impl Recovery<'_> {
    fn begin(&mut self) {
        let Some((phase, words)) = self.phases.get(self.begun).copied() else { return };
        self.begun += 1;
        self.ctx.printer.emit(&PhaseRecord { phase, number: self.begun, phases: self.phases.len(), words });
    }

    /// A phase that failed is named, and the next ones are tried all the same.
    fn ended(&mut self, phase: &str, ended: Result<Exit, Failure>) -> bool {
        let words = match ended {
            Ok(Exit::Done | Exit::Findings) => return true,
            Ok(exit) => format!("{phase}: exit code {}", exit as u8),
            Err(failure) => {
                self.ctx.printer.error(&failure.message, &failure.causes, failure.hint.as_deref());
                format!("{phase}: {}", failure.message)
            }
        };
        self.failed.push(words);
        false
    }

    async fn play(&mut self, command: RecoverCommand) -> Result<(), Failure> {
        let reason = command.common().reason.clone();
        let reason = reason.unwrap_or_else(|| format!("recovery from: {}", self.scenario));
        let asked = command.restore();
        let (config, key, compromised) = match command {
            RecoverCommand::Server(args) => (args.config, args.key, None),
            RecoverCommand::Breach(args) => (None, KeyArgs::default(), Some(args.compromised)),
            RecoverCommand::Database(_) | RecoverCommand::Corruption(_) => (None, KeyArgs::default(), None),
        };
        if let Some(config) = config {
            let args = RestoreArgs { config: Some(config), key, ..RestoreArgs::default() };
            self.begin();
            let put_back = restore::run(args, self.ctx).await;
            if !self.ended("configuration", put_back) {
                return Ok(());
            }
        }
        let deployment = self.ctx.deployment()?;
        self.begin();
        identify(self.ctx, &deployment).await;
        if let Some(compromised) = compromised {
            self.begin();
            let args = lockdown::LockdownArgs::new(reason, compromised);
            let contained = lockdown::run(args, self.ctx).await;
            self.ended("lockdown", contained);
            self.scan().await;
        } else {
            self.open(&deployment, reason)?;
        }
        self.begin();
        let restored = restore::run(asked, self.ctx).await;
        self.restored = self.ended("restore", restored);
        if is_careful(self.scenario) {
            self.scan().await;
        }
        for service in &deployment.services {
            if let Err(fault) = service.health().await {
                self.failed.push(format!("health of {}: {}", service.name(), fault.chain()));
            }
        }
        Ok(())
    }

    async fn scan(&mut self) {
        for table in ["trades", "database"] {
            self.begin();
            let scanned = self.command(&["scan", table]).await;
            self.ended(&format!("scan {table}"), scanned);
        }
    }

    /// Runs another command as if it had been typed.
    async fn command(&self, words: &[&str]) -> Result<Exit, Failure> {
        let words = std::iter::once("portcullis").chain(words.iter().copied());
        let cli = Cli::try_parse_from(words).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let ran: Pin<Box<dyn Future<Output = Result<Exit, Failure>> + '_>> =
            Box::pin(super::run(cli.command, self.ctx));
        ran.await
    }

    /// The incident that this belongs to: the open one, or a new one.
    fn open(&self, deployment: &Deployment, reason: String) -> Result<(), Failure> {
        if self.ctx.incident.is_some() || !self.ctx.open_incidents(deployment)?.is_empty() {
            return Ok(());
        }
        let opening = Opening { reason, operator: self.ctx.settings.operator.clone(), compromised: Vec::new() };
        open(deployment, opening).map(drop).map_err(|error| journal_failure(&error))
    }

    async fn end(mut self) -> Result<Exit, Failure> {
        let deployment = self.ctx.deployment()?;
        let policy = &deployment.policies.recovery;
        let state_of = if self.restored { put_back(self.ctx, &deployment).await } else { None };
        let lost_minutes = state_of.map(|started| self.at.duration_since(started).as_secs() / 60);
        let took = self.clock.elapsed().saturating_sub(self.began);
        let limit = |minutes: u64| i64::try_from(minutes).unwrap_or(i64::MAX);
        let summary = Recovered {
            scenario: self.scenario,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            rto_minutes: policy.rto_minutes,
            within_rto: took <= Duration::from_mins(policy.rto_minutes),
            lost_minutes,
            rpo_minutes: policy.rpo_minutes,
            within_rpo: lost_minutes.is_some_and(|lost| lost <= limit(policy.rpo_minutes)),
            failed: std::mem::take(&mut self.failed),
            paused: self
                .ctx
                .peek_case(&deployment)
                .is_ok_and(|case| Journal::read_state(case.as_ref()).is_ok_and(|state| state.pause.proven)),
            program: self.ctx.program(),
        };
        let well = summary.failed.is_empty() && summary.lost_minutes.is_some();
        // Whatever was left out, this is the last one.
        self.begun = self.phases.len() - 1;
        self.begin();
        let list = match self.ctx.open_case(&deployment) {
            Ok(journal) => checklist::show(self.ctx, &deployment, &journal, true).await.map(|_| ()),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = list {
            self.ctx.printer.error(&failure.message, &failure.causes, failure.hint.as_deref());
        }
        self.ctx.printer.emit(&summary);
        Ok(if well { Exit::Done } else { Exit::Incomplete })
    }
}

/// When the backup that was put back in this incident was started.
pub(super) async fn put_back(ctx: &Context, deployment: &Deployment) -> Option<Timestamp> {
    // After a resume the incident is no open one any more.
    let incident = ctx.incident(deployment).ok().or_else(|| deployment.cases.list().ok()?.pop())?;
    let case = deployment.cases.peek(&incident).ok()?;
    let path = Journal::read_state(case.as_ref()).ok()?.backup?;
    let all = deployment.backups.as_ref()?.list().await.ok()?;
    all.backups.into_iter().find(|backup| backup.path == path)?.started
}

/// Connection, health, backups: what the procedures ask first.
async fn identify(ctx: &Context, deployment: &Deployment) {
    let tell = |what: String, seen: Result<String, String>| {
        let well = seen.is_ok();
        ctx.printer.emit(&Symptom { what, well, detail: seen.unwrap_or_else(|words| words) });
    };
    match &deployment.database {
        Some(database) => tell("database".into(), database.ping().await.map_err(|fault| fault.chain())),
        None => tell("database".into(), Err("DATABASE_URL is not set".into())),
    }
    for service in &deployment.services {
        let health = tokio::time::timeout(Duration::from_secs(3), service.health()).await;
        let seen = match health {
            Ok(health) => health.map_err(|fault| fault.chain()),
            Err(_) => Err("no healthy answer within 3 s".into()),
        };
        tell(format!("service {}", service.name()), seen);
    }
    if let Some(backups) = &deployment.backups {
        let seen = match backups.list().await {
            Ok(all) => match (all.backups.first(), all.unread.first()) {
                (_, Some(place)) => Err(format!("{} can't be looked at: {}", place.place, place.reason)),
                (None, None) => Err("there is none".into()),
                (Some(newest), None) => Ok(format!("{}, the newest {}", all.backups.len(), newest.path)),
            },
            Err(fault) => Err(fault.chain()),
        };
        tell("backups".into(), seen);
    }
}
