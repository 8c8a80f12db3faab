//! The running engine on the store in memory, in paused time: hours pass at once, and a loop that
//! spins where it should sleep hangs its test.

#[path = "engine/ahead.rs"]
mod ahead;
#[path = "engine/batches.rs"]
mod batches;
#[path = "engine/cron.rs"]
mod cron;
#[path = "engine/heart.rs"]
mod heart;
#[path = "engine/hooks.rs"]
mod hooks;
#[path = "engine/inline.rs"]
mod inline;
#[path = "engine/janitor.rs"]
mod janitor;
#[path = "engine/limits.rs"]
mod limits;
#[path = "engine/locks.rs"]
mod locks;
#[path = "engine/outages.rs"]
mod outages;
#[path = "engine/outcomes.rs"]
mod outcomes;
#[path = "engine/pools.rs"]
mod pools;
#[path = "engine/rigged.rs"]
mod rigged;
#[path = "engine/shutdown.rs"]
mod shutdown;
#[path = "engine/stage.rs"]
mod stage;
#[path = "engine/waiting.rs"]
mod waiting;
#[path = "engine/waking.rs"]
mod waking;
