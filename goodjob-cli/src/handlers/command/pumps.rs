//! Moves what goes in and comes out of a command, while something else is waited for.
//!
//! All three pipes move at once: a command that writes before it has read everything would
//! otherwise wait for us as we wait for it.

use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdin;

/// The pipes of a command, in motion only while one of the methods is awaited.
pub(super) struct Pumps<F> {
    moving: Pin<Box<F>>,
    drained: bool,
}

impl<F: Future<Output = ()>> Pumps<F> {
    pub(super) fn of(moving: F) -> Self {
        Self { moving: Box::pin(moving), drained: false }
    }

    /// Waits for `event` and keeps the pipes moving.
    pub(super) async fn during<T>(&mut self, event: impl Future<Output = T>) -> T {
        tokio::pin!(event);
        loop {
            tokio::select! {
                biased;
                happened = &mut event => return happened,
                () = &mut self.moving, if !self.drained => self.drained = true,
            }
        }
    }

    /// Keeps the pipes moving until all are closed, or `patience` is over: a process that has left
    /// the group may hold them open for ever.
    pub(super) async fn drain(&mut self, patience: Duration) {
        if !self.drained {
            let drained = tokio::time::timeout(patience, &mut self.moving).await;
            self.drained = drained.is_ok();
        }
    }
}

/// Writes `json` and an end of line (a shell's `read` wants one), then closes the pipe.
pub(super) async fn feed(stdin: Option<ChildStdin>, json: &[u8]) {
    let Some(mut stdin) = stdin else { return };
    let written = async {
        stdin.write_all(json).await?;
        stdin.write_all(b"\n").await
    };
    match written.await {
        // A command need not read what it does not want.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            tracing::debug!(%error, "the command's input could not be written");
        }
        _ => {}
    }
}

/// Hands over what can be read, piece by piece, until the end.
pub(super) async fn copy<R: AsyncRead + Unpin>(from: Option<R>, mut take: impl FnMut(&[u8])) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        take(&buffer[..count]);
    }
}
