use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::adapters::http::{Answer, Call, CallKey, Variables, ask, missing, refusal};
use crate::domain::{Probe, key_pair};
use crate::policy::api::{ApiRequest, Auth, Expect, HttpApiPolicy, ListPolicy};
use crate::policy::credentials::CredentialPolicy;
use crate::ports::{Fault, FaultKind, Issuer};

/// A key of somebody else's HTTP API: it is made, tested and deleted by declared requests.
pub struct HttpApi {
    policy: HttpApiPolicy,
    variables: Variables,
    /// A key may have been made whose secret nobody holds, and no list can show it.
    doubt: AtomicBool,
}

/// The keys that a request can be authenticated by.
#[derive(Clone, Copy, Default)]
struct Keys<'a> {
    old: Option<&'a SecretString>,
    new: Option<&'a SecretString>,
}

impl HttpApi {
    /// Keys in the environment are looked up by `variables` when they are needed.
    pub fn new(policy: HttpApiPolicy, variables: Variables) -> Self {
        Self { policy, variables, doubt: AtomicBool::new(false) }
    }

    /// The key that authenticates a request; whether it is the one that `fallback` stands for.
    fn key(&self, request: &ApiRequest, fallback: &Auth, keys: Keys<'_>) -> Result<CallKey, Fault> {
        let value = match request.auth.as_ref().unwrap_or(fallback) {
            Auth::Env(name) => (self.variables)(name)
                .ok_or_else(|| Fault::new(FaultKind::Invalid, format!("{} needs {name}: set it", words_of(request))))?,
            // While there is only one of them, it does both.
            Auth::Old => self.living(request, keys.old.or(keys.new))?,
            Auth::New => self.living(request, keys.new.or(keys.old))?,
        };
        let pair = self.policy.created_id.is_some();
        Ok(match (key_pair::id_of(&value), key_pair::secret_of(&value)) {
            (Some(id), Some(secret)) if pair => CallKey { id: Some(id.to_owned()), secret },
            _ => CallKey { id: None, secret: value },
        })
    }

    fn living(&self, request: &ApiRequest, value: Option<&SecretString>) -> Result<SecretString, Fault> {
        value.cloned().ok_or_else(|| {
            let words = format!("{} needs a key that is not known: {}", words_of(request), self.look());
            Fault::new(FaultKind::Invalid, words)
        })
    }

    /// Where a person has to look.
    fn look(&self) -> String {
        self.policy.console.as_ref().map_or_else(|| "see the provider's console".into(), |place| format!("see {place}"))
    }

    async fn send(&self, request: &ApiRequest, key: CallKey, target: Option<&str>) -> Result<Answer, Fault> {
        let call = Call {
            method: &request.method,
            url: &request.url,
            headers: request.headers.iter().map(|(name, value)| (name.as_str(), value)).collect(),
            body: request.body.as_ref(),
            sign: self.policy.sign.as_ref(),
            key,
            target_id: target,
            variables: &self.variables,
            bound: Duration::from_secs(self.policy.timeout_s),
        };
        ask(call.request()?).await
    }

    async fn delete(&self, id: Option<&str>, keys: Keys<'_>) -> Result<String, Fault> {
        let request = &self.policy.revoke;
        let key = self.key(request, &Auth::New, keys)?;
        let own = key.id.is_some() && key.id.as_deref() == id;
        let answer = self.send(request, key, id).await?;
        let shown = id.map_or_else(|| "the key".to_owned(), |id| format!("key {id}"));
        if done(request, &answer) {
            return Ok(format!("{shown} deleted"));
        }
        // A key that is asked to delete itself and is not known any more has nothing left to delete.
        if matches!(answer.status, 404 | 410) || says(&request.refused, &answer) || (own && answer.status == 401) {
            return Ok(format!("{shown} was gone"));
        }
        Err(refused(request, &answer))
    }

