//! Values that Ruby has and JSON has not, as Active Job stores them among a job's arguments.
//!
//! Each type here is a field like any other: of a job with named fields, in a position of a tuple
//! struct, in a `Vec`, an `Option` or a map, at any depth. It reads every form that Rails 6.1 to 8.1
//! write, and writes the newest form that the oldest of them still reads; where Rails differ, the
//! type says so. The forms are facts of `active_job/arguments.rb` and `active_job/serializers/*`
//! (wire contract 2.3).
//!
//! ```
//! use std::time::Duration;
//! use goodjob_core::{Arguments, ruby};
//! use serde::{Deserialize, Serialize};
//! use serde_json::json;
//!
//! /// `RemindJob.perform_later(user, via: :mail, before: 5.minutes)`
//! #[derive(Serialize, Deserialize)]
//! struct Remind(ruby::GlobalId, ruby::Keywords<How>);
//!
//! #[derive(Serialize, Deserialize)]
//! struct How { via: ruby::Symbol, before: ruby::Duration }
//!
//! let remind = Remind(
//!     "gid://my-app/User/7".parse()?,
//!     ruby::Keywords(How { via: "mail".into(), before: Duration::from_secs(300).into() }),
//! );
//! let stored = Arguments::encode(&remind)?;
//! assert_eq!(stored.as_stored()[0], json!({"_aj_globalid": "gid://my-app/User/7"}));
//! let Remind(user, ruby::Keywords(how)) = stored.decode()?;
//! assert_eq!((user.model(), user.id(), how.via.as_str()), ("User", "7", "mail"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | Ruby | here |
//! |---|---|
//! | a symbol, a class or module | [`Symbol`], [`Module`] |
//! | a record | [`GlobalId`] |
//! | `BigDecimal` | [`Decimal`] |
//! | `Time`, `DateTime`, `TimeWithZone`, `Date` | [`Time`], [`DateTime`], [`TimeWithZone`], [`Date`] |
//! | `ActiveSupport::Duration` | [`Duration`] |
//! | a range | [`Range`] |
//! | keyword arguments after positions | [`Keywords`] |
//! | a hash with symbol keys, or with indifferent access | [`SymbolKeys`], [`Indifferent`] |
//! | what a serializer of the application made | [`Serialized`] |

mod decimal;
mod duration;
mod global_id;
mod hash;
mod name;
mod range;
mod serialized;
mod stored;
mod time;

pub use decimal::Decimal;
pub use duration::{Duration, Unit};
pub use global_id::GlobalId;
pub(super) use hash::KEYWORDS_NAME;
pub use hash::{Indifferent, Keywords, SymbolKeys};
pub use name::{Module, Symbol};
pub use range::Range;
pub use serialized::Serialized;
pub(super) use stored::brief;
pub use time::{Date, DateTime, Time, TimeWithZone};

/// A text or a number that is no such value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {found}, expected {expected}")]
pub struct ValueError {
    found: String,
    expected: &'static str,
}
