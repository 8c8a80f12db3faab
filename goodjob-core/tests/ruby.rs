//! What Active Job stores, read and written by the public types alone.

#[path = "ruby/envelopes.rs"]
mod envelopes;
#[path = "ruby/misfits.rs"]
mod misfits;
#[path = "ruby/round_trips.rs"]
mod round_trips;
