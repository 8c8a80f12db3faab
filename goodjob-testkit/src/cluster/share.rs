//! One server for all processes of a user: join the one that runs, else start it.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::Site;
use super::binaries::Binaries;
use super::environment::Environment;
use super::error::ClusterError;
use super::handshake::{self, Answer};
use super::instance::Instance;
use super::settings::{DEFAULT_PORT, Settings};
use super::watchdog::{self, Linger, Presence};

/// How long a running server may take to recover from the crash of one of its sessions.
const RECOVERY: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(5);

/// This process's stay in the shared cluster.
#[derive(Debug)]
pub(super) struct Tenancy {
    instance: Instance,
    _presence: Presence,
}

impl Tenancy {
    /// One per process, so that a test per thread costs no descriptor per test.
    pub(super) fn of_this_process() -> Result<Arc<Self>, ClusterError> {
        static CURRENT: Mutex<Weak<Tenancy>> = Mutex::new(Weak::new());
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenancy) = current.upgrade() {
            return Ok(tenancy);
        }
        let tenancy = Arc::new(Self::take_up(&Site::of_this_process()?)?);
        *current = Arc::downgrade(&tenancy);
        Ok(tenancy)
    }

    pub(super) fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Looking for binaries takes several processes, so the first look is for a server that was
    /// started under the same variables, whatever has been installed since.
    fn take_up(site: &Site) -> Result<Self, ClusterError> {
        let _turn = site.home.lock()?;
        let instances = site.home.instances();
        let search = searched(&site.environment);
        let alike = |instance: &&Instance| {
            fs::read_to_string(instance.open_marker()).is_ok_and(|marker| marker == search)
        };
        let joined = instances.iter().filter(alike).find_map(Self::join);
        for instance in &instances {
            // What a reboot or a killed watchdog left; failing to remove it is no reason to fail.
            let _ = watchdog::sweep(instance);
        }
        if let Some(tenancy) = joined {
            return Ok(tenancy);
        }

        let binaries = Binaries::discover(&site.environment)?;
        let same_version = |instance: &&Instance| instance.is_shared(binaries.version());
        match instances.iter().filter(same_version).find_map(Self::join) {
            Some(tenancy) => Ok(tenancy),
            None => Self::start(site, binaries, &search),
        }
    }

    /// `None` if it is on its way out, or its server is gone.
    fn join(instance: &Instance) -> Option<Self> {
        if !instance.open_marker().exists() {
            return None;
        }
        let presence = Presence::begin(instance, Linger::HalfASecond).ok()?;
        // After the presence has begun, and not before: see the watchdog's promise.
        if !instance.open_marker().exists() {
            return None;
        }
        if is_alive(instance) {
            return Some(Self { instance: instance.clone(), _presence: presence });
        }
        let _ = fs::remove_file(instance.open_marker());
        None
    }

    fn start(site: &Site, binaries: Binaries, search: &str) -> Result<Self, ClusterError> {
        let instance = site.home.create_shared(binaries.version())?;
        let presence = Presence::begin(&instance, Linger::HalfASecond)?;
        // The process is nobody's to wait for: it ends by the watchdog's hand, after its starter.
        drop(site.start(&instance, binaries, Settings::of_the_shared_server())?);
        let marker = instance.open_marker();
        fs::write(&marker, search).map_err(ClusterError::file("writing", &marker))?;
        Ok(Self { instance, _presence: presence })
    }
}

/// What the search for binaries begins with, as text to compare.
fn searched(environment: &Environment) -> String {
    format!("{:?} {:?}", environment.chosen_binaries, environment.search_path)
}

fn is_alive(instance: &Instance) -> bool {
    let asked = Instant::now();
    loop {
        match handshake::greet(&instance.socket(DEFAULT_PORT)) {
            Ok(Answer::Accepts) => return true,
            Ok(Answer::NotNow) if asked.elapsed() < RECOVERY => thread::sleep(STEP),
            Ok(Answer::NotNow) | Err(_) => return false,
        }
    }
}
