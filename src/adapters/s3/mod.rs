//! Objects in S3, or in what speaks its protocol: listed page by page, read as streams that go on after a cut, written whole.
//! Blocking, for the threads that scan and restore.

mod facts;
mod list;
mod locked;
mod read;
mod witness;
mod write;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_iam::config::{Credentials, ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use tokio::runtime::Handle;

use crate::adapters::aws::Aws;
use crate::ports::{Fault, FaultKind};

pub use facts::Version;
pub use list::Listed;
pub use locked::Retain;
pub use read::ObjectReader;
pub use witness::S3Witness;
pub use write::PartWriter;

/// Most objects of one listing.
const MAX_OBJECTS: usize = 1_000_000;
/// Longest answer that is no object, in bytes: a page of a listing has 1,000 keys of at most 1,024 bytes each.
const MAX_ANSWER: u64 = 16 << 20;
/// Tries in a row that bring nothing before a request is given up.
const TRIES: u32 = 5;
/// Bound on connecting, on the wait for an answer, and on each read of one.
const BOUND: Duration = Duration::from_secs(20);
/// Credentials that name no end are asked for again after this.
const KEPT: Duration = Duration::from_mins(5);

/// Where an object lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Bucket.
    pub bucket: String,
    /// Key, or what keys begin with.
    pub key: String,
}

