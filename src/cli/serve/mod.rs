//! `serve`: the war-room page. It shows and changes nothing; it listens on loopback only.

mod snapshot;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, watch};

use super::{Context, Exit, Failure, fault_failure};
use crate::adapters::web::{self, Reply, Request};
use crate::ui::{Printer, Record, Style};

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const LOOK: &str = include_str!("page.css");
/// What browsers ask for by themselves, for the page's tab: a grate.
const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M3 1v12l1 2 1-2V1m2 0v12l1 2 1-2V1m2 0v12l1 2 1-2V1M1 4h14M1 8h14" fill="none" stroke="#4a6fa5" stroke-width="1.3"/></svg>"##;

/// Nothing but our own script and style; no frame may hold the page.
const POLICY: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// How often the case is looked at.
const BEAT: Duration = Duration::from_secs(1);
/// A line that says nothing, so that a dead connection is noticed.
const ALIVE: Duration = Duration::from_secs(15);

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The address that is printed holds the token behind the #: browsers do not send that part anywhere.

Examples:
  portcullis serve
  portcullis serve --listen 127.0.0.1:4000
  ssh -L 3099:127.0.0.1:3099 trading-1      (then open the address here)")]
pub struct ServeArgs {
    /// Address on loopback
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3099")]
    listen: SocketAddr,
}

#[derive(Debug, Serialize)]
struct ServingRecord {
    url: String,
}

impl Record for ServingRecord {
    const TYPE: &'static str = "serving";
    fn text(&self, printer: &Printer) -> String {
        format!("{}\n  ends with Ctrl-C; nothing can be changed from the page", printer.paint(Style::Strong, &self.url))
    }
}

/// Serves until it is interrupted.
pub async fn run(args: &ServeArgs, ctx: &Context) -> Result<Exit, Failure> {
    if !args.listen.ip().is_loopback() {
        return Err(Failure::new(Exit::Usage, format!("{} is not on loopback", args.listen))
            .hint("listen on 127.0.0.1 and reach it by: ssh -L 3099:127.0.0.1:3099 HOST"));
    }
    let deployment = ctx.deployment()?;
    let mut bytes = [0; 24];
    deployment.random.fill(&mut bytes).map_err(|fault| fault_failure("failed to make a token", &fault))?;
    let token = hex::encode(bytes);
    let listener = tokio::net::TcpListener::bind(args.listen).await.map_err(|error| {
        Failure::from_error(Exit::Usage, format!("failed to listen on {}", args.listen), &error)
            .hint("give another port: --listen 127.0.0.1:4000")
    })?;
    let address = listener.local_addr().map_err(|error| {
        Failure::from_error(Exit::Failed, "failed to learn the address that is listened on", &error)
    })?;
    let (sender, receiver) = watch::channel(snapshot::of(ctx, &deployment));
    let door = Door { address, token: token.clone(), news: receiver };
    tokio::spawn(web::serve(listener, Arc::new(move |request: &Request| door.answer(request))));
    ctx.printer.emit(&ServingRecord { url: format!("http://{address}/#{token}") });
    let mut beat = tokio::time::interval(BEAT);
    let mut interrupted = std::pin::pin!(super::watch::stopped());
    loop {
        tokio::select! {
            _ = beat.tick() => {
                let now = snapshot::of(ctx, &deployment);
                sender.send_if_modified(|known| {
                    let changed = *known != now;
                    if changed {
                        known.clone_from(&now);
                    }
                    changed
                });
            }
            () = &mut interrupted => return Ok(Exit::Done),
        }
    }
}

/// Who gets what.
struct Door {
    address: SocketAddr,
    token: String,
    news: watch::Receiver<String>,
}

impl Door {
    fn answer(&self, request: &Request) -> Reply {
        // A page elsewhere that has its name resolve to loopback names itself in Host; one that asks from elsewhere, in Origin.
        let hosts = [self.address.to_string(), format!("localhost:{}", self.address.port())];
        let host = request.header("host").filter(|host| hosts.iter().any(|known| known == host));
        let Some(host) = host else { return refused(403, "this address serves its own page only\n") };
        let named = request.headers.iter().any(|(name, _)| name == "origin");
        if named && request.header("origin") != Some(format!("http://{host}").as_str()) {
            return refused(403, "this address serves its own page only\n");
        }
        let page = |kind, body: &str| Reply::Whole {
            status: 200,
            kind,
            headers: vec![POLICY, "Referrer-Policy: no-referrer", "X-Frame-Options: DENY"],
            body: body.to_owned(),
        };
        match request.path.as_str() {
            "/" => page("text/html; charset=utf-8", PAGE),
            "/page.js" => page("text/javascript; charset=utf-8", SCRIPT),
            "/page.css" => page("text/css; charset=utf-8", LOOK),
            "/favicon.ico" => page("image/svg+xml", ICON),
            "/events" => {
                let given = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
                if !given.is_some_and(|given| same(given.as_bytes(), self.token.as_bytes())) {
                    return refused(401, "open the address that was printed, with what follows the #\n");
                }
                Reply::Events(self.events())
            }
            _ => refused(404, "not found\n"),
        }
    }

    fn events(&self) -> mpsc::Receiver<String> {
        let (sender, receiver) = mpsc::channel(4);
        let mut news = self.news.clone();
        news.mark_changed();
        tokio::spawn(async move {
            loop {
                let woken = tokio::time::timeout(ALIVE, news.changed()).await;
                let event = match woken {
                    Ok(Ok(())) => format!("data: {}\n\n", *news.borrow_and_update()),
                    Ok(Err(_)) => return,
                    Err(_) => ": alive\n\n".to_owned(),
                };
                if sender.send(event).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }
}

fn refused(status: u16, words: &str) -> Reply {
    Reply::whole(status, "text/plain; charset=utf-8", words.to_owned())
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: &str, headers: &[(&str, &str)]) -> u16 {
        let (_sender, news) = watch::channel("{}".to_owned());
        let door = Door { address: "127.0.0.1:3099".parse().unwrap(), token: "secret".into(), news };
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        match door.answer(&Request { path: path.into(), headers }) {
            Reply::Whole { status, .. } => status,
            Reply::Events(_) => 200,
        }
    }

    #[tokio::test]
    async fn only_its_own_page_with_the_token_is_told_anything() {
        let host = ("host", "127.0.0.1:3099");
        let token = ("authorization", "Bearer secret");
        assert_eq!(ask("/", &[host]), 200);
        assert_eq!(ask("/", &[("host", "localhost:3099")]), 200);
        assert_eq!(ask("/", &[("host", "evil.example:3099")]), 403);
        assert_eq!(ask("/", &[]), 403);
        assert_eq!(ask("/", &[host, host]), 403, "a doubled header is none");
        assert_eq!(ask("/favicon.ico", &[host]), 200);
        assert_eq!(ask("/events", &[host]), 401);
        assert_eq!(ask("/events", &[host, ("authorization", "Bearer secreT")]), 401);
        assert_eq!(ask("/events", &[host, token]), 200);
        assert_eq!(ask("/events", &[host, token, ("origin", "http://evil.example")]), 403);
        assert_eq!(ask("/events", &[host, token, ("origin", "http://127.0.0.1:3099")]), 200);
        assert_eq!(ask("/../etc/passwd", &[host]), 404);
    }
}
