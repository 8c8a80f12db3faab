//! What is paused, in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::notifier::Notice;
use crate::pauses::{Pause, PauseStore, Paused};
use crate::store::StoreError;

#[async_trait]
impl PauseStore for MemoryStore {
    async fn pause(&self, pause: &Pause) -> Result<(), StoreError> {
        let paused = &mut self.rows().paused;
        *paused = paused.iter().chain([pause.clone()]).collect();
        Ok(())
    }

    async fn unpause(&self, pause: &Pause) -> Result<bool, StoreError> {
        let paused = &mut self.rows().paused;
        let left: Paused = paused.iter().filter(|other| other != pause).collect();
        let changed = left != *paused;
        *paused = left;
        if changed {
            let queue = match pause {
                Pause::Queue(name) => Some(name.clone()),
                Pause::Class(_) | Pause::Label(_) => None,
            };
            // Nobody listening is fine: a notice is a hint.
            let _ = self.shared.notices.send(Notice { queue, at: None, count: 1 });
        }
        Ok(changed)
    }

    async fn paused(&self) -> Result<Paused, StoreError> {
        Ok(self.rows().paused.clone())
    }
}
