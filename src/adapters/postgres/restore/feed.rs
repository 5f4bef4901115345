//! Reads a dump off the async threads, judges every statement, and hands the pieces on in their order.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use crate::detect::backup::{Allowed, Dialect, Piece, Statements, judge};
use crate::ports::{Fault, FaultKind};

/// Pieces that wait between the reader and the server: with blocks of 256 KiB this bounds the memory.
const WAITING: usize = 12;

/// A part of a dump, ready to be carried out.
#[derive(Debug)]
pub(super) enum Work {
    /// A statement of the allow-list.
    Statement {
        /// Line on which it starts.
        line: u64,
        /// Its text.
        text: String,
        /// What it does.
        what: Allowed,
    },
    /// Rows of the COPY that came before.
    Rows {
        /// How many.
        count: u64,
        /// In COPY's text format.
        bytes: Vec<u8>,
    },
    /// The dump was read to its end and is whole.
    End,
}

/// Starts reading; the receiver gets the pieces, a refusal, or the end.
pub(super) fn feed(dump: Box<dyn Read + Send>) -> mpsc::Receiver<Result<Work, Fault>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let stopped = Arc::new(AtomicBool::new(false));
    tokio::task::spawn_blocking(move || {
        let sent = |work| {
            if sender.blocking_send(work).is_err() {
                stopped.store(true, Ordering::Relaxed);
            }
            !stopped.load(Ordering::Relaxed)
        };
        if let Err(fault) = read(dump, &sent) {
            sent(Err(fault));
        }
    });
    receiver
}

fn read(dump: Box<dyn Read + Send>, sent: &dyn Fn(Result<Work, Fault>) -> bool) -> Result<(), Fault> {
    let refuse = |line: u64, what: &str| Fault::new(FaultKind::Corrupt, format!("line {line} of the dump: {what}"));
    let mut pieces = Statements::new(dump, Dialect::Postgres);
    loop {
        let piece =
            pieces.next_piece().map_err(|error| Fault::with(FaultKind::Corrupt, "failed to read the dump", error))?;
        let work = match piece {
            None => break,
            Some(Piece::Rows { count, bytes, .. }) => Work::Rows { count, bytes },
            Some(Piece::Meta { line, text }) => {
                if text.starts_with("\\restrict ") || text.starts_with("\\unrestrict ") {
                    continue;
                }
                return Err(refuse(line, "a command for psql"));
            }
            Some(Piece::Statement { line, cut: true, .. }) => return Err(refuse(line, "it ends within a statement")),
            Some(Piece::Statement { line, text, .. }) => {
                let what = judge(Dialect::Postgres, &text).map_err(|what| refuse(line, &what))?;
                Work::Statement { line, text, what }
            }
        };
        if !sent(Ok(work)) {
            return Ok(());
        }
    }
    if pieces.in_copy() || !pieces.trailer() {
        return Err(Fault::new(FaultKind::Corrupt, "the dump is not whole: the closing line of pg_dump is missing"));
    }
    sent(Ok(Work::End));
    Ok(())
}
