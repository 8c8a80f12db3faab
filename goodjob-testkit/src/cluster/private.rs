//! A cluster with a single user, who may restart it.

use std::sync::{Mutex, PoisonError};

use super::Site;
use super::binaries::Binaries;
use super::error::ClusterError;
use super::instance::Instance;
use super::server::{Server, Shutdown};
use super::settings::Settings;
use super::watchdog::{Linger, Presence};

#[derive(Debug)]
pub(super) struct Private {
    instance: Instance,
    settings: Settings,
    server: Mutex<Server>,
    /// For the case that nobody drops this value.
    _presence: Presence,
}

impl Private {
    pub(super) fn start(settings: Settings) -> Result<Self, ClusterError> {
        let site = Site::of_this_process()?;
        let binaries = Binaries::discover(&site.environment)?;
        let (instance, presence) = {
            // Else a process that sweeps could take the half-made directory for a left-over.
            let _turn = site.home.lock()?;
            let instance = site.home.create_private(binaries.version())?;
            let presence = Presence::begin(&instance, Linger::No)?;
            (instance, presence)
        };
        let server = site.start(&instance, binaries, settings.clone())?;
        Ok(Self { instance, settings, server: Mutex::new(server), _presence: presence })
    }

    pub(super) fn instance(&self) -> &Instance {
        &self.instance
    }

    pub(super) fn port(&self) -> u16 {
        self.settings.socket_port()
    }

    pub(super) fn loopback_port(&self) -> Option<u16> {
        self.settings.loopback_port()
    }

    pub(super) fn restart(&self, shutdown: Shutdown) -> Result<(), ClusterError> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.stop(shutdown)?;
        server.start()
    }

    pub(super) fn stop(&mut self) -> Result<(), ClusterError> {
        let server = self.server.get_mut().unwrap_or_else(PoisonError::into_inner);
        server.stop(Shutdown::Immediate)?;
        self.instance.remove()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // What remains, the watchdog tries again.
        let _ = self.stop();
    }
}
