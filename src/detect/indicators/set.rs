//! Indicators in few bytes, and the tables in which they are looked up.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::OnceLock;

use foldhash::fast::FixedState;

use super::kind::Kind;
use super::value::{Edges, Form, Value};
use crate::detect::grams::{Grams, Sample};
use crate::domain::Level;

/// A part of the texts of all indicators.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Piece {
    from: u32,
    length: u32,
}

/// One indicator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) text: Piece,
    pub(super) note: Piece,
    pub(super) line: u32,
    pub(super) file: u16,
    pub(super) kind: Kind,
    pub(super) level: Level,
}

/// Texts to numbers, without keeping the texts a second time.
#[derive(Debug, Default)]
struct Table {
    /// Number of the indicator and one more; 0 where none is.
    slots: Vec<u32>,
    held: usize,
}

/// Which addresses of a family are in the tables.
#[derive(Debug, Default)]
struct Networks {
    /// Lengths of prefixes, longest first.
    lengths: Vec<u8>,
    known: HashMap<(u8, u128), u32, FixedState>,
    /// A bit for each value of the first 16 bits of an address that a network lies in or around.
    heads: Vec<u64>,
}

/// Texts that are looked for as they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Literal {
    pub(super) id: u32,
    pub(super) edges: Edges,
}

/// What is looked for.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) entries: Vec<Entry>,
    texts: String,
    v4: Networks,
    v6: Networks,
    hosts: Table,
    /// A bit for each hash of the last bytes of a domain: of the names in a log few need more than a look there.
    tails: Vec<u64>,
    /// Whether there are domains that are shorter than such an end.
    short_hosts: bool,
    runs: Table,
    pub(super) literals: Vec<Literal>,
    known_literals: Table,
    grams: OnceLock<Grams>,
}

/// Bytes at the end of a name that decide whether it is looked up.
pub(super) const TAIL: usize = 8;

fn hash(text: &[u8]) -> u64 {
    let mut folded = [0; super::value::LONGEST_HOST + 3];
    let length = text.len().min(folded.len());
    folded[..length].copy_from_slice(&text[..length]);
    folded[..length].make_ascii_lowercase();
    FixedState::with_seed(7).hash_one(&folded[..length])
}

/// The last eight bytes of a name as a number, without regard to case (and a little more).
fn tail(name: &[u8]) -> Option<u64> {
    name.last_chunk::<TAIL>().map(|last| u64::from_le_bytes(*last) | 0x2020_2020_2020_2020)
}

/// Spreads a number over `words` times 64 bits, of which there are a power of two.
fn bit(number: u64, words: usize) -> (usize, u64) {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (usize::try_from(spread >> 32).unwrap_or(0) & (words - 1), 1 << (spread >> 58))
}

