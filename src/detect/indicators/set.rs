//! Indicators, and the tables in which they are looked up.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use foldhash::fast::FixedState;

use super::kind::Kind;
use super::packed::{Entry, Packed};
use super::table::Table;
use super::value::{Edges, Form, LONGEST_HOST, LONGEST_RUN, Value, network};
use super::windows::{SMALL, Windows};
use crate::domain::Level;

/// What a list says about an indicator.
#[derive(Debug, Clone, Copy)]
struct Note {
    id: u32,
    from: u32,
    length: u16,
}

/// Which networks of a family there are.
#[derive(Debug, Default)]
struct Networks {
    /// Lengths of prefixes, longest first.
    lengths: Vec<u8>,
    known: Table,
    /// A bit for each value of the first 16 bits of an address that a network lies in or around.
    heads: Vec<u64>,
}

/// What is looked for.
#[derive(Debug, Default)]
pub(super) struct Set {
    /// Values: addresses and digests as bytes, all others as text.
    entries: Packed,
    notes: Vec<Note>,
    /// The texts of the notes.
    said: Vec<u8>,
    /// Bytes of all values and notes.
    size: usize,
    /// The first indicator of each list that has one, and the number of the list.
    lists: Vec<(u32, u16)>,
    v4: Networks,
    v6: Networks,
    hosts: Table,
    runs: Table,
    literals: Vec<(u32, Edges)>,
    known_literals: Table,
    windows: OnceLock<Windows>,
}

