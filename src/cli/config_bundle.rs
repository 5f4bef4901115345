//! `backup config` and `restore --config`: the configuration of a server that is gone.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::{Context, Exit, Failure, fault_failure};
use crate::adapters::config_bundle::{self, Key, Lock};
use crate::adapters::dotenv::DotenvStore;
use crate::adapters::value_files::ValueFiles;
use crate::domain::Fingerprint;
use crate::engine::{Deployment, Journal};
use crate::policy::credentials::StorePolicy;
use crate::ports::SecretStore;
use crate::ui::{Printer, Record, clean};

/// Arguments of `backup config`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The bundle is in the age format: age -d opens it too. What it holds is `config:` in policies/recovery.yml.

Examples:
  portcullis backup config config.age --recipient age1...
  portcullis backup config config.age --passphrase-file /media/safe/passphrase")]
pub struct ConfigArgs {
    /// Bundle to write
    #[arg(value_name = "BUNDLE")]
    out: PathBuf,
    /// Who can open it: an age recipient (may be given more than once)
    #[arg(
        long,
        value_name = "AGE1...",
        required_unless_present = "passphrase_file",
        conflicts_with = "passphrase_file"
    )]
    recipient: Vec<String>,
    /// File whose first line is the passphrase
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// What opens a bundle.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct KeyArgs {
    /// File whose first line is the bundle's passphrase
    #[arg(long, value_name = "FILE", requires = "config")]
    pub passphrase_file: Option<PathBuf>,
    /// File with an age identity that opens the bundle
    #[arg(long, value_name = "FILE", requires = "config", conflicts_with = "passphrase_file")]
    pub identity: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct BundleRecord {
    bundle: String,
    files: Vec<String>,
    written: Vec<String>,
    revoked: Vec<String>,
}

impl Record for BundleRecord {
    const TYPE: &'static str = "config";
    fn text(&self, _: &Printer) -> String {
        let mut text = format!("  {} files in {}", self.files.len(), clean(&self.bundle));
        for path in &self.written {
            text.push_str(&format!("\n    put back  {}", clean(path)));
        }
        for words in &self.revoked {
            text.push_str(&format!("\n    {}", clean(words)));
        }
        text
    }
}

fn first_line(path: &Path) -> Result<SecretString, Failure> {
    let text = std::fs::read_to_string(path)
        .map(SecretString::from)
        .map_err(|error| Failure::from_error(Exit::Usage, format!("failed to read {}", path.display()), &error))?;
    let line = text.expose_secret().lines().next().unwrap_or_default().to_owned();
    if line.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("{} is empty", path.display())));
    }
    Ok(SecretString::from(line))
}

/// Seals the configuration that policy names.
pub fn seal(args: &ConfigArgs, ctx: &Context) -> Result<Exit, Failure> {
    let policies = ctx.policies()?;
    let lock = match &args.passphrase_file {
        Some(path) => Lock::Passphrase(first_line(path)?),
        None => Lock::Recipients(args.recipient.clone()),
    };
    let sealed = config_bundle::seal(&ctx.root, &policies.recovery.config, lock, &args.out);
    let files = sealed.map_err(|fault| {
        fault_failure("failed to seal the configuration", &fault)
            .hint("`config:` in policies/recovery.yml names files and folders")
    })?;
    let bundle = args.out.display().to_string();
    ctx.printer.emit(&BundleRecord { bundle, files, written: Vec::new(), revoked: Vec::new() });
    ctx.printer.say("keep it away from this server, and its key away from both");
    Ok(Exit::Done)
}

/// Puts the configuration back. A value that an incident revoked does not come back: the newer one that this machine sealed takes its
/// place, and without one nothing is written.
pub async fn put_back(ctx: &Context, deployment: &Deployment, bundle: &Path, key: &KeyArgs) -> Result<Exit, Failure> {
    let key = match (&key.passphrase_file, &key.identity) {
        (Some(path), _) => Key::Passphrase(first_line(path)?),
        (None, Some(path)) => {
            Key::Identity(std::fs::read_to_string(path).map(SecretString::from).map_err(|error| {
                Failure::from_error(Exit::Usage, format!("failed to read {}", path.display()), &error)
            })?)
        }
        (None, None) => {
            return Err(Failure::new(Exit::Usage, "nothing that opens the bundle was given")
                .hint("give --passphrase-file or --identity"));
        }
    };
    let opened =
        config_bundle::open(bundle, key).map_err(|fault| fault_failure("failed to open the bundle", &fault))?;
    let (replaced, dead) = revive(deployment, opened.folder()).await?;
    if !dead.is_empty() {
        return Err(Failure::new(
            Exit::Incomplete,
            format!("the bundle holds revoked values: {}; nothing was put back", dead.join(", ")),
        )
        .hint("replace them first: portcullis keys rotate; or seal a newer bundle"));
    }
    if !ctx.confirm(&format!("This puts {} files back; what differs is kept beside them.", opened.paths().len()))? {
        return Err(Failure::new(Exit::Usage, "not confirmed; nothing was touched"));
    }
    let suffix = deployment.clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let written = opened
        .put_back(&ctx.root, &suffix)
        .map_err(|fault| fault_failure("failed to put the configuration back", &fault))?;
    let bundle = bundle.display().to_string();
    ctx.printer.emit(&BundleRecord { bundle, files: opened.paths(), written, revoked: replaced });
    Ok(Exit::Done)
}

/// Fingerprints of every value that an incident on this machine replaced.
fn revoked(deployment: &Deployment) -> HashSet<Fingerprint> {
    let all = deployment.cases.list().unwrap_or_default();
    let states = all.iter().filter_map(|id| Journal::read_state(deployment.cases.peek(id).ok()?.as_ref()).ok());
    states.flat_map(|state| state.credentials.into_values().filter_map(|known| known.old).collect::<Vec<_>>()).collect()
}

/// Looks at every credential in the opened bundle. Revoked values are replaced by the newest that this machine sealed; returns which
/// were, and which could not be.
async fn revive(deployment: &Deployment, folder: &Path) -> Result<(Vec<String>, Vec<String>), Failure> {
    let revoked = revoked(deployment);
    let prints = deployment.machine.fingerprints();
    let (dotenv, files) = (DotenvStore::new(folder), ValueFiles::new(folder));
    let (mut replaced, mut dead) = (Vec::new(), Vec::new());
    for credential in &deployment.policies.credentials.credentials {
        for slot in &credential.kept {
            let store: &dyn SecretStore = match slot {
                StorePolicy::Dotenv { .. } => &dotenv,
                StorePolicy::File { .. } => &files,
                StorePolicy::SecretsManager { .. } => continue,
            };
            let Ok(Some(value)) = store.read(slot).await else { continue };
            if !revoked.contains(&prints.fingerprint(value.expose_secret())) {
                continue;
            }
            let names = deployment.vault.list("").unwrap_or_default();
            let mine = |name: &&String| {
                let parts: Vec<&str> = name.split('/').collect();
                matches!(parts.as_slice(), [_, id, _, "new"] if *id == credential.id.as_str())
            };
            let newest = names.iter().rev().filter(mine).find_map(|name| deployment.vault.open(name).ok().flatten());
            let place = store.describe(slot);
            match newest {
                Some(value) if store.write(slot, &value, "restore-config").await.is_ok() => {
                    replaced.push(format!("{place} was revoked: the newer value was put in its place"));
                }
                _ => dead.push(place),
            }
        }
    }
    Ok((replaced, dead))
}
