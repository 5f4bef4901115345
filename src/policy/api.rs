//! Requests to somebody else's HTTP API, as policies declare them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::contacts::{address_problem, is_variable};
use super::template::{Hash, Hole, Template};

/// A key that an HTTP API makes, tests and deletes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpApiPolicy {
    /// Makes a new key; its answer is JSON.
    pub create: ApiRequest,
    /// JSON pointer (RFC 6901) of the new key's id in that answer; absent if keys have none.
    #[serde(default)]
    pub created_id: Option<String>,
    /// JSON pointer (RFC 6901) of the new key's secret in that answer.
    pub created_secret: String,
    /// Deletes the key `{target_id}`.
    pub revoke: ApiRequest,
    /// A read-only request that a live key is allowed: 2xx, and 401 or 403 with a dead one.
    pub test: ApiRequest,
    /// Cancels all open orders; sent before the key is killed.
    #[serde(default)]
    pub cancel: Option<ApiRequest>,
    /// Lists the keys, so that one whose making was answered by silence can be found and deleted.
    #[serde(default)]
    pub list: Option<ListPolicy>,
    /// How requests are signed.
    #[serde(default)]
    pub sign: Option<SignPolicy>,
    /// Where a person finds the keys, in words.
    #[serde(default)]
    pub console: Option<String>,
    /// Bound on one request, in seconds.
    #[serde(default = "default_timeout")]
    pub timeout_s: u64,
}

fn default_timeout() -> u64 {
    10
}

/// One request of an HTTP API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiRequest {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Address.
    pub url: Template,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// Body, sent as `application/json` unless a header says otherwise.
    #[serde(default)]
    pub body: Option<Template>,
    /// Which key authenticates it; absent: the old one makes and cancels, the new one deletes.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// What an answer of 2xx must say, too, to count as one.
    #[serde(default)]
    pub ok: Option<Expect>,
    /// Answers of any status that say that the key is dead or gone. In `test`, if there are some, nothing else says so.
    #[serde(default)]
    pub refused: Vec<Expect>,
}

/// Which key authenticates a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// The one that is being replaced.
    Old,
    /// The one that replaces it.
    New,
    /// Another one, in that environment variable: `id:secret`, or a secret alone.
    Env(String),
}

/// What an answer says at a place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// JSON pointer (RFC 6901).
    pub at: String,
    /// The value there.
    pub is: serde_json::Value,
}

/// How the keys of an account are listed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListPolicy {
    /// The request; its answer is JSON.
    pub request: ApiRequest,
    /// JSON pointer of the array of keys in the answer.
    #[serde(default)]
    pub entries: String,
    /// JSON pointer of a key's id in its entry.
    #[serde(default)]
    pub id: String,
    /// Which entries are keys of this credential; absent: all.
    #[serde(default)]
    pub only: Option<Expect>,
    /// Ids of keys that belong to others and are never touched.
    #[serde(default)]
    pub keep: Vec<String>,
}

/// A signature: an HMAC over a template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignPolicy {
    /// What is signed.
    pub over: Template,
    /// Which HMAC.
    #[serde(default)]
    pub hash: Hash,
    /// How the signature is written.
    #[serde(default)]
    pub encoding: SignatureEncoding,
    /// How the key is written.
    #[serde(default)]
    pub key_encoding: KeyEncoding,
    /// Environment variable that holds the key: for switches; an API's requests are signed with the authenticating key.
    #[serde(default)]
    pub secret_env: Option<String>,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureEncoding {
    /// Hexadecimal, small letters.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
}

/// How a signing key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyEncoding {
    /// Its text is the key.
    #[default]
    Text,
    /// Base64 with padding.
    Base64,
    /// Hexadecimal.
    Hex,
}

