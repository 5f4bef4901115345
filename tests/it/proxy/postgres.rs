//! PostgreSQL's protocol 3.0, as much of it as is needed to see statements and to stand in for replies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

use super::{Control, Fault, forever, listen};

/// `SSLRequest` and `GSSENCRequest`, which come before the startup message.
const ENCRYPTION: [i32; 2] = [80_877_103, 80_877_104];

/// A proxy in front of a PostgreSQL server without TLS. The text of a connection is `CONNECT` and its parameters, the text
/// of anything else its statement.
pub struct PostgresProxy {
    /// Faults.
    pub control: Control,
    /// `host:port`.
    pub place: String,
}

impl PostgresProxy {
    /// In front of `host:port`.
    pub fn start(server: &str) -> Self {
        let control = Control::new();
        let (server, inner) = (server.to_owned(), control.clone());
        let address = listen(&control, move |stream| {
            let (server, control) = (server.clone(), inner.clone());
            async move {
                drop(relay(&server, &control, stream).await);
            }
        });
        Self { control, place: address.to_string() }
    }
}

/// A message: its type and its body.
struct Message {
    kind: u8,
    body: Vec<u8>,
}

impl Message {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind];
        bytes.extend_from_slice(&i32::try_from(self.body.len() + 4).unwrap().to_be_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The statement of a `Query` or `Parse`.
    fn statement(&self) -> Option<String> {
        let mut parts = self.body.split(|byte| *byte == 0);
        let text = match self.kind {
            b'Q' => parts.next()?,
            b'P' => parts.nth(1)?,
            _ => return None,
        };
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

fn error(code: &str) -> Vec<u8> {
    let text = format!("SERROR\0VERROR\0C{code}\0Mrefused by the fault proxy\0\0");
    Message { kind: b'E', body: text.into_bytes() }.encode()
}

const READY: Message = Message { kind: b'Z', body: Vec::new() };

fn ready() -> Vec<u8> {
    Message { body: vec![b'I'], ..READY }.encode()
}

async fn read(stream: &mut OwnedReadHalf) -> std::io::Result<Message> {
    let kind = stream.read_u8().await?;
    let length = usize::try_from(stream.read_i32().await?).unwrap_or(4);
    let mut body = vec![0; length - 4];
    stream.read_exact(&mut body).await?;
    Ok(Message { kind, body })
}

/// The startup message as it was sent; a request for encryption is declined here.
async fn startup(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    loop {
        let length = client.read_i32().await?;
        let mut body = vec![0; usize::try_from(length).unwrap_or(4) - 4];
        client.read_exact(&mut body).await?;
        let code = body.first_chunk().map_or(0, |code| i32::from_be_bytes(*code));
        if ENCRYPTION.contains(&code) {
            client.write_all(b"N").await?;
            continue;
        }
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&body);
        return Ok(bytes);
    }
}

async fn relay(server: &str, control: &Control, mut client: TcpStream) -> std::io::Result<()> {
    let first = startup(&mut client).await?;
    let text = format!("CONNECT {}", String::from_utf8_lossy(&first[8..]).replace('\0', " "));
    match control.fault(&text) {
        None | Some(Fault::Stale | Fault::Lie(_)) => {}
        Some(Fault::Hang) => forever().await,
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        Some(Fault::CutBefore | Fault::CutAfter) => return Ok(()),
        Some(Fault::Throttle | Fault::SlowDown) => return client.write_all(&error("53300")).await,
        Some(Fault::Broken) => return client.write_all(&error("57P03")).await,
        Some(Fault::Refuse(code)) => return client.write_all(&error(code)).await,
    }
    let mut upstream = TcpStream::connect(server).await?;
    upstream.set_nodelay(true)?;
    upstream.write_all(&first).await?;
    let (from_server, to_server) = upstream.into_split();
    let (from_client, to_client) = client.into_split();
    let (to_client, cut) = (Arc::new(Mutex::new(to_client)), Arc::new(AtomicBool::new(false)));
    tokio::select! {
        ended = requests(control, from_client, to_server, &to_client, &cut) => ended,
        ended = replies(from_server, &to_client, &cut) => ended,
    }
}

/// From client to server, message by message.
async fn requests(
    control: &Control,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    client: &Mutex<OwnedWriteHalf>,
    cut: &AtomicBool,
) -> std::io::Result<()> {
    loop {
        let message = read(&mut from).await?;
        let fault = message.statement().and_then(|text| control.fault(&text));
        let reply = match fault {
            None | Some(Fault::Stale) => None,
            Some(Fault::Hang) => {
                forever().await;
                None
            }
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time).await;
                None
            }
            Some(Fault::CutBefore) => return Ok(()),
            Some(Fault::CutAfter) => {
                cut.store(true, Ordering::SeqCst);
                None
            }
            Some(Fault::Throttle | Fault::SlowDown) => Some(error("53300")),
            Some(Fault::Broken) => Some(error("XX000")),
            Some(Fault::Refuse(code)) => Some(error(code)),
            Some(Fault::Lie(tag)) => Some(Message { kind: b'C', body: format!("{tag}\0").into_bytes() }.encode()),
        };
        let Some(mut reply) = reply else {
            to.write_all(&message.encode()).await?;
            continue;
        };
        // Of an extended query, everything up to its Sync is dropped, as a server does after an error.
        if message.kind == b'P' {
            while read(&mut from).await?.kind != b'S' {}
        }
        reply.extend(ready());
        client.lock().await.write_all(&reply).await?;
    }
}

/// From server to client. After a cut was asked for, the connection ends once the server is through with the statement.
async fn replies(mut from: OwnedReadHalf, client: &Mutex<OwnedWriteHalf>, cut: &AtomicBool) -> std::io::Result<()> {
    let mut done = false;
    loop {
        let message = read(&mut from).await?;
        done |= message.kind == b'C' && cut.load(Ordering::SeqCst);
        if done {
            if message.kind == b'Z' {
                return Ok(());
            }
            continue;
        }
        client.lock().await.write_all(&message.encode()).await?;
    }
}
