use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Context, Exit, Failure, fault_failure};
use crate::policy::shipped::{ENV_EXAMPLE, SHIPPED};
use crate::policy::starter::{self, Found, Guess};
use crate::ui::{Printer, Record, Style, clean};
use crate::world;

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis init --approver alice=~/.ssh/id_ed25519.pub:security --approver bob=keys/bob.pub:trading
  portcullis init                       (again, later: existing files are never overwritten)")]
pub struct InitArgs {
    /// Approver: name, public key file (OpenSSH), and roles separated by commas
    #[arg(long, value_name = "NAME=KEYFILE[:ROLE,..]", value_parser = approver)]
    approver: Vec<Approver>,
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

/// Writes what is missing; existing files are kept as they are.
pub fn run(args: &InitArgs, ctx: &Context) -> Result<Exit, Failure> {
    let approvers = read_approvers(&args.approver)?;
    let found = look_around(&ctx.root);
    describe(ctx, &found);
    let folder = ctx.root.join(&ctx.settings.policies);
    for (path, text) in SHIPPED {
        let (text, note) = match *path {
            "credentials.yml" => match starter::credentials(&found) {
                Some(text) => (text, "from the names in .env: check every entry"),
                None => ((*text).to_owned(), "no .env found: an example, edit it"),
            },
            "recovery.yml" => (starter::recovery(text, &found), ""),
            "contacts.yml" => ((*text).to_owned(), "nobody is told yet: name contacts"),
            "resume.yml" if approvers.is_empty() => {
                ((*text).to_owned(), "no approvers yet: the gate can't open until you name some")
            }
            "resume.yml" => (starter::resume(text, &approvers), ""),
            _ => ((*text).to_owned(), ""),
        };
        write_new(ctx, &folder.join(path), &text, note)?;
    }
    write_new(ctx, &ctx.root.join(".env.example"), ENV_EXAMPLE, "")?;
    let machine = world::machine_key(&ctx.root.join(&ctx.settings.home))
        .map_err(|fault| fault_failure("failed to make the machine's key", &fault))?;
    let public = hex::encode(machine.public());
    let home = ctx.root.join(&ctx.settings.home);
    let home_text = home.display().to_string();
    ctx.printer.emit(&FileRecord {
        path: format!("{home_text}/machine.key"),
        written: true,
        note: format!("public half {}; keep this folder out of git and in your backups", &public[..16]),
    });
    ctx.printer.say("\nNext: edit the policies, then  portcullis doctor  and, on the database,  portcullis install");
    Ok(Exit::Done)
}

fn read_approvers(approvers: &[Approver]) -> Result<Vec<(String, Vec<String>, String)>, Failure> {
    approvers
        .iter()
        .map(|approver| {
            let path = approver.key_file.display();
            let text = fs::read_to_string(&approver.key_file).map_err(|error| {
                Failure::from_error(
                    Exit::Usage,
                    format!("failed to read the public key of {}: {path}", approver.name),
                    &error,
                )
                .hint("give the .pub file that ssh-keygen wrote beside the private key")
            })?;
            let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned();
            crate::gate::PublicKey::parse(&line).map_err(|error| {
                Failure::from_error(Exit::Usage, format!("{path} holds no usable public key"), &error).hint(
                    "ssh-ed25519, ecdsa-sha2-nistp256 and their hardware kinds can approve; never give the private key",
                )
            })?;
            Ok((approver.name.clone(), approver.roles.clone(), line))
        })
        .collect()
}

/// Reads names, never values: compose services, keys of `.env`, the role of `DATABASE_URL`.
fn look_around(root: &Path) -> Found {
    const COMPOSE: [&str; 4] = ["docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml"];
    let mut found = Found {
        compose_command: vec!["docker-compose".into()],
        restore_script: root.join("scripts/restore.sh").is_file(),
        ..Found::default()
    };
    if let Some((name, text)) =
        COMPOSE.iter().find_map(|name| fs::read_to_string(root.join(name)).ok().map(|text| (*name, text)))
    {
        found.compose = Some(name.to_owned());
        if name.starts_with("compose.") {
            found.compose_command = vec!["docker".into(), "compose".into()];
        }
        if let Ok(document) = crate::policy::parse::<serde_json::Value>(name, &text)
            && let Some(services) = document.get("services").and_then(serde_json::Value::as_object)
        {
            found.services = services.keys().filter(|name| is_name(name)).cloned().collect();
        }
    }
    for line in fs::read_to_string(root.join(".env")).unwrap_or_default().lines() {
        let line = line.trim_start().strip_prefix("export ").unwrap_or(line.trim_start());
        if let Some((key, value)) = line.split_once('=').filter(|(key, _)| is_name(key.trim())) {
            found.env_keys.push(key.trim().to_owned());
            if key.trim() == "DATABASE_URL" {
                found.database_role = role_of(value.trim().trim_matches(['"', '\'']));
            }
        }
    }
    found
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

fn role_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))?;
    let (user_info, _) = rest.rsplit_once('@')?;
    let user = user_info.split(':').next()?;
    (is_name(user)).then(|| user.to_owned())
}

fn describe(ctx: &Context, found: &Found) {
    let compose = match &found.compose {
        Some(file) => format!("{file} ({} services)", found.services.len()),
        None => "no compose file".into(),
    };
    let secrets = found.env_keys.iter().filter(|key| starter::guess(key) != Guess::NoSecret).count();
    ctx.printer.say(format!(
        "Found: {compose}; .env with {} keys, {secrets} of them secrets by their names; database role {}",
        found.env_keys.len(),
        found.database_role.as_deref().unwrap_or("not seen")
    ));
}

fn write_new(ctx: &Context, path: &Path, text: &str, note: &str) -> Result<(), Failure> {
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
    ctx.printer.emit(&FileRecord { path: path.display().to_string(), written, note: note.to_owned() });
    Ok(())
}
