//! How a server is told to run.

/// Also in the name of the socket of a server that listens on no port.
pub(super) const DEFAULT_PORT: u16 = 5432;

/// What every throwaway server gets: speed at the price of surviving a crash of the machine, and
/// the same zone everywhere. Those of a [`Settings`] come after these and win.
const BASIS: [(&str, &str); 6] = [
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("shared_buffers", "64MB"),
    ("logging_collector", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

/// Every test process of a machine with many cores holds a handful of connections.
const SHARED_CONNECTIONS: &str = "200";

/// What sets a private server apart; by default nothing does, and it listens on no port.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    options: Vec<(String, String)>,
    port: Option<u16>,
}

impl Settings {
    /// No options beyond those that every throwaway server gets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a server option, as `postgres -c name=value`. The last of several for a name counts.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((name.into(), value.into()));
        self
    }

    /// Listens on this port of 127.0.0.1 too, where every user of the machine may connect.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Nobody crashes the shared server to see what is left. A private one keeps
    /// `synchronous_commit`, without which an immediate restart loses what was just committed.
    pub(super) fn of_the_shared_server() -> Self {
        Self::new().set("max_connections", SHARED_CONNECTIONS).set("synchronous_commit", "off")
    }

    pub(super) fn loopback_port(&self) -> Option<u16> {
        self.port
    }

    pub(super) fn socket_port(&self) -> u16 {
        self.port.unwrap_or(DEFAULT_PORT)
    }

    /// Arguments for `postgres`, each to follow a `-c`.
    pub(super) fn assignments(&self) -> impl Iterator<Item = String> {
        let basis = BASIS.iter().map(|(name, value)| format!("{name}={value}"));
        let listen = self.port.map_or("", |_| "127.0.0.1");
        let network =
            [format!("listen_addresses={listen}"), format!("port={}", self.socket_port())];
        let own = self.options.iter().map(|(name, value)| format!("{name}={value}"));
        basis.chain(network).chain(own)
    }
}
