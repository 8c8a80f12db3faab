//! Chance that is the same in every run, on every platform, and does not know what was drawn elsewhere.

use chrono::{DateTime, TimeDelta, Utc};
use goodjob_core::Timestamp;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use uuid::Uuid;

/// One in a thousand is the smallest chance there is.
const THOUSAND: u64 = 1_000;

/// Random values that follow from a name and a number alone.
///
/// The generator is ChaCha with 8 rounds, whose output for a seed is fixed by its specification. What is
/// made of its output is written here and not taken from a crate of distributions, which may make other
/// values of it in another version.
///
/// ```
/// use goodjob_testkit::Dice;
/// assert_eq!(Dice::of("coin", 7).number(), Dice::of("coin", 7).number());
/// assert_ne!(Dice::of("coin", 7).number(), Dice::of("coin", 8).number());
/// assert_ne!(Dice::of("coin", 7).number(), Dice::of("card", 7).number());
/// ```
#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The dice of the value `n` of what is called `name`.
    #[must_use]
    pub fn of(name: &str, n: u64) -> Self {
        let mut seed = [0; 32];
        let words = [n, fnv(name, 1), fnv(name, 2), fnv(name, 3)];
        for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// Dice of their own, for a part whose draws shall not shift what comes after it.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The high half of the product: no division, and a bias that no test will ever see.
        let product = u128::from(self.number()) * u128::from(end);
        u64::try_from(product >> 64).unwrap_or_default()
    }

    /// A number from `first` to `last`, both included; `first` if `last` is less.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last.saturating_sub(first).saturating_add(1))
    }

    /// Whether something happens that happens `thousandths` times in a thousand.
    pub fn chance(&mut self, thousandths: u64) -> bool {
        self.below(THOUSAND) < thousandths
    }

    /// One of them.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(from.len() as u64);
        &from[usize::try_from(index).unwrap_or_default()]
    }

    /// A moment up to `span` after `from`, in whole microseconds; `from` itself if `span` is negative.
    pub fn moment(&mut self, from: Timestamp, span: TimeDelta) -> Timestamp {
        let micros = span.num_microseconds().and_then(|micros| u64::try_from(micros).ok());
        let after = i64::try_from(self.below(micros.unwrap_or(0))).unwrap_or(0);
        from + TimeDelta::microseconds(after)
    }

    /// A UUID of version 7 that was made at `at`: those of later milliseconds are greater.
    pub fn uuid(&mut self, at: Timestamp) -> Uuid {
        let mut random = [0; 10];
        self.0.fill_bytes(&mut random);
        let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

/// FNV-1a in 64 bits, begun with `salt`.
fn fnv(text: &str, salt: u64) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    text.bytes().fold(step(BASIS, u8::try_from(salt).unwrap_or(0)), step)
}

/// The time at which the factories' world begins: a Monday morning.
pub(crate) fn epoch() -> Timestamp {
    DateTime::<Utc>::from_timestamp(1_767_603_600, 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_are_these_on_every_platform_and_in_every_version() {
        let mut dice = Dice::of("first_name", 1);
        assert_eq!(
            [dice.number(), dice.number(), dice.below(1_000), dice.between(5, 9)],
            [10_906_375_536_365_193_183, 10_976_133_420_274_629_767, 284, 8]
        );
        assert_eq!(dice.uuid(epoch()).to_string(), "019b8d62-7a80-78c3-86fe-99e7f1db915c");
    }

    #[test]
    fn numbers_stay_within_their_bounds_and_reach_them() {
        let mut dice = Dice::of("bounds", 1);
        let drawn: Vec<u64> = (0..1_000).map(|_| dice.between(3, 6)).collect();
        assert!((3..=6).all(|n| drawn.contains(&n)), "{drawn:?}");
        assert!(drawn.iter().all(|n| (3..=6).contains(n)), "{drawn:?}");
        assert_eq!((dice.below(0), dice.below(1), dice.between(9, 3)), (0, 0, 9));
        assert!((0..1_000).all(|_| !dice.chance(0) && dice.chance(1_000)));
    }

    #[test]
    fn ids_are_in_the_order_of_their_time() {
        let ids: Vec<Uuid> = (1..100)
            .map(|n| {
                Dice::of("id", n).uuid(epoch() + TimeDelta::milliseconds(i64::try_from(n).unwrap()))
            })
            .collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
