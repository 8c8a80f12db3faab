//! A store on both sides of a fork: each process of the operating system has connections of its own.
//!
//! A socket that came along with a fork is the parent's. A statement sent by it would end up among the
//! parent's, and merely closing it would take it out of the parent's event queue, which both share. So the
//! parent's part is neither used here nor dropped.

use std::ops::Deref;
use std::sync::OnceLock;

use goodjob_core::Troubles;

use super::Inner;
use crate::dialect::Columns;
use crate::options::PgOptions;

/// What a store is in each process that it came to by forks, the oldest first.
pub(super) struct Generations {
    options: PgOptions,
    columns: Columns,
    /// Who hears of troubles hears of those of every process.
    troubles: Troubles,
    first: OnceLock<Box<Generation>>,
}

struct Generation {
    pid: u32,
    inner: Inner,
    next: OnceLock<Box<Generation>>,
}

impl Generations {
    /// Made when it is first used, in whatever process that is.
    pub(super) fn new(options: PgOptions, columns: Columns) -> Self {
        Self { options, columns, troubles: Troubles::default(), first: OnceLock::new() }
    }

    /// Begins with what this process has already.
    pub(super) fn of(inner: Inner) -> Self {
        let (options, columns) = (inner.options.clone(), inner.columns);
        let troubles = inner.troubles.clone();
        let generation = Generation { pid: std::process::id(), inner, next: OnceLock::new() };
        Self { options, columns, troubles, first: OnceLock::from(Box::new(generation)) }
    }

    fn in_process(&self, pid: u32) -> &Inner {
        let mut place = &self.first;
        loop {
            let generation = place.get_or_init(|| {
                let inner = Inner::new(self.options.clone(), self.columns, self.troubles.clone());
                Box::new(Generation { pid, inner, next: OnceLock::new() })
            });
            if generation.pid == pid {
                return &generation.inner;
            }
            place = &generation.next;
        }
    }
}

impl Deref for Generations {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        self.in_process(std::process::id())
    }
}

impl Drop for Generations {
    fn drop(&mut self) {
        let mut place = std::mem::take(&mut self.first);
        while let Some(mut generation) = place.take() {
            place = std::mem::take(&mut generation.next);
            if generation.pid != std::process::id() {
                std::mem::forget(generation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_process_has_a_pool_of_its_own_and_leaves_the_others_open() {
        let options = PgOptions::from_url("postgres://ann@db.example/shop").unwrap();
        let store = Generations::new(options, Columns::default());
        let here = std::process::id();
        let parents = store.in_process(here + 1).pool.clone();
        let ours = store.pool.clone();
        ours.close().await;
        assert!(store.in_process(here).pool.is_closed() && !parents.is_closed());
        assert!(!store.in_process(here + 2).pool.is_closed());
        drop(store);
        assert!(!parents.is_closed(), "another process's pool is neither closed nor dropped");
    }

    #[test]
    fn a_store_may_be_made_before_there_is_a_runtime() {
        let options = PgOptions::from_url("postgres://ann@db.example/shop").unwrap();
        drop(crate::PgStore::lazy(options));
    }
}
