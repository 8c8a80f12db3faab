//! The server of `--probe-port`, on a thread of its own: jobs that block every thread of the worker's runtime
//! must not make it look dead.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::Probe;

/// Serves until it is dropped.
#[derive(Debug)]
pub(crate) struct ProbeServer {
    address: SocketAddr,
    stop: Option<DropGuard>,
    thread: Option<JoinHandle<()>>,
}

impl ProbeServer {
    /// Binds the address, then serves.
    pub(crate) fn start(address: SocketAddr, probe: &Probe) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, app) = (CancellationToken::new(), probe.router());
        let stopped = stop.clone();
        let serve = move || {
            runtime.block_on(async {
                let served = async {
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    axum::serve(listener, app).await
                };
                // Open connections are not waited for: a scraper keeps its own for ever.
                if let Some(Err(error)) = stopped.run_until_cancelled(served).await {
                    tracing::error!(%error, "probes are not answered any more");
                }
            });
        };
        let thread = std::thread::Builder::new().name("goodjob-probe".to_owned()).spawn(serve)?;
        Ok(Self { address, stop: Some(stop.drop_guard()), thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ProbeServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was told by its hook.
            let _ = thread.join();
        }
    }
}
