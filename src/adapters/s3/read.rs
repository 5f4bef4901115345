use std::io::{self, Read};
use std::sync::Arc;

use super::{Ask, Listed, MAX_ANSWER, Place, S3, TRIES, pause, refused};

impl S3 {
    /// Reads an object from a byte on, as it was when it was listed.
    pub fn read(self: &Arc<Self>, place: &Place, listed: &Listed, from: u64) -> io::Result<ObjectReader> {
        let (place, listed) = (place.clone(), listed.clone());
        let mut reader = ObjectReader { s3: self.clone(), place, listed, at: from, body: None, fruitless: 0 };
        if from < reader.listed.bytes {
            // What can't be read at all is told at once.
            reader.body = Some(reader.open()?);
        }
        Ok(reader)
    }
}

/// Reads an object; a stream that breaks goes on where it broke.
pub struct ObjectReader {
    s3: Arc<S3>,
    place: Place,
    listed: Listed,
    at: u64,
    body: Option<Box<dyn Read + Send>>,
    fruitless: u32,
}

impl ObjectReader {
    fn open(&mut self) -> io::Result<Box<dyn Read + Send>> {
        loop {
            let mut headers = vec![("if-match", self.listed.tag.clone())];
            if self.at > 0 {
                headers.push(("range", format!("bytes={}-", self.at)));
            }
            let ask = Ask { method: "GET", place: &self.place, query: &[], headers, body: &[] };
            let refused = match self.s3.send(&ask) {
                Ok(answer) => {
                    let wanted = if self.at > 0 { 206 } else { 200 };
                    let status = answer.status().as_u16();
                    let tag = answer.headers().get("etag").and_then(|value| value.to_str().ok());
                    if status == wanted && tag == Some(self.listed.tag.as_str()) {
                        return Ok(Box::new(answer.into_body().into_reader()));
                    }
                    if (200..300).contains(&status) {
                        return Err(io::Error::other("the object was changed after it was listed"));
                    }
                    let body =
                        answer.into_body().into_with_config().limit(MAX_ANSWER).read_to_vec().unwrap_or_default();
                    refused(status, &body)
                }
                Err(refused) => refused,
            };
            self.fruitless += 1;
            if !refused.again || self.fruitless >= TRIES {
                return Err(io::Error::other(refused.words));
            }
            pause(self.fruitless);
        }
    }
}

impl Read for ObjectReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at < self.listed.bytes && !into.is_empty() {
            let mut body = match self.body.take() {
                Some(body) => body,
                None => self.open()?,
            };
            let left = usize::try_from(self.listed.bytes - self.at).unwrap_or(usize::MAX);
            let most = into.len().min(left);
            match body.read(&mut into[..most]) {
                Ok(read) if read > 0 => {
                    self.at += read as u64;
                    self.fruitless = 0;
                    self.body = Some(body);
                    return Ok(read);
                }
                // An end before the object's is a cut too.
                Ok(_) | Err(_) => {
                    self.fruitless += 1;
                    if self.fruitless >= TRIES {
                        let words = "the connection broke again and again";
                        return Err(io::Error::new(io::ErrorKind::ConnectionReset, words));
                    }
                    pause(self.fruitless);
                }
            }
        }
        Ok(0)
    }
}
