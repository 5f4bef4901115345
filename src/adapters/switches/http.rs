use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::adapters::http::{Answer, Call, CallKey, Request, Variables, ask, missing, refusal, send};
use crate::domain::SwitchState;
use crate::policy::pause::{HttpRequest, HttpStatus, HttpSwitchPolicy};
use crate::policy::template::Template;
use crate::ports::{Fault, FaultKind, PauseSwitch};

/// A switch that is a request to the service.
pub struct HttpSwitch {
    policy: HttpSwitchPolicy,
    variables: Variables,
}

impl HttpSwitch {
    /// Secrets are looked up by `variables` when they are needed.
    pub fn new(policy: HttpSwitchPolicy, variables: Variables) -> Self {
        Self { policy, variables }
    }

    fn variable(&self, name: &str) -> Result<SecretString, Fault> {
        (self.variables)(name).ok_or_else(|| {
            Fault::new(FaultKind::Invalid, format!("switch `{}` needs {name}: set it", self.policy.name))
        })
    }

    fn filled(
        &self,
        method: &str,
        url: &Template,
        body: Option<&Template>,
        own: &BTreeMap<String, Template>,
    ) -> Result<Request, Fault> {
        let sign = self.policy.sign.as_ref();
        let secret = sign.and_then(|sign| sign.secret_env.as_ref()).map(|name| self.variable(name)).transpose()?;
        let shared = self.policy.headers.iter().filter(|(name, _)| !own.contains_key(*name));
        let request = Call {
            method,
            url,
            headers: shared.chain(own).map(|(name, value)| (name.as_str(), value)).collect(),
            body,
            sign,
            key: CallKey { id: None, secret: secret.unwrap_or_default() },
            target_id: None,
            variables: &self.variables,
            bound: Duration::from_secs(self.policy.timeout_s),
        }
        .request()?;
        let Some(name) = &self.policy.bearer_env else { return Ok(request) };
        let token = self.variable(name)?;
        Ok(request.header("authorization", SecretString::from(format!("Bearer {}", token.expose_secret()))))
    }

    async fn change(&self, change: &HttpRequest) -> Result<String, Fault> {
        let request = self.filled(&change.method, &change.url, change.body.as_ref(), &BTreeMap::new())?;
        let place = request.place.clone();
        let status = send(request).await?;
        let words = format!("{place} answered {status}");
        match status {
            200..=299 => Ok(words),
            // The same request again does no harm: a service that is not up yet may be in a moment.
            502..=504 => Err(Fault::new(FaultKind::Unavailable, words)),
            _ => Err(Fault::new(refusal(status), words)),
        }
    }
}

/// What an answer says of the switch.
fn state(policy: &HttpStatus, place: &str, answer: &Answer) -> Result<SwitchState, Fault> {
    let when = &policy.paused;
    if when.code == Some(answer.status) {
        return Ok(SwitchState::Engaged);
    }
    if !answer.is_good() {
        return Err(Fault::new(refusal(answer.status), format!("{place} answered {}", answer.status)));
    }
    let (Some(at), Some(is)) = (&when.at, &when.is) else { return Ok(SwitchState::Released) };
    match answer.at(at) {
        Some(value) if value == *is => Ok(SwitchState::Engaged),
        Some(_) => Ok(SwitchState::Released),
        None => Err(Fault::new(FaultKind::Corrupt, format!("the answer of {place} has nothing at `{at}`"))),
    }
}

#[async_trait]
impl PauseSwitch for HttpSwitch {
    fn name(&self) -> &str {
        &self.policy.name
    }

    fn describe(&self) -> String {
        let url = self.policy.engage.url.source.split('?').next().unwrap_or_default();
        format!("{} {url}", self.policy.engage.method)
    }

    fn missing(&self) -> Vec<String> {
        missing(&self.policy.variables(), &self.variables)
    }

    async fn observe(&self) -> Result<SwitchState, Fault> {
        let Some(status) = &self.policy.status else { return Ok(SwitchState::Unobservable) };
        let request = self.filled("GET", &status.url, None, &status.headers)?;
        let place = request.place.clone();
        state(status, &place, &ask(request).await?)
    }

    async fn engage(&self) -> Result<String, Fault> {
        self.change(&self.policy.engage).await
    }

    async fn release(&self) -> Result<String, Fault> {
        self.change(&self.policy.release).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::pause::PausedWhen;

    #[test]
    fn an_answer_says_engaged_released_or_nothing() {
        let status = |at: Option<&str>, is: Option<serde_json::Value>, code| HttpStatus {
            url: Template::parse("http://127.0.0.1/s").unwrap(),
            headers: BTreeMap::new(),
            paused: PausedWhen { at: at.map(str::to_owned), is, code },
        };
        let says = |policy: &HttpStatus, status: u16, body: &str| {
            let answer = Answer { status, body: SecretString::from(body) };
            state(policy, "GET http://127.0.0.1/s", &answer).map_err(|fault| fault.kind)
        };
        let value = status(Some("/trading/paused"), Some(true.into()), None);
        assert_eq!(says(&value, 200, r#"{"trading":{"paused":true}}"#), Ok(SwitchState::Engaged));
        assert_eq!(says(&value, 200, r#"{"trading":{"paused":"true"}}"#), Ok(SwitchState::Released));
        assert_eq!(says(&value, 200, r#"{"trading":{}}"#), Err(FaultKind::Corrupt));
        assert_eq!(says(&value, 200, "<html>"), Err(FaultKind::Corrupt));
        assert_eq!(says(&value, 401, r#"{"trading":{"paused":true}}"#), Err(FaultKind::Denied));
        let code = status(None, None, Some(503));
        assert_eq!(says(&code, 503, ""), Ok(SwitchState::Engaged));
        assert_eq!(says(&code, 204, ""), Ok(SwitchState::Released));
        assert_eq!(says(&code, 500, ""), Err(FaultKind::Invalid));
    }
}
