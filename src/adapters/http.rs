//! HTTP requests of switches, probes and health checks: bounded, without redirects, no body kept.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::domain::SwitchState;
use crate::policy::pause::HttpRequest;
use crate::ports::{Fault, FaultKind, PauseSwitch};

static AGENT: LazyLock<ureq::Agent> = LazyLock::new(|| {
    // A redirect would send the header to another host.
    ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
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
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: String,
    /// Address.
    pub url: String,
    /// Header with a secret value.
    pub header: Option<(String, SecretString)>,
    /// JSON body.
    pub body: Option<String>,
}

/// Sends it; the status code. The request itself is never repeated in an error.
pub async fn send(request: Request) -> Result<u16, Fault> {
    tokio::task::spawn_blocking(move || send_blocking(&request))
        .await
        .map_err(|error| Fault::with(FaultKind::OutcomeUnknown, "the request died", error))?
}

fn send_blocking(request: &Request) -> Result<u16, Fault> {
    let invalid =
        |what: &str| Fault::new(FaultKind::Invalid, format!("{what} of the request to {} is not valid", request.url));
    let mut builder = ureq::http::Request::builder().method(request.method.as_str()).uri(&request.url);
    if let Some((name, value)) = &request.header {
        let mut value =
            ureq::http::HeaderValue::from_str(value.expose_secret()).map_err(|_| invalid("the header value"))?;
        value.set_sensitive(true);
        builder = builder.header(name, value);
    }
    if request.body.is_some() {
        builder = builder.header("content-type", "application/json");
    }
    let built = builder.body(request.body.clone().unwrap_or_default()).map_err(|_| invalid("the address or method"))?;
    match AGENT.run(built) {
        Ok(response) => Ok(response.status().as_u16()),
        Err(error) => Err(fault(request, &error)),
    }
}

fn fault(request: &Request, error: &ureq::Error) -> Fault {
    let kind = match error {
        ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => FaultKind::Unavailable,
        ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => FaultKind::Unavailable,
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => FaultKind::Invalid,
        // It may have been sent: only a GET can be repeated without a thought.
        _ if request.method == "GET" => FaultKind::Unavailable,
        _ => FaultKind::OutcomeUnknown,
    };
    Fault::new(kind, format!("failed to reach {}: {error}", request.url))
}

/// Polls an address until it answers 2xx.
pub async fn healthy(url: &str, within: Duration) -> Result<String, Fault> {
    let began = tokio::time::Instant::now();
    loop {
        let request = Request { method: "GET".into(), url: url.to_owned(), header: None, body: None };
        let words = match send(request).await {
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

/// A switch that is a request to the service.
#[derive(Debug, Clone)]
pub struct HttpSwitch {
    /// Name in `pause.yml`.
    pub name: String,
    /// Stops trade.
    pub engage: HttpRequest,
    /// Lets it in again.
    pub release: HttpRequest,
    /// Bearer token.
    pub bearer: Option<SecretString>,
}

impl HttpSwitch {
    async fn request(&self, request: &HttpRequest) -> Result<String, Fault> {
        let header = self
            .bearer
            .as_ref()
            .map(|token| ("authorization".to_owned(), SecretString::from(format!("Bearer {}", token.expose_secret()))));
        let sent =
            Request { method: request.method.clone(), url: request.url.clone(), header, body: request.body.clone() };
        let status = send(sent).await?;
        let words = format!("{} {} answered {status}", request.method, request.url);
        match status {
            200..=299 => Ok(words),
            401 | 403 => Err(Fault::new(FaultKind::Denied, words)),
            429 => Err(Fault::new(FaultKind::Throttled, words)),
            _ => Err(Fault::new(FaultKind::Invalid, words)),
        }
    }
}

#[async_trait]
impl PauseSwitch for HttpSwitch {
    fn name(&self) -> &str {
        &self.name
    }

    fn describe(&self) -> String {
        format!("{} {}", self.engage.method, self.engage.url)
    }

    async fn observe(&self) -> Result<SwitchState, Fault> {
        Ok(SwitchState::Unobservable)
    }

    async fn engage(&self) -> Result<String, Fault> {
        self.request(&self.engage).await
    }

    async fn release(&self) -> Result<String, Fault> {
        self.request(&self.release).await
    }
}