impl Table {
    fn find(&self, text: &[u8], is: impl Fn(u32) -> bool) -> Option<u32> {
        if self.held == 0 {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut at = usize::try_from(hash(text)).unwrap_or(0) & mask;
        loop {
            match self.slots[at] {
                0 => return None,
                number if is(number - 1) => return Some(number - 1),
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// Takes a number that the table does not hold; `text` says what text another number stands for.
    fn add<'a>(&mut self, id: u32, text: impl Fn(u32) -> &'a [u8]) {
        if self.held * 2 >= self.slots.len() {
            let old = std::mem::replace(&mut self.slots, vec![0; (self.held * 4).next_power_of_two().max(16)]);
            for number in old.into_iter().filter(|number| *number > 0) {
                self.place(number, text(number - 1));
            }
        }
        self.place(id + 1, text(id));
        self.held += 1;
    }

    fn place(&mut self, number: u32, text: &[u8]) {
        let mask = self.slots.len() - 1;
        let mut at = usize::try_from(hash(text)).unwrap_or(0) & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = number;
    }
}

/// The first 16 bits of an address of `width` bits.
fn head(address: u128, width: u8) -> usize {
    usize::try_from((address >> (width - 16)) & 0xffff).unwrap_or(0)
}

impl Networks {
    /// Notes a network of a family with `width` bits; false if it is known.
    fn add(&mut self, first: u128, bits: u8, width: u8, id: u32) -> bool {
        if self.known.contains_key(&(bits, first)) {
            return false;
        }
        self.known.insert((bits, first), id);
        if let Err(at) = self.lengths.binary_search_by(|known| bits.cmp(known)) {
            self.lengths.insert(at, bits);
        }
        self.heads.resize(1 << 10, 0);
        let head = head(first, width);
        let more = if bits < 16 { 1_usize << (16 - bits) } else { 1 };
        for head in head..head + more {
            self.heads[head >> 6] |= 1 << (head & 63);
        }
        true
    }

    fn find(&self, address: u128, width: u8, mut found: impl FnMut(u32)) {
        let head = head(address, width);
        if self.heads.get(head >> 6).is_none_or(|word| word >> (head & 63) & 1 == 0) {
            return;
        }
        for bits in &self.lengths {
            let drop = u32::from(width - bits);
            let first = address.checked_shr(drop).unwrap_or(0).checked_shl(drop).unwrap_or(0);
            if let Some(id) = self.known.get(&(*bits, first)) {
                found(*id);
            }
        }
    }
}

impl Set {
    pub(super) fn text(&self, piece: Piece) -> &str {
        self.texts.get(piece.from as usize..piece.from as usize + piece.length as usize).unwrap_or_default()
    }

    fn bytes(&self, id: u32) -> &[u8] {
        self.text(self.entries[id as usize].text).as_bytes()
    }

    fn keep(&mut self, text: &str) -> Piece {
        let piece = Piece { from: u32::try_from(self.texts.len()).unwrap_or(u32::MAX), length: 0 };
        self.texts.push_str(text);
        Piece { length: u32::try_from(text.len()).unwrap_or(0), ..piece }
    }

    /// Bytes that the texts take.
    pub(super) fn size(&self) -> usize {
        self.texts.len()
    }

    /// Takes an indicator; false if the same is known already.
    pub(super) fn add(&mut self, value: &Value, note: &str, place: (u16, u32), level: Level) -> bool {
        let id = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let text = value.text.as_bytes();
        let known = match value.form {
            Form::V4 { first, bits } => !self.v4.add(u128::from(first), bits, 32, id),
            Form::V6 { first, bits } => !self.v6.add(first, bits, 128, id),
            Form::Host => self.host(text).is_some(),
            Form::Run => self.run(text).is_some(),
            Form::Text(_) => {
                // The same text of two kinds is two indicators: their edges differ.
                let same =
                    |id: u32| self.bytes(id).eq_ignore_ascii_case(text) && self.entries[id as usize].kind == value.kind;
                self.known_literals.find(text, same).is_some()
            }
        };
        if known {
            return false;
        }
        let entry = Entry {
            text: self.keep(&value.text),
            note: self.keep(note),
            line: place.1,
            file: place.0,
            kind: value.kind,
            level,
        };
        self.entries.push(entry);
        self.index(id, &value.form);
        true
    }

    fn index(&mut self, id: u32, form: &Form) {
        let (entries, texts) = (&self.entries, &self.texts);
        let text = |id: u32| {
            let piece = entries[id as usize].text;
            &texts.as_bytes()[piece.from as usize..][..piece.length as usize]
        };
        match form {
            Form::V4 { .. } | Form::V6 { .. } => {}
            Form::Host => {
                self.short_hosts |= text(id).len() < TAIL;
                self.hosts.add(id, text);
                self.note_tails(id);
            }
            Form::Run => self.runs.add(id, text),
            Form::Text(edges) => {
                self.known_literals.add(id, text);
                self.literals.push(Literal { id, edges: *edges });
            }
        }
    }

    /// Notes the end of a domain; the bitmap grows with them.
    fn note_tails(&mut self, id: u32) {
        let wanted = (self.hosts.held / 2).next_power_of_two().max(128);
        let again = if self.tails.len() < wanted {
            self.tails = vec![0; wanted * 4];
            self.hosts.slots.iter().filter(|number| **number > 0).map(|number| number - 1).collect()
        } else {
            vec![id]
        };
        for id in again {
            if let Some(tail) = tail(self.bytes(id)) {
                let (word, bit) = bit(tail, self.tails.len());
                self.tails[word] |= bit;
            }
        }
    }

    /// Whether a name may end in a known domain.
    pub(super) fn maybe_host(&self, name: &[u8]) -> bool {
        self.short_hosts
            || tail(name).is_some_and(|tail| {
                let (word, bit) = bit(tail, self.tails.len());
                self.tails[word] & bit != 0
            })
    }

    pub(super) fn host(&self, name: &[u8]) -> Option<u32> {
        self.hosts.find(name, |id| self.bytes(id).eq_ignore_ascii_case(name))
    }

    pub(super) fn run(&self, text: &[u8]) -> Option<u32> {
        self.runs.find(text, |id| self.bytes(id).eq_ignore_ascii_case(text))
    }

    pub(super) fn v4(&self, address: u32, found: impl FnMut(u32)) {
        self.v4.find(u128::from(address), 32, found);
    }

    pub(super) fn v6(&self, address: u128, mut found: impl FnMut(u32)) {
        self.v6.find(address, 128, &mut found);
        if let Some(inner) = std::net::Ipv6Addr::from_bits(address).to_ipv4_mapped() {
            self.v4.find(u128::from(inner.to_bits()), 32, found);
        }
    }

    /// What kinds of things in a text are worth a look.
    pub(super) fn wants(&self) -> Wants {
        Wants {
            v4: !self.v4.lengths.is_empty(),
            // An IPv4 address can be written as the end of an IPv6 one; written out in full only people who mean IPv6 do that.
            v6: !self.v6.lengths.is_empty() || !self.v4.lengths.is_empty(),
            long_v6: !self.v6.lengths.is_empty(),
            hosts: self.hosts.held > 0,
            runs: self.runs.held > 0,
        }
    }

    /// The search for texts. Made when the first piece of a log is there: what is rare in it is what is looked for.
    pub(super) fn grams(&self, sample: &[u8]) -> Option<&Grams> {
        if self.literals.is_empty() {
            return None;
        }
        Some(self.grams.get_or_init(|| {
            let needles = self.literals.iter().filter_map(|literal| {
                let text = self.text(self.entries[literal.id as usize].text);
                super::value::needle(text).map(|(_, needle)| needle.to_ascii_lowercase().into_bytes())
            });
            Grams::new(needles.collect(), &Sample::new(sample))
        }))
    }
}

/// What is worth a look.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "five kinds of things that a text can hold")]
pub(super) struct Wants {
    pub(super) v4: bool,
    pub(super) v6: bool,
    pub(super) long_v6: bool,
    pub(super) hosts: bool,
    pub(super) runs: bool,
}
