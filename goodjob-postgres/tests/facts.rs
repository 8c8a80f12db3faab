//! The fifty facts of wire contract 17: what has to hold between goodjob and the gem on one set of tables.
//! The gem is played by the testkit's stand-in, or by the statement that the gem would send.
//! `docs/compatibility.md` lists them, and what each test leaves open.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "facts/beside.rs"]
mod beside;
#[path = "facts/claims.rs"]
mod claims;
#[path = "facts/crashes.rs"]
mod crashes;
#[path = "facts/enqueues.rs"]
mod enqueues;
#[path = "facts/families.rs"]
mod families;
#[path = "facts/holes.rs"]
mod holes;
#[path = "lifecycle/jobs.rs"]
#[allow(dead_code, reason = "shared with lifecycle.rs, which uses the rest")]
mod jobs;
#[path = "facts/list.rs"]
mod list;
#[path = "facts/locks.rs"]
mod locks;
#[path = "facts/notices.rs"]
mod notices;
#[path = "facts/pages.rs"]
mod pages;
#[path = "facts/passing.rs"]
mod passing;
#[path = "facts/processes.rs"]
mod processes;
#[path = "lifecycle/ruby.rs"]
#[allow(dead_code, reason = "shared with lifecycle.rs, which uses the rest")]
mod ruby;
#[path = "facts/scene.rs"]
mod scene;
#[path = "facts/users.rs"]
mod users;
