//! The proof by request: a service accepts a live value with 2xx and refuses a dead one with 401 or 403.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::adapters::http::{Request, send};
use crate::domain::{Probe, Timestamp};
use crate::policy::credentials::ProofPolicy;
use crate::ports::{Fault, FaultKind};

/// Asks the service; `None` if the policy has no proof by request.
pub(super) async fn probe(policy: Option<&ProofPolicy>, value: &SecretString) -> Option<Result<Probe, Fault>> {
    let Some(ProofPolicy::Http { url, header, template, claims }) = policy else { return None };
    Some(ask(url, header, template, claims.as_deref(), value).await)
}

async fn ask(
    url: &str,
    header: &str,
    template: &str,
    claims: Option<&str>,
    value: &SecretString,
) -> Result<Probe, Fault> {
    let jwt = if template.contains("{jwt}") { Some(jwt(claims, value)?) } else { None };
    let mut text = Zeroizing::new(template.replace("{value}", value.expose_secret()));
    if let Some(jwt) = jwt {
        text = Zeroizing::new(text.replace("{jwt}", &jwt));
    }
    let header = Some((header.to_owned(), SecretString::from(text.as_str())));
    let status = send(Request { method: "GET".into(), url: url.to_owned(), header, body: None }).await?;
    Ok(match status {
        200..=299 => Probe::Accepted,
        401 | 403 => Probe::Refused { reason: format!("{url} answered {status}") },
        // A broken service refuses everything; that proves nothing.
        _ => Probe::Meaningless { reason: format!("{url} answered {status}, neither 2xx nor 401 or 403") },
    })
}

/// A token of five minutes, HS256 (RFC 7515, RFC 7519).
fn jwt(claims: Option<&str>, key: &SecretString) -> Result<Zeroizing<String>, Fault> {
    let mut claims: serde_json::Map<String, serde_json::Value> = serde_json::from_str(claims.unwrap_or("{}"))
        .map_err(|error| Fault::with(FaultKind::Invalid, "proof.claims is not a JSON object", error))?;
    let now = Timestamp::now().as_second();
    claims.insert("iat".into(), now.into());
    claims.insert("exp".into(), (now + 300).into());
    let claims = serde_json::Value::Object(claims).to_string();
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let mut token = Zeroizing::new(format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims)));
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes());
    let tag = hmac::sign(&key, token.as_bytes());
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(tag));
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_one_that_its_key_verifies() {
        let key = SecretString::from("k");
        let token = jwt(Some(r#"{"sub":"canary"}"#), &key).unwrap();
        let (signed, tag) = token.rsplit_once('.').unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"k");
        hmac::verify(&key, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(tag).unwrap()).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).unwrap()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["sub"], "canary");
        assert!(jwt(Some("[]"), &SecretString::from("k")).is_err());
    }
}
