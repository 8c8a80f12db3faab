//! Connection addresses that sqlx, libpq and Ruby read alike.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::SUPERUSER;

/// The host that the parser wants is overridden by the parameter. Port and `sslmode` are spelled
/// out because drivers would else take `PGPORT` and `PGSSLMODE` from the environment.
pub(super) fn over_socket(directory: &Path, port: u16, database: &str) -> String {
    let database = encoded(database.as_bytes(), b"");
    // Slashes stay: they are legal there, and Rails does not decode parameters.
    let directory = encoded(directory.as_os_str().as_bytes(), b"/");
    format!("postgres://{SUPERUSER}@localhost:{port}/{database}?host={directory}&sslmode=disable")
}

pub(super) fn over_loopback(port: u16, database: &str) -> String {
    let database = encoded(database.as_bytes(), b"");
    format!("postgres://{SUPERUSER}@127.0.0.1:{port}/{database}?sslmode=disable")
}

fn encoded(bytes: &[u8], also_plain: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || also_plain.contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_and_slashes_of_the_socket_stay() {
        assert_eq!(
            over_socket(Path::new("/tmp/a b&c"), 5432, "jobs/ä"),
            "postgres://goodjob@localhost:5432/jobs%2F%C3%A4?host=/tmp/a%20b%26c&sslmode=disable"
        );
    }
}
