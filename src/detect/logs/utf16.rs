//! Text in UTF-16 with a byte order mark, as Windows tools save it, read as UTF-8.

use std::io::{self, BufRead, Read};

/// Whether a stream begins with a mark of UTF-16.
pub(super) fn is_utf16(head: &[u8]) -> bool {
    matches!(head, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
}

/// A stream that is read as it is, or as UTF-8 where it is UTF-16. Places in it count the bytes of UTF-8.
pub(super) struct Text<R> {
    source: R,
    /// What the first bytes say; nothing before they were read.
    form: Option<Form>,
    /// Bytes of a character that is not complete.
    rest: Vec<u8>,
    out: Vec<u8>,
    at: usize,
}

#[derive(Clone, Copy)]
enum Form {
    Plain,
    /// Its function makes a unit of two bytes.
    Utf16(fn([u8; 2]) -> u16),
}

impl<R: BufRead> Text<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, form: None, rest: Vec::new(), out: Vec::new(), at: 0 }
    }

    fn form(&mut self) -> io::Result<Form> {
        if let Some(form) = self.form {
            return Ok(form);
        }
        let form = match self.source.fill_buf()? {
            [0xff, 0xfe, ..] => Form::Utf16(u16::from_le_bytes),
            [0xfe, 0xff, ..] => Form::Utf16(u16::from_be_bytes),
            _ => Form::Plain,
        };
        if let Form::Utf16(_) = form {
            self.source.consume(2);
        }
        self.form = Some(form);
        Ok(form)
    }

    /// Reads on; nothing more is there at the end.
    fn refill(&mut self, unit: fn([u8; 2]) -> u16) -> io::Result<()> {
        self.out.clear();
        self.at = 0;
        while self.out.is_empty() {
            let read = self.source.fill_buf()?;
            let (length, ended) = (read.len(), read.is_empty());
            self.rest.extend_from_slice(read);
            self.source.consume(length);
            let (pairs, odd) = self.rest.as_chunks::<2>();
            let mut units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
            // The second half of a character may come with the next bytes.
            let waits = !ended && units.last().is_some_and(|last| (0xd800..0xdc00).contains(last));
            units.truncate(units.len() - usize::from(waits));
            let kept = if ended { 0 } else { odd.len() + 2 * usize::from(waits) };
            for letter in char::decode_utf16(units) {
                let letter = letter.unwrap_or(char::REPLACEMENT_CHARACTER);
                self.out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            self.rest.drain(..self.rest.len() - kept);
            if ended {
                break;
            }
        }
        Ok(())
    }
}

impl<R: BufRead> BufRead for Text<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.form()? {
            Form::Plain => self.source.fill_buf(),
            Form::Utf16(unit) => {
                if self.at == self.out.len() {
                    self.refill(unit)?;
                }
                Ok(&self.out[self.at..])
            }
        }
    }

    fn consume(&mut self, bytes: usize) {
        match self.form {
            Some(Form::Utf16(_)) => self.at = (self.at + bytes).min(self.out.len()),
            _ => self.source.consume(bytes),
        }
    }
}

impl<R: BufRead> Read for Text<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Form::Plain = self.form()? {
            return self.source.read(into);
        }
        let there = self.fill_buf()?;
        let bytes = there.len().min(into.len());
        into[..bytes].copy_from_slice(&there[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], buffer: usize) -> String {
        let mut out = String::new();
        Text::new(BufReader::with_capacity(buffer.max(2), bytes)).read_to_string(&mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn text_comes_back_whatever_its_form(text in "[a\n\u{e9}\u{20ac}\u{1f600}]{0,40}", buffer in 2..9_usize) {
            let units = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
                std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(bytes).collect()
            };
            let (little, big) = (units(u16::to_le_bytes), units(u16::to_be_bytes));
            prop_assert!(is_utf16(&little) && is_utf16(&big));
            prop_assert_eq!(read(&little, buffer), text.clone());
            prop_assert_eq!(read(&big, buffer), text.clone());
            prop_assert_eq!(read(text.as_bytes(), buffer), text);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20), buffer in 2..5_usize) {
            let bytes = [&[0xff, 0xfe][..], &bytes].concat();
            let _ = read(&bytes, buffer);
        }
    }
}
