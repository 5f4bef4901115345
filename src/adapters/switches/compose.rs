use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::adapters::command::{Ended, run, succeed};
use crate::domain::SwitchState;
use crate::policy::pause::{ComposeSwitchPolicy, ComposeVersion};
use crate::ports::{Fault, FaultKind, PauseSwitch};

/// The plugin of Compose 2.
const V2: [&str; 2] = ["docker", "compose"];
/// The program of Compose 1.
const V1: [&str; 1] = ["docker-compose"];
/// Bound on finding out which Compose there is.
const FIND: Duration = Duration::from_secs(5);

/// A switch that is services of Docker Compose: stopped means engaged.
pub struct ComposeSwitch {
    root: PathBuf,
    policy: ComposeSwitchPolicy,
    program: OnceCell<&'static [&'static str]>,
}

impl ComposeSwitch {
    /// Compose runs in `root`.
    pub fn new(root: impl Into<PathBuf>, policy: ComposeSwitchPolicy) -> Self {
        Self { root: root.into(), policy, program: OnceCell::new() }
    }

    fn bound(&self) -> Duration {
        Duration::from_secs(self.policy.timeout_s)
    }

    async fn program(&self) -> &'static [&'static str] {
        match self.policy.version {
            ComposeVersion::V1 => &V1,
            ComposeVersion::V2 => &V2,
            ComposeVersion::Auto => self.program.get_or_init(|| self.find()).await,
        }
    }

    async fn find(&self) -> &'static [&'static str] {
        let argv: Vec<String> = V2.into_iter().chain(["version"]).map(str::to_owned).collect();
        match run(&self.root, &argv, FIND).await {
            Ok(Ended { code: Some(0), .. }) => &V2,
            _ => &V1,
        }
    }

    fn argv(&self, program: &[&str], words: &[&str]) -> Vec<String> {
        let mut argv: Vec<&str> = program.to_vec();
        for (option, value) in [("--file", &self.policy.file), ("--project-name", &self.policy.project)] {
            argv.extend(value.iter().flat_map(|value| [option, value.as_str()]));
        }
        argv.extend(words);
        argv.into_iter().map(str::to_owned).collect()
    }

    async fn change(&self, verb: &str) -> Result<String, Fault> {
        let mut words = vec![verb];
        words.extend(self.policy.services.iter().map(String::as_str));
        let argv = self.argv(self.program().await, &words);
        succeed(&self.root, &argv, self.bound()).await
    }

    /// The lines that a command prints.
    async fn lines(&self, words: &[&str]) -> Result<Vec<String>, Fault> {
        let argv = self.argv(self.program().await, words);
        let ended = run(&self.root, &argv, self.bound()).await?;
        if ended.code != Some(0) {
            let said = format!("`{}` did not say which services run: {}", argv.join(" "), ended.words);
            return Err(Fault::new(FaultKind::Unavailable, said));
        }
        Ok(ended.out.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
    }
}

#[async_trait]
impl PauseSwitch for ComposeSwitch {
    fn name(&self) -> &str {
        &self.policy.name
    }

    fn describe(&self) -> String {
        format!("Compose services {}", self.policy.services.join(", "))
    }

    async fn observe(&self) -> Result<SwitchState, Fault> {
        // A service that Compose does not know never runs: that is no pause.
        let (known, running) = tokio::join!(
            self.lines(&["config", "--services"]),
            self.lines(&["ps", "--services", "--filter", "status=running"])
        );
        let (known, running) = (known?, running?);
        if let Some(service) = self.policy.services.iter().find(|service| !known.contains(service)) {
            let words = format!("Compose knows no service `{service}`: correct policies/pause.yml");
            return Err(Fault::new(FaultKind::NotFound, words));
        }
        let runs = self.policy.services.iter().any(|service| running.contains(service));
        Ok(if runs { SwitchState::Released } else { SwitchState::Engaged })
    }

    async fn engage(&self) -> Result<String, Fault> {
        self.change("stop").await
    }

    async fn release(&self) -> Result<String, Fault> {
        self.change("start").await
    }
}
