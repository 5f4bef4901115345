use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Exit, Failure};
use crate::adapters::policy_files;
use crate::domain::IncidentId;
use crate::engine::{Deployment, Journal, JournalError};
use crate::policy::Policies;
use crate::ports::{CaseStore, Database, Fault, FaultKind};
use crate::settings::Settings;
use crate::ui::Printer;
use crate::world;

/// What every command is given.
pub struct Context {
    /// The environment.
    pub settings: Settings,
    /// Output.
    pub printer: Printer,
    /// `--yes`.
    pub yes: bool,
    /// `--incident`.
    pub incident: Option<IncidentId>,
    /// Folder that relative paths start from: the current one, or the embedded deployment's.
    pub root: PathBuf,
    /// Whether `--embedded` was given.
    pub embedded: bool,
    /// Whether this is a phase of another command, which says itself what comes next.
    pub phase: bool,
}

impl Context {
    /// The policies in force.
    pub fn policies(&self) -> Result<Arc<Policies>, Failure> {
        let folder = self.root.join(&self.settings.policies);
        let texts = policy_files::read(&folder).map_err(|fault| {
            let failure = Failure::from_error(Exit::Usage, "failed to read the policies", &fault);
            match fault.kind {
                FaultKind::NotFound => failure.hint("write starting points with: portcullis init"),
                _ => failure,
            }
        })?;
        let policies = Policies::from_texts(texts).map_err(|error| {
            let failure = Failure::new(Exit::Usage, format!("{}/{error}", folder.display()));
            if error.line == 0 {
                failure.hint("write the missing starting points with: portcullis init")
            } else {
                failure.hint("docs/POLICIES.md names every key; nothing was changed")
            }
        })?;
        Ok(Arc::new(policies))
    }

    /// The deployment, as policies and environment describe it. Connections are made when first used.
    pub fn deployment(&self) -> Result<Deployment, Failure> {
        let policies = self.policies()?;
        let built = if self.embedded {
            world::embedded(&self.root, &self.settings, policies)
        } else {
            world::live(&self.root, &self.settings, policies)
        };
        built.map_err(|fault| fault_failure("failed to set up", &fault))
    }

    /// The database, or what to set.
    pub fn database(&self, deployment: &Deployment) -> Result<Arc<dyn Database>, Failure> {
        deployment.database.clone().ok_or_else(|| {
            Failure::new(Exit::Usage, "no database is configured").hint("set DATABASE_URL as the application has it")
        })
    }

    /// The incident that is meant: `--incident`, or the only open one.
    pub fn incident(&self, deployment: &Deployment) -> Result<IncidentId, Failure> {
        if let Some(incident) = &self.incident {
            return Ok(incident.clone());
        }
        match self.open_incidents(deployment)?.as_slice() {
            [] => Err(Failure::new(Exit::Usage, "there is no open incident")
                .hint("start one with: portcullis lockdown --reason TEXT; or name a closed one with --incident ID")),
            [one] => Ok(one.clone()),
            many => {
                let names: Vec<_> = many.iter().map(IncidentId::as_str).collect();
                Err(Failure::new(Exit::Usage, format!("{} incidents are open: {}", many.len(), names.join(", ")))
                    .hint("name one with --incident ID"))
            }
        }
    }

    /// Incidents that were not resumed yet, oldest first. One whose ledger can't be read counts as open.
    pub fn open_incidents(&self, deployment: &Deployment) -> Result<Vec<IncidentId>, Failure> {
        let all = deployment.cases.list().map_err(|fault| fault_failure("failed to list the incidents", &fault))?;
        let mut open = Vec::new();
        for incident in all {
            let resumed = deployment
                .cases
                .peek(&incident)
                .ok()
                .and_then(|store| Journal::read_state(store.as_ref()).ok())
                .is_some_and(|state| state.resumed.is_some());
            if !resumed {
                open.push(incident);
            }
        }
        Ok(open)
    }

    /// Opens the case of the incident that is meant, for writing.
    pub fn open_case(&self, deployment: &Deployment) -> Result<Journal, Failure> {
        let incident = self.incident(deployment)?;
        self.open_case_of(deployment, &incident)
    }

    /// Opens the case of that incident, for writing.
    pub fn open_case_of(&self, deployment: &Deployment, incident: &IncidentId) -> Result<Journal, Failure> {
        let store = deployment
            .cases
            .open(incident, false)
            .map_err(|fault| fault_failure(&format!("failed to open incident {incident}"), &fault))?;
        Journal::open(store, deployment.clock.clone(), deployment.machine.clone()).map_err(|e| journal_failure(&e))
    }