    /// Ids of the keys of this credential.
    async fn listed(&self, list: &ListPolicy, fallback: &Auth, keys: Keys<'_>) -> Result<Vec<String>, Fault> {
        let key = self.key(&list.request, fallback, keys)?;
        let answer = self.send(&list.request, key, None).await?;
        if !done(&list.request, &answer) {
            return Err(refused(&list.request, &answer));
        }
        let damaged = || {
            let words = words_of(&list.request);
            Fault::new(FaultKind::Corrupt, format!("the answer of {words} is no list of keys as policy describes it"))
        };
        let entries = answer.at(&list.entries).ok_or_else(damaged)?;
        let mut ids = Vec::new();
        for entry in entries.as_array().ok_or_else(damaged)? {
            if list.only.as_ref().is_some_and(|only| entry.pointer(&only.at) != Some(&only.is)) {
                continue;
            }
            ids.push(text(entry.pointer(&list.id)).ok_or_else(damaged)?);
        }
        ids.retain(|id| !list.keep.contains(id));
        Ok(ids)
    }

    /// Deletes every key but those of `keys`: left by a lost reply, or by an intruder.
    async fn clear(&self, fallback: &Auth, keys: Keys<'_>) -> Result<Vec<String>, Fault> {
        let Some(list) = &self.policy.list else { return Ok(Vec::new()) };
        let own: Vec<&str> = [keys.old, keys.new].into_iter().flatten().filter_map(key_pair::id_of).collect();
        let mut cleared = Vec::new();
        for id in self.listed(list, fallback, keys).await? {
            if !own.contains(&id.as_str()) {
                self.delete(Some(&id), keys).await?;
                cleared.push(id);
            }
        }
        Ok(cleared)
    }

    fn created(&self, answer: &Answer) -> Option<SecretString> {
        let secret = SecretString::from(text(answer.at(&self.policy.created_secret).as_ref())?);
        let Some(pointer) = &self.policy.created_id else { return Some(secret) };
        let id = text(answer.at(pointer).as_ref())?;
        (!id.contains(':')).then(|| key_pair::join(&id, &secret))
    }

    /// A key that nobody holds may have been made.
    fn doubtful(&self, why: &str) -> Fault {
        self.doubt.store(true, Ordering::SeqCst);
        let words = format!(
            "{why}: a key may have been made whose secret nobody holds; {}, delete the newest key that no store holds, then \
             run the command again",
            self.look()
        );
        Fault::new(FaultKind::OutcomeUnknown, words)
    }
}

/// A request as errors name it: without the query, and as the policy declares it.
fn words_of(request: &ApiRequest) -> String {
    format!("{} {}", request.method, request.url.source.split('?').next().unwrap_or_default())
}

/// An answer that says that the request was not carried out.
fn refused(request: &ApiRequest, answer: &Answer) -> Fault {
    let words = words_of(request);
    if answer.is_good() {
        let at = request.ok.as_ref().map_or("", |ok| ok.at.as_str());
        let words = format!("{words} answered {}, but not what policy expects at `{at}`", answer.status);
        return Fault::new(FaultKind::Invalid, words);
    }
    // A server that broke on the way may have done it all the same.
    let kind = match answer.status {
        408 | 500..=599 if request.method == "GET" => FaultKind::Unavailable,
        408 | 500..=599 => FaultKind::OutcomeUnknown,
        status => refusal(status),
    };
    Fault::new(kind, format!("{words} answered {}", answer.status))
}

/// Whether an answer says that the request was carried out.
fn done(request: &ApiRequest, answer: &Answer) -> bool {
    answer.is_good() && request.ok.as_ref().is_none_or(|ok| answer.at(&ok.at).as_ref() == Some(&ok.is))
}

/// Whether an answer says one of those things.
fn says(expected: &[Expect], answer: &Answer) -> bool {
    expected.iter().any(|expect| answer.at(&expect.at).as_ref() == Some(&expect.is))
}

