//! Switches of `policies/pause.yml`: ways to stop trade besides the guard.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::api::{SignPolicy, is_pointer, request_problem};
use super::contacts::is_variable;
use super::template::{Hole, Template};

/// One more way to stop trade.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SwitchPolicy {
    /// A file whose existence means "paused".
    File {
        /// Name.
        name: String,
        /// Path.
        path: String,
    },
    /// A request to the service.
    Http(Box<HttpSwitchPolicy>),
    /// A command: program and arguments, never a shell.
    Command {
        /// Name.
        name: String,
        /// Stops trade, for instance `["docker-compose", "stop", "backend"]`.
        engage: Vec<String>,
        /// Lets it in again.
        release: Vec<String>,
        /// Exit code 0 says that it is engaged, 1 that it is released; absent if it can't be observed.
        #[serde(default)]
        status: Option<Vec<String>>,
        /// Bound in seconds.
        #[serde(default = "default_timeout")]
        timeout_s: u64,
    },
    /// A key in Redis or Valkey.
    Redis(RedisSwitchPolicy),
    /// Services of Docker Compose, stopped.
    Compose(ComposeSwitchPolicy),
    /// A unit of systemd, stopped.
    Systemd {
        /// Name.
        name: String,
        /// The unit, for instance `trading.service`.
        unit: String,
        /// Whether it is a unit of this user.
        #[serde(default)]
        user: bool,
        /// Bound in seconds.
        #[serde(default = "default_timeout")]
        timeout_s: u64,
    },
}

/// A switch that is a request to the service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSwitchPolicy {
    /// Name.
    pub name: String,
    /// Request that stops trade.
    pub engage: HttpRequest,
    /// Request that lets it in again.
    pub release: HttpRequest,
    /// How it is observed; absent if it can't be.
    #[serde(default)]
    pub status: Option<HttpStatus>,
    /// Headers of all its requests.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// Environment variable that holds a bearer token.
    #[serde(default)]
    pub bearer_env: Option<String>,
    /// How requests are signed.
    #[serde(default)]
    pub sign: Option<SignPolicy>,
    /// Bound in seconds on one request.
    #[serde(default = "default_http_timeout")]
    pub timeout_s: u64,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    #[serde(default = "default_method")]
    pub method: String,
    /// Address.
    pub url: Template,
    /// Body, sent as `application/json` unless a header says otherwise.
    #[serde(default)]
    pub body: Option<Template>,
}

/// A GET that tells whether trade is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpStatus {
    /// Address.
    pub url: Template,
    /// Headers of this request alone.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// What says that it is.
    pub paused: PausedWhen,
}

/// What an answer says if trade is stopped: a value at a place, or a status code; any other answer of 2xx says that it is not.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PausedWhen {
    /// JSON pointer (RFC 6901).
    #[serde(default)]
    pub at: Option<String>,
    /// The value there.
    #[serde(default)]
    pub is: Option<serde_json::Value>,
    /// Status code.
    #[serde(default)]
    pub code: Option<u16>,
}

/// A switch that is a key in Redis or Valkey.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSwitchPolicy {
    /// Name.
    pub name: String,
    /// Environment variable that holds the address.
    #[serde(default)]
    pub url_env: Option<String>,
    /// The address, if it holds no password: `redis://`, or `rediss://` with TLS.
    #[serde(default)]
    pub url: Option<String>,
    /// The key.
    pub key: String,
    /// What is written to it.
    #[serde(default = "default_value")]
    pub value: String,
    /// When the application counts itself as paused.
    #[serde(default)]
    pub engaged_when: EngagedWhen,
}

/// When a key in Redis says that trade is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngagedWhen {
    /// It exists, whatever it holds.
    #[default]
    Exists,
    /// It holds `value`.
    Equals,
}

/// A switch that is services of Docker Compose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComposeSwitchPolicy {
    /// Name.
    pub name: String,
    /// Names of the services that are stopped.
    pub services: Vec<String>,
    /// Path of the Compose file; absent: the one that Compose finds.
    #[serde(default)]
    pub file: Option<String>,
    /// Name of the project; absent: what Compose makes of the folder.
    #[serde(default)]
    pub project: Option<String>,
    /// Which Compose.
    #[serde(default)]
    pub version: ComposeVersion,
    /// Bound in seconds.
    #[serde(default = "default_timeout")]
    pub timeout_s: u64,
}

/// Which Compose there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComposeVersion {
    /// `docker compose` if it is there, else `docker-compose`.
    #[default]
    Auto,
    /// `docker-compose`.
    V1,
    /// `docker compose`.
    V2,
}

fn default_timeout() -> u64 {
    30
}

fn default_http_timeout() -> u64 {
    10
}

fn default_method() -> String {
    "POST".into()
}

fn default_value() -> String {
    "1".into()
}

/// Longest bound that a policy may set, in seconds.
const LONGEST: u64 = 300;
/// Bound on a request to Redis, in seconds.
pub const REDIS_BOUND_S: u64 = 3;

