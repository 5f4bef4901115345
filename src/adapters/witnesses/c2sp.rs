use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use crate::adapters::http::{Answer, Request, ask, refusal};
use crate::ports::{CheckpointWitness, Fault, FaultKind, Head};

/// A witness by HTTP (C2SP tlog-witness): it signs only what continues what it saw before.
#[derive(Debug)]
pub struct C2spWitness {
    name: String,
    url: String,
}

impl C2spWitness {
    /// A witness of that name below that submission prefix.
    pub fn new(name: &str, url: &str) -> Self {
        Self { name: name.to_owned(), url: format!("{}/add-checkpoint", url.trim_end_matches('/')) }
    }

    async fn submit(&self, old: u64, head: &Head<'_>) -> Result<Answer, Fault> {
        let proof = if old == 0 { Vec::new() } else { (head.consistency)(old).unwrap_or_default() };
        let mut body = format!("old {old}\n");
        for hash in proof {
            body.push_str(&STANDARD.encode(hash.0));
            body.push('\n');
        }
        body.push('\n');
        body.push_str(&String::from_utf8_lossy(head.note));
        let request =
            Request { method: "POST".into(), body: Some(SecretString::from(body)), ..Request::get(&self.url) };
        ask(request.header("content-type", SecretString::from("text/plain; charset=utf-8"))).await
    }

    fn cosigned(&self, answer: &Answer, head: &Head<'_>) -> Result<Vec<Vec<u8>>, Fault> {
        let lines = answer.body.expose_secret();
        let whole = lines.ends_with('\n') && lines.lines().all(|line| line.starts_with('\u{2014}'));
        if !whole {
            let message = format!("the witness {} answered with something else than signatures", self.name);
            return Err(Fault::new(FaultKind::Corrupt, message));
        }
        Ok(vec![[head.note, lines.as_bytes()].concat()])
    }
}

#[async_trait]
impl CheckpointWitness for C2spWitness {
    fn name(&self) -> &str {
        &self.name
    }

    async fn witness(&self, head: &Head<'_>) -> Result<Vec<Vec<u8>>, Fault> {
        // What it saw last is said in its refusal, with status 409.
        let first = self.submit(0, head).await?;
        let answer = if first.status == 409 {
            let seen = first.body.expose_secret().trim().parse::<u64>().ok();
            let seen = seen.ok_or_else(|| {
                let message = format!("the witness {} refuses (409) and says no size", self.name);
                Fault::new(FaultKind::Corrupt, message)
            })?;
            if seen > head.size {
                let message =
                    format!("TRUNCATED: the witness {} saw {seen} entries, the ledger has {}", self.name, head.size);
                return Err(Fault::new(FaultKind::Conflict, message));
            }
            self.submit(seen, head).await?
        } else {
            first
        };
        match answer.status {
            200 => self.cosigned(&answer, head),
            422 => {
                let message = format!("FORKED: the witness {} saw another history of this ledger", self.name);
                Err(Fault::new(FaultKind::Conflict, message))
            }
            status => {
                let message = format!("the witness {} refuses with status {status}", self.name);
                Err(Fault::new(refusal(status), message))
            }
        }
    }
}
