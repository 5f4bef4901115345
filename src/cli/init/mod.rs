use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Context, Exit, Failure, fault_failure};
use crate::domain::counted;
use crate::policy::shipped::{ENV_EXAMPLE, INDICATORS_EXAMPLE, SHIPPED};
use crate::policy::starter::{self, Found};
use crate::ui::{Format, Printer, Record, Style, clean};
use crate::world;

mod ask;
mod compose;
mod look;

use look::Note;

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis init --approver alice=~/.ssh/id_ed25519.pub:security --approver bob=keys/bob.pub:trading
  portcullis init                       (again, later: existing files are never overwritten)
  portcullis init --yes --table desk.fills     (asks nothing; says what it takes for what)")]
pub struct InitArgs {
    /// Approver: name, public key file (OpenSSH), and roles separated by commas
    #[arg(long, value_name = "NAME=KEYFILE[:ROLE,..]", value_parser = approver)]
    approver: Vec<Approver>,
    /// Table with the trades, where another one than the likeliest is meant
    #[arg(long, value_name = "[SCHEMA.]TABLE")]
    table: Option<String>,
}

#[derive(Debug, Clone)]
struct Approver {
    name: String,
    key_file: PathBuf,
    roles: Vec<String>,
}

fn approver(text: &str) -> Result<Approver, String> {
    let (name, rest) = text.split_once('=').ok_or("write NAME=KEYFILE or NAME=KEYFILE:ROLE,ROLE")?;
    let (file, roles) = rest.rsplit_once(':').unwrap_or((rest, ""));
    if name.is_empty() || file.is_empty() {
        return Err("write NAME=KEYFILE or NAME=KEYFILE:ROLE,ROLE".into());
    }
    let key_file = match (file.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(file),
    };
    let roles = roles.split(',').filter(|role| !role.is_empty()).map(String::from).collect();
    Ok(Approver { name: name.to_owned(), key_file, roles })
}

#[derive(Debug, Serialize)]
struct FileRecord {
    path: String,
    written: bool,
    note: String,
}

impl Record for FileRecord {
    const TYPE: &'static str = "file";
    fn text(&self, printer: &Printer) -> String {
        let verb =
            if self.written { printer.paint(Style::Good, "written") } else { printer.paint(Style::Dim, "kept   ") };
        let note = if self.note.is_empty() { String::new() } else { format!("  {}", clean(&self.note)) };
        format!("  {verb}  {}{note}", clean(&self.path))
    }
}

#[derive(Debug, Serialize)]
struct FoundRecord {
    what: &'static str,
    value: Option<String>,
    why: String,
}

impl Record for FoundRecord {
    const TYPE: &'static str = "found";
    fn text(&self, printer: &Printer) -> String {
        let why = printer.paint(Style::Dim, clean(&self.why));
        match &self.value {
            Some(value) => format!("  {:<11} {}  {why}", self.what, clean(value)),
            None => format!("  {:<11} {}  {why}", self.what, printer.paint(Style::Warn, "not found")),
        }
    }
}

/// Writes what is missing; existing files are kept as they are.
pub async fn run(args: &InitArgs, ctx: &Context) -> Result<Exit, Failure> {
    let mut approvers = args.approver.clone();
    read_approvers(&approvers)?;
    ctx.printer.say("Found here:");
    let mut seen = look::look(ctx).await;
    for Note { what, value, why } in &seen.notes {
        ctx.printer.emit(&FoundRecord { what, value: value.clone(), why: why.clone() });
    }
    if let Some(text) = &args.table {
        let table = ask::table(text, &seen)
            .map_err(|why| Failure::new(Exit::Usage, why).hint("write --table SCHEMA.TABLE, as the catalog has it"))?;
        seen.choose(&table);
    }
    let folder = ctx.root.join(&ctx.settings.policies);
    let asked = ask::can_ask(ctx);
    if asked {
        let answered = |name: &str| name == "pause.yml" && args.table.is_some();
        let wanted = |name: &str| !answered(name) && !folder.join(name).exists();
        ask::ask_all(ctx, &mut seen, &mut approvers, wanted)?;
    }
    ctx.printer.say("");
    write_policies(ctx, &folder, &seen.found, &read_approvers(&approvers)?)?;
    ctx.printer.emit(&write_new(&ctx.root.join(".env.example"), ENV_EXAMPLE, "")?);
    let machine = world::machine_key(&ctx.root.join(&ctx.settings.home))
        .map_err(|fault| fault_failure("failed to make the machine's key", &fault))?;
    let public = hex::encode(machine.public());
    let home = ctx.root.join(&ctx.settings.home);
    let shown = home.strip_prefix(".").unwrap_or(&home).display();
    ctx.printer.emit(&FileRecord {
        path: format!("{shown}/machine.key"),
        written: true,
        note: format!("public half {}; keep this folder out of git and in your backups", &public[..16]),
    });
    if !asked {
        ctx.printer.say("\nWhat was found by names is a guess: read the policies, credentials.yml first.");
    }
    let program = ctx.program();
    ctx.printer
        .say(format!("\nNext: edit the policies, then  {program} doctor  and, on the database,  {program} install"));
    Ok(Exit::Done)
}

