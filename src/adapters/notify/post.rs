//! A POST whose address and headers may be secrets: neither gets into an error.

use std::sync::LazyLock;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::ports::{Fault, FaultKind};

/// Bound on one try.
pub(super) const TRY: Duration = Duration::from_secs(4);

static AGENT: LazyLock<ureq::Agent> = LazyLock::new(|| {
    // A redirect would send secrets to another host.
    ureq::Agent::config_builder()
        .timeout_global(Some(TRY))
        .timeout_connect(Some(Duration::from_secs(3)))
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent("portcullis")
        .build()
        .into()
});

pub(super) struct Post {
    /// Words for people in place of the address.
    pub place: String,
    pub url: SecretString,
    pub headers: Vec<(&'static str, SecretString)>,
    pub body: String,
}

impl Post {
    /// Sends it; words for people if it was taken.
    pub async fn send(self) -> Result<String, Fault> {
        tokio::task::spawn_blocking(move || self.send_blocking())
            .await
            .map_err(|error| Fault::with(FaultKind::OutcomeUnknown, "the request died", error))?
    }

    fn send_blocking(&self) -> Result<String, Fault> {
        let place = &self.place;
        let invalid = |what: &str| Fault::new(FaultKind::Invalid, format!("{what} of {place} is not valid"));
        let mut builder =
            ureq::http::Request::post(self.url.expose_secret()).header("content-type", "application/json");
        for (name, value) in &self.headers {
            let mut value = ureq::http::HeaderValue::from_str(value.expose_secret())
                .map_err(|_| invalid(&format!("the value of the header {name}")))?;
            value.set_sensitive(true);
            builder = builder.header(*name, value);
        }
        let request = builder.body(self.body.clone()).map_err(|_| invalid("the address"))?;
        let status = AGENT.run(request).map_err(|error| fault(place, &error))?.status().as_u16();
        let kind = match status {
            200..=299 => return Ok(format!("answered {status}")),
            401 | 403 => FaultKind::Denied,
            408 | 429 => FaultKind::Throttled,
            500..=599 => FaultKind::Unavailable,
            _ => FaultKind::Invalid,
        };
        Err(Fault::new(kind, format!("{place} answered {status}")))
    }
}

/// In words of our own: those of the library may repeat the address.
fn fault(place: &str, error: &ureq::Error) -> Fault {
    let (kind, words) = match error {
        ureq::Error::HostNotFound => (FaultKind::Unavailable, "its host is not known".to_owned()),
        ureq::Error::ConnectionFailed => (FaultKind::Unavailable, "it can't be reached".to_owned()),
        ureq::Error::Timeout(_) => (FaultKind::OutcomeUnknown, "it did not answer in time".to_owned()),
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            (FaultKind::Unavailable, "the connection was refused".to_owned())
        }
        ureq::Error::Io(error) => (FaultKind::OutcomeUnknown, format!("the connection broke ({})", error.kind())),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => (FaultKind::Invalid, "its address is not valid".to_owned()),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
            (FaultKind::Denied, "its certificate or TLS can't be trusted".to_owned())
        }
        _ => (FaultKind::OutcomeUnknown, "the request failed".to_owned()),
    };
    Fault::new(kind, format!("failed to reach {place}: {words}"))
}

/// Scheme, host and port of an address, for people.
pub(super) fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    format!("{scheme}://{}", rest.split(['/', '?', '#']).next().unwrap_or_default())
}
