use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

/// Size of the buffers, in bytes.
const BUFFER: usize = 256 << 10;

/// A stream whose compression was found by its first bytes.
pub enum Decoded<'a> {
    /// Text, decompressed where needed.
    Stream(Box<dyn BufRead + 'a>),
    /// Compressed in a way that is not read; its name.
    Unsupported(&'static str),
}

/// Looks at the first bytes: gzip (RFC 1952, any number of members) is decompressed, other text passes as it is.
pub fn decode<'a>(mut reader: impl Read + 'a) -> io::Result<Decoded<'a>> {
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
    if let Some(kind) = unsupported(&head) {
        return Ok(Decoded::Unsupported(kind));
    }
    let gzip = head.starts_with(&[0x1f, 0x8b]);
    let whole = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(reader));
    if gzip {
        return Ok(Decoded::Stream(Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(whole)))));
    }
    Ok(Decoded::Stream(Box::new(whole)))
}

fn unsupported(head: &[u8]) -> Option<&'static str> {
    const MAGICS: [(&[u8], &str); 5] = [
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
        (b"BZh", "bzip2"),
        (&[0xfd, b'7', b'z', b'X', b'Z'], "xz"),
        (b"PK\x03\x04", "zip"),
        (b"PAR1", "parquet"),
    ];
    MAGICS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gz(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
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
        assert_eq!(read(b"plain").unwrap(), "plain");
        assert_eq!(read(b"").unwrap(), "");
    }

    #[test]
    fn a_cut_member_is_an_error_and_a_foreign_one_is_named() {
        let whole = gz("some text that is cut");
        assert!(read(&whole[..whole.len() - 5]).is_err());
        assert!(matches!(decode(&b"BZh91AY"[..]), Ok(Decoded::Unsupported("bzip2"))));
    }
}