impl SwitchPolicy {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::File { name, .. } | Self::Command { name, .. } | Self::Systemd { name, .. } => name,
            Self::Http(policy) => &policy.name,
            Self::Redis(policy) => &policy.name,
            Self::Compose(policy) => &policy.name,
        }
    }

    /// Bound on one act of it, in seconds.
    pub fn bound_s(&self) -> u64 {
        match self {
            Self::File { .. } => 5,
            Self::Redis(_) => REDIS_BOUND_S,
            Self::Http(policy) => policy.timeout_s,
            Self::Compose(policy) => policy.timeout_s,
            Self::Command { timeout_s, .. } | Self::Systemd { timeout_s, .. } => *timeout_s,
        }
    }

    /// Names of the environment variables that it needs.
    pub fn variables(&self) -> Vec<&str> {
        match self {
            Self::Redis(policy) => policy.url_env.as_deref().into_iter().collect(),
            Self::Http(policy) => policy.variables(),
            _ => Vec::new(),
        }
    }

    /// What the types alone can't say.
    pub(super) fn problem(&self) -> Option<String> {
        if self.name().trim().is_empty() || self.name().contains(char::is_whitespace) {
            return Some("`name` is empty or holds a space".into());
        }
        if !(1..=LONGEST).contains(&self.bound_s()) {
            return Some(format!("timeout_s is 1 to {LONGEST}"));
        }
        if !self.variables().iter().all(|name| !name.is_empty() && is_variable(name)) {
            return Some(
                "a key that ends in `_env` holds the name of an environment variable, never the secret".into(),
            );
        }
        match self {
            Self::File { path, .. } => path.is_empty().then(|| "`path` is empty".into()),
            Self::Command { engage, release, status, .. } => {
                let commands = [engage, release].into_iter().chain(status);
                commands
                    .into_iter()
                    .any(|argv| argv.first().is_none_or(|program| program.trim().is_empty()))
                    .then(|| "a command is a list: program, then arguments; one is empty".into())
            }
            Self::Http(policy) => policy.problem(),
            Self::Redis(policy) => policy.problem(),
            Self::Compose(policy) => policy.problem(),
            Self::Systemd { unit, .. } => word_problem("unit", unit),
        }
    }
}

/// Why a word can't stand as an argument of a command: it would be read as an option, or as several words.
fn word_problem(what: &str, word: &str) -> Option<String> {
    if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Some(format!("`{what}` is empty or holds a space"));
    }
    word.starts_with('-').then(|| format!("`{what}` can't begin with `-`: it would be read as an option"))
}

impl ComposeSwitchPolicy {
    fn problem(&self) -> Option<String> {
        if self.services.is_empty() {
            return Some("`services` is empty: nothing would be stopped".into());
        }
        let services = self.services.iter().find_map(|service| word_problem("services", service));
        let project = self.project.as_ref().and_then(|project| word_problem("project", project));
        let file = self.file.as_ref().filter(|file| file.is_empty() || file.starts_with('-'));
        services.or(project).or_else(|| file.map(|_| "`file` can't be empty or begin with `-`".into()))
    }
}

impl RedisSwitchPolicy {
    fn problem(&self) -> Option<String> {
        if self.key.is_empty() {
            return Some("`key` is empty".into());
        }
        match (&self.url, &self.url_env) {
            (Some(url), None) => {
                let rest = url.strip_prefix("redis://").or_else(|| url.strip_prefix("rediss://"));
                let Some(rest) = rest else { return Some("`url` starts with redis:// or rediss://".into()) };
                let authority = rest.split(['/', '?']).next().unwrap_or_default();
                authority
                    .contains('@')
                    .then(|| "`url` may hold no password, since addresses are logged; use url_env".into())
            }
            (None, Some(_)) => None,
            _ => Some("exactly one of `url` and `url_env` says where Redis is".into()),
        }
    }
}

impl HttpSwitchPolicy {
    /// Names of the environment variables that it needs.
    pub fn variables(&self) -> Vec<&str> {
        let named = [self.bearer_env.as_ref(), self.sign.as_ref().and_then(|sign| sign.secret_env.as_ref())];
        let own = self.status.iter().flat_map(|status| status.headers.values());
        let holes = self.headers.values().chain(own).flat_map(Template::holes);
        let in_headers = holes.filter_map(|hole| if let Hole::Env(name) = hole { Some(name.as_str()) } else { None });
        named.into_iter().flatten().map(String::as_str).chain(in_headers).collect()
    }

    fn problem(&self) -> Option<String> {
        if let Some(sign) = &self.sign {
            if sign.secret_env.is_none() {
                return Some("sign.secret_env names the environment variable that holds the key".into());
            }
            let engage = [&self.engage.url].into_iter().chain(&self.engage.body).chain(self.headers.values());
            if !engage.into_iter().any(|text| text.holds(&Hole::Signature)) {
                return Some("`sign` makes a {signature}, but no header holds it".into());
            }
        }
        let none = BTreeMap::new();
        let changes = [&self.engage, &self.release].map(|r| (r.method.as_str(), &r.url, r.body.as_ref(), &none));
        let status = self.status.as_ref().map(|status| ("GET", &status.url, None, &status.headers));
        for (method, url, body, own) in changes.into_iter().chain(status) {
            let headers: BTreeMap<String, Template> =
                self.headers.iter().chain(own).map(|(name, text)| (name.clone(), text.clone())).collect();
            let texts = [url].into_iter().chain(body).chain(headers.values());
            let keys = [Hole::Id, Hole::Secret, Hole::TargetId];
            if texts.flat_map(Template::holes).any(|hole| keys.contains(hole)) {
                return Some("{id}, {secret} and {target_id} are for http_api; a switch has {env:NAME}".into());
            }
            if let Some(words) = request_problem(method, url, &headers, body, self.sign.as_ref()) {
                return Some(words);
            }
        }
        if self.engage.method == "GET" || self.release.method == "GET" {
            return Some("a switch changes something: its method is POST, PUT, PATCH or DELETE".into());
        }
        self.status.as_ref().and_then(|status| status.paused.problem())
    }
}

impl PausedWhen {
    fn problem(&self) -> Option<String> {
        match (&self.at, &self.is, self.code) {
            (Some(at), Some(_), None) if is_pointer(at) => None,
            (Some(at), Some(_), None) => Some(format!("`{at}` is no JSON pointer: it is empty or starts with `/`")),
            (None, None, Some(100..=599)) => None,
            _ => Some("status.paused holds `at` and `is`, or `code`".into()),
        }
    }
}
