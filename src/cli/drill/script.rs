use std::future::Future;
use std::pin::Pin;

use clap::Parser;

use super::records::ToldRecord;
use crate::cli::{Cli, Context, Exit, Failure};
use crate::domain::Finding;
use crate::embedded::{EmbeddedDeployment, Lost, RehearsedApprover};
use crate::engine::findings;

/// What a phase of the drill does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// A command line; `{root}` stands for the deployment's folder.
    Command {
        /// Words after `portcullis`.
        words: &'static [&'static str],
        /// Whether findings are what is expected of it.
        finds: bool,
    },
    /// Every approver signs the record, and each signature is handed in with `approve`.
    Approve,
    /// The passphrase of the configuration's bundle is written down.
    Passphrase,
    /// The back end answers.
    Service,
    /// Something breaks, as the scenario has it.
    Strike(Lost),
    /// New credentials work, old ones don't, on the back end itself.
    Trade,
}

/// One phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Phase {
    /// Name for people and scripts.
    pub name: &'static str,
    /// What it does.
    pub act: Act,
}

const fn command(name: &'static str, words: &'static [&'static str]) -> Phase {
    Phase { name, act: Act::Command { words, finds: false } }
}

const fn scan(name: &'static str, words: &'static [&'static str]) -> Phase {
    Phase { name, act: Act::Command { words, finds: true } }
}

/// The breach, from the alarm to the resume.
pub(super) const PHASES: &[Phase] = &[
    command("lockdown", &["lockdown", "--reason", "drill: key seen in a log", "--compromised", "trading-api-key"]),
    scan("scan logs", &["scan", "logs", "{root}/logs"]),
    scan("scan trades", &["scan", "trades"]),
    scan("scan secrets", &["scan", "secrets", "{root}/logs"]),
    scan("scan database", &["scan", "database"]),
    command("restore", &["restore", "--clean"]),
    scan("scan trades again", &["scan", "trades"]),
    scan("scan database again", &["scan", "database"]),
    command("dispose", &["incident", "dispose", "--open", "--as", "confirmed", "--note", "drill"]),
    command("audit record", &["audit", "prepare"]),
    Phase { name: "approvals", act: Act::Approve },
    command("resume", &["resume"]),
    Phase { name: "trading", act: Act::Trade },
];

const END: [Phase; 4] = [
    command("audit record", &["audit", "prepare"]),
    Phase { name: "approvals", act: Act::Approve },
    command("resume", &["resume"]),
    Phase { name: "service", act: Act::Service },
];

const SCANS: [Phase; 4] = [
    scan("scan logs", &["scan", "logs", "{root}/logs"]),
    scan("scan trades", &["scan", "trades"]),
    scan("scan secrets", &["scan", "secrets", "{root}/logs"]),
    scan("scan database", &["scan", "database"]),
];

const LOCKDOWN: Phase = command("lockdown", &["lockdown", "--reason", "drill: after the recovery"]);

/// Trades that were put back came while the pause stood: a person has said why.
const DISPOSE: Phase =
    command("dispose", &["incident", "dispose", "--open", "--as", "benign", "--note", "drill: on purpose"]);

/// The database is gone.
pub(super) const DATABASE: &[Phase] = &[
    command("test restore", &["backup", "drill"]),
    Phase { name: "strike", act: Act::Strike(Lost::Database) },
    command("recover", &["recover", "database"]),
    LOCKDOWN,
    SCANS[0],
    SCANS[1],
    SCANS[2],
    SCANS[3],
    END[0],
    END[1],
    END[2],
    END[3],
];

/// The server is gone.
pub(super) const SERVER: &[Phase] = &[
    Phase { name: "passphrase", act: Act::Passphrase },
    command(
        "config bundle",
        &["backup", "config", "{root}/embedded/config.age", "--passphrase-file", "{root}/embedded/passphrase"],
    ),
    Phase { name: "strike", act: Act::Strike(Lost::Server) },
    command(
        "recover",
        &[
            "recover",
            "server",
            "--config",
            "{root}/embedded/config.age",
            "--passphrase-file",
            "{root}/embedded/passphrase",
        ],
    ),
    LOCKDOWN,
    SCANS[0],
    SCANS[1],
    SCANS[2],
    SCANS[3],
    END[0],
    END[1],
    END[2],
    END[3],
];

/// Data are wrong.
pub(super) const CORRUPTION: &[Phase] = &[
    Phase { name: "strike", act: Act::Strike(Lost::Values) },
    command("recover", &["recover", "corruption"]),
    command("replay", &["restore", "--replay", "--note", "drill: as the desk has it"]),
    LOCKDOWN,
    SCANS[0],
    SCANS[1],
    SCANS[2],
    SCANS[3],
    DISPOSE,
    END[0],
    END[1],
    END[2],
    END[3],
];

/// How a phase ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Whether it did what it should.
    pub passed: bool,
    /// What was seen.
    pub detail: String,
}

/// Where the phases are played.
pub(super) struct Stage<'a> {
    /// The silent context of the rehearsed commands.
    pub ctx: &'a Context,
    /// The deployment.
    pub victim: &'a EmbeddedDeployment,
    /// The approvers.
    pub people: &'a [RehearsedApprover],
}

