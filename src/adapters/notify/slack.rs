use async_trait::async_trait;
use serde_json::json;

use super::Variable;
use super::post::Post;
use crate::domain::Notice;
use crate::ports::{Fault, Notifier};

/// A Slack-compatible incoming webhook.
pub(super) struct Slack {
    pub contact: String,
    pub address: Variable,
}

/// Text that is shown as it is: no mention, no link, no formatting.
fn literal(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn body(notice: &Notice) -> String {
    // No links are looked up: a look-up would tell the owner of a planted address that it was read.
    let text = literal(&notice.text());
    json!({ "text": text, "mrkdwn": false, "unfurl_links": false, "unfurl_media": false, "link_names": false })
        .to_string()
}

#[async_trait]
impl Notifier for Slack {
    fn contact(&self) -> &str {
        &self.contact
    }

    fn channel(&self) -> &'static str {
        "slack"
    }

    fn describe(&self) -> String {
        format!("the incoming webhook in {}", self.address.name)
    }

    fn missing(&self) -> Vec<String> {
        Variable::missing([&self.address])
    }

    async fn send(&self, notice: &Notice) -> Result<String, Fault> {
        let url = self.address.value()?.clone();
        Post { place: self.describe(), url, headers: Vec::new(), body: body(notice) }.send().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Moment, Timestamp, Words};

    #[test]
    fn nobody_is_mentioned_by_what_an_intruder_wrote() {
        let words = Words {
            headline: "<!channel> & <https://evil.example|click>".into(),
            what: vec!["a\u{202e}b".into()],
            next: "x".into(),
        };
        let notice = Notice::new(Moment::StepFailed, None, Timestamp::UNIX_EPOCH, "dana", &words);
        let sent: serde_json::Value = serde_json::from_str(&body(&notice)).unwrap();
        let text = sent["text"].as_str().unwrap();
        assert!(text.starts_with("&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;\n"), "{text}");
        assert!(!text.contains('\u{202e}') && sent["mrkdwn"] == false, "{text}");
    }
}
