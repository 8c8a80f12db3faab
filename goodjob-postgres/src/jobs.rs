//! Jobs as a person looks for them, and what a person can do about them: the gem's dashboard as a
//! library (wire contract 5 and 6).
//!
//! | file | what it does |
//! |---|---|
//! | `jobs/filter.rs` | [`Filter`]: which jobs |
//! | `jobs/list.rs` | [`PgStore::jobs`], page by page, and [`PgStore::count`] |
//! | `jobs/show.rs` | [`PgStore::show`]: everything about one job |
//! | `jobs/explain.rs` | [`PgStore::explain`]: why it is not running |
//! | `jobs/actions.rs` | [`Action`] on jobs that are named |
//! | `jobs/bulk.rs` | [`Bulk`]: an action on all that a filter finds |
//!
//! ```no_run
//! use goodjob_postgres::PgStore;
//! use goodjob_postgres::jobs::{Action, Filter};
//!
//! # async fn retry(store: PgStore) -> Result<(), Box<dyn std::error::Error>> {
//! let filter = Filter::new().class("ReportJob")?.text("timeout")?;
//! let mut bulk = store.bulk(filter, Action::Retry).await?;
//! println!("{} to retry", bulk.matched());
//! while let Some(batch) = bulk.next_batch().await? {
//!     println!("{} retried, {} are being run", batch.done, batch.busy);
//! }
//! # Ok(()) }
//! ```
//!
//! [`PgStore::jobs`]: crate::PgStore::jobs
//! [`PgStore::count`]: crate::PgStore::count
//! [`PgStore::show`]: crate::PgStore::show
//! [`PgStore::explain`]: crate::PgStore::explain

mod actions;
mod bulk;
mod explain;
mod filter;
mod list;
mod show;

pub use actions::{Acted, Action};
pub use bulk::{Bulk, Tally};
pub use explain::{Explanation, JobStart, Line, LockKind, PauseKind, Rate, Reason, Restraint, Why};
pub use filter::{Filter, FilterError, STATES};
pub use list::{Cursor, JobList, JobSummary, Page};
pub use show::{JobDetails, LockHolder, Owner};
