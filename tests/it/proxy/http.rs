//! HTTP/1.1 with `Content-Length`, as much of it as a proxy needs, and a plain proxy for the back end.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Control, Fault, forever, listen};

/// A request or a reply.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// Request line or status line.
    pub first: String,
    /// Headers in order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Message {
    /// A reply with that status and body.
    pub fn reply(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Self { first: format!("HTTP/1.1 {status} X"), headers, body: body.into() }
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A reply's status.
    pub fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn encode(&self, connection: &str) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.first);
        let hop = ["connection", "content-length", "transfer-encoding", "keep-alive", "expect"];
        for (name, value) in &self.headers {
            if !hop.contains(&name.to_ascii_lowercase().as_str()) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        text.push_str(&format!("content-length: {}\r\nconnection: {connection}\r\n\r\n", self.body.len()));
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Reads a message; `None` at the end of the stream.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut BufReader<S>, reply: bool) -> Option<Message> {
    let mut message = Message::default();
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    line.trim_end().clone_into(&mut message.first);
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        message.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    match message.header("content-length").and_then(|length| length.parse().ok()) {
        Some(length) => {
            message.body = vec![0; length];
            stream.read_exact(&mut message.body).await.ok()?;
        }
        // Asked as HTTP/1.0, a server ends the connection after the body.
        None if reply => drop(stream.read_to_end(&mut message.body).await.ok()?),
        None => {}
    }
    Some(message)
}

/// Asks the server behind the proxy, on a connection of its own.
pub async fn ask(server: &str, request: &Message) -> Option<Message> {
    let mut stream = TcpStream::connect(server).await.ok()?;
    let _ = stream.set_nodelay(true);
    let mut old = request.clone();
    old.first = old.first.replace("HTTP/1.1", "HTTP/1.0");
    stream.write_all(&old.encode("close")).await.ok()?;
    let mut reply = read(&mut BufReader::new(stream), true).await?;
    reply.first = reply.first.replace("HTTP/1.0", "HTTP/1.1");
    Some(reply)
}

/// What a proxy does with a request: the reply, or `None` to end the connection.
pub trait Answer: Send + Sync + 'static {
    /// Answers.
    fn answer(&self, request: Message) -> impl Future<Output = Option<Message>> + Send;
}

/// Serves a connection, request by request.
pub async fn serve<A: Answer>(answer: Arc<A>, stream: TcpStream) {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    while let Some(request) = read(&mut from, false).await {
        let head = request.first.starts_with("HEAD ");
        let Some(reply) = answer.answer(request).await else { return };
        let mut bytes = reply.encode("keep-alive");
        if head {
            bytes.truncate(bytes.len() - reply.body.len());
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// A proxy in front of a plain HTTP server. A request's text is its first line.
pub struct HttpProxy {
    /// Faults.
    pub control: Control,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
}

struct Plain {
    control: Control,
    server: String,
}

impl Answer for Plain {
    async fn answer(&self, request: Message) -> Option<Message> {
        let text = |status, words: &str| Some(Message::reply(status, "text/plain", words));
        match self.control.fault(&request.first) {
            None | Some(Fault::Stale) => {}
            Some(Fault::Hang) => forever().await,
            Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
            Some(Fault::Throttle) => return text(429, "slow down"),
            Some(Fault::SlowDown) => return text(503, "slow down"),
            Some(Fault::Broken) => return text(500, "broken"),
            Some(Fault::Refuse(code)) => return text(400, code),
            Some(Fault::Lie(body)) => return text(200, body),
            Some(Fault::CutBefore) => return None,
            Some(Fault::CutAfter) => {
                ask(&self.server, &request).await;
                return None;
            }
        }
        ask(&self.server, &request).await
    }
}

impl HttpProxy {
    /// In front of `http://host:port`.
    pub fn start(server: &str) -> Self {
        let control = Control::new();
        let server = server.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let plain = Arc::new(Plain { control: control.clone(), server });
        let address: SocketAddr = listen(&control, move |stream| serve(Arc::clone(&plain), stream));
        Self { control, url: format!("http://{address}") }
    }
}
