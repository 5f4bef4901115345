use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::Request;
use crate::domain::Timestamp;
use crate::policy::api::{KeyEncoding, SignPolicy, SignatureEncoding};
use crate::policy::template::{Hash, Hole, Part, Template};
use crate::ports::{Fault, FaultKind};

/// Looks up environment variables, as the deployment has them.
pub type Variables = Arc<dyn Fn(&str) -> Option<SecretString> + Send + Sync>;

/// Those of the variables that are not set.
pub fn missing(names: &[&str], variables: &Variables) -> Vec<String> {
    let unset = names.iter().filter(|name| variables(name).is_none());
    unset.map(|name| (*name).to_owned()).collect()
}

/// The key that authenticates a call.
#[derive(Debug, Clone, Default)]
pub struct CallKey {
    /// Its id.
    pub id: Option<String>,
    /// Its secret, which signs.
    pub secret: SecretString,
}

/// A declared request, to be made now.
pub struct Call<'a> {
    /// Method.
    pub method: &'a str,
    /// Address.
    pub url: &'a Template,
    /// Headers.
    pub headers: Vec<(&'a str, &'a Template)>,
    /// Body.
    pub body: Option<&'a Template>,
    /// How it is signed.
    pub sign: Option<&'a SignPolicy>,
    /// The key that authenticates it.
    pub key: CallKey,
    /// Id of the key that it is about.
    pub target_id: Option<&'a str>,
    /// Where `{env:NAME}` is looked up.
    pub variables: &'a Variables,
    /// Bound.
    pub bound: Duration,
}

/// How values are written where they stand.
#[derive(Clone, Copy)]
enum Escape {
    None,
    Percent,
    Json,
}

/// What one call has been filled with so far.
#[derive(Default)]
struct Filled {
    values: BTreeMap<&'static str, String>,
    path: String,
    query: String,
    body: Zeroizing<Vec<u8>>,
    signature: String,
}

