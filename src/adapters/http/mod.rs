//! HTTP requests of switches, issuers, probes and health checks: bounded, without redirects; no secret gets into an error.

mod call;

use std::sync::LazyLock;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::ports::{Fault, FaultKind};

pub use call::{Call, CallKey, Variables, missing};

/// Bound on a request that names none.
const BOUND: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 64 << 10;

static AGENT: LazyLock<ureq::Agent> = LazyLock::new(|| {
    // A redirect would send the headers to another host.
    ureq::Agent::config_builder()
        .timeout_global(Some(BOUND))
        .timeout_connect(Some(Duration::from_secs(3)))
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent("portcullis")
        .build()
        .into()
});

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Address.
    pub url: String,
    /// What errors call the address: it is logged.
    pub place: String,
    /// Headers.
    pub headers: Vec<(String, SecretString)>,
    /// Body, JSON unless a header says otherwise.
    pub body: Option<SecretString>,
    /// Bound on all of it.
    pub bound: Duration,
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// The body, as far as it was asked for.
    pub body: SecretString,
}

impl Answer {
    /// Whether the status is 2xx.
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value at a JSON pointer; `None` if there is none, or if the body is no JSON.
    pub fn at(&self, pointer: &str) -> Option<serde_json::Value> {
        let value: serde_json::Value = serde_json::from_str(self.body.expose_secret()).ok()?;
        value.pointer(pointer).cloned()
    }
}

impl Request {
    /// A GET of an address that holds no secret.
    pub fn get(url: &str) -> Self {
        Self {
            method: "GET".into(),
            url: url.to_owned(),
            place: url.to_owned(),
            headers: Vec::new(),
            body: None,
            bound: BOUND,
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: SecretString) -> Self {
        self.headers.push((name.to_owned(), value));
        self
    }
}

/// Sends it; the status code.
pub async fn send(request: Request) -> Result<u16, Fault> {
    Ok(exchange(request, 0).await?.status)
}

/// Sends it and reads the answer, which may be 64 KiB long.
pub async fn ask(request: Request) -> Result<Answer, Fault> {
    exchange(request, MAX_ANSWER).await
}

async fn exchange(request: Request, limit: u64) -> Result<Answer, Fault> {
    tokio::task::spawn_blocking(move || exchange_blocking(&request, limit))
        .await
        .map_err(|error| Fault::with(FaultKind::OutcomeUnknown, "the request died", error))?
}

fn exchange_blocking(request: &Request, limit: u64) -> Result<Answer, Fault> {
    let place = &request.place;
    let invalid = |what: &str| Fault::new(FaultKind::Invalid, format!("{what} of the request to {place} is not valid"));
    let mut builder = ureq::http::Request::builder().method(request.method.as_str()).uri(&request.url);
    for (name, value) in &request.headers {
        let mut value = ureq::http::HeaderValue::from_str(value.expose_secret())
            .map_err(|_| invalid(&format!("the value of the header {name}")))?;
        value.set_sensitive(true);
        builder = builder.header(name, value);
    }
    let typed = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if request.body.is_some() && !typed {
        builder = builder.header("content-type", "application/json");
    }
    let body = request.body.as_ref().map_or("", |body| body.expose_secret());
    let built = builder.body(body).map_err(|_| invalid("the address or method"))?;
    let built = AGENT.configure_request(built).timeout_global(Some(request.bound)).build();
    let mut response = AGENT.run(built).map_err(|error| fault(request, &error))?;
    let status = response.status().as_u16();
    if limit == 0 {
        return Ok(Answer { status, body: SecretString::default() });
    }
    let read = response.body_mut().with_config().limit(limit).read_to_vec();
    let bytes = Zeroizing::new(read.map_err(|error| fault(request, &error))?);
    Ok(Answer { status, body: SecretString::from(String::from_utf8_lossy(&bytes).into_owned()) })
}

/// In words of our own: those of the library may repeat the address.
fn fault(request: &Request, error: &ureq::Error) -> Fault {
    // It may have been sent: only a GET can be repeated without a thought.
    let sent = if request.method == "GET" { FaultKind::Unavailable } else { FaultKind::OutcomeUnknown };
    let (kind, words) = match error {
        ureq::Error::HostNotFound => (FaultKind::Unavailable, "its host is not known".to_owned()),
        ureq::Error::ConnectionFailed => (FaultKind::Unavailable, "it can't be reached".to_owned()),
        ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
            (FaultKind::Unavailable, "the connection was refused".to_owned())
        }
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            (FaultKind::Unavailable, "it could not be connected to in time".to_owned())
        }
        ureq::Error::Timeout(_) => (sent, format!("no answer within {} s", request.bound.as_secs())),
        ureq::Error::Io(io) => (sent, format!("the connection broke ({})", io.kind())),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => (FaultKind::Invalid, "its address is not valid".to_owned()),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
            (FaultKind::Denied, "its certificate or TLS can't be trusted".to_owned())
        }
        ureq::Error::BodyExceedsLimit(_) => (sent, format!("its answer is longer than {MAX_ANSWER} bytes")),
        _ => (sent, "the exchange failed".to_owned()),
    };
    Fault::new(kind, format!("failed to reach {}: {words}", request.place))
}

/// What a status other than 2xx comes to.
pub fn refusal(status: u16) -> FaultKind {
    match status {
        401 | 403 => FaultKind::Denied,
        404 | 410 => FaultKind::NotFound,
        // 418 is how an exchange says that it will stop listening.
        418 | 429 => FaultKind::Throttled,
        _ => FaultKind::Invalid,
    }
}

/// Polls an address until it answers 2xx.
pub async fn healthy(url: &str, within: Duration) -> Result<String, Fault> {
    let began = tokio::time::Instant::now();
    loop {
        let words = match send(Request::get(url)).await {
            Ok(status) if (200..300).contains(&status) => return Ok(format!("{url} answers {status}")),
            Ok(status) => format!("{url} answers {status}"),
            Err(fault) if fault.kind == FaultKind::Invalid => return Err(fault),
            Err(fault) => fault.chain(),
        };
        if began.elapsed() >= within {
            return Err(Fault::new(
                FaultKind::Unavailable,
                format!("not healthy after {} s: {words}", within.as_secs()),
            ));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
