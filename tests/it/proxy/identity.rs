//! Access keys and sessions as IAM treats them: a key that is not active is refused, both only after a while; a session whose
//! token was issued before the time that a policy names is denied everything.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use portcullis::domain::Timestamp;
use serde_json::Value;

use super::aws::Call;

/// Who a session acts as.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Principal {
    Role(String),
    User(String),
}

struct Key {
    user: String,
    made: Instant,
    ended: Option<Instant>,
}

struct Session {
    principal: Principal,
    issued: Timestamp,
}

/// All that is known.
#[derive(Default)]
pub struct Identities {
    /// How long a change takes to be seen.
    pub delay: Duration,
    keys: HashMap<String, Key>,
    sessions: HashMap<String, Session>,
    /// Times before which tokens are denied, by policy.
    denied: HashMap<(Principal, String), Timestamp>,
}

/// The text of an XML element.
fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let inner = xml.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
    inner.split_once(&format!("</{name}>")).map_or("", |(text, _)| text)
}

/// The time before which a policy denies tokens.
fn cutoff(policy: &str) -> Option<Timestamp> {
    let policy: Value = serde_json::from_str(policy).ok()?;
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.clone(),
        one => vec![one.clone()],
    };
    let deny = statements.into_iter().find(|statement| statement["Effect"] == "Deny")?;
    deny["Condition"]["DateLessThan"]["aws:TokenIssueTime"].as_str()?.parse().ok()
}

impl Identities {
    /// The error with which AWS refuses a call: status, code, words.
    pub fn refuses(&self, call: &Call) -> Option<(u16, &'static str, &'static str)> {
        if let Some(key) = self.keys.get(&call.key) {
            let dead = key.ended.is_some_and(|ended| ended.elapsed() >= self.delay);
            if dead || key.made.elapsed() < self.delay {
                let code = if call.json { "UnrecognizedClientException" } else { "InvalidClientTokenId" };
                return Some((403, code, "The security token included in the request is invalid."));
            }
        }
        // GetCallerIdentity needs no permission, so that no policy can deny it.
        if call.action == "GetCallerIdentity" {
            return None;
        }
        let session = self.sessions.get(&call.key)?;
        let denies = |(principal, _): &(Principal, String), before: &Timestamp| {
            *principal == session.principal && session.issued < *before
        };
        if !self.denied.iter().any(|(name, before)| denies(name, before)) {
            return None;
        }
        let code = if call.json { "AccessDeniedException" } else { "AccessDenied" };
        Some((403, code, "An identity-based policy denies this with an explicit deny."))
    }

    /// Takes note of a call that the peer answered with 200.
    pub fn learn(&mut self, call: &Call, reply: &str) {
        match call.action.as_str() {
            "CreateAccessKey" => {
                let user = element(reply, "UserName").to_owned();
                let key = Key { user, made: Instant::now(), ended: None };
                self.keys.insert(element(reply, "AccessKeyId").to_owned(), key);
            }
            "UpdateAccessKey" | "DeleteAccessKey" => {
                let ends = call.action == "DeleteAccessKey" || call.get("Status") == "Inactive";
                if let Some(key) = self.keys.get_mut(call.get("AccessKeyId")) {
                    key.ended = ends.then(|| key.ended.unwrap_or_else(Instant::now));
                }
            }
            "AssumeRole" => {
                let role = call.get("RoleArn").rsplit('/').next().unwrap_or_default().to_owned();
                self.begin(reply, Principal::Role(role));
            }
            "GetSessionToken" | "GetFederationToken" => {
                let user = self.keys.get(&call.key).map(|key| key.user.clone()).unwrap_or_default();
                self.begin(reply, Principal::User(user));
            }
            "PutRolePolicy" | "PutUserPolicy" => {
                if let Some(before) = cutoff(call.get("PolicyDocument")) {
                    self.denied.insert(Self::policy(call), before);
                }
            }
            "DeleteRolePolicy" | "DeleteUserPolicy" => drop(self.denied.remove(&Self::policy(call))),
            _ => {}
        }
    }

    fn begin(&mut self, reply: &str, principal: Principal) {
        let session = Session { principal, issued: Timestamp::now() };
        self.sessions.insert(element(reply, "AccessKeyId").to_owned(), session);
    }

    fn policy(call: &Call) -> (Principal, String) {
        let principal = if call.action.contains("Role") {
            Principal::Role(call.get("RoleName").to_owned())
        } else {
            Principal::User(call.get("UserName").to_owned())
        };
        (principal, call.get("PolicyName").to_owned())
    }
}
