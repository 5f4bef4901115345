//! Memory of blocks, used again: to ask the system for it anew costs about as much as to search it.

use std::io::{self, Read};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that are kept at most.
const KEPT: usize = 4;
/// Largest buffer that is kept, in bytes.
const LARGEST: usize = 1 << 20;

/// Buffers that nobody uses.
#[derive(Debug, Clone, Default)]
pub(super) struct Spare(Arc<Mutex<Vec<Vec<u8>>>>);

impl Spare {
    /// An empty buffer.
    pub(super) fn buffer(&self) -> Buffer {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        Buffer { held, length: 0, spare: self.clone() }
    }
}

/// Bytes, of which the memory goes back where it came from.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Longer than what is in use, so that it need not be cleared for each reading.
    held: Vec<u8>,
    length: usize,
    spare: Spare,
}

impl Buffer {
    /// Adds bytes.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.room(end);
        self.held[self.length..end].copy_from_slice(bytes);
        self.length = end;
    }

    /// Adds what a reader has, up to a number of bytes; fewer at its end, or before an error.
    pub(super) fn fill(&mut self, reader: &mut dyn Read, wanted: usize) -> io::Result<()> {
        let end = self.length + wanted;
        self.room(end);
        while self.length < end {
            match reader.read(&mut self.held[self.length..end]) {
                Ok(0) => break,
                Ok(bytes) => self.length += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Leaves only the first bytes.
    pub(super) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    fn room(&mut self, length: usize) {
        if self.held.len() < length {
            self.held.resize(length, 0);
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.held[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.held.is_empty() || self.held.len() > LARGEST {
            return;
        }
        let mut spare = self.spare.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < KEPT {
            spare.push(std::mem::take(&mut self.held));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_holds_nothing_of_before() {
        let spare = Spare::default();
        let mut first = spare.buffer();
        first.extend(b"head");
        first.fill(&mut &b"one two"[..], 3).unwrap();
        assert_eq!(&*first, b"headone");
        first.truncate(2);
        assert_eq!(&*first, b"he");
        let place = first.held.as_ptr();
        drop(first);
        let mut second = spare.buffer();
        assert_eq!((second.held.as_ptr(), &*second), (place, &b""[..]));
        second.fill(&mut &b"x"[..], 3).unwrap();
        assert_eq!(&*second, b"x");
    }
}
