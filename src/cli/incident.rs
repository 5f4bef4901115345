use clap::Subcommand;
use serde::Serialize;

use super::audit::audit_failure;
use super::findings::FindingRecord;
use super::{Context, Exit, Failure, fault_failure, journal_failure};
use crate::domain::{Finding, IncidentId, Level, Timestamp, counted};
use crate::engine::dispose::{Choice, choose, dispose};
use crate::engine::findings::{FINDINGS, read};
use crate::engine::{Deployment, Journal};
use crate::ledger::{Entry, IncidentState};
use crate::ui::{Printer, Record, Style, clean};

/// Subcommands of `incident`.
#[derive(Debug, Subcommand)]
pub enum IncidentCommand {
    /// All incidents
    List,
    /// One incident: pause, credentials, scans, findings, what is missing
    Show,
    /// What happened and what was done, in order; who did it, and what was reached
    Timeline,
    /// Write the report into the case: HTML, Markdown, JSON; findings as CSV, STIX, OCSF, Timesketch
    Report(super::report::ReportArgs),
    /// Decide what findings are; undecided ones at or above the policy's level block the resume
    Dispose(DisposeArgs),
}

/// Arguments of `incident dispose`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis incident dispose 3f2a9c01 --as confirmed --note 'forged by the intruder'
  portcullis incident dispose --rule burst --as benign --note 'market maker'
  portcullis incident dispose --open --at-most medium --as benign --note 'looked at'")]
pub struct DisposeArgs {
    /// Findings, by id or its first 8 or more characters
    #[arg(value_name = "FINDING")]
    ids: Vec<String>,
    /// More findings: a file with an id at the beginning of each line, or `findings.jsonl` lines
    #[arg(long, value_name = "FILE")]
    file: Option<std::path::PathBuf>,
    /// All findings of this rule
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// All findings at or below this level
    #[arg(long, value_name = "LEVEL")]
    at_most: Option<Level>,
    /// All findings that nobody has decided on
    #[arg(long)]
    open: bool,
    /// What they are
    #[arg(long = "as", value_name = "VERDICT", value_parser = ["benign", "confirmed", "unknown"])]
    verdict: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    note: String,
}

/// Runs a subcommand.
pub fn run(command: IncidentCommand, ctx: &Context) -> Result<Exit, Failure> {
    match command {
        IncidentCommand::List => list(ctx),
        IncidentCommand::Show => show(ctx),
        IncidentCommand::Timeline => super::incident_timeline::run(ctx),
        IncidentCommand::Report(args) => super::report::run(&args, ctx),
        IncidentCommand::Dispose(args) => dispose_findings(args, ctx),
    }
}

#[derive(Debug, Serialize)]
struct IncidentRecord {
    incident: IncidentId,
    status: &'static str,
    opened: Option<Timestamp>,
    reason: String,
    operator: String,
    paused: bool,
    entries: u64,
    problem: Option<String>,
}

impl Record for IncidentRecord {
    const TYPE: &'static str = "incident";
    fn text(&self, printer: &Printer) -> String {
        let style = if self.status == "resumed" { Style::Good } else { Style::Bad };
        let opened = self.opened.map_or("-".to_owned(), |time| time.to_string());
        let mut text = format!(
            "  {}  {}  {opened}  {}",
            printer.paint(style, format!("{:<8}", self.status)),
            self.incident,
            clean(&self.reason)
        );
        if let Some(problem) = &self.problem {
            text.push_str(&format!("\n            {}", printer.paint(Style::Bad, clean(problem))));
        }
        text
    }
}

fn record(incident: &IncidentId, state: Result<IncidentState, String>) -> IncidentRecord {
    let (state, problem) = match state {
        Ok(state) => (state, None),
        Err(problem) => (IncidentState::default(), Some(problem)),
    };
    let status = match (&problem, state.resumed) {
        (Some(_), _) => "damaged",
        (None, Some(_)) => "resumed",
        (None, None) => "open",
    };
    IncidentRecord {
        incident: incident.clone(),
        status,
        opened: state.opened,
        paused: state.pause.proven,
        reason: state.reason,
        operator: state.operator,
        entries: state.entries,
        problem,
    }
}

fn list(ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let all = deployment.cases.list().map_err(|fault| fault_failure("failed to list the incidents", &fault))?;
    if all.is_empty() {
        ctx.printer.say("no incidents");
    }
    let mut damaged = false;
    for incident in all {
        let state = deployment
            .cases
            .peek(&incident)
            .map_err(|fault| fault.chain())
            .and_then(|store| Journal::read_state(store.as_ref()).map_err(|error| crate::gate::with_cause(&error)));
        let record = record(&incident, state);
        damaged |= record.problem.is_some();
        ctx.printer.emit(&record);
    }
    Ok(if damaged { Exit::Corrupt } else { Exit::Done })
}

