//! An ssh-agent (draft-ietf-sshm-ssh-agent): signs with an approver's key, which never leaves it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::ports::{Fault, FaultKind};

/// Longest answer that is read, in bytes: OpenSSH's own limit.
const MAX_ANSWER: u32 = 256 * 1024;

/// Most keys that are listed.
const MAX_KEYS: u32 = 1024;

/// A person may have to touch a hardware key, or to type a PIN.
const PATIENCE: Duration = Duration::from_mins(1);

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// A connection to an agent.
#[derive(Debug)]
pub struct SshAgent {
    stream: UnixStream,
}

impl SshAgent {
    /// Connects to the socket that `SSH_AUTH_SOCK` names.
    pub fn connect(socket: &Path) -> Result<Self, Fault> {
        let failed = |error: io::Error| {
            let message = format!("no ssh-agent answers at {}", socket.display());
            Fault::with(FaultKind::Unavailable, message, error)
        };
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        Ok(Self { stream })
    }

    /// The public keys that it holds, in binary form (RFC 4253, section 6.6).
    pub fn keys(&mut self) -> Result<Vec<Vec<u8>>, Fault> {
        let answer = self.ask(&[REQUEST_IDENTITIES])?;
        let mut rest = answer.strip_prefix(&[IDENTITIES_ANSWER]).ok_or_else(refused)?;
        let count = number(&mut rest).ok_or_else(damaged)?;
        if count > MAX_KEYS {
            return Err(damaged());
        }
        let mut keys = Vec::new();
        for _ in 0..count {
            keys.push(string(&mut rest).ok_or_else(damaged)?.to_vec());
            string(&mut rest).ok_or_else(damaged)?;
        }
        Ok(keys)
    }

    /// Has `data` signed with that key; the signature in binary form. May wait for a person's touch.
    pub fn sign(&mut self, key: &[u8], data: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut request = vec![SIGN_REQUEST];
        for part in [key, data] {
            request.extend_from_slice(&length(part)?);
            request.extend_from_slice(part);
        }
        request.extend_from_slice(&[0; 4]);
        let answer = self.ask(&request)?;
        let mut rest = answer.strip_prefix(&[SIGN_RESPONSE]).ok_or_else(refused)?;
        let signature = string(&mut rest).ok_or_else(damaged)?.to_vec();
        if rest.is_empty() { Ok(signature) } else { Err(damaged()) }
    }

    fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, Fault> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                let message = format!("the ssh-agent gave no answer within {} s", PATIENCE.as_secs());
                Fault::new(FaultKind::Unavailable, message)
            }
            _ => Fault::with(FaultKind::Unavailable, "the ssh-agent could not be asked", error),
        };
        let size = length(request)?;
        self.stream.write_all(&[&size, request].concat()).map_err(failed)?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).map_err(failed)?;
        let size = u32::from_be_bytes(size);
        if size == 0 || size > MAX_ANSWER {
            return Err(damaged());
        }
        let mut answer = Vec::new();
        (&self.stream).take(u64::from(size)).read_to_end(&mut answer).map_err(failed)?;
        if answer.len() as u64 == u64::from(size) { Ok(answer) } else { Err(damaged()) }
    }
}

fn length(bytes: &[u8]) -> Result<[u8; 4], Fault> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length < MAX_ANSWER);
    length
        .map(u32::to_be_bytes)
        .ok_or_else(|| Fault::new(FaultKind::Invalid, "the message is too long for an ssh-agent"))
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_be_bytes(*number))
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (string, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(string)
}

fn refused() -> Fault {
    Fault::new(FaultKind::Denied, "the ssh-agent refused (locked, or the key was not confirmed or touched)")
}

fn damaged() -> Fault {
    Fault::new(FaultKind::Corrupt, "the ssh-agent's answer can't be read")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// What the client makes of one answer.
    fn answered(answer: &'static [u8]) -> Result<Vec<Vec<u8>>, FaultKind> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 5];
            stream.read_exact(&mut request).unwrap();
            assert_eq!(request, [0, 0, 0, 1, REQUEST_IDENTITIES]);
            stream.write_all(answer).unwrap();
        });
        let keys = SshAgent::connect(&socket).unwrap().keys().map_err(|fault| fault.kind);
        server.join().unwrap();
        keys
    }

    #[test]
    fn answers_are_read_strictly_and_never_beyond_their_bounds() {
        let one = b"\0\0\0\x10\x0c\0\0\0\x01\0\0\0\x02ab\0\0\0\x01c";
        assert_eq!(answered(one), Ok(vec![b"ab".to_vec()]));
        assert_eq!(answered(b"\0\0\0\x01\x05"), Err(FaultKind::Denied), "failure");
        assert_eq!(answered(b"\0\0\0\0"), Err(FaultKind::Corrupt));
        assert_eq!(answered(b"\x7f\xff\xff\xff"), Err(FaultKind::Corrupt), "two gigabytes");
        assert_eq!(answered(b"\0\0\0\x05\x0c\x7f\xff\xff\xff"), Err(FaultKind::Corrupt), "two thousand million keys");
        assert_eq!(answered(b"\0\0\0\x09\x0c\0\0\0\x01\0\0\0\x7f"), Err(FaultKind::Corrupt), "a key beyond the end");
        assert_eq!(answered(b"\0\0\0\x10\x0c"), Err(FaultKind::Corrupt), "cut short");
        assert_eq!(SshAgent::connect(Path::new("/nowhere/agent")).unwrap_err().kind, FaultKind::Unavailable);
    }
}
