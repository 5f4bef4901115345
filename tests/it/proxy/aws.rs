//! A proxy in front of an AWS peer: faults that fit the protocol, and what AWS does but no peer for tests: the limit of writes
//! a second, tokens that name a write, and the life of access keys and sessions ([`super::identity`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{Answer, Message, ask, serve};
use super::identity::Identities;
use super::rate::Bucket;
use super::{Control, Fault, forever, listen};

/// A request as AWS reads it.
pub struct Call {
    /// `PutSecretValue`, `AssumeRole`.
    pub action: String,
    /// Access key id that signed it.
    pub key: String,
    /// Parameters: members of the JSON body or of the form.
    pub parameters: HashMap<String, String>,
    /// Whether errors are JSON (Secrets Manager) or XML (IAM, STS).
    pub json: bool,
}

impl Call {
    fn of(request: &Message) -> Self {
        let key = request.header("authorization").and_then(|text| text.split("Credential=").nth(1));
        let key = key.and_then(|text| text.split('/').next()).unwrap_or_default().to_owned();
        if let Some(target) = request.header("x-amz-target") {
            let action = target.rsplit('.').next().unwrap_or_default().to_owned();
            let body: serde_json::Map<String, Value> = serde_json::from_slice(&request.body).unwrap_or_default();
            let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), String::from);
            let parameters = body.into_iter().map(|(name, value)| (name, text(value))).collect();
            return Self { action, key, parameters, json: true };
        }
        let form = request.text();
        let parameters: HashMap<String, String> = form
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect();
        let action = parameters.get("Action").cloned().unwrap_or_default();
        Self { action, key, parameters, json: false }
    }

    /// A parameter, or nothing.
    pub fn get(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// An error as the service's protocol writes it. `status` is what the query protocol uses; JSON errors are 400 or 5xx.
    pub fn error(&self, status: u16, code: &str, words: &str) -> Message {
        if self.json {
            let status = if status < 500 { 400 } else { status };
            let body = json!({"__type": code, "message": words}).to_string();
            return Message::reply(status, "application/x-amz-json-1.1", body);
        }
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{words}</Message></Error><RequestId>0</RequestId></ErrorResponse>"
        );
        Message::reply(status, "text/xml", body)
    }

    fn is_read(&self) -> bool {
        ["Get", "Describe", "List", "Batch"].iter().any(|verb| self.action.starts_with(verb))
    }
}

/// `%41+` is `A `.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let hex = [*high, *low];
                let value = std::str::from_utf8(&hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                bytes.push(value.unwrap_or(b'?'));
                rest = after;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What went through and what did not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests in all.
    pub requests: u64,
    /// Writes of Secrets Manager that the peer got.
    pub writes: u64,
    /// Writes refused by the limit.
    pub throttled: u64,
}

/// What a read asks for: action and body, of a secret's value what matters of its body.
type Read = (String, Vec<u8>);

/// The value of a secret with a label, as it is asked for.
fn value_of(secret: &str, label: &str) -> Read {
    ("GetSecretValue".to_owned(), format!("{secret} {label}").into_bytes())
}

fn read_of(call: &Call, request: &Message) -> Read {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    match (call.action.as_str(), body["SecretId"].as_str(), body["VersionStage"].as_str()) {
        ("GetSecretValue", Some(secret), Some(label)) => value_of(secret, label),
        _ => (call.action.clone(), request.body.clone()),
    }
}

/// The answers that many values read together stand for.
fn together(reply: &Message) -> Vec<(Read, Message)> {
    let said: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let values = said["SecretValues"].as_array().cloned().unwrap_or_default();
    let one = |value: Value| {
        let read = value_of(value["Name"].as_str()?, "AWSCURRENT");
        Some((read, Message::reply(200, "application/x-amz-json-1.1", value.to_string())))
    };
    values.into_iter().filter_map(one).collect()
}

#[derive(Default)]
struct State {
    bucket: Option<Bucket>,
    counts: Counts,
    /// Answers to reads, for a time in which reads are stale.
    seen: HashMap<Read, Message>,
    /// Writes by secret and token: the value and its answer.
    tokens: HashMap<(String, String), (String, Message)>,
    identities: Identities,
}

struct Inner {
    control: Control,
    server: String,
    state: Mutex<State>,
}

/// The proxy. A request's text is its action, a space and its body.
pub struct AwsProxy {
    /// Faults.
    pub control: Control,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    inner: Arc<Inner>,
}

impl AwsProxy {
    /// In front of `http://host:port`.
    pub fn start(server: &str) -> Self {
        let control = Control::new();
        let server = server.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let inner = Arc::new(Inner { control: control.clone(), server, state: Mutex::default() });
        let serving = Arc::clone(&inner);
        let address = listen(&control, move |stream| serve(Arc::clone(&serving), stream));
        Self { control, url: format!("http://{address}"), inner }
    }

