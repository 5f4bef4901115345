//! A small HTTP/1.1 server for loopback: GET only, one request a connection, everything bounded.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

/// Connections at a time.
const CONNECTIONS: usize = 64;
/// Longest head of a request, in bytes.
const HEAD: usize = 8 << 10;
/// Bound on receiving a head, and on sending each part of a reply.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request. Header names are in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Path, without a query.
    pub path: String,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The value of a header that stands there exactly once: a doubled one is a trick.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter(|(known, _)| known == name);
        let first = all.next();
        if all.next().is_some() { None } else { first.map(|(_, value)| value.as_str()) }
    }
}

/// A reply.
#[derive(Debug)]
pub enum Reply {
    /// All at once.
    Whole {
        /// Status code.
        status: u16,
        /// Media type.
        kind: &'static str,
        /// More headers, each `Name: value`.
        headers: Vec<&'static str>,
        /// The body.
        body: String,
    },
    /// Server-sent events: each text is sent as it comes.
    Events(mpsc::Receiver<String>),
}

impl Reply {
    /// A reply without headers of its own.
    pub fn whole(status: u16, kind: &'static str, body: String) -> Self {
        Self::Whole { status, kind, headers: Vec::new(), body }
    }
}

/// Answers a request.
pub type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, answer: Arc<impl Fn(&Request) -> Reply + Send + Sync + 'static>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, for instance: that passes.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            let _place = place;
            // A client that went away is no failure.
            let _ = converse(stream, answer.as_ref()).await;
        });
    }
}

async fn converse(mut stream: TcpStream, answer: &Answer) -> std::io::Result<()> {
    let head = tokio::time::timeout(PATIENCE, receive(&mut stream)).await;
    let reply = match head {
        Ok(Ok(Some(head))) => match parse(&head) {
            Ok(request) => answer(&request),
            Err(status) => Reply::whole(status, "text/plain; charset=utf-8", String::new()),
        },
        Ok(Ok(None)) => Reply::whole(431, "text/plain; charset=utf-8", String::new()),
        Ok(Err(error)) => return Err(error),
        Err(_) => return Ok(()),
    };
    match reply {
        Reply::Whole { status, kind, headers, body } => {
            let mut head = format!("HTTP/1.1 {status} {}\r\n{FIXED}Content-Type: {kind}\r\n", reason(status));
            for header in headers {
                head.push_str(header);
                head.push_str("\r\n");
            }
            head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
            send(&mut stream, &head).await?;
        }
        Reply::Events(mut events) => {
            let head = format!("HTTP/1.1 200 OK\r\n{FIXED}Content-Type: text/event-stream\r\n\r\n");
            send(&mut stream, &head).await?;
            while let Some(event) = events.recv().await {
                send(&mut stream, &event).await?;
            }
        }
    }
    stream.shutdown().await
}

/// What every reply says.
const FIXED: &str = "Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";

async fn send(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
    tokio::time::timeout(PATIENCE, stream.write_all(text.as_bytes())).await.map_err(late)?
}

/// The head of a request; `None` if it is longer than allowed.
async fn receive(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..read]);
        if let Some(end) = memchr::memmem::find(&head, b"\r\n\r\n") {
            head.truncate(end);
            return Ok(Some(head));
        }
        if head.len() > HEAD {
            return Ok(None);
        }
    }
}

/// Reads a head (RFC 9112), strictly; the status that says what is wrong.
fn parse(head: &[u8]) -> Result<Request, u16> {
    let head = std::str::from_utf8(head).map_err(|_| 400_u16)?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) = (first.next(), first.next(), first.next(), first.next())
    else {
        return Err(400);
    };
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return Err(400);
    }
    if method != "GET" {
        return Err(405);
    }
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(400_u16)?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err(400);
        }
        headers.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    Ok(Request { path, headers })
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_are_read_strictly() {
        let request = parse(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nCookie:  y ").unwrap();
        assert_eq!(
            (request.path.as_str(), request.header("host"), request.header("cookie")),
            ("/a", Some("x"), Some("y"))
        );
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: x\r\nhost: y").unwrap().header("host"), None);
        for (head, status) in [
            (&b"POST / HTTP/1.1"[..], 405),
            (b"GET http://x/ HTTP/1.1", 400),
            (b"GET / HTTP/1.1\r\nno colon", 400),
            (b"GET / HTTP/1.1\r\n folded: x", 400),
            (b"\xff", 400),
        ] {
            assert_eq!(parse(head), Err(status));
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(head in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&head);
        }
    }
}
