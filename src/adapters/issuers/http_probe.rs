//! The proof by request: a service accepts a live value with 2xx and refuses a dead one with 401 or 403.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::adapters::http::{Request, send};
use crate::domain::{Probe, Timestamp, ed25519_pem, key_pair};
use crate::policy::credentials::{CredentialPolicy, ProofPolicy};
use crate::ports::{Fault, FaultKind};

/// Asks the service; `None` if the policy has no proof by request.
pub(super) async fn probe(credential: &CredentialPolicy, value: &SecretString) -> Option<Result<Probe, Fault>> {
    let Some(ProofPolicy::Http { url, header, template, claims }) = &credential.proof else { return None };
    Some(match header_value(credential, template, claims.as_deref(), value) {
        Ok(text) => ask(url, header, text).await,
        Err(fault) => Err(fault),
    })
}

/// What the header must say for that value.
fn header_value(
    credential: &CredentialPolicy,
    template: &str,
    claims: Option<&str>,
    value: &SecretString,
) -> Result<SecretString, Fault> {
    // A pair is asked for by its secret, under its id.
    let pair = if credential.is_pair() { key_pair::id_of(value).zip(key_pair::secret_of(value)) } else { None };
    let (id, secret) = pair.map_or_else(|| (None, value.clone()), |(id, secret)| (Some(id), secret));
    let jwt = if template.contains("{jwt}") { Some(jwt(claims, id, &secret)?) } else { None };
    let mut text = Zeroizing::new(template.replace("{value}", secret.expose_secret()));
    if let Some(id) = id {
        text = Zeroizing::new(text.replace("{id}", id));
    }
    if let Some(jwt) = jwt {
        text = Zeroizing::new(text.replace("{jwt}", &jwt));
    }
    Ok(SecretString::from(text.as_str()))
}

async fn ask(url: &str, header: &str, text: SecretString) -> Result<Probe, Fault> {
    let status = send(Request::get(url).header(header, text)).await?;
    Ok(match status {
        200..=299 => Probe::Accepted,
        401 | 403 => Probe::Refused { reason: format!("{url} answered {status}") },
        // A broken service refuses everything; that proves nothing.
        _ => Probe::Meaningless { reason: format!("{url} answered {status}, neither 2xx nor 401 or 403") },
    })
}

/// A token of five minutes (RFC 7515, RFC 7519): `EdDSA` (RFC 8037) if the key is an Ed25519 key in PEM, else HS256.
fn jwt(claims: Option<&str>, id: Option<&str>, key: &SecretString) -> Result<Zeroizing<String>, Fault> {
    let mut claims: serde_json::Map<String, serde_json::Value> = serde_json::from_str(claims.unwrap_or("{}"))
        .map_err(|error| Fault::with(FaultKind::Invalid, "proof.claims is not a JSON object", error))?;
    let now = Timestamp::now().as_second();
    claims.insert("iat".into(), now.into());
    claims.insert("exp".into(), (now + 300).into());
    let claims = serde_json::Value::Object(claims).to_string();
    let signer = ed25519_pem::signer(key);
    let mut head = serde_json::json!({ "alg": if signer.is_some() { "EdDSA" } else { "HS256" }, "typ": "JWT" });
    if let Some(id) = id {
        head["kid"] = id.into();
    }
    let head = URL_SAFE_NO_PAD.encode(head.to_string());
    let mut token = Zeroizing::new(format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims)));
    let tag = if let Some(signer) = signer {
        signer.sign(token.as_bytes()).as_ref().to_vec()
    } else {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes());
        hmac::sign(&key, token.as_bytes()).as_ref().to_vec()
    };
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
        let token = jwt(Some(r#"{"sub":"canary"}"#), Some("k-1"), &key).unwrap();
        let (signed, tag) = token.rsplit_once('.').unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"k");
        hmac::verify(&key, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(tag).unwrap()).unwrap();
        let head = URL_SAFE_NO_PAD.decode(signed.split('.').next().unwrap()).unwrap();
        assert_eq!(head, br#"{"alg":"HS256","typ":"JWT","kid":"k-1"}"#);
        let claims = URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).unwrap()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["sub"], "canary");
        assert!(jwt(Some("[]"), None, &SecretString::from("k")).is_err());
    }

    #[test]
    fn a_pem_key_signs_as_eddsa() {
        use ring::signature::{ED25519, KeyPair as _, UnparsedPublicKey};
        let pem = ed25519_pem::private(&[3; 32]);
        let token = jwt(None, None, &pem).unwrap();
        let (signed, tag) = token.rsplit_once('.').unwrap();
        let public = ed25519_pem::signer(&pem).unwrap().public_key().as_ref().to_vec();
        let tag = URL_SAFE_NO_PAD.decode(tag).unwrap();
        UnparsedPublicKey::new(&ED25519, public).verify(signed.as_bytes(), &tag).unwrap();
        assert!(URL_SAFE_NO_PAD.decode(signed.split('.').next().unwrap()).unwrap().starts_with(br#"{"alg":"EdDSA""#));
    }
}
