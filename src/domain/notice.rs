use std::fmt;

use serde::{Deserialize, Serialize};

use super::{IncidentId, Timestamp, clean};

/// Moments at which people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// An incident was opened.
    IncidentOpened,
    /// Trading is stopped and every old credential is dead.
    Contained,
    /// A lockdown ended, and the breach is not contained.
    NotContained,
    /// A step failed, or its outcome is unknown.
    StepFailed,
    /// The audit record waits for signatures.
    ApprovalNeeded,
    /// Trading was let in again.
    Resumed,
    /// Enhanced monitoring saw something.
    Alert,
    /// Somebody tries whether notices arrive.
    Test,
}

impl Moment {
    /// The name as policies and outputs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IncidentOpened => "incident_opened",
            Self::Contained => "contained",
            Self::NotContained => "not_contained",
            Self::StepFailed => "step_failed",
            Self::ApprovalNeeded => "approval_needed",
            Self::Resumed => "resumed",
            Self::Alert => "alert",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// The channel took it.
    Sent,
    /// It did not.
    Failed,
    /// It did not say in time.
    Unknown,
}

impl Delivery {
    /// The name as outputs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Longest line of a notice, in characters.
const LINE: usize = 400;
/// Most lines of what happened.
const LINES: usize = 12;

/// What people are told: plain text in single lines, without control characters and without a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The same for every try, so that a receiver can drop a repetition.
    pub id: String,
    /// Why it is sent.
    pub moment: Moment,
    /// The incident; absent for a test.
    pub incident: Option<IncidentId>,
    /// When it was made.
    pub time: Timestamp,
    /// Who acts.
    pub operator: String,
    /// One sentence.
    pub headline: String,
    /// What happened, a line each.
    pub what: Vec<String>,
    /// What is next.
    pub next: String,
}

impl Notice {
    /// A notice out of texts of which some may be the intruder's: each becomes one clean, bounded line.
    pub fn new(moment: Moment, incident: Option<IncidentId>, time: Timestamp, operator: &str, words: &Words) -> Self {
        let subject = incident.as_ref().map_or("no-incident", IncidentId::as_str);
        let id = format!("{subject}/{moment}/{}", time.as_millisecond());
        let more = words.what.len().saturating_sub(LINES);
        let mut what: Vec<String> = words.what.iter().take(LINES).map(|text| line(text)).collect();
        if more > 0 {
            what.push(format!("and {more} more"));
        }
        let (headline, next, operator) = (line(&words.headline), line(&words.next), line(operator));
        Self { id, moment, incident, time, operator, headline, what, next }
    }

    /// What all notices of an incident share.
    pub fn subject(&self) -> &str {
        self.incident.as_ref().map_or("portcullis-test", IncidentId::as_str)
    }

    /// The whole as plain text.
    pub fn text(&self) -> String {
        let mut lines = vec![self.headline.clone(), String::new()];
        lines.extend(self.what.iter().map(|text| format!("- {text}")));
        if !self.what.is_empty() {
            lines.push(String::new());
        }
        lines.push(format!("Next: {}", self.next));
        lines.push(format!("Incident: {}", self.incident.as_ref().map_or("none", IncidentId::as_str)));
        lines.push(format!("At: {} by {}", self.time, self.operator));
        lines.join("\n")
    }
}

/// The words of a notice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// One sentence.
    pub headline: String,
    /// What happened, a line each.
    pub what: Vec<String>,
    /// What is next.
    pub next: String,
}

fn line(text: &str) -> String {
    let text = clean(text);
    match text.char_indices().nth(LINE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_breaks_out_of_its_line(headline in any::<String>(), what in prop::collection::vec(any::<String>(), 0..20)) {
            let words = Words { headline, what: what.clone(), next: "look".into() };
            let notice = Notice::new(Moment::Test, None, Timestamp::UNIX_EPOCH, "a\nb", &words);
            prop_assert!(notice.what.len() <= LINES + 1);
            let lines = notice.text();
            let blank = usize::from(!what.is_empty());
            prop_assert_eq!(lines.lines().count(), 2 + notice.what.len() + blank + 3);
            prop_assert!(!lines.chars().any(|c| c.is_control() && c != '\n'));
            prop_assert!(lines.lines().all(|text| text.chars().count() <= LINE + 40));
        }
    }

    #[test]
    fn moments_are_written_as_they_are_read() {
        for moment in [Moment::IncidentOpened, Moment::NotContained, Moment::ApprovalNeeded, Moment::Test] {
            assert_eq!(serde_json::to_value(moment).unwrap(), moment.as_str());
        }
    }
}