/// A text or a number, not empty.
fn text(value: Option<&serde_json::Value>) -> Option<String> {
    let text = match value? {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

#[async_trait]
impl Issuer for HttpApi {
    async fn ready(&self, _: &CredentialPolicy) -> Result<Option<String>, Fault> {
        let missing = missing(&self.policy.variables(), &self.variables);
        if missing.is_empty() {
            return Ok(None);
        }
        Err(Fault::new(
            FaultKind::Invalid,
            format!("not set: {}; it is needed in the environment or in .env", missing.join(", ")),
        ))
    }

    async fn probe(&self, _: &CredentialPolicy, value: &SecretString) -> Result<Probe, Fault> {
        let request = &self.policy.test;
        let key = self.key(request, &Auth::New, Keys { old: None, new: Some(value) })?;
        let id = key.id.clone();
        let answer = self.send(request, key, id.as_deref()).await?;
        let reason = format!("{} answered {}", words_of(request), answer.status);
        let dead = if request.refused.is_empty() {
            matches!(answer.status, 401 | 403)
        } else {
            // A skewed clock or a used nonce is refused, too: only what policy names is a death.
            says(&request.refused, &answer)
        };
        Ok(match () {
            () if dead => Probe::Refused { reason },
            () if done(request, &answer) => Probe::Accepted,
            () => {
                Probe::Meaningless { reason: format!("{reason}, which says neither that it lives nor that it is dead") }
            }
        })
    }

    async fn create(&self, _: &CredentialPolicy, old: Option<&SecretString>) -> Result<SecretString, Fault> {
        let keys = Keys { old, new: None };
        let request = &self.policy.create;
        if self.policy.list.is_some() {
            self.clear(&Auth::Old, keys).await?;
        } else if self.doubt.load(Ordering::SeqCst) {
            return Err(self.doubtful("the reply to an earlier try was lost"));
        }
        let key = self.key(request, &Auth::Old, keys)?;
        let answer = match self.send(request, key, None).await {
            Ok(answer) if done(request, &answer) => answer,
            Ok(answer) => match refused(request, &answer) {
                fault if fault.kind == FaultKind::OutcomeUnknown => return Err(self.lost(fault)),
                fault => return Err(fault),
            },
            Err(fault) if fault.kind == FaultKind::OutcomeUnknown => return Err(self.lost(fault)),
            Err(fault) => return Err(fault),
        };
        if let Some(value) = self.created(&answer) {
            return Ok(value);
        }
        let why = format!("{} made a key, but its answer does not hold what policy expects of it", words_of(request));
        if self.policy.list.is_none() {
            return Err(self.doubtful(&why));
        }
        let cleared = self.clear(&Auth::Old, keys).await?;
        Err(Fault::new(FaultKind::Corrupt, format!("{why}; it was deleted ({})", cleared.join(", "))))
    }

    async fn cancel(&self, credential: &CredentialPolicy, value: &SecretString) -> Result<String, Fault> {
        let Some(request) = &self.policy.cancel else {
            return Err(Fault::new(FaultKind::Invalid, format!("`{}` declares no `cancel`", credential.id)));
        };
        let key = self.key(request, &Auth::Old, Keys { old: Some(value), new: None })?;
        let answer = self.send(request, key, None).await?;
        if done(request, &answer) {
            return Ok(format!("open orders cancelled: {} answered {}", words_of(request), answer.status));
        }
        Err(refused(request, &answer))
    }

    async fn issue(&self, _: &CredentialPolicy, _: &SecretString, _: Option<&SecretString>) -> Result<(), Fault> {
        // The key was made alive.
        Ok(())
    }

    async fn revoke(
        &self,
        _: &CredentialPolicy,
        old: Option<&SecretString>,
        new: Option<&SecretString>,
    ) -> Result<String, Fault> {
        let keys = Keys { old, new };
        let mut words = Vec::new();
        if let Some(old) = old {
            let id = self.policy.created_id.as_ref().and_then(|_| key_pair::id_of(old));
            words.push(self.delete(id, keys).await?);
        } else if self.policy.list.is_none() {
            let words =
                format!("the old key is not known, so it can't be deleted: {}, and delete it there", self.look());
            return Err(Fault::new(FaultKind::NotFound, words));
        }
        // Without a living key there is nobody to list the rest for us.
        if self.policy.list.is_some() && new.is_some() {
            let others = self.clear(&Auth::New, Keys { old: None, new }).await?;
            if !others.is_empty() {
                words.push(format!("keys that no store holds deleted: {}", others.join(", ")));
            }
        }
        if words.is_empty() {
            words.push("no other key was left".into());
        }
        Ok(words.join("; "))
    }
}

impl HttpApi {
    /// The reply to `create` was lost: with a list the next try finds what was made.
    fn lost(&self, fault: Fault) -> Fault {
        if self.policy.list.is_some() { fault } else { self.doubtful(&fault.chain()) }
    }
}
