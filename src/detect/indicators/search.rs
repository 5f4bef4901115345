//! The search in a text: raw bytes for a first look, decoded fields for the answer.

use super::Indicators;
use super::text::{full_words, is_host_byte, near_another, run_at, run_readings, v4_at, v6_at};
use super::value::{LONGEST_HOST, LONGEST_RUN, fits, needle};
use crate::domain::Level;

/// Bytes of a text from which it is chosen what is looked for.
const SAMPLE: usize = 128 << 10;

/// An indicator that stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    /// Number of the indicator.
    pub id: u32,
    /// Where it starts.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

impl Indicators {
    /// Calls `found` with what may stand in a record's raw bytes: all that [`Indicators::find`] gives for its decoded texts,
    /// unless these have letters that are written as `\u0041`, and perhaps more.
    pub fn sweep(&self, raw: &[u8], from_level: Level, mut found: impl FnMut(Match)) {
        let mut told = |hit: Match| {
            if self.level(hit.id) >= from_level {
                found(hit);
            }
        };
        self.tables(raw, &mut told);
        if let Some(grams) = self.set.grams(&raw[..raw.len().min(SAMPLE)]) {
            grams.find(raw, |at, literal| {
                let id = self.set.literals[literal].id;
                let (before, _) = needle(self.value(id)).unwrap_or_default();
                // Where there are escapes, the place of the part that was looked for.
                let value = self.value(id).as_bytes();
                let start = at.saturating_sub(before);
                let is = raw.get(start..start + value.len()).is_some_and(|is| is.eq_ignore_ascii_case(value));
                let start = if is { start } else { at };
                told(Match { id, start, end: (start + value.len()).min(raw.len()) });
            });
        }
    }

    /// Calls `found` with the indicators that stand in a decoded text.
    pub fn find(&self, text: &str, from_level: Level, mut found: impl FnMut(Match)) {
        let bytes = text.as_bytes();
        let mut told = |hit: Match| {
            if self.level(hit.id) >= from_level {
                found(hit);
            }
        };
        self.tables(bytes, &mut told);
        if let Some(grams) = self.set.grams(&bytes[..bytes.len().min(SAMPLE)]) {
            grams.find(bytes, |at, literal| {
                let literal = self.set.literals[literal];
                let value = self.value(literal.id);
                let (before, _) = needle(value).unwrap_or_default();
                let Some(start) = at.checked_sub(before) else { return };
                let end = start + value.len();
                let is = bytes.get(start..end).is_some_and(|is| is.eq_ignore_ascii_case(value.as_bytes()));
                if is && fits(bytes, start, end, literal.edges) {
                    told(Match { id: literal.id, start, end });
                }
            });
        }
    }

    fn tables(&self, text: &[u8], found: &mut impl FnMut(Match)) {
        let wants = self.set.wants();
        if wants.v4 || wants.hosts {
            self.points(text, found);
        }
        if wants.v6 {
            let mut looked = 0;
            for colon in memchr::memmem::find_iter(text, b"::") {
                if colon >= looked {
                    looked = self.v6(text, colon, found);
                }
            }
        }
        if wants.long_v6 || wants.runs {
            self.long_runs(text, wants.long_v6, found);
        }
    }

    /// What has a point in it: IPv4 addresses and names of hosts.
    fn points(&self, text: &[u8], found: &mut impl FnMut(Match)) {
        let wants = self.set.wants();
        let mut looked = 0;
        for dot in memchr::memchr_iter(b'.', text) {
            let (Some(before), Some(after)) = (dot.checked_sub(1).map(|at| text[at]), text.get(dot + 1)) else {
                continue;
            };
            if before.is_ascii_digit() && after.is_ascii_digit() {
                if wants.v4 && near_another(text, dot) {
                    v4_at(text, dot, |start, end, address| {
                        self.set.v4(address, |id| found(Match { id, start, end }));
                    });
                }
            } else if wants.hosts && dot >= looked && is_host_byte(before) && is_host_byte(*after) {
                looked = self.host(text, dot, looked, found);
            }
        }
    }

    /// The name of a host around a point; where it ends.
    fn host(&self, text: &[u8], dot: usize, from: usize, found: &mut impl FnMut(Match)) -> usize {
        let mut end = dot + 1;
        while end < text.len() && is_host_byte(text[end]) {
            end += 1;
        }
        let after = end;
        while end > dot && text[end - 1] == b'.' {
            end -= 1;
        }
        if !self.set.maybe_host(&text[from.max(end.saturating_sub(LONGEST_HOST))..end]) {
            return after;
        }
        let mut start = dot;
        while start > from && end - start <= LONGEST_HOST + 6 && is_host_byte(text[start - 1]) {
            start -= 1;
        }
        let labels = (start + 1..end).filter(|at| text[at - 1] == b'.');
        for at in run_readings(text, start).chain(labels) {
            if at < end
                && let Some(id) = self.set.host(&text[at..end])
            {
                found(Match { id, start: at, end });
            }
        }
        after
    }

    fn v6(&self, text: &[u8], colon: usize, found: &mut impl FnMut(Match)) -> usize {
        v6_at(text, colon, |start, end, address| {
            self.set.v6(address, |id| found(Match { id, start, end }));
        })
    }

    /// Digests, ids of keys and wallets; addresses of IPv6 that are written out.
    fn long_runs(&self, text: &[u8], v6: bool, found: &mut impl FnMut(Match)) {
        let (mut looked, mut looked_v6) = (0, 0);
        full_words(text, |at| {
            if let Some(colon) = memchr::memchr(b':', &text[at..at + 8]) {
                if v6 && at + colon >= looked_v6 {
                    looked_v6 = self.v6(text, at + colon, found);
                }
            } else if at >= looked {
                looked = self.run(text, at, found);
            }
        });
    }

    /// The run of letters and digits around a place; where it ends.
    fn run(&self, text: &[u8], at: usize, found: &mut impl FnMut(Match)) -> usize {
        let (start, mut end) = run_at(text, at, LONGEST_RUN + 6);
        if end - start > LONGEST_RUN + 6 {
            while end < text.len() && text[end].is_ascii_alphanumeric() {
                end += 1;
            }
            return end;
        }
        for from in run_readings(text, start) {
            if let Some(id) = self.set.run(&text[from..end]) {
                found(Match { id, start: from, end });
            }
        }
        end
    }
}
