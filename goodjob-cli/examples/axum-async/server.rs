//! A web server with pools beside it: both start together and end together.
//!
//! The tests of the fleet run the same file as a server process that is killed and stopped.

use std::net::SocketAddr;
use std::process::ExitCode;

use axum::Router;
use goodjob_cli::{Interrupt, exit};
use goodjob_core::{BoxError, Capsule, Role, Setup, Shutdown};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

/// Listens with SO_REUSEPORT: several processes may do so on one port, and the kernel spreads the
/// connections over them.
pub(crate) fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// Serves until the first signal of `next`. Then neither requests nor jobs begin any more, and those that run
/// are waited for; at the second signal they are not. `started` is called when there are pools.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    setup: &Setup,
    patience: Shutdown,
    mut next: impl AsyncFnMut() -> Interrupt,
    started: impl FnOnce(&Capsule),
) -> Result<ExitCode, BoxError> {
    if let Some(capsule) = setup.start(Role::Server).await? {
        started(&capsule);
    }
    tracing::info!("the server is ready at {}", listener.local_addr()?);
    let stop = CancellationToken::new();
    let http = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    let mut http = tokio::spawn(http.into_future());
    tokio::select! {
        ended = &mut http => ended??,
        signal = next() => tracing::info!("{signal}: taking no new jobs"),
    }
    stop.cancel();
    // At once, so that a request that hangs keeps no job from its next worker. A request may enqueue until it
    // is answered: that needs no capsule.
    let ending = async {
        let drained = setup.shutdown(patience).await;
        http.await.map(|served| (drained, served))
    };
    tokio::pin!(ending);
    tokio::select! {
        ended = &mut ending => {
            let (drained, served) = ended?;
            served?;
            Ok(if drained.cut_off.is_empty() { ExitCode::SUCCESS } else { exit::CUT_OFF.into() })
        }
        signal = next() => {
            tracing::warn!("{signal} again: not waiting for running jobs");
            setup.hurry();
            setup.shutdown(Shutdown::Now).await;
            Ok(match signal {
                Interrupt::Sigint => exit::SIGINT.into(),
                Interrupt::Sigterm => exit::SIGTERM.into(),
            })
        }
    }
}