/// The policies that are not there yet, fitted to what was found.
fn write_policies(
    ctx: &Context,
    folder: &Path,
    found: &Found,
    approvers: &[(String, Vec<String>, String)],
) -> Result<(), Failure> {
    let mut folders: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (path, text) in SHIPPED.iter().chain([&INDICATORS_EXAMPLE]) {
        let (text, note) = match *path {
            "credentials.yml" => match starter::credentials(found) {
                Some(text) => (text, "from the names in .env: check every entry"),
                None => ((*text).to_owned(), "no .env found: an example, edit it"),
            },
            "pause.yml" => (starter::pause(text, found), ""),
            "recovery.yml" => (starter::recovery(text, found), ""),
            "monitoring.yml" => (starter::monitoring(text, found), ""),
            "contacts.yml" => ((*text).to_owned(), "nobody is told yet: name contacts"),
            "resume.yml" if approvers.is_empty() => {
                ((*text).to_owned(), "no approvers yet: the gate can't open until you name some")
            }
            "resume.yml" => (starter::resume(text, approvers), ""),
            _ => ((*text).to_owned(), ""),
        };
        let record = write_new(&folder.join(path), &text, note)?;
        match path.split_once('/') {
            // People are told of folders of rules as a whole.
            Some((below, _)) if ctx.printer.format() == Format::Text => {
                let (written, kept) = folders.entry(below).or_default();
                *if record.written { written } else { kept } += 1;
            }
            _ => ctx.printer.emit(&record),
        }
    }
    for (below, (written, kept)) in folders {
        let path = folder.join(below);
        let shown = path.strip_prefix(".").unwrap_or(&path).display();
        let note = if written > 0 && kept > 0 {
            format!("{written} written, {kept} kept as they are")
        } else {
            counted(written + kept, "file", "files")
        };
        ctx.printer.emit(&FileRecord { path: format!("{shown}/"), written: written > 0, note });
    }
    Ok(())
}

/// The line of an approver's public key.
fn read_approver(approver: &Approver) -> Result<String, Failure> {
    let path = approver.key_file.display();
    let text = fs::read_to_string(&approver.key_file).map_err(|error| {
        Failure::from_error(Exit::Usage, format!("failed to read the public key of {}: {path}", approver.name), &error)
            .hint("give the .pub file that ssh-keygen wrote beside the private key")
    })?;
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned();
    crate::gate::PublicKey::parse(&line).map_err(|error| {
        Failure::from_error(Exit::Usage, format!("{path} holds no usable public key"), &error)
            .hint("ssh-ed25519, ecdsa-sha2-nistp256 and their hardware kinds can approve; never give the private key")
    })?;
    Ok(line)
}

fn read_approvers(approvers: &[Approver]) -> Result<Vec<(String, Vec<String>, String)>, Failure> {
    let with_key = |one: &Approver| Ok((one.name.clone(), one.roles.clone(), read_approver(one)?));
    approvers.iter().map(with_key).collect()
}

/// Writes a file that is not there; says whether it did.
fn write_new(path: &Path, text: &str, note: &str) -> Result<FileRecord, Failure> {
    let fail = |error: &std::io::Error| {
        Failure::from_error(Exit::Failed, format!("failed to write {}", path.display()), error)
            .hint("check the folder's permissions and free space, then run init again: it writes only what is missing")
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| fail(&error))?;
    }
    let written = match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            let ended = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
            if let Err(error) = ended {
                // Half a policy is worse than none, and would be kept for ever.
                let _ = fs::remove_file(path);
                return Err(fail(&error));
            }
            true
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(fail(&error)),
    };
    let note = if written { note } else { "" };
    let shown = path.strip_prefix(".").unwrap_or(path).display().to_string();
    Ok(FileRecord { path: shown, written, note: note.to_owned() })
}
