//! What the settler still has to write, as others see it who are not to keep it from ending.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::meter::Meter;
use super::settler::{Message, SettlerHandle};
use crate::trouble::Troubles;

/// Asks the settler for news without keeping it from ending.
#[derive(Clone, Debug)]
pub(crate) struct Backlog {
    messages: mpsc::WeakUnboundedSender<Message>,
    room: Arc<Semaphore>,
    meter: Arc<Meter>,
    troubles: Troubles,
}

impl Backlog {
    pub(crate) fn of(handle: &SettlerHandle) -> Self {
        let SettlerHandle { messages, room, meter, troubles } = handle.clone();
        Self { messages: messages.downgrade(), room, meter, troubles }
    }

    /// Waits until every outcome that was handed over before is written, or given up.
    pub(crate) async fn written(&self) {
        let (answer, heard) = oneshot::channel();
        // A settler that has ended has written all that it could, and answers no more.
        let Some(messages) = self.messages.upgrade() else { return };
        let _ = messages.send(Message::Flush(answer));
        drop(messages);
        let _ = heard.await;
    }

    /// A handle to hand outcomes over by; `None` when the settler has ended. It keeps it from ending.
    pub(crate) fn handle(&self) -> Option<SettlerHandle> {
        let Self { messages, room, meter, troubles } = self.clone();
        Some(SettlerHandle { messages: messages.upgrade()?, room, meter, troubles })
    }
}
