//! What git keeps: packs (gitformat-pack, version 2) and loose objects, so that history is looked through too.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Cursor, Read};
use std::sync::Arc;

use flate2::bufread::ZlibDecoder;

/// Bytes by which a file is known.
pub(super) const HEAD: u64 = 12;
/// Largest object that is put together from its changes, in bytes.
const MAX_OBJECT: u64 = 8 << 20;
/// Objects that are kept for those that are stored as changes of them, in bytes.
const MAX_KEPT: usize = 32 << 20;

/// How git has stored a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    Pack,
    Loose,
}

/// Whether a file is one of git's, by its first bytes and, for loose objects, its place.
pub(super) fn stored(head: &[u8], path: &str) -> Option<Stored> {
    if head.starts_with(b"PACK\0\0\0\x02") || head.starts_with(b"PACK\0\0\0\x03") {
        return Some(Stored::Pack);
    }
    let zlib = head.len() > 2 && head[0] == 0x78 && (u16::from(head[0]) << 8 | u16::from(head[1])) % 31 == 0;
    let name: Vec<&str> = path.rsplit('/').take(3).collect();
    let object = matches!(name.as_slice(), [rest, two, "objects"] if two.len() == 2 && rest.len() >= 38);
    (zlib && object).then_some(Stored::Loose)
}

/// The content of a loose object, its header before it.
pub(super) fn loose<R: BufRead>(reader: R) -> impl BufRead {
    io::BufReader::new(ZlibDecoder::new(reader))
}

/// Reads a pack once and gives each object's content with its offset. Returns how many are changes of an object that was not
/// at hand; of those, what they add is given.
pub(super) fn pack<R: BufRead>(
    reader: R,
    give: &mut dyn FnMut(u64, &mut dyn BufRead) -> io::Result<()>,
) -> io::Result<u64> {
    let mut reader = Counting { inner: reader, at: 0 };
    let mut head = [0; 12];
    reader.read_exact(&mut head)?;
    let objects = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
    let (mut kept, mut unresolved) = (Kept::default(), 0);
    for _ in 0..objects {
        let at = reader.at;
        let (kind, size) = header(&mut reader)?;
        let base = match kind {
            1..=4 => None,
            6 => Some(at.checked_sub(offset(&mut reader)?)),
            7 => {
                reader.read_exact(&mut [0; 20])?;
                Some(None)
            }
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("object at {at} is of no known kind"))),
        };
        let mut content = ZlibDecoder::new(&mut reader);
        if base.is_none() && size > MAX_OBJECT {
            give(at, &mut io::BufReader::new(&mut content))?;
            drain(&mut content)?;
            continue;
        }
        let mut bytes = Vec::new();
        content.by_ref().take(MAX_OBJECT).read_to_end(&mut bytes)?;
        let cut = drain(&mut content)? > 0;
        let whole = match base {
            None => Some(bytes),
            Some(base) => {
                let made = base.filter(|_| !cut).and_then(|base| kept.get(base)).and_then(|base| apply(&base, &bytes));
                if made.is_none() {
                    unresolved += 1;
                    give(at, &mut Cursor::new(added(&bytes)))?;
                }
                made
            }
        };
        if let Some(whole) = whole {
            give(at, &mut Cursor::new(whole.as_slice()))?;
            kept.put(at, whole);
        }
    }
    Ok(unresolved)
}

/// Reads to the end of the object, so that the next one is found; says how much there was.
fn drain(reader: &mut impl Read) -> io::Result<u64> {
    io::copy(reader, &mut io::sink())
}

struct Counting<R> {
    inner: R,
    at: u64,
}

impl<R: BufRead> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counting<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }
    fn consume(&mut self, amount: usize) {
        self.at += amount as u64;
        self.inner.consume(amount);
    }
}

/// The newest objects, up to a size in all.
#[derive(Default)]
struct Kept {
    objects: BTreeMap<u64, Arc<Vec<u8>>>,
    bytes: usize,
}

impl Kept {
    fn get(&self, at: u64) -> Option<Arc<Vec<u8>>> {
        self.objects.get(&at).cloned()
    }

    fn put(&mut self, at: u64, object: Vec<u8>) {
        self.bytes += object.len();
        self.objects.insert(at, Arc::new(object));
        while self.bytes > MAX_KEPT {
            let Some((_, oldest)) = self.objects.pop_first() else { return };
            self.bytes -= oldest.len();
        }
    }
}

fn byte(reader: &mut impl Read) -> io::Result<u8> {
    let mut one = [0];
    reader.read_exact(&mut one)?;
    Ok(one[0])
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a number in the pack is too long")
}

/// Kind and size of an object.
fn header(reader: &mut impl Read) -> io::Result<(u8, u64)> {
    let mut next = byte(reader)?;
    let (kind, mut size, mut shift) = (next >> 4 & 7, u64::from(next & 15), 4);
    while next & 0x80 != 0 {
        next = byte(reader)?;
        size |= u64::from(next & 0x7f).checked_shl(shift).filter(|_| shift < 60).ok_or_else(too_long)?;
        shift += 7;
    }
    Ok((kind, size))
}

