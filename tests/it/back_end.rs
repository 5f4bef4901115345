//! A trading back end for the tests: a process's worth of HTTP in a thread. It reads `.env` at its start and at `/restart`,
//! honours API keys by their hash in the key table and session tokens by the JWT secret that it read.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{digest, hmac};

use crate::peers::psql;

/// The running back end.
pub struct BackEnd {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    state: Arc<State>,
}

struct State {
    root: PathBuf,
    env: Mutex<HashMap<String, String>>,
    paused: Mutex<bool>,
    keys: String,
}

fn read_env(root: &Path) -> HashMap<String, String> {
    // Without the file it starts with nothing.
    let text = std::fs::read_to_string(root.join(".env")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
        .collect()
}

impl BackEnd {
    /// Starts it over `root/.env`; `keys` is the address of the database with the key table.
    pub fn start(root: &Path, keys: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            root: root.to_owned(),
            env: Mutex::new(read_env(root)),
            paused: Mutex::new(false),
            keys: keys.to_owned(),
        });
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&serving);
                std::thread::spawn(move || drop(answer(&state, stream)));
            }
        });
        Self { url, state }
    }

    /// Whether it takes no trade.
    pub fn is_paused(&self) -> bool {
        *self.state.paused.lock().unwrap()
    }
}

fn answer(state: &State, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: u64 = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    let path = first.split(' ').nth(1).unwrap_or("/");
    let header = |name: &str| headers.get(name).map_or("", String::as_str);
    let allowed = match path {
        "/health" => true,
        "/restart" => {
            *state.env.lock().unwrap() = read_env(&state.root);
            true
        }
        "/admin/pause" | "/admin/unpause" => {
            let right = header("authorization") == "Bearer admin-token-for-tests";
            *state.paused.lock().unwrap() = path == "/admin/pause" && right;
            right
        }
        "/me" => token_is_good(&state.env.lock().unwrap()["JWT_SECRET"], header("authorization")),
        "/orders" => key_is_good(&state.keys, header("x-api-key")),
        _ => false,
    };
    let status = if allowed { "200 OK" } else { "401 Unauthorized" };
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn token_is_good(secret: &str, authorization: &str) -> bool {
    let Some(token) = authorization.strip_prefix("Bearer ") else { return false };
    let Some((signed, tag)) = token.rsplit_once('.') else { return false };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    URL_SAFE_NO_PAD.decode(tag).is_ok_and(|tag| hmac::verify(&key, signed.as_bytes(), &tag).is_ok())
}

fn key_is_good(url: &str, key: &str) -> bool {
    let hash = hex::encode(digest::digest(&digest::SHA256, key.as_bytes()));
    let sql = format!("SELECT count(*) FROM \"ApiKey\" WHERE \"keyHash\" = '{hash}' AND \"revokedAt\" IS NULL");
    psql(url, &sql).is_ok_and(|count| count == "1")
}
