//! Asks a server whether it accepts sessions, by the first messages of the wire protocol. A driver
//! would drag in an async runtime, and `pg_isready` a process per question.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const PROTOCOL_3_0: u32 = 3 << 16;
/// The database is `postgres` because a session in `template1` would block `CREATE DATABASE`.
const PARAMETERS: &[u8] = b"user\0goodjob\0database\0postgres\0\0";
const TERMINATE: &[u8] = b"X\0\0\0\x04";
/// `cannot_connect_now`: starting up, shutting down or in recovery.
const CANNOT_CONNECT_NOW: &[u8] = b"C57P03\0";
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Accepts,
    NotNow,
}

/// One session, opened and closed. An error says that nothing speaks Postgres there.
pub(super) fn greet(socket: &Path) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&startup_message())?;

    let mut header = [0; 5];
    stream.read_exact(&mut header)?;
    let [kind, a, b, c, d] = header;
    if kind == b'E' {
        let length = u64::from(u32::from_be_bytes([a, b, c, d]));
        let mut fields = Vec::new();
        stream.take(length.saturating_sub(4)).read_to_end(&mut fields)?;
        return Ok(of_refusal(&fields));
    }
    // Waiting for the end leaves no session behind that a caller could stumble over.
    stream.write_all(TERMINATE)?;
    io::copy(&mut stream, &mut io::sink())?;
    Ok(Answer::Accepts)
}

/// Any other refusal, such as too many clients, comes from a server that is up.
fn of_refusal(fields: &[u8]) -> Answer {
    let not_now = fields.windows(CANNOT_CONNECT_NOW.len()).any(|field| field == CANNOT_CONNECT_NOW);
    if not_now { Answer::NotNow } else { Answer::Accepts }
}

fn startup_message() -> Vec<u8> {
    // Length and version count too: four bytes each.
    let length = 8 + PARAMETERS.len() as u32;
    [&length.to_be_bytes(), &PROTOCOL_3_0.to_be_bytes(), PARAMETERS].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cannot_connect_now_means_not_now() {
        assert_eq!(of_refusal(b"SFATAL\0C57P03\0Mstarting up\0\0"), Answer::NotNow);
        assert_eq!(of_refusal(b"SFATAL\0C53300\0Mtoo many clients\0\0"), Answer::Accepts);
    }

    #[test]
    fn the_startup_message_counts_its_own_length() {
        let message = startup_message();
        assert_eq!(message[..4], (message.len() as u32).to_be_bytes());
    }
}
