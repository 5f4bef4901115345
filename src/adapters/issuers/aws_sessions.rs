//! The policy that ends sessions of AWS, and the clock by which it is written.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_iam::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_iam::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_iam::error::BoxError;

use crate::domain::Timestamp;

/// AWS's clock, as the `Date` of its last reply gives it: sessions are dated by it, not by ours.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerTime(Arc<Mutex<Option<Timestamp>>>);

impl ServerTime {
    /// The server's time, or ours where no reply gave one.
    pub fn now(&self) -> Timestamp {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Timestamp::now)
    }
}

impl Intercept for ServerTime {
    fn name(&self) -> &'static str {
        "ServerTime"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").and_then(http_date);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// The second after `now`: issue times have whole seconds, and a session of this very second must die too.
pub(super) fn cut_after(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second() + 1).unwrap_or(now)
}

/// A policy that denies everything to sessions issued before `cut`. Long-term keys have no issue time: it does not hit them.
pub(super) fn revoke_older(name: &str, cut: Timestamp) -> String {
    // An `Sid` is letters and digits.
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": name,
            "Effect": "Deny",
            "Action": ["*"],
            "Resource": ["*"],
            "Condition": { "DateLessThan": { "aws:TokenIssueTime": cut.to_string() } }
        }]
    })
    .to_string()
}

/// The time before which a policy made by [`revoke_older`] ends sessions. IAM gives documents percent-encoded.
pub(super) fn cut_of(document: &str) -> Option<Timestamp> {
    let plain = percent_decoded(document)?;
    let document: serde_json::Value = serde_json::from_str(&plain).ok()?;
    document.pointer("/Statement/0/Condition/DateLessThan/aws:TokenIssueTime")?.as_str()?.parse().ok()
}

fn percent_decoded(text: &str) -> Option<String> {
    if text.trim_start().starts_with('{') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_policy_denies_what_was_issued_up_to_this_second() {
        let now = http_date("Tue, 24 Nov 2026 15:45:34 GMT").unwrap();
        let cut = cut_after(now);
        let text = revoke_older("AWSRevokeOlderSessions", cut);
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let statement = &document["Statement"][0];
        assert_eq!(statement["Effect"], "Deny");
        assert_eq!(statement["Action"], serde_json::json!(["*"]));
        assert_eq!(statement["Condition"]["DateLessThan"]["aws:TokenIssueTime"], "2026-11-24T15:45:35Z");
        assert_eq!(cut_of(&text), Some(cut));
    }

    #[test]
    fn a_document_of_somebody_else_has_no_cut() {
        for text in ["", "%", "%zz", "{}", "{\"Statement\":[{\"Effect\":\"Deny\"}]}", "%7B%7D"] {
            assert_eq!(cut_of(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_cut_is_read_back_from_the_encoded_document(second in 0_i64..4_000_000_000) {
            let cut = Timestamp::from_second(second).unwrap();
            let plain = revoke_older("Name", cut);
            let encoded: String = plain.bytes().flat_map(|byte| ['%'].into_iter().chain(hex::encode([byte]).chars().collect::<Vec<_>>())).collect();
            prop_assert_eq!(cut_of(&encoded), Some(cut));
        }

        #[test]
        fn nothing_read_from_a_server_breaks_the_reader(text in ".{0,60}") {
            let _ = cut_of(&text);
            let _ = http_date(&text);
        }
    }
}