/// Of a text, without regard to case: letters are made small, and a little more.
fn hash(text: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(7).build_hasher();
    let (eights, rest) = text[..text.len().min(LONGEST_HOST)].as_chunks();
    for eight in eights {
        hasher.write_u64(u64::from_le_bytes(*eight) | SMALL);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    hasher.write_u64(u64::from_le_bytes(last) | SMALL);
    hasher.write_usize(text.len());
    hasher.finish()
}

fn hash_network(first: u128, bits: u8) -> u64 {
    FixedState::with_seed(7).hash_one(first ^ u128::from(bits))
}

/// The first 16 bits of an address of `width` bits.
fn head(address: u128, width: u8) -> usize {
    usize::try_from((address >> (width - 16)) & 0xffff).unwrap_or(0)
}

impl Networks {
    /// Whether an address may lie in a network, by its first 16 bits.
    #[inline]
    fn maybe(&self, head: usize) -> bool {
        self.heads.get(head >> 6).is_some_and(|word| word >> (head & 63) & 1 == 1)
    }

    /// Notes the prefix of a network of a family with `width` bits.
    fn note(&mut self, first: u128, bits: u8, width: u8) {
        if let Err(at) = self.lengths.binary_search_by(|known| bits.cmp(known)) {
            self.lengths.insert(at, bits);
        }
        self.heads.resize(1 << 10, 0);
        let head = head(first, width);
        let more = if bits < 16 { 1_usize << (16 - bits) } else { 1 };
        for head in head..head + more {
            self.heads[head >> 6] |= 1 << (head & 63);
        }
    }
}

impl Set {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes that values and notes take.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn kind(&self, id: u32) -> Kind {
        self.entries.get(id).kind
    }

    pub(super) fn level(&self, id: u32) -> Level {
        self.entries.get(id).level
    }

    /// Its value, as it is shown and looked for.
    pub(super) fn value(&self, id: u32) -> Cow<'_, str> {
        let bytes = self.bytes(id);
        match self.kind(id) {
            Kind::Ip => {
                self.network(id).map(|(first, bits, width)| written(first, bits, width)).unwrap_or_default().into()
            }
            Kind::Hash => hex::encode(bytes).into(),
            _ => str::from_utf8(bytes).unwrap_or_default().into(),
        }
    }

    /// What its list says about it; empty if nothing.
    pub(super) fn note(&self, id: u32) -> &str {
        let Ok(at) = self.notes.binary_search_by_key(&id, |note| note.id) else { return "" };
        let note = self.notes[at];
        str::from_utf8(&self.said[note.from as usize..][..usize::from(note.length)]).unwrap_or_default()
    }

    /// Number of its list, and the line.
    pub(super) fn origin(&self, id: u32) -> (usize, u32) {
        let at = self.lists.partition_point(|(first, _)| *first <= id);
        let list = at.checked_sub(1).map_or(0, |at| usize::from(self.lists[at].1));
        (list, self.entries.get(id).line)
    }

    fn bytes(&self, id: u32) -> &[u8] {
        self.entries.get(id).value
    }

    /// The first address of a network, the bits that count, and those of the family.
    fn network(&self, id: u32) -> Option<(u128, u8, u8)> {
        match (self.kind(id), self.bytes(id)) {
            (Kind::Ip, [bits, address @ ..]) => match address.len() {
                4 => Some((u128::from(u32::from_be_bytes(*address.first_chunk()?)), *bits, 32)),
                _ => Some((u128::from_be_bytes(*address.first_chunk()?), *bits, 128)),
            },
            // A URL that is an address only.
            (_, text) => network(str::from_utf8(text).ok()?),
        }
    }

    /// Takes an indicator; false if the same is known already.
    pub(super) fn add(&mut self, value: &Value, note: &str, place: (u16, u32), level: Level) -> bool {
        let id = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let text = value.text.as_bytes();
        let known = match value.form {
            Form::V4 { first, bits } => self.network_id(u128::from(first), bits, 32).is_some(),
            Form::V6 { first, bits } => self.network_id(first, bits, 128).is_some(),
            Form::Host => self.host(text).is_some(),
            Form::Run => self.run(text).is_some(),
            // The same text of two kinds is two indicators: their edges differ.
            Form::Text(_) => self
                .known_literals
                .find(hash(text), |id| self.kind(id) == value.kind && self.bytes(id).eq_ignore_ascii_case(text))
                .is_some(),
        };
        if known {
            return false;
        }
        let mut push = |kept: &[u8]| self.entries.push(Entry { value: kept, kind: value.kind, level, line: place.1 });
        match (value.kind, &value.form) {
            (Kind::Ip, Form::V4 { first, bits }) => push(&[&[*bits][..], &first.to_be_bytes()].concat()),
            (Kind::Ip, Form::V6 { first, bits }) => push(&[&[*bits][..], &first.to_be_bytes()].concat()),
            (Kind::Hash, _) => push(&hex::decode(&value.text).unwrap_or_default()),
            _ => push(text),
        }
        self.size += text.len() + note.len();
        if !note.is_empty() {
            let from = u32::try_from(self.said.len()).unwrap_or(u32::MAX);
            self.said.extend_from_slice(note.as_bytes());
            self.notes.push(Note { id, from, length: u16::try_from(note.len()).unwrap_or(u16::MAX) });
        }
        if self.lists.last().is_none_or(|(_, list)| *list != place.0) {
            self.lists.push((id, place.0));
        }
        self.index(id, &value.form);
        true
    }

    fn index(&mut self, id: u32, form: &Form) {
        match form {
            Form::V4 { first, bits } => {
                self.v4.note(u128::from(*first), *bits, 32);
                self.grow(|set| &mut set.v4.known, id, Self::hash_of_network);
            }
            Form::V6 { first, bits } => {
                self.v6.note(*first, *bits, 128);
                self.grow(|set| &mut set.v6.known, id, Self::hash_of_network);
            }
            Form::Host => self.grow(|set| &mut set.hosts, id, Self::hash_of_text),
            Form::Run => self.grow(|set| &mut set.runs, id, Self::hash_of_text),
            Form::Text(edges) => {
                self.grow(|set| &mut set.known_literals, id, Self::hash_of_text);
                self.literals.push((id, *edges));
            }
        }
    }

    /// Puts a number into one of the tables.
    fn grow(&mut self, table: impl Fn(&mut Self) -> &mut Table, id: u32, hash: impl Fn(&Self, u32) -> u64) {
        let mut taken = std::mem::take(table(self));
        taken.add(id, |id| hash(self, id));
        *table(self) = taken;
    }

    fn hash_of_network(&self, id: u32) -> u64 {
        self.network(id).map_or(0, |(first, bits, _)| hash_network(first, bits))
    }

    fn hash_of_text(&self, id: u32) -> u64 {
        let Entry { kind, value, .. } = self.entries.get(id);
        let mut digits = [0; LONGEST_RUN];
        let digits = digits.get_mut(..2 * value.len()).filter(|_| kind == Kind::Hash);
        match digits.and_then(|digits| hex::encode_to_slice(value, digits).ok().map(|()| digits)) {
            Some(digits) => hash(digits),
            None => hash(value),
        }
    }

    fn network_id(&self, first: u128, bits: u8, width: u8) -> Option<u32> {
        let networks = if width == 32 { &self.v4 } else { &self.v6 };
        networks.known.find(hash_network(first, bits), |id| self.network(id) == Some((first, bits, width)))
    }

    fn networks(&self, address: u128, width: u8, mut found: impl FnMut(u32)) {
        let networks = if width == 32 { &self.v4 } else { &self.v6 };
        if !networks.maybe(head(address, width)) {
            return;
        }
        for bits in &networks.lengths {
            let drop = u32::from(width - bits);
            let first = address.checked_shr(drop).unwrap_or(0).checked_shl(drop).unwrap_or(0);
            if let Some(id) = self.network_id(first, *bits, width) {
                found(id);
            }
        }
    }

    pub(super) fn host(&self, name: &[u8]) -> Option<u32> {
        self.hosts.find(hash(name), |id| self.bytes(id).eq_ignore_ascii_case(name))
    }

    pub(super) fn run(&self, text: &[u8]) -> Option<u32> {
        self.runs.find(hash(text), |id| self.value(id).as_bytes().eq_ignore_ascii_case(text))
    }

    pub(super) fn v4(&self, address: u32, found: impl FnMut(u32)) {
        self.networks(u128::from(address), 32, found);
    }

    pub(super) fn v6(&self, address: u128, mut found: impl FnMut(u32)) {
        self.networks(address, 128, &mut found);
        if let Some(inner) = std::net::Ipv6Addr::from_bits(address).to_ipv4_mapped() {
            self.networks(u128::from(inner.to_bits()), 32, found);
        }
    }

    /// Whether an IPv4 address may be known that begins with these two numbers.
    pub(super) fn maybe_v4(&self, first: u32, second: u32) -> bool {
        first < 256 && second < 256 && self.v4.maybe((first << 8 | second) as usize)
    }

    /// Whether an IPv6 address may be known that begins with this number of 16 bits: one that holds an IPv4 address too.
    pub(super) fn maybe_v6(&self, head: u32) -> bool {
        self.v6.maybe((head & 0xffff) as usize)
    }

    /// What kinds of things in a text are worth a look.
    pub(super) fn wants(&self) -> Wants {
        Wants {
            v4: !self.v4.lengths.is_empty(),
            // An IPv4 address can be written as the end of an IPv6 one.
            v6: !self.v6.lengths.is_empty() || !self.v4.lengths.is_empty(),
            // Numbers below this are not always written with four digits.
            any_v6: self.v6.heads.first_chunk::<{ 0x1000 >> 6 }>().is_some_and(|low| low.iter().any(|word| *word != 0)),
        }
    }

    pub(super) fn runs(&self) -> impl Iterator<Item = u32> {
        self.runs.numbers()
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = u32> {
        self.hosts.numbers()
    }

    pub(super) fn literals(&self) -> &[(u32, Edges)] {
        &self.literals
    }

    /// The first look. Made when the first piece of a log is there: what is rare in it is what is looked for.
    pub(super) fn windows(&self, sample: &[u8]) -> &Windows {
        self.windows.get_or_init(|| Windows::new(self, sample))
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        self.entries.shrink();
        self.notes.shrink_to_fit();
        self.said.shrink_to_fit();
    }
}

/// A network as it is shown.
fn written(first: u128, bits: u8, width: u8) -> String {
    let address = match u32::try_from(first) {
        Ok(v4) if width == 32 => std::net::IpAddr::V4(v4.into()),
        _ => std::net::IpAddr::V6(first.into()),
    };
    if bits == width { address.to_string() } else { format!("{address}/{bits}") }
}

/// What is worth a look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wants {
    pub(super) v4: bool,
    pub(super) v6: bool,
    /// Of IPv6 addresses, any; else only those that begin with a known number.
    pub(super) any_v6: bool,
}
