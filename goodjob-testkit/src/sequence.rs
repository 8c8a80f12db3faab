//! Values in a row that are the same in every run, whatever else was drawn and in whatever order the
//! tests run.

use std::cell::RefCell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use crate::dice::Dice;

/// A row of values, counted from 1. Value `n` follows from the name and `n` alone.
///
/// Sequences are global: a `static`, from which every part of a test draws. How far each has been drawn is
/// known to the test alone, see [`Sequences`].
///
/// ```
/// use goodjob_testkit::{Sequence, Sequences};
///
/// static CITY: Sequence<&str> =
///     Sequence::new("city", |_, dice| *dice.pick(&["Bern", "Lyon", "Turin", "Graz"]));
/// static INVOICE: Sequence<String> = Sequence::new("invoice", |n, _| format!("R-{n:05}"));
///
/// let _rewound = Sequences::rewound();
/// assert_eq!(CITY.draw(), CITY.nth(1));
/// assert_eq!((INVOICE.draw(), INVOICE.draw()), ("R-00001".to_owned(), "R-00002".to_owned()));
/// assert_eq!(CITY.draw(), CITY.nth(2));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sequence<T> {
    name: &'static str,
    make: fn(u64, &mut Dice) -> T,
}

impl<T> Sequence<T> {
    /// A sequence. Its name is its seed, so two of the same name draw from the same row.
    #[must_use]
    pub const fn new(name: &'static str, make: fn(u64, &mut Dice) -> T) -> Self {
        Self { name, make }
    }

    /// The value `n`. Draws nothing.
    #[must_use]
    pub fn nth(&self, n: u64) -> T {
        (self.make)(n, &mut Dice::of(self.name, n))
    }

    /// The next value of this test.
    #[must_use]
    pub fn draw(&self) -> T {
        self.nth(Sequences::current().advance(self.name))
    }
}

/// How far a test has drawn each sequence.
///
/// Each thread has its own, and so has each test: the harness runs every test on a thread, and
/// `#[tokio::test]` runs its body there, whatever the flavor of the runtime. So tests that run at the same
/// time never disturb each other. What does happen is that a thread runs a second test, as with
/// `--test-threads 1`; therefore a test that draws begins with [`rewound`](Self::rewound), whose guard
/// rewinds everything when the test ends, also by a panic.
///
/// A task that is spawned may run on another thread, where nothing has been drawn yet. Where it shall go
/// on with the test's sequences, [`carry`](Self::carry) them over.
///
/// ```
/// use goodjob_testkit::{Sequence, Sequences};
/// static TICKET: Sequence<u64> = Sequence::new("ticket", |n, _| n);
///
/// # #[tokio::main] async fn main() {
/// let _rewound = Sequences::rewound();
/// assert_eq!(TICKET.draw(), 1);
/// let drawing = Sequences::current().carry(async { TICKET.draw() });
/// assert_eq!(tokio::spawn(drawing).await.unwrap(), 2);
/// assert_eq!(TICKET.draw(), 3);
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sequences(Arc<Mutex<HashMap<&'static str, u64>>>);

thread_local! {
    static HERE: RefCell<Sequences> = RefCell::default();
}

tokio::task_local! {
    static CARRIED: Sequences;
}

impl Sequences {
    /// Those of this task if some were carried here, else those of this thread.
    #[must_use]
    pub fn current() -> Self {
        CARRIED.try_with(Self::clone).unwrap_or_else(|_| HERE.with_borrow(Self::clone))
    }

    /// Rewinds all sequences of this thread, now and when the guard is dropped.
    pub fn rewound() -> Rewound {
        Self::rewind();
        Rewound(PhantomData)
    }

    /// Runs a future that draws from these, on whatever thread.
    pub fn carry<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        CARRIED.scope(self.clone(), future)
    }

    fn rewind() {
        // Others keep the counters that were carried to them: a straggler of the last test cannot draw
        // from the next one's. A thread that is ending has none any more.
        let _ = HERE.try_with(|here| here.replace(Self::default()));
    }

    /// Counts one more value of a sequence, from 1.
    fn advance(&self, name: &'static str) -> u64 {
        let mut drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = drawn.entry(name).or_default();
        *count += 1;
        *count
    }
}

/// Rewinds the sequences of its thread when it is dropped. It cannot leave that thread.
#[must_use = "the sequences are rewound when this is dropped"]
#[derive(Debug)]
pub struct Rewound(PhantomData<*const ()>);

impl Drop for Rewound {
    fn drop(&mut self) {
        Sequences::rewind();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    static COLOR: Sequence<u64> = Sequence::new("color", |_, dice| dice.number());
    static SHAPE: Sequence<u64> = Sequence::new("shape", |_, dice| dice.number());
    static COUNT: Sequence<u64> = Sequence::new("count", |n, _| n);

    #[test]
    fn a_value_does_not_depend_on_what_else_was_drawn() {
        let alone = {
            let _rewound = Sequences::rewound();
            [COLOR.draw(), COLOR.draw(), COLOR.draw()]
        };
        let _rewound = Sequences::rewound();
        let mixed = [0, 1, 2].map(|others| {
            for _ in 0..others * 7 {
                let _ = SHAPE.draw();
            }
            COLOR.draw()
        });
        assert_eq!(alone, mixed);
        assert_eq!(alone, [1, 2, 3].map(|n| COLOR.nth(n)));
        assert_ne!(alone[0], SHAPE.nth(1));
    }

    #[test]
    fn a_panic_rewinds_too() {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _rewound = Sequences::rewound();
            assert_eq!((COUNT.draw(), COUNT.draw()), (1, 2));
            panic!("the test failed");
        }));
        assert!(panicked.is_err());
        assert_eq!(COUNT.draw(), 1);
        let _ = Sequences::rewound();
    }

    #[test]
    fn shuffled_tests_and_a_new_one_change_no_value() {
        type Test = fn() -> Vec<u64>;
        let names: Test = || {
            let _rewound = Sequences::rewound();
            vec![COLOR.draw(), SHAPE.draw(), COLOR.draw()]
        };
        let shapes: Test = || {
            let _rewound = Sequences::rewound();
            vec![SHAPE.draw(), SHAPE.draw()]
        };
        let new: Test = || {
            let _rewound = Sequences::rewound();
            vec![COLOR.draw(), COUNT.draw()]
        };
        let (first, second) = (names(), shapes());
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for test in order {
                match test {
                    0 => assert_eq!(names(), first, "{order:?}"),
                    1 => assert_eq!(shapes(), second, "{order:?}"),
                    _ => assert_eq!(new()[1], 1, "{order:?}"),
                }
            }
        }
    }

    #[test]
    fn tests_at_the_same_time_do_not_disturb_each_other() {
        let (here, there) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|threads| {
            let test = || {
                let _rewound = Sequences::rewound();
                here.wait();
                let drawn = [COUNT.draw(), COUNT.draw()];
                there.wait();
                drawn
            };
            let tests = [threads.spawn(test), threads.spawn(test)];
            for test in tests {
                assert_eq!(test.join().unwrap(), [1, 2]);
            }
        });
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sequences_are_carried_to_tasks_on_other_threads() {
        let _rewound = Sequences::rewound();
        assert_eq!(COUNT.draw(), 1);
        let carried = Sequences::current();
        for n in 2..20 {
            assert_eq!(tokio::spawn(carried.carry(async { COUNT.draw() })).await.unwrap(), n);
            tokio::task::yield_now().await;
        }
        assert_eq!(COUNT.draw(), 20);
    }
}
