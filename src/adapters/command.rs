//! Commands of the deployment: program and arguments, never a shell; bounded in time and output.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::domain::SwitchState;
use crate::ports::{Fault, FaultKind, PauseSwitch};

/// Most output that is kept of a command, in bytes.
const MAX_OUTPUT: u64 = 16 << 10;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The end of what it printed, on one line.
    pub words: String,
    /// What it printed to standard output, cut off after 16 KiB.
    pub out: String,
}

/// Runs a command in `root`; after `bound` its whole process group is killed and the outcome is unknown.
pub async fn run(root: &Path, argv: &[String], bound: Duration) -> Result<Ended, Fault> {
    let (program, arguments) =
        argv.split_first().ok_or_else(|| Fault::new(FaultKind::Invalid, "the command is empty"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => FaultKind::NotFound,
                std::io::ErrorKind::PermissionDenied => FaultKind::Denied,
                _ => FaultKind::Unavailable,
            };
            Fault::with(kind, format!("failed to start `{program}`"), error)
        })?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (out, err, status) = tokio::join!(tail(out), tail(err), child.wait());
        (out, err, status)
    };
    let Ok((out, err, status)) = tokio::time::timeout(bound, work).await else {
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let message = format!("`{program}` took longer than {} s and was ended", bound.as_secs());
        return Err(Fault::new(FaultKind::OutcomeUnknown, message));
    };
    let status = status
        .map_err(|error| Fault::with(FaultKind::OutcomeUnknown, format!("failed to wait for `{program}`"), error))?;
    let words = one_line(if err.trim().is_empty() { &out } else { &err });
    Ok(Ended { code: status.code(), words, out })
}

/// Runs a command that must end with code 0.
pub async fn succeed(root: &Path, argv: &[String], bound: Duration) -> Result<String, Fault> {
    let ended = run(root, argv, bound).await?;
    let program = argv.first().map_or("", String::as_str);
    match ended.code {
        Some(0) => Ok(format!("`{}` ended well", argv.join(" "))),
        Some(code) => {
            Err(Fault::new(FaultKind::Invalid, format!("`{program}` ended with code {code}: {}", ended.words)))
        }
        None => Err(Fault::new(FaultKind::OutcomeUnknown, format!("`{program}` was ended by a signal"))),
    }
}

async fn tail(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        let _ = (&mut stream).take(MAX_OUTPUT).read_to_end(&mut kept).await;
        // The rest is read and dropped, so that the command does not block on a full pipe.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn one_line(text: &str) -> String {
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// A switch that is a command.
#[derive(Debug, Clone)]
pub struct CommandSwitch {
    /// Folder in which commands run.
    pub root: PathBuf,
    /// Name in `pause.yml`.
    pub name: String,
    /// Stops trade.
    pub engage: Vec<String>,
    /// Lets it in again.
    pub release: Vec<String>,
    /// Exit code 0: engaged, 1: released.
    pub status: Option<Vec<String>>,
    /// Bound on each.
    pub bound: Duration,
}

#[async_trait]
impl PauseSwitch for CommandSwitch {
    fn name(&self) -> &str {
        &self.name
    }

    fn describe(&self) -> String {
        format!("command `{}`", self.engage.join(" "))
    }

    async fn observe(&self) -> Result<SwitchState, Fault> {
        let Some(status) = &self.status else { return Ok(SwitchState::Unobservable) };
        let ended = run(&self.root, status, self.bound).await?;
        match ended.code {
            Some(0) => Ok(SwitchState::Engaged),
            Some(1) => Ok(SwitchState::Released),
            _ => Err(Fault::new(
                FaultKind::Invalid,
                format!("the status command of `{}` gave neither 0 nor 1: {}", self.name, ended.words),
            )),
        }
    }

    async fn engage(&self) -> Result<String, Fault> {
        succeed(&self.root, &self.engage, self.bound).await
    }

    async fn release(&self) -> Result<String, Fault> {
        succeed(&self.root, &self.release, self.bound).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[tokio::test]
    async fn commands_are_bounded_and_their_words_are_harmless() {
        let root = Path::new("/");
        let fault = run(root, &argv(&["sleep", "30"]), Duration::from_millis(100)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::OutcomeUnknown);
        let loud = argv(&["head", "-c", "1000000", "/dev/zero"]);
        assert_eq!(run(root, &loud, Duration::from_secs(10)).await.unwrap().code, Some(0));
        let ended = run(root, &argv(&["printf", "a\\n\\033[31mred\\n"]), Duration::from_secs(5)).await.unwrap();
        assert_eq!(ended.words, "[31mred");
        let missing = succeed(root, &argv(&["no-such-program-here"]), Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(missing.kind, FaultKind::NotFound);
        let failed = succeed(root, &argv(&["false"]), Duration::from_secs(5)).await.unwrap_err();
        assert!(failed.chain().contains("code 1"), "{}", failed.chain());
        // No shell: what looks like one is an argument.
        let plain = run(root, &argv(&["echo", "$(id); `id`"]), Duration::from_secs(5)).await.unwrap();
        assert_eq!(plain.words, "$(id); `id`");
    }
}