impl Place {
    /// Reads `s3://bucket/key`; `None` if it is no such address.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("s3://")?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        (!bucket.is_empty() && bucket.chars().all(plain))
            .then(|| Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// The client.
pub struct S3 {
    agent: ureq::Agent,
    provider: Option<SharedCredentialsProvider>,
    credentials: Mutex<Option<(Credentials, SystemTime)>>,
    /// As the buckets that were asked have told it.
    region: Mutex<String>,
    /// Where to ask instead of AWS.
    endpoint: Option<String>,
    runtime: Handle,
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// A request.
struct Ask<'a> {
    method: &'static str,
    place: &'a Place,
    /// Names and values, in the order of the names.
    query: &'a [(&'a str, &'a str)],
    headers: Vec<(&'static str, String)>,
    body: &'a [u8],
}

type Answer = ureq::http::Response<ureq::Body>;

impl S3 {
    /// For the account, region and address (`AWS_ENDPOINT_URL`) that the environment names. Must be called in the runtime
    /// in which credentials are to be asked for.
    pub async fn connect(aws: &Aws) -> Arc<Self> {
        let config = aws.config().await;
        let agent = ureq::Agent::config_builder()
            .timeout_connect(Some(BOUND))
            .timeout_recv_response(Some(BOUND))
            .timeout_per_read(Some(BOUND))
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent("portcullis")
            .build();
        Arc::new(Self {
            agent: agent.into(),
            provider: config.credentials_provider(),
            credentials: Mutex::new(None),
            region: Mutex::new(config.region().map_or_else(|| "us-east-1".to_owned(), ToString::to_string)),
            endpoint: config.endpoint_url().map(|url| url.trim_end_matches('/').to_owned()),
            runtime: Handle::current(),
        })
    }

    /// Every object whose key begins with the place's, in the order of the keys.
    pub fn list(&self, place: &Place) -> Result<Vec<Listed>, Fault> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        let bucket = Place { bucket: place.bucket.clone(), key: String::new() };
        loop {
            let mut query = vec![("encoding-type", "url"), ("list-type", "2"), ("prefix", place.key.as_str())];
            if let Some(token) = &token {
                query.insert(0, ("continuation-token", token));
            }
            let ask = Ask { method: "GET", place: &bucket, query: &query, headers: Vec::new(), body: &[] };
            let page = self.whole(&format!("list {place}"), &ask)?;
            let page = list::parse(&String::from_utf8_lossy(&page)).ok_or_else(|| {
                Fault::new(FaultKind::Invalid, format!("failed to list {place}: the answer is no listing"))
            })?;
            found.extend(page.objects);
            if found.len() > MAX_OBJECTS {
                return Err(Fault::new(FaultKind::Invalid, format!("{place} holds more than {MAX_OBJECTS} objects")));
            }
            token = page.next;
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// The object of exactly that key; `None` if there is none.
    pub fn find(&self, place: &Place) -> Result<Option<Listed>, Fault> {
        // A listing, not a HEAD: where it is refused, its answer says why.
        Ok(self.list(place)?.into_iter().find(|listed| listed.key == place.key))
    }

    /// Reads all of a small object.
    pub fn get(&self, place: &Place) -> Result<Vec<u8>, Fault> {
        self.whole(&format!("read {place}"), &Ask { method: "GET", place, query: &[], headers: Vec::new(), body: &[] })
    }

    /// Asks, again where that can help, and reads the answer.
    fn whole(&self, what: &str, ask: &Ask<'_>) -> Result<Vec<u8>, Fault> {
        self.tagged(what, ask).map(|(_, body)| body)
    }

    /// The same, with the `ETag` of the answer.
    fn tagged(&self, what: &str, ask: &Ask<'_>) -> Result<(Option<String>, Vec<u8>), Fault> {
        let mut tries = 0;
        loop {
            tries += 1;
            let read = self.send(ask).and_then(|mut answer| {
                let status = answer.status().as_u16();
                let tag = answer.headers().get("etag").and_then(|value| value.to_str().ok()).map(str::to_owned);
                let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
                let body = body.map_err(|_| Refused::again("the answer was cut off"))?;
                if (200..300).contains(&status) { Ok((tag, body)) } else { Err(refused(status, &body)) }
            });
            match read {
                Ok(answer) => return Ok(answer),
                Err(refused) if refused.again && tries < TRIES => pause(tries),
                Err(refused) => {
                    let kind = if refused.again { FaultKind::Unavailable } else { refused.kind };
                    return Err(Fault::new(kind, format!("failed to {what}: {}", refused.words)));
                }
            }
        }
    }

    /// Signs and sends once; once more where the bucket says that it lies in another region.
    fn send(&self, ask: &Ask<'_>) -> Result<Answer, Refused> {
        let region = self.region.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = self.send_to(ask, &region)?;
        let told = answer.headers().get("x-amz-bucket-region").and_then(|value| value.to_str().ok());
        let moved = matches!(answer.status().as_u16(), 301 | 307 | 400);
        match told
            .filter(|told| moved && *told != region && told.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        {
            Some(told) => {
                let told = told.to_owned();
                self.region.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&told);
                self.send_to(ask, &told)
            }
            None => Ok(answer),
        }
    }

    fn send_to(&self, ask: &Ask<'_>, region: &str) -> Result<Answer, Refused> {
        let url = self.url(ask, region);
        let mut request = ureq::http::Request::builder().method(ask.method).uri(&url);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        for (name, value) in self.signature(ask, &url, region)? {
            let mut value =
                ureq::http::HeaderValue::from_str(&value).map_err(|_| Refused::never("it can't be signed"))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let invalid = |_| Refused::never("its address is not valid");
        let sent = if matches!(ask.method, "PUT" | "POST") {
            self.agent.run(request.body(ask.body).map_err(invalid)?)
        } else {
            self.agent.run(request.body(()).map_err(invalid)?)
        };
        // In words of our own: those of the library may repeat what was signed.
        sent.map_err(|error| match error {
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) => Refused::never("its certificate or TLS can't be trusted"),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Refused::never("its address is not valid"),
            _ => Refused::again("it can't be reached"),
        })
    }

    fn url(&self, ask: &Ask<'_>, region: &str) -> String {
        let (bucket, key) = (&ask.place.bucket, encoded(&ask.place.key, true));
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let mut url = match &self.endpoint {
            Some(endpoint) => format!("{endpoint}/{bucket}/{key}"),
            // The certificate of AWS covers one label.
            None if bucket.contains('.') => format!("https://s3.{region}.{domain}/{bucket}/{key}"),
            None => format!("https://{bucket}.s3.{region}.{domain}/{key}"),
        };
        for (at, (name, value)) in ask.query.iter().enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            url.push_str(&format!("{}={}", encoded(name, false), encoded(value, false)));
        }
        url
    }

    fn signature(&self, ask: &Ask<'_>, url: &str, region: &str) -> Result<Vec<(String, String)>, Refused> {
        let unsigned = |_| Refused::never("it can't be signed");
        let identity = self.credentials()?.into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|_| Refused::never("it can't be signed"))?
            .into();
        let headers = ask.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let request =
            SignableRequest::new(ask.method, url, headers, SignableBody::Bytes(ask.body)).map_err(unsigned)?;
        let (instructions, _) = sign(request, &params).map_err(unsigned)?.into_parts();
        Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn credentials(&self) -> Result<Credentials, Refused> {
        let mut kept = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now();
        if let Some((credentials, until)) = kept.as_ref()
            && now < *until
        {
            return Ok(credentials.clone());
        }
        let none = || Refused { kind: FaultKind::Denied, ..Refused::never("no credentials for AWS were found") };
        let provider = self.provider.as_ref().ok_or_else(none)?;
        let found = tokio::task::block_in_place(|| self.runtime.block_on(provider.provide_credentials()));
        let found = found.map_err(|_| none())?;
        let soon = found.expiry().and_then(|end| end.checked_sub(KEPT));
        *kept = Some((found.clone(), soon.unwrap_or(now + KEPT).min(now + KEPT)));
        Ok(found)
    }
}

/// Why a request brought nothing.
struct Refused {
    kind: FaultKind,
    words: String,
    /// Whether it may come right by itself.
    again: bool,
}

impl Refused {
    fn again(words: &str) -> Self {
        Self { kind: FaultKind::Unavailable, words: words.to_owned(), again: true }
    }

    fn never(words: &str) -> Self {
        Self { kind: FaultKind::Invalid, words: words.to_owned(), again: false }
    }
}

/// What a status and the text of an error stand for.
fn refused(status: u16, body: &[u8]) -> Refused {
    let body = String::from_utf8_lossy(body);
    let code = list::element(&body, "Code").unwrap_or_default();
    let known = code.len() < 80 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let code = if known && !code.is_empty() { format!("{code} (status {status})") } else { format!("status {status}") };
    let (kind, again) = match status {
        403 | 401 => (FaultKind::Denied, false),
        404 => (FaultKind::NotFound, false),
        409 | 412 => (FaultKind::Conflict, false),
        429 | 500 | 502 | 503 | 504 => (FaultKind::Throttled, true),
        _ => (FaultKind::Invalid, false),
    };
    let words =
        if status == 412 { "the object was changed after it was listed, or is there already".to_owned() } else { code };
    Refused { kind, words, again }
}

fn pause(tries: u32) {
    std::thread::sleep(Duration::from_millis(100 << tries.min(6)));
}

/// The text as it stands in an address.
fn encoded(text: &str, path: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (path && byte == b'/') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_others_are_not() {
        let place = |text: &str| Place::parse(text).map(|place| (place.bucket, place.key));
        assert_eq!(place("s3://logs/a/b c"), Some(("logs".into(), "a/b c".into())));
        assert_eq!(place("s3://logs"), Some(("logs".into(), String::new())));
        assert_eq!(place("s3:///a"), None);
        assert_eq!(place("s3://a@b/c"), None);
        assert_eq!(place("logs/s3"), None);
    }

    #[test]
    fn keys_are_encoded_once() {
        assert_eq!(encoded("a/b c+\u{e9}%", true), "a/b%20c%2B%C3%A9%25");
        assert_eq!(encoded("a/b", false), "a%2Fb");
    }

    #[test]
    fn errors_are_told_apart() {
        let body = b"<Error><Code>AccessDenied</Code><Message>secret words</Message></Error>";
        let denied = refused(403, body);
        assert_eq!(
            (denied.kind, denied.again, denied.words.as_str()),
            (FaultKind::Denied, false, "AccessDenied (status 403)")
        );
        assert!(refused(503, b"").again && !refused(404, b"").again);
        assert!(refused(412, b"").words.contains("changed"));
    }
}
