//! `policies/contacts.yml`: who is told what, and how. The file may be missing: then nobody is told.

use serde::Deserialize;

use crate::domain::Moment;

/// Name of the file.
pub const FILE: &str = "contacts.yml";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactsPolicy {
    /// Schema version: 1.
    pub version: u32,
    /// Contacts.
    #[serde(default)]
    pub contacts: Vec<ContactPolicy>,
}

impl Default for ContactsPolicy {
    fn default() -> Self {
        Self { version: 1, contacts: Vec::new() }
    }
}

/// Somebody, or something, that is told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactPolicy {
    /// Name, unique.
    pub name: String,
    /// Moments at which it is told; a test reaches it in any case.
    pub on: Vec<Moment>,
    /// How.
    pub channel: ChannelPolicy,
}

/// How a contact is reached. Secrets are named by their environment variables, never written here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChannelPolicy {
    /// A POST of JSON.
    Webhook {
        /// Address.
        url: String,
        /// Environment variable that holds a bearer token.
        #[serde(default)]
        bearer_env: Option<String>,
        /// Environment variable that holds the key of the signature header.
        #[serde(default)]
        hmac_env: Option<String>,
    },
    /// A Slack-compatible incoming webhook: its address is its secret.
    Slack {
        /// Environment variable that holds the address.
        url_env: String,
    },
    /// `PagerDuty`, Events API v2.
    Pagerduty {
        /// Environment variable that holds the routing key.
        routing_key_env: String,
        /// Severity of what is triggered.
        #[serde(default)]
        severity: Severity,
        /// Address, where it is not the usual one (the EU's, a relay's).
        #[serde(default = "default_pagerduty")]
        url: String,
    },
    /// Mail.
    Smtp {
        /// Host of the mail server.
        host: String,
        /// Port; absent: 25, 587 or 465 by `tls`.
        #[serde(default)]
        port: Option<u16>,
        /// How the connection is protected.
        #[serde(default)]
        tls: MailTls,
        /// Environment variable that holds the user.
        #[serde(default)]
        user_env: Option<String>,
        /// Environment variable that holds the password.
        #[serde(default)]
        password_env: Option<String>,
        /// Sender.
        from: String,
        /// Recipients.
        to: Vec<String>,
    },
}

fn default_pagerduty() -> String {
    "https://events.pagerduty.com/v2/enqueue".into()
}

/// Severity, as Events v2 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Critical.
    #[default]
    Critical,
    /// Error.
    Error,
    /// Warning.
    Warning,
    /// Information.
    Info,
}

impl Severity {
    /// The name as Events v2 writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// Not at all.
    None,
    /// `STARTTLS`, required.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Implicit,
}

impl ContactPolicy {
    /// Names of the environment variables that it needs.
    pub fn variables(&self) -> Vec<&str> {
        let named: [Option<&String>; 2] = match &self.channel {
            ChannelPolicy::Webhook { bearer_env, hmac_env, .. } => [bearer_env.as_ref(), hmac_env.as_ref()],
            ChannelPolicy::Slack { url_env } => [Some(url_env), None],
            ChannelPolicy::Pagerduty { routing_key_env, .. } => [Some(routing_key_env), None],
            ChannelPolicy::Smtp { user_env, password_env, .. } => [user_env.as_ref(), password_env.as_ref()],
        };
        named.into_iter().flatten().map(String::as_str).collect()
    }

    /// What the types alone can't say.
    pub(super) fn problem(&self) -> Option<&'static str> {
        if self.name.trim().is_empty() {
            return Some("`name` is empty");
        }
        if self.on.is_empty() {
            return Some("`on` is empty, so it would never be told");
        }
        if self.variables().iter().any(|name| name.is_empty()) {
            return Some("a key that ends in `_env` names no environment variable");
        }
        if !self.variables().iter().all(|name| is_variable(name)) {
            return Some(
                "a key that ends in `_env` holds the name of an environment variable, never the secret itself",
            );
        }
        match &self.channel {
            ChannelPolicy::Webhook { url, bearer_env, .. } => address_problem(url, bearer_env.is_some()),
            ChannelPolicy::Pagerduty { url, .. } => address_problem(url, true),
            ChannelPolicy::Slack { .. } => None,
            ChannelPolicy::Smtp { host, tls, user_env, password_env, from, to, .. } => {
                if user_env.is_some() != password_env.is_some() {
                    Some("user_env and password_env go together")
                } else if *tls == MailTls::None && user_env.is_some() && !is_loopback(host) {
                    Some("with `tls: none` the password would travel in the clear; use starttls or implicit")
                } else if to.is_empty() {
                    Some("`to` is empty")
                } else if !to.iter().chain([from]).all(|address| is_mailbox(address)) {
                    Some("`from` and `to` are addresses of the form name@host")
                } else {
                    None
                }
            }
        }
    }
}

pub(super) fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_mailbox(address: &str) -> bool {
    address.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
        && !address.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// What is wrong with an address that is written in the policy; `secret` says that a secret travels with the request.
pub(super) fn address_problem(url: &str, secret: bool) -> Option<&'static str> {
    let (plain, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Some("`url` starts with https:// (or http:// on this machine)"),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("`url` may hold no password, since addresses are logged; use bearer_env");
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() {
        return Some("`url` names no host");
    }
    (plain && secret && !is_loopback(host)).then_some("over http:// its secret would travel in the clear; use https://")
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
