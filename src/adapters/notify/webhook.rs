use async_trait::async_trait;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

use super::Variable;
use super::post::{Post, origin};
use crate::domain::Notice;
use crate::ports::{Fault, FaultKind, Notifier};

/// A POST of the notice as JSON.
pub(super) struct Webhook {
    pub contact: String,
    pub url: String,
    pub bearer: Option<Variable>,
    pub signing: Option<Variable>,
}

/// The value of `x-portcullis-signature`.
fn signature(key: &SecretString, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body.as_bytes())))
}

#[async_trait]
impl Notifier for Webhook {
    fn contact(&self) -> &str {
        &self.contact
    }

    fn channel(&self) -> &'static str {
        "webhook"
    }

    fn describe(&self) -> String {
        origin(&self.url)
    }

    fn missing(&self) -> Vec<String> {
        Variable::missing(self.bearer.iter().chain(&self.signing))
    }

    async fn send(&self, notice: &Notice) -> Result<String, Fault> {
        let body = serde_json::to_string(notice)
            .map_err(|error| Fault::with(FaultKind::Invalid, "failed to encode the notice", error))?;
        let mut headers = Vec::new();
        if let Some(bearer) = &self.bearer {
            let value = format!("Bearer {}", bearer.value()?.expose_secret());
            headers.push(("authorization", SecretString::from(value)));
        }
        if let Some(signing) = &self.signing {
            headers.push(("x-portcullis-signature", SecretString::from(signature(signing.value()?, &body))));
        }
        Post { place: origin(&self.url), url: SecretString::from(self.url.as_str()), headers, body }.send().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_hmac_sha256_as_rfc_4231_has_it() {
        // RFC 4231, test case 2.
        let made = signature(&SecretString::from("Jefe"), "what do ya want for nothing?");
        assert_eq!(made, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