    /// The newest incident, if it was resumed but the command that did so died before it had signed its last entries: nothing
    /// else would ever sign them.
    pub fn cut_short(&self, deployment: &Deployment) -> Result<Option<Journal>, Failure> {
        let all = deployment.cases.list().map_err(|fault| fault_failure("failed to list the incidents", &fault))?;
        let Some(newest) = all.last().filter(|_| self.incident.is_none()) else { return Ok(None) };
        if !self.open_incidents(deployment)?.is_empty() {
            return Ok(None);
        }
        let store = deployment
            .cases
            .open(newest, false)
            .map_err(|fault| fault_failure(&format!("failed to open incident {newest}"), &fault))?;
        let journal = Journal::open(store, deployment.clock.clone(), deployment.machine.clone());
        let journal = journal.map_err(|error| journal_failure(&error))?;
        Ok((journal.unsigned() > 0).then_some(journal))
    }

    /// Opens the case of the incident that is meant, for reading.
    pub fn peek_case(&self, deployment: &Deployment) -> Result<Arc<dyn CaseStore>, Failure> {
        let incident = self.incident(deployment)?;
        deployment
            .cases
            .peek(&incident)
            .map_err(|fault| fault_failure(&format!("failed to open incident {incident}"), &fault))
    }

    /// Asks a question that can't be fallen through: only `yes` is yes. True under `--yes`.
    pub fn confirm(&self, question: &str) -> Result<bool, Failure> {
        self.confirm_by(question, &["yes"])
    }

    /// The same, with other words than `yes`: any of them is yes, an empty line or a typing error asks again, twice.
    pub fn confirm_by(&self, question: &str, words: &[&str]) -> Result<bool, Failure> {
        if self.yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::new(Exit::Usage, "a confirmation is needed, and standard input is not a terminal")
                .hint("give --yes to confirm on the command line"));
        }
        let failed = |error: io::Error| Failure::from_error(Exit::Failed, "failed to ask for a confirmation", &error);
        for _ in 0..3 {
            let mut err = io::stderr().lock();
            write!(err, "{question} Type {} to go on: ", words.join(" or "))
                .and_then(|()| err.flush())
                .map_err(failed)?;
            drop(err);
            let mut answer = String::new();
            // A closed terminal is no answer.
            if io::stdin().lock().read_line(&mut answer).map_err(failed)? == 0 {
                return Ok(false);
            }
            match answer.trim() {
                given if words.contains(&given) => return Ok(true),
                "no" | "n" => return Ok(false),
                _ => {}
            }
        }
        Ok(false)
    }

    /// The program's name as this command was given it, for commands to type next.
    pub fn program(&self) -> String {
        if self.embedded { format!("portcullis --embedded {}", self.root.display()) } else { "portcullis".to_owned() }
    }
}

/// The failure that a port's fault stands for.
pub fn fault_failure(message: &str, fault: &Fault) -> Failure {
    let exit = match fault.kind {
        FaultKind::Invalid => Exit::Usage,
        FaultKind::Corrupt => Exit::Corrupt,
        FaultKind::OutcomeUnknown => Exit::Incomplete,
        _ => Exit::Failed,
    };
    let failure = Failure::from_error(exit, message, fault);
    match fault.kind {
        FaultKind::Denied => failure.hint("check the user, password and permissions; portcullis doctor tests each"),
        FaultKind::Unavailable => failure.hint("check that it runs and can be reached; portcullis doctor tests each"),
        FaultKind::Conflict => {
            failure.hint("wait for the other run to end, or stop it; nothing was changed by this one")
        }
        FaultKind::OutcomeUnknown => {
            failure.hint("run the same command again: it looks first and does only what is missing")
        }
        _ => failure,
    }
}

/// The failure that a ledger's error stands for.
pub fn journal_failure(error: &JournalError) -> Failure {
    if let JournalError::Store(fault) = error {
        return fault_failure("failed to use the case folder", fault);
    }
    if !error.is_corrupt() {
        return Failure::from_error(Exit::Failed, "failed to use the ledger", error);
    }
    Failure::from_error(Exit::Corrupt, "the ledger fails verification", error).hint(
        "nothing was changed; copy the case folder aside as evidence and look at it with: portcullis audit verify",
    )
}