    /// Lets at most `rate` writes a second through, `burst` at once.
    pub fn limit_writes(&self, rate: f64, burst: f64) {
        self.inner.state().bucket = Some(Bucket::new(rate, burst));
    }

    /// Writes of somebody else, which count against the limit, for as long as the returned sender lives.
    pub fn foreign_writes(&self, rate: f64) -> std::sync::mpsc::Sender<()> {
        let (alive, dropped) = std::sync::mpsc::channel();
        let inner = Arc::clone(&self.inner);
        std::thread::spawn(move || {
            while dropped.recv_timeout(Duration::from_secs_f64(1.0 / rate))
                == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                if let Some(bucket) = &mut inner.state().bucket {
                    bucket.take(Instant::now());
                }
            }
        });
        alive
    }

    /// A deactivated or deleted key is still honoured, and a new one refused, for that long.
    pub fn propagate(&self, delay: Duration) {
        self.inner.state().identities.delay = delay;
    }

    /// What went through since the start.
    pub fn counts(&self) -> Counts {
        self.inner.state().counts
    }
}

impl Inner {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reply of a fault, or `Ok` if the request goes on.
    async fn fail(&self, call: &Call, request: &Message) -> Result<bool, Option<Message>> {
        let text = format!("{} {}", call.action, request.text());
        let kind = if call.json { "application/x-amz-json-1.1" } else { "text/xml" };
        match self.control.fault(&text) {
            None => Ok(false),
            Some(Fault::Stale) => Ok(true),
            Some(Fault::Hang) => {
                forever().await;
                Err(None)
            }
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time).await;
                Ok(false)
            }
            Some(Fault::Throttle) => {
                let code = if call.json { "ThrottlingException" } else { "Throttling" };
                Err(Some(call.error(400, code, "Rate exceeded")))
            }
            Some(Fault::SlowDown) => Err(Some(call.error(503, "SlowDown", "Please reduce your request rate."))),
            Some(Fault::Broken) => {
                let code = if call.json { "InternalServiceError" } else { "InternalFailure" };
                Err(Some(call.error(500, code, "An error occurred on the server side.")))
            }
            Some(Fault::Refuse(code)) => Err(Some(call.error(403, code, "refused by the fault proxy"))),
            Some(Fault::CutBefore) => Err(None),
            Some(Fault::CutAfter) => {
                self.pass(call, request).await;
                Err(None)
            }
            Some(Fault::Lie(body)) => Err(Some(Message::reply(200, kind, body))),
        }
    }

    /// What AWS refuses or answers by itself.
    fn own(&self, call: &Call) -> Option<Message> {
        let mut state = self.state();
        state.counts.requests += 1;
        if let Some((status, code, words)) = state.identities.refuses(call) {
            return Some(call.error(status, code, words));
        }
        if !call.json || call.is_read() {
            return None;
        }
        if state.bucket.as_mut().is_some_and(|bucket| !bucket.take(Instant::now())) {
            state.counts.throttled += 1;
            return Some(call.error(400, "ThrottlingException", "Rate exceeded"));
        }
        state.counts.writes += 1;
        let name = (call.get("SecretId").to_owned(), call.get("ClientRequestToken").to_owned());
        let (value, reply) = state.tokens.get(&name).filter(|_| call.action == "PutSecretValue")?;
        if value == call.get("SecretString") {
            return Some(reply.clone());
        }
        let words = "A resource with the ID you requested already exists.";
        Some(call.error(400, "ResourceExistsException", words))
    }

    /// To the peer, remembering what AWS would.
    async fn pass(&self, call: &Call, request: &Message) -> Option<Message> {
        let reply = ask(&self.server, request).await?;
        let mut state = self.state();
        if reply.status() == 200 {
            state.identities.learn(call, &reply.text());
            if call.action == "PutSecretValue" {
                let name = (call.get("SecretId").to_owned(), call.get("ClientRequestToken").to_owned());
                state.tokens.insert(name, (call.get("SecretString").to_owned(), reply.clone()));
            }
        }
        Some(reply)
    }
}

impl Answer for Inner {
    async fn answer(&self, request: Message) -> Option<Message> {
        let call = Call::of(&request);
        let stale = match self.fail(&call, &request).await {
            Ok(stale) => stale,
            Err(reply) => return reply,
        };
        if let Some(reply) = self.own(&call) {
            return Some(reply);
        }
        let read = read_of(&call, &request);
        if stale && let Some(reply) = self.state().seen.get(&read) {
            return Some(reply.clone());
        }
        let reply = self.pass(&call, &request).await?;
        if call.is_read() {
            self.state().seen.insert(read, reply.clone());
            if call.action == "BatchGetSecretValue" {
                self.state().seen.extend(together(&reply));
            }
        }
        Some(reply)
    }
}