type Ran<'a> = Pin<Box<dyn Future<Output = Result<Exit, Failure>> + 'a>>;

impl Stage<'_> {
    /// Runs a command line as the process would.
    fn command<'a>(&'a self, words: &[&str]) -> Result<Ran<'a>, String> {
        let root = self.victim.root.display().to_string();
        let words = words.iter().map(|word| word.replace("{root}", &root));
        let cli = Cli::try_parse_from(std::iter::once("portcullis".to_owned()).chain(words))
            .map_err(|error| error.to_string().lines().next().unwrap_or("can't be understood").to_owned())?;
        Ok(Box::pin(crate::cli::run(cli.command, self.ctx)))
    }

    async fn expect(&self, words: &[&str], finds: bool) -> Outcome {
        let ran = match self.command(words) {
            Ok(ran) => ran,
            Err(reason) => return Outcome::failed(reason),
        };
        match ran.await {
            Ok(Exit::Done) => Outcome::passed(""),
            Ok(Exit::Findings) if finds => Outcome::passed("findings recorded in the case"),
            Ok(exit) => Outcome::failed(format!("exit code {}", exit as u8)),
            Err(failure) => {
                let words: Vec<_> = std::iter::once(failure.message).chain(failure.causes).collect();
                Outcome::failed(format!("exit code {}: {}", failure.exit as u8, words.join(": ")))
            }
        }
    }

    /// Plays one phase.
    pub async fn play(&self, phase: &Phase) -> Outcome {
        match phase.act {
            Act::Command { words, finds } => self.expect(words, finds).await,
            Act::Approve => self.approve().await,
            Act::Strike(lost) => match self.victim.lose(lost).await {
                Ok(words) => Outcome::passed(words),
                Err(fault) => Outcome::failed(fault.chain()),
            },
            Act::Passphrase => {
                match std::fs::write(self.victim.root.join("embedded/passphrase"), "rehearsed passphrase\n") {
                    Ok(()) => Outcome::passed("written"),
                    Err(error) => Outcome::failed(error.to_string()),
                }
            }
            Act::Service => match crate::ports::Service::health(self.victim.back_end.as_ref()).await {
                Ok(words) => Outcome::passed(words),
                Err(fault) => Outcome::failed(fault.chain()),
            },
            Act::Trade => match self.victim.try_credentials().await {
                Ok(wrong) if wrong.is_empty() => {
                    Outcome::passed("a trade with the new credentials was made; the old key and old tokens are refused")
                }
                Ok(wrong) => Outcome::failed(wrong.join("; ")),
                Err(fault) => Outcome::failed(fault.chain()),
            },
        }
    }

    async fn approve(&self) -> Outcome {
        let record = match std::fs::read(format!("{}/audit-record.json", self.case_folder())) {
            Ok(record) => record,
            Err(error) => return Outcome::failed(format!("the audit record can't be read: {error}")),
        };
        for person in self.people {
            let path = self.victim.root.join("embedded").join(format!("{}.sig", person.name()));
            if let Err(error) = std::fs::write(&path, person.sign(&record)) {
                return Outcome::failed(format!("{}: {error}", path.display()));
            }
            let path = path.display().to_string();
            let outcome = self.expect(&["approve", "--approver", person.name(), "--signature", &path], false).await;
            if !outcome.passed {
                return Outcome::failed(format!("{}: {}", person.name(), outcome.detail));
            }
        }
        Outcome::passed(format!("{} people signed", self.people.len()))
    }

    /// The incident's folder; that of all incidents if none was opened.
    pub fn case_folder(&self) -> String {
        let incidents = self.victim.root.join(".portcullis/incidents");
        let first = std::fs::read_dir(&incidents).ok().and_then(|mut entries| entries.next()?.ok());
        first.map_or(incidents, |entry| entry.path()).display().to_string()
    }

    /// Every finding of the case.
    pub fn findings(&self) -> Vec<Finding> {
        let path = format!("{}/{}", self.case_folder(), findings::FINDINGS);
        std::fs::read(path).ok().and_then(|bytes| findings::read(&bytes).ok()).unwrap_or_default()
    }

    /// Who was told, by what stands in for the channels.
    pub fn told(&self) -> Vec<ToldRecord> {
        let text = std::fs::read_to_string(self.victim.root.join("embedded/notices.jsonl")).unwrap_or_default();
        let mut all: Vec<ToldRecord> = Vec::new();
        for line in text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
            let field = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let (contact, channel) = (field(&line["contact"]), field(&line["channel"]));
            let moment = field(&line["notice"]["moment"]);
            match all.iter_mut().find(|known| known.contact == contact) {
                Some(known) => known.moments.push(moment),
                None => all.push(ToldRecord { contact, channel, moments: vec![moment] }),
            }
        }
        all
    }
}