/// How far before an object its base lies.
fn offset(reader: &mut impl Read) -> io::Result<u64> {
    let mut next = byte(reader)?;
    let mut value = u64::from(next & 0x7f);
    while next & 0x80 != 0 {
        next = byte(reader)?;
        value =
            value.checked_add(1).filter(|value| *value < 1 << 56).ok_or_else(too_long)? << 7 | u64::from(next & 0x7f);
    }
    Ok(value)
}

/// One instruction of a change.
enum Change<'a> {
    Copy(usize, usize),
    Add(&'a [u8]),
}

/// The instructions of a change, after its two sizes; ends early where it is damaged.
fn changes(delta: &[u8]) -> impl Iterator<Item = Option<Change<'_>>> {
    let mut rest = delta;
    for _ in 0..2 {
        let end = rest.iter().position(|byte| byte & 0x80 == 0).map_or(rest.len(), |at| at + 1);
        rest = &rest[end..];
    }
    let mut broken = false;
    std::iter::from_fn(move || {
        let (first, mut after) = rest.split_first().filter(|_| !broken)?;
        if first & 0x80 == 0 {
            let Some((added, left)) = (*first > 0).then(|| after.split_at_checked(usize::from(*first))).flatten()
            else {
                broken = true;
                return Some(None);
            };
            rest = left;
            return Some(Some(Change::Add(added)));
        }
        let mut number = [0_usize; 7];
        for (bit, slot) in number.iter_mut().enumerate() {
            if first >> bit & 1 == 1 {
                let Some((byte, left)) = after.split_first() else {
                    broken = true;
                    return Some(None);
                };
                *slot = usize::from(*byte);
                after = left;
            }
        }
        rest = after;
        let from = number[0] | number[1] << 8 | number[2] << 16 | number[3] << 24;
        let size = number[4] | number[5] << 8 | number[6] << 16;
        Some(Some(Change::Copy(from, if size == 0 { 0x1_0000 } else { size })))
    })
}

/// The object that a change makes of its base; `None` where it is damaged or too large.
fn apply(base: &[u8], delta: &[u8]) -> Option<Vec<u8>> {
    let mut made = Vec::new();
    for change in changes(delta) {
        match change? {
            Change::Copy(from, size) => made.extend_from_slice(base.get(from..from.checked_add(size)?)?),
            Change::Add(bytes) => made.extend_from_slice(bytes),
        }
        if made.len() as u64 > MAX_OBJECT {
            return None;
        }
    }
    Some(made)
}

/// What a change adds, a line feed where it copies.
fn added(delta: &[u8]) -> Vec<u8> {
    let mut made = Vec::new();
    for change in changes(delta).flatten() {
        match change {
            Change::Copy(..) => made.push(b'\n'),
            Change::Add(bytes) => made.extend_from_slice(bytes),
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A pack of one text, a change of it, and a change of an object that is elsewhere.
    fn small_pack() -> Vec<u8> {
        let mut pack = b"PACK\0\0\0\x02\0\0\0\x03".to_vec();
        pack.push(0x30 + 11);
        pack.extend(deflated(b"hello world"));
        let at = pack.len();
        // Sizes 11 and 10, copy 6 from 0, add `moon`.
        let delta = [&[11, 10, 0x80 | 1 << 4, 6, 4][..], b"moon"].concat();
        pack.push(0x60 + 9);
        pack.push(u8::try_from(at - 12).unwrap());
        pack.extend(deflated(&delta));
        pack.push(0x70 + 9);
        pack.extend([7; 20]);
        pack.extend(deflated(&delta));
        pack
    }

    fn read(pack: &[u8]) -> (Vec<String>, io::Result<u64>) {
        let mut texts = Vec::new();
        let unresolved = super::pack(pack, &mut |_, object| {
            let mut text = Vec::new();
            object.read_to_end(&mut text)?;
            texts.push(String::from_utf8_lossy(&text).into_owned());
            Ok(())
        });
        (texts, unresolved)
    }

    #[test]
    fn objects_and_changes_of_them_are_read_and_the_rest_is_counted() {
        let pack = small_pack();
        let (texts, unresolved) = read(&pack);
        assert_eq!(texts, ["hello world", "hello moon", "\nmoon"]);
        assert_eq!(unresolved.unwrap(), 1);
        assert!(read(&pack[..pack.len() - 3]).1.is_err());
        assert_eq!(stored(&pack, "x"), Some(Stored::Pack));
    }

    #[test]
    fn loose_objects_are_known_by_their_place() {
        let object = deflated(b"blob 2\0hi");
        let path = format!("r/.git/objects/ab/{}", "c".repeat(38));
        assert_eq!((stored(&object, &path), stored(&object, "r/x")), (Some(Stored::Loose), None));
        let mut text = String::new();
        loose(&object[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "blob 2\0hi");
    }

    proptest! {
        #[test]
        fn damage_panics_nowhere(at in 0_usize..80, with: u8, cut in 0_usize..120) {
            let mut pack = small_pack();
            let at = at % pack.len();
            pack[at] = with;
            pack.truncate(cut.max(12));
            let _ = read(&pack);
        }
    }
}
