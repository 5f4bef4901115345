//! Proxies in front of the real peers that fail on command: one speaks PostgreSQL's protocol, one HTTP as AWS and the back end do.
//! What is not told to fail goes through unchanged, so that the peers themselves can be asked afterwards what is so.

pub mod aws;
pub mod http;
mod identity;
pub mod postgres;
mod rate;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// How something fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Takes the request and never answers.
    Hang,
    /// Passes the request on only after that time.
    Slow(Duration),
    /// Refuses as a server under too much load: 400 `ThrottlingException`; for PostgreSQL 53300.
    Throttle,
    /// Refuses with 503 and `SlowDown`.
    SlowDown,
    /// Fails within: 500; for PostgreSQL XX000.
    Broken,
    /// Refuses with that code, status 400; for PostgreSQL that SQLSTATE.
    Refuse(&'static str),
    /// Ends the connection; the request was not passed on.
    CutBefore,
    /// Passes the request on, then ends the connection in place of the reply.
    CutAfter,
    /// Answers a read with the first answer that the same request got since the rule is there or was seen before.
    Stale,
    /// Says that all went well and does nothing. The text is the body, or PostgreSQL's command tag.
    Lie(&'static str),
}

/// Which requests fail, how, and how often.
#[derive(Debug, Clone)]
pub struct Rule {
    words: Vec<String>,
    fault: Fault,
    left: Option<u32>,
    within: Option<Duration>,
    until: Option<Instant>,
}

impl Rule {
    /// A rule for every request whose text holds all these words: an action and its body, a statement, `CONNECT` and a user.
    pub fn on(words: &[&str], fault: Fault) -> Self {
        Self {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            fault,
            left: None,
            within: None,
            until: None,
        }
    }

    /// Only for the first `times` requests.
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    /// Only for that long from the first request on.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }
}

/// What a proxy's owner steers.
#[derive(Debug, Default)]
struct Rules {
    rules: Vec<Rule>,
    hits: u64,
}

/// Rules and whether connections are taken at all.
#[derive(Debug, Clone)]
pub struct Control {
    rules: Arc<Mutex<Rules>>,
    refusing: watch::Sender<bool>,
}

impl Control {
    fn new() -> Self {
        Self { rules: Arc::default(), refusing: watch::Sender::new(false) }
    }

    /// Adds a rule; the first that fits counts.
    pub fn add(&self, rule: Rule) {
        self.lock().rules.push(rule);
    }

    /// Refuses connections (`ECONNREFUSED`) and ends those that are open, or takes them again.
    pub fn refuse(&self, refusing: bool) {
        self.refusing.send_replace(refusing);
        // The listener changes in another thread.
        std::thread::sleep(Duration::from_millis(50));
    }

    /// Everything works again.
    pub fn heal(&self) {
        self.lock().rules.clear();
        if *self.refusing.borrow() {
            self.refuse(false);
        }
    }

    /// How many requests a rule was used for.
    pub fn hits(&self) -> u64 {
        self.lock().hits
    }

    /// The fault for a request with that text.
    fn fault(&self, text: &str) -> Option<Fault> {
        let mut rules = self.lock();
        let now = Instant::now();
        let rule = rules.rules.iter_mut().find(|rule| {
            rule.left != Some(0)
                && rule.until.is_none_or(|until| now < until)
                && rule.words.iter().all(|word| text.contains(word.as_str()))
        })?;
        if let Some(left) = &mut rule.left {
            *left -= 1;
        }
        if rule.until.is_none() {
            rule.until = rule.within.map(|time| now + time);
        }
        let fault = rule.fault.clone();
        rules.hits += 1;
        Some(fault)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a listener on a free port of loopback, in a thread of its own, and serves each connection by `serve`.
fn listen<F, S>(control: &Control, serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let (told, address) = std::sync::mpsc::channel();
    let mut refusing = control.refusing.subscribe();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = first.local_addr().unwrap();
            told.send(address).unwrap();
            let mut listener = first;
            loop {
                take(&listener, &mut refusing, &serve).await;
                drop(listener);
                // Bound, so that nobody else gets the port, but not listening: connections are refused.
                let bound = bind(address).await;
                while *refusing.borrow_and_update() {
                    if refusing.changed().await.is_err() {
                        return;
                    }
                }
                listener = bound.listen(256).unwrap();
            }
        });
    });
    address.recv().unwrap()
}

async fn bind(address: SocketAddr) -> TcpSocket {
    for _ in 0..100 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        if socket.bind(address).is_ok() {
            return socket;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{address} can't be bound again");
}

/// Takes connections until they are to be refused; then all that are open end.
async fn take<F, S>(listener: &TcpListener, refusing: &mut watch::Receiver<bool>, serve: &F)
where
    F: Fn(TcpStream) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let mut open = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let _ = stream.set_nodelay(true);
                    open.spawn(serve(stream));
                }
            }
            changed = refusing.changed() => {
                if changed.is_err() || *refusing.borrow_and_update() {
                    return;
                }
            }
            Some(_) = open.join_next() => {}
        }
    }
}

/// Never ends: the peer has to give up.
async fn forever() {
    std::future::pending::<()>().await;
}
