use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use crate::adapters::command::{run, succeed};
use crate::domain::SwitchState;
use crate::ports::{Fault, FaultKind, PauseSwitch};

/// A switch that is a unit of systemd: stopped means engaged.
#[derive(Debug, Clone)]
pub struct SystemdSwitch {
    /// Folder in which `systemctl` runs.
    pub root: PathBuf,
    /// Name in `pause.yml`.
    pub name: String,
    /// The unit.
    pub unit: String,
    /// Whether it is a unit of this user.
    pub user: bool,
    /// Bound on each command.
    pub bound: Duration,
}

impl SystemdSwitch {
    fn argv(&self, words: &[&str]) -> Vec<String> {
        let user = self.user.then_some("--user");
        // No password is asked for: nobody is there to type one.
        let options = ["systemctl"].into_iter().chain(user).chain(["--no-ask-password"]);
        options.chain(words.iter().copied()).chain(["--", self.unit.as_str()]).map(str::to_owned).collect()
    }
}

/// What `systemctl show` says; `None` if it knows no such unit, or says nothing.
fn state(shown: &str) -> Option<SwitchState> {
    let value = |key: &str| shown.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    // A unit that does not exist is `inactive`, too: nothing that could be stopped.
    if matches!(value("LoadState")?, "not-found" | "error" | "bad-setting") {
        return None;
    }
    match value("ActiveState")? {
        "inactive" | "failed" => Some(SwitchState::Engaged),
        // A unit on its way is not stopped yet.
        _ => Some(SwitchState::Released),
    }
}

#[async_trait]
impl PauseSwitch for SystemdSwitch {
    fn name(&self) -> &str {
        &self.name
    }

    fn describe(&self) -> String {
        format!("systemd unit {}{}", self.unit, if self.user { " of this user" } else { "" })
    }

    async fn observe(&self) -> Result<SwitchState, Fault> {
        let argv = self.argv(&["show", "--property=LoadState", "--property=ActiveState"]);
        let ended = run(&self.root, &argv, self.bound).await?;
        if ended.code != Some(0) {
            let words = format!("systemctl did not say what {} is: {}", self.unit, ended.words);
            return Err(Fault::new(FaultKind::Unavailable, words));
        }
        state(&ended.out).ok_or_else(|| {
            Fault::new(FaultKind::NotFound, format!("systemd knows no unit {}: correct policies/pause.yml", self.unit))
        })
    }

    async fn engage(&self) -> Result<String, Fault> {
        succeed(&self.root, &self.argv(&["stop"]), self.bound).await
    }

    async fn release(&self) -> Result<String, Fault> {
        succeed(&self.root, &self.argv(&["start"]), self.bound).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stopped_unit_is_engaged() {
        assert_eq!(state("LoadState=loaded\nActiveState=inactive\n"), Some(SwitchState::Engaged));
        assert_eq!(state("LoadState=masked\nActiveState=failed\n"), Some(SwitchState::Engaged));
        assert_eq!(state("LoadState=loaded\nActiveState=deactivating\n"), Some(SwitchState::Released));
        assert_eq!(state("LoadState=not-found\nActiveState=inactive\n"), None);
        assert_eq!(state(""), None);
    }

    #[test]
    fn the_unit_stands_behind_the_options() {
        let switch = SystemdSwitch {
            root: "/".into(),
            name: "bot".into(),
            unit: "bot.service".into(),
            user: true,
            bound: Duration::from_secs(1),
        };
        assert_eq!(switch.argv(&["stop"]), ["systemctl", "--user", "--no-ask-password", "stop", "--", "bot.service"]);
    }
}