impl Call<'_> {
    /// The address as errors write it: without the query, and as the policy declares it.
    pub fn place(&self) -> String {
        let url = self.url.source.split('?').next().unwrap_or_default();
        format!("{} {url}", self.method)
    }

    /// Fills the templates and signs.
    pub fn request(&self) -> Result<Request, Fault> {
        self.request_at(Timestamp::now())
    }

    fn request_at(&self, now: Timestamp) -> Result<Request, Fault> {
        let mut filled = Filled { values: self.clock(now), ..Filled::default() };
        let form = self.content_escape();
        if let Some(sign) = self.sign {
            // The signature is over the request without it.
            let bare = self.text(&self.url.unsigned(), &filled, Escape::Percent)?;
            (filled.path, filled.query) = path_and_query(&bare);
            if let Some(body) = self.body {
                filled.body = self.bytes(&body.unsigned(), &filled, form)?;
            }
            filled.signature = self.signature(sign, &filled)?;
        }
        let url = self.text(self.url, &filled, Escape::Percent)?;
        (filled.path, filled.query) = path_and_query(&url);
        let body = self.body.map(|body| self.text(body, &filled, form)).transpose()?;
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let value = self.text(value, &filled, Escape::None)?;
            headers.push(((*name).to_owned(), SecretString::from(value.as_str())));
        }
        Ok(Request {
            method: self.method.to_owned(),
            url: url.to_string(),
            place: self.place(),
            headers,
            body: body.map(|body| SecretString::from(body.as_str())),
            bound: self.bound,
        })
    }

    fn clock(&self, now: Timestamp) -> BTreeMap<&'static str, String> {
        let uses = |hole: Hole| {
            let texts = [self.url].into_iter().chain(self.headers.iter().map(|(_, text)| *text)).chain(self.body);
            texts.chain(self.sign.map(|sign| &sign.over)).any(|text| text.holds(&hole))
        };
        let mut values = BTreeMap::from([
            ("timestamp", now.as_second().to_string()),
            ("timestamp_ms", now.as_millisecond().to_string()),
            ("timestamp_iso", now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()),
        ]);
        for (name, hole, unit) in
            [("nonce", Hole::Nonce, &MILLIS), ("nonce_us", Hole::NonceUs, &MICROS), ("nonce_ns", Hole::NonceNs, &NANOS)]
        {
            if uses(hole) {
                values.insert(name, unit.next(now).to_string());
            }
        }
        values
    }

    /// Values in a form are percent-encoded, in JSON escaped.
    fn content_escape(&self) -> Escape {
        let kind = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        match kind.map_or("application/json", |(_, text)| text.source.as_str()) {
            kind if kind.contains("json") => Escape::Json,
            kind if kind.contains("form-urlencoded") => Escape::Percent,
            _ => Escape::None,
        }
    }

    fn signature(&self, sign: &SignPolicy, filled: &Filled) -> Result<String, Fault> {
        let over = self.bytes(&sign.over, filled, Escape::None)?;
        let secret = self.key.secret.expose_secret();
        let decoded = match sign.key_encoding {
            KeyEncoding::Text => Ok(secret.as_bytes().to_vec()),
            KeyEncoding::Base64 => STANDARD.decode(secret).map_err(|_| "base64"),
            KeyEncoding::Hex => hex::decode(secret).map_err(|_| "hex"),
        };
        let key = Zeroizing::new(decoded.map_err(|kind| {
            Fault::new(FaultKind::Invalid, format!("the key that signs {} is no {kind}", self.place()))
        })?);
        let algorithm = match sign.hash {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        };
        let tag = hmac::sign(&hmac::Key::new(algorithm, &key), &over);
        Ok(match sign.encoding {
            SignatureEncoding::Hex => hex::encode(tag),
            SignatureEncoding::Base64 => STANDARD.encode(tag),
        })
    }

    fn text(&self, template: &Template, filled: &Filled, escape: Escape) -> Result<Zeroizing<String>, Fault> {
        let bytes = self.bytes(template, filled, escape)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => Err(Fault::new(
                FaultKind::Invalid,
                format!("a hash stands in {} as bytes; write {{sha256_hex:...}}", self.place()),
            )),
        }
    }

    fn bytes(&self, template: &Template, filled: &Filled, escape: Escape) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut out = Zeroizing::new(Vec::new());
        for part in &template.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Hole(Hole::Body) => out.extend_from_slice(&filled.body),
                Part::Hole(hole) => {
                    let value = self.value(hole, filled)?;
                    out.extend_from_slice(escaped(&value, escape).as_bytes());
                }
                Part::Hash { hash, hex, of } => {
                    let inner = self.bytes(of, filled, Escape::None)?;
                    let algorithm = match hash {
                        Hash::Sha256 => &digest::SHA256,
                        Hash::Sha512 => &digest::SHA512,
                    };
                    let made = digest::digest(algorithm, &inner);
                    if *hex {
                        out.extend_from_slice(hex::encode(made).as_bytes());
                    } else {
                        out.extend_from_slice(made.as_ref());
                    }
                }
            }
        }
        Ok(out)
    }

    fn value(&self, hole: &Hole, filled: &Filled) -> Result<Zeroizing<String>, Fault> {
        let absent = |what: &str| Fault::new(FaultKind::Invalid, format!("{} needs {what}", self.place()));
        let known = |name: &str| filled.values.get(name).cloned().unwrap_or_default();
        Ok(Zeroizing::new(match hole {
            Hole::Id => self.key.id.clone().ok_or_else(|| absent("the id of the key that authenticates it"))?,
            Hole::Secret => self.key.secret.expose_secret().to_owned(),
            Hole::TargetId => self.target_id.ok_or_else(|| absent("the id of the key that it is about"))?.to_owned(),
            Hole::Timestamp => known("timestamp"),
            Hole::TimestampMs => known("timestamp_ms"),
            Hole::TimestampIso => known("timestamp_iso"),
            Hole::Nonce => known("nonce"),
            Hole::NonceUs => known("nonce_us"),
            Hole::NonceNs => known("nonce_ns"),
            Hole::Signature => filled.signature.clone(),
            Hole::Method => self.method.to_owned(),
            Hole::Path => filled.path.clone(),
            Hole::Query => filled.query.clone(),
            Hole::Target if filled.query.is_empty() => filled.path.clone(),
            Hole::Target => format!("{}?{}", filled.path, filled.query),
            // Written as bytes by the caller.
            Hole::Body => String::new(),
            Hole::Env(name) => {
                let value = (self.variables)(name);
                value.ok_or_else(|| absent(&format!("the environment variable {name}")))?.expose_secret().to_owned()
            }
        }))
    }
}

/// The path (`/` if there is none) and the query of an address.
fn path_and_query(url: &str) -> (String, String) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('#').next().unwrap_or_default();
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = before.find('/').map_or("/", |at| &before[at..]);
    (path.to_owned(), query.to_owned())
}

fn escaped(value: &str, escape: Escape) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(value.len()));
    match escape {
        Escape::None => out.push_str(value),
        Escape::Percent => {
            for byte in value.bytes() {
                // What RFC 3986 calls unreserved.
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    out.push(char::from(byte));
                } else {
                    out.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        Escape::Json => {
            let quoted = Zeroizing::new(serde_json::Value::from(value).to_string());
            out.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    out
}

/// Numbers that only grow, in one unit.
struct Nonces {
    last: AtomicU64,
    per_second: u32,
}

static MILLIS: Nonces = Nonces { last: AtomicU64::new(0), per_second: 1_000 };
static MICROS: Nonces = Nonces { last: AtomicU64::new(0), per_second: 1_000_000 };
static NANOS: Nonces = Nonces { last: AtomicU64::new(0), per_second: 1_000_000_000 };

impl Nonces {
    fn next(&self, now: Timestamp) -> u64 {
        let units = now.as_nanosecond() / i128::from(1_000_000_000 / self.per_second);
        let units = u64::try_from(units).unwrap_or(0);
        let grow = |last: u64| Some(units.max(last + 1));
        let last = self.last.fetch_update(Ordering::SeqCst, Ordering::SeqCst, grow).unwrap_or(0);
        units.max(last + 1)
    }
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
