use std::io::{self, BufRead, BufReader, Cursor, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::utf16::{Text, is_utf16};

/// Size of the buffers, in bytes. What reads more at once, as blocks do, reads past them.
const BUFFER: usize = 64 << 10;
/// Most memory that an xz stream may ask for, in KiB; `xz -9` asks for 64 MiB.
const XZ_MEMORY: u32 = 80 << 10;

/// A stream whose compression was found by its first bytes.
pub enum Decoded<'a> {
    /// Text, decompressed where needed.
    Stream(Box<dyn BufRead + Send + 'a>),
    /// Compressed in a way that is not read; its name.
    Unsupported(&'static str),
}

/// Whether a stream that begins like this is compressed, is no UTF-8, or is not read at all.
pub(super) fn is_packed(head: &[u8]) -> bool {
    is_utf16(head)
        || matches!(
            head,
            [0x1f, 0x8b, ..]
                | [0x28, 0xb5, 0x2f, 0xfd, ..]
                | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
                | [b'B', b'Z', b'h', b'1'..=b'9', ..]
                | [0xfd, b'7', b'z', b'X', b'Z', 0, ..]
                | [b'P', b'K', 3, 4, ..]
                | [b'P', b'A', b'R', b'1', ..]
        )
}

/// How often a stream may be compressed: Firehose compresses once more what `CloudWatch` sends it compressed.
const DEPTH: usize = 3;

/// Looks at the first bytes: gzip (RFC 1952, any number of members), zstd (RFC 8878), bzip2 and xz are decompressed, what was
/// compressed in it too, other text passes as it is. UTF-16 with a byte order mark becomes UTF-8.
pub fn decode<'a>(reader: impl Read + Send + 'a) -> io::Result<Decoded<'a>> {
    decode_deep(Box::new(reader), DEPTH)
}

fn decode_deep(mut reader: Box<dyn Read + Send + '_>, depth: usize) -> io::Result<Decoded<'_>> {
    let mut head = [0; 6];
    let mut have = 0;
    while have < head.len() {
        match reader.read(&mut head[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let head = head[..have].to_vec();
    let magic = head.clone();
    let whole = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(reader));
    let Some(depth) = depth.checked_sub(1) else { return Ok(Decoded::Stream(Box::new(Text::new(whole)))) };
    let stream: Box<dyn Read + Send + '_> = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Box::new(Zstd::new(whole)),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Box::new(MultiBzDecoder::new(whole)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(XzReader::new_mem_limit(whole, true, XZ_MEMORY)),
        [b'P', b'K', 3, 4, ..] => return Ok(Decoded::Unsupported("zip")),
        [b'P', b'A', b'R', b'1', ..] => return Ok(Decoded::Unsupported("parquet")),
        _ => return Ok(Decoded::Stream(Box::new(Text::new(whole)))),
    };
    decode_deep(stream, depth)
}

/// Zstandard frames one after another; skippable frames are skipped.
struct Zstd<R> {
    source: R,
    frame: FrameDecoder,
    open: bool,
}

impl<R: BufRead> Zstd<R> {
    fn new(source: R) -> Self {
        Self { source, frame: FrameDecoder::new(), open: false }
    }

    /// Begins the next frame; false at the end of the stream.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            let mut magic = [0; 4];
            self.source.read_exact(&mut magic)?;
            if matches!(magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18]) {
                let mut length = [0; 4];
                self.source.read_exact(&mut length)?;
                let length = u64::from(u32::from_le_bytes(length));
                io::copy(&mut self.source.by_ref().take(length), &mut io::sink())?;
                continue;
            }
            self.frame.init(magic.chain(&mut self.source)).map_err(io::Error::other)?;
            self.open = true;
            return Ok(true);
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.open && !self.begin()? {
                return Ok(0);
            }
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                self.frame
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
            if self.frame.can_collect() > 0 {
                return self.frame.read(into);
            }
            self.open = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    /// `one\n` and `two\n`, each compressed by the usual program.
    const ZSTD: [&str; 2] = ["28b52ffd04582100006f6e650adf166809", "28b52ffd045821000074776f0a0f2d04f9"];

    fn gz(text: impl AsRef<[u8]>) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_ref()).unwrap();
        encoder.finish().unwrap()
    }

    fn bz(text: &str) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<String> {
        let Decoded::Stream(mut stream) = decode(bytes)? else { panic!("unsupported") };
        let mut out = String::new();
        stream.read_to_string(&mut out)?;
        Ok(out)
    }

    #[test]
    fn all_members_are_read_and_plain_text_passes() {
        assert_eq!(read(&[gz("one\n"), gz("two\n")].concat()).unwrap(), "one\ntwo\n");
        assert_eq!(read(&[bz("one\n"), bz("two\n")].concat()).unwrap(), "one\ntwo\n");
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..]].concat();
        let frames: Vec<u8> = ZSTD.iter().flat_map(|hex| hex::decode(hex).unwrap()).collect();
        assert_eq!(read(&[skipped, frames].concat()).unwrap(), "one\ntwo\n");
        assert_eq!(read(&hex::decode(XZ).unwrap()).unwrap(), "one\n");
        assert_eq!(read(&gz(gz("one\n"))).unwrap(), "one\n");
        assert_eq!(read(&gz("")).unwrap(), "");
        assert_eq!(read(b"plain").unwrap(), "plain");
        assert_eq!(read(b"").unwrap(), "");
    }

    const XZ: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a30100036f6e650a00f55cbb561fc6fd8600011c046f2c9cc11fb6f37d010000000004595a";

    #[test]
    fn what_is_decoded_counts_as_packed() {
        for whole in [gz("x"), bz("x"), hex::decode(ZSTD[0]).unwrap(), hex::decode(XZ).unwrap(), b"PK\x03\x04..".into()]
        {
            assert!(is_packed(&whole[..6]));
        }
        assert!(!is_packed(b"plain text") && !is_packed(b""));
    }

    #[test]
    fn a_cut_stream_is_an_error_and_a_foreign_one_is_named() {
        for whole in
            [gz("some text that is cut"), bz("some text"), hex::decode(ZSTD[0]).unwrap(), hex::decode(XZ).unwrap()]
        {
            assert!(read(&whole[..whole.len() - 5]).is_err(), "{whole:x?}");
        }
        assert!(matches!(decode(&b"PK\x03\x04.."[..]), Ok(Decoded::Unsupported("zip"))));
    }
}
