//! Several real processes on one database: what they promise when they are killed, stopped, late or
//! wrongly set up.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

/// Makes two tests of each: for `goodjob start`, and for a web server in async mode.
macro_rules! for_both {
    ($($name:ident)*) => {
        mod a_worker {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(crate::worker::Kind::Worker).await;
                }
            )*
        }
        mod a_web_server {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(crate::worker::Kind::Server).await;
                }
            )*
        }
    };
}

#[path = "tool/command.rs"]
#[expect(dead_code, reason = "the tests of the tool need more of it")]
mod command;
#[path = "fleet/kills.rs"]
mod kills;
#[path = "fleet/latency.rs"]
mod latency;
#[path = "fleet/poison.rs"]
mod poison;
#[path = "fleet/ruby.rs"]
mod ruby;
#[path = "../examples/axum-async/server.rs"]
mod server;
#[path = "fleet/servers.rs"]
mod servers;
#[path = "fleet/startup.rs"]
mod startup;
#[path = "fleet/stops.rs"]
mod stops;
#[path = "fleet/worker.rs"]
mod worker;
