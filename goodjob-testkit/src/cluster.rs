//! A throwaway Postgres: found on this machine, started in a fraction of a second, gone afterwards.
//!
//! [`Cluster::shared`] is one server for every test process of a user; [`Cluster::private`] is a
//! server of one's own, to restart and to break. Neither survives its users, however they die.
//! This module knows nothing of jobs, tables or drivers, and its calls block.
//!
//! # Who stops the server
//! Every user holds the write end of one named pipe, and a detached `sh` reads the other end. The
//! kernel closes the write end at a return from `main` as at a panic, an abort or a SIGKILL, so
//! end of file means exactly "nobody is left", and the shell stops the server and removes its
//! files. What stays is `goodjob-<uid>/start.lock` in the temporary directory, and one initialised
//! data directory per server version in the user's cache.
//!
//! # Who may connect
//! The server trusts whoever reaches it. Its socket directory is open to its own user and root
//! only; a loopback port, if one is asked for, is open to every user of the machine.

mod account;
mod binaries;
mod environment;
mod error;
mod handshake;
mod home;
mod instance;
mod private;
mod remedy;
mod seed;
mod server;
mod settings;
mod share;
mod url;
mod version;
mod watchdog;

use std::path::PathBuf;
use std::sync::Arc;

pub use binaries::Binaries;
pub use environment::{Environment, url_from_environment};
pub use error::{Attempt, ClusterError};
pub use settings::Settings;
pub use version::Version;

use private::Private;
use share::Tenancy;

/// The superuser of every cluster; it needs no password.
pub const SUPERUSER: &str = "goodjob";

/// A running Postgres server that lasts at least as long as this value.
///
/// Has a superuser [`SUPERUSER`] and the database `postgres`, in UTF-8 and the C locale. A crash of
/// the machine would lose data: `fsync` and `full_page_writes` are off.
///
/// ```no_run
/// use goodjob_testkit::cluster::Cluster;
///
/// let cluster = Cluster::shared()?;
/// println!("psql '{}'", cluster.url("postgres"));
/// # Ok::<(), goodjob_testkit::cluster::ClusterError>(())
/// ```
#[derive(Debug)]
pub struct Cluster {
    tenure: Tenure,
}

#[derive(Debug)]
enum Tenure {
    Shared(Arc<Tenancy>),
    Private(Box<Private>),
}

impl Cluster {
    /// Joins the server that all processes of this user share, or starts it.
    ///
    /// Joining takes milliseconds, and further calls in one process return the same server for
    /// free. It allows 200 connections, with `synchronous_commit` off. It stops half a second after
    /// its last user has gone, so that test processes that follow one another meet the same server.
    /// A running server is joined only if `GOOD_JOB_PG_BIN` and `PATH` lead to its version.
    ///
    /// # Errors
    /// [`ClusterError::NoBinaries`] when no Postgres is installed; otherwise what kept the server
    /// from starting, with the end of its log.
    pub fn shared() -> Result<Self, ClusterError> {
        let tenancy = Tenancy::of_this_process()?;
        Ok(Self { tenure: Tenure::Shared(tenancy) })
    }

    /// Starts a server for this value alone; dropping the value stops it and removes its files.
    ///
    /// # Errors
    /// As for [`Cluster::shared`]. An option that the server does not know shows in the log's end.
    pub fn private(settings: Settings) -> Result<Self, ClusterError> {
        let private = Box::new(Private::start(settings)?);
        Ok(Self { tenure: Tenure::Private(private) })
    }

    /// The address of `database` over the Unix socket, for sqlx, libpq and Ruby alike.
    pub fn url(&self, database: &str) -> String {
        url::over_socket(&self.socket_directory(), self.port(), database)
    }

    /// The address of `database` over loopback TCP, if [`Settings::port`] was asked for.
    pub fn tcp_url(&self, database: &str) -> Option<String> {
        match &self.tenure {
            Tenure::Shared(_) => None,
            Tenure::Private(private) => {
                private.loopback_port().map(|port| url::over_loopback(port, database))
            }
        }
    }

    /// The directory of the server's Unix socket: libpq's `PGHOST`.
    pub fn socket_directory(&self) -> PathBuf {
        self.instance().socket_directory()
    }

    /// The server's data directory: its `PGDATA`.
    pub fn data_directory(&self) -> PathBuf {
        self.instance().data()
    }

    /// The last lines of the server's log; empty if there are none.
    pub fn log_tail(&self) -> String {
        self.instance().log_tail()
    }

    /// Restarts the server the orderly way: sessions are cut off with SQLSTATE 57P01, running
    /// transactions are rolled back. Returns when it accepts connections again, at its old address.
    ///
    /// # Errors
    /// [`ClusterError::Shared`] unless this is a private server; or what kept it from starting.
    pub fn restart_fast(&self) -> Result<(), ClusterError> {
        self.as_private()?.restart(server::Shutdown::Fast)
    }

    /// Restarts the server as after a crash: sessions break without warning and the server recovers
    /// from its log. What was committed stays, unless under `synchronous_commit=off`. Returns when
    /// it accepts connections again.
    ///
    /// # Errors
    /// As for [`Cluster::restart_fast`].
    pub fn restart_immediate(&self) -> Result<(), ClusterError> {
        self.as_private()?.restart(server::Shutdown::Immediate)
    }

    /// Stops a private server and removes its files, as dropping does, but tells what went wrong.
    /// Leaves a shared one to its other users.
    ///
    /// # Errors
    /// [`ClusterError::File`] when the directory could not be removed.
    pub fn stop(self) -> Result<(), ClusterError> {
        match self.tenure {
            Tenure::Shared(_) => Ok(()),
            Tenure::Private(mut private) => private.stop(),
        }
    }

    fn instance(&self) -> &instance::Instance {
        match &self.tenure {
            Tenure::Shared(tenancy) => tenancy.instance(),
            Tenure::Private(private) => private.instance(),
        }
    }

    fn port(&self) -> u16 {
        match &self.tenure {
            Tenure::Shared(_) => settings::DEFAULT_PORT,
            Tenure::Private(private) => private.port(),
        }
    }

    fn as_private(&self) -> Result<&Private, ClusterError> {
        match &self.tenure {
            Tenure::Shared(_) => Err(ClusterError::Shared),
            Tenure::Private(private) => Ok(private),
        }
    }
}

/// Where this process's clusters live, and as whom they run.
#[derive(Debug)]
struct Site {
    environment: Environment,
    account: account::Account,
    home: home::Home,
}

impl Site {
    fn of_this_process() -> Result<Self, ClusterError> {
        let environment = Environment::of_this_process();
        let account = account::Account::for_server(&environment)?;
        let home = home::Home::open(&environment, account)?;
        Ok(Self { environment, account, home })
    }

    /// Fills the data directory of `instance` and starts a server on it, accepting connections.
    fn start(
        &self,
        instance: &instance::Instance,
        binaries: Binaries,
        settings: Settings,
    ) -> Result<server::Server, ClusterError> {
        seed::fill(&instance.data(), self, &binaries)?;
        let mut server = server::Server::new(binaries, self.account, instance.clone(), settings);
        server.start()?;
        Ok(server)
    }
}
