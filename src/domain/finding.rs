use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{DigestContext, Timestamp};

/// How much a finding matters; Sigma's five levels, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Context only.
    Informational,
    /// Rarely an incident by itself.
    Low,
    /// Should be looked at.
    Medium,
    /// Should be looked at now.
    High,
    /// A breach until shown otherwise.
    Critical,
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 5] = [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The level's name as Sigma and our outputs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Level {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a level: use informational, low, medium, high or critical"))
    }
}

/// What was scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// A log event.
    Log,
    /// A row of the trade table, or one that is missing.
    Trade,
    /// A leaked credential.
    Secret,
    /// Persistence left in the database.
    Database,
}

/// The rule or policy that made a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleRef {
    /// Stable id (a Sigma rule's `id`, a policy's name).
    pub id: String,
    /// Title for people.
    pub title: String,
    /// Level.
    pub level: Level,
}

/// Where the evidence lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// An event in a file.
    File {
        /// The path as given by the user.
        path: String,
        /// Number of the event in the file, from 0.
        record: u64,
        /// Line on which the event starts, from 1; absent where lines mean nothing.
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<u64>,
        /// Byte at which the event starts in the file (after decompression), from 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
    },
    /// A row or an object of the database.
    Table {
        /// Table, or catalog name for an object.
        table: String,
        /// Key columns and their values.
        key: Map<String, Value>,
    },
}

/// Key of `matched` that says when it was done, where that is not the time of what was found; null if that can't be known.
pub const DONE_AT: &str = "done_at";

impl Finding {
    /// When it was done, as far as that is known: a trade that was changed is older than its change.
    pub fn done_at(&self) -> Option<Timestamp> {
        match self.matched.get(DONE_AT) {
            Some(told) => told.as_str().and_then(|told| told.parse().ok()),
            None => self.time,
        }
    }
}

/// First and last event among findings at `high` or above: between them lies what the intruder did.
pub fn malicious_span<'a>(findings: impl Iterator<Item = &'a Finding>) -> Option<(Timestamp, Timestamp)> {
    let times = findings.filter(|finding| finding.rule.level >= Level::High).filter_map(Finding::done_at);
    times.fold(None, |span: Option<(Timestamp, Timestamp)>, time| {
        Some(span.map_or((time, time), |(first, last)| (first.min(time), last.max(time))))
    })
}

/// One thing found. Secrets are never inside: `event` and `matched` hold fingerprints instead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable: the same event and rule give the same id on every run. See [`finding_id`].
    pub id: String,
    /// What was scanned.
    pub kind: FindingKind,
    /// The rule that matched.
    pub rule: RuleRef,
    /// When it happened, by the event's own clock; absent where it has none.
    pub time: Option<Timestamp>,
    /// Where it lies.
    pub source: Source,
    /// The fields that made the rule match, with their values, or the explanation in words under `why`.
    pub matched: Map<String, Value>,
    /// The event or row.
    pub event: Map<String, Value>,
}

/// The stable id of a finding: the first 16 bytes of SHA-256 over kind, rule and source, in hex.
pub fn finding_id(kind: FindingKind, rule_id: &str, source: &Source) -> String {
    let mut context = DigestContext::new();
    let kind = match kind {
        FindingKind::Log => "log",
        FindingKind::Trade => "trade",
        FindingKind::Secret => "secret",
        FindingKind::Database => "database",
    };
    let place = match source {
        Source::File { path, record, .. } => format!("{path}\0{record}"),
        Source::Table { table, key } => format!("{table}\0{}", Value::Object(key.clone())),
    };
    for part in [kind, rule_id, &place] {
        // Lengths first, so that no two different triples give the same bytes.
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    hex::encode(&context.finish().0[..16])
}
