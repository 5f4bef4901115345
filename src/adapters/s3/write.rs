use std::io::{self, Write};
use std::sync::Arc;

use super::list::element;
use super::{Ask, Place, S3};
use crate::ports::{Fault, FaultKind};

/// Size of the first thousand parts, in bytes; S3 takes at most 10,000 of them, so that later ones are larger.
const PART: usize = 16 << 20;

impl S3 {
    /// Writes a small object.
    pub fn put(&self, place: &Place, body: &[u8]) -> Result<(), Fault> {
        let ask = Ask { method: "PUT", place, query: &[], headers: Vec::new(), body };
        self.whole(&format!("write {place}"), &ask).map(drop)
    }

    /// Writes a small object, unless there is one of that key: `Conflict`. With more headers, in words of S3.
    pub(super) fn put_new(
        &self,
        place: &Place,
        body: &[u8],
        mut headers: Vec<(&'static str, String)>,
    ) -> Result<(), Fault> {
        headers.push(("if-none-match", "*".to_owned()));
        self.whole(&format!("write {place}"), &Ask { method: "PUT", place, query: &[], headers, body }).map(drop)
    }
}

/// A new object that is written as it comes, in parts. It appears under its key at once and whole, by [`PartWriter::finish`], or not at all.
pub struct PartWriter {
    s3: Arc<S3>,
    place: Place,
    part: Vec<u8>,
    /// The number of the upload, once a part was sent.
    upload: Option<String>,
    tags: Vec<String>,
    sent: u64,
}

impl PartWriter {
    /// Nothing is sent yet.
    pub fn new(s3: Arc<S3>, place: Place) -> Self {
        Self { s3, place, part: Vec::with_capacity(PART), upload: None, tags: Vec::new(), sent: 0 }
    }

    /// Sends the last part and makes the object; its size. An object that is there already stays as it is.
    pub fn finish(mut self) -> Result<u64, Fault> {
        let size = self.sent + self.part.len() as u64;
        if self.upload.is_none() {
            let put = self.s3.put_new(&self.place, &self.part, Vec::new());
            // Asked again after a lost answer, it is there already: if it is the same, it is the one.
            let same = |fault: &Fault| {
                fault.kind == FaultKind::Conflict && self.s3.get(&self.place).is_ok_and(|there| there == self.part)
            };
            return put.or_else(|fault| if same(&fault) { Ok(()) } else { Err(fault) }).map(|()| size);
        }
        self.send()?;
        let parts = (1..).zip(&self.tags).map(|(number, tag)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>", tag.replace('"', "&quot;"))
        });
        let body = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.collect::<String>());
        let what = format!("write {}", self.place);
        let upload = self.upload.clone().unwrap_or_default();
        let ask = Ask {
            method: "POST",
            place: &self.place,
            query: &[("uploadId", &upload)],
            headers: vec![("if-none-match", "*".to_owned())],
            body: body.as_bytes(),
        };
        // It may be refused after its head was sent: then the error stands in the body.
        let made = self.s3.whole(&what, &ask).and_then(|answer| {
            let answer = String::from_utf8_lossy(&answer);
            if answer.contains("<CompleteMultipartUploadResult") {
                return Ok(());
            }
            let code = element(&answer, "Code").unwrap_or_default();
            let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(80).collect();
            Err(Fault::new(FaultKind::OutcomeUnknown, format!("failed to {what}: {code}")))
        });
        let made = made.or_else(|fault| {
            // Asked again after a lost answer, the upload is not known any more.
            let there = fault.kind != FaultKind::Conflict
                && self.s3.find(&self.place).is_ok_and(|there| there.is_some_and(|there| there.bytes == size));
            if there { Ok(()) } else { Err(fault) }
        });
        made?;
        self.upload = None;
        Ok(size)
    }

    fn limit(&self) -> usize {
        PART << (self.tags.len() / 1_000).min(6)
    }

    fn begin(&mut self) -> Result<String, Fault> {
        if let Some(upload) = &self.upload {
            return Ok(upload.clone());
        }
        let what = format!("write {}", self.place);
        let ask = Ask { method: "POST", place: &self.place, query: &[("uploads", "")], headers: Vec::new(), body: &[] };
        let answer = self.s3.whole(&what, &ask)?;
        let upload = element(&String::from_utf8_lossy(&answer), "UploadId")
            .ok_or_else(|| Fault::new(FaultKind::Invalid, format!("failed to {what}: the answer names no upload")))?;
        self.upload = Some(upload.clone());
        Ok(upload)
    }

    fn send(&mut self) -> Result<(), Fault> {
        let upload = self.begin()?;
        let number = (self.tags.len() + 1).to_string();
        let what = format!("write part {number} of {}", self.place);
        let query = [("partNumber", number.as_str()), ("uploadId", upload.as_str())];
        let ask = Ask { method: "PUT", place: &self.place, query: &query, headers: Vec::new(), body: &self.part };
        let (tag, _) = self.s3.tagged(&what, &ask)?;
        let tag =
            tag.ok_or_else(|| Fault::new(FaultKind::Invalid, format!("failed to {what}: it was given no tag")))?;
        self.tags.push(tag);
        self.sent += self.part.len() as u64;
        self.part.clear();
        Ok(())
    }
}

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.len() >= self.limit() {
            self.send().map_err(|fault| io::Error::other(fault.chain()))?;
        }
        let taken = bytes.len().min(self.limit() - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Parts have a least size: nothing is sent before one is full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        // What was sent of an object that is not made would be kept, and paid for.
        let Some(upload) = self.upload.take() else { return };
        let query = [("uploadId", upload.as_str())];
        let ask = Ask { method: "DELETE", place: &self.place, query: &query, headers: Vec::new(), body: &[] };
        if let Err(fault) = self.s3.whole(&format!("give up the upload of {}", self.place), &ask) {
            tracing::warn!("{}", fault.chain());
        }
    }
}