impl HttpApiPolicy {
    /// Names of the environment variables that its requests need.
    pub fn variables(&self) -> Vec<&str> {
        let list = self.list.as_ref().map(|list| &list.request);
        let requests = [&self.create, &self.revoke, &self.test].into_iter().chain(&self.cancel).chain(list);
        let mut names: Vec<&str> = requests
            .flat_map(|request| {
                let texts = request.headers.values().chain(&request.body);
                let holes = texts.flat_map(Template::holes).filter_map(|hole| match hole {
                    Hole::Env(name) => Some(name.as_str()),
                    _ => None,
                });
                let key = match &request.auth {
                    Some(Auth::Env(name)) => Some(name.as_str()),
                    _ => None,
                };
                holes.chain(key)
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether a new key can be made without a living old one.
    pub fn makes_keys_alone(&self) -> bool {
        matches!(self.create.auth, Some(Auth::Env(_)))
    }

    /// What the types alone can't say; `pair` tells whether keys are kept as an id and a secret. The first word is the key of
    /// the policy that it is about.
    pub(super) fn problem(&self, pair: bool) -> Option<(&'static str, String)> {
        let list = self.list.as_ref().map(|list| ("list", &list.request));
        let cancel = self.cancel.as_ref().map(|cancel| ("cancel", cancel));
        let requests = [("create", &self.create), ("revoke", &self.revoke), ("test", &self.test)];
        for (name, request) in requests.into_iter().chain(cancel).chain(list) {
            if let Some(words) = request.problem(self.sign.as_ref(), pair) {
                return Some((name, words));
            }
        }
        if self.test.auth.is_some() {
            return Some(("test", "test is always authenticated by the key that is tested".into()));
        }
        if self.test.method != "GET" && self.test.method != "POST" {
            return Some(("test", "test only reads: its method is GET or POST".into()));
        }
        if self.create.auth == Some(Auth::New) {
            return Some(("create", "the new key can't make itself: auth is old or { env: NAME }".into()));
        }
        if self.created_id.is_some() != pair {
            let words =
                "created_id goes with parts key_id and key_secret in `kept`: keys have an id, or they have none";
            return Some(("created_secret", words.into()));
        }
        if self.list.is_some() && !pair {
            return Some(("list", "keys without an id can't be told apart in a list".into()));
        }
        let list = self.list.as_ref();
        let pointers = [Some(&self.created_secret), self.created_id.as_ref()].into_iter().flatten();
        let listed = list.into_iter().flat_map(|list| [&list.entries, &list.id]);
        let expected = list.and_then(|list| list.only.as_ref()).map(|only| &only.at);
        if let Some(bad) = pointers.chain(listed).chain(expected).find(|pointer| !is_pointer(pointer)) {
            return Some(("created_secret", format!("`{bad}` is no JSON pointer: it is empty or starts with `/`")));
        }
        if self.sign.as_ref().is_some_and(|sign| sign.secret_env.is_some()) {
            return Some((
                "sign",
                "requests are signed with the key that authenticates them: leave secret_env out".into(),
            ));
        }
        let bound = self.timeout_s;
        (!(1..=20).contains(&bound)).then(|| ("timeout_s", "timeout_s is 1 to 20".into()))
    }
}

impl ApiRequest {
    fn problem(&self, sign: Option<&SignPolicy>, pair: bool) -> Option<String> {
        let texts = || [&self.url].into_iter().chain(self.headers.values()).chain(&self.body);
        if !pair && texts().any(|text| text.holds(&Hole::Id) || text.holds(&Hole::TargetId)) {
            return Some("{id} and {target_id} need keys that are an id and a secret".into());
        }
        if matches!(&self.auth, Some(Auth::Env(name)) if name.is_empty() || !is_variable(name)) {
            return Some("auth.env holds the name of an environment variable, never the secret itself".into());
        }
        let expected = self.ok.iter().chain(&self.refused);
        if let Some(bad) = expected.map(|expect| &expect.at).find(|pointer| !is_pointer(pointer)) {
            return Some(format!("`{bad}` is no JSON pointer: it is empty or starts with `/`"));
        }
        request_problem(&self.method, &self.url, &self.headers, self.body.as_ref(), sign)
    }
}

/// What is wrong with a request, whoever declares it.
pub(super) fn request_problem(
    method: &str,
    url: &Template,
    headers: &BTreeMap<String, Template>,
    body: Option<&Template>,
    sign: Option<&SignPolicy>,
) -> Option<String> {
    if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method) {
        return Some("method is GET, POST, PUT, PATCH or DELETE".into());
    }
    if method == "GET" && body.is_some() {
        return Some("a GET has no body".into());
    }
    if let Some(words) = address_problem(&url.source, true) {
        return Some(words.into());
    }
    let (_, rest) = url.source.split_once("://").unwrap_or_default();
    if rest.split(['/', '?']).next().is_some_and(|host| host.contains('{')) {
        return Some("the host of `url` may hold no placeholder".into());
    }
    for hole in url.holes() {
        match hole {
            Hole::Secret | Hole::Env(_) => {
                return Some("`url` may hold no secret, since addresses are logged; use a header".into());
            }
            Hole::Method | Hole::Path | Hole::Query | Hole::Target | Hole::Body => {
                return Some("`url` can't hold a part of itself or of the request: that is for `sign.over`".into());
            }
            _ => {}
        }
    }
    if let Some(name) = headers.keys().find(|name| !is_header(name)) {
        return Some(format!("`{}` is no name of a header", name.escape_debug()));
    }
    let texts = || [url].into_iter().chain(headers.values()).chain(body);
    let signed = texts().any(|text| text.holds(&Hole::Signature));
    let Some(sign) = sign else {
        return signed.then(|| "{signature} needs `sign`".into());
    };
    if sign.over.holds(&Hole::Signature) {
        return Some("sign.over can't hold the {signature} itself".into());
    }
    let uses = |holes: &[Hole]| holes.iter().any(|hole| sign.over.holds(hole));
    let address = uses(&[Hole::Query, Hole::Target, Hole::Path]) && !signature_is_last(url);
    let content = uses(&[Hole::Body]) && body.is_some_and(|body| !signature_is_last(body));
    (address || content).then(|| "{signature} must be the last parameter of what sign.over signs".into())
}

/// Whether nothing comes after the signature, if there is one.
fn signature_is_last(text: &Template) -> bool {
    use super::template::Part;
    !text.holds(&Hole::Signature)
        || (text.parts.last() == Some(&Part::Hole(Hole::Signature))
            && text.holes().iter().filter(|hole| ***hole == Hole::Signature).count() == 1)
}

/// A pointer of RFC 6901.
pub(super) fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}

/// A name of a header (RFC 9110, a token).
fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
