//! The store in memory passes the suite that every store has to pass.

use std::sync::Arc;

use async_trait::async_trait;
use goodjob_core::{Clock, JobRecord, MemoryStore, ProcessRecord};
use goodjob_testkit::conformance::Subject;

struct Memory(MemoryStore);

#[async_trait]
impl Subject for Memory {
    type Store = MemoryStore;

    async fn another(&self) -> Arc<MemoryStore> {
        Arc::new(self.0.another())
    }

    async fn plant(&self, row: JobRecord) {
        self.0.plant(row);
    }

    async fn kill(&self, store: Arc<MemoryStore>, _process: ProcessRecord) {
        store.vanish();
    }
}

async fn memory() -> Memory {
    Memory(MemoryStore::new(Clock::system()))
}

goodjob_testkit::conformance_tests!(memory);
