use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::table::{Frame, Row, Stand, Table, render};
use crate::domain::{Phase, StepId};

/// How often it is drawn again when nothing happens: the seconds go on.
const TICK: Duration = Duration::from_millis(250);

/// Draws a table in place on standard error, until it is finished; the last frame stays.
pub struct Screen {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    began: Instant,
    color: bool,
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    table: Table,
    /// Lines of the last frame.
    drawn: usize,
    /// Something changed since.
    stale: bool,
    ended: bool,
}

fn lock(shared: &Shared) -> MutexGuard<'_, Inner> {
    shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Screen {
    /// Begins to draw.
    pub fn new(table: Table, color: bool) -> Self {
        let inner = Mutex::new(Inner { table, drawn: 0, stale: true, ended: false });
        let shared = Arc::new(Shared { began: Instant::now(), color, inner, changed: Condvar::new() });
        let painter = Arc::clone(&shared);
        Self { shared, thread: Some(std::thread::spawn(move || painter.paint())) }
    }

    /// A step began; one that no plan announced gets a row.
    pub fn started(&self, id: &StepId, phase: Phase, target: &str) {
        let stand = Stand::Running(self.shared.began.elapsed());
        {
            let mut inner = lock(&self.shared);
            if !inner.table.rows.iter().any(|row| row.id == *id) {
                inner.table.rows.push(Row { id: id.clone(), phase, target: target.to_owned(), stand });
            }
        }
        self.change(id, stand);
    }

    /// A step's state changed.
    pub fn change(&self, id: &StepId, stand: Stand) {
        let mut inner = lock(&self.shared);
        if let Some(row) = inner.table.rows.iter_mut().find(|row| row.id == *id) {
            row.stand = stand;
            inner.stale = true;
        }
        self.shared.changed.notify_all();
    }

    /// A step's words changed.
    pub fn retarget(&self, id: &StepId, target: &str) {
        let mut inner = lock(&self.shared);
        if let Some(row) = inner.table.rows.iter_mut().find(|row| row.id == *id && row.target != target) {
            target.clone_into(&mut row.target);
            inner.stale = true;
        }
        drop(inner);
        self.shared.changed.notify_all();
    }

    /// Draws the last frame, and leaves it.
    pub fn finish(&mut self) {
        lock(&self.shared).ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Shared {
    fn paint(&self) {
        let mut inner = lock(self);
        loop {
            let lines = render(&inner.table, self.began.elapsed(), self.frame());
            let text = frame_text(&lines, inner.drawn);
            (inner.drawn, inner.stale) = (lines.len(), false);
            // One write a frame: a terminal never shows half of one.
            let mut err = io::stderr().lock();
            let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
            drop(err);
            if inner.ended {
                return;
            }
            // Steps that end together are drawn together.
            drop(inner);
            std::thread::sleep(Duration::from_millis(40));
            inner = lock(self);
            let quiet = |inner: &mut Inner| !inner.stale && !inner.ended;
            let waited = self.changed.wait_timeout_while(inner, TICK, quiet);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn frame(&self) -> Frame {
        let size = rustix::termios::tcgetwinsize(io::stderr()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        let (width, height) = size.map_or((80, 24), |size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        Frame { width, height, color: self.color }
    }
}

/// Moves up over the last frame and writes the new one over it; each line's rest, and what is below, is cleared.
fn frame_text(lines: &[String], drawn: usize) -> String {
    let mut text = String::from("\x1b[?2026h\r");
    if drawn > 0 {
        text.push_str(&format!("\x1b[{drawn}A"));
    }
    for line in lines {
        text.push_str(line);
        text.push_str("\x1b[K\n");
    }
    text.push_str("\x1b[J\x1b[?2026l");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_written_over_the_one_before() {
        let lines = ["a".to_owned(), "b".to_owned()];
        assert_eq!(frame_text(&lines, 0), "\x1b[?2026h\ra\x1b[K\nb\x1b[K\n\x1b[J\x1b[?2026l");
        assert!(frame_text(&lines[..1], 2).starts_with("\x1b[?2026h\r\x1b[2Aa\x1b[K\n\x1b[J"));
    }
}
