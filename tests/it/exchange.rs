//! An exchange for the tests: it verifies signatures, keeps keys and open orders, remembers what happened in which order, and can
//! lose replies. The back end's pause is behind the same server, signed with a key of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use ring::hmac;
use serde_json::{Value, json};

/// The running exchange.
pub struct Exchange {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    state: Arc<Mutex<State>>,
}

/// What it knows.
#[derive(Default)]
pub struct State {
    /// Secret and label by id.
    pub keys: BTreeMap<String, (String, String)>,
    /// Open orders.
    pub orders: u32,
    /// What happened, in order: `create k2 by k1`, `delete k1 by k2`, `cancel by k1`, ...
    pub events: Vec<String>,
    /// So many replies to `create` are lost after the key was made.
    pub lose: u32,
    /// So many replies to `create` lack the secret.
    pub garble: u32,
    /// Cancelling fails with this status.
    pub cancel_fails: Option<u16>,
    /// Whether the back end is paused.
    pub paused: bool,
    /// Pausing answers 200 and does nothing.
    pub lies: bool,
    made: u32,
}

/// The key under which the back end's pause is signed.
pub const SWITCH_KEY: &str = "switch-signing-key";

impl Exchange {
    /// Starts it with one key and some open orders.
    pub fn start(id: &str, secret: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut state = State { orders: 3, made: 1, ..State::default() };
        state.keys.insert(id.to_owned(), (secret.to_owned(), "bot".to_owned()));
        let state = Arc::new(Mutex::new(state));
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&serving);
                std::thread::spawn(move || drop(serve(&state, stream)));
            }
        });
        Self { url, state }
    }

    /// What it knows now.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What it says to a signed request of that key.
    pub fn status_for(&self, id: &str, secret: &str) -> u16 {
        let now = now().to_string();
        let known = self.state().keys.get(id).cloned();
        match known {
            Some((real, _))
                if signature(secret, &now, "GET", "/account", "") == signature(&real, &now, "GET", "/account", "") =>
            {
                200
            }
            _ => 401,
        }
    }
}

fn now() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()
}

fn signature(secret: &str, time: &str, method: &str, target: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hex::encode(hmac::sign(&key, format!("{time}{method}{target}{body}").as_bytes()))
}

struct Asked {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Asked {
    fn read(stream: &TcpStream) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length: u64 = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = String::new();
        reader.take(length).read_to_string(&mut body)?;
        let mut words = first.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        Ok(Self { method, target, headers, body })
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Whether it is signed with that secret, and not long ago.
    fn is_signed(&self, secret: &str) -> bool {
        let time = self.header("x-time");
        let fresh = time.parse::<u128>().is_ok_and(|time| time.abs_diff(now()) < 5_000);
        fresh && self.header("x-sign") == signature(secret, time, &self.method, &self.target, &self.body)
    }
}

fn serve(state: &Mutex<State>, mut stream: TcpStream) -> std::io::Result<()> {
    let asked = Asked::read(&stream)?;
    let Some((status, body)) = answer(&mut state.lock().unwrap(), &asked) else { return Ok(()) };
    let body = body.to_string();
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// The answer; `None` if it is lost.
fn answer(state: &mut State, asked: &Asked) -> Option<(u16, Value)> {
    if asked.target.starts_with("/backend/") {
        return Some(back_end(state, asked));
    }
    let by = asked.header("x-key").to_owned();
    if !state.keys.get(&by).is_some_and(|(secret, _)| asked.is_signed(secret)) {
        return Some((401, json!({ "error": "unknown key or signature" })));
    }
    match (asked.method.as_str(), asked.target.as_str()) {
        ("GET", "/account?full=1") => Some((200, json!({ "ok": true }))),
        ("GET", "/keys") => {
            let keys = state.keys.iter().map(|(id, (_, label))| json!({ "id": id, "label": label }));
            Some((200, json!({ "data": keys.collect::<Vec<_>>() })))
        }
        ("POST", "/keys") => create(state, &by, &asked.body),
        ("DELETE", "/orders") => {
            if let Some(status) = state.cancel_fails {
                return Some((status, json!({})));
            }
            state.orders = 0;
            state.events.push(format!("cancel by {by}"));
            Some((200, json!({ "cancelled": 3 })))
        }
        ("DELETE", target) => {
            let id = target.strip_prefix("/keys/").unwrap_or_default().to_owned();
            if state.keys.remove(&id).is_none() {
                return Some((404, json!({})));
            }
            state.events.push(format!("delete {id} by {by}"));
            Some((200, json!({})))
        }
        _ => Some((400, json!({}))),
    }
}

fn create(state: &mut State, by: &str, body: &str) -> Option<(u16, Value)> {
    let body: Value = serde_json::from_str(body).unwrap();
    state.made += 1;
    let (id, secret) = (format!("k{}", state.made), format!("made-secret-number-{}", state.made));
    state.keys.insert(id.clone(), (secret.clone(), body["label"].as_str().unwrap_or_default().to_owned()));
    state.events.push(format!("create {id} by {by}"));
    if state.lose > 0 {
        state.lose -= 1;
        return None;
    }
    if state.garble > 0 {
        state.garble -= 1;
        return Some((200, json!({ "data": { "id": id } })));
    }
    Some((200, json!({ "data": { "id": id, "secret": secret } })))
}

fn back_end(state: &mut State, asked: &Asked) -> (u16, Value) {
    if !asked.is_signed(SWITCH_KEY) || asked.header("authorization") != "Bearer switch-bearer" {
        return (401, json!({}));
    }
    match (asked.method.as_str(), asked.target.as_str()) {
        ("POST", "/backend/pause") => state.paused = !state.lies && asked.body == r#"{"by":"portcullis"}"#,
        ("POST", "/backend/unpause") => state.paused = false,
        ("GET", "/backend/status") => {}
        _ => return (404, json!({})),
    }
    (200, json!({ "trading": { "paused": state.paused } }))
}
