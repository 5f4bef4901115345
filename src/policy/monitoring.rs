//! `policies/monitoring.yml`: enhanced monitoring, before and after a resume. The file may be missing.

use serde::Deserialize;

use crate::domain::Level;

/// Name of the file.
pub const FILE: &str = "monitoring.yml";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonitoringPolicy {
    /// Schema version: 1.
    pub version: u32,
    /// Log files and folders that `watch` follows.
    #[serde(default)]
    pub logs: Vec<String>,
    /// Entries of the systemd journal that `watch` follows; absent: none.
    #[serde(default)]
    pub journald: Option<JournaldPolicy>,
    /// Lowest level that is an alert.
    #[serde(default = "default_alert_from")]
    pub alert_from: Level,
    /// Alerts at this level or above drop the gate again; absent: none does.
    #[serde(default)]
    pub auto_pause: Option<Level>,
    /// Milliseconds between two looks at the trade table.
    #[serde(default = "default_trades")]
    pub trades_every_ms: u64,
    /// Channel on which PostgreSQL tells (`NOTIFY`) that there are new trades: they are looked at at once, besides.
    #[serde(default)]
    pub trades_channel: Option<String>,
    /// Seconds between two looks at the guard.
    #[serde(default = "default_guard")]
    pub guard_every_s: u64,
    /// Seconds between two looks for persistence in the database.
    #[serde(default = "default_database")]
    pub database_every_s: u64,
    /// Whether the gate asks that `watch` runs before trading may resume.
    #[serde(default)]
    pub required_for_resume: bool,
}

/// `journald:` of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournaldPolicy {
    /// Units whose entries are read; none: all.
    #[serde(default)]
    pub units: Vec<String>,
    /// Folder of journal files; absent: this machine's journal.
    #[serde(default)]
    pub directory: Option<String>,
}

impl Default for MonitoringPolicy {
    fn default() -> Self {
        Self {
            version: 1,
            logs: Vec::new(),
            journald: None,
            alert_from: default_alert_from(),
            auto_pause: None,
            trades_every_ms: default_trades(),
            trades_channel: None,
            guard_every_s: default_guard(),
            database_every_s: default_database(),
            required_for_resume: false,
        }
    }
}

fn default_alert_from() -> Level {
    Level::Medium
}

fn default_trades() -> u64 {
    400
}

fn default_guard() -> u64 {
    5
}

fn default_database() -> u64 {
    60
}
