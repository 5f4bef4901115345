//! Bytes on disk in a file without a name, which the system removes whatever happens to this process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::detect::logs::Aside;
use crate::ports::{Fault, FaultKind};

fn failed(error: io::Error) -> Fault {
    Fault::with(FaultKind::Unavailable, "failed to use a temporary file for the scan (TMPDIR says where)", error)
}

/// Bytes appended to one file.
#[derive(Debug)]
pub struct Spill {
    file: File,
    end: u64,
}

impl Spill {
    /// A file of its own.
    pub fn new() -> Result<Self, Fault> {
        Ok(Self { file: tempfile::tempfile().map_err(failed)?, end: 0 })
    }

    /// Appends; says where the bytes begin.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64, Fault> {
        Aside::append(self, bytes).map_err(failed)
    }

    /// Fills the buffer with what was appended from `start` on.
    pub fn read(&self, start: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        Aside::read(self, start, bytes).map_err(failed)
    }
}

impl Aside for Spill {
    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let start = self.end;
        self.file.write_all_at(bytes, start)?;
        self.end += bytes.len() as u64;
        Ok(start)
    }

    fn read(&self, start: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, start)
    }
}