pub(super) struct Peeked {
    pub(super) incident: IncidentId,
    pub(super) state: IncidentState,
    pub(super) entries: Vec<Entry>,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn peek(ctx: &Context, deployment: &Deployment) -> Result<Peeked, Failure> {
    let incident = ctx.incident(deployment)?;
    let store = ctx.peek_case(deployment)?;
    let (verified, entries) = Journal::verify_entries(&store).map_err(|error| journal_failure(&error))?;
    let bytes = store.read(FINDINGS).map_err(|fault| fault_failure("failed to read the findings", &fault))?;
    let findings =
        read(&bytes.unwrap_or_default()).map_err(|fault| fault_failure("failed to read the findings", &fault))?;
    Ok(Peeked { incident, state: verified.state, entries, findings })
}

#[derive(Debug, Serialize)]
struct Count {
    level: Level,
    findings: usize,
    open: usize,
}

impl Record for Count {
    const TYPE: &'static str = "findings";
    fn text(&self, printer: &Printer) -> String {
        let style = if self.open == 0 { Style::Good } else { Style::Warn };
        format!(
            "  {:<13} {}, {}",
            self.level,
            counted(self.findings, "finding", "findings"),
            printer.paint(style, format!("{} undecided", self.open))
        )
    }
}

fn show(ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let Peeked { incident, state, findings, .. } = peek(ctx, &deployment)?;
    ctx.printer.emit(&record(&incident, Ok(state.clone())));
    let pause = state
        .pause
        .pause_ms
        .map_or("never proven".to_owned(), |ms| format!("proven after {ms} ms; {}", state.pause.detail));
    ctx.printer.say(format!("\npause        {}", clean(&pause)));
    for (id, known) in &state.credentials {
        let dead = if known.new_accepted && known.old_refused { "dead" } else { "NOT proven dead" };
        ctx.printer.say(format!("credential   {id}: old value {dead}; {}", clean(&known.detail)));
    }
    for (name, scan) in &state.scans {
        let whole = if scan.complete { "complete" } else { "NOT complete" };
        ctx.printer.say(format!(
            "scan         {}: {}, {whole}",
            clean(name),
            counted(scan.findings, "finding", "findings")
        ));
    }
    ctx.printer.say(if findings.is_empty() { "findings     none" } else { "findings" });
    for level in Level::ALL.into_iter().rev() {
        let of: Vec<_> = findings.iter().filter(|finding| finding.rule.level == level).collect();
        let open = of.iter().filter(|finding| !state.dispositions.contains_key(&finding.id)).count();
        if !of.is_empty() {
            ctx.printer.emit(&Count { level, findings: of.len(), open });
        }
    }
    ctx.printer.say("\nwhat still blocks the resume: portcullis audit show --gate");
    Ok(Exit::Done)
}

/// Ids of a file: the first word of each line, or the `id` of a line of JSON.
fn ids_of(path: &std::path::Path) -> Result<Vec<String>, Failure> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::from_error(Exit::Usage, format!("failed to read {shown}"), &error))?;
    let mut ids = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let id = if line.trim_start().starts_with('{') {
            let value: Option<serde_json::Value> = serde_json::from_str(line).ok();
            value.and_then(|value| value.get("id")?.as_str().map(String::from))
        } else {
            line.split_whitespace().next().filter(|word| !word.starts_with('#')).map(String::from)
        };
        match id {
            Some(id) => ids.push(id),
            None if line.trim_start().starts_with('#') => {}
            None => return Err(Failure::new(Exit::Usage, format!("{shown}:{}: no id of a finding", number + 1))),
        }
    }
    Ok(ids)
}

fn dispose_findings(args: DisposeArgs, ctx: &Context) -> Result<Exit, Failure> {
    let deployment = ctx.deployment()?;
    let journal = ctx.open_case(&deployment)?;
    let mut ids = args.ids;
    if let Some(path) = &args.file {
        ids.extend(ids_of(path)?);
    }
    let choice = Choice { ids, rule: args.rule, at_most: args.at_most, open: args.open };
    let chosen = choose(&journal, &choice).map_err(|error| audit_failure(&error))?.map_err(|unknown| {
        let unknown: Vec<_> = unknown.iter().map(|id| clean(id).into_owned()).collect();
        Failure::new(Exit::Usage, format!("the case has no finding {}", unknown.join(", ")))
            .hint("ids are in findings.jsonl; give the first 8 or more characters")
    })?;
    if chosen.is_empty() {
        return Err(Failure::new(Exit::Usage, "no finding is meant by that; nothing was recorded")
            .hint("give ids, or --rule, --at-most, --open"));
    }
    dispose(&journal, &chosen, &args.verdict, &args.note, &ctx.settings.operator)
        .map_err(|error| audit_failure(&error))?;
    for finding in &chosen {
        ctx.printer.emit(&FindingRecord(finding));
    }
    ctx.printer.say(format!("\n{} {}", counted(chosen.len(), "finding is", "findings are"), args.verdict));
    Ok(Exit::Done)
}
