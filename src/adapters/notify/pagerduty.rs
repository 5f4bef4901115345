use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::Variable;
use super::post::{Post, origin};
use crate::domain::{Moment, Notice};
use crate::policy::contacts::Severity;
use crate::ports::{Fault, Notifier};

/// Longest summary that Events v2 takes, in characters.
const SUMMARY: usize = 1024;

/// Events API v2: one alert an incident.
pub(super) struct PagerDuty {
    pub contact: String,
    pub url: String,
    pub routing_key: Variable,
    pub severity: Severity,
}

/// What a moment does to the alert. A test leaves nothing open.
fn actions(moment: Moment) -> &'static [&'static str] {
    match moment {
        Moment::Contained => &["acknowledge"],
        Moment::Resumed => &["resolve"],
        Moment::Test => &["trigger", "resolve"],
        Moment::IncidentOpened | Moment::NotContained | Moment::StepFailed | Moment::ApprovalNeeded | Moment::Alert => {
            &["trigger"]
        }
    }
}

fn event(notice: &Notice, action: &str, severity: Severity) -> Value {
    let mut event = json!({ "event_action": action, "dedup_key": notice.subject() });
    if action == "trigger" {
        let severity = if notice.moment == Moment::Test { Severity::Info } else { severity };
        event["client"] = "portcullis".into();
        event["payload"] = json!({
            "summary": notice.headline.chars().take(SUMMARY).collect::<String>(),
            "source": "portcullis",
            "severity": severity.as_str(),
            "timestamp": notice.time,
            "class": notice.moment,
            "custom_details": { "what": notice.what, "next": notice.next, "operator": notice.operator },
        });
    }
    event
}

#[async_trait]
impl Notifier for PagerDuty {
    fn contact(&self) -> &str {
        &self.contact
    }

    fn channel(&self) -> &'static str {
        "pagerduty"
    }

    fn describe(&self) -> String {
        origin(&self.url)
    }

    fn missing(&self) -> Vec<String> {
        Variable::missing([&self.routing_key])
    }

    async fn send(&self, notice: &Notice) -> Result<String, Fault> {
        let mut said = Vec::new();
        for action in actions(notice.moment) {
            let mut event = event(notice, action, self.severity);
            event["routing_key"] = self.routing_key.value()?.expose_secret().into();
            let url = SecretString::from(self.url.as_str());
            let post = Post { place: origin(&self.url), url, headers: Vec::new(), body: event.to_string() };
            said.push(format!("{action} {}", post.send().await?));
        }
        Ok(said.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{IncidentId, Timestamp, Words};

    fn sent(moment: Moment, action: &str) -> Value {
        let incident = Some(IncidentId::new("inc-1").unwrap());
        let words = Words { headline: "h".into(), what: vec!["w".into()], next: "n".into() };
        event(&Notice::new(moment, incident, Timestamp::UNIX_EPOCH, "dana", &words), action, Severity::Error)
    }

    #[test]
    fn all_notices_of_an_incident_share_one_alert() {
        let trigger = sent(Moment::IncidentOpened, "trigger");
        assert_eq!(trigger["dedup_key"], "inc-1");
        assert_eq!(trigger["payload"]["severity"], "error");
        assert_eq!(trigger["payload"]["custom_details"]["next"], "n");
        let resolve = sent(Moment::Resumed, "resolve");
        assert_eq!((&resolve["dedup_key"], &resolve["payload"]), (&Value::from("inc-1"), &Value::Null));
        assert_eq!(actions(Moment::Contained), ["acknowledge"]);
        assert_eq!(actions(Moment::Test), ["trigger", "resolve"]);
    }
}
